"""How does a verdict on a group become nouns for the bus?

The id of an entry is derived from the group and the hour at which it was said first; a watch that starts again
does not derive it anew, it reads it from the log (``fleet_watch``).
"""

from __future__ import annotations

from geofence.fleet_silence import Open, Verdict
from tocsin.limits import INCIDENT_RANKED_MAX, INCIDENT_TOLD_MAX
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import ClockPoints
from tocsin.model.fleet import Group, Incident, PairAtRisk, Silenced
from tocsin.model.ids import derived
from tocsin.model.zone import Zone


def finding_of(verdict: Verdict, pairs: tuple[PairAtRisk, ...], now_ms: int) -> Finding:
    """The entry, or the exit of ``verdict.over``."""
    change = Change.ENTRY if verdict.over is None else Change.EXIT
    subject = verdict.group.subject
    name = derived("fnd", Code.SYS_FLEET_SILENCE, subject, change, now_ms)
    return Finding(
        id=name,
        measure=subject,
        order_version=0,
        code=Code.SYS_FLEET_SILENCE,
        change=change,
        before=Zone.FAR,
        after=Zone.FAR,
        distance_dm=None,
        threshold_m=0,
        wearer=None,
        protected=None,
        entry=name if verdict.over is None else verdict.over.entry,
        entry_ms=now_ms if verdict.over is None else verdict.over.entry_ms,
        at_ms=now_ms,
        reason=verdict.reason,
        points=ClockPoints(t5_ms=now_ms),
        silent_since_ms=verdict.since_ms,
        silenced=_silenced(verdict, pairs),
    )


def _silenced(verdict: Verdict, pairs: tuple[PairAtRisk, ...]) -> Silenced:
    return Silenced(
        group=verdict.group,
        silent=int(verdict.missed.sum()),
        expected=int(verdict.expected.sum()),
        since_ms=verdict.since_ms,
        pairs=len(pairs),
        worst=pairs[:INCIDENT_TOLD_MAX],
    )


def incident_of(verdict: Verdict, opened: Open, pairs: tuple[PairAtRisk, ...], now_ms: int) -> Incident:
    """How it stands now, with its most urgent pairs."""
    return Incident(
        entry=opened.entry,
        entry_ms=opened.entry_ms,
        at_ms=now_ms,
        group=verdict.group,
        silent=int(verdict.missed.sum()),
        expected=int(verdict.expected.sum()),
        since_ms=opened.since_ms,
        ranked=pairs[:INCIDENT_RANKED_MAX],
        unranked=max(0, len(pairs) - INCIDENT_RANKED_MAX),
    )


def open_of(incident: Incident) -> Open:
    """What of a shown incident the watch goes on with."""
    return Open(incident.group, incident.entry, incident.entry_ms, incident.since_ms)


def apply_said(finding: Finding, lasting: dict[Group, Open]) -> None:
    """Take one finding of the log into what lasts. An exit ends the entry that it names, and no later one."""
    said = finding.silenced
    if said is None:
        return
    if finding.change is Change.ENTRY:
        lasting[said.group] = Open(said.group, finding.id, finding.at_ms, said.since_ms)
    elif (known := lasting.get(said.group)) is not None and known.entry_ms <= finding.entry_ms:
        del lasting[said.group]
