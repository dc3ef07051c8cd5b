"""Which of the older snapshots of a partition are kept, and which one was there before a finding was decided?

Whoever wants to decide a finding again (``audit.case``) needs a snapshot that is older than it, and comes a little
late. So beside the newest one a partition keeps up to SLOTS older ones, each an object of its own that is written
over when its turn comes; the *shelf* is the small object that says what lies where. A slot is written before the
shelf names it: whoever has read an old shelf finds another snapshot in the slot than it says, and sees that.

When all slots are taken the oldest goes, if the one behind it still covers KEPT_MS; otherwise the one whose
neighbours are nearest to each other: a burst of changed measures thins itself, and not the hour before it.

Pure. ``at_ms``: when it was written, by the worker's clock, as t5 of a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

KEPT_MS: Final = 3_600_000  # a witness that was away for an hour; PostgreSQL that was, with half of it to spare
SLOTS: Final = 32  # 12 an hour by time, 29 by fixes when 20,000 units report every 5 s; 1 MB each at 10,000 pairs


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """In slot ``number``: a snapshot that is true behind ``sequence`` of FIXES and ``step`` of JOURNAL."""

    number: int
    sequence: int
    step: int
    at_ms: int


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """The slots in the order in which they were written."""

    slots: tuple[Slot, ...] = ()

    def room(self, at_ms: int) -> int:
        """The number of the slot that the next snapshot, of ``at_ms``, goes into."""
        taken = {slot.number for slot in self.slots}
        if len(taken) < SLOTS:
            return next(number for number in range(SLOTS) if number not in taken)
        if self.slots[1].at_ms <= at_ms - KEPT_MS:
            return self.slots[0].number
        return self.slots[_densest([slot.at_ms for slot in self.slots], at_ms)].number

    def with_one(self, new: Slot) -> Shelf:
        """With ``new`` in place of what lay in its slot."""
        return Shelf(slots=(*(slot for slot in self.slots if slot.number != new.number), new))

    def before(self, at_ms: int) -> list[Slot]:
        """Those that were written before something was decided at ``at_ms``, the newest first."""
        return [slot for slot in reversed(self.slots) if slot.at_ms < at_ms]


def _densest(hours_ms: Sequence[int], end_ms: int) -> int:
    """Which of these, but the first, stands between the two neighbours that are nearest to each other."""
    around = [*hours_ms, end_ms]
    gaps = [behind - before for before, behind in zip(around, around[2:], strict=False)]
    return 1 + gaps.index(min(gaps))


def newest_name(partition: int, partitions: int) -> str:
    """Of the object that a worker begins from."""
    return f"geofence-{partition}-of-{partitions}"


def shelf_name(partition: int, partitions: int) -> str:
    return f"{newest_name(partition, partitions)}-shelf"


def slot_name(partition: int, partitions: int, number: int) -> str:
    return f"{newest_name(partition, partitions)}-at-{number}"


dump = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Shelf).decode


def load(payload: bytes | None) -> Shelf:
    """One that cannot be read is empty: what lies in the slots is then written over, slot by slot."""
    if payload is None:
        return Shelf()
    try:
        return _decode(payload)
    except msgspec.DecodeError:
        return Shelf()


assert SLOTS > 2, "a neighbour on each side"
