"""Is a false ``no_endpoint`` found, at every priority and for every channel, and a true one believed? F02, F04.

The auditor has a reading of its own of who is there; a property holds it to the courier's.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import msgspec
import pytest
from builders import NOW_MS, REALM, SECRET, entry
from builders import preadvised as handle
from structlog.testing import capture_logs

from alerts.__main__ import recipients_of
from alerts.courier import Doors, ways_to
from alerts.doors import Door
from alerts.line import Line
from audit.__main__ import endpoints_of, tell_of_nobody
from audit.laws.endpoints import Endpoints, is_there
from audit.laws.reading import place_in
from audit.laws.sent import LADDER_MS, WITHIN_MS, Sent
from tocsin import subjects
from tocsin.model.episode import Channel, FindingCause, NoticeCause, Notification, Realm, Receipt, Ruling, Rung
from tocsin.model.finding import Change, Code
from tocsin.model.notice import Notice
from tocsin.model.room import DEFAULT_ROOM, SECOND
from tocsin.settings import Settings

ROOM = "CIC-13"
ALL: Endpoints = {
    Channel.TELEASSISTANCE: frozenset({DEFAULT_ROOM, SECOND}),
    Channel.POLICE: frozenset({DEFAULT_ROOM}),
    Channel.OPERATIONS: frozenset({DEFAULT_ROOM}),
}
OF_PRIORITY = {
    1: Code.PROX_ALERT,
    2: Code.PROX_PREALERT,
    3: Code.W_COMMS_LOSS,
    4: Code.V_NOT_CARRIED,
    5: Code.W_BATT_LOW,
}
TOLD = (Channel.TELEASSISTANCE, Channel.POLICE, Channel.OPERATIONS)


def ruling_of(priority: int, channel: Channel, realm: Realm = REALM) -> Ruling:
    """Of this priority, and one notification on this channel."""
    ruling = handle(None, FindingCause(finding=entry(code=OF_PRIORITY[priority])), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    assert ruling.episode.priority == priority
    told = Notification(
        id="evt_1",
        channel=channel,
        type="org.tocsin.alert.raised",
        recipient=ROOM if channel is Channel.POLICE else "",
    )
    episode = msgspec.structs.replace(ruling.episode, realm=realm)
    return msgspec.structs.replace(ruling, episode=episode, notifications=(told,))


def nobody_there(ruling: Ruling, result: str = "no_endpoint") -> Receipt:
    (one,) = ruling.notifications
    return Receipt(
        notification=one.id, episode=ruling.episode.id, version=1, channel=one.channel, attempt=0, t7_ms=NOW_MS,
        t8_ms=None, result=result, recipient=one.recipient, line="",
    )  # fmt: skip


def place_of(ruling: Ruling) -> tuple[str, str]:
    return place_in(subjects.episode(ruling.episode.code.value, ruling.episode.subject))


def failing(channel: Channel) -> Ruling:
    notice = Notice(
        id="ntc_1", code=Code.SYS_NOTIFY_FAIL, subject=channel.value, change=Change.ENTRY, at_ms=NOW_MS,
        entry="ntc_1", entry_ms=NOW_MS, reason="not_received",
    )  # fmt: skip
    ruling = handle(None, NoticeCause(notice=notice), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    return ruling


every = pytest.mark.parametrize(
    ("priority", "channel"), [(priority, channel) for priority in OF_PRIORITY for channel in TOLD]
)


@every
@pytest.mark.parametrize("realm", [Realm.LAB, Realm.PRODUCTION])
@pytest.mark.parametrize("first", ["ruling", "receipt"])
def test_a_courier_that_finds_nobody_where_somebody_is_is_found(
    priority: int, channel: Channel, realm: Realm, first: str
) -> None:
    """The planted bug: of each notification its receipt says that there is no endpoint."""
    ruling = ruling_of(priority, channel, realm)
    law = Sent(frozenset({channel}), ALL)
    steps = [
        lambda: law.ruling(place_of(ruling), ruling, 0),
        lambda: law.receipt(nobody_there(ruling), 10),
    ]
    for step in steps if first == "ruling" else reversed(steps):
        step()
    assert law.differences(WITHIN_MS[priority] - 1) == []
    (found,) = law.differences(WITHIN_MS[priority])
    assert found.about == "evt_1"
    assert "is said to have none" in found.detail
    assert law.differences(WITHIN_MS[priority] + LADDER_MS) == []


@every
def test_where_nobody_is_meant_it_is_believed_outside_production(priority: int, channel: Channel) -> None:
    ruling = ruling_of(priority, channel)
    others = {other: rooms for other, rooms in ALL.items() if other is not channel}
    law = Sent(frozenset({channel}), others)
    law.ruling(place_of(ruling), ruling, 0)
    law.receipt(nobody_there(ruling), 10)
    assert law.differences(10**9) == []


@every
def test_no_fault_and_no_attempt_excuses_it(priority: int, channel: Channel) -> None:
    """A recipient that is away is tried; who is said not to exist is not."""
    ruling, fault = ruling_of(priority, channel), failing(channel)
    law = Sent(frozenset({channel}), ALL)
    law.standing(place_of(fault), fault, 0)
    law.ruling(place_of(ruling), ruling, 0)
    law.receipt(nobody_there(ruling, "timeout"), 10)
    law.receipt(nobody_there(ruling), 20)
    assert len(law.differences(WITHIN_MS[priority])) == 1


@every
def test_one_that_is_taken_all_the_same_is_no_difference(priority: int, channel: Channel) -> None:
    """Of two couriers in the middle of an upgrade one knows of it."""
    ruling = ruling_of(priority, channel)
    law = Sent(frozenset({channel}), ALL)
    law.ruling(place_of(ruling), ruling, 0)
    law.receipt(nobody_there(ruling), 10)
    law.receipt(msgspec.structs.replace(nobody_there(ruling, "accepted"), line="own", attempt=1), 20)
    assert law.differences(10**9) == []


@every
def test_what_was_said_before_the_settings_were_read_is_believed_as_it_was(
    priority: int, channel: Channel
) -> None:
    """An endpoint that an operator has just added: the courier of before did not have it."""
    ruling = ruling_of(priority, channel)
    for since_ms, found in ((NOW_MS + 1, 0), (NOW_MS, 1)):
        law = Sent(frozenset({channel}), ALL, since_ms)
        law.ruling(place_of(ruling), ruling, 0)
        law.receipt(nobody_there(ruling), 10)
        assert len(law.differences(10**9)) == found


# --- who is there: two readings agree ----------------------------------------------------------------------------


def settings_of(**given: Any) -> Settings:
    return Settings(realm=REALM, **given)


URL = "http://127.0.0.1:9/in"
GIVEN: dict[str, dict[str, Any]] = {
    "first": {"teleassistance_url": URL, "teleassistance_secret": SECRET},
    "second": {"teleassistance_second_url": URL, "teleassistance_second_secret": SECRET},
    "police": {"police_url": URL, "police_secret": SECRET},
    "rooms": {"police_rooms": {ROOM: {"url": URL, "secret": SECRET}}},
    "operations": {"operations_url": URL, "operations_secret": SECRET},
}
NEEDS = {"second": "first", "rooms": "police"}
DEPLOYMENTS = [
    some
    for number in range(len(GIVEN) + 1)
    for some in combinations(GIVEN, number)
    if all(NEEDS[one] in some for one in some if one in NEEDS)
]


def doors_of(settings: Settings) -> Doors:
    return {
        channel: {
            room: Door(name=room, channel=channel, line=Line(endpoint=endpoint, http=None))
            for room, endpoint in recipients_of(settings).get(channel, {}).items()
        }
        for channel in Channel
    }


@pytest.mark.parametrize("some", DEPLOYMENTS, ids=["+".join(one) or "nobody" for one in DEPLOYMENTS])
def test_the_auditor_and_the_courier_read_the_same_settings_alike(some: tuple[str, ...]) -> None:
    given = {name: value for one in some for name, value in GIVEN[one].items()}
    if "police" not in some:
        given["police_mode"] = "operator_confirmed"
    settings = settings_of(**given)
    endpoints, doors = endpoints_of(settings), doors_of(settings)
    asked = 0
    for channel in Channel:
        for recipient in ("", DEFAULT_ROOM, ROOM, "CORG-30", SECOND):
            for audience in (None, *Rung):
                one = Notification(
                    id="evt_1", channel=channel, type="org.tocsin.alert.raised", recipient=recipient,
                    audience=audience,
                )  # fmt: skip
                assert is_there(one, endpoints) is bool(ways_to(one, doors)), one
                asked += 1
    assert asked > 100


def test_which_endpoints_the_auditor_does_not_know_is_said_at_its_start() -> None:
    with capture_logs() as said:
        tell_of_nobody({Channel.TELEASSISTANCE: frozenset({""}), Channel.POLICE: frozenset()})
    assert [(one["log_level"], one["channel"], one["mend"]) for one in said] == [
        ("warning", "police", "TOCSIN_POLICE_URL"),
        ("warning", "operations", "TOCSIN_OPERATIONS_URL"),
    ]
