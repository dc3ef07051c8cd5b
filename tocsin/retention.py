"""What of the record may be erased at a given hour, by which rule, and if not, why not?

The classes are those of ``tocsin.chain.KeptAs``:

| class | begins | lasts | why |
|---|---|---|---|
| measure_file | the last of its measures ends; without a known one, the alert was closed | 72 months | R631-11 |
| tgd_position | the ruling of the press that gave it | 3 days, 8 with leave | arrêté of 22 April 2015 |
| tgd_file | the alert was closed | ``tgd_file_months`` | ours |
| access | somebody has read | ``access_months`` | ours |
| proof | | for ever | about nobody |

R631-11 says one month active and five years and eleven months of archive: 72 calendar months, counted at once,
from day to day of the same number; where the month has no such day its last one counts. (To count one month and
then 71 would lose up to three days at the end of a January.)

A *hold* stops what is about its alert, measure or device, whatever the class, but for positions of a TGD: the law
gives these 3 days, and 8 where the prosecutor has given leave; a hold adds nothing to either. A *leave* (a row of
the same kind) is that word, of one alert or one device. Pure; hours are milliseconds, UTC.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR
from enum import StrEnum
from typing import Final

import msgspec

from tocsin.chain import Erasure, KeptAs, Kind, Link, Opened, commitment
from tocsin.clock import MS, utc
from tocsin.model.episode import Episode

DAY_MS: Final = 86_400 * MS
MEASURE_ACTIVE_MONTHS: Final = 1
MEASURE_ARCHIVE_MONTHS: Final = 5 * 12 + 11
MEASURE_MONTHS: Final = MEASURE_ACTIVE_MONTHS + MEASURE_ARCHIVE_MONTHS
TGD_POSITION_DAYS: Final = 3
LEAVE_DAYS: Final = 8
FORGET_POSITION_AFTER_S: Final = TGD_POSITION_DAYS * 86_400 - 2 * 3600
"""When an alert that is still open forgets the place of its phone: the law's days, less an hour in which the
custodian takes the rulings with it from the log and one in which he may be away. With the prosecutor's leave the
record keeps it five days longer; the log does not."""
TGD_FILE_MONTHS: Final = MEASURE_MONTHS
"""Ours: no text that we know of gives a time to what was done about a press. As long as the file of a measure, and
as an offence can be prosecuted (six years)."""
ACCESS_MONTHS: Final = 36
"""Ours: the longest that the CNIL's recommendation on logging (2021-122) gives where misuse would be grave."""
CANARY_KEPT_MS: Final = DAY_MS
"""Of nobody, and no evidence: long enough to look at a round that went wrong last night."""
CLOCK_AHEAD_MAX_MS: Final = DAY_MS
"""Of the newest position of the fleet: as the history of fixes has it (migration 0002)."""
PASS_LATE_MAX_MS: Final = 31 * DAY_MS
"""Without a fleet: of the last pass. Longer than any outage that nobody looks at."""
SILENT_PASS_MAX_MS: Final = LEAVE_DAYS * DAY_MS
"""With a silent fleet: of the last pass, or its newest position. No position of a phone lasts longer; and well
within the 30 days for which a fix counts as late, not as astray: a fleet that is heard shows a clock ahead."""
SETTING_MONTHS_MIN: Final = 1
"""The least that a site may set, and so the least that can be asked of what it erased under an older setting."""
LINKED_LATE_MAX_MS: Final = 14 * DAY_MS
"""What begins a time (a close, the end of a measure) may be linked so long after it: the record was away."""
_FOR_EVER_MS: Final = 2**63 - 1

assert TGD_POSITION_DAYS < LEAVE_DAYS


class HoldKind(StrEnum):
    HOLD = "hold"
    LEAVE = "leave"


class What(StrEnum):
    ALERT = "alert"
    MEASURE = "measure"
    DEVICE = "device"


