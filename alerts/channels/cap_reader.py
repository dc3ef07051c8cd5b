"""Is this a CAP 1.2 message, and what does it say?

``RULES`` is the table of OASIS CAP-v1.2, section 3.2: the order of elements, how often, what may stand there.
``read_cap`` takes all of it, keeps what ``cap`` has a noun for, and says which element is wrong. A sentence of
refusal carries no value of the message. Nothing is opened: no DTD, no entity, no network, at most CAP_MAX_BYTES.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from lxml import etree

from alerts.channels.cap import NAMESPACE, Area, CapMessage, Circle, Info, Reference
from tocsin.clock import MS
from tocsin.errors import TocsinError

CAP_MAX_BYTES: Final = 256 * 1024  # one of ours is 4 kB
MANY: Final = 1_000
TEXT_MAX: Final = 20_000


class CapError(TocsinError):
    """This is not a CAP 1.2 message:"""


# --- what may stand in an element ----------------------------------------------------------------------------

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+]\d\d:\d\d")
_NAME = re.compile(r"[^\s,<&]+")
_LANGUAGE = re.compile(r"[a-zA-Z]{1,8}(-[a-zA-Z0-9]{1,8})*")
_NUMBER = r"-?\d+(?:\.\d+)?"
_CIRCLE = re.compile(rf"({_NUMBER}),({_NUMBER}) (\d+(?:\.\d+)?)")
_POLYGON = re.compile(rf"{_NUMBER},{_NUMBER}(?: {_NUMBER},{_NUMBER}){{3,}}")
_LIST_ITEM = re.compile(r'"[^"]*"|[^\s"]+')


def _ms_of(text: str) -> int:
    if not _TIME.fullmatch(text):
        raise ValueError("a time is like 2026-11-21T21:04:07-00:00")
    return round(datetime.fromisoformat(text).timestamp()) * MS


def _reference(text: str) -> Reference:
    sender, identifier, sent = text.split(",")
    return Reference(sender=_name(sender), identifier=_name(identifier), sent_ms=_ms_of(sent))


def _references(text: str) -> tuple[Reference, ...]:
    return tuple(_reference(one) for one in text.split())


def _circle(text: str) -> Circle:
    found = _CIRCLE.fullmatch(text)
    if not found:
        raise ValueError("a circle is lat,lon and the radius in kilometres")
    lat, lon, radius_km = map(float, found.groups())
    if abs(lat) > 90 or abs(lon) > 180:
        raise ValueError("its middle is not on Earth")
    return Circle(lat=lat, lon=lon, radius_km=radius_km)


def _polygon(text: str) -> str:
    if not _POLYGON.fullmatch(text) or text.split(" ", 1)[0] != text.rsplit(" ", 1)[1]:
        raise ValueError("a polygon is at least four lat,lon, the last one as the first")
    return text


def _text(text: str) -> str:
    if not text.strip() or len(text) > TEXT_MAX:
        raise ValueError(f"from 1 to {TEXT_MAX} characters")
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("one word, without space, comma, < or &")
    return text


def _matching(pattern: re.Pattern[str], form: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(form)
        return text

    return check


def _words(text: str) -> tuple[str, ...]:
    found = tuple(word.strip('"') for word in _LIST_ITEM.findall(text))
    if not found or " ".join(_LIST_ITEM.findall(text)) != " ".join(text.split()):
        raise ValueError('words with spaces between them, quoted where they have a space ("…")')
    return found


def _one_of(*words: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return check


# --- the table -----------------------------------------------------------------------------------------------

T = TypeVar("T")
Read = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """One element of its parent, in the order of the table. ``read``: what reads its text, or a group's name."""

    name: str
    least: int
    most: int
    read: Read | str


_PAIR = (Rule("valueName", 1, 1, _text), Rule("value", 1, 1, _text))
_DECIMAL = _matching(re.compile(_NUMBER), "a decimal number")
_ADDRESS = _matching(re.compile(r"\S+"), "an address without spaces")

RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "alert": (
        Rule("identifier", 1, 1, _name),
        Rule("sender", 1, 1, _name),
        Rule("sent", 1, 1, _ms_of),
        Rule("status", 1, 1, _one_of("Actual", "Exercise", "System", "Test", "Draft")),
        Rule("msgType", 1, 1, _one_of("Alert", "Update", "Cancel", "Ack", "Error")),
        Rule("source", 0, 1, _text),
        Rule("scope", 1, 1, _one_of("Public", "Restricted", "Private")),
        Rule("restriction", 0, 1, _text),
        Rule("addresses", 0, 1, _words),
        Rule("code", 0, MANY, _text),
        Rule("note", 0, 1, _text),
        Rule("references", 0, 1, _references),
        Rule("incidents", 0, 1, _words),
        Rule("info", 0, MANY, "info"),
    ),
    "info": (
        Rule("language", 0, 1, _matching(_LANGUAGE, "a language like fr-FR")),
        Rule(
            "category", 1, MANY,
            _one_of("Geo", "Met", "Safety", "Security", "Rescue", "Fire", "Health", "Env", "Transport", "Infra",
                    "CBRNE", "Other"),
        ),
        Rule("event", 1, 1, _text),
        Rule(
            "responseType", 0, MANY,
            _one_of("Shelter", "Evacuate", "Prepare", "Execute", "Avoid", "Monitor", "Assess", "AllClear", "None"),
        ),
        Rule("urgency", 1, 1, _one_of("Immediate", "Expected", "Future", "Past", "Unknown")),
        Rule("severity", 1, 1, _one_of("Extreme", "Severe", "Moderate", "Minor", "Unknown")),
        Rule("certainty", 1, 1, _one_of("Observed", "Likely", "Possible", "Unlikely", "Unknown")),
        Rule("audience", 0, 1, _text),
        Rule("eventCode", 0, MANY, "eventCode"),
        Rule("effective", 0, 1, _ms_of),
        Rule("onset", 0, 1, _ms_of),
        Rule("expires", 0, 1, _ms_of),
        Rule("senderName", 0, 1, _text),
        Rule("headline", 0, 1, _text),
        Rule("description", 0, 1, _text),
        Rule("instruction", 0, 1, _text),
        Rule("web", 0, 1, _ADDRESS),
        Rule("contact", 0, 1, _text),
        Rule("parameter", 0, MANY, "parameter"),
        Rule("resource", 0, MANY, "resource"),
        Rule("area", 0, MANY, "area"),
    ),
    "area": (
        Rule("areaDesc", 1, 1, _text),
        Rule("polygon", 0, MANY, _polygon),
        Rule("circle", 0, MANY, _circle),
        Rule("geocode", 0, MANY, "geocode"),
        Rule("altitude", 0, 1, _DECIMAL),
        Rule("ceiling", 0, 1, _DECIMAL),
    ),
    "resource": (
        Rule("resourceDesc", 1, 1, _text),
        Rule("mimeType", 1, 1, _text),
        Rule("size", 0, 1, _matching(re.compile(r"\d{1,18}"), "a number of bytes")),
        Rule("uri", 0, 1, _ADDRESS),
        Rule("derefUri", 0, 1, _text),
        Rule("digest", 0, 1, _text),
    ),
    "eventCode": _PAIR,
    "parameter": _PAIR,
    "geocode": _PAIR,
}  # fmt: skip


# --- reading -------------------------------------------------------------------------------------------------

Group = Mapping[str, list[Any]]


def read_cap(body: bytes) -> CapMessage:
    """Raises CapError naming the element."""
    root = _parsed(body)
    if root.tag != f"{{{NAMESPACE}}}alert":
        raise CapError("the root is not an <alert> of CAP 1.2")
    alert = _group(root, "alert", "alert")
    message = CapMessage(
        identifier=_only(alert, "identifier", ""),
        sender=_only(alert, "sender", ""),
        sent_ms=_only(alert, "sent", 0),
        status=_only(alert, "status", ""),
        message_type=_only(alert, "msgType", ""),
        scope=_only(alert, "scope", ""),
        addresses=_only(alert, "addresses", ()),
        note=_only(alert, "note", ""),
        references=_only(alert, "references", ()),
        incidents=_only(alert, "incidents", ()),
        infos=tuple(_info(one) for one in alert["info"]),
    )
    _check_together(message, alert)
    return message


