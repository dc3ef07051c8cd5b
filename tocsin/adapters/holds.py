"""What is to be kept although its time is over, on whose word?

A row of ``tocsin.hold`` and a link in the chain of what is held, in one transaction: once when it is placed, once
when it is lifted. The link is a proof and is kept for ever: a reason names a case, and nobody. Milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from tocsin.adapters.history_proof import BY, prove_history
from tocsin.adapters.postgres import Connection, Pool, Row, load_queries, ms_of, transaction
from tocsin.adapters.seals import seal_within
from tocsin.chain import Item, KeptAs, Kind
from tocsin.clock import utc
from tocsin.model.ids import derived
from tocsin.retention import Hold, HoldKind, What
from tocsin.sealing import device_chain, episode_chain, measure_chain

SQL = load_queries("holds.sql")
CHAINS: Final = {What.ALERT: episode_chain, What.MEASURE: measure_chain, What.DEVICE: device_chain}

_encode = msgspec.json.Encoder().encode


class Holds:
    """Raises RecordUnavailable, RecordRefused from every method."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def place(self, *, kind: HoldKind, what: What, subject: str, reason: str, authority: str, by: str,
                    at_ms: int) -> Hold | None:  # fmt: skip
        """None: the record knows no such alert, measure or device."""
        name = derived("hld", kind, what, subject, at_ms, by)
        made = Hold(
            id=name, kind=kind, what=what, subject=subject, reason=reason, authority=authority, placed_by=by,
            placed_ms=at_ms,
        )  # fmt: skip
        async with transaction(self._pool) as connection:
            about = {"what": what.value, "subject": subject}
            row = await (await connection.execute(SQL["since"], about)).fetchone()
            if row is None or row[0] is None:
                return None
            values = {"id": name, "kind": kind.value, "since": row[0], "reason": reason, "authority": authority,
                      "by": by, "at": utc(at_ms), **about}  # fmt: skip
            await connection.execute(SQL["place"], values)
            if what is What.DEVICE:  # what went before this hold has its link before it
                await prove_history(connection, subject, by=BY, now_ms=lambda: at_ms)
            await _seal(connection, made, "placed", at_ms)
        return made

    async def lift(self, hold: str, *, because: str, by: str, at_ms: int) -> Hold | None:
        """None: there is none of that name, or it was lifted before."""
        async with transaction(self._pool) as connection:
            values = {"id": hold, "by": by, "at": utc(at_ms), "because": because}
            if not (await connection.execute(SQL["lift"], values)).rowcount:
                return None
            (lifted,) = await _holds(connection, hold=hold, all_=True)
            await _seal(connection, lifted, "lifted", at_ms)
        return lifted

    async def one(self, hold: str) -> Hold | None:
        async with transaction(self._pool) as connection:
            return next(iter(await _holds(connection, hold=hold, all_=True)), None)

    async def standing(self) -> Sequence[Hold]:
        """In the order in which they were placed."""
        async with transaction(self._pool) as connection:
            return await _holds(connection, hold=None, all_=False)

    async def ever(self) -> Sequence[Hold]:
        """Those that were lifted, too."""
        async with transaction(self._pool) as connection:
            return await _holds(connection, hold=None, all_=True)


async def _seal(connection: Connection, hold: Hold, what: str, at_ms: int) -> None:
    item = Item(
        chain=CHAINS[hold.what](hold.subject), kind=Kind.HOLD, kept_as=KeptAs.PROOF,
        source=f"hold:{hold.id}:{what}", payload=_encode(hold),
    )  # fmt: skip
    await seal_within(connection, [item], at_ms=at_ms)


async def _holds(connection: Connection, *, hold: str | None, all_: bool) -> list[Hold]:
    rows = await (await connection.execute(SQL["holds"], {"id": hold, "all": all_})).fetchall()
    return [_hold(row) for row in rows]


def _hold(row: Row) -> Hold:
    name, kind, what, subject, reason, authority, placed_by, placed, lifted_by, lifted, because = row
    return Hold(
        id=name, kind=HoldKind(kind), what=What(what), subject=subject, reason=reason, authority=authority,
        placed_by=placed_by, placed_ms=ms_of(placed), lifted_by=lifted_by, lifted_ms=_ms(lifted),
        lifted_because=because,
    )  # fmt: skip


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else ms_of(moment)
