"""A small record as two days leave it: two alerts and a press, who was told, who has read, what units were told;
each linked, two heads over it, both published; and a part of the second day that no head has yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from builders import NOW_MS, REALM, act, command, entry, press
from builders import preadvised as handle

from audit.notary import HeadsFile, Outside, publish
from tocsin.adapters.accesses import AccessRecord, RecordedAccess
from tocsin.adapters.commands import CommandRecord, RecordedCommand, RecordedResult
from tocsin.adapters.episodes import EpisodeRecord, RecordedReceipt, RecordedRuling
from tocsin.adapters.heads import Heads
from tocsin.adapters.postgres import Pool, open_pool
from tocsin.adapters.seals import Seals
from tocsin.clock import AffineClock
from tocsin.model.access import Access
from tocsin.model.command import CommandStatus, Stage
from tocsin.model.episode import AlarmCause, FindingCause, Receipt, Ruling, Verb
from tocsin.sealing import access_chain, device_chain, of_access, of_command, of_receipt, of_result, of_ruling

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
HEADS_FILE = "heads.jsonl"

FIRST = entry(measure="msr_1")
SECOND = entry("fnd_in2", measure="msr_2", at_ms=NOW_MS + 1_000)


def ruled(answer: object) -> Ruling:
    assert isinstance(answer, Ruling)
    return answer


def opened(finding: object, at_ms: int) -> Ruling:
    return ruled(handle(None, FindingCause(finding=finding), REALM, at_ms))  # type: ignore[arg-type]


OPENED = opened(FIRST, NOW_MS)
TAKEN = ruled(handle(OPENED.episode, act(Verb.ACKNOWLEDGE, OPENED.episode.version), REALM, NOW_MS + 9_000))
OTHER = opened(SECOND, NOW_MS + 1_000)
PRESSED = ruled(handle(None, AlarmCause(alarm=press()), REALM, NOW_MS + 2_000))
ALERT, OTHER_ALERT = OPENED.episode.id, OTHER.episode.id
TOLD = OPENED.notifications[0].id
TOLD_OF_TAKING = TAKEN.notifications[0].id

RULINGS = [
    RecordedRuling(sequence=number, ruling=ruling)
    for number, ruling in enumerate((OPENED, OTHER, TAKEN, PRESSED), 1)
]
LATER = RecordedRuling(
    sequence=5,
    ruling=ruled(
        handle(
            OTHER.episode,
            act(Verb.ACKNOWLEDGE, OTHER.episode.version, episode=OTHER_ALERT, at_ms=NOW_MS + DAY_MS),
            REALM,
            NOW_MS + DAY_MS,
        )
    ),
)


def receipt(attempt: int, result: str) -> Receipt:
    told = OPENED.notifications[0]
    return Receipt(
        notification=told.id, episode=ALERT, version=OPENED.episode.version, channel=told.channel, attempt=attempt,
        t7_ms=NOW_MS + attempt, t8_ms=NOW_MS + 90 if result == "accepted" else None, result=result, line="first",
    )  # fmt: skip


RECEIPTS = [receipt(1, "timeout"), receipt(2, "accepted")]


def access(number: int, at_ms: int) -> RecordedAccess:
    read = Access(
        id=f"acc_{number}", at_ms=at_ms, who="A. Martin", role="teleassistant", what="alert", objects=(ALERT,)
    )
    return RecordedAccess(sequence=number, access=read)


COMMAND = command()
STATUS = CommandStatus(
    command=COMMAND.id, device=COMMAND.device, stage=Stage.SENT, at_ms=NOW_MS + 500, reason="sent"
)  # fmt: skip
NEXT_COMMAND = command("2")
DONE = msgspec.structs.replace(STATUS, stage=Stage.DONE, reason="done")


def outside_of(folder: Path) -> Outside:
    return Outside(site="paca", realm=REALM, file=HeadsFile(folder / HEADS_FILE))


async def keep_rulings(pool: Pool, rulings: Sequence[RecordedRuling], at_ms: int) -> None:
    """Linked first, at an hour of the test's: whoever records them finds the links there."""
    items = [item for each in rulings for item in of_ruling(each.sequence, each.ruling)]
    await Seals(pool).seal(items, at_ms=at_ms)
    await EpisodeRecord(pool).record_rulings(rulings)


async def keep_receipts(pool: Pool, receipts: Sequence[Receipt], at_ms: int) -> None:
    await Seals(pool).seal([of_receipt(each, is_tgd=False) for each in receipts], at_ms=at_ms)
    place = OPENED.episode
    await EpisodeRecord(pool).record_receipts(
        [RecordedReceipt(code=place.code, subject=place.subject, receipt=each) for each in receipts]
    )


async def keep_access(pool: Pool, read: RecordedAccess) -> None:
    await Seals(pool).seal([of_access(read.access)], at_ms=read.access.at_ms)
    await AccessRecord(pool).record_accesses([read])


async def keep_orders(pool: Pool) -> None:
    """The log was lost behind the first two: the next two stand at the same places of a new one."""
    items = [of_command(1, COMMAND), of_result(1, STATUS), of_command(1, NEXT_COMMAND), of_result(1, DONE)]
    await Seals(pool).seal(items, at_ms=NOW_MS + 500)
    record = CommandRecord(pool)
    await record.record_commands([RecordedCommand(sequence=1, command=one) for one in (COMMAND, NEXT_COMMAND)])
    await record.record_results([RecordedResult(sequence=1, status=one) for one in (STATUS, DONE)])


async def two_days(dsn: str, folder: Path) -> None:
    """All of it."""
    async with open_pool(dsn) as pool:
        heads = Heads(pool)
        await keep_rulings(pool, RULINGS, NOW_MS + 10_000)
        await keep_receipts(pool, RECEIPTS, NOW_MS + 11_000)
        await keep_access(pool, access(1, NOW_MS + 12_000))
        await keep_orders(pool)
        await heads.make(NOW_MS + HOUR_MS)
        await keep_rulings(pool, [LATER], NOW_MS + DAY_MS + 10_000)
        await heads.make(NOW_MS + DAY_MS + HOUR_MS)
        await publish(heads, outside_of(folder), AffineClock())
        await keep_access(pool, access(2, NOW_MS + DAY_MS + 2 * HOUR_MS))


DEVICE_CHAIN = device_chain(COMMAND.device)
ACCESS_CHAIN = access_chain(NOW_MS)
