"""What would Tocsin have raised on this recording? The recorded fleet, sent through the real road.

One gateway connection sends every message in the recorded order of reception, at the recorded hours on an affine
clock that all processes share (realm ``lab``), so that ages and speeds are those of the recording at any speed.
``in_one_process`` runs the same stream through admission and engine in this process: the report compares the two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from alerts.episodes import placed_as
from geofence import engine
from geofence.pair_table import PairTable, Roster, roster_of
from ingest.admission import AdmittedFix, Message, admit
from ingest.known import Known
from simulator.gateway import Gateway
from simulator.lab import Laboratory, LaboratoryError, PairWanted, laboratory
from simulator.recording import RecordedFix, Recording
from tocsin.clock import MS, AffineClock, from_rfc3339
from tocsin.model.device import Device, DeviceKind
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import FIX_DTYPE
from tocsin.model.order import Order
from tocsin.stack import Tell
from tocsin.subjects import topic

SET_UP_S = 40.0  # on the wall: ten processes on two busy cores take 20
QUIET_S = 2.0  # on the wall: nothing new for this long after the last message, and all has arrived
ARRIVE_WITHIN_S = 60.0
RINGS = frozenset({Code.PROX_ALERT, Code.PROX_PREALERT})  # what is compared: what begins when a ring is entered


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Crossing:
    """One entry of a ring: which pair, which code, the hour of the fix that showed it."""

    at_ms: int
    pair: str
    code: str


def pair_key(wearer: str, protected: str) -> str:
    return f"{wearer}:{protected}"


def payloads(recording: Recording) -> Iterator[tuple[RecordedFix, bytes]]:
    """Each message as its device would have said it; ``seq`` counts per device, a repeated fix repeats it."""
    numbers: dict[str, dict[tuple[int, float, float], int]] = {}
    for message in recording.messages:
        seen = numbers.setdefault(message.device, {})
        seq = seen.setdefault((message.fix_ms, message.lat, message.lon), len(seen))
        yield message, msgspec.json.encode(_fields(message, seq))


def _fields(message: RecordedFix, seq: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "_type": "location",
        "lat": message.lat,
        "lon": message.lon,
        "tst": message.fix_ms // MS,
        "ms": message.fix_ms % MS,
        "seq": seq,
        "boot": 1,
        "src": message.source,
    }
    if message.accuracy_m is not None:
        fields["acc"] = message.accuracy_m
    return fields


def in_one_process(recording: Recording, partitions: int = 2) -> list[Crossing]:
    """The crossings of the same stream through admission and engine, called directly, one message at a time."""
    devices, orders = _nouns(recording)
    known = Known(partitions=partitions, devices=devices)
    first_ms = recording.messages[0].received_ms
    tables = []
    for partition in range(partitions):
        roster = roster_of(orders.values(), devices, partition=partition, partitions=partitions)
        table, _ = engine.revise(PairTable(Roster()), roster, first_ms)
        tables.append(table)
    found: list[Finding] = []
    for message, payload in payloads(recording):
        now_ms = message.received_ms
        heard = Message(topic=topic(message.device, "loc"), payload=payload, t3_ms=now_ms)
        for admission in admit(heard, known, now_ms):
            if not isinstance(admission, AdmittedFix):
                continue
            known.remember(admission.device, admission.boot, admission.seq, admission.fix_ms)
            if admission.late:
                continue
            for partition, row in admission.copies:
                found += engine.step(tables[partition], np.array([row], FIX_DTYPE), now_ms).findings
    entries = [finding for finding in found if finding.change is Change.ENTRY and finding.code in RINGS]
    return sorted(_crossing(finding, orders) for finding in entries)


def _nouns(recording: Recording) -> tuple[dict[str, Device], dict[str, Order]]:
    start_ms = recording.messages[0].received_ms - 24 * 3600 * MS
    end_ms = recording.messages[-1].received_ms + 24 * 3600 * MS
    orders = {
        f"msr_{index:04d}": Order(
            id=f"msr_{index:04d}", version=1, wearer=pair.wearer, protected=pair.protected,
            alert_distance_m=pair.alert_distance_m, valid_from_ms=start_ms, valid_until_ms=end_ms,
        )
        for index, pair in enumerate(recording.pairs)
    }  # fmt: skip
    devices, every_s = {}, recording.intervals_s()
    for number, (name, kind) in enumerate(sorted(kinds_of(recording).items()), start=1):
        measures = tuple(sorted(order.id for order in orders.values() if name in {order.wearer, order.protected}))
        devices[name] = Device(
            id=name, number=number, kind=kind, measures=measures, reports_every_s=every_s.get(name)
        )
    return devices, orders


def kinds_of(recording: Recording) -> dict[str, DeviceKind]:
    """Every device of a pair, by its side."""
    kinds: dict[str, DeviceKind] = {}
    for pair in recording.pairs:
        kinds[pair.wearer] = DeviceKind.WEARER
        kinds[pair.protected] = DeviceKind.PROTECTED
    return kinds


def _crossing(finding: Finding, orders: Mapping[str, Order]) -> Crossing:
    order = orders[finding.measure]
    return Crossing(at_ms=finding.at_ms, pair=pair_key(order.wearer, order.protected), code=finding.code.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of it."""

    crossings: list[Crossing]
    reference: list[Crossing]
    duplicated: tuple[str, ...]
    sent: int
    distinct: int
    archived: int

    @property
    def lost(self) -> int:
        """Different fixes that were sent and are not in the record."""
        return max(0, self.distinct - self.archived)

    @property
    def missing(self) -> list[Crossing]:
        return sorted(set(self.reference) - set(self.crossings))

    @property
    def unexpected(self) -> list[Crossing]:
        return sorted(set(self.crossings) - set(self.reference))

    @property
    def repeated(self) -> int:
        """Crossings that were told more than once under different names."""
        return len(self.crossings) - len(set(self.crossings))

    @property
    def holds(self) -> bool:
        return not (self.missing or self.unexpected or self.duplicated or self.repeated or self.lost)


