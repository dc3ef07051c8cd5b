"""Does ``tocsin audit verify`` find, and name, everything that the owner of the database can do to the record?

F09, F10, invariant 15. Each record is altered as a superuser would, triggers off, and the command is asked.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psycopg
import pytest
from builders import NOW_MS
from record_world import (
    ACCESS_CHAIN,
    ALERT,
    COMMAND,
    DAY_MS,
    HEADS_FILE,
    NEXT_COMMAND,
    OTHER_ALERT,
    TOLD,
    TOLD_OF_TAKING,
    two_days,
)
from typer.testing import CliRunner

from audit.commands.audit import app
from tocsin.adapters.heads import Heads
from tocsin.adapters.holds import Holds
from tocsin.adapters.migrate import migrate
from tocsin.adapters.orders import Orders
from tocsin.adapters.postgres import open_pool
from tocsin.adapters.seals import Seals
from tocsin.chain import START, Deletion, Item, KeptAs, Kind, Link, Opened, linked
from tocsin.clock import utc
from tocsin.embedded import EmbeddedPostgres
from tocsin.errors import SettingError
from tocsin.heads import NO_HEAD, head_of
from tocsin.model.geozone import Circle, GeoZone, ZoneKind
from tocsin.retention import HoldKind, What

pytest_plugins = ("database",)

HOUR_MS = 3_600_000
CIRCLE = Circle(centre=(5_400_000, 43_300_000), radius_m=500)
ZONES = msgspec.json.encode([GeoZone(id="zne_1", kind=ZoneKind.BAN, shape=CIRCLE)]).decode()
CHAIN = f"episode/{ALERT}"
OTHER_CHAIN = f"episode/{OTHER_ALERT}"


@dataclass(frozen=True)
class Said:
    code: int
    lines: list[str]
    error: str

    @property
    def words(self) -> set[tuple[str, str]]:
        """(table and key, what is wrong)."""
        return {(where, wrong) for where, wrong, _ in (line.split(": ", 2) for line in self.lines)}


@dataclass(frozen=True)
class Altered:
    """A record that can be altered and asked about."""

    dsn: str
    folder: Path

    def sql(self, *statements: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("set session_replication_role = replica")
            for statement in statements:
                said = statement.format(
                    alert=ALERT, chain=CHAIN, other_chain=OTHER_CHAIN, told=TOLD, access_chain=ACCESS_CHAIN
                )
                assert connection.execute(said.encode()).rowcount != 0, f"did nothing: {said}"

    def ask(self, query: str) -> list[tuple]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(query.encode()).fetchall()

    def verify(self, *words: str) -> Said:
        environment = {"TOCSIN_DATABASE_URL": self.dsn, "TOCSIN_DATA_DIR": str(self.folder)}
        result = CliRunner().invoke(app, ["verify", *words], env=environment)
        assert not isinstance(result.exception, Exception), result.exception
        return Said(result.exit_code, result.stdout.splitlines(), result.stderr)

    @property
    def published(self) -> Path:
        return self.folder / HEADS_FILE


@pytest.fixture
def record(dsn: str, tmp_path: Path) -> Altered:
    asyncio.run(two_days(dsn, tmp_path))
    return Altered(dsn, tmp_path)


def test_a_whole_record_has_no_fault_and_says_what_was_looked_at(record: Altered) -> None:
    said = record.verify("--json", str(record.folder / "report.json"))
    assert (said.code, said.lines) == (0, []), said.error
    assert "the record is whole" in said.error
    report = json.loads((record.folder / "report.json").read_text())
    checked = report["checked"]
    assert (report["faults"], report["named"]) == (0, [])
    assert (
        checked["tocsin.link"] == checked["tocsin.opened"] == record.ask("select count(*) from tocsin.link")[0][0]
    )
    expected = {
        "tocsin.ruling": 5, "tocsin.attempt": 2, "tocsin.access": 2, "tocsin.command": 2, "tocsin.result": 2,
        "tocsin.episode": 3, "tocsin.head": 2, "published file": 2,
    }  # fmt: skip
    assert {name: checked[name] for name in expected} == expected
    assert checked["tocsin.notification"] == record.ask("select count(*) from tocsin.notification")[0][0] > 3


ALTERATIONS: dict[str, tuple[Sequence[str], set[tuple[str, str]]]] = {
    "a row changed: who was asked when, in a column": (
        ["update tocsin.attempt set result = 'accepted', t8 = t7 where attempt = 1"],
        {(f"tocsin.attempt {TOLD} 1 {NOW_MS + 1} first", "row_changed")},
    ),
    "a row changed: the reason of a ruling": (
        ["update tocsin.ruling set reason = 'other' where episode = '{alert}' and stream_sequence = 1"],
        {(f"tocsin.ruling {ALERT} 1", "row_changed")},
    ),
    "a row changed: who has read": (
        ["update tocsin.access set who = 'Nobody' where id = 'acc_1'"],
        {("tocsin.access acc_1", "row_changed")},
    ),
    "a row changed: what a unit was told": (
        ["update tocsin.command set action = 'ring'"],
        {(f"tocsin.command wearer-1 1 {one.id}", "row_changed") for one in (COMMAND, NEXT_COMMAND)},
    ),
    "a row changed: what came of it": (
        ["update tocsin.result set reason = 'seen' where stage = 'sent'"],
        {(f"tocsin.result wearer-1 1 {COMMAND.id} sent", "row_changed")},
    ),
    "a row changed: how an alert stands": (
        ["update tocsin.episode set state = 'CLOSED', outcome = 'false_alarm' where id = '{alert}'"],
        {(f"tocsin.episode {ALERT}", "row_changed")},
    ),
    "a row changed: the noun of an alert": (
        ["""update tocsin.episode set noun = jsonb_set(noun, '{{owner}}', '"B. Durand"') where id = '{alert}'"""],
        {(f"tocsin.episode {ALERT}", "row_changed")},
    ),
    "a row changed: to whom a notification went": (
        ["update tocsin.notification set channel = 'operations' where id = '{told}'"],
        {(f"tocsin.notification {TOLD}", "row_changed")},
    ),
    "a row dropped, its link left": (
        ["delete from tocsin.attempt where attempt = 2"],
        {(f"tocsin.attempt {TOLD} 2 {NOW_MS + 2} first", "row_missing")},
    ),
    "a ruling dropped, its link left": (
        ["delete from tocsin.ruling where episode = '{alert}' and stream_sequence = 3"],
        {(f"tocsin.ruling {ALERT} 3", "row_missing"), (f"tocsin.episode {ALERT}", "row_changed"),
         (f"tocsin.notification {TOLD_OF_TAKING}", "row_added")},
    ),
    "a notification dropped": (
        ["delete from tocsin.notification where id = '{told}'"], {(f"tocsin.notification {TOLD}", "row_missing")}
    ),
    "an alert dropped": (
        ["delete from tocsin.episode where id = '{alert}'"], {(f"tocsin.episode {ALERT}", "row_missing")}
    ),
    "a row dropped with its link and payload": (
        ["delete from tocsin.attempt where attempt = 2",
         "delete from tocsin.opened where chain = '{chain}' and number = 6",
         "delete from tocsin.link where chain = '{chain}' and source like 'attempt:%:2:%'"],
        {(f"tocsin.link {CHAIN} 6", "cut_off")},
    ),
    "a link out of the middle, with its row and payload": (
        ["delete from tocsin.attempt where attempt = 1",
         ("delete from tocsin.opened where chain = '{chain}' and number = "
         "(select number from tocsin.link where chain = '{chain}' and source like 'attempt:%:1:%')"),
         "delete from tocsin.link where chain = '{chain}' and source like 'attempt:%:1:%'"],
        {(f"tocsin.link {CHAIN} 5", "link_missing")},
    ),
    "a row added": (
        [("insert into tocsin.access (id, stream_sequence, at, who, service, role, what, objects, purpose, "
         "places) select 'acc_9', 9, at, 'Somebody', service, role, what, objects, purpose, places "
         "from tocsin.access where id = 'acc_1'")],
        {("tocsin.access acc_9", "row_added")},
    ),
    "an attempt added": (
        [("insert into tocsin.attempt (notification, attempt, t7, episode, version, channel, result, line) "
         "select notification, 7, t7, episode, version, channel, result, line from tocsin.attempt "
         "where attempt = 1")],
        {(f"tocsin.attempt {TOLD} 7 {NOW_MS + 1} first", "row_added")},
    ),
    "a ruling added": (
        [("insert into tocsin.ruling (stream_sequence, episode, code, subject, version, reason, event, at, "
         "payload) select 77, episode, code, subject, version, reason, event, at, payload from tocsin.ruling "
         "where episode = '{alert}' and stream_sequence = 3")],
        {(f"tocsin.ruling {ALERT} 77", "row_added"), (f"tocsin.episode {ALERT}", "row_changed")},
    ),
    "a second row beside a command, under its number": (
        [("insert into tocsin.command (stream_sequence, device, id, action, at, expires_at, said_by, payload) "
         "select stream_sequence, device, 'cmd_other', action, at, expires_at, said_by, payload "
         "from tocsin.command limit 1")],
        {("tocsin.command wearer-1 1 cmd_other", "row_added")},
    ),
    "a notification added": (
        [("insert into tocsin.notification select 'evt_x', episode, version, channel, type, created_at, "
         "stream_sequence from tocsin.notification where id = '{told}'")],
        {("tocsin.notification evt_x", "row_added")},
    ),
    "an alert added": (
        [("insert into tocsin.episode (id, code, subject, realm, priority, state, version, measures, opened_at, "
         "recorded_at, points, noun, last_sequence) select 'alr_x', code, subject, realm, priority, state, "
         "version, measures, opened_at, recorded_at, points, noun, last_sequence from tocsin.episode "
         "where id = '{alert}'")],
        {("tocsin.episode alr_x", "row_added")},
    ),
    "a chain truncated: links, payloads, rows, and the cursor set back": (
        ["delete from tocsin.opened where chain = '{chain}' and number > 2",
         "delete from tocsin.link where chain = '{chain}' and number > 2",
         "delete from tocsin.ruling where episode = '{alert}' and stream_sequence > 1",
         "delete from tocsin.attempt",
         ("update tocsin.chain set length = 2, hash = (select hash from tocsin.link where chain = '{chain}' "
         "and number = 2) where name = '{chain}'")],
        {(f"tocsin.link {CHAIN} 3", "cut_off"), (f"tocsin.episode {ALERT}", "row_changed"),
         (f"tocsin.notification {TOLD_OF_TAKING}", "row_added")},
    ),
    "a whole chain gone, with everything about it": (
        ["delete from tocsin.opened where chain = '{access_chain}'",
         "delete from tocsin.link where chain = '{access_chain}'",
         "delete from tocsin.chain where name = '{access_chain}'",
         "delete from tocsin.access where id = 'acc_1'"],
        {(f"tocsin.link {ACCESS_CHAIN} 1", "cut_off")},
    ),
    "a cursor changed": (
        ["update tocsin.chain set hash = '\\x00' where name = '{chain}'"],
        {(f"tocsin.chain {CHAIN}", "row_changed")}
    ),
    "a cursor gone": (
        ["delete from tocsin.chain where name = '{chain}'"], {(f"tocsin.chain {CHAIN}", "row_missing")}
    ),
    "a payload changed": (
        ["update tocsin.opened set payload = payload || ' ' where chain = '{chain}' and number = 1"],
        {(f"tocsin.opened {CHAIN} 1", "payload_changed")},
    ),
    "a payload gone, and no deletion": (
        ["delete from tocsin.opened where chain = '{chain}' and number = 1"],
        {(f"tocsin.opened {CHAIN} 1", "payload_missing")},
    ),
    "a payload swapped with that of another chain": (
        ["create temporary table kept as select * from tocsin.opened where number = 1",
         ("update tocsin.opened set salt = kept.salt, payload = kept.payload from kept "
         "where opened.number = 1 and opened.chain = '{chain}' and kept.chain = '{other_chain}'"),
         ("update tocsin.opened set salt = kept.salt, payload = kept.payload from kept "
         "where opened.number = 1 and opened.chain = '{other_chain}' and kept.chain = '{chain}'")],
        {(f"tocsin.opened {chain} 1", wrong) for chain in (CHAIN, OTHER_CHAIN)
         for wrong in ("payload_changed", "payload_foreign")},
    ),
    "a payload without a link": (
        [("insert into tocsin.opened select chain, 99, salt, payload from tocsin.opened "
         "where chain = '{chain}' and number = 1")],
        {(f"tocsin.opened {CHAIN} 99", "payload_added")},
    ),
    "a link moved to another chain": (
        ["update tocsin.link set chain = '{other_chain}', number = 5 where chain = '{access_chain}'"],
        {(f"tocsin.link {OTHER_CHAIN} 5", "link_changed"), (f"tocsin.link {OTHER_CHAIN} 5", "clock_back"),
         (f"tocsin.opened {OTHER_CHAIN} 5", "payload_missing"),
         (f"tocsin.opened {ACCESS_CHAIN} 1", "payload_added"),
         ("tocsin.access acc_1", "row_added"), (f"tocsin.chain {OTHER_CHAIN}", "row_changed"),
         (f"tocsin.link {ACCESS_CHAIN} 1", "cut_off")},
    ),
    "a link of a kind that there is not": (
        ["update tocsin.link set kind = 'rumour' where chain = '{chain}' and number = 1"],
        {(f"tocsin.link {CHAIN} 1", "link_changed")},
    ),
    "a head changed": (
        ["update tocsin.head set leaves = 3 where number = 1"],
        {("tocsin.head head 1", "head_changed"), ("tocsin.head_leaf head 1", "leaves_changed"),
         ("published file head 1", "head_changed")},
    ),
    "a leaf changed": (
        ["update tocsin.head_leaf set length = 2 where head = 1 and chain = '{chain}'"],
        {("tocsin.head_leaf head 1", "leaves_changed"), (f"tocsin.link {CHAIN} 2", "link_changed"),
         *((f"tocsin.link {CHAIN} {number}", "clock_back") for number in range(3, 7))},
    ),
    "the last head gone, with its leaves": (
        ["delete from tocsin.head_leaf where head = 2", "delete from tocsin.head where number = 2",
         "delete from tocsin.head_published where head = 2"],
        {("published file head 2", "head_missing")},
    ),
    "the last head gone, and nothing else": (
        ["delete from tocsin.head where number = 2"],
        {("tocsin.head head 2", "head_missing"), ("published file head 2", "head_missing")},
    ),
    "the hour of a head moved back": (
        ["update tocsin.head set at = at - interval '30 hours', day = day - 1 where number = 2"],
        {("tocsin.head head 2", "head_changed"), ("tocsin.head head 2", "clock_back"),
         ("published file head 2", "head_changed"), (f"tocsin.head {OTHER_CHAIN} 3", "clock_back"),
         (f"tocsin.head {OTHER_CHAIN} 4", "clock_back")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ALTERATIONS)
def test_what_was_altered_is_found_and_named(record: Altered, name: str) -> None:
    statements, expected = ALTERATIONS[name]
    record.sql(*statements)
    said = record.verify()
    assert said.code == 1
    assert said.words == expected, "all of it, and nothing else"


# --- what only time, or what was published, can say ------------------------------------------------------------


def test_a_row_added_with_a_link_of_an_hour_that_is_over_is_a_clock_that_went_back(record: Altered) -> None:
    """Whoever adds to a chain, with everything that belongs to it, writes an hour; two heads have passed since."""

    async def add() -> None:
        item = Item(
            chain="episode/alr_late", kind=Kind.TRACK, kept_as=KeptAs.MEASURE_FILE, source="track:1", payload=b"{}"
        )
        async with open_pool(record.dsn) as pool:
            await Seals(pool).seal([item], at_ms=NOW_MS + 30_000)

    asyncio.run(add())
    said = record.verify()
    assert (said.code, said.words) == (1, {("tocsin.link episode/alr_late 1", "clock_back")})
    assert "before head 2, which has not seen it" in said.lines[0]


def test_a_clock_that_went_back_within_a_chain_is_found(record: Altered) -> None:
    """By links that are whole: the writer's clock was set back by a minute."""

    async def add() -> None:
        async with open_pool(record.dsn) as pool:
            (last,) = await Seals(pool).links(ACCESS_CHAIN)
            item = Item(chain=ACCESS_CHAIN, kind=Kind.TRACK, kept_as=KeptAs.PROOF, source="track:1", payload=b"{}")
            link, opened = linked(item, bytes(32), number=2, previous=last.hash, at_ms=last.at_ms - 60_000)
            insert(record, link, opened)

    asyncio.run(add())
    assert (f"tocsin.link {ACCESS_CHAIN} 2", "clock_back") in record.verify().words


