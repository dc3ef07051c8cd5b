"""Has somebody the alert within its time, whatever the first endpoint does? Real HTTP servers, a real log.

Hours are those of the deployment's clock: the ruling's, and the one at which a server had the message in hand.
Cited: A6 (one webhook-id), F02 (10 % that always fail), F28 (700 at once), invariant 2 (P1 waits behind nothing).
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from builders import NOW_MS, REALM, SECRET, eventually
from msgspec import structs
from real_broker import cancelled
from recipients import (
    CLOCK,
    CUT,
    HALF,
    HANG,
    REAL,
    Behaviour,
    Recipient,
    courier,
    endpoints,
    listening,
    opening,
    receipts,
    results,
    rule,
    settled,
)
from standardwebhooks import Webhook

from alerts import episodes
from alerts.channels.heartbeat import TYPE as HEARTBEAT
from alerts.channels.heartbeat import WATCHDOG
from alerts.desk import handle
from alerts.line import Endpoint
from tocsin import subjects
from tocsin.adapters.jetstream import Bus
from tocsin.clock import AffineClock
from tocsin.limits import LINE_FIRST_MAX
from tocsin.model.episode import Channel, NoticeCause, Notification, Realm, Receipt, Ruling, Rung
from tocsin.model.finding import Change, Code
from tocsin.model.notice import Notice
from tocsin.model.room import SECOND
from tocsin.ports import Log
from tocsin.subjects import EPISODES, NOTICES, RECEIPTS
from tocsin.testing.bus import MemoryLog
from tocsin.tls import TlsFiles
from tocsin.wire import decode_notice, decode_receipt, encode

LONG = AffineClock(epoch_ms=NOW_MS, anchor_ms=AffineClock().wall_ms(), rate=0.1)
"""Where nobody may be asked because time has passed: a second of it is ten of the wall's."""


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.2 s for an answer instead of 3 s."""
    monkeypatch.setattr("alerts.line.WEBHOOK_TIMEOUT_S", 0.2)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute for an answer instead of 3 s: a machine with hundreds in hand may stand still for so long, and what
    it has not read by then it tells a second time."""
    monkeypatch.setattr("alerts.line.WEBHOOK_TIMEOUT_S", 60.0)


@pytest.fixture
def quick_hearts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.heartbeat.HEARTBEAT_EVERY_S", 0.2)


def notices(log: MemoryLog) -> list[Notice]:
    return [decode_notice(one.payload) for one in log.entries(NOTICES)]


def said(log: MemoryLog) -> list[tuple[str, Change, str]]:
    return [(one.subject, one.change, one.reason) for one in notices(log)]


