"""What of the record may be over, and how is it erased so that a proof remains?

``walk`` gives everything that may be over as ``Candidate``s, each with the ``File`` that ``tocsin.retention``
judges. ``erase`` takes one of them out: its payloads, under the role ``tocsin_custodian``, the rows of its
tables, and a DELETION in the same chain, in one transaction; of a long chain at most NUMBERS_MAX payloads in
each, its rows with the last. Whatever was erased by another process meanwhile is not named twice. A hold that was
placed or lifted since the verdict stops it (``HoldsChanged``). Hours: milliseconds.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from tocsin import wire
from tocsin.adapters.postgres import Connection, Pool, Row, load_queries, ms_of, transaction, translated
from tocsin.adapters.seals import seal_within
from tocsin.chain import Deletion, Item, KeptAs, Kind
from tocsin.clock import Clock, utc
from tocsin.errors import TocsinError, WireError
from tocsin.model.access import Access
from tocsin.model.canary import CANARY
from tocsin.model.device import DeviceKind
from tocsin.model.episode import Ruling
from tocsin.retention import (
    File,
    Hold,
    HoldKind,
    Name,
    Terms,
    Verdict,
    What,
    begins_ms,
    begun_before_ms,
    pressed_ms,
)
from tocsin.sealing import (
    TGD_CODES,
    access_chain,
    blanked,
    command_named,
    device_chain,
    episode_chain,
    measure_chain,
    result_named,
    without_places,
)

SQL = load_queries("retention.sql")
TURN_LOCK: Final = 0x637573746F6479  # "custody"
PAGE: Final = 500
NUMBERS_MAX: Final = 5_000
"""Payloads erased in one transaction, and numbers in one DELETION: some 30 kB of JSON."""

_encode = msgspec.json.Encoder().encode


class HoldsChanged(TocsinError):
    """A hold was placed or lifted since this was decided; it is decided again at the next pass."""

    retry = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Blanked:
    """A ruling of before the chains, and its alert, without their places. ``noun``: the alert as it was read."""

    episode: str
    sequence: int
    payload: bytes
    event: str
    noun: str
    blank: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What goes from the tables beside the chain. ``commands`` by place on the log and id, ``results`` by place,
    command and stage."""

    episodes: tuple[str, ...] = ()
    accesses: tuple[str, ...] = ()
    measure: str | None = None
    device: str | None = None
    commands: tuple[tuple[int, str], ...] = ()
    results: tuple[tuple[int, str, str], ...] = ()
    blanked: Blanked | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """``numbers`` None: everything of the file's class that the chain has. ``place``: of an alert, its place on
    the log and the newest sequence there that is its own. ``unreadable``: nobody here can say what it is about,
    and so by whom it may be held."""

    file: File
    chain: str
    numbers: tuple[int, ...] | None = None
    rows: Rows = field(default_factory=Rows)
    place: tuple[str, str, int] | None = None
    unreadable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """``again``: there is more of the same."""

    payloads: int
    rows: int
    again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """What is known of the hour besides the clock. ``server_ms``: what PostgreSQL's machine has."""

    position_ms: int | None
    pass_ms: int | None
    believed_ms: int | None
    heard_ms: int | None
    server_ms: int


