"""What does a message look like in the Common Alerting Protocol 1.2?

The nouns that we use of OASIS CAP-v1.2 (2010), section 3.2, and their XML: the same noun gives the same bytes. The
reader, with the standard's whole table of elements, is ``cap_reader``.

Traps of the standard: a time has seconds, no fraction, and a numeric zone: UTC is ``-00:00``, never ``Z``. A
circle is ``lat,lon radius`` with the radius in kilometres. Private needs addresses; Update and Cancel need
references. Times are milliseconds here, degrees WGS84.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec
from lxml import etree

from tocsin.clock import MS

NAMESPACE: Final = "urn:oasis:names:tc:emergency:cap:1.2"
CONTENT_TYPE: Final = "application/cap+xml"
_AS_DEFAULT: Final[dict[str, str]] = {None: NAMESPACE}  # type: ignore[dict-item]  # lxml's way to say: no prefix


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier message, by the three things that name it."""

    sender: str
    identifier: str
    sent_ms: int


class Circle(msgspec.Struct, frozen=True, kw_only=True):
    """Degrees WGS84 and kilometres."""

    lat: float
    lon: float
    radius_km: float


class Area(msgspec.Struct, frozen=True, kw_only=True):
    description: str
    circles: tuple[Circle, ...] = ()


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """What is the matter, for people and machines."""

    categories: tuple[str, ...]
    event: str
    urgency: str
    severity: str
    certainty: str
    language: str = "en-US"
    responses: tuple[str, ...] = ()
    event_codes: tuple[tuple[str, str], ...] = ()
    onset_ms: int | None = None
    sender_name: str = ""
    headline: str = ""
    description: str = ""
    instruction: str = ""
    contact: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    areas: tuple[Area, ...] = ()

    def parameter(self, name: str) -> str | None:
        """The first of this name."""
        return next((value for known, value in self.parameters if known == name), None)


class CapMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One ``<alert>``. Times are milliseconds; CAP keeps whole seconds of them."""

    identifier: str
    sender: str
    sent_ms: int
    status: str
    message_type: str
    scope: str
    addresses: tuple[str, ...] = ()
    note: str = ""
    references: tuple[Reference, ...] = ()
    incidents: tuple[str, ...] = ()
    infos: tuple[Info, ...] = ()


def write_cap(message: CapMessage) -> bytes:
    """Bytes that depend on the message alone."""
    alert = etree.Element(f"{{{NAMESPACE}}}alert", nsmap=_AS_DEFAULT)
    _put(alert, "identifier", message.identifier)
    _put(alert, "sender", message.sender)
    _put(alert, "sent", time_of(message.sent_ms))
    _put(alert, "status", message.status)
    _put(alert, "msgType", message.message_type)
    _put(alert, "scope", message.scope)
    _put(alert, "addresses", _list_of(message.addresses))
    _put(alert, "note", message.note)
    _put(alert, "references", " ".join(map(_reference_text, message.references)))
    _put(alert, "incidents", _list_of(message.incidents))
    for info in message.infos:
        _put_info(etree.SubElement(alert, f"{{{NAMESPACE}}}info"), info)
    return etree.tostring(alert, xml_declaration=True, encoding="UTF-8")


def _put_info(parent: etree._Element, info: Info) -> None:
    _put(parent, "language", info.language)
    _put_each(parent, "category", info.categories)
    _put(parent, "event", info.event)
    _put_each(parent, "responseType", info.responses)
    _put(parent, "urgency", info.urgency)
    _put(parent, "severity", info.severity)
    _put(parent, "certainty", info.certainty)
    _put_pairs(parent, "eventCode", info.event_codes)
    _put(parent, "onset", "" if info.onset_ms is None else time_of(info.onset_ms))
    _put(parent, "senderName", info.sender_name)
    _put(parent, "headline", info.headline)
    _put(parent, "description", info.description)
    _put(parent, "instruction", info.instruction)
    _put(parent, "contact", info.contact)
    _put_pairs(parent, "parameter", info.parameters)
    for area in info.areas:
        place = etree.SubElement(parent, f"{{{NAMESPACE}}}area")
        _put(place, "areaDesc", area.description)
        _put_each(place, "circle", map(_circle_text, area.circles))


def _put(parent: etree._Element, name: str, text: str) -> None:
    """Nothing where there is nothing to say."""
    if text:
        etree.SubElement(parent, f"{{{NAMESPACE}}}{name}").text = text


def _put_each(parent: etree._Element, name: str, texts: Iterable[str]) -> None:
    for text in texts:
        _put(parent, name, text)


def _put_pairs(parent: etree._Element, name: str, pairs: Iterable[tuple[str, str]]) -> None:
    for value_name, value in pairs:
        pair = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
        _put(pair, "valueName", value_name)
        _put(pair, "value", value)


def _reference_text(one: Reference) -> str:
    return f"{one.sender},{one.identifier},{time_of(one.sent_ms)}"


def _circle_text(circle: Circle) -> str:
    return f"{circle.lat:.6f},{circle.lon:.6f} {circle.radius_km:.3f}"


def _list_of(words: Iterable[str]) -> str:
    return " ".join(f'"{word}"' if " " in word else word for word in words)


def time_of(ms: int) -> str:
    """CAP's dateTime; what is below a second is dropped."""
    return datetime.fromtimestamp(ms // MS, UTC).strftime("%Y-%m-%dT%H:%M:%S") + "-00:00"
