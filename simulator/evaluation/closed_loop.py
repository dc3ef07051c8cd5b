"""What does a detector say whose devices do as it tells them?

The messages of a session are not given but drawn from the full-rate tracks, as the detector asks for them: a
device reports as ``unit`` has it, from BASE_S on; a report is received after a latency; what the detector asks
thereupon reaches the device COMMAND_MS later. Chance, from one seed, decides the phase of each device and the
latency of each fix, which is the same whatever is asked: two detectors differ by what they do, not by their luck.

The latency is that of the set's own streams ``orig``, 0.3 s + gamma(1.5, 0.8 s): mean 1.5 s, p99 4.8 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Final

import numpy as np

from simulator.evaluation.detectors import next_second
from simulator.evaluation.listeners import BASE_S, Ask, Listener, Listens
from simulator.evaluation.said import AFTERWARDS_S, spoken
from simulator.evaluation.scoring import Spoken
from simulator.evaluation.traces import PROTECTED, WEARER, Ints, Stream, Track
from simulator.evaluation.unit import Unit
from tocsin.clock import MS

CLOSED_LOOP: Final = 0  # instead of a period: the devices report as they are told
COMMAND_MS: Final = 1_000
LATENCY_MIN_S: Final = 0.3
LATENCY_GAMMA: Final = (1.5, 0.8)  # shape; scale in seconds
UNTOLD: Final = -1


def closed_loop(track: Track, listens: Listens, distance_m: int, seed: int) -> tuple[Mapping[int, Spoken], int]:
    """What is said of one distance, and how many reports were received."""
    chance = np.random.default_rng([seed, track.session])
    phases_ms = chance.integers(0, BASE_S, size=2) * MS
    stream = receivable(track, _latencies_ms(chance, track.fix_ms.size))
    loop = Loop(
        listener=listens([distance_m], None, track.start_ms),
        stream=stream,
        units=[_unit(track, role, int(phases_ms[role])) for role in (WEARER, PROTECTED)],
        start_ms=track.start_ms,
    )
    loop.run()
    return spoken(loop.listener.logs, loop.until_ms()), loop.received


def _latencies_ms(chance: np.random.Generator, size: int) -> Ints:
    return np.rint((LATENCY_MIN_S + chance.gamma(*LATENCY_GAMMA, size=size)) * MS).astype(np.int64)


def receivable(track: Track, latencies_ms: Ints) -> Stream:
    """Every fix of the track as it would be received if it were sent; by role, not in order of reception."""
    return Stream(
        session=track.session,
        period_s=None,
        role=track.role,
        fix_ms=track.fix_ms,
        received_ms=track.fix_ms + latencies_ms,
        lat_e7=track.lat_e7,
        lon_e7=track.lon_e7,
        accuracy_dm=np.full(track.fix_ms.size, UNTOLD),
    )


def _unit(track: Track, role: int, phase_ms: int) -> Unit:
    return Unit(track.fix_ms[track.role == role].tolist(), track.start_ms + phase_ms, track.end_ms, BASE_S * MS)


@dataclass(slots=True, kw_only=True)
class Loop:
    """One session. What happens at one millisecond happens in this order: commands arrive, units send, a message
    is received; the clock is heard at whole seconds without a message.

    ``stream``: the fixes that could be sent, by role; ``units``: by role. ``now_ms``: the last reception.
    """

    listener: Listener[Any]
    stream: Stream
    units: Sequence[Unit]
    start_ms: int
    now_ms: int = field(init=False)
    received: int = field(init=False, default=0)
    _messages: Sequence[Any] = field(init=False)
    _first: Sequence[int] = field(init=False)  # by role: where its fixes begin in the stream
    _received_ms: Sequence[int] = field(init=False)
    _last_fix_ms: int = field(init=False)
    _mail: list[tuple[float, int]] = field(init=False, default_factory=list)  # hour of reception, place in stream
    _commands: list[tuple[float, int, Ask]] = field(
        init=False, default_factory=list
    )  # of arrival, order of giving
    _given: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.now_ms = self.start_ms
        self._messages = self.listener.read(self.stream)
        self._first = np.searchsorted(self.stream.role, [WEARER, PROTECTED]).tolist()
        self._received_ms = self.stream.received_ms.tolist()
        self._last_fix_ms = int(self.stream.fix_ms.max(initial=self.start_ms))

    def run(self) -> None:
        self._give(self.listener.opening, self.start_ms)
        second_ms = next_second(self.start_ms)
        while min(at_ms := self._next_ms(), second_ms) < self.until_ms():
            if second_ms < at_ms:
                self._give(self.listener.tick(second_ms), second_ms)
                second_ms += MS
            elif self._happens(int(at_ms)):
                second_ms = next_second(self.now_ms)

    def until_ms(self) -> int:
        """So long a command could still bring a report, or the clock something to say."""
        return max(self._last_fix_ms, self.now_ms) + AFTERWARDS_S * MS

    def _next_ms(self) -> float:
        """When something happens next, unless the clock gives a command before."""
        queued_ms = (queue[0][0] for queue in (self._mail, self._commands) if queue)
        return min(*(unit.sends_at_ms for unit in self.units), *queued_ms)

    def _happens(self, at_ms: int) -> bool:
        """Do what comes first at this hour; whether a message was received."""
        if self._commands and self._commands[0][0] == at_ms:
            self._obey(heappop(self._commands)[2], at_ms)
            return False
        for role, unit in enumerate(self.units):
            if unit.sends_at_ms == at_ms:
                place = self._first[role] + unit.send()
                heappush(self._mail, (self._received_ms[place], place))
                return False
        self.now_ms = at_ms
        self.received += 1
        self._give(self.listener.hear(self._messages[heappop(self._mail)[1]], at_ms), at_ms)
        return True

    def _give(self, asks: Sequence[Ask], now_ms: int) -> None:
        for ask in asks:
            self._given += 1
            heappush(self._commands, (now_ms + COMMAND_MS, self._given, ask))

    def _obey(self, ask: Ask, now_ms: int) -> None:
        unit = self.units[ask.role]
        if ask.interval_s is None:
            unit.report_now(now_ms)
        else:
            unit.obey(ask.interval_s * MS, now_ms)
