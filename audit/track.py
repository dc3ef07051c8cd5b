"""Where were both, before, during and at the end of an alert? Kept with it, when it has ended.

When an alert is over for OVER_MS, or closed before it was over, the positions of its units from BEFORE_MS before
its opening to that end are sealed into its chain (source ``track:{end}``), out of the history: they outlive the
history's own retention with the file of the measure. An end that did not last (he came back within OVER_MS) has no
track, the next one has. It waits until the archivist has written what was on the log at the end.

A grave-danger phone may be located only between its SOS and the end of it (invariant 6), is in no history
(ADR 11), and is read from the log; what is kept of it is erased first (``KeptAs.TGD_POSITION``). Late positions of
a phone are not in it.

No track: what no unit is the subject of, what was authorised, what was never raised, invented pairs. Times
milliseconds; columns are those of ``TrackPoint``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
import structlog

from audit.recall import Recall
from tocsin import wire
from tocsin.adapters.fixes import FixArchive, TrackPoint
from tocsin.adapters.seals import Seals
from tocsin.chain import Item, KeptAs, Kind
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.limits import READ_DAYS_MAX, READ_ROWS_MAX
from tocsin.model.episode import Episode, State
from tocsin.model.finding import NOTICES, Code
from tocsin.model.fix import ABSENT, Fixes, FixFlag
from tocsin.ports import Bucket, Deliveries, Delivery, Log
from tocsin.sealing import TGD_CODES, episode_chain
from tocsin.subjects import ARCHIVIST_FIXES, EPISODES, FIXES
from tocsin.telemetry import TRACKS

BEFORE_MS: Final = 30 * 60 * MS  # from where they came: at 100 km/h well beyond the largest pre-alert distance
OVER_MS: Final = 60 * MS  # as long as a ring is left before that is believed (EXIT_AFTER_S)
ARCHIVE_AGAIN_S: Final = 5.0
MEASURES_MAX: Final = 4  # of one alert: those of one unit; an incident of many has no track
ENDS_MAX: Final = 10_000  # ends that wait for their minute: every pair's at once
DAY_MS: Final = 86_400 * MS
COLUMNS: Final = TrackPoint.__struct_fields__

log = structlog.get_logger()


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """Of one unit. ``cut``: there were more than fit, the oldest are here."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int | None, ...], ...]
    cut: bool = False


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """The payload. A unit that is not registered any more is not among ``devices`` but among ``unknown``."""

    devices: dict[str, Columns]
    from_ms: int
    until_ms: int
    unknown: tuple[str, ...] = ()


def end_ms(episode: Episode) -> int | None:
    """When it ended in the world; where nobody saw that, when a human closed it."""
    if episode.over_ms is not None:
        return episode.over_ms
    return episode.closed_ms if episode.state is State.CLOSED else None


def has_track(episode: Episode) -> bool:
    is_about_units = episode.code not in NOTICES and episode.code is not Code.SYS_FLEET_SILENCE
    was_raised = bool(episode.raises) and episode.state is not State.FOLDED and not episode.authorised
    return is_about_units and was_raised and not episode.is_canary


def span_of(episode: Episode, until_ms: int) -> tuple[int, int]:
    """From when to when."""
    before_ms = 0 if episode.code in TGD_CODES else BEFORE_MS
    return max(episode.opened_ms - before_ms, until_ms - READ_DAYS_MAX * DAY_MS), until_ms


def item_of(episode: Episode, track: Track) -> Item:
    return Item(
        chain=episode_chain(episode.id),
        kind=Kind.TRACK,
        kept_as=KeptAs.TGD_POSITION if episode.code in TGD_CODES else KeptAs.MEASURE_FILE,
        source=source_of(track.until_ms),
        payload=msgspec.json.encode(track),
    )


def source_of(until_ms: int) -> str:
    return f"track:{until_ms}"


