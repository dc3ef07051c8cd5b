"""Does one silence of many become one incident, in time, under the right name? F05, F06; timelines and tables."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest
from fleet_lives import NAMES, Life, member, messages, mixed
from geofence_pairs import T0_MS

from geofence.assumptions import CALM_MS, FALSE_A_YEAR, YEAR_S
from geofence.fleet_memory import FleetMemory
from geofence.fleet_silence import (
    HEARD_AGAIN,
    MISSED_TOGETHER,
    SILENT_TOGETHER,
    heard,
    roll_of,
    surprise,
    surprise_needed,
)
from tocsin.model.fleet import WHOLE_FLEET, Dimension, Group, groups_of

OUTAGE_S = 600.0
FOUND_WITHIN_S = 90.0  # F05


def group(dimension, value):
    return Group(dimension=Dimension(dimension), value=value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(5))
def test_an_outage_of_each_dimension_is_one_incident_within_90_s(name, seed):
    devices = mixed(400)
    life = Life(devices, seed=seed)
    value = getattr(devices[8], name)
    life.silence(life.mask(**{name: value}), OUTAGE_S).run(OUTAGE_S + 1800)
    ((at_s, found, change, reason),) = life.said
    assert (found, change, reason) == (group(name, value), "entry", MISSED_TOGETHER)
    assert OUTAGE_S < at_s <= OUTAGE_S + FOUND_WITHIN_S


def test_the_silence_of_everybody_is_the_fleets():
    life = Life(mixed(200)).silence(np.ones(200, np.bool_), OUTAGE_S)
    life.run(OUTAGE_S + 600)
    assert [(one[1], one[2]) for one in life.said] == [(WHOLE_FLEET, "entry")]


def test_devices_of_which_nothing_is_known_are_watched_as_one_fleet():
    life = Life([member(n) for n in range(1, 101)])
    life.silence(np.ones(100, np.bool_), OUTAGE_S).run(OUTAGE_S + FOUND_WITHIN_S)
    assert [one[1] for one in life.said] == [WHOLE_FLEET]


def test_of_two_groups_with_the_same_devices_the_narrowest_is_named():
    devices = [member(n, carrier=f"c{n % 2}", apn=f"a{n % 2}", firmware=f"f{n % 2}") for n in range(1, 101)]
    life = Life(devices)
    life.silence(life.mask(carrier="c0"), OUTAGE_S).run(OUTAGE_S + 300)
    assert [one[1] for one in life.said] == [group("apn", "a0")]


def test_two_outages_at_once_are_two_incidents():
    devices = mixed(800, groups=8)
    life = Life(devices)
    life.silence(life.mask(apn="apn 3"), OUTAGE_S).silence(life.mask(apn="apn 6"), OUTAGE_S).run(OUTAGE_S + 300)
    assert {one[1] for one in life.said} == {group("apn", "apn 3"), group("apn", "apn 6")}
    assert len(life.said) == 2


def test_it_grows_unsaid_and_is_over_once_when_they_have_spoken_for_two_minutes():
    """F05: 16:10 to 21:50."""
    hours_s = 5.67 * 3600
    devices = mixed(400)
    life = Life(devices)
    life.silence(life.mask(carrier="carrier 1"), OUTAGE_S, OUTAGE_S + hours_s)
    life.run(OUTAGE_S + 100)
    life.run(OUTAGE_S + hours_s + 600, from_s=OUTAGE_S + 100, look_s=5.0)
    entry, over = life.said
    assert entry[1] == over[1] == group("carrier", "carrier 1")
    assert over[2:] == ("exit", HEARD_AGAIN)
    back_s = OUTAGE_S + hours_s
    assert back_s + CALM_MS / 1000 <= over[0] <= back_s + CALM_MS / 1000 + 90


def test_who_does_not_come_back_is_left_behind_and_opens_no_other_incident():
    devices = mixed(400)
    life = Life(devices)
    mine = life.mask(carrier="carrier 1")
    never = mine & (np.cumsum(mine) % 11 == 0)  # 9 of 100: more than the catalogue's five
    assert never.sum() > 5
    life.silence(mine, OUTAGE_S, OUTAGE_S + 900).silence(never, OUTAGE_S)
    life.run(OUTAGE_S + 900 + 3000)
    assert [one[2] for one in life.said] == ["entry", "exit"]


def test_a_flicker_of_calm_does_not_end_it():
    devices = mixed(400)
    life = Life(devices)
    mine = life.mask(carrier="carrier 1")
    life.silence(mine, OUTAGE_S, OUTAGE_S + 900).silence(mine, OUTAGE_S + 970, OUTAGE_S + 1800)
    life.run(OUTAGE_S + 1700)
    assert [one[2] for one in life.said] == ["entry"]


def test_six_of_a_small_group_silent_for_three_intervals_are_the_catalogues_rule():
    """Too few to be told from losses at once."""
    devices = [member(n, apn="small" if n <= 6 else "large") for n in range(1, 301)]
    life = Life(devices, loss=0.0)
    life.silence(life.mask(apn="small"), OUTAGE_S).run(OUTAGE_S + 400)
    ((at_s, found, _, reason),) = life.said
    assert (found, reason) == (group("apn", "small"), SILENT_TOGETHER)
    assert OUTAGE_S + 120 <= at_s <= OUTAGE_S + 181


def test_five_silent_devices_are_five_losses():
    devices = [member(n, apn="small" if n <= 5 else "large") for n in range(1, 301)]
    life = Life(devices, loss=0.0)
    assert life.silence(life.mask(apn="small"), OUTAGE_S).run(OUTAGE_S + 1200) == []


def test_batteries_that_die_one_after_the_other_are_no_outage():
    """One in two minutes, more than the catalogue's 2 % in an hour: each is told as a loss of its own."""
    life = Life(mixed(2000))
    for n in range(30):
        life.silence(life.numbers == 1 + 61 * n, OUTAGE_S + 120 * n)
    assert life.run(OUTAGE_S + 3600, look_s=5.0) == []


