"""Which figures does the record give of a time: alarms by slot, latencies by stage? Definitions: F39's cure.

What they mean is said where they are judged (``alerts.alarm_rates``, ``alerts.service_levels``,
``alerts.burden``). Times are milliseconds; a window has its beginning and not its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from tocsin.adapters.postgres import Pool, Row, load_queries, transaction
from tocsin.clock import MS, utc
from tocsin.model.finding import Code

SQL = load_queries("figures.sql")

RAISED_AGAIN_WITHIN_MS: Final = 31 * 86_400 * MS
"""How long before the window an alert may have been opened whose raisings in it are counted."""
PRIORITY_MAX: Final = 4
WORST_MAX: Final = 10


class Repeated(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that was raised several times; ``hours_ms`` of its raisings, as far as it remembers them."""

    alert: str
    code: Code
    subject: str
    hours_ms: tuple[int, ...]


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of one stage, by the share of the alerts that took no longer."""

    priority: int
    stage: str
    alerts: int
    measured: dict[float, int]


class Slow(msgspec.Struct, frozen=True, kw_only=True):
    """One of the slowest alerts of the window, t3 to t8."""

    alert: str
    code: Code
    priority: int
    t3_t8_ms: int


class FiguresRecord:
    """Reads them. Raises RecordUnavailable from every method."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def alarms_by_slot(self, from_ms: int, to_ms: int, *, slot_s: int) -> dict[tuple[int, int], int]:
        """Alarms by (slot, priority); slot 0 begins at ``from_ms``."""
        values = _window(from_ms, to_ms) | {"slot_s": slot_s, "priority_max": PRIORITY_MAX}
        return {(slot, priority): alarms for slot, priority, alarms in await self._rows("alarms_by_slot", values)}

    async def repeated(self, from_ms: int, to_ms: int, *, raises: int, limit: int) -> list[Repeated]:
        """Alerts opened in the window that were raised ``raises`` times or more, the most often raised first."""
        values = _window(from_ms, to_ms) | {"raises": raises, "limit": limit}
        return [
            Repeated(alert=alert, code=Code(code), subject=subject, hours_ms=tuple(hours))
            for alert, code, subject, hours in await self._rows("repeated", values)
        ]

    async def standing(self, from_ms: int, to_ms: int, *, stands_s: int) -> dict[int, int]:
        """How many stood open so long within the window, by priority."""
        values = _window(from_ms, to_ms) | {"stands_s": stands_s}
        return dict(await self._rows("standing", values))

    async def stages(self, from_ms: int, to_ms: int, *, shares: Sequence[float]) -> list[Stage]:
        """Every stage that any alert of the window has passed, by priority."""
        values = _window(from_ms, to_ms) | {"shares": list(shares)}
        return [
            Stage(
                priority=priority,
                stage=stage,
                alerts=alerts,
                measured=dict(zip(shares, measured, strict=True)),
            )
            for priority, stage, alerts, measured in await self._rows("stages", values)
        ]

    async def slowest(self, from_ms: int, to_ms: int) -> list[Slow]:
        values = _window(from_ms, to_ms) | {"limit": WORST_MAX}
        return [
            Slow(alert=alert, code=Code(code), priority=priority, t3_t8_ms=ms)
            for alert, code, priority, ms in await self._rows("slowest", values)
        ]

    async def shown_her(self, measure: str, from_ms: int, to_ms: int) -> frozenset[str]:
        """The ids of the alerts of this measure that her unit has shown."""
        values = _window(from_ms, to_ms) | {"measure": measure}
        return frozenset(episode for (episode,) in await self._rows("shown_her", values))

    async def _rows(self, name: str, values: Mapping[str, Any]) -> list[Row]:
        async with transaction(self._pool) as connection:
            return await (await connection.execute(SQL[name], values)).fetchall()


def _window(from_ms: int, to_ms: int) -> dict[str, Any]:
    return {"from": utc(from_ms), "to": utc(to_ms), "opened_from": utc(from_ms - RAISED_AGAIN_WITHIN_MS)}
