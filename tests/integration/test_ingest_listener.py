"""Is a message acknowledged only when the log has it, and is none lost on the way? Real brokers, real MQTT.

Each test of a ``site`` runs on the embedded broker and on Mosquitto. What a broker still holds for ingest is what
a device's message is worth while the log is away: it is read from the embedded broker's own consumers
(``$MQTT_msgs``), from the file that Mosquitto writes. The embedded one repeats after REDELIVERED_AFTER_S what is
not acknowledged, Mosquitto at the next connection. Cited: A1, A3, F02, F05, invariants 1, 2, 6.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiomqtt
import msgspec
import numpy as np
import pytest
from builders import (
    DEVICES,
    LAT,
    LON,
    NOW_MS,
    PROTECTED,
    REALM,
    TGD,
    WEARER,
    bulk,
    event,
    eventually,
    location,
    point,
    press,
    topic,
)
from builders import preadvised as handle
from builders import sos as key_press
from doors import Door, MosquittoDoor, NatsDoor
from real_broker import cancelled

from ingest.dialects.reports import Reason
from ingest.known import Known
from ingest.listener import ANSWERING_READER, publish, run_alarms, run_fixes
from ingest.mqtt import MqttSession, client_id
from ingest.quarantine import shape_of
from tocsin import subjects
from tocsin.adapters.jetstream import Bus
from tocsin.clock import AffineClock
from tocsin.embedded import BrokerAddresses
from tocsin.errors import LogUnavailable
from tocsin.limits import BATCH_MAX_FIXES, REFUSED_KEPT_MAX
from tocsin.model.episode import AlarmCause, Ruling, State
from tocsin.model.finding import Alarm, Code
from tocsin.model.fix import FIX_DTYPE, FixFlag
from tocsin.mqtt import password_in
from tocsin.ports import Appended, Entry, Extent, Log
from tocsin.subjects import ALARMS, FIXES, LATE, REFUSED, Stream
from tocsin.telemetry import INGEST_MESSAGES
from tocsin.testing.bus import MemoryLog
from tocsin.wire import decode_alarm, decode_fixes, encode

ROLES = ("fixes", "alarms-0", "alarms-1")
MQTT_MESSAGES = "$MQTT_msgs"
DOWN = ("cmd", "cfg/want", "err")
embedded_only = pytest.mark.parametrize("door", ["nats"], indirect=True)


@dataclass
class Weather:
    """A log in front of the real one: ``down`` fails every write, a closed door keeps them waiting."""

    behind: Log
    down: bool = False
    tried: int = 0
    open_door: asyncio.Event = field(default_factory=asyncio.Event)
    quarantine_door: asyncio.Event = field(default_factory=asyncio.Event)
    episodes_door: asyncio.Event = field(default_factory=asyncio.Event)
    asked_for_episodes: bool = False

    def __post_init__(self) -> None:
        self.episodes_door.set()
        self.open_door.set()
        self.quarantine_door.set()

    async def append(
        self, subject: str, payload: bytes, *, dedupe_id: str | None = None, expected_last: int | None = None
    ) -> Appended:
        self.tried += 1
        if self.down:
            raise LogUnavailable("storm")
        await self.open_door.wait()
        if subject.startswith("log.refused."):
            await self.quarantine_door.wait()
        return await self.behind.append(subject, payload, dedupe_id=dedupe_id, expected_last=expected_last)

    async def last(self, stream: Stream, subject: str) -> Entry | None:
        return await self.behind.last(stream, subject)

    async def extent(self, stream: Stream) -> Extent:
        return await self.behind.extent(stream)

    async def read(self, stream: Stream, subject: str, **how: Any) -> AsyncIterator[Any]:
        if stream is subjects.EPISODES:
            self.asked_for_episodes = True
            await self.episodes_door.wait()
        async with aclosing(self.behind.read(stream, subject, **how)) as reader:
            async for entries in reader:
                yield entries

    def queue(self, stream: Stream, name: str, **how: Any) -> Any:
        return self.behind.queue(stream, name, **how)


def started_now() -> AffineClock:
    """NOW_MS is the hour at which the test starts: two minutes into the session a fix of NOW_MS would be late."""
    return AffineClock(epoch_ms=NOW_MS, anchor_ms=AffineClock().wall_ms())


@dataclass
class Site:
    """Ingest's surroundings: the broker's door, the bus, the weather over it, and every device."""

    door: Door
    bus: Bus
    log: Weather
    open_ends: AsyncExitStack
    connected: dict[str, aiomqtt.Client] = field(default_factory=dict)
    clock: AffineClock = field(default_factory=started_now)

    async def say(self, device: str, leaf: str, payload: bytes, *, retain: bool = False) -> None:
        """Returns at the broker's PUBACK to the device; what no device may say is said by ingest's login."""
        speaker = await self._speaker("" if leaf in DOWN else device)
        await speaker.publish(topic(device, leaf), payload, qos=1, retain=retain)

    async def publish(self, at: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """The same to any topic, said by the device that the topic names."""
        root, *levels = at.split("/")
        speaker = await self._speaker(levels[0] if root == subjects.PHONE_ROOT else levels[1])
        await speaker.publish(at, payload, qos=qos, retain=retain)

    async def _speaker(self, name: str) -> aiomqtt.Client:
        if name not in self.connected:
            opening = self.door.device(name) if name else self.service("speaker")
            self.connected[name] = await self.open_ends.enter_async_context(opening)
        return self.connected[name]

    def service(self, client_id: str, *, clean: bool = True) -> aiomqtt.Client:
        """A connection beside ingest's own, with its login: it hears what devices hear."""
        return self.door.ingest(client_id, clean=clean)

    async def unacknowledged(self) -> int:
        """What the broker holds for ingest's sessions."""
        if isinstance(self.door, MosquittoDoor):
            return await self.door.held("tocsin-")
        found = await self.bus.client.jetstream().consumers_info(MQTT_MESSAGES)
        return sum((one.num_pending or 0) + (one.num_ack_pending or 0) for one in found)

    async def holds(self, count: int) -> bool:
        """See ``nothing_held``: what has just been said is counted a moment later."""
        return await self.unacknowledged() == count

    async def redelivered(self) -> int:
        found = await self.bus.client.jetstream().consumers_info(MQTT_MESSAGES)
        return sum(one.num_redelivered or 0 for one in found)

    async def nothing_held(self) -> bool:
        """Nor anything on its way to a session: the embedded broker stores a message before its PUBACK, and counts
        it as pending for a consumer when it comes to that."""
        if await self.unacknowledged() > 0:
            return False
        if isinstance(self.door, MosquittoDoor):
            return True
        stored = await self.bus.client.jetstream().stream_info(MQTT_MESSAGES)
        return stored.state.messages == 0

    async def kept(self, stream: Stream) -> list[Entry]:
        entries: list[Entry] = []
        async with aclosing(self.bus.log.read(stream, stream.subjects)) as reader:
            while batch := await anext(reader):
                entries += batch
        return entries

    async def caught_up(self, seq: int) -> None:
        """What was said before is settled, and no copy of it is under way: a session is read in its order, and
        what has been acknowledged is not sent again. Says something of the wearer's."""
        await eventually(self.nothing_held)
        await self.say(WEARER, "loc", location(seq=seq))
        await eventually(lambda: self.has(WEARER, seq))
        await eventually(self.nothing_held)

    async def has(self, device: str, seq: int) -> bool:
        return seq in await self.seqs_of(device)

    async def seqs_of(self, device: str) -> list[int]:
        fixes = [one for batch in await self.kept(FIXES) for one in decode_fixes(batch.payload)]
        return [int(one["seq"]) for one in fixes if one["device"] == DEVICES[device].number]

    async def two_notes(self) -> list[Entry]:
        notes = await self.kept(REFUSED)
        return notes if len(notes) == 2 else []

    async def alarms_kept(self) -> list[Alarm]:
        return [decode_alarm(one.payload) for one in await self.kept(ALARMS)]

    async def seqs(self, stream: Stream = FIXES) -> list[int]:
        return [int(seq) for one in await self.kept(stream) for seq in decode_fixes(one.payload)["seq"]]

    @asynccontextmanager
    async def fixes(self, known: Known | None = None) -> AsyncIterator[asyncio.Task[None]]:
        ready = asyncio.Event()
        async with running(self.run_fixes(known or Known(partitions=2), ready), ready) as task:
            yield task

    def run_fixes(self, known: Known, ready: asyncio.Event) -> Coroutine[Any, Any, None]:
        return run_fixes(
            url=self.door.url, tls=self.door.tls, log=self.log, devices=self.bus.devices, signs=self.bus.signs,
            known=known, clock=self.clock, linger_ms=5, ready=ready.set,
        )  # fmt: skip

    @asynccontextmanager
    async def alarms(self, reader: int = 0) -> AsyncIterator[asyncio.Task[None]]:
        ready = asyncio.Event()
        part = run_alarms(
            url=self.door.url, tls=self.door.tls, reader=reader, log=self.log, devices=self.bus.devices,
            known=Known(partitions=2), clock=self.clock, ready=ready.set,
        )  # fmt: skip
        async with running(part, ready) as task:
            yield task


