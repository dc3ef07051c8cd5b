"""Do evidence, links, accesses and proofs come over a real socket out of a real record as the pages say, and can a
stranger check them with the pages alone? DOMAIN section 5, invariant 17; F09, F10."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from builders import frozen_clock
from evidence_world import ALERT, DAY, EPISODE, HIS, MEASURE, NOW_MS, OTHER, access
from playwright.async_api import async_playwright, expect
from test_console import CHROMIUM, FLAGS
from test_evidence_record import HOUR_MS, erase, exported, record_world

from alerts.__main__ import proof_doors
from alerts.api.server import run_api
from audit.evidence import gather
from audit.package_verification import verify
from tocsin.adapters import accesses, evidence, trail
from tocsin.adapters.accesses import AccessRecord, RecordedAccess
from tocsin.adapters.alarm_load import AlarmLoadRecord
from tocsin.adapters.episodes import EpisodeRecord
from tocsin.adapters.evidence import Bound, Evidence
from tocsin.adapters.figures import FiguresRecord
from tocsin.adapters.heads import Heads
from tocsin.adapters.orders import Orders
from tocsin.adapters.packager import PackagedEvidence
from tocsin.adapters.postgres import Pool, open_pool, transaction
from tocsin.adapters.seals import Seals
from tocsin.chain import Kind
from tocsin.errors import EvidenceTooLarge
from tocsin.heads import DAY_MS, line_of
from tocsin.sealing import access_chain
from tocsin.settings import ApiUser, Settings
from tocsin.subjects import ACCESSES
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_access

pytest_plugins = ("database",)
pytestmark = pytest.mark.timeout(90)

PAGE = Path(__file__).parents[2] / "docs" / "proof.md"
NOW_MS_THERE = NOW_MS + 25 * HOUR_MS
ASKED_FOR_S = 20
SHOWN_WITHIN_MS = 30_000  # by a browser that starts beside other work: Playwright's own patience for a click
TOKENS = {
    f"token-of-{name}-0123456789abc": ApiUser(name=name, role=role)
    for name, role in (("jude", "court"), ("xena", "auditor"), ("sue", "supervisor"), ("ada", "monitor"))
}
THE_PLACES = ("43296587", "5369731", "43304112", "43.296", "5.369", "43.304", "lat_e6")
"""His and hers in the rulings of this world (tests/builders.py), and how a place is written."""


@dataclass
class Site:
    pool: Pool
    log: MemoryLog
    port: int
    packages: PackagedEvidence

    def client(self, name: str, purpose: str | None = "audit:2026-113") -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer token-of-{name}-0123456789abc"}
        if purpose is not None:
            headers["Tocsin-Purpose"] = purpose
        return httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}/api/v1", headers=headers, timeout=ASKED_FOR_S
        )

    async def recorded(self) -> None:
        """What the recorder does with what is on the log."""
        read = [
            RecordedAccess(sequence=one.sequence, access=decode_access(one.payload))
            for one in self.log.entries(ACCESSES)
        ]
        await AccessRecord(self.pool, clock=frozen_clock(NOW_MS_THERE)).record_accesses(read)


@pytest_asyncio.fixture
async def site(pool: Pool, dsn: str) -> AsyncIterator[Site]:
    """Two alerts of one measure, and the head of the day after. The doors give up before those who ask them."""
    await record_world(pool)
    log, clock = MemoryLog(), frozen_clock(NOW_MS_THERE)
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with open_pool(dsn, statement_timeout_s=ASKED_FOR_S / 4) as of_doors:
        doors = proof_doors(of_doors, of_doors, clock)
        server = asyncio.create_task(
            run_api(
                log=log, standings=MemoryBucket(), incidents=MemoryBucket(), episodes=EpisodeRecord(pool),
                orders=Orders(pool), alarm_load=AlarmLoadRecord(pool), figures=FiguresRecord(pool),
                proof=doors, settings=Settings(api_tokens=TOKENS, api_port=0), clock=clock,
                hash_password=str, ready=ready.set_result,
            )
        )  # fmt: skip
        assert isinstance(doors.packages, PackagedEvidence)
        yield Site(pool, log, await ready, doors.packages)
        server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await server


async def all_of(client: httpx2.AsyncClient, path: str, **query: object) -> list[dict[str, Any]]:
    """Each page, to the end."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        answer = await client.get(path, params=query | ({} if cursor is None else {"cursor": cursor}))
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        cursor = answer.json()["next"]
        if cursor is None:
            return found


