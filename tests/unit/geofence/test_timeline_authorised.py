"""Authorised hours change what is reported and nothing that is computed; below the floor nothing changes (F23)."""

from __future__ import annotations

import pytest
from geofence_places import authorised, disc
from timeline import Story

pytestmark = pytest.mark.usefixtures("both_paths")


def story(hours, **measure):
    one = Story(he_every_s=10, she_every_s=10, authorised=hours, **measure)
    one.she.stands(0)
    return one


def marked(desk):
    """(hour, code, change, reason, authorised)."""
    return [
        (*row, found.authorised)
        for row, (_, found) in zip(desk.tale, desk.findings, strict=True)
        if row[1] in {"ALERT", "PREALERT", "ZONE_ENTRY", "EVIDENTIAL_BREACH"}
    ]


def test_within_the_hours_all_is_found_and_marked():
    one = story(authorised("01:00", "20:00"))
    one.he.stands(3_000).goes("02:00", 700, 14).goes("10:00", 3_000, 14)
    desk = one.play("15:00")
    assert [(*row[1:3], row[-1]) for row in marked(desk)] == [
        ("PREALERT", "entry", True),
        ("ALERT", "entry", True),
        ("EVIDENTIAL_BREACH", "entry", True),
        ("ALERT", "exit", True),
        ("PREALERT", "exit", True),
    ]


def test_without_hours_nothing_is_marked():
    one = story(None)
    one.he.stands(3_000).goes("02:00", 700, 14)
    assert {row[-1] for row in marked(one.play("10:00"))} == {False}


def test_below_the_floor_it_is_an_alert_whatever_the_hour():
    """F23: the visit is authorised, 400 m are not. He is there at 05:06 and stays in the alert ring."""
    one = story(authorised("01:00", "30:00", floor_m=400))
    one.he.stands(3_000).goes("02:00", 300, 14)
    alerts = [row for row in marked(one.play("10:00")) if row[1] == "ALERT"]
    assert [row[-1] for row in alerts] == [True, False]
    assert alerts[1][:-1] == ("05:10", "ALERT", "entry", "below_floor_while_authorised")


def test_who_comes_out_of_nowhere_below_the_floor_is_alerted_once():
    one = story(authorised("01:00", "30:00", floor_m=400))
    one.he.stands(200).starts("03:00")
    alerts = [row for row in marked(one.play("05:00")) if row[1] == "ALERT"]
    assert alerts == [("03:00", "ALERT", "entry", "below_floor_while_authorised", False)]


@pytest.mark.parametrize(("floor_m", "recorded"), [(400, False), (0, True)])
def test_f23_a_doubt_that_may_be_below_the_floor_is_an_alert(floor_m, recorded):
    """One fix, 20 m from her, that nobody believes, and silence. Where any distance is allowed there is nothing to
    doubt."""
    one = story(authorised("01:00", "30:00", floor_m=floor_m))
    one.he.stands(1_900).is_silent("02:00").says("02:05", 20)
    (alert,) = [row for row in marked(one.play("05:00")) if row[1] == "ALERT"]
    assert alert[2:] == ("entry", "unconfirmed_fix_inside", recorded)


def test_f23_what_was_an_alert_in_doubt_stays_one_when_it_is_confirmed():
    """She comes to 800 m of where he was last believed to be, which is allowed; whoever was alerted is told of the
    end, too."""
    one = story(authorised("01:00", "30:00", floor_m=400))
    one.he.stands(1_900).is_silent("02:00", "04:00").says("02:05", 20).goes("10:00", 9_000, 14)
    one.she.goes("02:20", 1_100, 30)
    alerts = [row[2:] for row in marked(one.play("15:00")) if row[1] == "ALERT"]
    assert alerts == [
        ("entry", "unconfirmed_fix_inside", False),
        ("entry", "inside_alert_distance", False),
        ("exit", "outside_two_fixes", False),
    ]


def test_f23_an_overtaken_fix_that_showed_him_inside_is_no_part_of_a_visit():
    """It may have seen him below the floor: it is never held against it."""
    one = story(authorised("01:00", "30:00", floor_m=700))
    one.he.stands(1_050).says("02:05", 690, age_s=14)
    alerts = [row[2:] for row in marked(one.play("02:06")) if row[1] == "ALERT"]
    assert alerts == [("entry", "overtaken_fix_inside", False)]


