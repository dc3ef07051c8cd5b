"""Timelines: what the desk is told as people move, measures change and rules fail."""

from __future__ import annotations

import numpy as np
import pytest
from geofence_pairs import T0_MS, P, W, World, fix, order

from geofence import engine
from geofence.pair_table import PairTable, roster_of
from tocsin.model.device import Device, DeviceKind
from tocsin.model.finding import Change, Code
from tocsin.model.ids import derived

PRE_IN = ("PREALERT", "entry", "inside_prealert_distance")
IN = ("ALERT", "entry", "inside_alert_distance")
OUT = ("ALERT", "exit", "outside_two_fixes")
PRE_OUT = ("PREALERT", "exit", "outside_two_fixes")


@pytest.fixture(autouse=True, params=[0, engine.SCALAR_BELOW], ids=["by_columns", "one_by_one"])
def _path(request, monkeypatch):
    """Every timeline on both paths."""
    monkeypatch.setattr(engine, "SCALAR_BELOW", request.param)


def near(world, at_s=0.0):
    """The protected person is heard first, at home."""
    assert world.fix(P, at_s) == []
    return world


def test_an_approach_and_a_retreat():
    world = near(World())
    assert world.fix(W, 10, 5000) == []
    assert world.fix(W, 20, 1900) == [PRE_IN]
    assert world.fix(W, 30, 950) == [IN]
    assert world.fix(W, 40, 500) == []
    assert world.fix(W, 50, 1200) == []
    assert world.fix(W, 60, 1300) == [OUT]
    assert world.fix(W, 70, 2300) == []
    assert world.fix(W, 80, 2300) == [PRE_OUT]
    pre_in, entry, leave, pre_out = world.findings
    assert (leave.entry, leave.entry_ms) == (entry.id, entry.at_ms)
    assert (pre_out.entry, pre_out.entry_ms) == (pre_in.id, pre_in.at_ms)
    assert entry.entry == entry.id


def test_a_finding_says_all_there_is_to_say():
    world = near(World(order(version=7, alert_distance_m=2000)))
    world.fix(W, 10, 1500, accuracy_dm=-1, seq=4)
    (found,) = world.findings
    assert found.id == derived("fnd", "msr_a", "PROX_ALERT", "entry", "b0000001", T0_MS + 10_000, 0, 4)
    assert (found.measure, found.order_version, found.threshold_m) == ("msr_a", 7, 2000)
    assert found.distance_dm == pytest.approx(15_000, abs=1)
    assert (found.wearer.device, found.wearer.accuracy_dm) == ("b0000001", None)
    assert (found.protected.device, found.protected.accuracy_dm) == ("b0000002", 50)
    assert (found.wearer.fix_ms, found.protected.fix_ms) == (T0_MS + 10_000, T0_MS)
    points = found.points
    assert (points.t1_ms, points.t2_ms) == (found.at_ms, T0_MS + 10_000)
    assert (points.t3_ms, points.t4_ms, points.t5_ms) == (T0_MS + 11_000, T0_MS + 11_000, T0_MS + 11_005)


def test_a_fix_from_ahead_blinds_nobody_to_the_honest_ones_behind_it():
    """Taken as of its reception: for 200 s every later fix would be old news, and the approach unseen."""
    world = near(World())
    assert world.fix(W, 210, 5000, seen_after_s=-200) == []
    assert world.fix(W, 20, 1900) == [PRE_IN]
    assert world.fix(W, 30, 950) == [IN]


@pytest.mark.parametrize("ahead_s", [0.5, 60, 300])
def test_a_fix_from_ahead_raises_at_the_hour_of_its_reception(ahead_s):
    world = near(World())
    assert world.fix(W, 10 + ahead_s, 500, seen_after_s=-ahead_s) == [IN]
    (found,) = world.findings
    assert (found.at_ms, found.wearer.fix_ms, found.points.t1_ms) == (T0_MS + 10_000,) * 3


def test_one_party_alone_decides_nothing():
    assert World().fix(W, 0, 10) == []


def test_the_first_observation_inside_is_an_alert():
    assert near(World()).fix(W, 10, 10) == [IN]


def test_the_protected_person_may_do_the_approaching():
    world = World()
    world.fix(W, 0, 0)
    world.fix(P, 5, 3000)
    assert world.fix(P, 10, 900) == [IN]
    assert world.findings[0].points.t1_ms == T0_MS + 10_000


def test_a_jump_into_the_alert_ring_opens_no_prealert():
    world = near(World())
    assert world.fix(W, 10, 500) == [IN]
    assert world.fix(W, 20, 1500) == []
    assert world.fix(W, 30, 1500) == [OUT]
    assert world.fix(W, 40, 5000) == []
    assert world.fix(W, 50, 5000) == []
    assert world.zone == 0


