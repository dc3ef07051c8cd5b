"""Was everybody told whom a ruling names, or does somebody know that they were not? DOMAIN section 2; F02.

    each notification has, within its hard bound: a receipt ``accepted``,
        or a receipt that says why it is not told, and is believed (``_settles``),
        or a SYS_NOTIFY_FAIL of its channel, which a human has before him,
        or (P3 to P5, of which that is not said) an attempt, which the ladder goes on with

``no_endpoint`` is believed where nobody is meant by the settings (``audit.laws.endpoints``). Said of somebody who
is there it is a difference whatever else is failing: nobody was tried, and nobody will be. Of what was said before
the settings were read it is not asked: they may have been others.

Of what a SYS_NOTIFY_FAIL or an attempt explained the end is asked for once more behind the longest ladder of P1 to
P3 (an hour). Her unit is told over MQTT, to which no bound of the domain applies: a receipt of any kind has to be
there. So it has for an invented pair: whether its receiver takes it is SYS_CANARY_FAIL's to say, and no receipt of
that receiver settles what is about anybody else. Pure; hours are those of ``audit.attention``.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any, Final

import msgspec

from audit.law import Difference
from audit.laws.endpoints import NONE_KNOWN, Endpoints, is_there
from audit.laws.reading import CANARY_LINE, Place
from tocsin.model.episode import Channel, Episode, Notification, Realm, Receipt, Ruling
from tocsin.model.finding import Code
from tocsin.model.room import SECOND

NAME: Final = "sent"

WITHIN_MS: Final = {1: 20_000, 2: 25_000, 3: 65_000, 4: 305_000, 5: 905_000}
"""The hard bounds, 15 s of P1 until SYS_NOTIFY_FAIL is said, 20 s, 60 s, and of what administrative is told; 5 s
more for the notice of the failure and the ruling on it."""
UNIT_WITHIN_MS: Final = 65_000
URGENT_MAX: Final = 2  # up to which SYS_NOTIFY_FAIL is said of each that nobody took
LADDER_MAX: Final = 3
LADDER_MS: Final = 3_900_000  # their ladder ends after an hour; 5 min for what began late
FAULT_MS: Final = 150_000  # a fault that a human has closed, and that lasts, is said anew within a minute
KEPT_MS: Final = 600_000  # receipts whose ruling has not been read yet
KEPT_MAX: Final = 200_000  # while no look succeeds nothing is forgotten by its hour

NO_ENDPOINT: Final = "no_endpoint"
NO_LONGER_TOLD: Final = "no_longer_told"
SETTLED: Final = frozenset({"accepted", "default_accepted", "gave_up"})

CLOSED: Final = "org.tocsin.alert.closed"
LEFT: Final = frozenset({"org.tocsin.alert.acknowledged", "org.tocsin.alert.released"})
"""Of Notification.type; a room of the police has no message for these."""


class _Owed(msgspec.Struct, kw_only=True):
    """``due_ms``: when somebody has to know. ``tried``: something was attempted. ``may_be_left``: it may rightly
    not be told; ``must_be_reached``: that nobody is there is a fault, and ``is_unreached``: so it is said;
    ``has_endpoint``: somebody is there, and ``is_denied``: it is said that nobody is."""

    notification: Notification
    episode: str
    priority: int
    due_ms: int
    is_canary: bool
    may_be_left: bool
    must_be_reached: bool
    has_endpoint: bool
    is_unreached: bool = False
    is_denied: bool = False
    tried: bool = False
    was_excused: bool = False


class Sent:
    """``channels``: those that somebody carries; ``endpoints``: who is there, by the settings as they have been
    ``since_ms``, by Tocsin's clock."""

    def __init__(
        self,
        channels: frozenset[Channel] = frozenset(Channel),
        endpoints: Endpoints = NONE_KNOWN,
        since_ms: int = 0,
    ) -> None:
        self._since_ms = since_ms
        self._channels = channels
        self._endpoints = endpoints
        self._owed: dict[str, _Owed] = {}
        self._settled: dict[str, int] = {}
        self._early: dict[str, tuple[int, list[Receipt]]] = {}  # of rulings that have not been read yet
        self._faults: dict[str, int | None] = {}  # by endpoint; since when it is said no longer, None: it lasts

    @property
    def name(self) -> str:
        return NAME

    def standing(self, place: Place, ruling: Ruling, heard_ms: int) -> None:
        """What it says of endpoints, and nothing more."""
        code, endpoint = place
        if code == Code.SYS_NOTIFY_FAIL.value:
            if ruling.episode.lasts:
                self._faults[endpoint] = None
            elif self._faults.get(endpoint, heard_ms) is None:
                self._faults[endpoint] = heard_ms

    def ruling(self, place: Place, ruling: Ruling, heard_ms: int) -> None:
        self.standing(place, ruling, heard_ms)
        self.owe(ruling, heard_ms)

    def owe(self, ruling: Ruling, heard_ms: int) -> None:
        for one in ruling.notifications:
            if one.channel in self._channels and one.id not in self._settled:
                self._owed[one.id] = _owed(one, ruling.episode, heard_ms, self._endpoints)
                _, early = self._early.pop(one.id, (0, []))
                for receipt in early:
                    self.receipt(receipt, heard_ms)

    def receipt(self, receipt: Receipt, heard_ms: int) -> None:
        name = receipt.notification
        owed = self._owed.get(name)
        if owed is None:
            if name not in self._settled:
                self._early.setdefault(name, (heard_ms, []))[1].append(receipt)
                _drop_oldest(self._early)
        elif self._denies(receipt, owed):
            owed.is_denied = True
        elif owed.is_canary or _settles(receipt, owed):
            self._settled[name] = heard_ms
            _drop_oldest(self._settled)
            self._owed.pop(name)
        elif receipt.result == NO_ENDPOINT:
            owed.is_unreached = True
        elif receipt.result != NO_LONGER_TOLD:  # which is no attempt
            owed.tried = True

    def _denies(self, receipt: Receipt, owed: _Owed) -> bool:
        """Whether it says of somebody who is there that nobody is."""
        is_there = owed.has_endpoint and not owed.is_canary
        return receipt.result == NO_ENDPOINT and is_there and receipt.t7_ms >= self._since_ms

    def differences(self, now_ms: int) -> list[Difference]:
        """Each once."""
        self._forget(now_ms)
        found = []
        for name, owed in list(self._owed.items()):
            if now_ms < owed.due_ms:
                continue
            if not owed.was_excused and self._is_excused(owed, now_ms):
                if owed.is_unreached:  # it will never be tried, and the fault is said
                    self._owed.pop(name)
                    continue
                owed.was_excused = True
                owed.due_ms += LADDER_MS
                if owed.priority <= LADDER_MAX:
                    continue
                self._owed.pop(name)  # ladders of three days: who fails for so long is known by then
                continue
            self._owed.pop(name)
            found.append(_difference(owed))
        return found

    def _is_excused(self, owed: _Owed, now_ms: int) -> bool:
        if owed.is_denied:
            return False
        if owed.priority > URGENT_MAX and owed.tried:
            return True
        channel = owed.notification.channel.value
        return any(
            endpoint.split("-")[0] == channel and (since_ms is None or now_ms - since_ms < FAULT_MS)
            for endpoint, since_ms in self._faults.items()
        )

    def _forget(self, now_ms: int) -> None:
        for name, _ in list(takewhile(lambda one: now_ms - one[1] > KEPT_MS, self._settled.items())):
            self._settled.pop(name)
        for name, _ in list(takewhile(lambda one: now_ms - one[1][0] > KEPT_MS, self._early.items())):
            self._early.pop(name)