class RetentionRecord:
    """Raises RecordUnavailable from every method."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    # --- what may be over ---

    async def walk(self, now_ms: int, terms: Terms) -> AsyncIterator[Candidate]:
        """Everything that may be over at that hour, or soon; positions first: their law is the strictest."""
        async for one in self.positions():
            yield one
        async for one in self.files(now_ms, terms):
            yield one

    async def files(self, now_ms: int, terms: Terms) -> AsyncIterator[Candidate]:
        """All but the positions."""
        for walked in (self._alerts, self._measures, self._devices, self._accesses, self._old_accesses):
            async for one in walked(now_ms, terms):
                yield one

    async def positions(self) -> AsyncIterator[Candidate]:
        """Every position of a TGD that is kept, one each."""
        after, number = "", 0
        while rows := await self._ask("positions", after=after, number=number, limit=PAGE):
            names = await self._names_of_alerts({_episode_of(row[0]) for row in rows})
            for chain, number, kind, at, payload, ruling in rows:
                from_ms = min(ms_of(at), _position_ms(kind, bytes(payload), ruling) or ms_of(at))
                episode = _episode_of(chain)
                file = File(
                    kept_as=KeptAs.TGD_POSITION,
                    from_ms=from_ms,
                    names=names.get(episode, frozenset({(What.ALERT, episode)})),
                )
                yield Candidate(file=file, chain=chain, numbers=(number,))
            after = rows[-1][0]
        async for one in self.old_positions():
            yield one

    async def old_positions(self) -> AsyncIterator[Candidate]:
        """The same of rows from before the chains."""
        after, number = "", 0
        codes = [one.value for one in TGD_CODES]
        while rows := await self._ask("old_positions", codes=codes, after=after, number=number, limit=PAGE):
            names = await self._names_of_alerts({row[0] for row in rows})
            for row in rows:
                yield _old_position(row, names.get(row[0], frozenset({(What.ALERT, row[0])})))
            after, number, *_ = rows[-1]

    async def held_with(self, holds: Sequence[Hold]) -> list[Hold]:
        """As well what a package of a held alert has from other chains: of its measures, or of its phone."""
        held = {one.subject: one for one in holds if (one.kind, one.what) == (HoldKind.HOLD, What.ALERT)}
        rows = await self._ask("alerts_named", ids=list(held))
        return [
            msgspec.structs.replace(held[row[0]], what=what, subject=subject)
            for row in rows
            for what, subject in _kept_with(measures=row[3], device=row[4])
        ]

    async def _names_of_alerts(self, ids: Iterable[str]) -> dict[str, frozenset[Name]]:
        return {row[0]: _names_of_alert(row) for row in await self._ask("alerts_named", ids=list(ids))}

    async def _alerts(self, now_ms: int, terms: Terms) -> AsyncIterator[Candidate]:
        before = max(begun_before_ms(one, now_ms, terms) for one in (KeptAs.MEASURE_FILE, KeptAs.TGD_FILE))
        after, name = utc(0), ""
        while rows := await self._ask("alerts", before=utc(before), after=after, id=name, limit=PAGE):
            for row in rows:
                yield _alert(row)
            name, after = rows[-1][0], rows[-1][5]

    async def _measures(self, now_ms: int, terms: Terms) -> AsyncIterator[Candidate]:
        before, after = utc(begun_before_ms(KeptAs.MEASURE_FILE, now_ms, terms)), ""
        while rows := await self._ask("measures", before=before, after=after, limit=PAGE):
            for measure, wearer, protected, end in rows:
                names = {(What.MEASURE, measure), (What.DEVICE, wearer), (What.DEVICE, protected)}
                file = File(kept_as=KeptAs.MEASURE_FILE, from_ms=ms_of(end), names=frozenset(names))
                yield Candidate(file=file, chain=measure_chain(measure), rows=Rows(measure=measure))
            after = rows[-1][0]

    async def _devices(self, now_ms: int, terms: Terms) -> AsyncIterator[Candidate]:
        before = max(begun_before_ms(one, now_ms, terms) for one in (KeptAs.MEASURE_FILE, KeptAs.TGD_FILE))
        async for chain in self._fronts(device_chain(""), before):
            device = chain.removeprefix(device_chain(""))
            measures = await self._ask("measures_of_device", device=device)
            async for rows in self._payloads(chain, before):
                for number, kept_as, *_ in itertools.filterfalse(_is_sourced, rows):
                    yield _unreadable(chain, number, KeptAs(kept_as))
                sourced = list(filter(_is_sourced, rows))
                for key, some in _by_file(device, measures, sourced).items():
                    yield _of_device(chain, device, key, some)

    async def _accesses(self, now_ms: int, terms: Terms) -> AsyncIterator[Candidate]:
        before = begun_before_ms(KeptAs.ACCESS, now_ms, terms)
        async for chain in self._fronts("accesses/", before):
            async for rows in self._payloads(chain, before):
                for number, _, source, at, payload in rows:
                    yield _access(chain, number, source, at, payload)

    async def _old_accesses(self, now_ms: int, terms: Terms) -> AsyncIterator[Candidate]:
        before = utc(begun_before_ms(KeptAs.ACCESS, now_ms, terms))
        after, name = utc(0), ""
        while rows := await self._ask("old_accesses", before=before, after=after, id=name, limit=PAGE):
            for name, objects, after in rows:
                file = _access_file(ms_of(after), objects)
                yield Candidate(
                    file=file, chain=access_chain(ms_of(after)), numbers=(), rows=Rows(accesses=(name,))
                )

    async def _fronts(self, prefix: str, before_ms: int) -> AsyncIterator[str]:
        after = ""
        while rows := await self._ask("fronts", prefix=prefix, after=after, before=utc(before_ms), limit=PAGE):
            for (after,) in rows:
                yield after

    async def _payloads(self, chain: str, before_ms: int) -> AsyncIterator[Sequence[Row]]:
        after = 0
        while rows := await self._ask("payloads", chain=chain, before=utc(before_ms), after=after, limit=PAGE):
            yield rows
            after = rows[-1][0]

    # --- the erasure ---

    async def revision(self) -> int:
        """Another number whenever a hold was placed or lifted."""
        return int((await self._ask("holds_revision"))[0][0])

    async def erase(self, one: Candidate, said: Verdict, *, revision: int, clock: Clock, by: str) -> Erased:
        """A part of it, in one transaction with its proof, which is dated when it is linked and not when its pass
        began. Raises HoldsChanged."""
        async with transaction(self._pool) as connection:
            await connection.execute(SQL["lock_holds"])  # who places one waits, or we see it
            if await _one(connection, "holds_revision") != revision:
                raise HoldsChanged
            numbers, again = await _numbers(connection, one)
            await connection.execute(SQL["become_custodian"])
            gone = await _erase_opened(connection, one.chain, numbers)
            rows = 0 if again else await _erase_rows(connection, one.rows)
            await connection.execute(SQL["become_oneself"])
            if gone or rows:
                proof = _proof(one, gone, said.rule, at_ms=clock.now_ms(), by=by)
                await seal_within(connection, [proof], at_ms=clock.now_ms)
        return Erased(payloads=len(gone), rows=rows, again=again)

    async def erase_canaries(self, before_ms: int) -> int:
        """Rows of invented pairs that say nothing of anybody: no link, no proof."""
        values = {"pattern": CANARY, "before": utc(before_ms), "limit": PAGE}
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(SQL["canary_episodes"], values)
            ids = tuple(row[0] for row in await cursor.fetchall())
            await connection.execute(SQL["become_custodian"])
            gone = await _erase_rows(connection, Rows(episodes=ids))
            for table in ("erase_canary_commands", "erase_canary_results"):
                gone += (await connection.execute(SQL[table], values)).rowcount
            await connection.execute(SQL["become_oneself"])
            return gone + (await connection.execute(SQL["erase_canary_incursions"], values)).rowcount

    # --- the history of fixes ---

    async def unlocated(self) -> list[tuple[int, str, bool]]:
        """Numbers and ids of devices whose fixes have no place in the long history; True: a canary's."""
        rows = await self._ask("numbered_devices", pattern=CANARY, kind=DeviceKind.TGD.value)
        return [(number, name, is_canary) for number, name, is_canary in rows]

    async def erase_fixes(self, devices: Sequence[int], before_ms: int) -> int:
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(SQL["history_erase"], [list(devices), utc(before_ms)])
            row = await cursor.fetchone()
            return 0 if row is None else int(row[0])

    # --- the hour ---

    async def hours(self) -> Hours:
        position, passed, believed, server, heard = (await self._ask("hours"))[0]
        return Hours(
            position_ms=_ms(position),
            pass_ms=_ms(passed),
            believed_ms=_ms(believed),
            heard_ms=_ms(heard),
            server_ms=ms_of(server),
        )

    async def passed(self, now_ms: int) -> None:
        async with transaction(self._pool) as connection:
            await connection.execute(SQL["passed"], [utc(now_ms)])

    async def believe(self, now_ms: int, by: str) -> None:
        """A human says that it is this hour."""
        async with transaction(self._pool) as connection:
            await connection.execute(SQL["believe"], [utc(now_ms), by])

    async def _ask(self, query: str, **values: object) -> list[Row]:
        async with transaction(self._pool) as connection:
            return await (await connection.execute(SQL[query], values)).fetchall()


