"""How does one bracelet or phone behave? A simulated unit on a real MQTT connection.

It reports its position at its interval, obeys ``setCadence`` and ``reportLocation``, shows, says and rings what it
is told (``protection``, ``say``, ``ring``), answers every command,
sends a key press ahead of everything, keeps what it has to say while disconnected (``outbox``), and reconnects by
itself to its persistent session. A TGD phone sends heartbeats without coordinates until its key is pressed.

What it says carries the deployment's time (``Clock``); waiting for a broken connection is on the machine's time.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiomqtt
import msgspec
import numpy as np

from simulator import messages
from simulator.body import Body
from simulator.gnss import SkyFix
from simulator.messages import Fields, Result
from simulator.outbox import Outbox, Outgoing
from tocsin.clock import MS, Clock
from tocsin.model.command import Sentence
from tocsin.model.device import DeviceKind
from tocsin.subjects import topic

SOS_INTERVAL_S = 5.0
CADENCE_S = (1.0, 3600.0)  # what a unit accepts as its interval
RECONNECT_S = (0.2, 10.0)  # first and longest wait, each with up to half of chance taken off
FLUSH_S = 5.0  # at the end: what is still to be sent gets this long
SENTENCE_NAMES = frozenset(sentence.value for sentence in Sentence)
COMMANDS_REMEMBERED = 64  # a command that comes twice (QoS 1) is answered twice and done once


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Where the broker is, and the unit's right to speak."""

    host: str
    port: int
    password: str = field(repr=False)


