"""Who is judged? The engine as it is in production, and simple rules.

A detector reads the messages of one session in the order of their reception and says, for each distance, when it
raised the alert. ``tocsin`` is a listener (``listeners``), fed here with a stream whose interval is fixed, message
by message and second by second; the others are in ``thresholds``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from simulator.evaluation.listeners import LISTENERS, Listener, Listens
from simulator.evaluation.said import AFTERWARDS_S, spoken
from simulator.evaluation.scoring import Spoken
from simulator.evaluation.thresholds import accuracy_gate, hysteresis, naive
from simulator.evaluation.traces import Stream
from tocsin.clock import MS

Detector = Callable[[Stream, Sequence[int]], Mapping[int, Spoken]]


def listening(listens: Listens, stream: Stream, distances_m: Sequence[int]) -> Mapping[int, Spoken]:
    """What a listener says of a stream that it cannot influence."""
    now_ms = int(stream.received_ms[0])
    listener = listens(distances_m, stream.period_s, now_ms)
    messages = listener.read(stream)
    for received_ms, message in zip(stream.received_ms.tolist(), messages, strict=True):
        _ticks(listener, now_ms, received_ms)
        listener.hear(message, received_ms)
        now_ms = received_ms
    _ticks(listener, now_ms, until_ms := now_ms + AFTERWARDS_S * MS)
    return spoken(listener.logs, until_ms)


def _ticks(listener: Listener[Any], after_ms: int, before_ms: int) -> None:
    for second_ms in range(next_second(after_ms), before_ms, MS):
        listener.tick(second_ms)


def next_second(now_ms: int) -> int:
    return (now_ms // MS + 1) * MS


DETECTORS: Final[Mapping[str, Detector]] = {
    **{name: partial(listening, listens) for name, listens in LISTENERS.items()},
    "naive": naive,
    "hysteresis": hysteresis,
    "accuracy_gate": accuracy_gate,
}
