"""When is it tried again? The ladder as a table; and the catalogue's rows (F24: no hidden grace on P1)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from builders import NOW_MS

from alerts.catalogue import CATALOGUE, UNTOLD
from alerts.retries import (
    ADMINISTRATIVE_S,
    URGENT_S,
    Attempt,
    GiveUp,
    Wait,
    ladder_of,
    next_attempt,
)
from tocsin.model.episode import Channel
from tocsin.model.finding import Code


@pytest.mark.parametrize(
    ("made", "after_s", "answer"),
    [
        (0, 0, Attempt()),
        (1, 0, Wait(1.0)),
        (1, 0.25, Wait(0.75)),
        (1, 1, Attempt()),
        (2, 1, Wait(1.0)),
        (3, 2, Wait(2.0)),
        (4, 4, Wait(4.0)),
        (5, 8, Wait(7.0)),
        (6, 15, Wait(15.0)),
        (2, 600, Attempt()),
        (len(URGENT_S), 3_600, GiveUp()),
        (len(URGENT_S), 0, GiveUp()),
        (len(URGENT_S) + 1, 9_999, GiveUp()),
    ],
)
def test_the_urgent_ladder(made: int, after_s: float, answer: object) -> None:
    assert next_attempt(made, NOW_MS, NOW_MS + int(after_s * 1000), URGENT_S) == answer


def test_the_ladders_are_those_of_the_interface() -> None:
    assert URGENT_S[:8] == (0, 1, 2, 4, 8, 15, 30, 45)
    gaps = [later - earlier for earlier, later in pairwise(URGENT_S)]
    assert gaps[5:] == [15] * 19 + [60] * 55, "each 15 s to 5 min, then each minute to an hour"
    assert URGENT_S[-1] == 3_600
    assert ADMINISTRATIVE_S[:5] == (0, 5, 60, 300, 1_800)
    assert ADMINISTRATIVE_S[-1] == 3 * 86_400


@pytest.mark.parametrize(
    ("priority", "ladder"), [(1, URGENT_S), (2, URGENT_S), (3, URGENT_S), (4, ADMINISTRATIVE_S)]
)
def test_whose_ladder(priority: int, ladder: tuple[int, ...]) -> None:
    assert ladder_of(priority) is ladder


def test_the_first_attempt_waits_for_nothing_whatever_the_clock_says() -> None:
    assert next_attempt(0, NOW_MS, NOW_MS - 9_999, URGENT_S) == Attempt()


@pytest.mark.parametrize("code", sorted(set(Code) - UNTOLD))
def test_every_code_has_its_row_and_every_p1_of_a_person_reaches_both(code: Code) -> None:
    """What a device says of itself is the téléassistance's to assess first (DOMAIN 4: told at once)."""
    row = CATALOGUE[code]
    assert row.code is code
    assert row.told[0] is Channel.TELEASSISTANCE
    of_devices = code in {Code.STRAP_TAMPER, Code.RF_PROXIMITY, Code.SEPARATION}
    of_the_system = code.value.startswith("SYS_") and code is not Code.SYS_FLEET_SILENCE  # F04: every room hears
    assert (Channel.POLICE in row.told) is (row.priority == 1 and not of_devices and not of_the_system), (
        "a pre-alert is never typed as a breach (R24-20)"
    )
    assert row.label_fr
    assert row.duty_fr