def _parsed(body: bytes) -> etree._Element:
    if len(body) > CAP_MAX_BYTES:
        raise CapError(f"{len(body)} bytes, at most {CAP_MAX_BYTES}")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        raise CapError(
            f"not well-formed XML at line {line}, column {column}"
        ) from None  # its text quotes the body
    except ValueError:
        raise CapError("not bytes of XML") from None
    if root.getroottree().docinfo.internalDTD is not None or root.getroottree().docinfo.externalDTD is not None:
        raise CapError("a document type (DTD) is not allowed")
    return root


def _group(element: etree._Element, name: str, path: str) -> dict[str, list[Any]]:
    """Everything in one element, by name; raises CapError for what is missing, too many, out of order, unknown."""
    rules = RULES[name]
    places = {rule.name: place for place, rule in enumerate(rules)}
    found: dict[str, list[Any]] = {rule.name: [] for rule in rules}
    last = 0
    for child in _children(element, path):
        local = child.tag.removeprefix(f"{{{NAMESPACE}}}")
        place = places.get(local)
        if place is None:
            raise CapError(f"<{local}> is not an element of <{path}>")
        if place < last:
            raise CapError(f"<{path}/{local}> is out of order")
        last = place
        found[local].append(_value(child, rules[place], f"{path}/{local}"))
    for rule in rules:
        if not rule.least <= len(found[rule.name]) <= rule.most:
            count = len(found[rule.name])
            raise CapError(f"<{path}/{rule.name}> is there {count} times, not {rule.least} to {rule.most}")
    return found


def _children(element: etree._Element, path: str) -> Iterator[etree._Element]:
    """Elements only. The digital signature that CAP allows is not ours to judge: it is passed over."""
    if element.text and element.text.strip():
        raise CapError(f"<{path}> has text beside its elements")
    for child in element:
        if not isinstance(child.tag, str):
            raise CapError(f"<{path}> has an entity")
        if child.tail and child.tail.strip():
            raise CapError(f"<{path}> has text beside its elements")
        if not child.tag.startswith("{http://www.w3.org/2000/09/xmldsig#}"):
            yield child


def _value(child: etree._Element, rule: Rule, path: str) -> object:
    if isinstance(rule.read, str):
        return _group(child, rule.read, path)
    if len(child):
        raise CapError(f"<{path}> has elements inside")
    try:
        return rule.read((child.text or "").strip())
    except ValueError as error:
        detail = str(error) if rule.read is not _references else "sender,identifier,sent with spaces between them"
        raise CapError(f"<{path}>: {detail}") from None


def _check_together(message: CapMessage, alert: Group) -> None:
    if message.scope == "Private" and not message.addresses:
        raise CapError("<alert/addresses> is missing: the scope is Private")
    if message.scope == "Restricted" and not alert["restriction"]:
        raise CapError("<alert/restriction> is missing: the scope is Restricted")
    if message.message_type != "Alert" and not message.references:
        raise CapError(f"<alert/references> is missing in a message of type {message.message_type}")


def _info(group: Group) -> Info:
    return Info(
        categories=tuple(group["category"]),
        event=_only(group, "event", ""),
        urgency=_only(group, "urgency", ""),
        severity=_only(group, "severity", ""),
        certainty=_only(group, "certainty", ""),
        language=_only(group, "language", "en-US"),
        responses=tuple(group["responseType"]),
        event_codes=_pairs(group["eventCode"]),
        onset_ms=_only(group, "onset", None),
        sender_name=_only(group, "senderName", ""),
        headline=_only(group, "headline", ""),
        description=_only(group, "description", ""),
        instruction=_only(group, "instruction", ""),
        contact=_only(group, "contact", ""),
        parameters=_pairs(group["parameter"]),
        areas=tuple(
            Area(description=_only(one, "areaDesc", ""), circles=tuple(one["circle"])) for one in group["area"]
        ),
    )


def _only(group: Group, name: str, absent: T) -> T:
    """What stands in an element that is there at most once; the table has seen to its type."""
    found: T = group[name][0] if group[name] else absent
    return found


def _pairs(groups: list[Group]) -> tuple[tuple[str, str], ...]:
    return tuple((one["valueName"][0], one["value"][0]) for one in groups)
