"""Does the receiver take only what is signed and a test, the unit speak the protocol, the hand do the next thing?

F38; ARCHITECTURE, A11.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from builders import NOW_MS, REALM, SECRET, entry, fix_point
from builders import preadvised as handle
from msgspec import structs

from alerts.channels import police, teleassistance
from alerts.channels.cloudevent import CONTENT_TYPE
from alerts.channels.form import Sender
from audit.canary import _lasting, notice_of
from audit.canary_acts import POLICE_WAITED_MS, Platform, next_act, platform
from audit.canary_receiver import BODY_MAX_BYTES, receiver
from audit.canary_round import Lasting, Place, Round, Stage, Word, begins_ms, crossing_ms
from audit.canary_unit import _as, location
from ingest.admission import Known, Message, admit
from tocsin.clock import AffineClock
from tocsin.model.device import Device, DeviceKind
from tocsin.model.episode import Channel, Episode, FindingCause, NoticeCause, Realm, Ruling, State, Verb
from tocsin.model.finding import Change, Code
from tocsin.ports import Entry
from tocsin.signing import signed_headers
from tocsin.wire import encode

NUMBER = 30_000_000
AT_MS = crossing_ms(NUMBER)
OTHER = "whsec_" + "b3RoZXIgc2VjcmV0IG9mIHNvbWVib2R5"


def ruled(measure: str = "canary-0", realm: Realm = Realm.PRODUCTION) -> Ruling:
    finding = entry(
        "fnd_1", AT_MS, measure=measure, wearer=fix_point(f"{measure}-w"), protected=fix_point(f"{measure}-v")
    )
    answer = handle(None, FindingCause(finding=finding), realm, AT_MS + 50)
    assert isinstance(answer, Ruling)
    return answer


def body_of(ruling: Ruling, channel: Channel) -> bytes:
    (one, *_) = [each for each in ruling.notifications if each.channel is channel]
    form = police.FORM if channel is Channel.POLICE else teleassistance.FORM
    return form.body(ruling, one, Sender(site="paca"))


async def posted(
    body: bytes, door: str, secret: str = SECRET, **headers: str
) -> tuple[int, list[tuple[str, str]]]:
    taken: list[tuple[str, str]] = []
    app = receiver(SECRET, lambda at, alert: taken.append((at, alert)))
    signed = signed_headers(secret, "evt_1", body, AffineClock().wall_ms(), CONTENT_TYPE) | headers
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://canary") as client:
        answer = await client.post(f"/{door}", content=body, headers=signed)
    return answer.status_code, taken


@pytest.mark.parametrize("channel", [Channel.TELEASSISTANCE, Channel.POLICE])
async def test_both_bodies_are_taken_as_the_courier_writes_them(channel: Channel) -> None:
    ruling = ruled()
    status, taken = await posted(body_of(ruling, channel), channel.value)
    assert (status, taken) == (204, [(channel.value, ruling.episode.id)])


@pytest.mark.parametrize("channel", [Channel.TELEASSISTANCE, Channel.POLICE])
async def test_what_is_not_marked_as_a_test_is_refused_and_passes_no_stage(channel: Channel) -> None:
    assert await posted(body_of(ruled("msr_1"), channel), channel.value) == (422, [])


@pytest.mark.parametrize("body", [b"", b"{}", b"<alert/>", b"\xff"])
@pytest.mark.parametrize("door", ["teleassistance", "police"])
async def test_what_cannot_be_read_is_refused(body: bytes, door: str) -> None:
    signable = body if body.isascii() else b"x"
    assert (await posted(signable, door))[0] in {401, 422}


async def test_a_signature_of_anybody_else_is_refused() -> None:
    body = body_of(ruled(), Channel.POLICE)
    assert await posted(body, "police", OTHER) == (401, [])
    assert await posted(body, "police", **{"webhook-signature": "nonsense"}) == (401, [])
    assert await posted(body, "operations") == (404, [])
    assert await posted(b"x" * (BODY_MAX_BYTES + 1), "police") == (413, [])


# --- its unit ---------------------------------------------------------------------------------------------------


def test_what_it_says_is_admitted_as_any_unit_is() -> None:
    device = Device(id="canary-0-w", number=7, kind=DeviceKind.WEARER, measures=("canary-0",))
    known = Known(partitions=1, devices={device.id: device})
    payload = location(Place(46.0, -6.0), AT_MS, AT_MS + 3, 5)
    admitted: Any = admit(
        Message(topic="tocsin/1/canary-0-w/loc", payload=payload, t3_ms=AT_MS + 9), known, AT_MS + 9
    )
    (fix,) = admitted
    assert (fix.device, fix.fix_ms, fix.late, fix.boot) == ("canary-0-w", AT_MS, False, 5)


def test_it_logs_in_as_itself() -> None:
    assert _as("mqtts://ingest:geh%40im@broker:8883", "canary-0-w", "ab") == "mqtts://canary-0-w:ab@broker:8883"
    assert _as("mqtt://[::1]:1883", "canary-0-w", "ab") == "mqtt://canary-0-w:ab@[::1]:1883"


# --- what it does -----------------------------------------------------------------------------------------------


def walked(*stages: Stage) -> Round:
    return Round(NUMBER, passed=dict.fromkeys(stages, AT_MS), alert="alr_1")


def held(**changes: Any) -> Episode:
    return structs.replace(ruled().episode, **{"state": State.ACKNOWLEDGED, "owner": "canary", **changes})


DECISIONS = {
    "its receiver has not heard of it": (ruled().episode, walked(), None),
    "it has": (ruled().episode, walked(Stage.TAKEN), Verb.ACKNOWLEDGE),
    "it is ours": (held(), walked(Stage.TAKEN), Verb.HAND_OFF),
    "the police have not heard": (held(handed_off_ms=AT_MS + 500), walked(Stage.TAKEN), None),
    "they have": (held(handed_off_ms=AT_MS + 500), walked(Stage.TAKEN, Stage.POLICE), Verb.CLOSE),
    "they never will": (held(handed_off_ms=AT_MS - POLICE_WAITED_MS), walked(Stage.TAKEN), Verb.CLOSE),
    "it is of no round": (ruled().episode, None, Verb.ACKNOWLEDGE),
    "it is of no round and ours": (held(), None, Verb.CLOSE),
    "it is of long ago": (
        structs.replace(ruled().episode, opened_ms=AT_MS - 60_000), walked(), Verb.ACKNOWLEDGE,
    ),
    "it is of long ago and ours": (held(opened_ms=AT_MS - 60_000), walked(Stage.TAKEN), Verb.CLOSE),
}  # fmt: skip


@pytest.mark.parametrize("name", DECISIONS)
def test_the_next_thing(name: str) -> None:
    episode, of_round, verb = DECISIONS[name]
    assert next_act(episode, of_round, AT_MS + 1_000) is verb


async def test_an_api_that_is_away_or_refuses_is_no_end_of_the_canary() -> None:
    heard: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        heard.append(request)
        if len(heard) == 1:
            raise httpx2.ConnectError("away")
        return httpx2.Response(412 if len(heard) == 2 else 200)

    async with platform("http://tocsin", "a-token") as made:
        headers = made.headers
    async with httpx2.AsyncClient(
        transport=httpx2.MockTransport(answer), base_url="http://tocsin", headers=headers
    ) as http:
        done = [await Platform(http=http).do(Verb.CLOSE, held()) for _ in range(3)]
    assert done == [False, False, True]
    assert {one.headers["if-match"] for one in heard} == {'"1"'}
    assert {one.headers["tocsin-actor"] for one in heard} == {"canary"}
    assert {one.headers["authorization"] for one in heard} == {"Bearer a-token"}


# --- what it says -----------------------------------------------------------------------------------------------


def test_a_failure_is_about_the_system_and_told_to_humans() -> None:
    began = notice_of("canary-0", Word("sent", NOW_MS), None)
    assert (began.code, began.subject, began.reason, began.measures) == (
        Code.SYS_CANARY_FAIL,
        "canary-0",
        "sent",
        (),
    )
    ruling = handle(None, NoticeCause(notice=began), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    assert not ruling.episode.is_canary
    assert {one.channel for one in ruling.notifications} == {Channel.TELEASSISTANCE, Channel.OPERATIONS}
    lasting = _lasting(Entry(subject="", payload=encode(ruling), sequence=1))
    assert lasting == Lasting(began.id, NOW_MS)
    ended = notice_of("canary-0", Word("", NOW_MS + 90_000), lasting)
    assert (ended.change, ended.entry, ended.entry_ms) == (Change.EXIT, began.id, NOW_MS)
    over = handle(ruling.episode, NoticeCause(notice=ended), REALM, NOW_MS + 90_000)
    assert isinstance(over, Ruling)
    assert _lasting(Entry(subject="", payload=encode(over), sequence=2)) is None


def test_the_round_begins_before_its_crossing() -> None:
    assert begins_ms(NUMBER) < AT_MS < begins_ms(NUMBER + 1)
    assert asyncio.iscoroutinefunction(Platform.do)
