"""Rows of the catalogue: a key that somebody pressed, and two units that hear each other."""

from __future__ import annotations

from typing import Final

from alerts.catalogue import scripts
from alerts.catalogue.row import CatalogueEntry, Report, Who
from tocsin.model.finding import Code

ROWS: Final = (
    CatalogueEntry(
        code=Code.TGD_SOS,
        priority=1,
        who=(
            Who.TELEASSISTANT,
            Who.SUPERVISOR,
        ),
        urgency="Immediate",
        severity="Extreme",
        certainty="Observed",
        label_fr="SOS téléphone grave danger",
        trigger="the key of a TGD",
        trigger_fr="La touche d'un téléphone grave danger.",
        duty_fr="Répondre sous 10 s, lever le doute, localiser, transmettre au CIC ou au CORG.",
        script=scripts.KEY,
        hand_off=True,
    ),
    CatalogueEntry(
        code=Code.TGD_SOS_SILENT,
        priority=1,
        who=(
            Who.TELEASSISTANT,
            Who.SUPERVISOR,
        ),
        urgency="Immediate",
        severity="Extreme",
        certainty="Observed",
        label_fr="SOS téléphone grave danger, silencieux",
        trigger="the key of a TGD, and no voice for 10 s or a call that was cut",
        trigger_fr="La touche d'un téléphone grave danger, sans voix pendant 10 s ou appel coupé.",
        duty_fr="Garder la ligne ouverte ; transmettre au CIC ou au CORG avec la dernière position.",
        script=scripts.KEY_SILENT,
        hand_off=True,
    ),
    CatalogueEntry(
        code=Code.BAR_SOS,
        priority=1,
        who=(
            Who.TELEASSISTANT,
            Who.MONITOR,
            Who.SUPERVISOR,
        ),
        urgency="Immediate",
        severity="Extreme",
        certainty="Observed",
        label_fr="SOS de la personne protégée (BAR)",
        trigger="the protected person pressed her key",
        trigger_fr="La personne protégée a appuyé sur sa touche.",
        duty_fr="Répondre sous 10 s, lever le doute, localiser, transmettre au CIC ou au CORG.",
        script=scripts.KEY_BAR,
        hand_off=True,
    ),
    CatalogueEntry(
        code=Code.RF_PROXIMITY,
        priority=1,
        who=(
            Who.TELEASSISTANT,
            Who.MONITOR,
        ),
        urgency="Immediate",
        severity="Extreme",
        certainty="Observed",
        label_fr="Les deux unités se captent par radio",
        trigger="the two units hear each other by radio",
        trigger_fr="Les deux unités se captent par radio.",
        duty_fr="Agir comme en présence d'un contact : personne protégée, puis CIC ou CORG.",
        script=scripts.CONTACT,
        report=(Report.BURDEN,),
        rings_protected=True,
    ),
)
