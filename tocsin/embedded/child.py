"""What is the same for every server we bring along: one owner of its home, one child process, one honest
error.

Times are seconds of the event loop's clock.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from tocsin.embedded import launch

POLL_S = 0.02  # how often a condition is looked at again while a server starts or ends
LOG_TAIL_LINES = 12  # enough for a FATAL with its DETAIL and HINT
ORPHAN_END_S = 30.0  # a server whose supervisor was killed ends by itself: Postgres writes a last checkpoint


class EmbeddedServerError(RuntimeError):
    """A server could not be brought up: binaries missing, home in use, or no start in time.

    Trying again helps only after somebody changed something; the message says what, with the last lines of
    the log.
    """


class HomeLock:
    """One live owner for one server's files. The kernel lets go of it when the process ends, however it
    ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises EmbeddedServerError when another live process (or object) owns the folder."""
        if self._descriptor is not None:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            holder = self._path.read_text(errors="replace").strip() or "unknown"
            message = f"{self._path.parent} is in use by another Tocsin (process {holder})"
            raise EmbeddedServerError(message) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """The file stays: to delete it would let two owners lock two files of one name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Child:
    """A server process of ours, in a session of its own: Ctrl-C in the terminal reaches only the
    supervisor."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def spawn(
        cls,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str],
        orphan_signal: signal.Signals,
        run_as: tuple[int, int] | None = None,
    ) -> Self:
        """Start ``command``; its output is appended to ``log``; ``orphan_signal`` reaches it when we die."""
        uid, gid = run_as or (launch.KEEP, launch.KEEP)
        prefix = [sys.executable, "-I", "-S", launch.__file__]
        words = [int(orphan_signal), os.getpid(), uid, gid, *command]
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "ab") as out:
            return cls(
                await asyncio.create_subprocess_exec(
                    *prefix,
                    *map(str, words),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    env=dict(env),
                    cwd="/",
                    start_new_session=True,
                )
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.returncode

    async def wait(self) -> int:
        return await self._process.wait()

    async def end(self, steps: Sequence[tuple[signal.Signals, float]]) -> int:
        """Send each signal in turn, wait its seconds; SIGKILL after the last. Returns the exit code,
        reaped."""
        for signum, patience_s in steps:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signum)
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(self._process.wait(), patience_s)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        return await self._process.wait()


async def until(condition: Callable[[], bool], *, within_s: float) -> bool:
    """Whether the condition came true in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while not condition():
        if loop.time() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


async def orphan_gone(pid_file: Path, mark: str) -> None:
    """Wait for a server left by a killed supervisor (it was told to end). Raises EmbeddedServerError if it
    stays."""

    def gone() -> bool:
        pid = pid_in(pid_file)
        return pid is None or not runs(pid, mark)

    if not await until(gone, within_s=ORPHAN_END_S):
        raise EmbeddedServerError(f"the previous server (process {pid_in(pid_file)}) is still running on {mark}")


def make_home(home: Path) -> None:
    """The folder, if it is not there. As root 0711: Postgres's user passes through, and can list nothing."""
    home.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)


def pid_in(path: Path) -> int | None:
    """The process number on the first line of a pid file, if there is one."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(path.read_text().split()[0])
    return None


def state_of(pid: int) -> str | None:
    """The kernel's letter for a process ('Z': ended, not yet reaped); None when there is none."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return None


def runs(pid: int, mark: str) -> bool:
    """Whether ``pid`` is alive and ``mark`` (a path of ours) stands in its command line: numbers are used
    again."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return state_of(pid) != "Z" and any(mark.encode() in word for word in words)
    return False


def log_since(path: Path, since: int) -> str:
    """What was written to a log after byte ``since``; the whole file when it was rotated meanwhile."""
    with contextlib.suppress(OSError), path.open("rb") as log:
        log.seek(since if since <= log.seek(0, os.SEEK_END) else 0)
        return log.read().decode(errors="replace")
    return ""


def last_lines(text: str) -> str:
    """The end of a log, as an error quotes it."""
    return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])


def size_of(path: Path) -> int:
    """Bytes in a file; 0 when it is not there."""
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, readable by us alone."""
    draft = path.with_name(f"{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(path)
