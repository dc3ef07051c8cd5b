"""Who keeps the parts running? One parent, one process per part, restarted at once when it dies.

Each part says when it is ready (``tocsin.service``). The time between a death and the next readiness is the gap
of a restart; it is told to whoever listens, and printed by ``tocsin up``. A part that dies again and again is
started again ever more slowly, up to RESTART_MAX_S, and never given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tocsin.embedded.child import Child, last_lines
from tocsin.errors import TocsinError

READY_WITHIN_S: Final = 60.0
STOP_WITHIN_S: Final = 10.0
RESTART_FIRST_S: Final = 0.05
RESTART_MAX_S: Final = 10.0
SETTLED_AFTER_S: Final = 30.0
"""A part that has run this long starts its next restart from RESTART_FIRST_S again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSpec:
    """One process: its name and the words after ``python -m``."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartEvent:
    """``died``: with its exit code. ``ready``: with the gap since its death, None at the first start."""

    part: str
    what: str
    exit_code: int | None = None
    gap_s: float | None = None


@dataclass(slots=True)
class _Running:
    spec: PartSpec
    child: Child | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    died_at: float | None = None


class PartNotReady(TocsinError):
    """A part was not ready in time:"""


class Supervisor:
    """Starts parts, hears their readiness, restarts them, ends them."""

    def __init__(self, *, logs: Path, environment: Mapping[str, str], tell: Callable[[PartEvent], None]) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._told_to = tell
        self._parts: dict[str, _Running] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._run = Path(tempfile.mkdtemp(prefix="tocsin-"))  # a socket path has 107 bytes at most
        self._socket = self._listen()

    def _tell(self, event: PartEvent) -> None:
        """Who listens may fail (a full disk behind standard error): the parts are kept running all the same."""
        with contextlib.suppress(OSError):
            self._told_to(event)

    def _listen(self) -> socket.socket:
        hearing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        hearing.bind(str(self._run / "notify"))
        hearing.setblocking(False)
        asyncio.get_running_loop().add_reader(hearing.fileno(), self._hear)
        return hearing

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                said = dict(
                    line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines() if "=" in line
                )
                self._on_ready(int(said.get("MAINPID", "0")))

    def _on_ready(self, pid: int) -> None:
        for name, part in self._parts.items():
            if part.child is not None and part.child.pid == pid and not part.ready.is_set():
                now = asyncio.get_running_loop().time()
                gap_s = None if part.died_at is None else now - part.died_at
                part.ready.set()
                self._tell(PartEvent(part=name, what="ready", gap_s=gap_s))

    async def start(self, spec: PartSpec) -> None:
        """Start one part and keep it running; returns when it is ready. Raises PartNotReady."""
        part = self._parts[spec.name] = _Running(spec)
        await self._spawn(part)
        self._keepers.append(asyncio.create_task(self._keep(part)))
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await part.ready.wait()
        except TimeoutError:
            said = last_lines(self._log_of(spec.name).read_text(errors="replace"))
            raise PartNotReady(f"{spec.name}, {READY_WITHIN_S:.0f} s. Its last words:\n{said}") from None

    def _log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    async def _spawn(self, part: _Running) -> None:
        part.ready.clear()
        part.child = await Child.spawn(
            [Path(sys.executable), "-m", *part.spec.words],
            log=self._log_of(part.spec.name),
            env={**self._environment, "NOTIFY_SOCKET": str(self._run / "notify")},
            orphan_signal=signal.SIGTERM,
        )

    async def _keep(self, part: _Running) -> None:
        loop = asyncio.get_running_loop()
        wait_s = RESTART_FIRST_S
        while True:
            assert part.child is not None
            started = loop.time()
            code = await part.child.wait()
            part.died_at = loop.time()
            self._tell(PartEvent(part=part.spec.name, what="died", exit_code=code))
            if part.died_at - started > SETTLED_AFTER_S:
                wait_s = RESTART_FIRST_S
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RESTART_MAX_S)
            while True:
                try:
                    await self._spawn(part)
                    break
                except OSError as error:  # no memory, no descriptor, a full disk: it may pass
                    self._tell(PartEvent(part=part.spec.name, what=f"not started: {error}"))
                    await asyncio.sleep(RESTART_MAX_S)

    def pid_of(self, name: str) -> int | None:
        """The process of a part, None while it is down."""
        child = self._parts[name].child
        return None if child is None or child.exit_code is not None else child.pid

    async def wait_ready(self, name: str) -> None:
        await self._parts[name].ready.wait()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._parts)

    async def stop(self) -> None:
        """End every part, the last started first, each within STOP_WITHIN_S; then be gone without trace."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        ending = [part.child for part in reversed(self._parts.values()) if part.child is not None]
        await asyncio.gather(*(child.end([(signal.SIGTERM, STOP_WITHIN_S)]) for child in ending))
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        shutil.rmtree(self._run, ignore_errors=True)


def child_environment(settings: Mapping[str, str], metrics: Path) -> dict[str, str]:
    """Our environment with these TOCSIN_ settings and the shared directory of counters."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    return {**kept, **settings, "PROMETHEUS_MULTIPROC_DIR": str(metrics), "PYTHONUNBUFFERED": "1"}
