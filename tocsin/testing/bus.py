"""A bus in memory: the ports' promises without a server, for logic and simulation.

It sits the same examination as JetStream. Leases end by ``expire_leases``, not by a timer: a test decides when
a worker is dead.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tocsin.clock import AffineClock
from tocsin.errors import LogUnavailable, SequenceConflict
from tocsin.ports import Appended, Changed, Delivery, Entry, Extent, Progress, Usage
from tocsin.subjects import STREAMS, Stream


def _matches(pattern: str, subject: str) -> bool:
    wanted, given = pattern.split("."), subject.split(".")
    for index, word in enumerate(wanted):
        if word == ">":
            return len(given) > index
        if index >= len(given) or word not in {"*", given[index]}:
            return False
    return len(wanted) == len(given)


def _behind(entries: Sequence[Entry], after: int) -> Sequence[Entry]:
    return entries[bisect_right(entries, after, key=lambda entry: entry.sequence) :]


@dataclass(slots=True)
class _Kept:
    entries: list[Entry] = field(default_factory=list)
    end: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    queues: dict[str, MemoryQueue] = field(default_factory=dict)


class MemoryLog:
    """``ports.Log`` in one process. ``down = True`` makes every write fail, as an outage does."""

    def __init__(self) -> None:
        self._streams = {stream.name: _Kept() for stream in STREAMS}
        self._changed = asyncio.Condition()
        self.down = False
        self.wall_ms: Callable[[], int] = AffineClock().wall_ms

    def _kept(self, subject: str) -> _Kept:
        for stream in STREAMS:
            if _matches(stream.subjects, subject):
                return self._streams[stream.name]
        raise LogUnavailable(f"{subject}: no stream keeps it")

    async def append(
        self, subject: str, payload: bytes, *, dedupe_id: str | None = None, expected_last: int | None = None
    ) -> Appended:
        if self.down:
            raise LogUnavailable(f"{subject}: down")
        kept = self._kept(subject)
        if dedupe_id is not None and dedupe_id in kept.seen:
            return Appended(sequence=kept.seen[dedupe_id], duplicate=True)
        newest = next((entry for entry in reversed(kept.entries) if entry.subject == subject), None)
        if expected_last is not None and expected_last != (newest.sequence if newest else 0):
            raise SequenceConflict(subject)
        kept.end += 1
        sequence = kept.end
        entry = Entry(subject=subject, payload=payload, sequence=sequence)
        kept.entries.append(entry)
        if dedupe_id is not None:
            kept.seen[dedupe_id] = sequence
        for queue in kept.queues.values():
            queue.offer(entry)
        async with self._changed:
            self._changed.notify_all()
        return Appended(sequence=sequence, duplicate=False)

    async def last(self, stream: Stream, subject: str) -> Entry | None:
        if self.down:
            raise LogUnavailable(f"{subject}: down")
        entries = self._streams[stream.name].entries
        return next((entry for entry in reversed(entries) if _matches(subject, entry.subject)), None)

    async def extent(self, stream: Stream) -> Extent:
        if self.down:
            raise LogUnavailable(f"{stream.name}: down")
        kept = self._streams[stream.name]
        first = kept.entries[0].sequence if kept.entries else kept.end + 1
        return Extent(messages=len(kept.entries), gone=first - 1)

    async def progress(self, stream: Stream, name: str) -> Progress:
        if self.down:
            raise LogUnavailable(f"{stream.name}: down")
        kept = self._streams[stream.name]
        end = kept.end
        queue = kept.queues.get(name)
        if queue is None:
            return Progress(end=end, settled=0)
        return Progress(end=end, settled=queue.settled(end), handed=queue.handed(end))

    async def usages(self) -> Sequence[Usage]:
        if self.down:
            raise LogUnavailable("streams: down")
        found: list[Usage] = []
        for stream in STREAMS:
            entries, gives_way = self._streams[stream.name].entries, not stream.refuse_when_full
            used = sum(len(entry.payload) + len(entry.subject) for entry in entries)
            name = f"{stream.name}.bytes"
            found.append(Usage(resource=name, used=used, bound=stream.max_bytes, gives_way=gives_way))
            if stream.max_messages is not None:
                name, bound = f"{stream.name}.messages", stream.max_messages
                found.append(Usage(resource=name, used=len(entries), bound=bound, gives_way=gives_way))
        return found

    async def hour_ms(self) -> int:
        if self.down:
            raise LogUnavailable("hour: down")
        return self.wall_ms()

    async def forget(self, stream: Stream, subject: str, *, before: int) -> int:
        if self.down:
            raise LogUnavailable(f"{subject}: down")
        kept = self._streams[stream.name]
        gone = {one.sequence for one in kept.entries if one.subject == subject and one.sequence < before}
        kept.entries[:] = [entry for entry in kept.entries if entry.sequence not in gone]
        for queue in kept.queues.values():
            queue.lose(gone)
        return len(gone)

    async def read(
        self, stream: Stream, subject: str, *, after: int = 0, newest_per_subject: bool = False
    ) -> AsyncIterator[Sequence[Entry]]:
        kept = self._streams[stream.name]
        entries = kept.entries
        told = (newest_per_subject and after == 0) or after >= kept.end
        if newest_per_subject and after == 0:
            newest = {entry.subject: entry for entry in entries if _matches(subject, entry.subject)}
            after = kept.end
            if newest:
                yield sorted(newest.values(), key=lambda entry: entry.sequence)
            yield ()
        elif told:
            yield ()
        while True:
            async with self._changed:
                while kept.end <= after:
                    await self._changed.wait()
            batch = [entry for entry in _behind(entries, after) if _matches(subject, entry.subject)]
            after = kept.end
            if batch:
                yield batch
            if not told:
                told = True
                yield ()

    @asynccontextmanager
    async def queue(
        self, stream: Stream, name: str, *, parallel: int, subject: str | None = None
    ) -> AsyncIterator[MemoryQueue]:
        kept = self._streams[stream.name]
        if name not in kept.queues:
            kept.queues[name] = MemoryQueue(subject or stream.subjects, parallel)
            for entry in kept.entries:
                kept.queues[name].offer(entry)
        yield kept.queues[name]

    def entries(self, stream: Stream) -> list[Entry]:
        """Everything the stream holds, for a test to look at."""
        return list(self._streams[stream.name].entries)


class MemoryQueue:
    """``ports.Deliveries``: shared by all the workers of one name."""

    def __init__(self, pattern: str, parallel: int) -> None:
        self._pattern = pattern
        self._parallel = parallel
        self._waiting: list[tuple[Entry, int]] = []
        self._leased: dict[int, tuple[Entry, int]] = {}
        self._wake = asyncio.Event()
        self.deaf = False  # as a consumer that somebody took away

    async def hears(self) -> bool:
        return not self.deaf

    def offer(self, entry: Entry) -> None:
        if not self.deaf and _matches(self._pattern, entry.subject):
            self._waiting.append((entry, 1))
            self._wake.set()

    def expire_leases(self) -> None:
        """Every lease ends: the workers that held them are dead."""
        for entry, attempt in sorted(self._leased.values(), key=lambda one: one[0].sequence):
            self._waiting.append((entry, attempt + 1))
        self._leased.clear()
        self._wake.set()

    def lose(self, gone: Collection[int]) -> None:
        """The log has forgotten these: nobody gets them any more."""
        self._waiting = [one for one in self._waiting if one[0].sequence not in gone]
        for sequence in gone:
            self._leased.pop(sequence, None)
        self._wake.set()

    @property
    def unsettled(self) -> int:
        return len(self._waiting) + len(self._leased)

    def settled(self, end: int) -> int:
        """The sequence in front of the first that is not settled; ``end`` if all are."""
        open_ = [*(entry.sequence for entry, _ in self._waiting), *self._leased]
        return min(open_, default=end + 1) - 1

    def handed(self, end: int) -> int:
        """The sequence in front of the first that waits for a worker; ``end`` if none does."""
        return min((entry.sequence for entry, _ in self._waiting), default=end + 1) - 1

    async def take(self, limit: int) -> Sequence[Delivery]:
        while not self._waiting or len(self._leased) >= self._parallel:
            self._wake.clear()
            await self._wake.wait()
        room = min(limit, self._parallel - len(self._leased))
        taken, self._waiting = self._waiting[:room], self._waiting[room:]
        for entry, attempt in taken:
            self._leased[entry.sequence] = (entry, attempt)
        return [MemoryDelivery(entry, attempt, self) for entry, attempt in taken]

    def settle(self, sequence: int) -> None:
        self._leased.pop(sequence, None)
        self._wake.set()

    def give_back(self, sequence: int) -> None:
        if sequence in self._leased:
            entry, attempt = self._leased.pop(sequence)
            self._waiting.append((entry, attempt + 1))
            self._wake.set()


@dataclass(frozen=True, slots=True)
class MemoryDelivery:
    """``ports.Delivery``."""

    entry: Entry
    attempt: int
    queue: MemoryQueue

    async def done(self) -> None:
        self.queue.settle(self.entry.sequence)

    async def again(self, after_s: float) -> None:
        """At once: a twin does not wait, but lets the others run: a worker in an outage would stop the loop."""
        del after_s
        await asyncio.sleep(0)
        self.queue.give_back(self.entry.sequence)

    async def still_working(self) -> None:
        """A twin's lease does not end by itself."""


