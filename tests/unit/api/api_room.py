"""A room for the tests of the API: real desk, ledger and projection over the memory bus; a record in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec
from fastapi import FastAPI

from alerts.api.accesses import Accesses
from alerts.api.app import create_app
from alerts.api.deps import Deps, ProofDoors
from alerts.api.incidents import Incidents
from alerts.api.projection import Projection
from alerts.api.standings import Standings
from alerts.ledger import Ledger
from tocsin.adapters.accesses import RecordedAccess
from tocsin.adapters.alarm_load import AlarmLoad, Counted
from tocsin.adapters.episodes import RecordedRuling, Timeline
from tocsin.adapters.figures import Repeated, Slow, Stage
from tocsin.adapters.orders import (
    AlreadyExists,
    DeviceInUse,
    DeviceRevoked,
    KeyReused,
    Measure,
    NotFound,
    OrderRefused,
    Reply,
    StaleVersion,
)
from tocsin.adapters.postgres import BadCursor, Page
from tocsin.adapters.trail import Entry, Heads, NotCovered
from tocsin.errors import NoEvidence, RecordUnavailable
from tocsin.model.device import NO_TRAITS, Device, DeviceKind, Traits
from tocsin.model.episode import Act, AlarmCause, Episode, FindingCause, Outcome, Realm, Receipt, Ruling, Verb
from tocsin.model.finding import Alarm, Change, Code, Finding
from tocsin.model.fix import ClockPoints, FixPoint
from tocsin.model.order import Order, problems_of, problems_of_name
from tocsin.model.problem import Problem
from tocsin.model.zone import Zone
from tocsin.settings import ApiUser, Settings
from tocsin.subjects import EPISODES
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_ruling

NOW_MS = 1_795_262_400_000  # 2026-11-21T12:00:00Z
NOW = "2026-11-21T12:00:00.000Z"
USERS = {
    f"token-of-{name.lower()}-0123456789": ApiUser(name=name, role=role)
    for name, role in (
        ("Ada", "monitor"), ("Bob", "teleassistant"), ("Sue", "supervisor"), ("Jude", "court"),
        ("Tom", "technical"), ("Xena", "auditor"), ("Alma", "platform"),
    )
}  # fmt: skip
TOKEN_OF = {user.name: token for token, user in USERS.items()}


@dataclass
class HandClock:
    """The hour is what the test says it is."""

    ms: int = NOW_MS

    def now_ms(self) -> int:
        return self.ms

    def wall_ms(self) -> int:
        return self.ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass
class MemoryRecord:
    """The record's part for readers, filled from the log by ``catch_up``; ``down`` makes it unreachable."""

    log: MemoryLog
    rulings: list[RecordedRuling] = field(default_factory=list)
    attempts: list[Receipt] = field(default_factory=list)
    down: bool = False

    def catch_up(self) -> None:
        self.rulings = [
            RecordedRuling(sequence=entry.sequence, ruling=decode_ruling(entry.payload))
            for entry in self.log.entries(EPISODES)
        ]

    def _newest(self) -> dict[str, Episode]:
        if self.down:
            raise RecordUnavailable("down")
        return {each.ruling.episode.id: each.ruling.episode for each in self.rulings}

    async def episode(self, episode_id: str) -> Episode | None:
        return self._newest().get(episode_id)

    async def episodes(
        self, from_ms, to_ms, *, state=None, code=None, measure=None, canary=False, cursor=None, limit=200
    ):
        found = [
            episode
            for episode in self._newest().values()
            if from_ms <= episode.opened_ms < to_ms
            and episode.is_canary is canary
            and state in {None, episode.state}
            and code in {None, episode.code}
            and (measure is None or measure in episode.measures)
        ]
        if cursor is not None and not cursor.isdigit():
            raise BadCursor(cursor)
        start = int(cursor or 0)
        following = str(start + limit) if len(found) > start + limit else None
        return Page(items=tuple(found[start : start + limit]), next=following)

    async def between(self, from_ms: int, to_ms: int) -> AlarmLoad:
        """One row per alert: how they are added up is the record's affair."""
        opened = [one for one in self._newest().values() if from_ms <= one.opened_ms < to_ms]
        return AlarmLoad(
            from_ms=from_ms, to_ms=to_ms, pairs=0, pair_days=0.0, false_calls=(), sources=(),
            counted=tuple(
                Counted(
                    code=one.code, priority=one.priority, alerts=1, raisings=len(one.raises), unfounded=0,
                    still_open=int(one.is_open),
                )
                for one in opened
            ),
        )  # fmt: skip

    async def timeline(self, episode_id: str) -> Timeline:
        self._newest()
        rulings = tuple(each for each in self.rulings if each.ruling.episode.id == episode_id)
        attempts = tuple(each for each in self.attempts if each.episode == episode_id)
        return Timeline(rulings=rulings, attempts=attempts)


