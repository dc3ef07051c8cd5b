"""What is a channel, whoever reads it? One shape: what it is called, whether it says this at all, and its bytes.

A form is pure: the same ruling, notification and sender give the same bytes, so that a repeated delivery
repeats the message and not another one. What each of them must hold to is examined in
``tests/contracts/test_channels.py``; a new one is a file beside this one and a row of ``registry``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tocsin.model.episode import Episode, Notification, Realm, Ruling

BODY_MAX_BYTES: Final = 32 * 1024
"""Of one message. The longest of ours, a room's fourth Update or a fleet's silence, is below 8 kB."""

MARK_FR: Final = {Realm.PRODUCTION: "", Realm.EXERCISE: "EXERCICE - ", Realm.LAB: "ESSAI - "}
"""What a human reads first of a message that is not about the world (F38)."""


def realm_told(episode: Episode) -> Realm:
    """Of what world a message is. A canary is a test wherever it is walked: whoever was sent it all the same would
    send nobody."""
    return Realm.LAB if episode.is_canary else episode.realm


def mark_fr(episode: Episode) -> str:
    return MARK_FR[realm_told(episode)]


def _no_link(_ruling: Ruling, _notification: Notification) -> str | None:
    """Nobody answers by a link."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who speaks: the site, and the number (E.164) at which a room reaches a human of the téléassistance.

    ``callback_url``: where a notification is answered by one POST, None where it cannot be; a function of what it
    is given alone."""

    site: str
    callback: str | None = None
    callback_url: Callable[[Ruling, Notification], str | None] = _no_link

    @property
    def name(self) -> str:
        return f"tocsin.{self.site}"


def _always(_ruling: Ruling, _notification: Notification) -> bool:
    """Whatever the desk has decided to tell."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a channel writes. ``is_told``: whether there is anything to write of this. ``tells_places``: whether a
    coordinate may be in it; of all channels that is the police's alone."""

    name: str
    content_type: str
    body: Callable[[Ruling, Notification, Sender], bytes]
    is_told: Callable[[Ruling, Notification], bool] = _always
    tells_places: bool = False
    max_bytes: int = BODY_MAX_BYTES

    def written_by(self, sender: Sender) -> Callable[[Ruling, Notification], bytes]:
        """``body`` in the hand of one site."""
        return lambda ruling, notification: self.body(ruling, notification, sender)
