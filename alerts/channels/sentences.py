"""What can be said on a unit, in which words, and when? The closed list of sentences.

A sentence is a function of the state that it belongs to and of nothing else (invariant 5): no distance, no
bearing, no place, no name and no hour is in it, so that it reads the same wherever she is. An operator chooses
one; no machine does, since every automatic word at a ring would tell him where it runs (F34). Of several states
the most urgent is the one that he is in: who is in the alert ring is not told to turn back, but to leave.

A state is what stands open and is not over, in the place of a code (``alerts.episodes``), at the hour of the
saying.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from tocsin.model.command import Sentence
from tocsin.model.device import DeviceKind
from tocsin.model.finding import Code


class Condition(StrEnum):
    """The states that a sentence can belong to. ANY: it is sayable in all of them."""

    ANY = "any"
    ALERT = "alert"
    PREALERT = "prealert"
    SEPARATED = "separated"
    LOW_BATTERY = "low_battery"


OF_CODES: Final[Mapping[Code, Condition]] = MappingProxyType(
    {
        Code.PROX_ALERT: Condition.ALERT,
        Code.ZONE_CORE_ENTRY: Condition.ALERT,
        Code.ZONE_ENTRY: Condition.ALERT,
        Code.PROX_PREALERT: Condition.PREALERT,
        Code.SEPARATION: Condition.SEPARATED,
        Code.W_BATT_LOW: Condition.LOW_BATTERY,
        Code.W_BATT_CRIT: Condition.LOW_BATTERY,
        Code.V_BATT_LOW: Condition.LOW_BATTERY,
    }
)
"""What a lasting alert in the place of this code says of the state. RF_PROXIMITY, IMMINENT and the losses are not
here: they follow from what her unit does, and are no state of his zone."""


@dataclass(frozen=True, slots=True)
class Wording:
    """When a sentence may be said, on whose unit, and how it is shown or spoken there."""

    when: Condition
    kinds: frozenset[DeviceKind]
    text_fr: str


_HIS: Final = frozenset({DeviceKind.WEARER})
_BOTH: Final = frozenset({DeviceKind.WEARER, DeviceKind.PROTECTED})

SENTENCES: Final[Mapping[Sentence, Wording]] = MappingProxyType(
    {
        Sentence.LEAVE_ZONE: Wording(
            Condition.ALERT, _HIS, "Vous êtes dans une zone interdite. Quittez-la immédiatement."
        ),
        Sentence.TURN_BACK: Wording(
            Condition.PREALERT, _HIS, "Vous approchez d'une zone interdite. Faites demi-tour."
        ),
        Sentence.REJOIN_UNIT: Wording(
            Condition.SEPARATED, _HIS, "Votre boîtier est trop loin de votre bracelet. Rejoignez-le."
        ),
        Sentence.CHARGE_UNIT: Wording(
            Condition.LOW_BATTERY, _BOTH, "La batterie est faible. Mettez l'appareil en charge."
        ),
        Sentence.CALL_PLATFORM: Wording(
            Condition.ANY, _BOTH, "Appelez la plateforme de téléassistance."
        ),
    }
)  # fmt: skip


def conditions_of(lasting: AbstractSet[Code]) -> frozenset[Condition]:
    """The states that these alerts make, given by the code of their place."""
    found = {OF_CODES[code] for code in lasting if code in OF_CODES}
    if Condition.ALERT in found:
        found.discard(Condition.PREALERT)
    return frozenset({Condition.ANY, *found})