@asynccontextmanager
async def running(part: Any, ready: asyncio.Event) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(part)
    try:
        async with asyncio.timeout(60):
            await ready.wait()
        yield task
        assert not task.done() or task.cancelled(), f"it ended by itself: {task.exception()!r}"
    finally:
        await cancelled(task)


def session_name(door: Door, role: str) -> str:
    return client_id(role, password_in(door.url))


@pytest.fixture
async def site(door: Door, bus: Bus) -> AsyncIterator[Site]:
    for role in ROLES:
        async with door.ingest(session_name(door, role), clean=True):
            pass  # a clean session forgets what the last test left in it
    for name, device in DEVICES.items():
        await bus.devices.put(name, encode(device))
    async with AsyncExitStack() as open_ends:
        yield Site(door, bus, Weather(bus.log), open_ends)


def counted(lane: str, outcome: str) -> float:
    return float(INGEST_MESSAGES.labels(lane=lane, outcome=outcome)._value.get())


# --- acknowledged when durable -------------------------------------------------------------------------------


async def test_fixes_reach_the_log_and_are_acknowledged(site: Site) -> None:
    async with site.fixes():
        for seq in range(20):
            await site.say(WEARER, "loc", location(seq=seq))
        await eventually(site.nothing_held)
        assert sorted(await site.seqs()) == list(range(20))
        await site.say(WEARER, "bulk", bulk(point(seq=100), point(seq=101)))
        await site.say(WEARER, "loc", location(seq=102, tst=NOW_MS // 1000 - 3_600))
        await eventually(site.nothing_held)
        assert sorted(await site.seqs(LATE)) == [100, 101, 102], "invariant 4: on the lane that raises nothing"


async def test_without_the_log_nothing_is_acknowledged_and_nothing_is_lost(site: Site) -> None:
    """A1, invariant 1. The process dies with five fixes in hand; the next one gets them from the broker."""
    site.log.down = True
    async with site.fixes() as task:
        for seq in range(5):
            await site.say(WEARER, "loc", location(seq=seq))
        await eventually(lambda: site.log.tried >= 3)
        await eventually(lambda: site.holds(5))
        await cancelled(task)
    site.log.down = False
    assert await site.seqs() == []
    async with site.fixes():
        await eventually(site.nothing_held, within_s=60)
    assert sorted(await site.seqs()) == list(range(5))


@embedded_only
async def test_what_the_broker_repeats_during_an_outage_is_held_once(site: Site) -> None:
    """The broker repeats each ack_wait: memory must not grow by a copy of everything each time."""
    duplicates = counted("fix", "duplicate")
    site.log.down = True
    async with site.fixes():
        for seq in range(3):
            await site.say(WEARER, "loc", location(seq=seq))
        await eventually(lambda: site.log.tried >= 3)
        await eventually(lambda: _at_least(site, 3))
        site.log.down = False
        await eventually(site.nothing_held)
    assert sorted(await site.seqs()) == [0, 1, 2]
    assert counted("fix", "duplicate") == duplicates


async def _at_least(site: Site, count: int) -> bool:
    return await site.redelivered() >= count


async def test_a_session_that_dies_in_the_middle_of_a_batch_loses_nothing(site: Site) -> None:
    """F02-like: cut while the log is slow; what was collected is published, the rest comes again."""
    site.log.open_door.clear()
    async with site.fixes():
        for seq in range(10):
            await site.say(WEARER, "loc", location(seq=seq))
        await eventually(lambda: site.log.tried >= 1)
        async with site.service(session_name(site.door, "fixes"), clean=False):
            pass  # the broker cuts the older connection of a client id
        for seq in range(10, 20):
            await site.say(WEARER, "loc", location(seq=seq))
        site.log.open_door.set()
        await eventually(site.nothing_held, within_s=60)
    seqs = await site.seqs()
    assert sorted(set(seqs)) == list(range(20))
    assert len(seqs) == 20, "and nothing twice"


async def test_a_retained_message_is_news_once(site: Site) -> None:
    """The broker gives its copy to each new session: the place of an hour ago, the press of yesterday."""
    retained = [counted(lane, "retained") for lane in ("fix", "alarm")]
    try:
        async with site.fixes(), site.alarms():
            await site.say(WEARER, "loc", location(seq=1), retain=True)
            await site.say(PROTECTED, "sos", key_press(), retain=True)
            await eventually(lambda: _are_kept(site, [1]))
            await eventually(site.alarms_kept)
            await eventually(site.nothing_held)
        async with site.fixes(), site.alarms():
            await eventually(lambda: counted("fix", "retained") >= retained[0] + 2)  # it hears the sos too
            await eventually(lambda: counted("alarm", "retained") == retained[1] + 1)
            await site.say(WEARER, "loc", location(seq=2))
            await eventually(lambda: _are_kept(site, [1, 2]))
            await eventually(site.nothing_held)
        assert await site.seqs() == [1, 2]
        assert len(await site.kept(ALARMS)) == 1
    finally:
        for device, leaf in ((WEARER, "loc"), (PROTECTED, "sos")):
            await site.say(device, leaf, b"", retain=True)


async def _are_kept(site: Site, seqs: list[int]) -> bool:
    return await site.seqs() == seqs


async def test_an_alarm_is_acknowledged_when_the_log_has_it(site: Site) -> None:
    site.log.down = True
    async with site.alarms() as task:
        await site.say(PROTECTED, "sos", key_press())
        await eventually(lambda: site.log.tried >= 2)
        await eventually(lambda: site.holds(1))
        await cancelled(task)
    site.log.down = False
    async with site.alarms():
        await eventually(site.nothing_held, within_s=60)
    (kept,) = await site.kept(ALARMS)
    assert decode_alarm(kept.payload).device == PROTECTED


async def test_two_alarm_readers_give_one_alarm(site: Site) -> None:
    """A3: hot-hot, the copies fall together under the alarm's id."""
    async with site.alarms(0), site.alarms(1):
        for device in (PROTECTED, TGD):
            await site.say(device, "sos", key_press())
        await eventually(site.nothing_held)
    assert site.log.tried == 4, "both readers wrote"
    assert sorted(one.subject for one in await site.kept(ALARMS)) == sorted(map(subjects.alarm, (PROTECTED, TGD)))


async def test_one_reader_is_enough(site: Site) -> None:
    """Invariant 1: one is killed with the alarm in hand; the alarm is there before any redelivery."""
    site.log.open_door.clear()
    async with site.alarms(0) as first, site.alarms(1):
        await site.say(PROTECTED, "sos", key_press())
        await eventually(lambda: site.log.tried == 2)
        await cancelled(first)
        site.log.open_door.set()

        async def kept() -> list[Entry]:
            return await site.kept(ALARMS)

        await eventually(kept)
        assert site.log.tried == 2, "by the hand of the other: nothing came again"
    assert len(await site.kept(ALARMS)) == 1


async def test_the_key_of_a_device_that_the_watch_has_not_brought_yet_works(site: Site) -> None:
    """Asked of the bucket itself; here the reader's own table is emptied behind its back."""
    known = Known(partitions=2)
    ready = asyncio.Event()
    part = run_alarms(
        url=site.door.url, tls=site.door.tls, reader=0, log=site.log, devices=site.bus.devices, known=known,
        clock=site.clock, ready=ready.set,
    )  # fmt: skip
    async with running(part, ready):
        known.devices.clear()  # type: ignore[attr-defined]
        await site.say(PROTECTED, "sos", key_press())
        await eventually(site.nothing_held)
    assert len(await site.kept(ALARMS)) == 1


# --- poison --------------------------------------------------------------------------------------------------


async def test_ten_megabytes_are_counted_and_the_next_message_is_heard(site: Site) -> None:
    refused, rang = counted("fix", "refused_too_large"), counted("alarm", "admitted_unreadable")
    async with site.fixes(), site.alarms():
        await site.say(WEARER, "loc", bytes(10_000_000))
        await site.say(PROTECTED, "sos", b" " * 10_000_000)
        await site.say(WEARER, "loc", location(seq=7))
        await site.say(PROTECTED, "sos", key_press())
        await eventually(site.nothing_held)
        await eventually(lambda: counted("alarm", "admitted_unreadable") > rang)
        await eventually(lambda: counted("fix", "refused_too_large") > refused)
    assert await site.seqs() == [7]
    assert [one.readable for one in await site.alarms_kept()] == [False, True], "the key rings whatever it says"
    assert counted("alarm", "admitted_unreadable") == rang + 1
    assert counted("fix", "refused_too_large") == refused + 1, "its session hears the sos too, and leaves it alone"


POISON = {
    "not utf-8": b'{"_type":"location","topic":"\xff"}',
    "endless nesting": b'{"_type":"location","x":' + b"[" * 30_000,
    "nothing": b"",
    "off the earth": location(lat=4e9),
    "where she lives": location(lat="43.296587", lon="5.369731"),
    "a name for a number": location(_type=f"{LAT} {LON}"),
    "an address for a number": location(lat="at her mother", desc='behind the "school" 4'),
}


FIGURES = ("43", "2965", "5.3", "3697", "4000000", "e9", "mother", "school")


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
async def test_poison_ends_no_lane_and_leaves_no_figure(site: Site, poison: bytes) -> None:
    """F02; on the key's topic it rings; and privacy: what is kept of it for inspection, and what is answered, has
    no digit and no word of the payload."""
    rang = counted("alarm", "admitted_unreadable")
    async with site.service("unit") as unit:
        await unit.subscribe(topic(PROTECTED, "err"), qos=0)
        await unit.subscribe(topic(WEARER, "err"), qos=0)
        async with site.fixes(), site.alarms(ANSWERING_READER):
            await site.say(WEARER, "loc", poison)
            await site.say(PROTECTED, "sos", poison)
            await site.say(WEARER, "loc", location(seq=7))
            await site.say(PROTECTED, "sos", key_press())
            async with asyncio.timeout(60):
                answers = [await anext(unit.messages) for _ in range(2)]
            await eventually(site.nothing_held)
            notes = [json.loads(one.payload) for one in await eventually(site.two_notes)]
    assert await site.seqs() == [7]
    unread, read = await site.alarms_kept()
    assert (unread.device, unread.readable, unread.position) == (PROTECTED, False, None)
    assert (read.device, read.readable) == (PROTECTED, True)
    assert counted("alarm", "admitted_unreadable") == rang + 1
    assert {note["topic"] for note in notes} == {topic(WEARER), topic(PROTECTED, "sos")}
    for note in notes:
        assert note["head"] == shape_of(poison)
        assert not any(letter.isdigit() for letter in note["head"])
        assert not any(figure in note["head"] + note["detail"] for figure in FIGURES)
    for answer in answers:
        assert isinstance(answer.payload, bytes)
        said = json.loads(answer.payload)
        assert said["reason"] in set(Reason)
        assert not any(figure in answer.payload.decode() for figure in FIGURES)


async def test_the_next_press_does_not_wait_for_the_quarantine_of_the_last(site: Site) -> None:
    """Quarantine and answers are aside: here the log takes alarms and nothing else."""
    site.log.quarantine_door.clear()
    async with site.alarms(ANSWERING_READER):
        await site.say(PROTECTED, "sos", b"garbage")
        await site.say(WEARER, "sos", key_press())
        await site.say(PROTECTED, "sos", key_press())
        await eventually(site.nothing_held)
        assert [one.readable for one in await site.alarms_kept()] == [False, True]
        assert await site.kept(REFUSED) == []
        site.log.quarantine_door.set()
        notes = [json.loads(one.payload) for one in await eventually(site.two_notes)]
    assert {(note["topic"], note["reason"]) for note in notes} == {
        (topic(PROTECTED, "sos"), "malformed"), (topic(WEARER, "sos"), "not_for_this_kind_of_device"),
    }  # fmt: skip


async def test_a_refusal_that_both_readers_heard_is_kept_and_answered_once(site: Site) -> None:
    """And the reader that answers is one of the two of a deployment."""
    async with site.service("unit") as unit:
        for name in (WEARER, PROTECTED):
            await unit.subscribe(topic(name, "err"), qos=0)
        outcomes = ("refused_not_for_this_kind_of_device", "admitted_unreadable")
        before = [counted("alarm", one) for one in outcomes]
        async with site.alarms(0), site.alarms(1):
            await site.say(WEARER, "sos", key_press())
            await site.say(PROTECTED, "sos", b"garbage")
            await eventually(site.nothing_held)
            await eventually(site.two_notes)
            both_heard_both = [count + 2 for count in before]
            await eventually(lambda: [counted("alarm", one) for one in outcomes] == both_heard_both)
        async with asyncio.timeout(60):
            answers = [await anext(unit.messages) for _ in range(2)]
        await unit.publish(topic(WEARER, "err"), b"last")
        assert (await anext(unit.messages)).payload == b"last", "no third answer came before it"
    assert len(await site.kept(REFUSED)) == 2
    reasons = {json.loads(one.payload)["reason"] for one in answers}  # type: ignore[arg-type]
    assert reasons == {"not_for_this_kind_of_device", "malformed"}


async def test_our_own_words_and_the_other_lanes_are_counted_nowhere(site: Site) -> None:
    """The wildcard hears them; counted, each refusal's answer would be a message of the fleet."""

    def counts() -> dict[str, float]:
        samples = [one for family in INGEST_MESSAGES.collect() for one in family.samples]
        return {one.labels["outcome"]: one.value for one in samples
                if one.labels["lane"] == "fix" and one.name.endswith("_total")}  # fmt: skip

    before = counts()
    async with site.fixes():
        for leaf in ("cmd", "cfg/want", "err", "sos"):
            await site.say(PROTECTED, leaf, key_press())
        await site.say(PROTECTED, "lwt", b"{}")
        await eventually(site.nothing_held)
        await eventually(lambda: counts().get("heard", 0) == before.get("heard", 0) + 1)
    assert {outcome: count for outcome, count in counts().items() if count != before.get(outcome, 0)} == {
        "heard": before.get("heard", 0) + 1
    }
    assert await site.kept(REFUSED) == []


async def test_a_device_that_cannot_be_read_costs_no_other_its_voice(site: Site) -> None:
    """A10's rule for ingest: one bad entry in the bucket, at the start and later."""
    await site.bus.devices.put("broken-1", b"\x09rubbish")
    async with site.fixes(), site.alarms():
        await site.bus.devices.put("broken-2", b"")
        await site.say("broken-1", "loc", location())
        await site.say("broken-2", "sos", key_press())
        await site.say(WEARER, "loc", location(seq=7))
        await site.say(PROTECTED, "sos", key_press())
        await eventually(site.nothing_held)
    assert await site.seqs() == [7]
    assert len(await site.kept(ALARMS)) == 1


async def test_a_refused_subscription_is_not_taken_for_silence(broker: BrokerAddresses) -> None:
    """A session that may hear nothing must not say that it is ready."""
    session = MqttSession(broker.mqtt_url, "curious", ["elsewhere/#"], started_now())
    with pytest.raises(aiomqtt.MqttError, match="refuses elsewhere"):
        await session.__aenter__()


async def test_a_backlog_goes_in_slices_that_the_log_can_take() -> None:
    """F05: after an outage one batch holds more than one message of the log may; each device's order stays."""
    log, count = MemoryLog(), 2 * BATCH_MAX_FIXES + 5
    rows = [tuple(np.zeros(1, FIX_DTYPE)[0])] * count
    numbered = [(*row[:2], seq, *row[3:-1], b"") for seq, row in enumerate(rows)]
    await publish(log, {subjects.late(0): numbered})  # type: ignore[dict-item]
    kept = [decode_fixes(one.payload) for one in log.entries(LATE)]
    assert [len(one) for one in kept] == [BATCH_MAX_FIXES, BATCH_MAX_FIXES, 5]
    assert np.concatenate(kept)["seq"].tolist() == list(range(count))


# --- who is there without a place ----------------------------------------------------------------------------


async def test_a_heartbeat_is_a_row_of_presence_and_a_last_will_is_none(site: Site) -> None:
    """W_GNSS_LOSS or W_COMMS_LOSS: the geofence hears that the unit speaks; record and late lane do not."""
    before = {outcome: counted("fix", outcome) for outcome in ("present", "heard", "admitted")}
    async with site.fixes():
        await site.say(WEARER, "lwt", b"{}")
        await site.say(TGD, "state", b"{}")
        for leaf in ("state", "res", "state"):  # within five seconds: one row
            await site.say(WEARER, leaf, b"\xff")
        await site.say(PROTECTED, "res", b"{}")
        await eventually(site.nothing_held)
    found = [one for batch in await site.kept(FIXES) for one in decode_fixes(batch.payload)]
    assert [int(one["device"]) for one in found] == [DEVICES[WEARER].number, DEVICES[PROTECTED].number]
    assert {(int(one["flags"]), int(one["primary"])) for one in found} == {(FixFlag.PRESENCE, 0)}
    assert all(one["fix_ms"] == one["t3_ms"] >= NOW_MS for one in found)
    assert await site.kept(LATE) == []
    assert {outcome: counted("fix", outcome) - count for outcome, count in before.items()} == {
        "present": 2, "heard": 4, "admitted": 0,
    }  # fmt: skip


# --- a TGD and its place -------------------------------------------------------------------------------------


def desk_says(*, is_open: bool) -> bytes:
    """Of the phone's alert."""
    opened = handle(None, AlarmCause(alarm=press(code=Code.TGD_SOS, device=TGD, measures=())), REALM, NOW_MS)
    assert isinstance(opened, Ruling)
    if is_open:
        return encode(opened)
    closed = msgspec.structs.replace(opened.episode, state=State.CLOSED)
    return encode(msgspec.structs.replace(opened, episode=closed))


OF_THE_TGD = subjects.episode("TGD_SOS", TGD)


async def test_a_tgd_is_located_only_while_its_alert_is_open(site: Site) -> None:
    """Invariant 6: before the SOS and after it a position is refused and kept nowhere."""
    known, before = Known(partitions=2), counted("fix", "sos_only")
    async with site.fixes(known):
        await site.say(TGD, "loc", location(seq=1))
        await site.caught_up(1)
        await site.bus.log.append(OF_THE_TGD, b"\x09unreadable")
        await site.bus.log.append(OF_THE_TGD, desk_says(is_open=True))
        await eventually(lambda: TGD in known.open_sos)
        await site.say(TGD, "loc", location(seq=2))
        await site.caught_up(2)
        await site.bus.log.append(OF_THE_TGD, desk_says(is_open=False))
        await eventually(lambda: TGD not in known.open_sos)
        await site.say(TGD, "loc", location(seq=3))
        await site.caught_up(3)
    assert await site.seqs_of(TGD) == [2]
    assert counted("fix", "sos_only") == before + 1


async def test_no_place_of_an_open_sos_is_refused_by_an_ingest_that_has_just_started(site: Site) -> None:
    """Invariants 1, 6: what the broker kept while ingest was away is judged when it is known who has rung."""
    async with site.fixes():
        pass
    await site.bus.log.append(OF_THE_TGD, desk_says(is_open=True))
    await site.say(TGD, "loc", location(seq=1))
    site.log.episodes_door.clear()
    site.log.asked_for_episodes = False
    ready = asyncio.Event()
    starting = asyncio.create_task(site.run_fixes(Known(partitions=2), ready))
    try:
        await eventually(lambda: site.log.asked_for_episodes)
        for _ in range(30):  # turns of the broker, in each of which it might have let ingest in
            await site.say(WEARER, "state", b"{}")
        assert not ready.is_set()
        site.log.episodes_door.set()
        await eventually(lambda: site.has(TGD, 1))
    finally:
        await cancelled(starting)


# --- phones with OwnTracks -----------------------------------------------------------------------------------


def phone_says(**changes: Any) -> bytes:
    whole = {"_type": "location", "lat": LAT, "lon": LON, "tst": NOW_MS // 1000, "acc": 12, "tid": "ab", **changes}
    return json.dumps(whole).encode()


async def test_a_phone_goes_the_whole_way_and_its_redelivery_is_a_duplicate(site: Site) -> None:
    duplicates, heard = counted("fix", "duplicate"), counted("fix", "heard")
    async with site.fixes():
        for payload in (phone_says(), phone_says(), phone_says(acc=13), phone_says(t="p", tst=NOW_MS // 1000 + 1)):
            await site.publish(f"owntracks/{WEARER}/jane.s-phone", payload)
        await eventually(site.nothing_held)
        await eventually(lambda: counted("fix", "heard") == heard + 1)
    fixes = [one for batch in await site.kept(FIXES) for one in decode_fixes(batch.payload)]
    assert [int(one["fix_ms"]) - NOW_MS for one in fixes] == [0, 1]
    assert {int(one["device"]) for one in fixes} == {DEVICES[WEARER].number}
    assert counted("fix", "duplicate") == duplicates + 1


async def test_a_session_of_an_older_version_learns_the_topics_of_phones(site: Site) -> None:
    """The broker keeps sessions over an upgrade; what the phones said before it nobody had asked for."""
    older = MqttSession(site.door.url, "fixes", [f"{subjects.TOPIC_ROOT}/#"], site.clock, site.door.tls)
    async with older:
        pass
    await site.say(WEARER, "loc", location(seq=1))
    await site.publish(f"owntracks/{WEARER}/phone", phone_says())
    async with site.fixes():
        await site.publish(f"owntracks/{WEARER}/phone", phone_says(acc=13))
        await eventually(site.nothing_held)
    assert sorted(await site.seqs()) == [-1, 1], "the unit's kept message, and the phone's first after the upgrade"


async def test_a_phone_that_has_its_messages_retained_is_heard_once(site: Site) -> None:
    """The app's default. Live it is a message as any other; the copy for each new session is not."""
    topic_of_phone, retained = f"owntracks/{WEARER}/phone", counted("fix", "retained")
    async with site.fixes():
        await site.publish(topic_of_phone, phone_says(), retain=True)
        await eventually(site.nothing_held)
        await eventually(site.seqs)
    try:
        async with site.fixes():
            await eventually(lambda: counted("fix", "retained") == retained + 1)
            await eventually(site.nothing_held)
        assert await site.seqs() == [-1]
    finally:
        await site.publish(topic_of_phone, b"", retain=True)


# --- what is told about refusals -----------------------------------------------------------------------------


def _refusals() -> dict[str, tuple[str, bytes, str, str]]:
    """Topic, payload, reason, path: each reason that can be told to its device, in every dialect and lane."""
    at, many, phone = topic(WEARER), topic(WEARER, "bulk"), f"owntracks/{WEARER}/phone"
    now_s = NOW_MS // 1000
    return {
        "too large": (at, b" " * 70_000, "too_large", "$"),
        "not JSON": (at, b"{", "malformed", "$"),
        "a word for a number": (at, location(lat="at her mother 4"), "schema", "$.lat"),
        "a point of a bulk": (many, bulk(point(), point(lat=91)), "coordinates_out_of_range", "$.pts[1]"),
        "a bulk ahead": (many, bulk(point(), point(tst=now_s + 9_999)), "clock_ahead", "$.pts[1].tst"),
        "ahead": (at, location(tst=now_s + 9_999), "clock_ahead", "$.tst"),
        "behind": (at, location(tst=4), "clock_behind", "$.tst"),
        "another's topic": (at, location(topic=topic(PROTECTED)), "identity_mismatch", "$.topic"),
        "no such leaf": (topic(WEARER, "dance"), location(), "unknown_topic", "$"),
        "a wearer's key": (topic(WEARER, "sos"), key_press(), "not_for_this_kind_of_device", "$"),
        "an event": (topic(WEARER, "evt"), b"{", "malformed", "$"),
        "an event of no name": (topic(WEARER, "evt"), event("dance"), "event_not_supported", "$.event"),
        "an event of another's": (topic(PROTECTED, "evt"), event(), "not_for_this_kind_of_device", "$.event"),
        "a key not JSON": (topic(PROTECTED, "sos"), b"at her mother 4", "malformed", "$"),
        "a key too large": (topic(PROTECTED, "sos"), b" " * 70_000, "malformed", "$"),
        "a TGD's place": (topic(TGD), location(), "tgd_position_outside_sos", "$"),
        "phone: too large": (phone, b" " * 70_000, "too_large", "$"),
        "phone: not JSON": (phone, b"at her mother", "malformed", "$"),
        "phone: a word for a number": (phone, phone_says(lat="at her mother 4"), "schema", "$.lat"),
        "phone: a type": (phone, phone_says(_type="at her mother 4"), "schema", "$._type"),
        "phone: not on Earth": (phone, phone_says(lat=443.4), "coordinates_out_of_range", "$"),
        "phone: not valid": (phone, phone_says(acc=-1), "coordinates_out_of_range", "$.acc"),
        "phone: ahead": (phone, phone_says(tst=now_s + 9_999), "clock_ahead", "$.tst"),
        "phone: behind": (phone, phone_says(tst=4), "clock_behind", "$.tst"),
        "phone: encrypted": (phone, phone_says(_type="encrypted"), "encrypted", "$._type"),
        "phone: a command": (phone, phone_says(_type="cmd"), "event_not_supported", "$._type"),
        "phone: no such leaf": (f"{phone}/dance", b"", "unknown_topic", "$"),
        "phone: a TGD's place": (f"owntracks/{TGD}/phone", phone_says(), "tgd_position_outside_sos", "$"),
    }  # fmt: skip


REFUSALS = _refusals()


def _may_be_said(door: Door, at: str) -> bool:
    """Mosquitto's access list names every leaf: what is none does not reach ingest."""
    return isinstance(door, NatsDoor) or not at.endswith("/dance")


def test_every_reason_that_can_be_told_is_here() -> None:
    assert {one[2] for one in REFUSALS.values()} == set(Reason) - {Reason.UNKNOWN_DEVICE}


async def test_each_refusal_is_answered_with_reason_path_and_no_value(site: Site) -> None:
    """To the device itself, on ``err``; and the same is kept."""
    told = {name: one for name, one in REFUSALS.items() if _may_be_said(site.door, one[0])}
    async with site.service("unit") as unit:
        for name in DEVICES:
            await unit.subscribe(topic(name, "err"), qos=0)
        async with site.fixes(), site.alarms(ANSWERING_READER):
            for name, (at, payload, reason, path) in told.items():
                await site.publish(at, payload)
                async with asyncio.timeout(60):
                    answer = await anext(unit.messages)
                assert str(answer.topic) == topic(at.split("/")[1 if at.startswith("owntracks") else 2], "err"), (
                    name
                )
                assert isinstance(answer.payload, bytes)
                said = json.loads(answer.payload)
                assert set(said) == {"_type", "reason", "path", "detail"}, name
                assert (said["_type"], said["reason"], said["path"]) == ("error", reason, path), name
                assert said["detail"], name
                assert not any(word in said["detail"] for word in ("mother", "443", "43.29", "5.36", "9999")), name
        notes = [json.loads(one.payload) for one in await site.kept(REFUSED)]
    assert sorted((note["reason"], note["path"]) for note in notes) == sorted(one[2:] for one in told.values())


async def test_the_quarantine_is_bounded_and_the_oldest_give_way(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is the deployment's, the bytes of each note larger than any we write: both limits are met."""
    count, at_once = 0, 100  # confirmed in a fraction of a second, each of them, on a slow machine too
    info = await bus.client.jetstream().stream_info(REFUSED.name)
    assert info.config.max_msgs == REFUSED_KEPT_MAX
    assert (info.config.max_bytes, info.config.max_age) == (64 * 2**20, 72 * 3600)
    over = 500
    for start in range(0, REFUSED_KEPT_MAX + over, at_once):
        numbers = range(start, start + at_once)
        await asyncio.gather(*(bus.log.append(subjects.refused("schema"), b"%d" % number) for number in numbers))
        count += at_once
    extent = await bus.log.extent(REFUSED)
    assert (extent.messages, extent.gone) == (REFUSED_KEPT_MAX, over)
    (oldest, *_), newest = await _first_batch(bus), await bus.log.last(REFUSED, subjects.refused("schema"))
    assert oldest.sequence == over + 1
    assert newest is not None
    assert newest.sequence == count


async def _first_batch(bus: Bus) -> list[Entry]:
    async with aclosing(bus.log.read(REFUSED, REFUSED.subjects)) as reader:
        return list(await anext(reader))


async def test_large_notes_give_way_by_their_bytes(bus: Bus) -> None:
    for _ in range(80):
        await bus.log.append(subjects.refused("schema"), bytes(2**20 - 1024))
    extent = await bus.log.extent(REFUSED)
    assert extent.messages < 65
    assert extent.gone == 80 - extent.messages


# --- what is not published again -----------------------------------------------------------------------------


@pytest.mark.parametrize(("lane", "leaf"), [("fix", "loc"), ("alarm", "sos")])
async def test_a_retained_copy_is_nobodys_news(site: Site, lane: str, leaf: str) -> None:
    """It is given to each new session: an old press would ring at each restart of a reader."""
    before, said = counted(lane, "retained"), location() if leaf == "loc" else key_press()
    await site.publish(topic(PROTECTED, leaf), said, retain=True)
    try:
        async with site.fixes() if lane == "fix" else site.alarms():
            await eventually(lambda: counted(lane, "retained") == before + 1)
            await eventually(site.nothing_held)
        assert await site.seqs() == []
        assert await site.kept(ALARMS) == []
    finally:
        await site.publish(topic(PROTECTED, leaf), b"", retain=True)


async def test_qos_0_is_dropped_beyond_what_ingest_holds_and_qos_1_is_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker bounds what it hands out unacknowledged; QoS 0 it hands out without end, log or no log."""
    monkeypatch.setattr("ingest.listener.BROKER_INFLIGHT_MAX", 5)
    dropped = counted("fix", "dropped_qos_0")
    site.log.open_door.clear()
    async with site.fixes():
        await site.say(WEARER, "loc", location(seq=0))
        await eventually(lambda: site.log.tried >= 1)  # the first batch is stuck at the door, the next one fills
        for seq in range(1, 9):
            await site.publish(topic(WEARER), location(seq=seq), qos=0)
        await eventually(lambda: counted("fix", "dropped_qos_0") == dropped + 3)
        await site.say(WEARER, "loc", location(seq=9))
        site.log.open_door.set()
        await eventually(site.nothing_held)
    assert sorted(await site.seqs()) == [0, 1, 2, 3, 4, 5, 9]
