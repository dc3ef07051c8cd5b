"""Does the record lose what it must, keep what is held, and can anybody check it afterwards?

On a real PostgreSQL, with a year of invented data and a clock that is moved (invariants 6, 14, 15; F09, F37).
"""

from __future__ import annotations

import asyncio

import pytest
from custody_world import TABLES, TERMS, Site

from alerts.custodian import ClockDoubted, judged, keep_in_turn, preview
from tocsin.adapters.holds import Holds
from tocsin.adapters.postgres import Pool
from tocsin.adapters.retention import HoldsChanged, RetentionRecord
from tocsin.chain import KeptAs
from tocsin.clock import from_rfc3339
from tocsin.model.order import Order
from tocsin.retention import DAY_MS, MEASURE_MONTHS, Hold, HoldKind, What, Word, plus_months
from tocsin.sealing import of_order
from tocsin.subjects import EPISODES

pytest_plugins = ("database",)

START_MS = from_rfc3339("2026-01-05T12:00:00Z")
HOUR_MS = 3_600_000
YEAR_END_MS = START_MS + 12 * 30 * DAY_MS
EVER_MS = plus_months(YEAR_END_MS, 120)


@pytest.fixture
def site(pool: Pool) -> Site:
    return Site(pool)


async def held(
    site: Site, what: What, subject: str, kind: HoldKind = HoldKind.HOLD, at_ms: int = YEAR_END_MS
) -> Hold:
    made = await Holds(site.pool).place(
        kind=kind,
        what=what,
        subject=subject,
        reason="appeal 26/1",
        authority="TJ Marseille",
        by="greffe",
        at_ms=at_ms,
    )
    assert made is not None
    return made


