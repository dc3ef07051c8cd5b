"""Does a stranger who types what README.md and docs/phones.md say see an alert? Their commands, as they stand.

Only ports are replaced (others may use them), a second's wait by six of a busy machine, and ``make up`` by what it
runs, in a folder of the test's own. Skips, saying so, where ``mosquitto_pub`` or ``curl`` is not installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from builders import eventually
from lab_fixture import new_home

from tocsin.loopback import free_port

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
NEEDED = ("mosquitto_pub", "mosquitto_sub", "curl", "bash")
MISSING = [name for name in NEEDED if shutil.which(name) is None]
BLOCK = re.compile(r"<!-- (start|run) -->\n```sh\n(.*?)```", re.DOTALL)

SILENCED = """
timeout 20 bash -c "while mosquitto_pub -V 311 -p 1883 -i again -u bracelet-1 -P '$HIS' \
  -t tocsin/1/bracelet-1/state -m x; do sleep 0.2; done"
"""
"""Behind the page's last words: the login of a revoked device ends, on the whole road from record to broker."""

LISTENS = "sleep 6"
"""An answer to a device is for who listens, and kept for nobody. The page's second suffices on a machine that is
idle; of the twenty that its ear has, enough are left."""

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]


@dataclass
class Terminal:
    """A folder, its ports, and the API to look at what the commands have done."""

    folder: Path
    ports: dict[str, str]
    api: httpx2.AsyncClient

    def literal(self, commands: str) -> str:
        for written, free in self.ports.items():
            commands = re.sub(rf"\b{written}\b", free, commands)
        return re.sub(r"^sleep 1$", LISTENS, commands, flags=re.MULTILINE)

    async def start(self, script: str) -> asyncio.subprocess.Process:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        return await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", script, cwd=self.folder, start_new_session=True,
            env={**clean, "PATH": f"{BIN}:{os.environ['PATH']}"}, stdout=asyncio.subprocess.PIPE,
            stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def run(self, commands: str) -> str:
        """All of them in one shell, so that its variables live on; what they print."""
        child = await self.start(self.literal(commands))
        said, _ = await child.communicate()
        assert child.returncode == 0, said.decode()
        return said.decode()

    async def open_alerts(self) -> list[dict[str, Any]]:
        return list((await self.api.get("/api/v1/alerts?open=true")).json()["items"])


def blocks(page: str) -> tuple[str, list[str]]:
    """The command that starts Tocsin, and the blocks that are typed afterwards."""
    found = BLOCK.findall((REPOSITORY / page).read_text())
    (start,) = [text for kind, text in found if kind == "start"]
    return start, [text for kind, text in found if kind == "run"]


@contextlib.asynccontextmanager
async def terminal(start: str) -> AsyncIterator[Terminal]:
    folder, ports = new_home(), {"1883": str(free_port()), "8080": str(free_port())}
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{ports['8080']}", trust_env=False) as api:
        typed = Terminal(folder, ports, api)
        assert start.strip().endswith("make up")
        command = typed.literal(start).strip().removesuffix("make up")
        up = await typed.start(f"TOCSIN_API_PORT={ports['8080']} {command} exec tocsin up")
        try:
            await eventually(lambda: _is_ready(api, up), within_s=60)
            yield typed
        finally:
            with contextlib.suppress(ProcessLookupError):
                up.send_signal(signal.SIGINT)
            await up.communicate()
            shutil.rmtree(folder, ignore_errors=True)


async def _is_ready(api: httpx2.AsyncClient, up: asyncio.subprocess.Process) -> bool:
    assert up.returncode is None, "it ended while starting"
    with contextlib.suppress(httpx2.TransportError):
        return (await api.get("/readyz")).status_code == 200
    return False


def words_of(commands: str) -> str:
    """In the test the API is not on its usual port: the commands are told so as a user would tell them."""
    return 'export TOCSIN_API="http://127.0.0.1:8080"\n' + commands


async def test_the_readme_leads_to_an_alert() -> None:
    start, typed = blocks("README.md")
    async with terminal(start) as here:
        await here.run(words_of("\n".join(typed)))
        (alert,) = [one for one in await eventually(here.open_alerts) if one["code"] == "PROX_ALERT"]
        assert alert["distance"]["best_m"] < 1000


async def test_the_page_about_phones_leads_to_two_alerts_and_a_refusal() -> None:
    start, typed = blocks("docs/phones.md")
    looked_up = next(index for index, block in enumerate(typed) if block.startswith("curl"))
    async with terminal(start) as here:
        said = await here.run(words_of("\n".join([*typed, SILENCED])))
        alerts = await eventually(here.open_alerts)
        assert {one["code"] for one in alerts} >= {"PROX_ALERT"}
        await eventually(lambda: _codes(here, {"PROX_ALERT", "TGD_SOS"}))
        refused = json.loads((here.folder / "why.json").read_text())
        shown = next(iter(re.findall(r'`(\{"_type":"error".*\})`', (REPOSITORY / "docs/phones.md").read_text())))
        assert refused == json.loads(shown)
        assert re.search(r"schema +\$\.lat +owntracks/bracelet-1/… ", said)
        listed = {line.split()[0]: line.split() for line in said.splitlines() if line.startswith(("brac", "vict"))}
        assert len(listed["bracelet-1"]) == 4, "id, kind, how often, since when revoked; no measure any more"
        assert listed["bracelet-1"][2] == "30s"
        again = await here.run(here.literal(words_of(typed[looked_up])))
        assert "PROX_ALERT" in again


async def _codes(here: Terminal, wanted: set[str]) -> bool:
    return {one["code"] for one in await here.open_alerts()} >= wanted
