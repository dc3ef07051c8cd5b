"""Units buffer while they are cut off, and he comes inside meanwhile: what is said, to whom, and how often?

On the real log and the real record (F05, invariants 1, 3 and 4).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from builders import eventually
from geofence_lives import Killed, Mortal, Mortality
from geofence_places import authorised
from past_world import HER, HIM, MEASURE, T0_S, World, way

from tocsin import subjects
from tocsin.adapters.fixes import FixArchive
from tocsin.adapters.jetstream import Bus
from tocsin.adapters.migrate import migrate
from tocsin.adapters.postgres import Pool, open_pool
from tocsin.embedded import EmbeddedPostgres
from tocsin.model.episode import Channel
from tocsin.model.finding import Change, Code
from tocsin.subjects import LATE
from tocsin.wire import decode_fixes

pytest_plugins = ("database",)
pytestmark = pytest.mark.timeout(120)

PARTS = ("archivist", "worker", "dispatcher", "recorder")
IN_AND_OUT = [*way(120, 5_000, 480, 400), *way(480, 400, 900, 5_000)]
STAYED = way(120, 0, 900, 0, 60)


@pytest.fixture
async def world(bus: Bus, pool: Pool) -> World:
    made = World(bus, pool)
    await made.furnish()
    return made


async def outage(world: World) -> None:
    """Both are heard until 90 s and from 1,000 s on, he 5 km away; between, the network is gone."""
    for at_s in (0, 30, 60, 90):
        await world.says(HER, at_s, 0)
        await world.says(HIM, at_s, 5_000)
    for at_s in (1_000, 1_010, 1_020):
        await world.says(HIM, at_s, 5_000)
        await world.says(HER, at_s, 0)


async def reconnected(world: World, fixes: int = 14 + 26 + 13) -> None:
    await world.delivers(HIM, 1_021, IN_AND_OUT)
    await world.delivers(HER, 1_022, STAYED)
    await world.archived(fixes)


async def no_live_alert(world: World) -> None:
    assert await world.findings(Code.PROX_ALERT, Code.PROX_PREALERT, Code.IMMINENT) == []
    assert await world.episode(Code.PROX_ALERT) is None


async def test_one_past_incursion_and_no_live_alert(world: World) -> None:
    async with world.running(*PARTS, "retrospect"):
        await outage(world)
        await reconnected(world)
        assert await world.findings(Code.PAST_INCURSION) == [], (
            "whoever reports in time may not have been heard yet"
        )
        world.later()
        await eventually(lambda: world.episode(Code.PAST_INCURSION), within_s=30)
        await world.nothing_left()
        await no_live_alert(world)
    (found,) = await world.findings(Code.PAST_INCURSION)
    past = found.past
    assert past is not None
    assert (found.change, found.measure, found.threshold_m) == (Change.ENTRY, MEASURE, 1_000)
    assert (past.first_ms / 1000 - T0_S, past.last_ms / 1000 - T0_S) == pytest.approx((433.0, 534.8), abs=0.5)
    assert found.distance_dm == pytest.approx(4_000, abs=5)
    assert found.lower_dm < found.distance_dm < found.upper_dm
    assert {(one.device, one.fixes > 0, one.delay_min_ms > 300_000) for one in past.late} == {
        (HIM, True, True), (HER, True, True),
    }  # fmt: skip
    ruling = await world.ruling(Code.PAST_INCURSION)
    assert [one.channel for one in ruling.notifications] == [Channel.TELEASSISTANCE]
    assert (ruling.episode.priority, ruling.episode.over_ms, ruling.episode.told) == (4, past.last_ms, ())


async def test_killed_at_any_moment_it_says_the_same_and_says_it_once(world: World) -> None:
    """Life n dies at its n-th word to the log or to the record, before or after it took effect."""
    async with world.running(*PARTS):
        await outage(world)
        await reconnected(world)
        world.later()
        deaths = 0
        for fatal in range(2, 60):
            mortality = Mortality(fatal // 2, after=bool(fatal % 2))
            looking = world.looking(Mortal(world.bus.log, mortality), Mortal(world.record, mortality))
            try:
                while await looking.turn():
                    pass
                break
            except Killed:
                deaths += 1
        assert deaths > 10
        await eventually(lambda: world.episode(Code.PAST_INCURSION))
        await no_live_alert(world)
    (found,) = await world.findings(Code.PAST_INCURSION)
    episode = await world.episode(Code.PAST_INCURSION)
    assert (len(episode.raises), episode.corrections) == (1, ())
    assert await world.record.untold(10) == ()
    assert found.id == episode.raises[0].cause


async def test_what_comes_in_pieces_and_backwards_ends_as_what_comes_at_once(world: World) -> None:
    """Versions on the way; the last one is the same, and the desk has one alert with corrections."""
    async with world.running(*PARTS, "retrospect"):
        await outage(world)
        await world.delivers(HER, 1_021, STAYED)
        pieces = [IN_AND_OUT[20:], IN_AND_OUT[10:14], IN_AND_OUT[:10], IN_AND_OUT[14:20]]
        for number, piece in enumerate(pieces):
            await world.delivers(HIM, 1_022, piece)
            await world.archived(14 + 13 + sum(map(len, pieces[: number + 1])))
            world.later()
            await world.nothing_left()
        said = await world.record.said(MEASURE, 1000 * T0_S, 1000 * (T0_S + 2_000))
        (last,) = [one for one in said.findings if one.id not in said.withdrawn]
        assert (last.past.first_ms / 1000 - T0_S, last.past.last_ms / 1000 - T0_S) == pytest.approx(
            (433.0, 534.8), abs=0.5
        )
        assert last.past.supersedes

        async def has_it() -> bool:
            episode = await world.episode(Code.PAST_INCURSION)
            return bool(episode and episode.corrections and episode.corrections[-1].cause == last.id)

        await eventually(has_it)
        assert len((await world.episode(Code.PAST_INCURSION)).raises) == 1
        await no_live_alert(world)


async def test_what_late_fixes_change_of_an_alert_is_a_correction_of_it(world: World) -> None:
    """He was heard inside from 300 s on; the buffered fixes show that he had come 60 s before, and nearer."""
    async with world.running(*PARTS, "retrospect"):
        for at_s in (0, 30, 60, 90):
            await world.says(HER, at_s, 0)
            await world.says(HIM, at_s, 5_000)
        for at_s in range(300, 360, 10):
            await world.says(HER, at_s, 0)
            await world.says(HIM, at_s, 800)
        await eventually(lambda: world.episode(Code.PROX_ALERT))
        for at_s in range(400, 560, 10):
            await world.says(HER, at_s, 0)
            await world.says(HIM, at_s, 5_000)
        before = await eventually(lambda: ended(world))
        await world.delivers(HIM, 570, [*way(120, 5_000, 270, 200), (270.0, 200.0)])
        await world.delivers(HER, 571, way(120, 0, 300, 0, 60))
        world.later()
        episode = await eventually(lambda: corrected(world), within_s=30)
        await world.nothing_left()
    (correction,) = episode.corrections
    assert correction.first_ms < before.raises[0].at_ms - 30_000
    assert correction.distance_dm == pytest.approx(2_000, abs=5)
    assert episode.raises == before.raises, "nothing that was said is written anew"
    assert (episode.over_ms, episode.state) == (before.over_ms, before.state)
    ruling = await world.ruling(Code.PROX_ALERT)
    assert (ruling.reason, ruling.notifications) == ("corrected", ())
    assert await world.episode(Code.PAST_INCURSION) is None


@pytest.mark.parametrize(("floor_m", "told"), [(0, []), (500, [Channel.TELEASSISTANCE])])
async def test_what_the_order_allowed_is_only_recorded_and_below_the_floor_is_not_allowed(
    bus: Bus, pool: Pool, floor_m: int, told: list[Channel]
) -> None:
    """He came as near as 400 m between 00:07:13 and 00:08:55, and might be there from 00:05 to 00:10 (F23)."""
    world = World(bus, pool)
    await world.furnish(authorised("05:00", "10:00", floor_m))
    async with world.running(*PARTS, "retrospect"):
        await outage(world)
        await reconnected(world)
        world.later()
        await eventually(lambda: world.episode(Code.PAST_INCURSION), within_s=30)
        await world.nothing_left()
    (found,) = await world.findings(Code.PAST_INCURSION)
    assert (found.authorised, found.past.below_floor) == (not told, bool(told))
    assert found.past.authorised_ms == found.past.last_ms - found.past.first_ms
    ruling = await world.ruling(Code.PAST_INCURSION)
    assert [one.channel for one in ruling.notifications] == told
    assert (ruling.episode.authorised, ruling.episode.is_open) == (not told, bool(told))


async def test_an_alert_that_nobody_was_told_of_is_not_corrected_in_silence(bus: Bus, pool: Pool) -> None:
    """F23: 800 m away he was allowed to be; the buffered fixes show that he came to 200 m."""
    world = World(bus, pool)
    await world.furnish(authorised("01:00", "20:00", 500))
    async with world.running(*PARTS, "retrospect"):
        for at_s in range(300, 360, 10):
            await world.says(HER, at_s, 0)
            await world.says(HIM, at_s, 800)
        live = await eventually(lambda: world.episode(Code.PROX_ALERT))
        assert live.authorised
        await world.delivers(HIM, 500, [*way(120, 5_000, 270, 200), (270.0, 200.0)])
        await world.delivers(HER, 501, way(120, 0, 300, 0, 60))
        world.later()
        told = await eventually(lambda: world.episode(Code.PAST_INCURSION), within_s=30)
        await world.nothing_left()
    assert (told.is_open, told.authorised) == (True, False)
    assert (await world.ruling(Code.PAST_INCURSION)).notifications != ()
    assert (await world.episode(Code.PROX_ALERT)).corrections == ()


async def ended(world: World):
    episode = await world.episode(Code.PROX_ALERT)
    return episode if episode and episode.over_ms else None


async def corrected(world: World):
    episode = await world.episode(Code.PROX_ALERT)
    return episode if episode and episode.corrections else None


async def test_it_waits_for_a_history_that_is_behind(world: World) -> None:
    """Her fixes came in time and are not archived yet: deciding without them would lose the incursion for ever."""
    asked = asyncio.Event()

    class Asked(Mortal):
        def __getattr__(self, verb: str):
            if verb == "progress":
                asked.set()
            return getattr(world.bus.log, verb)

    async with world.running("worker", "dispatcher", "recorder"):
        for at_s, metres in STAYED:
            await world.says(HER, at_s, metres)
        await world.delivers(HIM, 1_021, IN_AND_OUT)
        late = await world.bus.log.last(LATE, subjects.late(0))
        await FixArchive(world.pool).archive(decode_fixes(late.payload))  # the lane of late fixes is ahead
        world.later()
        turn = asyncio.create_task(world.looking(Asked(world.bus.log, None)).turn())
        await asyncio.wait({turn, waiting := asyncio.create_task(asked.wait())}, return_when="FIRST_COMPLETED")
        waiting.cancel()
        assert not turn.done(), "it did not ask how far the history is"
        async with world.running("archivist"):
            await turn
            await eventually(lambda: world.episode(Code.PAST_INCURSION), within_s=30)


async def test_with_the_record_down_it_waits_and_live_alerts_go_on(bus: Bus, own_home: Path) -> None:
    """Invariant 3."""
    server = EmbeddedPostgres(home=own_home)
    dsn = await server.start()
    await migrate(dsn)
    async with open_pool(dsn) as pool:
        world = World(bus, pool)
        await world.furnish()
        async with world.running(*PARTS, "retrospect"):
            await outage(world)
            await reconnected(world)
            await server.stop()
            world.later()
            for at_s in range(2_000, 2_100, 10):
                await world.says(HER, at_s, 0)
                await world.says(HIM, at_s, 5_000 - 45 * (at_s - 2_000))
            await eventually(lambda: world.episode(Code.PROX_ALERT))
            assert await world.episode(Code.PAST_INCURSION) is None
            await server.start()
            await eventually(lambda: world.episode(Code.PAST_INCURSION), within_s=60)
        assert len(await world.findings(Code.PAST_INCURSION)) == 1
    await server.stop()
