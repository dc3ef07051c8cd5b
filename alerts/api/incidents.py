"""Which group of devices is silent, and which of its pairs comes first? F05, F06.

From the bucket ``incidents``, which the fleet's watch keeps, joined with what else is known of each pair here:
how it stands, and its own open alerts (an alert that was open before the incident stays open, and is found from
here). An incident that is over is no longer in the bucket: its alert keeps the most urgent pairs of its opening.
No reply has a position in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog
from fastapi import APIRouter, Depends

from alerts.api import schemas, views
from alerts.api.access import requires
from alerts.api.alerts import AlertId, TheDeps, find
from alerts.api.openapi import problems
from alerts.api.problems import Refusal
from alerts.api.roles import Permission
from tocsin.errors import LogUnavailable, WireError
from tocsin.model.episode import Episode
from tocsin.model.fleet import Incident, Silenced
from tocsin.ports import Bucket
from tocsin.wire import decode_incident

log = structlog.get_logger(__name__)

AGAIN_S: Final = 0.5

router = APIRouter(tags=["incidents"])


class Incidents:
    """The newest state of each incident that lasts, by the subject of its group."""

    def __init__(self) -> None:
        self._known: dict[str, Incident] = {}

    async def run(self, bucket: Bucket) -> None:
        """Follow until cancelled. A value that cannot be read leaves the one before it."""
        while True:
            try:
                async for change in bucket.watch():
                    if change is not None:
                        self.apply(change.key, change.value)
            except LogUnavailable as error:
                log.warning("incidents wait", reason=str(error))
            await asyncio.sleep(AGAIN_S)

    def apply(self, key: str, value: bytes | None) -> None:
        """Take in one change."""
        if value is None:
            self._known.pop(key, None)
            return
        try:
            self._known[key] = decode_incident(value)
        except WireError as error:
            log.error("incident unreadable", reason=str(error))

    def of(self, episode: Episode) -> Incident | None:
        """As the watch sees it now; None: the bucket tells of no incident, or of another one."""
        known = self._known.get(episode.subject)
        return known if known is not None and known.entry in episode.causes else None


@router.get(
    "/incidents/{alert_id}",
    summary="List the pairs of one incident, the most urgent first",
    dependencies=[Depends(requires(Permission.SEE_PROTECTION))],
    responses=problems("unknown-alert", "invalid-request", "record-unavailable", "not-ready"),
)
async def get_incident(alert_id: AlertId, deps: TheDeps) -> schemas.IncidentReply:
    """The pairs of a SYS_FLEET_SILENCE while it lasts; behind its end the most urgent of its opening."""
    episode = await find(deps, alert_id)
    said = episode.raises[-1].silenced
    if said is None:
        raise Refusal("unknown-alert")
    alerts = _alerts_by_measure([one.episode for one in deps.projection.open_episodes(deps.clock.now_ms())])
    standings = {one.measure: one.protection for one in deps.standings.ranked()}
    lasting = deps.incidents.of(episode)
    return views.incident(
        episode,
        lasting or _as_told(episode, said),
        standings,
        alerts,
        complete=len(said.worst) >= said.pairs if lasting is None else not lasting.unranked,
        now_ms=deps.clock.now_ms(),
    )


def _alerts_by_measure(episodes: list[Episode]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in episodes:
        for measure in one.measures if one.raises[-1].silenced is None else ():
            found.setdefault(measure, []).append(one.id)
    return found


def _as_told(episode: Episode, said: Silenced) -> Incident:
    raising = episode.raises[-1]
    return Incident(
        entry=raising.cause,
        entry_ms=raising.at_ms,
        at_ms=raising.at_ms,
        group=said.group,
        silent=said.silent,
        expected=said.expected,
        since_ms=said.since_ms,
        ranked=said.worst,
    )
