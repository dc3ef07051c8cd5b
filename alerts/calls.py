"""When may the wearer be called about a pre-alert? (F34: the call itself tells him that he is 2 d_A from her)

At a random hour between the crossing and the limit that the geofence found safe (``Finding.call_by_ms``). At that
limit if he has come and gone from another side before: this call would be the second circle about her, and who
turns back without one has learnt nothing. At once where there is no limit: too near, too fast, or in doubt. The
hour follows from a secret and the finding: the same wherever it is ruled upon, and nobody can compute it without
the secret. It binds the call to *him* alone: the operator sees the alert at once, and IMMINENT or an alert
overrides it.

Pure; milliseconds.
"""

from __future__ import annotations

import hashlib
import hmac

from tocsin.model.finding import Change, Finding

NO_KEY = b""


def not_before_ms(finding: Finding, key: bytes) -> int | None:
    """The earliest hour of the call; None: at once. Without a key there is no chance, and nobody waits."""
    if finding.call_by_ms is None or finding.change is not Change.ENTRY or key == NO_KEY:
        return None
    if finding.other_side:
        return finding.call_by_ms
    drawn = int.from_bytes(hmac.digest(key, finding.id.encode(), hashlib.sha256)[:8])
    return finding.at_ms + drawn % (finding.call_by_ms - finding.at_ms + 1)
