"""Does the record lose what it must, keep what is held, and can anybody check it afterwards?

On a real PostgreSQL, with a year of invented data and a clock that is moved (invariants 6, 14, 15; F09, F37).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import msgspec
import psycopg
import pytest
from custody_world import TABLES, TERMS, Site
from structlog.testing import capture_logs

from alerts import forgetting
from alerts.custodian import ClockDoubted, OtherAtIt, judged, keep_in_turn, preview
from alerts.forgetting_receipts import QUEUES as QUEUES_OF_RECEIPTS
from alerts.passed_over import AWAY_MAX
from tocsin import present, telemetry, wire
from tocsin.adapters.episodes import EpisodeRecord
from tocsin.adapters.holds import Holds
from tocsin.adapters.postgres import Pool, RecordRefused
from tocsin.adapters.retention import Candidate, HoldsChanged, Hours, RetentionRecord
from tocsin.chain import Item, KeptAs, Kind
from tocsin.clock import from_rfc3339
from tocsin.errors import RecordUnavailable
from tocsin.model.episode import Channel, Receipt
from tocsin.model.order import Order
from tocsin.ports import Entry
from tocsin.retention import DAY_MS, MEASURE_MONTHS, Hold, HoldKind, What, Word, plus_months
from tocsin.sealing import of_order
from tocsin.subjects import EPISODES, RECEIPTS
from tocsin.subjects import receipt as receipts_of
from tocsin.testing.bus import MemoryLog

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
        passes = (keep_in_turn(one, site.pool, EVER_MS) for one in custodians)
        done = await asyncio.gather(*passes, return_exceptions=True)
        assert all(one is True or isinstance(one, OtherAtIt) for one in done)

    async def test_the_preview_says_what_a_pass_would_do_and_does_nothing(self, site: Site) -> None:
        alerts = await site.a_year(START_MS)
        hold = await held(site, What.MEASURE, "m03")
        before = await site.counts()
        lines = await preview(site.pool, EVER_MS, TERMS, site)
        assert await site.counts() == before
        words = {(one.kept_as, one.word, one.hold): one.files for one in lines if one.of == "record"}
        assert words[KeptAs.TGD_POSITION, Word.OVER, None] == len(
            [one for ids in alerts.values() for one in await _places_of(site, ids[1])]
        )
        assert words[KeptAs.MEASURE_FILE, Word.HELD, hold.id] > 0
        assert words[KeptAs.ACCESS, Word.OVER, None] == 12


async def test_what_a_phone_was_told_is_of_the_phones_file(site: Site) -> None:
    """Whose time is a setting, and ends with no measure."""
    await site.device("tgd-1", "tgd", START_MS)
    await site.command("tgd-1", START_MS)
    await site.command("w-1", START_MS)
    kept = await site.rows("select distinct chain, kept_as from tocsin.link order by chain")
    assert kept == [("device/tgd-1", "tgd_file"), ("device/w-1", "measure_file")]


async def test_what_was_said_at_the_same_place_of_a_new_log_stays(site: Site) -> None:
    """The log was lost and made anew: of two orders with the number 1 only the old one is over."""
    old = await site.command("w-1", START_MS, sequence=1)
    until_ms = plus_months(START_MS, MEASURE_MONTHS)
    young = await site.command("w-1", until_ms - DAY_MS, sequence=1)
    assert await site.keep(until_ms)
    assert await site.rows("select id from tocsin.command") == [(young,)]
    assert await site.rows("select command from tocsin.result") == [(young,)]
    assert [one.numbers for one in await site.erased("device/w-1")] == [(1, 2)]
    assert old not in str(await site.sources())
    assert await site.faults() == []


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
    await _unrecorded(site, alert.id)
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


class DeafLog(MemoryLog):
    """A server that is away: whoever reads waits, as JetStream's reader does."""

    async def read(self, *_: object, **how: object) -> AsyncIterator[Sequence[Entry]]:  # type: ignore[override]
        await asyncio.Event().wait()
        yield ()