@dataclass
class MemoryOrders:
    """``OrderBook`` in one process; the real one is examined in tests/integration/test_api_record.py."""

    down: bool = False
    made_devices: dict[str, Device] = field(default_factory=dict)
    made_measures: dict[str, Measure] = field(default_factory=dict)
    replies: dict[str, tuple[str, Reply]] = field(default_factory=dict)

    def _up(self) -> None:
        if self.down:
            raise RecordUnavailable("down")

    async def once(
        self, key: str, fingerprint: str, now_ms: int, work: Callable[[Any], Awaitable[Reply]]
    ) -> Reply:
        self._up()
        if key not in self.replies:
            self.replies[key] = (fingerprint, await work(self))
        known, reply = self.replies[key]
        if known != fingerprint:
            raise KeyReused(key)
        return reply

    async def create_device(
        self, device_id: str, kind: DeviceKind, password_bcrypt: str, now_ms: int, *,
        reports_every_s: int | None = None, traits: Traits = NO_TRAITS,
    ) -> Device:  # fmt: skip
        self._up()
        if problems := problems_of_name(device_id):
            raise OrderRefused(problems)
        if device_id in self.made_devices:
            raise AlreadyExists(device_id)
        number = len(self.made_devices) + 1
        made = Device(
            id=device_id, number=number, kind=kind, password_bcrypt=password_bcrypt,
            reports_every_s=reports_every_s, **msgspec.structs.asdict(traits),
        )  # fmt: skip
        self.made_devices[device_id] = made
        return made

    async def device(self, device_id: str, now_ms: int) -> Device:
        self._up()
        if device_id not in self.made_devices:
            raise NotFound(device_id)
        return self.made_devices[device_id]

    async def revoke_device(self, device_id: str, *, by: str, now_ms: int) -> Device:
        known = await self.device(device_id, now_ms)
        live = [each.order for each in self.made_measures.values() if each.order.valid_until_ms > now_ms]
        if needed := tuple(order.id for order in live if device_id in {order.wearer, order.protected}):
            raise DeviceInUse(needed)
        revoked_ms = now_ms if known.revoked_ms is None else known.revoked_ms
        return self._changed(known, password_bcrypt="", revoked_ms=revoked_ms)

    async def renew_device(self, device_id: str, password_bcrypt: str, now_ms: int) -> Device:
        known = await self.device(device_id, now_ms)
        if known.revoked_ms is not None:
            raise DeviceRevoked(device_id)
        return self._changed(known, password_bcrypt=password_bcrypt)

    def _changed(self, known: Device, **changes: Any) -> Device:
        self.made_devices[known.id] = msgspec.structs.replace(known, **changes)
        return self.made_devices[known.id]

    async def devices(self, now_ms: int, *, cursor: str | None = None, limit: int = 200) -> Page[Device]:
        self._up()
        return _page(list(self.made_devices.values()), cursor, limit)

    async def create_measure(self, order: Order, *, by: str, now_ms: int) -> Measure:
        self._up()
        if problems := problems_of(order, self.made_devices):
            raise OrderRefused(problems)
        self.made_measures[order.id] = Measure(order=order, created_ms=now_ms, created_by=by)
        return self.made_measures[order.id]

    async def end_measure(
        self, measure_id: str, *, expected_version: int, at_ms: int, by: str, now_ms: int
    ) -> Measure:
        known = await self.measure(measure_id)
        if known.order.version != expected_version:
            raise StaleVersion(known.order.version)
        if at_ms >= known.order.valid_until_ms:
            raise OrderRefused([Problem(pointer="/valid_until", code="ends-already", detail="ended")])
        fields = {name: getattr(known.order, name) for name in known.order.__struct_fields__}
        order = Order(**{**fields, "version": expected_version + 1, "valid_until_ms": at_ms})
        ended = Measure(
            order=order,
            created_ms=known.created_ms,
            created_by=known.created_by,
            ended_ms=now_ms,
            ended_by=by,
        )
        self.made_measures[measure_id] = ended
        return ended

    async def measure(self, measure_id: str) -> Measure:
        self._up()
        if measure_id not in self.made_measures:
            raise NotFound(measure_id)
        return self.made_measures[measure_id]

    async def measures(
        self, *, live_at_ms: int | None = None, cursor: str | None = None, limit: int = 200
    ) -> Page[Measure]:
        self._up()
        found = [
            each
            for each in self.made_measures.values()
            if live_at_ms is None or each.order.valid_until_ms > live_at_ms
        ]
        return _page(found, cursor, limit)


