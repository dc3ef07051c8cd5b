"""How do the rules under judgement hear one session, and what do they ask of its two devices?

A listener hears one message or one whole second at a time, in the order of reception, and answers with what it
asks of the devices: an interval, or a fix at once. Who feeds it may obey (``closed_loop``) or not (``detectors``).

``Engine`` is production: ``ingest``'s rule for late fixes and ``geofence.engine.step``; its asks are the
``Step.commands`` of the engine.

``period_s``: the interval at which the devices report whatever anybody asks; None: they do as they are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np

from geofence import engine
from geofence.pair_table import PairTable, Roster, roster_of
from simulator.evaluation.said import Log, Logs
from simulator.evaluation.traces import PROTECTED, WEARER, Floats, Stream
from tocsin.clock import MS
from tocsin.limits import LATE_AFTER_S
from tocsin.model.command import Action
from tocsin.model.device import Device, DeviceKind
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import ABSENT, FIX_DTYPE, Fixes
from tocsin.model.order import Order

BASE_S: Final = 60  # what a device does that nobody has told anything
VALID_MS: Final = 48 * 3600 * MS  # no session is as long
NO_FIXES: Final = np.empty(0, FIX_DTYPE)
DEVICES: Final = {WEARER: "wearer", PROTECTED: "protected"}
ROLES: Final = {name: role for role, name in DEVICES.items()}

M = TypeVar("M")


class Ask(NamedTuple):
    """To one of the two devices. ``interval_s`` None: a fix at once, and the interval stays."""

    role: int
    interval_s: int | None


class Listener(Protocol[M]):
    """``logs``: what it has said of each distance. ``opening``: what it asks before it has heard anything."""

    logs: Logs
    opening: Sequence[Ask]

    def read(self, stream: Stream) -> Sequence[M]:
        """Each message in the form that ``hear`` takes; nothing is heard yet."""
        ...

    def hear(self, message: M, received_ms: int) -> Sequence[Ask]: ...

    def tick(self, second_ms: int) -> Sequence[Ask]:
        """A whole second at which no message came."""
        ...


Listens = Callable[[Sequence[int], int | None, int], Listener[Any]]
"""A new one: distances in metres, ``period_s``, the hour at which the session begins in milliseconds."""


# --- the engine ----------------------------------------------------------------------------------------------


class Engine:
    """The engine on one pair of people, under one measure for each distance."""

    def __init__(self, distances_m: Sequence[int], period_s: int | None, start_ms: int) -> None:
        self.logs: Logs = {distance: Log() for distance in distances_m}
        self.distance_of = {f"msr_{distance}": distance for distance in distances_m}
        roster = roster_of(_orders(self.distance_of, start_ms), _devices(period_s), partition=0, partitions=1)
        self.table, step = engine.revise(PairTable(Roster()), roster, start_ms)
        self.opening = self._note(step, start_ms)

    def read(self, stream: Stream) -> Sequence[Fixes]:
        fixes = _fixes(stream)
        return [fixes[index : index + 1] for index in range(fixes.size)]

    def hear(self, message: Fixes, received_ms: int) -> Sequence[Ask]:
        if received_ms - int(message["fix_ms"][0]) > LATE_AFTER_S * MS:
            return ()  # ingest sends it down another lane
        return self._note(engine.step(self.table, message, received_ms), received_ms)

    def tick(self, second_ms: int) -> Sequence[Ask]:
        if not engine.is_due(self.table, second_ms):
            return ()
        return self._note(engine.step(self.table, NO_FIXES, second_ms), second_ms)

    def _note(self, step: engine.Step, now_ms: int) -> Sequence[Ask]:
        assert not step.broken, "a score of rules that failed is the score of something else"
        for finding in step.findings:
            log = self.logs[self.distance_of[finding.measure]]
            if (kept := _kept(log, finding)) is not None:
                kept.append(now_ms / MS)
            if (finding.code, finding.change) == (Code.PROX_ALERT, Change.ENTRY):
                log.wearer_shares_pct.append(finding.wearer_share_pct)
            log.probings += (finding.code, finding.change) == (Code.PROBING, Change.ENTRY)
        return [Ask(ROLES[each.device], each.interval_s) for each in step.commands if each.action in OBEYED]


OBEYED: Final = {Action.SET_CADENCE, Action.REPORT_LOCATION}


def _kept(log: Log, finding: Finding) -> list[float] | None:
    """Where in the log a finding belongs; None: it is not judged."""
    began = finding.change is Change.ENTRY
    match finding.code:
        case Code.PROX_ALERT:
            return log.alerts_s if began else log.alert_ends_s
        case Code.UNCERTAIN:
            return log.doubts_s if began else log.doubt_ends_s
        case Code.DEGRADED:
            return log.degraded_s if began else log.degraded_ends_s
        case _:
            return None


def _orders(measures: Iterable[str], start_ms: int) -> list[Order]:
    return [
        Order(
            id=name, version=1, wearer="wearer", protected="protected",
            alert_distance_m=int(name.removeprefix("msr_")),
            valid_from_ms=start_ms - LATE_AFTER_S * MS, valid_until_ms=start_ms + VALID_MS,
        )
        for name in measures
    ]  # fmt: skip


def _devices(period_s: int | None) -> dict[str, Device]:
    kinds = {WEARER: DeviceKind.WEARER, PROTECTED: DeviceKind.PROTECTED}
    return {
        name: Device(id=name, number=1 + role, kind=kinds[role], reports_every_s=period_s)
        for role, name in DEVICES.items()
    }


def _fixes(stream: Stream) -> Fixes:
    fixes = np.zeros(stream.role.size, FIX_DTYPE)
    fixes["device"] = 1 + stream.role
    fixes["seq"] = np.arange(fixes.size)
    fixes["fix_ms"], fixes["t3_ms"], fixes["t4_ms"] = stream.fix_ms, stream.received_ms, stream.received_ms
    fixes["lat_e6"], fixes["lon_e6"] = _microdegrees(stream)
    fixes["accuracy_dm"] = stream.accuracy_dm
    for name in ("sent_ms", "speed_cms", "course_ddeg", "battery_pct"):
        fixes[name] = ABSENT
    return fixes


def _microdegrees(stream: Stream) -> tuple[Floats, Floats]:
    return np.round(stream.lat_e7 / 10), np.round(stream.lon_e7 / 10)


LISTENERS: Final[dict[str, Listens]] = {"tocsin": Engine}
