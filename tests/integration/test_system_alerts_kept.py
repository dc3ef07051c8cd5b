"""Is what the system says of a canary evidence, like any other alert, and what stood before that rule too?

F07, F09, F10, invariants 14, 15; docs/adr/0050. On a real PostgreSQL, altered as its owner could.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import psycopg
import pytest
from builders import NOW_MS, REALM, entry
from custody_world import Site

from alerts import desk
from alerts.recorder import run_recorder
from audit.canary import notice_of
from audit.canary_round import Word
from audit.verification import Fault
from audit.verifier import TO_LINK, Asked, Summary, verify
from tocsin.adapters.accesses import AccessRecord
from tocsin.adapters.commands import CommandRecord
from tocsin.adapters.episodes import EpisodeRecord, RecordedReceipt, RecordedRuling
from tocsin.adapters.examination import examining
from tocsin.adapters.late_links import SQL, link_late
from tocsin.adapters.migrate import migrate, migrations
from tocsin.adapters.postgres import CUSTODIAN, RECORDER, Pool, open_pool, transaction
from tocsin.adapters.reconcile import system_alerts_kept_from_ms
from tocsin.clock import AffineClock, utc
from tocsin.model.canary import CANARYS_IN_SQL, is_canarys
from tocsin.model.episode import Event, FindingCause, NoticeCause, Receipt, Ruling
from tocsin.retention import DAY_MS
from tocsin.subjects import EPISODES
from tocsin.testing.bus import MemoryLog

pytest_plugins = ("database",)

MEASURE = "canary-3"
HOUR_MS = 3_600_000
LISTED_MS = NOW_MS + DAY_MS
"""When 0018 is applied, where rows stand already."""


def failed() -> Ruling:
    notice = notice_of(MEASURE, Word("finding", NOW_MS), None)
    ruling = desk.handle(None, NoticeCause(notice=notice), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    return ruling


FAILED = failed()
ALERT = FAILED.episode.id
TOLD = FAILED.notifications[0]
ATTEMPT = Receipt(
    notification=TOLD.id, episode=ALERT, version=1, channel=TOLD.channel, attempt=1, t7_ms=NOW_MS + 7,
    t8_ms=NOW_MS + 9, result="accepted", line="first", recipient=TOLD.recipient,
)  # fmt: skip
RULING_KEY, ATTEMPT_KEY = f"{ALERT} 1", f"{TOLD.id} 1 {NOW_MS + 7} first"


async def keep(pool: Pool) -> None:
    """As the recorder does."""
    record = EpisodeRecord(pool)
    await record.record_rulings([RecordedRuling(sequence=1, ruling=FAILED)])
    await record.record_receipts([RecordedReceipt(code=FAILED.episode.code, subject=MEASURE, receipt=ATTEMPT)])


async def verified(dsn: str) -> tuple[Summary, set[tuple[str, str, str]]]:
    found: list[Fault] = []
    async with examining(dsn) as record:
        summary = await verify(record, Asked(), found.append, lambda _, __: None)
    return summary, {(one.table, one.key, one.wrong) for one in found}


def alter(dsn: str, *statements: str) -> None:
    """As the owner of the database, triggers off."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        for statement in statements:
            assert connection.execute(statement.encode()).rowcount > 0, f"did nothing: {statement}"


UNLINK = ("delete from tocsin.opened", "delete from tocsin.link", "delete from tocsin.chain")
"""The record as the rule of before has left it."""
DROPPED = pytest.mark.parametrize(
    ("drop", "missing"),
    [
        ("delete from tocsin.attempt", ("tocsin.attempt", ATTEMPT_KEY, "row_missing")),
        ("delete from tocsin.ruling", ("tocsin.ruling", RULING_KEY, "row_missing")),
    ],
)