# --- the shell -------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Tracks:
    """Ends in, sealed tracks out."""

    log: Log
    devices: Bucket
    orders: Bucket
    archive: FixArchive
    recall: Recall
    seals: Seals
    clock: Clock
    _needs: OrderedDict[int, int] = field(default_factory=OrderedDict)
    """By the ruling: how far the archivist must be."""

    async def take(self, queue: Deliveries, limit: int) -> Sequence[Delivery]:
        """Those whose time has come; the others come again then."""
        return [one for one in await queue.take(limit) if not await self._waits(one)]

    async def _waits(self, delivery: Delivery) -> bool:
        try:
            episode = wire.decode_ruling(delivery.entry.payload).episode
        except WireError:
            return False  # ``keep`` meets it again, and it is set aside
        ended_ms = end_ms(episode)
        if ended_ms is None or not has_track(episode):
            return False
        wait_s = (ended_ms + OVER_MS - self.clock.now_ms()) / MS
        if wait_s <= 0 and (episode.code in TGD_CODES or await self._is_archived(delivery.entry.sequence)):
            return False
        await delivery.again(max(wait_s, ARCHIVE_AGAIN_S))
        return True

    async def _is_archived(self, sequence: int) -> bool:
        try:
            progress = await self.log.progress(FIXES, ARCHIVIST_FIXES)
        except LogUnavailable:
            return False
        needed = self._needs.setdefault(sequence, progress.end)
        while len(self._needs) > ENDS_MAX:
            self._needs.popitem(last=False)
        return progress.settled >= needed

    async def keep(self, deliveries: Sequence[Delivery]) -> None:
        """Returns when the record has committed the tracks. Raises RecordUnavailable, WireError."""
        self.recall.refresh()
        for delivery in deliveries:
            episode = wire.decode_ruling(delivery.entry.payload).episode
            until_ms = end_ms(episode)
            if until_ms is not None and has_track(episode) and await self._is_wanted(delivery, episode, until_ms):
                track = await self._track(episode, until_ms)
                if await self.seals.seal([item_of(episode, track)], at_ms=self.clock.now_ms()):
                    TRACKS.labels("unknown_unit" if track.unknown else "sealed").inc()
            self._needs.pop(delivery.entry.sequence, None)

    async def _is_wanted(self, delivery: Delivery, episode: Episode, until_ms: int) -> bool:
        """Whether that is still how it ended, and no ruling about the same end was here before."""
        newest = await self.log.last(EPISODES, delivery.entry.subject)
        if newest is not None and newest.sequence > delivery.entry.sequence:
            now = wire.decode_ruling(newest.payload).episode
            if now.id == episode.id and end_ms(now) != until_ms:
                return False
        return source_of(until_ms) not in {
            link.source for link in await self.seals.links(episode_chain(episode.id))
        }

    async def _track(self, episode: Episode, until_ms: int) -> Track:
        from_ms, until_ms = span_of(episode, until_ms)
        devices: dict[str, Columns] = {}
        unknown: list[str] = []
        for name in await self._units(episode):
            number = await self._number(name)
            if number is None:
                unknown.append(name)
            elif episode.code in TGD_CODES:
                devices[name] = _of_fixes(await self.recall.fixes_of(name, number, from_ms, until_ms))
            else:
                devices[name] = _of_points(
                    await self.archive.read_track(number, from_ms, until_ms + 1, READ_ROWS_MAX)
                )
        return Track(devices=devices, from_ms=from_ms, until_ms=until_ms, unknown=tuple(unknown))

    async def _units(self, episode: Episode) -> list[str]:
        """By name, each once: those of its measures, and the one that it is about."""
        found: list[str] = []
        for measure in episode.measures[:MEASURES_MAX] if episode.code not in TGD_CODES else ():
            if (payload := await self.orders.get(measure)) is not None:
                order = wire.decode_order(payload)
                found += [order.wearer, order.protected]
        if episode.device is not None:
            found.append(episode.device)
        return list(dict.fromkeys(found))

    async def _number(self, device: str) -> int | None:
        payload = await self.devices.get(device)
        return None if payload is None else wire.decode_device(payload).number


def _of_points(points: Sequence[TrackPoint]) -> Columns:
    rows = tuple(msgspec.structs.astuple(one) for one in points)
    return Columns(columns=COLUMNS, rows=rows, cut=len(rows) >= READ_ROWS_MAX)


def _of_fixes(fixes: Fixes) -> Columns:
    """Of messages with a position, as the history would have them."""
    known = fixes[(fixes["flags"] & FixFlag.PRESENCE) == 0]
    known = known[np.argsort(known["fix_ms"], kind="stable")]
    optional = {"accuracy_dm", "speed_cms", "course_ddeg", "battery_pct"}
    names = ["fix_ms", "t3_ms", *COLUMNS[2:]]
    rows = tuple(
        tuple(
            None if name in optional and value == ABSENT else value for name, value in zip(names, row, strict=True)
        )
        for row in known[names].tolist()
    )
    return Columns(columns=COLUMNS, rows=rows[:READ_ROWS_MAX], cut=len(rows) > READ_ROWS_MAX)
