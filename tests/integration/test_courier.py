"""Does a notification reach its recipient, through everything a recipient can do? A real HTTP server in-process.

The courier's clock runs twenty times as fast as the wall: a rung of one second is 50 ms. Cited: A6 (one
webhook-id), F02, F28 (700 at once).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from builders import SECRET, at_the_border, eventually, squares
from msgspec import structs
from real_broker import cancelled
from recipients import (
    CUT,
    DRIP,
    HANG,
    REAL,
    REDIRECT,
    Behaviour,
    Recipient,
    courier,
    listening,
    opening,
    receipts,
    results,
    rule,
    settled,
)
from standardwebhooks import Webhook

from alerts.channels import police, registry
from alerts.channels.cap_reader import read_cap
from alerts.channels.form import Sender
from alerts.courier import Courier
from alerts.deadlines import PATIENCE, USUAL_FIRST_MS, Patience
from alerts.episodes import ACKNOWLEDGED, CLOSED, RELEASED
from alerts.routing import Routing
from tocsin import subjects
from tocsin.adapters.jetstream import Bus
from tocsin.clock import MS
from tocsin.model.episode import Channel, Notification, Receipt, Ruling
from tocsin.ports import Appended
from tocsin.subjects import EPISODES, RECEIPTS
from tocsin.testing.bus import MemoryDelivery, MemoryLog
from tocsin.wire import decode_receipt, encode


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line begins beside another: that is another test's."""
    never = Patience(budgets_s=(36_000, 36_000), latest_s=(36_000, 36_000))
    monkeypatch.setattr("alerts.deadlines.PATIENCE", dict.fromkeys(range(1, 6), never))


async def test_a_notification_is_taken(log: MemoryLog) -> None:
    ruling = await rule(log)
    async with listening(204) as recipient, courier(log, recipient.url):
        await eventually(lambda: results(log) == ["accepted"])
        await settled(log)
    (heard,) = recipient.heard
    (taken,) = receipts(log)
    assert (
        Webhook(SECRET).verify(heard.body, heard.headers)["id"] == ruling.notifications[0].id == recipient.ids[0]
    )
    assert (taken.attempt, taken.status, taken.episode, taken.version) == (1, 204, ruling.episode.id, 1)
    assert taken.t8_ms is not None
    assert taken.t7_ms <= taken.t8_ms
    assert heard.headers["content-type"] == "application/cloudevents+json"


async def test_both_channels_are_told_under_two_names(log: MemoryLog) -> None:
    ruling = await rule(log)
    async with listening(200) as one, listening(200) as other, courier(log, one.url, other.url):
        await eventually(lambda: one.heard and other.heard)
    assert one.ids + other.ids == [notification.id for notification in ruling.notifications]
    assert b"geo:" not in one.heard[0].body
    assert b"geo:" in other.heard[0].body
    assert other.heard[0].headers["content-type"] == "application/cap+xml"
    Webhook(SECRET).verify(other.heard[0].body, other.heard[0].headers, json_parse=False)
    assert read_cap(other.heard[0].body).identifier == other.ids[0], "the webhook-id is the message's name"


FAILURES: dict[str, tuple[Behaviour, str]] = {
    "server error": (500, "status_500"),
    "refused for now": (429, "status_429"),
    "gone": (410, "status_410"),
    "client error": (400, "status_400"),
    "redirect": (REDIRECT, "status_307"),
    "no answer": (HANG, "timeout"),
    "an answer without end": (DRIP, "timeout"),
    "cut": (CUT, "remoteprotocolerror"),
}


@pytest.mark.parametrize(("failure", "result"), FAILURES.values(), ids=FAILURES)
async def test_a_failure_is_followed_by_the_same_message_under_the_same_name(
    log: MemoryLog, failure: Behaviour, result: str
) -> None:
    await rule(log)
    async with listening(failure, failure, 200) as recipient, courier(log, recipient.url):
        await eventually(lambda: results(log) == [result, result, "accepted"])
        await settled(log)
    assert len(set(recipient.ids)) == 1
    assert len({one.body for one in recipient.heard}) == 1
    for one in recipient.heard:
        Webhook(SECRET).verify(one.body, one.headers)
    assert [one.attempt for one in receipts(log)] == [1, 2, 3]
    assert [one.t8_ms is None for one in receipts(log)] == [True, True, False]