@asynccontextmanager
async def refusing() -> AsyncIterator[Recipient]:
    """A port that is taken, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Recipient([200], url=f"http://127.0.0.1:{taken.getsockname()[1]}")


@asynccontextmanager
async def collected(log: Log) -> AsyncIterator[list[Receipt]]:
    found: list[Receipt] = []

    async def follow() -> None:
        async for batch in log.read(RECEIPTS, RECEIPTS.subjects):
            found.extend(decode_receipt(one.payload) for one in batch)

    reading = asyncio.create_task(follow())
    try:
        yield found
    finally:
        await cancelled(reading)


# --- what the first endpoint may do ---------------------------------------------------------------------------

ILLNESSES: dict[str, tuple[Sequence[Behaviour] | None, set[str]]] = {
    "refuses": (None, {"connecterror"}),
    "hangs": ([HANG], {"timeout"}),
    "500 for half its calls": ([500, 200] * 100, {"status_500", "accepted"}),
    "closes in the middle of its answer": ([HALF], {"remoteprotocolerror"}),
    "closes without a word": ([CUT], {"remoteprotocolerror"}),
    "redirects": ([307], {"status_307"}),
}


@pytest.mark.parametrize("illness", ILLNESSES)
async def test_the_second_endpoint_has_it_within_5_s_and_the_log_says_why(bus: Bus, illness: str) -> None:
    plan, expected = ILLNESSES[illness]
    ill = refusing() if plan is None else listening(*plan, clock=REAL)
    async with (
        ill as first, listening(200, clock=REAL) as second, collected(bus.log) as found,
        courier(bus.log, first.url, second=second.url, clock=REAL),
    ):  # fmt: skip
        rulings = [await rule(bus.log, f"msr_{number}", clock=REAL) for number in range(12)]
        told = {one.notifications[0].id: one.at_ms for one in rulings}
        await eventually(lambda: taken_of(found) == set(told))
        await eventually(lambda: named_by(found, "first") >= set(told))  # one that hangs is given up after the yes
    assert named_by(found, "first") == set(told), "the first is asked first"
    for one in second.heard:
        assert one.at_ms - told[one.headers["webhook-id"]] <= 5_000
    assert set(first.ids) | set(second.ids) <= set(told), "nobody has seen another name"
    assert {one.result for one in found if one.line == "first"} == expected
    assert {one.result for one in found if one.line == SECOND} <= {"accepted"}
    bodies = defaultdict(set)
    for one in (*first.heard, *second.heard):
        bodies[one.headers["webhook-id"]].add(one.body)
        Webhook(SECRET).verify(one.body, one.headers)
    assert all(len(same) == 1 for same in bodies.values())
    if "accepted" not in expected:
        assert set(second.ids) == set(told)


def taken_of(found: Sequence[Receipt]) -> set[str]:
    return {one.notification for one in found if one.t8_ms is not None and one.channel is Channel.TELEASSISTANCE}


def named_by(found: Sequence[Receipt], line: str) -> set[str]:
    """Of which notifications there is a receipt of this line."""
    return {one.notification for one in found if one.line == line}


async def test_an_endpoint_that_is_well_is_the_only_one_asked(log: MemoryLog) -> None:
    """The next one may be asked after 1.5 s: 15 s of a machine that stands still in the middle of a POST."""
    async with (
        listening(200) as first, listening(200) as second,
        courier(log, first.url, second=second.url, operations=second.url, clock=LONG),
    ):  # fmt: skip
        for number in range(20):
            await rule(log, f"msr_{number}", clock=LONG)
        await settled(log)
    assert results(log) == ["accepted"] * 20
    assert second.heard == []
    assert {one.line for one in receipts(log)} == {"first"}


@pytest.mark.usefixtures("impatient")
async def test_the_next_line_begins_while_the_usual_time_is_left(log: MemoryLog) -> None:
    """2 s less what the first usually takes: with no acceptance known that is half a second."""
    async with (
        listening(HANG, clock=REAL) as first, listening(200, clock=REAL) as second,
        courier(log, first.url, second=second.url, clock=REAL),
    ):  # fmt: skip
        ruling = await rule(log, clock=REAL)
        await eventually(lambda: second.heard)
    assert second.heard[0].at_ms - ruling.at_ms >= 1_500


async def test_operations_are_told_third_and_their_word_ends_nothing(log: MemoryLog) -> None:
    async with (
        listening(500, clock=REAL) as first, listening(HANG, clock=REAL) as second,
        listening(200, clock=REAL) as operations,
        courier(log, first.url, second=second.url, operations=operations.url, clock=REAL),
    ):  # fmt: skip
        ruling = await rule(log, clock=REAL)
        await eventually(lambda: operations.heard)
        assert 4_500 <= operations.heard[0].at_ms - ruling.at_ms <= 10_000
        tried = len(first.heard)
        await eventually(lambda: len(first.heard) > tried)
        first.plan[:] = [200]
        await settled(log)
    assert set(operations.ids) == {ruling.notifications[0].id}
    assert len(operations.heard) == 1
    (theirs,) = receipts(log, Channel.OPERATIONS)
    assert (theirs.result, theirs.line) == ("accepted", "operations")
    after = episodes.with_receipt(ruling.episode, theirs)
    assert (after.points.t7_ms, after.points.t8_ms) == (theirs.t7_ms, None), "no téléassistance has it"
    assert [one.line for one in receipts(log) if one.result == "accepted"] == ["first"]


async def test_each_endpoint_hears_of_the_rung_of_the_backup_site_once(log: MemoryLog) -> None:
    plain = opening()
    rung = structs.replace(plain, notifications=episodes.to_rung(plain.episode, Rung.BACKUP_SITE))
    for_both, for_second = (one.id for one in rung.notifications)
    async with listening(500) as first, listening(200) as second:
        async with courier(log, first.url, second=second.url):
            await log.append(subjects.episode("PROX_ALERT", "msr_1"), encode(rung))
            await eventually(lambda: len(first.heard) >= 6)  # the first is down for longer than its budget
            first.plan[:] = [200]
            await settled(log)
        assert (set(first.ids), second.ids) == ({for_both}, [for_second])
        before = len(first.heard)
        async with courier(log, first.url):
            await log.append(subjects.episode("PROX_ALERT", "msr_1"), encode(rung))
            await settled(log)
        assert (first.ids[before:], second.ids) == ([for_both], [for_second])
    assert {(one.notification, one.result) for one in receipts(log) if not one.line} == {
        (for_second, "no_endpoint")
    }


async def test_operations_hear_what_is_theirs(log: MemoryLog) -> None:
    plain = opening()
    theirs = Notification(id="evt_ops", channel=Channel.OPERATIONS, type=plain.notifications[0].type)
    async with listening(200) as operations, courier(log, None, operations=operations.url):
        await log.append(
            subjects.episode("PROX_ALERT", "msr_1"), encode(structs.replace(plain, notifications=(theirs,)))
        )
        await settled(log, Channel.OPERATIONS)
    assert operations.ids == ["evt_ops"]


@pytest.mark.usefixtures("impatient")
async def test_a_courier_that_dies_moves_no_deadline(log: MemoryLog) -> None:
    async with listening(HANG, clock=REAL) as first, listening(200, clock=REAL) as second:
        async with courier(log, first.url, second=second.url, clock=REAL) as killed:
            ruling = await rule(log, clock=REAL)
            await eventually(lambda: first.heard)
            await cancelled(killed)
        assert all(one.at_ms - ruling.at_ms >= 1_500 for one in second.heard), "before its time"
        async with log.queue(EPISODES, "courier-teleassistance", parallel=1) as queue:
            queue.expire_leases()
        async with courier(log, first.url, second=second.url, clock=REAL):
            await settled(log)
    assert second.heard[0].at_ms - ruling.at_ms <= 5_000
    assert {*first.ids, *second.ids} == {ruling.notifications[0].id}


async def test_killed_in_the_middle_on_the_real_log_nothing_is_lost_or_renamed(bus: Bus) -> None:
    """The leases of the dead courier end by themselves, and the next one tells whatever had not been settled."""
    async with (
        listening(HANG, clock=REAL) as first, listening(500, 200, clock=REAL) as second,
        collected(bus.log) as found,
    ):  # fmt: skip
        async with courier(bus.log, first.url, second=second.url, clock=REAL) as killed:
            rulings = [await rule(bus.log, f"msr_{number}", clock=REAL) for number in range(30)]
            told = {one.notifications[0].id for one in rulings}
            await eventually(lambda: "accepted" in {one.result for one in found})
            await cancelled(killed)
        async with courier(bus.log, first.url, second=second.url, clock=REAL):
            await eventually(lambda: taken_of(found) == told)
    assert set(first.ids) == told
    assert set(second.ids) == told
    assert len({one.body for one in second.heard}) == len(told)


# --- nobody takes it ------------------------------------------------------------------------------------------


async def test_after_15_s_it_is_said_once_and_its_end_too(log: MemoryLog) -> None:
    async with listening(500) as first, listening(503) as second, courier(log, first.url, second=second.url):
        rulings = [await rule(log, f"msr_{number}") for number in range(5)]
        await eventually(lambda: notices(log))
        await eventually(lambda: Counter(one.attempt for one in receipts(log))[7] == 10)  # 30 s
        assert said(log) == [("teleassistance", Change.ENTRY, "not_received")]
        assert notices(log)[0].at_ms - rulings[0].at_ms >= 15_000
        first.plan[:] = [200]
        await eventually(lambda: len(notices(log)) == 2)
        await settled(log)
    begun, ended = notices(log)
    assert (ended.change, ended.entry, ended.subject) == (Change.EXIT, begun.id, begun.subject)
    opened = handle(None, NoticeCause(notice=begun), REALM, CLOCK.now_ms())
    assert isinstance(opened, Ruling)
    over = handle(opened.episode, NoticeCause(notice=ended), REALM, CLOCK.now_ms())
    assert isinstance(over, Ruling)
    assert (over.reason, over.episode.code, over.episode.priority) == ("over", Code.SYS_NOTIFY_FAIL, 1)


async def test_a_notice_that_is_not_received_breeds_none(log: MemoryLog) -> None:
    begun = Notice(
        id="ntc_1", code=Code.SYS_NOTIFY_FAIL, subject="operations", change=Change.ENTRY, at_ms=CLOCK.now_ms(),
        entry="ntc_1", entry_ms=CLOCK.now_ms(), reason="not_received",
    )  # fmt: skip
    async with listening(500) as first, courier(log, first.url):
        ruling = handle(None, NoticeCause(notice=begun), REALM, CLOCK.now_ms())
        assert isinstance(ruling, Ruling)
        await log.append(subjects.episode("SYS_NOTIFY_FAIL", "operations"), encode(ruling))
        await eventually(lambda: len(receipts(log)) >= 8)  # 45 s
    assert notices(log) == []


async def test_a_rung_of_the_police_with_nobody_behind_it_is_said_in_production(log: MemoryLog) -> None:
    plain = opening()
    for realm in (Realm.LAB, Realm.PRODUCTION):
        told = episodes.to_rung(plain.episode, Rung.POLICE)
        ruling = structs.replace(plain, episode=structs.replace(plain.episode, realm=realm), notifications=told)
        async with listening(200) as first, courier(log, first.url):
            await log.append(subjects.episode("PROX_ALERT", "msr_1"), encode(ruling))
            await settled(log, Channel.POLICE)
            if realm is Realm.PRODUCTION:
                await eventually(lambda: notices(log))
        if realm is Realm.LAB:
            assert notices(log) == []
    assert said(log) == [("police", Change.ENTRY, "no_endpoint")]


async def test_a_room_whose_name_leads_into_our_own_house_is_said_at_the_start(log: MemoryLog) -> None:
    """Without an alert: it has no heartbeat that would find it out."""
    async with listening(200) as first, listening(200) as police:
        hidden = police.url.replace("127.0.0.1", "localhost")
        async with courier(log, first.url, hidden):
            await eventually(lambda: notices(log))
    assert said(log) == [("police", Change.ENTRY, "address_refused")]
    assert police.heard == []


async def test_certificates_of_one_recipient_that_cannot_be_used_keep_no_other_from_hearing(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F26. It is said without an alert, and the line is tried like any that fails."""
    nowhere = TlsFiles(ca=Path("/nowhere/ca.crt"))
    async with listening(200) as first, listening(200) as police:

        def with_files(urls: Mapping[str, str | None]) -> dict[str, Endpoint]:
            found = endpoints(urls)
            return {
                room: replace(one, tls=nowhere) if one.url == police.url else one for room, one in found.items()
            }

        monkeypatch.setattr("recipients.endpoints", with_files)
        async with courier(log, first.url, police.url):
            await rule(log)
            await settled(log)
            await eventually(lambda: notices(log))
    assert results(log) == ["accepted"]
    assert said(log) == [("police", Change.ENTRY, "tls_failed")]
    assert police.heard == []


