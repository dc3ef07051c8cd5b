"""What did one input give: what was found, ordered, and what became of the fixes?"""

from __future__ import annotations

import msgspec

from tocsin.model.command import Command
from tocsin.model.finding import Finding
from tocsin.model.standing import Standing


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the fixes of one step; without the flags, the sum is the size of the batch.

    ``applied``: believed; ``late``: history; ``poor``, ``implausible``: heard, held against the rings and not
    believed; ``presence``: messages without a position. Flags: ``ahead`` of its own reception (taken as of it);
    ``frozen``: the place repeated by a unit that says it moves.
    """

    applied: int = 0
    duplicate: int = 0
    out_of_order: int = 0
    late: int = 0
    poor: int = 0
    implausible: int = 0
    presence: int = 0
    stranger: int = 0
    ahead: int = 0
    frozen: int = 0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one input gave. ``broken``: the measures that became unprotected because their rules failed."""

    findings: tuple[Finding, ...] = ()
    commands: tuple[Command, ...] = ()
    standings: tuple[Standing, ...] = ()
    counts: Counts = Counts()
    broken: tuple[str, ...] = ()
