"""Which ruling does each case belong to, and does each decision of the geofence have the one that is its own?

A case (``audit.case``) shows how a finding follows from its inputs; it proves nothing of an alert that another
finding began. So a ruling that came of a finding which began something (as ``audit.witness`` has it) is to have
one case in its chain, under the source ``case:{finding}``, and the finding in that case is the ruling's, member
for member, its points those of the ruling's PLACES. What is made again from the case is compared with the finding
in it (``audit.case.check``), and so with the ruling.

Not every lack is a fault. A case may be erased by the law with its file; the witness may not have been there yet,
or have been away; and where a record is made again from the log, nobody makes its cases again. All that is said.
The case is missing where that of a later decision of this alert is here, and the ruling was linked when it was
made: the witness takes them in one queue, in their order. Tracks go another way and show nothing of it. Pure.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec

from audit.package import EPISODE
from audit.package_reader import What
from tocsin.chain import Kind, Link
from tocsin.model.canary import is_canarys
from tocsin.model.finding import Change

CASE: Final = "case:"
OF_FINDING: Final = "event/finding/"
POINT: Final = "lat_e6"
"""An object with this member is a place."""
DEPTH_MAX: Final = 50
"""What is nested deeper is not compared: a finding of ours is nested four deep, and no stack is without end."""
LINKED_IN_TIME_MS: Final = 3_600_000
"""A ruling that was linked later was linked by a record that had been away, or was made again."""


class Lack(StrEnum):
    """Why nobody can compare a decision with its case, without anything being wrong."""

    ERASED = "case_erased"
    NEVER_MADE = "case_never_made"
    RULING_GONE = "ruling_gone"


class Undecided(msgspec.Struct, frozen=True, kw_only=True):
    """``number``: of the ruling's link; where the ruling is gone, of the case's."""

    number: int
    finding: str
    why: Lack


@dataclass(frozen=True, slots=True, kw_only=True)
class Misbound:
    link: Link
    what: What
    detail: str


class _Case(msgspec.Struct):
    finding: dict[str, Any]


class _Cause(msgspec.Struct):
    type: str = ""
    finding: dict[str, Any] | None = None


class Alert(msgspec.Struct):
    """What the alert of a ruling names, as the ruling says it."""

    code: str = ""
    measures: tuple[str, ...] = ()
    device: str | None = None


class _Noun(msgspec.Struct):
    event: _Cause
    episode: Alert
    at_ms: int = 0


class _Ruling(msgspec.Struct):
    sequence: int
    ruling: _Noun


class _Places(msgspec.Struct):
    sequence: int
    places: dict[str, Any]


_case: Final = msgspec.json.Decoder(_Case).decode
_ruling: Final = msgspec.json.Decoder(_Ruling).decode
_places: Final = msgspec.json.Decoder(_Places).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decided:
    link: Link
    sequence: int
    finding: dict[str, Any]
    at_ms: int


@dataclass(slots=True)
class Bindings:
    """Hears the links of the episode's chain in their order, each with its payload if that is there."""

    _decided: dict[str, list[_Decided]] = field(default_factory=lambda: defaultdict(list))
    _cases: dict[str, list[Link]] = field(default_factory=lambda: defaultdict(list))
    _findings: dict[int, dict[str, Any] | None] = field(default_factory=dict)
    _places: dict[int, dict[str, Any] | None] = field(default_factory=dict)
    _lacks_a_ruling: bool = False

    def hear(self, link: Link, payload: bytes | None) -> None:
        if not link.chain.startswith(EPISODE):
            return
        match link.kind:
            case Kind.RULING:
                self._on_ruling(link, payload)
            case Kind.PLACES:
                self._on_places(link, payload)
            case Kind.CASE:
                self._cases[link.source.removeprefix(CASE)].append(link)
                if payload is not None:
                    self._findings[link.number] = _finding_in(payload)
            case _:
                pass

    def _on_ruling(self, link: Link, payload: bytes | None) -> None:
        said = None if payload is None else _read(_ruling, payload)
        if said is None:
            self._lacks_a_ruling = True
            return
        finding = said.ruling.event.finding
        alert = said.ruling.episode
        if said.ruling.event.type == "finding" and finding is not None and is_decided(finding, alert):
            one = _Decided(link=link, sequence=said.sequence, finding=finding, at_ms=said.ruling.at_ms)
            self._decided[str(finding.get("id"))].append(one)

    def _on_places(self, link: Link, payload: bytes | None) -> None:
        """By the ruling that its link names; None: there are some, and they are not here."""
        _, _, sequence = link.source.partition(":")
        said = None if payload is None else _read(_places, payload)
        if sequence.isdecimal():
            self._places[int(sequence)] = None if said is None else said.places

    # --- what follows --------------------------------------------------------------------------------------------

    def faults(self) -> Iterator[Misbound]:
        for name, rulings in self._decided.items():
            cases = self._cases.get(name, [])
            if not cases and self._was_passed_over(rulings[0]):
                detail = f"no case of {name} is here, and that of a later decision is"
                yield Misbound(link=rulings[0].link, what=What.CASE_MISSING, detail=detail)
            for one in cases[1:]:
                detail = f"link {cases[0].number} is a case of {name} already"
                yield Misbound(link=one, what=What.CASE_DOUBLED, detail=detail)
            for one in cases:
                yield from self._strangers(one, rulings)
        for name, cases in self._cases.items():
            if name not in self._decided:
                yield from self._unruled(name, cases)

    def _was_passed_over(self, one: _Decided) -> bool:
        """The witness was there when the case was to be made, and has made one of a later decision."""
        later = (name for name, rulings in self._decided.items() if rulings[0].link.number > one.link.number)
        return one.link.at_ms - one.at_ms < LINKED_IN_TIME_MS and any(self._cases.get(name) for name in later)

    def _strangers(self, case: Link, rulings: list[_Decided]) -> Iterator[Misbound]:
        if case.number not in self._findings:
            return
        finding = self._findings[case.number]
        for one in rulings:
            if differ := _differences(one.finding, finding, self._points(one.sequence)):
                detail = f"its finding is not that of the ruling {one.sequence}: {', '.join(differ)}"
                yield Misbound(link=case, what=What.CASE_FOREIGN, detail=detail)

    def _unruled(self, name: str, cases: list[Link]) -> Iterator[Misbound]:
        """Of a decision that no ruling which is here has: one that is gone may have had it."""
        for one in cases:
            finding = self._findings.get(one.number, {})
            if one.number in self._findings and (finding is None or finding.get("id") != name):
                detail = f"its link calls it {one.source}, and it is of another finding"
                yield Misbound(link=one, what=What.CASE_FOREIGN, detail=detail)
            elif not self._lacks_a_ruling:
                detail = f"no ruling of this alert came of {name}"
                yield Misbound(link=one, what=What.CASE_FOREIGN, detail=detail)

    def _points(self, sequence: int) -> dict[str, Any] | None:
        """Of the finding of that ruling, by their path in it; None: they are not here."""
        places = self._places.get(sequence, {})
        if places is None:
            return None
        return {path.removeprefix(OF_FINDING): one for path, one in places.items() if path.startswith(OF_FINDING)}

    def undecided(self, erased: set[int]) -> Iterator[Undecided]:
        """``erased``: the numbers of the payloads that were erased lawfully."""
        for name, rulings in self._decided.items():
            cases, number = self._cases.get(name, []), rulings[0].link.number
            if not cases and not self._was_passed_over(rulings[0]):
                yield Undecided(number=number, finding=name, why=Lack.NEVER_MADE)
            elif cases and all(one.number in erased for one in cases):
                yield Undecided(number=number, finding=name, why=Lack.ERASED)
        for name, cases in self._cases.items():
            if name not in self._decided and self._lacks_a_ruling:
                yield from (
                    Undecided(number=one.number, finding=name, why=Lack.RULING_GONE)
                    for one in cases
                    if one.number not in erased
                )