async def test_what_is_less_urgent_than_p2_pages_nobody(log: MemoryLog) -> None:
    async with listening(500) as first, listening(200) as second, courier(log, first.url, second=second.url):
        ruling = await rule(log, code=Code.W_COMMS_LOSS)
        assert ruling.episode.priority == 3
        await eventually(lambda: second.heard)
    assert second.heard[0].at_ms - ruling.at_ms >= 9_500
    assert notices(log) == []


@pytest.mark.usefixtures("quick_hearts")
async def test_an_endpoint_that_is_gone_is_left_alone_and_somebody_is_told_at_once(log: MemoryLog) -> None:
    async with listening(410) as first, listening(200, clock=REAL) as second:
        first.to_beats = 410
        async with courier(log, first.url, second=second.url, clock=REAL):
            ruling = await rule(log, clock=REAL)
            await settled(log)
            assert said(log) == [("teleassistance", Change.ENTRY, "endpoint_gone")]
            assert second.heard[0].at_ms - ruling.at_ms < 15_000
            await rule(log, "msr_2", clock=REAL)
            await settled(log)
            assert len(first.heard) <= 1, "a heartbeat may have been told before the first alert"
            first.to_beats = 200
            await eventually(lambda: len(notices(log)) == 2)
            first.plan[:] = [200]
            await rule(log, "msr_3", clock=REAL)
            await settled(log)
    assert said(log)[1] == ("teleassistance", Change.EXIT, "takes_again")
    by_line = [(one.line, one.result) for one in receipts(log)]
    assert ("first", "left_alone") in by_line
    assert by_line[-1] == ("first", "accepted")