Name = tuple[What, str]


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody with authority said that this is to be kept; or, a LEAVE, that positions may be kept 8 days. The
    payload of a link of ``Kind.HOLD``, once when it was placed and once when it was lifted."""

    id: str
    kind: HoldKind
    what: What
    subject: str
    reason: str
    authority: str
    placed_by: str
    placed_ms: int
    lifted_by: str | None = None
    lifted_ms: int | None = None
    lifted_because: str | None = None

    @property
    def name(self) -> Name:
        return self.what, self.subject


class Word(StrEnum):
    """What becomes of it. OPEN: its time has not begun."""

    OVER = "over"
    HELD = "held"
    IN_TIME = "in_time"
    OPEN = "open"
    PROOF = "proof"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The two times that are settings, in calendar months."""

    tgd_file_months: int = TGD_FILE_MONTHS
    access_months: int = ACCESS_MONTHS


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Something that is erased together. ``from_ms``: when its time begins, None: not yet. ``names``: everything
    by which it can be held."""

    kept_as: KeptAs
    from_ms: int | None
    names: frozenset[Name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``until_ms``: the first moment at which its time is over. ``hold``: which one keeps it. ``rule``: in the
    words that the proof of deletion has."""

    word: Word
    rule: str
    until_ms: int | None = None
    hold: str | None = None


def verdict(file: File, holds: Iterable[Hold], now_ms: int, terms: Terms) -> Verdict:
    """What may become of it now. ``holds``: those that stand; others are passed over."""
    standing = [one for one in holds if one.lifted_ms is None and one.name in file.names]
    has_leave = any(one.kind is HoldKind.LEAVE for one in standing)
    rule = rule_of(file.kept_as, terms, has_leave=has_leave)
    if file.kept_as is KeptAs.PROOF:
        return Verdict(word=Word.PROOF, rule=rule)
    if file.from_ms is None:
        return Verdict(word=Word.OPEN, rule=rule)
    until_ms = _until_ms(file.kept_as, file.from_ms, terms, has_leave=has_leave)
    if now_ms < until_ms:
        return Verdict(word=Word.IN_TIME, rule=rule, until_ms=until_ms)
    held_by = next((one.id for one in standing if one.kind is HoldKind.HOLD), None)
    if held_by is not None and file.kept_as is not KeptAs.TGD_POSITION:
        return Verdict(word=Word.HELD, rule=rule, until_ms=until_ms, hold=held_by)
    return Verdict(word=Word.OVER, rule=rule, until_ms=until_ms)


def rule_of(kept_as: KeptAs, terms: Terms, *, has_leave: bool = False) -> str:
    match kept_as:
        case KeptAs.MEASURE_FILE:
            return "R631-11: the measure, 1 month, 5 years and 11 months"
        case KeptAs.TGD_POSITION:
            days = LEAVE_DAYS if has_leave else TGD_POSITION_DAYS
            leave = ", by leave of the prosecutor" if has_leave else ""
            return f"arrêté of 22 April 2015: {days} days{leave}"
        case KeptAs.TGD_FILE:
            return f"this site: {terms.tgd_file_months} months from the close"
        case KeptAs.ACCESS:
            return f"this site: {terms.access_months} months"
        case KeptAs.PROOF:
            return "kept for ever"


def _until_ms(kept_as: KeptAs, from_ms: int, terms: Terms, *, has_leave: bool) -> int:
    match kept_as:
        case KeptAs.MEASURE_FILE:
            return plus_months(from_ms, MEASURE_MONTHS)
        case KeptAs.TGD_POSITION:
            return from_ms + (LEAVE_DAYS if has_leave else TGD_POSITION_DAYS) * DAY_MS
        case KeptAs.TGD_FILE:
            return plus_months(from_ms, terms.tgd_file_months)
        case KeptAs.ACCESS:
            return plus_months(from_ms, terms.access_months)
        case KeptAs.PROOF:
            return _FOR_EVER_MS


