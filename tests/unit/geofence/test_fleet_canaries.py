"""Does an invented pair count for no threshold of a fleet's silence, and rank nowhere in it? F05, F38."""

from __future__ import annotations

import msgspec
from fleet_lives import member
from test_fleet_watch import PAIRS, World

from tocsin.model.order import Order


def with_canaries(world, count):
    for n in range(count):
        his, hers = (
            msgspec.structs.replace(member(5000 + 2 * n + side), id=f"canary-{n}-{letter}")
            for side, letter in enumerate("wv")
        )
        world.devices |= {his.id: his, hers.id: hers}
        world.orders += (
            Order(
                id=f"canary-{n}", version=1, wearer=his.id, protected=hers.id, alert_distance_m=1000,
                valid_from_ms=0, valid_until_ms=2**60,
            ),
        )  # fmt: skip
    return world


async def test_canaries_are_in_no_group_and_no_ranked_pair():
    world = with_canaries(World(), 30)
    watch = await world.watch()
    assert len(watch.watcher.memory) == 2 * PAIRS
    assert not [one for one in watch._pairs.measures if one.startswith("canary-")]


async def test_thirty_canaries_that_never_speak_are_no_incident():
    world = with_canaries(World(), 30)
    watch = await world.watch()
    await world.live([watch], 300)
    assert world.said() == []