def is_decided(finding: Mapping[str, Any], alert: Alert) -> bool:
    """Whether a case belongs to it: ``audit.witness.case_in``, read from what is in the record."""
    is_fleets = finding.get("silenced") is not None
    is_invented = is_canarys(alert.code, alert.measures, alert.device)
    return finding.get("change") == Change.ENTRY and not is_fleets and not is_invented


def _differences(ruled: dict[str, Any], case: dict[str, Any] | None, points: dict[str, Any] | None) -> list[str]:
    """The names of the members that differ. Members that one version writes and another does not are null or
    false; numbers are compared as they are written (1 is not 1.0)."""
    if case is None:
        return ["it cannot be read"]
    if any(_is_deep(one) for one in (ruled, case, points)):
        return ["it is nested too deep to be compared"]
    bare, found = _parted(case)
    known, _ = _parted(ruled)
    names = sorted(name for name in known | bare if _text(known.get(name)) != _text(bare.get(name)))
    if points is not None:
        names += sorted(path for path in points | found if _text(points.get(path)) != _text(found.get(path)))
    return names


def _is_deep(value: object, left: int = DEPTH_MAX) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left == 0 or any(_is_deep(one, left - 1) for one in inside)


def _parted(finding: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Without its points and without what is null or false; and the points by their path."""
    points: dict[str, Any] = {}

    def bare(value: object, path: str) -> object:
        if isinstance(value, dict):
            if POINT in value:
                points[path] = value
                return None
            inside = {name: bare(one, f"{path}/{name}" if path else name) for name, one in value.items()}
            return {name: one for name, one in inside.items() if one is not None and one is not False}
        if isinstance(value, list):
            return [bare(one, f"{path}/{at}") for at, one in enumerate(value)]
        return value

    found = bare(finding, "")
    return (found if isinstance(found, dict) else {}), points


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _finding_in(payload: bytes) -> dict[str, Any] | None:
    said = _read(_case, payload)
    return None if said is None else said.finding


Read = TypeVar("Read")


def _read(decode: Callable[[bytes], Read], payload: bytes) -> Read | None:
    """None where it cannot be read: that is a fault of its own (``audit.story``), and of a case one of these."""
    try:
        return decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
