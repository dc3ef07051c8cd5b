"""Who approached? Synthetic approaches whose answer is known, heard through noise at every cadence (F19)."""

from __future__ import annotations

from cmath import rect

import msgspec
import numpy as np
import pytest
from geofence_pairs import T0_MS, P, W, device, order
from timeline import NOTHING, Story, message

from geofence import attribution, engine
from geofence.attribution import wearer_share_pct
from geofence.pair_table import PairTable, Roster, roster_of
from tocsin.model.finding import Change, Code

CADENCES_S, ACCURACIES_M = (5, 20, 60), (5, 20, 50)
R68 = 1.515  # standard deviations of an axis in a radius that holds 68 %
RIGHT_PCT = 10
RUNS = 3

# metres and metres a second: where he is and goes, where she is and goes
WAYS = {
    "he drives at her": lambda _: (5000, -14, 0, 0),
    "he walks to her": lambda _: (2600, -1.4, 0, 0),
    "she drives at him": lambda _: (5000, 0, 0, 14),
    "both, one faster": lambda rng: (6000, -rng.uniform(3, 14), 0, rng.uniform(3, 14)),
    "roads that cross": lambda rng: (4500, -rng.uniform(8, 12), -3500j, 1j * rng.uniform(6, 10)),
}


class Approach:
    """One story told in fixes: until the alert."""

    def __init__(self, way, accuracy_m, every_s, seed):
        rng = np.random.default_rng(seed)
        turn = rect(1, rng.uniform(0, 2 * np.pi))
        self.his, self.his_m_s, self.hers, self.hers_m_s = (turn * one for one in way(rng))
        self.found = self._play(accuracy_m, every_s, rng)

    def _play(self, accuracy_m, every_s, rng):
        units = {device(n).id: msgspec.structs.replace(device(n), reports_every_s=every_s) for n in (W, P)}
        measures = roster_of([order()], units, partition=0, partitions=1)
        table, _ = engine.revise(PairTable(Roster()), measures, T0_MS - 1000)
        begins, found = {n: int(rng.integers(every_s)) for n in (W, P)}, []
        for at_s in range(3000):
            steps = [engine.step(table, NOTHING, T0_MS + 1000 * at_s)]
            for number, way in ((P, self.hers + self.hers_m_s * at_s), (W, self.his + self.his_m_s * at_s)):
                if at_s % every_s == begins[number]:
                    place = way + complex(*rng.normal(0, accuracy_m / R68, 2))
                    fix = message(number, place, T0_MS + 1000 * at_s, accuracy_m=accuracy_m)
                    steps.append(engine.step(table, fix, int(fix["t3_ms"][0])))
            found += [(at_s, one) for step in steps for one in step.findings]
            if found and found[-1][1].code is Code.PROX_ALERT:
                return found
        raise AssertionError("no alert")

    def true_pct(self, alert, until_s):
        """By the paths themselves, over the leg that the finding speaks of: each velocity along the line between
        the two, second by second, from where they were as much farther apart."""
        at_s = np.linspace(0, until_s, 5000)
        along = (self.hers + self.hers_m_s * at_s) - (self.his + self.his_m_s * at_s)
        began_m = abs(along[-1]) + (alert.wearer_approach_dm + alert.protected_approach_dm) / 10
        along = along[np.abs(along) <= began_m]
        along /= np.abs(along)
        his = max(0.0, (self.his_m_s * along.conjugate()).real.mean())
        hers = max(0.0, -(self.hers_m_s * along.conjugate()).real.mean())
        return 100 * his / (his + hers)


def found_of(found, code):
    return [(at_s, one) for at_s, one in found if (one.code, one.change) == (code, Change.ENTRY)]


def errors_pct(way):
    """Of the alert's share, one for each cadence, accuracy and run; None: nothing was said."""
    errors = []
    for every_s in CADENCES_S:
        for accuracy_m in ACCURACIES_M:
            for seed in range(RUNS):
                told = Approach(way, accuracy_m, every_s, seed)
                ((at_s, alert),) = found_of(told.found, Code.PROX_ALERT)
                share = alert.wearer_share_pct
                errors.append(None if share is None else abs(share - told.true_pct(alert, at_s)))
    return errors


