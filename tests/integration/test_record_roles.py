"""Who may do what to the record? Every refusal on real PostgreSQL, under each role and as the tables' owner.

F09, F10, invariants 14, 15. The recorder only adds; the custodian only erases, and adds the proof of it; nobody
changes a row, whoever he is.
"""
# ruff: noqa: S608  (every name in a statement is a name of ours)

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import builders
import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from psycopg.conninfo import make_conninfo
from structlog.testing import capture_logs

from tocsin.adapters.accesses import AccessRecord, RecordedAccess
from tocsin.adapters.commands import CommandRecord, RecordedCommand, RecordedResult
from tocsin.adapters.episodes import EpisodeRecord, RecordedReceipt, RecordedRuling
from tocsin.adapters.migrate import migrate, migrations, script
from tocsin.adapters.postgres import CUSTODIAN, RECORDER, Pool, open_pool, transaction
from tocsin.adapters.seals import Seals
from tocsin.chain import Item, KeptAs, Kind, faults
from tocsin.clock import AffineClock
from tocsin.embedded import EmbeddedPostgres
from tocsin.model.access import Access
from tocsin.model.command import Action, Command, CommandStatus, Stage
from tocsin.model.episode import AlarmCause, Channel, Episode, Notification, Raise, Realm, Receipt, Ruling, State
from tocsin.model.finding import Alarm, Code
from tocsin.model.fix import ClockPoints

pytest_plugins = ("database",)

