"""Can what the story left behind be proven? Measured at its end by the code of the commands that anybody can type:
``tocsin audit head``, ``tocsin audit verify``, ``tocsin evidence export`` and ``tocsin evidence verify``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from audit.case import check
from audit.commands.audit import headed, verified
from audit.commands.evidence import gathered
from audit.evidence import NoSuchAlert
from audit.package_heads import published_heads
from audit.package_verification import Verdict, verify
from audit.verification import CHAIN, LINK, Fault
from simulator.lab import Laboratory
from tocsin.settings import Settings

Proof = dict[str, Any]


async def proof_of(lab: Laboratory, alerts: Iterable[str]) -> Proof:
    """A head of all that has grown, the whole record, and one package of evidence for each of these alerts."""
    await headed(lab.settings)
    faults: list[Fault] = []
    summary = await verified(lab.settings, None, None, faults)
    verdicts = [await _evidence(lab.settings, alert) for alert in alerts]
    known = [one for one in verdicts if one is not None]
    return {
        "differences": await lab.total("tocsin_audit_differences_total"),
        "chains": summary.checked[CHAIN],
        "links": summary.checked[LINK],
        "faults": summary.faults,
        "named": [f"{one.table} {one.key}: {one.wrong}" for one in faults],
        "packages": len(verdicts),
        "packages_good": sum(one.is_good for one in known),
        "decisions": sum(one.cases for one in known),
        "decided_again": sum(one.replayed or 0 for one in known),
    }


def is_proven(proof: Proof) -> bool:
    """Something was looked at, and nothing of it is wrong."""
    whole = proof["differences"] == proof["faults"] == 0 and proof["chains"] > 0
    return whole and proof["packages_good"] == proof["packages"] > 0 and is_decided_again(proof)


def is_decided_again(proof: Proof) -> bool:
    """Each decision of the geofence, with the same outcome: another one is a fault of its package."""
    are_good = proof["packages_good"] == proof["packages"]
    return bool(are_good and proof["decided_again"] == proof["decisions"] > 0)


async def _evidence(settings: Settings, alert: str) -> Verdict | None:
    """None: the record has nothing of it yet."""
    try:
        package = await gathered(settings, alert, by="demo", purpose=f"alert:{alert}")
    except NoSuchAlert:
        return None
    published = published_heads(settings.published_heads.read_bytes().splitlines(keepends=True))
    return await asyncio.to_thread(lambda: verify(package.lines(), replay=check, published=published))
