"""How do the positions of a unit, and the rows of measures and units, go so that a proof remains?

The history of a unit goes day by day, each a transaction of its own under the role ``tocsin_custodian``, which may
call ``tocsin.history_erase_span`` and nothing else of it. How far it has come, and what it has taken since the
last proof, is a row beside it (``tocsin.history_over``) of the same transaction: whatever kills the process, what
is gone has been counted. With the last day, or where it stands still before, comes the DELETION, in the chain of
the unit (``tocsin.adapters.history_proof``). The row of a measure or of a unit goes with its DELETION, and leaves
its name (``tocsin.erased``). A hold that was placed or lifted since the verdict stops either. Hours: milliseconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from tocsin.adapters.history_proof import SQL, TABLES, prove_history
from tocsin.adapters.postgres import Connection, Pool, Row, ms_of, transaction
from tocsin.adapters.retention import PAGE, HoldsChanged
from tocsin.adapters.retention import SQL as RETENTION
from tocsin.adapters.seals import seal_within
from tocsin.chain import Deletion, Item, KeptAs, Kind
from tocsin.clock import Clock, utc
from tocsin.limits import FIX_PAST_MAX_S, READ_DAYS_MAX
from tocsin.model.canary import CANARY
from tocsin.model.device import DeviceKind
from tocsin.retention import DAY_MS, File, Terms, Verdict, What, begun_before_ms
from tocsin.sealing import device_chain, measure_chain
from tocsin.unit_history import Service, UnitLife

FIRST_BEFORE_MS: Final = FIX_PAST_MAX_S * 1_000
"""A unit may have measured before it was registered, or served: what is older when it comes is astray. The hour of
its registration may be wrong, that of a clock which was ahead; the orders say when it served."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A measure or a unit whose row alone is left. ``number``: of a unit, with its ``life`` where it
    was one of a pair. ``parties``: of a measure."""

    what: What
    id: str
    file: File
    number: int | None = None
    life: UnitLife | None = None
    parties: tuple[str, ...] = ()

    @property
    def chain(self) -> str:
        return measure_chain(self.id) if self.what is What.MEASURE else device_chain(self.id)


class ErasureRecord:
    """Raises RecordUnavailable, RecordRefused from every method."""

    def __init__(self, pool: Pool, *, by: str, clock: Clock) -> None:
        self._pool = pool
        self._by = by
        self._clock = clock

    # --- what may be over ---

    async def units(self, now_ms: int, terms: Terms) -> AsyncIterator[UnitLife]:
        """Those of pairs, but canaries, of whose history something may be over."""
        before, after = utc(begun_before_ms(KeptAs.MEASURE_FILE, now_ms, terms)), 0
        while rows := await self._ask(
            "units", before=before, after=after, limit=PAGE, phone=DeviceKind.TGD.value, canary=CANARY
        ):
            services = await self._services([row[1] for row in rows])
            for row in rows:
                yield _life(row, services[row[1]])
            after = rows[-1][0]

    async def lives(self, names: Sequence[str]) -> list[UnitLife]:
        """Of these units."""
        rows = await self._ask("lives", names=list(names))
        services = await self._services(names)
        return [_life(row, services[row[1]]) for row in rows]

    async def _services(self, units: Sequence[str]) -> dict[str, list[Service]]:
        found: dict[str, list[Service]] = defaultdict(list)
        for measure, wearer, protected, begin, end in await self._ask("services", units=list(units)):
            names = frozenset({(What.MEASURE, measure), (What.DEVICE, wearer), (What.DEVICE, protected)})
            served = Service(from_ms=ms_of(begin), until_ms=ms_of(end), names=names)
            for unit in {wearer, protected}:
                found[unit].append(served)
        return found

    async def measures(self, now_ms: int, terms: Terms) -> AsyncIterator[Registered]:
        """Measures whose payloads, places, incursions and alerts are gone."""
        before, after = utc(begun_before_ms(KeptAs.MEASURE_FILE, now_ms, terms)), ""
        while rows := await self._ask("measures_over", before=before, after=after, limit=PAGE, canary=CANARY):
            after = rows[-1][0]
            named = {row[0] for row in await self._ask("named_by_alerts", names=[row[0] for row in rows])}
            for measure, wearer, protected, end in rows:
                if measure in named:
                    continue
                names = {(What.MEASURE, measure), (What.DEVICE, wearer), (What.DEVICE, protected)}
                file = File(kept_as=KeptAs.MEASURE_FILE, from_ms=ms_of(end), names=frozenset(names))
                yield Registered(what=What.MEASURE, id=measure, file=file, parties=(wearer, protected))

    async def retired(self, now_ms: int, terms: Terms) -> AsyncIterator[Registered]:
        """Units that were revoked, and that nothing names any more."""
        before = max(begun_before_ms(one, now_ms, terms) for one in (KeptAs.MEASURE_FILE, KeptAs.TGD_FILE))
        values = {"before": utc(before), "limit": PAGE, "phone": DeviceKind.TGD.value, "canary": CANARY}
        after = ""
        while rows := await self._ask("units_over", after=after, **values):
            lives = {life.id: life for life in await self.lives([row[0] for row in rows if not row[1]])}
            for after, is_phone, number, revoked in rows:
                kept_as = KeptAs.TGD_FILE if is_phone else KeptAs.MEASURE_FILE
                file = File(kept_as=kept_as, from_ms=ms_of(revoked), names=frozenset({(What.DEVICE, after)}))
                yield Registered(what=What.DEVICE, id=after, file=file, number=number, life=lives.get(after))

    # --- the erasure ---

    async def erase_day(self, life: UnitLife, from_ms: int, edge_ms: int, revision: int) -> int:
        """The next UTC day, from that hour up to the edge, that has anything; returns where it has come to."""
        async with transaction(self._pool) as connection:
            await _as_decided(connection, revision)
            until_ms, gone = await _erase_next(connection, life.number, from_ms, edge_ms)
            span = {"number": life.number, "from": utc(from_ms), "until": utc(until_ms)}
            await connection.execute(SQL["move_on"], span | gone)
            if until_ms == edge_ms:
                await self._prove_history(connection, life)
        return until_ms

    async def prove(self, life: UnitLife) -> None:
        """What went of it and has no link yet; whatever is held now was not held then."""
        async with transaction(self._pool) as connection:
            await self._prove_history(connection, life)

    async def _prove_history(self, connection: Connection, life: UnitLife) -> None:
        await prove_history(connection, life.id, by=self._by, now_ms=self._clock.now_ms)

    async def erase_rest(self, life: UnitLife, from_ms: int, now_ms: int, revision: int) -> int:
        """The same of a unit that is nobody's, behind its edge. Its counts wait for the proof of its row."""
        async with transaction(self._pool) as connection:
            await _as_decided(connection, revision)
            until_ms, gone = await _erase_next(connection, life.number, from_ms, now_ms)
            if any(gone.values()):
                values = {"number": life.number, "edge": utc(life.erased_ms)}
                await connection.execute(SQL["add_rest"], values | gone)
        return until_ms

    async def erase_row(self, one: Registered, said: Verdict, revision: int) -> None:
        """With its proof, which says what ``erase_rest`` took. Raises HoldsChanged, as well when it is gone."""
        now = utc(self._clock.now_ms())
        values = {"id": one.id, "number": one.number, "what": one.what.value, "now": now,
                  "kept_as": one.file.kept_as.value, "ended": utc(one.file.from_ms or 0)}  # fmt: skip
        async with transaction(self._pool) as connection:
            await _as_decided(connection, revision)
            rows = {} if one.number is None else await _forget(connection, one.number, now)
            await connection.execute(RETENTION["become_custodian"])
            for table in ("measure_version", "measure") if one.number is None else ("device",):
                query = "erase_versions" if table == "measure_version" else f"erase_{table}"
                rows[table] = (await connection.execute(SQL[query], values)).rowcount
            if not rows[one.what.value]:
                raise HoldsChanged
            await connection.execute(SQL["note_erased"], values)
            await connection.execute(RETENTION["become_oneself"])
            await connection.execute(SQL["touch"], values)
            await self._prove(connection, one.chain, one.file.kept_as, said.rule, rows)

    async def _prove(
        self, connection: Connection, chain: str, kept_as: KeptAs, rule: str, rows: dict[str, int]
    ) -> None:
        gone = {table: amount for table, amount in rows.items() if amount}
        said = Deletion(numbers=(), kept_as=kept_as, at_ms=self._clock.now_ms(), rule=rule, by=self._by, rows=gone)
        item = Item(
            chain=chain, kind=Kind.DELETION, kept_as=KeptAs.PROOF, source="deletion:row", payload=_encode(said)
        )
        await seal_within(connection, [item], at_ms=self._clock.now_ms)

    async def _ask(self, query: str, **values: object) -> list[Row]:
        async with transaction(self._pool) as connection:
            return await (await connection.execute(SQL[query], values)).fetchall()


