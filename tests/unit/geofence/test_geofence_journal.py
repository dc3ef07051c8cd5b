"""What a damaged journal, a second worker, a clock set back and a full stream do to a worker (F01, F02, F07)."""

from __future__ import annotations

import numpy as np
import pytest
from geofence_lives import HandClock, Site, make_talkative, meet, said
from geofence_pairs import T0_MS, P, W, fix, order
from structlog.testing import capture_logs

from geofence import journal, snapshot
from geofence.publisher import wave_of
from geofence.scribe import PartitionTaken, Scribe
from tocsin import subjects
from tocsin.errors import LogUnavailable
from tocsin.limits import SNAPSHOT_EVERY_FIXES, SNAPSHOT_EVERY_S
from tocsin.model.zone import Zone
from tocsin.ports import Entry
from tocsin.subjects import FIXES, JOURNAL
from tocsin.telemetry import CLOCK_BACK, JOURNAL_STEPS
from tocsin.testing.bus import MemoryLog
from tocsin.wire import encode_fixes

APPROACH = np.concatenate([fix(P, 0), fix(W, 1, 950)])
LEAVING = fix(W, 3, 1110)
LATER_MS = T0_MS + 64_000
ALERT, PREALERT = "log.finding.0.PROX_ALERT", "log.finding.0.PROX_PREALERT"


def tick(step, now_ms=LATER_MS, after=2, life="another"):
    return journal.encode(journal.Tick(step=step, now_ms=now_ms, after=after, life=life))


def entry(sequence, payload):
    return Entry(subject=subjects.journal(0), payload=payload, sequence=sequence)


async def site_with(*story):
    site = Site([order()])
    worker = await site.born()
    for hour_ms, one in story:
        await meet(site, worker, hour_ms, one)
    return site, worker


def steps(site):
    return [journal.decode(one.payload).step for one in site.log.entries(JOURNAL)]


# --- reading -------------------------------------------------------------------------------------------------


def test_a_journal_without_damage():
    found = journal.read([entry(3, tick(8)), entry(5, tick(9))], journal.Place(step=7, sequence=1))
    assert [(one.place.step, one.place.sequence) for one in found.ticks] == [(8, 3), (9, 5)]
    assert (found.unreadable, found.missing) == ((), 0)


@pytest.mark.parametrize(
    ("payloads", "read", "unreadable", "missing"),
    [
        ([tick(1), b"", tick(3)], [1, 3], (2,), 1),
        ([b"\x09 of another version", tick(2)], [2], (1,), 1),
        ([tick(1), tick(4)], [1, 4], (), 2),
        ([tick(1), tick(2)[:-3]], [1], (2,), 0),
        ([tick(2), tick(1), tick(2), tick(3)], [2, 3], (), 1),
    ],
)
def test_it_goes_on_behind_what_cannot_be_read(payloads, read, unreadable, missing):
    found = journal.read([entry(at, one) for at, one in enumerate(payloads, 1)], journal.START)
    assert [one.tick.step for one in found.ticks] == read
    assert (found.unreadable, found.missing) == (unreadable, missing)


async def test_a_lost_tick_is_loud_and_only_late():
    """The worker goes on: the next tick finds the same, under the same name. A blind partition would be worse."""
    site, worker = await site_with((T0_MS, APPROACH), (T0_MS + 3000, LEAVING), (LATER_MS, None))
    expected = site.findings
    assert steps(site) == [1]
    assert len(expected[ALERT]) == 2

    site, worker = await site_with((T0_MS, APPROACH), (T0_MS + 3000, LEAVING))
    await site.log.append(subjects.journal(0), b"\x09")
    before = JOURNAL_STEPS.labels("unreadable")._value.get()
    with capture_logs() as lines:
        worker = await site.born()
    assert [line["event"] for line in lines if line["log_level"] == "critical"] == ["journal_incomplete"]
    assert JOURNAL_STEPS.labels("unreadable")._value.get() == before + 1
    await meet(site, worker, LATER_MS, None)
    assert site.findings == expected


# --- two workers ---------------------------------------------------------------------------------------------


async def test_of_two_workers_the_second_to_write_gives_up():
    site, first = await site_with((T0_MS, APPROACH), (T0_MS + 3000, LEAVING))
    second = await site.born()
    await meet(site, first, LATER_MS, None)
    said_so_far, kept = site.findings, await site.snapshots.get("geofence-0-of-1")
    with capture_logs() as lines, pytest.raises(PartitionTaken, match="Partition 0"):
        await meet(site, second, LATER_MS, None)
    await second.end()
    assert ("partition_taken", 0) in [(line["event"], line.get("partition")) for line in lines]
    assert site.findings == said_so_far
    assert await site.snapshots.get("geofence-0-of-1") == kept, "the loser's memory is not the partition's"