def test_a_long_visit_that_ends_below_the_floor():
    """The alert has long settled in its guard band when he takes the last steps."""
    one = story(authorised("01:00", "60:00", floor_m=400))
    one.he.stands(900).starts("02:00").goes("20:00", 300, 1.4)
    assert one.play("20:00").table.band(0).lo_m == 400.0, "where the band of this alert ends"
    alerts = [row for row in marked(one.play("30:00")) if row[1] == "ALERT"]
    assert [row[2:] for row in alerts] == [
        ("entry", "inside_alert_distance", True),
        ("entry", "below_floor_while_authorised", False),
    ]
    assert "25:5" in alerts[1][0] or "26:0" in alerts[1][0], "500 m at 1.4 m/s are 5:57"


def test_when_the_hours_are_over_whoever_is_still_there_is_alerted():
    one = story(authorised("01:00", "06:00"))
    one.he.stands(700).starts("02:00")
    alerts = [row for row in marked(one.play("08:00")) if row[1] == "ALERT"]
    assert alerts == [
        ("02:00", "ALERT", "entry", "inside_alert_distance", True),
        ("06:00", "ALERT", "entry", "authorisation_ended", False),
    ]


@pytest.mark.parametrize("place", [700, 1_500])
def test_f23_hours_that_are_revoked_end_as_if_they_were_over(place):
    """The visit is recorded, and the judge takes back its hours at 06:00 while he is there and reports: what is
    open is said anew, to everybody, in the second of the new order."""
    one = story(authorised("01:00", "60:00", floor_m=500))
    one.he.stands(place).starts("02:00")
    one.orders("06:00", authorised=None)
    code = "ALERT" if place < 1_000 else "PREALERT"
    assert [row for row in marked(one.play("12:00")) if row[1] == code] == [
        ("02:00", code, "entry", f"inside_{code.lower()}_distance", True),
        ("06:00", code, "entry", "authorisation_ended", False),
    ]


@pytest.mark.parametrize(
    ("hours", "at", "anew"),
    [
        (authorised("01:00", "60:00", floor_m=500), 300, "below_floor_while_authorised"),
        (authorised("01:00", "12:00"), 700, "authorisation_ended"),
    ],
)
def test_f23_what_becomes_an_alert_is_proved_anew(hours, at, anew):
    """The proof of the visit was recorded with it, and is on nobody's screen."""
    one = story(hours)
    one.he.stands(900).starts("02:00").goes("10:00", at, 1.4)
    found = [row for row in marked(one.play("25:00")) if row[1] in {"ALERT", "EVIDENTIAL_BREACH"}]
    assert [(row[1], row[3], row[4]) for row in found] == [
        ("ALERT", "inside_alert_distance", True),
        ("EVIDENTIAL_BREACH", "certain_two_fixes", True),
        ("ALERT", anew, False),
        ("EVIDENTIAL_BREACH", "certain_two_fixes", False),
    ]


def test_hours_that_begin_end_no_alert():
    one = story(authorised("05:00", "20:00"))
    one.he.stands(700).starts("02:00").goes("10:00", 3_000, 14)
    alerts = [row for row in marked(one.play("15:00")) if row[1] == "ALERT"]
    assert [row[2:] for row in alerts] == [
        ("entry", "inside_alert_distance", False), ("exit", "outside_two_fixes", False),
    ]  # fmt: skip


def test_zones_are_authorised_too_and_said_when_the_hours_are_over():
    one = story(authorised("01:00", "06:00"), zones=(disc("club", "ban", 5_000, 300),))
    one.he.stands(5_000).starts("02:00")
    assert [row[:1] + row[2:] for row in marked(one.play("08:00"))] == [
        ("02:00", "entry", "inside_zone", True),
        ("06:00", "entry", "authorisation_ended", False),
    ]


def test_silence_is_never_authorised():
    one = story(authorised("00:00", "60:00"))
    one.he.stands(1_500).is_silent("02:00")
    desk = one.play("10:00")
    assert {"W_COMMS_LOSS", "DEGRADED"} <= desk.codes()
    assert not any(
        found.authorised for _, found in desk.findings if found.code.value in {"W_COMMS_LOSS", "DEGRADED"}
    )