async def rows(pool: Pool, query: bytes) -> list[tuple[Any, ...]]:
    async with transaction(pool) as connection:
        return await (await connection.execute(query)).fetchall()


# --- who may ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [f"/alerts/{ALERT}/evidence", "/audit/entries", "/audit/accesses", "/audit/proof"]
)
async def test_who_handles_alerts_gets_nothing_and_leaves_no_taking(site: Site, path: str) -> None:
    before = await rows(site.pool, b"select count(*) from tocsin.access")
    for name in ("sue", "ada"):
        async with site.client(name) as client:
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")
    async with site.client("xena", purpose=None) as xena:
        assert (await xena.get(path)).json()["type"] == "/problems/purpose-missing"
    async with site.client("jude") as jude:
        assert (await jude.get(path)).status_code == (200 if "evidence" in path else 403)
    assert len(site.log.entries(ACCESSES)) == 0
    ((count,),) = await rows(site.pool, b"select count(*) from tocsin.access")
    assert count == before[0][0] + ("evidence" in path)


# --- evidence --------------------------------------------------------------------------------------------------


async def test_the_door_and_the_command_give_the_same_bytes(site: Site, tmp_path: Path) -> None:
    """And whoever has the file verifies it with the file and the published heads alone."""
    by_command = await exported(site.pool)
    async with site.client("jude") as jude:
        answer = await jude.get(f"/alerts/{ALERT}/evidence")
    assert answer.status_code == 200
    assert answer.content == by_command
    assert answer.headers["content-type"].partition(";")[0] == "application/x-ndjson"
    assert answer.headers["content-disposition"] == f'attachment; filename="{ALERT}.jsonl"'
    assert answer.headers["cache-control"] == "no-store"
    assert verify(io.BytesIO(answer.content), replay=lambda _: []).faults == []

    file, heads = tmp_path / f"{ALERT}.jsonl", tmp_path / "heads.jsonl"
    file.write_bytes(answer.content)
    heads.write_bytes(b"".join(map(line_of, await Heads(site.pool).all())))
    words = [sys.executable, "-m", "tocsin.cli", "evidence", "verify", str(file), "--heads", str(heads)]
    said = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, check=False)
    assert (said.returncode, "Traceback" in said.stderr) == (0, False), said.stdout + said.stderr


async def test_each_taking_is_linked_and_in_the_next_package(site: Site) -> None:
    async with site.client("jude") as jude, site.client("xena") as xena:
        first = await jude.get(f"/alerts/{ALERT}/evidence")
        second = await xena.get(f"/alerts/{ALERT}/evidence")
    today = access_chain(NOW_MS_THERE)
    links = await Seals(site.pool).links(today)
    assert [link.kind for link in links] == [Kind.ACCESS, Kind.ACCESS]
    one, two = (verify(io.BytesIO(each.content), replay=lambda _: []) for each in (first, second))
    assert one.faults == two.faults == []
    assert today not in one.links, "a package does not tell of itself"
    (taking,) = [each for each in two.story.accesses if each.what == "evidence"]
    assert (taking.who, taking.role, taking.purpose, taking.objects, taking.places) == (
        "jude", "court", "audit:2026-113", (ALERT,), True,
    )  # fmt: skip


async def test_not_a_byte_leaves_before_the_taking_is_linked(site: Site) -> None:
    """Somebody holds the table of accesses: the door waits, and when it may no longer wait it refuses."""
    url = f"/alerts/{ALERT}/evidence"
    async with site.client("jude") as jude:
        async with transaction(site.pool) as connection:
            await connection.execute(b"lock table tocsin.access in share row exclusive mode")
            answer = await jude.get(url)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/record-unavailable")
        assert b'"kind"' not in answer.content
        async with jude.stream("GET", url) as opening:
            assert opening.status_code == 200
            assert len(await Seals(site.pool).links(access_chain(NOW_MS_THERE))) == 1, "not read yet, and linked"
            await opening.aread()


