"""The shells of ingest: take, admit, publish, *then* acknowledge.

Two lanes, two sessions, two kinds of process. ``run_fixes`` collects what arrives while the last batch is on its
way (and for ``batch_linger_ms`` more), publishes one log message per partition and lane, and acknowledges the
batch when the log has all of it. ``run_alarms`` handles one alarm at a time and waits for nobody; two of them
run at once and their copies fall together under the alarm's id (ARCHITECTURE, A3).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import aiomqtt
import numpy as np
import structlog

from ingest.admission import (
    Admission,
    AdmittedEvent,
    AdmittedFix,
    Answered,
    Duplicate,
    FixRow,
    Heard,
    Message,
    OtherLane,
    OwnWord,
    Presence,
    admit,
    admit_alarm,
)
from ingest.dialects.reports import Reason, Refusal
from ingest.known import Known
from ingest.mqtt import MqttSession, Taken, sessions
from ingest.quarantine import keep_and_answer, watch_quarantine
from ingest.sign_book import SignBook
from ingest.signs import sign_of
from ingest.tally import MESSAGES, REPORTS, ROWS, Confirmed, Counts, write_for_ever
from ingest.unit_words import MINUTE_MS
from tocsin import subjects
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.limits import BATCH_MAX_FIXES, BROKER_INFLIGHT_MAX, REFUSED_KEPT_PER_BATCH
from tocsin.model.command import CommandStatus
from tocsin.model.device import Device
from tocsin.model.finding import Alarm, Code
from tocsin.model.fix import ABSENT, FIX_DTYPE
from tocsin.model.ids import derived
from tocsin.model.sign import Sign
from tocsin.mqtt import NO_FILES
from tocsin.ports import Appended, Bucket, Log
from tocsin.telemetry import INGEST_MESSAGES, KNOWN_DEVICES
from tocsin.tls import TlsFiles
from tocsin.wire import decode_device, decode_ruling, encode, encode_fixes

FIX_TOPICS = (f"{subjects.TOPIC_ROOT}/#", f"{subjects.PHONE_ROOT}/#")
"""Subscribed at each connection: a session that an older version left learns the new ones so."""
ALARM_TOPICS = (f"{subjects.TOPIC_ROOT}/+/sos", f"{subjects.TOPIC_ROOT}/+/evt")
RETRY_S = 0.2
ANSWERING_READER = 1  # both hear every refusal; one keeps and answers it

log = structlog.get_logger()


@dataclass(slots=True)
class Batch:
    """What has been taken since the last flush, and where each part of it goes."""

    taken: list[tuple[MqttSession, Taken]] = field(default_factory=list)
    rows: defaultdict[str, list[FixRow]] = field(default_factory=lambda: defaultdict(list))
    answers: list[CommandStatus] = field(default_factory=list)
    refused: list[tuple[MqttSession, Message, Refusal]] = field(default_factory=list)
    outcomes: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    signs: dict[str, Sign] = field(default_factory=dict)
    elsewhere: int = 0
    reports: int = 0
    admitted_rows: int = 0

    def add(self, session: MqttSession, taken: Taken, admissions: list[Admission], known: Known) -> None:
        self.taken.append((session, taken))
        self.reports += len(admissions)
        self.admitted_rows += rows_of(admissions)
        for admission in admissions:
            if isinstance(admission, OtherLane | OwnWord):
                self.elsewhere += 1
                continue  # counted by whom it is for
            self.outcomes[_outcome(admission)] += 1
            if isinstance(admission, AdmittedFix | AdmittedEvent | Presence):
                _remember(admission, known)
                is_late = isinstance(admission, AdmittedFix) and admission.late
                to_subject = subjects.late if is_late else subjects.fixes
                for partition, row in admission.copies:
                    self.rows[to_subject(partition)].append(row)
            elif isinstance(admission, Answered):
                _remember(admission, known)
                self.answers.append(admission.status)
            elif isinstance(admission, Refusal) and len(self.refused) < REFUSED_KEPT_PER_BATCH:
                self.refused.append((session, taken.message, admission))


def rows_of(admissions: Sequence[Admission]) -> int:
    """How many rows these make, one per partition concerned."""
    return sum(len(one.copies) for one in admissions if isinstance(one, AdmittedFix | AdmittedEvent | Presence))


def _remember(admission: AdmittedFix | AdmittedEvent | Answered | Presence, known: Known) -> None:
    """What the next message of this device will be compared with."""
    match admission:
        case AdmittedFix():
            known.remember(admission.device, admission.boot, admission.seq, admission.fix_ms)
        case AdmittedEvent(boot=boot) if boot != ABSENT:
            known.remember(admission.device, boot, admission.seq, admission.at_ms)
        case Presence():
            known.present_ms[admission.device] = admission.heard_ms
            if admission.said:
                known.present_said[admission.device] = admission.said
        case Answered(status=status):
            minute = status.at_ms // MINUTE_MS
            known.answers[status.device] = (minute, known.answers_in(status.device, minute) + 1)
        case AdmittedEvent():
            pass  # it came without its numbers


def _outcome(
    admission: AdmittedFix | AdmittedEvent | Alarm | Answered | Duplicate | Heard | Presence | Refusal,
) -> str:
    match admission:
        case AdmittedEvent() | Answered():
            return "event" if isinstance(admission, AdmittedEvent) else "result"
        case AdmittedFix(sos_only=True):
            return "sos_only"
        case AdmittedFix(late=late):
            return "late" if late else "admitted"
        case Alarm(readable=readable):
            return "admitted" if readable else "admitted_unreadable"
        case Duplicate():
            return "duplicate"
        case Heard():
            return "heard"
        case Presence():
            return "present"
        case Refusal(reason=reason):
            return f"refused_{reason.value}"


async def run_fixes(
    *,
    url: str,
    log: Log,
    devices: Bucket,
    signs: Bucket,
    known: Known,
    clock: Clock,
    linger_ms: int,
    ready: Callable[[], None],
    tls: TlsFiles = NO_FILES,
    secret: str = "",
    tallies: Bucket | None = None,
) -> None:
    """The fix lane, until cancelled."""
    book = SignBook(signs, known, clock)
    await book.open()
    lane = FixLane(log, known, clock, linger_ms, book)
    async with asyncio.TaskGroup() as tasks:
        directory = Directory(devices, known, "fixes")
        open_sos = asyncio.Event()
        tasks.create_task(directory.follow())
        tasks.create_task(follow_open_sos(log, known, open_sos))
        await directory.complete.wait()
        await open_sos.wait()  # what the broker kept of a phone that rang meanwhile is not refused
        tasks.create_task(lane.flush_for_ever())
        tasks.create_task(write_for_ever(lane.counts, tallies, clock))
        tasks.create_task(watch_quarantine(log))
        tasks.create_task(book.listen_for_ever())
        tasks.create_task(book.write_for_ever())
        async for session in sessions(url, "fixes", FIX_TOPICS, clock, tls, secret):
            ready()
            book.connected = True
            lane.counts.listening_ms = clock.now_ms()
            try:
                await lane.collect(session)
            except aiomqtt.MqttError as error:
                _tell_lost("fixes", error)
            finally:
                book.connected = False
                lane.counts.listening_ms = 0


async def run_alarms(
    *,
    url: str,
    reader: int,
    log: Log,
    devices: Bucket,
    known: Known,
    clock: Clock,
    ready: Callable[[], None],
    tls: TlsFiles = NO_FILES,
    secret: str = "",
    tallies: Bucket | None = None,
) -> None:
    """One of the two alarm readers, until cancelled. ``reader`` is its number: it has a session of its own."""
    lane = AlarmLane(f"alarms-{reader}")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write_for_ever(lane.counts, tallies, clock))
        directory = Directory(devices, known, f"alarms-{reader}")
        tasks.create_task(directory.follow())
        await directory.complete.wait()
        async for session in sessions(url, f"alarms-{reader}", ALARM_TOPICS, clock, tls, secret):
            ready()
            lane.counts.listening_ms = clock.now_ms()
            try:
                async for taken in session.messages():
                    lane.take()
                    if taken.retained:  # a copy that the broker gives to each new session: nobody pressed now
                        session.acknowledge(taken)
                        INGEST_MESSAGES.labels(lane="alarm", outcome="retained").inc()
                        lane.settle("retained")
                        continue
                    admission = await _one_alarm(session, taken, log, directory, clock, lane)
                    refusal = _to_be_kept(admission) if reader == ANSWERING_READER else None
                    if refusal is not None:  # aside: the next press does not wait for it
                        tasks.create_task(keep_and_answer(session, log, taken.message, refusal, known))
            except aiomqtt.MqttError as error:
                _tell_lost(f"alarms-{reader}", error)
            finally:
                lane.counts.listening_ms = 0


class AlarmLane:
    """What one alarm reader counts: one message at a time, each of which is one report and at most one row."""

    def __init__(self, part: str) -> None:
        self._held = self._row_held = 0
        self.counts = Counts(part, part, self._in_hand)

    def _in_hand(self) -> dict[str, int]:
        return {MESSAGES: self._held, REPORTS: self._held, ROWS: self._row_held}

    def take(self) -> None:
        self._held = 1
        self.counts.messages.taken += 1
        self.counts.reports.taken += 1

    def admit(self) -> None:
        self._row_held = 1
        self.counts.rows.taken += 1

    def confirm(self, there: Appended) -> None:
        """The other reader may have been first: the log has it once, whoever wrote it."""
        self._row_held, known = 0, there.duplicate
        one = Confirmed(stream=subjects.ALARMS.name, sequence=there.sequence, rows=1, primary=1, known=known)
        self.counts.confirm([one])

    def settle(self, outcome: str) -> None:
        self._held = 0
        self.counts.messages.outcomes["settled"] += 1
        self.counts.reports.outcomes[outcome] += 1
        self.counts.check()


def _tell_lost(session: str, error: BaseException) -> None:
    log.warning("broker_connection_lost", session=session, error=repr(error))


class Directory:
    """Keeps ``known.devices`` as the projector writes it; ``complete`` is set when it is whole."""

    def __init__(self, bucket: Bucket, known: Known, reader: str) -> None:
        self._bucket = bucket
        self._reader = reader
        self._devices: dict[str, Device] = {}
        self.known = known
        self.known.devices = self._devices
        self.complete = asyncio.Event()

    async def follow(self) -> None:
        async for change in self._bucket.watch():
            if change is None:
                self.complete.set()
            elif change.value is None:
                self._devices.pop(change.key, None)
            else:
                self._learn(change.key, change.value)
            KNOWN_DEVICES.labels(reader=self._reader).set(len(self._devices))

    async def look_up(self, name: str) -> None:
        """Ask the bucket itself, for as long as it takes: the key of a unit registered this second must work."""
        while True:
            try:
                value = await self._bucket.get(name)
            except LogUnavailable as error:
                log.warning("look_up_retry", error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                break
        if value is not None:
            self._learn(name, value)

    def _learn(self, key: str, value: bytes) -> None:
        """An entry that this version cannot read costs that device its news, and no other its ears (F02)."""
        try:
            self._devices[key] = decode_device(value)
        except WireError as error:
            log.error("device_unreadable", device=key, error=str(error))


async def follow_open_sos(log_: Log, known: Known, complete: asyncio.Event) -> None:
    """Keep ``known.open_sos`` true to the episodes: a TGD is located while its alert is open (invariant 6).
    ``complete`` is set when all that stood has been read."""
    place = subjects.episode(Code.TGD_SOS.value, "*")
    async for entries in log_.read(subjects.EPISODES, place, newest_per_subject=True):
        if not entries:
            complete.set()
        for entry in entries:
            try:
                episode = decode_ruling(entry.payload).episode
            except WireError as error:  # as in _learn: one phone's, and not the lane's, trouble
                log.error("episode_unreadable", subject=entry.subject, error=str(error))
                continue
            if episode.is_open:
                known.open_sos.add(episode.subject)
            else:
                known.open_sos.discard(episode.subject)


class FixLane:
    """The collector and the flusher of one process.

    What was collected is published even when the connection that brought it has ended: its numbers are
    remembered as seen, and a redelivery of it would count as a duplicate. Only the death of the process drops a
    batch, and what it remembered goes with it.
    """

    def __init__(self, log: Log, known: Known, clock: Clock, linger_ms: int, book: SignBook) -> None:
        self._book = book
        self._log = log
        self._known = known
        self._clock = clock
        self._linger_s = linger_ms / MS
        self._batch = Batch()
        self._arrived = asyncio.Event()
        self._in_hand: set[tuple[MqttSession, int]] = set()
        self._leaving = Batch()
        self.counts = Counts("fixes", "fix", self._held)

    def _held(self) -> dict[str, int]:
        held = (self._batch, self._leaving)
        return {
            MESSAGES: sum(len(one.taken) for one in held),
            REPORTS: sum(one.reports for one in held),
            ROWS: sum(one.admitted_rows for one in held),
        }

    async def collect(self, session: MqttSession) -> None:
        """Take from this connection until it ends; raises MqttError."""
        counts = self.counts
        async for taken in session.messages():
            counts.messages.taken += 1
            if (session, taken.mid) in self._in_hand:
                counts.messages.outcomes["repeated"] += 1
                continue  # while the log is down the broker repeats each ack_wait what we have not acknowledged
            if taken.retained or self._has_no_room(taken):
                session.acknowledge(taken)
                outcome = "retained" if taken.retained else "dropped_qos_0"
                INGEST_MESSAGES.labels(lane="fix", outcome=outcome).inc()
                counts.messages.outcomes[outcome] += 1
                continue
            if taken.qos > 0:
                self._in_hand.add((session, taken.mid))
            now_ms = self._clock.now_ms()
            admissions = admit(taken.message, self._known, now_ms)
            counts.reports.taken += len(admissions)
            counts.rows.taken += rows_of(admissions)
            self._batch.add(session, taken, admissions, self._known)
            self._note_sign(taken.message, admissions, now_ms)
            self._arrived.set()

    def _note_sign(self, message: Message, admissions: list[Admission], now_ms: int) -> None:
        sign = sign_of(message, admissions, self._known, now_ms)
        if sign is not None:
            self._known.signs[sign.device] = self._batch.signs[sign.device] = sign

    def _has_no_room(self, taken: Taken) -> bool:
        """The broker bounds what it hands out unacknowledged; QoS 0 it hands out without end."""
        return taken.qos == 0 and len(self._batch.taken) >= BROKER_INFLIGHT_MAX

    async def flush_for_ever(self) -> None:
        while True:
            await self._arrived.wait()
            if len(self._batch.taken) < BATCH_MAX_FIXES:
                await asyncio.sleep(self._linger_s)
            batch, self._batch = self._batch, Batch()
            self._leaving = batch
            self._arrived.clear()
            confirmed, _ = await asyncio.gather(
                publish(self._log, batch.rows, batch.answers), self._book.write(batch.signs.values())
            )
            for session, taken in batch.taken:
                session.acknowledge(taken)
                self._in_hand.discard((session, taken.mid))
            for outcome, count in batch.outcomes.items():
                INGEST_MESSAGES.labels(lane="fix", outcome=outcome).inc(count)
            self._settle(batch, confirmed)
            for session, message, refusal in batch.refused:
                await keep_and_answer(session, self._log, message, refusal, self._known)

    def _settle(self, batch: Batch, confirmed: Sequence[Confirmed]) -> None:
        """In one turn of the loop, so that no tally sees half of it."""
        self._leaving = Batch()
        self.counts.messages.outcomes["settled"] += len(batch.taken)
        self.counts.reports.outcomes.update(batch.outcomes)
        self.counts.reports.outcomes["elsewhere"] += batch.elsewhere
        self.counts.confirm(confirmed)
        self.counts.check()


async def publish(
    log_: Log, rows: Mapping[str, list[FixRow]], answers: Sequence[CommandStatus] = ()
) -> list[Confirmed]:
    """Every subject at once, each in its own order; returns when the log has all of it."""
    publishing: list[asyncio.Task[list[Confirmed]]] = []
    async with asyncio.TaskGroup() as tasks:
        for status in answers:
            place = subjects.result(status.device, status.command, subjects.UNIT_SAYS)
            name = derived("cmd", status.device, status.command, status.reason)
            tasks.create_task(append_surely(log_, place, encode(status), dedupe_id=name))
        for subject, some in rows.items():
            publishing.append(tasks.create_task(_publish_in_order(log_, subject, some)))
    return [one for task in publishing for one in task.result()]


async def _publish_in_order(log_: Log, subject: str, rows: list[FixRow]) -> list[Confirmed]:
    """After an outage, or with bulks, a batch holds far more than a message of the log may: it goes in slices."""
    stream = subjects.LATE.name if subject.startswith("log.late.") else subjects.FIXES.name
    confirmed = []
    for start in range(0, len(rows), BATCH_MAX_FIXES):
        fixes = np.array(rows[start : start + BATCH_MAX_FIXES], FIX_DTYPE)
        payload = encode_fixes(fixes)
        name = derived("bat", subject, hashlib.sha256(payload).hexdigest())
        there = await append_surely(log_, subject, payload, dedupe_id=name)
        primary = int(np.count_nonzero(fixes["primary"]))
        confirmed.append(
            Confirmed(
                stream=stream, sequence=there.sequence, rows=len(fixes), primary=primary, known=there.duplicate
            )
        )
    return confirmed


async def append_surely(log_: Log, subject: str, payload: bytes, *, dedupe_id: str) -> Appended:
    """Append, again under the same id for as long as it takes: the PUBACKs wait meanwhile."""
    while True:
        try:
            return await log_.append(subject, payload, dedupe_id=dedupe_id)
        except LogUnavailable as error:
            log.warning("append_retry", subject=subject, error=str(error))
            await asyncio.sleep(RETRY_S)


async def _one_alarm(
    session: MqttSession, taken: Taken, log_: Log, directory: Directory, clock: Clock, lane: AlarmLane
) -> Alarm | OtherLane | Refusal:
    """Admit, append, and only then acknowledge."""
    admission = admit_alarm(taken.message, directory.known, clock.now_ms())
    if isinstance(admission, Refusal) and admission.reason is Reason.UNKNOWN_DEVICE:
        await directory.look_up(subjects.device_in(taken.message.topic) or "")
        admission = admit_alarm(taken.message, directory.known, clock.now_ms())
    if isinstance(admission, Alarm):
        lane.admit()
        place = subjects.alarm(admission.device)
        there = await append_surely(log_, place, encode(admission), dedupe_id=admission.id)
        lane.confirm(there)
    session.acknowledge(taken)
    lane.settle("elsewhere" if isinstance(admission, OtherLane) else _outcome(admission))
    if not isinstance(admission, OtherLane):
        INGEST_MESSAGES.labels(lane="alarm", outcome=_outcome(admission)).inc()
    return admission


def _to_be_kept(admission: Alarm | OtherLane | Refusal) -> Refusal | None:
    """What engineers will want to see: refusals, and what rang although it could not be read."""
    if isinstance(admission, Refusal):
        return admission
    return (
        None
        if isinstance(admission, OtherLane) or admission.readable
        else Refusal(reason=Reason.MALFORMED, detail="it rang all the same")
    )