def test_leaving_both_rings_at_once_ends_both():
    world = near(World())
    world.fix(W, 10, 1500)
    world.fix(W, 20, 500)
    world.fix(W, 30, 5000)
    assert world.fix(W, 40, 5000) == [OUT, PRE_OUT]


@pytest.mark.parametrize(
    ("before_m", "there_m", "told"),
    [
        (5000, 2001, []),
        (5000, 1999, [PRE_IN]),
        (1500, 1001, []),
        (1500, 999, [IN]),
        (1500, 2099, []),
        (1500, 2101, [PRE_OUT]),
        (500, 1099, []),
        (500, 1101, [OUT]),
    ],
)
def test_the_bounds_are_where_the_rules_say(before_m, there_m, told):
    """One metre to either side of each, two fixes there: the guard band hides nothing."""
    world = near(World())
    world.fix(W, 10, before_m)
    assert world.fix(W, 20, there_m) + world.fix(W, 30, there_m) == told


def test_a_reentry_is_told_again():
    world = near(World())
    for at_s, east_m in ((10, 500), (20, 1500), (30, 1500), (40, 500)):
        world.fix(W, at_s, east_m)
    assert [one.change for one in world.findings] == [Change.ENTRY, Change.EXIT, Change.ENTRY]
    assert world.findings[0].id != world.findings[2].id


@pytest.mark.parametrize("witness", ["tick", "fix", "own"])
def test_an_exit_by_the_hour_is_the_same_whoever_sees_it(witness):
    """At 00:21 he was seen outside; 60 s later nothing has contradicted, whoever notices, and when."""
    world = near(World())
    world.fix(W, 10, 500)
    world.fix(W, 20, 1200)
    assert world.tick(80.9) == []
    if witness == "tick":
        world.tick(81)
    elif witness == "fix":
        world.fix(P, 200)
    else:
        world.fix(W, 90, 500)
    leave = world.findings[1]
    assert (leave.reason, leave.change, leave.at_ms) == ("outside_60_s", Change.EXIT, T0_MS + 81_000)
    deadline = T0_MS + 81_000
    assert leave.id == derived("fnd", "msr_a", "PROX_ALERT", "exit", "deadline", deadline)
    if witness == "own":
        assert world.findings[2].change is Change.ENTRY


def test_poor_accuracy_holds_the_ring():
    world = near(World())
    world.fix(W, 10, 500)
    for at_s in (20, 30, 40):
        assert world.fix(W, at_s, 1200, accuracy_dm=-1) == []
    assert world.zone == 2


@pytest.mark.parametrize(
    ("at_s", "outcome", "east_m"), [(50, "duplicate", 10), (49, "out_of_order", 4000), (19, "out_of_order", 10)]
)
def test_what_is_not_newer_moves_nothing(at_s, outcome, east_m):
    """Farther out, or more than 30 s behind."""
    world = near(World())
    world.fix(W, 50, 5000)
    before = world.table.last.tobytes(), world.table.rows.tobytes()
    assert world.fix(W, at_s, east_m) == []
    assert (world.table.last.tobytes(), world.table.rows.tobytes()) == before
    assert getattr(world.step.counts, outcome) == 1


def test_a_straggler_raises_what_it_alone_has_seen():
    """A reader died with the crossing in hand; the broker gave it out again behind a newer fix from outside."""
    world = near(World())
    world.fix(W, 10, 5000)
    world.fix(W, 30, 4000)
    last = world.table.last.tobytes()
    assert world.fix(W, 20, 800, seen_after_s=12.0) == [IN]
    (found,) = world.findings
    assert found.at_ms == found.wearer.fix_ms == T0_MS + 20_000
    assert found.distance_dm == pytest.approx(8_000, abs=1)
    assert world.table.last.tobytes() == last, "he is where the newer fix says"
    assert world.fix(W, 40, 4000) == []
    assert world.fix(W, 50, 4000) == [OUT]


def test_a_straggler_from_before_he_left_raises_nothing_again():
    world = near(World())
    world.fix(W, 10, 800)
    world.fix(W, 20, 4000)
    assert world.fix(W, 30, 4000) == [OUT]
    assert world.fix(W, 15, 800, seen_after_s=20.0) == []
    assert world.fix(W, 25, 800, seen_after_s=12.0) == [], "he had been seen outside by then"
    assert world.zone == 0


def test_a_straggler_of_the_protected_person_counts_as_much():
    world = World()
    world.fix(W, 0, 3000)
    world.fix(P, 10, 0)
    world.fix(P, 30, 0)
    assert world.fix(P, 20, 2500, seen_after_s=12.0) == [IN]


def test_a_stranger_is_counted():
    world = World()
    world.fix(77, 0)
    assert world.step.counts.stranger == 1


# --- measures ------------------------------------------------------------------------------------------------


def s(at_s):
    return T0_MS + 1000 * at_s


def test_a_measure_that_begins_judges_what_is_known():
    world = near(World(order(valid_from_ms=s(60))))
    assert world.fix(W, 10, 500) == []
    assert world.tick(59.9) == []
    assert world.tick(60) == [IN]
    assert world.findings[0].at_ms == s(60)