KEPT = ("ruling", "attempt", "access", "command", "result")
"""The tables of the record."""
_owners = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A database whose tables belong to a plain login: no superuser, no maker of roles. ``admin``: who is."""

    dsn: str
    admin: str
    owner: str


@pytest_asyncio.fixture
async def place(empty_dsn: str) -> AsyncIterator[Place]:
    owner = f"owner_{next(_owners)}"
    name = sql.Identifier(owner)
    async with await psycopg.AsyncConnection.connect(empty_dsn, autocommit=True) as admin:
        for part in (RECORDER, CUSTODIAN):
            found = await admin.execute("select from pg_roles where rolname = %s", [part])
            if await found.fetchone() is None:
                await admin.execute(sql.SQL("create role {} nologin").format(sql.Identifier(part)))
        await admin.execute(sql.SQL("create role {} login").format(name))
        await admin.execute(sql.SQL("grant create on database {} to {}").format(_database(empty_dsn), name))
    dsn = make_conninfo(empty_dsn, user=owner)
    await migrate(dsn)
    yield Place(dsn=dsn, admin=empty_dsn, owner=owner)
    async with await psycopg.AsyncConnection.connect(empty_dsn, autocommit=True) as admin:
        await admin.execute(sql.SQL("drop owned by {} cascade").format(name))
        await admin.execute(sql.SQL("drop role {}").format(name))


def _database(dsn: str) -> sql.Identifier:
    return sql.Identifier(str(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]))


async def become(place: Place, *parts: str) -> None:
    """The administrator lets the login become these."""
    async with await psycopg.AsyncConnection.connect(place.admin, autocommit=True) as admin:
        for part in parts:
            statement = sql.SQL("grant {} to {}").format(sql.Identifier(part), sql.Identifier(place.owner))
            await admin.execute(statement)


async def keep(pool: Pool) -> None:
    """One row in each table, and its link."""
    episode = Episode(
        id="alr_1", code=Code.PROX_ALERT, subject="msr_1", realm=Realm.LAB, priority=1, state=State.RAISED,
        version=1, opened_ms=builders.NOW_MS, recorded_ms=builders.NOW_MS, measures=("msr_1",), device=None,
        causes=("alm_1",),
        raises=(Raise(version=1, cause="alm_1", at_ms=builders.NOW_MS, points=ClockPoints()),),
    )  # fmt: skip
    alarm = Alarm(
        id="alm_1", code=Code.BAR_SOS, device="v0000001", measures=("msr_1",), at_ms=builders.NOW_MS, silent=False,
        position=builders.fix_point(builders.PROTECTED), points=ClockPoints(),
    )  # fmt: skip
    ruling = Ruling(
        episode=episode, event=AlarmCause(alarm=alarm), reason="key", at_ms=builders.NOW_MS,
        notifications=(Notification(id="evt_1", channel=Channel.POLICE, type="t"),),
    )  # fmt: skip
    receipt = Receipt(
        notification="evt_1", episode="alr_1", version=1, channel=Channel.POLICE, attempt=1, t7_ms=builders.NOW_MS,
        t8_ms=None, result="timeout",
    )  # fmt: skip
    access = Access(id="acc_1", at_ms=builders.NOW_MS, who="Zoé", role="monitor", what="alert", objects=("alr_1",))
    command = Command(
        id="cmd_1", device="v0000001", action=Action.RING, at_ms=builders.NOW_MS, expires_ms=builders.NOW_MS
    )
    status = CommandStatus(
        command="cmd_1", device="v0000001", stage=Stage.SENT, at_ms=builders.NOW_MS, reason="sent"
    )
    record, commands = EpisodeRecord(pool), CommandRecord(pool)
    for _ in range(2):  # the second time as what comes again
        await record.record_rulings([RecordedRuling(sequence=1, ruling=ruling)])
        await record.record_receipts([RecordedReceipt(code="PROX_ALERT", subject="msr_1", receipt=receipt)])
        await AccessRecord(pool).record_accesses([RecordedAccess(sequence=1, access=access)])
        await commands.record_commands([RecordedCommand(sequence=1, command=command)])
        await commands.record_results([RecordedResult(sequence=1, status=status)])


async def refused(pool: Pool, statement: str, role: str | None = None) -> str:
    """The state of the refusal; fails when it is done."""
    async with pool.connection() as connection, connection.transaction(force_rollback=True):
        if role is not None:
            await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        with pytest.raises(psycopg.Error) as told:
            await connection.execute(statement.encode())
    return str(told.value.sqlstate)


RIGHT, ADDED_TO = "42501", "23000"
"""insufficient_privilege; integrity_constraint_violation, from the trigger of what is only ever added to."""


async def test_the_recorder_adds_and_can_do_nothing_else(place: Place) -> None:
    await become(place, RECORDER)
    async with open_pool(place.dsn, role=RECORDER) as pool:
        await keep(pool)
        async with transaction(pool) as connection:
            assert await (await connection.execute("select current_user")).fetchone() == (RECORDER,)
        for table in (*KEPT, "link", "opened"):
            for verb in (f"update tocsin.{table} set {SOME[table]}", f"truncate tocsin.{table}",
                         f"delete from tocsin.{table}", f"drop table tocsin.{table}",
                         f"alter table tocsin.{table} disable trigger all"):  # fmt: skip
                assert await refused(pool, verb) == RIGHT, verb
        for verb in ("delete from tocsin.chain", "update tocsin.chain set name = 'x'",
                     "delete from tocsin.episode", "select from tocsin.opened", "select from tocsin.fixes",
                     "select password_bcrypt from tocsin.device", "update tocsin.device set kind = 'tgd'",
                     "insert into tocsin.measure_version (measure) values ('x')"):  # fmt: skip
            assert await refused(pool, verb) == RIGHT, verb


SOME = {
    "ruling": "reason = 'x'", "attempt": "result = 'x'", "access": "who = 'x'", "command": "said_by = 'x'",
    "result": "reason = 'x'", "link": "source = 'x'", "opened": "payload = ''",
}  # fmt: skip


@pytest.mark.parametrize("role", [None, CUSTODIAN])
async def test_nobody_changes_a_row_or_empties_a_table(place: Place, role: str | None) -> None:
    """Not the owner either, by mistake; who takes the triggers away is found by the heads outside (ADR 40)."""
    await become(place, CUSTODIAN)
    async with open_pool(place.dsn) as pool:
        await keep(pool)
        for table in (*KEPT, "link", "opened"):
            for verb in (f"update tocsin.{table} set {SOME[table]}", f"truncate tocsin.{table}"):
                expected = ADDED_TO if role is None else RIGHT
                assert await refused(pool, verb, role) == expected, verb


async def test_the_custodian_alone_erases_and_links_are_for_ever(place: Place) -> None:
    """Invariant 14: the proof goes into the same chain."""
    await become(place, CUSTODIAN)
    async with open_pool(place.dsn) as pool:
        await keep(pool)
        for table in (*KEPT, "opened"):
            assert await refused(pool, f"delete from tocsin.{table}") == RIGHT, table
        assert await refused(pool, "delete from tocsin.link") == ADDED_TO
        assert await refused(pool, "delete from tocsin.link", CUSTODIAN) == RIGHT
    async with open_pool(place.dsn, role=CUSTODIAN) as pool:
        async with transaction(pool) as connection:
            for table in (*KEPT, "opened"):
                done = await connection.execute(f"delete from tocsin.{table}".encode())
                assert done.rowcount >= 1, table
        proof = Item(
            chain="episode/alr_1", kind=Kind.DELETION, kept_as=KeptAs.PROOF, source="deletion:1",
            payload=b'{"numbers":[1,2,3],"kept_as":"measure_file","at_ms":0,"rule":"r","by":"x"}',
        )  # fmt: skip
        await Seals(pool).seal([proof], at_ms=AffineClock().now_ms())
        seals = Seals(pool)
        chain = await seals.links("episode/alr_1")
        assert faults("episode/alr_1", chain, await seals.opened("episode/alr_1")) == []


async def test_a_superuser_is_refused_as_well(pool: Pool) -> None:
    """The embedded server has no other login."""
    await keep(pool)
    for table in KEPT:
        assert await refused(pool, f"update tocsin.{table} set {SOME[table]}") == ADDED_TO
        assert await refused(pool, f"truncate tocsin.{table}") == ADDED_TO
        assert await refused(pool, f"delete from tocsin.{table}") == RIGHT


async def test_the_record_is_kept_where_the_role_cannot_be_had_and_that_is_said_once(place: Place) -> None:
    """A deployment without the right to make roles, or without the grant: alerts are recorded all the same."""
    with capture_logs() as said:
        for role in (RECORDER, "tocsin_nobody"):
            async with open_pool(place.dsn, role=role) as pool:
                await keep(pool)
                async with pool.connection(), pool.connection(), pool.connection() as connection:
                    assert await (await connection.execute("select current_user")).fetchone() == (place.owner,)
    told = [(one["role"], one["log_level"], one["reason"]) for one in said if "role" in one]
    assert told == [
        (RECORDER, "error", f'permission denied to set role "{RECORDER}"'),
        ("tocsin_nobody", "error", 'role "tocsin_nobody" does not exist'),
    ]


async def test_a_login_that_may_make_roles_makes_them_and_becomes_them(own_home: Path) -> None:
    """A server on which nobody has made them yet, and a login that is no superuser."""
    server = EmbeddedPostgres(home=own_home)
    admin_dsn = await server.start()
    try:
        async with await psycopg.AsyncConnection.connect(admin_dsn, autocommit=True) as admin:
            await admin.execute("create role plain login createrole")
            await admin.execute("create database plain owner plain")
        dsn = make_conninfo(admin_dsn, user="plain", dbname="plain")
        await migrate(dsn)
        with capture_logs() as said:
            for role in (RECORDER, CUSTODIAN):
                async with open_pool(dsn, role=role) as pool, transaction(pool) as connection:
                    assert await (await connection.execute("select current_user")).fetchone() == (role,)
        assert [one for one in said if one["log_level"] == "error"] == []
    finally:
        await server.stop()


async def test_a_login_of_its_own_needs_nothing_but_the_role(place: Place) -> None:
    """As docs/storage.md has it: the recorder's password opens nothing that the recorder does not need."""
    login = f"{place.owner}_recorder"
    async with await psycopg.AsyncConnection.connect(place.admin, autocommit=True) as admin:
        await admin.execute(
            sql.SQL("create role {} login in role {}").format(sql.Identifier(login), sql.Identifier(RECORDER))
        )
    try:
        async with open_pool(make_conninfo(place.dsn, user=login), role=RECORDER) as pool:
            await keep(pool)
            assert await refused(pool, "delete from tocsin.ruling") == RIGHT
    finally:
        async with await psycopg.AsyncConnection.connect(place.admin, autocommit=True) as admin:
            await admin.execute(sql.SQL("drop role {}").format(sql.Identifier(login)))


async def test_rows_from_before_the_chains_are_marked_as_such(empty_dsn: str) -> None:
    """Nothing of the past is linked in silence: what has no link says why."""
    async with await psycopg.AsyncConnection.connect(empty_dsn, autocommit=True) as admin:
        await _until(admin, empty_dsn)
    async with open_pool(empty_dsn) as pool:
        await keep(pool)
        async with transaction(pool) as connection:
            rows = await connection.execute("select id, before_chains from tocsin.access order by id")
            assert await rows.fetchall() == [("acc_0", True), ("acc_1", False)]


async def _until(admin: psycopg.AsyncConnection[tuple[object, ...]], dsn: str) -> None:
    """The tables of 0011 with a row in them, then those of today."""
    old = [one for one in migrations() if one.number <= 11]
    text = "\n".join(line for line in script(old).splitlines() if not line.startswith("\\"))
    await admin.execute(text.encode())
    await admin.execute(
        "insert into tocsin.access values ('acc_0', 1, now(), 'Zoé', '', 'monitor', 'alert', '{}', '', false)"
    )
    await migrate(dsn)