class Positions(Protocol):
    """Where a unit has its fixes from (``simulator.gnss.GnssReceiver``), asked in order of time."""

    def fixes(self, t: float) -> list[SkyFix]:
        """What there is for second ``t``: one fix, none, or the same one twice."""

    def fix(self, t: float) -> SkyFix:
        """One fix, for a press of the key."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What happened: ``acknowledged`` counts PUBACKs by leaf, ``points`` the fixes in them, ``numbers``
    their sequence numbers: a fix that is said twice has one."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    points: int = 0
    numbers: set[int] = field(default_factory=set)
    connections: int = 0
    commands: int = 0

    def count(self, message: Outgoing) -> None:
        self.acknowledged[message.leaf] = self.acknowledged.get(message.leaf, 0) + 1
        if message.leaf in {"loc", "bulk"}:
            self.points += len(message.bodies)
            self.numbers.update(body["seq"] for body in message.bodies)


class Unit:
    """One device. ``await unit.run()`` lives until ``stop()``; ``press()`` from outside."""

    def __init__(
        self,
        device: str,
        kind: DeviceKind,
        receiver: Positions,
        *,
        line: Line,
        clock: Clock,
        start_ms: int,
        rng: np.random.Generator,
        interval_s: float = 30.0,
        boot: int = 1,
    ) -> None:
        self.device = device
        self.interval_s = interval_s
        self.tally = Tally()
        self.outbox = Outbox()
        self.connected = asyncio.Event()
        self.body = Body(has_tag=kind is DeviceKind.WEARER)
        self.shows = "over"  # what hers shows of her protection
        self.said: list[str] = []  # the sentences that it has shown
        self.rung = 0  # how often it has rung
        self._kind = kind
        self._locating = kind is not DeviceKind.TGD
        self._receiver = receiver
        self._line = line
        self._clock = clock
        self._start_ms = start_ms
        self._rng = rng
        self._boot = boot
        self._seq = 0
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()  # the interval changed, or a position is wanted now
        self._report_now = False
        self._to_send = asyncio.Event()
        self._sent_all = asyncio.Event()
        self._answered: OrderedDict[str, Result] = OrderedDict()

    # --- what others may do to it ---------------------------------------------------------------------------

    def press(self, *, silent: bool = False) -> None:
        """The key, held long enough."""
        fix = self._receiver.fix(self._now_s())
        now_ms = self._clock.now_ms()
        said = messages.sos(now_ms=now_ms, seq=self._next_seq(), boot=self._boot, silent=silent, fix=fix)
        self._put_urgent("sos", said)
        self._locating = self._report_now = True
        self.interval_s = min(self.interval_s, SOS_INTERVAL_S)
        self._hurry.set()

    def cut_strap(self) -> None:
        self.body.strap_closed = False
        self._happens("strap_open")

    def close_strap(self) -> None:
        self.body.strap_closed = True
        self._happens("strap_closed")

    def separate(self) -> None:
        """He goes without his unit: it hears the tag no more, and says so in its reports."""
        self.body.heard_s = self._now_s()

    def rejoin(self) -> None:
        self.body.heard_s = None
        self._happens("separation_end")

    def unpair(self) -> None:
        """Four taps, and no alarm (F29): its reports go on, without a word of the tag."""
        self.body.tells_pair = False

    def drain(self, pct_per_s: float) -> None:
        """From now on the battery loses so much."""
        self.body.drain(self._now_s(), pct_per_s)

    def power_off(self) -> None:
        """It says so, sends what waits, and is gone."""
        self._happens("power_off")
        self.stop()

    def hear_other_unit(self, *, local: bool = True) -> None:
        """The radio of the other party; the unit has rung by itself already (F03)."""
        self._happens("rf_proximity", local=local)

    def _happens(self, name: str, *, local: bool = False) -> None:
        own, now_ms = self.body.said(self._now_s()), self._clock.now_ms()
        said = messages.event(name, now_ms=now_ms, seq=self._next_seq(), boot=self._boot, local=local, own=own)
        self._put_urgent("evt", said)
        self._report_now = True
        self._hurry.set()

    def stop(self) -> None:
        """Send what waits (for at most FLUSH_S), disconnect, and let ``run`` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Live. Cancelling it stops at once, without sending what waits."""
        async with asyncio.TaskGroup() as group:
            living = group.create_task(self._live(), name=f"{self.device} lives")
            speaking = group.create_task(self._stay_connected(), name=f"{self.device} speaks")
            await self._stopping.wait()
            living.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._all_sent()
            speaking.cancel()

    # --- positions ------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """Report now, then after part of an interval (fleets must not march in step), then at each interval."""
        share = float(self._rng.uniform(0.5, 1.0))
        while True:
            last_s = self._now_s()
            self._report()
            self._report_now = False
            # Asked again after each pause: a new interval holds at once.
            while not self._report_now and (left_s := last_s + share * self.interval_s - self._now_s()) > 0:
                await self._pause(left_s)
            share = 1.0

    async def _pause(self, seconds: float) -> None:
        """Until the time is over or something makes it hurry."""
        waits = [asyncio.create_task(self._clock.sleep(seconds)), asyncio.create_task(self._hurry.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            self._hurry.clear()

    def _report(self) -> None:
        if not self._locating:
            if self.connected.is_set():  # a heartbeat that comes later says nothing
                own = self.body.said(self._now_s())
                said = messages.status(now_ms=self._clock.now_ms(), seq=self._next_seq(), boot=self._boot, own=own)
                self._put_urgent("state", said)
            return
        fixes = self._receiver.fixes(self._now_s())
        if fixes:
            seq = self._next_seq()  # a fix that is said twice is the same message twice
            for fix in fixes:
                own = self.body.said(self._now_s())
                body = messages.point(fix, start_ms=self._start_ms, seq=seq, boot=self._boot, own=own)
                self.outbox.put_fix(body)
            self._something_to_send()

    # --- the connection -------------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        failures = 0
        while True:
            try:
                async with self._client() as client:
                    failures = 0
                    await self._converse(client)
            except* (aiomqtt.MqttError, OSError):
                failures += 1
            finally:
                self.connected.clear()
                self.outbox.lost()
            await asyncio.sleep(self._backoff_s(failures))

    def _client(self) -> aiomqtt.Client:
        return aiomqtt.Client(
            self._line.host,
            self._line.port,
            username=self.device,
            password=self._line.password,
            identifier=self.device,
            clean_session=False,
        )

    async def _converse(self, client: aiomqtt.Client) -> None:
        """Speak and listen until the connection breaks: listening notices it, and that ends speaking."""
        await client.subscribe(topic(self.device, "cmd"), qos=1)
        self.tally.connections += 1
        self.connected.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send(client))
            async for message in client.messages:
                self._obey(message.payload)

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            while (message := self.outbox.head()) is not None:
                await client.publish(topic(self.device, message.leaf), self._payload(message), qos=1)
                self.outbox.done()
                self.tally.count(message)
            self._sent_all.set()
            await self._to_send.wait()
            self._to_send.clear()

    def _payload(self, message: Outgoing) -> bytes:
        """``created_at`` is the time of sending, so it is put on here, again at each attempt."""
        now_ms = self._clock.now_ms()
        if message.leaf == "loc":
            return messages.encode(messages.location(message.bodies[0], now_ms=now_ms))
        if message.leaf == "bulk":
            return messages.encode(messages.bulk(message.bodies, now_ms=now_ms))
        return messages.encode(message.bodies[0])

    def _backoff_s(self, failures: int) -> float:
        first, longest = RECONNECT_S
        return min(longest, first * 2.0 ** min(failures, 10)) * float(self._rng.uniform(0.5, 1.0))

    # --- commands -------------------------------------------------------------------------------------------

    def _obey(self, payload: object) -> None:
        """Do what is asked, once, and say what came of it."""
        try:
            command = msgspec.json.decode(payload if isinstance(payload, bytes) else b"")
            name, action = str(command["id"]), str(command["action"])
        except (msgspec.DecodeError, KeyError, TypeError):
            return  # without an id there is nothing to answer to
        self.tally.commands += 1
        if name not in self._answered:
            self._answered[name] = self._carry_out(action, command)
            while len(self._answered) > COMMANDS_REMEMBERED:
                self._answered.popitem(last=False)
        self._put_urgent("res", messages.result(name, self._answered[name], now_ms=self._clock.now_ms()))

    def _carry_out(self, action: str, command: Fields) -> Result:
        expires_s = command.get("exp")
        if isinstance(expires_s, int | float) and self._clock.now_ms() > expires_s * MS:
            return "expired"
        known: dict[str, Callable[[Fields], Result]] = {
            "setCadence": self._set_cadence,
            "reportLocation": self._report_location,
            "protection": self._show_protection,
            "say": self._say,
            "ring": self._ring,
        }
        return known[action](command) if action in known else "rejected"

    def _set_cadence(self, command: Fields) -> Result:
        seconds: Any = command.get("s")
        shortest, longest = CADENCE_S
        if not isinstance(seconds, int | float) or not shortest <= seconds <= longest or math.isnan(seconds):
            return "rejected"
        self.interval_s = float(seconds)
        self._hurry.set()
        return "done"

    def _report_location(self, _: Fields) -> Result:
        if not self._locating:
            return "rejected"  # a phone that raised no alert has no position to tell
        self._report_now = True
        self._hurry.set()
        return "accepted"

    def _show_protection(self, command: Fields) -> Result:
        state, ring = command.get("state"), command.get("ring")
        if (
            self._kind is DeviceKind.WEARER
            or state not in {"alert", "degraded", "over"}
            or not isinstance(ring, bool)
        ):
            return "rejected"
        self.shows = str(state)
        self.rung += ring
        return "done"

    def _say(self, command: Fields) -> Result:
        template = command.get("template")
        if template not in SENTENCE_NAMES:
            return "rejected"
        self.said.append(str(template))
        return "done"

    def _ring(self, _: Fields) -> Result:
        if self._kind is not DeviceKind.PROTECTED:
            return "rejected"
        self.rung += 1
        return "done"

    # --- small things ---------------------------------------------------------------------------------------

    def _now_s(self) -> float:
        return (self._clock.now_ms() - self._start_ms) / MS

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def _put_urgent(self, leaf: str, fields: Fields) -> None:
        self.outbox.put_urgent(leaf, fields)
        self._something_to_send()

    def _something_to_send(self) -> None:
        self._sent_all.clear()
        self._to_send.set()

    async def _all_sent(self) -> None:
        while not self.outbox.is_empty:
            await self._sent_all.wait()
