"""Do positions go with their measure, and measures and units when nothing needs them, each with a proof?

On a real PostgreSQL, with invented years and a clock that is moved (invariants 14, 15; F09, F37). The result is
examined by the verifier of ``tocsin audit verify``. On TimescaleDB: tests/contracts/test_storage.py.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
import psycopg
import pytest
from custody_world import TERMS, Site
from structlog.testing import capture_logs

from alerts.custodian import Line, preview
from audit.verification import Fault
from audit.verifier import Asked, verify
from tocsin.adapters.erasure import ErasureRecord
from tocsin.adapters.examination import examining
from tocsin.adapters.fixes import FixArchive
from tocsin.adapters.history import open_history
from tocsin.adapters.holds import Holds
from tocsin.adapters.orders import AlreadyExists, Orders
from tocsin.adapters.postgres import Pool, RecordRefused, transaction
from tocsin.adapters.retention import HoldsChanged, RetentionRecord
from tocsin.adapters.seals import Seals
from tocsin.chain import Deletion, Item, KeptAs, Kind
from tocsin.clock import from_rfc3339, utc
from tocsin.errors import RecordUnavailable
from tocsin.model.device import DeviceKind
from tocsin.model.fix import FIX_DTYPE
from tocsin.model.geozone import Circle, GeoZone, ZoneKind
from tocsin.model.order import Order
from tocsin.retention import DAY_MS, MEASURE_MONTHS, Hold, HoldKind, Terms, What, Word, plus_months

pytest_plugins = ("database",)

START_MS = from_rfc3339("2026-01-05T12:00:00Z")
HOUR_MS = 3_600_000
HOME = GeoZone(id="zne-1", kind=ZoneKind.BAN, shape=Circle(centre=(5_400_000, 43_300_000), radius_m=500))
KINDS = {"w": DeviceKind.WEARER, "p": DeviceKind.PROTECTED, "t": DeviceKind.TGD}
PLACES = ("fixes", "fixes_astray", "fixes_hourly", "last_position")
EVER_MS = plus_months(START_MS, 400)


def day(number: float) -> int:
    return START_MS + round(number * DAY_MS)


def over(number: float) -> int:
    """The first moment at which the file of a measure that ended that day is over."""
    return plus_months(day(number), MEASURE_MONTHS)


class Court(Site):
    """A site whose measures and units are ordered as the product orders them."""

    async def unit(self, name: str, at: float = 0) -> int:
        made = await Orders(self.pool).create_device(name, KINDS[name[0]], "", day(at))
        return made.number

    async def order(self, name: str, wearer: str, protected: str, first: float, last: float) -> None:
        order = Order(
            id=name, version=1, wearer=wearer, protected=protected, alert_distance_m=1_000, zones=(HOME,),
            valid_from_ms=day(first), valid_until_ms=day(last),
        )  # fmt: skip
        await Orders(self.pool).create_measure(order, by="tj", now_ms=day(first))
        await Orders(self.pool).seal_versions(day(first))
        await self.run("delete from tocsin.outbox")  # the projector has done its work

    async def revoke(self, name: str, at: float) -> None:
        await Orders(self.pool).revoke_device(name, by="tj", now_ms=day(at))

    async def fixed(self, number: int, *days: float) -> None:
        """A fix of that unit at each of these hours, one that is astray, and the roll-up."""
        fixes = np.zeros(len(days), FIX_DTYPE)
        fixes["device"], fixes["primary"] = number, 1
        fixes["fix_ms"] = fixes["t3_ms"] = [day(one) for one in days]
        fixes["lat_e6"], fixes["lon_e6"] = 48_856_600, 2_352_200
        odd = fixes[:1].copy()
        odd["fix_ms"] -= 400 * DAY_MS
        await FixArchive(self.pool).archive(np.concatenate([fixes, odd]))
        async with open_history(self.pool.conninfo) as history:
            while await history.catch_up(100):
                pass

    async def left(self, number: int) -> tuple[int, ...]:
        """Rows of a unit in each of PLACES."""
        query = "select count(*) from tocsin.{} where device_number = %s"
        return tuple([(await self.rows(query.format(one), number))[0][0] for one in PLACES])

    async def hours(self, number: int) -> list[float]:
        query = "select measured_at from tocsin.fixes where device_number = %s order by 1"
        return [(row[0].timestamp() * 1000 - START_MS) / DAY_MS for row in await self.rows(query, number)]

    async def proofs(self, chain: str) -> list[Deletion]:
        return [one for one in await self.erased(chain) if one.rows]

    async def verified(self) -> list[Fault]:
        found: list[Fault] = []
        async with examining(self.pool.conninfo) as record:
            await verify(record, Asked(), found.append, lambda _done, _of: None)
        return found

    async def words(self) -> set[tuple[str, str, str]]:
        return {(one.table, one.key, one.wrong) for one in await self.verified()}

    async def held(self, what: What, subject: str, at_ms: int) -> Hold:
        made = await Holds(self.pool).place(
            kind=HoldKind.HOLD,
            what=what,
            subject=subject,
            reason="appeal",
            authority="TJ",
            by="greffe",
            at_ms=at_ms,
        )
        assert made is not None
        return made


@pytest.fixture
def site(pool: Pool) -> Court:
    return Court(pool)


@pytest.fixture
async def pair(site: Court) -> tuple[int, int]:
    """A measure of ten days, and both of its units heard before, within and behind it."""
    numbers = await site.unit("w-1"), await site.unit("p-1")
    await site.order("m1", "w-1", "p-1", 1, 11)
    for number in numbers:
        await site.fixed(number, 0.5, 1, 5.3, 5.4, 10.99, 12)
    return numbers


# --- positions ---


async def test_positions_go_when_the_file_of_their_measure_is_over(site: Court, pair: tuple[int, int]) -> None:
    """The one bound would have kept them for years: what is behind the measure, in a drawer, it still keeps."""
    assert await site.keep(over(11) - 1)
    assert await site.hours(pair[0]) == pytest.approx([1, 5.3, 5.4, 10.99, 12]), "but for before the measure"
    assert await site.keep(over(11))
    for number in pair:
        assert await site.hours(number) == [12]
        assert await site.left(number) == (1, 0, 1, 1)
    before, within = await site.proofs("device/w-1")
    assert (before.rows, before.until_ms) == ({"fixes": 1, "fixes_astray": 1, "fixes_hourly": 1}, day(1))
    assert (within.rows, within.from_ms, within.until_ms) == ({"fixes": 4, "fixes_hourly": 4}, day(1), day(11))
    assert (within.kept_as, within.by) == (KeptAs.MEASURE_FILE, "tocsin custodian")
    assert within.rule.startswith("R631-11")
    assert await site.verified() == []


async def test_the_proof_of_an_erasure_has_no_place_in_it(site: Court, pair: tuple[int, int]) -> None:
    await site.keep(over(11))
    query = "select payload from tocsin.opened where chain = 'device/w-1'"
    (first, *_) = [bytes(row[0]) for row in await site.rows(query)]
    assert set(msgspec.json.decode(first)) == {
        "numbers", "kept_as", "at_ms", "rule", "by", "rows", "from_ms", "until_ms",
    }  # fmt: skip


async def test_a_unit_that_was_registered_by_a_clock_ahead_loses_what_it_said_in_its_measure(site: Court) -> None:
    """A year behind its measure, by what was believed to be the hour: what it said counts from its orders on."""
    number = await site.unit("w-1", at=400)
    await site.unit("p-1")
    await site.order("m1", "w-1", "p-1", 1, 11)
    await site.fixed(number, 0.5, 1, 5, 10)
    assert await site.keep(over(11) - 1)
    assert await site.hours(number) == [1, 5, 10]
    assert await site.keep(over(11))
    assert await site.hours(number) == []
    assert await site.rows("select id from tocsin.measure") == []
    assert await site.verified() == []


async def test_of_two_measures_of_a_unit_the_longer_one_decides(site: Court) -> None:
    """A wearer who may come near neither of two persons; then he changes to a third."""
    his = await site.unit("w-1")
    hers = [await site.unit(f"p-{number}") for number in (1, 2, 3)]
    for measure, first, last in ((1, 0, 10), (2, 5, 30), (3, 40, 50)):
        await site.order(f"m{measure}", "w-1", f"p-{measure}", first, last)
    await site.fixed(his, 1, 4, 6, 9, 20, 35, 45)
    for number in hers:
        await site.fixed(number, 6)
    left = []
    for last in (10, 30, 40, 50):
        assert await site.keep(over(last))
        left.append(await site.hours(his))
        assert await site.verified() == []
    assert left == [[6, 9, 20, 35, 45], [35, 45], [45], []]
    assert [await site.hours(number) for number in hers] == [[], [], []], "the third: of before her measure"


@pytest.mark.parametrize(
    ("what", "subject"), [(What.MEASURE, "m1"), (What.DEVICE, "p-1"), (What.ALERT, "")], ids=str
)
async def test_what_is_held_stays_until_it_is_lifted(
    site: Court, pair: tuple[int, int], what: What, subject: str
) -> None:
    """F09: of both units, whichever of the two, the measure or an alert of it is held."""
    others = await site.unit("w-2"), await site.unit("p-2")
    await site.order("m2", "w-2", "p-2", 1, 11)
    await site.fixed(others[0], 5)
    alert = await _closed_alert(site)
    hold = await site.held(what, subject or alert, day(20))
    assert await site.keep(EVER_MS)
    before = 1 if what is What.DEVICE else 0  # of a held unit, what was before its measure, too
    assert [len(await site.hours(number)) for number in (*pair, others[0])] == [5, 5 + before, 0]
    assert [row[0] for row in await site.rows("select id from tocsin.measure")] == ["m1"]
    assert await site.verified() == []
    await Holds(site.pool).lift(hold.id, because="judged", by="greffe", at_ms=EVER_MS)
    assert await site.keep(EVER_MS + HOUR_MS)
    assert [await site.hours(number) for number in pair] == [[12], [12]]
    assert await site.rows("select id from tocsin.measure") == []
    assert await site.verified() == []


async def _closed_alert(site: Court) -> str:
    """Of m1."""
    return (await site.approach("m1", day(5))).id


async def test_killed_on_any_day_it_goes_on_and_its_proof_counts_them_all(
    site: Court, pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.keep(over(1))  # what was before the measure
    erase, left = ErasureRecord.erase_day, 0

    async def dying(self: ErasureRecord, *args: object) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise asyncio.CancelledError
        return await erase(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(ErasureRecord, "erase_day", dying)
    for steps in (0, 1, 1):
        left = steps
        with pytest.raises(asyncio.CancelledError):
            await site.keep(over(11))
        assert await site.verified() == []
    assert await site.hours(pair[0]) == [10.99, 12]
    monkeypatch.setattr(ErasureRecord, "erase_day", erase)
    assert await site.keep(over(11))
    assert [one.rows for one in await site.proofs("device/w-1")][1:] == [{"fixes": 4, "fixes_hourly": 4}]
    assert await site.verified() == []


async def test_a_hold_that_is_placed_meanwhile_stops_it(
    site: Court, pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    erase, days = ErasureRecord.erase_day, 0

    async def slow(self: ErasureRecord, *args: object) -> int:
        nonlocal days
        days += 1
        if days == 2:
            await site.held(What.MEASURE, "m1", over(11))
        return await erase(self, *args)  # type: ignore[arg-type]

    await site.keep(over(1))
    monkeypatch.setattr(ErasureRecord, "erase_day", slow)
    assert not await site.keep(over(11))
    assert await site.hours(pair[0]) == pytest.approx([5.3, 5.4, 10.99, 12]), "one day had gone"
    assert len(await site.hours(pair[1])) == 5
    assert [one.rows for one in await site.proofs("device/w-1")][1:] == [{"fixes": 1, "fixes_hourly": 1}]
    assert await site.verified() == []
    assert await site.keep(over(11) + HOUR_MS)
    assert len(await site.hours(pair[1])) == 5


@pytest.mark.parametrize(("what", "subject"), [(What.MEASURE, "m1"), (What.DEVICE, "w-1")], ids=str)
async def test_what_went_before_a_hold_is_proven_although_the_rest_is_held(
    site: Court, pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch, what: What, subject: str
) -> None:
    """Killed after a day, and held before the next pass: with the link of the hold, or with that pass."""
    await site.keep(over(1))
    with monkeypatch.context() as killed:
        killed.setattr(ErasureRecord, "erase_day", _days_then(1, asyncio.CancelledError()))
        with pytest.raises(asyncio.CancelledError):
            await site.keep(over(11))
    hold = await site.held(what, subject, over(11) + 1)
    assert len(await site.proofs("device/w-1")) == (2 if what is What.DEVICE else 1)
    for passes in (1, 2):
        assert await site.keep(over(11) + passes * HOUR_MS)
        proof = (await site.proofs("device/w-1"))[-1]
        assert (proof.rows, proof.by) == ({"fixes": 1, "fixes_hourly": 1}, "tocsin custodian")
    assert await site.hours(pair[0]) == pytest.approx([5.3, 5.4, 10.99, 12])
    assert await site.verified() == []
    await Holds(site.pool).lift(hold.id, because="judged", by="greffe", at_ms=EVER_MS)
    await site.keep(EVER_MS)
    assert (await site.proofs("device/w-1"))[-1].rows == {"fixes": 3, "fixes_hourly": 3}
    assert await site.verified() == []


async def test_more_days_than_a_pass_has_are_proven_as_far_as_they_went(
    site: Court, pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.keep(over(1))
    monkeypatch.setattr("alerts.unit_erasure.DAYS_MAX", 1)
    await site.keep(over(11))
    assert [one.rows for one in await site.proofs("device/w-1")][1:] == [{"fixes": 1, "fixes_hourly": 1}]
    assert await site.verified() == []


def _days_then(days: int, error: BaseException) -> object:
    """``erase_day`` that many times, then the error for ever."""
    erase = ErasureRecord.erase_day

    async def failing(self: ErasureRecord, *args: object) -> int:
        nonlocal days
        days -= 1
        if days < 0:
            raise error
        return await erase(self, *args)  # type: ignore[arg-type]

    return failing


async def test_nobody_waits_while_a_day_is_erased(site: Court, pair: tuple[int, int]) -> None:
    """A reader and a writer of the same day and the same unit, before the erasure commits."""
    async with transaction(site.pool) as erasing:
        await erasing.execute("set local role tocsin_custodian")
        span = "select * from tocsin.history_erase_span(%s, %s, %s)"
        values = [pair[0], utc(day(5)), utc(day(5.305))]
        assert await (await erasing.execute(span, values)).fetchone() == (1, 0, 0), "the hour is not over whole"
        async with transaction(site.pool) as other:
            await other.execute("set local lock_timeout = '100ms'")
            read = "select count(*) from tocsin.track(%s, %s, %s, 10)"
            assert await (await other.execute(read, [pair[0], utc(day(5)), utc(day(6))])).fetchone() == (2,)
            write = """insert into tocsin.fixes
                         (device_number, measured_at, delay_ms, lat_e6, lon_e6, source, flags, boot)
                       values (%s, %s, 0, 0, 0, 0, 0, 0)"""
            await other.execute(write, [pair[0], utc(day(5.31))])
            await other.execute(write, [pair[0], utc(day(5.9))])
    assert await site.hours(pair[0]) == pytest.approx([0.5, 1, 5.31, 5.4, 5.9, 10.99, 12])


async def test_the_custodian_alone_erases_and_no_more_than_a_day(site: Court, pair: tuple[int, int]) -> None:
    span = "select tocsin.history_erase_span(%s, %s, %s)"
    for role, until, wrong in (
        ("tocsin_recorder", 2, "permission denied"),
        ("tocsin_reader", 2, "permission denied"),
        ("tocsin_custodian", 2.1, "a day of one unit"),
    ):
        with pytest.raises((psycopg.Error, RecordRefused), match=wrong):
            await _as(site, role, span, pair[0], utc(day(1)), utc(day(until)))
    for table in ("fixes", "last_position"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await _as(site, "tocsin_custodian", f"delete from tocsin.{table}")  # noqa: S608  (ours)
    for table in ("measure_version", "measure", "device"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only the custodian"):
            await site.run(f"delete from tocsin.{table}")  # noqa: S608  (ours)


async def _as(site: Court, role: str, statement: str, *values: object) -> None:
    async with transaction(site.pool) as connection:
        await connection.execute(f"set local role {role}".encode())
        await connection.execute(statement.encode(), values)


# --- rows ---


async def test_a_measure_leaves_its_name_and_its_places_go_with_it(site: Court, pair: tuple[int, int]) -> None:
    await site.keep(over(11) - 1)
    assert await site.rows("select zones <> '[]' from tocsin.measure") == [(True,)]
    await site.keep(over(11))
    assert await site.rows("select id from tocsin.measure") == await site.rows(
        "select measure from tocsin.measure_version") == []  # fmt: skip
    assert await site.rows("select what, id, kept_as, ended_at, erased_at from tocsin.erased") == [
        ("measure", "m1", "measure_file", utc(day(11)), utc(over(11)))
    ]
    (proof,) = await site.proofs("measure/m1")
    assert proof.rows == {"measure": 1, "measure_version": 1}
    assert await site.rows("select kind, key from tocsin.outbox") == [("measure", "m1")], "the buckets are told"
    assert len(await site.rows("select from tocsin.device")) == 2, "in a drawer, and may be given to others"
    assert await site.verified() == []


async def test_a_measure_stays_while_an_alert_of_it_is_open(site: Court, pair: tuple[int, int]) -> None:
    """Invariant 7: only a human ends it; what it is about is known until then."""
    alert = await _closed_alert(site)
    await site.run("update tocsin.episode set closed_at = null where id = %s", alert)
    await site.keep(EVER_MS)
    assert len(await site.rows("select from tocsin.measure")) == 1
    assert await site.hours(pair[0]) == [12], "its positions have their own time"


async def test_a_unit_goes_when_it_was_revoked_for_as_long_and_no_measure_names_it(
    site: Court, pair: tuple[int, int]
) -> None:
    """With whatever the history still has of it."""
    await site.revoke("w-1", 13)
    await site.keep(over(13) - 1)
    assert len(await site.rows("select from tocsin.device")) == 2
    assert await site.keep(over(13))
    assert [row[0] for row in await site.rows("select id from tocsin.device")] == ["p-1"], "not revoked"
    assert await site.left(pair[0]) == (0, 0, 0, 0)
    assert await site.rows("select until_at from tocsin.history_over where device_number = %s", pair[0]) == []
    assert {frozenset(one.rows) for one in await site.proofs("device/w-1")} >= {frozenset({"device"})}
    assert await site.verified() == []


async def test_a_unit_stays_until_its_history_is_over_and_proven(
    site: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day that fails, in the pass in which the unit itself would go: no row may go without a word."""
    number = await site.unit("w-9")
    await site.fixed(number, 1, 3, 5, 7, 9)
    await site.revoke("w-9", 30)
    before = await site.left(number)
    with monkeypatch.context() as failing:
        failing.setattr(ErasureRecord, "erase_day", _days_then(3, RecordUnavailable("it took too long")))
        assert not await site.keep(over(30))
    assert await site.rows("select id from tocsin.device") == [("w-9",)]
    assert await site.rows("select fixes from tocsin.history_over") == [(2,)], (
        "the third piece was a month of nothing"
    )
    assert await site.keep(over(30) + HOUR_MS)
    assert await site.rows("select id from tocsin.device") == []
    assert _sum(await site.proofs("device/w-9")) == dict(zip(PLACES, before[:3], strict=False)) | {"device": 1}
    assert await site.verified() == []


