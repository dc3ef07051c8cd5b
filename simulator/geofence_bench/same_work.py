"""What does distance and state cost, by engine and batch, when all do the same work on the same messages?

All engines hear one stream in slices, one for each batch size and pass, engine after engine, so that a busy
machine is busy for all of them. Decoding is outside: every engine is given its messages in the form that it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from simulator.geofence_bench.cost import Asked, Cost, Watch, clocked, collector_off
from simulator.geofence_bench.crossings import Crossings, invent_work
from simulator.geofence_bench.distance import DistanceEngine
from simulator.geofence_bench.peers import Columns, Lists, PyprojColumns, PythonHaversine
from simulator.geofence_bench.reference import Event, Message, Sequential, Work, match

WARM_ROUNDS: Final = 2  # in which everybody is heard, before anything is measured


class Engine(Protocol):
    def step(self, batch: Any, /) -> list[Event]: ...  # noqa: ANN401  (each engine has a form of its own)


Engines = Mapping[str, Callable[[Work], Engine]]

ENGINES: Final[Engines] = {
    "tocsin-distance": DistanceEngine,
    "pyproj": PyprojColumns,
    "python": PythonHaversine,
}
EXACT: Final = ("tocsin-distance", "pyproj")  # of these every event must be the reference's


class Slice(NamedTuple):
    """Messages ``first`` to ``last`` in batches of ``batch``."""

    batch: int
    first: int
    last: int


class Stream:
    """The messages in the form of each engine."""

    def __init__(self, crossings: Crossings, messages: int) -> None:
        rounds = -(-messages // crossings.work.devices)
        self.fixes = np.concatenate([crossings.round() for _ in range(rounds)])[:messages]
        lat, lon = self.fixes["lat_e6"] / 1e6, self.fixes["lon_e6"] / 1e6
        self.columns = Columns(self.fixes["device"] - 1, lat, lon)
        self.lists = Lists(self.columns.device.tolist(), lat.tolist(), lon.tolist())

    def batches(self, engine: str, part: Slice) -> list[Any]:
        bounds = [slice(at, min(at + part.batch, part.last)) for at in range(part.first, part.last, part.batch)]
        columns, lists = self.columns, self.lists
        match engine:
            case "pyproj":
                return [Columns(columns.device[one], columns.lat[one], columns.lon[one]) for one in bounds]
            case "python":
                return [Lists(lists.device[one], lists.lat[one], lists.lon[one]) for one in bounds]
            case _:
                return [self.fixes[one] for one in bounds]


def measure(
    asked: Asked, pairs: int, *, engines: Engines, say: Callable[[str], None]
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """(rows of the report, what was heard)."""
    rng = np.random.default_rng([asked.seed, pairs])
    work = invent_work(pairs, rng)
    warm = Slice(1_000, 0, WARM_ROUNDS * work.devices)
    slices = list(_slices(asked, warm.last))
    stream = Stream(Crossings(work, rng), slices[-1].last)
    wanted = Sequential(work).hear(map(Message, *stream.lists))
    say(f"{pairs} pairs, distance and state: {stream.fixes.size} messages, {len(wanted)} events in the reference")
    told, costs = _heard(stream, warm, slices, {name: make(work) for name, make in engines.items()})
    rows = [
        cost.row(name, pairs, batch, _match(told[name], wanted, [one for one in slices if one.batch == batch]))
        for (name, batch), cost in costs.items()
    ]
    return rows, {"messages": stream.fixes.size, "events": len(wanted)}


def _heard(
    stream: Stream, warm: Slice, slices: Sequence[Slice], engines: Mapping[str, Engine]
) -> tuple[dict[str, list[Event]], dict[tuple[str, int], Cost]]:
    """(the events of each engine, its cost at each batch size)."""
    told = {name: _run(engine, stream.batches(name, warm)) for name, engine in engines.items()}
    costs = {(name, part.batch): Cost() for name in engines for part in slices}
    names = list(engines)
    with collector_off():
        for number, part in enumerate(slices):
            turn = number % len(names)  # nobody always comes first
            for name in names[turn:] + names[:turn]:
                batches, watch = stream.batches(name, part), Watch()
                with clocked(watch):
                    events = _run(engines[name], batches)
                told[name] += events
                costs[name, part.batch].add(watch.ns, part.last - part.first)
    return told, costs


def _run(engine: Engine, batches: Sequence[Any]) -> list[Event]:
    events = []
    for batch in batches:
        events += engine.step(batch)
    return events


def _slices(asked: Asked, first: int) -> Iterator[Slice]:
    for _ in range(asked.passes):
        for batch, updates in asked.updates.items():
            yield Slice(batch, first, first + updates)
            first += updates


def _match(told: Sequence[Event], wanted: Sequence[Event], parts: Sequence[Slice]) -> float | None:
    def inside(events: Sequence[Event]) -> list[Event]:
        return [one for one in events if any(part.first <= one.message < part.last for part in parts)]

    return match(inside(told), inside(wanted))
