"""Nouns and payloads for the tests: valid as they come, each part replaceable by name."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np

from alerts import desk
from alerts.territory import Territory
from ingest.admission import Message
from ingest.known import Known
from tocsin.clock import AffineClock
from tocsin.model.command import Action, Command
from tocsin.model.device import Device, DeviceKind
from tocsin.model.episode import Act, Realm, Verb
from tocsin.model.finding import Alarm, Change, Code, Finding
from tocsin.model.fix import ClockPoints, FixPoint
from tocsin.model.ids import derived
from tocsin.model.protocol import PoliceMode, Protocol
from tocsin.model.zone import Zone
from tocsin.territory_file import Areas

NOW_MS = 1_795_219_200_000  # 2026-11-21T00:00:00Z
NOW_S = NOW_MS // 1000
LAT, LON = 43.296587, 5.369731
REALM = Realm.LAB
PREADVICE = Protocol(police_mode=PoliceMode.AUTO_PREADVICE)
preadvised = functools.partial(desk.handle, protocol=PREADVICE)
"""The desk of a site whose rooms are told at the raise."""
SECRET = "whsec_" + "dG9jc2luIHRlc3RzIHNheSBub3RoaW5n"
PROTECTED, WEARER, TGD = "protected-1", "wearer-1", "tgd-1"

DEVICES: Mapping[str, Device] = {
    PROTECTED: Device(id=PROTECTED, number=1, kind=DeviceKind.PROTECTED, measures=("msr_1",)),
    WEARER: Device(id=WEARER, number=2, kind=DeviceKind.WEARER, measures=("msr_1",)),
    TGD: Device(id=TGD, number=3, kind=DeviceKind.TGD),
}


def frozen_clock(at_ms: int = NOW_MS) -> AffineClock:
    """A clock that stands still."""
    return AffineClock(wall=lambda: at_ms / 1000)


HANGS_AFTER_S = 60.0
"""What has not come by then never will: a bound for what hangs, not for what is slow on a busy machine."""


async def eventually(condition: Callable[[], Any | Awaitable[Any]], *, within_s: float = HANGS_AFTER_S) -> Any:
    """The first truthy answer of ``condition``; fails when the deadline passes without one."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                answer = condition()
                if isinstance(answer, Awaitable):
                    answer = await answer
                if answer:
                    return answer
                await asyncio.sleep(0.01)  # between two looks; the deadline is what fails
    except TimeoutError:
        raise AssertionError(f"not within {within_s} s") from None


class Stopwatch:
    """How long something takes the product, on a machine that stands still now and then.

    What is taken off is time in which this process got no turn and no processor: a product that blocks its own
    loop by working is not excused. Only for what happens within one process."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._stood_s = 0.0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            at, worked = time.monotonic(), time.process_time()
            await asyncio.sleep(TURN_S)
            idle = time.monotonic() - at - TURN_S - (time.process_time() - worked)
            self._stood_s += max(0.0, idle - TURN_S)

    def stop(self) -> float:
        """Seconds since it was made, without those in which the machine stood still."""
        self._task.cancel()
        return time.monotonic() - self._began - self._stood_s


TURN_S = 0.05


# --- what devices say ----------------------------------------------------------------------------------------


def topic(device: str = WEARER, leaf: str = "loc") -> str:
    return f"tocsin/1/{device}/{leaf}"


def _said(fields: dict[str, Any], changes: dict[str, Any]) -> bytes:
    """``None`` in ``changes`` leaves the field out."""
    whole = {**fields, **changes}
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def point(**changes: Any) -> dict[str, Any]:
    return {"lat": LAT, "lon": LON, "tst": NOW_S, "seq": 1, "boot": 1, **changes}


def location(**changes: Any) -> bytes:
    return _said({"_type": "location", **point(), "acc": 12.5, "created_at": NOW_S}, changes)


def bulk(*points: dict[str, Any], **changes: Any) -> bytes:
    return _said({"_type": "locations", "pts": list(points), "created_at": NOW_S}, changes)


def sos(**changes: Any) -> bytes:
    return _said({"_type": "sos", "tst": NOW_S, "seq": 1, "boot": 1, "lat": LAT, "lon": LON, "acc": 8}, changes)


def event(name: str = "strap_open", **changes: Any) -> bytes:
    return _said({"_type": "event", "event": name, "tst": NOW_S, "seq": 1, "boot": 1}, changes)


def status(**changes: Any) -> bytes:
    return _said({"_type": "status", "tst": NOW_S, "seq": 1, "boot": 1}, changes)


def known(partitions: int = 2, **devices: Device) -> Known:
    return Known(partitions=partitions, devices=devices or DEVICES)


def message(payload: bytes, at: str, t3_ms: int = NOW_MS) -> Message:
    return Message(topic=at, payload=payload, t3_ms=t3_ms)


# --- what the desk hears -------------------------------------------------------------------------------------


def fix_point(device: str, **changes: Any) -> FixPoint:
    whole = {"lat_e6": 43_296_587, "lon_e6": 5_369_731, "accuracy_dm": 120, "fix_ms": NOW_MS - 2_000}
    return FixPoint(device=device, **{**whole, **changes})


def entry(name: str = "fnd_in1", at_ms: int = NOW_MS, **changes: Any) -> Finding:
    """He came into the ring; ``name`` is the finding's id."""
    return Finding(
        **{
            "id": name, "measure": "msr_1", "order_version": 1, "code": Code.PROX_ALERT, "change": Change.ENTRY,
            "before": Zone.PREALERT, "after": Zone.ALERT, "distance_dm": 9_407, "threshold_m": 1_000,
            "wearer": fix_point(WEARER, lat_e6=43_304_112), "protected": fix_point(PROTECTED),
            "entry": name, "entry_ms": at_ms, "at_ms": at_ms, "reason": "inside",
            "points": ClockPoints(t1_ms=at_ms - 2_000, t3_ms=at_ms - 100, t5_ms=at_ms),
            **changes,
        }
    )  # fmt: skip


