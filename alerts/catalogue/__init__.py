"""What is each alert code: how urgent, who is told, what must an operator do, what is reported? (DOMAIN section 4)

Data only. The desk reads it; ``alerts.catalogue.page`` prints it as a page of the docs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from alerts.catalogue import administrative, keys, nearness, system, units
from alerts.catalogue.row import (
    INSPECTION_FR,
    NO_BREACH_FR,
    CatalogueEntry,
    Follows,
    Report,
    Rooms,
    Step,
    Who,
)
from tocsin.model.finding import Code

__all__ = [
    "CATALOGUE", "FAMILIES", "INSPECTION_FR", "LIKELY", "NO_BREACH_FR", "UNTOLD", "CatalogueEntry", "Follows",
    "Report", "Rooms", "Step", "Who", "certainty_of",
]  # fmt: skip

LIKELY: Final = "Likely"

FAMILIES: Final[Mapping[str, tuple[CatalogueEntry, ...]]] = MappingProxyType(
    {
        "Rapprochement et lieux": nearness.ROWS,
        "Touches et contact radio": keys.ROWS,
        "Unités": units.ROWS,
        "Suivi administratif": administrative.ROWS,
        "Le système lui-même": system.ROWS,
    }
)
"""The rows as they are printed, by the title of their family."""

CATALOGUE: Final[Mapping[Code, CatalogueEntry]] = MappingProxyType(
    {row.code: row for rows in FAMILIES.values() for row in rows}
)

UNTOLD: Final = frozenset({Code.UNCERTAIN, Code.EVIDENTIAL_BREACH})
"""Findings that open no alert of their own: a state that is shown, a proof that is kept."""

assert set(CATALOGUE) | UNTOLD == set(Code), "every code has its row"


def certainty_of(code: Code, *, low_confidence: bool) -> str:
    """CAP's word for one raising. Only what would be observed can be less than that."""
    certainty = CATALOGUE[code].certainty
    return LIKELY if low_confidence and certainty == "Observed" else certainty
