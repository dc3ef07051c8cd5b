"""What is a row of the catalogue, and which channels follow from whom it tells? (DOMAIN section 4)

Words of a row are French where an operator reads them. Seconds are in names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tocsin.model.episode import Channel
from tocsin.model.finding import LATCHED, Code

NO_BREACH_FR: Final = "Jamais consigné comme une violation."
INSPECTION_FR: Final = "Ne se clôt qu'après inspection physique."
ASSESS_S: Final = 10
"""A key is answered within this (2018 specification of the TGD; DOMAIN section 4)."""
CALL_WEARER_S: Final = 30
HAND_OFF_S: Final = 30  # behind the acknowledgement (DOMAIN section 2, P1)
REJOIN_S: Final = 180


class Who(StrEnum):
    """DOMAIN's letters."""

    MONITOR = "M"
    TELEASSISTANT = "A"
    PROTECTED = "V"
    WEARER = "W"
    POLICE = "C"
    SUPERVISOR = "S"
    JUDGE = "J"
    PROSECUTOR = "P"
    TECHNICAL = "T"


WHO_FR: Final = {
    Who.MONITOR: "télésurveillant",
    Who.TELEASSISTANT: "téléassistant",
    Who.PROTECTED: "personne protégée",
    Who.WEARER: "porteur",
    Who.POLICE: "CIC ou CORG",
    Who.SUPERVISOR: "superviseur",
    Who.JUDGE: "magistrat et SPIP",
    Who.PROSECUTOR: "parquet",
    Who.TECHNICAL: "technique",
}


class Report(StrEnum):
    """What is owed of it afterwards. BURDEN: it counts in what the measure asks of both parties, by which either
    may have the distances revised (R24-22). PROSECUTOR: told of each one in a civil measure (CPC 1136-19)."""

    BURDEN = "burden"
    JUDGE = "judge"
    PROSECUTOR = "prosecutor"


class Follows(StrEnum):
    """What a priority follows that is not always the same."""

    BLIND_RISK = "blind_risk"
    DISTANCE = "distance"


class Rooms(StrEnum):
    """Which rooms of the police an alert may be told to. PLACE: those of the places, when and how sure as the mode
    of the deployment says. EVERY: every one, at once."""

    NONE = "none"
    PLACE = "place"
    EVERY = "every"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the script [conduite à tenir]: who does what, in which words, within how long if the rule says.
    ``id`` names it in the record, and stays."""

    id: str
    who: Who
    do_fr: str
    say_fr: str | None = None
    within_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """One row. ``priority`` 1 is the most urgent; it is that of a raising which says none itself. Where it
    ``follows`` something, it lies between ``worst`` and ``least``.

    ``who`` are DOMAIN's letters of "told at once"; none: an automatic message. ``told`` are the channels that
    follow. ``hand_off``: the police are part of it, as the mode of the deployment says when.
    ``rings_protected``: her unit rings, once it is confirmed or lasts (invariant 18). ``certainty`` is CAP's word:
    a key pressed and a distance measured are observed, a distance that rests on a poor fix is likely
    (``certainty_of``); intent is not our business. No row calls a silence or a pre-alert a breach (CPP R24-20,
    F13): its duty may say that it is none, in the words of NO_BREACH_FR.

    ``fault``: something that has to be repaired; open for a day it is OPEN_FAULT_24H. ``automatic``: told and
    recorded, and nobody has to close it. ``ours_fr``: why there is a code that the domain's table has not.
    """

    code: Code
    priority: int
    who: tuple[Who, ...]
    urgency: str
    severity: str
    certainty: str
    label_fr: str
    trigger: str
    trigger_fr: str
    duty_fr: str
    script: tuple[Step, ...]
    report: tuple[Report, ...] = ()
    worst: int | None = None
    least: int | None = None
    follows: Follows | None = None
    hand_off: bool = False
    rings_protected: bool = False
    fault: bool = False
    automatic: bool = False
    ours_fr: str = ""

    def __post_init__(self) -> None:
        lowest, highest = self.least or self.priority, self.worst or self.priority
        assert highest <= self.priority <= lowest, self.code
        assert (lowest == highest) is (self.follows is None), self.code

    @property
    def rooms(self) -> Rooms:
        if Who.POLICE in self.who:
            return Rooms.EVERY
        return Rooms.PLACE if self.hand_off else Rooms.NONE

    @property
    def told(self) -> tuple[Channel, ...]:
        """Monitors, teleassistants and supervisors work at the téléassistance: it hears of everything. Of what
        concerns the system itself, who keeps it running hears too."""
        channels = [Channel.TELEASSISTANCE]
        if self.rooms is not Rooms.NONE:
            channels.append(Channel.POLICE)
        if Who.TECHNICAL in self.who and self.code.value.startswith("SYS_"):
            channels.append(Channel.OPERATIONS)
        return tuple(channels)

    @property
    def priorities(self) -> tuple[int, ...]:
        """From the worst that it can have to the least."""
        return tuple(range(self.worst or self.priority, (self.least or self.priority) + 1))

    @property
    def latched(self) -> bool:
        return self.code in LATCHED
