"""Is he looking for her? Days at the edge of the pre-alert ring, and what the desk makes of them (F34)."""

from __future__ import annotations

from cmath import rect
from math import radians

import pytest
from geofence_pairs import P, W, order, roster
from timeline import Desk, Story, Unit, hour, s

from geofence import snapshot
from geofence.assumptions import CALL_LEFT_MS, CALL_WAIT_MAX_MS, SIDE_DEG
from geofence.probing import bearing_deg, sides
from tocsin.geodesy import ecef_one

HOUR_S = 3600


class Days:
    """Visits to the edge, hours apart; his unit is heard every 30 s around each of them."""

    def __init__(self, *, banded=True):
        self.banded = banded
        self.he, self.she, self.desk, self.at_s = Unit(W), Unit(P), Desk(roster(order())), 0

    def visit(self, side_deg, to_m=1850, m_s=5.0, after_h=3):
        """From 2.6 km in to ``to_m`` and out again, on one bearing."""
        self.at_s += after_h * HOUR_S
        side, depth_m = rect(1, radians(90 - side_deg)), 2600 - to_m
        for passed_s in range(0, int(2 * depth_m / m_s) + 120, 1):
            way_m = min(m_s * passed_s, 2 * depth_m - m_s * passed_s)
            self.he.stands((2600 - max(0.0, way_m)) * side)
            self.second()
        return self

    def second(self):
        self.desk.tick(self.at_s)
        for unit in (self.she, self.he):
            for report in unit.reports(self.at_s):
                if not self.banded:
                    self.desk.table.look_always()
                self.desk.take(report, self.at_s)
        for command in self.desk.heard_in(self.at_s):
            (self.he if command.device.endswith(str(W)) else self.she).hears(command, self.at_s)
        self.at_s += 1

    @property
    def probing(self):
        return [(one.change.value, one.reason) for _, one in self.desk.of("PROBING")]


def days(*sides_deg, banded=True, **how):
    told = Days(banded=banded)
    for side in sides_deg:
        told.visit(side, **how)
    return told


@pytest.mark.usefixtures("both_paths")
def test_three_sides_are_found_before_a_fourth_call():
    told = days(0, 80)
    assert told.probing == []
    told.visit(200)
    assert told.probing == [("entry", "shallow_entries_from_spread_bearings")]
    assert len(told.desk.of("PREALERT")) == 6, "came and went three times"
    found = told.desk.one("PROBING")
    assert found.threshold_m == 2000


@pytest.mark.parametrize("first", range(0, 360, 72))
def test_spread_bearings_are_found_within_four_crossings(first):
    """F34: by whatever four sides he comes, none nearer than 40 degrees to another."""
    told = days(*(first + turn for turn in (0, 200, 40, 300)))
    assert [change for change, _ in told.probing] == ["entry"]


def test_who_lives_at_the_edge_and_crosses_it_on_one_road_is_not_looking_for_her():
    assert days(*([30, 35, 25] * 4)).probing == []


def test_two_roads_are_a_way_to_work():
    assert days(*([0, 180] * 4)).probing == []


def test_how_deep_he_went_before_he_was_called_does_not_matter():
    assert [change for change, _ in days(0, 120, 240, to_m=1200).probing] == ["entry"]