@pytest.fixture
def deaf(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(present, "SILENCE_MAX_S", 0.01)
    return Site(pool, log=DeafLog())


async def test_with_the_log_away_positions_and_the_rest_still_go(deaf: Site) -> None:
    """The reader of the log waits for ever; the law does not."""
    await deaf.device("tgd-1", "tgd", START_MS)
    await deaf.pressed("tgd-1", START_MS)
    await deaf.access(START_MS, "alr_1")
    assert not await deaf.keep(EVER_MS)
    assert await deaf.sources("places:") == set()
    assert await deaf.sources("access:") == set()


async def test_a_log_that_was_not_read_is_not_a_log_that_has_forgotten(deaf: Site) -> None:
    """A custodian that has just begun knows nothing of the log: the record's alert stays until it does."""
    await deaf.measure("m1", START_MS, START_MS + DAY_MS)
    alert = await deaf.approach("m1", START_MS)
    assert not await deaf.keep(EVER_MS)
    assert await _alerts(deaf) == {alert.id}
    heard_again = Site(deaf.pool, log=MemoryLog())
    heard_again.log.__dict__.update(deaf.log.__dict__)
    assert await heard_again.keep(EVER_MS)
    assert await _alerts(deaf) == set()
    assert heard_again.log.entries(EPISODES) == []


async def test_an_alert_behind_one_that_the_log_must_keep_stays_in_the_record(site: Site) -> None:
    """The log forgets a place from its oldest end; of what it still has the record must know what it is."""
    await site.measure("m1", START_MS, START_MS + DAY_MS)
    first = await site.approach("m1", START_MS)
    second = await site.approach("m1", START_MS + DAY_MS)
    await _unrecorded(site, first.id)
    kept = await _sources_of(site, f"episode/{second.id}")
    assert await site.keep(EVER_MS)
    assert len(site.log.entries(EPISODES)) == 6
    assert second.id in await _alerts(site)
    assert await _sources_of(site, f"episode/{second.id}") == kept


async def _unrecorded(site: Site, alert: str) -> None:
    async with site.pool.connection() as connection:
        await connection.execute("set local role tocsin_custodian")
        await connection.execute("delete from tocsin.ruling where episode = %s", [alert])
        await connection.execute("delete from tocsin.episode where id = %s", [alert])


async def test_positions_go_before_the_log_is_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may answer slowly; the slack of the law's days is one hour."""
    await site.device("tgd-1", "tgd", START_MS)
    await site.pressed("tgd-1", START_MS)
    left: list[set[str]] = []
    follow = forgetting.Forgetting.follow

    async def looked(self: forgetting.Forgetting) -> None:
        left.append(await site.sources("places:"))
        await follow(self)

    monkeypatch.setattr(forgetting.Forgetting, "follow", looked)
    assert await site.keep(START_MS + 3 * DAY_MS)
    assert left == [set()]


async def test_what_cannot_be_read_is_passed_over_and_the_rest_goes(site: Site) -> None:
    """One payload of another version, and one source of a foreign record, among those that are over."""
    await site.device("tgd-1", "tgd", START_MS)
    alert = await site.pressed("tgd-1", START_MS)
    for chain, kind, kept_as, source in (
        ("accesses/2026-01-05", Kind.ACCESS, KeptAs.ACCESS, "access:odd"),
        ("device/w-1", Kind.COMMAND, KeptAs.MEASURE_FILE, "command:odd"),
        (f"episode/{alert.id}", Kind.PLACES, KeptAs.TGD_POSITION, "places:odd"),
    ):
        item = Item(chain=chain, kind=kind, kept_as=kept_as, source=source, payload=b"[]")
        await site.seal([item], START_MS + 60_000)
    await site.access(START_MS + 61_000, "alr_1")
    await site.command("w-1", START_MS + 61_000)
    before = _passed_over()
    assert await site.keep(EVER_MS), "to try again in a minute would not help"
    left = {one for one in await site.sources() if not one.startswith("deletion:")}
    assert left == {"access:odd", "command:odd"}
    assert _passed_over() - before == 2
    assert await site.faults() == []


async def test_what_the_record_refuses_is_passed_over_and_the_rest_goes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = await site.a_year(START_MS)
    odd = alerts[3][0]
    erase = RetentionRecord.erase

    async def refusing(self: RetentionRecord, one: Candidate, *args: object, **how: object) -> object:
        if one.chain == f"episode/{odd}":
            raise RecordRefused("this one")
        return await erase(self, one, *args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(RetentionRecord, "erase", refusing)
    assert await site.keep(EVER_MS)
    assert await _alerts(site) == {odd}
    assert await site.sources("access:") == set()


async def test_a_record_that_is_away_ends_the_chore(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not asked for each of a hundred thousand."""
    await site.a_year(START_MS)
    asked = 0

    async def away(*_: object, **__: object) -> object:
        nonlocal asked
        asked += 1
        raise RecordUnavailable("away")

    monkeypatch.setattr(RetentionRecord, "erase", away)
    assert not await site.keep(EVER_MS)
    assert asked == 2 * AWAY_MAX, "positions, files"


def _passed_over() -> float:
    return telemetry.CUSTODY.labels(chore="record", outcome="passed_over")._value.get()  # type: ignore[no-any-return]


async def test_a_chore_with_a_fault_of_ours_starves_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.measure("canary-1", START_MS, EVER_MS)
    await site.approach("canary-1", START_MS)

    async def broken(_: object) -> int:
        raise KeyError("not a word of this is logged")

    monkeypatch.setattr(RetentionRecord, "revision", broken)
    assert not await site.keep(START_MS + 2 * DAY_MS)
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


async def test_receipts_of_canaries_are_gone_after_a_day_and_nobody_elses(site: Site) -> None:
    """A pair writes eleven a minute, and the stream refuses when it is full."""
    places = [receipts_of("PROX_ALERT", about) for about in ("canary-1", "canary-1-w", "m1", "canary-x")]
    spared = receipts_of("STRAP_TAMPER", "canary-2")  # its alert names somebody else as well
    places += [receipts_of("SYS_CANARY_FAIL", "canary-1"), spared]
    for hour in range(3):
        for number, place in enumerate(places):
            told = Receipt(
                notification=f"evt_{hour}_{number}", episode="alr_1", version=1, channel=Channel.POLICE, attempt=1,
                t7_ms=START_MS + hour * HOUR_MS, t8_ms=None, result="timeout",
                canary=False if place == spared else None,
            )  # fmt: skip
            await site.log.append(place, wire.encode(told))
    custodian = site.custodian()
    now_ms = START_MS + DAY_MS + HOUR_MS

    async def kept() -> list[int]:
        await site.heard(now_ms)
        assert await custodian.keep(now_ms)
        return [sum(one.subject == place for one in site.log.entries(RECEIPTS)) for place in places]

    assert await kept() == [3, 3, 3, 3, 3, 3], "a queue that has not had them"
    for name in QUEUES_OF_RECEIPTS:
        async with site.log.queue(RECEIPTS, name, parallel=100) as queue:
            for one in await queue.take(100):
                await one.done()
    assert await kept() == [1, 1, 3, 3, 3, 3]
    now_ms += HOUR_MS
    assert await kept() == [0, 0, 3, 3, 3, 3]


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
    with capture_logs() as said:  # that is how a new record begins: no failure
        assert not await keep_in_turn(site.custodian(), site.pool, START_MS + 4 * DAY_MS)
    assert [one["log_level"] for one in said] == ["info"]
    assert await site.sources("places:") != set()
    assert await site.custodian().keep(START_MS + 4 * DAY_MS + HOUR_MS)
    assert await site.sources("places:") == set()
    with pytest.raises(ClockDoubted):
        await site.custodian().keep(EVER_MS)
    await RetentionRecord(site.pool).believe(EVER_MS, "A. Martin")
    assert await site.custodian().keep(EVER_MS + HOUR_MS)


async def test_phones_lose_their_places_although_the_fleet_is_silent(site: Site) -> None:
    """The last bracelet was taken off; nobody has to say each day what hour it is."""
    await site.device("tgd-1", "tgd", START_MS)
    await site.measure("m1", START_MS, START_MS + DAY_MS)
    near = await site.approach("m1", START_MS)
    await site.heard(START_MS)
    for day in range(1, 20):
        press = await site.pressed("tgd-1", START_MS + day * DAY_MS)
        site.hour_ms = START_MS + day * DAY_MS
        assert await keep_in_turn(site.custodian(), site.pool, site.hour_ms) is (day <= 1)
        query = "select from tocsin.link join tocsin.opened using (chain, number) where kept_as = 'tgd_position'"
        assert len(await site.rows(query)) <= 3 * len(await _places_of(site, press.id)), "of three days"
    assert near.id in await _alerts(site)
    assert await site.faults() == []


@pytest.mark.parametrize("wrong", ["ours", "ours and the record's"])
async def test_one_clock_that_is_right_keeps_the_positions_of_a_silent_fleet(
    site: Site, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """F37: five days ahead."""
    await site.device("tgd-1", "tgd", START_MS)
    await site.pressed("tgd-1", START_MS)
    await site.heard(START_MS - DAY_MS)
    site.hour_ms = START_MS + 5 * DAY_MS
    right_ms = site.wall_ms()
    monkeypatch.setattr(Site, "wall_ms", lambda _: right_ms + 5 * DAY_MS)
    if wrong != "ours":
        hours = RetentionRecord.hours

        async def ahead(self: RetentionRecord) -> Hours:
            return replace(await hours(self), server_ms=right_ms + 5 * DAY_MS)

        monkeypatch.setattr(RetentionRecord, "hours", ahead)
    before = await site.sources()
    with pytest.raises(ClockDoubted):
        await site.custodian().keep(site.hour_ms)
    assert await site.sources() == before
    monkeypatch.setattr(Site, "wall_ms", lambda _: right_ms)
    with pytest.raises(ClockDoubted, match="went by every clock"):
        await site.custodian().keep(site.hour_ms)
    assert await site.sources("places:") == set()


async def test_a_hold_that_is_placed_after_the_verdict_is_obeyed(site: Site) -> None:
    await site.a_year(START_MS)
    await site.heard(EVER_MS)
    record = RetentionRecord(site.pool)
    revision = await record.revision()
    candidates = [one async for one in record.walk(EVER_MS, TERMS) if one.place is not None]
    await held(site, What.MEASURE, "m00", at_ms=EVER_MS)
    said = judged(candidates[0], [], [], EVER_MS, TERMS)
    with pytest.raises(HoldsChanged):
        await record.erase(candidates[0], said, revision=revision, clock=site, by="test")


async def test_a_proof_is_dated_when_it_is_linked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass lasts minutes, and others link to the same chains meanwhile: no clock was set back."""
    await site.device("tgd-1", "tgd", START_MS)
    alert = await site.pressed("tgd-1", START_MS)
    pass_ms, later_ms = START_MS + 3 * DAY_MS, START_MS + 3 * DAY_MS + 90_000
    revision = RetentionRecord.revision

    async def slow(self: RetentionRecord) -> int:
        site.hour_ms = later_ms
        item = Item(
            chain=f"episode/{alert.id}", kind=Kind.HOLD, kept_as=KeptAs.PROOF, source="meanwhile", payload=b"{}"
        )
        await site.seal([item], later_ms - 1)
        return await revision(self)

    monkeypatch.setattr(RetentionRecord, "revision", slow)
    assert await site.keep(pass_ms)
    assert await site.faults() == []
    assert {one.at_ms for one in await site.erased(f"episode/{alert.id}")} == {later_ms}


async def test_an_open_alert_has_no_time(site: Site) -> None:
    """Invariant 7: only a human ends it; until then its file has not begun to age."""
    await site.device("tgd-1", "tgd", START_MS)
    alert = await site.pressed("tgd-1", START_MS, closed=False)
    await site.keep(EVER_MS)
    assert await _alerts(site) == {alert.id}


# --- what no link covers ---


async def test_a_place_from_before_the_chains_is_blanked_in_time(site: Site) -> None:
    """Invariant 6, on a site that was there before migration 0012. What was done about the press stays."""
    await site.device("tgd-1", "tgd", START_MS)
    alert = await site.pressed("tgd-1", START_MS)
    await site.run("delete from tocsin.chain")  # it was another release that ran
    entries = [(one.sequence, one.payload) for one in site.log.entries(EPISODES)]
    assert sum(b"lat_e6" in payload for _, payload in entries) > 0
    ruled = [(sequence, wire.decode_ruling(payload)) for sequence, payload in entries]
    async with site.pool.connection() as connection:
        await connection.execute("set local session_replication_role = replica")
        for sequence, ruling in ruled:
            await connection.execute(
                """update tocsin.ruling set payload = %s, event = %s, before_chains = true
                   where stream_sequence = %s""",
                [wire.encode(ruling), msgspec.json.encode(ruling.event).decode(), sequence],
            )
        await connection.execute("delete from tocsin.opened")
        await connection.execute("delete from tocsin.link")
        noun = msgspec.json.encode(ruled[0][1].episode).decode()
        await connection.execute("update tocsin.episode set noun = %s where id = %s", [noun, alert.id])
    assert await _with_places(site) == 3
    assert await site.keep(START_MS + 3 * DAY_MS - 2 * HOUR_MS)
    assert await _with_places(site) == 3
    assert await site.keep(START_MS + 3 * DAY_MS - HOUR_MS)
    assert await _with_places(site) == 0
    assert len(await site.rows("select from tocsin.ruling")) == len(ruled)
    assert (await EpisodeRecord(site.pool).timeline(alert.id)).rulings[0].ruling.episode.id == alert.id
    assert await site.faults() == []


async def _with_places(site: Site) -> int:
    """Rows, of every table and column that may have one."""
    queries = (
        "select from tocsin.ruling where position('lat_e6'::bytea in payload) > 0",
        "select from tocsin.ruling where position('lat_e6' in event::text) > 0",
        "select from tocsin.episode where position('lat_e6' in noun::text) > 0",
    )
    return sum([len(await site.rows(query)) > 0 for query in queries])


REFUSED = (psycopg.errors.InsufficientPrivilege, psycopg.errors.IntegrityConstraintViolation)


@pytest.mark.parametrize(
    "change", ["payload = ''", "version = version + 1", "at = at + interval '1 hour'", "before_chains = true"]
)
async def test_what_is_linked_is_not_blanked_by_the_custodian_either(site: Site, change: str) -> None:
    await site.device("tgd-1", "tgd", START_MS)
    await site.pressed("tgd-1", START_MS)
    async with site.pool.connection() as connection:
        await connection.execute("set local role tocsin_custodian")
        with pytest.raises(REFUSED):
            await connection.execute(f"update tocsin.ruling set {change}".encode())  # noqa: S608  (ours)
        await connection.rollback()


async def test_the_homes_in_an_order_go_with_the_file_of_the_measure(site: Site) -> None:
    """Those that a judge has named, in every version, and then its row."""
    for name in ("m1", "m2"):
        await site.measure(name, START_MS, START_MS + DAY_MS)
        home = '[{"name": "home"}]'
        await site.run("update tocsin.measure set zones = %s, authorised = '{}' where id = %s", home, name)
        await site.run(
            """insert into tocsin.measure_version (measure, version, wearer, protected, alert_distance_m,
                 valid_from, valid_until, changed_at, changed_by, zones)
               select id, 1, wearer, protected, 1000, valid_from, valid_until, created_at, 'tj', zones
               from tocsin.measure where id = %s""",
            name,
        )
    await held(site, What.MEASURE, "m2")
    over_ms = plus_months(START_MS + DAY_MS, MEASURE_MONTHS)
    assert await site.keep(over_ms - 1)
    assert await _zoned(site) == [("m1",), ("m1",), ("m2",), ("m2",)]
    assert await site.keep(over_ms)
    assert await _zoned(site) == [("m2",), ("m2",)]
    assert len(await site.erased("measure/m1")) == 2, "of the places, and of the row"
    assert await site.keep(over_ms + HOUR_MS)
    assert len(await site.erased("measure/m1")) == 2, "nothing is left to go"
    assert await site.rows("select id from tocsin.measure") == [("m2",)]


async def _zoned(site: Site) -> list[tuple[str]]:
    return await site.rows(
        """select id from tocsin.measure where zones <> '[]' or authorised is not null
           union all select measure from tocsin.measure_version where zones <> '[]' order by 1"""
    )


def _order(measure: str) -> Order:
    return Order(
        id=measure, version=1, wearer=f"w-{measure}", protected=f"p-{measure}", alert_distance_m=1_000,
        valid_from_ms=START_MS, valid_until_ms=START_MS + DAY_MS,
    )  # fmt: skip
