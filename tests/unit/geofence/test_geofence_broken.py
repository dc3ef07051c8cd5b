"""A pair whose own memory is damaged becomes unprotected, by name; the others are judged in the same step
(ARCHITECTURE A10). What is damaged is the engine's table itself, as a stray write would do it."""

from __future__ import annotations

from math import inf, nan

import msgspec
import numpy as np
import pytest
from geofence_pairs import order, roster
from timeline import NOTHING, message, ms

from geofence import engine
from geofence.pair_state import PairState, Ring
from geofence.pair_table import PairTable, Roster

pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # numpy's, of the damage itself

PAIRS = 60
BAD = 7
CROWDS = {"small": (BAD, 3), "large": range(PAIRS)}


def wearer(pair):
    return 2 * pair + 1


def protected(pair):
    return 2 * pair + 2


def batch(pairs, at, metres, number=wearer):
    return np.concatenate([message(number(pair), complex(metres), ms(at)) for pair in pairs])


def judged(table, fixes):
    return engine.step(table, fixes, int(fixes["t3_ms"][-1]))


@pytest.fixture
def table():
    """Sixty pairs, all 1.5 km apart and seen twice."""
    orders = [order(f"msr_{pair:03d}", wearer(pair), protected(pair)) for pair in range(PAIRS)]
    found, _ = engine.revise(PairTable(Roster()), roster(*orders, numbers=range(1, 2 * PAIRS + 1)), ms("00:00"))
    everybody = range(PAIRS)
    for at in ("00:10", "00:20"):
        judged(found, np.concatenate([batch(everybody, at, 0, protected), batch(everybody, at, 1500)]))
    return found


def her_row(table):
    return table.devices.rows[table.places[BAD, 1]]


def nan_in_the_velocity(table):
    her_row(table)[12:16] = nan


def infinite_place(table):
    her_row(table)[0] = inf


def nan_in_the_place(table):
    her_row(table)[1] = nan


def an_alert_without_its_hour(table):
    table.states[BAD] = PairState(alert=Ring(inside=True), prealert=Ring(inside=True), alert_ms=None)


def a_state_of_another_kind(table):
    table.states[BAD] = msgspec.structs.replace(table.states[BAD], prealert=None)


OF_A_ROW = [nan_in_the_velocity, infinite_place, nan_in_the_place]
OF_A_STATE = [an_alert_without_its_hour, a_state_of_another_kind]


@pytest.mark.parametrize("crowd", CROWDS)
@pytest.mark.parametrize("damage", OF_A_ROW + OF_A_STATE)
def test_it_is_unprotected_and_the_others_are_alerted(table, damage, crowd):
    pairs = CROWDS[crowd]
    damage(table)
    step = judged(table, batch(pairs, "00:30", 900))
    assert [one.split(":")[0] for one in step.broken] == ["msr_007"]
    (said,) = [one for one in step.findings if one.measure == "msr_007"]
    assert (said.code, said.change, said.reason) == ("DEGRADED", "entry", "rules_failed")
    alerted = {one.measure for one in step.findings if one.code == "PROX_ALERT"}
    assert alerted == {f"msr_{pair:03d}" for pair in pairs if pair != BAD}
    standing = engine.standings(table)[BAD]
    assert (standing.protection, standing.reason) == ("unprotected", "rules_failed")
    told = {one.measure: one.protection for one in step.standings}
    assert told["msr_007"] == "unprotected"


def test_it_is_said_once(table):
    infinite_place(table)
    assert len(judged(table, batch([BAD], "00:30", 900)).broken) == 1
    again = judged(table, batch([BAD], "00:40", 900))
    assert (again.broken, again.findings) == ((), ())


@pytest.mark.parametrize("crowd", CROWDS)
def test_it_recovers_with_the_next_good_look(table, crowd):
    """His fix asks the rules again, when her row has been repaired."""
    before = her_row(table).copy()
    infinite_place(table)
    entry = judged(table, batch([BAD], "00:30", 900)).findings[0]
    her_row(table)[:] = before
    step = judged(table, batch(CROWDS[crowd], "00:40", 900))
    mine = {(one.code, one.change): one for one in step.findings if one.measure == "msr_007"}
    assert mine.keys() == {("PROX_ALERT", "entry"), ("DEGRADED", "exit")}
    leave = mine["DEGRADED", "exit"]
    assert (leave.entry, leave.entry_ms) == (entry.id, entry.at_ms)
    assert engine.standings(table)[BAD].protection == "protected"


@pytest.mark.parametrize("damage", OF_A_ROW + OF_A_STATE)
def test_it_recovers_by_reports_alone(table, damage):
    """Nobody repairs anything. A damaged row is overwritten by what she reports, a damaged state begins anew the
    second time that the rules fail on it: no pair stays blind."""
    damage(table)
    judged(table, batch([BAD], "00:30", 900))
    found = []
    for at in ("00:40", "00:50", "01:00"):
        found.extend(judged(table, batch([BAD], at, 0, protected)).findings)
        found.extend(judged(table, batch([BAD], at, 900)).findings)
    codes = {(one.code, one.change) for one in found}
    assert {("PROX_ALERT", "entry"), ("DEGRADED", "exit")} <= codes
    standing = engine.standings(table)[BAD]
    assert (standing.protection, standing.zone.name) == ("protected", "ALERT")


@pytest.mark.parametrize(
    "damage", [nan_in_the_velocity, infinite_place, nan_in_the_place, a_state_of_another_kind]
)
def test_a_tick_finds_it_too_and_goes_on_to_the_others(table, damage):
    """All sixty fall silent 1.5 km away: 59 become DEGRADED by the clock, one is unprotected."""
    damage(table)
    found = [one for at in range(21, 240) for one in engine.step(table, NOTHING, ms("00:00") + 1000 * at).findings]
    blind = {one.measure for one in found if one.code == "DEGRADED" and one.reason == "unresolved_60_s"}
    assert blind == {f"msr_{pair:03d}" for pair in range(PAIRS) if pair != BAD}
    assert [one.reason for one in found if one.measure == "msr_007"] == ["rules_failed"]
