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
from tocsin.model.episode import Channel

COMMAND: Final = "python -m alerts.catalogue.page docs/alerts.md"

LETTERS_FR: Final = ", ".join(f"**{who.value}** {WHO_FR[who]}" for who in Who)

HEAD: Final = f"""# Les alertes, code par code

Page produite par `{COMMAND}` à partir de `alerts/catalogue` : ne pas la
modifier à la main.

Lettres : {LETTERS_FR}.
« Prévenus » : qui est prévenu à la levée ; sans lettre, le message est automatique. La
téléassistance voit toutes les alertes.

Les délais de la priorité sont dans [le domaine](domain.md), section 2 ; les règles communes à tous les
codes, section 4.

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


def page() -> str:
    families = "\n".join(_family(title, rows) for title, rows in FAMILIES.items())
    return f"{HEAD}\n{_table()}\n{families}"


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
