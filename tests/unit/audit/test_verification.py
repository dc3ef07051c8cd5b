"""What verification says of one link and of one row, without a database. F09, F10, invariant 15."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from builders import NOW_MS, REALM, command, entry
from builders import preadvised as handle

from audit import tables
from audit.verification import (
    Context,
    Fault,
    Stretch,
    faults_of_stretch,
    is_a_canarys,
    is_gap_of_import,
    of_end,
    of_episode,
    of_told,
)
from tocsin import wire
from tocsin.chain import START, Item, KeptAs, Kind, Link, Opened, linked, no_judge
from tocsin.model.access import Access
from tocsin.model.command import CommandStatus, Stage
from tocsin.model.episode import Channel, FindingCause, Receipt, Ruling
from tocsin.sealing import of_access, of_command, of_receipt, of_result, of_ruling

SALT = bytes(32)
CONTEXT = Context(hours={1: NOW_MS + 3_600_000, 2: NOW_MS + 90_000_000})
ANSWER = handle(None, FindingCause(finding=entry()), REALM, NOW_MS)
assert isinstance(ANSWER, Ruling)
RULING: Ruling = ANSWER


def chain_of(*items: Item, at_ms: int = NOW_MS) -> tuple[list[Link], dict[int, Opened]]:
    links: list[Link] = []
    opened = {}
    for item in items:
        previous = links[-1].hash if links else START
        link, beside = linked(item, SALT, number=len(links) + 1, previous=previous, at_ms=at_ms)
        links.append(link)
        opened[link.number] = beside
    return links, opened


def judged(
    links: Sequence[Link], opened: dict[int, Opened], rows: dict[Any, Any] | None = None, **beside: Any
) -> list[Fault]:
    whole = {"before": None, "named": {}, "judge": no_judge, "told": {}, "covered": (), **beside}
    stretch = Stretch(chain=links[0].chain, links=links, opened=opened, rows=rows or {}, **whole)
    return list(faults_of_stretch(stretch, CONTEXT))


def words(found: Sequence[Fault]) -> list[tuple[str, str]]:
    return [(one.table, one.wrong) for one in found]


def item(number: int, payload: bytes = b"{}") -> Item:
    return Item(
        chain="episode/alr_1", kind=Kind.TRACK, kept_as=KeptAs.PROOF, source=f"track:{number}", payload=payload
    )


@pytest.mark.parametrize(
    ("at_ms", "expected"),
    [
        (CONTEXT.hours[1] - 60_000, []),
        (CONTEXT.hours[1] - 60_001, [("tocsin.link", "clock_back")]),
        (CONTEXT.hours[2] + 60_000, []),
        (CONTEXT.hours[2] + 60_001, [("tocsin.head", "clock_back")]),
    ],
)
def test_a_link_was_made_between_two_heads(at_ms: int, expected: list[tuple[str, str]]) -> None:
    """Head 1 has not seen it, head 2 has; a minute is allowed."""
    links, opened = chain_of(item(1), at_ms=at_ms)
    assert words(judged(links, opened, covered=[(1, 2)])) == expected


def test_what_no_head_has_seen_is_not_older_than_the_last_one() -> None:
    links, opened = chain_of(item(1), at_ms=CONTEXT.hours[2] - 100_000)
    assert words(judged(links, opened)) == [("tocsin.link", "clock_back")]


def test_a_seam_between_two_stretches_is_no_gap_and_hours_are_compared_over_it() -> None:
    links, opened = chain_of(item(1), item(2), item(3), at_ms=CONTEXT.hours[2])
    rest = {number: opened[number] for number in (2, 3)}
    assert judged(links[1:], rest, before=links[0]) == []
    assert words(judged(links[2:], {3: opened[3]}, before=links[0])) == [("tocsin.link", "link_missing")]
    later = msgspec.structs.replace(links[0], at_ms=links[0].at_ms + 1)
    assert ("tocsin.link", "clock_back") in words(judged(links[1:], rest, before=later))


def row_of(made: Item, **changes: Any) -> dict[str, Any]:
    """As the table has it when it agrees."""
    said = tables.read(made.payload)
    assert said is not None
    expected = tables.row_of(made.kind, said)
    assert expected is not None
    whole = {**expected, **changes}
    if "payload" in whole:
        whole["payload"] = wire.NOUN_VERSION + msgspec.msgpack.encode(whole["payload"])
    if "event" in whole:
        whole["event"] = msgspec.json.encode(whole["event"]).decode()
    return whole


RECEIPT = Receipt(
    notification="evt_1", episode=RULING.episode.id, version=1, channel=Channel.POLICE, attempt=1, t7_ms=NOW_MS,
    t8_ms=None, result="timeout", line="own:CIC-13",
)  # fmt: skip
READ = Access(id="acc_1", at_ms=NOW_MS, who="A", role="court", what="alert", objects=("alr_1",))
COMMANDED = of_command(4, command())
CAME_OF_IT = of_result(
    5, CommandStatus(command=command().id, device=command().device, stage=Stage.SENT, at_ms=NOW_MS, reason="sent")
)


@pytest.mark.parametrize(
    ("made", "column"),
    [
        (of_ruling(7, RULING)[0], "reason"),
        (of_ruling(7, RULING)[0], "at"),
        (of_receipt(RECEIPT, is_tgd=False), "result"),
        (of_access(READ), "purpose"),
        (COMMANDED, "said_by"),
        (CAME_OF_IT, "reason"),
    ],
)
def test_a_row_says_what_was_linked_or_the_column_is_named(made: Item, column: str) -> None:
    links, opened = chain_of(made, at_ms=CONTEXT.hours[2])
    key = tables.key_of(links[0])
    assert key is not None
    place = (tables.NAMES[made.kind], key)
    kept = {
        one["id"]: one for one in tables.notifications_of(made.kind, tables.read(made.payload) or {})
    }  # fmt: skip
    assert judged(links, opened, {place: [row_of(made)]}, told=kept) == []
    (fault,) = judged(links, opened, {place: [row_of(made, **{column: "x"})]}, told=kept)
    assert (fault.wrong, fault.detail.rsplit(": ")[-1]) == ("row_changed", column)
    assert words(judged(links, opened, {}, told=kept)) == [(f"tocsin.{place[0]}", "row_missing")]


def test_a_notification_that_a_ruling_made_has_to_be_there() -> None:
    made = of_ruling(7, RULING)[0]
    links, opened = chain_of(made, at_ms=CONTEXT.hours[2])
    rows = {("ruling", (RULING.episode.id, 7)): [row_of(made)]}
    assert {one.key for one in judged(links, opened, rows)} == {one.id for one in RULING.notifications}
    later = {one.id: {"stream_sequence": 9} for one in RULING.notifications}
    assert {one.wrong for one in judged(links, opened, rows, told=later)} == {"row_changed"}


@pytest.mark.parametrize("payload", [b"", b"[]", b"\xff", b'{"sequence": 1}', b'{"ruling": {"episode": 3}}', b"{"])
def test_a_payload_of_another_form_is_a_fault_and_no_crash(payload: bytes) -> None:
    made = msgspec.structs.replace(of_ruling(1, RULING)[0], payload=payload)
    links, opened = chain_of(made, at_ms=CONTEXT.hours[2])
    rows = {("ruling", (RULING.episode.id, 1)): [{"payload": b"\x01\x01"}]}
    assert ("tocsin.opened", "unreadable") in words(judged(links, opened, rows))


@pytest.mark.parametrize(
    ("made", "source"),
    [
        (COMMANDED, "command:4"),
        (COMMANDED, "command:x:cmd_1"),
        (CAME_OF_IT, "result:4"),
        (CAME_OF_IT, "result:4:cmd_1"),
        (CAME_OF_IT, "result::cmd_1:sent"),
    ],
)
def test_a_source_of_a_unit_names_its_row_or_nothing(made: Item, source: str) -> None:
    """A place on the log alone is none: a log that was made anew begins at 1 again."""
    links, opened = chain_of(msgspec.structs.replace(made, source=source), at_ms=CONTEXT.hours[2])
    assert tables.key_of(links[0]) is None
    assert ("tocsin.link", "unreadable") in words(judged(links, opened))


@pytest.mark.parametrize("source", ["ruling:x", "attempt:1", "access:1", "ruling:99999999999999999999"])
def test_a_source_of_another_form_is_a_fault_and_no_crash(source: str) -> None:
    made = msgspec.structs.replace(of_ruling(1, RULING)[0], source=source)
    links, opened = chain_of(made, at_ms=CONTEXT.hours[2])
    assert judged(links, opened)[0].wrong in {"payload_foreign", "row_missing"}
    broken = msgspec.structs.replace(of_receipt(RECEIPT, is_tgd=False), source=source)
    links, opened = chain_of(broken, at_ms=CONTEXT.hours[2])
    assert ("tocsin.link", "unreadable") in words(judged(links, opened))


def test_nouns_of_another_form_in_the_tables_are_faults_and_no_crash() -> None:
    row = {"id": "alr_1", "is_there": True, "newest_sequence": 3, "newest_payload": b"\x02"}
    assert [one.wrong for one in of_episode(row)] == ["unreadable"]
    told = {"id": "evt_1", "episode": "alr_1", "stream_sequence": 3, "payload": b"\x01\x80"}
    assert [one.wrong for one in of_told(told)] == ["row_added"]


def test_a_cursor_ends_where_its_chain_does() -> None:
    whole = (2, b"h")
    assert list(of_end("c", whole, whole)) == []
    assert list(of_end("c", (0, START), None)) == [], "begun, and nothing linked yet"
    expected = {
        "row_missing": (None, whole), "cut_off": ((3, b"h"), whole), "row_changed": ((1, b"h"), whole)
    }  # fmt: skip
    for wrong, (cursor, last) in expected.items():
        assert [one.wrong for one in of_end("c", cursor, last)] == [wrong]
    assert [one.wrong for one in of_end("c", (2, b"x"), whole)] == ["row_changed"]
    assert [one.wrong for one in of_end("c", (2, b"x"), None)] == ["cut_off"]


def test_only_canaries_are_excused() -> None:
    alert = msgspec.structs.replace(RULING.episode, subject="canary-3", measures=("canary-3",))
    canary = wire.encode(msgspec.structs.replace(RULING, episode=alert))
    assert is_a_canarys("ruling", ("alr_1", 1), (canary, None))
    assert not is_a_canarys("ruling", ("alr_1", 1), (wire.encode(RULING), None))
    assert not is_a_canarys("ruling", ("alr_1", 1), (b"\x07", None))
    assert is_a_canarys("command", ("canary-3-w", 1), ())
    assert not is_a_canarys("command", ("canary-x", 1), ())
    assert is_a_canarys("attempt", ("evt_1",), (msgspec.json.encode(alert).decode(), None))
    assert not is_a_canarys("attempt", ("evt_1",), (None, None))
    assert not is_a_canarys("access", ("acc_1",), ())


@pytest.mark.parametrize(
    ("chain", "table", "wrong", "detail", "is_gap"),
    [
        ("device/w-1", "tocsin.link", "link_missing", "the next one is 9", True),
        ("accesses/2026-11-21", "tocsin.opened", "payload_missing", "", True),
        ("episode/alr_1", "tocsin.opened", "payload_missing", "", False),
        ("episode/alr_1", "tocsin.link", "link_missing", "", False),
        ("episode/alr_1", "tocsin.ruling", "row_missing", "", False),
        ("measure/m-1", "tocsin.measure_version", "row_missing", "", True),
        ("device/w-1", "tocsin.link", "link_changed", "", False),
        ("device/w-1", "tocsin.link", "clock_back", "dated 9 ms before head 2, which has not seen it", True),
        ("device/w-1", "tocsin.link", "clock_back", "linked 9 ms before the one before it", False),
    ],
)
def test_what_a_package_may_leave_out_is_no_fault_of_an_import(
    chain: str, table: str, wrong: str, detail: str, *, is_gap: bool
) -> None:
    assert is_gap_of_import(chain, Fault(table=table, key="", wrong=wrong, detail=detail)) is is_gap