@pytest.mark.parametrize("is_held", [False, True])
async def test_what_a_unit_said_after_it_was_revoked_goes_in_pieces_and_is_counted(
    site: Court, monkeypatch: pytest.MonkeyPatch, is_held: bool
) -> None:
    """Killed in between; and held then, so that its row stays."""
    number = await site.unit("w-9")
    await site.fixed(number, 1, 40, 50, 60)
    await site.revoke("w-9", 30)
    before, erase, days = await site.left(number), ErasureRecord.erase_rest, 0

    async def failing(self: ErasureRecord, *args: object) -> int:
        nonlocal days
        days += 1
        if days > 2:
            raise RecordUnavailable("it took too long")
        return await erase(self, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr(ErasureRecord, "erase_rest", failing)
        assert not await site.keep(over(30))
    assert await site.hours(number) == [60]
    assert await site.rows("select fixes, begun_at = until_at from tocsin.history_over") == [(2, True)]
    if is_held:
        hold = await site.held(What.DEVICE, "w-9", over(30) + 1)
        assert _sum(await site.proofs("device/w-9"))["fixes"] == 3
        assert await site.keep(over(30) + HOUR_MS)
        assert await site.hours(number) == [60]
        assert await site.verified() == []
        await Holds(site.pool).lift(hold.id, because="judged", by="greffe", at_ms=over(30) + HOUR_MS)
    assert await site.keep(over(30) + 2 * HOUR_MS)
    assert await site.left(number) == (0, 0, 0, 0)
    assert _sum(await site.proofs("device/w-9")) == dict(zip(PLACES, before[:3], strict=False)) | {"device": 1}
    assert await site.verified() == []


def _sum(proofs: Sequence[Deletion]) -> Counter[str]:
    return sum((Counter(one.rows) for one in proofs), Counter())


async def test_a_unit_of_a_longer_measure_stays_with_it(site: Court, pair: tuple[int, int]) -> None:
    await site.unit("p-2")
    await site.order("m2", "w-1", "p-2", 2, 60)
    await site.revoke("w-1", 61)
    await site.revoke("p-1", 12)
    await site.keep(over(12))
    assert {row[0] for row in await site.rows("select id from tocsin.measure")} == {"m2"}
    assert {row[0] for row in await site.rows("select id from tocsin.device")} == {"w-1", "p-2"}
    await site.keep(over(61))
    assert {row[0] for row in await site.rows("select id from tocsin.device")} == {"p-2"}
    assert await site.verified() == []


async def test_a_phone_goes_by_its_own_time_and_its_chain_first(site: Court) -> None:
    await site.unit("t-1")
    await site.command("t-1", day(3))
    await site.revoke("t-1", 1)
    terms = Terms(tgd_file_months=12)
    for month_ms, left in ((plus_months(day(1), 12), 1), (plus_months(day(3), 12), 0)):
        await site.heard(month_ms)
        assert await site.custodian(terms).keep(month_ms)
        assert len(await site.rows("select from tocsin.device where id = 't-1'")) == left
    assert await site.rows("select kept_as from tocsin.erased") == [("tgd_file",)]
    assert await site.verified() == []


async def test_a_name_that_is_gone_is_never_given_again(site: Court, pair: tuple[int, int]) -> None:
    await site.revoke("w-1", 13)
    await site.revoke("p-1", 13)
    await site.keep(over(13))
    with pytest.raises(AlreadyExists):
        await site.unit("w-1", 3000)
    await site.unit("w-2", 3000), await site.unit("p-2", 3000)
    with pytest.raises(AlreadyExists):
        await site.order("m1", "w-2", "p-2", 3000, 3010)


async def test_a_second_pass_changes_nothing(site: Court, pair: tuple[int, int]) -> None:
    await site.keep(EVER_MS)
    chains = "select name, length from tocsin.chain order by 1"
    before = await site.rows(chains)
    await site.keep(EVER_MS + HOUR_MS)
    assert await site.rows(chains) == before


async def test_a_row_is_not_erased_against_a_hold_of_that_minute(site: Court, pair: tuple[int, int]) -> None:
    await site.heard(over(11))
    record = ErasureRecord(site.pool, by="test", clock=site)
    revision = await RetentionRecord(site.pool).revision()
    await site.run("update tocsin.measure set zones = '[]'")
    (life, *_) = [one async for one in record.units(over(11), TERMS)]
    await site.held(What.MEASURE, "m1", over(11))
    with pytest.raises(HoldsChanged):
        await record.erase_day(life, life.erased_ms, day(11), revision)


# --- what a verifier says of what was done outside the rule ---


@pytest.fixture
async def gone(site: Court, pair: tuple[int, int]) -> tuple[int, int]:
    await site.keep(over(11))
    assert await site.verified() == []
    return pair


async def test_a_measure_that_somebody_took_away_is_named(site: Court, pair: tuple[int, int]) -> None:
    """By hand, with its versions and their payloads still there, or without."""
    await _by_hand(site, "delete from tocsin.measure_version", "delete from tocsin.measure")
    assert ("tocsin.measure", "m1", "row_missing") in await site.words()


async def test_the_name_of_what_is_gone_cannot_be_lost_or_invented(site: Court, gone: tuple[int, int]) -> None:
    await _by_hand(site, "delete from tocsin.erased")
    assert await site.words() == {
        ("tocsin.erased", "measure/m1", "row_missing"), ("tocsin.measure", "m1", "row_missing"),
    }  # fmt: skip
    await _by_hand(
        site,
        "insert into tocsin.erased values ('measure', 'm1', 'measure_file', '2026-01-16', '2032-01-16')",
        "insert into tocsin.erased values ('device', 'w-1', 'measure_file', '2026-01-16', '2032-01-16')",
    )
    assert await site.words() == {("tocsin.erased", "device/w-1", "row_added")}


async def test_positions_that_are_there_again_are_named(site: Court, gone: tuple[int, int]) -> None:
    await site.fixed(gone[0], 7)
    assert await site.words() == {("tocsin.fixes", "device/w-1", "not_erased")}


@pytest.mark.parametrize("table", PLACES[:3])
async def test_positions_of_a_unit_that_is_gone_are_named_in_each_table(
    site: Court, pair: tuple[int, int], table: str
) -> None:
    await site.fixed(pair[0], 12.5)
    await site.revoke("w-1", 13)
    kept = {"fixes": "measured_at", "fixes_astray": "received_at", "fixes_hourly": "hour"}
    await site.run(f"create table tocsin.copy as select * from tocsin.{table}")  # noqa: S608  (ours)
    assert await site.keep(over(13))
    assert await site.verified() == []
    query = f"insert into tocsin.{table} select * from tocsin.copy where device_number = %s and {kept[table]} < %s"  # noqa: S608
    await site.run(query, pair[0], utc(day(14)))
    assert ("tocsin.fixes", "device/w-1", "not_erased") in await site.words()


@pytest.mark.parametrize(("early", "wrong"), [(2, True), (0, False)])
async def test_a_history_that_went_before_its_time_is_named(
    site: Court, pair: tuple[int, int], early: int, wrong: bool
) -> None:
    at_ms = over(11) - early * DAY_MS
    await _forge(site, at_ms)
    assert (("tocsin.link", "device/w-1 1", "deletion_unlawful") in await site.words()) is wrong


async def test_a_history_that_went_while_it_was_held_is_named(site: Court, pair: tuple[int, int]) -> None:
    await site.held(What.DEVICE, "w-1", day(20))
    await _forge(site, EVER_MS)
    assert ("tocsin.link", "device/w-1 2", "deletion_unlawful") in await site.words()


async def _forge(site: Court, at_ms: int) -> None:
    """As the custodian links it; and the rows are gone."""
    said = Deletion(
        numbers=(), kept_as=KeptAs.MEASURE_FILE, at_ms=at_ms, rule="R631-11", by="tocsin custodian",
        rows={"fixes": 4}, from_ms=day(1), until_ms=day(11),
    )  # fmt: skip
    item = Item(
        chain="device/w-1", kind=Kind.DELETION, kept_as=KeptAs.PROOF, payload=msgspec.json.encode(said),
        source=f"deletion:history:{day(1)}:{day(11)}",
    )  # fmt: skip
    await Seals(site.pool).seal([item], at_ms=at_ms)
    await _by_hand(site, "delete from tocsin.fixes where measured_at < '2026-01-16 12:00Z'")


async def _by_hand(site: Court, *statements: str) -> None:
    """As a superuser would, triggers off."""
    async with transaction(site.pool) as connection:
        await connection.execute("set local session_replication_role = replica")
        for statement in statements:
            await connection.execute(statement.encode())


# --- what would go ---


async def test_the_preview_counts_histories_and_rows_and_does_nothing(site: Court, pair: tuple[int, int]) -> None:
    await site.unit("w-2"), await site.unit("p-2")
    await site.order("m2", "w-2", "p-2", 1, 11)
    hold = await site.held(What.MEASURE, "m2", day(20))
    await site.heard(over(11))
    found = _counted(await preview(site.pool, over(11), TERMS, site))
    assert found["history", Word.OVER, None] == 4, "of the held pair what was before its measure"
    assert found["history", Word.HELD, hold.id] == 2
    assert await site.proofs("device/w-1") == []
    await site.keep(over(11))
    found = _counted(await preview(site.pool, over(11), TERMS, site))
    assert [line for line in found if line[1] is Word.OVER] == []
    assert found["history", Word.HELD, hold.id] == 2


def _counted(lines: Sequence[Line]) -> dict[tuple[str, Word, str | None], int]:
    return {(one.of, one.word, one.hold): one.files for one in lines}


async def test_a_unit_that_the_record_refuses_keeps_no_other(
    site: Court, pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    erase = ErasureRecord.erase_day

    async def refusing(self: ErasureRecord, life: object, *args: object) -> int:
        if life.id == "w-1":  # type: ignore[attr-defined]
            raise RecordRefused("this one")
        return await erase(self, life, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(ErasureRecord, "erase_day", refusing)
    assert await site.keep(over(11))
    assert [len(await site.hours(number)) for number in pair] == [6, 1]
    assert len(await site.rows("select from tocsin.measure")) == 1, "it says whose they are"


# --- what it costs ---


async def many_pairs(site: Court, pairs: int) -> None:
    """Measures ``m1``, ``m2`` … of two days, each of a wearer ``w`` and a protected person ``p`` of its number."""
    await site.run(
        """insert into tocsin.device (id, kind, password_bcrypt, created_at)
           select side || n, case side when 'w' then 'bar_wearer' else 'bar_protected' end, '', %s
           from generate_series(1, %s) n, unnest(array['w', 'p']) side""",
        utc(day(0)), pairs,
    )  # fmt: skip
    await site.run(
        """insert into tocsin.measure (id, version, wearer, protected, alert_distance_m, valid_from, valid_until,
             created_at, created_by)
           select 'm' || n, 1, 'w' || n, 'p' || n, 1000, %s, %s, %s, 'tj' from generate_series(1, %s) n""",
        utc(day(0)), utc(day(2)), utc(day(0)), pairs,
    )  # fmt: skip


async def test_a_measure_that_an_alert_names_stays_wherever_it_stands_in_the_pages(site: Court) -> None:
    """More than a page of measures. ``ALERTS=400000 pytest -s --timeout=300 …`` says what it costs."""
    alerts, measures = int(os.environ.get("ALERTS", "2000")), 1_200
    record, standing = ErasureRecord(site.pool, by="test", clock=site), 3
    await many_pairs(site, measures)
    model = await site.approach("m1", day(1))
    async with transaction(site.pool) as connection:
        await connection.execute("set local statement_timeout = 0")
        await connection.execute(
            """insert into tocsin.episode select (jsonb_populate_record(alert, jsonb_build_object(
                 'id', 'alr_many_' || n, 'subject', 'many_' || n, 'measures',
                 array[case when n > %s then 'other_' || n else 'm' || n end]))).*
               from tocsin.episode alert, generate_series(2, %s) n where id = %s""",
            [standing, alerts, model.id],
        )
    began = time.perf_counter()
    found = {one.id async for one in record.measures(over(11), TERMS)}
    print(f"\n{measures} measures, {alerts} alerts: {time.perf_counter() - began:.2f} s")
    assert found == {f"m{n}" for n in range(standing + 1, measures + 1)}
    assert len([one async for one in record.units(over(11), TERMS)]) == 2 * measures


async def test_a_pass_with_nothing_over_goes_through_no_day(site: Court) -> None:
    """``UNITS=4000 pytest -s …`` says what passes of a fleet cost; one unit has two days of a fix each 10 s."""
    pairs, days = int(os.environ.get("UNITS", "20")) // 2, 2
    await many_pairs(site, pairs)
    ((number,),) = await site.rows("select number from tocsin.device where id = 'w1'")
    await site.fixed(number, *(second / 8_640 for second in range(8_640 * days)))
    timings: dict[str, float] = {}
    gone: dict[str, bool] = {}
    for name, at in (("nothing near", -20.0), ("first days", 1.8), ("nothing over", 1.9), ("all over", 2.0)):
        began = time.perf_counter()
        with capture_logs() as said:
            assert await site.keep(over(at)), said
        timings[name] = round(time.perf_counter() - began, 2)
        gone[name] = any(one.get("chore") == "history" for one in said)
    print(f"\n{2 * pairs} units, seconds: {timings}")
    assert gone == {"nothing near": False, "first days": True, "nothing over": False, "all over": True}
    assert await site.left(number) == (0, 0, 0, 0)
    assert [one.rows["fixes"] for one in await site.proofs("device/w1") if "fixes" in one.rows][-1] == 8_640 * days
