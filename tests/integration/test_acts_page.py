"""Does an integrator who types what docs/acts.md says acknowledge, act, hand over and close?

Its commands, as they stand, with curl, against a real API that has no record (invariant 3). Skips, saying so,
where curl is not installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from alerts.api.server import run_api
from alerts.desk import handle
from alerts.ledger import Ledger
from tocsin.clock import AffineClock
from tocsin.errors import RecordUnavailable
from tocsin.model.episode import Act, AlarmCause, Deed, DeedKind, Realm, Ruling, State, Verb
from tocsin.model.finding import Alarm, Code
from tocsin.model.fix import ClockPoints
from tocsin.settings import ApiUser, Settings
from tocsin.subjects import ACCESSES, EPISODES
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_access, decode_ruling

PAGE = (Path(__file__).parents[2] / "docs/acts.md").read_text()
BLOCKS = re.findall(r"<!-- run -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
TOKENS = re.findall(r"TOCSIN_API_TOKENS='(.*)'", PAGE)
CLOCK = AffineClock()
KEY = Alarm(
    id="alm_1", code=Code.TGD_SOS, device="tgd-01", measures=(), at_ms=CLOCK.now_ms(), silent=False, position=None,
    points=ClockPoints(),
)  # fmt: skip


def _the_desk_rules_on_deeds() -> bool:
    opened = handle(None, AlarmCause(alarm=KEY), Realm.LAB, KEY.at_ms)
    assert isinstance(opened, Ruling)
    act = {"episode": opened.episode.id, "actor": "Ada", "at_ms": KEY.at_ms}
    taken = handle(opened.episode, Act(verb=Verb.ACKNOWLEDGE, expected_version=1, **act), Realm.LAB, KEY.at_ms)
    assert isinstance(taken, Ruling)
    deed = Deed(kind=DeedKind.NOTE, at_ms=KEY.at_ms)
    done = Act(verb=Verb.DO, expected_version=taken.episode.version, deed=deed, **act)
    return isinstance(handle(taken.episode, done, Realm.LAB, KEY.at_ms), Ruling)


class NoRecord:
    """PostgreSQL is away, whatever is asked."""

    def __getattr__(self, _asked: str):
        async def away(*_args: object, **_words: object) -> None:
            raise RecordUnavailable("away")

        return away


@pytest_asyncio.fixture
async def api() -> AsyncIterator[tuple[MemoryLog, int]]:
    """With one alert open."""
    log, ready = MemoryLog(), asyncio.get_running_loop().create_future()
    (tokens,) = TOKENS
    settings = Settings(api_tokens={one: ApiUser(**user) for one, user in json.loads(tokens).items()}, api_port=0)
    server = asyncio.create_task(
        run_api(
            log=log, standings=MemoryBucket(), incidents=MemoryBucket(), episodes=NoRecord(), orders=NoRecord(),
            alarm_load=NoRecord(), figures=NoRecord(), proof=NoRecord(),
            settings=settings, clock=CLOCK, hash_password=str, ready=ready.set_result,
        )
    )  # fmt: skip
    assert isinstance(await Ledger(log, CLOCK, Realm.LAB).rule("TGD_SOS", "tgd-01", AlarmCause(alarm=KEY)), Ruling)
    yield log, await ready
    server.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await server


async def typed(blocks: list[str], port: int) -> list[dict]:
    """What the commands print, each a JSON document."""
    script = "\n".join(blocks).replace(":8080/", f":{port}/")
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    said, _ = await shell.communicate()
    assert shell.returncode == 0, said.decode()
    found, rest, decoder = [], said.decode().strip(), json.JSONDecoder()
    while rest:
        document, end = decoder.raw_decode(rest)
        found, rest = [*found, document], rest[end:].lstrip()
    return found


def _seen(log: MemoryLog) -> list[Ruling]:
    return [decode_ruling(entry.payload) for entry in log.entries(EPISODES)]


@pytest.mark.skipif(shutil.which("curl") is None, reason="not installed: curl")
async def test_the_page_leads_to_an_acknowledgement(api: tuple[MemoryLog, int]) -> None:
    log, port = api
    me, taken = await typed(BLOCKS[:2], port)
    assert (me["name"], me["service"]) == ("Zoé Martin", "Plateforme Alma")
    assert "take_over" not in me["verbs"]
    assert taken["by"] == "Zoé Martin"
    _, ruling = _seen(log)
    assert (ruling.event.actor, ruling.event.service) == ("Zoé Martin", "Plateforme Alma")
    reads = [decode_access(entry.payload) for entry in log.entries(ACCESSES)]
    assert [(one.what, one.who, one.service) for one in reads] == [
        ("alerts", "Zoé Martin", "Plateforme Alma"), ("alert", "Zoé Martin", "Plateforme Alma"),
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("curl") is None, reason="not installed: curl")
@pytest.mark.skipif(not _the_desk_rules_on_deeds(), reason="the desk does not rule on deeds yet: with the ladder")
async def test_the_whole_page_leads_from_an_alert_to_its_end(api: tuple[MemoryLog, int]) -> None:
    log, port = api
    _, _, call, again, off, over, closed = await typed(BLOCKS, port)
    assert call == again
    assert [one["verb"] for one in (call, off, over)] == ["do", "hand_off", "hand_over"]
    assert (closed["phase"], closed["closed_by"], closed["outcome"]) == ("closed", "Karim Diallo", "false_alarm")
    episode = _seen(log)[-1].episode
    assert episode.state is State.CLOSED
    assert [one.kind for one in episode.deeds].count(DeedKind.CALL) == 1