async def test_an_unknown_alert_and_a_record_with_what_no_package_can_have(site: Site) -> None:
    async with site.client("jude") as jude:
        unknown = await jude.get("/alerts/alr_none/evidence")
        async with transaction(site.pool) as connection:
            await connection.execute(b"alter table tocsin.opened disable trigger all")
            change = b"update tocsin.opened set payload = 'no json' where chain = %s and number = 1"
            await connection.execute(change, [EPISODE])
        broken = await jude.get(f"/alerts/{ALERT}/evidence")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/unknown-alert")
    assert (broken.status_code, broken.json()["type"]) == (409, "/problems/evidence-broken")
    assert await rows(site.pool, b"select id from tocsin.access where what = 'evidence'") == []


async def test_what_is_too_large_for_the_api_is_left_to_the_command(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By links and by bytes, of all chains together; what it reads in the end is what the bound allows."""
    by_command = await exported(site.pool)
    enough = Bound(links=1_000, payload_bytes=1_000_000)
    for bound in (replace(enough, links=20), replace(enough, payload_bytes=2_000)):
        with pytest.raises(EvidenceTooLarge):
            await PackagedEvidence(site.pool, gather, bound).lines(ALERT)
    assert b"".join(await PackagedEvidence(site.pool, gather, enough).lines(ALERT)) == by_command
    monkeypatch.setattr(site.packages, "_bound", replace(enough, links=20))
    async with site.client("jude") as jude:
        answer = await jude.get(f"/alerts/{ALERT}/evidence")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/evidence-too-large")
    assert "tocsin evidence export" in answer.json()["detail"]
    assert await rows(site.pool, b"select id from tocsin.access where what = 'evidence'") == []
    assert await exported(site.pool) == by_command, "the command has no bound"


async def test_a_day_of_which_nothing_is_allowed_is_not_read(site: Site) -> None:
    """A busy day is counted to the bound, and none of its rows comes over."""
    reads = [RecordedAccess(sequence=100 + n, access=access(f"acc_many{n}", OTHER)) for n in range(300)]
    await AccessRecord(site.pool, clock=frozen_clock(NOW_MS + 6 * HOUR_MS)).record_accesses(reads)
    async with Evidence(site.pool).reading(Bound(links=200, payload_bytes=10**9)) as reading:
        with pytest.raises(EvidenceTooLarge):
            await reading.stretch(DAY)
        with pytest.raises(EvidenceTooLarge):
            await reading.stretch(EPISODE)


async def test_a_payload_that_is_not_wanted_is_not_held_and_weighs_nothing(site: Site) -> None:
    """Of a busy day the package has each link, and of the payloads those that name the alert."""
    reads = [RecordedAccess(sequence=100 + n, access=access(f"acc_many{n}", OTHER)) for n in range(300)]
    await AccessRecord(site.pool, clock=frozen_clock(NOW_MS + 6 * HOUR_MS)).record_accesses(reads)
    bound = Bound(links=1_000, payload_bytes=1_000)
    async with Evidence(site.pool).reading(bound) as reading:
        day = await reading.stretch(DAY, wanted=lambda _, one: b'acc_many7"' in one.payload)
        assert len(day.links) > 300
        assert len(day.opened) == 1
    async with Evidence(site.pool).reading(bound) as reading:
        with pytest.raises(EvidenceTooLarge):
            await reading.stretch(DAY, wanted=lambda *_: True)
    async with Evidence(site.pool).reading(Bound(links=200, payload_bytes=10**9)) as reading:
        with pytest.raises(EvidenceTooLarge):
            await reading.stretch(DAY, wanted=lambda *_: False)


async def test_pages_of_links_change_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    by_command = await exported(site.pool)
    for a_turn in (1, 3):
        monkeypatch.setattr(evidence, "A_TURN", a_turn)
        assert await exported(site.pool) == by_command


async def test_the_days_of_an_alert_are_found_by_the_index_of_objects(pool: Pool) -> None:
    async with transaction(pool) as connection:
        await connection.execute(b"set local enable_seqscan = off")
        for query, values in ((evidence.SQL["access_days"], [ALERT]), (accesses.SQL["accesses_to"], [ALERT, 1])):
            plan = await (await connection.execute(b"explain " + query, values)).fetchall()
            assert "access_objects" in str(plan)


# --- the page --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium to try the page in")
async def test_a_court_downloads_it_from_the_page(site: Site, tmp_path: Path) -> None:
    by_command = await exported(site.pool)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = await browser.new_page(locale="fr-FR", accept_downloads=True)
        complaints: list[str] = []
        page.on("console", lambda one: complaints.append(one.text) if "Policy" in one.text else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"http://127.0.0.1:{site.port}/console/evidence.html?alert={ALERT}")
        await page.fill("#purpose", "audit:2026-113")
        await page.fill("#token", "token-of-ada-0123456789abc")
        await page.click("button")
        await expect(page.locator("#said")).to_contain_text("Votre rôle ne permet pas", timeout=SHOWN_WITHIN_MS)
        await page.fill("#token", "token-of-jude-0123456789abc")
        async with page.expect_download(timeout=SHOWN_WITHIN_MS) as coming:
            await page.click("button")
        download = await coming.value
        await download.save_as(tmp_path / "taken")
        await expect(page.locator("#said")).to_contain_text("est téléchargé", timeout=SHOWN_WITHIN_MS)
        await browser.close()
    assert download.suggested_filename == f"{ALERT}.jsonl"
    assert (tmp_path / "taken").read_bytes() == by_command
    assert complaints == []
    assert await rows(site.pool, b"select who, purpose from tocsin.access where what = 'evidence'") == [
        ("jude", "audit:2026-113")
    ]


# --- links -----------------------------------------------------------------------------------------------------


async def test_all_links_in_pages_and_no_place_in_any(site: Site) -> None:
    """The wearer's places and hers are in payloads of this record, and none of these comes by this door."""
    payloads = b"".join(bytes(one) for (one,) in await rows(site.pool, b"select payload from tocsin.opened"))
    assert any(place.encode() in payloads for place in THE_PLACES), "else this test could not fail"
    await erase(site.pool, EPISODE, 2)
    async with site.client("xena") as xena:
        whole = await xena.get("/audit/entries")
        found = await all_of(xena, "/audit/entries", limit=7)
    assert found == whole.json()["items"]
    assert not [place for place in (*THE_PLACES, "payload", "salt") if place in whole.text]
    there = await rows(site.pool, b"select chain, number, hash from tocsin.link order by chain, number")
    assert [(one["chain"], one["number"], bytes.fromhex(one["hash"])) for one in found] == [
        (chain, number, bytes(hash_)) for chain, number, hash_ in there
    ]
    assert [(one["chain"], one["number"]) for one in found if not one["kept"]] == [(EPISODE, 2)]


async def test_links_of_an_alert_of_a_chain_and_of_a_day(site: Site) -> None:
    async with site.client("xena") as xena:
        every = await all_of(xena, "/audit/entries")
        for query, wanted in (
            ({"alert": ALERT}, [one for one in every if one["chain"] == EPISODE]),
            ({"chain": HIS}, [one for one in every if one["chain"] == HIS]),
            ({"day": "2026-11-20"}, [one for one in every if one["at"][:10] == "2026-11-20"]),
            ({"day": "2026-11-21"}, [one for one in every if one["at"][:10] == "2026-11-21"]),
            ({"alert": OTHER, "day": "2026-11-20"}, []),
            ({"alert": "alr_none"}, []),
        ):
            assert await all_of(xena, "/audit/entries", limit=2, **query) == wanted, query
        foreign = await xena.get("/audit/entries", params={"chain": HIS, "cursor": f"1~{EPISODE}"})
        wrong = await xena.get("/audit/entries", params={"cursor": "x~y"})
    assert {one["at"][:10] for one in every} >= {"2026-11-20", "2026-11-21"}
    assert foreign.json()["type"] == wrong.json()["type"] == "/problems/bad-cursor"


async def test_who_looked_at_the_links_of_an_alert_is_in_its_evidence(site: Site) -> None:
    async with site.client("xena") as xena:
        await all_of(xena, "/audit/entries", alert=ALERT)
        await xena.get("/audit/proof", params={"chain": EPISODE, "upto": "2026-11-22"})
    await site.recorded()
    verdict = verify(io.BytesIO(await exported(site.pool)), replay=lambda _: [])
    assert verdict.faults == []
    assert {(one.who, one.what) for one in verdict.story.accesses} >= {("xena", "entries"), ("xena", "proof")}


# --- accesses --------------------------------------------------------------------------------------------------


async def test_who_read_what_the_newest_first_in_pages(site: Site) -> None:
    window = {"from": "2026-11-21T00:00:00Z", "to": "2026-11-23T00:00:00Z"}
    async with site.client("xena") as xena:
        every = await all_of(xena, "/audit/accesses", limit=1, **window)
        of_alert = await all_of(xena, "/audit/accesses", limit=1, object=ALERT, **window)
        of_nobody = await all_of(xena, "/audit/accesses", who="Nobody", **window)
        too_late = await all_of(xena, "/audit/accesses", **{"from": "2026-11-22T00:00:00Z", "to": window["to"]})
    assert [one["id"] for one in every] == ["acc_4", "acc_3", "acc_2", "acc_1"]
    assert [one["id"] for one in of_alert] == ["acc_3", "acc_1"]
    assert (of_nobody, too_late) == ([], [])
    assert {one["who"] for one in every} == {"Zoé"}
    linked = {link.source for link in await Seals(site.pool).links(DAY)}
    assert {(one["chain"], one["source"] in linked) for one in every} == {(DAY, True)}


async def test_the_auditors_own_looks_are_in_the_next_list(site: Site) -> None:
    window = {"from": "2026-11-22T00:00:00Z", "to": "2026-11-23T00:00:00Z"}
    async with site.client("xena") as xena, site.client("jude") as jude:
        await xena.get("/audit/accesses", params={"object": ALERT, "from": "2026-11-21T00:00:00Z"})
        await jude.get(f"/alerts/{ALERT}/evidence")
        await xena.get("/audit/accesses")
        await site.recorded()
        found = await all_of(xena, "/audit/accesses", who="xena", **window)
        takings = await all_of(xena, "/audit/accesses", who="jude", **window)
    assert [(one["what"], one["role"], one["purpose"]) for one in found] == [
        ("accesses", "auditor", "audit:2026-113")
    ] * 2
    assert sorted(found[-1]["objects"]) == [ALERT, OTHER], "of a list of accesses: whom they were to"
    assert [(one["what"], one["places"], one["objects"]) for one in takings] == [("evidence", True, [ALERT])]


@pytest.mark.parametrize("cursor", ["1", "x~1~a", "1~x~a", "1~2~", "99999999999999999~1~a"])
async def test_a_cursor_of_accesses_that_was_not_given_out(site: Site, cursor: str) -> None:
    async with site.client("xena") as xena:
        answer = await xena.get("/audit/accesses", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-cursor")


# --- heads -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def check() -> Any:
    """The program on the page, as a stranger has it."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102  (our own page)
    return names["check_proof"]


async def published(pool: Pool) -> list[bytes]:
    return [line_of(head) for head in await Heads(pool).all()]


async def two_more_heads(pool: Pool) -> None:
    for day in (2, 3):
        await Heads(pool).make(NOW_MS + day * DAY_MS)


async def test_each_link_of_an_alert_is_proven_with_the_page_alone(site: Site, check: Any) -> None:
    kept = await published(site.pool)
    await two_more_heads(site.pool)
    async with site.client("xena") as xena:
        for link in await all_of(xena, "/audit/entries", alert=ALERT):
            query = {"chain": EPISODE, "number": link["number"], "upto": "2026-11-24"}
            said = (await xena.get("/audit/proof", params=query)).json()
            proven = check(said, kept)
            assert (proven["chain"], proven["links"][0]) == (EPISODE, link["number"])
            assert said["covered"]["links"][0] == link | {"kept": None}
            assert [one["number"] for one in said["heads"]] == [1, 2, 3], "from the head that covers it on"


async def test_a_head_of_then_is_in_the_record_of_now(site: Site, check: Any) -> None:
    """Somebody has kept the first, and asks what came since; later the record is made anew, and he sees it."""
    kept = await published(site.pool)
    await two_more_heads(site.pool)
    async with site.client("xena") as xena:
        since = (await xena.get("/audit/proof", params={"after": 1, "upto": "2026-12-31"})).json()
        assert check(since, kept) == {"heads_agree_to": 1, "newest_head": 3}
        async with transaction(site.pool) as connection:
            for table in (b"head", b"head_leaf"):
                await connection.execute(b"alter table tocsin." + table + b" disable trigger all")
                await connection.execute(b"delete from tocsin." + table)
        await Heads(site.pool).make(NOW_MS + DAY_MS + 1)
        await two_more_heads(site.pool)
        anew = (await xena.get("/audit/proof", params={"after": 1, "upto": "2026-12-31"})).json()
    with pytest.raises(SystemExit, match="head 1 was published with another hash"):
        check(anew, kept)


async def test_up_to_a_day(site: Site, check: Any) -> None:
    """What was linked behind the head of that day is in none up to it; before the first head nothing is."""
    await two_more_heads(site.pool)
    await Seals(site.pool).seal([], at_ms=NOW_MS)
    async with site.client("xena") as xena:
        one = (await xena.get("/audit/proof", params={"upto": "2026-11-22", "chain": EPISODE})).json()
        today = (await xena.get("/audit/proof")).json()
        early = await xena.get("/audit/proof", params={"upto": "2026-11-21"})
        length = one["covered"]["length"]
        beyond = await xena.get("/audit/proof", params={"chain": EPISODE, "number": length + 1})
        foreign = await xena.get("/audit/proof", params={"chain": "episode/alr_none"})
    assert (one["head"]["number"], one["head"]["day"], one["covered"]["links"]) == (1, "2026-11-22", [])
    assert check(one, await published(site.pool))["links"] == [length, length]
    assert (today["head"]["number"], today["covered"], len(today["heads"])) == (1, None, 1), (
        "of this world's today"
    )
    assert {answer.json()["type"] for answer in (early, beyond, foreign)} == {"/problems/not-covered"}
    assert {answer.status_code for answer in (early, beyond, foreign)} == {404}


async def test_a_long_run_of_heads_in_parts(site: Site, check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = await published(site.pool)
    await two_more_heads(site.pool)
    monkeypatch.setattr(trail, "HEADS_MAX", 2)
    async with site.client("xena") as xena:
        query = {"chain": EPISODE, "number": 1, "upto": "2026-11-24"}
        first = (await xena.get("/audit/proof", params=query)).json()
        rest = (await xena.get("/audit/proof", params=query | {"after": first["next"]})).json()
    assert ([one["number"] for one in first["heads"]], first["next"]) == ([1, 2], 2)
    assert ([one["number"] for one in rest["heads"]], rest["next"]) == ([3], None)
    assert check(first | {"heads": first["heads"] + rest["heads"]}, kept)["newest_head"] == 3


async def test_too_many_links_up_to_the_head(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "LINKS_MAX", 3)
    async with site.client("xena") as xena:
        length = (await xena.get("/audit/proof", params={"chain": EPISODE})).json()["covered"]["length"]
        near = await xena.get("/audit/proof", params={"chain": EPISODE, "number": length - 2})
        far = await xena.get("/audit/proof", params={"chain": EPISODE, "number": length - 3})
    assert (near.status_code, len(near.json()["covered"]["links"])) == (200, 3)
    assert (far.status_code, far.json()["type"]) == (409, "/problems/too-many-links")


async def test_what_these_doors_read_does_not_change_the_record(site: Site) -> None:
    async with site.client("xena") as xena:
        for path in ("/audit/entries", "/audit/accesses", f"/audit/proof?chain=measure/{MEASURE}"):
            assert (await xena.get(path)).status_code == 200
    assert await rows(site.pool, b"select id from tocsin.access where role = 'auditor'") == [], "by the log, later"
    async with Evidence(site.pool).reading() as reading:
        assert (await reading.stretch(access_chain(NOW_MS_THERE))).links == []
