"""When did each raising pass its clock points? Read from the log, which nobody can hurry.

The ruling has t1 to t3 of the fix that raised the alert; the courier's receipts have t7, the first attempt on the
téléassistance's channel, and t8, its 2xx. Milliseconds of the deployment's clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tocsin import subjects
from tocsin.adapters.jetstream import JetStreamLog, open_bus
from tocsin.model.episode import Channel, Receipt, Ruling
from tocsin.model.finding import Code
from tocsin.model.fix import ClockPoints
from tocsin.ports import Entry
from tocsin.subjects import Stream
from tocsin.wire import decode_receipt, decode_ruling

RAISED = frozenset({"opened", "raised_again"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Raising:
    """One time that the alarm was given, and what became of telling the téléassistance. None: not yet."""

    episode: str
    version: int
    code: Code
    subject: str
    points: ClockPoints
    t7_ms: int | None
    t8_ms: int | None


async def raisings(nats_url: str) -> list[Raising]:
    """Every raising on the log so far, in its order."""
    async with open_bus(nats_url, "raisings") as bus:
        rulings = [decode_ruling(entry.payload) for entry in await everything(bus.log, subjects.EPISODES)]
        receipts = [decode_receipt(entry.payload) for entry in await everything(bus.log, subjects.RECEIPTS)]
    return told(rulings, receipts)


def told(rulings: Iterable[Ruling], receipts: Iterable[Receipt]) -> list[Raising]:
    """Each raising with the receipts of its own version."""
    first: dict[tuple[str, int], int] = {}
    taken: dict[tuple[str, int], int] = {}
    for receipt in receipts:
        if receipt.channel is not Channel.TELEASSISTANCE:
            continue
        version = (receipt.episode, receipt.version)
        if receipt.attempt == 1:
            first.setdefault(version, receipt.t7_ms)
        if receipt.t8_ms is not None:
            taken[version] = min(receipt.t8_ms, taken.get(version, receipt.t8_ms))
    return [
        Raising(
            episode=ruling.episode.id,
            version=ruling.episode.version,
            code=ruling.episode.code,
            subject=ruling.episode.subject,
            points=ruling.episode.raises[-1].points,
            t7_ms=first.get((ruling.episode.id, ruling.episode.version)),
            t8_ms=taken.get((ruling.episode.id, ruling.episode.version)),
        )
        for ruling in rulings
        if ruling.reason in RAISED
    ]


async def everything(log: JetStreamLog, stream: Stream) -> list[Entry]:
    """All that a stream holds now, in its order."""
    found: list[Entry] = []
    async for entries in log.read(stream, stream.subjects):
        if not entries:
            break
        found.extend(entries)
    return found