class TestAYear:
    """One measure, one approach and one press a month."""

    async def test_positions_go_within_days_and_everything_else_after_years(self, site: Site) -> None:
        alerts = await site.a_year(START_MS)
        before, payloads = await site.counts(), await site.sources()
        assert await site.keep(YEAR_END_MS)
        kept = await site.counts()
        assert {one for one in TABLES if kept[one] != before[one]} <= {"opened"}
        gone = payloads - await site.sources()
        assert gone == {source for ids in alerts.values() for source in await _places_of(site, ids[1])} != set()
        assert await site.faults() == []

    async def test_each_measure_goes_at_its_own_hour(self, site: Site) -> None:
        alerts = await site.a_year(START_MS)
        for month in (0, 5):
            over_ms = plus_months(START_MS + (month + 1) * 30 * DAY_MS, MEASURE_MONTHS)
            assert await site.keep(over_ms - 1)
            assert alerts[month][0] in await _alerts(site)
            assert await site.keep(over_ms)
            near = [ids[0] for ids in alerts.values()]
            assert [one for one in near if one in await _alerts(site)] == near[month + 1 :]
            assert await site.faults() == []

    async def test_in_the_end_nothing_is_left_but_links_and_proofs(self, site: Site) -> None:
        alerts = await site.a_year(START_MS)
        assert await site.keep(EVER_MS)
        assert await site.faults() == []
        assert {one: left for one, left in (await site.counts()).items() if left and one != "opened"} == {}
        assert all(source.startswith("deletion:") for source in await site.sources())
        (proof, *more) = await site.erased(f"episode/{alerts[3][0]}")
        assert not more
        assert (proof.kept_as, proof.at_ms, proof.by) == (KeptAs.MEASURE_FILE, EVER_MS, "tocsin custodian")
        assert proof.rule.startswith("R631-11")

    @pytest.mark.parametrize("what", What)
    async def test_what_is_held_stays_whole_until_it_is_lifted(self, site: Site, what: What) -> None:
        """F09: what a court asks for was not erased a week before."""
        alerts = await site.a_year(START_MS)
        alert = alerts[3][0]
        hold = await held(site, what, {What.ALERT: alert, What.MEASURE: "m03", What.DEVICE: "w-m03"}[what])
        mine = await _sources_of(site, f"episode/{alert}")
        assert await site.keep(EVER_MS)
        assert await _alerts(site) == {alert}
        assert mine <= await _sources_of(site, f"episode/{alert}")
        assert await site.faults() == []
        await Holds(site.pool).lift(hold.id, because="judged", by="greffe", at_ms=EVER_MS)
        assert await site.keep(EVER_MS + HOUR_MS)
        assert await _alerts(site) == set()
        assert await site.faults() == []

    async def test_a_held_alert_keeps_what_its_package_has_from_other_chains(self, site: Site) -> None:
        """The order, and what both units were told; of no other measure."""
        alerts = await site.a_year(START_MS)
        await site.seal([of_order(_order(one)) for one in ("m03", "m04")], START_MS)
        hold = await held(site, What.ALERT, alerts[3][0])
        mine = {name: await _sources_of(site, name) for name in ("measure/m03", "device/w-m03")}
        assert all(mine.values())
        assert await site.keep(EVER_MS)
        for name, before in mine.items():
            assert before <= await _sources_of(site, name)
        assert not any(one.startswith("order") for one in await _sources_of(site, "measure/m04"))
        await Holds(site.pool).lift(hold.id, because="judged", by="greffe", at_ms=EVER_MS)
        assert await site.keep(EVER_MS + HOUR_MS)
        assert not any(one.startswith("order") for one in await _sources_of(site, "measure/m03"))
        assert await site.faults() == []

    async def test_who_has_read_a_held_alert_stays_known(self, site: Site) -> None:
        alerts = await site.a_year(START_MS)
        await held(site, What.ALERT, alerts[3][0])
        await site.keep(EVER_MS)
        assert await site.rows("select objects from tocsin.access") == [(alerts[3],)]

    async def test_a_second_pass_changes_nothing(self, site: Site) -> None:
        await site.a_year(START_MS)
        await site.keep(EVER_MS)
        before = await site.counts(), await site.rows("select name, length from tocsin.chain order by 1")
        await site.keep(EVER_MS + HOUR_MS)
        assert (await site.counts(), await site.rows("select name, length from tocsin.chain order by 1")) == before

    async def test_killed_at_any_step_it_goes_on_and_the_chains_verify(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The process dies between two transactions: what is erased has its proof, the rest is still there."""
        await site.a_year(START_MS)
        erase = RetentionRecord.erase
        left = 0

        async def dying(self: RetentionRecord, *args: object, **how: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise asyncio.CancelledError
            return await erase(self, *args, **how)  # type: ignore[arg-type]

        monkeypatch.setattr(RetentionRecord, "erase", dying)
        for steps in (0, 1, 7, 20):
            left = steps
            with pytest.raises(asyncio.CancelledError):
                await site.keep(EVER_MS)
            assert await site.faults() == []
        monkeypatch.setattr(RetentionRecord, "erase", erase)
        assert await site.keep(EVER_MS)
        assert await site.faults() == []
        assert await _alerts(site) == set()

    async def test_two_custodians_at_once_write_one_proof_of_each(self, site: Site) -> None:
        """Without the turn, which is only there to spare work: what the other has erased is not named again."""
        alerts = await site.a_year(START_MS)
        await site.heard(EVER_MS)
        await asyncio.gather(*(site.custodian().keep(EVER_MS) for _ in range(2)))
        assert await site.keep(EVER_MS + HOUR_MS)
        assert await site.faults() == []
        for ids in alerts.values():
            (proof,) = await site.erased(f"episode/{ids[0]}")
            assert len(proof.numbers) == len(set(proof.numbers))

    async def test_only_one_of_two_has_the_turn(self, site: Site) -> None:
        await site.heard(EVER_MS)
        custodians = [site.custodian(), site.custodian()]
        assert all(await asyncio.gather(*(keep_in_turn(one, site.pool, EVER_MS) for one in custodians)))

    async def test_the_preview_says_what_a_pass_would_do_and_does_nothing(self, site: Site) -> None:
        alerts = await site.a_year(START_MS)
        hold = await held(site, What.MEASURE, "m03")
        before = await site.counts()
        lines = await preview(site.pool, EVER_MS, TERMS)
        assert await site.counts() == before
        words = {(one.kept_as, one.word, one.hold): one.files for one in lines}
        assert words[KeptAs.TGD_POSITION, Word.OVER, None] == len(
            [one for ids in alerts.values() for one in await _places_of(site, ids[1])]
        )
        assert words[KeptAs.MEASURE_FILE, Word.HELD, hold.id] > 0
        assert words[KeptAs.ACCESS, Word.OVER, None] == 12


async def _alerts(site: Site) -> set[str]:
    return {row[0] for row in await site.rows("select id from tocsin.episode")}


async def _sources_of(site: Site, chain: str) -> set[str]:
    query = "select source from tocsin.link join tocsin.opened using (chain, number) where chain = %s"
    return {row[0] for row in await site.rows(query, chain)}


async def _places_of(site: Site, alert: str) -> list[str]:
    query = "select source from tocsin.link where chain = %s and kind = 'places'"
    return [row[0] for row in await site.rows(query, f"episode/{alert}")]


# --- a phone's position ---


@pytest.mark.parametrize(
    ("kinds", "days"),
    [((), 3), ((HoldKind.HOLD,), 3), ((HoldKind.LEAVE,), 8), ((HoldKind.HOLD, HoldKind.LEAVE), 8)],
)
async def test_a_position_is_gone_from_record_and_log_by_its_hour(
    site: Site, kinds: tuple[HoldKind, ...], days: int
) -> None:
    """Invariant 6. With the pass before its time is over: at no moment is it older than the law gives it."""
    await site.device("tgd-1", "tgd", START_MS)
    alert = await site.pressed("tgd-1", START_MS)
    for number, kind in enumerate(kinds):
        await held(site, What.ALERT, alert.id, kind, START_MS + DAY_MS + number)
    assert await site.keep(START_MS + days * DAY_MS - 2 * HOUR_MS)
    assert len(await site.sources("places:")) == len(await _places_of(site, alert.id)) > 0
    assert await site.keep(START_MS + days * DAY_MS - HOUR_MS)
    assert await site.sources("places:") == set()
    assert "lat_e6" not in str([one.payload for one in site.log.entries(EPISODES)])
    assert await site.sources("ruling:") != set(), "what was done about it is kept"
    assert await site.faults() == []


async def test_a_position_that_was_recorded_late_counts_from_the_press(site: Site) -> None:
    """The record was away for two days: that gives nobody two days more."""
    await site.device("tgd-1", "tgd", START_MS)
    await site.pressed("tgd-1", START_MS)
    assert await site.keep(START_MS + 3 * DAY_MS)
    assert await site.sources("places:") == set()


async def test_a_phones_fixes_are_in_no_table_after_their_days(site: Site) -> None:
    """Nothing writes them; what a fault, or an older release, has written goes all the same."""
    await site.device("tgd-1", "tgd", START_MS)
    ((number,),) = await site.rows("select number from tocsin.device where id = 'tgd-1'")
    await site.heard(START_MS, number)
    into = (
        "(device_number, measured_at, {}, lat_e6, lon_e6, source, flags, boot) "
        "select %s, measured_at, {}, 1, 1, 0, 0, 0"
    )
    for table, column, value in (("fixes", "delay_ms", "0"), ("fixes_astray", "received_at", "measured_at")):
        words = into.format(column, value)
        statement = f"insert into tocsin.{table} {words} from tocsin.last_position where device_number = %s"
        await site.run(statement, number, number)
    await site.keep(START_MS + 3 * DAY_MS - 2 * HOUR_MS)
    assert [await _of_device(site, table, number) for table in HISTORY] == [1, 1, 1]
    await site.keep(START_MS + 3 * DAY_MS)
    assert [await _of_device(site, table, number) for table in HISTORY] == [0, 0, 0]


HISTORY = ("fixes", "fixes_astray", "last_position")


async def _of_device(site: Site, table: str, number: int) -> int:
    query = f"select count(*) from tocsin.{table} where device_number = %s"  # noqa: S608  (names of ours)
    return (await site.rows(query, number))[0][0]


# --- the log ---


async def test_the_log_keeps_the_newest_ruling_and_forgets_the_others(site: Site) -> None:
    await site.measure("m1", START_MS, EVER_MS)
    alert = await site.approach("m1", START_MS)
    await site.keep(START_MS + 3 * DAY_MS - HOUR_MS)
    assert len(site.log.entries(EPISODES)) == 3
    await site.keep(START_MS + 3 * DAY_MS + HOUR_MS)
    (left,) = site.log.entries(EPISODES)
    assert left.sequence == 3
    assert len(await _sources_of(site, f"episode/{alert.id}")) > 3


async def test_what_the_record_does_not_hold_stays_on_the_log(site: Site) -> None:
    """What could not be recorded was settled all the same: the log is then the only place that has it."""
    await site.device("tgd-1", "tgd", START_MS)
    alert = await site.pressed("tgd-1", START_MS)
    async with site.pool.connection() as connection:
        await connection.execute("set local role tocsin_custodian")
        await connection.execute("delete from tocsin.ruling where episode = %s", [alert.id])
    assert await site.keep(START_MS + 5 * DAY_MS)
    assert len(site.log.entries(EPISODES)) == 3


async def test_the_file_of_an_alert_takes_its_last_ruling_from_the_log(site: Site) -> None:
    await site.measure("m1", START_MS, START_MS + DAY_MS)
    await site.approach("m1", START_MS)
    await site.keep(EVER_MS)
    assert site.log.entries(EPISODES) == []
    assert await _alerts(site) == set()


async def test_with_the_log_away_the_record_loses_no_alert(site: Site) -> None:
    """Else the log would keep for ever what nobody can compare any more; the next pass takes both."""
    await site.measure("m1", START_MS, START_MS + DAY_MS)
    await site.approach("m1", START_MS)
    custodian = site.custodian()
    await site.heard(START_MS + DAY_MS)
    assert await custodian.keep(START_MS + DAY_MS)
    await site.heard(EVER_MS)
    site.log.down = True
    assert not await custodian.keep(EVER_MS)
    assert len(await _alerts(site)) == 1
    site.log.down = False
    assert await custodian.keep(EVER_MS)
    assert await _alerts(site) == set()


async def test_canaries_are_gone_after_a_day_without_a_proof(site: Site) -> None:
    await site.measure("canary-1", START_MS, EVER_MS)
    alert = await site.approach("canary-1", START_MS)
    await site.keep(START_MS + DAY_MS - HOUR_MS)
    assert await _alerts(site) == {alert.id}
    await site.keep(START_MS + DAY_MS + HOUR_MS)
    assert await _alerts(site) == set()
    assert len(site.log.entries(EPISODES)) == 1
    assert await site.erased(f"episode/{alert.id}") == []


# --- the clock, and holds that come in between ---


async def test_a_clock_far_ahead_empties_nothing(site: Site) -> None:
    """F37: 1024 weeks ahead, and the fleet is heard at its true hour."""
    await site.a_year(START_MS)
    await site.heard(YEAR_END_MS)
    before = await site.counts()
    with pytest.raises(ClockDoubted):
        await site.custodian().keep(YEAR_END_MS + 7168 * DAY_MS)
    assert not await keep_in_turn(site.custodian(), site.pool, YEAR_END_MS + 7168 * DAY_MS)
    assert await site.counts() == before


async def test_a_canary_is_no_witness_of_the_hour(site: Site) -> None:
    """It reports by our own clock."""
    await site.device("canary-1-w", "bar_wearer", START_MS)
    ((number,),) = await site.rows("select number from tocsin.device where id = 'canary-1-w'")
    await site.heard(YEAR_END_MS)
    await site.heard(EVER_MS, number)
    with pytest.raises(ClockDoubted):
        await site.custodian().keep(EVER_MS)


async def test_without_a_fleet_the_first_pass_notes_the_hour_and_the_next_erases(site: Site) -> None:
    await site.device("tgd-1", "tgd", START_MS)
    await site.pressed("tgd-1", START_MS)
    with pytest.raises(ClockDoubted):
        await site.custodian().keep(START_MS + 4 * DAY_MS)
    assert await site.custodian().keep(START_MS + 4 * DAY_MS + HOUR_MS)
    assert await site.sources("places:") == set()
    with pytest.raises(ClockDoubted):
        await site.custodian().keep(EVER_MS)
    await RetentionRecord(site.pool).believe(EVER_MS, "A. Martin")
    assert await site.custodian().keep(EVER_MS + HOUR_MS)


async def test_a_hold_that_is_placed_after_the_verdict_is_obeyed(site: Site) -> None:
    await site.a_year(START_MS)
    await site.heard(EVER_MS)
    record = RetentionRecord(site.pool)
    revision = await record.revision()
    candidates = [one async for one in record.walk(EVER_MS, TERMS) if one.place is not None]
    await held(site, What.MEASURE, "m00", at_ms=EVER_MS)
    said = judged(candidates[0], [], [], EVER_MS, TERMS)
    with pytest.raises(HoldsChanged):
        await record.erase(candidates[0], said, revision=revision, at_ms=EVER_MS, by="test")


async def test_an_open_alert_has_no_time(site: Site) -> None:
    """Invariant 7: only a human ends it; until then its file has not begun to age."""
    await site.device("tgd-1", "tgd", START_MS)
    alert = await site.pressed("tgd-1", START_MS, closed=False)
    await site.keep(EVER_MS)
    assert await _alerts(site) == {alert.id}


def _order(measure: str) -> Order:
    return Order(
        id=measure, version=1, wearer=f"w-{measure}", protected=f"p-{measure}", alert_distance_m=1_000,
        valid_from_ms=START_MS, valid_until_ms=START_MS + DAY_MS,
    )  # fmt: skip
