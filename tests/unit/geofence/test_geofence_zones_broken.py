"""Zones that cannot be judged make their pair unprotected, once and by name, until they can; its rings and all
other pairs are judged meanwhile (ARCHITECTURE A10). What fails is shapely, on the geometry of one zone."""

from __future__ import annotations

import pytest
import shapely
from geofence_pairs import P, W
from geofence_places import box
from timeline import Desk, Story, message, ms

from geofence.zone_table import ZoneTable
from tocsin.model.standing import Protection

pytestmark = pytest.mark.usefixtures("both_paths")


def story():
    one = Story(he_every_s=10, she_every_s=10, zones=(box("club", "ban", 2_500 - 300j, 3_500 + 300j),))
    one.she.stands(0)
    one.he.stands(5_000).goes("01:00", 900, 14)
    return one


def test_the_zones_fail_and_the_rings_do_not(monkeypatch):
    """From the first look on; and the alert comes all the same."""
    monkeypatch.setattr(ZoneTable, "away_m", _fails)
    desk = story().play("08:00")
    assert len(desk.broken) == 1
    assert "GEOSException" in desk.broken[0]
    assert desk.spans("ALERT") == story().play("08:00").spans("ALERT") != []
    assert desk.one("DEGRADED").reason == "rules_failed"
    assert len([one for one in desk.tale if one[1] == "DEGRADED"]) == 1, "said once"
    assert desk.standings[-1][1].protection is Protection.UNPROTECTED


def _fails(*_):
    raise shapely.errors.GEOSException("it cannot be")


def test_they_are_asked_again_and_mended(monkeypatch):
    """They fail for two minutes; he is inside by then, and the next fix says it."""
    whole, calls = ZoneTable.away_m, []

    def fails_at_first(*args):
        calls.append(args)
        return _fails() if len(calls) < 20 else whole(*args)

    monkeypatch.setattr(ZoneTable, "away_m", fails_at_first)
    one = story()
    one.he.stands(3_000)
    desk = one.play("08:00")
    assert [row[1:] for row in desk.tale if row[1] in {"DEGRADED", "ZONE_ENTRY"}] == [
        ("DEGRADED", "entry", "rules_failed"),
        ("ZONE_ENTRY", "entry", "inside_zone"),
        ("DEGRADED", "exit", "resolved"),
    ]
    assert desk.standings[-1][1].protection is Protection.PROTECTED


def test_no_position_is_in_what_is_said_of_a_failure(monkeypatch):
    monkeypatch.setattr(ZoneTable, "away_m", _fails)
    desk = Desk.of_measure(zones=(box("club", "ban", 2_500 - 300j, 3_500 + 300j),))
    for number, place in ((P, 0), (W, 4_000)):
        desk.take(message(number, place, ms("00:10")), 10)
    assert desk.broken == ["msr_a: GEOSException"]
