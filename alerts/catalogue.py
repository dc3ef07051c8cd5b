"""What is each alert code: how urgent, who is told, and in the words of CAP how sure? (DOMAIN section 4)

Data only. The desk reads it; the docs print it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tocsin.model.episode import Channel
from tocsin.model.finding import Code


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """One row. ``priority`` 1 is the most urgent; ``told`` are the channels of the first notification.

    ``certainty`` is CAP's word: a key pressed and a distance measured are observed, a distance that rests on a
    poor fix is likely (``certainty_of``); intent is not our business. No row calls a silence or a pre-alert a
    breach (CPP R24-20, F13): its duty may say that it is none, in the words of NO_BREACH_FR.
    """

    code: Code
    priority: int
    told: tuple[Channel, ...]
    urgency: str
    severity: str
    certainty: str
    label_fr: str
    duty_fr: str


NO_BREACH_FR: Final = "Jamais consigné comme une violation."
LIKELY: Final = "Likely"

_BOTH = (Channel.TELEASSISTANCE, Channel.POLICE)

CATALOGUE: Final[Mapping[Code, CatalogueEntry]] = MappingProxyType(
    {
        entry.code: entry
        for entry in (
            CatalogueEntry(
                code=Code.PROX_ALERT, priority=1, told=_BOTH,
                urgency="Immediate", severity="Extreme", certainty="Observed",
                label_fr="Zone d'alerte franchie",
                duty_fr="Appeler la personne protégée et la mettre en sécurité ; transmettre au CIC ou au CORG.",
            ),
            CatalogueEntry(
                code=Code.PROX_PREALERT, priority=2, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Severe", certainty="Observed",
                label_fr="Zone de pré-alerte franchie",
                duty_fr="Appeler le porteur sous 30 s et lui ordonner de s'éloigner, sans direction ni distance.",
            ),
            CatalogueEntry(
                code=Code.IMMINENT, priority=2, told=(Channel.TELEASSISTANCE,),
                urgency="Immediate", severity="Severe", certainty="Likely",
                label_fr="Entrée imminente en zone d'alerte",
                duty_fr="Préparer l'appel à la personne protégée et l'alerte du CIC ou du CORG.",
            ),
            CatalogueEntry(
                code=Code.DEGRADED, priority=2, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Severe", certainty="Possible",
                label_fr="Protection dégradée",
                duty_fr="Prévenir la personne protégée ; appeler le porteur.",
            ),
            CatalogueEntry(
                code=Code.W_GNSS_LOSS, priority=3, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Moderate", certainty="Unknown",
                label_fr="Porteur sans position",
                duty_fr=f"Demander une position ; appeler le porteur. {NO_BREACH_FR}",
            ),
            CatalogueEntry(
                code=Code.W_COMMS_LOSS, priority=3, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Moderate", certainty="Unknown",
                label_fr="Porteur injoignable",
                duty_fr=f"Demander une position ; appeler le porteur. {NO_BREACH_FR}",
            ),
            CatalogueEntry(
                code=Code.V_COMMS_LOSS, priority=3, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Moderate", certainty="Unknown",
                label_fr="Unité de la personne protégée injoignable",
                duty_fr="Appeler son propre téléphone, puis le contact de confiance.",
            ),
            CatalogueEntry(
                code=Code.BAR_SOS, priority=1, told=_BOTH,
                urgency="Immediate", severity="Extreme", certainty="Observed",
                label_fr="SOS de la personne protégée (BAR)",
                duty_fr="Répondre sous 10 s, lever le doute, localiser, transmettre au CIC ou au CORG.",
            ),
            CatalogueEntry(
                code=Code.TGD_SOS, priority=1, told=_BOTH,
                urgency="Immediate", severity="Extreme", certainty="Observed",
                label_fr="SOS téléphone grave danger",
                duty_fr="Répondre sous 10 s, lever le doute, localiser, transmettre au CIC ou au CORG.",
            ),
            CatalogueEntry(
                code=Code.SYS_FLEET_SILENCE, priority=1, told=(Channel.TELEASSISTANCE,),
                urgency="Immediate", severity="Extreme", certainty="Likely",
                label_fr="Silence simultané d'un groupe de dispositifs",
                duty_fr="Plan de panne ; traiter les binômes dans l'ordre de la liste, le plus menacé d'abord.",
            ),
        )
    }
)  # fmt: skip

UNTOLD: Final = frozenset({Code.UNCERTAIN, Code.EVIDENTIAL_BREACH})
"""Findings that open no alert of their own: a state that is shown, a proof that is kept."""

assert set(CATALOGUE) | UNTOLD == set(Code), "every code has its row"


def certainty_of(code: Code, *, low_confidence: bool) -> str:
    """CAP's word for one raising. Only what would be observed can be less than that."""
    certainty = CATALOGUE[code].certainty
    return LIKELY if low_confidence and certainty == "Observed" else certainty