def insert(record: Altered, link: Link, opened: Opened) -> None:
    """As the owner of the tables can: the chain goes on from here as if it had always been so."""
    with psycopg.connect(record.dsn, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("delete from tocsin.link where chain = %s and number = %s", (link.chain, link.number))
        connection.execute("delete from tocsin.opened where chain = %s and number = %s", (link.chain, link.number))
        connection.execute(
            "insert into tocsin.link (chain, number, kind, kept_as, source, at, commitment, previous, hash)"
            " values (%s, %s, %s, %s, %s, to_timestamp(%s / 1000.0), %s, %s, %s)",
            (link.chain, link.number, link.kind.value, link.kept_as.value, link.source, link.at_ms,
             link.commitment, link.previous, link.hash),
        )  # fmt: skip
        connection.execute(
            "insert into tocsin.opened (chain, number, salt, payload) values (%s, %s, %s, %s)",
            (link.chain, link.number, opened.salt, opened.payload),
        )
        connection.execute(
            "update tocsin.chain set length = %s, hash = %s where name = %s", (link.number, link.hash, link.chain)
        )


def forge_the_access(record: Altered) -> None:
    """Chain, payload, cursor, row: all made anew, and all agree."""

    async def one() -> tuple[Link, Opened]:
        async with open_pool(record.dsn) as pool:
            (link,) = await Seals(pool).links(ACCESS_CHAIN)
            return link, (await Seals(pool).opened(ACCESS_CHAIN))[1]

    link, opened = asyncio.run(one())
    said = msgspec.json.encode({**msgspec.json.decode(opened.payload), "who": "Nobody"})
    item = Item(
        chain=link.chain, kind=link.kind, kept_as=link.kept_as, source=link.source, payload=said
    )  # fmt: skip
    insert(record, *linked(item, opened.salt, number=1, previous=START, at_ms=link.at_ms))
    record.sql("update tocsin.access set who = 'Nobody' where id = 'acc_1'")


def forge_the_heads(record: Altered) -> None:
    """Made anew over the chains as they are now, at the hours at which they were made."""

    async def make() -> list[tuple]:
        async with open_pool(record.dsn) as pool:
            heads, found, before = Heads(pool), [], None
            for head in await heads.all():
                leaves = [
                    msgspec.structs.replace(
                        leaf, hash=(await Seals(pool).links(leaf.chain, until=leaf.length))[-1].hash
                    )
                    for leaf in await heads.leaves(head.number)
                ]
                before = head_of(leaves, after=before, at_ms=head.at_ms)
                found.append((before, leaves))
            return found

    with psycopg.connect(record.dsn, autocommit=True) as connection:
        made = asyncio.run(make())
        connection.execute("set session_replication_role = replica")
        for head, leaves in made:
            connection.execute(
                "update tocsin.head set previous = %s, root = %s, hash = %s where number = %s",
                (head.previous, head.root, head.hash, head.number),
            )
            for leaf in leaves:
                connection.execute(
                    "update tocsin.head_leaf set hash = %s where head = %s and chain = %s",
                    (leaf.hash, head.number, leaf.chain),
                )
        assert made[0][0].previous == NO_HEAD


def test_a_chain_that_was_made_anew_is_found_by_the_head(record: Altered) -> None:
    forge_the_access(record)
    said = record.verify()
    assert (said.code, said.words) == (1, {(f"tocsin.link {ACCESS_CHAIN} 1", "link_changed")})
    assert "another hash than when head 1 of 2026-11-21 was made" in said.lines[0]


def test_heads_that_were_forged_as_well_are_found_by_the_published_file_alone(record: Altered) -> None:
    forge_the_access(record)
    forge_the_heads(record)
    kept = record.folder / "kept-by-the-auditor.jsonl"
    kept.write_bytes(record.published.read_bytes())
    record.published.unlink()
    without = record.verify()
    assert without.words == {
        ("published file head 1", "head_not_published"), ("published file head 2", "head_not_published")
    }, "the record alone agrees with itself: only that the file is gone can be said"  # fmt: skip
    said = record.verify("--heads", str(kept))
    assert (said.code, said.words) == (
        1, {("published file head 1", "head_changed"), ("published file head 2", "head_changed")}
    )  # fmt: skip
    assert "the record was made anew" in said.lines[0]


def test_a_record_that_was_cut_back_to_yesterday_in_every_table_is_found_by_the_file(record: Altered) -> None:
    """As a restored backup is: whole in itself, and older than what was published."""
    record.sql(
        "delete from tocsin.head_published where head = 2", "delete from tocsin.head_leaf where head = 2",
        "delete from tocsin.head where number = 2",
    )  # fmt: skip
    said = record.verify()
    assert said.words == {("published file head 2", "head_missing")}
    assert "the record was cut off" in said.lines[0]


def test_an_erased_payload_is_no_fault_once_a_deletion_proves_it(record: Altered) -> None:
    async def erase() -> None:
        gone = Deletion(
            numbers=(1,),
            kept_as=KeptAs.ACCESS,
            at_ms=NOW_MS + 40 * DAY_MS,
            rule="accesses, a year",
            by="custodian",
        )
        item = Item(
            chain=ACCESS_CHAIN, kind=Kind.DELETION, kept_as=KeptAs.PROOF, source="deletion:1",
            payload=msgspec.json.encode(gone),
        )  # fmt: skip
        async with open_pool(record.dsn) as pool:
            await Seals(pool).seal([item], at_ms=NOW_MS + 40 * DAY_MS)

    asyncio.run(erase())
    record.sql("delete from tocsin.opened where chain = '{access_chain}' and number = 1")
    still = record.verify()
    assert still.words == {("tocsin.access acc_1", "not_erased")}, "the row is to go as well"
    record.sql("delete from tocsin.access where id = 'acc_1'")
    said = record.verify()
    assert (said.code, said.lines) == (0, [])
    assert "1 payloads erased" in said.error


@pytest.fixture
def ordered(record: Altered) -> Altered:
    """With a measure of one zone, as the court ordered it, and an alert that is held; another hold was lifted."""

    async def order_and_hold() -> None:
        async with open_pool(record.dsn) as pool:
            with psycopg.connect(record.dsn, autocommit=True) as connection:
                connection.execute("set session_replication_role = replica")
                values = (utc(NOW_MS), utc(NOW_MS), utc(NOW_MS + DAY_MS), ZONES)
                connection.execute(
                    b"insert into tocsin.measure (id, created_at, created_by, version, wearer, protected, "
                    b"alert_distance_m, valid_from, valid_until, zones) "
                    b"values ('msr_1', %s, 'a court', 1, 'wearer-1', 'protected-1', 1000, %s, %s, %s)",
                    values,
                )
                connection.execute(
                    b"insert into tocsin.measure_version select id, version, wearer, protected, alert_distance_m, "
                    b"valid_from, valid_until, created_at, created_by, zones, authorised from tocsin.measure"
                )
            await Orders(pool).seal_versions(NOW_MS + DAY_MS + 2 * HOUR_MS)
            holds, at_ms = Holds(pool), NOW_MS + DAY_MS + 3 * HOUR_MS
            for subject in (ALERT, OTHER_ALERT):
                hold = await holds.place(
                    kind=HoldKind.HOLD, what=What.ALERT, subject=subject, reason="r", authority="a", by="b",
                    at_ms=at_ms,
                )  # fmt: skip
            assert hold is not None
            await holds.lift(hold.id, because="over", by="b", at_ms=at_ms + 1_000)

    asyncio.run(order_and_hold())
    assert record.verify().lines == []
    return record


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("update tocsin.measure_version set alert_distance_m = 100",
         {("tocsin.measure_version msr_1 1", "row_changed"), ("tocsin.measure msr_1", "row_changed")}),
        ("update tocsin.measure_version set zones = '[]'",
         {("tocsin.measure_version msr_1 1", "row_changed"), ("tocsin.measure msr_1", "row_changed")}),
        ("update tocsin.measure set alert_distance_m = 100", {("tocsin.measure msr_1", "row_changed")}),
        ("delete from tocsin.measure_version",
         {("tocsin.measure_version msr_1 1", "row_missing"), ("tocsin.measure msr_1", "row_changed")}),
        (("insert into tocsin.measure_version select measure, 0, wearer, protected, alert_distance_m, valid_from, "
         "valid_until, changed_at, changed_by, zones, authorised from tocsin.measure_version"),
         {("tocsin.measure_version msr_1 0", "row_added")}),
        ("delete from tocsin.hold where subject = '{alert}'", {("hold", "row_missing")}),
        ("update tocsin.hold set authority = 'x' where subject = '{alert}'", {("hold", "row_changed")}),
        (("update tocsin.hold set lifted_at = placed_at, lifted_by = 'x', lifted_because = 'x' "
         "where subject = '{alert}'"), {("hold", "row_added")}),
    ],
)  # fmt: skip
def test_what_a_court_ordered_and_what_it_has_held_is_found_when_changed(
    ordered: Altered, statement: str, expected: set[tuple[str, str]]
) -> None:
    ordered.sql(statement)
    words = {
        ("hold" if where.startswith("tocsin.hold") else where, wrong) for where, wrong in ordered.verify().words
    }
    assert words == expected


