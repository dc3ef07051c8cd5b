"""Somebody falls silent: losses, UNCERTAIN, DEGRADED and the hour of blind risk (F05, F13, F15)."""

from __future__ import annotations

import numpy as np
import pytest
from geofence_pairs import W
from timeline import T0_MS, Story, hour, ms

from geofence.devices import ACCURACY, AT, INTERVAL, NEWLY, SPEED
from geofence.silence import blind_hours

pytestmark = pytest.mark.usefixtures("both_paths")

LOSSES = {"W_COMMS_LOSS", "W_GNSS_LOSS", "V_COMMS_LOSS"}


def silent_for(until, *, stands=3000, he="05:00", she=None, back="9999:00"):
    """Phones of a report each 30 s, at whole half minutes; silent from the hours given: last heard at 04:30."""
    story = Story(he_every_s=30, she_every_s=30)
    story.she.stands(0)
    story.he.stands(stands)
    if he:
        story.he.is_silent(he, back)
    if she:
        story.she.is_silent(she, back)
    return story.play(until)


def test_a_near_wearer_falls_silent():
    """At 01:00 he falls silent 1.5 km away, heard last at 00:50; from 01:25 on he may be at the ring (484 m at 14
    m/s, less what she may have moved): UNCERTAIN. He was overdue at 01:10, so at 02:10 it is DEGRADED."""
    story = Story()
    story.she.stands(0)
    story.he.stands(1500).is_silent("01:00", "05:00")
    desk = story.play("06:00")
    assert desk.spans("UNCERTAIN") == [("01:25", "05:00")]
    assert desk.spans("DEGRADED") == [("02:10", "05:00")]
    assert desk.located(W)[0] == "01:25"
    assert desk.one("UNCERTAIN").reason == "silent_in_reach"
    assert "ALERT" not in desk.codes(), "F13: silence is never a breach"


@pytest.mark.parametrize(("km", "blind"), [(3, "06:50"), (10, "15:11"), (30, "38:58")])
def test_a_far_wearer_is_degraded_at_the_hour_of_plausible_blind_risk(km, blind):
    """(d - 16.2 m - 1 km) / 14 m/s behind 04:30: 141.7, 641.7, 2070.3 s. Not a minute later, and earlier by
    no more than she may have moved unseen (2 sigmas of 33 m, 5 s at 14 m/s)."""
    desk = silent_for("45:00", stands=1000 * km)
    due_s = 270 + (1000 * km - 16.2 - 1000) / 14
    ((degraded_s, finding),) = desk.of("DEGRADED")
    assert due_s - 5 <= degraded_s <= due_s
    assert desk.spans("DEGRADED") == [(blind, None)] == desk.spans("UNCERTAIN")
    assert finding.reason == "unresolved_60_s"


@pytest.mark.parametrize(("doubt", "since"), [("silent", "00:50.4"), ("poor", None), ("suspicious", None)])
def test_f05_degraded_says_since_when_who_is_silent(doubt, since):
    """A carrier's silence explains it then; poor fixes of a unit that is heard are none."""
    story = Story()
    story.she.stands(0)
    story.he.stands(1500).is_silent("01:00")
    for at_s in range(65, 600, 10) if doubt != "silent" else ():
        story.he.says(hour(at_s), 1500 if doubt == "poor" else 1100, accuracy_m=900 if doubt == "poor" else 400)
    told = story.play("10:00").one("DEGRADED")
    assert told.reason == "unresolved_60_s"
    assert told.silent_since_ms == (since and ms("00:50") + 400)


# --- losses --------------------------------------------------------------------------------------------------


def test_each_loss_begins_after_three_intervals_and_ends_when_heard():
    """Heard last at 04:30.4: at 06:00.4, so on the second 06:01; the first that is heard again is at 12:00."""
    desk = silent_for("13:00", she="05:00", back="12:00")
    assert desk.spans("W_COMMS_LOSS") == [("06:01", "12:00")] == desk.spans("V_COMMS_LOSS")
    for code in ("W_COMMS_LOSS", "V_COMMS_LOSS"):
        assert desk.one(code).silent_since_ms == T0_MS + 270_400
        assert desk.one(code, "exit").entry == desk.one(code).id


