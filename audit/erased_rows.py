"""May rows that no link commits to be gone, and are they? Histories of units; measures and units themselves.

Their erasure is a link, in the chain of the unit or the measure (``tocsin.adapters.erasure``): it must not be too
early nor against a hold, and what it says is gone must be gone. The name that is left of a measure or of a unit
must have such a link. Pure: what is read is handed in.
"""

from __future__ import annotations

from collections.abc import Iterator

from audit.verification import FOREIGN, LINK, NOT_ERASED, ROW_ADDED, ROW_MISSING, Fault
from tocsin.chain import Erasure, Wrong
from tocsin.retention import Keeping

ERASED = "tocsin.erased"


def of_deletion(erasure: Erasure, keeping: Keeping, *, is_left: bool, is_named: bool) -> Iterator[Fault]:
    """``is_left``: of a history, positions stand in its hours. ``is_named``: of a row, its name is kept."""
    link, said = erasure.link, erasure.said
    where = f"{link.chain} {link.number}"
    if why := keeping.of_rows(erasure):
        yield Fault(table=LINK, key=where, wrong=Wrong.DELETION_UNLAWFUL, detail=f"it took rows; {why}")
    if (said.until_ms is not None) != link.source.startswith("deletion:history:"):
        yield Fault(table=LINK, key=where, wrong=FOREIGN, detail="it took other rows than its source says")
    if is_left:
        detail = (
            f"link {link.number} of {link.chain} says they were erased, and positions of these hours are there"
        )
        yield Fault(table="tocsin.fixes", key=link.chain, wrong=NOT_ERASED, detail=detail)
    if said.until_ms is None and not is_named:
        detail = f"link {link.number} of {link.chain} says that it is gone, and its name is not kept"
        yield Fault(table=ERASED, key=link.chain, wrong=ROW_MISSING, detail=detail)


def of_name(what: str, name: str, *, is_proved: bool) -> Fault:
    """Of one that is kept and ought not to be."""
    if is_proved:
        detail = "a link says that it is gone, and the row is there"
        return Fault(table=f"tocsin.{what}", key=name, wrong=NOT_ERASED, detail=detail)
    return Fault(table=ERASED, key=f"{what}/{name}", wrong=ROW_ADDED, detail="no link says that it was erased")


def of_measure(name: str) -> Fault:
    detail = "it was ordered, its row is gone, and nothing says that it was erased"
    return Fault(table="tocsin.measure", key=name, wrong=ROW_MISSING, detail=detail)
