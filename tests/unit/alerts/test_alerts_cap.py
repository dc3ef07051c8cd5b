"""Is what a room is sent CAP 1.2, by three judges: a schema, a stranger's parser, our own reader? And what is not?

Cited: F38 (status), invariants 9, 11. The schema's own rules are compared with those of cap-tools, whose classes
render the same schema.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import NOW_MS, PROTECTED, WEARER, act, at_the_border, entry, fix_point, leaving, press
from builders import preadvised as handle
from cap_tools import models
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from xsdata.formats.dataclass.parsers import XmlParser

from alerts.channels import police
from alerts.channels.cap import NAMESPACE, CapMessage, write_cap
from alerts.channels.cap_reader import CAP_MAX_BYTES, RULES, CapError, read_cap
from alerts.channels.form import Sender
from alerts.channels.police import SILENT_FR
from alerts.episodes import ACKNOWLEDGED, CLOSED, RAISED, RELEASED
from alerts.episodes import OPENED as OPENED_KIND
from alerts.routing import Routing
from tocsin.limits import R95_PER_R68
from tocsin.model.episode import (
    Act,
    AlarmCause,
    Channel,
    Event,
    FindingCause,
    Notification,
    Outcome,
    Realm,
    Ruling,
    Verb,
)
from tocsin.model.ids import derived
from tocsin.wire import decode_ruling, encode

SCHEMA_FILE = Path(__file__).parents[2] / "schemas" / "cap-1.2.xsd"
SCHEMA = etree.XMLSchema(etree.parse(SCHEMA_FILE))
XS = "{http://www.w3.org/2001/XMLSchema}"
SENDER = Sender(site="paca", callback="+33199000000")
BORDER = Routing(territory=at_the_border())
LATER_MS = NOW_MS + 1_500


def life(*events: Event, realm: Realm = Realm.PRODUCTION, routing: Routing = BORDER) -> list[Ruling]:
    episode, made = None, []
    for number, event in enumerate(events):
        now = event
        if isinstance(event, Act) and episode is not None:
            now = act(event.verb, episode.version, episode=episode.id, outcome=event.outcome, note=event.note)
        ruling = handle(episode, now, realm, LATER_MS + number * 60_000, routing)
        assert isinstance(ruling, Ruling)
        episode = ruling.episode
        made.append(ruling)
    return made


def came(name: str = "fnd_in1", **changes: Any) -> FindingCause:
    return FindingCause(finding=entry(name, **changes))


def closing(outcome: Outcome) -> tuple[Act, Act]:
    return (act(Verb.ACKNOWLEDGE, 1), act(Verb.CLOSE, 2, outcome=outcome, note="elle est au 43.296587"))


def rooms(ruling: Ruling) -> dict[str, Notification]:
    return {one.recipient: one for one in ruling.notifications if one.channel is Channel.POLICE}


def said(ruling: Ruling, room: str = "CIC-13", sender: Sender = SENDER) -> CapMessage:
    return police.message(ruling, rooms(ruling)[room], sender)


def sent(ruling: Ruling, room: str = "CIC-13") -> bytes:
    return police.body(ruling, rooms(ruling)[room], SENDER)


AGAIN = came("fnd_in2", at_ms=NOW_MS + 300_000)
WHOLE_LIFE = life(came(), AGAIN, *closing(Outcome.LEFT_ZONE))
OPENED, RAISED_AGAIN, _, ENDED = WHOLE_LIFE
KINDS: dict[str, bytes] = {
    "opened": sent(OPENED),
    "raised again": sent(RAISED_AGAIN),
    "over before it was raised": sent(life(FindingCause(finding=leaving(entry())))[0]),
    "a key": sent(life(AlarmCause(alarm=press()))[0]),
    "a key without a place": sent(life(AlarmCause(alarm=press(position=None, silent=True)))[0], "default"),
    "a key that cannot be read": sent(life(AlarmCause(alarm=press(readable=False)))[0]),
    **{outcome.value: sent(life(came(), *closing(outcome))[-1]) for outcome in Outcome},
    **{realm.value: sent(life(came(), realm=realm)[0]) for realm in Realm},
}


# --- what is accepted ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", KINDS.values(), ids=KINDS)
def test_every_kind_is_accepted_by_all_three(body: bytes) -> None:
    SCHEMA.assertValid(etree.fromstring(body))
    ours = read_cap(body)
    theirs = XmlParser().from_bytes(body, models.Alert)
    assert (theirs.identifier, theirs.msg_type.value, theirs.status.value) == (
        ours.identifier, ours.message_type, ours.status,
    )  # fmt: skip
    assert [str(one) for one in theirs_references(theirs)] == [
        f"{one.sender},{one.identifier}" for one in ours.references
    ]
    (info,) = theirs.infos
    assert (info.event, info.urgency.value, info.headline) == (
        ours.infos[0].event, ours.infos[0].urgency, ours.infos[0].headline,
    )  # fmt: skip
    assert [(one.value_name.value, one.value.value) for one in info.parameters] == list(ours.infos[0].parameters)


def theirs_references(alert: models.Alert) -> list[str]:
    return [
        f"{one.sender},{one.identifier}"
        for one in map(models.Reference.from_string, (alert.references or "").split())
    ]


@pytest.mark.parametrize("body", KINDS.values(), ids=KINDS)
def test_what_is_written_is_read_and_written_again_byte_for_byte(body: bytes) -> None:
    assert write_cap(read_cap(body)) == body


@pytest.mark.parametrize("ruling", WHOLE_LIFE, ids=lambda ruling: ruling.reason)
def test_a_repeat_is_the_same_bytes(ruling: Ruling) -> None:
    """Invariant 11."""
    by_way_of_the_log = decode_ruling(encode(ruling))
    for room, notification in rooms(ruling).items():
        assert sent(by_way_of_the_log, room) == police.body(ruling, notification, SENDER)


# --- which message for what ------------------------------------------------------------------------------------


def test_a_life_is_an_alert_an_update_and_an_update_that_ends_it() -> None:
    assert [said(one).message_type for one in (OPENED, RAISED_AGAIN, ENDED)] == ["Alert", "Update", "Update"]
    names = [rooms(one)["CIC-13"].id for one in (OPENED, RAISED_AGAIN, ENDED)]
    assert [one.identifier for one in said(ENDED).references] == names[:2]
    assert [one.identifier for one in said(RAISED_AGAIN).references] == names[:1]
    assert {one.sent_ms for one in said(RAISED_AGAIN).references} == {said(OPENED).sent_ms}
    assert said(OPENED).references == ()
    assert {said(one).incidents for one in (OPENED, ENDED)} == {(OPENED.episode.id,)}
    (info,) = said(ENDED).infos
    assert (info.urgency, info.responses, info.areas) == ("Past", ("AllClear",), ())


def test_who_takes_it_is_not_told_to_the_rooms() -> None:
    taken, released = life(came(), act(Verb.ACKNOWLEDGE, 1), act(Verb.RELEASE, 2))[1:]
    assert rooms(taken) == rooms(released) == {}


@pytest.mark.parametrize("outcome", Outcome)
def test_what_was_not_so_is_withdrawn_and_what_was_so_is_over(outcome: Outcome) -> None:
    ended = said(life(came(), *closing(outcome))[-1])
    withdrawn = outcome in {Outcome.FALSE_ALARM, Outcome.TECHNICAL}
    assert ended.message_type == ("Cancel" if withdrawn else "Update")
    assert ended.infos[0].certainty == ("Unlikely" if withdrawn else "Observed")
    assert ended.infos[0].parameter("tocsin:outcome") == outcome.value


def test_a_room_that_hears_of_it_first_gets_an_alert_and_the_other_an_update_wherever_she_is() -> None:
    """She drove north: the new room is told, and the first one is not left with what was true an hour ago."""
    far_north = fix_point(PROTECTED, lat_e6=43_500_000)
    moved = came("fnd_in2", at_ms=NOW_MS + 300_000, protected=far_north, wearer=far_north)
    only_cic = fix_point(PROTECTED, lat_e6=43_100_000)
    opened, again, _, ended = life(came(protected=only_cic, wearer=only_cic), moved, *closing(Outcome.FALSE_ALARM))
    assert list(rooms(opened)) == ["CIC-13"]
    assert said(again, "CORG-13").message_type == "Alert"
    assert said(again, "CIC-13").message_type == "Update"
    assert {room: said(ended, room).message_type for room in rooms(ended)} == {
        "CIC-13": "Cancel",
        "CORG-13": "Cancel",
    }
    assert [len(said(ended, room).references) for room in ("CIC-13", "CORG-13")] == [2, 1]
    assert said(ended, "CIC-13").addresses == ("CIC-13", "CORG-13"), "itself first, and who else has it"


def test_references_stay_bounded_and_keep_the_first() -> None:
    many = life(*(came(f"fnd_{number}", at_ms=NOW_MS + number) for number in range(30)))
    last = said(many[-1])
    assert last.references[0].identifier == said(many[0]).identifier
    assert [one.identifier for one in last.references[1:]] == [said(one).identifier for one in many[-3:-1]]


def test_an_alert_that_an_older_version_opened_is_not_ended_as_an_alert() -> None:
    """Rulings of 0.1.0 name no room. The first that a room hears of something is never that it is over."""
    episode = msgspec.structs.replace(life(came(), closing(Outcome.ARRESTED)[0])[-1].episode, told=())
    ended = handle(episode, act(Verb.CLOSE, 2, episode=episode.id, outcome=Outcome.ARRESTED), Realm.LAB, NOW_MS)
    assert isinstance(ended, Ruling)
    assert {one.channel for one in ended.notifications} == {Channel.TELEASSISTANCE}


@pytest.mark.parametrize(
    ("kind", "is_told"),
    [(OPENED_KIND, True), (RAISED, True), (ACKNOWLEDGED, False), (RELEASED, False), (CLOSED, False)],
)
def test_what_an_older_version_left_in_the_queue(kind: str, is_told: bool) -> None:
    """It told the police of every move, and of none in CAP."""
    old = Notification(id="evt_old", channel=Channel.POLICE, type=kind)
    ruling = msgspec.structs.replace(OPENED, episode=msgspec.structs.replace(OPENED.episode, told=()))
    assert police.is_told(ruling, old) is is_told


@pytest.mark.parametrize("ruling", WHOLE_LIFE, ids=lambda ruling: ruling.reason)
def test_what_we_write_ourselves_is_always_told(ruling: Ruling) -> None:
    assert all(police.is_told(ruling, one) for one in rooms(ruling).values())


# --- what it says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("realm", "status", "words"),
    [(Realm.PRODUCTION, "Actual", ""), (Realm.EXERCISE, "Exercise", "EXERCICE"), (Realm.LAB, "Test", "ESSAI")],
)
def test_a_drill_cannot_be_taken_for_the_world(realm: Realm, status: str, words: str) -> None:
    """F38: by the machine's word and by what a human reads first."""
    message = said(life(came(), realm=realm)[0])
    (info,) = message.infos
    assert message.status == status
    assert info.headline.startswith(words)
    assert ("n'engager personne" in info.instruction and "n'engager personne" in message.note) is bool(words)