def test_who_drives_through_is_on_his_way_somewhere():
    told = Days()
    for side in (0, 70, 140, 210):
        told.at_s += 3 * HOUR_S
        way = rect(1, radians(side))
        for passed_s in range(4800 // 10):
            told.he.stands((-2400 + 10 * passed_s + 1500j) * way)
            told.second()
    assert len(told.desk.of("PREALERT")) == 8
    assert told.probing == []


def test_visits_to_the_alert_ring_are_alerts_and_no_probing():
    told = days(0, 120, 240, to_m=700)
    assert len(told.desk.of("ALERT")) == 6
    assert told.probing == []


def test_what_lies_a_week_back_does_not_count():
    told = days(0, 80)
    told.visit(200, after_h=8 * 24)
    assert told.probing == []


def test_a_spell_is_said_once_and_ends_with_a_quiet_week():
    told = days(0, 80, 200, 300, 40)
    assert [change for change, _ in told.probing] == ["entry"]
    told.visit(0, to_m=2300, after_h=24 * 6)
    assert [change for change, _ in told.probing] == ["entry"]
    told.visit(0, to_m=2300, after_h=48)
    assert told.probing[-1] == ("exit", "quiet_for_a_week")
    told.visit(0).visit(80)
    assert len(told.probing) == 2, "what was said is forgotten with it"


def test_she_who_walks_about_makes_nobody_a_prober():
    """He stands at one place; she comes near him from three sides, and goes."""
    told = Days()
    for side in (0, 120, 240):
        told.at_s += 3 * HOUR_S
        way = rect(1, radians(side))
        for passed_s in range(420):
            told.he.stands(0)
            told.she.stands((2600 - min(5.0 * passed_s, max(0.0, 1500 - 5.0 * passed_s))) * way)
            told.second()
    assert len(told.desk.of("PREALERT")) == 6
    assert told.probing == []


def test_a_restart_does_not_forget_the_sides():
    told = days(0, 80)
    kept = snapshot.dump(snapshot.Snapshot(table=told.desk.table, sequence=0))
    told.desk.table = snapshot.load(kept).table
    told.visit(200)
    assert [change for change, _ in told.probing] == ["entry"]


def test_the_guard_band_skips_nothing_that_is_said():
    """A spell with its end, with the rules asked at every fix and without: the same, to the last number."""
    lives = [days(0, 80, 200, banded=banded).visit(0, after_h=24 * 8) for banded in (True, False)]
    banded, asked = ([one for _, one in told.desk.findings] for told in lives)
    assert banded == asked
    assert [change for change, _ in lives[0].probing] == ["entry", "exit"]


# --- until when the call may wait ------------------------------------------------------------------------------


def call_at(m_s, alert_m=1000, from_m=2.4):
    story = Story(alert_distance_m=alert_m)
    story.she.stands(0)
    story.he.stands(from_m * alert_m).goes("02:00", 0.5 * alert_m, m_s)
    return story.play(hour(s("02:00") + 0.6 * alert_m / m_s + 60)).one("PREALERT")


def test_a_walker_may_be_called_later_but_not_too_late():
    crossed = call_at(1.4)
    assert crossed.call_by_ms is not None
    left_s = (crossed.distance_dm / 10 - 1000) / 2.0
    assert crossed.call_by_ms - crossed.at_ms <= 1000 * left_s - CALL_LEFT_MS + 2_000
    assert crossed.other_side is False


def test_a_driver_is_called_at_once():
    """1 km at 14 m/s is 71 s: nothing of it is ours to wait."""
    assert call_at(14).call_by_ms is None


def test_nobody_waits_longer_than_an_operator_remembers():
    crossed = call_at(3, alert_m=10_000, from_m=2.05)
    assert crossed.call_by_ms - crossed.at_ms <= CALL_WAIT_MAX_MS + 1_000


def test_from_another_side_it_waits_as_long_as_is_safe():
    crossings = [one for _, one in days(0, 10, 100).desk.of("PREALERT") if one.change.value == "entry"]
    assert [one.other_side for one in crossings] == [False, False, True]


# --- sides -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bearings", "many"),
    [
        ([], 0),
        ([10], 1),
        ([0, SIDE_DEG - 1], 1),
        ([0, SIDE_DEG], 2),
        ([350, 10, 30], 2),
        ([355, 20, 45], 3),
        ([0, 25, 50, 60], 3),
        ([0, 20, 40, 60], 2),
        ([0, 13, 26, 39], 2),
    ],
)
def test_sides_are_the_most_that_are_apart(bearings, many):
    assert sides(bearings) == many
    assert sides([(one + 77) % 360 for one in reversed(bearings)]) == many


@pytest.mark.parametrize(
    ("north", "east", "bearing"), [(1, 0, 0), (1, 1, 34), (0, 1, 90), (-1, 0, 180), (0, -1, 270)]
)
def test_bearings_are_from_north_by_east(north, east, bearing):
    """At 48 degrees north a degree of longitude is 0.67 of one of latitude."""
    her, his = ecef_one(48_000_000, 2_000_000), ecef_one(48_000_000 + 9_000 * north, 2_000_000 + 9_000 * east)
    assert bearing_deg(her, his) == pytest.approx(bearing, abs=1)
