"""Is a pulse shown when every loop of a part went round, and not because something of it is alive?

And is each part's patience longer than its period, by the periods of the parts themselves? F07, F26.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from builders import NOW_MS, eventually
from real_broker import cancelled

from alerts import clerk, custodian, downlink, order_projector
from alerts.passed_over import AWAY_MAX
from alerts.pulses import PARTS
from audit import listening, notary, witness
from geofence import fleet_watch, retrospect
from ingest import housekeeper
from tocsin import pulsing
from tocsin.adapters.postgres import RecordRefused
from tocsin.errors import LogUnavailable, RecordHeld, RecordUnavailable
from tocsin.model.pulse import CLERK, CLERK_SILENT_S, LOOPS
from tocsin.ports import Delivery
from tocsin.pulsing import SHOWN_EVERY_S, Pulsing, Returning, rest
from tocsin.settling import BACKOFF_MAX_S, Settler
from tocsin.stack import PARTS as STACK
from tocsin.subjects import RECEIPTS
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_pulse

LOOP_S = 1_000 * int(SHOWN_EVERY_S)


class Hours:
    def __init__(self) -> None:
        self.ms = NOW_MS

    def now_ms(self) -> int:
        return self.ms

    wall_ms = now_ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Part:
    def __init__(self, *loops: str) -> None:
        self.tallies, self.hours = MemoryBucket(), Hours()
        self.pulsing = Pulsing(self.tallies, "part", self.hours, loops)

    async def shown_ms(self) -> int | None:
        value = await self.tallies.get("part")
        return None if value is None else decode_pulse(value).at_ms - NOW_MS

    async def times(self) -> int:
        """How often it was shown."""
        async for change in self.tallies.watch():
            return 0 if change is None else change.revision
        raise AssertionError("a watch does not end")


async def test_without_one_of_its_loops_a_part_shows_no_pulse() -> None:
    part = Part("one", "two")
    await part.pulsing.went_round("one")
    assert await part.shown_ms() is None
    await part.pulsing.went_round("two")
    assert await part.shown_ms() == 0
    for _ in range(9):
        part.hours.ms += LOOP_S
        await part.pulsing.went_round("one")
    assert await part.shown_ms() == 0, "the second stands still"
    await part.pulsing.went_round("two")
    assert await part.shown_ms() == 9 * LOOP_S


async def test_a_busy_loop_shows_it_now_and_then() -> None:
    part = Part("one")
    for _ in range(3 * LOOP_S // 100):
        await part.pulsing.went_round("one")
        part.hours.ms += 100
    assert await part.times() == 3
    part.hours.ms -= 3_600_000
    await part.pulsing.went_round("one")
    assert await part.shown_ms() == 3 * LOOP_S - 3_600_000, "a clock that is set back stops no pulse"


async def test_what_the_log_does_not_take_ends_no_loop_and_is_shown_later() -> None:
    part = Part("one")
    part.tallies.down = True
    await part.pulsing.went_round("one")
    part.tallies.down = False
    part.hours.ms += LOOP_S
    await part.pulsing.went_round("one")
    assert await part.shown_ms() == LOOP_S


# --- a worker at a queue -----------------------------------------------------------------------------------------


class Rounds:
    def __init__(self) -> None:
        self.number = 0

    async def went_round(self, loop: str = "") -> None:
        self.number += 1


async def test_a_worker_with_nothing_to_do_goes_round_and_one_that_hangs_in_its_work_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulsing, "IDLE_S", 0.01)
    log, rounds, hangs = MemoryLog(), Rounds(), asyncio.Event()
    kept: list[int] = []

    async def keep(hand: Sequence[Delivery]) -> None:
        """As a connection that nobody answers any more."""
        kept.append(len(hand))
        hangs.set()
        await asyncio.Event().wait()

    async with log.queue(RECEIPTS, "recorder-receipts", parallel=8) as queue:
        seen = Returning(queue, rounds, "receipts")
        settler = Settler(name="record", take=lambda: seen.take(8), keep=keep, set_aside=lambda *_: None)
        working = asyncio.create_task(settler.run())
        await eventually(lambda: rounds.number > 5)
        await log.append("log.receipt.PROX_ALERT.msr_1", b"one")
        await asyncio.wait_for(hangs.wait(), 60)
        stood_at = rounds.number
        await asyncio.sleep(20 * pulsing.IDLE_S)
        assert (rounds.number, kept) == (stood_at, [1])
        await cancelled(working)


async def test_a_worker_whose_queue_is_gone_does_not_go_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes, and that is no sign that there is nothing (F10)."""
    monkeypatch.setattr(pulsing, "IDLE_S", 0.001)
    log, rounds = MemoryLog(), Rounds()
    async with log.queue(RECEIPTS, "recorder-receipts", parallel=8) as queue:
        seen = Returning(queue, rounds, "receipts")
        for _ in range(3):
            assert await seen.take(8) == ()
        assert rounds.number == 3
        queue.deaf = True
        for _ in range(5):
            assert await seen.take(8) == ()
        assert rounds.number == 4, "it was heard until then"
        queue.deaf = False
        for _ in range(2):
            assert await seen.take(8) == ()
        assert rounds.number == 5