@asynccontextmanager
async def my_turn(pool: Pool) -> AsyncIterator[bool]:
    """One custodian at a time; False while it is another one's turn. Raises RecordUnavailable."""
    with translated():
        async with pool.connection() as connection:
            await connection.set_autocommit(True)
            try:
                row = await (await connection.execute(SQL["take_turn"], [TURN_LOCK])).fetchone()
                yield row == (True,)
            finally:
                if not connection.closed:
                    await connection.execute(SQL["end_turns"])
                    await connection.set_autocommit(False)


def _position_ms(kind: str, payload: bytes, ruling: bytes | None) -> int | None:
    """What is known besides the hour of the link. A ruling that another version wrote knows nothing."""
    try:
        if kind == Kind.TRACK:
            return msgspec.json.decode(payload, type=_Track).from_ms
        return None if ruling is None else pressed_ms(wire.decode_ruling(ruling).episode)
    except (msgspec.DecodeError, WireError):
        return None


class _Track(msgspec.Struct):
    from_ms: int


def _kept_with(*, measures: Sequence[str], device: str | None) -> list[Name]:
    if measures or device is None:
        return [(What.MEASURE, one) for one in measures]
    return [(What.DEVICE, device)]


def _episode_of(chain: str) -> str:
    return chain.removeprefix(episode_chain(""))


