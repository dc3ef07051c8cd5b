"""The road raises on real people's traces what the engine alone raises on the same stream, each crossing once.

Three sessions of the real GPS set (their first twenty minutes, with all their certain entries), ``noisy`` at 10 s,
at 20 times real time through the real processes. Skips, saying so, where the set is absent.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from lab_fixture import Told, new_home

from simulator import recording, replay
from tocsin.embedded.database import erase

GPS = Path(__file__).parents[2].parent / "shared" / "data" / "gps"
SESSIONS = (2, 306, 419)
FIRST_MS = 20 * 60_000
"""The last of their entries is 1,114 s behind their beginning."""
SPEED = 20.0
"""A fix that is 120 s old raises nothing, a wearer unheard for 60 s leaves his ring: 6 and 3 s of a machine that
stands still."""
SET_UP_S = 75.0  # ten processes on two busy cores take 20, beside another worker and a stall or two much more

pytestmark = pytest.mark.timeout(300)


@pytest.mark.skipif(not GPS.is_dir(), reason=f"the real traces are not at {GPS}")
async def test_three_real_sessions_through_the_real_processes() -> None:
    found = recording.read(GPS, sessions=SESSIONS, variant="noisy", period=10, alert_distance_m=1000)
    found = found.aligned(min(message.received_ms for message in found.messages))
    end_ms = found.messages[0].received_ms + FIRST_MS
    found = replace(found, messages=tuple(one for one in found.messages if one.received_ms < end_ms))
    home = new_home()
    said: list[str] = []
    try:
        result = await replay.run_replay(
            found, home=home, speed=SPEED, tell=Told(), progress=lambda _sent, _all: None, say=said.append,
            set_up_s=SET_UP_S,
        )  # fmt: skip
    finally:
        erase(home)
    alerts = [one for one in result.reference if one.code == "PROX_ALERT"]
    assert len(alerts) >= len(SESSIONS), "the engine alone finds the certain entries"
    assert ["begins in" in said[0], "is due in" in said[1]] == [True, True], "the set-up is no silence"
    assert result.missing == []
    assert result.unexpected == []
    assert result.repeated == 0
    assert result.duplicated == ()
