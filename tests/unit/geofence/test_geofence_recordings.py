"""Does the engine find the approaches of real people? The GeoLife pairs of shared/data/gps (never in the product).

The scoring rules are those of ``score.py`` beside the data: an entry counts when it was seen (``sure``), is hit by
an alert between 60 s before it and 120 s after its end, and is clear when it does not merely graze the ring. A
false alarm is ``far`` when the pair was never within 1.1 D in the three minutes before it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geofence import engine
from geofence.pair_table import PairTable, Roster, roster_of
from tocsin.model.device import Device, DeviceKind
from tocsin.model.finding import Change, Code
from tocsin.model.fix import FIX_DTYPE
from tocsin.model.order import Order

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "gps"
D_M = 1000
BATCH = 1000
KINDS = {"A": DeviceKind.WEARER, "P": DeviceKind.PROTECTED}

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the recordings of shared/data/gps are not here")


def columns(name, **only):
    """A parquet table as numpy columns, the rows where ``only`` holds."""
    parquet = pytest.importorskip("pyarrow.parquet")
    filters = [(column, "=", value) for column, value in only.items()] or None
    table = parquet.read_table(DATA / f"{name}.parquet", filters=filters)
    return {column: table.column(column).to_numpy(zero_copy_only=False) for column in table.column_names}


def stream():
    """All sessions as one stream by reception, each session a measure of its own. -> sessions, fixes"""
    rows = columns("device", variant="noisy", period=10)
    sessions, number = np.unique(rows["session"], return_inverse=True)
    fixes = np.zeros(number.size, FIX_DTYPE)
    fixes["device"] = 2 * number + (rows["role"] == "P")
    fixes["fix_ms"], fixes["t3_ms"], fixes["t4_ms"] = rows["t_fix"], rows["t_recv"], rows["t_recv"]
    fixes["sent_ms"], fixes["accuracy_dm"] = -1, rows["acc_dm"]
    fixes["lat_e6"], fixes["lon_e6"] = np.rint(rows["lat"] / 10), np.rint(rows["lon"] / 10)
    return sessions, fixes[np.argsort(fixes["t3_ms"], kind="stable")]


def table_for(sessions):
    """One measure per session; names sort as the sessions do."""
    devices, orders = {}, []
    for number, _ in enumerate(sessions):
        for side, role in enumerate("AP"):
            name = f"{role.lower()}{number:04d}"
            devices[name] = Device(id=name, number=2 * number + side, kind=KINDS[role])
        orders.append(
            Order(id=f"msr_{number:04d}", version=1, wearer=f"a{number:04d}", protected=f"p{number:04d}",
                  alert_distance_m=D_M, valid_from_ms=0, valid_until_ms=2**61)
        )  # fmt: skip
    return engine.revise(PairTable(Roster()), roster_of(orders, devices, partition=0, partitions=1), 0)[0]


def alerts_of(sessions, fixes):
    """session -> hours (s, reception) at which PROX_ALERT began."""
    table, alerts = table_for(sessions), {}
    for start in range(0, fixes.size, BATCH):
        batch = fixes[start : start + BATCH]
        now_ms = int(batch["t3_ms"][-1])
        for finding in engine.step(table, batch, now_ms).findings:
            if (finding.code, finding.change) == (Code.PROX_ALERT, Change.ENTRY):
                alerts.setdefault(sessions[int(finding.measure[4:])], []).append(
                    (finding.points.t3_ms or finding.at_ms) / 1000
                )
        engine.step(table, batch[:0], now_ms)
    return {session: np.sort(hours) for session, hours in alerts.items()}


def recall_clear(alerts, episodes):
    """Share of the sure, clear entries that an alert hit; and how many there were."""
    wanted = episodes["sure"] & ~episodes["graze"] & ~episodes["starts_inside"]
    hits, delays = 0, []
    for at in np.flatnonzero(wanted):
        entry, leave = episodes["t"][at], max(episodes["t_exit"][at], episodes["t"][at])
        hours = alerts.get(episodes["session"][at], np.empty(0))
        inside = hours[(hours >= entry - 60) & (hours <= leave + 120)]
        hits += bool(inside.size)
        delays.extend(inside[:1] - entry)
    return hits / wanted.sum(), int(wanted.sum()), float(np.median(delays))


def false_far(alerts, episodes):
    """Alerts with nothing below 1.1 D from 180 s before to 60 s after; unjudged ones left out as in score.py."""
    truth = columns("truth")
    first_exit = {
        session: leave
        for session, leave, inside in zip(
            episodes["session"], episodes["t_exit"], episodes["starts_inside"], strict=True
        )
        if inside
    }
    far = 0
    for session, hours in alerts.items():
        mine = truth["session"] == session
        t, d_m = truth["t"][mine], truth["d_dm"][mine] / 10
        for hour in hours:
            before, after, here, there = np.searchsorted(t, [hour - 180, hour + 60, hour - 30, hour + 30])
            judged = hour > first_exit.get(session, -1) + 120 and there > here
            far += bool(judged and d_m[before:after].min() >= 1.1 * D_M)
    return far


def test_real_approaches_are_found():
    sessions, fixes = stream()
    episodes = columns("events", kind="episode", D=D_M)
    alerts = alerts_of(sessions, fixes)
    recall, entries, delay_s = recall_clear(alerts, episodes)
    days = columns("sessions")["covered_s"].sum() / 86_400
    far_per_day = false_far(alerts, episodes) / days
    print(f"{fixes.size} fixes, {entries} clear entries: recall_clear {recall:.3f}, delay p50 {delay_s:.1f} s, ")
    print(f"false_far_per_day {far_per_day:.3f}, alerts {sum(map(len, alerts.values())) / days:.2f} per pair-day")
    assert entries == 234, "the recordings are not the ones described in their README"
    assert recall >= 0.98
    assert far_per_day <= 1.0, "the rules without a filter give 0.5; a quality rule may only lower it"
