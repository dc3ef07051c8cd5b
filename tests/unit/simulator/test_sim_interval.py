"""The rules proposed for the next engine, told as what happens between two people on a straight road.

She is at kilometre 0 unless told otherwise, the alert distance is 1 km. Hours are seconds of reception.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from reference.interval.cadence import Cadence, protected_s
from reference.interval.change import Change, Kind
from reference.interval.device import Seen, seen
from reference.interval.pair import PROTECTED, WEARER, Pair

from tocsin.geodesy import SEMI_MAJOR_M

D = 1000.0
K = Kind
ALERTS = {K.ALERT, K.ALERT_LOW_CONFIDENCE}


@dataclass
class Story:
    """Reports in the order of reception, with the clock heard between them when it is due."""

    interval_s: float = 10.0
    pair: Pair = field(default_factory=lambda: Pair(alert_m=D))
    said: list[Change] = field(default_factory=list)

    def report(
        self, role: int, at_s: float, along_m: float, accuracy_m: float | None = 10.0, age_s: float = 1.0
    ) -> None:
        self.wait(at_s)
        fix = seen(at_s - age_s, (SEMI_MAJOR_M, along_m, 0.0), accuracy_m)
        self.said += self.pair.on_fix(role, at_s, fix, self.interval_s)

    def he(self, at_s: float, along_m: float, accuracy_m: float | None = 10.0, age_s: float = 1.0) -> None:
        self.report(WEARER, at_s, along_m, accuracy_m, age_s)

    def she(self, at_s: float, along_m: float = 0.0) -> None:
        self.report(PROTECTED, at_s, along_m)

    def wait(self, until_s: float) -> None:
        while self.pair.due_s < until_s:
            self.said += self.pair.on_tick(self.pair.due_s)

    def both_rest(self, he_along_m: float, until_s: int = 30) -> None:
        for at_s in range(1, until_s, 10):
            self.he(at_s, he_along_m)
            self.she(at_s + 0.5)

    def kinds(self) -> list[Kind]:
        return [change.kind for change in self.said]

    def hours_of(self, *kinds: Kind) -> list[float]:
        return [change.at_s for change in self.said if change.kind in kinds]


def drive(interval_s: int, speed_m_s: float = 20.0, from_m: float = 4000.0, until_s: int = 200) -> Story:
    story = Story(interval_s)
    for at_s in range(1, until_s, interval_s):
        story.he(at_s, from_m - speed_m_s * (at_s - 1))
        story.she(at_s + interval_s / 2)
    return story


# --- coming near


@pytest.mark.parametrize(("interval_s", "early_s", "late_s"), [(5, 3, 3), (10, 5, 5), (30, 15, 15)])
def test_a_car_that_approaches_is_alerted_about_when_it_crosses(
    interval_s: int, early_s: float, late_s: float
) -> None:
    story = drive(interval_s)
    crossing_s = (4000 - D) / 20
    (alert_s,) = story.hours_of(*ALERTS)
    assert crossing_s - early_s <= alert_s <= crossing_s + late_s
    assert story.hours_of(K.PRE_ALERT) <= story.hours_of(K.IMMINENT) < [alert_s] <= story.hours_of(K.IMMINENT_END)


def test_two_fresh_fixes_running_that_leave_no_doubt_are_evidential() -> None:
    story = drive(5)
    (evidential_s,) = story.hours_of(K.EVIDENTIAL)
    assert evidential_s > story.hours_of(K.ALERT)[0]


def test_a_first_observation_inside_is_an_alert() -> None:
    story = Story()
    story.he(1, 900)
    story.she(2)
    assert story.said == [Change(2, K.PRE_ALERT), Change(2, K.ALERT)]


def test_her_old_fix_on_a_road_that_both_drive_is_no_alert_but_no_safety_either() -> None:
    """He is 2 km behind her and comes to within 800 m of where she was seen a minute ago."""
    story = Story(interval_s=60)
    for at_s in (1, 61):
        story.she(at_s, 2000 + 20 * at_s)
        story.he(at_s + 0.5, 20 * at_s + 10)
    story.he(120, 2400)  # 820 m from where she was at 61 s
    assert story.pair.protection.uncertain_since_s == 120
    story.she(121, 4420)
    assert not ALERTS & set(story.kinds())
    assert (story.hours_of(K.UNCERTAIN), story.hours_of(K.UNCERTAIN_END)) == ([120], [121])


def test_a_fix_of_a_burst_shows_where_he_was_between_two_of_hers() -> None:
    """He passed her at kilometre 0 during a hole of his; his fixes come late and together."""
    story = Story(interval_s=10)
    story.both_rest(2500)
    story.she(60)
    story.he(82, 600, age_s=40)
    assert story.hours_of(K.ALERT) == [82]


def test_history_raises_nothing() -> None:
    story = Story()
    story.both_rest(6000)
    before = list(story.said)
    story.he(121, 0, age_s=91)
    assert [change for change in story.said if change not in before and change.at_s >= 121] == []


# --- a fix that cannot be true


def test_a_jump_is_uncertain_at_once_and_a_low_confidence_alert_after_ten_seconds() -> None:
    story = Story(interval_s=60)
    story.both_rest(30_000)
    story.he(40, 500)
    assert story.said == [Change(40, K.UNCERTAIN)]
    story.wait(60)
    assert story.said[1:] == [Change(50, K.ALERT_LOW_CONFIDENCE), Change(50, K.UNCERTAIN_END)]


def test_a_jump_that_the_next_fix_contradicts_is_none() -> None:
    story = Story(interval_s=60)
    story.both_rest(30_000)
    story.he(40, 500)
    story.he(44, 30_000)
    story.wait(100)
    assert story.said == [Change(40, K.UNCERTAIN), Change(44, K.UNCERTAIN_END)]


def test_a_jump_that_the_next_fix_confirms_is_an_alert() -> None:
    story = Story(interval_s=60)
    story.both_rest(30_000)
    story.he(40, 500)
    story.he(44, 480)
    assert story.kinds() == [K.UNCERTAIN, K.PRE_ALERT, K.ALERT, K.UNCERTAIN_END]


def test_a_poor_fix_does_not_outweigh_a_good_one() -> None:
    story = Story(interval_s=10)
    story.both_rest(3000)
    story.he(31, 500, accuracy_m=600)
    story.she(31.5)
    story.wait(45)
    assert story.kinds()[0] is K.UNCERTAIN
    assert not ALERTS & set(story.kinds())


def test_a_poor_fix_is_all_there_is_when_nothing_else_is_known() -> None:
    story = Story(interval_s=10)
    story.she(1)
    story.he(2, 500, accuracy_m=600)
    assert story.kinds() == []  # she alone is known: there is no pair to be uncertain about
    story.wait(20)
    assert story.hours_of(K.ALERT_LOW_CONFIDENCE) == [12]


def test_an_accuracy_that_was_not_told_is_that_of_a_phone_in_a_town() -> None:
    assert seen(0.0, (0.0, 0.0, 0.0), None) == Seen(0.0, (0.0, 0.0, 0.0), 12.0)


# --- silence


def test_silence_is_uncertain_when_it_is_overdue_and_degraded_a_minute_later() -> None:
    story = Story(interval_s=10)
    story.both_rest(1300)
    for at_s in range(31, 122, 10):  # he falls silent behind 20 s, she goes on
        story.she(at_s + 0.5)
    (uncertain_s,) = story.hours_of(K.UNCERTAIN)
    assert 40 < uncertain_s <= 42  # 20 s was the hour of his fix: 1.5 intervals and 5 s later, by the clock
    assert story.hours_of(K.DEGRADED) == [uncertain_s + 60]
    story.he(125, 1300)
    assert story.said[-2:] == [Change(125, K.DEGRADED_END), Change(125, K.UNCERTAIN_END)]


def test_the_silence_of_somebody_far_away_counts_when_he_could_be_here() -> None:
    story = Story(interval_s=10)
    story.both_rest(15_000)
    for at_s in range(31, 1200, 10):
        story.she(at_s + 0.5)
    (uncertain_s,) = story.hours_of(K.UNCERTAIN)
    assert 20 + 13_900 / 14 <= uncertain_s <= 20 + 14_000 / 14


# --- leaving and coming again


def inside() -> Story:
    story = Story(interval_s=60)
    story.he(1, 900)
    story.she(2)
    return story


def test_two_fixes_beyond_the_margin_end_the_alert() -> None:
    story = inside()
    story.he(10, 1000)
    story.he(20, 1150)
    assert K.ALERT_END not in story.kinds()
    story.he(30, 1160)
    assert story.hours_of(K.ALERT_END) == [30]


def test_or_one_and_a_minute_without_a_word() -> None:
    story = inside()
    story.she(19)
    story.he(20, 1200)
    story.wait(120)
    assert story.hours_of(K.ALERT_END) == [80]


def test_a_fix_within_the_margin_takes_the_evidence_back() -> None:
    story = inside()
    for at_s, along_m in ((20, 1200), (30, 1050), (40, 1200)):
        story.he(at_s, along_m)
    story.wait(99)
    assert K.ALERT_END not in story.kinds()


def test_who_comes_again_is_alerted_again() -> None:
    story = inside()
    for at_s, along_m in ((20, 1200), (30, 1300), (60, 1300), (80, 900)):
        story.she(at_s - 0.5)
        story.he(at_s, along_m)
    assert [kind for kind in story.kinds() if kind in {K.ALERT, K.ALERT_END}] == [K.ALERT, K.ALERT_END, K.ALERT]


# --- cadence


def tell(cadence: Cadence, at_s: float, nearest_m: float, alert_since_s: float | None = None) -> int:
    return cadence.tell(at_s, nearest_m, pre_alert=nearest_m < 2 * D, alert_since_s=alert_since_s)


@pytest.mark.parametrize(("nearest_m", "interval_s"), [(5000, 60), (4000, 30), (2500, 30), (2000, 10), (1500, 10)])
def test_nearer_is_more_often_at_once(nearest_m: float, interval_s: int) -> None:
    assert tell(Cadence(D), 0, nearest_m) == interval_s


def test_less_often_comes_one_band_at_a_time_after_a_minute_beyond_the_bound() -> None:
    cadence = Cadence(D)
    assert tell(cadence, 0, 1500) == 10
    assert [tell(cadence, at_s, 9000) for at_s in (10, 69, 70, 80, 139, 140)] == [10, 10, 30, 30, 30, 60]


def test_less_often_not_for_who_is_just_beyond_the_bound() -> None:
    cadence = Cadence(D)
    assert tell(cadence, 0, 1900) == 10
    assert [tell(cadence, at_s, 2100) for at_s in (10, 100, 200)] == [10, 10, 10]


def test_an_alert_asks_for_five_seconds_until_it_is_settled() -> None:
    cadence = Cadence(D)
    assert [tell(cadence, at_s, 500, alert_since_s=0.0) for at_s in (0, 299, 300, 360)] == [5, 5, 5, 10]


def test_only_her_unit_is_told_more_or_less_than_the_band() -> None:
    assert protected_s(10, imminent=True, alert=False, at_rest=False) == 5
    assert protected_s(5, imminent=False, alert=True, at_rest=True) == 10
    assert protected_s(5, imminent=False, alert=True, at_rest=False) == 5
    story = drive(10, until_s=140)
    assert story.pair.tell(140) == (10, 5)
