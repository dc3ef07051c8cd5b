"""Does the evidence of one alert hold: each byte, each chain, what its parts say of each other, and each decision
when it is made again?

Needs nothing but the lines: no record, no setting, no network. ``replay`` makes a decision again from its case and
says what came out differently (``audit.case``); ``published`` are the heads as somebody else has kept them.
Without these the verdict says that nobody asked. Pure. Hours are milliseconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from audit.case_binding import Bindings, Undecided
from audit.package import ACCESSES, EPISODE, Header, HeadLine
from audit.package_heads import problem_of_head
from audit.package_reader import HeaderRead, HeadRead, RunRead, What, Wrong, may_be_withheld, parts
from audit.story import HOMES, Story
from tocsin.chain import Deletion, Kind, Link, Opened, erasures, excusing
from tocsin.retention import keeping_of

Replay = Callable[[bytes], list[str]]
CLOCK_SLACK_MS: Final = 60_000
"""As ``audit.verification`` has it: a link is dated before its transaction is seen."""
FAULTS_MAX: Final = 1_000
"""A file that is no package at all is wrong on each line; behind so many nobody reads on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """A payload that was deleted lawfully, and what the deletion says of it."""

    chain: str
    number: int
    of: str
    rule: str
    by: str
    at_ms: int


@dataclass(slots=True)
class Verdict:
    """``unproven``: by chain, how many links at its end are older than no head in the package. ``compared``: how
    many heads the published ones confirm; None: nobody handed any in. ``uncased``: of the cases, those that have
    nothing to decide from and say why."""

    header: Header | None = None
    faults: list[Wrong] = field(default_factory=list)
    more_faults: int = 0
    story: Story = field(default_factory=lambda: Story(""))
    links: dict[str, int] = field(default_factory=dict)
    erased: list[Erased] = field(default_factory=list)
    withheld: dict[str, int] = field(default_factory=dict)
    unproven: dict[str, int] = field(default_factory=dict)
    heads: int = 0
    compared: int | None = None
    unknown_heads: int = 0
    cases: int = 0
    uncased: int = 0
    replayed: int | None = None
    undecided: list[Undecided] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not self.faults


def verify(
    lines: Iterable[bytes],
    *,
    replay: Replay | None = None,
    published: Mapping[int, str] | None = None,
    published_until_ms: int | None = None,
    keep: Callable[[RunRead | HeadRead], None] = lambda _: None,
) -> Verdict:
    """Everything that is wrong, and what was proven. ``published``: the hash of each head, by its number;
    ``published_until_ms``: the hour of the newest of them, before which every link has to be under one. ``keep``
    is handed each run and each head on the way."""
    check = _Check(
        verdict=Verdict(replayed=None if replay is None else 0, compared=None if published is None else 0),
        replay=replay,
        published=published,
        published_until_ms=published_until_ms,
    )
    for part in parts(lines):
        match part:
            case Wrong():
                check.found(part)
            case HeaderRead(line=line, said=said):
                check.on_header(line, said)
            case RunRead():
                check.on_run(part)
                keep(part)
            case HeadRead():
                check.on_head(part)
                keep(part)
    check.at_the_end()
    return check.verdict


