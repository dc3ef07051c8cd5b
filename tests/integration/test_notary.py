"""Is there a head each day, does it leave for everybody outside once, and is a file that was changed paged?

Cited: F09, F10; F02 (what is down is waited for). A real PostgreSQL, a real HTTP server, the log's twin.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from builders import NOW_MS, REALM, SECRET, eventually
from real_broker import cancelled
from recipients import HANG, REDIRECT, listening
from standardwebhooks import Webhook as Reader

from alerts import desk
from audit.notary import (
    FILE_NOT_WRITTEN,
    NOT_TAKEN,
    SUBJECT,
    TYPE,
    HeadsFile,
    Outside,
    Pager,
    Trouble,
    make,
    make_if_due,
    outside_of,
    place_of,
    publish,
    run_notary,
)
from audit.webhook import Webhook
from tocsin import subjects
from tocsin.adapters.heads import Heads
from tocsin.adapters.postgres import Pool
from tocsin.adapters.seals import Seals
from tocsin.chain import Item, KeptAs, Kind
from tocsin.clock import AffineClock
from tocsin.heads import DAY_MS, faults, faults_of_file, head_in, line_of
from tocsin.model.episode import NoticeCause, Ruling, State
from tocsin.model.finding import Change, Code
from tocsin.reach import reach_of
from tocsin.settings import load
from tocsin.subjects import EPISODES, NOTICES
from tocsin.testing.bus import MemoryLog
from tocsin.wire import decode_notice, encode

pytest_plugins = ("database",)

HOUR_MS = 3_600_000


@dataclass
class Hands:
    """A clock that is moved by hand. It sleeps for as long as a look takes, and no longer."""

    now: int = NOW_MS

    def now_ms(self) -> int:
        return self.now

    def wall_ms(self) -> int:
        return AffineClock().wall_ms()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.01)


def outside(folder: Path, url: str | None = None) -> Outside:
    webhook = None if url is None else Webhook(url=url, secret=SECRET)
    return Outside(site="paca", realm=REALM, file=HeadsFile(folder / "heads.jsonl"), webhook=webhook)


def lines(folder: Path) -> list[bytes]:
    return (folder / "heads.jsonl").read_bytes().splitlines(keepends=True)


async def grow(pool: Pool, number: int) -> None:
    item = Item(
        chain="measure/msr_1",
        kind=Kind.ORDER,
        kept_as=KeptAs.MEASURE_FILE,
        source=f"order:{number}",
        payload=b"{}",
    )
    await Seals(pool).seal([item], at_ms=NOW_MS)


@asynccontextmanager
async def notary(pool: Pool, where: Outside, log: MemoryLog, clock: Hands) -> AsyncIterator[None]:
    task = asyncio.create_task(run_notary(Heads(pool), where, log, clock, lambda: None))
    try:
        yield
    finally:
        await cancelled(task)


async def test_one_at_the_start_and_one_shortly_after_each_midnight(pool: Pool) -> None:
    heads = Heads(pool)
    assert (await make_if_due(heads, NOW_MS + HOUR_MS)) is not None, "none was ever made"
    assert await make_if_due(heads, NOW_MS + DAY_MS - 1) is None
    assert await make_if_due(heads, NOW_MS + DAY_MS) is None, "not at midnight itself"
    assert await make_if_due(heads, NOW_MS + DAY_MS + 5 * 60_000) is not None
    assert await make_if_due(heads, NOW_MS + DAY_MS + 2 * HOUR_MS) is None
    assert await make_if_due(heads, NOW_MS + 9 * DAY_MS) is not None, "one for all the days of an outage"
    made = await heads.all()
    assert [head.day for head in made] == ["2026-11-21", "2026-11-22", "2026-11-30"]
    assert list(faults(made)) == []


async def test_the_daily_head_reaches_the_file_and_the_webhook(pool: Pool, tmp_path: Path) -> None:
    await grow(pool, 1)
    log, clock = MemoryLog(), Hands()
    async with listening(200) as receiver, notary(pool, outside(tmp_path, receiver.url), log, clock):
        await eventually(lambda: len(receiver.heard) == 1)
        clock.now += DAY_MS + HOUR_MS
        await eventually(lambda: len(receiver.heard) == 2)
    heads = await Heads(pool).all()
    assert lines(tmp_path) == [line_of(head) for head in heads]
    assert [head_in(line) for line in lines(tmp_path)] == heads
    event = json.loads(receiver.heard[0].body)
    assert Reader(SECRET).verify(receiver.heard[0].body.decode(), receiver.heard[0].headers) == event
    data = event.pop("data")
    assert data == json.loads(lines(tmp_path)[0])
    assert event == {
        "specversion": "1.0", "id": receiver.ids[0], "source": "/tocsin/paca", "type": TYPE, "subject": "1",
        "time": "2026-11-21T00:00:00.000Z", "datacontenttype": "application/json", "sequence": "1", "realm": "lab",
    }  # fmt: skip
    assert receiver.heard[0].headers["content-type"] == "application/cloudevents+json"
    assert log.entries(NOTICES) == []


async def test_a_restart_repeats_none_and_forgets_none(pool: Pool, tmp_path: Path) -> None:
    """The receiver is down at first; then it takes each once, in order, under the same names."""
    heads, clock = Heads(pool), Hands()
    await make(heads, NOW_MS)
    async with listening(503, 503, 200) as receiver:
        where = outside(tmp_path, receiver.url)
        assert await publish(heads, where, clock) == []
        await make(heads, NOW_MS + HOUR_MS)
        assert await publish(heads, where, clock) == []
        assert await heads.published_at(place_of(where.webhook)) == set()  # type: ignore[arg-type]
        assert await publish(Heads(pool), outside(tmp_path, receiver.url), clock) == []
        assert await publish(Heads(pool), outside(tmp_path, receiver.url), clock) == []
    first, again, taken, second = receiver.ids
    assert (first == again == taken, second != first, len(lines(tmp_path))) == (True, True, 2)


async def test_a_new_file_and_another_webhook_get_all_of_them(pool: Pool, tmp_path: Path) -> None:
    heads, clock = Heads(pool), Hands()
    for number in range(3):
        await make(heads, NOW_MS + number)
    await publish(heads, outside(tmp_path), clock)
    (tmp_path / "elsewhere").mkdir()
    async with listening(200) as receiver:
        await publish(heads, outside(tmp_path / "elsewhere", receiver.url), clock)
    assert lines(tmp_path / "elsewhere") == lines(tmp_path)
    assert [json.loads(one.body)["subject"] for one in receiver.heard] == ["1", "2", "3"]


@pytest.mark.parametrize("answer", [REDIRECT, 500, 410])
async def test_only_a_yes_is_one_and_what_is_refused_for_a_day_is_a_trouble(
    pool: Pool, tmp_path: Path, answer: int | str
) -> None:
    heads, clock = Heads(pool), Hands()
    await make(heads, NOW_MS)
    async with listening(answer) as receiver:
        where = outside(tmp_path, receiver.url)
        assert await publish(heads, where, clock) == []
        clock.now += DAY_MS + 1
        assert [one.reason for one in await publish(heads, where, clock)] == [NOT_TAKEN]
    assert len(receiver.heard) == 2, "a redirect is not followed"


async def test_a_receiver_that_hangs_or_is_not_there_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(HANG) as receiver:
        with monkeypatch.context() as impatient:  # a slow machine's refusal is another result than no answer
            impatient.setattr("audit.webhook.WEBHOOK_TIMEOUT_S", 0.2)
            assert await Webhook(url=receiver.url, secret=SECRET).post("evt_1", b"{}", 0) == "timeout"
    assert await Webhook(url="http://127.0.0.1:9", secret=SECRET).post("evt_1", b"{}", 0) == "connecterror"
    assert SECRET not in repr(Webhook(url="http://127.0.0.1:9", secret=SECRET))


async def test_a_name_that_leads_into_our_own_house_is_told_nothing() -> None:
    """Whoever answers for the name could lead the heads to a machine of ours; an address in the URL is meant."""
    async with listening(204) as receiver:
        named = receiver.url.replace("127.0.0.1", "localhost")
        assert await Webhook(url=named, secret=SECRET).post("evt_1", b"{}", 0) == "address_refused"
        assert receiver.heard == []
        for hook in (
            Webhook(url=named, secret=SECRET, reach=reach_of((), is_lab=True)),
            Webhook(url=receiver.url, secret=SECRET),
        ):
            assert await hook.post("evt_1", b"{}", 0) == "accepted"
    assert len(receiver.heard) == 2


async def test_the_networks_of_recipients_hold_for_the_heads_too(tmp_path: Path) -> None:
    setting = {
        "realm": "exercise",
        "data_dir": tmp_path,
        "heads_url": "https://archive.example",
        "heads_secret": SECRET,
    }
    webhook = outside_of(load(**setting, webhook_networks=["10.20.0.0/16"])).webhook
    assert webhook is not None
    assert webhook.reach.allows("archive.example", "10.20.0.7")
    assert not webhook.reach.allows("archive.example", "127.0.0.1")


async def test_who_died_while_he_wrote_leaves_a_file_that_agrees(pool: Pool, tmp_path: Path) -> None:
    """Before the line was whole; and between the line and the note of it."""
    heads, where, clock = Heads(pool), outside(tmp_path), Hands()
    first = await make(heads, NOW_MS)
    await publish(heads, where, clock)
    second = await make(heads, NOW_MS + 1)
    with (tmp_path / "heads.jsonl").open("ab") as file:
        file.write(line_of(second)[:30])
    assert await publish(heads, where, clock) == []
    third = await make(heads, NOW_MS + 2)
    with (tmp_path / "heads.jsonl").open("ab") as file:
        file.write(line_of(third))
    assert await publish(heads, where, clock) == []
    record = {head.number: head for head in (first, second, third)}
    assert list(faults_of_file(lines(tmp_path), record, record)) == []
    assert lines(tmp_path).count(line_of(third)) == lines(tmp_path).count(line_of(second)) == 1


async def test_a_file_that_cannot_be_written_is_a_trouble_and_the_webhook_goes_on(
    pool: Pool, tmp_path: Path
) -> None:
    heads = Heads(pool)
    await make(heads, NOW_MS)
    async with listening(200) as receiver:
        troubles = await publish(heads, outside(tmp_path / "nowhere", receiver.url), Hands())
    assert ([one.reason for one in troubles], len(receiver.heard)) == ([FILE_NOT_WRITTEN], 1)


async def test_a_changed_file_is_paged_is_not_mended_and_what_is_new_is_appended(
    pool: Pool, tmp_path: Path
) -> None:
    log, clock = MemoryLog(), Hands()
    async with notary(pool, outside(tmp_path), log, clock):
        await eventually((tmp_path / "heads.jsonl").exists)
        await eventually(lambda: Heads(pool).published_at(f"file:{tmp_path / 'heads.jsonl'}"))
        whole = lines(tmp_path)[0]
        changed = whole.replace(b'"leaves":0', b'"leaves":1')
        (tmp_path / "heads.jsonl").write_bytes(changed)
        await eventually(lambda: log.entries(NOTICES))
        clock.now += DAY_MS + HOUR_MS
        await eventually(lambda: len(lines(tmp_path)) == 2)
        assert lines(tmp_path)[0] == changed
    notice = decode_notice(log.entries(NOTICES)[0].payload)
    assert (notice.code, notice.subject, notice.change) == (Code.SYS_AUDIT, SUBJECT, Change.ENTRY)
    assert notice.reason == "head_changed"
    assert "head 1" in notice.facts[0][1]


async def test_the_page_is_one_a_day_and_ends_when_all_agrees(tmp_path: Path) -> None:
    """Over a restart too: the log remembers what lasts."""
    log, trouble = MemoryLog(), [Trouble("head_changed", "head 1: it is another one")]
    pager = Pager(log)
    await pager.say([], NOW_MS)
    for minute in range(3):
        await pager.say(trouble, NOW_MS + minute * 60_000)
    await Pager(log).say(trouble, NOW_MS + 240_000)
    await pager.say(trouble, NOW_MS + DAY_MS)
    begun, tomorrow = notices(log)
    assert (begun.change, begun.id != tomorrow.id) == (Change.ENTRY, True)
    ruling = desk.handle(None, NoticeCause(notice=begun), REALM, NOW_MS + 300_000)
    assert isinstance(ruling, Ruling)
    assert (ruling.episode.code, ruling.episode.state) == (Code.SYS_AUDIT, State.RAISED)
    await log.append(subjects.episode(Code.SYS_AUDIT.value, SUBJECT), encode(ruling))
    await Pager(log).say([], NOW_MS + 2 * DAY_MS)
    ended = notices(log)[-1]
    assert (ended.change, ended.entry) == (Change.EXIT, begun.id)
    after = desk.handle(ruling.episode, NoticeCause(notice=ended), REALM, NOW_MS + 2 * DAY_MS)
    assert isinstance(after, Ruling)
    assert after.episode.over_ms is not None
    assert len(log.entries(EPISODES)) == 1


def notices(log: MemoryLog) -> list[msgspec.Struct]:
    return [decode_notice(one.payload) for one in log.entries(NOTICES)]
