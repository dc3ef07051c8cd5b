"""Do the engine and the plain reference of its rules raise the same alerts about real people?

``tests/reference/interval`` was written first and by itself: one pair, one object, seconds and metres as floats.
The engine counts ages in tenths of a second and distances in decimetres, hears the clock on whole seconds, and
has rules that the reference lacks (overtaken fixes; an alert that waits for the right party's fix). So here and
there an alert comes at another second, or a doubtful one does not come: in at most one of twenty-five.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from reference.interval.change import Kind
from reference.interval.device import seen
from reference.interval.pair import Pair

from simulator.evaluation.detectors import DETECTORS
from simulator.evaluation.traces import Stream, read_streams
from tocsin.clock import MS
from tocsin.geodesy import ecef

GPS = Path(__file__).parents[2].parent / "shared" / "data" / "gps"
EVERY = 7  # of the sessions
AFTERWARDS_S = 600.0
ALERTS = {Kind.ALERT, Kind.ALERT_LOW_CONFIDENCE}

pytestmark = pytest.mark.skipif(not GPS.is_dir(), reason="the recordings of shared/data/gps are not here")


def of_reference(stream: Stream) -> list[float]:
    pair, said = Pair(alert_m=1000.0), []

    def wait(until_s: float) -> None:
        while pair.due_s < until_s:
            said.extend(pair.on_tick(pair.due_s))

    places = zip(*(axis.tolist() for axis in ecef(stream.lat_e7 // 10, stream.lon_e7 // 10)), strict=True)
    columns = (
        stream.role.tolist(),
        stream.received_ms.tolist(),
        stream.fix_ms.tolist(),
        stream.accuracy_dm.tolist(),
    )
    for role, received_ms, fix_ms, accuracy_dm, place in zip(*columns, places, strict=True):
        wait(received_ms / MS)
        fix = seen(fix_ms / MS, place, None if accuracy_dm < 0 else accuracy_dm / 10)
        said += pair.on_fix(role, received_ms / MS, fix, stream.period_s)
    wait(stream.received_ms[-1] / MS + AFTERWARDS_S)
    return [at_s for at_s, kind in said if kind in ALERTS]


@pytest.mark.parametrize("variant", ["noisy", "orig"])
@pytest.mark.parametrize("period_s", [30, 60])
def test_they_raise_the_same_alerts(variant: str, period_s: int) -> None:
    both = either = 0
    for stream in read_streams(GPS, variant, period_s)[::EVERY]:
        mine = DETECTORS["tocsin"](stream, [1000])[1000].alerts_s.tolist()
        theirs = of_reference(stream)
        same = sum(any(abs(one - other) <= 1.0 for other in theirs) for one in mine)
        both, either = both + same, either + len(mine) + len(theirs) - same
    assert either > 20
    assert both >= 0.96 * either, f"{both} of {either}"
