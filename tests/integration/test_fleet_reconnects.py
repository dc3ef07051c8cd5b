"""What a carrier's units kept while it was away comes back at once: real units' words, real ingest, real log. F05.

350 pairs send their buffers, some of which show the wearer beside her; 50 other pairs cross meanwhile through the
same ingest. What is buffered goes to LATE and nowhere else; it raises nothing, ends nothing and makes nobody late.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import aiomqtt
import numpy as np
import pytest
from builders import bulk, eventually, location, topic
from doors import Door, client
from fleet_world import E6_PER_KM, HERS, LOST, OTHERS, P1_HARD_MS, WARM_S, World, name_of
from geofence_pairs import T0_MS
from real_broker import FLEET_PASSWORD, cancelled

from ingest.known import Known
from ingest.listener import run_fixes
from tocsin.adapters.jetstream import Bus
from tocsin.model.episode import State
from tocsin.model.finding import Change, Code
from tocsin.model.fix import Fixes, FixFlag
from tocsin.present import upto_present
from tocsin.subjects import FIXES, LATE, Stream
from tocsin.wire import decode_fixes

LOSSES = frozenset({Code.W_COMMS_LOSS, Code.V_COMMS_LOSS})
pytestmark = pytest.mark.timeout(400)
RATE = 3.0  # slower than the outage's: here the broker, ingest and 700 units share the machine too
A_PIECE, PIECES, EACH_S = 10, 3, 20.0  # fixes of a buffer in one message; messages of a unit, and their distance
AWAY_S = 60.0
BESIDE_HER = 10  # pairs of which the buffers show an incursion
UNDER_WAY = 10  # messages that the broker has not confirmed
BUFFERED = 2 * LOST * PIECES * A_PIECE
T0_S = T0_MS // 1000


class Speaking(World):
    """The others speak as units do, to the broker; the lost carrier's units stand on the log until it is lost."""

    live_line: aiomqtt.Client
    buffer_line: aiomqtt.Client  # one for 700 units: what waits in it must not stand before the others' words

    async def speak(self, fixes: Fixes) -> None:
        others = np.isin(fixes["device"] % HERS, OTHERS)
        if not others.all():
            await super().speak(fixes[~others])
        await asyncio.gather(*(self.say(one) for one in fixes[others]))

    async def say(self, fix: np.void) -> None:
        second = int(fix["fix_ms"]) // 1000
        payload = location(
            lat=int(fix["lat_e6"]) / 1e6,
            lon=int(fix["lon_e6"]) / 1e6,
            tst=second,
            seq=second,
            created_at=second,
            acc=5,
        )
        await self.live_line.publish(topic(name_of(int(fix["device"]))), payload, qos=1)

    def buffers(self, from_s: int) -> Iterator[tuple[int, bytes]]:
        """The next piece of every buffer: (number, message)."""
        now_s = T0_S + int(self.now_s())
        for n, hers in itertools.product(range(1, LOST + 1), (0, HERS)):
            apart_km = 0.0 if hers else 0.3 if n <= BESIDE_HER else 20 + n / 10
            lat = 43.3 + apart_km * E6_PER_KM / 1e6
            points = ({"lat": lat, "lon": 5.4, "tst": T0_S + from_s + s, "seq": T0_S + from_s + s, "boot": 1}
                      for s in range(A_PIECE))  # fmt: skip
            yield n + hers, bulk(*points, created_at=now_s)

    async def send_buffers(self) -> None:
        """Wave after wave: in a minute, in which every other pair reports once."""
        assert self.lost_s is not None
        free, began_s = asyncio.Semaphore(UNDER_WAY), self.now_s()
        for piece in range(PIECES):
            await self.clock.sleep(began_s + piece * EACH_S - self.now_s())
            async with asyncio.TaskGroup() as under_way:
                for number, payload in self.buffers(int(self.lost_s) + piece * A_PIECE):
                    await free.acquire()
                    under_way.create_task(self._send(number, payload, free))

    async def _send(self, number: int, payload: bytes, free: asyncio.Semaphore) -> None:
        try:
            await self.buffer_line.publish(topic(name_of(number), "bulk"), payload, qos=1)
        finally:
            free.release()


async def kept(bus: Bus, stream: Stream) -> Fixes:
    batches = [
        decode_fixes(one.payload)
        async for entries in upto_present(bus.log.read(stream, stream.subjects))
        for one in entries
    ]
    return np.concatenate(batches)


def line(door: Door, name: str) -> aiomqtt.Client:
    return client(door.url, name, clean=True, username="fleet", password=FLEET_PASSWORD)


async def test_buffers_of_350_pairs_change_no_live_decision(bus: Bus, nats_door: Door) -> None:
    world = Speaking(bus, RATE)
    await world.furnish()
    ready = asyncio.Event()
    ingest = asyncio.create_task(
        run_fixes(
            url=nats_door.url, log=bus.log, devices=bus.devices, signs=bus.signs, known=Known(partitions=1),
            clock=world.clock, linger_ms=5, ready=ready.set,
        )
    )  # fmt: skip
    async with line(nats_door, "live") as world.live_line, line(nats_door, "buffers") as world.buffer_line:
        await ready.wait()
        async with world.lives():
            await world.clock.sleep(WARM_S)
            world.lost_s = world.now_s()
            (entry,) = await eventually(lambda: world.found(Code.SYS_FLEET_SILENCE), within_s=90.0)
            await world.clock.sleep(AWAY_S)
            found, ruled = len(world.findings), len(world.rulings)

            world.near_s[OTHERS] = world.now_s()
            await world.send_buffers()
            late_ms = await eventually(
                lambda: world.late_ms("t1_ms") if len(world.late_ms("t1_ms")) == OTHERS.size else None,
                within_s=90.0,
            )
            await eventually(lambda: _all_late(bus), within_s=120.0)

            others = {f"msr_{n}" for n in OTHERS}
            assert late_ms.keys() == others
            assert max(late_ms.values()) <= P1_HARD_MS, late_ms
            heard = [one for one in world.findings[found:] if one.measure not in others]
            assert {one.code for one in heard} <= LOSSES, "of the carrier's pairs nothing but that they are lost"
            ruled_on = [one.episode for one in world.rulings[ruled:] if one.episode.subject not in others]
            assert {(one.code in LOSSES, one.state) for one in ruled_on} <= {(True, State.FOLDED)}
            assert [one.id for one in world.found(Code.SYS_FLEET_SILENCE)] == [entry.id]
            assert not world.found(Code.SYS_FLEET_SILENCE, Change.EXIT), "what is history is no sign of life"
            live = await kept(bus, FIXES)
            assert not (live["flags"] & int(FixFlag.BULK)).any()
            of_the_carrier = live[live["device"] % HERS <= LOST]
            assert of_the_carrier["fix_ms"].max() <= T0_MS + 1000 * (world.lost_s + 1)
            middle, worst = np.percentile(list(late_ms.values()), [50, 100])
            print(
                f"{BUFFERED} buffered fixes; t1 to t6 of 50: {middle:.0f} ms, at most {worst:.0f}, of the fleet's"
            )
        assert not ingest.done()
        await cancelled(ingest)


async def _all_late(bus: Bus) -> bool:
    """Whether every buffered fix stands on LATE; once or, repeated by a slow broker, more often."""
    if not (await bus.log.extent(LATE)).messages:
        return False
    late = await kept(bus, LATE)
    assert (late["flags"] & int(FixFlag.BULK) != 0).all()
    assert (late["device"] % HERS <= LOST).all()
    return np.unique(late[["device", "fix_ms"]]).size == BUFFERED