def test_a_deletion_that_somebody_forged_excuses_nothing(record: Altered) -> None:
    """F09: linked as the custodian links it, of the young, of another class, and of what comes behind it."""

    async def forge() -> None:
        said = Deletion(
            numbers=(1, 9), kept_as=KeptAs.MEASURE_FILE, at_ms=NOW_MS + 2 * DAY_MS, rule="R631-11", by="custodian"
        )
        item = Item(
            chain=CHAIN, kind=Kind.DELETION, kept_as=KeptAs.PROOF, source="deletion:1",
            payload=msgspec.json.encode(said),
        )  # fmt: skip
        async with open_pool(record.dsn) as pool:
            await Seals(pool).seal([item], at_ms=NOW_MS + 2 * DAY_MS)

    asyncio.run(forge())
    record.sql("delete from tocsin.opened where chain = '{chain}' and number = 1")
    said = record.verify()
    assert said.words >= {
        (f"tocsin.opened {CHAIN} 1", "deletion_unlawful"), (f"tocsin.opened {CHAIN} 7", "deletion_unlawful")
    }  # fmt: skip
    assert any("days too early for measure_file" in line for line in said.lines)


def test_one_chain_alone_is_looked_at_when_asked(record: Altered) -> None:
    record.sql("update tocsin.access set who = 'Nobody' where id = 'acc_1'")
    assert record.verify("--chain", CHAIN).code == 0
    said = record.verify("--chain", ACCESS_CHAIN)
    assert said.words == {("tocsin.access acc_1", "row_changed")}


