"""What is a PUBACK of Mosquitto worth, and what does a backlog cost? The figures of deploy/mosquitto/README.md.

    PYTHONPATH=tests .venv/bin/python -m mosquitto_limits

One device with a certificate publishes positions of 160 bytes at QoS 1 through the listener that we ship.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import aiomqtt
import paho.mqtt.client as paho
from builders import eventually
from doors import MosquittoDoor
from paho.mqtt.enums import CallbackAPIVersion
from real_broker import cancelled

from ingest.mqtt import MqttSession, sessions
from tocsin.clock import AffineClock

RUNS = 5
BURST = 5_000
RATES = (200, 1_000, 5_000)
UNDER_WAY_S = 4
QUIET_S = 2.0
TOPICS = ("tocsin/1/#",)
BACKLOGS = (10_000, 100_000, 500_000)
WINDOW = 200
BYTES = 160


class Sender:
    """Publishes numbered messages, so many on their way at once; ``acknowledged`` are the numbers PUBACKed."""

    def __init__(self, door: MosquittoDoor) -> None:
        self.acknowledged: set[int] = set()
        self._numbers: dict[int, int] = {}
        self._places = threading.Semaphore(WINDOW)
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="u-1", protocol=paho.MQTTv311)
        self._client.tls_set_context(door.papers.of("devices", "u-1").context())
        self._client.max_inflight_messages_set(WINDOW)
        self._client.on_publish = self._on_publish
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", door.devices_port)
        self._client.loop_start()

    def _on_publish(self, _client: object, _data: object, mid: int, *_: object) -> None:
        self.acknowledged.add(self._numbers.pop(mid))
        self._places.release()

    def send(self, number: int, rate: int | None = None) -> None:
        """Until all are acknowledged; a broken connection is mended, what was not acknowledged goes again."""
        began = time.perf_counter()
        for one in range(number):
            if rate is not None:
                time.sleep(max(0.0, began + one / rate - time.perf_counter()))
            self._places.acquire()
            with self._client._out_message_mutex:  # its PUBACK must find its number
                info = self._client.publish("tocsin/1/u-1/loc", b"%d " % one + b"x" * BYTES, qos=1)
                self._numbers[info.mid] = one
        while self._numbers:
            time.sleep(0.001)

    def end(self) -> None:
        self._client.loop_stop()


@asynccontextmanager
async def a_broker() -> AsyncIterator[MosquittoDoor]:
    home = Path(tempfile.mkdtemp(prefix="t-"))
    door = MosquittoDoor(home, ("u-1",))
    await door.start()
    async with session(door):
        pass  # from now on the broker keeps for it
    await door.on_disk()
    try:
        yield door
    finally:
        await door.stop()
        shutil.rmtree(home)


def session(door: MosquittoDoor) -> MqttSession:
    return MqttSession(door.url, "fixes", TOPICS, AffineClock(), door.tls)


async def read(door: MosquittoDoor, found: list[int]) -> None:
    """Into ``found``, acknowledged, over every connection, until cancelled."""
    async for listener in sessions(door.url, "fixes", TOPICS, AffineClock(), door.tls):
        with contextlib.suppress(aiomqtt.MqttError):
            async for one in listener.messages():
                listener.acknowledge(one)
                found.append(int(one.message.payload.split()[0]))


async def quiet(found: list[int]) -> None:
    """Until nothing has come for two seconds."""
    seen = -1
    while seen != len(found):
        seen = len(found)
        await asyncio.sleep(QUIET_S)


def verdict(sender: Sender, found: list[int]) -> str:
    lost, twice = len(sender.acknowledged - set(found)), len(found) - len(set(found))
    return f"acknowledged {len(sender.acknowledged)}, lost {lost}, twice {twice}"


async def killed_while_ingest_is_away(*, written: bool) -> str:
    async with a_broker() as door:
        sender, found = Sender(door), list[int]()
        await asyncio.to_thread(sender.send, BURST)
        if written:
            await door.on_disk()
        sender.end()
        await door.kill()
        await door.start()
        reader = asyncio.create_task(read(door, found))
        await quiet(found)
        await cancelled(reader)
        return verdict(sender, found)


async def killed_under_way(rate: int) -> str:
    """Ingest and the device are connected, and come back as soon as they can."""
    async with a_broker() as door:
        found: list[int] = []
        reader = asyncio.create_task(read(door, found))
        sender = Sender(door)
        sending = asyncio.create_task(asyncio.to_thread(sender.send, rate * UNDER_WAY_S, rate))
        await eventually(lambda: len(found) > rate * UNDER_WAY_S / 2, within_s=120)
        await door.kill()
        await door.start()
        await sending
        await quiet(found)
        await cancelled(reader)
        sender.end()
        return verdict(sender, found)


async def backlog(number: int) -> str:
    async with a_broker() as door:
        sender = Sender(door)
        began = time.perf_counter()
        await asyncio.to_thread(sender.send, number)
        rate = number / (time.perf_counter() - began)
        saving_s = await _one_save_s(door)
        memory_mb = _memory_mb(door.pid)
        size_mb = door.database.stat().st_size / 1e6
        sender.end()
        return f"sent {rate:.0f}/s, file {size_mb:.0f} MB, memory {memory_mb:.0f} MB, one write {saving_s:.2f} s"


def _memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1000


async def _one_save_s(door: MosquittoDoor) -> float:
    """From the first byte of the next file to its name: the broker does nothing else meanwhile."""
    draft = door.database.with_name("mosquitto.db.new")
    while not draft.exists():
        await asyncio.sleep(0)
    began = time.perf_counter()
    while draft.exists():
        await asyncio.sleep(0)
    return time.perf_counter() - began


async def writes_s() -> str:
    """How often it writes by itself."""
    async with a_broker() as door:
        moments = []
        for _ in range(RUNS + 1):
            await door.on_disk()
            moments.append(time.perf_counter())
    return ", ".join(f"{later - earlier:.1f}" for earlier, later in pairwise(moments))


async def main() -> None:
    print(f"seconds from write to write: {await writes_s()}")
    for written in (False, True):
        for _ in range(RUNS):
            outcome = await killed_while_ingest_is_away(written=written)
            print(f"kill -9, ingest away, {'after' if written else 'before'} the next write: {outcome}")
    for rate in RATES:
        for _ in range(RUNS):
            print(f"kill -9 under way, {rate}/s: {await killed_under_way(rate)}")
    for number in BACKLOGS:
        print(f"backlog of {number}: {await backlog(number)}")


if __name__ == "__main__":
    asyncio.run(main())
