"""The shell around heads: make one a day, and give it to those outside.

Once a UTC day, five minutes after midnight of Tocsin's clock, or at the start where one is missing. Each head goes
to a file that is only ever appended to, and to a webhook, in order, each until it is taken; which ones have left
for where is in the record, so that a restart repeats none and forgets none. A new file, or another webhook, gets
all of them from the first one on.

The file is read before it is written to. Where it and the record do not agree one of them was changed: that is
paged (SYS_AUDIT, subject ``heads``), the file stays as it is, and what is new is appended all the same.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import structlog

from audit.webhook import ACCEPTED, Webhook
from tocsin import subjects
from tocsin.adapters.heads import Heads
from tocsin.clock import Clock, rfc3339
from tocsin.errors import LogUnavailable, RecordUnavailable, WireError
from tocsin.heads import DAY_MS, Head, Wrong, day_of, due_ms, faults_of_file, line_of, published
from tocsin.model.episode import Episode, Realm
from tocsin.model.finding import Change, Code
from tocsin.model.ids import derived
from tocsin.model.notice import Notice
from tocsin.ports import Log
from tocsin.pulsing import UNSEEN, Rounds, is_away
from tocsin.reach import reach_of
from tocsin.settings import Settings, WebhookTls
from tocsin.subjects import EPISODES
from tocsin.telemetry import HEADS
from tocsin.wire import decode_ruling, encode

TYPE: Final = "org.tocsin.record.head"
LOOK_EVERY_S: Final = 60.0
"""A head is a minute late at most, and what was not taken is tried again each minute."""
SUBJECT: Final = "heads"
FILE_NOT_WRITTEN: Final = "file_not_written"
NOT_TAKEN: Final = "webhook_not_taken"
AGREES: Final = "agrees_again"
"""Reasons of a notice, beside the words of ``tocsin.heads.Wrong``."""

log = structlog.get_logger()


class HeadsFile:
    """The published file. Only ever appended to. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def place(self) -> str:
        return f"file:{self._path}"

    async def lines(self) -> list[bytes]:
        return await asyncio.to_thread(self._read)

    async def append(self, line: bytes) -> None:
        """On disk when this returns."""
        await asyncio.to_thread(self._append, line)

    def _read(self) -> list[bytes]:
        return self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []

    def _append(self, line: bytes) -> None:
        is_new = not self._path.exists()
        with self._path.open("ab+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")  # behind what somebody who died has left
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Where heads go. ``webhook`` None: to the file alone."""

    site: str
    realm: Realm
    file: HeadsFile
    webhook: Webhook | None = None

    @property
    def places(self) -> list[str]:
        """As the record names them."""
        return [self.file.place] if self.webhook is None else [self.file.place, place_of(self.webhook)]


def outside_of(settings: Settings) -> Outside:
    """Of a deployment."""
    webhook = None
    if settings.heads_url is not None and settings.heads_secret is not None:
        webhook = Webhook(
            url=str(settings.heads_url),
            secret=settings.heads_secret.get_secret_value(),
            tls=settings.webhook_tls.get("heads", WebhookTls()).files,
            reach=reach_of(settings.webhook_networks, is_lab=settings.realm is Realm.LAB),
        )
    file = HeadsFile(settings.published_heads)
    return Outside(site=settings.site, realm=settings.realm, file=file, webhook=webhook)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a human has to look at: a word, and a sentence that names nobody."""

    reason: str
    detail: str


async def run_notary(
    heads: Heads,
    outside: Outside,
    log_: Log,
    clock: Clock,
    ready: Callable[[], None],
    rounds: Rounds = UNSEEN,
) -> None:
    """Until cancelled."""
    pager = Pager(log_)
    ready()
    while True:
        try:
            await make_if_due(heads, clock.now_ms())
            await pager.say(await publish(heads, outside, clock), clock.now_ms())
        except (RecordUnavailable, LogUnavailable) as error:
            log.warning("heads_wait", error=str(error))
            if is_away(error):
                await rounds.went_round()
        else:
            await rounds.went_round()
        await clock.sleep(LOOK_EVERY_S)


async def make_if_due(heads: Heads, now_ms: int) -> Head | None:
    """Raises RecordUnavailable."""
    if now_ms < due_ms(await heads.last()):
        return None
    return await make(heads, now_ms)


async def make(heads: Heads, now_ms: int) -> Head:
    head = await heads.make(now_ms)
    HEADS.labels(outcome="made").inc()
    log.info("head_made", number=head.number, day=head.day, chains=head.leaves, hash=head.hash.hex())
    return head


async def publish(heads: Heads, outside: Outside, clock: Clock) -> list[Trouble]:
    """Everything that has not left yet, to each place. Raises RecordUnavailable."""
    troubles = await _to_file(heads, outside.file, clock)
    if outside.webhook is not None:
        troubles += await _to_webhook(heads, outside, outside.webhook, clock)
    return troubles


async def _to_file(heads: Heads, file: HeadsFile, clock: Clock) -> list[Trouble]:
    try:
        lines = await file.lines()
        troubles = await _disagreements(heads, file, lines)
        known = set(lines)
        while waiting := await heads.unpublished(file.place):
            for head in waiting:
                if line_of(head) not in known:  # else somebody died before he had noted it
                    await file.append(line_of(head))
                await heads.note_published(head.number, file.place, clock.now_ms())
                HEADS.labels(outcome="file").inc()
    except OSError as error:
        HEADS.labels(outcome="file_failed").inc()
        log.critical("heads_not_published", place=file.place, error=str(error))
        return [Trouble(FILE_NOT_WRITTEN, f"the published file cannot be read or written: {error.strerror}")]
    return troubles


