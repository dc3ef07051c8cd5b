"""IMMINENT and EVIDENTIAL BREACH: soon, and beyond doubt (DOMAIN section 3)."""

from __future__ import annotations

import pytest
from timeline import Story, ms

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