def test_both_places_with_accuracy_and_age() -> None:
    """Invariant 9."""
    (info,) = said(OPENED).infos
    assert info.parameter("tocsin:protected") == "geo:43.296587,5.369731;u=12"
    assert info.parameter("tocsin:protected_age_s") == "3.5"
    assert (
        info.parameter(
            "tocsin:wearer",
        )
        == "geo:43.304112,5.369731;u=12"
    )
    assert info.parameter("tocsin:wearer_age_s") == "3.5"
    assert (info.parameter("tocsin:distance_m"), info.parameter("tocsin:distance_accuracy_m")) == ("940.7", "24")
    assert info.contact == "+33199000000"
    assert info.parameter("tocsin:verified") == "false"
    assert "Non vérifié" in info.description


@pytest.mark.parametrize(("accuracy_dm", "radius_km"), [(120, 0.02), (None, 0.244), (0, 0.244), (50_000, 8.11)])
def test_the_circle_is_never_narrower_than_the_95_percent_radius(
    accuracy_dm: int | None, radius_km: float
) -> None:
    """Absent and zero are the worst case: no message promises a point."""
    there = fix_point(PROTECTED, accuracy_dm=accuracy_dm)
    (info,) = said(life(came(protected=there))[0]).infos
    (circle,) = info.areas[0].circles
    assert circle.radius_km == radius_km
    assert circle.radius_km * 1000 >= (accuracy_dm or 1_500) / 10 * R95_PER_R68 - 0.001
    assert (";u=" in str(info.parameter("tocsin:protected"))) is bool(accuracy_dm)


