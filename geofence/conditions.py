"""What is wrong with a device, by its own word and by what it no longer says? One state a device.

A unit says of itself, with every report: battery, strap, case, permission, and how long ago it heard its other half
(``pair``); and it says at once what has happened (``DeviceEvent``). Each of these is a *class*, one byte; of a device
the classes of its last message are known. A message that says nothing else than these is none to think about: that is
a comparison of columns (``ConditionTable.is_news``), and all that an ordinary fix costs here.

Any other changes the *signs* of the device (``heed``):

| sign        | begins                                                       | ends                                   |
|-------------|--------------------------------------------------------------|----------------------------------------|
| TAMPERED    | strap or case open, by event or newly by report              | never here: latched, a human ends it (F27) |
| NEAR        | it hears the radio of the other party                        | its event                              |
| JAMMED      | its event                                                    | its event                              |
| PARTED      | its event; a report that the tag was not heard for 60 s      | a report or event that it is heard     |
| DENIED      | the program may not see the radio or the place any more      | it may again                           |
| ``unheard`` | a report that leaves the tag out where it was told before (F29), or that it was not heard for 20 s; 60 s of it are a PARTED | as PARTED |
| STRAYED     | two places by mobile cell running that its believed place cannot be | one that it can be              |
| OFF, FLAT   | it says that it switches off; FLAT with at most 10 % left    | anything it says later                 |
| LOW, CRITICAL | battery at most 25 %, 10 %                                 | above 30 %, 15 %                       |

An end that was said before its beginning ends nothing, nor does a report that was overtaken (F31). An event that is
old opens nothing (invariant 4), but a tag that was opened or a radio that was heard is never too late. How long a
wait is stands in ``assumptions`` and nowhere else (F24). Hours are milliseconds of the device where they can be
right. Pure, but for the table, which belongs to one worker.
"""  # noqa: E501  # a table

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from geofence.assumptions import (
    BATTERY_CRITICAL_PCT,
    BATTERY_LOW_PCT,
    BATTERY_MARGIN_PCT,
    FORGET_MS,
    LATE_MS,
    LINK_LOST_S,
    R95,
    STRAYS,
    WORST_M_S,
)
from geofence.motion import Mover, Seen
from geofence.pair_state import Reason
from tocsin.geodesy import IntArray, chord_m
from tocsin.limits import PAIR_SHAKY_S
from tocsin.model.fix import ABSENT, DeviceEvent, Fixes, Source, Tell

MOMENT, BATTERY, STRAP, CASE, PERMISSION, LINK, PAIRED = range(7)
SAID: Final = 6  # classes that a message says; PAIRED is remembered beside them: whether it ever told of its tag
UNSAID: Final = 0
EMPTY, LOWEST, LOW_AGAIN, LOWER, FULL = range(
    1, 6
)  # of a battery; the second and fourth are what hysteresis keeps
MISSING, HEARD, SHAKY, LOST = range(1, 5)  # of a tag
WATCHED: Final = 255  # whatever is said of it next is news
LINK_LOST_MS: Final = 1000 * LINK_LOST_S

Bytes = npt.NDArray[np.uint8]
Classes = tuple[int, ...]


def _battery_class(percent: int) -> int:
    """``percent`` as the byte that it is: 255 is ABSENT."""
    bounds = (BATTERY_CRITICAL_PCT, BATTERY_CRITICAL_PCT + BATTERY_MARGIN_PCT, BATTERY_LOW_PCT,
              BATTERY_LOW_PCT + BATTERY_MARGIN_PCT, 100)  # fmt: skip
    return next((one for one, bound in enumerate(bounds, EMPTY) if percent <= bound), UNSAID)


def _link_class(pair_s1: int) -> int:
    if not pair_s1:
        return MISSING
    return HEARD if pair_s1 <= PAIR_SHAKY_S else SHAKY if pair_s1 <= LINK_LOST_S else LOST


BATTERY_CLASSES: Final = bytes(_battery_class(percent) for percent in range(256))
LINK_CLASSES: Final = bytes(_link_class(pair_s1) for pair_s1 in range(LINK_LOST_S + 2))
_BATTERIES: Final = np.frombuffer(BATTERY_CLASSES, np.uint8)
_LINKS: Final = np.frombuffer(LINK_CLASSES, np.uint8)