def test_what_is_of_a_canary_or_of_before_the_chains_is_no_fault(record: Altered) -> None:
    """A canary is never linked; what was there before there were chains is counted, and nothing proves it."""
    record.sql(
        "insert into tocsin.command (stream_sequence, device, id, action, at, expires_at, said_by, payload) "
        "select 9, 'canary-3-w', id, action, at, expires_at, said_by, payload from tocsin.command",
    )
    assert record.verify().code == 0
    with psycopg.connect(record.dsn, autocommit=True) as connection:
        connection.execute(
            "alter table tocsin.access add column if not exists before_chains boolean not null default false"
        )
    record.sql(
        "insert into tocsin.access (id, stream_sequence, at, who, service, role, what, objects, purpose, places, "
        "before_chains) select 'acc_0', 0, at, who, service, role, what, objects, purpose, places, true "
        "from tocsin.access where id = 'acc_1'",
    )
    said = record.verify()
    assert (said.code, said.lines) == (0, [])
    assert "1 rows from before the chains" in said.error


def test_details_name_columns_and_never_what_stands_there(record: Altered) -> None:
    record.sql("update tocsin.access set who = 'Mme Secret' where id = 'acc_1'")
    said = record.verify()
    assert said.lines == [
        f"tocsin.access acc_1: row_changed: says otherwise than link 1 of {ACCESS_CHAIN}: who"
    ]  # fmt: skip
    assert "Secret" not in said.error


