"""ZONE_CORE_ENTRY, ZONE_ENTRY, ZONE_PREALERT, ZONE_EXIT: places that he must keep out of, or be in (DOMAIN 4)."""

from __future__ import annotations

import pytest
from geofence_places import authorised, between, box, disc
from timeline import Story, ms

from geofence.pair_table import QUIET

pytestmark = pytest.mark.usefixtures("both_paths")

FAR = 40_000  # where she is: no ring has anything to say


def story(*zones, he_every_s=10, **measure):
    one = Story(he_every_s=he_every_s, she_every_s=60, zones=zones, **measure)
    one.she.stands(FAR * 1j)
    return one


def told(desk):
    return [one for one in desk.tale if one[1].startswith("ZONE")]


SCHOOL = box("school", "core", -200 - 150j, 200 + 150j)
CLUB = disc("club", "ban", 0, 300)
LODGING = box("lodging", "stay", -300 - 300j, 300 + 300j)


def test_the_first_fix_in_her_school_is_an_alert():
    """He drives in at 14 m/s from the west: the edge at 02:08; 100 m beyond the other one at
    02:44, and the second fix there ends it."""
    one = story(SCHOOL)
    one.he.stands(-2_000).goes("00:00", 2_000, 14)
    desk = one.play("04:00")
    assert told(desk) == [
        ("02:10", "ZONE_CORE_ENTRY", "entry", "inside_zone"),
        ("03:00", "ZONE_CORE_ENTRY", "exit", "outside_two_fixes"),
    ]
    entry, left = desk.one("ZONE_CORE_ENTRY"), desk.one("ZONE_CORE_ENTRY", "exit")
    assert (entry.zone, entry.at_ms, left.entry) == ("school", ms("02:10"), entry.id)
    assert entry.zone_dm == pytest.approx(-200, abs=3), "20 m into it"
    assert entry.distance_dm == pytest.approx(400_000, rel=0.01), "who acts on it needs their distance"


def test_any_other_ban_is_the_same_of_lower_priority():
    one = story(CLUB)
    one.he.stands(-2_000).goes("00:00", 0, 14)
    assert told(one.play("04:00")) == [("02:10", "ZONE_ENTRY", "entry", "inside_zone")]


def test_a_first_observation_inside_is_an_entry():
    one = story(CLUB)
    one.he.stands(100).starts("01:00")
    assert told(one.play("02:00")) == [("01:00", "ZONE_ENTRY", "entry", "inside_zone")]


def test_the_buffer_warns_before_and_is_no_entry():
    """600 m of buffer around 300 m: 900 m at 01:19."""
    one = story(disc("club", "ban", 0, 300, buffer_m=600))
    one.he.stands(-2_000).goes("00:00", -500, 14).goes("05:00", -2_000, 14)
    assert told(one.play("09:00")) == [
        ("01:20", "ZONE_PREALERT", "entry", "near_zone"),
        ("05:50", "ZONE_PREALERT", "exit", "outside_two_fixes"),
    ]


def test_on_the_edge_he_neither_comes_nor_goes_again():
    """Once in, and then between 20 m inside and 80 m outside: one entry, no exit."""
    one = story(CLUB)
    one.he.stands(-1_000).goes("00:00", -280, 14)
    for minute in range(2, 10):
        one.he.goes(f"{minute:02d}:00", -380 if minute % 2 else -280, 5)
    assert [row[1:] for row in told(one.play("10:00"))] == [("ZONE_ENTRY", "entry", "inside_zone")]


def test_one_fix_outside_is_no_exit_and_a_minute_is():
    """His unit reports each 2 minutes: after the first fix beyond the margin it takes the clock."""
    one = story(CLUB, he_every_s=120)
    one.he.stands(0).goes("01:00", 5_000, 30)
    assert told(one.play("05:00")) == [
        ("00:00", "ZONE_ENTRY", "entry", "inside_zone"),
        ("03:01", "ZONE_ENTRY", "exit", "outside_60_s"),
    ]


@pytest.mark.parametrize("more", [{"accuracy_m": 400.0}, {"accuracy_m": 5.0, "age_s": 100}])
def test_a_fix_that_is_poor_or_old_enters_nothing(more):
    one = story(CLUB)
    one.he.stands(-2_000).says("01:05", 0, **more)
    assert told(one.play("02:00")) == []


def test_nor_does_a_jump_that_nobody_could_have_made():
    """F13: 20 km within 5 s is an event of quality, and no breach."""
    one = story(CLUB)
    one.he.stands(-20_000).says("01:05", 0)
    desk = one.play("02:00")
    assert told(desk) == []
    assert desk.counts["implausible"] == 1


# --- a way through ---------------------------------------------------------------------------------------------