async def _as_decided(connection: Connection, revision: int) -> None:
    """Raises HoldsChanged. Who places a hold from here on waits for us."""
    await connection.execute(RETENTION["lock_holds"])
    row = await (await connection.execute(RETENTION["holds_revision"])).fetchone()
    if row != (revision,):
        raise HoldsChanged


async def _next_day(connection: Connection, number: int, from_ms: int, edge_ms: int) -> tuple[int, int]:
    """Days without anything are passed over, a month at a time."""
    month_ms = min(edge_ms, from_ms + READ_DAYS_MAX * DAY_MS)
    (first,) = await _row(connection, "next", number=number, **{"from": utc(from_ms), "until": utc(month_ms)})
    if first is None:
        return max(from_ms, month_ms - DAY_MS), month_ms
    from_ms = max(from_ms, ms_of(first))
    return from_ms, min(edge_ms, from_ms - from_ms % DAY_MS + DAY_MS)


async def _erase_next(
    connection: Connection, number: int, from_ms: int, until_ms: int
) -> tuple[int, dict[str, int]]:
    """Where it has come to, and what went."""
    first_ms, until_ms = await _next_day(connection, number, from_ms, until_ms)
    span = {"number": number, "from": utc(first_ms), "until": utc(until_ms)}
    await connection.execute(RETENTION["become_custodian"])
    gone = await _row(connection, "erase_span", **span)
    await connection.execute(RETENTION["become_oneself"])
    return until_ms, dict(zip(("fixes", "astray", "hours"), gone, strict=True))


async def _forget(connection: Connection, number: int, until: datetime) -> dict[str, int]:
    """What went of a unit that is nobody's and has no proof; and whatever its history still has: of a phone, and
    of hours before a unit can have been there."""
    row = await (await connection.execute(SQL["forget_history"], {"number": number})).fetchone()
    (gone,) = await _row(connection, "erase_leftovers", number=number, until=until)
    await connection.execute(SQL["forget_late"], {"number": number})
    return dict(zip(TABLES, row or (0, 0, 0), strict=True)) | {"history": int(gone)}


async def _row(connection: Connection, query: str, **values: object) -> Row:
    row: Row | None = await (await connection.execute(SQL[query], values)).fetchone()
    assert row is not None
    return row


def _life(row: Row, services: Sequence[Service]) -> UnitLife:
    number, name, created, revoked, erased, unproved = row
    first_ms = min([ms_of(created), *(one.from_ms for one in services)]) - FIRST_BEFORE_MS
    return UnitLife(
        id=name,
        number=number,
        first_ms=first_ms,
        revoked_ms=None if revoked is None else ms_of(revoked),
        erased_ms=first_ms if erased is None else ms_of(erased),
        services=services,
        unproved=unproved,
    )
