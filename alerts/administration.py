"""What must a human be told of an order, a fault or a phone that nobody reports by itself? (DOMAIN section 4)

    notices_due(seen, now_ms) -> notices to be said now

A look compares what holds (``holding``) with what stands (``Seen.said``, the newest episode of each place) and
says the difference: what is due and was not said begins, what stands and no longer holds ends. Each name is
derived from what it is about, so that a look that is repeated, by another process, after a restart, says the same
under the same names; nothing is remembered between two looks. What stands ends when its cause does, and not when
the hour from which it is counted is known less well.

| code | due | named after |
|---|---|---|
| ORDER_EXPIRING | in force, at most 30, 7, 1 days before its end; said at each of the three | end, days |
| ORDER_NOT_FITTED | in force, and both units have not been heard with a place for FITTED_WITHIN_S | beginning |
| OPEN_FAULT_24H | an alert about a fault has lasted unbroken for FAULT_OPEN_S | its last raising |
| TGD_UNREACHABLE | no sign for UNREACHABLE_AFTER_S in which ingest listened | the last sign |
| TGD_BATT_LOW | its battery is low | since when |
| TGD_TEST_OK | it was tested, at most TEST_TOLD_S ago | the test |
| TGD_TEST_MISSED | TEST_EVERY_S since its last test; or since its first sign, and up to a day later | that |

And what was left open by a measure that is not in force any more is ended (``_of_ended_measures``), whatever else
said it or did not: the geofence that was away at that hour, or a version that did not say it.

What is not known says nothing: an order without a standing, a phone that has never spoken (one in a drawer), the
hours in which ingest did not listen. Pure; milliseconds.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from alerts.episodes import KEYS, placed_as
from tocsin.clock import MS
from tocsin.limits import (
    ENDED_LEFT_S,
    EXPIRING_DAYS,
    FAULT_OPEN_S,
    FITTED_WITHIN_S,
    ORPHAN_AFTER_S,
    SIGN_EVERY_S,
    TEST_EVERY_S,
    TEST_TOLD_S,
    UNREACHABLE_AFTER_S,
)
from tocsin.model.device import Device, DeviceKind
from tocsin.model.episode import Episode
from tocsin.model.finding import MEASURE_ENDED_REASON, NOTICES, Change, Code
from tocsin.model.ids import derived
from tocsin.model.notice import Notice
from tocsin.model.order import Order
from tocsin.model.sign import Listening, Sign
from tocsin.model.standing import Standing

DAY_MS = 86_400 * MS
NEVER_HEARD = "never_heard"
"""The geofence's word for a measure of which not both units have given a place."""

OURS = frozenset(
    {
        Code.ORDER_EXPIRING, Code.ORDER_NOT_FITTED, Code.OPEN_FAULT_24H, Code.TGD_UNREACHABLE, Code.TGD_BATT_LOW,
        Code.TGD_TEST_OK, Code.TGD_TEST_MISSED,
    }
)  # fmt: skip

INCIDENT = Code.SYS_FLEET_SILENCE

