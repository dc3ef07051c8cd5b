"""How does the catalogue look as a page of the docs? In French, for who answers.

    python -m alerts.catalogue.page docs/alerts.md

A test fails when the page is not what this makes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from alerts.catalogue import CATALOGUE, FAMILIES
from alerts.catalogue.row import WHO_FR, CatalogueEntry, Follows, Report, Rooms, Step, Who
from alerts.escalation import HER_UNIT_AFTER_S, LADDERS, NO_ANSWER_AFTER_S, Climb
from tocsin.limits import ACK_EXPIRES_S
from tocsin.model.episode import Channel, Rung

COMMAND: Final = "python -m alerts.catalogue.page docs/alerts.md"

LETTERS_FR: Final = ", ".join(f"**{who.value}** {WHO_FR[who]}" for who in Who)

HEAD: Final = f"""# Les alertes, code par code

Page produite par `{COMMAND}` à partir de `alerts/catalogue` : ne pas la
modifier à la main.

Lettres : {LETTERS_FR}.
« Prévenus » : qui est prévenu à la levée ; sans lettre, le message est automatique. La
téléassistance voit toutes les alertes.

Les délais de remise de chaque priorité sont dans [le domaine](domain.md), section 2 ; les règles
communes à tous les codes, section 4.

Une pré-alerte franchie ou un silence n'est jamais consigné comme une violation (R24-20). Ce qui est dit au porteur
ne donne ni direction, ni distance, ni lieu, ni heure.
"""

CHANNEL_FR: Final = {
    Channel.TELEASSISTANCE: "téléassistance",
    Channel.POLICE: "police",
    Channel.UNIT: "unité de la personne protégée",
    Channel.OPERATIONS: "exploitation",
}
FOLLOWS_FR: Final = {
    Follows.BLIND_RISK: "selon le délai avant risque aveugle",
    Follows.DISTANCE: "selon la distance possible",
}
REPORT_FR: Final = {
    Report.BURDEN: "compte dans le bilan de charge de la mesure (R24-22)",
    Report.JUDGE: "magistrat et SPIP",
    Report.PROSECUTOR: "parquet, à chaque fois, dans une mesure civile (CPC 1136-19)",
}
ROOMS_FR: Final = {
    Rooms.NONE: "",
    Rooms.PLACE: "salles du lieu, au moment et avec la mention que fixe le mode du déploiement",
    Rooms.EVERY: "toutes les salles qui ont une adresse, et le destinataire par défaut, sans attendre",
}

RUNG_FR: Final = {
    Rung.OPERATORS: "tous les opérateurs en poste",
    Rung.SUPERVISOR: "superviseur",
    Rung.BACKUP_SITE: "site de secours (second point de réception de la téléassistance)",
    Rung.POLICE: "salles de police du lieu, « non vérifié » (mode `auto_on_timeout`)",
    Rung.URGENT: "devient P1 si le porteur approche encore, ou si on ne le sait pas",
}
LADDER_HEAD: Final = """## Quand personne ne la prend

Une alerte P1 à P3 appelle d'autres humains tant que personne ne l'a prise. À 0 s, la téléassistance est
prévenue ; ensuite, en secondes depuis que l'alerte attend, elle l'est de nouveau par un message
`org.tocsin.alert.escalated` dont `audience` dit qui doit la regarder :
"""
LADDER_FOOT: Final = f"""
* **Prise en charge** : un humain nommé, pour {ACK_EXPIRES_S} s ; chaque action la renouvelle. Sans action elle
  expire : l'alerte est de nouveau à tous et l'échelle recommence à 0, comme après une remise en file. Une alerte
  devenue plus urgente la recommence aussi ; une nouvelle levée ne la retarde pas.
* **Police** : ce délai n'est pas arrêté par la prise en charge mais par une *décision* : la transmission, ou
  « police pas nécessaire ». Il court depuis que l'alerte est P1. Les autres modes : [police.md](police.md).
