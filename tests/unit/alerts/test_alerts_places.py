"""Both places are in every ruling of an open alert: who can read them there? (F33, invariant 17)"""

from __future__ import annotations

import msgspec
import pytest
from builders import NOW_MS, PROTECTED, REALM, WEARER, act, entry, fix_point

from alerts.api import views
from alerts.desk import handle
from tocsin.model.episode import Episode, FindingCause, Outcome, Ruling, Verb
from tocsin.model.finding import Code

AWAY = {"lat_e6": -12_345_678, "lon_e6": 98_765_432}


def opened(code: Code, **changes: object) -> Episode:
    ruling = handle(None, FindingCause(finding=entry(code=code, **changes)), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    return ruling.episode


@pytest.mark.parametrize("code", [Code.PROX_ALERT, Code.PROX_PREALERT, Code.ZONE_CORE_ENTRY])
def test_the_reply_of_the_api_is_the_same_wherever_they_are(code: Code) -> None:
    moved = opened(code, wearer=fix_point(WEARER, **AWAY), protected=fix_point(PROTECTED, **AWAY))
    assert moved != opened(code), "the episode knows"
    assert views.alert(moved) == views.alert(opened(code))


def test_what_is_closed_or_was_allowed_has_forgotten_both() -> None:
    taken = handle(opened(Code.PROX_ALERT), act(Verb.ACKNOWLEDGE, 1), REALM, NOW_MS)
    assert taken.episode is not None
    assert taken.episode.protected is not None
    said = msgspec.structs.replace(act(Verb.CLOSE, taken.episode.version), outcome=Outcome.LEFT_ZONE)
    for closed in (handle(taken.episode, said, REALM, NOW_MS).episode, opened(Code.PROX_ALERT, authorised=True)):
        assert closed is not None
        assert (closed.wearer, closed.protected) == (None, None)