async def test_the_rungs_are_those_of_the_ladder(log: MemoryLog) -> None:
    """From the ruling on, whenever the courier came to it."""
    zero_ms = (await rule(log, clock=REAL)).at_ms
    async with listening(500, 500, 500, 200) as recipient, courier(log, recipient.url, clock=REAL):
        await eventually(lambda: len(receipts(log)) == 4)
    offsets = [one.t7_ms - zero_ms for one in receipts(log)]
    for offset, rung in zip(offsets, (0, 1_000, 2_000, 4_000), strict=True):
        assert offset >= rung, "never before its time"
    assert offsets[-1] < 9_000


async def test_connection_refused_then_up_again(log: MemoryLog) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it, and it refuses
        port = taken.getsockname()[1]
        await rule(log)
        async with courier(log, f"http://127.0.0.1:{port}"):
            await eventually(lambda: results(log)[:2] == ["connecterror"] * 2)
            taken.close()
            recipient = Recipient([200])
            server = await asyncio.start_server(recipient.serve, "127.0.0.1", port)
            await eventually(lambda: results(log)[-1] == "accepted")
            await settled(log)
            server.close()


async def test_nobody_configured_is_said_and_not_tried_again(log: MemoryLog) -> None:
    await rule(log)
    async with courier(log, None):
        await settled(log)
        await settled(log, Channel.POLICE)
    assert results(log) == results(log, Channel.POLICE) == ["no_endpoint"]
    assert all(one.t8_ms is None for one in receipts(log))