def test_without_a_place_it_goes_out_and_says_so() -> None:
    message = said(life(AlarmCause(alarm=press(position=None)))[0], "default")
    (area,) = message.infos[0].areas
    assert area.circles == ()
    assert "inconnue" in area.description
    assert message.infos[0].parameter("tocsin:protected") is None


def test_a_silent_key_stays_silent_for_the_whole_life() -> None:
    first, again = life(
        AlarmCause(alarm=press(silent=True)), AlarmCause(alarm=press("alm_2", NOW_MS + 9_000)),
    )  # fmt: skip
    for ruling in (first, again):
        assert SILENT_FR in said(ruling).infos[0].instruction
        assert said(ruling).infos[0].parameter("tocsin:silent") == "true"
    assert SILENT_FR not in said(life(AlarmCause(alarm=press()))[0]).infos[0].instruction


@pytest.mark.parametrize("body", KINDS.values(), ids=KINDS)
def test_no_free_text_of_anybody_is_in_it(body: bytes) -> None:
    assert b"elle est au" not in body
    assert b"A. Martin" not in body


# --- what is refused -------------------------------------------------------------------------------------------

REQUIRED = {
    "identifier", "sender", "sent", "status", "msgType", "scope", "addresses", "references", "category", "event",
    "urgency", "severity", "certainty", "areaDesc", "circle", "valueName", "value",
}  # fmt: skip
TYPED = {
    "sent",
    "onset",
    "status",
    "msgType",
    "scope",
    "category",
    "responseType",
    "urgency",
    "severity",
    "certainty",
}