def leaving(of: Finding, name: str = "fnd_out1", after_s: int = 60) -> Finding:
    """He left the ring that he came into with ``of``."""
    at_ms = of.at_ms + after_s * 1000
    return entry(
        name, at_ms, change=Change.EXIT, before=Zone.ALERT, after=Zone.PREALERT, distance_dm=12_003,
        entry=of.id, entry_ms=of.at_ms, measure=of.measure, code=of.code,
    )  # fmt: skip


def press(name: str = "alm_1", at_ms: int = NOW_MS, **changes: Any) -> Alarm:
    whole = {
        "id": name, "code": Code.BAR_SOS, "device": PROTECTED, "measures": ("msr_1",), "at_ms": at_ms,
        "silent": False, "position": fix_point(PROTECTED),
        "points": ClockPoints(t1_ms=at_ms, t3_ms=at_ms + 40, t4_ms=at_ms + 41),
    }  # fmt: skip
    return Alarm(**{**whole, **changes})


def squares(*cells: tuple[str, float, float, float, float]) -> Territory:
    """A territory of rectangles: (room, west, south, east, north)."""
    names = sorted({cell[0] for cell in cells})
    corners = [[(w, s), (e, s), (e, n), (w, n), (w, s)] for _, w, s, e, n in cells]
    areas = Areas(
        sources=("invented",),
        rooms=tuple(names),
        codes=tuple(f"130{index:02}" for index in range(len(cells))),
        names=tuple(f"Commune {index}" for index in range(len(cells))),
        room_index=np.array([names.index(cell[0]) for cell in cells], np.uint16),
        lon_lat_e6=np.rint(np.array(corners).reshape(-1, 2) * 1e6).astype(np.int32),
        rings=np.arange(0, 5 * len(cells) + 1, 5, dtype=np.int32),
        polygons=np.arange(len(cells) + 1, dtype=np.int32),
        areas=np.arange(len(cells) + 1, dtype=np.int32),
    )
    return Territory(areas)


def at_the_border() -> Territory:
    """The protected person of ``entry()`` is in CIC-13, the wearer a kilometre north of her in CORG-13."""
    return squares(("CIC-13", 5.0, 43.0, 6.0, 43.3), ("CORG-13", 5.0, 43.3, 6.0, 43.6))


EPISODE = derived("alr", Code.PROX_ALERT, "msr_1", "fnd_in1")


def act(verb: Verb, version: int, actor: str = "A. Martin", at_ms: int = NOW_MS, **changes: Any) -> Act:
    """``episode``: the alert of ``entry()`` unless said otherwise."""
    whole = {"verb": verb, "episode": EPISODE, "actor": actor, "at_ms": at_ms, "expected_version": version}
    return Act(**{**whole, **changes})


# --- what devices are told -----------------------------------------------------------------------------------


def command(name: str = "1", device: str = WEARER, **changes: Any) -> Command:
    """He is to report each 30 s; ``name`` makes the id."""
    whole = {
        "id": derived("cmd", device, name), "device": device, "action": Action.SET_CADENCE, "at_ms": NOW_MS,
        "expires_ms": NOW_MS + 60_000, "interval_s": 30,
    }  # fmt: skip
    return Command(**{**whole, **changes})
