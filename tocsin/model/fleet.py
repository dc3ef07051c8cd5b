"""What may devices lose together, and what is known when they have? (FAILURES F05, F06)

A *group* is all devices that share one word: an APN, a carrier, a firmware, a region; the whole fleet is one, too.
An *incident* is one silence of one group, from its opening to its end: one alert, however many pairs are in it.
Its pairs are ranked by the hour of blind risk (DOMAIN section 3), the soonest first. Nothing here has a position.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tocsin.model.device import Traits
from tocsin.model.ids import derived


class Dimension(StrEnum):
    """Narrowest first: of two groups that explain the same silence the first one here is named."""

    APN = "apn"
    CARRIER = "carrier"
    FIRMWARE = "firmware"
    REGION = "region"
    FLEET = "fleet"


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """All devices of one word."""

    dimension: Dimension
    value: str

    @property
    def subject(self) -> str:
        """What stands for it in a subject of the log: an APN has dots."""
        return derived("grp", self.dimension, self.value)


WHOLE_FLEET = Group(dimension=Dimension.FLEET, value="all")


def groups_of(traits: Traits) -> tuple[Group, ...]:
    """Every group of this device, the narrowest first."""
    said = (
        (Dimension.APN, traits.apn),
        (Dimension.CARRIER, traits.carrier),
        (Dimension.FIRMWARE, traits.firmware),
        (Dimension.REGION, traits.region),
    )
    return (*(Group(dimension=dimension, value=word) for dimension, word in said if word), WHOLE_FLEET)


class Party(StrEnum):
    """Who of a pair is silent."""

    WEARER = "wearer"
    PROTECTED = "protected"
    BOTH = "both"


class PairAtRisk(msgspec.Struct, frozen=True, kw_only=True):
    """One pair of an incident. The hours are those of blind risk if nobody speaks from now on, at the worst and at
    the plausible speed; None: one of the two was never heard with a place, and nobody can say."""

    measure: str
    silent: Party
    worst_ms: int | None
    plausible_ms: int | None


class Silenced(msgspec.Struct, frozen=True, kw_only=True):
    """What a finding says of a group: ``silent`` of the ``expected`` devices that should speak, ``pairs`` pairs,
    the first of them in ``worst``. ``since_ms``: none of the silent ones has been heard since."""

    group: Group
    silent: int
    expected: int
    since_ms: int
    pairs: int
    worst: tuple[PairAtRisk, ...]


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """A silence that lasts, as it stood at ``at_ms``; lies in the bucket ``incidents`` under the group's subject.

    ``entry``, ``entry_ms``: the finding that opened it. ``ranked``: its pairs, the most urgent
    INCIDENT_RANKED_MAX of them; ``unranked``: how many more there are.
    """

    entry: str
    entry_ms: int
    at_ms: int
    group: Group
    silent: int
    expected: int
    since_ms: int
    ranked: tuple[PairAtRisk, ...]
    unranked: int = 0
