"""How many alarms did the operators get, and how many for nothing? F18, F25; the definitions are F39's cure.

Counted in the record, over a window of time:

* an *alarm* is an alert that people were told of: not what an order allowed, not what an incident explained;
* an *actionable* one is P1 to P3, what a human has to act upon within minutes; DOMAIN section 6 asks for at most
  0.5 of these a pair-day;
* *unfounded*: closed by a human as a false alarm, or as technical;
* a *pair-day* is a day of one measure in force;
* a *false call* is an alert of which her own unit was told and that a human then called unfounded.

Times are milliseconds.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tocsin.adapters.postgres import Pool, load_queries, transaction
from tocsin.clock import utc
from tocsin.model.finding import Code

SQL = load_queries("alarm_load.sql")

ACTIONABLE_MAX: Final = 3
WORST_MAX: Final = 10  # "top ten": whoever rings most is whom to look at first


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """The alarms of one code at one priority. ``raisings``: each time that people were told of them."""

    code: Code
    priority: int
    alerts: int
    raisings: int
    unfounded: int
    still_open: int


class FalseCalls(msgspec.Struct, frozen=True, kw_only=True):
    measure: str
    calls: int


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """``subject``: the measure, or the device, that the alerts are about."""

    code: Code
    subject: str
    alerts: int
    raisings: int


class AlarmLoad(msgspec.Struct, frozen=True, kw_only=True):
    """All of one window; the measures and subjects with most of it, WORST_MAX of each."""

    from_ms: int
    to_ms: int
    pairs: int
    pair_days: float
    counted: tuple[Counted, ...]
    false_calls: tuple[FalseCalls, ...]
    sources: tuple[Source, ...]

    @property
    def actionable(self) -> int:
        return sum(one.alerts for one in self.counted if one.priority <= ACTIONABLE_MAX)

    @property
    def actionable_per_pair_day(self) -> float | None:
        """None without a pair."""
        return self.actionable / self.pair_days if self.pair_days else None


class AlarmLoadRecord:
    """Reads it. Raises RecordUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def between(self, from_ms: int, to_ms: int) -> AlarmLoad:
        """Of the alerts opened in ``[from_ms, to_ms)``."""
        values = {"from": utc(from_ms), "to": utc(to_ms), "limit": WORST_MAX}
        async with transaction(self._pool) as connection:
            counted = await (await connection.execute(SQL["by_code"], values)).fetchall()
            of_pairs = await (await connection.execute(SQL["pair_days"], values)).fetchone()
            called = await (await connection.execute(SQL["false_calls"], values)).fetchall()
            sources = await (await connection.execute(SQL["sources"], values)).fetchall()
        assert of_pairs is not None
        return AlarmLoad(
            from_ms=from_ms,
            to_ms=to_ms,
            pairs=of_pairs[1],
            pair_days=float(of_pairs[0]),
            counted=tuple(_counted(*row) for row in counted),
            false_calls=tuple(FalseCalls(measure=measure, calls=calls) for measure, calls in called),
            sources=tuple(
                Source(code=Code(code), subject=subject, alerts=alerts, raisings=int(raisings))
                for code, subject, alerts, raisings in sources
            ),
        )


def _counted(code: str, priority: int, alerts: int, raisings: int, unfounded: int, still_open: int) -> Counted:
    return Counted(
        code=Code(code),
        priority=priority,
        alerts=alerts,
        raisings=int(raisings),
        unfounded=unfounded,
        still_open=still_open,
    )
