"""A fix that may be nonsense and may be true: UNCERTAIN at once, and an alert if nobody refutes it (F13, F16)."""

from __future__ import annotations

import pytest
from geofence_pairs import P, W
from timeline import Story, ms

pytestmark = pytest.mark.usefixtures("both_paths")


def jumping(*, until="05:00", place=500, accuracy_m=5, every_s=None, stands=4500, silent=True):
    """At 02:25, 25 s after his last fix, he is reported at ``place``; then his unit is silent until 04:30."""
    story = Story(he_every_s=every_s)
    story.she.stands(0)
    story.he.stands(stands).says("02:25", place, accuracy_m=accuracy_m)
    if silent:
        story.he.is_silent("02:25", "04:30")
    return story.play(until)


def test_a_jump_inside_is_uncertain_at_once_and_an_alert_after_ten_seconds():
    """4 km in 25 s is 160 m/s."""
    desk = jumping()
    assert desk.counts["implausible"] == 1
    assert desk.tale[:3] == [
        ("02:25", "UNCERTAIN", "entry", "unbelieved_fix_inside"),
        ("02:36", "ALERT", "entry", "unconfirmed_fix_inside"),
        ("02:36", "UNCERTAIN", "exit", "inside_alert_distance"),
    ]
    assert desk.one("ALERT").low_confidence
    assert desk.located(W)[:1] == ["02:25"], "and that unit is asked where it is"
    assert desk.located(P) == []


def test_a_doubt_that_is_about_her_is_asked_of_both():
    """Were he asked only when it is not about her, he could read from it which it is (invariant 5)."""
    story = Story()
    story.she.stands(0).says("02:25", 4400)
    story.he.stands(5000)
    desk = story.play("03:00")
    assert desk.spans("UNCERTAIN")[0][0] == "02:25"
    assert (desk.located(W)[:1], desk.located(P)[:1]) == (["02:25"], ["02:25"])


def test_with_a_shorter_interval_the_hold_is_that():
    """He reports each 5 s: received at 02:25.4, held for 5 s, raised on the next whole second."""
    assert jumping(every_s=5).of("ALERT")[0][0] == 151


def test_the_fix_that_was_asked_for_refutes_it():
    """The unit answers within a second that it is where it was: no alert. F16: a single jump raises nothing."""
    desk = jumping(silent=False)
    assert desk.spans("UNCERTAIN") == [("02:25", "02:26")]
    assert "ALERT" not in desk.codes()
    assert desk.one("UNCERTAIN", "exit").reason == "resolved"


def test_her_fix_refutes_nothing_about_him():
    story = Story(he_every_s=60)
    story.she.stands(0).says("02:30")
    story.he.stands(4500).says("02:25", 500).is_silent("02:25")
    assert story.play("02:40").spans("ALERT") == [("02:36", None)]


def test_a_second_fix_over_there_is_believed_and_the_alert_is_sure():
    """He was carried: the first fix is a jump, the next beside it says the same."""
    story = Story(he_every_s=60)
    story.she.stands(0)
    story.he.stands(4500).says("02:25", 500).says("02:30", 510)
    desk = story.play("02:40")
    assert desk.spans("ALERT") == [("02:30", None)]
    assert not desk.one("ALERT").low_confidence


def test_a_jump_to_somewhere_else_is_no_news_about_her():
    desk = jumping(place=9000, stands=4500)
    assert desk.counts["implausible"] == 1
    assert "UNCERTAIN" not in {one[1] for one in desk.tale if one[0] < "03:00"}


def test_a_jump_is_never_evidence():
    assert "EVIDENTIAL_BREACH" not in jumping(until="04:29").codes()


@pytest.mark.parametrize(("accuracy_m", "poor"), [(150, 0), (150.1, 1), (600, 1)])
def test_poor_begins_beyond_150_m(accuracy_m, poor):
    assert jumping(stands=1500, place=1400, accuracy_m=accuracy_m).counts["poor"] == poor


def test_a_poor_fix_is_weighed_with_what_was_known():
    """He stood at 1.6 km, 5 s before, sure to some metres; a cell of 600 m that says 900 m outweighs none of it:
    UNCERTAIN, and no alert from it. DEGRADED follows if nobody resolves it."""
    story = Story(he_every_s=10)
    story.she.stands(0)
    story.he.stands(1600).says("02:25", 900, accuracy_m=600).is_silent("02:25", "02:56")
    desk = story.play("02:50")
    assert desk.spans("UNCERTAIN") == [("02:25", None)]
    assert "ALERT" not in desk.codes()


def test_a_poor_fix_behind_a_long_silence_outweighs_the_past():
    """The last that was known is four minutes old."""
    story = Story(he_every_s=60)
    story.she.stands(0)
    story.he.stands(2500).is_silent("00:01").says("04:00", 600, accuracy_m=400)
    desk = story.play("04:20")
    assert desk.spans("ALERT") == [("04:11", None)]
    assert desk.one("ALERT").low_confidence


def test_it_is_degraded_when_nobody_resolves_it():
    """A poor fix at 02:25 that raises no alert by itself, and then nothing: 60 s later, or 60 s after he became
    overdue at 02:20 + 20 s if that is earlier: DEGRADED."""
    story = Story(he_every_s=10)
    story.she.stands(0)
    story.he.stands(1900).says("02:25", 950, accuracy_m=600).is_silent("02:25")
    desk = story.play("04:00")
    assert desk.spans("UNCERTAIN") == [("02:25", None)]
    assert desk.one("DEGRADED").at_ms == ms("03:26")
    assert desk.one("DEGRADED").reason == "unresolved_60_s"


# --- what ends an alert that nobody has confirmed ------------------------------------------------------------


def unconfirmed(until="08:00"):
    """He jumps to 500 m, an alert at 02:36, and his unit is silent until 06:00; she reports all the time."""
    story = Story(he_every_s=10, she_every_s=10)
    story.she.stands(0)
    story.he.stands(4500).says("02:25", 500).is_silent("02:25", "06:00")
    return story.play(until)


def test_her_fixes_alone_do_not_end_an_alert_that_waits_for_his():
    """The last place of his that was believed is 4.5 km away, and each of her fixes shows it anew: it is no
    evidence     that he has left where the other fix saw him."""
    desk = unconfirmed()
    ((_, entry), (_, exit_)) = desk.of("ALERT")
    assert entry.low_confidence
    assert desk.spans("ALERT") == [("02:36", "06:10")], "his own word, and one of hers behind it"
    assert (exit_.reason, exit_.entry) == ("outside_two_fixes", entry.id)


def test_nor_does_time():
    assert unconfirmed("05:59").spans("ALERT")[0][1] is None
