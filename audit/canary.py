"""Does an alert still come from one end of the road to the other? Invented pairs find out, each minute. (F07)

The shell around ``canary_round``: it walks the plan over MQTT, reads from the log what the parts say of the
crossing, hears at its own receiver what arrived, acts over the API, and says SYS_CANARY_FAIL of a pair that has
had no complete round for three of its own, with the stage that is missing. Its own pulse is in the bucket
``tallies``: when that stands still the clerk says the same of the part. While a stream that rounds fill is half
full nobody crosses, so that the watch never stops what it watches; of that SYS_CANARY_FAIL says ``no_room``.

What has failed is known to the log: a canary that starts asks there what lasts, so that it ends what another life
has begun. What a human closes while it lasts is not said again before a round has been complete.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from audit.canary_acts import Platform, next_act, platform
from audit.canary_receiver import POLICE, TELEASSISTANCE, listening, receiver
from audit.canary_roll import enrol, password_of
from audit.canary_round import (
    ROOM_MAX,
    ROOM_ON,
    ROUND_S,
    Lasting,
    Pair,
    Round,
    Stage,
    Watch,
    Word,
    crossing_ms,
    has_room,
    her_place,
    his_place,
    next_report_ms,
    pairs,
    round_at,
    turn_of,
)
from audit.canary_unit import Unit
from tocsin import subjects
from tocsin.adapters.orders import DeviceRevoked, Orders
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, RecordUnavailable, WireError
from tocsin.model.episode import Channel, Episode, FindingCause, State
from tocsin.model.finding import Change, Code
from tocsin.model.ids import derived
from tocsin.model.notice import Notice
from tocsin.model.pulse import Pulse
from tocsin.ports import Bucket, Entry, Log
from tocsin.subjects import EPISODES, FINDINGS, RECEIPTS, Stream
from tocsin.telemetry import CANARY_AGE, CANARY_SECONDS
from tocsin.tls import TlsFiles
from tocsin.wire import decode_finding, decode_receipt, decode_ruling, encode

CODE: Final = Code.SYS_CANARY_FAIL
CROSSING: Final = Code.PROX_ALERT.value
COMPLETE: Final = "complete"
LOOK_S: Final = 0.2  # of the machine's time: when nothing wakes it
ENROL_AGAIN_S: Final = 10.0
ENROLLED_LASTS_S: Final = 600.0
READ_AGAIN_S: Final = 0.5
ROOM_LOOK_S: Final = 60.0  # a day of one pair is a sixtieth of a stream
ACT_AGAIN_MS: Final = 2_000  # of the deployment's clock: an act that was refused, or whose ruling was not seen yet

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What the canary needs of this deployment. ``tls_of``: of a unit, where the broker wants a certificate."""

    log: Log
    tallies: Bucket
    orders: Orders
    mqtt_url: str
    tls_of: Callable[[str], TlsFiles]
    partitions: int
    url: str
    secret: str
    api_url: str
    api_token: str | None


async def run_canary(doors: Doors, *, clock: Clock, ready: Callable[[], None]) -> None:
    """Walk until cancelled. ``ready`` when its receiver listens: what else is missing is a round's to say."""
    async with platform(doors.api_url, doors.api_token) as http, asyncio.TaskGroup() as tasks:
        canary = Canary(doors, clock, Platform(http=http))
        async with listening(doors.url, receiver(doors.secret, canary.taken)):
            log.info("canary_pairs", pairs=canary.names)
            every_s = ROUND_S * turn_of(0, doors.partitions).of
            if every_s > ROUND_S:
                log.warning("canary_pairs_take_turns", each_crosses_every_s=every_s)
            await canary.recall()
            ready()
            await canary.live(tasks)