def _names_of_alert(row: Row) -> frozenset[Name]:
    name, _, _, measures, device, *_, devices = row
    of_devices = {*devices, *(() if device is None else (device,))}
    return frozenset(
        {
            (What.ALERT, name),
            *((What.MEASURE, one) for one in measures),
            *((What.DEVICE, one) for one in of_devices),
        }
    )


def _alert(row: Row) -> Candidate:
    name, code, subject, _, _, _, closed, last_sequence, ends, _ = row
    is_tgd = code in {one.value for one in TGD_CODES}
    from_ms = begins_ms(_ms(closed), () if is_tgd else map(ms_of, ends))
    kept_as = KeptAs.TGD_FILE if is_tgd else KeptAs.MEASURE_FILE
    return Candidate(
        file=File(kept_as=kept_as, from_ms=from_ms, names=_names_of_alert(row)),
        chain=episode_chain(name),
        rows=Rows(episodes=(name,)),
        place=(code, subject, last_sequence),
    )


def _old_position(row: Row, names: frozenset[Name]) -> Candidate:
    episode, sequence, at, payload, noun = row
    chain = episode_chain(episode)
    try:
        ruling = wire.decode_ruling(bytes(payload))
    except WireError:
        return _unreadable(chain, 0, KeptAs.TGD_POSITION)
    blank = msgspec.convert(without_places(ruling)[0], Ruling)
    alert = "null" if noun is None else _encode(blanked(msgspec.json.decode(noun))[0]).decode()
    rows = Rows(
        blanked=Blanked(
            episode=episode, sequence=sequence, payload=wire.encode(blank), event=_encode(blank.event).decode(),
            noun=noun or "null", blank=alert,
        )
    )  # fmt: skip
    from_ms = min(ms_of(at), pressed_ms(ruling.episode))
    file = File(kept_as=KeptAs.TGD_POSITION, from_ms=from_ms, names=names)
    return Candidate(file=file, chain=chain, numbers=(), rows=rows)


def _access(chain: str, number: int, source: str, at: datetime, payload: bytes) -> Candidate:
    try:
        objects = msgspec.json.decode(bytes(payload), type=Access).objects
    except msgspec.DecodeError:
        return _unreadable(chain, number, KeptAs.ACCESS)
    rows = Rows(accesses=(source.partition(":")[2],))
    return Candidate(file=_access_file(ms_of(at), objects), chain=chain, numbers=(number,), rows=rows)


def _unreadable(chain: str, number: int, kept_as: KeptAs) -> Candidate:
    file = File(kept_as=kept_as, from_ms=None, names=frozenset())
    return Candidate(file=file, chain=chain, numbers=(number,), unreadable=True)


def _by_file(device: str, measures: Sequence[Row], rows: Sequence[Row]) -> Mapping[File, list[Row]]:
    """An order to a unit belongs to the measures that the unit served at that hour; a unit in the drawer, to its
    own hour."""
    found: dict[File, list[Row]] = {}
    for row in rows:
        _, kept_as, _, at, _ = row
        serving = [one for one in measures if one[3] <= at <= one[4]]
        ends = () if kept_as == KeptAs.TGD_FILE else [ms_of(one[4]) for one in serving]
        names = {(What.DEVICE, device), *((What.MEASURE, one[0]) for one in serving)}
        file = File(kept_as=KeptAs(kept_as), from_ms=begins_ms(ms_of(at), ends), names=frozenset(names))
        found.setdefault(file, []).append(row)
    return found


