"""Does every channel keep to what a channel must? One examination for all of them; a new one is a row of FORMS.

Walked: every code of the catalogue, raised, taken, closed, each realm, each rung, with and without a place and a
distance. Cited: F33 (nobody reads a place but the police), F38 (a drill is no alert), invariants 9, 10, 11.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from builders import NOW_MS, PROTECTED, TGD, WEARER, act, entry, fix_point, press
from lxml import etree

from alerts.catalogue import CATALOGUE
from alerts.channels import registry
from alerts.channels.form import MARK_FR, Form, Sender
from alerts.channels.spoken import CHARS_MAX, GSM_7
from alerts.desk import handle
from alerts.episodes import CLOSED, KEYS, OPENED
from tocsin.clock import rfc3339
from tocsin.model.episode import (
    AlarmCause,
    Channel,
    Episode,
    Event,
    FindingCause,
    NoticeCause,
    Notification,
    Outcome,
    Realm,
    Ruling,
    Rung,
    Sent,
    State,
    Told,
    Verb,
)
from tocsin.model.finding import LATCHED, Change, Code
from tocsin.model.notice import Notice
from tocsin.wire import decode_ruling, encode

SENDER = Sender(site="paca", callback="+33199000000", callback_url=lambda _r, one: f"https://t.example/{one.id}")
FORMS: dict[str, Form] = {form.name: form for form in (*registry.FORMS.values(), registry.SPOKEN)}
PERSON, NOTE, MEASURE = "A. Martin", "at 43.296587, 5.369731", "msr_1"
ESCALATED = "org.tocsin.alert.escalated"
FAR_AWAY: dict[str, int] = {"lat_e6": -12_345_678, "lon_e6": 98_765_432}
FIGURES = re.compile(rb"(?<![0-9])(43\.?[23]|5\.?36|12\.?34|98\.?76)[0-9]{3}|\blat|\blon|geo:")
NOTHING_KNOWN: dict[str, Any] = {"wearer": None, "protected": None, "distance_dm": None}
SYSTEM = sorted(code for code in CATALOGUE if code.startswith("SYS_") and code is not Code.SYS_FLEET_SILENCE)
ROOM = "CIC-13"
HEARD = (Told(room=ROOM, sent=(Sent(id="evt_before", at_ms=NOW_MS),)),)
"""The room has heard of it: it hears of the end."""
MARKS = {Realm.EXERCISE: '"exercise"|>Exercise<', Realm.LAB: '"lab"|>Test<'}


def causes(code: Code) -> Iterator[Event]:
    """How it can come to be: from a key, from a part of ours, or from two parties, known or not."""
    if code in KEYS:
        device = TGD if code is not Code.BAR_SOS else PROTECTED
        yield AlarmCause(alarm=press(code=code, device=device))
        yield AlarmCause(alarm=press(code=code, device=device, position=None, silent=True))
    elif code in SYSTEM:
        yield NoticeCause(notice=Notice(id="ntc_1", code=code, subject="police", change=Change.ENTRY, at_ms=NOW_MS,
                                        entry="ntc_1", entry_ms=NOW_MS, reason="nobody_takes"))  # fmt: skip
    elif code is Code.SYS_FLEET_SILENCE:
        yield FindingCause(finding=entry(code=code, measure="flt_1", **NOTHING_KNOWN))  # its subject is a group
    else:
        yield FindingCause(finding=entry(code=code))
        yield FindingCause(finding=entry(code=code, **NOTHING_KNOWN))
        yield FindingCause(finding=entry(code=code, low_confidence=True, lower_dm=8_000, upper_dm=12_000))


def life(first: Event, realm: Realm = Realm.PRODUCTION) -> list[Ruling]:
    """Raised, taken by a named human, closed with a note that holds a place; by way of the log."""
    taken = act(Verb.ACKNOWLEDGE, 1, PERSON)
    ended = act(Verb.CLOSE, 2, PERSON, outcome=Outcome.LEFT_ZONE, note=NOTE, inspected=True)
    rulings = [ruled(None, first, realm)]
    for one in (taken, ended):
        before = rulings[-1].episode
        on_it = msgspec.structs.replace(one, episode=before.id, expected_version=before.version)
        rulings.append(ruled(msgspec.structs.replace(before, told=HEARD), on_it, realm))
    return rulings


def ruled(before: Episode | None, event: Event, realm: Realm) -> Ruling:
    made = handle(before, event, realm, NOW_MS + 1_500)
    assert isinstance(made, Ruling)
    return decode_ruling(encode(made))


def told(ruling: Ruling, audience: Rung | None = None) -> Notification:
    """The room, so that the forms that write to one have it; the others take no notice."""
    kind = ESCALATED if audience else CLOSED if ruling.episode.state is State.CLOSED else OPENED
    name = f"evt_{ruling.episode.version:032x}"
    return Notification(id=name, channel=Channel.POLICE, type=kind, recipient=ROOM, audience=audience)


def bodies(form: Form, rulings: list[Ruling], audience: Rung | None = None) -> Iterator[tuple[Ruling, bytes]]:
    for ruling in rulings:
        one = told(ruling, audience)
        if form.is_told(ruling, one):
            yield ruling, form.body(ruling, one, SENDER)


def parsed(form: Form, body: bytes) -> None:
    """By a reader that is not ours."""
    if "json" in form.content_type:
        assert isinstance(json.loads(body), dict)
    elif "xml" in form.content_type:
        assert etree.fromstring(body).tag.endswith("}alert")
    else:
        assert body.decode().isprintable()


@pytest.fixture(params=FORMS, name="form")
def _form(request: pytest.FixtureRequest) -> Form:
    return FORMS[request.param]


def test_every_channel_of_the_courier_is_examined() -> None:
    assert {registry.FORMS[channel].name for channel in Channel if channel is not Channel.UNIT} <= set(FORMS)


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_code_is_written_whatever_is_known_of_it(form: Form, code: Code) -> None:
    """Whole, of the declared kind, within its bound, and naming the notification that it is (A6)."""
    for cause in causes(code):
        for audience in (None, *Rung):
            for ruling, body in bodies(form, life(cause), audience):
                parsed(form, body)
                assert len(body) <= form.max_bytes
                assert told(ruling, audience).id in body.decode(), "UTF-8, and its name in it"
                assert body == form.body(ruling, told(ruling, audience), SENDER), "a repeat is the same bytes"


@pytest.mark.parametrize("code", CATALOGUE)
def test_only_the_police_read_a_place(form: Form, code: Code) -> None:
    """F33: no figure of one, and the note of a closing, where a human may have written one, is in no message."""
    found = [body for cause in causes(code) for _, body in bodies(form, life(cause))]
    assert all(NOTE.encode() not in body for body in found)
    if not form.tells_places:
        assert not any(FIGURES.search(body) for body in found)
    elif any(isinstance(cause, FindingCause) and cause.finding.protected for cause in causes(code)):
        assert any(FIGURES.search(body) for body in found), "else the pattern finds nothing at all"


def test_the_link_that_takes_an_alert_is_the_teleassistances_alone(form: Form) -> None:
    """It is a credential: not in a ticket, not in a text message, not with a room."""
    (_, first), *_ = bodies(form, life(next(causes(Code.PROX_ALERT))))
    assert (b"https://t.example/evt_" in first) is (form is registry.FORMS[Channel.TELEASSISTANCE])


@pytest.mark.parametrize("moved", [("protected",), ("protected", "wearer")])
@pytest.mark.parametrize("code", [Code.PROX_ALERT, Code.PROX_PREALERT, Code.ZONE_CORE_ENTRY])
def test_moving_the_parties_changes_no_byte_unless_places_are_told(
    form: Form, code: Code, moved: tuple[str, ...]
) -> None:
    """The sharper one: in whatever form a place could be written."""
    elsewhere = {who: fix_point(PROTECTED if who == "protected" else WEARER, **FAR_AWAY) for who in moved}
    here, there = (
        [body for _, body in bodies(form, life(FindingCause(finding=entry(code=code, **changes))))]
        for changes in ({}, elsewhere)
    )
    assert (here == there) is not form.tells_places


@pytest.mark.parametrize("code", [Code.PROX_ALERT, Code.BAR_SOS])
def test_a_later_version_is_another_message_and_the_end_is_said(form: Form, code: Code) -> None:
    rulings = life(next(causes(code)))
    said = [body for _, body in bodies(form, rulings)]
    assert len(set(said)) == len(said)
    assert re.search(rb"closed|left_zone|Close\.|Past", said[-1])
    assert not re.search(rb'"closed"|left_zone|Close\.|Past', said[0])


@pytest.mark.parametrize("realm", Realm)
def test_a_drill_says_that_it_is_one_and_the_world_does_not(form: Form, realm: Realm) -> None:
    """F38, invariant 10: by a word for machines or one for humans, in every message."""
    for _, body in bodies(form, life(next(causes(Code.PROX_ALERT)), realm)):
        text = body.decode()
        if realm is Realm.PRODUCTION:
            assert not any(mark and mark in text for mark in MARK_FR.values())
            assert not re.search("exercise|Exercise|>Test<", text)
        else:
            assert MARK_FR[realm] in text or re.search(MARKS[realm], text)


@pytest.mark.parametrize("rung", Rung)
@pytest.mark.parametrize("priority", range(1, 6))
def test_every_priority_and_rung_has_words(form: Form, priority: int, rung: Rung) -> None:
    (raised, *_) = life(next(causes(Code.PROX_ALERT)))
    urgent = msgspec.structs.replace(raised, episode=msgspec.structs.replace(raised.episode, priority=priority))
    one = told(urgent, rung)
    parsed(form, form.body(urgent, one, SENDER))


@pytest.mark.parametrize("code", sorted(LATCHED))
def test_a_latched_alert_that_was_inspected_is_over_for_the_reader_too(form: Form, code: Code) -> None:
    assert life(next(causes(code)))[-1].episode.state is State.CLOSED
    assert list(bodies(form, life(next(causes(code)))))


# --- operations ------------------------------------------------------------------------------------------------


def pages(code: Code) -> list[dict[str, Any]]:
    form = FORMS["operations"]
    return [json.loads(body) for cause in causes(code) for _, body in bodies(form, life(cause))]


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_page_names_no_person_device_or_measure(code: Code) -> None:
    """Labels and annotations are copied into tickets and metrics by whoever receives them."""
    for page in pages(code):
        text = json.dumps(page)
        assert not any(name in text for name in (PERSON, MEASURE, PROTECTED, WEARER, TGD))
        assert set(page["commonLabels"]) == {"alertname", "severity", "site", "realm"}


def test_a_page_is_of_version_4_of_alertmanagers_webhook() -> None:
    """The fields and their kinds are those of its ``template.Data``; hours are the zero time until it ends."""
    firing, _, resolved = pages(Code.SYS_NOTIFY_FAIL)
    for page, status in ((firing, "firing"), (resolved, "resolved")):
        (alert,) = page["alerts"]
        assert set(page) == {
            "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels",
            "commonAnnotations", "externalURL", "alerts",
        }  # fmt: skip
        assert set(alert) == {
            "status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint",
        }  # fmt: skip
        assert (page["version"], page["status"], alert["status"]) == ("4", status, status)
        assert page["commonLabels"].items() >= page["groupLabels"].items()
        assert (alert["labels"], alert["annotations"]) == (page["commonLabels"], page["commonAnnotations"])
        assert re.fullmatch("[0-9a-f]{16}", alert["fingerprint"])
    assert firing["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert (firing["alerts"][0]["startsAt"], resolved["alerts"][0]["endsAt"]) == (rfc3339(NOW_MS),) * 2
    assert (firing["groupKey"], firing["alerts"][0]["fingerprint"]) == (
        resolved["groupKey"], resolved["alerts"][0]["fingerprint"],
    ), "the receiver folds what resolves into what fired"  # fmt: skip
    assert firing["commonAnnotations"]["subject"] == "police"
    assert firing["commonAnnotations"]["reason"] == "nobody_takes"


def test_two_alerts_of_one_code_are_two_for_the_receiver() -> None:
    one, other = (
        json.loads(body)
        for measure in ("msr_1", "msr_2")
        for _, body in bodies(
            FORMS["operations"], life(FindingCause(finding=entry(f"fnd_{measure}", measure=measure)))[:1]
        )
    )
    assert one["commonLabels"] == other["commonLabels"]
    assert one["groupKey"] != other["groupKey"]
    assert one["alerts"][0]["fingerprint"] != other["alerts"][0]["fingerprint"]


# --- what is spoken ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CATALOGUE)
@pytest.mark.parametrize("realm", Realm)
def test_what_is_spoken_fits_two_text_messages(code: Code, realm: Realm) -> None:
    """And names nobody: anybody may listen."""
    for cause in causes(code):
        for _, body in bodies(FORMS["spoken"], life(cause, realm)):
            text = body.decode()
            assert len(text) <= CHARS_MAX
            assert set(text) <= GSM_7, set(text) - GSM_7
            assert not any(name in text for name in (PERSON, MEASURE, PROTECTED, WEARER, TGD))