def _page(found: list[Any], cursor: str | None, limit: int) -> Page[Any]:
    if cursor is not None and not cursor.isdigit():
        raise BadCursor(cursor)
    start = int(cursor or 0)
    return Page(
        items=tuple(found[start : start + limit]),
        next=str(start + limit) if len(found) > start + limit else None,
    )


@dataclass
class Room:
    """Everything that a test wants to touch."""

    log: MemoryLog
    clock: HandClock
    record: MemoryRecord
    orders: MemoryOrders
    projection: Projection
    ledger: Ledger
    app: FastAPI
    bucket: MemoryBucket
    standings: Standings
    incidents: Incidents
    accesses: Accesses
    figures: FixedFigures
    proof: FixedProof

    def client(self, name: str | None = "Ada", **headers: str) -> httpx2.AsyncClient:
        if name is not None:
            headers["Authorization"] = f"Bearer {TOKEN_OF[name]}"
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport, base_url="http://tocsin", headers=headers)

    async def settle(self) -> None:
        """Until the projection has read all that the log holds."""
        newest = max((entry.sequence for entry in self.log.entries(EPISODES)), default=0)
        async with asyncio.timeout(60):
            while (
                self.projection.sequence < newest
                or not self.projection.ready.is_set()
                or self.projection.log_heard_ms is None
                or not self.standings.ready.is_set()
            ):
                await asyncio.sleep(0)

    async def press(self, device: str = "tgd-01", *, cause: str = "1", silent: bool = False) -> Episode:
        """Somebody presses a key: P1."""
        alarm = Alarm(
            id=f"alm_{device}_{cause}", code=Code.TGD_SOS, device=device, measures=(), at_ms=self.clock.ms,
            silent=silent, position=point(device),
            points=ClockPoints(t1_ms=self.clock.ms, t3_ms=self.clock.ms + 5),
        )  # fmt: skip
        return await self._ruled(Code.TGD_SOS, device, AlarmCause(alarm=alarm))

    async def approach(self, measure: str = "msr_1", code: Code = Code.PROX_PREALERT, cause: str = "1") -> Episode:
        """The wearer comes into a ring: P1 or P2."""
        found = Finding(
            id=f"fnd_{measure}_{cause}", measure=measure, order_version=1, code=code, change=Change.ENTRY,
            before=Zone.FAR, after=Zone.PREALERT, distance_dm=18_234, threshold_m=2000, wearer=point("b0000001"),
            protected=point("b0000002"), entry=f"fnd_{measure}_{cause}", entry_ms=self.clock.ms,
            at_ms=self.clock.ms,
            reason="inside", points=ClockPoints(t1_ms=self.clock.ms),
        )  # fmt: skip
        return await self._ruled(code, measure, FindingCause(finding=found))

    async def act(self, episode: Episode, verb: Verb, actor: str, outcome: Outcome | None = None) -> Episode:
        """Somebody acts past the API."""
        act = Act(
            verb=verb,
            episode=episode.id,
            actor=actor,
            at_ms=self.clock.ms,
            expected_version=episode.version,
            outcome=outcome,
        )
        return await self._ruled(episode.code, episode.subject, act)

    async def _ruled(self, code: Code, subject: str, event: Any) -> Episode:
        answer = await self.ledger.rule(code.value, subject, event)
        assert isinstance(answer, Ruling), answer
        await self.settle()
        return answer.episode


def point(device: str) -> FixPoint:
    return FixPoint(device=device, lat_e6=48_856_613, lon_e6=2_352_222, accuracy_dm=120, fix_ms=NOW_MS)