_SOURCED: Final = re.compile(r"(?!command:|result:)|(command|result):[0-9]{1,18}(:.*)?$")


def _is_sourced(row: Row) -> bool:
    """Whether its rows can be found: a source that this version, or its record, has not written."""
    return _SOURCED.match(row[2]) is not None


def _of_device(chain: str, device: str, file: File, rows: Sequence[Row]) -> Candidate:
    return Candidate(
        file=file,
        chain=chain,
        numbers=tuple(row[0] for row in rows),
        rows=Rows(
            device=device,
            commands=tuple(command_named(row[2]) for row in rows if _is(Kind.COMMAND, row[2])),
            results=tuple(result_named(row[2]) for row in rows if _is(Kind.RESULT, row[2])),
        ),
    )


def _is(kind: Kind, source: str) -> bool:
    return source.partition(":")[0] == kind


def _access_file(at_ms: int, objects: Sequence[str]) -> File:
    """What was read is named without its kind."""
    names = frozenset((what, one) for what in What for one in objects)
    return File(kept_as=KeptAs.ACCESS, from_ms=at_ms, names=names)


def _proof(one: Candidate, gone: Sequence[int], rule: str, *, at_ms: int, by: str) -> Item:
    """Without numbers: rows of before the chains went, that no link commits to."""
    kept_as = one.file.kept_as
    deletion = Deletion(numbers=tuple(gone), kept_as=kept_as, at_ms=at_ms, rule=rule, by=by)
    first = gone[0] if gone else f"rows:{at_ms}:{'-'.join(one.rows.accesses)}"
    return Item(
        chain=one.chain, kind=Kind.DELETION, kept_as=KeptAs.PROOF, source=f"deletion:{kept_as}:{first}",
        payload=_encode(deletion),
    )  # fmt: skip


async def _numbers(connection: Connection, one: Candidate) -> tuple[list[int], bool]:
    if one.numbers is not None:
        return list(one.numbers), False
    values = {"chain": one.chain, "kept_as": one.file.kept_as.value, "limit": NUMBERS_MAX + 1}
    found = [row[0] for row in await (await connection.execute(SQL["numbers"], values)).fetchall()]
    return found[:NUMBERS_MAX], len(found) > NUMBERS_MAX


async def _erase_opened(connection: Connection, chain: str, numbers: Sequence[int]) -> list[int]:
    if not numbers:
        return []
    cursor = await connection.execute(SQL["erase_opened"], {"chain": chain, "numbers": list(numbers)})
    return sorted(row[0] for row in await cursor.fetchall())


async def _erase_rows(connection: Connection, rows: Rows) -> int:
    gone = 0
    for queries, values in _statements(rows):
        for query in queries:
            gone += (await connection.execute(SQL[query], values)).rowcount
    return gone


def _statements(rows: Rows) -> Iterator[tuple[Sequence[str], Mapping[str, object]]]:
    """And their values; of what there is."""
    if rows.episodes:
        of_alerts = ("erase_rulings", "erase_attempts", "erase_notifications", "erase_episodes")
        yield of_alerts, {"ids": list(rows.episodes)}
    if rows.accesses:
        yield ("erase_accesses",), {"ids": list(rows.accesses)}
    if rows.commands:
        sequences, ids = map(list, zip(*rows.commands, strict=True))
        yield ("erase_commands",), {"device": rows.device, "sequences": sequences, "ids": ids}
    if rows.results:
        sequences, ids, stages = map(list, zip(*rows.results, strict=True))
        yield ("erase_results",), {"device": rows.device, "sequences": sequences, "ids": ids, "stages": stages}
    if rows.measure is not None:
        yield ("erase_incursions", "blank_versions", "blank_measure"), {"measure": rows.measure}
    if rows.blanked is not None:
        yield ("blank_ruling", "blank_alert"), asdict(rows.blanked)


async def _one(connection: Connection, query: str) -> int:
    row = await (await connection.execute(SQL[query])).fetchone()
    assert row is not None
    return int(row[0])


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else ms_of(moment)
