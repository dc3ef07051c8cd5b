"""ALERT and PRE-ALERT: when he comes in, and what it takes to have left (DOMAIN section 3)."""

from __future__ import annotations

import numpy as np
import pytest
from geofence_pairs import P, W
from timeline import T0_MS, Desk, Story, message, ms

pytestmark = pytest.mark.usefixtures("both_paths")

IN = ("ALERT", "entry", "inside_alert_distance")
OUT = ("ALERT", "exit", "outside_two_fixes")
PRE_IN = ("PREALERT", "entry", "inside_prealert_distance")
PRE_OUT = ("PREALERT", "exit", "outside_two_fixes")
RINGS = {"ALERT", "PREALERT"}


def rings(desk):
    return [one for one in desk.tale if one[1] in RINGS]


def test_an_approach_and_a_retreat():
    """He drives in at 14 m/s: 2 km at 06:45, 1 km at 07:57; and out again: 1.1 km at 11:57, 2.1 km at 13:09.
    The alert has settled by then, and he reports each 10 s."""
    story = Story()
    story.she.stands(0)
    story.he.stands(6000).goes("02:00", 300, 14).goes("11:00", 6000, 14)
    desk = story.play("16:00")
    assert rings(desk) == [
        ("07:00", *PRE_IN),
        ("08:00", *IN),
        ("12:10", *OUT),
        ("13:20", *PRE_OUT),
    ]
    assert desk.one("ALERT", "exit").entry == desk.one("ALERT").id
    assert desk.one("PREALERT", "exit").entry_ms == desk.one("PREALERT").at_ms
    assert not desk.one("ALERT").low_confidence


def test_the_first_observation_inside_is_an_alert_and_opens_no_prealert():
    story = Story()
    story.she.stands(0)
    story.he.stands(900).starts("03:00")
    assert rings(story.play("04:00")) == [("03:00", *IN)]


def test_one_party_alone_decides_nothing():
    story = Story()
    story.he.stands(10)
    story.she.starts("09:00")
    assert rings(story.play("05:00")) == []


@pytest.mark.parametrize("speed_m_s", [1.4, 14.0, 36.0, 60.0])
def test_nothing_holds_back_a_good_fix_inside_when_both_are_fresh(speed_m_s):
    """However fast he comes: the first of his fixes below 1 km is the alert, in the same step."""
    story = Story(he_every_s=10, she_every_s=10)
    story.she.stands(0)
    story.he.stands(3000).goes("01:00", 100, speed_m_s)
    crossed_s = 60 + 2000 / speed_m_s
    desk = story.play(f"{int(crossed_s) // 60 + 1}:30")
    alert_s = desk.of("ALERT")[0][0]
    assert alert_s <= 10 * np.ceil(crossed_s / 10)
    assert alert_s >= crossed_s - 20, "and not long before: what time carries in is at most two intervals ahead"


@pytest.mark.parametrize(
    ("before_m", "there_m", "told"),
    [
        (5000, 2001, []),
        (5000, 1999, [PRE_IN]),
        (1500, 1001, []),
        (1500, 999, [IN]),
        (1500, 2099, []),
        (1500, 2101, [PRE_OUT]),
        (500, 1099, []),
        (500, 1101, [OUT]),
    ],
)
def test_the_bounds_are_where_the_rules_say(before_m, there_m, told):
    """One metre to either side; he stays there, so that there is nothing but the distance. The guard band of the
    engine hides nothing of it."""
    story = Story(he_every_s=10, she_every_s=10)
    story.she.stands(0)
    story.he.stands(before_m).goes("02:00", there_m, 60)
    desk = story.play("06:00")
    assert [one[1:] for one in rings(desk) if one[0] >= "01:00"] == told


