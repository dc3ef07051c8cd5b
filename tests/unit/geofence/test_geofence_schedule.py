"""Weekly hours of a place: leaps of its clock, weeks of GPS (F37), and when they are to be looked at again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofence.schedule import force
from tocsin.model.geozone import Hours, Schedule
from tocsin.timezones import names, time_zone

WEEK_MS = 7 * 86_400_000
PARIS = "Europe/Paris"
SUNDAY, ALL = 7, range(1, 8)
SPRING, AUTUMN = "2027-03-28", "2026-10-25"  # Sundays: at 02:00 to 03:00; at 03:00 to 02:00


def utc_ms(text):
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def clock(text):
    hours, minutes = text.split(":")
    return 60 * int(hours) + int(minutes)


def weekly(*spans, days=ALL, place=PARIS):
    """``spans``: "22:00-06:00"."""
    cut = [tuple(map(clock, one.split("-"))) for one in spans]
    return Schedule(
        time_zone=place, hours=tuple(Hours(day=day, from_min=a, until_min=b) for day in days for a, b in cut)
    )


def edges(schedule, since, until, **how):
    """Hours (UTC) of every change between two."""
    at_ms, found = utc_ms(since), []
    while (stood := force(schedule, at_ms, **how)).until_ms < utc_ms(until):
        after = force(schedule, stood.until_ms, **how)
        if after.now != stood.now:
            found.append(datetime.fromtimestamp(stood.until_ms / 1000, UTC).strftime("%d %H:%M"))
        at_ms = stood.until_ms
    return found


def test_an_ordinary_night():
    assert edges(weekly("22:00-06:00"), "2026-11-20T12:00", "2026-11-22T12:00") == [
        "20 21:00", "21 05:00", "21 21:00", "22 05:00",
    ]  # fmt: skip


def test_the_hands_leap_and_the_hours_keep_to_them():
    """F37: 22:00 to 06:00 is seven hours long in the night of March, nine in that of October."""
    night = weekly("22:00-06:00")
    assert edges(night, "2027-03-27T12:00", "2027-03-28T12:00") == ["27 21:00", "28 04:00"]
    assert edges(night, "2026-10-24T12:00", "2026-10-25T12:00") == ["24 20:00", "25 05:00"]


def test_what_begins_or_ends_in_the_hour_that_is_skipped_does_so_at_the_leap():
    assert edges(weekly("02:30-05:00"), f"{SPRING}T00:00", f"{SPRING}T12:00") == ["28 01:00", "28 03:00"]
    assert edges(weekly("00:00-02:30"), f"{SPRING}T00:00", f"{SPRING}T12:00") == ["28 01:00"]
    assert edges(weekly("02:10-02:50"), f"{SPRING}T00:00", f"{SPRING}T12:00") == []


def test_in_the_hour_that_occurs_twice_a_ban_is_long_and_an_exception_short():
    visit = weekly("01:00-02:30", days=[SUNDAY])
    assert edges(visit, "2026-10-24T12:00", f"{AUTUMN}T12:00") == ["24 23:00", "25 01:30"]
    assert edges(visit, "2026-10-24T12:00", f"{AUTUMN}T12:00", brief=True) == ["24 23:00", "25 00:30"]
    late = weekly("02:30-04:00", days=[SUNDAY])
    assert edges(late, "2026-10-24T12:00", f"{AUTUMN}T12:00") == ["25 00:30", "25 03:00"]
    assert edges(late, "2026-10-24T12:00", f"{AUTUMN}T12:00", brief=True) == ["25 01:30", "25 03:00"]
    assert edges(weekly("02:10-02:50"), "2026-10-25T00:00", f"{AUTUMN}T12:00", brief=True) == []


def test_spans_that_touch_are_one():
    assert edges(weekly("00:00-12:00", "12:00-24:00"), "2026-11-20T12:00", "2027-01-20T12:00") == []
    assert force(weekly("00:00-24:00"), utc_ms("2026-11-20T12:00")).now


def test_places_have_clocks_of_their_own():
    for place, begins in (("Indian/Reunion", "20 18:00"), ("America/Cayenne", "21 01:00")):
        night = weekly("22:00-23:00", place=place)
        assert edges(night, "2026-11-20T12:00", "2026-11-21T12:00")[0] == begins


@pytest.mark.parametrize(
    "roll_over", ["2019-04-06T23:59:42", "2038-11-20T23:59:42", "2026-12-31T23:59:59", "1999-08-21T23:59:47"]
)
def test_no_week_of_gps_and_no_turn_of_a_year_shifts_anything(roll_over):
    """F37: in UTC every week is like every other."""
    week = weekly("22:00-06:00", "11:15-11:45", place="UTC")
    at_ms = utc_ms(roll_over)
    for away_ms in range(-86_400_000, 86_400_000, 900_000):
        here, usual = force(week, at_ms + away_ms), force(week, at_ms + away_ms - 20 * WEEK_MS)
        assert (here.now, here.until_ms - 20 * WEEK_MS) == (usual.now, usual.until_ms)


spans = st.builds(
    lambda day, a, b: Hours(day=day, from_min=a, until_min=b if b != a else 1440),
    st.integers(1, 7), st.integers(0, 1439), st.integers(1, 1440),
)  # fmt: skip


@given(
    st.lists(spans, min_size=1, max_size=6),
    st.sampled_from([PARIS, "UTC", "America/Miquelon", "Pacific/Noumea", "Australia/Lord_Howe"]),
    st.integers(utc_ms("2026-03-20T00:00") // 60_000, utc_ms("2027-04-10T00:00") // 60_000),
)
def test_where_the_clock_is_plain_the_wall_says_it(hours, place, minute):
    """Away from the leaps: in force is what the hands show, minute by minute."""
    schedule, zone = Schedule(time_zone=place, hours=tuple(hours)), time_zone(place)
    at_ms = 60_000 * minute
    around = {
        datetime.fromtimestamp(at_ms / 1000 + away, zone).utcoffset() for away in range(-90_000, 90_001, 3_600)
    }
    stood = force(schedule, at_ms)
    assert stood.since_ms <= at_ms < stood.until_ms
    assert force(schedule, stood.until_ms - 1).now == stood.now
    if len(around) == 1:
        wall = datetime.fromtimestamp(at_ms / 1000, zone)
        assert stood.now == any(_shows(wall, one) for one in hours)
        assert stood.now or not force(schedule, at_ms, brief=True).now


def _shows(wall, hours):
    day, minute = wall.isoweekday(), 60 * wall.hour + wall.minute
    if hours.until_min > hours.from_min:
        return day == hours.day and hours.from_min <= minute < hours.until_min
    after = hours.day % 7 + 1
    return (day == hours.day and minute >= hours.from_min) or (day == after and minute < hours.until_min)


def test_the_rules_of_time_are_those_that_were_installed():
    assert PARIS in names()
    assert "Europe/Atlantis" not in names()
    with pytest.raises(KeyError):
        time_zone("../../etc/passwd")