class MemoryBucket:
    """``ports.Bucket`` in one process. ``down = True`` makes every read and write of a key fail."""

    def __init__(self) -> None:
        self.down = False
        self._values: dict[str, Changed] = {}
        self._history: list[Changed] = []
        self._changed = asyncio.Condition()

    async def put(self, key: str, value: bytes) -> int:
        return await self._change(key, value)

    async def delete(self, key: str) -> None:
        await self._change(key, None)

    async def _change(self, key: str, value: bytes | None) -> int:
        self._look(key)
        change = Changed(key=key, value=value, revision=len(self._history) + 1)
        self._history.append(change)
        self._values[key] = change
        async with self._changed:
            self._changed.notify_all()
        return change.revision

    async def get(self, key: str) -> bytes | None:
        self._look(key)
        found = self._values.get(key)
        return found.value if found else None

    def _look(self, key: str) -> None:
        if self.down:
            raise LogUnavailable(f"bucket key {key}: down")

    async def watch(self) -> AsyncIterator[Changed | None]:
        position = len(self._history)
        for change in list(self._values.values()):
            yield change
        yield None
        while True:
            async with self._changed:
                while len(self._history) <= position:
                    await self._changed.wait()
            position += 1
            yield self._history[position - 1]


class MemoryObjects:
    """``ports.Objects`` in one process."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    async def put(self, name: str, value: bytes) -> None:
        self._values[name] = value

    async def get(self, name: str) -> bytes | None:
        return self._values.get(name)