class Canary:
    """One life of the part. Its tasks share a loop; none awaits between reading and changing what it knows."""

    def __init__(self, doors: Doors, clock: Clock, api: Platform) -> None:
        self._doors = doors
        self._clock = clock
        self._api = api
        self._pairs = pairs(doors.partitions)
        began_ms = clock.now_ms()
        self.watches: Mapping[str, Watch] = {
            one.measure: Watch(complete_ms=began_ms, turn=turn_of(partition, doors.partitions))
            for partition, one in enumerate(self._pairs)
        }
        self._units = {name: self._unit(name) for one in self._pairs for name in (one.wearer, one.protected)}
        self._open: dict[str, tuple[str, Episode]] = {}  # by its place: whose it is, and how it stands
        self._tried_ms: dict[tuple[str, int], int] = {}
        self._changed = asyncio.Event()
        self._has_room = True
        self._number = 0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.watches)

    def _unit(self, name: str) -> Unit:
        doors = self._doors
        return Unit(doors.mqtt_url, name, password_of(doors.secret, name), self._clock, doors.tls_of(name))

    async def recall(self) -> None:
        """Which failures last, by the log."""
        for measure, watch in self.watches.items():
            while True:
                try:
                    found = await self._doors.log.last(EPISODES, subjects.episode(CODE.value, measure))
                    break
                except LogUnavailable as error:
                    log.warning("canary_waits_for_log", error=str(error))
                    await asyncio.sleep(READ_AGAIN_S)
            watch.lasting = None if found is None else _lasting(found)

    async def live(self, tasks: asyncio.TaskGroup) -> None:
        for unit in self._units.values():
            tasks.create_task(unit.stay_connected())
        tasks.create_task(self._enrol_for_ever())
        found = f"log.finding.*.{CROSSING}"
        tasks.create_task(self._read(FINDINGS, found, self._hear_finding))
        tasks.create_task(self._read(EPISODES, EPISODES.subjects, self._hear_ruling))
        tasks.create_task(self._read(RECEIPTS, subjects.receipt(CROSSING, "*"), self._hear_receipt))
        tasks.create_task(self._look_for_ever())
        tasks.create_task(self._look_for_room_for_ever())
        await self._walk(tasks)

    # --- the way ----------------------------------------------------------------------------------------------

    async def _enrol_for_ever(self) -> None:
        while True:
            waits_s = ENROLLED_LASTS_S if await self._enrolled() else ENROL_AGAIN_S
            await asyncio.sleep(waits_s)

    async def _enrolled(self) -> bool:
        try:
            for one in self._pairs:
                await enrol(self._doors.orders, one, self._doors.secret, self._clock.now_ms())
        except (RecordUnavailable, DeviceRevoked) as error:
            log.warning(
                "canary_not_enrolled", error=str(error), effect="the pairs walk on if the buckets know them"
            )
            return False
        return True

    async def _walk(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            at_ms = next_report_ms(self._clock.now_ms())
            await self._clock.sleep((at_ms - self._clock.now_ms()) / MS)
            self._begin(round_at(at_ms))
            for one in self._pairs:
                tasks.create_task(self._report(one, at_ms))
            tasks.create_task(self._beat())

    def _begin(self, number: int) -> None:
        """A round that has begun is walked to its end, whatever room there is."""
        for watch in self.watches.values():
            if number != self._number:
                watch.rests = not self._has_room
            if not watch.rests and watch.turn.has(number):
                watch.begin(number)
        self._number = number

    async def _look_for_room_for_ever(self) -> None:
        while True:
            await self._look_for_room()
            await asyncio.sleep(ROOM_LOOK_S)

    async def _look_for_room(self) -> None:
        try:
            there_is = has_room(await self._doors.log.usages())
        except LogUnavailable as error:
            log.warning("canary_waits_for_log", error=str(error))
            return
        if there_is != self._has_room:
            word = "canary_has_room" if there_is else "canary_rests"
            log.critical(word, streams=sorted(ROOM_ON), above=f"{ROOM_MAX:.0%}")
        self._has_room = there_is

    async def _report(self, pair: Pair, at_ms: int) -> None:
        """She first: where she is must be known before he can come near her."""
        watch = self.watches[pair.measure]
        rests = watch.rests or not watch.turn.has(round_at(at_ms))
        await self._units[pair.protected].say(her_place(at_ms), at_ms)
        if await self._units[pair.wearer].say(his_place(at_ms, rests=rests), at_ms) and not rests:
            walked = watch.crossed(at_ms)
            if walked is not None:
                walked.passes(Stage.PUBLISHED, self._clock.now_ms())

    async def _beat(self) -> None:
        try:
            await self._doors.tallies.put(
                subjects.CANARY_PULSE, encode(Pulse(at_ms=self._clock.now_ms(), wall_ms=self._clock.wall_ms()))
            )
        except LogUnavailable as error:
            log.warning("canary_pulse_not_written", error=str(error))

    # --- what is heard of it ----------------------------------------------------------------------------------

    async def _read(self, stream: Stream, subject: str, hear: Callable[[Entry], None]) -> None:
        """From the newest of each place on; what cannot be read is another version's, and passes no stage."""
        while True:
            try:
                async for entries in self._doors.log.read(stream, subject, newest_per_subject=True):
                    for entry in entries:
                        try:
                            hear(entry)
                        except WireError as error:
                            log.error("canary_cannot_read", subject=entry.subject, error=str(error))
                    self._changed.set()
            except LogUnavailable as error:
                log.warning("canary_waits_for_log", error=str(error))
            await asyncio.sleep(READ_AGAIN_S)

    def _hear_finding(self, entry: Entry) -> None:
        finding = decode_finding(entry.payload)
        watch = self.watches.get(finding.measure)
        if watch is None or finding.change is not Change.ENTRY:
            return
        walked = watch.crossed(finding.at_ms)
        if walked is not None:
            walked.t3_ms = finding.points.t3_ms
            walked.passes(Stage.FINDING, self._clock.now_ms())

    def _hear_ruling(self, entry: Entry) -> None:
        _, _, code, subject = entry.subject.split(".")
        watch = self.watches.get(subject)
        if watch is None or code == CODE.value:
            return
        ruling, now_ms = decode_ruling(entry.payload), self._clock.now_ms()
        episode = ruling.episode
        if episode.is_open:
            self._open[entry.subject] = (subject, episode)
        else:
            self._open.pop(entry.subject, None)
        if code != CROSSING:
            return
        if isinstance(ruling.event, FindingCause):
            watch.raised(ruling.event.finding.at_ms, episode.id, now_ms)
        for stage, at_ms in _stages_of(episode):
            watch.hears(episode.id, stage, at_ms)

    def _hear_receipt(self, entry: Entry) -> None:
        watch = self.watches.get(entry.subject.split(".")[3])
        if watch is None:
            return
        receipt = decode_receipt(entry.payload)
        if receipt.channel is Channel.TELEASSISTANCE and receipt.t8_ms is not None:
            watch.hears(receipt.episode, Stage.SENT, receipt.t8_ms)

    def taken(self, door: str, alert: str) -> None:
        """The receiver has it."""
        stage = {TELEASSISTANCE: Stage.TAKEN, POLICE: Stage.POLICE}.get(door)
        if stage is not None and alert:
            for watch in self.watches.values():
                watch.hears(alert, stage, self._clock.now_ms())
            self._changed.set()

    # --- what is done and said --------------------------------------------------------------------------------

    async def _look_for_ever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._changed.wait()
            self._changed.clear()
            await asyncio.gather(*(self._act(*one) for one in tuple(self._open.values())))
            for partition, pair in enumerate(self._pairs):
                await self._judge(partition, pair)

    async def _act(self, measure: str, episode: Episode) -> None:
        now_ms = self._clock.now_ms()
        mine = [one for one in self.watches[measure].rounds.values() if one.alert == episode.id]
        walked = mine[-1] if mine else None
        verb = next_act(episode, walked, now_ms)
        tried = (episode.id, episode.version)
        if verb is None or now_ms - self._tried_ms.get(tried, 0) < ACT_AGAIN_MS:
            return
        self._tried_ms = {key: at_ms for key, at_ms in self._tried_ms.items() if now_ms - at_ms < ACT_AGAIN_MS}
        self._tried_ms[tried] = now_ms
        await self._api.do(verb, episode)

    async def _judge(self, partition: int, pair: Pair) -> None:
        watch = self.watches[pair.measure]
        for walked in watch.look():
            _measure(walked)
        now_ms = self._clock.now_ms()
        CANARY_AGE.labels(partition=str(partition)).set(watch.age_s(now_ms))
        word = watch.word(now_ms)
        if word is None:
            return
        notice = notice_of(pair.measure, word, watch.lasting)
        try:
            await self._doors.log.append(subjects.notice(CODE.value), encode(notice), dedupe_id=notice.id)
        except LogUnavailable as error:  # due at the next look, under the same name if it is an end
            log.critical("canary_cannot_say", reason=word.reason or COMPLETE, error=str(error))
            return
        log.critical("canary_failed" if word.reason else "canary_walks_again", reason=word.reason or COMPLETE)
        watch.lasting = Lasting(notice.id, notice.at_ms) if word.reason else None


def _stages_of(episode: Episode) -> list[tuple[Stage, int]]:
    """What the newest ruling says was done about it, and when."""
    done = (
        (Stage.ACKNOWLEDGED, episode.acknowledged_ms),
        (Stage.HANDED_OFF, episode.handed_off_ms),
        (Stage.CLOSED, episode.closed_ms if episode.state is State.CLOSED else None),
    )
    return [(stage, at_ms) for stage, at_ms in done if at_ms is not None]


def _measure(walked: Round) -> None:
    """From t3; who waits for an answer of a human waits for the canary here."""
    since_ms = crossing_ms(walked.number) if walked.t3_ms is None else walked.t3_ms
    for stage, at_ms in walked.passed.items():
        if stage is not Stage.PUBLISHED:
            CANARY_SECONDS.labels(stage=stage.value).observe(max(0, at_ms - since_ms) / MS)


def _lasting(entry: Entry) -> Lasting | None:
    try:
        episode = decode_ruling(entry.payload).episode
    except WireError as error:  # another version's: a human ends it
        log.error("canary_failure_unreadable", error=str(error))
        return None
    newest = episode.raises[-1]
    return Lasting(newest.cause, newest.at_ms) if episode.lasts else None


def notice_of(measure: str, word: Word, lasting: Lasting | None) -> Notice:
    """The beginning, or the end of what lasts. It names no measure: it is about the system, and for humans."""
    if word.reason:
        name = derived("ntc", CODE.value, measure, "entry", word.at_ms)
        return Notice(
            id=name, code=CODE, subject=measure, change=Change.ENTRY, at_ms=word.at_ms, entry=name,
            entry_ms=word.at_ms, reason=word.reason, facts=(("stage", word.reason),),
        )  # fmt: skip
    assert lasting is not None
    return Notice(
        id=derived("ntc", CODE.value, measure, "exit", lasting.entry), code=CODE, subject=measure,
        change=Change.EXIT, at_ms=word.at_ms, entry=lasting.entry, entry_ms=lasting.at_ms, reason=COMPLETE,
    )  # fmt: skip
