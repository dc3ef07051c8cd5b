"""Who makes a package of evidence out of the record, for a part that may not know its form?

Its form, and who writes it, are the watcher's (``audit``), and no stage imports a watcher. So the packager is a
port, and the installed one is found under the entry point ``tocsin.evidence``, as ``tocsin.cli`` finds commands:
the package of the API and that of ``tocsin evidence export`` are written by one function (docs/adr/0053).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import entry_points
from typing import Final, Protocol

import structlog

from tocsin.adapters.evidence import Bound, Evidence, Reading
from tocsin.adapters.postgres import Pool
from tocsin.errors import NoPackager
from tocsin.limits import EVIDENCE_LINKS_MAX, EVIDENCE_PAYLOADS_MAX_BYTES

log = structlog.get_logger(__name__)

GROUP: Final = "tocsin.evidence"
NAME: Final = "packager"


class Package(Protocol):
    """What a packager makes: lines, each with its end. They may raise EvidenceBroken."""

    def lines(self) -> Iterator[bytes]: ...


BOUND: Final = Bound(links=EVIDENCE_LINKS_MAX, payload_bytes=EVIDENCE_PAYLOADS_MAX_BYTES)
"""Of a package that is made beside other work. ``tocsin evidence export``, a process of its own, has none."""

Packager = Callable[[Reading, str], Awaitable[Package]]
"""Of one alert, by its id. Raises NoEvidence, EvidenceTooLarge, RecordUnavailable."""


def installed() -> Packager | None:
    """The packager of this installation; None: it has none that can be loaded, and that is said. Never a reason
    not to start: alerts are handled without evidence."""
    for entry in entry_points(group=GROUP, name=NAME):
        try:
            packager: Packager = entry.load()
        except Exception as error:  # of any kind: an alert does not wait for evidence
            log.error("packager_unusable", entry=entry.value, reason=repr(error), exc_info=True)
        else:
            return packager
    log.error("no_packager", effect="no evidence of an alert leaves by the API", mend="install Tocsin again")
    return None


class PackagedEvidence:
    """Packages out of the record. ``packager`` None: every one is refused."""

    def __init__(self, pool: Pool, packager: Packager | None, bound: Bound = BOUND) -> None:
        self._pool = pool
        self._packager = packager
        self._bound = bound

    async def lines(self, alert: str) -> Iterator[bytes]:
        """All of it, or an error: what cannot be written is known before any line of it leaves. So each is written
        twice, once to nobody: lines take more memory than what they are made from, and would be held beside it.

        Raises NoEvidence, EvidenceBroken, EvidenceTooLarge, NoPackager, RecordUnavailable."""
        if self._packager is None:
            raise NoPackager
        async with Evidence(self._pool).reading(self._bound) as reading:
            package = await self._packager(reading, alert)
        await asyncio.to_thread(deque, package.lines(), 0)  # megabytes of hashing
        return package.lines()
