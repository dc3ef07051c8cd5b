"""Are the messages of the closed loop drawn as the trace set drew its own?

``Unit``, told nothing, must give the set's fixed streams ``orig`` again from the full-rate tracks: the same fixes,
all of them and no other, for the one number that is not known, the phase of the device in whole seconds. And the
latencies of the closed loop must be those of the set. Skips, saying so, where the set is absent.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simulator.evaluation.closed_loop import _latencies_ms
from simulator.evaluation.traces import PROTECTED, WEARER, Stream, Track, read_streams, read_tracks
from simulator.evaluation.unit import Unit
from tocsin.clock import MS

GPS = Path(__file__).parents[2].parent / "shared" / "data" / "gps"

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not GPS.is_dir(), reason=f"the real traces are not at {GPS}"),
]


def drawn_ms(fixes_ms: list[int], track: Track, phase_s: int, period_s: int) -> list[int]:
    unit = Unit(fixes_ms, track.start_ms + phase_s * MS, track.end_ms, period_s * MS)
    sent = []
    while unit.sends_at_ms < np.inf:
        sent.append(fixes_ms[unit.send()])
    return sent


def is_drawn_again(track: Track, stream: Stream, role: int) -> bool:
    assert stream.period_s is not None
    fixes_ms = track.fix_ms[track.role == role].tolist()
    sent_ms = np.sort(stream.fix_ms[stream.role == role]).tolist()
    phases_s = range(stream.period_s)
    return any(drawn_ms(fixes_ms, track, phase_s, stream.period_s) == sent_ms for phase_s in phases_s)


@pytest.mark.parametrize("period_s", [10, 30, 60])
def test_the_fixed_streams_come_out_of_the_tracks_fix_by_fix(period_s: int) -> None:
    streams = {stream.session: stream for stream in read_streams(GPS, "orig", period_s)}
    compared = [
        is_drawn_again(track, streams[track.session], role)
        for track in read_tracks(GPS)
        for role in (WEARER, PROTECTED)
    ]
    assert len(compared) == 2 * len(streams)
    assert all(compared)


def test_the_latencies_are_those_of_the_set() -> None:
    there_ms = np.concatenate([stream.received_ms - stream.fix_ms for stream in read_streams(GPS, "orig", 10)])
    drawn = _latencies_ms(np.random.default_rng(7), there_ms.size)
    for quantile in (0.01, 0.25, 0.5, 0.75, 0.95, 0.99):
        assert np.quantile(drawn, quantile) == pytest.approx(np.quantile(there_ms, quantile), rel=0.02)