def classes_of(batch: Fixes) -> Bytes | None:
    """What each message of a batch says of its unit (n, SAID); None if no one says anything."""
    says = batch["telemetry"] != 0
    if not says.any():
        return None
    said = np.zeros((batch.size, SAID), np.uint8)
    said[:, MOMENT] = (batch["event"] != DeviceEvent.NONE) | (batch["source"] == Source.CELL)
    said[:, BATTERY] = _BATTERIES.take(batch["battery_pct"].astype(np.uint8))
    said[:, STRAP], said[:, CASE], said[:, PERMISSION] = batch["strap"], batch["case"], batch["permission"]
    said[:, LINK] = _LINKS.take(np.minimum(batch["pair_s1"], LINK_LOST_S + 1))
    said[~says] = UNSAID
    return said


class Report(NamedTuple):
    """What one message says of its unit. ``at_ms``: when that was so, ``now_ms`` when it was heard; ``alarm``: the
    name under which it rang at once. ``before``: where the unit was known to be until then. ``cell``: its place by
    mobile cell, with the accuracy that it told. ``overtaken``: it has said something newer since."""

    event: int
    said: Classes
    pair_s: int
    at_ms: int
    now_ms: int
    before: Mover
    alarm: str = ""
    cell: Seen | None = None
    overtaken: bool = False


def said_of(event: int, source: int, battery_pct: int, tells: tuple[int, int, int], pair_s1: int) -> Classes:
    """``classes_of`` for one message that says something."""
    moment = int(event != DeviceEvent.NONE or source == Source.CELL)
    untold = event != DeviceEvent.NONE and not pair_s1  # an event need not tell of the tag
    link = UNSAID if untold else LINK_CLASSES[min(pair_s1, LINK_LOST_S + 1)]
    return (moment, BATTERY_CLASSES[battery_pct & 0xFF], *tells, link)


class Sign(StrEnum):
    TAMPERED = "tampered"
    NEAR = "near"
    JAMMED = "jammed"
    PARTED = "parted"
    DENIED = "denied"
    STRAYED = "strayed"
    OFF = "off"
    FLAT = "flat"
    LOW = "low"
    CRITICAL = "critical"


