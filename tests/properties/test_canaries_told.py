"""Whatever happens to an alert about an invented pair, who is told? Its own receiver, and nobody else, ever (F38).

And of every other alert that receiver hears nothing: an alert of somebody does not end at a test.
"""

from __future__ import annotations

from typing import Any

from builders import NOW_MS, PREADVICE, REALM, SECRET, act, entry, fix_point, leaving
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from alerts import desk
from alerts.catalogue import CATALOGUE
from alerts.channels import registry
from alerts.channels.form import Sender
from alerts.courier import ways_of
from alerts.doors import Door
from alerts.line import Endpoint, Line
from alerts.routing import Routing
from tocsin.model.canary import is_canary
from tocsin.model.episode import Channel, Due, Episode, Event, FindingCause, Outcome, Realm, Ruling, Verb
from tocsin.model.finding import Alarm, Code, Finding
from tocsin.model.room import DEFAULT_ROOM, SECOND

CANARY, HERS = "canary-3", "msr_1"
ROOMS = ("CIC-13", "CORG-13", DEFAULT_ROOM)


def door(name: str, channel: Channel) -> Door:
    return Door(
        name=name, channel=channel, line=Line(endpoint=Endpoint(url="http://192.0.2.1", secret=SECRET), http=None)
    )


REAL = {
    Channel.TELEASSISTANCE: {one: door(one, Channel.TELEASSISTANCE) for one in (DEFAULT_ROOM, SECOND)},
    Channel.POLICE: {one: door(one, Channel.POLICE) for one in ROOMS},
    Channel.OPERATIONS: {DEFAULT_ROOM: door("operations", Channel.OPERATIONS)},
    Channel.UNIT: {},
}
TEST = {one: door(f"canary-{one}", one) for one in Channel if one is not Channel.UNIT}


class EveryRoom(Routing):
    """The worst of maps: a place at sea belongs to every room of the country."""

    def rooms_for(self, cause: Finding | Alarm) -> tuple[str, ...]:
        return ROOMS


CODES = sorted(
    {Code.PROX_ALERT, Code.PROX_PREALERT, Code.DEGRADED, Code.W_COMMS_LOSS, Code.IMMINENT, Code.PROBING}
    & set(CATALOGUE)
)
NAMES = st.sampled_from([CANARY, HERS])


def events(measure: str, code: Code) -> st.SearchStrategy[list[Event]]:
    visits = [
        entry(
            f"fnd_in{number}", NOW_MS + number * 100_000, measure=measure, code=code,
            wearer=fix_point(f"{measure}-w"), protected=fix_point(f"{measure}-v"),
        )
        for number in range(3)
    ]  # fmt: skip
    found = [FindingCause(finding=one) for visit in visits for one in (visit, leaving(visit, f"{visit.id}-out"))]
    acts = st.builds(
        act, verb=st.sampled_from(Verb), version=st.integers(1, 8), actor=st.just("canary"),
        outcome=st.sampled_from([None, Outcome.TECHNICAL]),
    )  # fmt: skip
    return st.lists(st.sampled_from(found) | acts | st.just("due"), max_size=14)  # type: ignore[arg-type]


def rulings(happened: list[Any], realm: Realm) -> list[Ruling]:
    """A life, hour by hour: each rung is climbed that nobody forestalls."""
    episode: Episode | None = None
    told, now_ms = [], NOW_MS
    for one in happened:
        now_ms += 40_000
        if one == "due" and episode is None:
            continue
        event: Event = Due(episode=episode.id, at_ms=now_ms) if one == "due" and episode is not None else one
        answer = desk.handle(episode, event, realm, now_ms, EveryRoom(), protocol=PREADVICE)
        if isinstance(answer, Ruling):
            episode = answer.episode
            told.append(answer)
    return told


@given(st.data(), NAMES, st.sampled_from(CODES), st.sampled_from(Realm))
def test_a_canary_is_told_to_its_receiver_alone_and_nobody_else_is_told_to_that(
    data: st.DataObject, measure: str, code: Code, realm: Realm
) -> None:
    for ruling in rulings(data.draw(events(measure, code)), realm):
        assert ruling.episode.is_canary is is_canary(measure)
        for notification in ruling.notifications:
            if notification.channel is Channel.UNIT:
                continue
            doors = {way.door.name for way in ways_of(ruling, notification, REAL, TEST)}
            assert ways_of(ruling, notification, REAL, {}) == [] or not is_canary(measure)
            tests = {one.name for one in TEST.values()}
            assert doors <= tests if is_canary(measure) else not doors & tests


@given(st.data(), st.sampled_from(CODES))
def test_in_production_too_every_form_says_of_a_canary_that_it_is_a_test(data: st.DataObject, code: Code) -> None:
    sender = Sender(site="paca")
    for ruling in rulings(data.draw(events(CANARY, code)), Realm.PRODUCTION):
        for notification in ruling.notifications:
            if notification.channel is Channel.UNIT:
                continue
            form = registry.FORMS[notification.channel]
            if not form.is_told(ruling, notification):
                continue
            body = form.body(ruling, notification, sender)
            assert b"production" not in body
            assert b"Actual" not in body
            match notification.channel:
                case Channel.POLICE:
                    assert b"<status>Test</status>" in body
                case Channel.TELEASSISTANCE:
                    assert b'"test":true' in body
                    assert b'"realm":"lab"' in body
                case _:
                    assert b'"realm":"lab"' in body


def test_an_alert_that_names_anybody_else_as_well_is_somebodys() -> None:
    ruling = desk.handle(None, FindingCause(finding=entry(measure=CANARY)), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    mine = ruling.episode
    assert mine.is_canary
    for changes in (
        {"measures": (CANARY, HERS)}, {"device": "bracelet-1"}, {"measures": ()}, {"measures": ("canary-x",)},
        {"code": Code.SYS_FLEET_SILENCE}, {"code": Code.SYS_CANARY_FAIL},
    ):  # fmt: skip
        assert not structs.replace(mine, **changes).is_canary, changes