SETTINGS = Settings(realm=Realm.LAB, api_tokens=USERS)


@dataclass
class FixedFigures:
    """Figures as a test sets them; the SQL that makes them is tests/integration/test_record_figures.py's."""

    record: MemoryRecord
    slots: dict[tuple[int, int], int] = field(default_factory=dict)
    raised: list[Repeated] = field(default_factory=list)
    stood: dict[int, int] = field(default_factory=dict)
    passed: list[Stage] = field(default_factory=list)
    slow: list[Slow] = field(default_factory=list)
    her: frozenset[str] = frozenset()

    async def alarms_by_slot(self, from_ms, to_ms, *, slot_s):
        self.record._newest()  # raises while it is down
        return self.slots

    async def repeated(self, from_ms, to_ms, *, raises, limit):
        return [one for one in self.raised if len(one.hours_ms) >= raises][:limit]

    async def standing(self, from_ms, to_ms, *, stands_s):
        return self.stood

    async def stages(self, from_ms, to_ms, *, shares):
        self.record._newest()
        return self.passed

    async def slowest(self, from_ms, to_ms):
        return self.slow

    async def shown_her(self, measure, from_ms, to_ms):
        return self.her


@dataclass
class FixedProof:
    """Packages, links and heads as a test sets them, and every access that was sealed; the SQL is examined in
    tests/integration/test_proof_doors.py."""

    record: MemoryRecord
    packages: dict[str, Any] = field(default_factory=dict)
    linked: list[Entry] = field(default_factory=list)
    read: list[RecordedAccess] = field(default_factory=list)
    shown: Heads | None = None
    sealed: list[RecordedAccess] = field(default_factory=list)
    sealing_fails: bool = False
    asked: list[Any] = field(default_factory=list)

    async def lines(self, alert):
        """The lines that are set; an exception that is set is raised."""
        self.record._newest()
        if alert not in self.packages:
            raise NoEvidence(alert)
        if isinstance(self.packages[alert], Exception):
            raise self.packages[alert]
        return self.packages[alert]

    async def record_accesses(self, accesses):
        if self.sealing_fails:
            raise RecordUnavailable("down")
        self.sealed.extend(accesses)
        return len(accesses)

    async def entries(self, *, chain, from_ms, until_ms, cursor, limit):
        self.record._newest()
        self.asked.append((chain, from_ms, until_ms))
        return _page([one for one in self.linked if chain in {None, one.link.chain}], cursor, limit)

    async def accesses(self, from_ms, until_ms, *, object_id, who, cursor, limit):
        self.record._newest()
        self.asked.append((from_ms, until_ms, object_id, who))
        return _page(self.read, cursor, limit)

    async def heads(self, day, *, after, chain, number):
        self.record._newest()
        self.asked.append((day, after, chain, number))
        if self.shown is None:
            raise NotCovered(day)
        return self.shown


@asynccontextmanager
async def opened(settings: Settings = SETTINGS, projection: Projection | None = None) -> AsyncIterator[Room]:
    log, clock = MemoryLog(), HandClock()
    projection = projection or Projection()
    ledger = Ledger(log, clock, settings.realm)
    record, orders = MemoryRecord(log), MemoryOrders()
    figures, proof = FixedFigures(record), FixedProof(record)
    deps = Deps(
        log=log, ledger=ledger, projection=projection, standings=Standings(), incidents=Incidents(),
        episodes=record, orders=orders, alarm_load=record, figures=figures,
        proof=ProofDoors(packages=proof, trail=proof, sealed=proof),
        accesses=Accesses(log, clock, life="one"),
        settings=settings,
        clock=clock,
        hash_password=lambda password: f"hash of {len(password)}",
    )  # fmt: skip
    room = Room(
        log, clock, record, orders, projection, ledger, create_app(deps), MemoryBucket(), deps.standings,
        deps.incidents, deps.accesses, figures, proof,
    )  # fmt: skip
    following = [
        asyncio.create_task(deps.accesses.run()),
        asyncio.create_task(projection.run(log, clock)),
        asyncio.create_task(deps.standings.run(room.bucket)),
    ]
    await room.settle()
    try:
        yield room
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


def without_auth() -> Settings:
    return replace_settings(api_auth="off")


def replace_settings(**changes: Any) -> Settings:
    return SETTINGS.model_copy(update=changes)
