"""Does a watch leave room for what it watches? F01, F07: while the record is away its rulings stay on EPISODES."""

from __future__ import annotations

from typing import Any

import pytest
from builders import SECRET, frozen_clock

from audit.canary import Canary, Doors
from audit.canary_acts import Platform
from audit.canary_round import (
    FAILS_AFTER_MS,
    NO_ROOM,
    ROOM_MAX,
    Place,
    Stage,
    begins_ms,
    crossing_ms,
    has_room,
    her_place,
    his_place,
)  # fmt: skip
from tocsin.clock import MS
from tocsin.ports import Usage
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.tls import TlsFiles

NUMBER = 30_000_000


class Filled(MemoryLog):
    """A log that is as full as the test says."""

    stream, ratio = "EPISODES", 0.0

    async def usages(self) -> list[Usage]:
        await super().usages()
        return [Usage(resource=f"{self.stream}.bytes", used=self.ratio, bound=1.0)]


class Said:
    """What a unit said to its broker."""

    def __init__(self) -> None:
        self.places: dict[int, Place] = {}

    async def say(self, place: Place, at_ms: int) -> bool:
        self.places[at_ms] = place
        return True


class Walk:
    """One canary, walked by hand: the pair of one partition."""

    def __init__(self, partitions: int = 1, partition: int = 0) -> None:
        self.log = Filled()
        anything: Any = None
        doors = Doors(
            log=self.log, tallies=MemoryBucket(), orders=anything, mqtt_url="mqtt://nobody", partitions=partitions,
            tls_of=lambda _: TlsFiles(), url="http://nobody", secret=SECRET, api_url="http://nobody",
            api_token=None,
        )  # fmt: skip
        self.canary = Canary(doors, frozen_clock(begins_ms(NUMBER)), Platform(http=anything))
        self.pair = self.canary._pairs[partition]
        self.he = Said()
        units: Any = {self.pair.wearer: self.he, self.pair.protected: Said()}
        self.canary._units = units
        self.watch = self.canary.watches[self.pair.measure]

    async def round(self, number: int) -> None:
        for at_ms in (begins_ms(number), crossing_ms(number)):
            self.canary._begin(number)
            await self.canary._report(self.pair, at_ms)

    def crossed(self, number: int) -> bool:
        at_ms = crossing_ms(number)
        return self.he.places[at_ms] == his_place(at_ms)


@pytest.mark.parametrize("stream", ["EPISODES", "RECEIPTS"])
async def test_nobody_crosses_while_the_streams_are_half_full_and_then_again(stream: str) -> None:
    walk = Walk()
    walk.log.stream, walk.log.ratio = stream, ROOM_MAX
    await walk.canary._look_for_room()
    await walk.round(NUMBER)
    assert not walk.crossed(NUMBER)
    assert not walk.watch.rounds
    walk.log.ratio = ROOM_MAX - 0.01
    await walk.canary._look_for_room()
    await walk.round(NUMBER + 1)
    assert walk.crossed(NUMBER + 1)
    assert Stage.PUBLISHED in walk.watch.rounds[NUMBER + 1].passed


@pytest.mark.parametrize("partition", range(7))
async def test_of_many_pairs_each_crosses_in_its_turn_and_stays_outside_in_the_others(partition: int) -> None:
    """F07: a partition beyond the third is walked too. Seven of them take three minutes."""
    walk = Walk(partitions=7, partition=partition)
    for number in range(NUMBER, NUMBER + 6):
        await walk.round(number)
    mine = [number for number in range(NUMBER, NUMBER + 6) if number % 3 == partition % 3]
    assert [number for number in range(NUMBER, NUMBER + 6) if walk.crossed(number)] == mine
    assert [number for number, one in walk.watch.rounds.items() if Stage.PUBLISHED in one.passed] == mine


async def test_a_round_that_has_begun_is_walked_to_its_end() -> None:
    walk = Walk()
    walk.canary._begin(NUMBER)
    walk.log.ratio = 0.9
    await walk.canary._look_for_room()
    await walk.round(NUMBER)
    assert walk.crossed(NUMBER)


async def test_a_log_that_is_away_changes_nothing() -> None:
    walk = Walk()
    walk.log.ratio = 0.9
    await walk.canary._look_for_room()
    walk.log.ratio, walk.log.down = 0.0, True
    await walk.canary._look_for_room()
    await walk.round(NUMBER)
    assert not walk.crossed(NUMBER)


async def test_that_nobody_walks_is_said_as_what_it_is() -> None:
    """A rest that nobody hears of is a road that nobody watches."""
    walk = Walk()
    walk.log.ratio = 0.9
    await walk.canary._look_for_room()
    await walk.round(NUMBER)
    assert walk.watch.word(begins_ms(NUMBER) + FAILS_AFTER_MS - MS) is None
    word = walk.watch.word(begins_ms(NUMBER) + FAILS_AFTER_MS)
    assert word is not None
    assert word.reason == NO_ROOM


def test_only_the_streams_that_a_round_fills_count() -> None:
    assert has_room([Usage(resource="FIXES.bytes", used=1.0, bound=1.0, gives_way=True)])
    assert her_place(crossing_ms(NUMBER)) != his_place(crossing_ms(NUMBER), rests=True)
