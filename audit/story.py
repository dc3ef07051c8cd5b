"""What happened in one alert, as the payloads of its evidence tell it, and do they agree with each other?

Heard link by link, by whoever writes a package (what does the header say?) and by whoever checks one. Reads of
each payload only what it needs, so that a package of another version is still read. Pure. Hours are milliseconds.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from audit.package import ACCESSES, DEVICE, EPISODE, FORMAT, MEASURE, Header
from tocsin.chain import Deletion, Kind, Link
from tocsin.model.command import Action
from tocsin.model.ids import derived

AROUND_MS: Final = 3_600_000
"""What the units were told in the hour before an alert and the hour behind it belongs to it: the longest of the
commanded intervals is a minute, the longest call of a ladder some minutes; an hour has all of it, many times."""
INTERVALS_S: Final = (5, 10, 20, 30, 60)
"""All that a unit is ever told to report by; whoever is asked several is told the shortest of them."""


class _Episode(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    code: str
    subject: str
    realm: str
    state: str
    version: int
    opened_ms: int
    measures: tuple[str, ...]
    device: str | None = None
    closed_ms: int | None = None
    over_ms: int | None = None
    owner: str | None = None
    outcome: str | None = None
    closed_by: str | None = None


class _Notification(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    channel: str
    type: str
    recipient: str = ""


class _Ruling(msgspec.Struct, frozen=True, kw_only=True):
    episode: _Episode
    event: dict[str, Any]
    notifications: tuple[_Notification, ...]
    reason: str
    at_ms: int


class RulingSaid(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    ruling: _Ruling

    @property
    def about(self) -> str:
        return self.ruling.episode.id

    @property
    def source(self) -> str:
        return f"ruling:{self.sequence}"


class PlacesSaid(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    places: dict[str, dict[str, Any]]

    about = None

    @property
    def source(self) -> str:
        return f"places:{self.sequence}"


class AttemptSaid(msgspec.Struct, frozen=True, kw_only=True):
    notification: str
    episode: str
    channel: str
    attempt: int
    t7_ms: int
    t8_ms: int | None
    result: str
    recipient: str = ""
    line: str = ""

    @property
    def about(self) -> str:
        return self.episode

    @property
    def source(self) -> str:
        return f"attempt:{self.notification}:{self.attempt}:{self.t7_ms}:{self.line}"


class AccessSaid(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    at_ms: int
    who: str
    role: str
    what: str
    objects: tuple[str, ...]
    service: str = ""
    purpose: str = ""
    places: bool = False

    about = None

    @property
    def source(self) -> str:
        return f"access:{self.id}"


class _Command(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    device: str
    action: str
    at_ms: int
    by: str = ""


class CommandSaid(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    command: _Command

    @property
    def about(self) -> str:
        return self.command.device

    @property
    def source(self) -> str:
        return f"command:{self.sequence}:{self.command.id}"


class _Status(msgspec.Struct, frozen=True, kw_only=True):
    command: str
    device: str
    stage: str
    at_ms: int
    action: str | None = None
    by: str = ""
    reason: str = ""


class ResultSaid(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    status: _Status

    @property
    def about(self) -> str:
        return self.status.device

    @property
    def source(self) -> str:
        return f"result:{self.sequence}:{self.status.command}:{self.status.stage}"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One order to a unit, and the stages that are known of it, in their order."""

    at_ms: int
    device: str
    action: str
    by: str
    stages: tuple[str, ...]


