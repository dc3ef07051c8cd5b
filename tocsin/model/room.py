"""Which command room answers for a place, and what is it called?

One room of each force in a department: CIC-13 of the national police, CORG-13 of the gendarmerie. Paris and the
three departments around it are one room, that of the préfecture de police. Departments are those of the INSEE
code of a commune: 2A, 2B, 971 to 976.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

DEFAULT_ROOM: Final = "default"
"""Whoever answers where no room is known: told rather than nobody."""

SECOND: Final = "second"
"""The second endpoint of the téléassistance, at its back-up site."""

ROOM_NAME: Final = re.compile(r"[A-Z]{2,8}-[0-9A-Z]{2,4}")
"""No space and no comma: it stands in a list of CAP addresses."""

PREFECTURE_DE_POLICE: Final = frozenset({"75", "92", "93", "94"})


class Force(StrEnum):
    """The words of the ministry's file of competences."""

    POLICE = "PN"
    GENDARMERIE = "GN"


ROOM_KIND: Final = {Force.POLICE: "CIC", Force.GENDARMERIE: "CORG"}


def department_of(commune: str) -> str:
    """``13055`` -> ``13``, ``2A004`` -> ``2A``, ``97411`` -> ``974``."""
    return commune[:3] if commune.startswith(("97", "98")) else commune[:2]


def room_of(commune: str, force: Force) -> str:
    """The room that answers for this commune (INSEE code)."""
    department = department_of(commune)
    if department in PREFECTURE_DE_POLICE:
        return "CIC-75"
    return f"{ROOM_KIND[force]}-{department}"