async def test_an_entry_that_was_written_and_not_confirmed_is_its_own():
    class Deaf(MemoryLog):
        """Takes the first entry and does not say so."""

        taken = False

        async def append(self, subject, payload, **kwargs):
            answer = await super().append(subject, payload, **kwargs)
            if not self.taken:
                self.taken = True
                raise LogUnavailable(subject)
            return answer

    log = Deaf()
    scribe = Scribe(log, 0, "mine", HandClock())
    assert (await scribe.write(step=1, now_ms=T0_MS, after=0)).place == journal.Place(step=1, sequence=1)
    await scribe.write(step=2, now_ms=T0_MS, after=0)
    assert [journal.decode(one.payload).step for one in log.entries(JOURNAL)] == [1, 2]


async def test_a_journal_that_has_given_way_to_age_is_begun_anew():
    scribe = Scribe(MemoryLog(), 0, "mine", HandClock())
    scribe.last = 41
    assert (await scribe.write(step=42, now_ms=T0_MS, after=0)).place == journal.Place(step=42, sequence=1)


# --- the hour ------------------------------------------------------------------------------------------------


async def test_a_tick_with_nothing_due_leaves_no_trace():
    """The units were told another interval: the first tick finds the next hour, the second has nothing to do."""
    site, worker = await site_with((T0_MS, APPROACH), (T0_MS + 5000, None))
    kept, before = snapshot.dump(snapshot.Snapshot(table=worker.table, sequence=0)), steps(site)
    await meet(site, worker, T0_MS + 6000, None)
    assert steps(site) == before
    assert snapshot.dump(snapshot.Snapshot(table=worker.table, sequence=0)) == kept


async def test_the_hour_of_a_tick_never_goes_back():
    """The wall clock is set back by an hour after a tick: the next one is judged at the hour of the last."""
    again = np.concatenate([fix(W, 70, 950, seq=9), fix(W, 73, 1110, seq=10)])
    site, worker = await site_with((T0_MS, APPROACH), (T0_MS + 3000, LEAVING), (LATER_MS, None))
    await meet(site, worker, LATER_MS + 70_000, again)
    await meet(site, worker, LATER_MS + 140_000, None)
    before = CLOCK_BACK._value.get()
    with capture_logs() as lines:
        await meet(site, worker, T0_MS - 3_600_000, None)
        await meet(site, worker, T0_MS - 3_599_000, None)
    assert [line["event"] for line in lines] == ["clock_set_back"]
    assert CLOCK_BACK._value.get() == before + 1
    hours = [journal.decode(one.payload).now_ms for one in site.log.entries(JOURNAL)]
    assert hours == [LATER_MS, LATER_MS + 140_000]
    assert steps(site) == [1, 2]
    assert worker._never_back(T0_MS - 3_598_000) == LATER_MS + 140_000


# --- changed measures ----------------------------------------------------------------------------------------


async def test_a_revision_that_changes_nothing_writes_nothing():
    site, worker = await site_with((T0_MS, APPROACH))
    kept = await site.snapshots.get("geofence-0-of-1")
    await meet(site, worker, T0_MS + 5000, (order(),))
    assert await site.snapshots.get("geofence-0-of-1") is kept


async def test_fixes_of_before_are_judged_with_the_measures_of_before():
    """Whoever died between a fix and a changed measure judges the fix as it was judged."""
    site, _ = await site_with()
    await site.log.append(subjects.fixes(0), encode_fixes(APPROACH))
    site.revision = type(site.revision)(
        orders=(order(version=2, alert_distance_m=2000),), devices=site.revision.devices
    )
    worker = await site.born()
    assert b"order_version\x01" in site.findings[ALERT][0]
    assert worker.table.roster.orders[0].version == 2


async def test_a_pair_that_became_known_meanwhile_is_judged_at_once():
    site, _ = await site_with()
    site.revision = type(site.revision)(orders=(order(), order("msr_b", 3, 4)), devices=site.revision.devices)
    await site.log.append(subjects.fixes(0), encode_fixes(np.concatenate([fix(4, 0), fix(3, 1, 5000)])))
    await site.log.append(subjects.fixes(0), encode_fixes(fix(3, 5, 600)))
    worker = await site.born()
    assert len(site.findings[ALERT]) == 1
    assert [worker.table.state(row).zone for row in (0, 1)] == [Zone.FAR, Zone.ALERT]


