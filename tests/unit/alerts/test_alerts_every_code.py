"""Is every code of the catalogue told and shown, whatever of it is unknown, and is none called what it is not?

Each row is taken from its finding to every text that a human or a machine reads: the webhook, the API's alert, its
timeline, CAP. Cited: R24-20 (a pre-alert is no violation), F13 (a silence is no breach), invariant 9.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from builders import NOW_MS, REALM, entry, fix_point, leaving
from builders import preadvised as handle

from alerts.api import schemas, views
from alerts.catalogue import CATALOGUE, NO_BREACH_FR, UNTOLD
from alerts.channels import police, teleassistance
from alerts.channels.cap_reader import read_cap
from alerts.channels.form import Sender
from alerts.channels.police import DOUBTFUL_FR, HER_PLACE_UNKNOWN_FR
from alerts.routing import places_of
from tocsin.adapters.episodes import RecordedRuling, Timeline, _ruling_row
from tocsin.clock import rfc3339
from tocsin.model.episode import Channel, Episode, FindingCause, Notification, Ruling
from tocsin.model.finding import LATCHED, Code, Finding
from tocsin.wire import decode_finding, decode_ruling, encode

SENDER = Sender(site="paca", callback="+33199000000")
KEYS = {Code.BAR_SOS, Code.TGD_SOS}
FOUND = sorted(set(CATALOGUE) - KEYS)
NO_BREACH = sorted(set(FOUND) - {Code.PROX_ALERT, Code.ZONE_CORE_ENTRY})
UNTOLD_TO_ROOMS = sorted(set(NO_BREACH) - {Code.PREALERT_NO_ANSWER, Code.TGD_SOS_SILENT, Code.SYS_FLEET_SILENCE})
BREACH = re.compile(r"violation|infraction|breach|manquement|non-respect", re.IGNORECASE)
LATER_MS = NOW_MS + 1_500

NOTHING: dict[str, Any] = {"wearer": None, "protected": None, "distance_dm": None}
KNOWN: dict[str, dict[str, Any]] = {
    "nobody was ever heard": NOTHING,
    "only she was heard": {**NOTHING, "protected": fix_point("protected-1")},
    "only he was heard": {**NOTHING, "wearer": fix_point("wearer-1"), "silent_since_ms": NOW_MS - 90_000},
    "no accuracy, no interval": {"wearer": fix_point("wearer-1", accuracy_dm=None)},
    "everything": {
        "lower_dm": 8_000, "upper_dm": 12_000, "alert_ms": NOW_MS + 90_000, "silent_since_ms": NOW_MS - 90_000,
        "blind_worst_ms": NOW_MS + 30_000, "blind_plausible_ms": NOW_MS + 80_000, "low_confidence": True,
    },
}  # fmt: skip


def came(code: Code, known: str, **changes: Any) -> Finding:
    return entry(code=code, **{**KNOWN[known], **changes})


def opened(finding: Finding) -> Ruling:
    """By way of the log, as every reader gets it."""
    cause = FindingCause(finding=decode_finding(encode(finding)))
    ruling = handle(None, cause, REALM, LATER_MS)
    assert isinstance(ruling, Ruling)
    return decode_ruling(encode(ruling))


def to(channel: Channel, ruling: Ruling) -> Notification:
    return next(one for one in ruling.notifications if one.channel is channel)


def webhook(ruling: Ruling) -> dict[str, Any]:
    body = teleassistance.body(ruling, to(Channel.TELEASSISTANCE, ruling), SENDER)
    data: dict[str, Any] = json.loads(body)["data"]
    return data


def recorded(ruling: Ruling) -> Timeline:
    return Timeline(rulings=(RecordedRuling(sequence=1, ruling=ruling),), attempts=())


def everything_written(ruling: Ruling) -> list[str]:
    """Every text and payload of this ruling."""
    written = [
        json.dumps(webhook(ruling), ensure_ascii=False),
        views.alert(ruling.episode).model_dump_json(),
        views.timeline(ruling.episode.id, recorded(ruling)).model_dump_json(),
        str(_ruling_row(1, ruling)),
    ]
    if Channel.POLICE in CATALOGUE[ruling.episode.code].told:
        written.append(police.body(ruling, to(Channel.POLICE, ruling), SENDER).decode())
    return written


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("code", FOUND)
def test_every_code_is_raised_written_and_ended_whatever_is_unknown(code: Code, known: str) -> None:
    finding = came(code, known)
    ruling = opened(finding)
    assert (ruling.episode.code, ruling.episode.priority) == (code, CATALOGUE[code].priority)
    assert all(everything_written(ruling))
    if code in LATCHED:
        return  # test_alerts_latched
    end = leaving(finding)
    ended = handle(ruling.episode, FindingCause(finding=end), REALM, LATER_MS + 60_000)
    assert isinstance(ended, Ruling)
    assert ended.reason == "over"
    overtaken = opened(leaving(came(code, known)))
    assert (overtaken.reason, overtaken.episode.id) == ("raised_and_over", ruling.episode.id)


@pytest.mark.parametrize("known", [name for name in KNOWN if KNOWN[name].get("distance_dm", 1) is None])
@pytest.mark.parametrize("code", FOUND)
def test_what_is_unknown_is_said_to_be_unknown_and_not_to_be_a_key(code: Code, known: str) -> None:
    ruling = opened(came(code, known))
    told, shown = webhook(ruling), views.alert(ruling.episode)
    assert told["distance_m"] is None
    assert "silent" not in told, "no key was pressed"
    assert (shown.distance, shown.blind_risk, shown.evidential_at) == (None, None, None)
    assert len(places_of(came(code, known))) == sum(
        KNOWN[known][party] is not None for party in ("wearer", "protected")
    )


@pytest.mark.parametrize("code", FOUND)
def test_all_that_is_known_is_shown_and_told(code: Code) -> None:
    ruling = opened(came(code, "everything"))
    told, shown = webhook(ruling), views.alert(ruling.episode)
    assert told["distance_m"] == {
        "best": 940.7, "accuracy": 24.0, "lower": 800.0, "upper": 1200.0, "age_s": 1.5, "fixes_age_s": 3.5,
    }  # fmt: skip
    assert shown.distance == schemas.Distance(
        best_m=940.7, accuracy_m=24.0, lower_m=800.0, upper_m=1200.0, threshold_m=1000, at=rfc3339(NOW_MS),
        fixes_at=rfc3339(NOW_MS - 2_000),
    )  # fmt: skip
    hours = {name: rfc3339(NOW_MS + s * 1000) for name, s in
             (("alert", 90), ("silent", -90), ("worst", 30), ("plausible", 80))}  # fmt: skip
    assert (told["alert_expected_at"], told["silent_since"]) == (hours["alert"], hours["silent"])
    assert (shown.alert_expected_at, shown.silent_since) == (hours["alert"], hours["silent"])
    assert told["blind_risk_at"] == {"worst": hours["worst"], "plausible": hours["plausible"]}
    assert shown.blind_risk == schemas.BlindRisk(worst_at=hours["worst"], plausible_at=hours["plausible"])
    assert (told["low_confidence"], shown.low_confidence) == (True, True)


def proven(ruling: Ruling) -> Ruling:
    proof = entry("fnd_proof", NOW_MS + 20_000, code=Code.EVIDENTIAL_BREACH)
    answer = handle(ruling.episode, FindingCause(finding=proof), REALM, LATER_MS)
    assert isinstance(answer, Ruling)
    return decode_ruling(encode(answer))


def test_the_hour_of_certainty_is_shown_and_told() -> None:
    ruling = proven(opened(came(Code.PROX_ALERT, "everything")))
    assert {one.channel for one in ruling.notifications} == {Channel.UNIT}, "two fixes: her unit may ring"
    at = rfc3339(NOW_MS + 20_000)
    assert views.alert(ruling.episode).evidential_at == at
    (noted,) = views.timeline(
        "alr", Timeline(rulings=(RecordedRuling(sequence=1, ruling=ruling),), attempts=())
    ).entries
    assert (noted.what, noted.detail["code"]) == ("proven", "EVIDENTIAL_BREACH")
    again = handle(ruling.episode, FindingCause(finding=entry("fnd_in2", NOW_MS + 99_000)), REALM, LATER_MS)
    assert isinstance(again, Ruling)
    assert webhook(again)["evidential_at"] == at


# --- what is no breach is never called one ---------------------------------------------------------------------


def test_the_word_is_found_where_it_may_stand() -> None:
    """A check that cannot fail would prove nothing."""
    proof = proven(opened(came(Code.PROX_ALERT, "everything")))
    assert BREACH.search(views.timeline("alr", recorded(proof)).model_dump_json())
    assert BREACH.search(CATALOGUE[Code.W_COMMS_LOSS].duty_fr)


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("code", NO_BREACH)
def test_neither_a_pre_alert_nor_a_silence_is_called_a_breach(code: Code, known: str) -> None:
    """R24-20, F13: in no text, no key and no value. That it is none may be said, in one sentence."""
    for written in everything_written(opened(came(code, known))):
        assert not BREACH.search(written.replace(NO_BREACH_FR, "")), code


@pytest.mark.parametrize("code", UNTOLD_TO_ROOMS)
def test_the_police_are_told_of_no_pre_alert_and_of_no_silence(code: Code) -> None:
    """But of that of a fleet (F04), which is not about anybody."""
    assert Channel.POLICE not in {one.channel for one in opened(came(code, "everything")).notifications}
    assert not opened(came(code, "everything")).episode.told


def test_the_codes_without_a_row_have_no_text() -> None:
    assert {Code.UNCERTAIN, Code.EVIDENTIAL_BREACH} == UNTOLD


@pytest.mark.parametrize("heard", ["protected", "wearer"])
def test_a_room_reads_the_place_of_whom_it_is_said_to_be(heard: str) -> None:
    """Nobody is sent to him as if to her, when only one of the two is known."""
    ruling = opened(entry(**{**NOTHING, heard: fix_point("unit-1")}))
    (info,) = read_cap(police.body(ruling, to(Channel.POLICE, ruling), SENDER)).infos
    (area,) = info.areas
    other = ({"protected", "wearer"} - {heard}).pop()
    assert info.parameter(f"tocsin:{heard}") is not None
    assert info.parameter(f"tocsin:{other}") is None
    assert (len(area.circles), area.description == HER_PLACE_UNKNOWN_FR) == (
        (1, False) if heard == "protected" else (0, True)
    )
    assert info.parameter("tocsin:distance_m") is None


# --- low confidence (DOMAIN 3, ALERT) --------------------------------------------------------------------------


@pytest.mark.parametrize(("doubtful", "certainty"), [(False, "Observed"), (True, "Likely")])
def test_an_alert_of_low_confidence_says_so_everywhere(doubtful: bool, certainty: str) -> None:
    ruling = opened(entry(low_confidence=doubtful))
    (info,) = read_cap(police.body(ruling, to(Channel.POLICE, ruling), SENDER)).infos
    assert (info.certainty, DOUBTFUL_FR in info.description) == (certainty, doubtful)
    assert info.parameter("tocsin:low_confidence") == str(doubtful).lower()
    assert webhook(ruling)["certainty"] == certainty
    assert views.alert(ruling.episode).low_confidence is doubtful


def test_a_good_fix_that_raises_it_again_ends_the_doubt() -> None:
    doubtful = opened(entry(low_confidence=True))
    sure = handle(doubtful.episode, FindingCause(finding=entry("fnd_in2", NOW_MS + 60_000)), REALM, LATER_MS)
    assert isinstance(sure, Ruling)
    assert webhook(sure)["certainty"] == "Observed"
    assert not views.alert(sure.episode).low_confidence


def test_a_proof_ends_the_doubt_of_what_it_proves_and_of_nothing_later() -> None:
    sure = proven(opened(entry(low_confidence=True)))
    assert not views.alert(sure.episode).low_confidence
    later = entry("fnd_in2", NOW_MS + 60_000, low_confidence=True)
    doubtful = handle(sure.episode, FindingCause(finding=later), REALM, LATER_MS)
    assert isinstance(doubtful, Ruling)
    assert webhook(doubtful)["low_confidence"] is views.alert(doubtful.episode).low_confidence is True


# --- who comes first -------------------------------------------------------------------------------------------


def in_place(code: Code, at_ms: int, **changes: Any) -> Episode:
    return opened(entry(f"fnd_{code}_{at_ms}", at_ms, code=code, **changes)).episode


def test_a_countdown_that_runs_is_the_first_of_its_priority() -> None:
    running = in_place(Code.IMMINENT, NOW_MS + 500)
    ended = opened(leaving(entry("fnd_end", code=Code.IMMINENT, measure="msr_2"))).episode
    crowd = [
        in_place(Code.W_COMMS_LOSS, NOW_MS - 900), in_place(Code.PROX_PREALERT, NOW_MS - 500), ended, running,
        in_place(Code.DEGRADED, NOW_MS + 100), in_place(Code.PROX_ALERT, NOW_MS + 900),
    ]  # fmt: skip
    order = sorted(crowd, key=lambda one: views.urgency(one, LATER_MS))
    assert [one.code for one in order] == [
        Code.PROX_ALERT, Code.IMMINENT, Code.PROX_PREALERT, Code.IMMINENT, Code.DEGRADED, Code.W_COMMS_LOSS,
    ]  # fmt: skip
    assert order[1] is running
