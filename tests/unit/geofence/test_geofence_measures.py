"""Measures that begin, end and change; what a finding says; how a device is found (DOMAIN section 1, 3)."""

from __future__ import annotations

import numpy as np
import pytest
from geofence_pairs import T0_MS, P, W, World, order

from geofence.pair_table import PairTable, roster_of
from tocsin.model.device import Device, DeviceKind
from tocsin.model.ids import derived
from tocsin.model.zone import Zone

IN = ("ALERT", "entry", "inside_alert_distance")
OUT = ("ALERT", "exit", "outside_two_fixes")

pytestmark = pytest.mark.usefixtures("both_paths")


def near(world, at_s=0.0):
    """The protected person is heard first, at home."""
    assert world.fix(P, at_s) == []
    return world


def s(at_s):
    return T0_MS + 1000 * at_s


def test_a_finding_says_all_there_is_to_say():
    world = near(World(order(version=7, alert_distance_m=2000)))
    world.fix(W, 10, 1500, accuracy_dm=-1, seq=4)
    (found,) = world.findings
    assert found.id == derived("fnd", "msr_a", "PROX_ALERT", "entry", "b0000001", T0_MS + 10_000, 0, 4)
    assert (found.measure, found.order_version, found.threshold_m) == ("msr_a", 7, 2000)
    assert found.distance_dm == pytest.approx(15_000, abs=1)
    assert found.lower_dm == pytest.approx(15_000 - 1.62 * 1550 - 118, abs=5), "150 m if untold, 2 sigmas"
    assert (found.wearer.device, found.wearer.accuracy_dm) == ("b0000001", None)
    assert (found.protected.device, found.protected.accuracy_dm) == ("b0000002", 50)
    assert (found.wearer.fix_ms, found.protected.fix_ms) == (T0_MS + 10_000, T0_MS)
    points = found.points
    assert (points.t1_ms, points.t2_ms) == (found.at_ms, T0_MS + 10_000)
    assert (points.t3_ms, points.t4_ms) == (T0_MS + 11_000, T0_MS + 11_000)


def test_a_measure_that_begins_judges_what_is_known():
    world = near(World(order(valid_from_ms=s(60))))
    assert world.fix(W, 10, 500) == []
    assert world.tick(59.9) == []
    assert IN in world.tick(60)
    assert world.findings[0].at_ms == s(60)


def test_a_measure_that_ends_ends_what_lasts_and_says_nothing_more():
    """An alert that lasted beyond its measure would climb to the police, for somebody who may be where he is, and
    her unit would show it for ever (F18)."""
    world = near(World(order(valid_until_ms=s(60))))
    world.fix(W, 10, 500)
    assert ("ALERT", "exit", "measure_ended") in world.fix(W, 60, 900)
    entry, end = (one for one in world.findings if one.code == "PROX_ALERT")
    assert (end.entry, end.at_ms, end.distance_dm) == (entry.id, s(60), None), "nobody has seen him leave"
    assert end.protected.device == "b0000002", "her unit is told by this name"
    assert world.fix(W, 70, 100) == []
    assert world.tick(500) == []
    assert world.zone == Zone.FAR


def test_a_measure_that_ends_ends_a_silence_too():
    world = near(World(order(valid_until_ms=s(3600))))
    world.fix(W, 10, 5000)
    world.tick(3599)
    lasting = {one.code for one in world.findings}
    assert "W_COMMS_LOSS" in lasting
    assert {(code, reason) for code, change, reason in world.tick(3600) if change == "exit"} == {
        (code.value.removeprefix("PROX_"), "measure_ended") for code in lasting
    }
    assert world.tick(3601) == []


def test_a_measure_that_is_prolonged_after_its_end_begins_anew():
    world = near(World(order(valid_until_ms=s(60))))
    world.fix(W, 10, 500)
    world.fix(P, 11)
    assert ("ALERT", "exit", "measure_ended") in world.tick(60)
    assert IN in world.revise(order(version=2, valid_until_ms=s(600)), at_s=61)
    first, _, again = (one for one in world.findings if one.code == "PROX_ALERT")
    assert first.id != again.id


def test_a_larger_distance_is_judged_at_once():
    world = near(World())
    world.fix(W, 10, 1500)
    (told,) = world.revise(order(version=2, alert_distance_m=2000), at_s=11)
    assert told[:2] == IN[:2]
    assert world.findings[-1].order_version == 2


def test_a_smaller_distance_begins_an_exit():
    world = near(World(order(alert_distance_m=2000)))
    world.fix(W, 10, 1500)
    assert world.revise(order(version=2), at_s=12) == []
    assert OUT in world.fix(W, 14, 1500)


def test_an_alert_goes_on_while_other_measures_come_and_go():
    world = near(World())
    world.fix(W, 10, 950)
    world.fix(W, 13, 1150)
    other = order("msr_0", wearer=3, protected=4)
    world.revise(order(), other, at_s=14)
    assert OUT in world.fix(W, 16, 1150)
    (leave,) = [one for one in world.findings if one.reason == OUT[2]]
    assert leave.entry == world.findings[0].id
    assert world.revise(other, at_s=20) == []
    assert len(world.table) == 1


def test_a_new_measure_knows_where_its_devices_are():
    world = near(World())
    world.fix(W, 10, 1500)
    (told,) = world.revise(order(), order("msr_b", alert_distance_m=3000), at_s=11)
    assert told[:2] == IN[:2]
    assert world.findings[-1].measure == "msr_b"


def test_a_device_of_two_measures_is_judged_in_both():
    world = near(World(order(), order("msr_b", protected=3)))
    world.fix(3, 1, 100)
    assert world.fix(W, 10, 500) == [IN, IN]
    assert [one.measure for one in world.findings] == ["msr_a", "msr_b"]


def test_who_has_no_measure_here_any_more_is_asked_for_nothing_more_often_than_anybody():
    """He was told 5 s in an alert; she stays, with another measure. Elsewhere he may still be asked for more."""
    world = World(order(), order("msr_b", wearer=4))
    world.fix(P, 0)
    world.fix(W, 1, 500)
    assert {(one.device, one.interval_s) for one in world.step.commands} >= {("b0000001", 5)}
    world.revise(order("msr_b", wearer=4), at_s=2)
    assert {(one.device, one.interval_s) for one in world.step.commands} == {("b0000001", 60), ("b0000002", 60)}
    world.revise(at_s=3)
    assert world.step.commands == (), "nobody is told what he does already"


def test_measures_that_cannot_be_judged_are_named():
    world = World(order("msr_x", protected=99), order("msr_y", protected=W), order("msr_z"))
    assert world.table.roster.unfit == ("msr_x", "msr_y")
    assert [one.id for one in world.table.roster.orders] == ["msr_z"]


@pytest.mark.parametrize("far_apart", [1, 10**6, 2**40])
def test_a_device_is_found_by_its_number_however_large(far_apart):
    numbers = [one * far_apart for one in (3, 1, 2, 7)]
    devices = {f"b{one:07d}": Device(id=f"b{one:07d}", number=one, kind=DeviceKind.TGD) for one in numbers}
    orders = [order("msr_a", wearer=numbers[0], protected=numbers[1]), order("msr_b", *numbers[2:])]
    table = PairTable(roster_of(orders, devices, partition=0, partitions=1))
    asked = np.array([*numbers, 0, -1, 5 * far_apart, 2**62, -(2**62)])
    places = table.devices.places(asked)
    assert table.devices.numbers[places[:4]].tolist() == numbers
    assert places[4:].tolist() == [-1] * 5
