"""Who has read what of whom, when, and why? DOMAIN section 5, invariant 17.

An ``Access`` is one reply of the API that showed alerts or measures, or one export of evidence: it holds the names
of what was shown and nothing of what was in it.
"""

from __future__ import annotations

from typing import Final

import msgspec

PURPOSE: Final = r"^(alert|measure|audit|incident):[A-Za-z0-9_.-]{1,64}$"
"""The form of a reason: what it is about, and its number there. No name of anybody."""

WHO: Final = "who:"
"""Before the name of a person, among the objects of an access: somebody looked up what that person has read."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """``who`` asked, in which ``role``; ``service``: the account that spoke for him, empty when he spoke himself
    (both are the account's name where a machine reads for nobody in particular). ``what``: the kind of reply.
    ``objects``: the ids of the alerts or measures in it, and ``who:…`` of whose reading it was about.
    ``purpose``: why, as he said (``alert:…``, ``audit:…``), empty when he said nothing. ``places``: the reply had
    coordinates."""

    id: str
    at_ms: int
    who: str
    role: str
    what: str
    objects: tuple[str, ...]
    service: str = ""
    purpose: str = ""
    places: bool = False