@DROPPED
async def test_it_is_linked_outlives_the_canarys_day_and_its_loss_is_named(
    pool: Pool, dsn: str, drop: str, missing: tuple[str, str, str]
) -> None:
    await keep(pool)
    near = desk.handle(None, FindingCause(finding=entry(measure=MEASURE)), REALM, NOW_MS)
    assert isinstance(near, Ruling)
    await EpisodeRecord(pool).record_rulings([RecordedRuling(sequence=2, ruling=near)])
    site = Site(pool)
    assert len(await site.rows("select from tocsin.episode")) == 2
    assert await site.keep(NOW_MS + DAY_MS + HOUR_MS)
    assert await site.rows("select id from tocsin.episode") == [(ALERT,)]
    sources = await site.rows("select source from tocsin.link order by chain, number")
    assert [source.split(":")[0] for (source,) in sources] == ["ruling", "attempt"]
    summary, faults = await verified(dsn)
    assert (faults, summary.checked["tocsin.ruling"], summary.checked["tocsin.attempt"]) == (set(), 1, 1)
    alter(dsn, drop)
    assert missing in (await verified(dsn))[1]


# --- what stood before the rule ---


async def upgraded(dsn: str, folder: Path, *, drop: str = "") -> None:
    """Kept under the rule of before, then brought up to date."""
    for each in migrations():
        if each.number < 18:
            (folder / each.name).write_bytes(each.sql)
    await migrate(dsn, folder)
    async with open_pool(dsn) as pool:
        await keep(pool)
    alter(dsn, *UNLINK)
    assert (await verified(dsn))[1] == set(), "not yet migrated, and nobody calls them forged"
    assert "0018_system_alerts.sql" in await migrate(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute("update tocsin.migration set applied_at = %s where number = 18", [utc(LISTED_MS)])
    if drop:
        alter(dsn, drop)


async def test_of_before_it_is_neither_forged_nor_lost_and_linked_by_the_next_recorder(
    empty_dsn: str, tmp_path: Path
) -> None:
    await upgraded(empty_dsn, tmp_path)
    summary, faults = await verified(empty_dsn)
    assert (faults, summary.checked[TO_LINK]) == (set(), 2)
    async with open_pool(empty_dsn, role=RECORDER) as pool:
        assert await link_late(pool, AffineClock()) == 2
        assert await link_late(pool, AffineClock()) == 0
        await keep(pool)  # it comes again, and is not linked a second time
    summary, faults = await verified(empty_dsn)
    assert (faults, summary.checked["tocsin.link"], summary.checked[TO_LINK]) == (set(), 2, 0)


@DROPPED
async def test_of_before_what_is_dropped_before_it_is_linked_is_named(
    empty_dsn: str, tmp_path: Path, drop: str, missing: tuple[str, str, str]
) -> None:
    await upgraded(empty_dsn, tmp_path, drop=drop)
    assert missing in (await verified(empty_dsn))[1]
    async with open_pool(empty_dsn) as pool:
        assert await link_late(pool, AffineClock()) == 1
    assert missing in (await verified(empty_dsn))[1], "to begin a recorder makes it no better"


@DROPPED
async def test_of_before_what_is_dropped_after_it_was_linked_is_named(
    empty_dsn: str, tmp_path: Path, drop: str, missing: tuple[str, str, str]
) -> None:
    await upgraded(empty_dsn, tmp_path)
    async with open_pool(empty_dsn) as pool:
        await link_late(pool, AffineClock())
    alter(empty_dsn, drop)
    assert missing in (await verified(empty_dsn))[1]


async def test_a_row_that_is_put_in_beside_them_is_made_no_evidence(empty_dsn: str, tmp_path: Path) -> None:
    await upgraded(empty_dsn, tmp_path)
    alter(
        empty_dsn,
        """insert into tocsin.ruling (stream_sequence, episode, code, subject, version, reason, event, at, payload)
           select 0, episode, code, subject, version, reason, event, at, payload from tocsin.ruling""",
    )
    async with open_pool(empty_dsn) as pool:
        assert await link_late(pool, AffineClock()) == 2
    assert (await verified(empty_dsn))[1] == {("tocsin.ruling", f"{ALERT} 0", "row_added")}


async def test_what_0018_could_not_have_listed_is_forged_whatever_the_list_says(
    empty_dsn: str, tmp_path: Path
) -> None:
    """A decision about people, and one of the system that is dated behind the list, each put on it."""
    await upgraded(empty_dsn, tmp_path)
    people = desk.handle(None, FindingCause(finding=entry()), REALM, NOW_MS)
    notice = notice_of(MEASURE, Word("finding", LISTED_MS + HOUR_MS), None)
    late = desk.handle(None, NoticeCause(notice=notice), REALM, LISTED_MS + HOUR_MS)
    assert isinstance(people, Ruling)
    assert isinstance(late, Ruling)
    told = msgspec.structs.replace(ATTEMPT, notification="ntf_1", episode=people.episode.id)
    async with open_pool(empty_dsn) as pool:
        record = EpisodeRecord(pool)
        await record.record_rulings([RecordedRuling(sequence=8, ruling=people)])
        await record.record_rulings([RecordedRuling(sequence=9, ruling=late)])
        await record.record_receipts([RecordedReceipt(code="PROX_ALERT", subject="msr_1", receipt=told)])
    moved = "insert into tocsin.to_link select chain, source from tocsin.link where kind in ('ruling', 'attempt')"
    alter(empty_dsn, moved, *UNLINK)
    forged = {
        ("tocsin.ruling", f"{people.episode.id} 8", "row_added"),
        ("tocsin.ruling", f"{late.episode.id} 9", "row_added"),
        ("tocsin.attempt", f"ntf_1 1 {NOW_MS + 7} first", "row_added"),
    }
    assert forged <= (await verified(empty_dsn))[1]
    async with open_pool(empty_dsn) as pool:
        assert await link_late(pool, AffineClock()) == 2, "what was listed rightly"
    summary, faults = await verified(empty_dsn)
    assert forged <= faults
    assert summary.checked["tocsin.link"] == 2


async def test_a_list_of_nonsense_is_named_and_in_nobodys_way(empty_dsn: str, tmp_path: Path) -> None:
    await upgraded(empty_dsn, tmp_path)
    odd = [("episode/x", "case:1"), ("device/x", "ruling:1"), ("episode/x", "ruling:one"), ("a", "attempt:1:2:3"),
           ("episode/x", f"ruling:{10**30}")]  # fmt: skip
    with psycopg.connect(empty_dsn) as connection:
        connection.execute("set session_replication_role = replica")
        connection.cursor().executemany("insert into tocsin.to_link values (%s, %s)", odd)
    async with open_pool(empty_dsn) as pool:
        assert await link_late(pool, AffineClock()) == 2
    assert len((await verified(empty_dsn))[1]) == len(odd)


async def test_nobody_adds_to_the_list_and_a_row_leaves_it_by_its_link_alone(
    empty_dsn: str, tmp_path: Path
) -> None:
    """By the owner of the tables, triggers on."""
    await upgraded(empty_dsn, tmp_path)
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        for statement in (
            "insert into tocsin.to_link values ('episode/x', 'ruling:1')",
            "update tocsin.to_link set source = 'ruling:2'",
            "delete from tocsin.to_link",
            "truncate tocsin.to_link",
        ):
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
                connection.execute(statement.encode())
        asked = "select has_table_privilege(%s, 'tocsin.to_link', %s)"
        verbs = ("insert", "update", "truncate", "delete")
        may = [
            [connection.execute(asked, [role, verb]).fetchone() for verb in verbs]
            for role in (RECORDER, CUSTODIAN)
        ]
    assert may == [[(False,), (False,), (False,), (True,)], [(False,)] * 4]


async def test_however_long_the_record_is_rows_are_found_by_their_keys(empty_dsn: str, tmp_path: Path) -> None:
    await upgraded(empty_dsn, tmp_path)
    many = "from generate_series(1, 30000) as n"
    alter(
        empty_dsn,
        f"""insert into tocsin.ruling
              (stream_sequence, episode, code, subject, version, reason, event, at, payload)
            select n, 'alr_' || n, 'X', 'x', 1, 'x', '{{}}', now(), '' {many}""",
        f"""insert into tocsin.attempt (notification, attempt, t7, episode, version, channel, result)
            select 'ntf_' || n, 1, now(), 'alr_' || n, 1, 'x', 'x' {many}""",
    )
    keys = {"episodes": [ALERT], "sequences": [1]}
    tried = {"notifications": [TOLD.id], "attempts": [1], "hours": [utc(NOW_MS + 7)], "lines": ["first"]}
    async with open_pool(empty_dsn) as pool, transaction(pool) as connection:
        await connection.execute("analyze tocsin.ruling, tocsin.attempt")
        for name, values in (("rulings", keys), ("attempts", tried)):
            cursor = await connection.execute(b"explain " + SQL[name], values)
            plan = "\n".join(line for (line,) in await cursor.fetchall())
            assert f"using {name[:-1]}_pkey" in plan or f"on {name[:-1]}_pkey" in plan, plan
            assert not any(f"Seq Scan on {table} " in plan for table in ("ruling", "attempt")), plan
    async with open_pool(empty_dsn) as pool:
        assert await link_late(pool, AffineClock()) == 2


async def test_the_recorder_links_them_beside_its_queues(empty_dsn: str, tmp_path: Path) -> None:
    await upgraded(empty_dsn, tmp_path)
    done = asyncio.Event()
    async with open_pool(empty_dsn) as pool:

        async def linking() -> int:
            linked = await link_late(pool, AffineClock())
            done.set()
            return linked

        recorder = asyncio.create_task(
            run_recorder(
                log=MemoryLog(), record=EpisodeRecord(pool), accesses=AccessRecord(pool),
                commands=CommandRecord(pool), ready=lambda: None, link_late=linking,
            )
        )  # fmt: skip
        async with asyncio.timeout(30):
            await done.wait()
        recorder.cancel()
    assert (await verified(empty_dsn))[0].checked["tocsin.link"] == 2


async def test_what_the_old_rule_erased_from_the_record_does_not_stay_on_the_log(pool: Pool) -> None:
    """It is not there because the rule of then took it; what is missing since is kept on the log, and said."""
    kept_ms = await system_alerts_kept_from_ms(pool)
    site = Site(pool)

    async def life(at_ms: int) -> None:
        cause: Event = NoticeCause(notice=notice_of(MEASURE, Word("finding", at_ms), None))
        for recorded in (False, False, True):
            ruled = desk.handle(None, cause, REALM, at_ms)
            assert isinstance(ruled, Ruling)
            await site.keep_ruling(ruled, recorded=recorded)

    await life(kept_ms - HOUR_MS)
    assert await site.keep(kept_ms + 4 * DAY_MS)
    assert len(site.log.entries(EPISODES)) == 1
    await life(kept_ms + 5 * DAY_MS)
    assert await site.keep(kept_ms + 9 * DAY_MS)
    assert len(site.log.entries(EPISODES)) == 3


# --- one rule in two languages ---


async def test_the_record_has_the_rule_that_everybody_has(pool: Pool) -> None:
    names = ([], ["canary-3"], ["canary-3", "canary-4"], ["canary-3", "msr_1"], ["msr_1"], ["canary-x"])
    asked = [
        (code, measures, device)
        for code in ("PROX_ALERT", "BAR_SOS", "SYS_CANARY_FAIL", "SYS_FLEET_SILENCE")
        for measures in names
        for device in (None, "canary-3-w", "b0000001", "canary-3-x")
    ]
    alert = "(select %s::text as code, %s::text[] as measures, %s::text as device) as alert"
    query = f"select {CANARYS_IN_SQL} from {alert}".encode()  # noqa: S608  (ours)
    async with transaction(pool) as connection:
        for code, measures, device in asked:
            cursor = await connection.execute(query, [code, measures, device])
            assert await cursor.fetchone() == (is_canarys(code, measures, device),), (code, measures, device)
