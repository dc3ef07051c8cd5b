"""Does moving her within one zone state change a byte of what is sent to him? Invariant 5; F33, F34.

Two worlds that differ in her places alone, through the real engine, desk and door. As long as the state of all his
measures is the same in both, second by second, he reads the same bytes: names, intervals, hours, how many, in
which order, and which sentences may be said to him. The state of a measure is its zone, whether that is authorised
(the judge's floor is a ring like the others), the band of the distance (DOMAIN section 2) and whether it is
uncertain (section 3); nothing else of her is in it.

The lives are those of ``geofence_streams``: near the edges of the rings, heard badly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from builders import REALM, command
from geofence_streams import (
    Act,
    Cast,
    Played,
    acts,
    casts,
    long_life,
    messages,
    roster,
)
from hypothesis import event, given, settings
from hypothesis import strategies as st

from alerts import desk
from alerts.channels.device import NotSayable, payload, told_as
from alerts.episodes import place_of
from alerts.unit_states import UnitStates
from geofence.engine import Step
from geofence.pair_state import PairState
from tocsin import subjects
from tocsin.model.command import Action, Sentence
from tocsin.model.device import Device, DeviceKind
from tocsin.model.episode import Episode, FindingCause, Ruling
from tocsin.model.finding import Code, Finding

HIM, HER = 1, 2
HIS = "b0000001"
OTHERS = np.array([HER, 3])  # whom he is kept from: 3 is the other one in some casts

State = tuple[tuple[int, int, bool, bool, bool], ...]

moves_m = st.tuples(st.integers(-2_500, 2_500), st.integers(-2_500, 2_500))


@dataclass
class World:
    """The engine, the desk and the door, and what he can read."""

    cast: Cast
    played: Played = field(init=False)
    states: UnitStates = field(default_factory=UnitStates)
    episodes: dict[str, Episode] = field(default_factory=dict)
    rulings: int = 0
    done: int = 0

    def __post_init__(self) -> None:
        self.played = Played(self.cast)
        self.his = Device(
            id=HIS, number=HIM, kind=DeviceKind.WEARER,
            measures=tuple(one.id for one in roster(self.cast).orders if one.wearer == HIS),
        )  # fmt: skip

    def state(self) -> State:
        """Of each of his measures."""
        table = self.played.table
        rows = [row for row, one in enumerate(table.roster.orders) if one.wearer == HIS]
        found = [table.state(row) for row in rows]
        return tuple(
            (
                int(one.zone), one.interval_s, one.uncertain_ms is not None,
                _is_authorised(one, Code.PROX_ALERT), _is_authorised(one, Code.PROX_PREALERT),
            )
            for one in found
        )  # fmt: skip

    def said(self, now_ms: int) -> list[bytes]:
        """The bytes that went to him since the last time, and those that an operator could send now."""
        steps, self.done = self.played.steps[self.done :], len(self.played.steps)
        for step in steps:
            for finding in step.findings:
                self._rule(finding)
        return [*_orders(steps), *self._sentences(now_ms)]

    def _rule(self, finding: Finding) -> None:
        place = subjects.episode(*place_of(finding))
        cause = FindingCause(finding=finding)
        answer = desk.handle(self.episodes.get(place), cause, REALM, finding.at_ms)
        if isinstance(answer, Ruling):
            self.rulings += 1
            self.episodes[place] = answer.episode
            self.states.hear(place, self.rulings, answer)

    def _sentences(self, now_ms: int) -> Iterator[bytes]:
        for sentence in Sentence:
            order = command(
                sentence.value, HIS, action=Action.SAY, interval_s=None, sentence=sentence, by="A. Martin",
                at_ms=now_ms, expires_ms=now_ms + 60_000,
            )  # fmt: skip
            with contextlib.suppress(NotSayable):
                yield payload(order, DeviceKind.WEARER, self.states.conditions(self.his))


def _is_authorised(state: PairState, code: Code) -> bool:
    opened = state.opened.get(code)
    return opened is not None and opened.authorised


def _orders(steps: Sequence[Step]) -> list[bytes]:
    orders = [one for step in steps for one in step.commands if one.device == HIS]
    return [payload(told_as(one), DeviceKind.WEARER) for one in orders]


def moved(fixes: np.ndarray, by_m: Sequence[tuple[int, int]]) -> np.ndarray:
    """The same messages, each of hers from so far away from where it was; east, north."""
    other = fixes.copy()
    hers = np.flatnonzero(np.isin(fixes["device"], OTHERS))
    for index, (east_m, north_m) in zip(hers, (by_m * (hers.size // len(by_m) + 1))[: hers.size], strict=True):
        other["lon_e6"][index] += round(east_m / 0.0744)  # 74,400 m a degree at 48 N
        other["lat_e6"][index] += round(north_m / 0.1112)
    return other


def hours(fixes: np.ndarray) -> Iterator[tuple[int, np.ndarray | None]]:
    """Each second, and each message in its place; five minutes behind the last."""
    next_s = int(fixes["t3_ms"][0]) // 1000
    for index in range(fixes.size + 1):
        until_s = next_s + 300 if index == fixes.size else int(fixes["t3_ms"][index]) // 1000
        for second in range(next_s, until_s + 1):
            yield 1000 * second, None
        next_s = max(next_s, until_s + 1)
        if index < fixes.size:
            yield int(fixes["t3_ms"][index]), fixes[index : index + 1]


def read_the_same(cast: Cast, here: np.ndarray, there: np.ndarray) -> tuple[int, int, bool]:
    """As long as the states agree. How many orders he read, in how many states, and whether they agreed to the
    end."""
    a, b = World(cast), World(cast)
    read, seen = 0, {a.state()}
    for (now_ms, one), (_, other) in zip(hours(here), hours(there), strict=True):
        for world, batch in ((a, one), (b, other)):
            if batch is None:
                world.played.tick(now_ms)
            else:
                world.played.hear(batch)
        if a.state() != b.state():
            return read, len(seen), False
        seen.add(a.state())
        said = a.said(now_ms)
        assert said == b.said(now_ms)
        read += sum(b"setCadence" in one or b"reportLocation" in one for one in said)
    return read, len(seen), True


@settings(max_examples=150)
@given(casts, st.booleans(), st.lists(acts, min_size=4, max_size=40), st.lists(moves_m, min_size=1, max_size=6))
def test_wherever_she_is_in_one_state_he_reads_the_same(
    cast: Cast, armed: bool, life: list[Act], by_m: list[tuple[int, int]]
) -> None:
    cast = cast._replace(interval_s=None, armed=armed)
    here = messages(cast, life)
    read, states, to_the_end = read_the_same(cast, here, moved(here, by_m))
    event(f"to the end: {to_the_end}, states: {states}, orders: {min(read, 4)}")


@pytest.mark.parametrize("seed", range(12))
def test_over_long_lives_too(seed: int) -> None:
    cast, life = long_life(seed)
    here = messages(cast._replace(interval_s=None), life)
    east_m = 40 * (seed % 5) - 80
    read_the_same(cast._replace(interval_s=None), here, moved(here, [(east_m, 60), (30, -east_m)]))
