"""Is the record whole, and does each of its tables say what was linked? What is wrong is named.

Links are judged by ``tocsin.chain``, heads by ``tocsin.heads``; here they are put beside each other and beside the
tables: each row of rulings, attempts, accesses, commands and results has its link and says the same
(``audit.tables``), each link has its row, and no link is dated before a head that has not seen it.

Pure: what is read is handed in, in stretches of one chain. Details name columns and numbers, never what stands
there: a fault may be printed, mailed and filed. Hours are milliseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from audit import tables
from audit.tables import Json, Key
from tocsin import chain as chains
from tocsin import heads
from tocsin.chain import Erasures, Judge, Kind, Link, Opened, commitment
from tocsin.heads import Head
from tocsin.model.canary import is_canary
from tocsin.sealing import episode_chain

T = TypeVar("T")

CLOCK_SLACK_MS: Final = 60_000
"""A link is dated before its transaction begins and seen after its end, and two machines' clocks are not one."""

LINK, OPENED, CHAIN, HEAD, LEAF = "tocsin.link", "tocsin.opened", "tocsin.chain", "tocsin.head", "tocsin.head_leaf"
EPISODE, NOTIFICATION, MEASURE = "tocsin.episode", "tocsin.notification", "tocsin.measure"
FILE: Final = "published file"

ROW_CHANGED, ROW_MISSING, ROW_ADDED = "row_changed", "row_missing", "row_added"
FOREIGN, UNREADABLE, NOT_ERASED = "payload_foreign", "unreadable", "not_erased"
"""Words beside those of ``tocsin.chain.Wrong`` and ``tocsin.heads.Wrong``."""


STAYS: Final = {"measure_version"}
"""Its row outlives its payload: which unit served whom, and until when, is needed to erase the rest."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """``table``, ``key``: where. ``wrong``: the word; ``detail``: the sentence for whoever is on call."""

    table: str
    key: str
    wrong: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """``hours``: of the heads, by number. ``slack_ms``: by how much two clocks may differ."""

    hours: Mapping[int, int]
    slack_ms: int = CLOCK_SLACK_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Some links of one chain behind ``before``, and what stands beside them.

    ``named``: the deletions of this chain, by the numbers that they name. ``judge``: which of them may have been
    emptied. ``rows``: by table and key, those that a link of it
    may be about. ``told``: notifications by id. ``covered``: (length, number) of the heads that the chain is in,
    the shortest first.
    """

    chain: str
    before: Link | None
    links: Sequence[Link]
    opened: Mapping[int, Opened]
    named: Erasures
    judge: Judge
    rows: Mapping[tuple[str, Key], Sequence[Json]]
    told: Mapping[str, Json]
    covered: Sequence[tuple[int, int]]


def faults_of_stretch(stretch: Stretch, context: Context) -> Iterator[Fault]:
    """Everything that is wrong with these links, in their order, then with what stands beside them."""
    yield from _of_chain(stretch)
    for link in stretch.links:
        yield from _of_hour(link, stretch.covered, context)
        yield from _of_row(link, stretch)


def _of_chain(stretch: Stretch) -> Iterator[Fault]:
    """With the last link of the stretch before as the first: hours are compared across the seam."""
    before, links = stretch.before, list(stretch.links)
    after, behind = (0, chains.START), 0
    if before is not None:
        after, behind, links = (before.number - 1, before.previous), before.number, [before, *links]
    found = chains.faults(
        stretch.chain, links, stretch.opened, after=after, erased=stretch.named, judge=stretch.judge
    )
    for fault in found:
        if fault.number > behind:
            table = OPENED if fault.wrong.startswith("payload") or fault.wrong in _OF_ERASURE else LINK
            yield _fault(table, stretch.chain, fault.number, fault.wrong, fault.detail)


_OF_ERASURE: Final = {chains.Wrong.DELETION_UNLAWFUL, chains.Wrong.NOT_ERASED}