@pytest.mark.parametrize(("accuracy_m", "bound_m"), [(5, 1100), (60, 1194.4), (120, 1388.8)])
def test_the_margin_of_leaving_is_100_m_or_both_radii(accuracy_m, bound_m):
    """1.62 (60 + 60) = 194.4 m."""
    for beyond_m, left in ((-2, 0), (2, 1)):
        story = Story(he_every_s=10, she_every_s=10)
        story.she.stands(0).tells(accuracy_m)
        story.he.stands(500).tells(accuracy_m).goes("02:00", bound_m + beyond_m, 60)
        assert len([one for one in rings(story.play("06:00")) if one[2] == "exit"]) == left


def test_one_fix_inside_the_margin_takes_the_evidence_back():
    story = Story(he_every_s=20, she_every_s=20)
    story.she.stands(0).starts("00:05")
    story.he.stands(1000).says("01:10", 1105).says("01:12", 1000).says("01:30", 1105).says("01:32", 1000)
    assert [one for one in rings(story.play("06:00")) if one[2] == "exit"] == []


@pytest.mark.parametrize("witness", ["tick", "her fix", "his return"])
def test_an_exit_by_the_hour_is_the_same_whoever_sees_it(witness):
    """Outside once, at 01:10.4; he and she are silent. 60 s later, on the next whole second, it is an exit."""
    desk = Desk.of_measure()
    for number, place, at in ((P, 0, "01:00"), (W, 500, "01:01"), (W, 1300, "01:10")):
        desk.take(message(number, complex(place), ms(at)), 70)
    if witness == "tick":
        desk.tick(131)
    else:
        desk.take(message(P if witness == "her fix" else W, complex(0), ms("02:40")), 160)
    exits = [one for _, one in desk.of("ALERT") if one.change.value == "exit"]
    assert [(one.reason, one.at_ms) for one in exits] == [("outside_60_s", T0_MS + 130_400)]
    assert exits[0].entry == desk.one("ALERT").id


def test_a_reentry_is_told_again():
    story = Story()
    story.she.stands(0)
    story.he.stands(500).goes("01:00", 1500, 30).goes("02:00", 500, 30)
    desk = story.play("04:00")
    assert [one[2] for one in rings(desk) if one[1] == "ALERT"] == ["entry", "exit", "entry"]
    assert desk.one("ALERT", nth=0).id != desk.one("ALERT", nth=1).id


def test_a_prealert_is_never_typed_as_a_breach():
    """He lives at 1.5 km for half an hour."""
    story = Story()
    story.she.stands(0)
    story.he.stands(1500)
    desk = story.play("30:00")
    assert desk.codes() == {"PREALERT"}
    assert desk.one("PREALERT").threshold_m == 2000


def test_she_may_do_the_approaching():
    story = Story()
    story.he.stands(0)
    story.she.stands(3000).goes("01:00", 500, 10)
    assert story.play("06:00").spans("ALERT") == [("04:20", None)]


@pytest.mark.parametrize(("place_m", "raised"), [(950, True), (1450, False)])
def test_a_straggler_raises_what_it_alone_has_seen(place_m, raised):
    """Somebody died with one of 01:30 in hand: it comes at 01:50, behind those of 01:20 and 01:40 from 1.5 km."""
    story = Story(he_every_s=20, she_every_s=20)
    story.she.stands(0)
    story.he.stands(1500).says("01:50", place_m, age_s=20)
    desk = story.play("02:30")
    assert desk.counts["out_of_order"] == 1
    told = [("01:50", "ALERT", "entry", "overtaken_fix_inside"), ("02:00", *OUT)]
    assert [one for one in rings(desk) if one[1] == "ALERT"] == (told if raised else [])
    if raised:
        assert desk.one("ALERT").at_ms == ms("01:30")


def test_a_straggler_from_before_he_left_raises_nothing_again():
    """He left at 01:40; at 01:41 comes one of 01:15 from inside."""
    story = Story(he_every_s=20, she_every_s=20)
    story.she.stands(0)
    story.he.stands(900).goes("01:00", 1500, 60).says("01:41", 900, age_s=31).says("01:42", 900, age_s=27)
    desk = story.play("02:30")
    assert desk.counts["out_of_order"] == 2
    assert desk.spans("ALERT") == [("00:00", "01:40")]