@pytest.mark.parametrize("error", [RecordUnavailable("away"), LogUnavailable("away"), RecordRefused("value")])
async def test_a_record_that_is_away_is_no_worker_that_stands_still(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it is away is said once, by whoever is behind because of it; not once of each part (F25)."""
    monkeypatch.setattr(pulsing, "IDLE_S", 0.01)
    monkeypatch.setattr("tocsin.settling.BACKOFF_S", 0.01)
    monkeypatch.setattr("tocsin.settling.BACKOFF_MAX_S", 0.01)
    log, rounds = MemoryLog(), Rounds()

    async def keep(_hand: Sequence[Delivery]) -> None:
        raise error

    async with log.queue(RECEIPTS, "recorder-receipts", parallel=8) as queue:
        seen = Returning(queue, rounds, "receipts")
        settler = Settler(name="record", take=lambda: seen.take(8), keep=keep, set_aside=lambda *_: None)
        working = asyncio.create_task(settler.run())
        await log.append("log.receipt.PROX_ALERT.msr_1", b"one")
        await eventually(lambda: rounds.number > 5)
        await cancelled(working)


# --- passes ------------------------------------------------------------------------------------------------------

ENDS = [
    (None, True),
    (RecordUnavailable(), True),
    (LogUnavailable(), True),
    (RecordHeld(), False),
    (KeyError(), False),
]


def chore(name: str, rounds: Rounds, seen: list[int], error: Exception | None = None) -> tuple[str, Any]:
    async def do(_hour_ms: int) -> int:
        seen.append(rounds.number)
        if error is not None:
            raise error
        return 0

    return name, do


@pytest.mark.parametrize("many", [1, 8, 20])
async def test_the_custodian_goes_round_behind_each_chore_however_many(many: int) -> None:
    """So that one chore, and no sum of them, has to be shorter than the patience."""
    rounds, seen = Rounds(), list[int]()
    work = custodian.Work(rounds)
    assert await work.do_all(tuple(chore(str(one), rounds, seen) for one in range(many)), NOW_MS)
    assert (seen, rounds.number) == ([*range(many)], many)


@pytest.mark.parametrize(("error", "is_round"), ENDS)
async def test_a_chore_that_fails_by_itself_is_no_round_until_it_is_done(
    error: Exception | None, *, is_round: bool
) -> None:
    rounds, seen = Rounds(), list[int]()
    work = custodian.Work(rounds)
    for _ in range(3):
        both = (chore("one", rounds, seen, error), chore("other", rounds, seen))
        assert await work.do_all(both, NOW_MS) is (error is None)
    assert rounds.number == (6 if is_round else 0)
    assert await work.do_all((chore("one", rounds, seen),), NOW_MS)
    assert rounds.number == (7 if is_round else 1)


@pytest.mark.parametrize(("error", "is_round"), ENDS[:-1])
async def test_a_step_of_the_housekeeper_is_a_round_unless_a_chore_fails_by_itself(
    error: Exception | None, *, is_round: bool
) -> None:
    rounds, amounts = Rounds(), iter((5, 5, 0))

    async def fails() -> int:
        if error is not None:
            raise error
        return 0

    async def works() -> int:
        return next(amounts)

    chores = [housekeeper.Chore(name="one", step=fails), housekeeper.Chore(name="other", step=works)]
    assert await housekeeper.do_all(chores, rounds) is (error is None)
    assert rounds.number == (3 if is_round else 0)


async def test_who_rests_behind_a_pass_says_so_each_minute() -> None:
    rounds, hours = Rounds(), Hours()
    await rest(3_600, hours, rounds)
    assert rounds.number == 3_600 // pulsing.REST_S


# --- patience ----------------------------------------------------------------------------------------------------

ERASING_S = 120  # of one chore (custodian.ERASED_MAX)
PERIODS_S = {
    "clerk": clerk.WATCH_EVERY_S,
    "projector": order_projector.RECONCILE_EVERY_S,
    "downlink": pulsing.IDLE_S + downlink.AGAIN_MAX_S,
    "fleet": fleet_watch.LOOK_S,
    "retrospect": retrospect.LOOK_EVERY_S + retrospect.AGAIN_S,
    "recorder": pulsing.IDLE_S + BACKOFF_MAX_S,
    "archivist-lanes": pulsing.IDLE_S + BACKOFF_MAX_S,
    "witness-cases": pulsing.IDLE_S + witness.EARLY_TRIES * witness.EARLY_S,
    "notary": notary.LOOK_EVERY_S,
    "custodian": pulsing.REST_S + AWAY_MAX * custodian.STATEMENT_TIMEOUT_S + ERASING_S,
    "housekeeper": pulsing.REST_S + 2 * housekeeper.STATEMENT_TIMEOUT_S,
}


@pytest.mark.parametrize("part", [CLERK, *LOOPS])
def test_who_watches_waits_longer_than_the_longest_round(part: str) -> None:
    """And than a stop for an upgrade, of which nobody need hear: the supervisor gives a part 60 s to be ready."""
    patience_s = {CLERK: CLERK_SILENT_S, **LOOPS}[part]
    assert patience_s > 1.2 * PERIODS_S[part] + clerk.WATCH_EVERY_S
    assert patience_s >= 60


def test_every_part_is_watched_by_somebody() -> None:
    """A new part has to be put into one of these: the table of docs/watching.md says who would miss it."""
    by_the_clerk = {one.part.split("-")[0] for one in PARTS} - {"notary", "housekeeper"}
    by_the_clerk_too = {"auditor", "canary"}
    by_its_tally_or_queue = {"fixes", "alarms-1", "alarms-2", "geofence", "dispatcher", "courier"}
    by_the_canary = {"api"}
    by_the_auditor = {"clerk"}
    watched = by_the_clerk | by_the_clerk_too | by_its_tally_or_queue | by_the_canary | by_the_auditor
    assert {one.name for one in STACK} == watched


def test_the_law_of_conservation_takes_no_pulse_for_a_tally() -> None:
    assert {CLERK, *LOOPS} <= listening.PULSES


def test_the_page_names_every_part_and_its_patience() -> None:
    page = (Path(__file__).parents[2] / "docs" / "watching.md").read_text()
    for part, silent_s in {CLERK: CLERK_SILENT_S, **LOOPS}.items():
        said = f"{silent_s} s" if silent_s < 300 else f"{silent_s // 60} min"
        assert f"| `{part}` | {said} |" in page, (part, said)
