"""Is a head made of one moment, whatever is written meanwhile, and is every chain found again below it?"""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from tocsin.adapters.heads import Heads
from tocsin.adapters.postgres import Pool, RecordRefused, transaction
from tocsin.adapters.seals import Seals
from tocsin.chain import Item, KeptAs, Kind
from tocsin.heads import faults, faults_of_leaves, holds

pytest_plugins = ("database",)

NOON_MS = 1_795_262_400_000
DAY_MS = 86_400_000


def item(chain: str, number: int) -> Item:
    return Item(
        chain=chain, kind=Kind.ORDER, kept_as=KeptAs.MEASURE_FILE, source=f"order:{number}", payload=b'{"x":1}'
    )


async def grow(pool: Pool, chain: str, *numbers: int) -> None:
    await Seals(pool).seal([item(chain, number) for number in numbers], at_ms=NOON_MS)


async def test_a_head_has_what_has_grown_and_the_next_one_what_grew_since(pool: Pool) -> None:
    heads = Heads(pool)
    await grow(pool, "measure/msr_b", 1, 2)
    await grow(pool, "measure/msr_a", 1)
    first = await heads.make(NOON_MS)
    assert [(leaf.chain, leaf.length) for leaf in await heads.leaves(1)] == [
        ("measure/msr_a", 1), ("measure/msr_b", 2)
    ]  # fmt: skip
    await grow(pool, "measure/msr_a", 2)
    second = await heads.make(NOON_MS + DAY_MS)
    empty = await heads.make(NOON_MS + 2 * DAY_MS)
    assert [(leaf.chain, leaf.length) for leaf in await heads.leaves(2)] == [("measure/msr_a", 2)]
    assert (empty.leaves, empty.number, await heads.last()) == (0, 3, empty)
    assert await heads.all() == [first, second, empty]
    assert list(faults([first, second, empty])) == []
    for head in (first, second, empty):
        assert list(faults_of_leaves(head, await heads.leaves(head.number))) == []


async def test_leaves_stand_in_the_order_of_bytes_whatever_the_collation(pool: Pool) -> None:
    for name in ("measure/é", "measure/Z", "measure/a", "measure/-", "measure/z"):
        await grow(pool, name, 1)
    await Heads(pool).make(NOON_MS)
    names = [leaf.chain for leaf in await Heads(pool).leaves(1)]
    assert names == sorted(names, key=str.encode)


async def test_each_chain_is_proven_by_the_newest_head_that_has_it(pool: Pool) -> None:
    heads = Heads(pool)
    await grow(pool, "measure/msr_a", 1)
    await grow(pool, "measure/msr_b", 1)
    await heads.make(NOON_MS)
    await grow(pool, "measure/msr_b", 2)
    await heads.make(NOON_MS + DAY_MS)
    await grow(pool, "measure/msr_c", 1)
    found = await heads.covering(["measure/msr_a", "measure/msr_b", "measure/msr_c", "measure/none"])
    assert [(head.number, leaf.chain, leaf.length) for head, leaf, _ in found] == [
        (1, "measure/msr_a", 1), (2, "measure/msr_b", 2)
    ]  # fmt: skip
    assert all(holds(leaf, proof, head.root) for head, leaf, proof in found)


async def test_chains_that_are_written_meanwhile_are_in_it_whole_or_in_the_next(pool: Pool) -> None:
    """Every head agrees with the links up to where it says, and at the end nothing is in none."""
    heads, seals = Heads(pool), Seals(pool)

    async def write(chain: str) -> None:
        for number in range(1, 25):
            await grow(pool, chain, number)

    async def make(count: int) -> None:
        for number in range(count):
            await heads.make(NOON_MS + number)

    names = [f"device/d-{number}" for number in range(3)]
    await asyncio.gather(*(write(name) for name in names), make(8), make(8))
    await heads.make(NOON_MS + DAY_MS)
    made = await heads.all()
    assert [head.number for head in made] == list(range(1, 18))
    reached: dict[str, int] = {}
    for head in made:
        for leaf in await heads.leaves(head.number):
            (link,) = await seals.links(leaf.chain, after=leaf.length - 1, until=leaf.length)
            assert link.hash == leaf.hash
            assert leaf.length > reached.get(leaf.chain, 0)
            reached[leaf.chain] = leaf.length
    assert reached == dict.fromkeys(names, 24)


async def test_where_a_head_was_published_is_known_by_the_place(pool: Pool) -> None:
    heads = Heads(pool)
    made = [await heads.make(NOON_MS + number) for number in range(3)]
    await heads.note_published(2, "file:a", NOON_MS)
    await heads.note_published(2, "file:a", NOON_MS + 9)
    assert await heads.unpublished("file:a") == [made[0], made[2]]
    assert await heads.unpublished("file:b") == made
    assert (await heads.published_at("file:a"), await heads.published_at("file:b")) == ({2}, set())


@pytest.mark.parametrize("table", ["head", "head_leaf", "head_published"])
async def test_heads_are_only_ever_added_to(pool: Pool, table: str) -> None:
    for verb in ("delete from", "truncate"):
        with pytest.raises((RecordRefused, psycopg.errors.RaiseException), match="only ever added to"):
            async with transaction(pool) as connection:
                await connection.execute(f"{verb} tocsin.{table}")
