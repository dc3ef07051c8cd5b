"""Which order is sent, which is not any more, and what waits? The shell with a line that obeys the test.

The line is the broker's stand-in; with real ones the road is walked in ``tests/contracts/test_downlink.py``.
Cited: F02 (one order must not stop the others), F34 (what a wearer's unit is told).
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiomqtt
import pytest
from builders import DEVICES, NOW_MS, PROTECTED, WEARER, command, eventually
from msgspec.structs import replace
from real_broker import cancelled

from alerts.downlink import QUEUE, Downlink, shortest
from alerts.results import known_of
from alerts.unit_states import UnitStates
from tocsin import subjects
from tocsin.clock import AffineClock
from tocsin.model.command import Action, Command, Sentence, Stage, furthest
from tocsin.model.episode import Due, Episode, Raise, Realm, Ruling, State
from tocsin.model.finding import Code
from tocsin.model.fix import ClockPoints
from tocsin.telemetry import COMMANDS
from tocsin.testing.bus import MemoryBucket, MemoryLog, MemoryQueue
from tocsin.wire import encode

PARTITIONS = 5
MINE, OTHER, STRANGE = (subjects.partition_of(name, PARTITIONS) for name in ("msr_1", "msr_2", "msr_5"))
assert len({MINE, OTHER, STRANGE}) == 3


@dataclass
class Line:
    """Hears everything while it is up; ``before`` runs in front of each."""

    up: bool = True
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    tried: int = 0
    before: Callable[[str], None] = lambda _topic: None

    async def publish(self, topic: str, payload: bytes) -> None:
        self.tried += 1
        self.before(topic)
        await asyncio.sleep(0)
        if not self.up:
            raise aiomqtt.MqttError("no connection")
        self.heard.append((topic, json.loads(payload)))

    def told(self, device: str) -> list[int | None]:
        return [said.get("s") for topic, said in self.heard if topic == f"tocsin/1/{device}/cmd"]


def counted() -> Counter[tuple[str, str]]:
    samples = [one for family in COMMANDS.collect() for one in family.samples if one.name.endswith("_total")]
    return Counter({(one.labels["action"], one.labels["outcome"]): int(one.value) for one in samples})


@dataclass
class Site:
    log: MemoryLog = field(default_factory=MemoryLog)
    devices: MemoryBucket = field(default_factory=MemoryBucket)
    line: Line = field(default_factory=Line)
    now_ms: int = NOW_MS
    states: UnitStates = field(default_factory=UnitStates)
    heard: int = 0
    before: Counter[tuple[str, str]] = field(default_factory=counted)

    async def say(self, *orders: Command, partition: int = MINE) -> None:
        for order in orders:
            place = subjects.command(order.device, partition, order.action.value)
            await self.log.append(place, encode(order), dedupe_id=f"{order.id}.{partition}")

    def since(self) -> dict[tuple[str, str], int]:
        """What was counted in this test; ``again`` is as often as the loop goes round."""
        return {key: n for key, n in (counted() - self.before).items() if key[1] != "again"}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[MemoryQueue]:
        clock = AffineClock(wall=lambda: self.now_ms / 1000)
        part = Downlink(self.log, self.devices, clock, self.line, PARTITIONS, self.states)
        task = asyncio.create_task(part.serve())
        async with self.log.queue(subjects.COMMANDS, QUEUE, parallel=1) as queue:
            try:
                yield queue
            finally:
                await cancelled(task)

    async def settled(self) -> None:
        async with self.running() as queue:
            await eventually(lambda: queue.unsettled == 0)


@pytest.fixture
async def site() -> Site:
    made = Site()
    for device in DEVICES.values():
        await made.devices.put(device.id, encode(device))
    return made


async def test_each_device_is_told_its_own(site: Site) -> None:
    await site.say(command(), command(device=PROTECTED, interval_s=5))
    await site.settled()
    assert (site.line.told(WEARER), site.line.told(PROTECTED)) == ([30], [5])
    assert site.since() == {("setCadence", "sent"): 2}


@pytest.mark.parametrize(("late_ms", "outcome"), [(-1, "sent"), (0, "expired"), (1, "expired")])
async def test_an_order_whose_hour_has_passed_is_not_sent(site: Site, late_ms: int, outcome: str) -> None:
    await site.say(command(expires_ms=NOW_MS - late_ms))
    await site.settled()
    assert len(site.line.heard) == (outcome == "sent")
    assert site.since() == {("setCadence", outcome): 1}


async def test_of_the_intervals_that_wait_the_newest_is_sent(site: Site) -> None:
    intervals = [60, 30, 10, 5, 10]
    await site.say(*(command(str(at), interval_s=one) for at, one in enumerate(intervals)))
    await site.settled()
    assert site.line.told(WEARER) == [10]
    assert site.since() == {("setCadence", "superseded"): 4, ("setCadence", "sent"): 1}


async def test_a_request_for_a_position_replaces_no_interval_and_is_replaced_by_none(site: Site) -> None:
    asked = command("where", action=Action.REPORT_LOCATION, interval_s=None)
    await site.say(command("1", interval_s=60), asked, command("2", interval_s=10), asked_again := again(asked))
    await site.settled()
    assert [said.get("s", said["action"]) for _, said in site.line.heard] == [
        "reportLocation",
        10,
        "reportLocation",
    ]
    assert asked_again.id != asked.id


def again(order: Command) -> Command:
    return command("where, again", order.device, action=order.action, interval_s=order.interval_s)


async def test_what_a_dead_process_held_does_not_come_behind_what_was_sent_since(site: Site) -> None:
    """The next one has no memory of it: it asks the log."""
    await site.say(command("1", interval_s=60))
    async with site.log.queue(subjects.COMMANDS, QUEUE, parallel=10) as dead:
        await dead.take(1)
    await site.say(command("2", interval_s=5))
    async with site.running() as queue:
        await eventually(lambda: site.line.told(WEARER) == [5])
        queue.expire_leases()
        await eventually(lambda: queue.unsettled == 0)
    assert site.line.told(WEARER) == [5]
    assert site.since() == {("setCadence", "sent"): 1, ("setCadence", "superseded"): 1}


async def test_while_the_broker_is_away_an_order_waits_until_its_hour(site: Site) -> None:
    site.line.up = False
    await site.say(command(), command(device=PROTECTED, expires_ms=NOW_MS + 20_000))
    async with site.running() as queue:
        await eventually(lambda: site.line.tried > 10)
        assert queue.unsettled == 2
        site.now_ms += 20_000
        await eventually(lambda: queue.unsettled == 1)
        site.line.up = True
        await eventually(lambda: queue.unsettled == 0)
    assert (site.line.told(WEARER), site.line.told(PROTECTED)) == ([30], [])
    assert site.since() == {("setCadence", "sent"): 1, ("setCadence", "expired"): 1}


async def test_one_interval_is_on_its_way_while_the_next_is_decided_and_they_arrive_in_order(site: Site) -> None:
    newer = command("2", interval_s=5)
    site.line.before = lambda _: site.line.tried == 1 and tasks.append(asyncio.create_task(site.say(newer)))
    tasks: list[asyncio.Task[None]] = []
    await site.say(command("1", interval_s=60))
    async with site.running():
        await eventually(lambda: len(site.line.heard) == 2)
    assert site.line.told(WEARER) == [60, 5]


# --- several partitions, one device ----------------------------------------------------------------------------


@pytest.fixture
async def shared(site: Site) -> Site:
    """The wearer is kept from two people, whose measures are decided in two partitions."""
    await site.devices.put(WEARER, encode(replace(DEVICES[WEARER], measures=("msr_1", "msr_2"))))
    return site


async def told_after(site: Site, name: str, interval_s: int, partition: int) -> list[int | None]:
    """What the unit hears when a partition asks this, everything before it having been settled."""
    site.line.heard.clear()
    await site.say(command(name, interval_s=interval_s), partition=partition)
    await site.settled()
    return site.line.told(WEARER)


async def test_the_shortest_that_any_partition_asks_is_told_whoever_spoke_last(shared: Site) -> None:
    """F14: he comes near to one of them; the partition of the other, 30 km away, must not make him rare."""
    assert await told_after(shared, "1", 60, MINE) == [60]
    assert await told_after(shared, "2", 10, OTHER) == [10]
    assert await told_after(shared, "3", 60, MINE) == [10]
    assert await told_after(shared, "4", 5, MINE) == [5]
    assert await told_after(shared, "5", 60, MINE) == [10]
    assert await told_after(shared, "6", 30, OTHER) == [30]


async def test_a_downlink_that_begins_anew_knows_what_each_asks(shared: Site) -> None:
    """It has no memory but the log: what the other asked was sent, and has expired, in another life."""
    await told_after(shared, "1", 5, OTHER)
    shared.now_ms += 3_600_000
    later = {"at_ms": shared.now_ms, "expires_ms": shared.now_ms + 60_000}
    await shared.say(command("2", interval_s=60, **later), partition=MINE)
    shared.line.heard.clear()
    await shared.settled()
    assert shared.line.told(WEARER) == [5]


async def test_an_order_said_with_another_interval_has_another_name(shared: Site) -> None:
    """A unit does what it was told under one name only once, and may have been told this one already."""
    own, others = command("1", interval_s=60), [command("2", interval_s=one) for one in (60, 30, 10)]
    names = [shortest(own, [other]).id for other in others]
    assert names[0] == own.id
    assert len({*names}) == 3
    assert shortest(own, [others[1]]) == shortest(own, [others[1], own])


async def test_of_orders_that_wait_from_two_partitions_one_is_sent(shared: Site) -> None:
    await shared.say(command("1", interval_s=10), partition=OTHER)
    await shared.say(command("2", interval_s=60), partition=MINE)
    await shared.settled()
    assert shared.line.told(WEARER) == [10]
    assert shared.since() == {("setCadence", "superseded"): 1, ("setCadence", "sent"): 1}


async def test_a_newer_order_that_has_expired_replaces_none_that_has_not(shared: Site) -> None:
    await shared.say(command("1", interval_s=10), partition=OTHER)
    await shared.say(command("2", interval_s=60, expires_ms=NOW_MS), partition=MINE)
    await shared.settled()
    assert shared.line.told(WEARER) == [10]


async def test_the_same_order_of_two_partitions_is_kept_for_both(shared: Site) -> None:
    """Both judged the same fix and gave the order the same name."""
    same = command("1", interval_s=10)
    await shared.say(same, partition=MINE)
    await shared.say(same, partition=OTHER)
    await shared.settled()
    assert await told_after(shared, "2", 60, MINE) == [10], "the other still asks for it"


async def test_a_partition_that_no_longer_decides_about_a_device_asks_nothing(shared: Site) -> None:
    await told_after(shared, "1", 5, OTHER)
    await shared.devices.put(WEARER, encode(DEVICES[WEARER]))
    assert await told_after(shared, "2", 30, MINE) == [30]


async def test_a_partition_that_begins_to_decide_is_heard_before_the_device_is_known_to_be_its(
    shared: Site,
) -> None:
    """The new measure reaches the geofence before this part."""
    await told_after(shared, "1", 30, MINE)
    assert await told_after(shared, "2", 10, STRANGE) == [10]


async def test_what_is_no_interval_is_asked_by_nobody(shared: Site) -> None:
    assert await told_after(shared, "1", 1, OTHER) == []
    assert await told_after(shared, "2", 30, MINE) == [30]
    assert shared.since() == {("setCadence", "refused"): 1, ("setCadence", "sent"): 1}


# --- a human's orders ----------------------------------------------------------------------------------------


def said_by(human: str, action: Action = Action.SAY, device: str = WEARER, **changes: Any) -> Command:
    name = f"{human} {action} {len(changes)}"
    return command(name, device, action=action, interval_s=None, by=human, **changes)


async def ordered(site: Site, *orders: Command) -> None:
    for order in orders:
        await site.log.append(subjects.operators_command(order.device, order.action.value), encode(order))


def stands(code: Code, state: State = State.RAISED, **changes: Any) -> Ruling:
    """An alert about the measure of both."""
    raising = Raise(
        version=1, cause="fnd_1", at_ms=NOW_MS, points=ClockPoints(), silent=changes.pop("silent", False),
    )  # fmt: skip
    whole: dict[str, Any] = {
        "id": "alr_1", "code": code, "subject": "msr_1", "realm": Realm.LAB, "priority": 1, "state": state,
        "version": 1, "opened_ms": NOW_MS, "recorded_ms": NOW_MS, "measures": ("msr_1",), "device": None,
        "raises": (raising,), "causes": (),
    }  # fmt: skip
    episode = Episode(**{**whole, **changes})
    return Ruling(episode=episode, event=Due(episode="alr_1", at_ms=0), notifications=(), reason="", at_ms=0)


def hear(site: Site, *rulings: Ruling) -> None:
    for one in rulings:
        site.heard += 1
        site.states.hear(subjects.episode(one.episode.code.value, one.episode.subject), site.heard, one)


async def outcome_of(site: Site, order: Command) -> tuple[list[str], str, Stage]:
    """What the unit read, and what he who gave it can read of that."""
    site.states.is_complete = True
    site.line.heard.clear()
    await ordered(site, order)
    await site.settled()
    known = furthest(await known_of(site.log, order.device, order.id))
    assert known is not None
    return [said.get("template", said["action"]) for _, said in site.line.heard], known.reason, known.stage


SENT, REFUSED = Stage.SENT, Stage.FAILED


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (Code.PROX_ALERT, Sentence.LEAVE_ZONE), (Code.ZONE_CORE_ENTRY, Sentence.LEAVE_ZONE),
        (Code.PROX_PREALERT, Sentence.TURN_BACK), (Code.SEPARATION, Sentence.REJOIN_UNIT),
        (Code.W_BATT_CRIT, Sentence.CHARGE_UNIT),
    ],
)  # fmt: skip
async def test_a_sentence_is_said_while_its_state_lasts_and_not_before_or_after(
    site: Site, code: Code, sentence: Sentence
) -> None:
    before, while_, after = (said_by(name, sentence=sentence) for name in ("A", "B", "C"))
    assert await outcome_of(site, before) == ([], "refused", REFUSED)
    hear(site, stands(code))
    assert await outcome_of(site, while_) == ([sentence.value], "sent", SENT)
    hear(site, stands(code, over_ms=NOW_MS))
    assert await outcome_of(site, after) == ([], "refused", REFUSED)


async def test_in_another_measures_state_he_is_told_nothing(site: Site) -> None:
    hear(site, stands(Code.PROX_ALERT, measures=("msr_9",), subject="msr_9"))
    assert (await outcome_of(site, said_by("A", sentence=Sentence.LEAVE_ZONE)))[1] == "refused"


async def test_nothing_is_judged_by_half_of_what_stands(site: Site) -> None:
    """A downlink that has just begun does not know yet in which state he is."""
    order = said_by("A", sentence=Sentence.LEAVE_ZONE)
    await ordered(site, order)
    async with site.running() as queue:
        await eventually(lambda: counted()["say", "again"] > site.before["say", "again"])
        assert queue.unsettled == 1
        hear(site, stands(Code.PROX_ALERT))
        site.states.is_complete = True
        await eventually(lambda: queue.unsettled == 0)
    assert len(site.line.heard) == 1


@pytest.mark.parametrize("by", ["", "A. Martin"])
async def test_no_machine_orders_what_is_a_humans_and_no_human_what_is_a_machines(site: Site, by: str) -> None:
    """Wherever it stands."""
    site.states.is_complete = True
    say = replace(said_by("A", sentence=Sentence.CALL_PLATFORM), by=by)
    interval = replace(command(), by=by)
    await site.say(say, *([interval] if by else []))
    if not by:
        await ordered(site, say)
    await ordered(site, interval)
    await site.settled()
    assert site.line.heard == []


async def test_a_ring_is_hers_and_not_while_a_silent_key_stands_open(site: Site) -> None:
    ring = [said_by(name, Action.RING, PROTECTED) for name in ("A", "B", "C")]
    key = {"subject": PROTECTED, "device": PROTECTED, "silent": True}
    assert await outcome_of(site, ring[0]) == (["ring"], "sent", SENT)
    hear(site, stands(Code.BAR_SOS, **key))
    assert await outcome_of(site, ring[1]) == ([], "silent", REFUSED)
    hear(site, stands(Code.BAR_SOS, State.CLOSED, **key))
    assert (await outcome_of(site, ring[2]))[1] == "sent"
    assert (await outcome_of(site, said_by("A", Action.RING)))[1] == "refused"


async def test_an_operators_order_to_nobody_and_one_that_is_too_late_say_so(site: Site) -> None:
    call = {"sentence": Sentence.CALL_PLATFORM}
    assert await outcome_of(site, said_by("A", device="nobody-1", **call)) == ([], "no_device", REFUSED)
    late = said_by("A", expires_ms=NOW_MS, **call)
    assert await outcome_of(site, late) == ([], "expired", Stage.EXPIRED)


# --- F02: one that cannot be told stops nobody ---------------------------------------------------------------


async def test_an_order_that_no_wearer_may_read_goes_nowhere_and_stops_nobody(site: Site) -> None:
    await site.say(command(interval_s=940), command(device=PROTECTED))
    await site.settled()
    assert (site.line.told(WEARER), site.line.told(PROTECTED)) == ([], [30])
    assert site.since() == {("setCadence", "refused"): 1, ("setCadence", "sent"): 1}


async def test_a_device_that_may_not_speak_any_more_is_told_nothing(site: Site) -> None:
    await site.devices.delete(WEARER)
    await site.say(command())
    await site.settled()
    assert site.line.heard == []
    assert site.since() == {("setCadence", "no_device"): 1}


async def test_an_order_under_another_devices_subject_is_told_to_nobody(site: Site) -> None:
    await site.log.append(subjects.command(PROTECTED, MINE, "setCadence"), encode(command(device=WEARER)))
    await site.settled()
    assert site.line.heard == []


async def test_what_cannot_be_read_waits_for_who_can_and_stops_nobody(site: Site) -> None:
    await site.log.append(subjects.command(WEARER, MINE, "setCadence"), b"\x09of another version")
    await site.say(command(), command(device=PROTECTED))
    async with site.running() as queue:
        await eventually(lambda: site.line.told(WEARER) == site.line.told(PROTECTED) == [30])
        assert queue.unsettled == 1


async def test_what_breaks_is_tried_until_its_hour_and_stops_nobody(site: Site) -> None:
    await site.devices.put(WEARER, b"\x09unreadable")
    await site.say(command(), command(device=PROTECTED))
    async with site.running() as queue:
        await eventually(lambda: site.line.told(PROTECTED) == [30])
        assert queue.unsettled == 1
        site.now_ms += 60_000
        await eventually(lambda: queue.unsettled == 0)
    assert site.line.told(WEARER) == []
    assert site.since()["setCadence", "broken"] >= 1