def test_a_group_that_loses_much_is_measured_by_itself():
    """A valley where every sixth report is lost, in a fleet that loses three in a hundred."""
    devices = [member(n, region="valley" if n % 4 == 0 else "plain") for n in range(1, 401)]
    life = Life(devices)
    speak = life._speak

    def speaks(until_s):
        lost = life.random.random(400) < 0.15
        life.silences = [(lost & life.mask(region="valley"), 0.0, np.inf)]
        speak(until_s)

    life._speak = speaks
    life.run(12 * 3600, look_s=10.0)
    assert life.said == []
    assert life.watcher.loss()[life.watcher.roll.groups.index(group("region", "valley"))] > 0.1


# --- what is heard ---------------------------------------------------------------------------------------------


def memory(*numbers):
    return FleetMemory().among(np.array(numbers))


def test_a_presence_is_heard_and_moves_nobody_and_a_copy_of_a_fix_is_not_counted():
    known = memory(1, 2, 3)
    known.hear(messages([1], [10.0]))
    place = known.rows[:5, 0].copy()
    known.hear(messages([1], [20.0], presence=True, place=(0, 0)))
    known.hear(messages([2], [20.0], primary=0))
    known.hear(messages([77], [20.0]))
    assert list(known.rows[5]) == [T0_MS + 20_000, -(2.0**52), -(2.0**52)]
    assert (known.rows[:5, 0] == place).all()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_order_in_which_messages_are_read_changes_nothing(order):
    said = [messages([1, 2], [s, s + 1], place=(43_000_000 + 1000 * s, 5_000_000)) for s in (10, 40, 25)]
    once, one_by_one = memory(1, 2), memory(1, 2)
    once.hear(np.concatenate(said))
    for place in order:
        one_by_one.hear(said[place])
    assert (once.rows == one_by_one.rows).all()


def test_an_order_that_may_not_have_been_heard_shortens_no_interval():
    known = memory(1)
    known.hear(messages([1], [0.0]))
    known.tell(0, 5, T0_MS + 10_000)
    assert known.intervals_s() == [60.0]
    known.hear(messages([1], [20.0]))
    assert known.intervals_s() == [5.0]
    known.tell(0, 60, T0_MS + 30_000)
    assert known.intervals_s() == [60.0]


def test_an_order_that_is_repeated_to_who_has_not_spoken_shortens_nothing():
    known = memory(1)
    known.hear(messages([1], [0.0]))
    known.tell(0, 10, T0_MS + 10_000)
    known.tell(0, 10, T0_MS + 20_000)
    assert known.intervals_s() == [60.0]


def test_a_phone_with_an_interval_of_its_own_is_awaited_at_that_interval():
    known = memory(1)
    known.hear(messages([1], [0.0]))
    roll = roll_of([member(1, reports_every_s=600)])
    assert not heard(known, roll, T0_MS + 600_000, 0).missed[0]
    assert heard(known, roll, T0_MS + 611_000, 0).missed[0]
    assert heard(known, roll, T0_MS + 1_801_000, 0).silent[0]


def test_what_could_not_be_heard_is_nobodys_silence():
    known = memory(1)
    known.hear(messages([1], [0.0]))
    roll = roll_of([member(1)])
    assert heard(known, roll, T0_MS + 300_000, 0).silent[0]
    assert not heard(known, roll, T0_MS + 300_000, T0_MS + 290_000).missed[0]


def test_who_has_been_silent_for_an_hour_or_was_never_heard_is_not_expected():
    known = memory(1, 2)
    known.hear(messages([1], [0.0]))
    roll = roll_of([member(1), member(2)])
    assert list(heard(known, roll, T0_MS + 3_600_000, 0).expected) == [True, False]
    assert list(heard(known, roll, T0_MS + 3_600_001, 0).expected) == [False, False]


# --- the statistics --------------------------------------------------------------------------------------------


def exactly(n, k, p):
    """P(K >= k) of a binomial, by its sum."""
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


@pytest.mark.parametrize(("n", "p"), [(8, 0.02), (20, 0.05), (100, 0.03), (350, 0.03), (700, 0.1)])
def test_the_surprise_bounds_the_probability_of_a_false_opening(n, p):
    limit = surprise_needed(40)
    ks = np.arange(n + 1.0)
    found = surprise(ks, np.full(n + 1, float(n)), np.full(n + 1, p))
    assert (np.diff(found) >= 0).all()
    for k in range(n + 1):
        assert exactly(n, k, p) <= np.exp(-found[k]) * (1 + 1e-9)
    first = int(np.argmax(found > limit))
    assert found[first] > limit, "this group is large enough for the early rule"
    assert exactly(n, first, p) * 40 * YEAR_S <= FALSE_A_YEAR


def test_groups_are_named_by_what_is_said_and_their_subject_is_one_token():
    known = groups_of(member(1, apn="m2m.example.fr", region="PACA 13"))
    assert [one.dimension for one in known] == [Dimension.APN, Dimension.REGION, Dimension.FLEET]
    assert all(one.subject.startswith("grp_") and "." not in one.subject for one in known)
    assert group("apn", "x").subject != group("carrier", "x").subject
