"""Does the operator's page show an alert, and does his key take it? In a real browser, against the real server.

Needs /usr/bin/chromium (``apt-get install chromium``); skipped where there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright, expect

from alerts.api.server import run_api
from alerts.episodes import place, placed_as
from alerts.ledger import Ledger
from tocsin.clock import AffineClock
from tocsin.errors import RecordUnavailable
from tocsin.model.episode import Act, AlarmCause, Episode, FindingCause, Realm, Ruling, Verb
from tocsin.model.finding import Alarm, Change, Code, Finding
from tocsin.model.fix import ClockPoints, FixPoint
from tocsin.model.fleet import Dimension, Group, Incident, PairAtRisk, Party, Silenced
from tocsin.model.standing import Protection, Standing
from tocsin.model.zone import Zone
from tocsin.settings import ApiUser, Settings
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import encode

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-default-apps", "--disable-dev-shm-usage", "--no-first-run",
]  # fmt: skip
SHOWS_WITHIN_MS = 30_000  # a browser on a busy machine, and a page that asks again after 2 s + 2 s
SCREENSHOTS = os.environ.get("CONSOLE_SCREENSHOTS")

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium to try the console in"),
    pytest.mark.timeout(90),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _patient_expect() -> Iterator[None]:
    """What has not come by then never will; where a test is about the time it says so itself."""
    expect.set_options(timeout=SHOWS_WITHIN_MS)
    yield
    expect.set_options(timeout=None)


class NoRecord:
    """The record is down: the console must not notice."""

    def __getattr__(self, _name: str):
        async def down(*_args: object, **_words: object):
            raise RecordUnavailable("down")

        return down


@dataclass
class Desk:
    """The server, and what happens in the world."""

    log: MemoryLog
    clock: AffineClock
    standings: MemoryBucket = field(default_factory=MemoryBucket)
    incidents: MemoryBucket = field(default_factory=MemoryBucket)
    settings: dict[str, object] = field(default_factory=lambda: {"api_auth": "off"})
    port: int = 0
    server: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.log, self.clock, Realm.LAB, call_key=b"a key of the dispatcher")

    async def start(self) -> None:
        """On the same port again, if it had one."""
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        serving = run_api(
            log=self.log, standings=self.standings, incidents=self.incidents,
            episodes=NoRecord(), orders=NoRecord(), alarm_load=NoRecord(), figures=NoRecord(), proof=NoRecord(),
            clock=self.clock,
            hash_password=str,
            settings=Settings(api_port=self.port, **self.settings), ready=ready.set_result,
        )  # fmt: skip
        self.server = asyncio.create_task(serving)
        self.port = await ready

    async def stop(self) -> None:
        self.server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.server

    async def press(self, device: str, ago_s: int = 0) -> Episode:
        at_ms = self.clock.now_ms() - ago_s * 1000
        alarm = Alarm(
            id=f"alm_{device}_{at_ms}", code=Code.TGD_SOS, device=device, measures=(), at_ms=at_ms, silent=True,
            position=None, points=ClockPoints(t1_ms=at_ms),
        )  # fmt: skip
        return await self.rule(Code.TGD_SOS, device, AlarmCause(alarm=alarm))

    async def stands(self, measure: str, protection: Protection, **changes: Any) -> None:
        at_ms = self.clock.now_ms()
        whole = {"reason": "silent_in_reach", "zone": Zone.FAR, "since_ms": at_ms - 75_000, "at_ms": at_ms}
        standing = Standing(measure=measure, protection=protection, **{**whole, **changes})
        await self.standings.put(measure, encode(standing))

    async def approach(
        self, measure: str, code: Code = Code.PROX_PREALERT, ago_s: int = 0, **changes: Any
    ) -> Episode:
        at_ms = self.clock.now_ms() - ago_s * 1000
        where = FixPoint(device="b0000001", lat_e6=1, lon_e6=1, accuracy_dm=150, fix_ms=at_ms)
        found = Finding(
            id=f"fnd_{measure}", measure=measure, order_version=1, code=code, change=Change.ENTRY, before=Zone.FAR,
            after=Zone.PREALERT, distance_dm=18_230, threshold_m=2000, wearer=where, protected=where,
            entry=f"fnd_{measure}", entry_ms=at_ms, at_ms=at_ms, reason="inside", points=ClockPoints(t1_ms=at_ms),
        )  # fmt: skip
        found = msgspec.structs.replace(found, **changes)
        return await self.rule(code, measure, FindingCause(finding=found))

    async def take(self, episode: Episode, actor: str) -> Episode:
        act = Act(
            verb=Verb.ACKNOWLEDGE,
            episode=episode.id,
            actor=actor,
            at_ms=self.clock.now_ms(),
            expected_version=episode.version,
        )
        return await self.rule(placed_as(episode.code), episode.subject, act)

    async def rule(self, code: Code, subject: str, event) -> Episode:
        ruling = await self.ledger.rule(code.value, subject, event)
        assert isinstance(ruling, Ruling)
        return ruling.episode


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk(MemoryLog(), AffineClock())
    await made.start()
    yield made
    await made.stop()


@pytest_asyncio.fixture
async def page(desk: Desk) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        opened = await browser.new_page(locale="fr-FR", viewport={"width": 1200, "height": 800})
        elsewhere: list[str] = []
        complaints: list[str] = []
        opened.on("request", lambda request: elsewhere.append(request.url))
        opened.on("console", lambda message: complaints.append(message.text) if "Policy" in message.text else None)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        await opened.goto(desk.url)
        await opened.fill("#name", "Chloé")
        await opened.click("text=Commencer")
        await expect(opened.locator("#link")).to_contain_text("en direct")
        yield opened
        await browser.close()
        assert complaints == []
        assert [url for url in elsewhere if not url.startswith(desk.url)] == []


async def shot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        await page.screenshot(path=f"{SCREENSHOTS}/{name}.png")


async def test_an_alert_appears_and_the_key_takes_it(desk: Desk, page: Page) -> None:
    episode = await desk.press("tgd-0001")
    row = page.locator(f"#untaken [data-id={episode.id}]")
    await expect(row).to_contain_text("▲ P1")
    await expect(row).to_contain_text("SOS téléphone grave danger")
    await page.keyboard.press("a")
    mine = page.locator(f"#mine [data-id={episode.id}]")
    await expect(mine).to_contain_text("prise : Chloé")
    await page.keyboard.press("r")
    await expect(row).to_be_visible(timeout=5_000)
    await page.keyboard.press("a")
    await expect(mine).to_be_visible(timeout=5_000)
    await page.keyboard.press("f")
    await page.check("input[value=false_alarm]")
    await page.fill("#note", "essai")
    await shot(page, "closing")
    await page.click("button[value=close]")
    await expect(page.locator(".alert")).to_have_count(0)
    closed = await desk.ledger._log.last(*_place(episode))
    assert b"false_alarm" in closed.payload
    assert b"essai" in closed.payload


def _place(episode: Episode):
    from tocsin import subjects  # noqa: PLC0415

    return subjects.EPISODES, subjects.episode(*place(episode))


async def test_three_blocks_one_order_and_a_refusal_in_red(desk: Desk, page: Page) -> None:
    second = await desk.approach("msr_0002", ago_s=400)
    first = await desk.press("tgd-0001", ago_s=30)
    third = await desk.approach("msr_0003", ago_s=20)
    taken = await desk.take(await desk.approach("msr_0004", Code.PROX_ALERT, ago_s=90), "Bruno")
    mine = await desk.take(await desk.press("tgd-0005", ago_s=65), "Chloé")
    await expect(page.locator(".alert")).to_have_count(5)
    order = await page.locator(".alert").evaluate_all("rows => rows.map(row => row.dataset.id)")
    assert order == [first.id, second.id, third.id, mine.id, taken.id]
    for key in ("j", "ArrowDown", "j", "j"):
        await page.keyboard.press(key)
    await expect(page.locator("[aria-current=true]")).to_have_attribute("data-id", taken.id)
    await page.keyboard.press("a")
    await expect(page.locator("#said")).to_contain_text("Déjà prise par Bruno")
    await shot(page, "blocks")


async def test_a_countdown_doubt_and_silence_are_shown_and_who_is_not_protected(desk: Desk, page: Page) -> None:
    now_ms = desk.clock.now_ms()
    old = await desk.approach(
        "msr_0001", ago_s=300, call_by_ms=now_ms + 600_000, other_side=True, wearer_share_pct=92,
        wearer_approach_dm=9_200, protected_approach_dm=800,
    )  # fmt: skip
    imminent = await desk.approach(
        "msr_0002", Code.IMMINENT, alert_ms=now_ms + 95_000, lower_dm=11_000, upper_dm=14_000
    )
    doubtful = await desk.approach("msr_0003", Code.PROX_ALERT, low_confidence=True)
    silent = await desk.approach(
        "msr_0004", Code.W_COMMS_LOSS, wearer=None, distance_dm=None, silent_since_ms=now_ms - 120_000,
        blind_worst_ms=now_ms - 30_000,
    )  # fmt: skip
    await expect(page.locator(".alert")).to_have_count(4)
    order = await page.locator(".alert").evaluate_all("rows => rows.map(row => row.dataset.id)")
    assert order == [doubtful.id, imminent.id, old.id, silent.id]
    row = {one.id: page.locator(f"[data-id={one.id}]") for one in (imminent, doubtful, silent, old)}
    await expect(row[imminent.id].locator(".countdown")).to_contain_text(
        re.compile(r"zone d'alerte : dans 01:\d\d")
    )
    await expect(row[imminent.id]).to_contain_text("entre 1100 et 1400 m")
    await expect(row[doubtful.id].locator(".mark")).to_have_text("confiance faible")
    await expect(row[old.id].locator(".mark, .countdown")).to_have_count(0)
    await expect(row[old.id]).to_contain_text("rapprochement : porteur 92 %")
    await expect(row[old.id]).to_contain_text(re.compile(r"appel du porteur au plus tôt à \d\d:\d\d:\d\d"))
    await expect(row[silent.id]).to_contain_text("● P3")
    await expect(row[silent.id]).to_contain_text("distance inconnue")
    await expect(row[silent.id].locator(".countdown")).to_contain_text("risque à l'aveugle, au pire : depuis 00:")

    await desk.stands("msr_0005", Protection.DEGRADED, blind_worst_ms=now_ms + 300_000)
    await desk.stands("msr_0004", Protection.DEGRADED, blind_worst_ms=now_ms - 30_000)
    await desk.stands("msr_0006", Protection.UNPROTECTED, reason="a_new_word")
    await desk.stands("msr_0007", Protection.PROTECTED)
    pairs = page.locator(".pair")
    await expect(pairs).to_have_count(3)
    await expect(page.locator("#protection-title")).to_have_text("Protections dégradées : 2 · sans protection : 1")
    assert await pairs.evaluate_all("rows => rows.map(row => row.dataset.measure)") == [
        "msr_0004", "msr_0005", "msr_0006",
    ]  # fmt: skip
    await expect(pairs.nth(0).locator(".blind.past")).to_contain_text("risque à l'aveugle : depuis 00:")
    await expect(pairs.nth(1)).to_contain_text("unité silencieuse à portée de la zone d'alerte, depuis")
    await expect(pairs.nth(1).locator(".blind")).to_contain_text("risque à l'aveugle : dans 04:")
    await expect(pairs.nth(2)).to_contain_text("a_new_word")
    await shot(page, "protection")
    for measure in ("msr_0004", "msr_0005", "msr_0006"):
        await desk.standings.delete(measure)
    await expect(pairs).to_have_count(0)
    await expect(page.locator("#protection-title")).to_have_text("Protections dégradées : 0")


async def test_a_silent_group_is_one_row_with_its_most_urgent_pairs(desk: Desk, page: Page) -> None:
    """F05, F06: from the alert itself first, from the incident as it stands then."""
    now_ms = desk.clock.now_ms()
    group = Group(dimension=Dimension.CARRIER, value="un")
    ranked = tuple(
        PairAtRisk(
            measure=f"msr_{n}", silent=Party.WEARER, worst_ms=now_ms + 60_000 * (n - 1) - 5_000, plausible_ms=None
        )
        for n in range(1, 9)
    )
    silenced = Silenced(group=group, silent=42, expected=700, since_ms=now_ms - 60_000, pairs=8, worst=ranked)
    whole = {"wearer": None, "protected": None, "distance_dm": None, "silent_since_ms": now_ms - 60_000}
    alert = await desk.approach(group.subject, Code.SYS_FLEET_SILENCE, silenced=silenced, order_version=0, **whole)
    row = page.locator(f"[data-id={alert.id}]")
    await expect(row.locator(".facts")).to_contain_text("opérateur un · 42 appareils muets sur 700, 8 paires")
    await expect(row.locator(".facts")).not_to_contain_text("distance")
    now = Incident(
        entry=silenced_by(alert), entry_ms=now_ms, at_ms=now_ms, group=group, silent=16, expected=700,
        since_ms=now_ms - 60_000, ranked=ranked[1:],
    )  # fmt: skip
    await desk.incidents.put(group.subject, encode(now))
    await expect(row.locator(".facts")).to_contain_text("16 appareils muets sur 700, 7 paires")
    pairs = row.locator(".urgent li")
    await expect(pairs).to_have_count(6)
    assert await row.locator("[data-measure]").evaluate_all("rows => rows.map(row => row.dataset.measure)") == [
        f"msr_{n}" for n in range(2, 7)
    ]
    await expect(pairs.nth(0)).to_contain_text(
        re.compile(r"porteur muet · risque à l'aveugle, au pire : dans 00:\d\d")
    )
    await expect(pairs.nth(5)).to_have_text("et 2 de plus")
    await shot(page, "fleet")


def silenced_by(alert: Episode) -> str:
    return alert.raises[-1].cause


NOTES_COLOURS: Final = """() => {
  const banner = document.querySelector("#banner");
  window.colours = [];
  const note = () => banner.hidden || window.colours.push(banner.className);
  new MutationObserver(note).observe(banner, {attributes: true});
}"""
"""Amber lasts for five seconds, in which nobody may be looking."""


async def test_a_lost_link_is_said_and_found_again(desk: Desk, page: Page) -> None:
    await desk.press("tgd-0001")
    await desk.stands("msr_0001", Protection.DEGRADED)
    await expect(page.locator(".alert")).to_have_count(1)
    await expect(page.locator(".pair")).to_have_count(1)
    await page.evaluate(NOTES_COLOURS)
    await desk.stop()
    banner = page.locator("#banner")
    await expect(banner).to_be_visible(timeout=12_000)
    await expect(banner).to_contain_text("dernières nouvelles il y a")
    await page.keyboard.press("a")
    await expect(page.locator("#said")).to_contain_text("pas de réponse du serveur")
    await expect(banner).to_have_class("banner red", timeout=12_000)
    assert await page.evaluate("[...new Set(window.colours)]") == ["banner amber", "banner red"]
    await expect(page.locator("#protection-title")).to_contain_text("1 (vu il y a", timeout=12_000)
    await shot(page, "lost")
    await desk.start()
    await desk.press("tgd-0002")
    await expect(page.locator(".alert")).to_have_count(2)
    await expect(banner).to_be_hidden()


async def test_the_page_sorts_as_the_api_does(desk: Desk, page: Page) -> None:
    rows = [
        {"id": "i", "code": "IMMINENT", "over_at": None, "priority": 2, "state": "raised",
         "occurred_at": "2026-11-21T11:59:00Z", "expires_at": None},
        {"id": "o", "code": "IMMINENT", "over_at": "2026-11-21T11:59:00Z", "priority": 2, "state": "raised",
         "occurred_at": "2026-11-21T11:58:00Z", "expires_at": None},
        {"id": "b", "priority": 1, "state": "raised", "occurred_at": "2026-11-21T12:00:00Z", "expires_at": None},
        {"id": "a", "priority": 1, "state": "raised", "occurred_at": "2026-11-21T12:00:00Z", "expires_at": None},
        {"id": "c", "priority": 2, "state": "raised", "occurred_at": "2026-11-21T11:00:00Z", "expires_at": None},
        {
            "id": "d", "priority": 1, "state": "acknowledged", "occurred_at": "2026-11-21T10:00:00Z",
            "expires_at": "2026-11-21T12:00:01Z",
        },
        {
            "id": "e", "priority": 2, "state": "acknowledged", "occurred_at": "2026-11-21T10:00:00Z",
            "expires_at": "2026-11-21T12:00:00Z",
        },
    ]  # fmt: skip
    sort = (
        "rows => rows.sort((a, b) => tocsin.urgency(a, b, Date.parse('2026-11-21T12:00:00Z'))).map(row => row.id)"
    )
    assert await page.evaluate(sort, rows) == ["a", "b", "i", "e", "c", "o", "d"]


async def test_a_token_is_asked_for_once_and_sent_with_everything() -> None:
    token = "token-of-ada-0123456789"
    user = ApiUser(name="Ada", role="teleassistant")
    desk = Desk(MemoryLog(), AffineClock(), settings={"api_tokens": {token: user}})
    await desk.start()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = await browser.new_page(locale="fr-FR")
        await page.goto(desk.url)
        await page.fill("#token", "wrong")
        await page.click("text=Commencer")
        await expect(page.locator("#sign-in-why")).to_contain_text("n'est pas accepté")
        await page.fill("#token", token)
        await page.click("text=Commencer")
        await expect(page.locator("#who")).to_have_text("Ada (teleassistant)")
        await desk.press("tgd-0001")
        await expect(page.locator("#untaken .alert")).to_have_count(1)
        await page.keyboard.press("a")
        await expect(page.locator("#mine .alert")).to_contain_text("prise : Ada")
        await page.reload()
        await expect(page.locator("#mine .alert")).to_have_count(1)
        await browser.close()
    await desk.stop()
