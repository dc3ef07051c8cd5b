"""The road raises on real people's traces what the engine alone raises on the same stream, each crossing once.

Three sessions of the real GPS set (each under an hour, with certain entries), ``noisy`` at 10 s, at 60 times real
time through the real processes. Skips, saying so, where the set is absent.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_fixture import Told, new_home

from simulator import recording, replay
from tocsin.embedded.database import erase

GPS = Path(__file__).parents[2].parent / "shared" / "data" / "gps"
SESSIONS = (2, 306, 419)
SPEED = 60.0

pytestmark = pytest.mark.timeout(300)


@pytest.mark.skipif(not GPS.is_dir(), reason=f"the real traces are not at {GPS}")
async def test_three_real_sessions_through_the_real_processes() -> None:
    found = recording.read(GPS, sessions=SESSIONS, variant="noisy", period=10, alert_distance_m=1000)
    found = found.aligned(min(message.received_ms for message in found.messages))
    home = new_home()
    said: list[str] = []
    try:
        result = await replay.run_replay(
            found, home=home, speed=SPEED, tell=Told(), progress=lambda _sent, _all: None, say=said.append
        )
    finally:
        erase(home)
    alerts = [one for one in result.reference if one.code == "PROX_ALERT"]
    assert len(alerts) >= len(SESSIONS), "the engine alone finds the certain entries"
    assert ["begins in" in said[0], "is due in" in said[1]] == [True, True], "the set-up is no silence"
    assert result.missing == []
    assert result.unexpected == []
    assert result.repeated == 0
    assert result.duplicated == ()
