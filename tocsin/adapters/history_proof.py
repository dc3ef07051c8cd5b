"""What of a unit's history has been erased and is not proven yet: how does it become a link?

``tocsin.history_over`` counts what went, in the transactions in which it went. The DELETION says these counts and
the hours, in the chain of the unit; no place. It comes with the last day, and before that wherever an erasure
stands still: above all before the link of a hold of the unit, which it is older than (invariant 14).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from tocsin.adapters.postgres import Connection, RecordRefused, load_queries, ms_of
from tocsin.adapters.seals import seal_within
from tocsin.chain import Deletion, Item, KeptAs, Kind
from tocsin.retention import Terms, rule_of
from tocsin.sealing import device_chain

SQL = load_queries("erasure.sql")
BY: Final = "tocsin custodian"
TABLES: Final = ("fixes", "fixes_astray", "fixes_hourly")
RULE: Final = rule_of(KeptAs.MEASURE_FILE, Terms())
"""The same at each site: it is the law's."""

_encode = msgspec.json.Encoder().encode


async def prove_history(connection: Connection, unit: str, *, by: str, now_ms: Callable[[], int]) -> None:
    """Within the caller's transaction; of nothing there is no proof. Raises RecordRefused."""
    values = {"unit": unit}
    row = await (await connection.execute(SQL["unproved"], values)).fetchone()
    if row is None:
        return
    begun, until, *gone = row
    rows = {table: amount for table, amount in zip(TABLES, gone, strict=True) if amount}
    if rows:
        said = Deletion(
            numbers=(), kept_as=KeptAs.MEASURE_FILE, at_ms=now_ms(), rule=RULE, by=by, rows=rows,
            from_ms=ms_of(begun), until_ms=ms_of(until),
        )  # fmt: skip
        item = Item(chain=device_chain(unit), kind=Kind.DELETION, kept_as=KeptAs.PROOF, source=_source(said),
                    payload=_encode(said))  # fmt: skip
        if not await seal_within(connection, [item], at_ms=now_ms):
            raise RecordRefused(f"{item.chain} has a link {item.source} already")
    await connection.execute(SQL["proved"], values)


def _source(said: Deletion) -> str:
    """What a unit said after it was revoked is behind its edge, which does not move: the hour tells them apart."""
    hours = f"deletion:history:{said.from_ms}:{said.until_ms}"
    return hours if said.from_ms != said.until_ms else f"{hours}:{said.at_ms}"