async def run_replay(
    recording: Recording,
    *,
    home: Path,
    speed: float,
    tell: Tell,
    progress: Callable[[int, int], None],
    say: Callable[[str], None] = lambda _: None,
    set_up_s: float = SET_UP_S,
) -> Replay:
    """Send it, wait until everything has arrived, compare. ``progress(sent, total)`` is called now and then.

    ``say`` hears what is being waited for.

    The clock of the recording runs while the parts are being started: it begins ``set_up_s`` of the wall early.
    Raises LaboratoryError when that was not enough.
    """
    first_ms = recording.messages[0].received_ms
    clock = AffineClock(
        epoch_ms=first_ms - int(set_up_s * speed * MS), anchor_ms=AffineClock().wall_ms(), rate=speed
    )
    say(f"starting the servers and ten processes; the recording begins in {set_up_s:.0f} s, ready or not")
    async with laboratory(home=home, tell=tell, clock=clock) as lab:
        measures = await _register(lab, recording)
        say(f"{len(measures)} pairs registered; the first message is due in {_due_s(clock, first_ms):.0f} s")
        if clock.now_ms() > first_ms:
            raise LaboratoryError(f"the set-up took more than {set_up_s:.0f} s; nothing was sent")
        assert lab.stack.addresses.fleet_mqtt_url is not None
        async with Gateway(lab.stack.addresses.fleet_mqtt_url, client_id="replay-gateway") as gateway:
            for index, (message, payload) in enumerate(payloads(recording)):
                await _until(clock, message.received_ms)
                await gateway.publish(message.device, "loc", payload)
                if index % 100 == 0:
                    progress(index, len(recording.messages))
            await gateway.drained()
        progress(len(recording.messages), len(recording.messages))
        reference = in_one_process(recording, lab.settings.partitions)
        distinct = len({(message.device, message.fix_ms) for message in recording.messages})
        await _everything_arrived(lab, len(reference), distinct)
        return Replay(
            crossings=_heard(lab, {measure: key for key, measure in measures.items()}),
            reference=reference,
            duplicated=lab.receiver.history.report().conflicts,
            sent=len(recording.messages),
            distinct=distinct,
            archived=await lab.total("tocsin_archived_fixes_total", outcome="archived"),
        )


async def _register(lab: Laboratory, recording: Recording) -> dict[str, str]:
    pairs = [
        PairWanted(
            key=pair_key(pair.wearer, pair.protected), wearer=pair.wearer, protected=pair.protected,
            alert_distance_m=pair.alert_distance_m,
        )
        for pair in recording.pairs
    ]  # fmt: skip
    _, measures = await lab.register(kinds_of(recording), pairs, reports_every_s=recording.intervals_s())
    return measures


def _due_s(clock: AffineClock, at_ms: int) -> float:
    """Seconds of the wall until this hour; 0 when it has passed."""
    return max(0.0, (at_ms - clock.now_ms()) / MS / clock.rate)


async def _until(clock: AffineClock, at_ms: int) -> None:
    while (left_ms := at_ms - clock.now_ms()) > 0:
        await clock.sleep(left_ms / MS)


async def _everything_arrived(lab: Laboratory, expected: int, distinct: int) -> None:
    """Until as many bells have rung as expected, everything is archived, and nothing new was heard for QUIET_S."""
    loop = asyncio.get_running_loop()
    history = lab.receiver.history
    deadline = loop.time() + ARRIVE_WITHIN_S
    seen, since = -1, loop.time()
    while loop.time() < deadline:
        if len(history.deliveries) != seen:
            seen, since = len(history.deliveries), loop.time()
        archived = await lab.total("tocsin_archived_fixes_total", outcome="archived")
        enough = len(_bells(lab)) >= expected and archived >= distinct
        if enough and loop.time() - since >= QUIET_S:
            return
        await asyncio.sleep(0.1)


def _bells(lab: Laboratory) -> list[Any]:
    """What rang because a ring was entered; not what a ladder has raised by itself, which says its rung."""
    return [
        delivery
        for delivery in lab.receiver.history.deliveries
        if delivery.channel == "teleassistance"
        and not delivery.repeat
        and delivery.type.rpartition(".")[2] in {"opened", "raised"}
        and delivery.data.get("audience") is None
        and placed_as(Code(delivery.data["code"])) in RINGS
    ]


def _heard(lab: Laboratory, keys: Mapping[str, str]) -> list[Crossing]:
    return sorted(
        Crossing(
            at_ms=from_rfc3339(bell.data["occurred_at"]),
            pair=keys[bell.data["measures"][0]],
            code=placed_as(Code(bell.data["code"])).value,
        )
        for bell in _bells(lab)
    )


def rows(crossings: Sequence[Crossing]) -> list[dict[str, Any]]:
    """For the report."""
    return [{"pair": one.pair, "code": one.code, "at_ms": one.at_ms} for one in crossings]
