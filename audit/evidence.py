"""How does the evidence of an alert come out of the record?

Everything is read from the chains: what a table says and no chain binds is no evidence. A package of a record that
was imported is the package that was imported, byte for byte. Shell; hours are milliseconds.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from audit.package import (
    ACCESSES,
    DEVICE,
    EPISODE,
    MEASURE,
    Header,
    HeadLine,
    Run,
    decode,
    place_of,
    written,
)
from audit.package_heads import head_line
from audit.story import READ, Story
from tocsin.adapters.evidence import Reading, Stretch
from tocsin.chain import Kind, Opened
from tocsin.errors import NoEvidence
from tocsin.heads import Head, Leaf, proof
from tocsin.turns import in_turns

ALWAYS_SHOWN: Final = frozenset({Kind.DELETION, Kind.HOLD})
"""About nobody."""


class NoSuchAlert(NoEvidence):
    """No chain is about this alert:"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    header: Header
    runs: Sequence[Run]
    heads: Sequence[HeadLine]

    def lines(self) -> Iterator[bytes]:
        return written(self.header, self.runs, self.heads)


async def gather(reading: Reading, alert: str) -> Package:
    """Raises NoSuchAlert, and EvidenceTooLarge where the reading has a bound. Others on the loop have their turn:
    the API gathers beside its screens."""
    story = Story(alert)
    episode = _run(await reading.stretch(EPISODE + alert))
    if not episode.links:
        raise NoSuchAlert(alert)
    runs = [episode]
    await _hear(story, episode)
    for measure in story.measures:
        runs.append(_run(await reading.stretch(MEASURE + measure)))
        await _hear(story, runs[-1])
    imported = await reading.is_imported(alert)
    for device in story.devices:
        runs.extend(await _of_device(reading, DEVICE + device, story.window, imported=imported))
    for day in await reading.access_days(alert):
        runs.extend(await _of_day(reading, ACCESSES + day, alert))
    runs.sort(key=lambda run: (*place_of(run.chain), run.after))
    return Package(header=story.header(), runs=runs, heads=await _heads(reading, runs, imported=imported))


def _run(stretch: Stretch) -> Run:
    return Run(
        chain=stretch.chain,
        links=tuple(stretch.links),
        opened=stretch.opened,
        after=stretch.after,
        before=stretch.before,
    )


async def _hear(story: Story, run: Run) -> None:
    """What is wrong with it is the verifier's to say: it is exported as it is."""
    async for link in in_turns(run.links):
        if (beside := run.opened.get(link.number)) is not None:
            story.hear(link, beside.payload)


# --- units -------------------------------------------------------------------------------------------------------


async def _of_device(reading: Reading, chain: str, window: tuple[int, int] | None, *, imported: bool) -> list[Run]:
    """What it was told around the alert and what came of it, on to the next head; and what was erased of that."""
    span = None if window is None else await reading.span(chain, *window)
    if span is None:
        return [Run(chain=chain, links=())]
    ends = sorted({length for _, _, length in await _leaves(reading, [chain], imported=imported)})
    first, last = span
    kept = (await reading.stretch(chain, after=first - 1, until=last)).opened
    gone = set(range(first, last + 1)) - kept.keys()
    wanted = [span, *((n, n) for n, one in await reading.deletions(chain) if gone & set(one.numbers))]
    reached = [(begin, await _to_a_head(reading, chain, end, ends)) for begin, end in wanted]
    runs = []
    for begin, end in _merged(reached):
        stretch = await reading.stretch(chain, after=begin - 1, until=end)
        shown = {
            link.number: stretch.opened[link.number]
            for link in stretch.links
            if link.number in stretch.opened and (first <= link.number <= last or link.kind in ALWAYS_SHOWN)
        }
        runs.append(_run(Stretch(
            chain=chain, after=stretch.after, before=stretch.before, links=stretch.links, opened=shown,
        )))  # fmt: skip
    return runs


async def _to_a_head(reading: Reading, chain: str, last: int, ends: Sequence[int]) -> int:
    """The number at which the next head after ``last`` was made, if all links up to it are here."""
    end = next((length for length in ends if length >= last), last)
    between = await reading.stretch(chain, after=last, until=end)
    return end if len(between.links) == end - last else last


def _merged(stretches: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those that overlap or touch are one."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(stretches):
        if found and begin <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


# --- accesses ----------------------------------------------------------------------------------------------------


async def _of_day(reading: Reading, chain: str, alert: str) -> list[Run]:
    """The links of the day, and of the payloads those that name the alert; nothing where none does any more."""

    def is_shown(kind: Kind, beside: Opened) -> bool:
        return kind in ALWAYS_SHOWN or _names(kind, beside, alert)

    run = _run(await reading.stretch(chain, wanted=is_shown))
    async for link in in_turns(run.links):
        if link.kind is Kind.ACCESS and link.number in run.opened:
            return [run]
    return []


def _names(kind: Kind, beside: Opened, alert: str) -> bool:
    try:
        return kind is Kind.ACCESS and alert in READ[kind].decode(beside.payload).objects
    except ValueError:
        return False


# --- heads -------------------------------------------------------------------------------------------------------


async def _leaves(reading: Reading, chains: Sequence[str], *, imported: bool) -> list[tuple[str, int, int]]:
    """Chain, number of the head, length then."""
    if imported:
        lines = [decode(line) for line in await reading.imported_heads(chains)]
        return [(line.chain, line.number, line.length) for line in lines if isinstance(line, HeadLine)]
    return [(chain, head, length) for chain, head, _, length in await reading.leaves_of(chains)]


async def _heads(reading: Reading, runs: Sequence[Run], *, imported: bool) -> list[HeadLine]:
    """Each head in which one of these chains ended within what is shown of it. What was imported is proven by what
    came with it, and by nothing that was made here."""
    shown: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        shown[run.chain].append(run)
    if imported:
        known = [decode(line) for line in await reading.imported_heads(list(shown))]
        return [line for line in known if isinstance(line, HeadLine) and _within(shown, line.chain, line.length)]
    found: list[HeadLine] = []
    wanted: dict[int, list[int]] = defaultdict(list)
    for chain, head, position, length in await reading.leaves_of(list(shown)):
        if _within(shown, chain, length):
            wanted[head].append(position)
    for number, positions in wanted.items():
        made, leaves = await reading.head(number)
        found.extend(await asyncio.to_thread(_proven, made, leaves, positions))  # a tree of every chain there is
    return sorted(found, key=lambda line: (line.number, line.chain))


def _proven(made: Head, leaves: Sequence[Leaf], positions: Sequence[int]) -> list[HeadLine]:
    return [head_line(made, leaves[place], proof(leaves, place)) for place in positions]


def _within(shown: Mapping[str, Sequence[Run]], chain: str, length: int) -> bool:
    return any(run.links and run.after < length <= run.last for run in shown[chain])