async def test_the_end_of_the_ladder_is_written_down(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.telling.ladder_of", lambda _: (0, 1, 2))
    await rule(log)
    async with listening(500) as recipient, courier(log, recipient.url):
        await settled(log)
    assert results(log) == ["status_500"] * 3 + ["gave_up"]
    assert len(recipient.heard) == 3


@pytest.mark.parametrize("kind", [ACKNOWLEDGED, RELEASED, CLOSED])
async def test_what_an_older_version_wrote_and_no_room_is_told_any_longer_is_settled(
    log: MemoryLog, kind: str
) -> None:
    """0.1.0 told the police who took an alert; as CAP it would be an Alert: a patrol is sent for it."""
    ruling = opening()
    old = Notification(id="evt_old", channel=Channel.POLICE, type=kind)
    left = structs.replace(ruling, notifications=(old,), episode=structs.replace(ruling.episode, told=()))
    await log.append(subjects.episode("PROX_ALERT", "msr_1"), encode(left))
    async with listening(200) as recipient, courier(log, None, recipient.url):
        await settled(log, Channel.POLICE)
        assert recipient.heard == []
    (said,) = receipts(log, Channel.POLICE)
    assert (said.notification, said.result, said.t8_ms) == ("evt_old", "no_longer_told", None)


# --- death ---------------------------------------------------------------------------------------------------


async def test_a_courier_killed_after_the_post_is_repeated_under_the_same_name(log: MemoryLog) -> None:
    """A6: a delivery may repeat, a notification never has two names."""
    await rule(log)
    async with listening(HANG, 200) as recipient:
        async with courier(log, recipient.url) as first:
            await eventually(lambda: recipient.heard)
            await cancelled(first)
        assert results(log) == []
        async with log.queue(EPISODES, "courier-teleassistance", parallel=1) as queue:
            queue.expire_leases()
        async with courier(log, recipient.url):
            await eventually(lambda: results(log) == ["accepted"])
    assert len(recipient.heard) == 2
    assert len(set(recipient.ids)) == 1
    assert recipient.heard[0].body == recipient.heard[1].body


class Outage(MemoryLog):
    """A memory log that counts the writes it refuses while it is down."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[Receipt] = []

    async def append(self, subject: str, payload: bytes, **how: Any) -> Appended:
        if self.down and subject.startswith("log.receipt."):
            self.refused.append(decode_receipt(payload))
        return await super().append(subject, payload, **how)


async def test_a_settling_receipt_that_the_log_does_not_take_is_written_later_and_nothing_is_posted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("alerts.telling.RECEIPT_AGAIN_S", 0.01)
    log = Outage()
    await rule(log)
    async with listening(200) as recipient:
        log.down = True
        async with courier(log, recipient.url):
            await eventually(lambda: Counter(one.result for one in log.refused)["accepted"] >= 5)
            await eventually(lambda: Counter(one.result for one in log.refused)["no_endpoint"] >= 5)
            assert len(recipient.heard) == 1
            async with log.queue(EPISODES, "courier-teleassistance", parallel=1) as queue:
                assert queue.unsettled == 1, "settled only when the receipt is written"
            log.down = False
            await settled(log)
            await settled(log, Channel.POLICE)
    assert (results(log), results(log, Channel.POLICE)) == (["accepted"], ["no_endpoint"])
    assert len(recipient.heard) == 1
    assert receipts(log)[0] in log.refused, "of that attempt, at its hours"


async def test_the_receipt_of_a_failed_attempt_does_not_hold_up_the_next_attempt() -> None:
    """It is tried once and dropped: whoever is in danger needs the POST, not the book-keeping."""
    log = Outage()
    await rule(log)
    async with listening(500, 500, 500, 200) as recipient, listening(200) as police:
        log.down = True
        async with courier(log, recipient.url, police.url):
            await eventually(lambda: len(recipient.heard) == 4)
            await eventually(lambda: "accepted" in mine(log))
            assert mine(log)[:4] == ["status_500"] * 3 + ["accepted"], "each failed one was tried once"
            log.down = False
            await settled(log)
    assert results(log) == ["accepted"]
    assert receipts(log)[0].attempt == 4


def mine(log: Outage) -> list[str]:
    return [one.result for one in log.refused if one.channel is Channel.TELEASSISTANCE]


async def test_what_cannot_be_told_stops_nothing_and_is_never_settled(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F02: another version's ruling is left to its own courier, and this one looks at it every 15 s."""
    asked: list[tuple[bytes, float]] = []

    async def again(self: MemoryDelivery, after_s: float) -> None:
        asked.append((self.entry.payload, after_s))
        asyncio.get_running_loop().call_later(after_s / 1000, self.queue.give_back, self.entry.sequence)

    monkeypatch.setattr(MemoryDelivery, "again", again)
    await log.append(subjects.episode("PROX_ALERT", "msr_0"), b"\x09rubbish")
    await rule(log)
    async with listening(200) as recipient, courier(log, recipient.url):
        await eventually(lambda: results(log) == ["accepted"])
        await eventually(lambda: len(asked) >= 6)
        async with log.queue(EPISODES, "courier-teleassistance", parallel=1) as queue:
            await eventually(lambda: queue.unsettled == 1)
        await rule(log, "msr_2")
        await eventually(lambda: results(log) == ["accepted"] * 2)
    assert set(asked) == {(b"\x09rubbish", 15.0)}
    assert len(recipient.heard) == 2


async def test_what_was_told_is_not_told_again_and_what_is_remembered_of_it_is_bounded(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two rooms one cannot be written to, and the ruling comes again and again."""
    monkeypatch.setattr("alerts.courier.SETTLED_MAX", 3)
    given_back: list[int] = []

    async def again(self: MemoryDelivery, after_s: float) -> None:
        given_back.append(self.entry.sequence)
        if given_back.count(self.entry.sequence) == 1:
            self.queue.give_back(self.entry.sequence)

    monkeypatch.setattr(MemoryDelivery, "again", again)
    made: list[Courier] = []

    class Watched(Courier):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            made.append(self)

        async def _notify(self, ruling: Ruling, notification: Notification) -> None:
            if notification.id.startswith("evt_bad"):
                raise ValueError("cannot be written")
            await super()._notify(ruling, notification)

    monkeypatch.setattr("alerts.courier.Courier", Watched)
    async with listening(200) as recipient, courier(log, recipient.url):
        for number in range(10):
            plain = opening(f"msr_{number}")
            bad = structs.replace(plain.notifications[0], id=f"evt_bad_{number}")
            ruling = structs.replace(plain, notifications=(plain.notifications[0], bad))
            await log.append(subjects.episode("PROX_ALERT", f"msr_{number}"), encode(ruling))
            await eventually(lambda number=number: len(given_back) == 2 * (number + 1))
    assert Counter(recipient.ids).most_common(1)[0][1] == 1
    remembered = [len(one._settled) for one in made]
    assert max(remembered) == 3


# --- one hangs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hanging", "other"), [(Channel.TELEASSISTANCE, Channel.POLICE)] * 1)
async def test_a_channel_that_hangs_delays_no_other(
    log: MemoryLog, hanging: Channel, other: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F28: 300 at once, more than one pool of connections, while one recipient answers nothing at all."""
    monkeypatch.setattr("alerts.line.WEBHOOK_TIMEOUT_S", 60.0)  # no time-out of the deaf one frees a connection
    for number in range(300):
        await rule(log, f"msr_{number}")
    async with listening(HANG) as deaf, listening(200) as good, courier(log, deaf.url, good.url):
        await settled(log, other)
        assert deaf.heard, "it was not hanging: this proves nothing"
        assert results(log, hanging) == []
    assert Counter(results(log, other)) == {"accepted": 300}


BORDER = Routing(territory=at_the_border())
CORG_ONLY = Routing(territory=squares(("CORG-13", 5.0, 43.0, 6.0, 43.6)))


@pytest.mark.usefixtures("patient")
async def test_a_room_that_hangs_delays_neither_the_other_room_nor_the_teleassistance(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """260 alerts near a border, more than one pool of connections; one of the two rooms answers nothing at all."""
    monkeypatch.setattr("alerts.line.WEBHOOK_TIMEOUT_S", 60.0)
    for number in range(260):
        await rule(log, f"msr_{number}", BORDER)
    async with (
        listening(HANG) as deaf, listening(200) as good, listening(200) as teleassistance,
        courier(log, teleassistance.url, good.url, CORG_13=deaf.url),
    ):  # fmt: skip
        await settled(log)
        await eventually(lambda: len(receipts(log, Channel.POLICE)) == 260)
        assert deaf.heard, "it was not hanging: this proves nothing"
        assert len(teleassistance.heard) == 260
    taken = receipts(log, Channel.POLICE)
    assert {(one.recipient, one.result) for one in taken} == {("CIC-13", "accepted")}, "by way of the default"
    assert len(set(good.ids)) == 260
    assert not set(good.ids) & set(deaf.ids)


@pytest.mark.usefixtures("patient")
async def test_each_room_has_its_own_ladder(log: MemoryLog) -> None:
    ruling = await rule(log, routing=BORDER)
    async with (
        listening(500, 503, 200) as slow,
        listening(200) as good,
        courier(log, None, good.url, CORG_13=slow.url),
    ):
        await settled(log, Channel.POLICE)
    told = {one.recipient: one.id for one in ruling.notifications if one.channel is Channel.POLICE}
    assert (set(good.ids), set(slow.ids)) == ({told["CIC-13"]}, {told["CORG-13"]})
    assert (len(good.ids), len(slow.ids)) == (1, 3)
    assert Counter((one.recipient, one.result) for one in receipts(log, Channel.POLICE)) == {
        ("CIC-13", "accepted"): 1, ("CORG-13", "status_500"): 1, ("CORG-13", "status_503"): 1,
        ("CORG-13", "accepted"): 1,
    }  # fmt: skip
    for one in (*good.heard, *slow.heard):
        assert sorted(read_cap(one.body).addresses) == ["CIC-13", "CORG-13"]


async def test_a_room_whose_own_line_is_down_is_told_by_way_of_the_default_and_tried_all_the_same(
    log: MemoryLog,
) -> None:
    """F04: a human at the default recipient can ring the room up; the two ladders know nothing of each other."""
    async with (
        listening(*[500] * 6, HANG) as down, listening(503, 200) as default,
        courier(log, None, default.url, CORG_13=down.url),
    ):  # fmt: skip
        ruling = await rule(log, routing=CORG_ONLY)
        await eventually(lambda: "default_accepted" in results(log, Channel.POLICE))
        tried = len(down.heard)
        await eventually(lambda: len(down.heard) > tried)
        down.plan[:] = [200]
        await settled(log, Channel.POLICE)
    (told,) = (one for one in ruling.notifications if one.channel is Channel.POLICE)
    assert set(default.ids) == set(down.ids) == {told.id}, "one name"
    assert {one.body for one in default.heard} == {one.body for one in down.heard}, "one message"
    assert read_cap(default.heard[0].body).addresses == ("CORG-13",)
    stood_in = [one for one in receipts(log, Channel.POLICE) if one.result.startswith("default_")]
    assert [(one.result, one.recipient) for one in stood_in] == [
        ("default_status_503", "CORG-13"), ("default_accepted", "CORG-13"),
    ]  # fmt: skip
    assert stood_in[1].t8_ms is not None
    left_ms = 2_000 - USUAL_FIRST_MS
    assert stood_in[0].t7_ms - ruling.at_ms >= left_ms, "while there was time it was the room's alone"
    assert {one.line for one in stood_in} == {"default"}
    assert {one.line for one in receipts(log, Channel.POLICE)} == {"own", "default"}
    assert results(log, Channel.POLICE)[-1] == "accepted", "the room itself, in the end"


@pytest.mark.usefixtures("patient")
async def test_the_default_is_tried_at_the_end_of_the_rooms_ladder_at_the_latest(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.telling.ladder_of", lambda _: (0, 1))
    await rule(log, routing=CORG_ONLY)
    async with (
        listening(500) as down, listening(200) as default,
        courier(log, None, default.url, CORG_13=down.url),
    ):  # fmt: skip
        await settled(log, Channel.POLICE)
    assert results(log, Channel.POLICE) == ["status_500", "status_500", "gave_up", "default_accepted"]
    assert (len(down.heard), len(default.heard)) == (2, 1)


async def test_the_default_is_left_alone_when_the_room_took_it_meanwhile(log: MemoryLog) -> None:
    await rule(log, routing=CORG_ONLY)
    async with (
        listening(*[500] * 7, 200) as late, listening(500) as default,
        courier(log, None, default.url, CORG_13=late.url),
    ):  # fmt: skip
        await settled(log, Channel.POLICE)
    assert results(log, Channel.POLICE).count("accepted") == 1
    assert default.heard, "it was never asked: this proves nothing"
    assert "default_gave_up" not in results(log, Channel.POLICE)


async def test_a_room_that_took_it_while_the_log_is_down_needs_no_stand_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("alerts.telling.RECEIPT_AGAIN_S", 0.01)
    log = Outage()
    async with (
        listening(200) as room, listening(200) as default,
        courier(log, None, default.url, CORG_13=room.url, clock=REAL),
    ):  # fmt: skip
        ruling = await rule(log, routing=CORG_ONLY, clock=REAL)
        log.down = True
        await eventually(lambda: "accepted" in [one.result for one in log.refused])
        latest_ms = ruling.at_ms + int(PATIENCE[ruling.episode.priority].latest_s[0] * MS)
        await eventually(lambda: REAL.now_ms() > latest_ms + MS)
        assert default.heard == [], "a stand-in would have begun by now"
        log.down = False
        await settled(log, Channel.POLICE)
    assert results(log, Channel.POLICE) == ["accepted"]


async def test_two_hundred_rooms_read_whom_to_trust_once(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 ms of the loop each: a restart must not stand still for seconds."""
    made: list[ssl.SSLContext] = []
    real = ssl.SSLContext.load_verify_locations

    def counted(self: ssl.SSLContext, *args: Any, **how: Any) -> None:
        made.append(self)
        real(self, *args, **how)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counted)
    rooms = {f"CIC_{number}": f"https://room-{number}.example" for number in range(100, 300)}
    async with courier(log, "https://t.example", "https://p.example", **rooms):
        pass
    assert len(made) == 1


@pytest.mark.usefixtures("patient")
async def test_a_room_that_cannot_be_written_to_is_tried_again_and_the_other_is_not_told_twice(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F02: one message that cannot be built must neither stop the other room nor flood it."""
    built: list[str] = []

    def body(ruling: Ruling, notification: Notification, sender: Sender) -> bytes:
        built.append(notification.recipient)
        if notification.recipient == "CORG-13" and built.count("CORG-13") < 2:
            raise ValueError("cannot be built")
        return police.body(ruling, notification, sender)

    monkeypatch.setattr("alerts.courier.BROKEN_AGAIN_AFTER_S", 0.02)
    forms = {**registry.FORMS, Channel.POLICE: replace(police.FORM, body=body)}
    monkeypatch.setattr("alerts.courier.registry.FORMS", forms)
    await rule(log, routing=BORDER)
    async with listening(200) as good, listening(200) as late, courier(log, None, good.url, CORG_13=late.url):
        await settled(log, Channel.POLICE)
    assert (len(good.heard), len(late.heard)) == (1, 1)


async def test_one_notification_that_fails_delays_no_other_on_its_channel(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.telling.ladder_of", lambda _: (0, 100))  # 5 s on the wall: a busy machine's haste
    first = await rule(log)
    async with listening(503, 200) as recipient, courier(log, recipient.url):
        await eventually(lambda: recipient.heard)
        second = await rule(log, "msr_2")
        await settled(log)
    assert recipient.ids == [first.notifications[0].id, second.notifications[0].id, first.notifications[0].id]


async def test_on_the_real_log(bus: Bus) -> None:
    """The same road over JetStream: rulings in, receipts out, nothing twice."""
    found: list[Receipt] = []

    async def follow() -> None:
        async for batch in bus.log.read(RECEIPTS, RECEIPTS.subjects):
            found.extend(decode_receipt(one.payload) for one in batch)

    reading = asyncio.create_task(follow())
    async with listening(500, 200) as one, listening(200) as other, courier(bus.log, one.url, other.url):
        ruling = await rule(bus.log)
        await eventually(lambda: len(found) == 3)
    await cancelled(reading)
    assert {receipt.notification for receipt in found} == {one.id for one in ruling.notifications}
    assert Counter(receipt.result for receipt in found) == {"accepted": 2, "status_500": 1}
    assert Counter(one.ids) == {ruling.notifications[0].id: 2}
