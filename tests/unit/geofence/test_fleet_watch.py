"""Does the shell of the fleet's watch say each thing once, over deaths, doubles and outages of the log? F05."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest
from fleet_lives import member, messages
from geofence_pairs import T0_MS

from geofence.fleet_findings import incident_of
from geofence.fleet_silence import Open, Verdict
from geofence.fleet_watch import SUBJECT, FleetDoors, FleetWatch
from geofence.order_watch import Revision
from tocsin import subjects
from tocsin.errors import LogUnavailable
from tocsin.limits import INCIDENT_RANKED_MAX
from tocsin.model.command import Action, Command
from tocsin.model.fleet import Dimension, Group, PairAtRisk, Party
from tocsin.model.order import Order
from tocsin.subjects import COMMANDS, FINDINGS
from tocsin.testing.bus import MemoryBucket, MemoryLog, MemoryObjects
from tocsin.wire import decode_finding, decode_incident, encode, encode_fixes

PAIRS = 40
CARRIER = Group(dimension=Dimension.CARRIER, value="one")
HER_PLACE = (43_300_000, 5_400_000)
E6_PER_KM = 8_993  # of latitude


@dataclass
class HandClock:
    ms: int = T0_MS

    def now_ms(self):
        return self.ms

    def wall_ms(self):
        return self.ms

    async def sleep(self, seconds):
        await asyncio.sleep(0)


@dataclass
class World:
    """PAIRS pairs of two carriers, wearers n and protected persons n + 1000, each pair n km apart."""

    log: MemoryLog = field(default_factory=MemoryLog)
    incidents: MemoryBucket = field(default_factory=MemoryBucket)
    snapshots: MemoryObjects = field(default_factory=MemoryObjects)
    clock: HandClock = field(default_factory=HandClock)

    def __post_init__(self):
        carriers = {n: "one" if n <= PAIRS // 2 else "two" for n in range(1, PAIRS + 1)}
        self.devices = {
            one.id: one
            for n, carrier in carriers.items()
            for one in (member(n, carrier=carrier), member(n + 1000, carrier=carrier))
        }
        self.orders = tuple(
            Order(
                id=f"msr_{n}", version=1, wearer=member(n).id, protected=member(n + 1000).id,
                alert_distance_m=1000, valid_from_ms=0, valid_until_ms=2**60,
            )
            for n in carriers
        )  # fmt: skip
        self.silent = np.zeros(PAIRS + 1, np.bool_)

    @property
    def second(self):
        return (self.clock.ms - T0_MS) // 1000

    async def watch(self):
        doors = FleetDoors(
            log=self.log, devices=MemoryBucket(), orders=MemoryBucket(), incidents=self.incidents,
            snapshots=self.snapshots,
        )  # fmt: skip
        made = FleetWatch(doors, self.clock)
        await made.begin(Revision(orders=self.orders, devices=self.devices))
        return made

    async def speak(self):
        """Everybody whose second it is, and who is not silent."""
        mine = [n for n in range(1, PAIRS + 1) if (self.second + 3 * n) % 60 == 0 and not self.silent[n]]
        for n in mine:
            his = messages([n], [self.second], place=(HER_PLACE[0] + n * E6_PER_KM, HER_PLACE[1]))
            hers = messages([n + 1000], [self.second], place=HER_PLACE)
            await self.log.append(subjects.fixes(n % 4), encode_fixes(np.concatenate([his, hers])))

    async def live(self, watches, seconds):
        """Second by second; each watch reads what is there, and looks."""
        for _ in range(seconds):
            self.clock.ms += 1000
            await self.speak()
            for one in watches:
                one.hear([entry for entry in self.log.entries(subjects.FIXES) if entry.sequence > one._fixes])
                await one.look()

    def said(self):
        return [decode_finding(one.payload) for one in self.log.entries(FINDINGS) if one.subject == SUBJECT]

    async def shown(self):
        payload = await self.incidents.get(CARRIER.subject)
        return None if payload is None else decode_incident(payload)


@pytest.fixture
async def world():
    return World()


def lost(world):
    world.silent[: PAIRS // 2 + 1] = True


async def test_a_carrier_that_is_lost_is_one_incident_with_its_pairs_ranked_and_ends_as_one(world):
    watch = await world.watch()
    await world.live([watch], 130)
    lost(world)
    await world.live([watch], 90)
    (entry,) = world.said()
    assert entry.silenced.group == CARRIER
    await world.live([watch], 60)
    shown = await world.shown()
    assert (shown.silent, shown.expected, len(shown.ranked)) == (PAIRS, PAIRS, PAIRS // 2)
    assert [one.measure for one in shown.ranked] == [f"msr_{n}" for n in range(1, PAIRS // 2 + 1)]
    assert all(one.silent is Party.BOTH for one in shown.ranked)
    hours = [one.worst_ms for one in shown.ranked]
    assert hours == sorted(hours)
    world.silent[:] = False
    await world.live([watch], 240)
    _, over = world.said()
    assert (over.entry, over.entry_ms, over.change.value) == (entry.id, entry.at_ms, "exit")
    assert await world.shown() is None


async def test_the_hour_of_blind_risk_is_that_of_the_way_left_at_130_km_h_for_both(world):
    """DOMAIN 3: (d - r - d_A) / v from the last places, at 36 m/s each while both are silent."""
    watch = await world.watch()
    await world.live([watch], 130)
    lost(world)
    await world.live([watch], 150)
    ranked = {one.measure: one for one in (await world.shown()).ranked}
    heard_s = max(s for s in range(131) if (s + 3 * 20) % 60 == 0)
    left_m = 20_000 - 2 * 10 * 1.5096 - 1000
    worst_s = (ranked["msr_20"].worst_ms - T0_MS) / 1000
    assert worst_s == pytest.approx(heard_s + left_m / 72, abs=2)
    assert (ranked["msr_20"].plausible_ms - T0_MS) / 1000 == pytest.approx(heard_s + left_m / 28, abs=4)


async def test_no_position_is_said_or_shown(world):
    watch = await world.watch()
    await world.live([watch], 130)
    lost(world)
    await world.live([watch], 120)
    for payload in (world.log.entries(FINDINGS)[0].payload, await world.incidents.get(CARRIER.subject)):
        assert b"lat" not in payload.replace(b"plausible", b"")
        assert b"4330" not in payload


async def test_a_watch_that_dies_goes_on_under_the_same_name(world):
    """Before the opening, during it, and before the end."""
    for seconds in (130, 20, 40, 30, 100):
        watch = await world.watch()
        await world.live([watch], seconds)
        if world.second == 130:
            lost(world)
    (entry,) = world.said()
    assert (await world.watch()).watcher.open[CARRIER].entry == entry.id
    world.silent[:] = False
    for seconds in (70, 70, 130):
        await world.live([await world.watch()], seconds)
    assert [(one.entry, one.change.value) for one in world.said()] == [(entry.id, "entry"), (entry.id, "exit")]


async def test_what_was_said_without_being_confirmed_is_not_said_twice(world):
    """The confirmation is lost on the way; the next look finds that it was said."""

    class Deaf(MemoryLog):
        async def append(self, subject, payload, **how):
            kept = await super().append(subject, payload, **how)
            if subject == SUBJECT and not self.lost:
                self.lost = True
                raise LogUnavailable("no answer")
            return kept

    world.log = Deaf()
    world.log.lost = False
    watch = await world.watch()
    await world.live([watch], 130)
    lost(world)
    await world.live([watch], 120)
    (entry,) = world.said()
    assert watch.watcher.open[CARRIER].entry == entry.id


async def test_of_two_watches_one_speaks(world):
    both = [await world.watch(), await world.watch()]
    await world.live(both, 130)
    lost(world)
    await world.live(both, 120)
    (entry,) = world.said()
    assert [one.watcher.open[CARRIER].entry for one in both] == [entry.id] * 2
    world.silent[:] = False
    await world.live(both, 300)
    assert [one.change.value for one in world.said()] == ["entry", "exit"]


async def test_a_watch_that_has_not_read_the_log_calls_nobody_silent(world):
    watch = await world.watch()
    await world.live([watch], 130)
    for _ in range(200):
        world.clock.ms += 1000
        await world.speak()
        await watch.look()  # and reads nothing
    assert world.said() == []


async def test_an_outage_of_the_log_is_nobodys_silence(world):
    """Nobody could write it, and nobody could hear: counted from its return."""

    class Closed(MemoryLog):
        async def extent(self, stream):
            if self.down:
                raise LogUnavailable("down")
            return await super().extent(stream)

    world.log = Closed()
    watch = await world.watch()
    await world.live([watch], 130)
    world.log.down = True
    for _ in range(300):
        world.clock.ms += 1000
        await watch.look()
    world.log.down = False
    await world.live([watch], 200)
    assert world.said() == []


async def test_a_start_after_half_an_hour_without_anybody_is_nobodys_silence(world):
    await world.live([await world.watch()], 130)
    world.clock.ms += 1_800_000
    await world.live([await world.watch()], 130)
    assert world.said() == []


async def test_an_incident_older_than_the_log_of_findings_is_known_from_the_bucket(world):
    watch = await world.watch()
    await world.live([watch], 130)
    lost(world)
    await world.live([watch], 90)
    (entry,) = world.said()
    world.log._streams["FINDINGS"].entries.clear()
    again = await world.watch()
    assert again.watcher.open[CARRIER].entry == entry.id


async def test_what_is_over_and_still_shown_is_taken_away_at_the_next_start(world):
    watch = await world.watch()
    await world.live([watch], 130)
    lost(world)
    await world.live([watch], 90)
    shown = await world.incidents.get(CARRIER.subject)
    world.silent[:] = False
    await world.live([watch], 300)
    await world.incidents.put(CARRIER.subject, shown)
    await world.watch()
    assert await world.shown() is None


async def told(world, number, partition, interval_s, at_s=0):
    command = Command(
        id=f"cmd_{partition}_{at_s}", device=member(number).id, action=Action.SET_CADENCE,
        at_ms=T0_MS + 1000 * at_s, expires_ms=T0_MS + 1000 * at_s + 60_000, interval_s=interval_s,
    )  # fmt: skip
    place = subjects.command(command.device, partition, command.action.value)
    await world.log.append(place, encode(command))


def awaited_s(watch, *numbers):
    memory = watch.watcher.memory
    return list(memory.intervals_s()[memory.places(np.array(numbers))])


def orders(world, after=0):
    return [one for one in world.log.entries(COMMANDS) if one.sequence > after]


async def test_the_interval_that_a_device_was_told_is_awaited(world):
    await told(world, 1, 0, 30)
    await told(world, 9999, 0, 30)
    watch = await world.watch()
    await world.live([watch], 61)
    assert awaited_s(watch, 1, 2) == [30.0, 60.0]


ASKED = [(0, 60), (1, 10), (0, 30), (0, 60), (1, 30), (1, 60)]
TOLD_S = [60.0, 10.0, 10.0, 10.0, 30.0, 60.0]


@pytest.mark.parametrize("starts_again", [False, True])
async def test_a_shared_unit_is_awaited_at_the_shortest_that_any_partition_asks(world, starts_again):
    """It is what the downlink tells it; also by a watch that finds half of that in its snapshot."""
    watch = await world.watch()
    await world.live([watch], 61)
    for (partition, interval_s), expected_s in zip(ASKED, TOLD_S, strict=True):
        last = max((one.sequence for one in orders(world)), default=0)
        await told(world, 1, partition, interval_s, world.second)
        if starts_again:
            watch = await world.watch()
        else:
            watch.obey(orders(world, last))
        await world.live([watch], 121)
        assert awaited_s(watch, 1) == [expected_s], (partition, interval_s)


async def test_an_order_of_an_older_form_costs_itself(world):
    await told(world, 1, 0, 30)
    await world.log.append("log.command.b0000001", orders(world)[0].payload)
    watch = await world.watch()
    await world.live([watch], 61)
    assert awaited_s(watch, 1) == [30.0]


async def test_a_batch_that_cannot_be_read_costs_itself(world):
    await world.log.append(subjects.fixes(0), b"of another version")
    watch = await world.watch()
    await world.live([watch], 130)
    lost(world)
    await world.live([watch], 90)
    assert len(world.said()) == 1


def test_an_incident_of_the_largest_fleet_is_a_message_that_the_log_takes():
    """F06: 40,000 pairs; the most urgent are kept, and the rest is counted."""
    pairs = tuple(
        PairAtRisk(measure=f"msr_{n:032}", silent=Party.BOTH, worst_ms=T0_MS + n, plausible_ms=T0_MS + n)
        for n in range(40_000)
    )
    nobody = np.zeros(1, bool)
    verdict = Verdict(group=CARRIER, missed=nobody, expected=nobody, since_ms=T0_MS, reason="silence")
    shown = incident_of(verdict, Open(CARRIER, "fnd_1", T0_MS, T0_MS), pairs, T0_MS)
    assert len(encode(shown)) < 2**20
    assert shown.ranked == pairs[: len(shown.ranked)]
    assert (len(shown.ranked), shown.unranked) == (INCIDENT_RANKED_MAX, 40_000 - INCIDENT_RANKED_MAX)
