"""What does a room read that hears of an alert by an hour or by a human, some time after it was raised?

That it is, or is not, verified; how the message came to be sent; and where to go. Cited: DOMAIN section 4 (the
three modes), invariant 9.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from builders import NOW_MS, PROTECTED, WEARER, act, entry, fix_point

from alerts.channels import police
from alerts.channels.cap import CapMessage
from alerts.channels.cap_reader import read_cap
from alerts.channels.form import Sender
from alerts.channels.police import CONFIRMED_FR, UNVERIFIED_FR, VERIFIED_FR
from alerts.desk import handle
from alerts.episodes import OPENED
from tocsin.model.episode import (
    Channel,
    Due,
    Event,
    FindingCause,
    Notification,
    Realm,
    Ruling,
    Rung,
    Sent,
    Told,
    Verb,
)

ROOM, FIRST = "CIC-13", "evt_first"
ESCALATED, HANDED_OFF = "org.tocsin.alert.escalated", "org.tocsin.alert.handed_off"
DUE = Due(episode="alr", at_ms=NOW_MS + 60_000)
HANDS_OFF = act(Verb.HAND_OFF, 1)
BY_A_HUMAN = {"verified_ms": NOW_MS + 30_000, "decided_ms": NOW_MS + 30_000, "handed_off_ms": NOW_MS + 30_000}
HEARD = (Told(room=ROOM, sent=(Sent(id=FIRST, at_ms=NOW_MS),)),)


def told(event: Event, kind: str, audience: Rung | None = None, **facts: Any) -> CapMessage:
    """A minute after the raising; where both were then is in the episode."""
    raised = handle(None, FindingCause(finding=entry()), Realm.PRODUCTION, NOW_MS)
    assert isinstance(raised, Ruling)
    where = {"protected": fix_point(PROTECTED), "wearer": fix_point(WEARER, lat_e6=43_304_112), "told": ()}
    episode = msgspec.structs.replace(raised.episode, **{**where, **facts})
    ruling = msgspec.structs.replace(raised, event=event, episode=episode, at_ms=NOW_MS + 60_000)
    one = Notification(id="evt_later", channel=Channel.POLICE, type=kind, recipient=ROOM, audience=audience)
    return read_cap(police.body(ruling, one, Sender(site="paca", callback="+33199000000")))


@pytest.mark.parametrize(("event", "kind"), [(DUE, ESCALATED), (HANDS_OFF, HANDED_OFF)])
def test_it_knows_where_to_go(event: Event, kind: str) -> None:
    """The places of the raising, each with its age by now."""
    (info,) = told(event, kind).infos
    assert len(info.areas[0].circles) == 1
    for who in ("protected", "wearer"):
        assert (info.parameter(f"tocsin:{who}") or "").startswith("geo:43.")
        assert info.parameter(f"tocsin:{who}_age_s") == "62"


def test_where_only_he_was_heard_nobody_is_sent_to_him_as_if_to_her() -> None:
    (info,) = told(DUE, ESCALATED, protected=None).infos
    assert (info.areas[0].circles, info.areas[0].description) == ((), police.HER_PLACE_UNKNOWN_FR)
    assert info.parameter("tocsin:protected") is None


def test_without_a_decision_it_is_not_verified_and_says_how_it_came() -> None:
    message = told(DUE, ESCALATED, Rung.POLICE)
    assert (message.message_type, message.note) == ("Alert", UNVERIFIED_FR)
    (info,) = message.infos
    assert (info.parameter("tocsin:verified"), info.parameter("tocsin:mode")) == ("false", "auto_on_timeout")


def test_told_at_the_raising_it_says_so() -> None:
    (info,) = told(FindingCause(finding=entry()), OPENED).infos
    assert info.parameter("tocsin:mode") == "auto_preadvice"


def test_what_was_told_unverified_is_verified_by_an_update_when_a_human_hands_it_off() -> None:
    message = told(HANDS_OFF, HANDED_OFF, told=HEARD, **BY_A_HUMAN)
    assert (message.message_type, message.note) == ("Update", VERIFIED_FR)
    assert [one.identifier for one in message.references] == [FIRST]
    (info,) = message.infos
    assert (info.parameter("tocsin:verified"), info.parameter("tocsin:mode")) == ("true", "operator_confirmed")
    assert VERIFIED_FR in info.description
    assert UNVERIFIED_FR not in info.description


def test_a_room_that_hears_of_it_first_is_alerted() -> None:
    assert told(HANDS_OFF, HANDED_OFF, **BY_A_HUMAN).message_type == "Alert"


def test_a_second_fix_confirms_and_lifts_no_doubt() -> None:
    message = told(DUE, ESCALATED, Rung.POLICE, verified_ms=NOW_MS)
    (info,) = message.infos
    assert (message.note, info.parameter("tocsin:verified")) == (CONFIRMED_FR, "false")
    assert info.parameter("tocsin:mode") == "auto_on_timeout"
