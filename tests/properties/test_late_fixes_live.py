"""Late delivery of any subset of fixes never adds a live alert (invariant 4; F05, F13).

The engine hears a life in time, and the same life with late fixes among it: buffered, from anywhere, at any place
in the stream. What it raises about distances is the same, byte for byte; a late fix says no more than that its
unit is there.
"""

from __future__ import annotations

import numpy as np
from geofence_streams import Act, Cast, Played, casts, lives, messages
from hypothesis import given, settings
from hypothesis import strategies as st

from geofence.assumptions import LATE_MS
from tocsin.model.finding import Code, Finding
from tocsin.model.fix import FixFlag
from tocsin.wire import encode

LIVE = {Code.PROX_ALERT, Code.PROX_PREALERT, Code.IMMINENT, Code.EVIDENTIAL_BREACH}

# at which place of the stream, and how much too late
lates = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([1, 1_000, 31_000, 600_000, 86_400_000]), st.booleans()),
    min_size=1,
    max_size=30,
)


def raised(cast: Cast, fixes: np.ndarray) -> list[bytes]:
    played = Played(cast)
    for index in range(fixes.size):
        played.hear(fixes[index : index + 1])
    said: list[Finding] = [one for step in played.steps for one in step.findings]
    return [encode(one) for one in said if one.code in LIVE]


def with_late(fixes: np.ndarray, extra: list[tuple[int, int, bool]]) -> np.ndarray:
    """The life, and beside it some of its fixes again or from beside the partner, delivered late."""
    rows = list(fixes)
    for number, (at, late_ms, beside) in enumerate(extra):
        place = at % (len(rows) + 1)
        source = rows[min(place, len(rows) - 1)]
        row = source.copy()
        row["fix_ms"] = row["t3_ms"] - LATE_MS - late_ms
        row["seq"], row["boot"] = 1_000 + number, 2
        row["flags"] = FixFlag.BULK
        if beside:
            other = rows[(place * 7) % len(rows)]
            row["lat_e6"], row["lon_e6"], row["accuracy_dm"] = other["lat_e6"], other["lon_e6"], 50
        rows.insert(place, row)
    return np.array(rows, fixes.dtype)


@settings(max_examples=200)
@given(casts, lives, lates)
def test_late_fixes_add_no_live_alert_and_take_none_away(
    cast: Cast, life: list[Act], extra: list[tuple[int, int, bool]]
) -> None:
    fixes = messages(cast, [act for act in life if act.kind != "presence"] or life)
    assert raised(cast, with_late(fixes, extra)) == raised(cast, fixes)


def test_the_property_can_fail() -> None:
    """The same row in time raises an alert: what is asked above is not empty."""
    cast = Cast({"msr_a": (1, 2, 1, 0.0, float("inf"))}, (6_000, 0, 0, 0, 0, 0), None)
    story = [Act(who, 10_000, "toward", 0.0, "fix", 700, 50) for who in (1, 2, 1, 2)]
    fixes = messages(cast, story)
    near = fixes[-1:].copy()
    near["device"], near["t3_ms"], near["fix_ms"] = 1, near["t3_ms"] + 90_000, near["t3_ms"] + 89_000
    assert raised(cast, np.concatenate([fixes, near]))
    near["fix_ms"] = near["t3_ms"] - LATE_MS - 1
    assert not raised(cast, np.concatenate([fixes, near]))
