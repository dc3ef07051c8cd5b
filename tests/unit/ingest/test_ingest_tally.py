"""Does a part of ingest notice what falls out between its door and the log, and only that? F10, A1."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np
import pytest
import structlog
from builders import DEVICES, NOW_MS, WEARER, frozen_clock, known, location, message, topic

from ingest.admission import admit
from ingest.archive_counts import BEYOND_MAX, ArchiveCounts, Gapless
from ingest.listener import AlarmLane, rows_of
from ingest.tally import Confirmed, Counts, write_for_ever
from tocsin.adapters.fixes import Archived
from tocsin.model.fix import FIX_DTYPE, Fixes
from tocsin.model.tally import Stretch
from tocsin.ports import Appended, Entry
from tocsin.subjects import FIXES
from tocsin.telemetry import ACCEPTED_MINUS_OUTCOMES
from tocsin.testing.bus import MemoryBucket
from tocsin.wire import decode_tally, encode_fixes


def counts(**held: int) -> Counts:
    return Counts("fixes", "test", lambda: held)


def confirmed(sequence: int, rows: int = 2, *, is_known: bool = False) -> Confirmed:
    return Confirmed(stream="FIXES", sequence=sequence, rows=rows, primary=rows // 2, known=is_known)


def shown(counted: str) -> float:
    return float(ACCEPTED_MINUS_OUTCOMES.labels(lane="test", counted=counted)._value.get())


def test_what_is_in_hand_is_no_difference_and_what_is_nowhere_is_told_once() -> None:
    one = counts(reports=1)
    one.reports.taken = 3
    one.reports.outcomes["admitted"] = 2
    with structlog.testing.capture_logs() as log:
        one.check()
        assert shown("reports") == 0
        one.reports.taken = 4
        one.check()
        one.check()
    assert shown("reports") == 1
    assert [line["event"] for line in log] == ["conservation_broken"]
    assert log[0]["differences"] == {"reports": 1}


def test_the_stretch_of_a_life_begins_at_its_first_message() -> None:
    one = counts()
    one.confirm([confirmed(12), confirmed(11)])
    one.confirm([confirmed(14)])
    assert one.streams == {"FIXES": Stretch(after=10, through=14, rows=6, primary=3)}
    assert one.rows.outcomes == {"appended": 6}


def test_a_retry_that_the_log_had_is_counted_once_and_a_batch_known_from_before_is_not_again() -> None:
    one = counts()
    one.confirm([confirmed(11)])
    one.confirm([confirmed(12, is_known=True)])  # the first try was stored, its answer lost
    one.confirm([confirmed(11, is_known=True)])
    assert one.streams["FIXES"].rows == 4
    assert one.rows.outcomes == {"appended": 4, "known": 2}


def test_rows_are_counted_once_for_each_partition_concerned() -> None:
    (fix,) = admit(message(location(), topic()), known(), NOW_MS)
    assert rows_of([fix]) == 1
    both = DEVICES[WEARER].__class__(
        id=WEARER, number=2, kind=DEVICES[WEARER].kind, measures=("msr_1", "msr_2", "msr_3", "msr_4")
    )
    (fix,) = admit(message(location(), topic()), known(2, **{WEARER: both}), NOW_MS)
    assert rows_of([fix]) == 2


def test_an_alarm_is_in_hand_until_it_is_settled() -> None:
    lane = AlarmLane("alarms-1")
    lane.take()
    lane.admit()
    assert all(one.difference == 0 for one in lane.counts.accounts().values())
    assert lane.counts.accounts()["rows"].in_hand == 1
    lane.confirm(Appended(sequence=5, duplicate=True))
    lane.settle("admitted")
    accounts = lane.counts.accounts()
    assert [accounts[name].in_hand for name in accounts] == [0, 0, 0]
    assert all(one.difference == 0 for one in accounts.values())
    assert lane.counts.streams["ALARMS"].rows == 1, "the other reader was first; it is confirmed to this one too"


async def test_a_tally_is_written_and_each_life_has_a_name() -> None:
    bucket = MemoryBucket()
    one, other = counts(messages=2), counts()
    one.messages.taken = 2
    task = asyncio.create_task(write_for_ever(one, bucket, frozen_clock()))
    async for change in bucket.watch():
        if change is not None:
            assert change.value is not None
            tally = decode_tally(change.value)
            break
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (tally.part, tally.life, tally.at_ms) == ("fixes", one.life, NOW_MS)
    assert tally.accounts["messages"].in_hand == 2
    assert one.life != other.life


# --- the archivist ---------------------------------------------------------------------------------------------


def added(*sequences: int, attempt: int = 1) -> Gapless:
    one = Gapless()
    for sequence in sequences:
        one.add(sequence, attempt, rows=2, primary=1)
    return one


@pytest.mark.parametrize(
    ("sequences", "stretch"),
    [
        ((5, 6, 7), (4, 7, 6)),
        ((5, 7), (4, 5, 2)),
        ((5, 7, 6), (4, 7, 6)),
        ((5, 5, 6, 5), (4, 6, 4)),
        ((5, 3), (4, 5, 2)),
    ],
)
def test_only_what_lies_without_a_gap_is_in_the_stretch(
    sequences: tuple[int, ...], stretch: tuple[int, int, int]
) -> None:
    found = added(*sequences).stretch
    assert found is not None
    assert (found.after, found.through, found.rows) == stretch


def test_what_a_dead_life_had_is_no_beginning() -> None:
    assert added(5, 6, attempt=2).stretch is None


def test_a_gap_that_stays_is_another_process_and_the_stretch_begins_anew() -> None:
    one = added(1, *range(3, BEYOND_MAX + 4))
    assert one.stretch == Stretch(
        after=2, through=BEYOND_MAX + 3, rows=2 * (BEYOND_MAX + 1), primary=BEYOND_MAX + 1
    )


@dataclass(frozen=True)
class Read:
    """A delivery, as far as counting goes."""

    entry: Entry
    attempt: int = 1


def batch(rows: int) -> Fixes:
    fixes = np.zeros(rows, FIX_DTYPE)
    fixes["primary"][: rows - 1] = 1
    return fixes


def test_the_archivist_accounts_for_primary_rows_and_for_what_it_set_aside() -> None:
    one = ArchiveCounts()
    batches = [batch(3), batch(4)]
    reads = [
        Read(Entry(subject="log.fix.0", payload=encode_fixes(fixes), sequence=sequence))
        for sequence, fixes in enumerate(batches, start=1)
    ]
    one.archived(reads, batches, Archived(rows_inserted=3, astray=1, duplicates=1), FIXES)  # type: ignore[arg-type]
    one.set_aside(Read(Entry(subject="log.fix.0", payload=b"?", sequence=3)), FIXES)  # type: ignore[arg-type]
    one.set_aside(Read(Entry(subject="log.fix.0", payload=encode_fixes(batch(2)), sequence=4)), FIXES)  # type: ignore[arg-type]
    accounts = one.counts.accounts()
    assert [accounts[name].difference for name in accounts] == [0, 0, 0]
    assert accounts["rows"].outcomes["set_aside"] == 1
    assert one.counts.streams["FIXES"] == Stretch(after=0, through=4, rows=9, primary=6)
