"""Did the people who had to be told hear of everything, of nothing else, and only once?

Compares what the oracle expects with what the receiver (téléassistance or police) got. Tocsin knows a measure
by its id, the scenario a couple by its key: the caller says which is which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from simulator.oracle import ExpectedAlert
from simulator.receiver import Delivery, conflicts
from tocsin.clock import MS, from_rfc3339
from tocsin.model.finding import Code

TELLING = frozenset({"alert.opened", "alert.raised"})
"""The types that ring the bell; the others tell what became of it."""


KEYS = frozenset({Code.BAR_SOS, Code.TGD_SOS})

FORETOLD = KEYS | {Code.PROX_ALERT, Code.PROX_PREALERT, Code.STRAP_TAMPER}
"""What the oracle knows from the true positions. Doubt, silence and countdowns are of what Tocsin could know."""


PLACED = {"TGD_SOS_SILENT": "TGD_SOS"}  # one place, one chain of events: a silent press is foretold as a press


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedAlert:
    """The bell rang: ``at_s`` is when it happened, in seconds of the scenario, by Tocsin's own account."""

    code: str
    subject: str
    at_s: float
    webhook_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``duplicated``: the same (subject, version, channel, room, type) told under two ids."""

    missing: tuple[ExpectedAlert, ...]
    unexpected: tuple[ObservedAlert, ...]
    duplicated: tuple[str, ...]
    matched: tuple[tuple[ExpectedAlert, ObservedAlert], ...]

    @property
    def holds(self) -> bool:
        return not (self.missing or self.unexpected or self.duplicated)


def judge(
    expected: Sequence[ExpectedAlert],
    deliveries: Iterable[Delivery],
    *,
    keys: Mapping[str, str],
    start_ms: int,
    channel: str = "teleassistance",
) -> Verdict:
    """``keys``: measure id -> couple key. A device keeps its own name."""
    heard = [delivery for delivery in deliveries if delivery.channel == channel]
    bells = observed_alerts(heard, keys=keys, start_ms=start_ms)
    observed = [one for one in bells if one.code in FORETOLD]
    matched, missing, left = match(expected, observed)
    return Verdict(
        missing=tuple(one for one in missing if one.required),
        unexpected=tuple(left),
        duplicated=tuple(conflicts(heard)),
        matched=tuple(matched),
    )


def observed_alerts(
    deliveries: Iterable[Delivery], *, keys: Mapping[str, str], start_ms: int
) -> list[ObservedAlert]:
    """First deliveries that ring the bell, in order of their time. One alert told to two rooms is one bell."""
    found, rung = [], set()
    for delivery in deliveries:
        data = delivery.data
        if delivery.repeat or delivery.type.removeprefix("org.tocsin.") not in TELLING:
            continue
        if delivery.room:
            bell = (delivery.subject, delivery.version)
            if bell in rung:
                continue
            rung.add(bell)
        measures = data.get("measures") or []
        # A key is about the unit it is on; the rings are about a measure.
        about = str(
            data.get("device")
            if PLACED.get(str(data.get("code")), data.get("code")) in KEYS or not measures
            else measures[0]
        )
        found.append(
            ObservedAlert(
                code=PLACED.get(str(data.get("code")), str(data.get("code"))),
                subject=keys.get(about, about),
                at_s=(from_rfc3339(str(data["occurred_at"])) - start_ms) / MS,
                webhook_id=delivery.webhook_id,
            )
        )
    return sorted(found, key=lambda one: one.at_s)


def match(
    expected: Sequence[ExpectedAlert], observed: Sequence[ObservedAlert]
) -> tuple[list[tuple[ExpectedAlert, ObservedAlert]], list[ExpectedAlert], list[ObservedAlert]]:
    """Pairs, the expected without a partner, the observed without one; earliest deadline first."""
    left = sorted(observed, key=lambda one: one.at_s)
    pairs, missing = [], []
    for one in sorted(expected, key=lambda each: each.latest_s):
        fits = (each for each in left if _fits(one, each))
        if (found := next(fits, None)) is None:
            missing.append(one)
        else:
            left.remove(found)
            pairs.append((one, found))
    return pairs, missing, left


def _fits(expected: ExpectedAlert, observed: ObservedAlert) -> bool:
    return (
        expected.code == observed.code
        and expected.subject == observed.subject
        and expected.earliest_s <= observed.at_s <= expected.latest_s
    )