* **Terminée dans les faits** : une P1 continue d'appeler des humains, car seul un humain la clôt ; la police et
  toute échelle de P2 et P3 s'arrêtent. Une touche pressée n'est jamais terminée d'elle-même. P4 et P5 n'ont pas
  d'échelle.
* **Unité de la personne protégée** : elle sonne quand l'alerte est confirmée par un second relevé ou par un
  humain, sinon après {HER_UNIT_AFTER_S} s si elle dure ; elle dit la fin dès la décision qui y met fin.
* **Pré-alerte** : appels au porteur sans réponse pendant {NO_ANSWER_AFTER_S} s, refus, ou approche qui se
  poursuit {NO_ANSWER_AFTER_S} s après l'ordre de faire demi-tour : elle devient `PREALERT_NO_ANSWER`, P1.
"""


def page() -> str:
    families = "\n".join(_family(title, rows) for title, rows in FAMILIES.items())
    return f"{HEAD}\n{_table()}\n{_ladders()}\n{families}"


def _ladders() -> str:
    rows = "".join(
        f"| P{priority} | {climb.after_s} s | {RUNG_FR[climb.rung]} |\n"
        for priority, climb in sorted(_climbs(), key=lambda one: (one[0], one[1].after_s))
    )
    return f"{LADDER_HEAD}\n| Priorité | Après | Qui, ou quoi |\n|---|---|---|\n{rows}{LADDER_FOOT}"


def _climbs() -> Iterator[tuple[int, Climb]]:
    return ((priority, climb) for priority, ladder in LADDERS.items() for climb in ladder)


def _table() -> str:
    head = "| Code | Alerte | Priorité | Prévenus | Canaux |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| [`{row.code}`](#{row.code.lower()}) | {row.label_fr} | {priority_fr(row)} | {_letters(row)} "
        f"| {', '.join(CHANNEL_FR[one] for one in row.told)} |\n"
        for row in CATALOGUE.values()
    )


def priority_fr(row: CatalogueEntry) -> str:
    """``P2`` or ``P2 → P1``, the usual one first."""
    usual, others = row.priority, [one for one in row.priorities if one != row.priority]
    return " → ".join(f"P{one}" for one in (usual, *others))


def _letters(row: CatalogueEntry) -> str:
    return ", ".join(row.who) or "–"


def _family(title: str, rows: tuple[CatalogueEntry, ...]) -> str:
    return f"## {title}\n\n" + "\n".join(_section(row) for row in rows)


def _section(row: CatalogueEntry) -> str:
    return (
        f"### {row.code}\n\n**{row.label_fr}.** {row.trigger_fr}\n\n"
        + "".join(f"* {line}\n" for line in _lines(row))
        + _script(row)
    )


def _lines(row: CatalogueEntry) -> Iterator[str]:
    follows = f", {FOLLOWS_FR[row.follows]}" if row.follows else ""
    yield f"Priorité : {priority_fr(row)}{follows}."
    yield f"À faire : {row.duty_fr}"
    if row.rooms is not Rooms.NONE:
        yield f"Police : {ROOMS_FR[row.rooms]}."
    yield f"Compte rendu : {' ; '.join(REPORT_FR[one] for one in row.report) or 'aucun'}."
    if row.latched:
        yield "Maintenue : aucun message de l'unité n'y met fin."
    if row.automatic:
        yield "Close dès qu'elle est dite : personne n'a à la prendre."
    if row.fault:
        yield "Défaut : ouvert depuis 24 h, il lève `OPEN_FAULT_24H`."
    if row.ours_fr:
        yield f"Code propre à Tocsin. {row.ours_fr}"


def _script(row: CatalogueEntry) -> str:
    if not row.script:
        return ""
    return "\nConduite à tenir :\n\n" + "".join(
        f"{number}. {_step(step)}\n" for number, step in enumerate(row.script, 1)
    )


def _step(step: Step) -> str:
    within = "" if step.within_s is None else f" ({step.within_s} s au plus)"
    said = "" if step.say_fr is None else f" « {step.say_fr} »"
    return f"**{step.who}**{within} {step.do_fr}{said} `{step.id}`"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
