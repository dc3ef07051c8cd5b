"""Which losses does one incident explain, and what becomes of them when it ends? F05, F06.

While a SYS_FLEET_SILENCE lasts, the losses of its group are *folded*: each has its episode in its own place, that
no human has to do with. Whether an incident lasts is asked of the log at each loss: of the place of every group
that the silent device is in. Nothing is remembered here, so nothing is forgotten by a restart.

The race, a loss that is folded while its incident ends, is decided by an order of writes and reads. Who folds
writes the fold and *then* looks at the incident; who ends it writes the end and *then* looks for folds. One of
the two sees the other. A dispatcher that dies between its two steps has settled neither, and the next one repeats
both: to fold or to unfold twice changes nothing.

What cannot be read explains nothing: the loss is told. Failing open means telling.

The walk for folds reads the newest ruling of each place of a code that can be folded. It happens when an incident
ends, and at each later ruling on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from alerts.desk import Answer
from alerts.ledger import Ledger
from tocsin import subjects
from tocsin.clock import MS
from tocsin.errors import WireError
from tocsin.model.episode import Episode, Event, FindingCause, Fold, Unfold
from tocsin.model.finding import Code, Finding
from tocsin.model.fix import FixPoint
from tocsin.model.fleet import Group, groups_of
from tocsin.ports import Bucket, Entry, Log
from tocsin.subjects import EPISODES
from tocsin.wire import decode_device, decode_ruling

INCIDENT: Final = Code.SYS_FLEET_SILENCE
OF_THE_WEARER: Final = frozenset({Code.W_COMMS_LOSS, Code.W_GNSS_LOSS})
OF_THE_PROTECTED: Final = frozenset({Code.V_COMMS_LOSS})
FOLDABLE: Final = (*sorted(OF_THE_WEARER | OF_THE_PROTECTED), Code.DEGRADED)
SILENT_MS: Final = (
    65 * MS
)  # the longest interval that is commanded, and the latency that 95 % of the messages keep
RENEW_EVERY: Final = 256  # places of a walk between two words that it goes on

log = structlog.get_logger()


def silent_in(finding: Finding) -> tuple[str, ...]:
    """The devices whose silence this finding is about. DEGRADED is about silence if the geofence says since when,
    and then about whose fix is so old: rules that failed, or doubtful fixes of units that are heard, are not
    explained by a carrier."""
    if finding.code in OF_THE_WEARER:
        return _named(finding.wearer)
    if finding.code in OF_THE_PROTECTED:
        return _named(finding.protected)
    if finding.code is Code.DEGRADED and finding.silent_since_ms is not None:
        parties = [finding.wearer, finding.protected]
        silent = [one for one in parties if one is not None and finding.at_ms - one.fix_ms > SILENT_MS]
        return tuple(one.device for one in silent)
    return ()


def _named(party: FixPoint | None) -> tuple[str, ...]:
    return () if party is None else (party.device,)


class Folding:
    """Rules with an eye on the incidents that last."""

    def __init__(self, log_: Log, devices: Bucket, ledger: Ledger) -> None:
        self._log = log_
        self._devices = devices
        self._ledger = ledger

    async def rule(self, code: str, subject: str, event: Event) -> Answer:
        """``Ledger.rule``, folded if an incident explains it. Raises LogUnavailable."""
        under = await self._incident_of(event.finding) if isinstance(event, FindingCause) else None
        answer = await self._ledger.rule(code, subject, event, under=under)
        episode = answer.episode
        if episode is None or episode.folded is None or not episode.is_folded:
            return answer
        if await self._lasting(episode.folded.group) == episode.folded.incident:
            return answer
        return await self._ledger.rule(code, subject, Unfold(incident=episode.folded.incident))

    async def _incident_of(self, finding: Finding) -> Fold | None:
        for name in silent_in(finding):
            groups = _groups_of(name, await self._devices.get(name))
            lasting = await asyncio.gather(*(self._lasting(group.subject) for group in groups))
            for group, incident in zip(groups, lasting, strict=True):
                if incident is not None:
                    return Fold(incident=incident, group=group.subject)
        return None

    async def _lasting(self, group: str) -> str | None:
        """The id of the incident of this group that is neither over nor closed."""
        last = await self._log.last(EPISODES, subjects.episode(INCIDENT.value, group))
        episode = None if last is None else _episode(last)
        return episode.id if episode is not None and episode.lasts else None

    async def unfold(self, incident: Episode, still_working: Callable[[], Awaitable[None]]) -> int:
        """Raise what is folded into an incident that lasts no longer; how many that were. Raises
        LogUnavailable."""
        if await self._lasting(incident.subject) == incident.id:
            return 0
        raised = 0
        for code in FOLDABLE:
            for place, found in enumerate(await self._newest(code)):
                if place % RENEW_EVERY == 0:
                    await still_working()
                if found.is_folded and found.folded is not None and found.folded.incident == incident.id:
                    await self._ledger.rule(code.value, found.subject, Unfold(incident=incident.id))
                    raised += 1
        return raised

    async def _newest(self, code: Code) -> list[Episode]:
        entries: list[Entry] = []
        reader = self._log.read(EPISODES, subjects.episode(code.value, "*"), newest_per_subject=True)
        async for some in reader:
            if not some:
                break
            entries.extend(some)
        return [episode for one in entries if (episode := _episode(one)) is not None]


def _episode(entry: Entry) -> Episode | None:
    try:
        return decode_ruling(entry.payload).episode
    except WireError:
        log.critical("unreadable", subject=entry.subject)
        return None


def _groups_of(name: str, payload: bytes | None) -> tuple[Group, ...]:
    """None of a device that nobody has enrolled, or whose record cannot be read."""
    if payload is None:
        return ()
    try:
        return groups_of(decode_device(payload))
    except WireError as error:
        log.error("device_unreadable", device=name, reason=str(error))
        return ()
