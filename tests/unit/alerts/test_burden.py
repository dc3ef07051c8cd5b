"""Does a measure's burden say who rang, who was rung, and who came near? CPP R24-22; F17, F18, F19, F23."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import msgspec
from builders import NOW_MS, entry

from alerts import desk
from alerts.burden import approach, burden
from tocsin.model.episode import (
    Deed,
    DeedKind,
    Episode,
    FindingCause,
    Outcome,
    Party,
    Raise,
    Realm,
    Ruling,
    State,
)
from tocsin.model.finding import Code
from tocsin.timezones import PARIS

ZONE = ZoneInfo(PARIS)


def alert(name: str, code: Code = Code.PROX_ALERT, **changes: object) -> Episode:
    ruling = desk.handle(None, FindingCause(finding=entry(name, code=code)), Realm.LAB, NOW_MS)
    assert isinstance(ruling, Ruling)
    return msgspec.structs.replace(ruling.episode, id=f"alr_{name}", **changes)


def came(wearer_dm: int | None, protected_dm: int | None, share: int | None) -> Raise:
    raising = alert("x").raises[0]
    return msgspec.structs.replace(
        raising, wearer_approach_dm=wearer_dm, protected_approach_dm=protected_dm, wearer_share_pct=share
    )


def test_nothing_is_nothing() -> None:
    found = burden([], frozenset(), ZONE)
    assert (found.alerts, found.raisings, found.by_code, sum(found.hours)) == (0, 0, (), 0)
    assert found.approach.share_pct is None


def test_alerts_are_counted_by_code_with_what_they_did_to_people() -> None:
    deeds = (
        Deed(kind=DeedKind.CALL, at_ms=NOW_MS, party=Party.WEARER),
        Deed(kind=DeedKind.CALL, at_ms=NOW_MS, party=Party.PROTECTED),
    )
    first = alert("a", deeds=deeds, over_ms=NOW_MS + 90_000)
    second = alert("b", outcome=Outcome.FALSE_ALARM, state=State.CLOSED)
    other = alert("c", Code.PROX_PREALERT)
    found = burden([first, second, other], {"alr_a"}, ZONE)
    row = {one.code: one for one in found.by_code}[Code.PROX_ALERT]
    assert (row.alerts, row.raisings, row.unfounded, row.rang_her, row.called_him) == (2, 2, 1, 1, 1)
    assert row.lasted_ms == NOW_MS + 90_000 - first.raises[0].at_ms
    assert (found.alerts, found.raisings) == (3, 3)


def test_what_rang_nobody_is_counted_apart() -> None:
    """F23: what the judge allows is still computed; an outage of many units is not his doing."""
    found = burden([alert("a", authorised=True), alert("b", state=State.FOLDED)], frozenset(), ZONE)
    assert (found.alerts, found.authorised, found.explained, found.by_code) == (0, 1, 1, ())


def test_hours_are_those_on_the_wall_there() -> None:
    raising = msgspec.structs.replace(alert("a").raises[0], at_ms=1_795_262_400_000)  # 2026-11-21, 12:00 UTC
    found = burden([alert("a", raises=(raising,))], frozenset(), ZONE)
    assert found.hours[13] == 1
    assert sum(found.hours) == 1


def test_who_came_near_is_added_up_by_distance() -> None:
    """F19: she drove to a man who stood still once; he came twice as far the other time."""
    found = approach([came(0, 8_000, 0), came(16_000, -500, 100), came(None, 100, None)])
    assert (found.known, found.unknown) == (2, 1)
    assert (found.wearer_dm, found.protected_dm, found.share_pct) == (16_000, 8_000, 67)
    assert (found.mostly_wearer, found.mostly_protected) == (1, 1)


def test_a_key_is_nobodys_approach() -> None:
    key = msgspec.structs.replace(came(5_000, 0, 100), threshold_m=None)
    assert approach([key]).known == 0