def begun_before_ms(kept_as: KeptAs, now_ms: int, terms: Terms) -> int:
    """What began at or after this is surely not over: for whoever looks for candidates. May be too late by the
    few days by which months differ, never too early."""
    match kept_as:
        case KeptAs.MEASURE_FILE:
            months = MEASURE_MONTHS
        case KeptAs.TGD_FILE:
            months = terms.tgd_file_months
        case KeptAs.ACCESS:
            months = terms.access_months
        case KeptAs.TGD_POSITION:
            return now_ms - TGD_POSITION_DAYS * DAY_MS + 1
        case KeptAs.PROOF:
            return 0
    return plus_months(now_ms, -months) + LEAVE_DAYS * DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What a chain shows of how long its payloads are kept: a ``tocsin.chain.Judge``.

    ``since_ms``: the hour of its first link, where its payloads belong to one file: a measure may have ended long
    before a human closed its alert. None for a chain whose payloads each have their own time (units, accesses).
    ``holds``: as its links say, by the number of the link; of a hold that was placed and lifted there are two.
    """

    since_ms: int | None = None
    holds: Sequence[tuple[int, Hold]] = ()

    def __call__(self, link: Link, erasure: Erasure) -> str:
        if link.kept_as == KeptAs.TGD_POSITION:
            return ""
        if (hold := self._standing(erasure.link.number)) is not None:
            return f"{hold} was placed and not lifted"
        from_ms = link.at_ms if self.since_ms is None else self.since_ms
        early_ms = soonest_ms(link.kept_as, from_ms) - erasure.at_ms
        return f"{-(-early_ms // DAY_MS)} days too early for {link.kept_as}" if early_ms > 0 else ""

    def of_rows(self, erasure: Erasure) -> str:
        """The same of an erasure that took rows which no link commits to: a history, a measure, a unit."""
        if (hold := self._standing(erasure.link.number)) is not None:
            return f"{hold} was placed and not lifted"
        said = erasure.said
        if said.until_ms is not None:
            early_ms = plus_months(said.until_ms, MEASURE_MONTHS) - DAY_MS - erasure.at_ms  # of a 29 February
        elif self.since_ms is not None:
            early_ms = soonest_ms(said.kept_as, self.since_ms) - erasure.at_ms
        else:
            return ""
        return f"{-(-early_ms // DAY_MS)} days too early for {said.kept_as}" if early_ms > 0 else ""

    def _standing(self, number: int) -> str | None:
        before = [hold for at, hold in self.holds if at < number and hold.kind is HoldKind.HOLD]
        lifted = {hold.id for hold in before if hold.lifted_ms is not None}
        return next((hold.id for hold in before if hold.id not in lifted), None)


def soonest_ms(kept_as: KeptAs, from_ms: int) -> int:
    """Before that hour nothing of the class whose first link is of ``from_ms`` can be over, whatever is set."""
    match kept_as:
        case KeptAs.MEASURE_FILE:
            months = MEASURE_MONTHS
        case KeptAs.TGD_FILE | KeptAs.ACCESS:
            months = SETTING_MONTHS_MIN
        case KeptAs.TGD_POSITION:
            return 0
        case KeptAs.PROOF:
            return _FOR_EVER_MS
    return plus_months(from_ms, months) - LINKED_LATE_MAX_MS


def keeping_of(chain: str, first_ms: int | None, holds: Iterable[tuple[Link, Opened | None]]) -> Keeping:
    """``first_ms``: the hour of the first link of the chain, as far as it is known. ``holds``: its links of
    ``Kind.HOLD``; one that is not as committed, or cannot be read, is a fault of its own and holds nothing."""
    whole = chain.startswith(("episode/", "measure/"))
    found = [(link.number, hold) for link, opened in holds if (hold := _hold_in(link, opened)) is not None]
    return Keeping(since_ms=first_ms if whole else None, holds=found)


def keeping_in(chain: str, links: Sequence[Link], opened: Mapping[int, Opened]) -> Keeping:
    """The same of a chain that is there from its first link on."""
    first_ms = next((link.at_ms for link in links), None)
    return keeping_of(chain, first_ms, ((link, opened.get(link.number)) for link in links))


def _hold_in(link: Link, opened: Opened | None) -> Hold | None:
    if link.kind is not Kind.HOLD or opened is None or commitment(opened) != link.commitment:
        return None
    try:
        return _decode_hold(opened.payload)
    except msgspec.DecodeError:
        return None


_decode_hold = msgspec.json.Decoder(Hold).decode


def plus_months(at_ms: int, months: int) -> int:
    """The same day of the month and the same hour, so many months on; the month's last day where it is shorter.
    Beyond the calendar: never."""
    at = utc(at_ms)
    whole = at.year * 12 + at.month - 1 + months
    year, month = whole // 12, whole % 12 + 1
    if year > MAXYEAR:
        return _FOR_EVER_MS
    last_day = calendar.monthrange(year, month)[1]
    moved = at.replace(year=year, month=month, day=min(at.day, last_day))
    return at_ms + (moved - at).days * DAY_MS


def begins_ms(closed_ms: int | None, ends_ms: Iterable[int]) -> int | None:
    """When the time of an alert's file begins: not before a human has closed it; then with the end of the last
    of its measures, past or to come."""
    if closed_ms is None:
        return None
    return max(ends_ms, default=closed_ms)


def pressed_ms(episode: Episode) -> int:
    """When the press came whose position this episode has, by our clock: a phone's own may be far off."""
    return episode.raises[-1].points.t6_ms or episode.recorded_ms


