"""How often the units are asked to report (DOMAIN section 2), and that it tells him nothing (invariant 5, F33)."""

from __future__ import annotations

import pytest
from geofence_pairs import P, W
from timeline import Story

pytestmark = pytest.mark.usefixtures("both_paths")


def standing_at(metres, until="04:00", **story):
    told = Story(**story)
    told.she.stands(0)
    told.he.stands(metres)
    return told.play(until)


@pytest.mark.parametrize(
    ("metres", "interval_s"),
    [(20_000, 60), (4200, 60), (3900, 30), (2200, 30), (2010, 10), (1500, 10), (1010, 10), (990, 5), (10, 5)],
)
def test_each_band_has_its_interval(metres, interval_s):
    """Bands by the least distance: 16.2 m of radii, and up to 2 * 26.5 m for 30 s of not being seen. The alert
    has not settled yet."""
    assert standing_at(metres, "02:30").asked(W)[-1][1] == interval_s


def test_a_large_distance_has_large_bands():
    assert standing_at(20_000, alert_distance_m=10_000).asked(W)[-1][1] == 10
    assert standing_at(35_000, alert_distance_m=10_000).asked(W)[-1][1] == 30


def test_shorter_at_once_and_longer_step_by_step():
    """He drives by: each band on the first fix in it; out again each step after 60 s beyond it."""
    story = Story()
    story.she.stands(0)
    story.he.stands(6000).goes("02:00", 300, 14).goes("11:00", 6000, 14)
    desk = story.play("25:00")
    told = [one for one in desk.asked(W) if one[0] > "00:00"]
    assert [interval_s for _, interval_s in told if interval_s] == [30, 10, 5, 10, 30, 60]
    assert told[0] == ("05:00", 30)
    assert ("08:00", 5) in told, "with the alert"
    assert told[-3:] == [("11:00", 10), ("14:20", 30), ("17:20", 60)], "the alert has settled"
    assert desk.spans("ALERT") == [("08:00", "12:10")]
    assert desk.spans("PREALERT") == [("07:00", "13:20")]


@pytest.mark.parametrize("amplitude_m", [50, 200, 350])
def test_no_chatter_at_a_boundary(amplitude_m):
    """For 20 minutes to and fro over the 4 km of FAR: asked once for 30 s, and that stays."""
    story = Story()
    story.she.stands(0)
    story.he.stands(4000 + amplitude_m)
    for minute in range(1, 20):
        story.he.goes(f"{minute:02d}:00", 4000 + amplitude_m * (-1) ** minute, 15)
    desk = story.play("22:00")
    assert [interval_s for _, interval_s in desk.asked(W)] == [60, 30]


def test_a_settled_alert_asks_for_ten_seconds():
    """From 00:00 on inside; after 120 s 10 s will do, 60 s after that they are told; hers as his."""
    desk = standing_at(700, "10:00")
    assert desk.asked(W)[1:] == [("00:00", 5), ("03:00", 10)] == desk.asked(P)[1:]


def test_her_unit_alone_reports_more_when_he_is_imminent():
    story = Story()
    story.she.stands(0)
    story.he.stands(6000).goes("02:00", 300, 14)
    desk = story.play("07:55")
    assert desk.spans("IMMINENT") == [("07:00", None)]
    assert desk.asked(P)[-1] == ("07:00", 5)
    assert desk.asked(W)[-1] == ("07:00", 10)


def test_whoever_was_away_is_told_again():
    """Commands expire; a unit that returns hears its interval anew."""
    story = Story()
    story.she.stands(0)
    story.he.stands(10_000).is_silent("02:30", "08:00")
    desk = story.play("09:00")
    assert desk.asked(W) == [("00:00", 60), ("08:00", 60)]
    assert desk.asked(P) == [("00:00", 60)]


@pytest.mark.parametrize(("he_s", "she_s", "told"), [(10, None, {P}), (None, 10, {W}), (10, 10, set())])
def test_a_phone_of_its_own_interval_is_never_commanded(he_s, she_s, told):
    story = Story(he_every_s=he_s, she_every_s=she_s)
    story.she.stands(0)
    story.he.stands(6000).goes("01:00", 300, 14).is_silent("08:20", "12:00")
    desk = story.play("14:00")
    assert {one.device for _, one in desk.commands} == {f"b{number:07d}" for number in told}


@pytest.mark.parametrize("how", ["clock", "straggler"])
def test_an_alert_that_no_believed_fix_has_seen_asks_for_its_interval_too(how):
    """F14: an alert by the clock alone left both units at their interval."""
    story = Story()
    story.she.stands(0)
    if how == "clock":
        story.he.stands(30_000).says("02:25", 500).is_silent("02:26")
        at = "02:36"
    else:
        story.he.stands(1300).says("01:55", 950, age_s=9)
        at = "01:55"
    desk = story.play("02:37")
    assert desk.spans("ALERT")[0][0] == at
    assert (at, 5) in desk.asked(W)
    assert (at, 5) in desk.asked(P), "she is at rest, and not told twice that"


# --- invariant 5 ---------------------------------------------------------------------------------------------


def commands_to_him(she, approach):
    """All that his unit is told while he goes his way and she is somewhere else."""
    story = Story()
    story.she.stands(she)
    approach(story.he)
    desk = story.play("12:00")
    zones = [one.zone for _, one in desk.standings]
    return desk.asked(W), desk.located(W), zones


def lingers(he):
    he.stands(1500)


def strolls_far_away(he):
    he.stands(15_000 + 0j).goes("02:00", 16_000 + 500j, 1.4)


def stays_inside(he):
    he.stands(300).goes("03:00", 250 + 100j, 1.4)


@pytest.mark.parametrize(
    ("approach", "places"),
    [
        (lingers, [0, 150 + 300j, 200 - 600j, 3000, 1500 + 1600j, 1500 - 1250j]),
        (strolls_far_away, [0, 5000j, -3000 + 1000j, 4000 - 4000j]),
        (stays_inside, [0, 400j, 300 - 300j, 700 + 200j, -300]),
    ],
)
def test_where_she_is_within_one_state_changes_nothing_that_he_is_told(approach, places):
    """Invariant 5, F33: north, south, nearer, farther: command for command, second for second the same."""
    first = commands_to_him(places[0], approach)
    for place in places[1:]:
        assert commands_to_him(place, approach) == first


def test_and_another_state_would_have_shown():
    """The comparison above is not blind."""
    assert commands_to_him(0, lingers) != commands_to_him(1000, lingers)
