"""Is what the record lacks found, and nothing else? F01: the comparison that an outage is judged by."""

from __future__ import annotations

import msgspec
from builders import NOW_MS, entry

from alerts.desk import handle
from tocsin.adapters import reconcile
from tocsin.adapters.episodes import EpisodeRecord, RecordedReceipt, RecordedRuling
from tocsin.adapters.postgres import Pool
from tocsin.adapters.reconcile import missing_attempts, missing_rulings
from tocsin.model.episode import Channel, FindingCause, Realm, Receipt, Ruling

pytest_plugins = ("database",)


def ruled(name: str) -> Ruling:
    ruling = handle(None, FindingCause(finding=entry(name, measure=f"msr_{name}")), Realm.LAB, NOW_MS)
    assert isinstance(ruling, Ruling)
    return ruling


def tried(attempt: int) -> Receipt:
    return Receipt(
        notification="evt_1", episode="alr_1", version=1, channel=Channel.TELEASSISTANCE, attempt=attempt,
        t7_ms=NOW_MS + attempt, t8_ms=None, result="timeout",
    )  # fmt: skip


async def test_a_ruling_of_the_log_that_the_record_lacks(pool: Pool, monkeypatch) -> None:
    """Also when there are more than are asked about at once."""
    monkeypatch.setattr(reconcile, "ASKED_AT_ONCE", 2)
    kept = [RecordedRuling(sequence=2**31 + number, ruling=ruled(str(number))) for number in range(5)]
    await EpisodeRecord(pool).record_rulings(kept[:1] + kept[2:4])
    places = [(one.ruling.episode.id, one.sequence) for one in kept]
    assert await missing_rulings(pool, places) == [places[1], places[4]]
    assert await missing_rulings(pool, []) == []


async def test_the_same_ruling_at_another_place_of_the_log_is_another(pool: Pool) -> None:
    only = RecordedRuling(sequence=7, ruling=ruled("1"))
    await EpisodeRecord(pool).record_rulings([only])
    assert await missing_rulings(pool, [(only.ruling.episode.id, 8)]) == [(only.ruling.episode.id, 8)]


async def test_an_attempt_that_the_record_lacks(pool: Pool) -> None:
    """Two lines may be tried in the same millisecond."""
    other_hour = msgspec.structs.replace(tried(2), t7_ms=NOW_MS + 9)
    other_line = msgspec.structs.replace(tried(2), line="second")
    receipts = [tried(1), tried(2), other_hour, other_line]
    await EpisodeRecord(pool).record_receipts(
        [RecordedReceipt(code="PROX_ALERT", subject="msr_1", receipt=one) for one in receipts[:2]]
    )
    assert await missing_attempts(pool, receipts) == 2
    assert await missing_attempts(pool, receipts[:2]) == 0