async def _disagreements(heads: Heads, file: HeadsFile, lines: list[bytes]) -> list[Trouble]:
    """Read after the file: what is in a file was in the record before."""
    told = await heads.published_at(file.place)
    record = {head.number: head for head in await heads.all()}
    found = list(faults_of_file(lines, record, told))
    for fault in found:
        log.critical("heads_disagree", place=file.place, number=fault.number, wrong=fault.wrong, why=fault.detail)
    return [Trouble(fault.wrong, _sentence(fault.wrong, fault.number, fault.detail)) for fault in found]


def _sentence(wrong: Wrong, number: int, detail: str) -> str:
    return f"line {number}: {detail}" if wrong is Wrong.UNREADABLE else f"head {number}: {detail}"


async def _to_webhook(heads: Heads, outside: Outside, webhook: Webhook, clock: Clock) -> list[Trouble]:
    """In order: the first that is not taken is the first of the next round."""
    place = place_of(webhook)
    while waiting := await heads.unpublished(place):
        for head in waiting:
            name, body = event_of(head, outside)
            result = await webhook.post(name, body, clock.wall_ms())
            HEADS.labels(outcome="webhook" if result == ACCEPTED else "webhook_failed").inc()
            if result != ACCEPTED:
                log.error("head_not_taken", place=place, number=head.number, result=result)
                late = clock.now_ms() - head.at_ms > DAY_MS
                return [Trouble(NOT_TAKEN, f"head {head.number} is not taken for a day: {result}")] if late else []
            await heads.note_published(head.number, place, clock.now_ms())
    return []


def place_of(webhook: Webhook) -> str:
    """Tells two addresses apart without the path, in which there may be a secret."""
    return f"webhook:{urlsplit(webhook.url).hostname}:{sha256(webhook.url.encode()).hexdigest()[:12]}"


def event_of(head: Head, outside: Outside) -> tuple[str, bytes]:
    """The id and the bytes of its CloudEvent: the same at every attempt."""
    name = derived("evt", TYPE, outside.site, head.hash.hex())
    return name, msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": name,
            "source": f"/tocsin/{outside.site}",
            "type": TYPE,
            "subject": str(head.number),
            "time": rfc3339(head.at_ms),
            "datacontenttype": "application/json",
            "sequence": str(head.number),
            "realm": outside.realm.value,
            "data": published(head),
        }
    )


class Pager:
    """SYS_AUDIT about heads: begins with the first trouble, ends without any. The log remembers what lasts."""

    def __init__(self, log_: Log) -> None:
        self._log = log_
        self._begun: Notice | None = None
        self._well = False

    async def say(self, troubles: list[Trouble], now_ms: int) -> None:
        """Raises LogUnavailable."""
        if troubles:
            self._well = False
            await self._begin(troubles, now_ms)
        elif not self._well:
            await self._end(now_ms)
            self._well = True

    async def _begin(self, troubles: list[Trouble], now_ms: int) -> None:
        """The same trouble has one name a day: what a human has closed is raised again tomorrow."""
        details = [one.detail for one in troubles]
        name = derived("ntc", Code.SYS_AUDIT.value, SUBJECT, day_of(now_ms), *details)
        if self._begun is not None and self._begun.id == name:
            return
        begun = _notice(name, Change.ENTRY, now_ms, (name, now_ms), troubles[0].reason, details[:_DETAILS_MAX])
        log.critical("heads_paged", reason=begun.reason, troubles=len(troubles))
        await self._append(begun)
        self._begun = begun

    async def _end(self, now_ms: int) -> None:
        lasting = await self._lasting()
        if lasting is not None:
            name = derived("ntc", Code.SYS_AUDIT.value, SUBJECT, "exit", lasting[0])
            log.warning("heads_agree_again")
            await self._append(_notice(name, Change.EXIT, now_ms, lasting, AGREES, []))
        self._begun = None

    async def _lasting(self) -> tuple[str, int] | None:
        """What began the episode that lasts, by this life or by the log."""
        if self._begun is not None:
            return self._begun.id, self._begun.at_ms
        found = await self._log.last(EPISODES, subjects.episode(Code.SYS_AUDIT.value, SUBJECT))
        if found is None:
            return None
        try:
            episode: Episode = decode_ruling(found.payload).episode
        except WireError as error:  # another version's: what it began is ended by a human
            log.error("fault_unreadable", place=SUBJECT, error=str(error))
            return None
        return (episode.raises[-1].cause, episode.raises[-1].at_ms) if episode.lasts else None

    async def _append(self, notice: Notice) -> None:
        await self._log.append(subjects.notice(notice.code.value), encode(notice), dedupe_id=notice.id)


_DETAILS_MAX: Final = 5
"""In the notice; all of them are in the log, and ``tocsin audit verify`` prints them."""


def _notice(
    name: str, change: Change, at_ms: int, entry: tuple[str, int], reason: str, details: list[str]
) -> Notice:
    return Notice(
        id=name,
        code=Code.SYS_AUDIT,
        subject=SUBJECT,
        change=change,
        at_ms=at_ms,
        entry=entry[0],
        entry_ms=entry[1],
        reason=reason,
        facts=tuple(("trouble", detail) for detail in details),
    )
