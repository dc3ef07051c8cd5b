"""What may be said over a network that anybody may listen to: in a text message, or by a voice that reads it?

That there is an alert, how urgent, and its reference: whoever is on call opens the sheet. No name, no place, no
distance, no measure, no device, and nothing of who has it. Plain French of the GSM alphabet (3GPP TS 23.038), so
that a text message has 160 characters and not 70; two of them at most. How it travels: ``alerts.voice``.
"""

from __future__ import annotations

from typing import Final

from alerts.catalogue import CATALOGUE
from alerts.channels.form import Form, Sender, mark_fr
from tocsin.model.episode import Notification, Ruling, State

CONTENT_TYPE: Final = "text/plain; charset=utf-8"
GSM_7: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
CHARS_MAX: Final = 2 * 153
"""Two parts: each loses seven of 160 characters to the header that joins them."""

NEAREST_LETTER: Final = str.maketrans("âêîôûëïçÂÊÎÔÛËÏÀÈÙ’–—", "aeioueicAEIOUEIAEU'--")
STATE_FR: Final = {
    State.RAISED: "Personne ne l'a prise.",
    State.ACKNOWLEDGED: "Prise en charge.",
    State.CLOSED: "Close.",
    State.FOLDED: "Expliquée par un incident.",
}


def text(ruling: Ruling, notification: Notification, sender: Sender) -> str:
    """One line, of at most CHARS_MAX characters, each of them of the GSM alphabet."""
    episode = ruling.episode
    said = (
        f"{mark_fr(episode)}Tocsin {sender.site}: P{episode.priority} {CATALOGUE[episode.code].label_fr}. "
        f"{STATE_FR[episode.state]} {episode.code.value} v{episode.version} {notification.id}"
    )
    return said.translate(NEAREST_LETTER)


def body(ruling: Ruling, notification: Notification, sender: Sender) -> bytes:
    return text(ruling, notification, sender).encode()


FORM: Final = Form(name="spoken", content_type=CONTENT_TYPE, body=body, max_bytes=2 * CHARS_MAX)
