"""A small world of pairs for tests: people on a line eastward from one place, metres and seconds."""

from __future__ import annotations

import numpy as np
from pyproj import Geod

from geofence import engine
from geofence.pair_table import PairTable, Roster, roster_of
from tocsin.model.device import Device, DeviceKind
from tocsin.model.fix import FIX_DTYPE
from tocsin.model.order import Order

T0_MS = 1_795_219_200_000
HOME = (48.0, 2.0)
GEOD = Geod(ellps="WGS84")
W, P = 1, 2


def device(number, kind=DeviceKind.WEARER):
    return Device(id=f"b{number:07d}", number=number, kind=kind)


def order(name="msr_a", wearer=W, protected=P, **changed):
    given = {"version": 1, "alert_distance_m": 1000, "valid_from_ms": 0, "valid_until_ms": 2**61} | changed
    return Order(id=name, wearer=device(wearer).id, protected=device(protected).id, **given)


def roster(*orders, numbers=range(1, 9)):
    devices = {device(number).id: device(number) for number in numbers}
    return roster_of(orders, devices, partition=0, partitions=1)


def fix(number, at_s, east_m=0.0, accuracy_dm=50, seen_after_s=1.0, seq=0):
    """One fix at ``at_s`` seconds after T0, received ``seen_after_s`` later."""
    lon, lat, _ = GEOD.fwd(HOME[1], HOME[0], 90.0, east_m)
    fixes = np.zeros(1, FIX_DTYPE)
    fixes["device"], fixes["seq"], fixes["accuracy_dm"] = number, seq, accuracy_dm
    fixes["fix_ms"] = fixes["sent_ms"] = T0_MS + round(1000 * at_s)
    fixes["t3_ms"] = fixes["t4_ms"] = T0_MS + round(1000 * (at_s + seen_after_s))
    fixes["lat_e6"], fixes["lon_e6"] = round(lat * 1e6), round(lon * 1e6)
    return fixes


class World:
    """A table with short verbs; every verb returns the findings as (code, change, reason)."""

    def __init__(self, *orders):
        self.table = PairTable(Roster())
        self.findings = []
        self.revise(*orders or (order(),))

    def _told(self, step):
        self.findings.extend(step.findings)
        self.step = step
        return [(one.code.value.removeprefix("PROX_"), one.change.value, one.reason) for one in step.findings]

    def fix(self, *args, **kwargs):
        fixes = fix(*args, **kwargs)
        return self._told(engine.step(self.table, fixes, int(fixes["t3_ms"][0]) + 5))

    def tick(self, at_s):
        return self._told(engine.step(self.table, np.empty(0, FIX_DTYPE), T0_MS + round(1000 * at_s)))

    def revise(self, *orders, at_s=0.0):
        self.table, step = engine.revise(self.table, roster(*orders), T0_MS + round(1000 * at_s))
        return self._told(step)

    @property
    def zone(self):
        return int(self.table.state(0).zone)
