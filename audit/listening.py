"""The shell around the ear and the law of conservation: hear the broker, read the log, ask how far it goes.

One reading of FIXES, LATE and ALARMS from their ends at the start on, for both laws, the tallies and the devices
as they change, and a session of its own at the broker (QoS 0, clean: the broker keeps nothing for it, and one that
is slow holds nobody up). Nothing of ingest is imported.

Both laws live by a clock that nobody sets, so that NTP after a paused machine makes no part silent; only what was
measured before the ear began is judged by the hour. A session's hour, in a tally, is carried over to that clock.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiomqtt
import msgspec
import numpy as np
import structlog
from paho.mqtt.reasoncodes import ReasonCode

from audit.conservation import Conservation
from audit.ear import Ear
from audit.ear_reading import due
from tocsin import subjects
from tocsin.clock import MS, AffineClock
from tocsin.errors import LogUnavailable, WireError
from tocsin.model.device import Device
from tocsin.model.fix import Fixes
from tocsin.model.pulse import CLERK, LOOPS
from tocsin.model.tally import Tally
from tocsin.mqtt import NO_FILES, client_to
from tocsin.ports import Bucket, Changed, Entry, Log
from tocsin.subjects import ALARMS, AUDITOR_PULSE, CANARY_PULSE, FIXES, LATE, Stream
from tocsin.tls import TlsFiles
from tocsin.wire import decode_alarm, decode_device, decode_fixes, decode_tally

LEAVES = ("loc", "bulk", "sos", "evt")
READ = (FIXES, LATE, ALARMS)
ASK_EVERY_S = 1.0
RECONNECT_S = 0.5
GRACE_MS = 5 * MS  # a unit that was registered or changed this moment may be another one at ingest's
NOBODY = "nobody"  # no queue has this name: asked for the end of a stream alone
PULSES = frozenset({AUDITOR_PULSE, CANARY_PULSE, CLERK, *LOOPS})  # in the bucket of tallies, and none
REFUSED = 0x80
SHARES = 2**32

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What of the bus is read."""

    log: Log
    devices: Bucket
    tallies: Bucket


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the ear listens. ``share``: of the devices, by their names."""

    url: str
    tls: TlsFiles = NO_FILES
    share: float = 1.0


class Listening:
    """Feeds both laws until cancelled; the auditor asks them. ``broker`` None: conservation alone."""

    def __init__(self, doors: Doors, broker: Broker | None, clock: AffineClock, rate: float = 1.0) -> None:
        self._doors = doors
        self._broker = broker
        self._clock = clock
        self.conservation = Conservation(rate)
        self.ear = Ear(clock.now_ms(), rate, steady_ms=clock.passed_ms())
        self._sessions: dict[str, tuple[int, int]] = {}
        self._devices: dict[str, tuple[Device, int]] = {}
        self._numbers: set[int] = set()
        self._known = asyncio.Event()
        self._place: dict[str, int] = {}
        self._asked: dict[str, tuple[int, int]] = {}

    async def run(self, ready: Callable[[], None]) -> None:
        """``ready``: the streams are read, the devices known, and the session at the broker is open."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_devices())
            await self._known.wait()
            for stream in READ:
                end = await self._end_of(stream)
                self.conservation.begin(stream.name, end)
                self._place[stream.name] = end
                tasks.create_task(self._follow(stream, end))
            tasks.create_task(self._follow_tallies())
            tasks.create_task(self._ask_for_ever())
            if self._broker is None:
                ready()
            else:
                tasks.create_task(self._hear(self._broker, ready))

    # --- the log ---------------------------------------------------------------------------------------------

    async def _end_of(self, stream: Stream) -> int:
        while True:
            try:
                return (await self._doors.log.progress(stream, NOBODY)).end
            except LogUnavailable as error:
                log.info("log_not_asked", stream=stream.name, error=str(error))
                await asyncio.sleep(RECONNECT_S)

    async def _follow(self, stream: Stream, after: int) -> None:
        async for entries in self._doors.log.read(stream, stream.subjects, after=after):
            for entry in entries:
                self._read(stream, entry)
            if entries:
                self._place[stream.name] = entries[-1].sequence
                self._mark(stream.name)

    def _read(self, stream: Stream, entry: Entry) -> None:
        """What cannot be read is a message without rows; who wrote it hears of that from the archivist."""
        now_ms = self._clock.passed_ms()
        try:
            if stream is ALARMS:
                alarm = decode_alarm(entry.payload)
                self.ear.alarm(alarm.id, alarm.device, now_ms)
                rows, primary = 1, 1
            else:
                fixes = decode_fixes(entry.payload)
                rows, primary = len(fixes), int(np.count_nonzero(fixes["primary"]))
                self._rows(fixes, now_ms)
        except WireError as error:
            log.error("unreadable", stream=stream.name, sequence=entry.sequence, error=str(error))
            rows = primary = 0
        self.conservation.on_log(stream.name, entry.sequence, rows, primary)

    def _rows(self, fixes: Fixes, now_ms: int) -> None:
        columns = [fixes[name].tolist() for name in ("device", "boot", "seq", "fix_ms")]
        ours = self._numbers
        self.ear.rows((key for key in zip(*columns, strict=True) if key[0] in ours), now_ms)

    async def _ask_for_ever(self) -> None:
        """Where do the streams end? What was on them now is read when the reader has come so far."""
        while True:
            for stream in READ:
                asked_ms = self._clock.passed_ms()
                try:
                    end = (await self._doors.log.progress(stream, NOBODY)).end
                except LogUnavailable as error:
                    log.info("log_not_asked", stream=stream.name, error=str(error))
                    self.ear.away(asked_ms)
                    self.conservation.away(asked_ms)
                    continue
                self._asked.setdefault(stream.name, (asked_ms, end))
                self._mark(stream.name)
            await asyncio.sleep(ASK_EVERY_S)

    def _mark(self, name: str) -> None:
        asked_ms, end = self._asked.get(name, (0, SHARES**2))
        if self._place[name] >= end:
            self.ear.read_up_to_the_end_of(name, asked_ms)
            del self._asked[name]

    # --- the buckets -----------------------------------------------------------------------------------------

    async def _follow_tallies(self) -> None:
        """Not those that stand there at the start: they may be of a life long ago."""
        present = False
        async for change in self._doors.tallies.watch():
            if change is None:
                present = True
            elif present and change.value is not None and change.key not in PULSES:
                try:
                    tally = decode_tally(change.value)
                except WireError as error:
                    log.info("tally_unreadable", key=change.key, error=str(error))  # another version's
                    continue
                self.tallied(tally)

    def tallied(self, tally: Tally) -> None:
        now_ms = self._clock.passed_ms()
        self.conservation.tallied(tally, now_ms)
        self.ear.tallied(msgspec.structs.replace(tally, listening_ms=self._session_ms(tally, now_ms)), now_ms)

    def _session_ms(self, tally: Tally, now_ms: int) -> int:
        """When its session began, by our steady clock: by how old the first tally with it makes it. 0: none."""
        if not tally.listening_ms:
            return 0
        said_ms, session_ms = self._sessions.get(tally.part, (0, 0))
        if said_ms != tally.listening_ms:
            session_ms = now_ms - max(0, tally.at_ms - tally.listening_ms) or 1
            self._sessions[tally.part] = tally.listening_ms, session_ms
        return session_ms

    async def _follow_devices(self) -> None:
        async for change in self._doors.devices.watch():
            if change is None:
                self._known.set()
            elif self._is_of_our_share(change.key):
                self._learn(change)

    def _learn(self, change: Changed) -> None:
        try:
            device = None if change.value is None else decode_device(change.value)
        except WireError as error:
            log.error("device_unreadable", device=change.key, error=str(error))
            device = None
        old, _ = self._devices.get(change.key, (None, 0))
        if old is not None and device is not None and _concerned(old) == _concerned(device):
            return
        self.ear.forget_device(change.key)
        if old is not None:
            self._numbers.discard(old.number)
        if device is None:
            self._devices.pop(change.key, None)
        else:
            since_ms = self._clock.passed_ms() + GRACE_MS if self._known.is_set() else 0
            self._devices[change.key] = device, since_ms
            self._numbers.add(device.number)

    def _is_of_our_share(self, device: str) -> bool:
        return self._broker is not None and zlib.crc32(device.encode()) < self._broker.share * SHARES

    # --- the broker ------------------------------------------------------------------------------------------

    async def _hear(self, broker: Broker, ready: Callable[[], None]) -> None:
        """One session after another; what was expected in the one before is expected no longer."""
        first = True
        while True:
            try:
                async with client_to(broker.url, broker.tls) as client:
                    for leaf in LEAVES:
                        topic = subjects.topic("+", leaf)
                        _granted(topic, await client.subscribe(topic, qos=0))
                    if first:
                        ready()
                    first = False
                    async for message in client.messages:
                        if not message.retain and isinstance(message.payload, bytes):
                            self.hear(message.topic.value, message.payload)
            except aiomqtt.MqttError as error:
                log.warning("ear_cut", error=repr(error))
            self.ear.forget(self._clock.passed_ms())
            await asyncio.sleep(RECONNECT_S)

    def hear(self, topic: str, payload: bytes) -> None:
        name = subjects.device_in(topic) or ""
        device, since_ms = self._devices.get(name, (None, 0))
        now_ms = self._clock.passed_ms()
        if device is None or now_ms < since_ms:
            return
        self.ear.heard(due(topic, topic.rpartition("/")[2], payload, device, self._clock.now_ms()), now_ms)


def _concerned(device: Device) -> tuple[object, ...]:
    """What of a device decides where its messages must be."""
    return device.number, device.kind, bool(device.measures), device.revoked_ms


def _granted(topic: str, codes: Sequence[int] | Sequence[ReasonCode]) -> None:
    """A refused subscription is an ear that is deaf and does not know it: raise MqttError."""
    if any(code.is_failure if isinstance(code, ReasonCode) else code >= REFUSED for code in codes):
        raise aiomqtt.MqttError(f"the broker refuses {topic}")
