"""Which decisions can be made again? The shell that keeps a case of every alert that the geofence raised.

It hears every ruling (EPISODES, the durable queue ``witness``). Of one whose cause is a finding of the geofence
that began something, the case (``audit.case``) is made of what the log still has (``audit.recall``), decided again
at once, and sealed into the chain of its episode, source ``case:{finding}``: once, however often the ruling comes.
It is settled after the commit; with the record down it waits on the log, and the snapshots of the last hour wait
on the shelf.

A case that is not decided again is sealed all the same, with what differs; one that cannot be made is sealed as
that. Both are counted, and the operations hear of it (SYS_AUDIT, subject ``witness``): somebody may have been
called for a reason that nobody can find again. What was found in the history has no case and is sealed as that,
without a notice. No case: keys (their ruling holds the press), a fleet's silence (of no two parties), invented
pairs.

Hours: milliseconds; leases and waits are of the wall.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from audit.case import Why, marked, uncased
from audit.recall import Recall
from audit.track import ENDS_MAX, Tracks
from tocsin import subjects, wire
from tocsin.adapters.seals import Seals
from tocsin.chain import Item, KeptAs, Kind
from tocsin.clock import MS, Clock
from tocsin.limits import LEASE_RENEW_S
from tocsin.model.episode import FindingCause, Ruling
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.ids import derived
from tocsin.model.notice import Notice
from tocsin.ports import Delivery, Log
from tocsin.pulsing import UNSEEN, Returning, Rounds
from tocsin.sealing import episode_chain
from tocsin.settling import Settler
from tocsin.subjects import EPISODES, FIXES
from tocsin.telemetry import WITNESSED

QUEUE: Final = "witness"
TRACKS_QUEUE: Final = "witness-tracks"
TAKE_MAX: Final = 64  # rulings in one transaction: a case takes some ms, and the leases are renewed meanwhile
EARLY_MS: Final = 3 * MS
UNSHELVED_MS: Final = 30 * MS
EARLY_TRIES: Final = 60
EARLY_S: Final = 0.5
"""A snapshot reaches the shelf some ms behind the finding that it was written for, and as soon as the log takes it
where that stood still. So long after a decision it is looked for again before the case counts as one that is not
decided again, or has no snapshot; so often for all cases that are made together, whatever the clock says."""
TOLD_MS: Final = MS * FIXES.keep_s
"""What is older than the log is sealed as that and counted, and no news: a first start reads all rulings."""
MADE_MAX: Final = 256  # cases that wait for the record: made once, some 20 kB each

SUBJECT: Final = "witness"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What is sealed of one finding. ``differs``: in the words of ``check``; ``outcome`` is the label."""

    payload: bytes
    outcome: str
    differs: tuple[str, ...] = ()

    @property
    def is_fault(self) -> bool:
        return self.outcome not in {"sealed", Why.FROM_HISTORY.value}


async def run_witness(
    *,
    log_: Log,
    recall: Recall,
    seals: Seals,
    tracks: Tracks,
    clock: Clock,
    ready: Callable[[], None],
    rounds: Rounds = UNSEEN,
) -> None:
    """Until cancelled. ``ready`` is called when the queues are joined, whether or not the record is up."""
    async with (
        log_.queue(EPISODES, QUEUE, parallel=TAKE_MAX) as of_rulings,
        log_.queue(EPISODES, TRACKS_QUEUE, parallel=ENDS_MAX) as of_ends,
        asyncio.TaskGroup() as parts,
    ):
        rulings, ends = Returning(of_rulings, rounds, QUEUE), Returning(of_ends, rounds, TRACKS_QUEUE)
        witness = Witness(log=log_, recall=recall, seals=seals, clock=clock)
        parts.create_task(_settler(QUEUE, lambda: rulings.take(TAKE_MAX), witness.keep).run())
        parts.create_task(_settler(TRACKS_QUEUE, lambda: tracks.take(ends, TAKE_MAX), tracks.keep).run())
        ready()


def _settler(
    name: str,
    take: Callable[[], Awaitable[Sequence[Delivery]]],
    keep: Callable[[Sequence[Delivery]], Awaitable[None]],
) -> Settler:
    async def renewed(deliveries: Sequence[Delivery]) -> None:
        async with _renewing(deliveries):
            await keep(deliveries)

    return Settler(name=name, take=take, keep=renewed, set_aside=_set_aside)


@asynccontextmanager
async def _renewing(deliveries: Sequence[Delivery]) -> AsyncIterator[None]:
    async def renew() -> None:
        while True:
            await asyncio.sleep(LEASE_RENEW_S)
            for delivery in deliveries:
                await delivery.still_working()

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing


def _set_aside(delivery: Delivery, error: Exception) -> None:
    entry = delivery.entry
    WITNESSED.labels("set_aside").inc()
    log.error("not_witnessed", subject=entry.subject, sequence=entry.sequence, reason=type(error).__name__)


@dataclass(slots=True, kw_only=True)
class Witness:
    """Rulings in, sealed cases out."""

    log: Log
    recall: Recall
    seals: Seals
    clock: Clock
    _made: OrderedDict[str, Made] = field(default_factory=OrderedDict)
    _tries: int = 0

    async def keep(self, deliveries: Sequence[Delivery]) -> None:
        """Returns when the record has committed the cases. Raises RecordUnavailable, WireError."""
        self.recall.refresh()
        self._tries = EARLY_TRIES
        found = [
            found for delivery in deliveries if (found := case_in(wire.decode_ruling(delivery.entry.payload)))
        ]
        made = {finding.id: await self._case(finding) for _, finding in found}
        items = [_item(episode, finding, made[finding.id]) for episode, finding in found]
        linked = await self.seals.seal(items, at_ms=self.clock.now_ms())
        new = {link.source for link in linked}
        for _, finding in found:
            if _source(finding) in new:
                WITNESSED.labels(made[finding.id].outcome).inc()
            if made[finding.id].is_fault and self.clock.now_ms() - finding.at_ms < TOLD_MS:
                await self._tell(finding, made[finding.id])
        for _, finding in found:
            self._made.pop(finding.id, None)

    async def _case(self, finding: Finding) -> Made:
        """Made once: the record may be away for long."""
        if finding.id not in self._made:
            self._made[finding.id] = await self._make(finding)
            while len(self._made) > MADE_MAX:
                self._made.popitem(last=False)
        return self._made[finding.id]

    async def _make(self, finding: Finding) -> Made:
        if finding.past is not None:
            return _without(finding, Why.FROM_HISTORY)
        past = self.recall.of(finding.measure)
        case = await past.case_of(finding)
        while self._tries and self._may_be_too_early(finding, case):
            self._tries -= 1
            await asyncio.sleep(EARLY_S)
            past.is_fresh = False
            case = await past.case_of(finding)
        if not isinstance(case, Why) and not case[1]:
            return Made(payload=case[0], outcome="sealed")
        if isinstance(case, Why):
            return _without(finding, case)
        payload, differs = case
        return Made(payload=marked(payload, differs), outcome="differs", differs=tuple(differs))

    def _may_be_too_early(self, finding: Finding, case: tuple[bytes, list[str]] | Why) -> bool:
        """Whether another snapshot may yet come to the shelf, and is needed."""
        if not isinstance(case, Why) and not case[1]:
            return False
        may_take_ms = UNSHELVED_MS if case is Why.NO_SNAPSHOT else EARLY_MS
        return self.clock.now_ms() - (finding.points.t5_ms or finding.at_ms) < may_take_ms

    async def _tell(self, finding: Finding, made: Made) -> None:
        """Under the name of the finding: told twice it is one."""
        now_ms = self.clock.now_ms()
        log.critical("not_decided_again", finding=finding.id, measure=finding.measure, differs=list(made.differs))
        name = derived("ntc", Code.SYS_AUDIT.value, SUBJECT, finding.id)
        notice = Notice(
            id=name,
            code=Code.SYS_AUDIT,
            subject=SUBJECT,
            change=Change.ENTRY,
            at_ms=now_ms,
            entry=name,
            entry_ms=now_ms,
            reason="not_decided_again" if made.differs else made.outcome,
            measures=(finding.measure,),
            facts=(("finding", finding.id),),
        )
        await self.log.append(subjects.notice(notice.code.value), wire.encode(notice), dedupe_id=name)


def case_in(ruling: Ruling) -> tuple[str, Finding] | None:
    """The episode, and the finding of the geofence that began something in it; None: no case belongs to this."""
    if not isinstance(ruling.event, FindingCause):
        return None
    finding = ruling.event.finding
    is_fleets = finding.silenced is not None
    if finding.change is not Change.ENTRY or is_fleets or ruling.episode.is_canary:
        return None
    return ruling.episode.id, finding


def _without(finding: Finding, why: Why) -> Made:
    return Made(payload=uncased(finding, why), outcome=why.value)


def _source(finding: Finding) -> str:
    return f"case:{finding.id}"


def _item(episode: str, finding: Finding, made: Made) -> Item:
    return Item(
        chain=episode_chain(episode),
        kind=Kind.CASE,
        kept_as=KeptAs.MEASURE_FILE,
        source=_source(finding),
        payload=made.payload,
    )
