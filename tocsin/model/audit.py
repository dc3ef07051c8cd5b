"""What does the independent auditor hear that no other part needs?"""

from __future__ import annotations

import msgspec


class WireAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One request to an endpoint that was really answered. ``notification``: its ``webhook-id``; ``line``: the
    endpoint's word (``teleassistance-second``, ``police-CIC-13``), never its address."""

    notification: str
    line: str
    status: int
    at_ms: int


class WireAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """Some of them, of one life of one courier, which began at ``since_ms``; none: a life that begins.
    ``missed``: how many were noted and could not be kept while the log was away."""

    since_ms: int
    at_ms: int
    answers: tuple[WireAnswer, ...] = ()
    missed: int = 0
