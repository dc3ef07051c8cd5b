"""Do the twin in memory and JetStream keep the same promises? One examination, sat by both (habit 4).

Behind it what only a real server can show: ``kill -9`` and restart lose nothing and repeat nothing to a reader
(invariant 1, F01's "no single failure").
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from builders import eventually
from nats.aio.msg import Msg

from tocsin import subjects
from tocsin.adapters.jetstream import Bus, Follower, JetStreamLog, open_bus
from tocsin.clock import AffineClock
from tocsin.embedded import EmbeddedBroker
from tocsin.errors import LogUnavailable, SequenceConflict
from tocsin.limits import LEASE_S
from tocsin.ports import Bucket, Delivery, Entry, Extent, Log, Objects, Progress
from tocsin.subjects import ALARMS, EPISODES, FIXES
from tocsin.testing.bus import MemoryBucket, MemoryLog, MemoryObjects, MemoryQueue

DEADLINE_S = 30.0
LASTS_S = 60.0  # a lease, of 3 s: a worker that stands still meanwhile is not dead
ONE, TWO = subjects.alarm("unit-1"), subjects.alarm("unit-2")


@dataclass(frozen=True)
class Subject:
    """What sits the examination. ``kill_worker`` makes the leases of a silent worker end."""

    log: Log
    bucket: Bucket
    objects: Objects
    kill_worker: Callable[[Any], Awaitable[None]]


@pytest.fixture(params=["memory", "jetstream"])
def real(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Subject:
    if request.param == "memory":

        async def expire(queue: MemoryQueue) -> None:
            queue.expire_leases()

        return Subject(MemoryLog(), MemoryBucket(), MemoryObjects(), expire)
    bus: Bus = request.getfixturevalue("bus")
    monkeypatch.setattr("tocsin.adapters.jetstream.LEASE_S", LASTS_S)

    async def nothing(_: object) -> None:
        """The server does it by itself after LEASE_S."""

    return Subject(bus.log, bus.devices, bus.snapshots, nothing)


async def within(answer: Awaitable[Any], seconds: float = DEADLINE_S) -> Any:
    async with asyncio.timeout(seconds):
        return await answer


async def stays_empty(taking: Awaitable[Any]) -> None:
    """Nothing comes in the time in which a round trip would have brought it many times over."""
    with pytest.raises(TimeoutError):
        await within(taking, 0.3)


async def upto_present(reader: AsyncIterator[Sequence[Entry]]) -> list[bytes]:
    """Payloads in front of the present marker."""
    payloads: list[bytes] = []
    while batch := await within(anext(reader)):
        payloads += [one.payload for one in batch]
    return payloads


async def next_entries(reader: AsyncIterator[Sequence[Entry]], count: int) -> list[Entry]:
    found: list[Entry] = []
    while len(found) < count:
        batch = await within(anext(reader))
        assert batch, "the present was told twice"
        found += batch
    return found


async def _take(queue: Any, count: int) -> list[Delivery]:
    taken: list[Delivery] = []
    while len(taken) < count:
        taken += await queue.take(count - len(taken))
    return taken


async def _settled(log: Log, sequence: int) -> bool:
    return (await log.progress(ALARMS, "progress")).settled == sequence


class TestBus:
    """The examination."""

    # --- append, last ---

    async def test_append_numbers_what_it_keeps(self, real: Subject) -> None:
        first = await real.log.append(ONE, b"1")
        second = await real.log.append(TWO, b"2")
        assert (first.sequence, second.sequence, first.duplicate, second.duplicate) == (1, 2, False, False)

    async def test_the_same_id_is_kept_once(self, real: Subject) -> None:
        first = await real.log.append(ONE, b"1", dedupe_id="a")
        again = await real.log.append(ONE, b"1", dedupe_id="a")
        other = await real.log.append(ONE, b"1", dedupe_id="b")
        assert (again.duplicate, again.sequence) == (True, first.sequence)
        assert (other.duplicate, other.sequence) == (False, 2)

    async def test_the_same_id_on_another_stream_is_another_message(self, real: Subject) -> None:
        await real.log.append(ONE, b"1", dedupe_id="a")
        assert not (await real.log.append(subjects.fixes(0), b"1", dedupe_id="a")).duplicate

    # --- progress ---

    async def test_a_queue_says_how_far_it_has_come(self, real: Subject) -> None:
        """Settled is what lies in front of the first message in somebody's hands, or still waiting."""
        for payload in (b"1", b"2", b"3"):
            await real.log.append(ONE, payload)
        assert await real.log.progress(ALARMS, "nobody") == Progress(end=3, settled=0)
        async with real.log.queue(ALARMS, "progress", parallel=2) as queue:
            first, second = await within(_take(queue, 2))
            assert (await real.log.progress(ALARMS, "progress")).handed == 2, "the third waits"
            await second.done()
            assert (await real.log.progress(ALARMS, "progress")).settled == 0
            await first.done()
            (third,) = await within(_take(queue, 1))
            await eventually(lambda: _settled(real.log, 2))
            await third.done()
            await eventually(lambda: _settled(real.log, 3))
            assert (await real.log.progress(ALARMS, "progress")).end == 3

    async def test_what_a_queue_is_not_about_does_not_hold_it_up(self, real: Subject) -> None:
        async with real.log.queue(ALARMS, "progress", parallel=2, subject=ONE):
            await real.log.append(TWO, b"1")
            assert await real.log.progress(ALARMS, "progress") == Progress(end=1, settled=1, handed=1)

    async def test_compare_and_set_has_one_winner(self, real: Subject) -> None:
        place = subjects.episode("PROX_ALERT", "msr_1")
        writers = [real.log.append(place, b"%d" % one, expected_last=0) for one in range(8)]
        answers = await asyncio.gather(*writers, return_exceptions=True)
        assert sorted(type(answer).__name__ for answer in answers) == ["Appended"] + ["SequenceConflict"] * 7

    async def test_compare_and_set_looks_at_its_own_subject(self, real: Subject) -> None:
        mine, other = subjects.episode("PROX_ALERT", "msr_1"), subjects.episode("PROX_ALERT", "msr_2")
        first = await real.log.append(mine, b"1", expected_last=0)
        await real.log.append(other, b"2", expected_last=0)
        await real.log.append(mine, b"3", expected_last=first.sequence)
        with pytest.raises(SequenceConflict):
            await real.log.append(mine, b"4", expected_last=first.sequence)
        last = await real.log.last(EPISODES, mine)
        assert last == Entry(subject=mine, payload=b"3", sequence=3)

    async def test_last_of_nothing_is_none(self, real: Subject) -> None:
        await real.log.append(TWO, b"1")
        assert await real.log.last(ALARMS, ONE) is None

    async def test_the_extent_is_what_is_kept(self, real: Subject) -> None:
        stream = next(one for one in subjects.STREAMS if ONE.startswith(one.subjects.removesuffix(">")))
        assert await real.log.extent(stream) == Extent(messages=0, gone=0)
        for subject in (ONE, TWO, ONE):
            await real.log.append(subject, b"1", dedupe_id=f"{subject}")
        assert await real.log.extent(stream) == Extent(messages=2, gone=0)

    # --- forget ---

    async def test_what_is_forgotten_is_gone_from_its_subject_alone(self, real: Subject) -> None:
        """Sequences go on as if nothing had happened (F01: a number is never given twice)."""
        for subject, payload in ((ONE, b"1"), (TWO, b"2"), (ONE, b"3"), (ONE, b"4")):
            await real.log.append(subject, payload)
        assert await real.log.forget(ALARMS, ONE, before=4) == 2
        assert await real.log.forget(ALARMS, ONE, before=4) == 0
        assert await upto_present(real.log.read(ALARMS, ALARMS.subjects)) == [b"2", b"4"]
        assert await upto_present(real.log.read(ALARMS, ALARMS.subjects, after=2)) == [b"4"]
        assert await real.log.extent(ALARMS) == Extent(messages=2, gone=1)
        assert (await real.log.append(ONE, b"5")).sequence == 5

    @pytest.mark.parametrize("before", [0, 1])
    async def test_before_the_first_there_is_nothing_to_forget(self, real: Subject, before: int) -> None:
        await real.log.append(ONE, b"1")
        assert await real.log.forget(ALARMS, ONE, before=before) == 0
        assert await upto_present(real.log.read(ALARMS, ONE)) == [b"1"]

    async def test_a_subject_that_was_forgotten_wholly_begins_anew(self, real: Subject) -> None:
        """Who had read it before is told that somebody was first, and not written over nothing (A6)."""
        first = await real.log.append(ONE, b"1", expected_last=0)
        assert await real.log.forget(ALARMS, ONE, before=first.sequence + 1) == 1
        assert await real.log.last(ALARMS, ONE) is None
        with pytest.raises(SequenceConflict):
            await real.log.append(ONE, b"2", expected_last=first.sequence)
        assert (await real.log.append(ONE, b"2", expected_last=0)).sequence == 2

    async def test_a_queue_does_not_wait_for_what_was_forgotten(self, real: Subject) -> None:
        first = await real.log.append(ONE, b"1")
        await real.log.append(ONE, b"2")
        await real.log.forget(ALARMS, ONE, before=first.sequence + 1)
        async with real.log.queue(ALARMS, "progress", parallel=2) as queue:
            (only,) = await within(_take(queue, 1))
            assert only.entry.payload == b"2"
            await only.done()
            await eventually(lambda: _settled(real.log, 2))

    async def test_what_is_leased_and_forgotten_does_not_come_again(self, real: Subject) -> None:
        first = await real.log.append(ONE, b"1")
        async with real.log.queue(ALARMS, "progress", parallel=2) as queue:
            (leased,) = await within(_take(queue, 1))
            await real.log.forget(ALARMS, ONE, before=first.sequence + 1)
            await real.log.append(ONE, b"2")
            await leased.again(0.0)
            assert [one.entry.payload for one in await within(_take(queue, 1))] == [b"2"]

    async def test_what_is_bounded_says_how_full_it_is(self, real: Subject) -> None:
        before = {one.resource: one for one in await real.log.usages()}
        await real.log.append(ONE, b"1" * 1_000)
        await real.log.append(subjects.refused("schema"), b"1" * 1_000)
        after = {one.resource: one for one in await real.log.usages()}
        assert after["ALARMS.bytes"].used >= before["ALARMS.bytes"].used + 1_000
        assert after["ALARMS.bytes"].bound == ALARMS.max_bytes
        assert not after["ALARMS.bytes"].gives_way
        assert (after["REFUSED.messages"].used, after["REFUSED.messages"].gives_way) == (1, True)
        assert "ALARMS.messages" not in after, "its bytes are its bound"

    async def test_the_log_says_what_it_takes_for_the_time(self, real: Subject) -> None:
        clock = AffineClock()
        before_ms = clock.wall_ms()
        hour_ms = await real.log.hour_ms()
        assert before_ms - 1 <= hour_ms <= clock.wall_ms() + 1, "of one machine"

    async def test_a_subject_of_no_stream_is_not_confirmed(self, real: Subject) -> None:
        with pytest.raises(LogUnavailable):
            await real.log.append("log.nowhere.1", b"1")

    # --- read ---

    async def test_read_tells_the_present_once_and_goes_on(self, real: Subject) -> None:
        for number in range(5):
            await real.log.append(ONE, b"%d" % number)
        async with aclosing(real.log.read(ALARMS, "log.alarm.>")) as reader:
            assert await upto_present(reader) == [b"0", b"1", b"2", b"3", b"4"]
            await real.log.append(TWO, b"5")
            await real.log.append(ONE, b"6")
            assert [(one.payload, one.sequence) for one in await next_entries(reader, 2)] == [(b"5", 6), (b"6", 7)]

    async def test_read_of_an_empty_subject_tells_the_present_once(self, real: Subject) -> None:
        async with aclosing(real.log.read(ALARMS, "log.alarm.>")) as reader:
            assert await upto_present(reader) == []
            await real.log.append(ONE, b"0")
            assert [one.payload for one in await next_entries(reader, 1)] == [b"0"]
            await real.log.append(ONE, b"1")
            assert [one.payload for one in await next_entries(reader, 1)] == [b"1"]

    async def test_read_when_only_other_subjects_have_something(self, real: Subject) -> None:
        await real.log.append(TWO, b"other")
        async with aclosing(real.log.read(ALARMS, ONE)) as reader:
            assert await upto_present(reader) == []
            await real.log.append(TWO, b"other again")
            await real.log.append(ONE, b"mine")
            assert [one.payload for one in await next_entries(reader, 1)] == [b"mine"]

    @pytest.mark.parametrize(("after", "expected"), [(0, [b"0", b"1", b"2"]), (2, [b"2"]), (3, [])])
    async def test_read_after(self, real: Subject, after: int, expected: list[bytes]) -> None:
        for number in range(3):
            await real.log.append(ONE, b"%d" % number)
        async with aclosing(real.log.read(ALARMS, "log.alarm.>", after=after)) as reader:
            assert await upto_present(reader) == expected
            await real.log.append(ONE, b"new")
            assert [one.payload for one in await next_entries(reader, 1)] == [b"new"]

    async def test_newest_per_subject(self, real: Subject) -> None:
        for subject, payload in ((ONE, b"old"), (TWO, b"two"), (ONE, b"one")):
            await real.log.append(subject, payload)
        async with aclosing(real.log.read(ALARMS, "log.alarm.>", newest_per_subject=True)) as reader:
            assert await upto_present(reader) == [b"two", b"one"]
            await real.log.append(TWO, b"after")
            assert [one.payload for one in await next_entries(reader, 1)] == [b"after"]

    async def test_newest_per_subject_of_nothing(self, real: Subject) -> None:
        async with aclosing(real.log.read(ALARMS, "log.alarm.>", newest_per_subject=True)) as reader:
            assert await upto_present(reader) == []
            await real.log.append(ONE, b"1")
            assert [one.payload for one in await next_entries(reader, 1)] == [b"1"]

    async def test_two_readers_each_read_all(self, real: Subject) -> None:
        await real.log.append(ONE, b"1")
        async with aclosing(real.log.read(ALARMS, ONE)) as left, aclosing(real.log.read(ALARMS, ONE)) as right:
            assert await upto_present(left) == await upto_present(right) == [b"1"]

    async def test_a_queue_with_nothing_to_do_hears(self, real: Subject) -> None:
        async with real.log.queue(ALARMS, "hears", parallel=2) as queue:
            await eventually(queue.hears)  # a server sees a new listener a moment later than he himself
            await real.log.append(ONE, b"1")
            (only,) = await within(_take(queue, 1))
            await eventually(queue.hears)
            await only.done()

    # --- queue ---

    async def test_a_queue_delivers_in_order_what_was_there_and_what_comes(self, real: Subject) -> None:
        await real.log.append(ONE, b"0")
        async with real.log.queue(ALARMS, "q", parallel=10) as queue:
            (first,) = await within(queue.take(10))
            await real.log.append(ONE, b"1")
            (second,) = await within(queue.take(10))
            assert [(one.entry.payload, one.entry.sequence, one.attempt) for one in (first, second)] == [
                (b"0", 1, 1),
                (b"1", 2, 1),
            ]

    async def test_parallel_bounds_what_is_leased(self, real: Subject) -> None:
        for number in range(5):
            await real.log.append(ONE, b"%d" % number)
        async with real.log.queue(ALARMS, "q", parallel=2) as queue:
            leased: list[Delivery] = []
            while len(leased) < 2:
                leased += await within(queue.take(5))
            assert len(leased) == 2
            await stays_empty(queue.take(5))
            await leased[0].done()
            assert [one.entry.payload for one in await within(queue.take(5))] == [b"2"]

    async def test_again_brings_it_back_with_its_number_of_attempts(self, real: Subject) -> None:
        await real.log.append(ONE, b"0")
        async with real.log.queue(ALARMS, "q", parallel=10) as queue:
            for attempt in (1, 2, 3):
                (delivery,) = await within(queue.take(1))
                assert (delivery.entry.payload, delivery.attempt) == (b"0", attempt)
                await delivery.again(0.01)

    async def test_what_is_settled_never_comes_again(self, real: Subject) -> None:
        for number in range(3):
            await real.log.append(ONE, b"%d" % number)
        async with real.log.queue(ALARMS, "q", parallel=10) as queue:
            settled = 0
            while settled < 3:
                for delivery in await within(queue.take(10)):
                    await delivery.done()
                    settled += 1
        async with real.log.queue(ALARMS, "q", parallel=10) as queue:
            await real.log.append(ONE, b"new")
            (only,) = await within(queue.take(10))
            assert (only.entry.payload, only.attempt) == (b"new", 1)

    async def test_the_entry_of_a_dead_worker_goes_to_another(
        self, real: Subject, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tocsin.adapters.jetstream.LEASE_S", LEASE_S)  # the product's: this one is to end
        await real.log.append(ONE, b"0")
        async with real.log.queue(ALARMS, "q", parallel=10) as dead:
            await within(dead.take(1))
        async with real.log.queue(ALARMS, "q", parallel=10) as alive:
            await real.kill_worker(alive)
            (delivery,) = await within(alive.take(1), LEASE_S + DEADLINE_S)
            assert (delivery.entry.payload, delivery.attempt) == (b"0", 2)

    async def test_two_workers_share_and_none_gets_what_the_other_has(self, real: Subject) -> None:
        seen: list[bytes] = []

        async def work() -> None:
            async with real.log.queue(ALARMS, "q", parallel=50) as queue:
                while True:
                    for delivery in await queue.take(1):
                        seen.append(delivery.entry.payload)
                        await delivery.done()

        workers = [asyncio.create_task(work()) for _ in range(2)]
        for number in range(40):
            await real.log.append(ONE, b"%d" % number)
        await eventually(lambda: len(seen) >= 40)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        assert sorted(seen, key=int) == [b"%d" % number for number in range(40)]

    async def test_queues_of_two_names_each_get_all(self, real: Subject) -> None:
        await real.log.append(ONE, b"0")
        async with (
            real.log.queue(ALARMS, "a", parallel=1) as left,
            real.log.queue(ALARMS, "b", parallel=1) as right,
        ):
            assert [(await within(queue.take(1)))[0].entry.payload for queue in (left, right)] == [b"0", b"0"]

    async def test_a_queue_of_one_subject(self, real: Subject) -> None:
        for partition in (0, 1, 0):
            await real.log.append(subjects.fixes(partition), b"%d" % partition)
        async with real.log.queue(FIXES, "q", parallel=10, subject=subjects.fixes(1)) as queue:
            assert [one.entry.payload for one in await within(queue.take(10))] == [b"1"]

    # --- bucket, objects ---

    async def test_a_bucket_keeps_the_newest(self, real: Subject) -> None:
        assert await real.bucket.get("a") is None
        first = await real.bucket.put("a", b"1")
        second = await real.bucket.put("a", b"2")
        assert second > first
        assert await real.bucket.get("a") == b"2"
        await real.bucket.delete("a")
        assert await real.bucket.get("a") is None

    async def test_a_watch_tells_what_stands_then_the_present_then_each_change(self, real: Subject) -> None:
        for key, value in (("a", b"1"), ("b", b"2"), ("a", b"3")):
            await real.bucket.put(key, value)
        async with aclosing(real.bucket.watch()) as watch:
            standing: dict[str, bytes | None] = {}
            while (change := await within(anext(watch))) is not None:
                standing[change.key] = change.value
            assert standing == {"a": b"3", "b": b"2"}
            await real.bucket.put("c", b"4")
            await real.bucket.delete("a")
            news = [await within(anext(watch)) for _ in range(2)]
            assert [(one.key, one.value) for one in news] == [("c", b"4"), ("a", None)]
            assert news[0].revision < news[1].revision

    async def test_a_watch_of_an_empty_bucket_tells_the_present(self, real: Subject) -> None:
        async with aclosing(real.bucket.watch()) as watch:
            assert await within(anext(watch)) is None
            await real.bucket.put("a", b"1")
            assert (await within(anext(watch))).value == b"1"

    async def test_objects(self, real: Subject) -> None:
        large = os.urandom(300_000)  # more than one chunk of the object store
        assert await real.objects.get("partition-0") is None
        await real.objects.put("partition-0", b"old")
        await real.objects.put("partition-0", large)
        assert await real.objects.get("partition-0") == large


# --- what only the real one can show -------------------------------------------------------------------------


@dataclass
class Mortal:
    """A broker of the test's own, and a bus on it that has to live through its deaths."""

    server: EmbeddedBroker
    bus: Bus

    async def die_and_come_back(self) -> None:
        assert self.server.pid is not None
        os.kill(self.server.pid, signal.SIGKILL)
        assert await self.server.wait() == -signal.SIGKILL
        await self.server.start()

    async def append_surely(self, payload: bytes) -> int:
        """As ingest does it: under the same id for as long as it takes; returns how often it asked."""
        asked = 0
        async with asyncio.timeout(DEADLINE_S):
            while True:
                asked += 1
                try:
                    await self.bus.log.append(ONE, payload, dedupe_id=payload.decode())
                except LogUnavailable:
                    await asyncio.sleep(0.05)
                else:
                    return asked


@pytest.fixture
async def mortal(broker_home: Path) -> AsyncIterator[Mortal]:
    server = EmbeddedBroker(home=broker_home, service_password="mortal")
    try:
        addresses = await server.start()
        async with open_bus(addresses.nats_url, "mortal") as opened:
            yield Mortal(server, opened)
    finally:
        await server.stop()


async def test_a_reader_goes_on_over_a_kill_without_gap_or_repeat(
    mortal: Mortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F01, F02: the log's server dies; what was confirmed is there, what is read is read once."""
    monkeypatch.setattr("tocsin.adapters.jetstream.HEARTBEAT_S", 0.5)  # of 2 s: three of them are waited out
    monkeypatch.setattr("tocsin.adapters.jetstream.READ_STALL_S", 1.5)
    read: list[bytes] = []

    async def follow() -> None:
        async for batch in mortal.bus.log.read(ALARMS, "log.alarm.>"):
            read.extend(one.payload for one in batch)

    following = asyncio.create_task(follow())
    for number in range(50):
        await mortal.append_surely(b"%d" % number)
    await eventually(lambda: len(read) == 50)
    await mortal.die_and_come_back()
    for number in range(50, 100):
        await mortal.append_surely(b"%d" % number)
    await eventually(lambda: len(read) >= 100, within_s=20)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert read == [b"%d" % number for number in range(100)]


async def test_a_queue_goes_on_over_a_kill(mortal: Mortal) -> None:
    done: set[bytes] = set()

    async def work() -> None:
        async with mortal.bus.log.queue(ALARMS, "q", parallel=10) as queue:
            while True:
                for delivery in await queue.take(10):
                    done.add(delivery.entry.payload)
                    await delivery.done()

    working = asyncio.create_task(work())
    await mortal.append_surely(b"before")
    await eventually(lambda: b"before" in done)
    await mortal.die_and_come_back()
    await mortal.append_surely(b"after")
    await eventually(lambda: b"after" in done, within_s=20)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_an_append_over_a_kill_gives_one_message(mortal: Mortal) -> None:
    """Invariant 1: the writer does not know whether the first try was kept; the id says it."""
    await mortal.append_surely(b"x")
    writing = asyncio.gather(*(mortal.append_surely(b"m%d" % number) for number in range(20)))
    await mortal.die_and_come_back()
    await writing
    assert (await mortal.bus.log.append(ONE, b"x", dedupe_id="x")).duplicate, "the ids live through the restart"
    async with aclosing(mortal.bus.log.read(ALARMS, ONE)) as reader:
        kept = await upto_present(reader)
    assert sorted(kept) == sorted([b"x", *(b"m%d" % number for number in range(20))])


async def test_without_a_server_an_append_is_not_confirmed(
    mortal: Mortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mortal.bus.log._js, "_timeout", 0.2)  # of 2 s, waited out twice
    await mortal.server.stop()
    with pytest.raises(LogUnavailable):
        await mortal.bus.log.append(ONE, b"1")
    with pytest.raises(LogUnavailable):
        await mortal.bus.log.last(ALARMS, ONE)


def delivered(payload: bytes, stream_seq: int, consumer_seq: int) -> Msg:
    """A message as the server hands it to a push consumer."""
    reply = f"$JS.ACK.ALARMS.c.1.{stream_seq}.{consumer_seq}.1795219200000000000.0"
    return Msg(_client=None, subject=ONE, reply=reply, data=payload)  # type: ignore[arg-type]


async def test_what_came_before_a_gap_is_handed_out_and_asked_no_more(bus: Bus) -> None:
    """Two messages in one gulp, the second behind a hole: the first must not be lost with it."""
    follower = Follower(bus.client, "ALARMS", ONE, after=0, newest=False)
    inbox: asyncio.Queue[Msg] = asyncio.Queue()
    for one in (delivered(b"1", 1, 1), delivered(b"2", 2, 2), delivered(b"4", 4, 4)):
        inbox.put_nowait(one)
    read = [one.data async for batch in follower._until_silence(inbox) for one in batch]
    assert read == [b"1", b"2"]
    assert follower._after == 2


async def test_a_place_behind_the_end_is_of_another_stream_and_all_is_read_again(bus: Bus) -> None:
    """F01: the log was made anew, or restored. A reader that waited for number 8 there would be deaf to it."""
    log: Log = JetStreamLog(bus.client)
    await log.append(ONE, b"1")
    await log.append(ONE, b"2")
    async with aclosing(log.read(ALARMS, ONE, after=7)) as reader:
        assert await upto_present(reader) == [b"1", b"2"]
        await log.append(ONE, b"3")
        assert [one.payload for one in await within(anext(reader))] == [b"3"]


async def test_a_message_that_is_too_large_is_not_confirmed(bus: Bus) -> None:
    log: Log = JetStreamLog(bus.client)
    with pytest.raises(LogUnavailable):
        await log.append(ONE, bytes(bus.client.max_payload + 1))


ASKED: dict[str, Callable[[Bus], Awaitable[Any]]] = {
    "append": lambda bus: bus.log.append(ONE, b"x"),
    "last": lambda bus: bus.log.last(ALARMS, ONE),
    "extent": lambda bus: bus.log.extent(ALARMS),
    "put": lambda bus: bus.devices.put("unit-1", b"x"),
    "get": lambda bus: bus.devices.get("unit-1"),
    "snapshot": lambda bus: bus.snapshots.put("kept", b"x"),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
async def test_a_part_that_asks_in_a_loop_can_be_ended_at_any_moment(
    bus: Bus, ask: Callable[[Bus], Awaitable[Any]]
) -> None:
    """``wait_for`` of Python 3.11 swallows a cancellation that comes in the same turn as the answer."""

    async def for_ever() -> None:
        while True:
            await ask(bus)

    part = asyncio.create_task(for_ever())
    waiting = await eventually(lambda: list(bus.client._resp_map.values()))
    waiting[0].add_done_callback(lambda _: part.cancel())
    assert await asyncio.wait([part], timeout=DEADLINE_S) == ({part}, set())
    assert part.cancelled()


async def test_a_part_that_is_being_ended_may_still_write(bus: Bus) -> None:
    """Its snapshot, and what it does behind that."""

    async def part() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await bus.snapshots.put("kept", b"x")
            await bus.devices.put("unit-1", b"x")

    task = asyncio.create_task(part())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=DEADLINE_S)
    assert (await bus.snapshots.get("kept"), await bus.devices.get("unit-1")) == (b"x", b"x")


async def test_a_queue_that_was_taken_away_does_not_hear_and_is_made_anew(bus: Bus) -> None:
    async with bus.log.queue(ALARMS, "gone", parallel=2) as queue:
        await bus.client.jetstream().delete_consumer(ALARMS.name, "gone")
        await bus.log.append(ONE, b"1")
        assert not await queue.hears()
        (only,) = await within(_take(queue, 1))
        assert only.entry.payload == b"1"
        await only.done()
        assert await queue.hears()
