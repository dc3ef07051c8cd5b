"""Exactly one of protected, degraded, unprotected, and since when (DOMAIN, invariant 13).

The desk of these timelines checks at every second that the engine's standing is the one it was told last.
"""

from __future__ import annotations

import pytest
from timeline import T0_MS, Story, hour, ms

pytestmark = pytest.mark.usefixtures("both_paths")


def test_nobody_is_protected_before_both_were_heard():
    story = Story()
    story.he.stands(3000)
    story.she.starts("03:00")
    desk = story.play("04:00")
    assert desk.protection() == [
        ("00:00", "unprotected", "never_heard"),
        ("03:01", "protected", "reporting"),
    ]
    assert desk.standing("03:30").since_ms == ms("03:00") + 400
    assert desk.standing("02:00").protected_heard_ms is None
    assert desk.standing("02:00").blind_worst_ms is None


def test_a_silence_degrades_and_a_report_restores():
    story = Story()
    story.she.stands(0)
    story.he.stands(1500).is_silent("01:00", "05:00")
    desk = story.play("06:00")
    assert desk.protection() == [
        ("00:00", "unprotected", "never_heard"),
        ("00:01", "protected", "reporting"),
        ("01:25", "protected", "silent_in_reach"),
        ("02:10", "degraded", "silent_in_reach"),
        ("05:01", "protected", "reporting"),
    ]
    assert desk.standing("01:30").since_ms == ms("00:00") + 400, "UNCERTAIN is not yet another state"
    assert desk.standing("01:30").uncertain_since_ms == ms("01:25")
    assert desk.standing("03:00").since_ms == ms("02:10")
    assert desk.standing("05:30").since_ms == ms("05:00") + 400


def test_a_measure_protects_from_its_first_second_to_its_last():
    story = Story(valid_from_ms=ms("02:30"), valid_until_ms=ms("05:30"))
    story.she.stands(0)
    story.he.stands(800)
    desk = story.play("07:00")
    assert desk.protection() == [
        ("00:00", "unprotected", "not_in_force"),
        ("02:30", "protected", "reporting"),
        ("05:30", "unprotected", "not_in_force"),
    ]
    assert desk.standing("05:00").since_ms == ms("02:30")
    assert desk.standing("06:00").since_ms == ms("05:30")
    assert desk.spans("ALERT") == [("02:30", "05:30")], (
        "nobody has seen him leave: the measure ended, and it said so"
    )


def test_an_alert_is_not_a_lack_of_protection():
    """What is known to be wrong is not unknown: the alert is the protection at work."""
    story = Story()
    story.she.stands(0)
    story.he.stands(500)
    assert {one.protection.value for at, one in story.play("05:00").standings if at > 0} == {"protected"}


@pytest.mark.parametrize("who", ["he", "she"])
def test_the_standing_says_when_each_was_heard(who):
    story = Story(he_every_s=30, she_every_s=30)
    story.she.stands(0)
    story.he.stands(30_000)
    getattr(story, who).is_silent("05:00")
    standing = story.play("10:00").standing("10:00")
    heard_ms = {"he": standing.wearer_heard_ms, "she": standing.protected_heard_ms}
    assert heard_ms.pop(who) == T0_MS + 270_400
    assert set(heard_ms.values()) == {ms("09:30") + 400}


def test_who_reports_has_no_hour_of_blind_risk():
    """A standing is told when something changes: an hour in it would be stale by the next fix. The losses bring
    the hours, and their end takes them back, whoever of the two it was."""
    story = Story(he_every_s=30, she_every_s=30)
    story.she.stands(0).is_silent("12:00", "18:00")
    story.he.stands(30_000).is_silent("05:00", "10:00")
    desk = story.play("20:00")
    known = [(at_s, one.blind_worst_ms, one.blind_plausible_ms) for at_s, one in desk.told]
    assert {worst is None for _, worst, _ in known} == {True, False}
    assert all((worst is None) == (plausible is None) for _, worst, plausible in known)
    assert [hour(at_s) for at_s, worst, _ in known if worst is not None] == ["06:01", "13:01"]
    assert desk.told[-1][1].blind_worst_ms is None
    assert desk.standing("11:00").blind_worst_ms is desk.standing("19:00").blind_worst_ms is None


def test_a_doubt_brings_the_hour_of_blind_risk_and_its_end_takes_it_back():
    """He is silent within reach, and was not lost yet: UNCERTAIN at 01:25, resolved at 02:00."""
    story = Story()
    story.she.stands(0)
    story.he.stands(1500).is_silent("01:00", "02:00")
    desk = story.play("03:00")
    ((begins, ends),) = desk.spans("UNCERTAIN")
    told = [(hour(at_s), one.blind_worst_ms is not None) for at_s, one in desk.told]
    assert (begins, True) in told
    assert told[-1] == (ends, False)


def test_a_ring_that_was_never_said_is_left_without_a_word():
    """From far away straight into the alert: nobody takes the end of the pre-alert for an alarm."""
    story = Story(he_every_s=30, she_every_s=10)
    story.she.stands(0)
    story.he.stands(4000).goes("02:05", 500, 200).goes("05:05", 6000, 30)
    desk = story.play("12:00")
    assert desk.of("PREALERT") == []
    assert desk.one("ALERT", "exit").entry == desk.one("ALERT").id
