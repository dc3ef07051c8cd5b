"""What of EPISODES may go from the log, and when? (docs/adr/0044)

The newest ruling of a place is the episode and always stays, closed or not: the desk knows by its causes what it
has applied, says by it what a new alert ``follows``, and corrects it by late fixes for 30 days; the clerk knows by
it what he has said. It goes with the file of its alert, years later (``alerts.custodian``). What is not the newest
any more goes SUPERSEDED_KEPT_MS after it was made, or what has the position of a TGD as soon as that is so old; of
canaries after a day. But nothing that the record does not hold row by row, or that a courier has still in hand:
what could not be recorded stays on the log. Hours are milliseconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog

from alerts.channels.registry import FORMS
from tocsin import present
from tocsin.errors import LogUnavailable, WireError
from tocsin.model.canary import OF_THE_SYSTEM, is_canary
from tocsin.ports import Entry, Log
from tocsin.retention import CANARY_KEPT_MS, DAY_MS, TGD_POSITION_DAYS, pressed_ms
from tocsin.sealing import TGD_CODES, without_places
from tocsin.subjects import EPISODES, RECORDER_EPISODES
from tocsin.subjects import episode as place_subject
from tocsin.wire import decode_ruling

SUPERSEDED_KEPT_MS: Final = TGD_POSITION_DAYS * DAY_MS
"""As long as ALARMS: who looks at an alert of the weekend finds its steps on the log. A P1 that nobody takes
writes 576 rulings a day, and would fill the stream by itself in the end."""
PASS_MS: Final = 3_600_000
"""A pass is an hour behind the last one: what has to be gone at an hour goes with the pass before it."""
QUEUES: Final = (RECORDER_EPISODES, *(f"courier-{channel.value}" for channel in FORMS))

Recorded = tuple[str, int]
"""An episode, and the sequence of one of its rulings."""
Missing = Callable[[Sequence[Recorded]], Awaitable[Sequence[Recorded]]]

log = structlog.get_logger(__name__)


class Seen(NamedTuple):
    """One ruling on the log. ``at_ms`` None: nobody here can read it. ``position_ms``: when the press came whose
    position it has. ``once_canarys``: the system says it of a canary, and a record of before kept it for a day."""

    sequence: int
    episode: str
    at_ms: int | None
    position_ms: int | None
    canary: bool
    once_canarys: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """``overdue``: rulings with a position of a TGD beyond its time that could not go."""

    rulings: int
    overdue: int


def seen(entry: Entry) -> Seen:
    try:
        ruling = decode_ruling(entry.payload)
    except WireError:
        return Seen(entry.sequence, "", None, None, canary=False)
    episode = ruling.episode
    has_position = episode.code in TGD_CODES and bool(without_places(ruling)[1])
    return Seen(
        entry.sequence,
        episode.id,
        ruling.at_ms,
        pressed_ms(episode) if has_position else None,
        canary=episode.is_canary,
        once_canarys=episode.code.value.startswith(OF_THE_SYSTEM) and is_canary(episode.subject),
    )


def is_overdue(one: Seen, now_ms: int) -> bool:
    """It has the position of a TGD, and will have it beyond its time at the next pass."""
    return one.position_ms is not None and now_ms + PASS_MS >= one.position_ms + TGD_POSITION_DAYS * DAY_MS


def is_over(one: Seen, now_ms: int) -> bool:
    """Of a ruling that is not the newest in its place."""
    if one.at_ms is None:
        return False
    kept_ms = CANARY_KEPT_MS if one.canary else SUPERSEDED_KEPT_MS
    return now_ms - one.at_ms >= kept_ms or is_overdue(one, now_ms)


def forgettable(place: Sequence[Seen], now_ms: int, settled: int) -> Sequence[Seen]:
    """The oldest of a place, as many as may go; never the newest. ``settled``: the sequence up to which all
    queues have done their work."""
    superseded = [one for one in place[:-1] if one.sequence <= settled]
    last = max((index for index, one in enumerate(superseded) if is_over(one, now_ms)), default=-1)
    going = superseded[: last + 1]
    unreadable = next((index for index, one in enumerate(going) if one.at_ms is None), len(going))
    return going[:unreadable]


def whole(place: Sequence[Seen], episode: str, last_sequence: int) -> Sequence[Seen] | None:
    """All of this episode, if they are the oldest of their place and none is newer than the record's last. Empty:
    they have gone before. None: they cannot go yet, or there is one before them that nobody here can read."""
    last = max((index for index, one in enumerate(place) if one.episode == episode), default=-1)
    going = place[: last + 1]
    if not going:
        unread = any(one.at_ms is None and one.sequence <= last_sequence for one in place)
        return None if unread else ()
    alone = all(one.episode == episode for one in going)
    return going if alone and going[-1].sequence <= last_sequence else None


class Forgetting:
    """The places of EPISODES as this life has read them: some 100 bytes for each ruling that is kept."""

    def __init__(self, log_: Log, missing: Missing, kept_from_ms: Callable[[], Awaitable[int]]) -> None:
        """``kept_from_ms``: since when the record has kept what is ``once_canarys``."""
        self._log = log_
        self._missing = missing
        self._kept_from_ms = kept_from_ms
        self._places: dict[str, list[Seen]] = {}
        self._after = 0
        self._at_present = False

    async def follow(self) -> None:
        """Read what has come since. Raises LogUnavailable."""
        self._at_present = False
        reader = self._log.read(EPISODES, EPISODES.subjects, after=self._after)
        async for entries in present.upto_present(reader, within_s=present.SILENCE_MAX_S):
            if entries[0].sequence <= self._after:  # a log that was made anew
                self._places.clear()
            for entry in entries:
                self._places.setdefault(entry.subject, []).append(seen(entry))
            self._after = entries[-1].sequence
        self._at_present = True

    async def forget(self, now_ms: int) -> Forgotten:
        """All that may go now. Raises LogUnavailable, RecordUnavailable."""
        await self.follow()
        settled = min([(await self._log.progress(EPISODES, name)).settled for name in QUEUES])
        gone = 0
        for subject in list(self._places):
            going = forgettable(self._places[subject], now_ms, settled)
            going = await self._recorded(subject, going)
            if going:
                gone += await self._forget(subject, going[-1].sequence)
        overdue = sum(is_overdue(one, now_ms) for place in self._places.values() for one in place)
        return Forgotten(rulings=gone, overdue=overdue)

    async def _recorded(self, subject: str, going: Sequence[Seen]) -> Sequence[Seen]:
        """Up to the first that the record does not hold. Canaries are no evidence, and leave the record too; so
        did what the system said of them, before the record kept it."""
        from_ms = await self._kept_from_ms() if any(one.once_canarys for one in going) else 0
        asked = [
            (one.episode, one.sequence)
            for one in going
            if not one.canary and not (one.once_canarys and (one.at_ms or 0) < from_ms)
        ]
        missing = {sequence for _, sequence in await self._missing(asked)} if asked else set()
        if missing:
            log.error("not recorded, kept on the log", subject=subject, rulings=len(missing))
        first = min(missing, default=None)
        return going if first is None else [one for one in going if one.sequence < first]

    async def forget_alert(self, code: str, subject: str, episode: str, last_sequence: int) -> bool:
        """The rulings of an alert whose file goes, the newest of its place too if it is its own; before the record
        loses them. False: the log still has some that cannot go, so neither may the record's; they are behind
        another alert of the same place, or the record has not caught up. Raises LogUnavailable."""
        if not self._at_present:
            raise LogUnavailable(f"{EPISODES.name}: not read up to the present")
        at = place_subject(code, subject)
        going = whole(self._places.get(at, []), episode, last_sequence)
        if going:
            await self._forget(at, going[-1].sequence)
        return going is not None

    async def _forget(self, subject: str, last: int) -> int:
        try:
            gone = await self._log.forget(EPISODES, subject, before=last + 1)
        except LogUnavailable:
            self._at_present = False  # the rest of this pass need not wait for it
            raise
        rest = [one for one in self._places[subject] if one.sequence > last]
        if rest:
            self._places[subject] = rest
        else:
            del self._places[subject]
        return gone