@dataclass(slots=True)
class _Check:
    verdict: Verdict
    replay: Replay | None
    published: Mapping[int, str] | None
    published_until_ms: int | None
    _links: dict[str, dict[int, Link]] = field(default_factory=lambda: defaultdict(dict))
    _there: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    _proofs: dict[str, list[tuple[Link, Opened]]] = field(default_factory=lambda: defaultdict(list))
    _lines: dict[tuple[str, int], int] = field(default_factory=dict)
    _ends: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _leaves: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _compared: dict[str, int] = field(default_factory=dict)
    _head: HeadLine | None = None
    _bindings: Bindings = field(default_factory=Bindings)

    def found(self, wrong: Wrong) -> None:
        if len(self.verdict.faults) < FAULTS_MAX:
            self.verdict.faults.append(wrong)
        else:
            self.verdict.more_faults += 1

    def on_header(self, _line: int, said: Header) -> None:
        self.verdict.header = said
        self.verdict.story = Story(said.alert)

    # --- chains --------------------------------------------------------------------------------------------------

    def on_run(self, run: RunRead) -> None:
        chain = run.said.chain
        for link in run.links:
            if link.chain != chain:
                continue
            self._links[chain][link.number] = link
            self._lines[chain, link.number] = run.lines[link.number]
            beside = run.opened.get(link.number)
            self._bindings.hear(link, None if beside is None else beside.payload)
            if beside is not None:
                self._there[chain].add(link.number)
                self._on_payload(link, beside, run.lines[link.number] + 1)
        self._proofs[chain] += [
            (link, run.opened[link.number])
            for link in run.links
            if link.kind in {Kind.DELETION, Kind.HOLD} and link.number in run.opened
        ]
        self._ends[chain].append(run.links[-1].number if run.links else run.said.after)

    def _on_payload(self, link: Link, beside: Opened, line: int) -> None:
        def wrong(what: What, detail: str) -> None:
            self.found(
                Wrong(line=line, what=what, chain=link.chain, number=link.number, of=link.kind, detail=detail)
            )

        home = next((kinds for prefix, kinds in HOMES.items() if link.chain.startswith(prefix)), set[Kind]())
        if link.kind not in home | {Kind.DELETION, Kind.HOLD}:
            wrong(What.PAYLOAD_FOREIGN, f"a {link.kind} has no place in this chain")
        for detail in self.verdict.story.hear(link, beside.payload):
            wrong(What.PAYLOAD_FOREIGN, detail)
        if link.kind is Kind.CASE:
            self.verdict.cases += 1
            self.verdict.uncased += _is_uncased(beside.payload)
            for detail in self._decided_again(beside.payload):
                wrong(What.DECIDED_OTHERWISE, detail)

    def _decided_again(self, payload: bytes) -> list[str]:
        if self.replay is None or self.verdict.replayed is None:
            return []
        self.verdict.replayed += not _is_uncased(payload)
        try:
            return self.replay(payload)
        except Exception as error:  # noqa: BLE001  (a stranger wrote it)
            return [f"it cannot be decided again: {type(error).__name__}"]

    def _missing(self, chain: str) -> Iterator[Wrong]:
        """Payloads that are not there, told apart: erased as they may be, withheld, gone."""
        proofs, links = self._proofs[chain], self._links[chain]
        named = erasures([link for link, _ in proofs], {link.number: beside for link, beside in proofs})
        judge = keeping_of(chain, min((link.at_ms for link in links.values()), default=None), proofs)
        window = self.verdict.story.window
        for number, link in links.items():
            excuse, why = excusing(link, named, judge)

            def wrong(what: What, detail: str, link: Link = link) -> Wrong:
                line = self._lines[chain, link.number]
                return Wrong(line=line, what=what, chain=chain, number=link.number, of=link.kind, detail=detail)

            if number in self._there[chain]:
                if excuse is not None:
                    yield wrong(What.NOT_ERASED, f"link {excuse.link.number} says it was, and it is there")
            elif excuse is not None:
                self.verdict.erased.append(_erased(link, excuse.said))
            elif why:
                yield wrong(What.DELETION_UNLAWFUL, f"the {link.kind} is not there; {why}")
            elif may_be_withheld(link, window):
                self.verdict.withheld[chain] = self.verdict.withheld.get(chain, 0) + 1
            else:
                yield wrong(What.PAYLOAD_MISSING, f"the {link.kind} is not there, and no deletion names it")

    # --- heads ---------------------------------------------------------------------------------------------------

    def on_head(self, read: HeadRead) -> None:
        said, before = read.said, self._head

        def wrong(what: What, detail: str) -> None:
            self.found(Wrong(line=read.line, what=what, chain=said.chain, number=said.length, detail=detail))

        self.verdict.heads += 1
        if problem := problem_of_head(said):
            wrong(What.HEAD_CHANGED, problem)
        if before is not None:
            if (before.number, before.chain) >= (said.number, said.chain):
                wrong(What.OUT_OF_PLACE, "heads stand by their number and the name of the chain, each once")
            if before.number == said.number and _of_the_head(before) != _of_the_head(said):
                wrong(What.HEAD_CHANGED, f"another head {said.number} than on the line above")
            if before.number + 1 == said.number and before.hash != said.previous:
                wrong(What.HEAD_CHANGED, f"it does not follow the head {before.number} that is above")
        self._head = said
        self._on_leaf(said, wrong)
        self._compare(said, wrong)

    def _on_leaf(self, said: HeadLine, wrong: Callable[[What, str], None]) -> None:
        link = self._links[said.chain].get(said.length)
        self._leaves[said.chain].append(said.length)
        if link is not None and link.hash.hex() == said.last:
            return
        if link is not None:
            wrong(What.LINK_CHANGED, f"link {said.length} had another hash when head {said.number} was made")
        elif said.length > max(self._ends[said.chain], default=0):
            wrong(What.CUT_OFF, f"it had {said.length} links when head {said.number} was made, and fewer are here")
        else:
            wrong(What.LINK_MISSING, f"head {said.number} is about link {said.length}, which is not here")

    def _compare(self, said: HeadLine, wrong: Callable[[What, str], None]) -> None:
        if self.published is None or self.verdict.compared is None:
            return
        known = self.published.get(said.number)
        if known == said.hash:
            self.verdict.compared += 1
            self._compared[said.chain] = max(said.length, self._compared.get(said.chain, 0))
        elif known is not None:
            wrong(What.HEAD_OTHER, f"head {said.number} was published with another hash")
        elif said.number < max(self.published, default=0):
            wrong(What.HEAD_OTHER, f"head {said.number} was never published, and later ones were")
        else:
            self.verdict.unknown_heads += 1

    # --- between the parts ---------------------------------------------------------------------------------------

    def at_the_end(self) -> None:
        verdict = self.verdict
        for chain in list(self._ends):
            for wrong in self._missing(chain):
                self.found(wrong)
            verdict.links[chain] = len(self._links[chain])
            reach = max(self._leaves.get(chain, ()), default=0)
            if behind := sum(number > reach for number in self._links[chain]):
                verdict.unproven[chain] = behind
            for wrong in self._not_covered(chain):
                self.found(wrong)
        if verdict.header is None:
            return
        for wrong in self._of_cases(EPISODE + verdict.header.alert):
            self.found(wrong)
        for wrong in [*self._of_header(verdict.header), *self._of_chains()]:
            self.found(wrong)

    def _of_cases(self, chain: str) -> Iterator[Wrong]:
        """Each decision has the case that is its own (``audit.case_binding``)."""
        erased = {one.number for one in self.verdict.erased if one.chain == chain}
        self.verdict.undecided.extend(self._bindings.undecided(erased))
        for one in self._bindings.faults():
            link = one.link
            line = self._lines[link.chain, link.number]
            yield Wrong(
                line=line, what=one.what, chain=link.chain, number=link.number, of=link.kind, detail=one.detail
            )

    def _not_covered(self, chain: str) -> Iterator[Wrong]:
        """Who makes a package anew and leaves its heads out must not be believed by whoever has the heads."""
        until_ms, reach = (self.published_until_ms or 0) - CLOCK_SLACK_MS, self._compared.get(chain, 0)
        bare = [one for number, one in self._links[chain].items() if number > reach and one.at_ms < until_ms]
        if bare:
            detail = f"{len(bare)} links from here are older than the newest published head, and under none"
            line, number = self._lines[chain, bare[0].number], bare[0].number
            yield Wrong(
                line=line, what=What.NOT_COVERED, chain=chain, number=number, of=bare[0].kind, detail=detail
            )

    def _of_header(self, header: Header) -> Iterator[Wrong]:
        right = self.verdict.story.header()
        for name in Header.__struct_fields__:
            if name != "format" and getattr(header, name) != getattr(right, name):
                detail = f"{name} is not what the payloads say"
                yield Wrong(line=1, what=What.HEADER_CHANGED, detail=detail)
        for detail in self.verdict.story.disagreements():
            yield Wrong(line=1, what=What.DISAGREES, detail=detail)

    def _of_chains(self) -> Iterator[Wrong]:
        expected = self.verdict.story.chains()
        seen = self._ends.keys()
        for chain in sorted(expected - seen):
            yield Wrong(line=1, what=What.CHAIN_MISSING, chain=chain, detail="not a word of it")
        days = {chain for chain in seen if chain.startswith(ACCESSES)}
        for chain in sorted(seen - expected - days):
            yield Wrong(line=1, what=What.CHAIN_FOREIGN, chain=chain, detail="it is not of this alert")
        for chain in sorted(days):
            if not any(self._links[chain][number].kind is Kind.ACCESS for number in self._there[chain]):
                yield Wrong(
                    line=1, what=What.CHAIN_FOREIGN, chain=chain, detail="no access to this alert is in it"
                )


def _of_the_head(said: HeadLine) -> tuple[object, ...]:
    return said.number, said.day, said.at_ms, said.previous, said.root, said.leaves, said.hash


def _erased(link: Link, deletion: Deletion) -> Erased:
    return Erased(
        chain=link.chain,
        number=link.number,
        of=link.kind,
        rule=deletion.rule,
        by=deletion.by,
        at_ms=deletion.at_ms,
    )


class _Made(msgspec.Struct):
    """The beginning of a case (``audit.case``)."""

    made: str = ""


_decode_made = msgspec.json.Decoder(_Made).decode


def _is_uncased(payload: bytes) -> bool:
    """It stands in the place of a case, and says why there is none; whether it may is its replay's to say."""
    try:
        return _decode_made(payload).made == "uncased"
    except (msgspec.DecodeError, RecursionError):
        return False
