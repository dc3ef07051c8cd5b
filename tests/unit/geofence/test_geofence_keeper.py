"""Is each snapshot of a burst on the shelf, for whoever decides a finding of it again? F10."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from builders import eventually

from geofence import shelf
from geofence.keeper import SPARES_MAX, Keeper
from geofence.pair_table import PairTable, Roster
from geofence.snapshot import Snapshot
from tocsin.clock import AffineClock
from tocsin.errors import LogUnavailable
from tocsin.testing.bus import MemoryObjects


class Refusing(MemoryObjects):
    """A log that takes nothing whose name is ``refused``, until it is well again."""

    def __init__(self, refused: Callable[[str], bool]) -> None:
        super().__init__()
        self.refused: Callable[[str], bool] | None = refused

    async def put(self, name: str, payload: bytes) -> None:
        if self.refused is not None and self.refused(name):
            raise LogUnavailable("away")
        await super().put(name, payload)


NEWEST, SHELF = shelf.newest_name(0, 1), shelf.shelf_name(0, 1)


async def burst(keeper: Keeper, sequences: range) -> list[bool]:
    """Measures change faster than anything is put on the shelf. Which snapshots are durable."""
    return [await keeper.save(Snapshot(table=PairTable(Roster()), sequence=one)) for one in sequences]


async def shelved(objects: MemoryObjects) -> list[int]:
    return [slot.sequence for slot in shelf.load(await objects.get(shelf.shelf_name(0, 1))).slots]


def keeper_of(objects: MemoryObjects) -> Keeper:
    return Keeper(objects, partition=0, partitions=1, clock=AffineClock())


@pytest.mark.parametrize("size", [1, 3, SPARES_MAX])
async def test_each_of_a_burst_is_put_there(size: int) -> None:
    """Between two of them a measure has come, and a finding of it is decided from what is between them."""
    keeper = keeper_of(objects := MemoryObjects())
    await burst(keeper, range(size))
    await keeper.shelve()
    assert await shelved(objects) == list(range(size))


async def test_of_more_than_may_wait_the_newest_are() -> None:
    keeper = keeper_of(objects := MemoryObjects())
    await burst(keeper, range(SPARES_MAX + 2))
    await keeper.shelve()
    assert await shelved(objects) == list(range(2, SPARES_MAX + 2))


@pytest.mark.parametrize(
    ("refused", "is_durable"),
    [(lambda name: name != NEWEST, True), (lambda name: name == SHELF, True), (lambda name: True, False)],
    ids=["slots", "the shelf", "everything"],
)
async def test_what_the_log_does_not_take_waits_for_it(refused: Callable[[str], bool], is_durable: bool) -> None:
    """A log that stands still for a moment does so when measures come: its logins are new then."""
    keeper = keeper_of(objects := Refusing(refused))
    assert await burst(keeper, range(3)) == [is_durable] * 3
    assert not await keeper.shelve()
    assert not await keeper.shelve()
    objects.refused = None
    assert await burst(keeper, range(3, 4)) == [True]
    assert await keeper.shelve()
    assert await shelved(objects) == [0, 1, 2, 3]


async def test_it_is_tried_again_until_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geofence.keeper.SHELF_AGAIN_S", 0.01)
    keeper = keeper_of(objects := Refusing(lambda _: True))
    await burst(keeper, range(2))
    keeping = asyncio.create_task(keeper.keep_shelf())
    await asyncio.sleep(0.05)  # some tries
    objects.refused = None

    async def all_there() -> bool:
        return await shelved(objects) == [0, 1]

    await eventually(all_there)
    keeping.cancel()
    await asyncio.wait([keeping])


async def test_one_that_is_pushed_out_while_it_is_put_there_takes_no_other_with_it() -> None:
    keeper = keeper_of(objects := Pushing())
    objects.push = lambda: burst(keeper, range(SPARES_MAX, SPARES_MAX + 2))
    await burst(keeper, range(SPARES_MAX))
    assert await keeper.shelve()
    assert await shelved(objects) == [0, *range(2, SPARES_MAX + 2)]


class Pushing(MemoryObjects):
    """While the first slot is written, ``push`` happens."""

    push: Callable[[], Awaitable[object]] | None = None

    async def put(self, name: str, payload: bytes) -> None:
        await super().put(name, payload)
        if self.push is not None and name == shelf.slot_name(0, 1, 0):
            push, self.push = self.push, None
            await push()
