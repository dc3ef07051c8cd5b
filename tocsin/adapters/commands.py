"""What was this unit asked to do, and what came of it?

The record of commands and of their results, written from the log by ``alerts.recorder``; only ever added to. Each
is linked into the chain of its unit in the same transaction, except a canary's. A message may come twice: its
place on the log and its name make it one row. Times are milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tocsin import wire
from tocsin.adapters.postgres import Pool, load_queries, transaction
from tocsin.adapters.seals import seal_within
from tocsin.chain import Item
from tocsin.clock import AffineClock, Clock, utc
from tocsin.model.canary import is_canary
from tocsin.model.command import Command, CommandStatus
from tocsin.model.device import DeviceKind
from tocsin.sealing import of_command, of_result

SQL = load_queries("commands.sql")

LIST_MAX = 10_000
"""Of one unit: a month of an order each five minutes."""


class RecordedCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command and its place on the log."""

    sequence: int
    command: Command


class RecordedResult(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody knows of a command, and its place on the log."""

    sequence: int
    status: CommandStatus


class CommandRecord:
    """The tables of commands. Raises RecordUnavailable from every method. ``clock``: the hour of linking."""

    def __init__(self, pool: Pool, *, clock: Clock | None = None) -> None:
        self._pool = pool
        self._clock = clock or AffineClock()

    async def record_commands(self, commands: Sequence[RecordedCommand]) -> int:
        """All or none; returns how many were new. Raises RecordRefused for a value the record cannot hold."""
        rows = sorted(_command_row(each) for each in commands)

        def items(phones: frozenset[str]) -> list[Item]:
            return [
                of_command(each.sequence, each.command, is_tgd=each.command.device in phones)
                for each in commands
                if not is_canary(each.command.device)
            ]

        return await self._keep("keep_commands", rows, items)

    async def record_results(self, results: Sequence[RecordedResult]) -> int:
        """The same of results."""
        rows = sorted(_result_row(each) for each in results)

        def items(phones: frozenset[str]) -> list[Item]:
            return [
                of_result(each.sequence, each.status, is_tgd=each.status.device in phones)
                for each in results
                if not is_canary(each.status.device)
            ]

        return await self._keep("keep_results", rows, items)

    async def commands(self, device: str) -> tuple[RecordedCommand, ...]:
        """The first LIST_MAX, in the order of the log."""
        async with transaction(self._pool) as connection:
            rows = await (await connection.execute(SQL["commands"], [device, LIST_MAX])).fetchall()
        return tuple(RecordedCommand(sequence=at, command=wire.decode_command(payload)) for at, payload in rows)

    async def results(self, device: str) -> tuple[RecordedResult, ...]:
        """The same of results."""
        async with transaction(self._pool) as connection:
            rows = await (await connection.execute(SQL["results"], [device, LIST_MAX])).fetchall()
        return tuple(
            RecordedResult(sequence=at, status=wire.decode_command_status(payload)) for at, payload in rows
        )

    async def _keep(
        self, statement: str, rows: Sequence[tuple[Any, ...]], items: Callable[[frozenset[str]], Sequence[Item]]
    ) -> int:
        """``rows`` are locked in one order by everyone, and chains behind them. ``items`` are made knowing which
        of the units are phones; a unit that is not registered is taken for one of a measure."""
        if not rows:
            return 0
        async with transaction(self._pool) as connection:
            columns = [list(column) for column in zip(*rows, strict=True)]
            new = (await connection.execute(SQL[statement], columns)).rowcount
            phones = await connection.execute(SQL["phones"], [columns[1], DeviceKind.TGD.value])
            of_phones = frozenset(name for (name,) in await phones.fetchall())
            await seal_within(connection, items(of_phones), at_ms=self._clock.now_ms())
        return new


def _command_row(each: RecordedCommand) -> tuple[Any, ...]:
    one = each.command
    hours = (utc(one.at_ms), utc(one.expires_ms))
    return (each.sequence, one.device, one.id, one.action.value, *hours, one.by, wire.encode(one))


def _result_row(each: RecordedResult) -> tuple[Any, ...]:
    one = each.status
    said = (one.command, one.stage.value, utc(one.at_ms), one.reason)
    return (each.sequence, one.device, *said, wire.encode(one))