Place = tuple[Code, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known at a look. ``faults``: alerts about a fault that last; ``lasting``: those of a measure;
    ``said``: the newest episode of each place of OURS."""

    devices: Mapping[str, Device] = field(default_factory=dict)
    orders: Mapping[str, Order] = field(default_factory=dict)
    standings: Mapping[str, Standing] = field(default_factory=dict)
    signs: Mapping[str, Sign] = field(default_factory=dict)
    listening: Listening | None = None
    faults: Mapping[str, Episode] = field(default_factory=dict)
    lasting: Mapping[str, Episode] = field(default_factory=dict)
    said: Mapping[Place, Episode] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Something that holds, and is due from ``since_ms``. ``key``: what its name is derived from. ``each``: said
    for each key, also while an earlier one stands."""

    code: Code
    subject: str
    key: tuple[str | int, ...]
    since_ms: int
    reason: str
    measures: tuple[str, ...] = ()
    device: str | None = None
    each: bool = False
    is_due: bool = True
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def place(self) -> Place:
        return (self.code, self.subject)

    @property
    def id(self) -> str:
        return derived("ntc", self.code, self.subject, *self.key)


def notices_due(seen: Seen, now_ms: int) -> list[Notice]:
    held = {one.place: one for one in holding(seen, now_ms)}
    begun = [_entry(one) for one in held.values() if one.is_due and not _is_said(one, seen.said.get(one.place))]
    over = [one for place, one in seen.said.items() if one.lasts and not _still_holds(one, held.get(place))]
    left = [_exit(one, now_ms, MEASURE_ENDED_REASON) for one in _of_ended_measures(seen, now_ms)]
    return [*begun, *(_exit(one, now_ms) for one in over), *left]


def is_of_measure(episode: Episode) -> bool:
    """Whether it ends with its measure. A key is a human's, pressed by whoever, and an incident is of many."""
    return episode.code not in {*KEYS, *NOTICES, INCIDENT} and bool(episode.measures)


def _of_ended_measures(seen: Seen, now_ms: int) -> list[Episode]:
    """Of which no measure is in force. A bucket without any order says nothing: it may not be filled yet."""
    if not seen.orders:
        return []
    return [
        one
        for one in seen.lasting.values()
        if all(_has_ended(seen.orders.get(measure), one, now_ms) for measure in one.measures)
    ]


def _has_ended(order: Order | None, episode: Episode, now_ms: int) -> bool:
    """Over, or put off, with some room for whoever says it first and for two clocks. An order that is not in the
    bucket is no proof of an end while the alert is young: the bucket may be being filled again, and an alert that
    is ended by mistake calls nobody. By ORPHAN_AFTER_S its rungs have long been climbed."""
    if order is None:
        return now_ms - episode.opened_ms >= ORPHAN_AFTER_S * MS
    left_ms = ENDED_LEFT_S * MS
    return not order.valid_from_ms - left_ms <= now_ms < order.valid_until_ms + left_ms


def holding(seen: Seen, now_ms: int) -> Iterator[Holding]:
    for order in seen.orders.values():
        if order.in_force(now_ms):
            yield from _expiring(order, now_ms)
            yield from _not_fitted(order, seen.standings.get(order.id), now_ms)
    for fault in seen.faults.values():
        yield from _open_fault(fault, now_ms)
    for sign in seen.signs.values():
        device = seen.devices.get(sign.device)
        if device is not None and device.kind is DeviceKind.TGD:
            yield from _of_phone(sign, seen.listening, now_ms)


def _is_said(held: Holding, episode: Episode | None) -> bool:
    if episode is None:
        return False
    return held.id in episode.causes or (episode.lasts and not held.each)


def _still_holds(episode: Episode, held: Holding | None) -> bool:
    return held is not None and (held.is_due or held.id == episode.raises[-1].cause)


def _expiring(order: Order, now_ms: int) -> Iterator[Holding]:
    days = next((days for days in EXPIRING_DAYS if order.valid_until_ms - now_ms <= days * DAY_MS), None)
    if days is not None:
        yield Holding(
            code=Code.ORDER_EXPIRING,
            subject=order.id,
            key=(order.valid_until_ms, days),
            since_ms=max(order.valid_from_ms, order.valid_until_ms - days * DAY_MS),
            reason=f"within_{days}_days" if days > 1 else "within_a_day",
            measures=(order.id,),
            each=True,
        )


def _not_fitted(order: Order, standing: Standing | None, now_ms: int) -> Iterator[Holding]:
    """From when it was in force and the geofence knew of it: what it forgot, it forgot for itself alone."""
    if standing is None or standing.reason != NEVER_HEARD:
        return
    due_ms = max(order.valid_from_ms, standing.since_ms) + FITTED_WITHIN_S * MS
    yield Holding(
        code=Code.ORDER_NOT_FITTED,
        subject=order.id,
        key=(order.valid_from_ms,),
        since_ms=due_ms,
        reason=NEVER_HEARD,
        measures=(order.id,),
        is_due=now_ms >= due_ms,
    )


def _open_fault(fault: Episode, now_ms: int) -> Iterator[Holding]:
    """Without a break: a tunnel on Monday and one on Wednesday, in an alert that nobody closed between, are two
    faults of a minute (F25)."""
    due_ms = _lasts_since_ms(fault) + FAULT_OPEN_S * MS
    if now_ms >= due_ms:
        yield Holding(
            code=Code.OPEN_FAULT_24H,
            subject=fault.id,
            key=(fault.raises[-1].cause,),
            since_ms=due_ms,
            reason=fault.code.value,
            measures=fault.measures,
            device=fault.device,
            facts=(("alert", fault.id),),
        )


def _of_phone(sign: Sign, listening: Listening | None, now_ms: int) -> Iterator[Holding]:
    yield from _unreachable(sign, listening, now_ms)
    if sign.low_since_ms is not None:
        yield _phone(Code.TGD_BATT_LOW, sign, sign.low_since_ms, sign.low_since_ms, "battery_low")
    if sign.tested_ms is not None and now_ms - sign.tested_ms <= TEST_TOLD_S * MS:
        yield _phone(Code.TGD_TEST_OK, sign, sign.tested_ms, sign.tested_ms, "tested", each=True)
    last_ms = sign.first_ms if sign.tested_ms is None else sign.tested_ms
    due_ms = last_ms + TEST_EVERY_S * MS + (_spread_ms(sign.device) if sign.tested_ms is None else 0)
    if now_ms >= due_ms:
        reason = "never_tested" if sign.tested_ms is None else "not_tested"
        yield _phone(Code.TGD_TEST_MISSED, sign, last_ms, due_ms, reason)


def _lasts_since_ms(fault: Episode) -> int:
    """By the hour of what was found, and not of the ruling on it: the earliest raising of those since then."""
    ruled_ms = fault.lasting_ms
    if ruled_ms is None:  # a version before this one ruled
        return fault.raises[-1].at_ms
    since = (one.at_ms for one in fault.raises if (one.points.t6_ms or 0) >= ruled_ms)
    return min(since, default=ruled_ms)


def _spread_ms(device: str) -> int:
    """Over a day, the same each time: all phones are first seen in the minute in which ingest first starts, and
    humans have to do with each of them (F25)."""
    return zlib.crc32(device.encode()) % DAY_MS


def _unreachable(sign: Sign, listening: Listening | None, now_ms: int) -> Iterator[Holding]:
    """SIGN_EVERY_S more than the day: so much later than its last sign it may have spoken."""
    heard = Listening(since_ms=now_ms, at_ms=now_ms) if listening is None else listening
    due_ms = max(sign.heard_ms, heard.since_ms) + (UNREACHABLE_AFTER_S + SIGN_EVERY_S) * MS
    is_due = min(now_ms, heard.at_ms) >= due_ms
    yield _phone(Code.TGD_UNREACHABLE, sign, sign.heard_ms, due_ms, "no_sign", is_due=is_due)


def _phone(
    code: Code, sign: Sign, key: int, since_ms: int, reason: str, *, each: bool = False, is_due: bool = True
) -> Holding:
    return Holding(
        code=code, subject=sign.device, key=(key,), since_ms=since_ms, reason=reason, device=sign.device,
        each=each, is_due=is_due,
    )  # fmt: skip


def _entry(held: Holding) -> Notice:
    return Notice(
        id=held.id,
        code=held.code,
        subject=held.subject,
        change=Change.ENTRY,
        at_ms=held.since_ms,
        entry=held.id,
        entry_ms=held.since_ms,
        reason=held.reason,
        measures=held.measures,
        device=held.device,
        facts=held.facts,
    )


def _exit(episode: Episode, now_ms: int, reason: str = "no_longer") -> Notice:
    """Of its newest raising, in its place."""
    newest = episode.raises[-1]
    return Notice(
        id=derived("ntc", newest.cause, Change.EXIT),
        code=placed_as(episode.code),
        subject=episode.subject,
        change=Change.EXIT,
        at_ms=now_ms,
        entry=newest.cause,
        entry_ms=newest.at_ms,
        reason=reason,
        measures=episode.measures,
        device=episode.device,
    )