def doubt(now_ms: int, *, position_ms: int | None, pass_ms: int | None, believed_ms: int | None) -> str | None:
    """Why this hour is not to be believed (F37); None: it is. A clock alone must not empty the record.

    ``position_ms``: the newest plausible position of the fleet, which no clock of ours can move. Where there is no
    fleet, ``pass_ms``: the last pass that was believed. ``believed_ms``: a human said that it was this hour."""
    if believed_ms is not None and abs(now_ms - believed_ms) <= CLOCK_AHEAD_MAX_MS:
        return None
    if position_ms is not None:
        ahead = now_ms - position_ms > CLOCK_AHEAD_MAX_MS
        return "the clock is more than a day ahead of the fleet's newest position" if ahead else None
    if pass_ms is None:
        return "the first pass without a fleet only notes the hour"
    ahead = now_ms - pass_ms > PASS_LATE_MAX_MS
    return "the clock is more than 31 days ahead of the last pass, and there is no fleet" if ahead else None


def doubt_of_positions(
    hour_ms: int, *, position_ms: int | None, heard_ms: int | None, pass_ms: int | None
) -> str | None:
    """Of an hour that is in ``doubt``: why it does not even do for positions of phones; None: it does.

    The law gives these days, and a fleet that is silent, or has ended, says nothing against the hour: it must not
    keep them. A fleet that is heard does. ``hour_ms``: the earliest that any clock in reach has, so that it takes
    all of them to be wrong, by less than SILENT_PASS_MAX_MS of the last pass. ``heard_ms``: when we received the
    newest position. Links are no witnesses: the same clock may have dated them."""
    if heard_ms is not None and hour_ms - heard_ms <= CLOCK_AHEAD_MAX_MS:
        return "the fleet is heard, and says that it is another hour"
    known_ms = max((one for one in (position_ms, pass_ms) if one is not None), default=None)
    if known_ms is None:
        return "no earlier hour is known"
    if hour_ms - known_ms > SILENT_PASS_MAX_MS:
        return "the fleet is silent, and every clock is more than 8 days ahead of it and of the last pass"
    return None
