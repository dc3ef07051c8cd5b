"""Which lines carry a notification now, and when is that to be asked again? The rule of DOMAIN section 2.

A notification has up to three lines in order, and hours that are counted from its ruling (t6; what lies before is
tens of milliseconds, or a hold that the domain allows). Each line runs on its own ladder of retries
(``alerts.retries``); this file says when the next line begins *beside* those that run, and never stops one:

* when what is left of the budget of the newest line is less than that line's usual time: P1 is to be accepted
  within 2 s, so the second line begins 2 s less the usual time of the first behind the ruling;
* at 5 s and at 10 s at the latest (P1 and P2); what is less urgent has its own budgets and no other bound;
* at once, when the newest line has ended.

It is *settled* when a line that settles has taken it: the recipient's own line or its second one. Somebody else
who took it, operations or the default recipient of the police, ends his own line and nothing beside it.
Milliseconds of the deployment's clock; pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tocsin.clock import MS
from tocsin.limits import WEBHOOK_TIMEOUT_S

USUAL_OF: Final = 32  # newest accepted times: half a minute of a busy night, and forgotten within an hour
USUAL_KNOWN_FROM: Final = 8  # with fewer a percentile is one call's accident
USUAL_FIRST_MS: Final = 500  # a new TLS connection across the country and a slow platform
USUAL_MAX_MS: Final = int(WEBHOOK_TIMEOUT_S * MS)  # what takes longer was no acceptance
USUAL_SHARE: Final = 0.9

HEAD_START_MS: Final = 250
"""What a line is given before the next one begins, however late the courier is: back from a pause it would tell
everything to everybody, and the first line of a recipient that is well answers within that."""
FAILS_AFTER_BEGUN_MS: Final = 5 * MS  # the same for SYS_NOTIFY_FAIL: not said of what was not tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Of one priority. ``budgets_s``: until when the first and the second line should have had an answer;
    ``latest_s``: when the line behind each begins at the latest; ``fails_s``: when SYS_NOTIFY_FAIL is said."""

    budgets_s: tuple[float, ...]
    latest_s: tuple[float, ...]
    fails_s: float | None = None


PATIENCE: Final[Mapping[int, Patience]] = MappingProxyType(
    {
        # The p99 and the p99.9 of the class, so that the lines behind the first are what holds them; the hard
        # bounds are 10 s and 20 s. The 5 / 10 / 15 s rule is about P1 and P2.
        1: Patience(budgets_s=(2, 5), latest_s=(5, 10), fails_s=15),
        2: Patience(budgets_s=(3, 10), latest_s=(5, 10), fails_s=15),
        3: Patience(budgets_s=(10, 30), latest_s=(10, 30)),
        # Of P4 and P5 section 2 requires one bound each, the p99. The second budget is our own: nobody is paged
        # for an administrative message, and it does not wait three days for an endpoint that was moved.
        4: Patience(budgets_s=(60, 300), latest_s=(60, 300)),
        5: Patience(budgets_s=(300, 900), latest_s=(300, 900)),
    }
)
LINES_MAX: Final = 3

assert all(len(one.budgets_s) == len(one.latest_s) == LINES_MAX - 1 for one in PATIENCE.values())


@dataclass(slots=True, kw_only=True)
class LineState:
    """One line of one notification. ``ended``: nothing more is tried on it; ``took``: it was accepted there."""

    usual_ms: int
    settles: bool = True
    begun_ms: int | None = None
    ended: bool = False
    took: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``begin``: which line to begin now. ``look_ms``: when to ask again, whatever happens; None: only when
    something does. ``failed``: it should have been received by now."""

    begin: int | None = None
    look_ms: int | None = None
    failed: bool = False


def plan(lines: Sequence[LineState], priority: int, zero_ms: int, now_ms: int) -> Plan:
    """What to do at ``now_ms`` about a notification ruled at ``zero_ms``. ``lines`` are in order; they are begun
    in order."""
    if is_settled(lines):
        return Plan()
    fails_ms = _fails_ms(lines, priority, zero_ms)
    failed = fails_ms is not None and now_ms >= fails_ms
    begun = sum(one.begun_ms is not None for one in lines)
    hours = [] if fails_ms is None or failed else [fails_ms]
    if begun < len(lines):
        due_ms = _due_ms(lines, begun, priority, zero_ms, now_ms)
        if due_ms <= now_ms:
            return Plan(begin=begun, look_ms=now_ms, failed=failed)
        hours.append(due_ms)
    return Plan(look_ms=min(hours, default=None), failed=failed)


def is_settled(lines: Sequence[LineState]) -> bool:
    return any(one.took and one.settles for one in lines)


def _due_ms(lines: Sequence[LineState], begun: int, priority: int, zero_ms: int, now_ms: int) -> int:
    if begun == 0:
        return now_ms
    newest, patience = lines[begun - 1], PATIENCE[priority]
    assert newest.begun_ms is not None
    if newest.ended:
        return now_ms
    left_ms = int(patience.budgets_s[begun - 1] * MS) - newest.usual_ms
    latest_ms = int(patience.latest_s[begun - 1] * MS)
    return max(zero_ms + min(left_ms, latest_ms), newest.begun_ms + HEAD_START_MS)


def _fails_ms(lines: Sequence[LineState], priority: int, zero_ms: int) -> int | None:
    fails_s = PATIENCE[priority].fails_s
    first_ms = lines[0].begun_ms if lines else None
    if fails_s is None or first_ms is None:
        return None
    return max(zero_ms + int(fails_s * MS), first_ms + FAILS_AFTER_BEGUN_MS)


def usual_ms(accepted_ms: Sequence[int]) -> int:
    """The time within which a line accepts nine times of ten, by the newest USUAL_OF that it took. A time-out is
    no slow acceptance and is not among them: the ladder answers that."""
    newest = sorted(accepted_ms[-USUAL_OF:])
    if len(newest) < USUAL_KNOWN_FROM:
        return USUAL_FIRST_MS
    return min(USUAL_MAX_MS, newest[math.ceil(USUAL_SHARE * len(newest)) - 1])