class Since(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``left``: where the unit was last known to be while it certainly had its wearer with it."""

    at_ms: int
    reason: Reason
    alarm: str = ""
    left: Mover | None = None


class Condition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``strays``: places by mobile cell running that its believed place cannot be."""

    signs: dict[Sign, Since] = {}
    unheard: Since | None = None
    strays: int = 0

    def parted(self, now_ms: int) -> Since | None:
        """Since when the unit is without its tag, for what reason first."""
        found = [self.signs[one] for one in (Sign.PARTED, Sign.DENIED) if one in self.signs]
        if self.unheard is not None and now_ms >= (lost_ms := self.unheard.at_ms + LINK_LOST_MS):
            found.append(msgspec.structs.replace(self.unheard, at_ms=lost_ms))
        return min(found, key=lambda one: one.at_ms, default=None)


WELL: Final = Condition()
SEAL_OF: Final = {Reason.STRAP_OPEN: STRAP, Reason.CASE_OPEN: CASE}


class ConditionTable:
    """Of the devices of one partition, by their places. ``known``: the classes of the last message of each;
    ``of``: only those with which anything is wrong."""

    def __init__(self, size: int) -> None:
        self.known: Bytes = np.zeros((size, SAID + 1), np.uint8)
        self.known[:, LINK] = MISSING  # who never told of a tag is not missed when he does not
        self.of: dict[int, Condition] = {}

    def is_news(self, said: Bytes, places: IntArray) -> npt.NDArray[np.bool_]:
        """Which of these messages, one a device, say anything else than the one before."""
        found: npt.NDArray[np.bool_] = ((said != UNSAID) & (said != self.known[:, :SAID].take(places, 0))).any(
            axis=1
        )
        return found

    def is_other(self, place: int, said: Classes) -> bool:
        """The same of one message."""
        known = self.known[place].tolist()
        return any(one not in {UNSAID, other} for one, other in zip(said, known, strict=False))

    def hear(self, place: int, report: Report) -> bool:
        """Take a message; whether anything is now otherwise with its device."""
        before, known = self.of.get(place, WELL), self.known[place]
        after = heed(before, known, report)
        remember(known, report, after)
        if after == WELL:
            self.of.pop(place, None)
        else:
            self.of[place] = after
        return after != before

    def for_new_measure(self, place: int, since_ms: int) -> Condition:
        """What a measure that begins at ``since_ms`` finds. A tamper never ends here; but one from before it, of a
        unit that calls itself whole by now, is an older measure's."""
        here = self.of.get(place, WELL)
        tampered = here.signs.get(Sign.TAMPERED)
        if tampered is None or tampered.at_ms >= since_ms or not self._is_whole(place, tampered):
            return here
        return msgspec.structs.replace(
            here, signs={sign: one for sign, one in here.signs.items() if one is not tampered}
        )

    def _is_whole(self, place: int, tampered: Since) -> bool:
        """By its own last word: silence about the seal that was broken is none."""
        known = self.known[place]
        is_mended = known[SEAL_OF[tampered.reason]] == Tell.WELL
        return is_mended and Tell.BROKEN not in {int(known[STRAP]), int(known[CASE])}

    def carry(self, source: ConditionTable, places: IntArray) -> None:
        """``places``: of each device here, its place in ``source``, or -1."""
        here = np.flatnonzero(places >= 0)
        self.known[here] = source.known[places[here]]
        for place, old in zip(here.tolist(), places[here].tolist(), strict=True):
            if old in source.of:
                self.of[place] = source.of[old]


def remember(known: Bytes, report: Report, after: Condition) -> None:
    """Of what was said, what the next message is compared with."""
    if report.overtaken:
        return
    for one, said in enumerate(report.said):
        if said != UNSAID and one != MOMENT:
            known[one] = said
    if report.event in SEALS:
        column, tell = SEALS[report.event]
        known[column] = tell
    if report.said[LINK] in {HEARD, SHAKY, LOST}:
        known[PAIRED] = 1
    wavers = report.said[LINK] == SHAKY or report.event == DeviceEvent.SEPARATION_END
    if wavers or not after.signs.keys().isdisjoint({Sign.OFF, Sign.FLAT}):
        known[LINK] = WATCHED


SEALS: Final[Mapping[int, tuple[int, Tell]]] = {
    DeviceEvent.STRAP_OPEN: (STRAP, Tell.BROKEN),
    DeviceEvent.STRAP_CLOSED: (STRAP, Tell.WELL),
    DeviceEvent.CASE_OPEN: (CASE, Tell.BROKEN),
    DeviceEvent.CASE_CLOSED: (CASE, Tell.WELL),
}


# --- the rules -------------------------------------------------------------------------------------------------


def heed(before: Condition, known: Bytes, report: Report) -> Condition:
    """The condition behind one message. ``known`` is as it was before that."""
    return _Heed(before, known, report).after()


class _Heed:
    def __init__(self, before: Condition, known: Bytes, report: Report) -> None:
        self.signs, self.unheard, self.strays = dict(before.signs), before.unheard, before.strays
        self.known, self.report = known, report

    def after(self) -> Condition:
        self._seals()
        if not self.report.overtaken:
            self._power()
            self._battery()
            self._permission()
            self._link()
            self._cell()
        self._event()
        return Condition(signs=self.signs, unheard=self.unheard, strays=self.strays)

    def _begin(self, sign: Sign, reason: Reason, *, again: bool = False, leaves: bool = False) -> None:
        """``again``: also if it has begun already, as of now; ``leaves``: the unit may then be without him."""
        report, since = self.report, self.signs.get(sign)
        if since is not None and not (again and report.at_ms > since.at_ms):
            return
        left = report.before if leaves else None
        self.signs[sign] = Since(at_ms=report.at_ms, reason=reason, alarm=report.alarm, left=left)

    def _end(self, *signs: Sign) -> None:
        for sign in signs:
            if sign in self.signs and self.report.at_ms > self.signs[sign].at_ms:
                del self.signs[sign]

    def _seals(self) -> None:
        for column, reason in ((STRAP, Reason.STRAP_OPEN), (CASE, Reason.CASE_OPEN)):
            newly = self.report.said[column] == Tell.BROKEN != self.known[column]
            if newly and self.report.event == DeviceEvent.NONE:
                self._begin(Sign.TAMPERED, reason, again=True, leaves=True)

    def _power(self) -> None:
        if self.report.event != DeviceEvent.POWER_OFF:
            self._end(Sign.OFF, Sign.FLAT)

    def _battery(self) -> None:
        battery = self.report.said[BATTERY]
        if battery == UNSAID:
            return
        if battery == EMPTY:
            self._begin(Sign.CRITICAL, Reason.BATTERY_CRITICAL)
        elif battery != LOWEST:
            self._end(Sign.CRITICAL)
        if battery <= LOW_AGAIN:
            self._begin(Sign.LOW, Reason.BATTERY_LOW)
        elif battery == FULL:
            self._end(Sign.LOW)

    def _permission(self) -> None:
        permission = self.report.said[PERMISSION]
        if permission == Tell.BROKEN:
            self._begin(Sign.DENIED, Reason.PERMISSION_DENIED, leaves=True)
        elif permission == Tell.WELL:
            self._end(Sign.DENIED)

    def _link(self) -> None:
        report, link = self.report, self.report.said[LINK]
        if link in {HEARD, SHAKY}:
            self._end(Sign.PARTED)
        if link == HEARD and Sign.PARTED not in self.signs:
            self.unheard = None
        elif link == SHAKY:
            self._unheard(report.now_ms - 1000 * report.pair_s, Reason.TAG_NOT_HEARD, anew=True)
        elif link == LOST:
            self._begin(Sign.PARTED, Reason.TAG_NOT_HEARD, leaves=True)
        elif link == MISSING and self.known[PAIRED]:
            heard_ms = int(report.before.heard_ms) if report.before.is_known else report.now_ms
            self._unheard(min(heard_ms, report.now_ms), Reason.TAG_NOT_TOLD)

    def _unheard(self, since_ms: int, reason: Reason, *, anew: bool = False) -> None:
        if self.unheard is None or (anew and since_ms > self.unheard.at_ms):
            left = self.report.before if self.unheard is None else self.unheard.left
            self.unheard = Since(at_ms=since_ms, reason=reason, left=left)

    def _cell(self) -> None:
        cell, before = self.report.cell, self.report.before
        if cell is None or not before.is_known or abs(cell.at_ms - before.at_ms) > FORGET_MS:
            return
        moved_m = WORST_M_S * abs(cell.at_ms - before.at_ms) / 1000
        reach_m = R95 * (cell.accuracy_m + before.accuracy_m) + moved_m
        self.strays = self.strays + 1 if chord_m(cell.place, before.place) > reach_m else 0
        if self.strays >= STRAYS:
            self.strays = STRAYS
            self._begin(Sign.STRAYED, Reason.CELL_ELSEWHERE)
        elif not self.strays:
            self._end(Sign.STRAYED)

    def _event(self) -> None:
        event = self.report.event
        if event in RINGING:
            sign, reason = RINGING[event]
            self._begin(sign, reason, again=True, leaves=sign is Sign.TAMPERED)
        elif event in ENDING:
            self._end(*ENDING[event])
            if event == DeviceEvent.SEPARATION_END and Sign.PARTED not in self.signs:
                self.unheard = None
        elif self.report.now_ms - self.report.at_ms <= LATE_MS:
            self._opening_event(event)

    def _opening_event(self, event: int) -> None:
        if event == DeviceEvent.SEPARATION:
            self._begin(Sign.PARTED, Reason.TAG_NOT_HEARD, leaves=True)
        elif event == DeviceEvent.JAMMING:
            self._begin(Sign.JAMMED, Reason.SAYS_JAMMED)
        elif event == DeviceEvent.POWER_OFF:
            battery = self.report.said[BATTERY] or int(self.known[BATTERY])
            flat = battery == EMPTY
            self._begin(*((Sign.FLAT, Reason.BATTERY_FLAT) if flat else (Sign.OFF, Reason.SWITCHED_OFF)))


RINGING: Final[Mapping[int, tuple[Sign, Reason]]] = {
    DeviceEvent.STRAP_OPEN: (Sign.TAMPERED, Reason.STRAP_OPEN),
    DeviceEvent.CASE_OPEN: (Sign.TAMPERED, Reason.CASE_OPEN),
    DeviceEvent.RF_PROXIMITY: (Sign.NEAR, Reason.RADIOS_MEET),
}
ENDING: Final[Mapping[int, tuple[Sign, ...]]] = {
    DeviceEvent.RF_PROXIMITY_END: (Sign.NEAR,),
    DeviceEvent.JAMMING_END: (Sign.JAMMED,),
    DeviceEvent.SEPARATION_END: (Sign.PARTED,),
}

assert _battery_class(ABSENT & 0xFF) == UNSAID
