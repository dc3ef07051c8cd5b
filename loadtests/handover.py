"""What does one of our load processes get to know, and what does it say at its end?

Logins are handed over in a file that only its owner may read, never on a command line, which everybody on the
machine may read. At its end a process leaves its tally in a file of the same kind; a process without a tally has
failed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from loadtests.shapes import Shape
from tocsin.embedded.child import write_private

HANDOVER_VARIABLE = "LOADTEST_HANDOVER"
"""Names the file to a process that takes no arguments of ours."""


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A unit's right to speak."""

    device: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.device})"


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    wearer: Login
    protected: Login


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """To locust: everybody of the background. ``start_ms`` is second 0 of their walks; ``begun`` is a file that it
    makes once the load is on."""

    mqtt_host: str
    mqtt_port: int
    api_url: str
    units: list[Login]
    operators: int
    shape: Shape
    seconds: float
    interval_s: float
    seed: int
    start_ms: int
    begun: str
    tally: str


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """To the canary: its pairs. ``ready`` is a file that it makes once all of them walk."""

    mqtt_host: str
    mqtt_port: int
    pairs: list[Pair]
    alert_distance_m: int
    seed: int
    ready: str
    tally: str


class Requests(msgspec.Struct, frozen=True, kw_only=True):
    """One line of locust's table; times in milliseconds, None where too little was measured."""

    kind: str
    name: str
    count: int
    failures: int
    p50: float | None
    p99: float | None
    max: float | None


class CrowdTally(msgspec.Struct, frozen=True, kw_only=True):
    """What locust did. ``offered`` and ``confirmed``: fixes published, and those of them with a PUBACK.

    ``withheld``: fixes that were due while the unit had no connection. ``races``: acts that came second, by
    status. ``errors`` are failed requests, ``exceptions`` mistakes of the users themselves.
    """

    started_ms: int
    ended_ms: int
    connected: int
    connections: int
    offered: int
    confirmed: int
    withheld: int
    requests: list[Requests]
    errors: list[str]
    exceptions: list[str]
    acknowledged: int
    closed: int
    races: dict[str, int]


class Crossing(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """The first fix inside the alert distance after a time outside."""

    fix_ms: int
    wearer: str


class CanaryTally(msgspec.Struct, frozen=True, kw_only=True):
    """What the canary did."""

    offered: int
    confirmed: int
    connections: int
    crossings: list[Crossing]


T = TypeVar("T", Crowd, Canary, CrowdTally, CanaryTally)


def hand_over(path: Path, what: Crowd | Canary | CrowdTally | CanaryTally) -> None:
    write_private(path, msgspec.json.encode(what).decode())


def taken(path: Path, kind: type[T]) -> T:
    """Raises OSError, msgspec.DecodeError (and its ValidationError) for a file that is not there or not whole."""
    return msgspec.json.decode(path.read_bytes(), type=kind)
