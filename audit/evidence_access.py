"""Who has taken the evidence of an alert, and why? DOMAIN section 5, invariant 17.

A package has the places of both, so its export is an access as a reply of the API is one: noted in the record,
linked into the chain of its day. Behind the reading, so that no package has its own access in it (what was taken
out of a second record is what went in, byte for byte), and before a byte leaves: what could not be noted is not
written. It does not come by the log, which may not run where somebody takes evidence.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

from tocsin.adapters.accesses import OFF_THE_LOG, AccessRecord, RecordedAccess
from tocsin.adapters.postgres import Pool
from tocsin.clock import Clock
from tocsin.model.access import PURPOSE, Access
from tocsin.model.ids import derived

ROLE: Final = "evidence"
NAME_MAX: Final = 200  # letters: as whoever places a hold (``tocsin hold``)


def problems_of(by: str, purpose: str) -> list[str]:
    """Everything that is wrong with what somebody typed."""
    problems = []
    if not by.strip() or len(by) > NAME_MAX or not by.isprintable():
        problems.append(f"--by: between 1 and {NAME_MAX} letters, and printable")
    if re.fullmatch(PURPOSE, purpose) is None:
        problems.append(f"--purpose: as alert:ID, measure:ID, audit:REF or incident:REF ({PURPOSE})")
    return problems


async def note(pool: Pool, clock: Clock, alert: str, *, by: str, purpose: str) -> None:
    """It is in the record when this returns. Raises RecordUnavailable: then nothing may leave."""
    read = Access(
        id=derived("acc", secrets.token_hex(16)),
        at_ms=clock.now_ms(),
        who=by,
        role=ROLE,
        what=ROLE,
        objects=(alert,),
        purpose=purpose,
        places=True,
    )
    await AccessRecord(pool, clock=clock).record_accesses([RecordedAccess(sequence=OFF_THE_LOG, access=read)])