def test_a_way_straight_through_is_found_though_no_fix_was_inside():
    """A disc of 60 m, 140 m between two fixes: from 70 m before to 70 m behind it."""
    one = story(disc("club", "ban", 0, 60))
    one.he.stands(-1_470).goes("00:00", 1_500, 14)
    desk = one.play("04:00")
    assert told(desk) == [
        ("01:50", "ZONE_ENTRY", "entry", "way_through_zone"),
        ("02:10", "ZONE_ENTRY", "exit", "outside_two_fixes"),
    ]
    entry = desk.one("ZONE_ENTRY")
    assert (entry.crossed_from_ms, entry.crossed_until_ms) == (ms("01:40"), ms("01:50"))


@pytest.mark.parametrize(
    ("place", "radius_m", "every_s"), [(40j, 60, 10), (0, 30, 10), (0, 60, 60), (0, 500, 180)]
)
def test_a_way_that_may_have_led_around_is_none(place, radius_m, every_s):
    """F13: beside the middle, through a small place, a minute or three between two fixes: nobody "walked across a
    lake"."""
    one = story(disc("club", "ban", place, radius_m), he_every_s=every_s)
    half_m = 7 * every_s
    one.he.stands(-half_m).goes("00:00", half_m, 14).goes("10:00", half_m, 1)
    assert told(one.play("06:00")) == []


# --- a place to be ---------------------------------------------------------------------------------------------


def test_he_leaves_the_place_where_he_must_be_and_comes_back():
    """300 m to its edge, 400 m with the margin, at 02:09; evidence twice; the edge again at 05:51."""
    one = story(LODGING)
    one.he.stands(0).goes("01:40", 1_000, 14).goes("05:00", 0, 14)
    assert told(one.play("08:00")) == [
        ("02:20", "ZONE_EXIT", "entry", "outside_place_to_be"),
        ("05:50", "ZONE_EXIT", "exit", "back_in_place_to_be"),
    ]


def test_who_is_at_home_all_night_is_not_even_measured():
    """A ball of 400 m is drawn at the first fix."""
    one = story(LODGING)
    one.he.stands(0).goes("02:00", 100 + 100j, 1.4)
    desk = one.play("05:00")
    assert told(desk) == []
    assert desk.table.zones.balls[0, 3] == pytest.approx(398, abs=1)
    assert not desk.table.zones.held.any()


# --- hours -----------------------------------------------------------------------------------------------------


def test_who_was_found_there_by_the_clock_is_not_told_to_have_left_before():
    """The ban begins at 02:00. What is heard behind that says that he had left by 01:55."""
    one = story(disc("club", "ban", 0, 300, schedule=between("02:00", "05:00")))
    one.he.stands(0).is_silent("01:45")
    one.he.says("02:02", -900, age_s=10).says("02:03", -900, age_s=8)
    desk = one.play("02:10")
    began, left = desk.one("ZONE_ENTRY"), desk.one("ZONE_ENTRY", "exit")
    assert (began.reason, left.reason) == ("zone_came_into_force", "outside_two_fixes")
    assert (left.entry, left.at_ms, left.points.t1_ms) == (began.id, ms("02:00"), ms("01:55"))


def test_a_ban_that_begins_finds_him_there_and_ends():
    one = story(disc("club", "ban", 0, 300, schedule=between("02:00", "05:00")))
    one.he.stands(0)
    desk = one.play("06:00")
    assert told(desk) == [
        ("02:00", "ZONE_ENTRY", "entry", "zone_came_into_force"),
        ("05:00", "ZONE_ENTRY", "exit", "zone_not_in_force"),
    ]
    entry, left = desk.one("ZONE_ENTRY"), desk.one("ZONE_ENTRY", "exit")
    assert (left.entry, left.entry_ms) == (entry.id, entry.at_ms), "else nobody knows what it ends"
    assert not desk.table.states.get(0, QUIET).zones, "and nothing of it is left"


@pytest.mark.parametrize(("since", "recorded"), [("01:00", True), ("04:00", False)])
def test_the_end_of_a_ban_is_authorised_as_its_entry_was(since, recorded):
    """Whatever is allowed by then: the end of an alert is told to whoever was told of it."""
    club = disc("club", "ban", 0, 300, schedule=between("02:00", "05:00"))
    one = story(club, authorised=authorised(since, "60:00"))
    one.he.stands(0)
    found = [one for _, one in one.play("06:00").findings if one.zone]
    assert [one.authorised for one in found] == [recorded, recorded]