# --- what is said, and when ----------------------------------------------------------------------------------


def test_a_wave_has_no_two_of_one_lane():
    assert wave_of(["a1", "b1", "a2", "c1"], lambda one: one[0]) == ["a1", "b1"]
    assert wave_of([], lambda one: one) == []
    assert len(wave_of(range(10_000), lambda one: one)) < 10_000


async def test_the_alert_goes_before_the_pre_alert():
    site = Site([order(), order("msr_b", 3, 4)])
    worker = await site.born()
    both = np.concatenate([fix(P, 0), fix(4, 0), fix(3, 1, 1500), fix(W, 2, 500)])
    await meet(site, worker, T0_MS, both)
    assert [one.subject for one in site.log.entries(subjects.FINDINGS)] == [ALERT, PREALERT]


class CommandsFull(MemoryLog):
    full = True

    async def append(self, subject, payload, **kwargs):
        if self.full and subject.startswith("log.command"):
            raise LogUnavailable(subject)
        return await super().append(subject, payload, **kwargs)


async def test_commands_that_wait_delay_no_finding_and_outlive_the_worker(monkeypatch):
    make_talkative(monkeypatch)
    site = Site([order()])
    site.log = CommandsFull()
    worker = await site.born()
    await meet(site, worker, T0_MS, APPROACH)
    await meet(site, worker, T0_MS + 10_000, np.concatenate([LEAVING, fix(W, 5, 1110)]))
    assert [len(site.findings[ALERT]), site.commands] == [2, {}]
    await worker.save()
    site.log.full = False
    site.clock.ms += 2000
    await site.born()
    assert [one.interval_s for one in site.commands["log.command.b0000001.0.setCadence"]] == [40, 50]


async def test_a_command_that_has_expired_is_not_sent(monkeypatch):
    make_talkative(monkeypatch)
    site = Site([order()])
    site.log = CommandsFull()
    worker = await site.born()
    await meet(site, worker, T0_MS, APPROACH)
    site.log.full = False
    site.clock.ms += 2 * 10**9
    await said(worker)
    assert site.commands == {}
    assert not worker.publisher.commands


async def test_the_standing_of_a_measure_that_is_gone_goes(monkeypatch):
    make_talkative(monkeypatch)
    site, worker = await site_with((T0_MS, APPROACH))
    assert list(await site.standing()) == ["msr_a"]
    await meet(site, worker, T0_MS + 5000, ())
    assert await site.standing() == {}


async def test_what_left_while_nobody_looked_goes_at_the_start():
    site = Site([order()])
    await site.standings.put("msr_gone", b"")
    await site.born()
    assert await site.standings.get("msr_gone") is None


async def test_a_replay_does_not_say_again_what_the_log_has_forgotten_that_it_has():
    """The log's memory of ids is short; the findings themselves are there to be read."""
    site, _ = await site_with((T0_MS, APPROACH))
    site.log._streams["FINDINGS"].seen.clear()
    worker = await site.born()
    assert worker.table.state(0).zone is Zone.ALERT, "it was judged again"
    assert [len(said_of) for said_of in site.findings.values()] == [1]


# --- snapshots -----------------------------------------------------------------------------------------------


async def test_a_snapshot_comes_after_so_long_or_so_many():
    site, worker = await site_with((T0_MS, APPROACH))
    first = await site.snapshots.get("geofence-0-of-1")
    await meet(site, worker, T0_MS + 1000 * SNAPSHOT_EVERY_S - 1, np.empty(0, APPROACH.dtype))
    assert await site.snapshots.get("geofence-0-of-1") is first
    await meet(site, worker, T0_MS + 1000 * SNAPSHOT_EVERY_S, np.empty(0, APPROACH.dtype))
    second = snapshot.load(await site.snapshots.get("geofence-0-of-1"))
    assert second.sequence == len(site.log.entries(FIXES))
    worker._keeper.fixes = SNAPSHOT_EVERY_FIXES
    await meet(site, worker, T0_MS + 1000 * SNAPSHOT_EVERY_S + 1, LEAVING)
    assert snapshot.load(await site.snapshots.get("geofence-0-of-1")).sequence == second.sequence + 1


async def test_nothing_waits_for_a_snapshot_that_cannot_be_written():
    site, worker = await site_with((T0_MS, np.concatenate([fix(P, 0), fix(W, 1, 1500)])))

    async def refuse(*_):
        raise LogUnavailable

    site.snapshots.put = refuse
    await meet(site, worker, T0_MS + 5000, (order(version=2, alert_distance_m=2000),))
    assert len(site.findings[ALERT]) == 1
