"""What does her unit show, when does it ring, and what does the timeline know of it? The shells with a line that
obeys the test; invariant 18, F16, F18.

The line is the broker's stand-in; with a real one the road is walked in ``tests/contracts/test_downlink.py``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiomqtt
import pytest
from builders import DEVICES, NOW_MS, PROTECTED, TGD, WEARER, entry, eventually, fix_point, press
from msgspec.structs import replace
from real_broker import cancelled

from alerts.protection_orders import ALERT_EXPIRES_MS, QUEUE, ProtectionOrders
from alerts.results import ANSWER_GRACE_MS, SENT_QUEUE, Tracker, known_of
from alerts.unit_states import PROTECTION_TYPES, UnitStates
from tocsin import subjects
from tocsin.clock import AffineClock
from tocsin.model.command import CommandStatus, Shown, Stage, furthest
from tocsin.model.device import Device, DeviceKind
from tocsin.model.episode import (
    AlarmCause,
    Channel,
    Due,
    Episode,
    Event,
    FindingCause,
    Notification,
    Raise,
    Realm,
    Receipt,
    Ruling,
    State,
)
from tocsin.model.finding import Code
from tocsin.model.fix import ClockPoints
from tocsin.model.order import Order
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_command_status, decode_receipt, encode

TYPE_OF = {shown: name for name, shown in PROTECTION_TYPES.items()}
numbers = itertools.count(1)


def ruling(
    shown: Shown | None, *, measure: str = "msr_1", code: Code = Code.PROX_ALERT, event: Event | None = None,
    state: State = State.RAISED, silent: bool = False, device: str | None = None, stays: Shown | None = None,
) -> Ruling:  # fmt: skip
    """``stays``: what the unit shows already, of a ruling that tells it nothing."""
    number = next(numbers)
    now = shown or stays
    is_over = now in {None, Shown.OVER}
    raising = Raise(version=1, cause="fnd_1", at_ms=NOW_MS, points=ClockPoints(), threshold_m=1_000, silent=silent)
    episode = Episode(
        id=f"alr_{code.value}_{measure}", code=code, subject=device or measure, realm=Realm.LAB, priority=1,
        state=state, version=number, opened_ms=NOW_MS, recorded_ms=NOW_MS, measures=(measure,), device=device,
        raises=(raising,), causes=(), over_ms=NOW_MS if is_over and device is None else None,
        protected_told_ms=None if is_over else NOW_MS,
    )  # fmt: skip
    told = () if shown is None else (Notification(id=f"evt_{number}", channel=Channel.UNIT, type=TYPE_OF[shown]),)
    cause = event or Due(episode=episode.id, at_ms=NOW_MS)
    return Ruling(episode=episode, event=cause, notifications=told, reason="of the test", at_ms=NOW_MS)


@dataclass
class Line:
    up: bool = True
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def publish(self, topic: str, payload: bytes) -> None:
        is_up = self.up
        await asyncio.sleep(0)
        if not is_up:
            raise aiomqtt.MqttError("no connection")
        self.heard.append((topic, json.loads(payload)))


@dataclass
class Site:
    log: MemoryLog = field(default_factory=MemoryLog)
    devices: MemoryBucket = field(default_factory=MemoryBucket)
    orders: MemoryBucket = field(default_factory=MemoryBucket)
    line: Line = field(default_factory=Line)
    now_ms: int = NOW_MS

    async def rule(self, *rulings: Ruling) -> None:
        for one in rulings:
            place = subjects.episode(one.episode.code.value, one.episode.subject)
            await self.log.append(place, encode(one))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """A life of the part, that ends without a word."""
        clock = AffineClock(wall=lambda: self.now_ms / 1000)
        part = ProtectionOrders(self.log, self.devices, self.orders, clock, self.line, UnitStates())
        tracker = Tracker(self.log, clock, part.tell_again)
        tasks = [asyncio.create_task(part.serve()), asyncio.create_task(tracker.serve())]
        try:
            yield
            assert not any(one.done() for one in tasks)
        finally:
            for one in tasks:
                await cancelled(one)

    async def settled(self) -> None:
        async with self.running(), self.log.queue(subjects.EPISODES, QUEUE, parallel=1) as queue:
            await eventually(lambda: queue.unsettled == 0)

    def told(self, device: str = PROTECTED) -> list[tuple[str, bool]]:
        mine = [said for topic, said in self.line.heard if topic == f"tocsin/1/{device}/cmd"]
        return [(said["state"], said["ring"]) for said in mine]

    def receipts(self) -> list[Receipt]:
        return [decode_receipt(entry.payload) for entry in self.log.entries(subjects.RECEIPTS)]

    def results(self) -> list[str]:
        return [one.result for one in self.receipts()]

    async def answers(self, word: str, stage: Stage, *, of: int = -1) -> str:
        name: str = self.line.heard[of][1]["id"]
        status = CommandStatus(command=name, device=PROTECTED, stage=stage, at_ms=self.now_ms, reason=word)
        await self.log.append(subjects.result(PROTECTED, name, subjects.UNIT_SAYS), encode(status))
        return name


@pytest.fixture
async def site() -> Site:
    made = Site()
    for device in DEVICES.values():
        await made.devices.put(device.id, encode(device))
    await ordered(made, "msr_1")
    return made


async def ordered(site: Site, measure: str, wearer: str = WEARER, protected: str = PROTECTED) -> None:
    order = Order(
        id=measure, version=1, wearer=wearer, protected=protected, alert_distance_m=1_000, valid_from_ms=0,
        valid_until_ms=2**52,
    )  # fmt: skip
    await site.orders.put(measure, encode(order))


async def watched_by_two(site: Site) -> None:
    """Two wearers are kept away from her."""
    await ordered(site, "msr_2", wearer="wearer-2")
    await site.devices.put(PROTECTED, encode(replace(DEVICES[PROTECTED], measures=("msr_1", "msr_2"))))


# --- what it shows ------------------------------------------------------------------------------------------


async def test_an_alert_rings_and_its_end_does_not(site: Site) -> None:
    await site.rule(ruling(Shown.ALERT))
    await site.settled()
    await site.rule(ruling(Shown.OVER))
    await site.settled()
    assert site.told() == [("alert", True), ("over", False)]
    alert, over = (said for _, said in site.line.heard)
    assert alert["exp"] == NOW_MS // 1000 + 60
    assert over["exp"] >= NOW_MS // 1000 + 3_600, "she must be told, whenever her unit comes back"


async def test_the_end_of_a_measure_that_has_gone_is_told_to_the_unit_that_was_hers(site: Site) -> None:
    """F18: the order has left the bucket, and who ends the alert is a clerk or a human, who name no unit."""
    await site.rule(ruling(Shown.ALERT))
    await site.settled()
    await site.orders.delete("msr_1")
    await site.devices.put(PROTECTED, encode(replace(DEVICES[PROTECTED], measures=())))
    end = ruling(Shown.OVER)
    await site.rule(replace(end, episode=replace(end.episode, protected=fix_point(PROTECTED))))
    await site.settled()
    assert site.told() == [("alert", True), ("over", False)]


async def test_degraded_is_shown_and_not_heard(site: Site) -> None:
    await site.rule(ruling(Shown.DEGRADED, code=Code.DEGRADED))
    await site.settled()
    assert site.told() == [("degraded", False)]


async def test_the_end_takes_the_place_of_an_alert_that_was_not_sent_yet(site: Site) -> None:
    await site.rule(ruling(Shown.ALERT), ruling(Shown.OVER))
    await site.settled()
    assert site.told() == [("over", False)]
    assert site.results() == ["superseded", "sent"]


async def test_what_changes_nothing_of_it_supersedes_nothing(site: Site) -> None:
    """Somebody takes the alert before it is sent."""
    await site.rule(ruling(Shown.ALERT), ruling(None, stays=Shown.ALERT, state=State.ACKNOWLEDGED))
    await site.settled()
    assert site.told() == [("alert", True)]


async def test_of_two_alerts_the_worst_is_shown_until_both_are_over(site: Site) -> None:
    await watched_by_two(site)
    for shown, measure, code in (
        (Shown.ALERT, "msr_1", Code.PROX_ALERT),
        (Shown.DEGRADED, "msr_2", Code.DEGRADED),
        (Shown.OVER, "msr_1", Code.PROX_ALERT),
        (Shown.OVER, "msr_2", Code.DEGRADED),
    ):
        await site.rule(ruling(shown, measure=measure, code=code))
        await site.settled()  # each in another life: what stands is on the log
    assert site.told() == [("alert", True), ("alert", False), ("degraded", False), ("over", False)]


async def test_the_end_of_one_of_two_alerts_is_not_the_end_and_does_not_ring_again(site: Site) -> None:
    await watched_by_two(site)
    await site.rule(ruling(Shown.ALERT), ruling(Shown.ALERT, measure="msr_2"))
    await site.settled()
    await site.rule(ruling(Shown.OVER, measure="msr_2"))
    await site.settled()
    assert site.told() == [("alert", True), ("alert", True), ("alert", False)]


# --- when it must not be heard ------------------------------------------------------------------------------


def silent_press(state: State = State.RAISED, **changes: Any) -> Ruling:
    alarm = AlarmCause(alarm=press(silent=True))
    return ruling(None, code=Code.BAR_SOS, event=alarm, state=state, silent=True, device=PROTECTED, **changes)


async def test_while_a_silent_key_stands_open_nothing_rings(site: Site) -> None:
    await site.rule(silent_press(), ruling(Shown.ALERT))
    await site.settled()
    await site.rule(silent_press(State.CLOSED), ruling(Shown.ALERT))
    await site.settled()
    assert site.told() == [("alert", False), ("alert", True)]


async def test_a_key_that_was_pressed_aloud_silences_nothing(site: Site) -> None:
    aloud = ruling(None, code=Code.BAR_SOS, event=AlarmCause(alarm=press()), device=PROTECTED)
    await site.rule(aloud, ruling(Shown.ALERT))
    await site.settled()
    assert site.told() == [("alert", True)]


async def test_a_tgd_never_rings(site: Site) -> None:
    await site.rule(ruling(Shown.ALERT, code=Code.TGD_SOS, measure="none", device=TGD))
    await site.settled()
    assert site.told(TGD) == [("alert", False)]


# --- whose unit ---------------------------------------------------------------------------------------------


async def test_the_unit_of_the_finding_is_told_though_the_order_names_another(site: Site) -> None:
    """The measure has another unit since; this alert is about where the old one was seen."""
    other = Device(id="protected-2", number=9, kind=DeviceKind.PROTECTED, measures=("msr_1",))
    await site.devices.put(other.id, encode(other))
    found = entry(protected=fix_point(other.id))
    await site.rule(ruling(Shown.ALERT, event=FindingCause(finding=found)))
    await site.settled()
    assert (site.told(other.id), site.told()) == ([("alert", True)], [])


async def test_two_units_of_one_notification_are_two_attempts_in_the_record(site: Site) -> None:
    """Told in the same millisecond: the table of attempts knows them by number, hour and line."""
    other = Device(id="protected-2", number=9, kind=DeviceKind.PROTECTED, measures=("msr_2",))
    await site.devices.put(other.id, encode(other))
    await ordered(site, "msr_2", wearer="wearer-2", protected=other.id)
    one = ruling(Shown.ALERT)
    await site.rule(replace(one, episode=replace(one.episode, measures=("msr_1", "msr_2"))))
    await site.settled()
    assert (site.told(), site.told(other.id)) == ([("alert", True)], [("alert", True)])
    kept = {(one.notification, one.attempt, one.t7_ms, one.line) for one in site.receipts()}
    assert len(kept) == len(site.receipts()) == 2


@pytest.mark.parametrize("how", ["finding", "order", "episode"])
async def test_never_the_wearers_whatever_went_wrong_before(site: Site, how: str) -> None:
    event: Event | None = None
    if how == "finding":
        event = FindingCause(finding=entry(protected=fix_point(WEARER)))
    elif how == "order":
        await ordered(site, "msr_1", protected=WEARER)
    else:
        await site.orders.delete("msr_1")
    await site.rule(ruling(Shown.ALERT, event=event, device=WEARER if how == "episode" else None))
    await site.settled()
    assert site.line.heard == []
    assert site.results() == ["no_device"]


async def test_other_channels_are_not_its_business(site: Site) -> None:
    other = ruling(None, stays=Shown.ALERT)
    told = (Notification(id="evt_t", channel=Channel.TELEASSISTANCE, type=TYPE_OF[Shown.ALERT]),)
    await site.rule(replace(other, notifications=told))
    await site.settled()
    assert (site.line.heard, site.receipts()) == ([], [])


# --- what comes of it ---------------------------------------------------------------------------------------


async def test_every_step_has_its_receipt(site: Site) -> None:
    one = ruling(Shown.ALERT)
    await site.rule(one)
    await site.settled()
    site.now_ms += 400
    async with site.running():
        await site.answers("done", Stage.DONE)
        await eventually(lambda: len(site.receipts()) == 2)
    sent, done = site.receipts()
    assert (sent.result, sent.t7_ms, sent.t8_ms) == ("sent", NOW_MS, None)
    assert (done.result, done.t8_ms, done.notification) == ("done", NOW_MS + 400, one.notifications[0].id)
    assert {(each.channel, each.recipient, each.episode) for each in (sent, done)} == {
        (Channel.UNIT, PROTECTED, one.episode.id)
    }
    places = {entry.subject for entry in site.log.entries(subjects.RECEIPTS)}
    assert places == {subjects.receipt("PROX_ALERT", "msr_1")}
    assert {each.canary for each in (sent, done)} == {False}, "whose alert it is is known here, and nowhere later"


async def test_without_the_broker_it_is_tried_until_it_is_said_and_the_timeline_knows(site: Site) -> None:
    site.line.up = False
    await site.rule(ruling(Shown.ALERT))
    async with site.running():
        await eventually(lambda: "no_broker" in site.results())
        site.now_ms += ALERT_EXPIRES_MS * 5
        site.line.up = True
        await eventually(lambda: site.told() == [("alert", True)])
    tried = Counter(site.results())
    assert tried["sent"] == 1
    assert site.line.heard[0][1]["exp"] == site.now_ms // 1000 + 60, "it lasts: that it waited makes it no older"


async def test_a_unit_that_came_back_too_late_is_told_what_is_so_now(site: Site) -> None:
    await site.rule(ruling(Shown.ALERT))
    await site.settled()
    site.now_ms += ALERT_EXPIRES_MS + 1_000
    async with site.running():
        await site.answers("expired", Stage.EXPIRED)
        await eventually(lambda: len(site.told()) == 2)
        await eventually(lambda: site.results().count("sent") == 2)
    first, second = (said["id"] for _, said in site.line.heard)
    assert site.told() == [("alert", True)] * 2
    assert first != second, "or it would be answered and not done"


async def test_and_nothing_if_it_is_over_meanwhile(site: Site) -> None:
    await site.rule(ruling(Shown.ALERT))
    await site.settled()
    await site.rule(ruling(Shown.OVER))
    await site.settled()
    site.now_ms += ALERT_EXPIRES_MS + 1_000
    async with site.running():
        await site.answers("expired", Stage.EXPIRED, of=0)
        await eventually(lambda: "expired" in site.results())
    assert site.told() == [("alert", True), ("over", False)]


async def test_a_unit_whose_clock_is_wrong_is_not_told_for_ever(site: Site) -> None:
    await site.rule(ruling(Shown.ALERT))
    await site.settled()
    site.now_ms += 500
    async with site.running():
        await site.answers("expired", Stage.EXPIRED)
        await eventually(lambda: "expired" in site.results())
    assert site.told() == [("alert", True)]


async def test_an_order_that_nobody_answers_is_expired_also_over_a_restart(site: Site) -> None:
    await site.rule(ruling(Shown.ALERT))
    await site.settled()
    name = site.line.heard[0][1]["id"]
    async with site.running():
        await asyncio.sleep(0)
    site.now_ms += ALERT_EXPIRES_MS + ANSWER_GRACE_MS
    async with site.running(), site.log.queue(subjects.RESULTS, SENT_QUEUE, parallel=1) as queue:
        queue.expire_leases()
        await eventually(lambda: "unanswered" in site.results())
    now = furthest(await known_of(site.log, PROTECTED, name))
    assert now is not None
    assert (now.stage, now.reason) == (Stage.EXPIRED, "unanswered")


async def test_an_answer_that_comes_after_all_counts(site: Site) -> None:
    await test_an_order_that_nobody_answers_is_expired_also_over_a_restart(site)
    async with site.running():
        name = await site.answers("done", Stage.DONE)
        await eventually(lambda: site.results()[-1] == "done")
    now = furthest(await known_of(site.log, PROTECTED, name))
    assert now is not None
    assert now.stage is Stage.DONE


async def test_an_answer_to_what_was_never_asked_ends_nothing(site: Site) -> None:
    status = CommandStatus(command="cmd_x", device=PROTECTED, stage=Stage.DONE, at_ms=NOW_MS, reason="done")
    await site.log.append(subjects.result(PROTECTED, "cmd_x", subjects.UNIT_SAYS), encode(status))
    await site.rule(ruling(Shown.ALERT))
    site.now_ms += 60_000
    await site.settled()
    kept = [decode_command_status(entry.payload) for entry in site.log.entries(subjects.RESULTS)]
    assert [one.stage for one in kept] == [Stage.DONE, Stage.SENT]
    assert site.results() == ["sent"]


async def test_what_breaks_stops_nobody(site: Site) -> None:
    """F02."""
    await site.devices.put("protected-2", b"\x09unreadable")
    await ordered(site, "msr_2", protected="protected-2")
    await site.rule(ruling(Shown.ALERT, measure="msr_2"), ruling(Shown.ALERT))
    async with site.running(), site.log.queue(subjects.EPISODES, QUEUE, parallel=1) as queue:
        await eventually(lambda: site.told() == [("alert", True)])
        assert queue.unsettled == 1