def test_a_wearer_without_gnss_is_heard_and_not_seen():
    """Presence and no place from 05:00 on: the last fix is of 04:30, three intervals later it is a loss of GNSS,
    and no loss of the line."""
    story = Story(he_every_s=30, she_every_s=30)
    story.she.stands(0)
    story.he.stands(30_000).has_no_gnss("05:00", "12:00")
    desk = story.play("13:00")
    assert desk.spans("W_GNSS_LOSS") == [("06:00", "12:00")]
    assert desk.one("W_GNSS_LOSS").silent_since_ms == T0_MS + 270_000
    assert desk.codes() == {"W_GNSS_LOSS"}
    assert desk.counts["presence"] == 14


def test_no_end_is_told_of_an_hour_before_its_beginning():
    """The clock says at 01:21 and 01:25 what a fix ends that was taken at 01:06 and is heard at 01:26; the next
    one, taken at 01:13, is unbelieved and begins the doubt again: behind the end of the first, for the desk."""
    story = Story()
    story.she.stands(0)
    story.he.stands(1500).is_silent("01:00", "05:00")
    story.he.says("01:26", 1500, age_s=20).says("01:28", 900, age_s=15, accuracy_m=400)
    desk = story.play("01:40")
    for code, until in (("W_COMMS_LOSS", ms("01:21")), ("UNCERTAIN", ms("01:25"))):
        began, ended = desk.one(code), desk.one(code, "exit")
        assert (ended.entry, ended.entry_ms, ended.at_ms) == (began.id, began.at_ms, until)
        assert ended.points.t1_ms == ms("01:06"), "of which fix stays told"
    again = desk.one("UNCERTAIN", nth=1)
    assert (again.reason, again.at_ms) == ("unbelieved_fix_inside", ms("01:25") + 1)


def test_a_unit_that_goes_on_losing_both_has_both_losses():
    """Heard last at 07:30.4; and her fix of 09:00.4, at the very hour of the loss and between two seconds, does
    not put off for ever what the clock is to say at 09:01."""
    story = Story(he_every_s=30, she_every_s=30)
    story.she.stands(0)
    story.he.stands(30_000).has_no_gnss("05:00").is_silent("08:00")
    desk = story.play("12:00")
    assert desk.spans("W_GNSS_LOSS") == [("06:00", None)]
    assert desk.spans("W_COMMS_LOSS") == [("09:01", None)]


def test_her_gnss_is_no_code_of_its_own():
    story = Story(he_every_s=30, she_every_s=30)
    story.she.stands(0).has_no_gnss("05:00")
    story.he.stands(30_000)
    assert story.play("10:00").codes() & LOSSES == set()


def test_who_was_never_heard_has_lost_nothing():
    story = Story()
    story.he.stands(3000)
    story.she.starts("99:00")
    assert story.play("20:00").codes() == set()


def test_an_order_to_a_silent_unit_does_not_reopen_judged_hours():
    """At 10:30 her distance is doubted so much that both are told 10 s; his unit has had no fix since 04:30, and
    W_GNSS_LOSS goes on as it was."""
    story = Story()
    story.she.stands(0)
    story.he.stands(3000).has_no_gnss("05:00", "12:00")
    desk = story.play("11:30")
    assert desk.spans("W_GNSS_LOSS") == [("06:00", None)]
    hours = [one.at_ms for _, one in desk.findings]
    assert hours == sorted(hours)


def test_a_unit_is_lost_by_the_interval_that_it_knew():
    """Told 60 s and heard 55 s ago, she is told 10 s, answers within a second, and was never lost."""
    story = Story()
    story.she.stands(0).starts("00:05")
    story.he.stands(10_000).goes("05:01", 300, 150)
    assert "V_COMMS_LOSS" not in story.play("08:00").codes()


