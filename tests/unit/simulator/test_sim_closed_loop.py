"""Two devices that obey: when does the detector hear what, and does what it asks arrive?

Invented tracks, a fix each second; every report is received 2 s after its fix unless said otherwise. The listener
here is a script: it writes down what it hears and asks what it was told to ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofence import engine
from simulator.evaluation import listeners
from simulator.evaluation.closed_loop import Loop, closed_loop, receivable
from simulator.evaluation.listeners import LISTENERS, Ask, Engine
from simulator.evaluation.said import AFTERWARDS_S, Log
from simulator.evaluation.traces import PROTECTED, WEARER, Stream, Track
from simulator.evaluation.unit import Unit
from tocsin.clock import MS
from tocsin.model.command import Action, Command
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import ClockPoints, Fixes
from tocsin.model.zone import Zone

LATENCY_MS = 2_000
HOUR_S = 3600


class Heard(NamedTuple):
    """One report, in seconds; ``now_s``: when it was handed to the listener."""

    role: int
    fix_s: float
    received_s: float
    now_s: float


class Script:
    """Asks ``asks[n]`` at the n-th message, and ``at_ticks[s]`` at second s."""

    def __init__(
        self, asks: dict[int, list[Ask]] | None = None, at_ticks: dict[int, list[Ask]] | None = None
    ) -> None:
        self.logs = {1000: Log()}
        self.opening: Sequence[Ask] = ()
        self.asks, self.at_ticks = asks or {}, at_ticks or {}
        self.heard: list[Heard] = []
        self.ticks_s: list[float] = []

    def read(self, stream: Stream) -> Sequence[tuple[int, float, float]]:
        columns = (stream.role, stream.fix_ms / MS, stream.received_ms / MS)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def hear(self, message: tuple[int, float, float], received_ms: int) -> Sequence[Ask]:
        self.heard.append(Heard(*message, received_ms / MS))
        return self.asks.get(len(self.heard) - 1, ())

    def tick(self, second_ms: int) -> Sequence[Ask]:
        self.ticks_s.append(second_ms / MS)
        return self.at_ticks.get(second_ms // MS, ())

    def fixes_s(self, role: int) -> list[float]:
        return [one.fix_s for one in self.heard if one.role == role]


class Chatty(Script):
    """What it asks depends on all that it has heard so far, and on nothing else."""

    def hear(self, message: tuple[int, float, float], received_ms: int) -> Sequence[Ask]:
        super().hear(message, received_ms)
        word = hash(tuple(self.heard))
        return [Ask(word % 2, (None, 5, 10, 30, 60)[word // 2 % 5])] if word % 3 else ()


def track(wearer_s: Sequence[int], protected_s: Sequence[int], end_s: int = HOUR_S) -> Track:
    fixes_s = np.array([*wearer_s, *protected_s], np.int64)
    nothing = np.zeros_like(fixes_s)
    return Track(
        session=1, start_ms=0, end_ms=end_s * MS,
        role=np.repeat([WEARER, PROTECTED], [len(wearer_s), len(protected_s)]),
        fix_ms=fixes_s * MS, lat_e7=nothing, lon_e7=nothing,
    )  # fmt: skip


def looped(listener: Script, there: Track, latencies_ms: np.ndarray | None = None) -> Script:
    """Both begin at 0 with a minute."""
    if latencies_ms is None:
        latencies_ms = np.full(there.fix_ms.size, LATENCY_MS)
    units = [Unit(there.fix_ms[there.role == role].tolist(), 0, there.end_ms, 60 * MS) for role in (0, 1)]
    Loop(listener=listener, stream=receivable(there, latencies_ms), units=units, start_ms=0).run()
    return listener


ALWAYS = track(range(HOUR_S), range(HOUR_S), end_s=300)


def test_whoever_is_told_nothing_reports_each_minute_and_is_heard_after_the_latency() -> None:
    script = looped(Script(), ALWAYS)
    assert script.fixes_s(WEARER) == script.fixes_s(PROTECTED) == [0, 60, 120, 180, 240]
    assert all(one.received_s == one.now_s == one.fix_s + 2 for one in script.heard)


def test_a_shorter_interval_makes_that_device_and_no_other_report_at_once() -> None:
    script = looped(Script(at_ticks={33: [Ask(WEARER, 10)]}), ALWAYS)
    assert script.fixes_s(WEARER)[:4] == [0, 34, 44, 54]  # a second after it was asked
    assert script.fixes_s(PROTECTED)[:3] == [0, 60, 120]


def test_a_longer_interval_counts_from_the_next_report_on() -> None:
    told = {1: [Ask(WEARER, 10)], 90: [Ask(WEARER, 60)]}
    assert looped(Script(at_ticks=told), ALWAYS).fixes_s(WEARER)[8:] == [80, 90, 100, 160, 220, 280]


def test_what_is_asked_upon_a_report_cannot_change_what_was_sent_before_the_command_came() -> None:
    """Sent at 60, received at 62, obeyed at 63: the next is not the one of 61 or 62."""
    script = looped(Script(asks={2: [Ask(WEARER, 1)], 3: [Ask(PROTECTED, None)]}), ALWAYS)
    assert script.fixes_s(WEARER)[:5] == [0, 60, 63, 64, 65]
    assert script.fixes_s(PROTECTED)[:4] == [0, 60, 63, 123]


def test_what_it_asks_before_it_has_heard_anything_is_obeyed_too() -> None:
    script = Script()
    script.opening = [Ask(WEARER, 20)]
    assert looped(script, ALWAYS).fixes_s(WEARER)[:3] == [0, 20, 40]


def test_reports_that_overtake_each_other_are_heard_in_the_order_of_their_reception() -> None:
    latencies_ms = np.full(ALWAYS.fix_ms.size, LATENCY_MS)
    latencies_ms[60] = 90_500  # of the wearer's second report
    script = looped(Script(), ALWAYS, latencies_ms)
    assert script.fixes_s(WEARER) == [0, 120, 60, 180, 240]


def test_the_clock_is_heard_each_second_without_a_message_and_for_a_while_behind_the_last() -> None:
    script = looped(Script(), ALWAYS)
    receptions_s = {one.now_s for one in script.heard}
    assert script.ticks_s == [
        second for second in range(1, HOUR_S - 1 + AFTERWARDS_S) if second not in receptions_s
    ]


def test_what_nobody_would_have_reported_any_more_can_still_be_asked_for() -> None:
    """Both sleep beyond the last fix when the clock asks."""
    there = track([0, 250], [0], end_s=900)
    assert looped(Script(), there).fixes_s(WEARER) == [0, 250]
    there = track([0, 50], [0], end_s=900)
    assert looped(Script(), there).fixes_s(WEARER) == [0]
    assert looped(Script(at_ticks={40: [Ask(WEARER, 10)]}), there).fixes_s(WEARER) == [0, 50]


def test_nobody_there_is_heard_as_nobody() -> None:
    script = looped(Script(), track([], []))
    assert script.heard == []
    assert looped(Script(), track([5], [])).fixes_s(WEARER) == [5]


seconds = st.lists(st.integers(0, 900), unique=True, max_size=400).map(sorted)


def latencies_of(there: Track) -> np.ndarray:
    """By the fix alone: up to 10 s, so that reports overtake each other."""
    return 300 + (there.fix_ms // MS * 7919 + there.role * 31) % 9_700


@given(wearer_s=seconds, protected_s=seconds)
@settings(max_examples=60, deadline=None)
def test_whatever_is_asked_each_fix_comes_once_and_nothing_is_heard_before_it_was_received(
    wearer_s: list[int], protected_s: list[int]
) -> None:
    there = track(wearer_s, protected_s, end_s=900)
    chatty = looped(Chatty(), there, latencies_of(there))
    for role in (WEARER, PROTECTED):
        assert len(set(chatty.fixes_s(role))) == len(chatty.fixes_s(role))
    assert all(one.fix_s < one.received_s == one.now_s for one in chatty.heard)
    assert [one.now_s for one in chatty.heard] == sorted(one.now_s for one in chatty.heard)
    assert chatty.ticks_s == sorted(set(chatty.ticks_s))


@given(wearer_s=seconds, protected_s=seconds, other_s=seconds, until_s=st.integers(0, 900))
@settings(max_examples=60, deadline=None)
def test_what_is_heard_until_an_hour_does_not_depend_on_what_comes_after_it(
    wearer_s: list[int], protected_s: list[int], other_s: list[int], until_s: int
) -> None:
    """Two worlds that part at ``until_s``: nobody can have heard of it before."""

    def parted(before_s: list[int]) -> list[int]:
        return [at_s for at_s in before_s if at_s < until_s] + [at_s for at_s in other_s if at_s >= until_s]

    def heard(there: Track) -> list[Heard]:
        chatty = looped(Chatty(), there, latencies_of(there))
        return [one for one in chatty.heard if one.now_s < until_s]

    one, other = track(wearer_s, protected_s, 900), track(parted(wearer_s), parted(protected_s), 900)
    assert heard(one) == heard(other)


# --- the detectors that ask ----------------------------------------------------------------------------------


def approach() -> Track:
    """He comes from 8 km away at 10 m/s, straight at her; she stays where she is."""
    fixes_s = range(1500)
    both = track(fixes_s, fixes_s, end_s=1500)
    metres_e7 = 1e7 / 111_195
    away_m = np.concatenate([np.maximum(8000.0 - 10.0 * np.arange(1500), 0.0), np.zeros(1500)])
    lat_e7 = np.rint(470_000_000 + away_m * metres_e7).astype(np.int64)
    return Track(
        session=1, start_ms=0, end_ms=both.end_ms, role=both.role, fix_ms=both.fix_ms, lat_e7=lat_e7,
        lon_e7=np.full(lat_e7.size, 20_000_000),
    )  # fmt: skip


def test_the_engine_asks_for_more_as_he_comes_nearer_and_alert_within_seconds() -> None:
    said, reports = closed_loop(approach(), LISTENERS["tocsin"], 1000, 7)
    assert said[1000].alerts_s.tolist() == [pytest.approx(700.0, abs=8.0)]
    assert 2 * 1500 / 60 < reports < 2 * 1500 / 5
    assert closed_loop(approach(), LISTENERS["tocsin"], 1000, 7)[1] == reports


class Mute(Engine):
    """Decides as ever, and nobody hears what it asks."""

    def hear(self, message: Fixes, received_ms: int) -> Sequence[Ask]:
        super().hear(message, received_ms)
        return ()

    def tick(self, second_ms: int) -> Sequence[Ask]:
        super().tick(second_ms)
        return ()


def test_the_same_rules_that_ask_for_nothing_are_later_and_get_a_report_a_minute() -> None:
    said, reports = closed_loop(approach(), Mute, 1000, 7)
    assert reports == 2 * 1500 // 60
    assert 700.0 < said[1000].alerts_s[0] < 770.0


def finding(code: Code, change: Change) -> Finding:
    return Finding(
        id="f", measure="msr_1000", order_version=1, code=code, change=change, before=Zone.FAR,
        after=Zone.ALERT, distance_dm=None, threshold_m=1000, wearer=None, protected=None, entry="f", entry_ms=0,
        at_ms=1, reason="test", points=ClockPoints(),
    )  # fmt: skip


def command(device: str, action: Action, interval_s: int | None) -> Command:
    return Command(id="c", device=device, action=action, at_ms=0, expires_ms=9, interval_s=interval_s)


def test_what_the_engine_commands_is_what_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Engine([1000], None, 0)
    commands = (
        command("wearer", Action.SET_CADENCE, 10),
        command("protected", Action.SET_CADENCE, 5),
        command("wearer", Action.REPORT_LOCATION, None),
    )
    monkeypatch.setattr(engine, "is_due", lambda table, now_ms: True)
    monkeypatch.setattr(engine, "step", lambda table, batch, now_ms: engine.Step(commands=commands))
    assert listener.tick(1000) == [Ask(WEARER, 10), Ask(PROTECTED, 5), Ask(WEARER, None)]


def test_what_the_engine_finds_is_kept_under_the_hour_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Engine([500, 1000], 10, 0)
    monkeypatch.setattr(engine, "is_due", lambda table, now_ms: True)
    found = [
        (Code.UNCERTAIN, Change.ENTRY), (Code.DEGRADED, Change.ENTRY), (Code.DEGRADED, Change.EXIT),
        (Code.UNCERTAIN, Change.EXIT), (Code.PROX_PREALERT, Change.ENTRY), (Code.PROX_ALERT, Change.ENTRY),
        (Code.IMMINENT, Change.ENTRY), (Code.PROX_ALERT, Change.EXIT),
    ]  # fmt: skip
    for second, (code, change) in enumerate(found, start=1):
        step = engine.Step(findings=(finding(code, change),))
        monkeypatch.setattr(engine, "step", lambda table, batch, now_ms, step=step: step)
        listener.tick(second * MS)
    assert listener.logs[1000] == Log([6.0], [8.0], [1.0], [4.0], [2.0], [3.0], wearer_shares_pct=[None])
    assert listener.logs[500] == Log()


def test_only_a_device_that_takes_no_orders_is_registered_with_its_interval() -> None:
    assert [device.reports_every_s for device in listeners._devices(10).values()] == [10, 10]
    assert [device.reports_every_s for device in listeners._devices(None).values()] == [None, None]
