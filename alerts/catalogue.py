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
    """One row. ``priority`` 1 is the most urgent, and the worst of a code that follows the time to blind risk: the
    finding says which it is. ``told`` are the channels of the first notification.

    ``certainty`` is CAP's word: a key pressed and a distance measured are observed, a distance that rests on a
    poor fix is likely (``certainty_of``); intent is not our business. No row calls a silence or a pre-alert a
    breach (CPP R24-20, F13): its duty may say that it is none, in the words of NO_BREACH_FR. ``rings_protected``:
    the protected person's unit rings, once it is confirmed or lasts (invariant 18).
    """

    code: Code
    priority: int
    told: tuple[Channel, ...]
    urgency: str
    severity: str
    certainty: str
    label_fr: str
    duty_fr: str
    rings_protected: bool = False


NO_BREACH_FR: Final = "Jamais consigné comme une violation."
INSPECTION_FR: Final = "Ne se clôt qu'après inspection physique."
LIKELY: Final = "Likely"

_BOTH = (Channel.TELEASSISTANCE, Channel.POLICE)

CATALOGUE: Final[Mapping[Code, CatalogueEntry]] = MappingProxyType(
    {
        entry.code: entry
        for entry in (
            CatalogueEntry(
                code=Code.PROX_ALERT, priority=1, told=_BOTH, rings_protected=True,
                urgency="Immediate", severity="Extreme", certainty="Observed",
                label_fr="Zone d'alerte franchie",
                duty_fr="Appeler la personne protégée et la mettre en sécurité ; transmettre au CIC ou au CORG.",
            ),
            CatalogueEntry(
                code=Code.PROX_PREALERT, priority=2, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Severe", certainty="Observed",
                label_fr="Zone de pré-alerte franchie",
                duty_fr="Appeler le porteur à l'heure indiquée, sinon sous 30 s, et lui ordonner de s'éloigner, "
                "sans direction ni distance.",
            ),
            CatalogueEntry(
                code=Code.IMMINENT, priority=2, told=(Channel.TELEASSISTANCE,),
                urgency="Immediate", severity="Severe", certainty="Likely",
                label_fr="Entrée imminente en zone d'alerte",
                duty_fr="Appeler le porteur sans plus attendre ; préparer l'appel à la personne protégée et "
                "l'alerte du CIC ou du CORG.",
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
                code=Code.ZONE_CORE_ENTRY, priority=1, told=_BOTH, rings_protected=True,
                urgency="Immediate", severity="Extreme", certainty="Observed",
                label_fr="Porteur dans un lieu de vie de la personne protégée",
                duty_fr="Appeler la personne protégée et la mettre en sécurité ; transmettre au CIC ou au CORG.",
            ),
            CatalogueEntry(
                code=Code.ZONE_ENTRY, priority=2, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Severe", certainty="Observed",
                label_fr="Porteur dans un lieu interdit",
                duty_fr="Appeler le porteur et lui ordonner de quitter le lieu.",
            ),
            CatalogueEntry(
                code=Code.ZONE_PREALERT, priority=3, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Moderate", certainty="Observed",
                label_fr="Porteur aux abords d'un lieu interdit",
                duty_fr=f"Suivre sa progression, sans lui nommer le lieu. {NO_BREACH_FR}",
            ),
            CatalogueEntry(
                code=Code.ZONE_EXIT, priority=3, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Moderate", certainty="Observed",
                label_fr="Porteur hors du lieu où il doit être",
                duty_fr="Appeler le porteur et lui ordonner d'y retourner.",
            ),
            CatalogueEntry(
                code=Code.STRAP_TAMPER, priority=1, told=(Channel.TELEASSISTANCE,),
                urgency="Immediate", severity="Extreme", certainty="Observed",
                label_fr="Bracelet ouvert ou coupé",
                duty_fr=f"Appeler la personne protégée, puis le porteur, puis le CIC ou le CORG. {INSPECTION_FR}",
            ),
            CatalogueEntry(
                code=Code.RF_PROXIMITY, priority=1, told=(Channel.TELEASSISTANCE,), rings_protected=True,
                urgency="Immediate", severity="Extreme", certainty="Observed",
                label_fr="Les deux unités se captent par radio",
                duty_fr="Agir comme en présence d'un contact : personne protégée, puis CIC ou CORG.",
            ),
            CatalogueEntry(
                code=Code.SEPARATION, priority=1, told=(Channel.TELEASSISTANCE,),
                urgency="Immediate", severity="Severe", certainty="Observed",
                label_fr="Bracelet séparé de son unité",
                duty_fr=f"Le porteur rejoint son unité sous 3 min ; sinon, prévenir la victime. {NO_BREACH_FR}",
            ),
            CatalogueEntry(
                code=Code.JAMMING_SUSPECTED, priority=2, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Severe", certainty="Possible",
                label_fr="Brouillage suspecté",
                duty_fr="Prévenir la personne protégée ; appeler le porteur.",
            ),
            CatalogueEntry(
                code=Code.SPOOF_SUSPECTED, priority=2, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Severe", certainty="Possible",
                label_fr="Position falsifiée suspectée",
                duty_fr="Prévenir la personne protégée ; appeler le porteur.",
            ),
            CatalogueEntry(
                code=Code.W_DEVICE_OFF, priority=2, told=(Channel.TELEASSISTANCE,),
                urgency="Immediate", severity="Severe", certainty="Observed",
                label_fr="Unité du porteur éteinte",
                duty_fr=f"Joindre le porteur par tout numéro ; prévenir la personne protégée. {NO_BREACH_FR}",
            ),
            CatalogueEntry(
                code=Code.V_DEVICE_OFF, priority=2, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Moderate", certainty="Observed",
                label_fr="Unité de la personne protégée éteinte",
                duty_fr="Appeler son propre téléphone, puis le contact de confiance.",
            ),
            CatalogueEntry(
                code=Code.W_BATT_DEAD, priority=2, told=(Channel.TELEASSISTANCE,),
                urgency="Immediate", severity="Severe", certainty="Observed",
                label_fr="Batterie du porteur vide",
                duty_fr=f"Joindre le porteur par tout numéro ; prévenir la personne protégée. {NO_BREACH_FR}",
            ),
            CatalogueEntry(
                code=Code.W_BATT_CRIT, priority=3, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Moderate", certainty="Observed",
                label_fr="Batterie du porteur presque vide",
                duty_fr="Appeler le porteur : charger maintenant.",
            ),
            CatalogueEntry(
                code=Code.W_BATT_LOW, priority=5, told=(Channel.TELEASSISTANCE,),
                urgency="Future", severity="Minor", certainty="Observed",
                label_fr="Batterie du porteur faible",
                duty_fr="Aucune ; message automatique.",
            ),
            CatalogueEntry(
                code=Code.V_BATT_LOW, priority=5, told=(Channel.TELEASSISTANCE,),
                urgency="Future", severity="Minor", certainty="Observed",
                label_fr="Batterie de la personne protégée faible",
                duty_fr="Aucune ; message automatique.",
            ),
            CatalogueEntry(
                code=Code.PROBING, priority=3, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Moderate", certainty="Possible",
                label_fr="Entrées brèves répétées, de plusieurs côtés",
                duty_fr="Superviseur : examiner, prévenir le SPIP. Ne plus appeler le porteur au seul "
                "franchissement de la pré-alerte : il en déduirait où elle est. "
                f"Entrée imminente ou alerte : comme toujours. {NO_BREACH_FR}",
            ),
            CatalogueEntry(
                code=Code.FROZEN_FIX, priority=3, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Moderate", certainty="Likely",
                label_fr="Position figée",
                duty_fr=f"Demander une position ; faire contrôler ou remplacer l'unité. {NO_BREACH_FR}",
            ),
            CatalogueEntry(
                code=Code.LOW_YIELD, priority=3, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Moderate", certainty="Observed",
                label_fr="Trop peu de positions reçues",
                duty_fr=f"Demander une position ; faire contrôler ou remplacer l'unité. {NO_BREACH_FR}",
            ),
            CatalogueEntry(
                code=Code.V_NOT_CARRIED, priority=4, told=(Channel.TELEASSISTANCE,),
                urgency="Future", severity="Minor", certainty="Possible",
                label_fr="Unité de la personne protégée immobile",
                duty_fr="Appel de courtoisie : s'assurer qu'elle porte son unité.",
            ),
            CatalogueEntry(
                code=Code.CLOCK_SKEW, priority=4, told=(Channel.TELEASSISTANCE,),
                urgency="Future", severity="Minor", certainty="Observed",
                label_fr="Horloge de l'unité décalée",
                duty_fr=f"Faire remettre l'unité à l'heure par le support technique. {NO_BREACH_FR}",
            ),
            CatalogueEntry(
                code=Code.PAST_INCURSION, priority=4, told=(Channel.TELEASSISTANCE,),
                urgency="Past", severity="Moderate", certainty="Observed",
                label_fr="Incursion passée, établie par des positions reçues tard",
                duty_fr="Aucune alerte en cours : ne pas alerter le CIC ni le CORG. Consigner et rendre compte.",
            ),
            CatalogueEntry(
                code=Code.SYS_FLEET_SILENCE, priority=1, told=(Channel.TELEASSISTANCE,),
                urgency="Immediate", severity="Extreme", certainty="Likely",
                label_fr="Silence simultané d'un groupe de dispositifs",
                duty_fr="Plan de panne ; traiter les binômes dans l'ordre de la liste, le plus menacé d'abord.",
            ),
            CatalogueEntry(
                code=Code.TGD_SOS_SILENT, priority=1, told=_BOTH,
                urgency="Immediate", severity="Extreme", certainty="Observed",
                label_fr="SOS téléphone grave danger, silencieux",
                duty_fr="Garder la ligne ouverte ; transmettre au CIC ou au CORG avec la dernière position.",
            ),
            CatalogueEntry(
                code=Code.PREALERT_NO_ANSWER, priority=1, told=_BOTH, rings_protected=True,
                urgency="Immediate", severity="Extreme", certainty="Likely",
                label_fr="Pré-alerte sans réponse du porteur",
                duty_fr="Appeler la personne protégée et la mettre en sécurité ; transmettre au CIC ou au CORG.",
            ),
            CatalogueEntry(
                code=Code.TGD_UNREACHABLE, priority=4, told=(Channel.TELEASSISTANCE,),
                urgency="Future", severity="Minor", certainty="Observed",
                label_fr="Téléphone grave danger injoignable depuis 24 h",
                duty_fr="Prendre des nouvelles avec courtoisie ; organiser l'échange s'il le faut.",
            ),
            CatalogueEntry(
                code=Code.OPEN_FAULT_24H, priority=4, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Moderate", certainty="Observed",
                label_fr="Défaut ouvert depuis 24 h",
                duty_fr="Faire cesser le défaut ; informer le magistrat.",
            ),
            CatalogueEntry(
                code=Code.ORDER_NOT_FITTED, priority=4, told=(Channel.TELEASSISTANCE,),
                urgency="Expected", severity="Moderate", certainty="Observed",
                label_fr="Ordonnance sans pose depuis 72 h",
                duty_fr="Organiser la pose ; informer le magistrat.",
            ),
            CatalogueEntry(
                code=Code.ORDER_EXPIRING, priority=4, told=(Channel.TELEASSISTANCE,),
                urgency="Future", severity="Minor", certainty="Observed",
                label_fr="Ordonnance proche de son terme",
                duty_fr="Informer le magistrat ; préparer la restitution ou la prolongation.",
            ),
            CatalogueEntry(
                code=Code.TGD_BATT_LOW, priority=5, told=(Channel.TELEASSISTANCE,),
                urgency="Future", severity="Minor", certainty="Observed",
                label_fr="Batterie basse du téléphone grave danger",
                duty_fr="Message automatique ; rien d'autre à faire.",
            ),
            CatalogueEntry(
                code=Code.TGD_TEST_OK, priority=5, told=(Channel.TELEASSISTANCE,),
                urgency="Past", severity="Minor", certainty="Observed",
                label_fr="Essai du téléphone grave danger réussi",
                duty_fr="Rien à faire.",
            ),
            CatalogueEntry(
                code=Code.TGD_TEST_MISSED, priority=4, told=(Channel.TELEASSISTANCE,),
                urgency="Future", severity="Minor", certainty="Observed",
                label_fr="Essai du téléphone grave danger manqué",
                duty_fr="Convenir d'un essai avec la personne protégée.",
            ),
            *(
                CatalogueEntry(
                    code=code, priority=1, told=(Channel.TELEASSISTANCE,),
                    urgency="Immediate", severity="Extreme", certainty="Observed",
                    label_fr=label, duty_fr="Passer au téléphone ; prévenir l'exploitation.",
                )
                for code, label in (
                    (Code.SYS_PIPELINE_LAG, "Retard de traitement du système"),
                    (Code.SYS_NOTIFY_FAIL, "Notification qui n'est pas reçue"),
                    (Code.SYS_CANARY_FAIL, "Binôme témoin resté sans alerte"),
                    (Code.SYS_CAPACITY, "Ressource du système presque pleine"),
                    (Code.SYS_CLOCK, "Horloge du système douteuse"),
                )
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
