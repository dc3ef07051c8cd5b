"""Rows of the catalogue: what concerns the system itself."""

from __future__ import annotations

from typing import Final

from alerts.catalogue import scripts
from alerts.catalogue.row import CatalogueEntry, Who
from tocsin.model.finding import Code

ROWS: Final = (
    CatalogueEntry(
        code=Code.SYS_FLEET_SILENCE,
        priority=1,
        who=(
            Who.SUPERVISOR,
            Who.TECHNICAL,
            Who.POLICE,
        ),
        urgency="Immediate",
        severity="Extreme",
        certainty="Likely",
        label_fr="Silence simultané d'un groupe de dispositifs",
        trigger="of a carrier, APN, region, firmware or the whole fleet more than max(5, 2 %) are "
        "silent for three intervals, or, earlier, more have missed their report than losses explain",
        trigger_fr="Dans un opérateur, un APN, une région, un micrologiciel ou tout le parc, plus de "
        "max(5, 2 %) se taisent depuis trois intervalles, ou, plus tôt, plus que les pertes n'expliquent.",
        duty_fr="Plan de panne ; traiter les binômes dans l'ordre de la liste, le plus menacé d'abord.",
        script=scripts.OUTAGE,
    ),
    CatalogueEntry(
        code=Code.SYS_PIPELINE_LAG,
        priority=1,
        who=(
            Who.SUPERVISOR,
            Who.TECHNICAL,
        ),
        urgency="Immediate",
        severity="Extreme",
        certainty="Observed",
        label_fr="Retard de traitement du système",
        trigger="messages are judged too late",
        trigger_fr="Les messages sont jugés trop tard.",
        duty_fr="Passer au téléphone ; prévenir l'exploitation.",
        script=scripts.VOICE,
    ),
    CatalogueEntry(
        code=Code.SYS_NOTIFY_FAIL,
        priority=1,
        who=(
            Who.SUPERVISOR,
            Who.TECHNICAL,
        ),
        urgency="Immediate",
        severity="Extreme",
        certainty="Observed",
        label_fr="Notification qui n'est pas reçue",
        trigger="a channel has taken nothing for 15 s",
        trigger_fr="Un canal n'a rien pris depuis 15 s.",
        duty_fr="Passer au téléphone ; prévenir l'exploitation.",
        script=scripts.VOICE,
    ),
    CatalogueEntry(
        code=Code.SYS_CANARY_FAIL,
        priority=1,
        who=(
            Who.SUPERVISOR,
            Who.TECHNICAL,
        ),
        urgency="Immediate",
        severity="Extreme",
        certainty="Observed",
        label_fr="Binôme témoin resté sans alerte",
        trigger="an invented pair crossed and no alert came",
        trigger_fr="Un binôme témoin a franchi et aucune alerte n'est venue.",
        duty_fr="Passer au téléphone ; prévenir l'exploitation.",
        script=scripts.VOICE,
    ),
    CatalogueEntry(
        code=Code.SYS_CAPACITY,
        priority=1,
        who=(
            Who.SUPERVISOR,
            Who.TECHNICAL,
        ),
        urgency="Immediate",
        severity="Extreme",
        certainty="Observed",
        label_fr="Ressource du système presque pleine",
        trigger="a resource of the system is nearly full",
        trigger_fr="Une ressource du système est presque pleine.",
        duty_fr="Passer au téléphone ; prévenir l'exploitation.",
        script=scripts.VOICE,
    ),
    CatalogueEntry(
        code=Code.SYS_CLOCK,
        priority=1,
        who=(
            Who.SUPERVISOR,
            Who.TECHNICAL,
        ),
        urgency="Immediate",
        severity="Extreme",
        certainty="Observed",
        label_fr="Horloge du système douteuse",
        trigger="the system's own clock is in doubt",
        trigger_fr="L'horloge du système est douteuse.",
        duty_fr="Passer au téléphone ; prévenir l'exploitation.",
        script=scripts.VOICE,
    ),
    CatalogueEntry(
        code=Code.SYS_AUDIT,
        priority=1,
        who=(
            Who.SUPERVISOR,
            Who.TECHNICAL,
        ),
        urgency="Immediate",
        severity="Extreme",
        certainty="Observed",
        label_fr="Écart constaté par le contrôle indépendant",
        trigger="what was accepted, decided, sent and kept do not agree, or nobody compares them any more",
        trigger_fr="Ce qui a été reçu, décidé, transmis et conservé ne concorde pas, ou n'est plus comparé.",
        duty_fr="Passer au téléphone ; prévenir l'exploitation.",
        script=scripts.VOICE,
        ours_fr="Un contrôle dont personne n'apprend l'écart n'en est pas un.",
    ),
)