def _of_hour(link: Link, covered: Sequence[tuple[int, int]], context: Context) -> Iterator[Fault]:
    """A link was made after the last head that has not seen it, and before the first one that has."""
    at = bisect_left(covered, (link.number, 0))
    first = covered[at][1] if at < len(covered) else len(context.hours) + 1
    seen_ms, unseen_ms = context.hours.get(first), context.hours.get(first - 1)
    if unseen_ms is not None and link.at_ms < unseen_ms - context.slack_ms:
        detail = f"dated {unseen_ms - link.at_ms} ms before head {first - 1}, which has not seen it"
        yield _fault(LINK, link.chain, link.number, chains.Wrong.CLOCK_BACK, detail)
    if seen_ms is not None and link.at_ms > seen_ms + context.slack_ms:
        detail = f"dated {link.at_ms - seen_ms} ms after head {first}, which has seen it"
        yield _fault(HEAD, link.chain, link.number, chains.Wrong.CLOCK_BACK, detail)


def _of_row(link: Link, stretch: Stretch) -> Iterator[Fault]:
    beside = stretch.opened.get(link.number)
    if beside is not None:
        yield from _of_place(link, beside)
    table = tables.NAMES.get(link.kind)
    if table is None:
        return
    key = tables.key_of(link)
    if key is None:
        yield _fault(LINK, link.chain, link.number, UNREADABLE, f"its source is not that of a {link.kind}")
        return
    found, where = stretch.rows.get((table, key), ()), " ".join(map(str, key))
    if link.number in stretch.named and beside is None:
        for _ in found if table not in STAYS else ():
            detail = f"its payload was erased (link {link.number} of {link.chain}), and the row still stands there"
            yield Fault(table=f"tocsin.{table}", key=where, wrong=NOT_ERASED, detail=detail)
        return
    if not found:
        detail = f"link {link.number} of {link.chain} is about a row that is not there"
        yield Fault(table=f"tocsin.{table}", key=where, wrong=ROW_MISSING, detail=detail)
    if beside is None or commitment(beside) != link.commitment:
        return  # said of the payload; nothing is left to hold the row against
    yield from _beside_its_payload(link, beside.payload, found, where, stretch.told)


def _of_place(link: Link, beside: Opened) -> Iterator[Fault]:
    """Whether the payload is about what the link says, wherever it came from."""
    said = tables.read(beside.payload)
    place = None if said is None else tables.place_of(link.kind, said)
    if said is None:
        yield _fault(OPENED, link.chain, link.number, UNREADABLE, f"the {link.kind} is no JSON object")
    elif place is not None and place != (link.chain, link.source):
        detail = f"it is {place[1]} of {place[0]}, and not {link.source} of {link.chain}"
        yield _fault(OPENED, link.chain, link.number, FOREIGN, detail)


def _beside_its_payload(
    link: Link, payload: bytes, found: Sequence[Json], where: str, told: Mapping[str, Json]
) -> Iterator[Fault]:
    said = tables.read(payload)
    expected = None if said is None else tables.row_of(link.kind, said)
    if said is None or expected is None:
        if said is not None:
            yield _fault(OPENED, link.chain, link.number, UNREADABLE, f"it is not what a {link.kind} has to be")
        return
    for row in found:
        if wrong := tables.differing(row, expected):
            detail = f"says otherwise than link {link.number} of {link.chain}: {', '.join(wrong)}"
            yield Fault(table=f"tocsin.{tables.NAMES[link.kind]}", key=where, wrong=ROW_CHANGED, detail=detail)
    for row in _shaped(_made, link.kind, said):
        kept = told.get(row["id"])
        if kept is None:
            detail = f"link {link.number} of {link.chain} has made it, and it is not there"
            yield Fault(table=NOTIFICATION, key=row["id"], wrong=ROW_MISSING, detail=detail)
        elif kept["stream_sequence"] > row["stream_sequence"]:
            detail = f"link {link.number} of {link.chain} has made it sooner than the row says"
            yield Fault(table=NOTIFICATION, key=row["id"], wrong=ROW_CHANGED, detail=detail)


# ------------------------------------------------------------------------------------------------ the rest of it


def is_gap_of_import(chain: str, fault: Fault) -> bool:
    """What a package may lawfully leave out of this chain (docs/evidence.md), and that its links are older than
    heads of this instance, which is another one. Orders and holds come as links alone."""
    if fault.wrong == chains.Wrong.CLOCK_BACK:
        return "head" in fault.detail
    if fault.wrong == ROW_MISSING:
        return fault.table in {"tocsin.measure_version", "tocsin.hold"} or chain.startswith(_IN_PART)
    return chain.startswith(_IN_PART) and fault.wrong in {chains.Wrong.LINK_MISSING, chains.Wrong.PAYLOAD_MISSING}