def test_a_measure_that_ends_leaves_silently():
    world = near(World(order(valid_until_ms=s(60))))
    world.fix(W, 10, 500)
    assert world.fix(W, 60, 5000) == []
    assert world.fix(W, 70, 100) == []
    assert world.tick(500) == []
    assert world.zone == 0


def test_a_deadline_before_the_end_of_the_measure_still_counts():
    world = near(World(order(valid_until_ms=s(100))))
    world.fix(W, 10, 500)
    world.fix(W, 20, 1200)
    assert world.tick(200) == [("ALERT", "exit", "outside_60_s")]
    assert world.zone == 0


def test_a_larger_distance_is_judged_at_once():
    world = near(World())
    world.fix(W, 10, 1500)
    assert world.revise(order(version=2, alert_distance_m=2000), at_s=20) == [IN]
    assert world.findings[-1].order_version == 2


def test_a_smaller_distance_begins_an_exit():
    world = near(World(order(alert_distance_m=2000)))
    world.fix(W, 10, 1500)
    assert world.revise(order(version=2), at_s=20) == []
    assert world.fix(W, 30, 1500) == [OUT]


def test_an_alert_goes_on_while_other_measures_come_and_go():
    world = near(World())
    world.fix(W, 10, 500)
    world.fix(W, 20, 1200)
    other = order("msr_0", wearer=3, protected=4)
    assert world.revise(order(), other, at_s=21) == []
    assert world.fix(W, 30, 1200) == [OUT]
    assert world.findings[-1].entry == world.findings[0].id
    assert world.revise(other, at_s=40) == []
    assert len(world.table) == 1


def test_a_new_measure_knows_where_its_devices_are():
    world = near(World())
    world.fix(W, 10, 1500)
    assert world.revise(order(), order("msr_b", alert_distance_m=3000), at_s=20) == [IN]
    assert world.findings[-1].measure == "msr_b"


def test_a_device_of_two_measures_is_judged_in_both():
    world = near(World(order(), order("msr_b", protected=3)))
    world.fix(3, 1, 100)
    assert world.fix(W, 10, 500) == [IN, IN]
    assert [one.measure for one in world.findings] == ["msr_a", "msr_b"]


def test_measures_that_cannot_be_judged_are_named():
    world = World(order("msr_x", protected=99), order("msr_y", protected=W), order("msr_z"))
    assert world.table.roster.unfit == ("msr_x", "msr_y")
    assert [one.id for one in world.table.roster.orders] == ["msr_z"]


# --- a broken pair does not blind the others (A10) -----------------------------------------------------------


@pytest.mark.parametrize("crowd", [1, 100])
def test_a_broken_pair_is_named_and_the_others_are_judged(crowd, monkeypatch):
    world = World(order("msr_bad", wearer=3, protected=4), order("msr_good"))
    judge = engine.on_distance

    def brittle(standing, *, distance_dm, **rest):
        assert distance_dm > 1000, "no rule for this"
        return judge(standing, distance_dm=distance_dm, **rest)

    monkeypatch.setattr(engine, "on_distance", brittle)
    batch = np.concatenate([fix(4, 0), fix(P, 0), fix(3, 1, 50), fix(W, 1, 500)])
    strangers = np.concatenate([fix(100 + one, 0) for one in range(crowd)])
    step = engine.step(world.table, np.concatenate([batch, strangers]), T0_MS)
    assert [one.measure for one in step.findings] == ["msr_good"]
    assert len(step.broken) == 1
    assert step.broken[0].startswith("msr_bad: AssertionError")
    assert world.table.unprotected == {0}
    assert world.fix(3, 10, 50) == []
    assert world.step.broken == ()
    assert world.fix(3, 20, 500) == [IN]
    assert world.table.unprotected == set()


def test_codes_name_their_rings():
    assert {ring.name: code for ring, code in engine.CODE_OF_RING.items()} == {
        "ALERT": Code.PROX_ALERT,
        "PREALERT": Code.PROX_PREALERT,
    }


@pytest.mark.parametrize("far_apart", [1, 10**6, 2**40])
def test_a_device_is_found_by_its_number_however_large(far_apart):
    numbers = [one * far_apart for one in (3, 1, 2, 7)]
    devices = {f"b{one:07d}": Device(id=f"b{one:07d}", number=one, kind=DeviceKind.TGD) for one in numbers}
    orders = [order("msr_a", wearer=numbers[0], protected=numbers[1]), order("msr_b", *numbers[2:])]
    table = PairTable(roster_of(orders, devices, partition=0, partitions=1))
    asked = np.array([*numbers, 0, -1, 5 * far_apart, 2**62, -(2**62)])
    places = table.places_of(asked)
    assert table.numbers[places[:4]].tolist() == numbers
    assert places[4:].tolist() == [-1] * 5