def _drop_oldest(kept: dict[str, Any]) -> None:
    if len(kept) > KEPT_MAX:
        kept.pop(next(iter(kept)))


def _owed(one: Notification, episode: Episode, heard_ms: int, endpoints: Endpoints) -> _Owed:
    within_ms = UNIT_WITHIN_MS if one.channel is Channel.UNIT else WITHIN_MS[episode.priority]
    return _Owed(
        notification=one,
        episode=episode.id,
        priority=episode.priority,
        due_ms=heard_ms + within_ms,
        is_canary=episode.is_canary,
        may_be_left=_may_be_left(one, episode),
        must_be_reached=_must_be_reached(one, episode),
        has_endpoint=is_there(one, endpoints),
    )


def _may_be_left(one: Notification, episode: Episode) -> bool:
    """A room of the police is sent no message for who has an alert, nor the end of what it never heard begin."""
    if one.channel is not Channel.POLICE:
        return False
    if one.type != CLOSED:
        return one.type in LEFT
    began = (sent.id for told in episode.told if told.room == one.recipient for sent in told.sent)
    return all(name == one.id for name in began)


def _must_be_reached(one: Notification, episode: Episode) -> bool:
    """In production somebody has to be there: always who answers first, the police where an alert is urgent. Of a
    second endpoint there need be none."""
    if episode.realm is not Realm.PRODUCTION or one.recipient == SECOND:
        return False
    urgent = one.channel is Channel.POLICE and episode.priority <= URGENT_MAX
    return urgent or one.channel is Channel.TELEASSISTANCE


def _settles(receipt: Receipt, owed: _Owed) -> bool:
    """Operations that took what the téléassistance did not take settle nothing."""
    if receipt.channel is Channel.UNIT:
        return receipt.result != "no_broker"
    if receipt.channel is not owed.notification.channel or receipt.line == CANARY_LINE:
        return False
    if receipt.result == NO_LONGER_TOLD:
        return owed.may_be_left
    if receipt.result == NO_ENDPOINT:
        return not owed.must_be_reached
    return receipt.result in SETTLED


def _difference(owed: _Owed) -> Difference:
    one = owed.notification
    to = f"{one.channel.value} {one.recipient}".strip()
    what = "has an endpoint, and is said to have none" if owed.is_denied else "was taken by nobody"
    detail = f"{one.id} of {owed.episode} (P{owed.priority}) to {to} {what}, and nobody was told so"
    return Difference(law=NAME, about=one.id, since_ms=owed.due_ms, detail=detail)
