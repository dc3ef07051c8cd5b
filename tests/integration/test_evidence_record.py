"""Does the evidence of an alert go through a second record and come out the same, byte for byte (F09)? And is what
contradicts a record refused, with every reason? Two real PostgreSQL databases."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import psycopg
import pytest
from builders import entry, frozen_clock
from evidence_world import (
    ALERT,
    DAY,
    EPISODE,
    HIS,
    MEASURE,
    MINUTE_MS,
    NOW_MS,
    OTHER,
    OVER_MS,
    access,
    found,
    lines,
    of_case,
    of_command,
    of_deletion,
    of_result,
    order,
    receipt,
    resealed,
    rulings,
    salts,
)
from real_record import patient_pool

from audit.evidence import NoSuchAlert, gather
from audit.evidence_access import note
from audit.evidence_import import Refused, taken_in
from audit.package_heads import published_heads
from audit.package_verification import Verdict, verify
from audit.verification import Fault
from audit.verifier import Asked
from audit.verifier import verify as verify_record
from tocsin import sealing
from tocsin.adapters.accesses import AccessRecord, RecordedAccess
from tocsin.adapters.episodes import EpisodeRecord, RecordedReceipt, RecordedRuling
from tocsin.adapters.evidence import Evidence
from tocsin.adapters.examination import examining
from tocsin.adapters.heads import Heads
from tocsin.adapters.migrate import migrate, migrations
from tocsin.adapters.postgres import Pool, open_pool, transaction
from tocsin.adapters.seals import Seals
from tocsin.heads import line_of
from tocsin.model.episode import Realm
from tocsin.model.finding import Past

pytest_plugins = ("database",)

HOUR_MS = 60 * MINUTE_MS
LATER_MS = NOW_MS + 3 * HOUR_MS


@pytest.fixture
async def second(server_dsn: str, template: str) -> AsyncIterator[Pool]:
    """Another database, with the tables and nothing in them."""
    from database import _new_database  # noqa: PLC0415

    async for dsn in _new_database(server_dsn, template):
        async with patient_pool(dsn) as opened:
            yield opened


async def record_alert(pool: Pool, alert: str, opened_ms: int, first: int) -> None:
    """As the recorder does it: rows and links in one transaction."""
    clock = frozen_clock(opened_ms + MINUTE_MS)
    past = Past(first_ms=opened_ms, last_ms=opened_ms, nearest_ms=opened_ms, wearer=None, protected=None, late=())
    finding = msgspec.structs.replace(entry(at_ms=opened_ms), past=past)
    ruled = rulings(alert, opened_ms, found=finding)
    placed = [RecordedRuling(sequence=first + n, ruling=one) for n, one in enumerate(ruled)]
    record = EpisodeRecord(pool, clock=clock)
    await record.record_rulings(placed)
    await record.record_receipts(
        [RecordedReceipt(code="PROX_ALERT", subject=MEASURE, receipt=receipt(alert, opened_ms))]
    )
    uncased = {"made": "uncased", "software": "0.1.0", "finding": finding, "why": "from_history"}
    await Seals(pool).seal([of_case(msgspec.json.encode(uncased), alert)], at_ms=opened_ms + 2 * MINUTE_MS)


async def record_world(pool: Pool) -> None:
    """Two alerts of one measure, three hours apart, both read on one day, once in one reply."""
    seals, draw = Seals(pool), salts()
    await seals.seal([sealing.of_order(order())], at_ms=NOW_MS - 24 * HOUR_MS, draw=draw)
    for number in range(1, 7):  # from 01:00 on the day before to 06:00: an order to him every two hours
        at_ms = NOW_MS + (2 * number - 6) * HOUR_MS
        await seals.seal([of_command(number, at_ms), of_result(100 + number, number, at_ms)], at_ms=at_ms + 50)
    await record_alert(pool, ALERT, NOW_MS, 1)
    await record_alert(pool, OTHER, LATER_MS, 11)
    reads = [access("acc_1"), access("acc_2", OTHER), access("acc_3", ALERT, OTHER), access("acc_4", "alr_9")]
    placed = [RecordedAccess(sequence=n, access=one) for n, one in enumerate(reads, 1)]
    await AccessRecord(pool, clock=frozen_clock(LATER_MS + HOUR_MS)).record_accesses(placed)
    await Heads(pool).make(NOW_MS + 24 * HOUR_MS)


DEVICE_ROW = (
    b"insert into tocsin.device (id, kind, password_bcrypt, created_at)"
    b" values ('wearer-1', 'wearer', '', now()), ('protected-1', 'protected', '', now())"
)
MEASURE_ROW = (
    b"insert into tocsin.measure (id, version, wearer, protected, alert_distance_m, valid_from, valid_until,"
    b" created_at, created_by) values ('msr_7', 1, 'wearer-1', 'protected-1', 1000, now(), now(), now(), 'x')"
)


async def exported(pool: Pool, alert: str = ALERT) -> bytes:
    async with Evidence(pool).reading() as reading:
        return b"".join((await gather(reading, alert)).lines())


async def erase(pool: Pool, chain: str, *numbers: int) -> None:
    """As the custodian does it: gone from beside the links, and a link that says so."""
    async with transaction(pool) as connection:
        await connection.execute(b"set local role tocsin_custodian")
        await connection.execute(
            b"delete from tocsin.opened where chain = %s and number = any(%s)", [chain, list(numbers)]
        )
    await Seals(pool).seal([of_deletion(chain, *numbers)], at_ms=OVER_MS)


async def into(pool: Pool, *contents: bytes) -> None:
    for content in contents:
        await taken_in(pool, content, realm=Realm.LAB, clock=frozen_clock())


def checked(content: bytes) -> Verdict:
    return verify(lines(content), replay=lambda _: [])


async def cursor(pool: Pool, chain: str) -> tuple[int, bytes]:
    async with transaction(pool) as connection:
        query = b"select length, hash from tocsin.chain where name = %s"
        length, last = await (await connection.execute(query, [chain])).fetchone()
    return length, bytes(last)


TABLES = ("ruling", "episode", "notification", "attempt", "access", "command", "result")


async def rows(pool: Pool, table: str) -> list[str]:
    """Without the place of an access on the log, which no payload says."""
    async with transaction(pool) as connection:
        found = await (await connection.execute(f"table tocsin.{table}".encode())).fetchall()
    return sorted(repr([value for n, value in enumerate(row) if (table, n) != ("access", 1)]) for row in found)


async def test_what_is_taken_out_is_whole_and_says_what_happened(pool: Pool) -> None:
    await record_world(pool)
    content = await exported(pool)
    verdict = checked(content)
    assert verdict.faults == []
    assert await exported(pool) == content
    assert [one.ruling.reason for one in verdict.story.in_order] == ["opened", "taken", "closed"]
    assert [one.channel for one in verdict.story.untold()] == ["police"]
    assert {one.id for one in verdict.story.accesses} == {"acc_1", "acc_3"}
    assert [one.command.at_ms for one in verdict.story.commands] == [NOW_MS]
    assert verdict.unproven == {}, "the day's head has all of it"
    assert verdict.withheld == {DAY: 2, HIS: 6}, "what he was told later is there as links, on to the head"


async def test_the_units_of_an_alert_are_those_of_every_version_of_its_measure(pool: Pool) -> None:
    await record_world(pool)
    await Seals(pool).seal([sealing.of_order(order(2, wearer="wearer-2"))], at_ms=LATER_MS)
    header = checked(await exported(pool)).header
    assert header is not None
    assert header.devices == ("protected-1", "wearer-1", "wearer-2")


async def test_an_order_that_was_linked_late_belongs_to_its_hour(pool: Pool) -> None:
    """With the record down it waited on the log (F10: none may be missing)."""
    await record_world(pool)
    await Seals(pool).seal([of_command(50, NOW_MS + MINUTE_MS)], at_ms=NOW_MS + 7 * HOUR_MS)
    verdict = checked(await exported(pool))
    assert verdict.faults == []
    assert NOW_MS + MINUTE_MS in {one.command.at_ms for one in verdict.story.commands}


async def test_through_a_second_record_it_is_the_same_byte_for_byte(pool: Pool, second: Pool) -> None:
    await record_world(pool)
    packages = [await exported(pool, alert) for alert in (ALERT, OTHER)]
    await into(second, *packages)
    assert [await exported(second, alert) for alert in (ALERT, OTHER)] == packages
    for table in TABLES:
        if table not in {"command", "result"}:  # those of this test were linked without their rows
            kept = [row for row in await rows(pool, table) if "alr_9" not in row]
            assert await rows(second, table) == kept


async def test_in_the_other_order_and_twice_it_is_the_same(pool: Pool, second: Pool) -> None:
    """Runs that overlap join; what is here already is not taken in again."""
    await record_world(pool)
    packages = [await exported(pool, alert) for alert in (OTHER, ALERT)]
    await into(second, *packages, *packages)
    assert [await exported(second, alert) for alert in (OTHER, ALERT)] == packages
    newest = (await Seals(pool).links(HIS))[-1]
    assert await cursor(second, HIS) == (newest.number, newest.hash), "as far as it is known"


async def test_one_alone_is_the_same_too(pool: Pool, second: Pool) -> None:
    """A run of a unit that does not begin at its first link, and of a day what is shown of it."""
    await record_world(pool)
    content = await exported(pool, OTHER)
    first = lines(content)[found(content, kind="chain", chain=HIS)[0]]
    assert b'"after":0' not in first
    await into(second, content)
    assert await exported(second, OTHER) == content
    with pytest.raises(NoSuchAlert, match=ALERT):
        await exported(second, ALERT)


async def test_what_was_erased_stays_erased_on_the_way(pool: Pool, second: Pool) -> None:
    await record_world(pool)
    await erase(pool, EPISODE, 2)
    await erase(pool, HIS, 5)
    await erase(pool, DAY, 1)
    packages = [await exported(pool, alert) for alert in (ALERT, OTHER)]
    verdict = checked(packages[0])
    assert verdict.faults == []
    assert {(one.chain, one.number, one.of) for one in verdict.erased} == {
        (EPISODE, 2, "places"),
        (HIS, 5, "command"),
        (DAY, 1, "access"),
    }
    await into(second, *packages)
    assert [await exported(second, alert) for alert in (ALERT, OTHER)] == packages


async def test_an_alert_of_which_all_was_erased_has_its_links_still(pool: Pool, second: Pool) -> None:
    await record_world(pool)
    await erase(pool, EPISODE, *range(1, 7))
    content = await exported(pool)
    verdict = checked(content)
    assert verdict.faults == []
    assert verdict.header is not None
    assert (verdict.header.code, verdict.header.measures) == (None, ())
    assert len(verdict.erased) == verdict.links[EPISODE] - 1
    await into(second, content)
    assert await exported(second) == content


async def test_a_row_that_was_changed_in_the_record_is_found_in_its_package(pool: Pool, dsn: str) -> None:
    """By whoever owns the tables and has put the triggers aside."""
    await record_world(pool)
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("alter table tocsin.opened disable trigger all")
        owner.execute(
            "update tocsin.opened set payload = replace(convert_from(payload, 'UTF8'), 'A. Martin', 'B. Martin')"
            "::bytea where chain = %s and number = 3",
            [EPISODE],
        )
    fault = checked(await exported(pool)).faults[0]
    assert (fault.what, fault.chain, fault.number, fault.of) == ("payload_changed", EPISODE, 3, "ruling")


async def test_heads_that_somebody_else_has_kept_confirm_it(pool: Pool, second: Pool) -> None:
    await record_world(pool)
    content = await exported(pool)
    published = published_heads([line_of(one) for one in await Heads(pool).all()])
    assert verify(lines(content), published=published).compared == len(found(content, kind="head"))
    await into(second, content)
    await Heads(second).make(NOW_MS)  # of its own: no part of what came in
    assert await exported(second) == content


async def test_a_package_with_faults_is_not_taken_in_and_says_each(pool: Pool, second: Pool) -> None:
    await record_world(pool)
    content = await exported(pool)
    changed = lines(content)
    numbers = found(content, kind="payload")[:2]
    for index in numbers:
        changed[index] = changed[index].replace(b'"salt":"', b'"salt":"00', 1)
    with pytest.raises(Refused) as refused:
        await into(second, resealed(changed))
    assert len({one for one in refused.value.reasons if "payload_changed" in one}) == 2
    async with transaction(second) as connection:
        assert await (await connection.execute(b"select from tocsin.link")).fetchall() == []


async def test_a_package_of_another_realm_is_refused(pool: Pool, second: Pool) -> None:
    """Drills and the world never mix (F38)."""
    await record_world(pool)
    with pytest.raises(Refused, match="realm lab"):
        await taken_in(second, await exported(pool), realm=Realm.PRODUCTION, clock=frozen_clock())


async def test_a_record_that_has_other_links_refuses_with_every_reason(pool: Pool, second: Pool) -> None:
    await record_world(pool)
    await Seals(second).seal([sealing.of_order(order())], at_ms=NOW_MS)
    await Seals(second).seal([of_command(99, NOW_MS)], at_ms=NOW_MS)
    await Seals(second).seal([of_command(4, NOW_MS)], at_ms=NOW_MS)
    with pytest.raises(Refused) as refused:
        await into(second, await exported(pool))
    assert any(one.startswith(f"measure/{MEASURE} 1: another link") for one in refused.value.reasons)
    assert any(one.startswith(HIS) for one in refused.value.reasons)
    assert any("has 2 chains of its own" in one for one in refused.value.reasons)
    async with transaction(second) as connection:
        kept = await (await connection.execute(b"select chain from tocsin.link order by 1")).fetchall()
    assert kept == [(HIS,), (HIS,), (f"measure/{MEASURE}",)], "and has kept nothing of it"


async def test_an_instance_that_watches_somebody_takes_nothing_in(pool: Pool, second: Pool) -> None:
    """Nor one that has an alert: what came from elsewhere and what is its own are never one record."""
    await record_world(pool)
    content = await exported(pool)
    async with transaction(second) as connection:
        await connection.execute(DEVICE_ROW)
        await connection.execute(MEASURE_ROW)
    await record_alert(second, "alr_own", NOW_MS, 1)
    with pytest.raises(Refused) as refused:
        await into(second, content)
    has = [one for one in refused.value.reasons if one.startswith("this instance has")]
    assert [one.partition(":")[0].removeprefix("this instance has ") for one in has] == [
        "2 units that are registered here",
        "1 measures that are watched here",
        "1 alerts of its own",
        "1 chains of its own",
    ]
    async with transaction(second) as connection:
        for table in ("imported", "imported_chain", "imported_head"):
            assert await (await connection.execute(f"select from tocsin.{table}".encode())).fetchall() == []
    with pytest.raises(NoSuchAlert):
        await exported(second)


async def test_an_instance_that_watches_somebody_says_no_while_its_writers_write(pool: Pool, second: Pool) -> None:
    """The answer waits for none of them, and none of them for it."""
    await record_world(pool)
    content = await exported(pool)
    async with transaction(second) as connection:
        await connection.execute(DEVICE_ROW)
    async with transaction(second) as writing:
        await writing.execute("lock table tocsin.device, tocsin.episode in row exclusive mode")
        with pytest.raises(Refused):  # who waits for a lock waits in vain, and the end of that is another error
            await into(second, content)


@pytest.mark.parametrize("with_heads", [True, False])
async def test_what_came_in_is_no_forgery_whether_or_not_a_head_was_published_of_it(
    pool: Pool, second: Pool, monkeypatch: pytest.MonkeyPatch, with_heads: bool
) -> None:
    if not with_heads:  # of the first day: none is made yet

        async def made_later(_: Heads, at_ms: int) -> None:
            assert at_ms

        monkeypatch.setattr(Heads, "make", made_later)
    await record_world(pool)
    await into(second, await exported(pool))
    faults: list[Fault] = []
    async with examining(second.conninfo) as record:
        await verify_record(record, Asked(), faults.append, lambda _, __: None)
    assert faults == []


async def test_an_instance_that_holds_packages_takes_more_in_though_it_was_looked_at(
    pool: Pool, second: Pool
) -> None:
    """Who takes evidence out of it is on its record, and that is no chain of its own."""
    await record_world(pool)
    packages = [await exported(pool, alert) for alert in (ALERT, OTHER)]
    await into(second, packages[0])
    await note(second, frozen_clock(OVER_MS), ALERT, by="A. Martin", purpose="audit:1")
    await into(second, packages[1], packages[0])
    assert await exported(second, OTHER) == packages[1]


@pytest.mark.parametrize("is_watching", [False, True])
async def test_what_came_in_before_that_was_kept_is_known(
    empty_dsn: str, tmp_path: Path, *, is_watching: bool
) -> None:
    """By the migration, and only where nobody is watched: then nothing else can have made these chains."""
    for each in migrations():
        if each.number < 19:
            (tmp_path / each.name).write_bytes(each.sql)
    await migrate(empty_dsn, tmp_path)
    async with open_pool(empty_dsn) as before:
        await Seals(before).seal([sealing.of_order(order())], at_ms=NOW_MS)
        await Seals(before).seal([sealing.of_access(access("acc_1"))], at_ms=NOW_MS)
        async with transaction(before) as connection:
            await connection.execute(b"insert into tocsin.imported values ('alr_0001', 'seal', now())")
            if is_watching:
                await connection.execute(DEVICE_ROW)
    assert "0019_imported_chain.sql" in await migrate(empty_dsn)
    async with open_pool(empty_dsn) as behind, transaction(behind) as connection:
        kept = await (await connection.execute(b"table tocsin.imported_chain")).fetchall()
    assert kept == ([] if is_watching else [(f"measure/{MEASURE}",)])


async def test_who_links_meanwhile_waits_and_is_not_passed_by(pool: Pool, second: Pool) -> None:
    """The question and the import are one transaction: a link that is under way is seen when it is there."""
    await record_world(pool)
    content = await exported(pool)
    async with transaction(second) as connection:
        await connection.execute(DEVICE_ROW)
        taking = asyncio.create_task(into(second, content))
        while not taking.done() and not await asyncio.to_thread(_somebody_waits, second.conninfo):
            pass
        assert not taking.done()
    with pytest.raises(Refused, match="2 units"):
        await taking


def _somebody_waits(dsn: str) -> bool:
    with psycopg.connect(dsn, autocommit=True) as other:
        waits = b"select from pg_locks where not granted and relation = 'tocsin.device'::regclass"
        return bool(other.execute(waits).fetchall())


async def test_evidence_of_before_an_erasure_brings_nothing_back(pool: Pool, second: Pool) -> None:
    """And what was erased there meanwhile is not left standing here beside its deletion."""
    await record_world(pool)
    before = await exported(pool)
    await erase(pool, EPISODE, 2)
    behind = await exported(pool)
    await into(second, behind)
    with pytest.raises(Refused, match=f"{EPISODE} 2: it was erased here"):
        await into(second, before)


async def test_what_was_erased_there_and_is_kept_here_is_refused(pool: Pool, second: Pool) -> None:
    await record_world(pool)
    before = await exported(pool)
    await erase(pool, EPISODE, 2)
    await into(second, before)
    with pytest.raises(Refused, match=f"{EPISODE} 2: it was erased there"):
        await into(second, await exported(pool))


async def test_rows_of_an_alert_that_no_chain_binds_are_not_written_over(pool: Pool, second: Pool) -> None:
    await record_world(pool)
    async with transaction(second) as connection:
        await connection.execute(
            b"insert into tocsin.episode (id, code, subject, realm, priority, state, version, measures, opened_at,"
            b" recorded_at, points, noun, last_sequence) values (%s, 'PROX_ALERT', 'msr_1', 'lab', 1, 'closed', 1,"
            b" '{}', now(), now(), '{}', '{}', 1)",
            [ALERT],
        )
    with pytest.raises(Refused, match="no chain binds"):
        await into(second, await exported(pool))


async def test_nothing_of_a_package_comes_into_force(pool: Pool, second: Pool) -> None:
    """An order that came in as evidence is watched by nobody."""
    await record_world(pool)
    await into(second, await exported(pool))
    async with transaction(second) as connection:
        for table in ("measure", "device", "outbox"):
            assert await (await connection.execute(f"select from tocsin.{table}".encode())).fetchall() == []


async def test_commands_have_their_rows_again(pool: Pool, second: Pool) -> None:
    await record_world(pool)
    await into(second, await exported(pool))
    assert len(await rows(second, "command")) == 1
    assert len(await rows(second, "result")) == 1


# --- as it is typed ----------------------------------------------------------------------------------------------


WHY = ("--by", "A. Martin", "--purpose", "audit:2026-113")


async def taken(pool: Pool) -> list[tuple[str, str, str, bool]]:
    """The exports that the record knows of."""
    async with transaction(pool) as connection:
        query = (
            b"select role, who, purpose, places from tocsin.access where what = 'evidence' and %s = any(objects)"
        )
        return await (await connection.execute(query, [ALERT])).fetchall()


def names_in(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def tocsin(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("tocsin")), "evidence", *words],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


async def test_a_machine_that_has_nothing_else_checks_it(pool: Pool, tmp_path: Path) -> None:
    """No setting, no database, no environment, an empty folder."""
    await record_world(pool)
    content = await exported(pool)
    good, bad, empty = tmp_path / "good.jsonl", tmp_path / "bad.jsonl", tmp_path / "empty"
    good.write_bytes(content)
    bad.write_bytes(content.replace(b"A. Martin", b"B. Martin"))
    empty.mkdir()
    said = await asyncio.to_thread(tocsin, "verify", str(good), cwd=empty)
    assert said.returncode == 0, said.stderr
    assert "nothing outside of the package was compared" in said.stdout
    assert list(empty.iterdir()) == []
    said = await asyncio.to_thread(tocsin, "verify", str(bad), "--json", str(tmp_path / "said.json"), cwd=empty)
    assert said.returncode == 1
    assert "payload_changed" in said.stdout
    assert '"good": false' in (tmp_path / "said.json").read_text()


async def test_out_of_one_instance_and_into_another(
    pool: Pool, second: Pool, dsn: str, server_dsn: str, tmp_path: Path
) -> None:
    await record_world(pool)
    path = {"PATH": os.environ["PATH"], "TOCSIN_REALM": "lab", "TOCSIN_DATA_DIR": str(tmp_path)}
    first = path | {"TOCSIN_DATABASE_URL": dsn}
    other = path | {"TOCSIN_DATABASE_URL": second.conninfo}
    package, again = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    before = await exported(pool)
    said = await asyncio.to_thread(tocsin, "export", ALERT, *WHY, "--out", str(package), cwd=tmp_path, **first)
    assert said.returncode == 0, said.stderr
    assert package.read_bytes() == before, "its own access is not in it"
    assert package.stat().st_mode & 0o077 == 0, "it has personal data"
    said = await asyncio.to_thread(tocsin, "import", str(package), cwd=tmp_path, **other)
    assert said.returncode == 0, said.stderr
    said = await asyncio.to_thread(tocsin, "export", ALERT, *WHY, cwd=tmp_path, **other)
    again.write_text(said.stdout, "utf-8")
    assert again.read_bytes() == package.read_bytes()
    for record in (pool, second):
        assert await taken(record) == [("evidence", "A. Martin", "audit:2026-113", True)]
    verdict = checked(await exported(pool))
    assert verdict.faults == []
    assert ("evidence", "audit:2026-113") in {(one.role, one.purpose) for one in verdict.story.accesses}
    package.write_bytes(package.read_bytes()[:-1])
    said = await asyncio.to_thread(tocsin, "import", str(package), cwd=tmp_path, **other)
    assert said.returncode == 1
    assert "cut_off" in said.stderr
    said = await asyncio.to_thread(tocsin, "export", "alr_none", *WHY, cwd=tmp_path, **first)
    assert said.returncode == 2
    assert "alr_none" in said.stderr
    assert len(await taken(pool)) == 1, "nothing was read"


async def test_evidence_that_could_not_be_noted_does_not_leave(pool: Pool, dsn: str, tmp_path: Path) -> None:
    """Invariant 17."""
    await record_world(pool)
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("alter table tocsin.access add constraint away check (role <> 'evidence')")
    out = tmp_path / "one.jsonl"
    setting = {"TOCSIN_REALM": "lab", "TOCSIN_DATA_DIR": str(tmp_path / "data"), "TOCSIN_DATABASE_URL": dsn}
    for to in (["--out", str(out)], []):
        said = await asyncio.to_thread(
            tocsin, "export", ALERT, *WHY, *to, cwd=tmp_path, PATH=os.environ["PATH"], **setting
        )
        assert said.returncode != 0
        assert said.stdout == ""
    assert names_in(tmp_path) <= {"data"}
    assert await taken(pool) == []


def test_who_takes_it_and_why_has_to_be_said(tmp_path: Path) -> None:
    said = tocsin("export", ALERT, "--by", "A. Martin", cwd=tmp_path)
    assert said.returncode == 2
    assert "--purpose" in said.stderr
    said = tocsin("export", ALERT, "--by", " ", "--purpose", "I want to", cwd=tmp_path, COLUMNS="400")
    assert said.returncode == 2
    assert "--by:" in said.stderr, "both at once"
    assert "--purpose:" in said.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_command_makes_no_database_where_there_is_none(tmp_path: Path) -> None:
    said = tocsin("export", ALERT, *WHY, cwd=tmp_path, TOCSIN_REALM="lab", TOCSIN_DATA_DIR=str(tmp_path / "none"))
    assert said.returncode == 2
    assert "no Tocsin has run in" in said.stderr
    assert not (tmp_path / "none").exists()