def test_long_chains_are_read_in_pieces_and_the_seams_hold(
    record: Altered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answers whatever the size of a piece: links, hours and erasures go over its edge."""
    record.sql(
        "update tocsin.attempt set result = 'x' where attempt = 1",
        "update tocsin.link set source = 'y' where chain = '{other_chain}' and number = 2",
    )
    whole = record.verify()
    for size in (1, 2, 3):
        monkeypatch.setattr("tocsin.adapters.examination.CHUNK", size)
        said = record.verify()
        assert (said.code, sorted(said.lines)) == (1, sorted(whole.lines))


def test_the_installed_command_says_by_its_status_what_it_found(record: Altered, tmp_path: Path) -> None:
    tocsin = str(Path(sys.executable).with_name("tocsin"))

    def run(*words: str, url: str = record.dsn) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        environment |= {"TOCSIN_DATABASE_URL": url, "TOCSIN_DATA_DIR": str(record.folder)}
        return subprocess.run(
            [tocsin, "audit", *words], env=environment, capture_output=True, text=True, timeout=100, check=False
        )

    assert run("verify").returncode == 0
    made = run("head")
    assert (made.returncode, made.stdout[:7]) == (0, "head 3 ")
    assert len(record.published.read_bytes().splitlines()) == 3
    record.sql("update tocsin.access set who = 'Nobody' where id = 'acc_1'")
    wrong = run("verify")
    assert (wrong.returncode, wrong.stdout.count("\n")) == (1, 1)
    assert run("verify", url="host=/nowhere dbname=x").returncode == 2


def test_the_database_of_the_data_folder_is_found_running_or_not(own_home: Path) -> None:
    """Beside `tocsin up`, which has it; and after it, when it is started for as long as the command takes."""
    server = EmbeddedPostgres(home=own_home / "database")

    def verify() -> Said:
        result = CliRunner().invoke(app, ["verify"], env={"TOCSIN_DATA_DIR": str(own_home)})
        return Said(result.exit_code, result.stdout.splitlines(), result.stderr)

    async def run() -> list[Said]:
        await migrate(await server.start())
        beside = await asyncio.to_thread(verify)
        await server.stop()
        return [beside, await asyncio.to_thread(verify)]

    own_home.mkdir(mode=0o711)
    for said in asyncio.run(run()):
        assert (said.code, said.lines) == (0, []), said.error


def test_tables_that_are_not_up_to_date_are_not_called_whole(empty_dsn: str, tmp_path: Path) -> None:
    environment = {"TOCSIN_DATABASE_URL": empty_dsn, "TOCSIN_DATA_DIR": str(tmp_path)}
    result = CliRunner().invoke(app, ["verify"], env=environment)
    assert isinstance(result.exception, SettingError)
    assert "tocsin migrate" in str(result.exception)
