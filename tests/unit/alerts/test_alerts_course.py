"""Does what the standings say of his course count at the hour of a rung? Yes is what is not known. (F24, F26)"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from builders import NOW_MS, REALM, entry, frozen_clock

from alerts.course import AWAY_COUNTS_S, NEARER_COUNTS_S, closing_by, closing_of
from alerts.desk import handle
from alerts.ledger import Ledger
from tocsin.model.episode import Episode, FindingCause, Ruling
from tocsin.model.finding import Code
from tocsin.model.standing import Protection, Standing
from tocsin.model.zone import Zone
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import encode


def standing(**changes: Any) -> Standing:
    whole: dict[str, Any] = {
        "measure": "msr_1", "protection": Protection.PROTECTED, "since_ms": 0, "reason": "reporting",
        "zone": Zone.PREALERT, "at_ms": NOW_MS, "closing": False, "closing_ms": NOW_MS,
    }  # fmt: skip
    return Standing(**{**whole, **changes})


def ahead(measures: tuple[str, ...] = ("msr_1",)) -> Episode:
    ruling = handle(None, FindingCause(finding=entry(code=Code.PROX_PREALERT)), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    return msgspec.structs.replace(ruling.episode, measures=measures)


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, False),
        ({"closing": True}, True),
        ({"closing": None, "closing_ms": NOW_MS}, None),
        ({"closing_ms": NOW_MS - AWAY_COUNTS_S * 1000}, False),
        ({"closing_ms": NOW_MS - AWAY_COUNTS_S * 1000 - 1}, None),
        ({"closing": True, "closing_ms": NOW_MS - NEARER_COUNTS_S * 1000 - 1}, None),
        ({"protection": Protection.DEGRADED}, None),
        ({"protection": Protection.UNPROTECTED}, None),
        ({"uncertain_since_ms": NOW_MS}, None),
        ({"blind_worst_ms": NOW_MS + 60_000}, None),
        ({"zone": Zone.FAR}, None),
        ({"zone": Zone.ALERT}, None),
    ],
)
def test_how_long_a_course_counts_and_when_it_does_not(changes: dict[str, Any], known: bool | None) -> None:
    assert closing_of(standing(**changes), NOW_MS) is known


async def test_who_is_imminent_is_closing_in_whatever_his_standing_says() -> None:
    log, bucket = MemoryLog(), MemoryBucket()
    closing = closing_by(log, bucket, frozen_clock())
    await bucket.put("msr_1", encode(standing()))
    assert await closing(ahead()) is False
    await Ledger(log, frozen_clock(), REALM).rule(
        "IMMINENT", "msr_1", FindingCause(finding=entry(code=Code.IMMINENT))
    )
    assert await closing(ahead()) is True


@pytest.mark.parametrize(("other", "known"), [(True, True), (False, False), (None, None)])
async def test_of_two_measures_one_is_enough_and_both_must_be_known(
    other: bool | None, known: bool | None
) -> None:
    log, bucket = MemoryLog(), MemoryBucket()
    await bucket.put("msr_1", encode(standing()))
    await bucket.put("msr_2", encode(standing(closing=other)))
    assert await closing_by(log, bucket, frozen_clock())(ahead(("msr_1", "msr_2"))) is known


async def test_what_is_not_there_or_cannot_be_read_is_not_known() -> None:
    log, bucket = MemoryLog(), MemoryBucket()
    assert await closing_by(log, None, frozen_clock())(ahead()) is None
    assert await closing_by(log, bucket, frozen_clock())(ahead()) is None
    await bucket.put("msr_1", b"{")
    assert await closing_by(log, bucket, frozen_clock())(ahead()) is None
    assert await closing_by(log, bucket, frozen_clock())(ahead(())) is None
