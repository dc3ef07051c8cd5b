"""A fleet that reports, loses and falls silent, from a seed; and the watch that looks at it. Seconds after T0."""

from __future__ import annotations

import numpy as np
from geofence_pairs import T0_MS

from geofence.fleet_findings import finding_of
from geofence.fleet_silence import FleetWatcher, Open, roll_of
from tocsin.model.device import Device, DeviceKind
from tocsin.model.fix import FIX_DTYPE, FixFlag

NAMES = ("carrier", "apn", "region", "firmware")


def member(number, **traits):
    return Device(id=f"b{number:07d}", number=number, kind=DeviceKind.WEARER, **traits)


def mixed(count, groups=4):
    """Carriers of two APNs each; regions and firmwares across them."""
    return [
        member(
            n, carrier=f"carrier {n % groups}", apn=f"apn {n % (2 * groups)}", region=f"region {n // 7 % groups}",
            firmware=f"firmware {n // 3 % groups}",
        )
        for n in range(1, count + 1)
    ]  # fmt: skip


def messages(numbers, at_s, *, presence=False, primary=1, place=(43_300_000, 5_400_000)):
    fixes = np.zeros(len(numbers), FIX_DTYPE)
    fixes["device"], fixes["primary"], fixes["accuracy_dm"] = numbers, primary, 100
    fixes["t3_ms"] = fixes["fix_ms"] = T0_MS + np.round(1000 * np.asarray(at_s)).astype(np.int64)
    fixes["lat_e6"], fixes["lon_e6"] = place
    if presence:
        fixes["flags"], fixes["primary"] = int(FixFlag.PRESENCE), 0
    return fixes


class Life:
    """Each device reports each ``every_s`` at a phase of its own; a report is lost with probability ``loss``.

    ``silences``: (mask, from, to). ``run`` looks each ``look_s`` and returns (second, group, change, reason).
    """

    def __init__(self, devices, *, every_s=60.0, loss=0.03, seed=1):
        self.devices = devices
        self.numbers = np.array([one.number for one in devices])
        self.random = np.random.default_rng(seed)
        self.every_s, self.loss, self.silences = every_s, loss, []
        self.next_s = self.random.uniform(0.0, every_s, len(devices))
        self.watcher = FleetWatcher(roll_of(devices))
        self.watcher.enrol(self.watcher.roll)
        self.said = []

    def mask(self, **traits):
        ((name, value),) = traits.items()
        return np.array([getattr(one, name) == value for one in self.devices])

    def silence(self, mask, from_s, to_s=np.inf):
        self.silences.append((mask, from_s, to_s))
        return self

    def _speak(self, until_s):
        """Everything that is heard up to then; with intervals shorter than a look, the newest of each."""
        while (due := np.flatnonzero(self.next_s <= until_s)).size:
            at_s = self.next_s[due].copy()
            self.next_s[due] += self.every_s
            kept = self.random.random(due.size) >= self.loss
            for mask, from_s, to_s in self.silences:
                kept &= ~(mask[due] & (from_s <= at_s) & (at_s < to_s))
            self.watcher.memory.hear(messages(self.numbers[due[kept]], at_s[kept]))

    def run(self, until_s, *, from_s=0.0, look_s=1.0):
        for at_s in np.arange(from_s, until_s, look_s):
            self._speak(at_s)
            self.look(at_s)
        return self.said

    def look(self, at_s):
        now_ms = T0_MS + round(1000 * at_s)
        for verdict in self.watcher.look(now_ms):
            finding = finding_of(verdict, (), now_ms)
            self.said.append((float(at_s), verdict.group, finding.change.value, verdict.reason))
            if verdict.over is None:
                self.watcher.begin(Open(verdict.group, finding.id, now_ms, verdict.since_ms))
            else:
                self.watcher.end(verdict.group)