# --- time to blind risk --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("he", "she", "worst_s", "plausible_s"),
    [
        ("05:00", None, 55.105, 141.7),  # 1983.8 m at 36 and at 14 m/s
        (None, "05:00", 55.105, 141.7),
        ("05:00", "05:00", 27.552, 70.85),  # both move: 72 and 28 m/s
    ],
)
def test_the_hour_of_blind_risk_in_numbers(he, she, worst_s, plausible_s):
    """3 km less 1.62 (5 + 5) = 16.2 m less 1 km, behind the last fix of 04:30; and it stands still."""
    desk = silent_for("08:00", he=he, she=she)
    for at in ("06:30", "07:00", "08:00"):
        standing = desk.standing(at)
        assert (standing.blind_worst_ms - ms("04:30")) / 1000 == pytest.approx(worst_s, abs=0.02)
        assert (standing.blind_plausible_ms - ms("04:30")) / 1000 == pytest.approx(plausible_s, abs=0.05)
    told = desk.one("UNCERTAIN")
    assert (told.blind_worst_ms - ms("04:30")) / 1000 == pytest.approx(worst_s, abs=0.02)


def test_who_was_fast_is_plausibly_fast():
    """He drove at 20 m/s, 12 km away when last heard: 10983.8 m / 20 m/s = 549.2 s; the worst stays 36 m/s."""
    story = Story(he_every_s=30, she_every_s=30)
    story.she.stands(0)
    story.he.stands(9000).goes("02:00", 20_000, 20).is_silent("05:00")
    standing = story.play("07:00").standing("07:00")
    assert (standing.blind_plausible_ms - ms("04:30")) / 1000 == pytest.approx(549.2, abs=1)
    assert (standing.blind_worst_ms - ms("04:30")) / 1000 == pytest.approx(10_983.8 / 36, abs=0.1)


def test_the_silent_are_ranked_by_risk_and_not_by_minutes():
    """3 km and silent since 04:30 comes before 30 km and silent since 01:30."""
    near, far = silent_for("08:00"), silent_for("08:00", stands=30_000, he="02:00")
    assert near.standings[-1][1].blind_worst_ms < far.standings[-1][1].blind_worst_ms
    assert near.standings[-1][1].wearer_heard_ms > far.standings[-1][1].wearer_heard_ms


def test_many_are_ranked_by_the_same_hours():
    """``blind_hours`` by columns: the same numbers by hand; whoever was never heard comes first."""
    a, b = (np.tile(np.array(NEWLY), (3, 1)).T for _ in "ab")
    a[:, :2].T[:, 0] = 0
    for rows, x_m, at_ms in ((a, (3000.0, 30_000.0), (270e3, 90e3)), (b, (0.0, 0.0), (480e3, 480e3))):
        rows[0, :2], rows[AT, :2], rows[ACCURACY, :2] = x_m, at_ms, 5.0
        rows[INTERVAL, :2], rows[SPEED, :2] = 30.0, 0.0
    hours = blind_hours(a, b, 490e3, np.full(3, 1000.0))
    assert hours.worst_ms[:2] / 1000 == pytest.approx([270 + 1983.8 / 36, 90 + 28_983.8 / 36], abs=0.01)
    assert hours.plausible_ms[:2] / 1000 == pytest.approx([270 + 1983.8 / 14, 90 + 28_983.8 / 14], abs=0.01)
    assert hours.worst_ms[2] == hours.plausible_ms[2] == -np.inf
    assert np.argsort(hours.worst_ms).tolist() == [2, 0, 1]
    assert hours.silent[:2].all()


# --- one reading inside --------------------------------------------------------------------------------------


def test_one_reading_inside_is_uncertain():
    """Her phone reports each ten minutes. He stops 980 m from where she was four minutes ago: too long ago to be
    called a distance, and nothing that says he is not inside."""
    story = Story(he_every_s=30, she_every_s=600)
    story.she.stands(0)
    story.he.stands(2500).goes("01:00", 980, 8)
    desk = story.play("06:00")
    assert desk.spans("UNCERTAIN") == [("04:30", None)]
    assert desk.one("UNCERTAIN").reason == "one_reading_inside"
    assert desk.spans("DEGRADED") == [("05:30", None)]
