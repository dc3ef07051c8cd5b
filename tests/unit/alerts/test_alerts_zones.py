"""At the desk: each zone its own alert, and what the order allows at its hour is kept and told to nobody."""

from __future__ import annotations

from typing import Any

import pytest
from builders import NOW_MS, REALM, act, entry, leaving
from builders import preadvised as handle

from alerts.api import views
from alerts.catalogue import CATALOGUE
from alerts.desk import Unchanged
from alerts.episodes import place_of
from tocsin.model.episode import Channel, Episode, Event, FindingCause, Ruling, State, Verb
from tocsin.model.finding import Code, Finding
from tocsin.wire import decode_ruling, encode


def ruled(episode: Episode | None, event: Event) -> Ruling:
    """By way of the log, as every reader gets it."""
    answer = handle(episode, event, REALM, NOW_MS)
    assert isinstance(answer, Ruling)
    return decode_ruling(encode(answer))


def came(finding: Finding) -> FindingCause:
    return FindingCause(finding=finding)


def into(zone: str = "school", name: str = "fnd_z1", **changes: Any) -> Finding:
    return entry(name, **{"code": Code.ZONE_CORE_ENTRY, "zone": zone, "zone_dm": -200, **changes})


def test_two_zones_of_one_measure_are_two_alerts() -> None:
    assert place_of(into("school")) == (Code.ZONE_CORE_ENTRY, "msr_1:school")
    assert place_of(into("home")) == (Code.ZONE_CORE_ENTRY, "msr_1:home")
    first, second = (ruled(None, came(into(zone))).episode for zone in ("school", "home"))
    assert first.id != second.id
    assert (first.measures, first.raises[0].zone) == (("msr_1",), "school")
    assert views.alert(first).zone == "school"


@pytest.mark.parametrize(
    ("code", "priority", "police"),
    [
        (Code.ZONE_CORE_ENTRY, 1, True),
        (Code.ZONE_ENTRY, 2, False),
        (Code.ZONE_PREALERT, 3, False),
        (Code.ZONE_EXIT, 3, False),
    ],
)
def test_how_urgent_each_is_and_who_is_told(code: Code, priority: int, police: bool) -> None:
    ruling = ruled(None, came(into(code=code)))
    told = {one.channel for one in ruling.notifications}
    assert (ruling.episode.priority, Channel.POLICE in told) == (priority, police)
    assert Channel.TELEASSISTANCE in told
    assert CATALOGUE[code].label_fr


def test_leaving_ends_it_and_a_human_closes_it() -> None:
    here = into()
    raised = ruled(None, came(here)).episode
    left = leaving(here)
    over = ruled(raised, came(entry(left.id, left.at_ms, **_of(left)))).episode
    assert (over.over_ms, over.state) == (left.at_ms, State.RAISED)


def _of(left: Finding) -> dict[str, Any]:
    return {"code": left.code, "change": left.change, "entry": left.entry, "entry_ms": left.entry_ms,
            "zone": "school"}  # fmt: skip


# --- authorised ------------------------------------------------------------------------------------------------

ALLOWED = entry("fnd_allowed", authorised=True)
LEFT_ALLOWED = leaving(ALLOWED, "fnd_left")


def test_what_is_authorised_is_on_record_and_nobody_is_told() -> None:
    """DOMAIN: "suppressed by authority: still stored, still counted"."""
    ruling = ruled(None, came(ALLOWED))
    assert (ruling.notifications, ruling.reason) == ((), "authorised")
    kept = ruling.episode
    assert (kept.authorised, kept.state, kept.outcome, kept.closed_by) == (True, State.CLOSED, None, "order")
    assert kept.causes == (ALLOWED.id,)
    shown = views.alert(kept)
    assert (shown.authorised, shown.closed_by) == (True, "order")


def test_its_end_and_its_repetition_change_nothing() -> None:
    kept = ruled(None, came(ALLOWED)).episode
    for event in (ALLOWED, _left()):
        assert isinstance(handle(kept, came(event), REALM, NOW_MS), Unchanged)


def _left() -> Finding:
    left = LEFT_ALLOWED
    return entry(
        left.id, left.at_ms, change=left.change, entry=left.entry, entry_ms=left.entry_ms, authorised=True
    )


def test_an_end_that_overtakes_its_beginning_wakes_nobody_either() -> None:
    ruling = ruled(None, came(_left()))
    assert (ruling.notifications, ruling.episode.state) == ((), State.CLOSED)
    late = handle(ruling.episode, came(ALLOWED), REALM, NOW_MS)
    assert isinstance(late, Unchanged)


def test_when_the_hours_are_over_the_same_presence_is_an_alert() -> None:
    """F23: it is raised live behind what was only kept."""
    kept = ruled(None, came(ALLOWED)).episode
    ruling = ruled(kept, came(entry("fnd_live", NOW_MS + 60_000, reason="authorisation_ended")))
    assert ruling.reason == "opened"
    assert {one.channel for one in ruling.notifications} == {Channel.TELEASSISTANCE, Channel.POLICE}
    assert (ruling.episode.state, ruling.episode.authorised, ruling.episode.follows) == (
        State.RAISED, False, kept.id,
    )  # fmt: skip


def test_an_open_alert_is_not_closed_by_what_is_authorised() -> None:
    """Invariant 7: a human closes it. It shows that he is there again; nobody is rung up for it."""
    live = ruled(None, came(entry())).episode
    mine = ruled(live, act(Verb.ACKNOWLEDGE, live.version)).episode
    ruling = ruled(mine, came(ALLOWED))
    assert (ruling.episode.state, ruling.episode.owner) == (State.ACKNOWLEDGED, mine.owner)
    assert (ruling.notifications, ruling.episode.raises[-1].authorised) == ((), True)


def test_a_proof_of_what_is_authorised_proves_no_alert() -> None:
    live = ruled(None, came(entry())).episode
    proof = entry("fnd_proof", NOW_MS + 20_000, code=Code.EVIDENTIAL_BREACH, authorised=True)
    answer = handle(live, came(proof), REALM, NOW_MS)
    assert isinstance(answer, Unchanged)
    assert not answer.again