_IN_PART: Final = ("device/", "accesses/")


def of_end(chain: str, cursor: tuple[int, bytes] | None, last: tuple[int, bytes] | None) -> Iterator[Fault]:
    """The cursor of a chain beside its last link."""
    length, number = cursor[0] if cursor else 0, last[0] if last else 0
    if cursor is None:
        yield Fault(table=CHAIN, key=chain, wrong=ROW_MISSING, detail=f"its cursor is gone; it has {number} links")
    elif length > number:
        detail = f"it ends at {number}, and its cursor says {length}"
        yield _fault(LINK, chain, number + 1, chains.Wrong.CUT_OFF, detail)
    elif cursor != (last or (0, chains.START)):
        detail = f"its cursor says {length}, and it has {number} links" if length != number else "another hash"
        yield Fault(table=CHAIN, key=chain, wrong=ROW_CHANGED, detail=detail)


def of_footing(head: Head | None, chain: str, length: int, *, has_link: bool, ends_at: int) -> Fault:
    """Of a leaf that does not stand on its link."""
    when = "a head" if head is None else f"head {head.number} of {head.day}"
    if has_link:
        detail = f"another hash than when {when} was made: the chain was made anew"
        return _fault(LINK, chain, length, chains.Wrong.LINK_CHANGED, detail)
    if ends_at < length:
        detail = f"it ends at {ends_at}, and had {length} links when {when} was made"
        return _fault(LINK, chain, ends_at + 1, chains.Wrong.CUT_OFF, detail)
    return _fault(LINK, chain, length, chains.Wrong.LINK_MISSING, f"it was there when {when} was made")


def of_heads(found: Iterator[heads.Fault], table: str = HEAD) -> Iterator[Fault]:
    """What ``tocsin.heads`` says, in our words."""
    for fault in found:
        what = "line" if fault.wrong is heads.Wrong.UNREADABLE else "head"
        where = LEAF if fault.wrong is heads.Wrong.LEAVES_CHANGED else table
        yield Fault(table=where, key=f"{what} {fault.number}", wrong=fault.wrong, detail=fault.detail)


def of_orphan(chain: str, number: int) -> Fault:
    return _fault(OPENED, chain, number, chains.Wrong.PAYLOAD_ADDED, "no link commits to it")


def of_unlinked(table: str, key: Key) -> Fault:
    where = " ".join(map(str, key))
    return Fault(table=f"tocsin.{table}", key=where, wrong=ROW_ADDED, detail="no link is about it")


def of_episode(row: Json) -> Iterator[Fault]:
    """Does an alert stand as its newest ruling says?"""
    name = row["id"]
    if not row["is_there"]:
        yield Fault(table=EPISODE, key=name, wrong=ROW_MISSING, detail="there are rulings of it")
    elif row["newest_payload"] is None:
        yield Fault(table=EPISODE, key=name, wrong=ROW_ADDED, detail="there is no ruling of it")
    elif (ruling := tables.noun_in(row["newest_payload"])) is None:
        yield Fault(table=EPISODE, key=name, wrong=UNREADABLE, detail="its newest ruling cannot be read")
    elif wrong := _shaped(tables.differing_episode, row, ruling, row["newest_sequence"]):
        detail = f"says otherwise than its newest ruling, {row['newest_sequence']}: {', '.join(wrong)}"
        yield Fault(table=EPISODE, key=name, wrong=ROW_CHANGED, detail=detail)


def of_measure(name: str) -> Fault:
    detail = "says otherwise than its newest version"
    return Fault(table=MEASURE, key=name, wrong=ROW_CHANGED, detail=detail)


