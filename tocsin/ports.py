"""What the shells need of the world, and not one word more.

The real ones are in ``tocsin.adapters``; the twins in ``tocsin.testing`` sit the same examination
(``tests/contracts``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from tocsin.subjects import Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A message of the log. ``sequence`` is its place in its stream, 64 bits, from 1."""

    subject: str
    payload: bytes
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """The log has it. ``duplicate``: it had it already, under the same ``dedupe_id``."""

    sequence: int
    duplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much of a stream there is. ``gone``: messages that have given way to newer ones, or to age."""

    messages: int
    gone: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a durable queue has come. ``end``: the newest sequence of its stream; ``settled``: everything up to
    this one that the queue is about has been settled; ``handed``: has been handed to some worker."""

    end: int
    settled: int
    handed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How much of a bounded resource is used, both in the resource's own unit. ``resource``: a word for labels.
    ``gives_way``: when it is full the oldest goes; it may be full for ever."""

    resource: str
    used: float
    bound: float
    gives_way: bool = False

    @property
    def ratio(self) -> float:
        return self.used / self.bound


class Delivery(Protocol):
    """One entry, leased to this worker until it is settled or LEASE_S have passed."""

    @property
    def entry(self) -> Entry: ...

    @property
    def attempt(self) -> int:
        """1 for the first delivery of this entry to any worker."""

    async def done(self) -> None:
        """The work is finished: never deliver it again."""

    async def again(self, after_s: float) -> None:
        """The work failed and trying again can help."""

    async def still_working(self) -> None:
        """Renew the lease."""


class Deliveries(Protocol):
    """A worker's place at a durable queue of the log."""

    async def take(self, limit: int) -> Sequence[Delivery]:
        """Wait for at least one entry; return what is there, at most ``limit``, in the order of the log."""

    async def hears(self) -> bool:
        """Whether the log knows of this queue, and keeps nothing from it; to be asked where nothing comes. One
        that is gone is made anew, and False now."""


class Log(Protocol):
    """The durable log."""

    async def append(
        self, subject: str, payload: bytes, *, dedupe_id: str | None = None, expected_last: int | None = None
    ) -> Appended:
        """Write one message; return only when it is durable.

        ``dedupe_id``: a second message of this id within the log's window is not stored.
        ``expected_last``: the sequence of the last message on ``subject`` as this writer knows it, 0 for none;
        raises SequenceConflict when another writer was first. Raises LogUnavailable when nothing was confirmed.
        """

    async def last(self, stream: Stream, subject: str) -> Entry | None:
        """The newest message on ``subject``, which may have wildcards."""

    async def extent(self, stream: Stream) -> Extent:
        """How much is kept. Raises LogUnavailable."""

    async def progress(self, stream: Stream, name: str) -> Progress:
        """Of the durable queue ``name``; one that nobody has joined yet has settled nothing.

        Raises LogUnavailable.
        """

    async def forget(self, stream: Stream, subject: str, *, before: int) -> int:
        """Remove for good what is on exactly this ``subject`` with a sequence below ``before``, also for queues
        that have not had it; returns how much that was. What is written meanwhile is behind it and stays; a writer
        whose ``expected_last`` is gone hears SequenceConflict. Raises LogUnavailable.
        """

    async def usages(self) -> Sequence[Usage]:
        """Of everything bounded that it keeps: ``FIXES.bytes``, ``REFUSED.messages``, … Raises LogUnavailable."""

    async def hour_ms(self) -> int:
        """What its server takes for the time. Raises LogUnavailable."""

    def read(
        self, stream: Stream, subject: str, *, after: int = 0, newest_per_subject: bool = False
    ) -> AsyncIterator[Sequence[Entry]]:
        """Follow a subject in order, without leases, from the message behind sequence ``after``.

        Yields what has arrived since, without end; an empty sequence says once that the reader has reached the
        present. ``newest_per_subject`` begins with the last message of each subject instead.
        """

    def queue(
        self, stream: Stream, name: str, *, parallel: int, subject: str | None = None
    ) -> AbstractAsyncContextManager[Deliveries]:
        """Take part in the durable queue ``name``; several processes may. ``parallel`` bounds what is leased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A key of a bucket has a new value; None: it was deleted."""

    key: str
    value: bytes | None
    revision: int


class Bucket(Protocol):
    """The newest value per key, watched by the stages."""

    async def put(self, key: str, value: bytes) -> int:
        """Returns the revision."""

    async def delete(self, key: str) -> None: ...

    async def get(self, key: str) -> bytes | None: ...

    def watch(self) -> AsyncIterator[Changed | None]:
        """Every key as it stands, then None once, then each change."""


class Objects(Protocol):
    """Large values by name."""

    async def put(self, name: str, value: bytes) -> None: ...

    async def get(self, name: str) -> bytes | None: ...
