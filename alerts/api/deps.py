"""What does the API need of the rest of Tocsin, and not one word more?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fastapi import Request

from alerts.api.accesses import Accesses, SealedAccesses
from alerts.api.held import Places
from alerts.api.projection import Projection
from alerts.api.standings import Standings
from alerts.ledger import Ledger
from tocsin.adapters.accesses import RecordedAccess
from tocsin.adapters.alarm_load import AlarmLoad
from tocsin.adapters.episodes import Timeline
from tocsin.adapters.figures import Repeated, Slow, Stage
from tocsin.adapters.orders import Measure, Reply
from tocsin.adapters.postgres import Page
from tocsin.adapters.trail import Entry, Heads
from tocsin.clock import Clock
from tocsin.model.device import NO_TRAITS, Device, DeviceKind, Traits
from tocsin.model.episode import Episode, State
from tocsin.model.finding import Code
from tocsin.model.fleet import Incident
from tocsin.model.order import Order
from tocsin.ports import Log
from tocsin.settings import Settings


class RecordedEpisodes(Protocol):
    """What ``tocsin.adapters.episodes.EpisodeRecord`` offers to readers. Raises RecordUnavailable."""

    async def episode(self, episode_id: str) -> Episode | None: ...

    async def episodes(
        self,
        from_ms: int,
        to_ms: int,
        *,
        state: State | None = None,
        code: Code | None = None,
        measure: str | None = None,
        canary: bool = False,
        cursor: str | None = None,
        limit: int = 200,
    ) -> Page[Episode]: ...

    async def timeline(self, episode_id: str) -> Timeline: ...


class KnownIncidents(Protocol):
    """What ``alerts.api.incidents.Incidents`` offers to the operations."""

    def of(self, episode: Episode) -> Incident | None: ...


class CountedAlarms(Protocol):
    """What ``tocsin.adapters.alarm_load.AlarmLoadRecord`` offers to readers. Raises RecordUnavailable."""

    async def between(self, from_ms: int, to_ms: int) -> AlarmLoad: ...


class RecordedFigures(Protocol):
    """What ``tocsin.adapters.figures.FiguresRecord`` offers to readers. Raises RecordUnavailable."""

    async def alarms_by_slot(self, from_ms: int, to_ms: int, *, slot_s: int) -> dict[tuple[int, int], int]: ...

    async def repeated(self, from_ms: int, to_ms: int, *, raises: int, limit: int) -> list[Repeated]: ...

    async def standing(self, from_ms: int, to_ms: int, *, stands_s: int) -> dict[int, int]: ...

    async def stages(self, from_ms: int, to_ms: int, *, shares: Sequence[float]) -> list[Stage]: ...

    async def slowest(self, from_ms: int, to_ms: int) -> list[Slow]: ...

    async def shown_her(self, measure: str, from_ms: int, to_ms: int) -> frozenset[str]: ...


class OrderBook(Protocol):
    """What ``tocsin.adapters.orders.Orders`` offers to the API. Raises RecordUnavailable."""

    async def once(
        self, key: str, fingerprint: str, now_ms: int, work: Callable[[OrderBook], Awaitable[Reply]]
    ) -> Reply: ...

    async def create_device(
        self,
        device_id: str,
        kind: DeviceKind,
        password_bcrypt: str,
        now_ms: int,
        *,
        reports_every_s: int | None = None,
        traits: Traits = NO_TRAITS,
    ) -> Device: ...

    async def device(self, device_id: str, now_ms: int) -> Device: ...

    async def devices(self, now_ms: int, *, cursor: str | None = None, limit: int = 200) -> Page[Device]: ...

    async def revoke_device(self, device_id: str, *, by: str, now_ms: int) -> Device: ...

    async def renew_device(self, device_id: str, password_bcrypt: str, now_ms: int) -> Device: ...

    async def create_measure(self, order: Order, *, by: str, now_ms: int) -> Measure: ...

    async def end_measure(
        self, measure_id: str, *, expected_version: int, at_ms: int, by: str, now_ms: int
    ) -> Measure: ...

    async def measure(self, measure_id: str) -> Measure: ...

    async def measures(
        self, *, live_at_ms: int | None = None, cursor: str | None = None, limit: int = 200
    ) -> Page[Measure]: ...


class PackagedEvidence(Protocol):
    """What ``tocsin.adapters.packager.PackagedEvidence`` offers. Raises NoEvidence, EvidenceBroken,
    EvidenceTooLarge, NoPackager, RecordUnavailable."""

    async def lines(self, alert: str) -> Iterable[bytes]: ...


class RecordedTrail(Protocol):
    """What ``tocsin.adapters.trail.Trail`` offers to auditors. Raises RecordUnavailable."""

    async def entries(
        self, *, chain: str | None, from_ms: int, until_ms: int | None, cursor: str | None, limit: int
    ) -> Page[Entry]: ...

    async def accesses(
        self, from_ms: int, until_ms: int, *, object_id: str | None, who: str, cursor: str | None, limit: int
    ) -> Page[RecordedAccess]: ...

    async def heads(self, day: str, *, after: int | None, chain: str | None, number: int | None) -> Heads: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofDoors:
    """What courts and auditors are given: packages, links, heads, accesses; and where their taking is linked."""

    packages: PackagedEvidence
    trail: RecordedTrail
    sealed: SealedAccesses
    places: Places = field(default_factory=Places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """The parts that the operations work with; ``hash_password`` makes the bcrypt that the broker compares."""

    log: Log
    ledger: Ledger
    projection: Projection
    standings: Standings
    incidents: KnownIncidents
    episodes: RecordedEpisodes
    orders: OrderBook
    alarm_load: CountedAlarms
    figures: RecordedFigures
    proof: ProofDoors
    accesses: Accesses
    settings: Settings
    clock: Clock
    hash_password: Callable[[str], str]


def deps_of(request: Request) -> Deps:
    """The parts of the application that this request came to."""
    deps = request.app.state.deps
    assert isinstance(deps, Deps)
    return deps