class OrderSaid(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    version: int
    wearer: str
    protected: str
    alert_distance_m: int

    @property
    def about(self) -> str:
        return self.id

    @property
    def source(self) -> str:
        return f"order:{self.version}"


Said = RulingSaid | PlacesSaid | AttemptSaid | AccessSaid | CommandSaid | ResultSaid | OrderSaid

READ: Final[dict[Kind, msgspec.json.Decoder[Any]]] = {
    Kind.RULING: msgspec.json.Decoder(RulingSaid),
    Kind.PLACES: msgspec.json.Decoder(PlacesSaid),
    Kind.ATTEMPT: msgspec.json.Decoder(AttemptSaid),
    Kind.ACCESS: msgspec.json.Decoder(AccessSaid),
    Kind.COMMAND: msgspec.json.Decoder(CommandSaid),
    Kind.RESULT: msgspec.json.Decoder(ResultSaid),
    Kind.ORDER: msgspec.json.Decoder(OrderSaid),
    Kind.DELETION: msgspec.json.Decoder(Deletion),
}
"""A CASE is read by whoever replays it; a TRACK and a HOLD are shown by nobody here."""

HOMES: Final = {
    EPISODE: {Kind.RULING, Kind.PLACES, Kind.ATTEMPT, Kind.CASE, Kind.TRACK},
    MEASURE: {Kind.ORDER},
    DEVICE: {Kind.COMMAND, Kind.RESULT},
    ACCESSES: {Kind.ACCESS},
}
"""Which chain has what; holds and deletions may stand in each."""


@dataclass(slots=True)
class Story:
    """``alert`` is whose evidence this is to be. Links are heard in the order of the package."""

    alert: str
    rulings: list[RulingSaid] = field(default_factory=list)
    attempts: list[AttemptSaid] = field(default_factory=list)
    accesses: list[AccessSaid] = field(default_factory=list)
    commands: list[CommandSaid] = field(default_factory=list)
    results: list[ResultSaid] = field(default_factory=list)
    orders: list[OrderSaid] = field(default_factory=list)

    def hear(self, link: Link, payload: bytes) -> list[str]:
        """What is wrong with this payload as part of this evidence, whatever its hash; it is taken in all the same
        as far as it can be read."""
        if twice := _said_twice(payload):
            return [twice]
        if (reader := READ.get(link.kind)) is None:
            return []
        try:
            said = reader.decode(payload)
        except (msgspec.DecodeError, RecursionError):
            return [f"cannot be read as {link.kind}"]
        if isinstance(said, Deletion):
            return []
        self._keep(said)
        return list(self._strangers(link, said))

    def _strangers(self, link: Link, said: Said) -> Iterator[str]:
        kind, _, thing = link.chain.partition("/")
        if said.about not in {None, thing}:
            yield f"it is about {said.about}, in the chain of the {kind} {thing}"
        if said.source != link.source:
            yield f"its link calls it {link.source}, and it says {said.source}"
        if isinstance(said, AccessSaid) and self.alert not in said.objects:
            yield "an access that does not name this alert"

    def _keep(self, said: Said) -> None:
        match said:
            case RulingSaid():
                self.rulings.append(said)
            case AttemptSaid():
                self.attempts.append(said)
            case AccessSaid():
                self.accesses.append(said)
            case CommandSaid():
                self.commands.append(said)
            case ResultSaid():
                self.results.append(said)
            case OrderSaid():
                self.orders.append(said)
            case PlacesSaid():
                pass  # where somebody was is in the payload, for who may see it

    # --- what follows from it ------------------------------------------------------------------------------------

    @property
    def in_order(self) -> list[RulingSaid]:
        return sorted(self.rulings, key=lambda one: one.sequence)

    @property
    def newest(self) -> _Ruling | None:
        """The ruling that is the episode."""
        return max(self.rulings, key=lambda one: one.sequence).ruling if self.rulings else None

    @property
    def measures(self) -> tuple[str, ...]:
        return tuple(sorted({name for one in self.rulings for name in one.ruling.episode.measures}))

    @property
    def devices(self) -> tuple[str, ...]:
        named = {device for one in self.orders for device in (one.wearer, one.protected)}
        own = {one.ruling.episode.device for one in self.rulings} - {None}
        return tuple(sorted(named | {device for device in own if device is not None}))

    @property
    def window(self) -> tuple[int, int] | None:
        """In which hours what was told to the units belongs to the alert; None: nobody knows any more."""
        if (newest := self.newest) is None:
            return None
        ended_ms = newest.episode.closed_ms
        until_ms = newest.at_ms if ended_ms is None else ended_ms
        return newest.episode.opened_ms - AROUND_MS, until_ms + AROUND_MS

    def header(self) -> Header:
        """What the first line must be."""
        episode = None if self.newest is None else self.newest.episode
        return Header(
            format=FORMAT,
            alert=self.alert,
            realm=None if episode is None else episode.realm,
            code=None if episode is None else episode.code,
            state=None if episode is None else episode.state,
            version=None if episode is None else episode.version,
            measures=self.measures,
            devices=self.devices,
            opened_ms=None if episode is None else episode.opened_ms,
            ended_ms=None if episode is None else episode.closed_ms,
        )

    def chains(self) -> set[str]:
        """Of these a package has something, or says that there is nothing; accesses come as they are."""
        return {
            EPISODE + self.alert,
            *(MEASURE + name for name in self.measures),
            *(DEVICE + name for name in self.devices),
        }

    def disagreements(self) -> Iterator[str]:
        """Between one ruling and the next."""
        in_order = self.in_order
        for before, after in itertools.pairwise(in_order):
            old, new = before.ruling.episode, after.ruling.episode
            if new.version < old.version:
                yield f"ruling {after.sequence} makes it version {new.version} behind version {old.version}"
            if (new.code, new.subject, new.realm) != (old.code, old.subject, old.realm):
                yield f"ruling {after.sequence} is about something else than {before.sequence}"

    def told_units(self) -> list[Told]:
        """Orders of the log with what came of each; then those that the downlink gives by itself (what her unit
        shows), of which only the results are kept."""
        results: dict[str, list[_Status]] = {}
        for said in sorted(self.results, key=lambda one: (one.status.at_ms, one.sequence)):
            results.setdefault(said.status.command, []).append(said.status)
        told = []
        for one in self.commands:
            command, known = one.command, [each for name in _names(one.command) for each in results.pop(name, ())]
            told.append(_told(command.at_ms, command.device, command.action, command.by, known))
        for known in results.values():
            first = known[0]
            told.append(_told(first.at_ms, first.device, first.action or "", first.by, known))
        return sorted(told, key=lambda one: one.at_ms)

    def untold(self) -> Iterator[_Notification]:
        """Notifications that no attempt delivered."""
        delivered = {one.notification for one in self.attempts if one.t8_ms is not None}
        for one in self.in_order:
            yield from (each for each in one.ruling.notifications if each.id not in delivered)


def _names(command: _Command) -> list[str]:
    """Its own, and those under which a unit is told it with a shorter interval that another partition asks."""
    others = INTERVALS_S if command.action == Action.SET_CADENCE else ()
    return [command.id, *(derived("cmd", command.id, interval_s) for interval_s in others)]


def _told(at_ms: int, device: str, action: str, by: str, known: Sequence[_Status]) -> Told:
    return Told(at_ms=at_ms, device=device, action=action, by=by, stages=tuple(one.stage for one in known))


def _said_twice(payload: bytes) -> str:
    """A member that stands in one object twice is read by one reader as the first, by another as the last."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise _TwiceError
        return found

    try:
        json.loads(payload, object_pairs_hook=members)
    except _TwiceError:
        return "a member stands twice in one object"
    except (ValueError, RecursionError):
        return "cannot be read as JSON"
    return ""


class _TwiceError(Exception):
    """Found one; the parser is left by it."""
