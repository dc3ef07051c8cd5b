"""Does every message of a queue end in the record or aside, once, whatever the record does? (F02, invariant 1)"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from builders import eventually

from tocsin import subjects
from tocsin.adapters.postgres import RecordRefused
from tocsin.errors import RecordUnavailable, WireError
from tocsin.ports import Delivery
from tocsin.settling import Settler
from tocsin.subjects import ALARMS
from tocsin.testing.bus import MemoryLog


@dataclass
class Record:
    """Keeps what it is given; refuses some payloads, and everything while it is down."""

    refuses: dict[bytes, Exception] = field(default_factory=dict)
    outages: int = 0
    kept: list[bytes] = field(default_factory=list)
    aside: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    async def keep(self, deliveries: Sequence[Delivery]) -> None:
        self.sizes.append(len(deliveries))
        payloads = [delivery.entry.payload for delivery in deliveries]
        if self.outages:
            self.outages -= 1
            raise RecordUnavailable
        for payload in payloads:
            if payload in self.refuses:
                raise self.refuses[payload]
        self.kept += payloads

    def set_aside(self, delivery: Delivery, _error: Exception) -> None:
        self.aside.append(delivery.entry.payload)


async def settle_all(record: Record, payloads: Sequence[bytes], **settings: object) -> None:
    """Everything from a queue of the log, until none of it is left."""
    log = MemoryLog()
    for payload in payloads:
        await log.append(subjects.alarm("unit-1"), payload)
    async with log.queue(ALARMS, "q", parallel=100) as queue:

        async def take() -> Sequence[Delivery]:
            return await queue.take(100)

        settler = Settler(name="test", take=take, keep=record.keep, set_aside=record.set_aside, **settings)
        work = asyncio.create_task(settler.run())
        await eventually(lambda: queue.unsettled == 0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work


ALL = [b"%d" % number for number in range(20)]


@pytest.mark.parametrize("poison", [[], [3], [0, 19], [4, 5, 6], list(range(20))])
async def test_only_the_culprits_are_set_aside(poison: list[int]) -> None:
    errors = [WireError("x"), RecordRefused("x")]
    record = Record(refuses={ALL[number]: errors[number % 2] for number in poison})
    await settle_all(record, ALL)
    assert record.aside == [ALL[number] for number in poison]
    assert record.kept == [one for number, one in enumerate(ALL) if number not in poison]


async def test_an_outage_gives_everything_back_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.settling.BACKOFF_S", 0.001)
    record = Record(refuses={ALL[7]: RecordRefused("x")}, outages=3)
    await settle_all(record, ALL)
    assert sorted(record.kept + record.aside) == sorted(ALL)
    assert record.aside == [ALL[7]]


async def test_an_outage_in_the_middle_of_the_halving_keeps_what_was_committed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tocsin.settling.BACKOFF_S", 0.001)

    class Falters(Record):
        async def keep(self, deliveries: Sequence[Delivery]) -> None:
            if len(self.sizes) == 2:
                self.outages = 1
            await super().keep(deliveries)

    record = Falters(refuses={ALL[19]: RecordRefused("x")})
    await settle_all(record, ALL)
    assert sorted(record.kept) == sorted(ALL[:19]), "each once"
    assert record.aside == [ALL[19]]


async def test_a_slow_record_gets_less_at_a_time_until_it_can_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a statement, not the record, is what runs out: the same again would never end."""
    monkeypatch.setattr("tocsin.settling.BACKOFF_S", 0.001)

    class Slow(Record):
        able = 3

        async def keep(self, deliveries: Sequence[Delivery]) -> None:
            self.outages = int(len(deliveries) > self.able)
            await super().keep(deliveries)

    record = Slow()
    await settle_all(record, ALL)
    assert record.sizes[:5] == [20, 10, 5, 2, 4], "half as much after each failure, twice as much after a success"
    assert sorted(record.kept) == sorted(ALL)


async def test_after_an_outage_transactions_grow_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.settling.BACKOFF_S", 0.001)
    record = Record(outages=6)
    await settle_all(record, ALL)
    assert record.sizes == [20, 10, 5, 2, 1, 1, 1, 2, 4, 8, 5]
    assert sorted(record.kept) == sorted(ALL)


async def test_a_transaction_is_as_large_as_its_worth() -> None:
    record = Record()
    await settle_all(record, ALL, worth=lambda hand: min(6, len(hand)))
    assert record.sizes == [6, 6, 6, 2]
    assert record.kept == ALL
