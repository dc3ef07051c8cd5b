"""Does the binary COPY say what the columns say? The plain counterpart of the kernel reads it back by struct."""

from __future__ import annotations

import struct

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.adapters.fixes import (
    COPY_COLUMNS,
    COPY_HEADER,
    EARLIEST_MS,
    INT4_MAX,
    LATEST_MS,
    PG_EPOCH_MS,
    copy_buffer,
    days_of,
    plausible,
)
from tocsin.model.fix import FIX_DTYPE, Fixes

ANY_FIXES = hnp.arrays(np.uint8, st.integers(0, 5).map(lambda n: n * FIX_DTYPE.itemsize)).map(
    lambda raw: raw.view(FIX_DTYPE)
)
"""Any bytes at all are fixes: every integer column takes every value."""

FORMS = {8: ">q", 4: ">i", 2: ">h"}


def read_back(buffer: bytes) -> list[dict[str, int]]:
    """The format as the PostgreSQL manual has it (COPY, File Formats, Binary Format)."""
    assert buffer.startswith(COPY_HEADER)
    at, rows = len(COPY_HEADER), []
    while (count := struct.unpack_from(">h", buffer, at)[0]) != -1:
        assert count == len(COPY_COLUMNS)
        at, row = at + 2, {}
        for name in COPY_COLUMNS:
            length = struct.unpack_from(">i", buffer, at)[0]
            row[name] = struct.unpack_from(FORMS[length], buffer, at + 4)[0]
            at += 4 + length
        rows.append(row)
    assert at + 2 == len(buffer)
    return rows


def expected(fix: np.void) -> dict[str, int]:
    measured, received = (min(max(int(fix[name]), EARLIEST_MS), LATEST_MS) for name in ("fix_ms", "t3_ms"))
    same = (
        "lat_e6",
        "lon_e6",
        "accuracy_dm",
        "speed_cms",
        "course_ddeg",
        "battery_pct",
        "source",
        "flags",
        "boot",
        "seq",
    )
    return {
        "device_number": int(fix["device"]),
        "measured_at": (measured - PG_EPOCH_MS) * 1000,
        "delay_ms": min(max(received - measured, -INT4_MAX), INT4_MAX),
        **{name: int(fix[name]) for name in same},
    }


@given(ANY_FIXES)
def test_every_column_of_every_fix_is_read_back(fixes: Fixes) -> None:
    assert read_back(copy_buffer(fixes)) == [expected(fix) for fix in fixes]


@given(ANY_FIXES)
def test_splitting_a_batch_changes_nothing(fixes: Fixes) -> None:
    halves = fixes[: len(fixes) // 2], fixes[len(fixes) // 2 :]
    assert [row for half in halves for row in read_back(copy_buffer(half))] == read_back(copy_buffer(fixes))


RECEIVED_MS = 1_795_219_200_000
EDGES_MS = [
    -(2**63),
    -1,
    2**63 - 1,
    *(RECEIVED_MS + edge for edge in (-2_592_000_001, -2_592_000_000, 300_000, 300_001)),
]


@settings(max_examples=50)
@given(ANY_FIXES, st.sampled_from(EDGES_MS))
def test_a_clock_that_is_far_off_is_astray_and_asks_for_no_day(fixes: Fixes, edge_ms: int) -> None:
    fixes = fixes.copy()
    fixes["t3_ms"] = RECEIVED_MS
    fixes["fix_ms"][:1] = edge_ms
    ages_ms = [RECEIVED_MS - int(at) for at in fixes["fix_ms"]]
    assert plausible(fixes).tolist() == [-300_000 <= age <= 30 * 86_400_000 for age in ages_ms]
    today = RECEIVED_MS // 86_400_000
    assert all(today - 30 <= day <= today + 1 for day in days_of(fixes[plausible(fixes)]))