def elements(body: bytes, names: set[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """(name, start of the opening name, start of the text, end of the text, start of the closing name)."""
    for found in re.finditer(rb"<(\w+)>([^<]*)</(\w+)>", body):
        if (name := found[1].decode()) in names:
            yield name, found.start(1), found.start(2), found.end(2), found.start(3)


def accepted(body: bytes) -> bool:
    """By our reader and by the schema; a body that either refuses is refused."""
    try:
        read_cap(body)
    except CapError:
        return False
    return SCHEMA.validate(etree.fromstring(body))


def without(body: bytes, at: int) -> bytes:
    return body[:at] + body[at + 1 :]


UPDATE = KINDS["raised again"]


def test_every_required_field_is_in_the_message_under_test() -> None:
    assert {name for name, *_ in elements(UPDATE, REQUIRED)} == REQUIRED
    assert accepted(UPDATE)


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_byte_less_in_a_required_element_is_refused(name: str) -> None:
    """In the opening name, in the closing name, in both alike, and the element emptied, and the element gone."""
    _, opening, text, end, closing_at = next(elements(UPDATE, {name}))
    for offset in range(len(name)):
        assert not accepted(without(UPDATE, opening + offset))
        assert not accepted(without(UPDATE, closing_at + offset))
        assert not accepted(without(without(UPDATE, closing_at + offset), opening + offset))
    assert not accepted(UPDATE[:text] + UPDATE[end:]), "empty"
    if name not in {"valueName", "value", "circle", "areaDesc"}:
        assert not accepted(UPDATE[: opening - 1] + UPDATE[closing_at + len(name) + 1 :]), "gone"


@pytest.mark.parametrize("name", sorted(TYPED))
def test_a_byte_less_in_a_typed_value_is_refused(name: str) -> None:
    for _, _, text, end, _ in elements(UPDATE, {name}):
        for at in range(text, end):
            assert not accepted(without(UPDATE, at)), UPDATE[text:end]


@pytest.mark.parametrize(("name", "marks"), [("circle", b", "), ("references", b",:T")])
def test_a_mark_less_in_a_compound_value_is_refused(name: str, marks: bytes) -> None:
    _, _, text, end, _ = next(elements(UPDATE, {name}))
    for at in range(text, end):
        if UPDATE[at] in marks:
            assert not accepted(without(UPDATE, at)), UPDATE[text:end]


def test_a_refusal_names_the_element_and_no_value() -> None:
    for name, word in (("urgency", b"Immediate"), ("sent", b"2026-11-21"), ("circle", b"43.296587,")):
        with pytest.raises(CapError, match=name) as refusal:
            read_cap(
                UPDATE.replace(word, word[:-1], 1) if name != "circle" else UPDATE.replace(word, b"43.296587;")
            )
        assert "43.29" not in str(refusal.value)


ORDER = [("status", "msgType"), ("category", "event"), ("urgency", "severity")]


@pytest.mark.parametrize(("first", "second"), ORDER)
def test_elements_out_of_order_are_refused(first: str, second: str) -> None:
    a, b = (re.search(rf"<{name}>[^<]*</{name}>".encode(), UPDATE) for name in (first, second))
    assert a
    assert b
    turned = UPDATE[: a.start()] + b[0] + UPDATE[a.end() : b.start()] + a[0] + UPDATE[b.end() :]
    assert not accepted(turned)


BEFORE, AFTER = UPDATE.split(b"<alert", 1)[0], b"<alert" + UPDATE.split(b"<alert", 1)[1]
LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
HOSTILE = {
    "a document type": BEFORE + b"<!DOCTYPE alert>" + AFTER,
    "a DTD from elsewhere": BEFORE + b'<!DOCTYPE alert SYSTEM "http://127.0.0.1:9/cap.dtd">' + AFTER,
    "a file read by an entity": BEFORE
    + b'<!DOCTYPE alert [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
    + AFTER.replace(b"<note>", b"<note>&x;"),
    "an entity of the network": BEFORE
    + b'<!DOCTYPE alert [<!ENTITY x SYSTEM "http://127.0.0.1:9/">]>'
    + AFTER.replace(b"<note>", b"<note>&x;"),
    "a billion laughs": BEFORE
    + b'<!DOCTYPE alert [<!ENTITY l0 "ha">'
    + LAUGHS
    + b"]>"
    + AFTER.replace(b"<note>", b"<note>&l9;"),
    "parameter entities": BEFORE + b'<!DOCTYPE alert [<!ENTITY % p SYSTEM "http://127.0.0.1:9/"> %p;]>' + AFTER,
    "an entity that nobody declared": UPDATE.replace(b"<note>", b"<note>&x;"),
    "too long": UPDATE + b" " * CAP_MAX_BYTES,
    "too deep": b"<alert>" * 100_000,
    "nothing": b"",
    "no XML": b"\xff\x00{}",
    "CAP 1.1": UPDATE.replace(b"cap:1.2", b"cap:1.1"),
    "no name space": UPDATE.replace(b' xmlns="urn:oasis:names:tc:emergency:cap:1.2"', b""),
    "another root": UPDATE.replace(b"alert", b"alarm"),
    "an element of another's": UPDATE.replace(b"<note>", b"<x:y xmlns:x='urn:x'/><note>"),
    "text between elements": UPDATE.replace(b"<note>", b"loose<note>"),
    "an element in a value": UPDATE.replace(b"<status>", b"<status><b/>"),
    "two identifiers": UPDATE.replace(b"<sender>", b"<identifier>evt_2</identifier><sender>"),
    "an update of nothing": re.sub(rb"<references>.*</references>", b"", UPDATE),
    "private, to nobody": re.sub(rb"<addresses>.*</addresses>", b"", UPDATE),
    "a circle off the Earth": re.sub(rb"<circle>.*</circle>", b"<circle>91.0,5.0 1.0</circle>", UPDATE),
    "a circle turned inside out": re.sub(rb"<circle>.*</circle>", b"<circle>43.0,5.0 -1.0</circle>", UPDATE),
    "a time of Zulu": re.sub(rb"-00:00</sent>", b"Z</sent>", UPDATE),
    "a day that is none": UPDATE.replace(b"2026-11-21", b"2026-11-31"),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_what_is_not_ours_to_read_is_refused(body: bytes) -> None:
    assert body != UPDATE
    with pytest.raises(CapError):
        read_cap(body)


@given(st.binary(max_size=300))
def test_rubbish_is_an_error_and_nothing_else(body: bytes) -> None:
    with pytest.raises(CapError):
        read_cap(body)


@given(at=st.integers(0, len(UPDATE) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_an_error_or_a_message_and_nothing_else(at: int, byte: int) -> None:
    said_of_it = ""
    try:
        read_cap(UPDATE[:at] + bytes([byte]) + UPDATE[at + 1 :])
    except CapError as error:
        said_of_it = str(error)
    assert "43.2965" not in said_of_it


# --- the three judges know the same rules ----------------------------------------------------------------------


def schema_rules(group: str) -> list[tuple[str, bool, bool, tuple[str, ...]]]:
    """(name, required, repeated, words) of one group of the schema, in order."""
    root = etree.parse(SCHEMA_FILE).getroot()
    path = (
        f"{XS}element[@name='alert']/{XS}complexType" if group == "alert" else f"{XS}complexType[@name='{group}']"
    )
    found = root.find(path)
    assert found is not None
    return [
        (
            one.get("name", ""),
            one.get("minOccurs", "1") != "0",
            one.get("maxOccurs", "1") == "unbounded",
            tuple(word.get("value", "") for word in one.iter(f"{XS}enumeration")),
        )
        for one in found.iterfind(f"{XS}sequence/{XS}element")
    ]


def oasis_rules(kind: type[Any]) -> list[tuple[str, bool, bool, tuple[str, ...]]]:
    """The same, of a class that xsdata made of the file of OASIS."""
    rules = []
    for field in dataclasses.fields(kind):
        if field.metadata.get("type") == "Wildcard":
            continue
        repeated = "list[" in str(field.type)
        words = re.search(r"(?:models\.|\b)([A-Z]\w+)", str(field.type).replace("XmlDateTime", ""))
        enum = getattr(models, words[1], None) if words else None
        values = (
            tuple(one.value for one in enum) if isinstance(enum, type) and issubclass(enum, models.Enum) else ()
        )
        required = bool(field.metadata.get("required") or field.metadata.get("min_occurs"))
        rules.append((field.metadata.get("name", field.name), required, repeated, values))
    return rules


GROUPS = {"alert": models.Alert, "info": models.Info, "resource": models.Resource, "area": models.Area}


@pytest.mark.parametrize("group", GROUPS)
def test_our_schema_has_the_rules_of_the_file_of_oasis(group: str) -> None:
    ours, theirs = schema_rules(group), oasis_rules(GROUPS[group])
    assert {one[0]: one for one in ours} == {one[0]: one for one in theirs}
    if group in {"resource", "area"}:  # where their class keeps the order of the file
        assert [one[0] for one in ours] == [one[0] for one in theirs]


@pytest.mark.parametrize("group", GROUPS)
def test_our_reader_has_the_rules_of_our_schema(group: str) -> None:
    assert [(rule.name, rule.least > 0, rule.most > 1) for rule in RULES[group]] == [
        one[:3] for one in schema_rules(group)
    ]


def test_names_are_derived_and_each_rooms_own() -> None:
    names = {room: one.id for room, one in rooms(OPENED).items()}
    assert names == {
        room: derived("evt", OPENED.episode.id, 1, "org.tocsin.alert.opened", Channel.POLICE, room)
        for room in ("CIC-13", "CORG-13")
    }
    assert WEARER not in names
    assert NAMESPACE.endswith("cap:1.2")
