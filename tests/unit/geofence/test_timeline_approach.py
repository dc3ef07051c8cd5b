"""IMMINENT and EVIDENTIAL BREACH: soon, and beyond doubt (DOMAIN section 3)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from timeline import Story, hour, ms

pytestmark = pytest.mark.usefixtures("both_paths")


def driving(m_s=14.0, until="08:00", **story):
    """He comes from 6 km from 02:00 on, straight to her house."""
    told = Story(**story)
    told.she.stands(0)
    told.he.stands(6000).goes("02:00", 300, m_s)
    return told.play(until)


def test_imminent_counts_down_to_the_hour_of_the_alert():
    """At 14 m/s he is at 1 km at 07:57.1, 5000 m after 02:00; from 07:00 on it is less than 120 s."""
    desk = driving()
    assert desk.spans("IMMINENT") == [("07:00", "08:00")]
    assert desk.one("IMMINENT").alert_ms == pytest.approx(ms("07:57"), abs=5_000)
    assert desk.one("IMMINENT", "exit").reason == "inside_alert_distance"


@pytest.mark.parametrize(("m_s", "shown"), [(6, True), (1.4, False)])
def test_it_needs_120_s_to_the_ring(m_s, shown):
    """From 1.5 km: at 6 m/s 83 s, at 1.4 m/s 357 s; he turns round at 1.4 km."""
    story = Story(he_every_s=10, she_every_s=10)
    story.she.stands(0)
    story.he.stands(1500).goes("02:00", 1400, m_s).goes("02:00", 1900, 6)
    assert ("IMMINENT" in story.play("05:00").codes()) is shown


def test_it_ends_when_he_turns_back_and_is_no_alert():
    story = Story()
    story.she.stands(0)
    story.he.stands(1900).goes("02:00", 1400, 10).goes("02:00", 1900, 10)
    desk = story.play("06:00")
    ((since, until),) = desk.spans("IMMINENT")
    assert "02:10" <= since <= "02:50" < until <= "03:20"
    assert desk.one("IMMINENT", "exit").reason == "no_longer_closing"
    assert "ALERT" not in desk.codes()


def test_slowing_down_a_little_does_not_end_it():
    """Begun at 120 s, ended above 180 s: 10 m/s from 1.9 km is 90 s; 5 m/s from 1.7 km then is 140 s."""
    story = Story(he_every_s=10, she_every_s=10)
    story.she.stands(0)
    story.he.stands(1900).goes("02:00", 1700, 10).goes("02:00", 1300, 5)
    desk = story.play("03:40")
    assert desk.spans("IMMINENT") == [("02:10", None)]
    assert "ALERT" not in desk.codes()


def test_beyond_the_prealert_ring_nothing_is_imminent():
    """At 38 m/s he is 80 s from the ring at 4 km."""
    story = Story(he_every_s=10, she_every_s=10)
    story.she.stands(0)
    story.he.stands(5000).goes("02:00", 2500, 38)
    assert story.play("03:05").codes() == set()


# --- evidential breach ---------------------------------------------------------------------------------------


def test_two_pairs_of_fixes_prove_the_breach_once():
    desk = driving(until="12:00")
    assert [at for at, _ in desk.of("EVIDENTIAL_BREACH")] == [8 * 60 + 10]
    proof = desk.one("EVIDENTIAL_BREACH")
    assert proof.upper_dm <= 10_000
    assert (proof.reason, proof.change.value) == ("certain_two_fixes", "entry")
    assert proof.at_ms - proof.wearer.fix_ms <= 30_000
    assert proof.at_ms - proof.protected.fix_ms <= 30_000


@pytest.mark.parametrize(
    ("place_m", "accuracy_m", "proved"),
    [
        (970, 5, True),  # 970 + 1.62 * 10 = 986
        (990, 5, False),  # 990 + 16.2 = 1006
        (900, 40, False),  # 900 + 1.62 * 80 = 1030
        (850, 40, True),  # 850 + 129.6 = 980
        (500, None, False),  # nobody said how exact that is
    ],
)
def test_it_is_stricter_than_the_alert(place_m, accuracy_m, proved):
    story = Story(he_every_s=5, she_every_s=5)
    story.she.stands(0).tells(accuracy_m)
    story.he.stands(place_m).tells(accuracy_m)
    desk = story.play("02:00")
    assert desk.spans("ALERT") == [("00:00", None)]
    assert ("EVIDENTIAL_BREACH" in desk.codes()) is proved


def test_an_old_fix_of_hers_proves_nothing():
    """Both inside for ten minutes; but between her reports his fixes are held against one older than 30 s, and
    behind the one that is not, the next of his is already too late."""
    story = Story(he_every_s=40, she_every_s=600)
    story.she.stands(0)
    story.he.stands(500).starts("00:35")
    desk = story.play("09:00")
    assert desk.spans("ALERT") == [("00:35", None)]
    assert "EVIDENTIAL_BREACH" not in desk.codes()


def test_a_single_fix_proves_nothing():
    story = Story()
    story.she.stands(0)
    story.he.stands(500).is_silent("00:01").goes("00:01", 500, 1)
    story.she.is_silent("00:01")
    desk = story.play("05:00")
    assert desk.spans("ALERT") == [("00:00", None)]
    assert "EVIDENTIAL_BREACH" not in desk.codes()


def courses(desk):
    """(hour, closing) at each change of it, as the bucket was told."""
    seen = [(hour(at_s), one.closing) for at_s, one in desk.told]
    return [now for before, now in pairwise([("", None), *seen]) if now[1] is not before[1]]


def test_who_walks_in_and_turns_back_is_seen_to():
    """From 1.9 km at 1.4 m/s to 1.6 km at 05:35, and back: 100 m take 71 s, and reports come each 10 s."""
    story = Story(he_every_s=10, she_every_s=10)
    story.she.stands(0)
    story.he.stands(1900).goes("02:00", 1600, 1.4).goes("05:35", 2300, 1.4)
    ((nearer, yes), (away, no), (_, out)) = courses(story.play("14:00"))
    assert ((yes, no, out), "ALERT" in story.play("14:00").codes()) == ((True, False, None), False)
    assert "03:10" <= nearer <= "03:40"
    assert "06:30" <= away <= "07:50"


@pytest.mark.parametrize("accuracy_m", [5, 40])
def test_the_scatter_of_somebody_who_stands_is_no_course(accuracy_m):
    """His fixes lie 35 m to either side of where he stands."""
    story = Story(he_every_s=10, she_every_s=10)
    story.she.stands(0)
    story.he.stands(1500).tells(accuracy_m)
    for turn in range(20):
        story.he.goes(f"{2 + turn:02}:00", 1500 + (35 if turn % 2 else -35), 7)
    desk = story.play("22:00")
    assert courses(desk) == []
    assert len({one.closing_ms for _, one in desk.told}) == 1, "IMMINENT comes and goes; his course is not told"


def test_each_way_of_100_m_is_told_and_the_alert_ends_it():
    """4 m/s from 1.9 km: 9 times 100 m before the alert ring at 1 km."""
    story = Story(he_every_s=10, she_every_s=10)
    story.she.stands(0)
    story.he.stands(1900).goes("02:00", 500, 4)
    desk = story.play("07:00")
    marks = {one.closing_ms for _, one in desk.told if one.closing}
    assert 6 <= len(marks) <= 9
    assert [now for _, now in courses(desk)] == [True, None]
    assert desk.told[-1][1].closing is desk.standing("06:59").closing is None
