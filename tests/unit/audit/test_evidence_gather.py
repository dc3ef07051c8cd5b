"""Do others on the event loop have their turn while a package is gathered? The API gathers beside its screens."""

from __future__ import annotations

import asyncio

from evidence_world import ALERT, DAY, EPISODE, OTHER, access, world

from audit.evidence import gather
from tocsin import sealing
from tocsin.adapters.evidence import Stretch, Wanted
from tocsin.turns import A_TURN, in_turns

READS = 20_000
"""Of other alerts, on the day on which this one was read."""


class MemoryReading:
    """The stretches of an invented record, at once: what takes turns here is the gathering alone."""

    def __init__(self) -> None:
        self.chains = world()
        self.day_is_erased = False
        self.chains.seal((sealing.of_access(access(f"acc_x{n}", OTHER)) for n in range(READS)), 0)

    async def stretch(
        self, chain: str, *, after: int = 0, until: int | None = None, wanted: Wanted | None = None
    ) -> Stretch:
        run = self.chains.run(chain, after, until)
        kind_of = {link.number: link.kind for link in run.links}
        opened = {n: one for n, one in run.opened.items() if wanted is None or wanted(kind_of[n], one)}
        if chain == DAY and self.day_is_erased:
            opened = {}
        return Stretch(chain=chain, after=run.after, before=run.before, links=run.links, opened=opened)

    async def span(self, *_: object) -> None:
        return None

    async def access_days(self, _: str) -> list[str]:
        return [DAY.partition("/")[2]]

    async def is_imported(self, _: str) -> bool:
        return False

    async def leaves_of(self, _: object) -> list[tuple[str, int, int, int]]:
        return []


async def rounds_during(work: asyncio.Task[object]) -> int:
    rounds = 0
    while not work.done():
        await asyncio.sleep(0)
        rounds += 1
    return rounds


async def test_the_links_of_a_busy_day_are_looked_through_in_turns() -> None:
    """They once were in one go, and with a day of 480,000 the desk stood still for two seconds. To the last link
    where nothing is kept any more of what named the alert: then the day is not in the package."""
    reading = MemoryReading()
    reading.day_is_erased = True
    gathering = asyncio.create_task(gather(reading, ALERT))  # type: ignore[arg-type]
    assert await rounds_during(gathering) >= READS // A_TURN
    assert DAY not in {run.chain for run in gathering.result().runs}


async def test_of_a_busy_day_each_link_is_held_and_the_payloads_that_name_the_alert() -> None:
    package = await gather(MemoryReading(), ALERT)  # type: ignore[arg-type]
    day = next(run for run in package.runs if run.chain == DAY)
    assert (len(day.links), len(day.opened)) == (READS + 3, 2), "each link, and what names the alert"
    assert any(run.chain == EPISODE for run in package.runs)


async def test_turns_change_nothing() -> None:
    assert [n async for n in in_turns(range(7), a_turn=3)] == list(range(7))
    assert [n async for n in in_turns([])] == []