@pytest.mark.usefixtures("quick_hearts")
@pytest.mark.parametrize("known", [False, True], ids=["of this alert", "of an alert before"])
async def test_a_410_by_mistake_is_asked_again_when_it_takes_heartbeats(log: MemoryLog, known: bool) -> None:
    """In the middle of its upgrade it says 410; afterwards it is well, and the second hangs."""
    async with listening(410) as first, listening(HANG) as second:
        first.to_beats = 410
        async with courier(log, first.url, second=second.url):
            if known:
                await eventually(lambda: said(log))
            ruling = await rule(log)
            await eventually(lambda: second.heard)
            asked = len(first.heard)
            assert asked == (0 if known else 1)
            first.plan[:], first.to_beats = [200], 200
            await settled(log)
    assert first.ids == [ruling.notifications[0].id] * (asked + 1)
    assert [one.line for one in receipts(log) if one.result == "accepted"] == ["first"]


async def test_where_the_second_gives_up_the_first_is_asked_though_it_is_gone(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.telling.ladder_of", lambda _priority: (0, 1, 2))
    async with listening(410, 410, 200) as first, listening(500) as second:
        first.to_beats = 410
        async with courier(log, first.url, second=second.url):
            await rule(log)
            await settled(log)
    told = [(one.line, one.result) for one in receipts(log)]
    assert [one for one in told if one[1] == "gave_up"] == [(SECOND, "gave_up")]
    assert told[-1] == ("first", "accepted")


# --- many at once ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unhurried")
async def test_of_700_at_once_p1_go_first_over_few_connections(log: MemoryLog) -> None:
    """F28, and a restart with a backlog: the P1 were ruled last."""
    for number in range(650):
        await rule(log, f"msr_{number}", code=Code.W_COMMS_LOSS)
    urgent = [await rule(log, f"msr_p1_{number}") for number in range(50)]
    first_ids = {one.notifications[0].id for one in urgent}
    async with listening(200) as first, courier(log, first.url):
        await eventually(lambda: len(receipts_accepted(log)) == 700, within_s=60)
        await settled(log)
    assert len(set(first.ids)) == 700
    begun_ms = {one.notification: one.t7_ms for one in reversed(receipts(log))}  # of each its first attempt
    assert max(begun_ms[one] for one in first_ids) <= min(begun_ms[one] for one in begun_ms.keys() - first_ids)
    assert first.peak <= LINE_FIRST_MAX


async def test_what_is_in_hand_is_not_told_a_second_time_when_its_lease_ends(log: MemoryLog) -> None:
    """A machine that is too busy to keep its leases has not the time to tell everything twice."""
    async with listening(HANG, 200) as first, courier(log, first.url):
        ruling = await rule(log)
        await eventually(lambda: first.heard)
        async with log.queue(EPISODES, "courier-teleassistance", parallel=1) as queue:
            queue.expire_leases()
        marker = await rule(log, "msr_2")  # comes behind the repetition
        await eventually(lambda: marker.notifications[0].id in receipts_accepted(log))
        await eventually(lambda: ruling.notifications[0].id in receipts_accepted(log))
        await settled(log)
    assert [one.attempt for one in receipts(log) if one.notification == ruling.notifications[0].id] == [1, 2]
    assert first.ids.count(ruling.notifications[0].id) == 2


@pytest.mark.usefixtures("unhurried")
async def test_the_first_attempt_waits_for_no_retry_when_a_tenth_never_gets_an_answer(log: MemoryLog) -> None:
    """F02: the poison fails, comes again, and hangs from then on; the others are told at once."""
    rulings = [opening(f"msr_{number}") for number in range(400)]
    poison = {one.notifications[0].id for one in rulings[::10]}
    async with listening(200) as first:
        first.poison = frozenset(poison)
        async with courier(log, first.url):
            for number, ruling in enumerate(rulings):
                await log.append(subjects.episode("PROX_ALERT", f"msr_{number}"), encode(ruling))
            await eventually(lambda: len(receipts_accepted(log)) == 360, within_s=60)
            await eventually(lambda: len(first.heard) >= 400 + len(poison), within_s=60)  # and each again
            late = await rule(log, "msr_late")
            await eventually(lambda: late.notifications[0].id in receipts_accepted(log))
    accepted = [one for one in receipts(log) if one.result == "accepted"]
    assert {one.attempt for one in accepted} == {1}
    assert not {one.notification for one in accepted} & poison


@pytest.mark.usefixtures("unhurried")
async def test_retries_that_hang_hold_no_connection_that_a_first_attempt_needs(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F02, with few connections: six messages that hang for ever would hold them all."""
    few = {"LINE_EAGER": 2, "LINE_NEW_MIN": 0, "LINE_FIRST_MAX": 4, "LINE_URGENT_MIN": 0, "LINE_RETRY_MAX": 2}
    for name, most in few.items():
        monkeypatch.setattr(f"alerts.doors.{name}", most)
    async with listening(200) as first, courier(log, first.url):
        rulings = [opening(f"msr_{number}") for number in range(6)]
        first.poison = frozenset(one.notifications[0].id for one in rulings)
        for number, ruling in enumerate(rulings):
            await log.append(subjects.episode("PROX_ALERT", f"msr_{number}"), encode(ruling))
        await eventually(lambda: len(first.heard) == 8)  # each once, and two of them again
        hanging_ms = CLOCK.now_ms()
        await eventually(lambda: CLOCK.now_ms() - hanging_ms > 10_000)
        late = await rule(log, "msr_late")
        await eventually(lambda: late.notifications[0].id in receipts_accepted(log))
        assert len(first.heard) == 9


def receipts_accepted(log: MemoryLog) -> set[str]:
    return {one.notification for one in receipts(log) if one.result == "accepted"}


# --- heartbeats -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_hearts")
async def test_every_endpoint_of_people_hears_that_it_would_have_heard(log: MemoryLog) -> None:
    async with (
        listening(200) as first, listening(200) as second, listening(200) as operations,
        courier(log, first.url, second=second.url, operations=operations.url),
    ):  # fmt: skip
        ruling = await rule(log)
        await settled(log)
        await eventually(lambda: len(first.beats) >= 2 and second.beats and operations.beats)
    newest = first.beats[-1]
    event = Webhook(SECRET).verify(newest.body, newest.headers)
    assert (event["type"], event["id"]) == (HEARTBEAT, newest.headers["webhook-id"])
    told = ruling.notifications[0]
    assert event["data"]["last"] == {told.type: {"id": told.id, "alert": ruling.episode.id, "sequence": "1"}}
    assert json.loads(operations.beats[0].body)["alerts"][0]["labels"]["alertname"] == WATCHDOG
    assert len({one.headers["webhook-id"] for one in first.beats}) == len(first.beats), "one attempt each"


@pytest.mark.usefixtures("quick_hearts")
async def test_three_heartbeats_that_nobody_takes_are_said_and_one_that_is_taken(log: MemoryLog) -> None:
    async with listening(200) as first, listening(200) as second:
        second.to_beats = 500
        async with courier(log, first.url, second=second.url, clock=REAL):  # a minute later it is said again
            await eventually(lambda: notices(log), within_s=20)
            assert len(second.beats) >= 3
            assert said(log) == [("teleassistance-second", Change.ENTRY, "heartbeat_not_taken")]
            second.to_beats = 200
            await eventually(lambda: len(notices(log)) == 2)
    assert said(log)[1] == ("teleassistance-second", Change.EXIT, "takes_again")