def test_a_curfew_that_begins_while_he_is_away():
    """The hour is the first evidence, the next fix the second."""
    one = story(box("lodging", "stay", -300 - 300j, 300 + 300j, schedule=between("02:00", "09:00")))
    one.he.stands(3_000).goes("04:00", 0, 30)
    assert told(one.play("10:00")) == [
        ("02:00", "ZONE_EXIT", "entry", "outside_place_to_be"),
        ("05:30", "ZONE_EXIT", "exit", "back_in_place_to_be"),
    ]


def test_of_a_wearer_who_is_silent_the_hour_says_nothing():
    """His last fix in the place is four minutes old when the ban begins."""
    one = story(disc("club", "ban", 0, 300, schedule=between("05:00", "09:00")))
    one.he.stands(0).is_silent("01:00")
    assert told(one.play("08:00")) == []


def test_outside_its_hours_a_zone_costs_and_says_nothing():
    one = story(disc("club", "ban", 0, 300, schedule=between("60:00", "70:00")))
    one.he.stands(-1_000).goes("00:30", 1_000, 14)
    desk = one.play("04:00")
    assert told(desk) == []
    assert desk.table.zones.balls[0, 3] == float("inf")


def test_a_measure_that_ends_ends_what_was_said_of_its_places():
    one = story(SCHOOL, valid_until_ms=ms("03:00"))
    one.he.stands(0)
    desk = one.play("05:00")
    assert told(desk) == [
        ("00:00", "ZONE_CORE_ENTRY", "entry", "inside_zone"),
        ("03:00", "ZONE_CORE_ENTRY", "exit", "measure_ended"),
    ]
    assert desk.one("ZONE_CORE_ENTRY", "exit").entry == desk.one("ZONE_CORE_ENTRY").id


# --- another order ---------------------------------------------------------------------------------------------


def test_a_ban_that_is_lifted_ends_and_when_it_is_ordered_again_begins_anew():
    """It was the only one of the measure: nothing else would ask about zones any more."""
    one = story(CLUB)
    one.he.stands(0).goes("04:00", 5_000, 30).goes("10:00", 0, 30)
    one.orders("02:00", zones=()).orders("08:00", zones=(CLUB,))
    desk = one.play("15:00")
    assert told(desk) == [
        ("00:00", "ZONE_ENTRY", "entry", "inside_zone"),
        ("02:00", "ZONE_ENTRY", "exit", "zone_not_in_force"),
        ("12:40", "ZONE_ENTRY", "entry", "inside_zone"),
    ]
    assert desk.one("ZONE_ENTRY", "exit").entry == desk.one("ZONE_ENTRY").id


def test_nothing_is_remembered_of_a_ban_that_was_lifted():
    one = story(CLUB)
    one.he.stands(0)
    table = one.orders("02:00", zones=()).play("03:00").table
    assert not any(state.zones for state in table.states.values())


def test_the_same_place_under_another_kind_is_another_zone():
    """He must keep out of it, then stay in it, then keep out again."""
    here = {kind: disc("club", kind, 0, 300, buffer_m=600 * (kind != "stay")) for kind in ("ban", "stay", "core")}
    one = story(here["ban"])
    one.he.stands(0).goes("05:00", 5_000, 30).goes("08:00", 0, 30)
    one.orders("02:00", zones=(here["stay"],)).orders("12:00", zones=(here["core"],))
    one.orders("13:00", zones=(here["ban"],))
    assert told(one.play("14:00")) == [
        ("00:00", "ZONE_ENTRY", "entry", "inside_zone"),
        ("02:00", "ZONE_ENTRY", "exit", "zone_not_in_force"),
        ("05:30", "ZONE_EXIT", "entry", "outside_place_to_be"),
        ("10:40", "ZONE_EXIT", "exit", "back_in_place_to_be"),
        ("12:00", "ZONE_CORE_ENTRY", "entry", "zone_came_into_force"),
        ("13:00", "ZONE_CORE_ENTRY", "exit", "zone_not_in_force"),
        ("13:00", "ZONE_ENTRY", "entry", "zone_came_into_force"),
    ]


def test_two_zones_of_one_measure_are_two_stories():
    one = story(CLUB, disc("pub", "ban", 800, 300))
    one.he.stands(-1_000).goes("00:00", 800, 14)
    desk = one.play("04:00")
    found = [(one.zone, one.change.value) for _, one in desk.findings if one.zone]
    assert found == [("club", "entry"), ("club", "exit"), ("pub", "entry")]
    assert desk.one("ZONE_ENTRY", "exit").entry == desk.one("ZONE_ENTRY").id


def test_a_measure_without_zones_remembers_nothing_of_any():
    one = story()
    one.he.stands(0).goes("00:10", 2_000, 14)
    table = one.play("03:00").table
    assert not table.zones.any
    assert not any(state.zones for state in table.states.values())
