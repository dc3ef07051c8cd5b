"""What does a message on the bus ask of the desk? The auditor's own reading of the rules (DOMAIN section 4).

Written from the words of the domain, not from the desk's code: an error that both would have to make is less
likely. Where the desk may rightly be silent, the reason stands beside it. Pure.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tocsin.model.episode import AlarmCause, Event, FindingCause, NoticeCause
from tocsin.model.finding import LATCHED, MEASURE_ENDED_REASON, Alarm, Change, Code, Finding
from tocsin.model.notice import Notice

CANARY_LINE: Final = "canary"
"""Of the words in ``Receipt.line``: the receiver of invented pairs (``tocsin.model.canary``), and nobody else."""

Place = tuple[str, str]
"""Of an episode: code and subject, as they stand in the name of its subject on the log."""

KEYS: Final = frozenset({Code.TGD_SOS, Code.TGD_SOS_SILENT, Code.BAR_SOS})
LIVES_AT: Final = {Code.TGD_SOS_SILENT: Code.TGD_SOS, Code.PREALERT_NO_ANSWER: Code.PROX_PREALERT}
"""One chain of events, one episode: what became of a press, or of a pre-alert, stays in its place."""
URGENT: Final = frozenset(
    {
        Code.TGD_SOS, Code.TGD_SOS_SILENT, Code.BAR_SOS, Code.PROX_ALERT, Code.RF_PROXIMITY, Code.STRAP_TAMPER,
        Code.ZONE_CORE_ENTRY, Code.PREALERT_NO_ANSWER, Code.SYS_FLEET_SILENCE, Code.SYS_PIPELINE_LAG,
        Code.SYS_NOTIFY_FAIL, Code.SYS_CANARY_FAIL, Code.SYS_CAPACITY, Code.SYS_CLOCK,
    }
)  # fmt: skip
"""P1, or P1 until the time to blind risk is known."""


class Awaited(msgspec.Struct, frozen=True, kw_only=True):
    """A cause that has to be found in an episode at ``place``. ``id``: its own; ``entry``: what it ends, or
    worsens; ``alarm``: what rang before it. ``proof``: it only has to be found in an alert that lasts. ``lane``,
    ``sequence``: where it stands in the queue of its like."""

    place: Place
    id: str
    entry: str
    is_exit: bool
    is_urgent: bool
    at_ms: int
    lane: str
    sequence: int
    alarm: str | None = None
    is_latched: bool = False
    is_proof: bool = False


def of_finding(finding: Finding, sequence: int) -> Awaited | None:
    """None: the desk may leave it as it is."""
    code, is_exit = finding.code, finding.change is Change.EXIT
    if code is Code.UNCERTAIN:  # a state that is shown, and no alert
        return None
    is_proof = code is Code.EVIDENTIAL_BREACH
    if is_proof and finding.authorised:  # proves what was allowed
        return None
    if finding.past is not None and (is_exit or finding.past.corrects is not None):
        return None  # a correction, or a withdrawal: of an episode that may be gone from its place since
    if is_exit and (finding.entry == finding.id or not _may_end(finding)):
        return None  # the end of what was never said; or of what only a human ends (invariant 8)
    return Awaited(
        place=_place_of(finding),
        id=finding.id,
        entry=finding.entry,
        is_exit=is_exit,
        is_urgent=_is_urgent(finding),
        at_ms=finding.at_ms,
        lane=code.value,
        sequence=sequence,
        alarm=finding.alarm,
        is_latched=code in LATCHED,
        is_proof=is_proof,
    )


def _is_urgent(finding: Finding) -> bool:
    return finding.priority == 1 or (finding.priority is None and finding.code in URGENT)


def _may_end(finding: Finding) -> bool:
    return finding.code not in LATCHED or finding.reason == MEASURE_ENDED_REASON


def _place_of(finding: Finding) -> Place:
    if finding.zone is not None:
        return (finding.code.value, f"{finding.measure}:{finding.zone}")
    if finding.code is Code.EVIDENTIAL_BREACH:
        return (Code.PROX_ALERT.value, finding.measure)
    return (finding.code.value, finding.measure)


def of_alarm(alarm: Alarm, sequence: int) -> list[Awaited]:
    """A key is about its device; what else a unit says is about each of its measures."""
    code = LIVES_AT.get(alarm.code, alarm.code)
    subjects = (alarm.device,) if alarm.code in KEYS or not alarm.measures else alarm.measures
    return [
        Awaited(
            place=(code.value, subject), id=alarm.id, entry=alarm.id, is_exit=False, is_urgent=True,
            at_ms=alarm.at_ms, lane="alarms", sequence=sequence,
        )
        for subject in subjects
    ]  # fmt: skip


def of_notice(notice: Notice, sequence: int) -> Awaited | None:
    if notice.code is Code.SYS_AUDIT:  # our own word: that it is not ruled upon must not make us say more
        return None
    is_exit = notice.change is Change.EXIT
    if is_exit and notice.entry == notice.id:
        return None
    return Awaited(
        place=(notice.code.value, notice.subject), id=notice.id, entry=notice.entry, is_exit=is_exit,
        is_urgent=notice.code in URGENT, at_ms=notice.at_ms, lane="notices", sequence=sequence,
    )  # fmt: skip


def cause_of(event: Event) -> str | None:
    """The id of what a ruling is about, None for acts, receipts and hours."""
    match event:
        case FindingCause(finding=finding):
            return finding.id
        case AlarmCause(alarm=alarm):
            return alarm.id
        case NoticeCause(notice=notice):
            return notice.id
        case _:
            return None


def place_in(subject: str) -> Place:
    """``log.episode.PROX_ALERT.msr_1`` -> (PROX_ALERT, msr_1)."""
    _, _, code, name = subject.split(".", 3)
    return code, name
