"""What does each recipient read? CloudEvents, signatures, and who never reads a place (F33, invariants 9, 11)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from builders import NOW_MS, PROTECTED, REALM, SECRET, WEARER, act, entry, fix_point, leaving, press
from builders import preadvised as handle
from standardwebhooks import Webhook, WebhookVerificationError

from alerts.channels import police, teleassistance
from alerts.channels.form import Sender
from tocsin.clock import AffineClock
from tocsin.model.episode import AlarmCause, Channel, Event, FindingCause, Notification, Outcome, Ruling, Verb
from tocsin.webhook_signature import signed_headers

FAR_AWAY = {"lat_e6": -12_345_678, "lon_e6": 98_765_432}
FIGURES = re.compile(rb"(?<![0-9])(43\.?[23]|5\.?36|12\.?34|98\.?76)[0-9]{3}|lat|lon|geo")


def history(*events: Event) -> list[Ruling]:
    episode, made = None, []
    for event in events:
        ruling = handle(episode, event, REALM, NOW_MS + 1_500)
        assert isinstance(ruling, Ruling)
        episode = ruling.episode
        made.append(ruling)
    return made


def came(**changes: Any) -> FindingCause:
    return FindingCause(finding=entry(**changes))


EVERY_KIND = [
    *history(
        came(), FindingCause(finding=entry("fnd_in2", NOW_MS + 9)), act(Verb.ACKNOWLEDGE, 2), act(Verb.RELEASE, 3),
        act(Verb.ACKNOWLEDGE, 4), act(Verb.CLOSE, 5, outcome=Outcome.ARRESTED, note="at 43.296587, 5.369731"),
    ),
    *history(FindingCause(finding=leaving(entry()))),
    *history(AlarmCause(alarm=press())),
    *history(AlarmCause(alarm=press(position=None, silent=True))),
]  # fmt: skip


def told(ruling: Ruling, channel: Channel) -> Notification:
    (one,) = [one for one in ruling.notifications if one.channel is channel]
    return one


def to_teleassistance(ruling: Ruling) -> bytes:
    return teleassistance.body(ruling, told(ruling, Channel.TELEASSISTANCE), Sender(site="paca"))


def to_police(ruling: Ruling) -> bytes:
    return police.body(ruling, told(ruling, Channel.POLICE), Sender(site="paca", callback="+33199000000"))


def test_the_pattern_finds_what_it_looks_for() -> None:
    """A check that cannot fail would prove nothing."""
    assert FIGURES.search(to_police(EVERY_KIND[0]))


@pytest.mark.parametrize("ruling", EVERY_KIND, ids=lambda ruling: ruling.reason)
def test_the_teleassistance_reads_no_coordinate(ruling: Ruling) -> None:
    assert not FIGURES.search(to_teleassistance(ruling))


@pytest.mark.parametrize("both", [False, True])
def test_the_teleassistance_body_does_not_depend_on_where_they_are(both: bool) -> None:
    """The sharper one: move the parties and not a byte changes, in whatever form a place could be written."""
    moved: dict[str, Any] = {"protected": fix_point(PROTECTED, **FAR_AWAY)}
    if both:
        moved["wearer"] = fix_point(WEARER, **FAR_AWAY)
    (here,), (there,) = history(came()), history(came(**moved))
    assert to_teleassistance(here) == to_teleassistance(there)
    (pressed,), (elsewhere,) = [
        history(AlarmCause(alarm=press(position=fix_point(PROTECTED, **place)))) for place in ({}, FAR_AWAY)
    ]
    assert to_teleassistance(pressed) == to_teleassistance(elsewhere)
    assert to_police(here) != to_police(there)


@pytest.mark.parametrize("ruling", EVERY_KIND, ids=lambda ruling: ruling.reason)
def test_a_repeat_is_the_same_bytes(ruling: Ruling) -> None:
    assert to_teleassistance(ruling) == to_teleassistance(ruling)


def test_the_envelope() -> None:
    event = json.loads(to_teleassistance(EVERY_KIND[0]))
    data = event["data"]
    assert event["specversion"] == "1.0"
    assert event["id"] == told(EVERY_KIND[0], Channel.TELEASSISTANCE).id
    assert (event["type"], event["source"]) == ("org.tocsin.alert.opened", "/tocsin/paca")
    assert (event["subject"], event["realm"], event["sequence"]) == (data["alert"], "lab", "1")
    assert event["time"] == data["recorded_at"] == "2026-11-21T00:00:01.500Z"
    assert data["distance_m"] == {
        "best": 940.7, "accuracy": 24.0, "lower": None, "upper": None, "age_s": 1.5, "fixes_age_s": 3.5,
    }, "invariant 9"  # fmt: skip
    assert (data["code"], data["priority"], data["threshold_m"]) == ("PROX_ALERT", 1, 1_000)


# --- signatures ------------------------------------------------------------------------------------------------


def test_the_signature_is_one_that_the_reference_library_accepts() -> None:
    body = to_teleassistance(EVERY_KIND[0])
    headers = signed_headers(SECRET, "evt_1", body, AffineClock().wall_ms())
    assert Webhook(SECRET).verify(body, headers)["id"] == told(EVERY_KIND[0], Channel.TELEASSISTANCE).id


@pytest.mark.parametrize("tamper", ["body", "id", "hour", "secret", "old"])
def test_a_signature_covers_id_hour_and_bytes(tamper: str) -> None:
    body = to_teleassistance(EVERY_KIND[0])
    wall_ms = AffineClock().wall_ms() - (600_000 if tamper == "old" else 0)
    headers = signed_headers(SECRET, "evt_1", body, wall_ms)
    if tamper == "id":
        headers["webhook-id"] = "evt_2"
    if tamper == "hour":
        headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) + 1)
    verifier = Webhook("whsec_" + "b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIg" if tamper == "secret" else SECRET)
    with pytest.raises(WebhookVerificationError):
        verifier.verify(body + b" " if tamper == "body" else body, headers)