@pytest.mark.parametrize("way", WAYS)
def test_at_least_95_percent_are_right(way):
    errors = errors_pct(WAYS[way])
    right = [one is not None and one <= RIGHT_PCT for one in errors]
    assert sum(right) >= 0.95 * len(right), errors


def test_without_the_bound_of_noise_a_standing_person_would_have_a_share(monkeypatch):
    """The control of the noise: with every metre counted, whoever stands approaches too."""
    monkeypatch.setattr(attribution, "_noise_m2", lambda *_: 0.0)
    way = WAYS["she drives at him"]
    shares = [Approach(way, 50, 5, seed).found[-1][1].wearer_share_pct for seed in range(3 * RUNS)]
    assert max(shares) > 0


# --- stories ---------------------------------------------------------------------------------------------------


def test_he_comes_and_goes_and_each_crossing_says_so():
    story = Story()
    story.she.stands(0)
    story.he.stands(6000).goes("02:00", 500, 14).goes("09:30", 6000, 14)
    desk = story.play("18:00")
    said = {
        (code, change): desk.one(code, change) for code in ("PREALERT", "ALERT") for change in ("entry", "exit")
    }
    assert {one.wearer_share_pct for one in said.values()} == {100}
    came, went = said["ALERT", "entry"], said["ALERT", "exit"]
    assert came.wearer_approach_dm == pytest.approx(9_500, abs=1_500), "from the pre-alert ring to the alert ring"
    assert went.wearer_approach_dm < 0
    assert came.protected_approach_dm == went.protected_approach_dm == 0


def test_she_comes_to_where_he_has_lived_for_hours():
    """His way home is of another day: what counts is who moves now."""
    story = Story()
    story.she.stands(0)
    story.he.stands(3000).goes("01:00", 1800, 14)
    story.she.goes("55:00", 900, 14)
    desk = story.play("60:00")
    assert desk.one("PREALERT").wearer_share_pct == 100
    assert desk.one("ALERT").wearer_share_pct == 0


def test_nobody_moved_enough_to_say():
    story = Story()
    story.she.stands(0)
    story.he.stands(900)
    entered = story.play("01:00").one("ALERT")
    assert (entered.wearer_share_pct, entered.wearer_approach_dm) == (None, None)


def test_a_place_that_is_not_believed_attributes_nothing():
    story = Story()
    story.she.stands(0)
    story.he.stands(9000).says("02:05", 400, accuracy_m=5).is_silent("02:06", "04:00")
    doubtful = story.play("03:00").one("ALERT")
    assert doubtful.low_confidence
    assert doubtful.wearer_share_pct is None


def test_she_flees_and_he_follows():
    story = Story()
    story.she.stands(0).goes("03:00", -2000, 4)
    story.he.stands(5000).goes("02:00", -1500, 14)
    entered = story.play("09:00").one("ALERT")
    assert entered.protected_approach_dm < 0
    assert entered.wearer_share_pct == 100


@pytest.mark.parametrize(
    ("his", "hers", "change", "share"),
    [
        (7_500, 2_500, Change.ENTRY, 75),
        (7_500, -2_500, Change.ENTRY, 100),
        (-300, -900, Change.EXIT, 25),
        (100, 100, Change.ENTRY, None),
        (-5_000, 0, Change.ENTRY, None),
    ],
)
def test_a_share_is_of_those_who_went_that_way(his, hers, change, share):
    assert wearer_share_pct(his, hers, change) == share


def test_the_parts_add_up_to_what_became_of_the_distance():
    """Shapley: nothing is left over, whatever the angle between the two ways."""
    story = Story(he_every_s=5, she_every_s=5)
    story.she.stands(-500j).goes("00:30", 600j, 9)
    story.he.stands(3500).goes("00:30", 300, 13)
    desk = story.play("06:00")
    first, alert = desk.one("PREALERT"), desk.one("ALERT")
    gained_dm = alert.wearer_approach_dm + alert.protected_approach_dm
    assert gained_dm == pytest.approx(first.distance_dm - alert.distance_dm, abs=20)
