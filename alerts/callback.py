"""Who may acknowledge this alert without any other credential? Whoever was sent the link of its notification.

The téléassistance's operators work in software of their own; a webhook that carries a link which says "I have it"
needs no account on either side. The link is ``{public address}/api/v1/callbacks/{token}``, and the token

    base64url(claim) . base64url(HMAC-SHA256(secret, claim))

is a function of the ruling and the recipient alone, so that every attempt to deliver carries the same bytes. It
says which alert, to whom it was sent, and the hour of the ruling; CALLBACK_VALID_S later it is worth nothing. Only
``acknowledge`` can be done with it. Whoever has it can do that: it belongs in no log.

Pure: the hour is handed in, in milliseconds.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from typing import Final

import msgspec

from tocsin.clock import MS
from tocsin.limits import CALLBACK_VALID_S
from tocsin.model.episode import Notification, Ruling

PATH: Final = "/api/v1/callbacks/"
TOKEN_MAX: Final = 1_024
_PURPOSE: Final = b"tocsin callback 1\n"
"""In front of what is signed: a signature of this secret for anything else is no link."""


class Forged(Exception):
    """Not a link of ours."""


class Expired(Exception):
    """A link of ours whose time is over."""


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """What a link says: the alert, whom it was sent to, the hour of the ruling that told of it."""

    alert: str
    recipient: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Makes the link of a notification. ``public_url``: where the recipients reach the API."""

    public_url: str
    secret: bytes

    def __call__(self, ruling: Ruling, notification: Notification) -> str:
        recipient = f"{notification.channel.value}/{notification.recipient}".rstrip("/")
        claim = Claim(ruling.episode.id, recipient, ruling.at_ms)
        return f"{self.public_url.rstrip('/')}{PATH}{token_of(claim, self.secret)}"


def token_of(claim: Claim, secret: bytes) -> str:
    said = msgspec.json.encode(claim)
    return f"{_text(said)}.{_text(_signature(said, secret))}"


def claim_in(token: str, secret: bytes, now_ms: int) -> Claim:
    """Raises Forged, Expired. The signature is looked at before anything that it signs."""
    said, _, signature = token.partition(".")
    try:
        claimed = _bytes(said)
        if not hmac.compare_digest(_signature(claimed, secret), _bytes(signature)):
            raise Forged
        claim = msgspec.json.decode(claimed, type=Claim)
    except (ValueError, msgspec.DecodeError):
        raise Forged from None
    if now_ms >= claim.at_ms + CALLBACK_VALID_S * MS:
        raise Expired
    return claim


def _signature(said: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, _PURPOSE + said, "sha256")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """Raises ValueError for what is no base64url, and for a second way of writing the same bytes."""
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _text(raw) != text:
        raise ValueError("not as we write it")
    return raw
