"""Rows of the catalogue: what is found between two parties, and at the places of an order."""

from __future__ import annotations

from typing import Final

from alerts.catalogue import scripts
from alerts.catalogue.row import NO_BREACH_FR, CatalogueEntry, Follows, Report, Who
from tocsin.model.finding import Code

ROWS: Final = (
    CatalogueEntry(
        code=Code.PROX_ALERT,
        priority=1,
        who=(
            Who.TELEASSISTANT,
            Who.MONITOR,
            Who.SUPERVISOR,
        ),
        urgency="Immediate",
        severity="Extreme",
        certainty="Observed",
        label_fr="Zone d'alerte franchie",
        trigger="the wearer entered the alert distance",
        trigger_fr="Le porteur est entré dans la distance d'alerte.",
        duty_fr="Appeler la personne protégée et la mettre en sécurité ; transmettre au CIC ou au CORG.",
        script=scripts.CROSSED,
        report=(
            Report.BURDEN,
            Report.PROSECUTOR,
        ),
        hand_off=True,
    ),
    CatalogueEntry(
        code=Code.PROX_PREALERT,
        priority=2,
        who=(Who.MONITOR,),
        urgency="Expected",
        severity="Severe",
        certainty="Observed",
        label_fr="Zone de pré-alerte franchie",
        trigger="the wearer entered the pre-alert distance",
        trigger_fr="Le porteur est entré dans la distance de pré-alerte, le double de la distance d'alerte.",
        duty_fr="Appeler le porteur à l'heure indiquée, sinon sous 30 s, et lui ordonner de "
        "s'éloigner, sans direction ni distance.",
        script=scripts.PREALERT,
        report=(Report.BURDEN,),
    ),
    CatalogueEntry(
        code=Code.PREALERT_NO_ANSWER,
        priority=1,
        who=(
            Who.TELEASSISTANT,
            Who.MONITOR,
        ),
        urgency="Immediate",
        severity="Extreme",
        certainty="Likely",
        label_fr="Pré-alerte sans réponse du porteur",
        trigger="a pre-alert: his calls unanswered for 60 s, a refusal, or still closing 60 s after the order",
        trigger_fr="Pré-alerte : appels sans réponse pendant 60 s, refus, ou rapprochement qui continue "
        "60 s après l'ordre.",
        duty_fr="Appeler la personne protégée et la mettre en sécurité ; transmettre au CIC ou au CORG.",
        script=scripts.NO_ANSWER,
        report=(Report.BURDEN,),
        hand_off=True,
    ),
    CatalogueEntry(
        code=Code.IMMINENT,
        priority=2,
        who=(
            Who.MONITOR,
            Who.TELEASSISTANT,
        ),
        urgency="Immediate",
        severity="Severe",
        certainty="Likely",
        label_fr="Entrée imminente en zone d'alerte",
        trigger="in the pre-alert ring and on the way to reach the alert distance within 120 s",
        trigger_fr="En pré-alerte, et à la distance d'alerte dans moins de 120 s à cette allure.",
        duty_fr="Appeler le porteur sans plus attendre ; préparer l'appel à la personne protégée et "
        "l'alerte du CIC ou du CORG.",
        script=scripts.IMMINENT,
        report=(Report.BURDEN,),
    ),
    CatalogueEntry(
        code=Code.DEGRADED,
        priority=2,
        worst=1,
        follows=Follows.BLIND_RISK,
        who=(
            Who.MONITOR,
            Who.TELEASSISTANT,
        ),
        urgency="Expected",
        severity="Severe",
        certainty="Possible",
        label_fr="Protection dégradée",
        trigger="for 60 s nobody can say inside or outside",
        trigger_fr="Depuis 60 s, nul ne peut dire s'il est dedans ou dehors.",
        duty_fr="Prévenir la personne protégée ; appeler le porteur.",
        script=scripts.DEGRADED,
        fault=True,
    ),
    CatalogueEntry(
        code=Code.ZONE_CORE_ENTRY,
        priority=1,
        who=(
            Who.MONITOR,
            Who.TELEASSISTANT,
        ),
        urgency="Immediate",
        severity="Extreme",
        certainty="Observed",
        label_fr="Porteur dans un lieu de vie de la personne protégée",
        trigger="he is, or must have been, in her home, work or school",
        trigger_fr="Il est, ou a dû être, dans son domicile, son travail ou l'école.",
        duty_fr="Appeler la personne protégée et la mettre en sécurité ; transmettre au CIC ou au CORG.",
        script=scripts.CROSSED,
        report=(Report.PROSECUTOR,),
        hand_off=True,
    ),
    CatalogueEntry(
        code=Code.ZONE_ENTRY,
        priority=2,
        who=(Who.MONITOR,),
        urgency="Expected",
        severity="Severe",
        certainty="Observed",
        label_fr="Porteur dans un lieu interdit",
        trigger="the same of another place that he must keep out of",
        trigger_fr="De même pour un autre lieu qui lui est interdit.",
        duty_fr="Appeler le porteur et lui ordonner de quitter le lieu.",
        script=scripts.PLACE,
        report=(Report.JUDGE,),
    ),
    CatalogueEntry(
        code=Code.ZONE_PREALERT,
        priority=3,
        who=(Who.MONITOR,),
        urgency="Expected",
        severity="Moderate",
        certainty="Observed",
        label_fr="Porteur aux abords d'un lieu interdit",
        trigger="he is nearer to a ban than its buffer",
        trigger_fr="Il est plus près d'un lieu interdit que la marge de ce lieu.",
        duty_fr=f"Suivre sa progression, sans lui nommer le lieu. {NO_BREACH_FR}",
        script=scripts.PLACE_NEAR,
        ours_fr="La marge d'un lieu est dans l'ordonnance : un avertissement avant l'entrée, comme la "
        "pré-alerte avant l'alerte.",
    ),
    CatalogueEntry(
        code=Code.ZONE_EXIT,
        priority=3,
        who=(Who.MONITOR,),
        urgency="Expected",
        severity="Moderate",
        certainty="Observed",
        label_fr="Porteur hors du lieu où il doit être",
        trigger="he has left a place where he must be",
        trigger_fr="Il a quitté un lieu où il doit être.",
        duty_fr="Appeler le porteur et lui ordonner d'y retourner.",
        script=scripts.STAY,
        report=(Report.JUDGE,),
    ),
    CatalogueEntry(
        code=Code.PROBING,
        priority=3,
        who=(Who.SUPERVISOR,),
        urgency="Expected",
        severity="Moderate",
        certainty="Possible",
        label_fr="Entrées brèves répétées, de plusieurs côtés",
        trigger="within a week he came into the pre-alert ring and turned back, without an alert, on "
        "three sides of her, 25 degrees or more apart",
        trigger_fr="En une semaine, entré en pré-alerte puis reparti, sans alerte, de trois côtés "
        "espacés d'au moins 25 degrés.",
        duty_fr="Superviseur : examiner, prévenir le SPIP. Ne plus appeler le porteur au seul "
        "franchissement de la pré-alerte : il en déduirait où elle est. "
        f"Entrée imminente ou alerte : comme toujours. {NO_BREACH_FR}",
        script=scripts.REVIEW,
        report=(
            Report.BURDEN,
            Report.JUDGE,
        ),
    ),
    CatalogueEntry(
        code=Code.PAST_INCURSION,
        priority=4,
        who=(Who.SUPERVISOR,),
        urgency="Past",
        severity="Moderate",
        certainty="Observed",
        label_fr="Incursion passée, établie par des positions reçues tard",
        trigger="fixes that came late show that he was within the alert distance, and no live alert overlaps it",
        trigger_fr="Des positions reçues tard montrent qu'il était dans la distance d'alerte, sans "
        "alerte à cette heure.",
        duty_fr="Aucune alerte en cours : ne pas alerter le CIC ni le CORG. Consigner et rendre compte.",
        script=scripts.RECORD,
        report=(
            Report.BURDEN,
            Report.PROSECUTOR,
        ),
        ours_fr="Ce qui est reçu tard ne lève aucune alerte et ne se perd pas : il faut un lieu où le "
        "dire, de nature passée.",
    ),
)
