"""When may the wearer be called, who approached, and who reads it? Never he (F34, F19)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from builders import NOW_MS, REALM, entry, leaving
from test_alerts_every_code import opened, recorded, webhook

from alerts.api import schemas, views
from alerts.calls import NO_KEY, not_before_ms
from alerts.catalogue import CATALOGUE
from alerts.channels import device as to_device
from alerts.desk import handle
from tocsin.clock import rfc3339
from tocsin.model.command import Command
from tocsin.model.episode import FindingCause, Ruling
from tocsin.model.finding import Change, Code, Finding
from tocsin.wire import decode_ruling, encode

KEY, LIMIT_S = b"a key of the dispatcher", 350
APPROACH: dict[str, Any] = {"wearer_share_pct": 92, "wearer_approach_dm": 9_200, "protected_approach_dm": 800}


def came(name: str = "fnd_in1", **changes: Any) -> Finding:
    limit = {"call_by_ms": NOW_MS + 1_000 * LIMIT_S}
    return entry(name, code=Code.PROX_PREALERT, threshold_m=2_000, **{**APPROACH, **limit, **changes})


def ruled(finding: Finding, key: bytes = KEY) -> Ruling:
    ruling = handle(None, FindingCause(finding=finding), REALM, NOW_MS + 1_500, call_key=key)
    assert isinstance(ruling, Ruling)
    return decode_ruling(encode(ruling))


def waits_s(finding: Finding, key: bytes = KEY) -> float | None:
    hour_ms = not_before_ms(finding, key)
    return None if hour_ms is None else (hour_ms - finding.at_ms) / 1000


# --- the hour ----------------------------------------------------------------------------------------------------


def test_it_lies_within_the_safe_limit_and_is_spread_over_it() -> None:
    hours = sorted(waits_s(came(f"fnd_{n}")) or 0.0 for n in range(400))
    assert 0 <= hours[0] < 10
    assert LIMIT_S - 10 < hours[-1] <= LIMIT_S
    assert sum(hours) / len(hours) == pytest.approx(LIMIT_S / 2, rel=0.1)


def test_it_follows_from_the_key_and_the_finding_alone() -> None:
    assert not_before_ms(came(), KEY) == not_before_ms(came(wearer_share_pct=5), KEY)
    assert not_before_ms(came(), KEY) != not_before_ms(came(), KEY + b"2")
    assert not_before_ms(came(), KEY) != not_before_ms(came("fnd_in2"), KEY)


def test_from_another_side_it_is_the_limit() -> None:
    assert waits_s(came(other_side=True)) == LIMIT_S


@pytest.mark.parametrize(
    ("finding", "key"),
    [(came(call_by_ms=None), KEY), (came(), NO_KEY), (leaving(came()), KEY)],
    ids=["no safe time", "no key", "an exit"],
)
def test_else_he_is_called_at_once(finding: Finding, key: bytes) -> None:
    assert not_before_ms(finding, key) is None


def test_what_is_more_urgent_never_waits() -> None:
    """The engine gives no limit to anything but a pre-alert; were there one, the duty says what overrides it."""
    assert "sans plus attendre" in CATALOGUE[Code.IMMINENT].duty_fr
    assert "comme toujours" in CATALOGUE[Code.PROBING].duty_fr


# --- who reads it ------------------------------------------------------------------------------------------------


def test_the_desk_keeps_it_and_every_reader_sees_it() -> None:
    ruling = ruled(came())
    hour_ms = not_before_ms(came(), KEY)
    assert hour_ms is not None
    assert ruling.episode.raises[-1].call_not_before_ms == hour_ms
    shown, told = views.alert(ruling.episode), webhook(ruling)
    assert shown.call_wearer_not_before == told["call_wearer_not_before"] == rfc3339(hour_ms)
    assert shown.approach == schemas.Approach(wearer_share_pct=92, wearer_m=920.0, protected_m=80.0)
    assert told["approach"] == {"wearer_share_pct": 92, "wearer_m": 920.0, "protected_m": 80.0}


def test_ruled_upon_twice_it_is_the_same_hour() -> None:
    assert ruled(came()) == ruled(came())


def test_the_timeline_says_who_went_too() -> None:
    first = ruled(came())
    gone = {"wearer_share_pct": 25, "wearer_approach_dm": -300, "protected_approach_dm": -900}
    ended = handle(
        first.episode,
        FindingCause(finding=msgspec.structs.replace(leaving(came()), **gone)),
        REALM,
        NOW_MS + 90_000,
    )
    assert isinstance(ended, Ruling)
    (line,) = views.timeline("alr", recorded(ended)).entries
    assert (line.detail["wearer_share_pct"], line.detail["protected_approach_m"]) == (25, -90.0)


def test_unknown_is_null_and_not_nothing() -> None:
    ruling = opened(entry(code=Code.PROX_PREALERT))
    assert (views.alert(ruling.episode).approach, webhook(ruling)["approach"]) == (None, None)
    assert views.alert(ruling.episode).call_wearer_not_before is None


# --- and who does not --------------------------------------------------------------------------------------------


def test_nothing_of_it_has_a_place_in_what_a_unit_is_sent() -> None:
    """Invariant 5: a command knows no finding."""
    words = {
        "wearer_share_pct",
        "wearer_approach_dm",
        "call_by_ms",
        "call_not_before_ms",
        "other_side",
        "bearing_deg",
    }
    assert not words & set(Command.__struct_fields__)
    assert not any(word in dir(to_device) for word in words)


def test_probing_is_for_the_supervisor_and_no_violation() -> None:
    """P3, told to the téléassistance; the change of a spell is an alert like another."""
    ruling = opened(entry(code=Code.PROBING, change=Change.ENTRY))
    shown = views.alert(ruling.episode)
    assert shown.priority == 3
    assert shown.duty.startswith("Superviseur")
    assert {one.channel.value for one in ruling.notifications} == {"teleassistance"}
