"""Where was he then, and was that inside? (DOMAIN section 3, F13)"""

from __future__ import annotations

import numpy as np
import pytest
from tracks import T0_MS, drive, joined, still, track

from geofence.incursions import ALWAYS, Incursion, incursions
from tocsin.model.track import Track

SHE = still(0, 1_800)
IN_AND_OUT = joined(drive(0, 4_000, 600, 400), drive(630, 400, 1_230, 4_000))


def found(wearer: Track, protected: Track = SHE, alert_m: int = 1_000, **more: object) -> tuple[Incursion, ...]:
    return incursions(wearer, protected, alert_m, T0_MS - 10**7, T0_MS + 10**7, **more)  # type: ignore[arg-type]


def seconds(one: Incursion) -> tuple[float, float]:
    return (one.first_ms - T0_MS) / 1000, (one.last_ms - T0_MS) / 1000


def test_who_drove_in_and_out_was_inside_from_the_one_crossing_to_the_other() -> None:
    """6 m/s from 4 km: within 1 km at 500 s, out again at 730 s; nearest 400 m, where he stood."""
    (one,) = found(IN_AND_OUT)
    assert seconds(one) == pytest.approx((500.0, 730.0), abs=0.2)
    assert one.distance_dm == pytest.approx(4_000, abs=3)
    assert 0 < one.lower_dm < one.distance_dm < one.upper_dm
    assert one.begin_ms < one.first_ms <= one.nearest_ms <= one.last_ms < one.end_ms


def test_a_pass_between_two_fixes_is_found_where_neither_fix_was_inside() -> None:
    """At 60 s and 36 m/s he is 1,080 m away before and behind her."""
    (one,) = found(track((0, -3_240), (60, -1_080), (120, 1_080), (180, 3_240)))
    assert seconds(one) == pytest.approx((62.2, 117.8), abs=0.2)
    assert one.distance_dm <= 1


@pytest.mark.parametrize("apart_m", [1_001, 1_090])
def test_near_is_not_inside(apart_m: float) -> None:
    assert found(drive(0, apart_m, 600, apart_m)) == ()


def test_a_short_way_beyond_the_margin_does_not_end_a_visit_and_a_minute_does() -> None:
    """DOMAIN 3, EXIT: 100 m and 60 s."""
    inside, edge = drive(0, 900, 300, 900), drive(400, 900, 700, 900)
    hover = joined(inside, drive(310, 1_050, 390, 1_050, 10), edge)
    briefly = joined(inside, drive(310, 1_150, 340, 1_150, 10), drive(350, 900, 390, 900, 10), edge)
    long = joined(inside, drive(310, 1_150, 390, 1_150, 10), edge)
    assert [len(found(one)) for one in (hover, briefly, long)] == [1, 1, 2]


# --- what is not believed (ADR 19) -----------------------------------------------------------------------------


def test_a_jump_that_nobody_confirmed_shows_nothing() -> None:
    """F13: a replayed jump into the ring is a matter of quality, and no incursion."""
    far = drive(0, 9_000, 600, 9_000, 10)
    assert found(joined(far, track((305, 100)))) == ()
    assert found(joined(far[:30], track((305, 100)))) == (), "at the end of the track"
    assert found(joined(track((-5, 100)), far)) == (), "at its beginning"


def test_a_jump_that_the_next_fix_confirms_is_believed_and_has_no_way_to_it() -> None:
    far = drive(0, 9_000, 300, 9_000, 10)
    (one,) = found(joined(far, track((310, 100), (320, 110)), drive(330, 9_000, 600, 9_000, 10)))
    assert seconds(one) == (310.0, 320.0)


def test_a_poor_fix_shows_nothing_and_takes_nothing_away() -> None:
    poor = track((105, 10), accuracy_dm=1_501)
    assert found(joined(drive(0, 3_000, 600, 3_000), poor)) == ()
    outside = track((615, 5_000), accuracy_dm=6_000)
    assert found(joined(IN_AND_OUT, outside)) == found(IN_AND_OUT)


def test_an_accuracy_that_was_not_told_decides_as_a_phones_and_claims_the_worst() -> None:
    told, untold = found(IN_AND_OUT)[0], found(track_without_accuracy())[0]
    assert (told.first_ms, told.last_ms) == (untold.first_ms, untold.last_ms)
    assert untold.upper_dm - told.upper_dm == pytest.approx(10 * 1.622 * (150 - 5), abs=1)


def track_without_accuracy() -> Track:
    changed = IN_AND_OUT.copy()
    changed["accuracy_dm"] = -1
    return changed


# --- what nobody saw -------------------------------------------------------------------------------------------


def test_nothing_is_said_of_a_silence() -> None:
    """She was heard until 300 s and after 900 s; he was at her home between."""
    away = joined(still(0, 300), still(900, 1_800))
    assert found(joined(drive(0, 5_000, 330, 5_000), drive(400, 100, 800, 100)), away) == ()


def test_a_fix_counts_with_one_of_hers_that_is_fresh_and_no_longer() -> None:
    """30 s: with both so young nothing is held against an entry."""
    (one,) = found(track((325, 500)), still(0, 300))
    assert seconds(one) == (300.0, 325.0)
    assert found(track((331, 500)), still(0, 300)) == ()


def test_what_is_only_taken_to_have_stayed_makes_no_visit_longer() -> None:
    (one,) = found(track((300, 500), (310, 500)))
    assert seconds(one) == (300.0, 310.0)


def test_a_way_between_two_fixes_that_are_far_apart_in_time_is_no_way() -> None:
    assert found(track((0, -3_000), (181, 3_000)), still(0, 300, 30)) == ()
    assert len(found(track((0, -3_000), (180, 3_000)), still(0, 300, 30))) == 1


def test_a_measure_that_was_not_in_force_gives_nothing() -> None:
    assert found(IN_AND_OUT, in_force=(T0_MS + 731_000, ALWAYS[1])) == ()
    (one,) = found(IN_AND_OUT, in_force=(T0_MS + 600_000, T0_MS + 700_000))
    assert seconds(one) == (600.0, 700.0)


def test_a_clock_ahead_counts_from_the_reception() -> None:
    ahead = IN_AND_OUT.copy()
    ahead["at_ms"] += 120_000
    ahead["delay_ms"] = -120_000
    assert found(ahead) == found(IN_AND_OUT)


def test_nothing_comes_of_nothing() -> None:
    nobody = track()
    assert found(nobody) == found(IN_AND_OUT, nobody) == found(nobody, nobody) == ()
    assert found(track((100, 5_000))) == ()


def test_only_what_touches_the_hours_that_were_asked_about_is_said() -> None:
    twice = joined(IN_AND_OUT, drive(1_260, 4_000, 1_700, 400))
    assert len(found(twice)) == 2
    (second,) = incursions(twice, SHE, 1_000, T0_MS + 1_640_000, T0_MS + 1_700_000)
    assert second == found(twice)[1]


def test_the_fixes_of_the_evidence_are_the_nearest_in_time() -> None:
    (one,) = found(IN_AND_OUT)
    order = np.sort(IN_AND_OUT["at_ms"])
    assert order[one.entry_fixes[0]] == T0_MS + 510_000
    assert order[one.nearest_fixes[0]] in (T0_MS + 600_000, T0_MS + 630_000)