def of_told(row: Json) -> Iterator[Fault]:
    """Has the ruling that it names made this notification?"""
    sequence = row["stream_sequence"]
    ruling = None if row["payload"] is None else tables.noun_in(row["payload"])
    made = {} if ruling is None else {one["id"]: one for one in _shaped(_notifications, ruling, sequence)}
    expected = made.get(row["id"])
    if expected is None:
        detail = f"ruling {sequence} of {row['episode']} has not made it"
        yield Fault(table=NOTIFICATION, key=row["id"], wrong=ROW_ADDED, detail=detail)
    elif wrong := [name for name, value in expected.items() if row[name] != value]:
        detail = f"says otherwise than ruling {sequence} of {row['episode']}: {', '.join(wrong)}"
        yield Fault(table=NOTIFICATION, key=row["id"], wrong=ROW_CHANGED, detail=detail)


def _made(kind: Kind, said: Json) -> list[Json]:
    return list(tables.notifications_of(kind, said))


def _notifications(ruling: Json, sequence: int) -> list[Json]:
    return list(tables.notifications(ruling, sequence))


def _shaped(function: Callable[..., list[T]], *said: object) -> list[T]:
    """Of a noun that has another form than it must have, nothing: its own row is named as changed."""
    try:
        return function(*said)
    except (KeyError, TypeError, AttributeError, IndexError):
        return []


def _fault(table: str, chain: str, number: int, wrong: str, detail: str) -> Fault:
    return Fault(table=table, key=f"{chain} {number}", wrong=str(wrong), detail=detail)


def names_told(link: Link, beside: Opened) -> list[str]:
    """Of the notifications that a ruling's payload made."""
    said = tables.read(beside.payload) if link.kind is Kind.RULING else None
    return [] if said is None else [row["id"] for row in _shaped(_made, link.kind, said)]


def place_of_unlinked(table: str, key: Key, rest: Sequence[object]) -> tuple[str, str] | None:
    """(chain, source) of the link that a row of a ruling or an attempt should have, as far as the row says."""
    if table == "ruling":
        return episode_chain(str(key[0])), f"ruling:{key[1]}"
    if table == "attempt" and isinstance(rest[0], str):
        alert = tables.read(rest[0].encode()) or {}
        return episode_chain(str(alert.get("id"))), "attempt:" + ":".join(map(str, key))
    return None


def could_be_listed(table: str, key: Key, rest: Sequence[object], until_ms: int | None) -> bool:
    """Whether migration 0018 could have listed this row, by what the row itself says: of the system, of a canary's
    name, and dated before ``until_ms``. A list says no more than that: who adds to it excuses nothing else."""
    if table == "ruling" and isinstance(rest[0], bytes):
        ruling = tables.noun_in(rest[0]) or {}
        alert, at_ms = ruling.get("episode"), ruling.get("at_ms")
    elif table == "attempt" and isinstance(rest[0], str):
        alert, at_ms = tables.read(rest[0].encode()), key[2]
    else:
        return False
    is_of_before = until_ms is None or (isinstance(at_ms, int) and at_ms < until_ms)
    return is_of_before and tables.was_taken_for_a_canarys_alert(alert)


def of_unlisted(chain: str, source: str) -> Fault:
    """Of a row that stood when migration 0018 listed it, has no link yet, and is gone."""
    said = source.partition(":")[0]
    if said not in _LISTED or not chain.startswith(episode_chain("")):
        detail = "migration 0018 listed nothing of this kind"
        return Fault(table="tocsin.to_link", key=f"{chain} {source}", wrong=ROW_ADDED, detail=detail)
    kind = Kind(said)
    where = " ".join(map(str, tables.key_at(kind, chain, source) or (chain, source)))
    detail = "it was to be linked when alerts of the system began to be, and is not there"
    return Fault(table=f"tocsin.{tables.NAMES[kind]}", key=where, wrong=ROW_MISSING, detail=detail)


_LISTED: Final = {Kind.RULING.value, Kind.ATTEMPT.value}


def is_a_canarys(table: str, key: Key, rest: Sequence[object]) -> bool:
    """Of a row that no link names. ``rest``: what was read of it besides its key."""
    if table in {"command", "result", "measure_version"}:
        return is_canary(str(key[0]))
    if table == "ruling" and isinstance(rest[0], bytes):
        ruling = tables.noun_in(rest[0])
        return ruling is not None and tables.is_canarys_alert(ruling.get("episode"))
    return (
        table == "attempt" and isinstance(rest[0], str) and tables.is_canarys_alert(tables.read(rest[0].encode()))
    )
