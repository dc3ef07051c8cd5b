"""How long does an alert that nobody closes know where the phone was? (invariant 6; docs/adr/0044)"""

from __future__ import annotations

import msgspec
import pytest
from builders import NOW_MS, REALM, entry, fix_point, press

from alerts import desk
from alerts.escalation import Kind, next_step
from alerts.forgetting import PASS_MS
from tocsin.model.episode import AlarmCause, Due, Episode, FindingCause, Ruling
from tocsin.model.finding import Code
from tocsin.model.protocol import AS_AGREED
from tocsin.retention import DAY_MS, TGD_POSITION_DAYS
from tocsin.sealing import without_places

TIME_MS = TGD_POSITION_DAYS * DAY_MS


def ruled(before: Episode | None, event: object, now_ms: int) -> Ruling:
    answer = desk.handle(before, event, REALM, now_ms)  # type: ignore[arg-type]
    assert isinstance(answer, Ruling), answer
    return answer


def raised(code: Code) -> Episode:
    alarm = press(code=code, device="tgd-1", measures=(), position=fix_point("tgd-1"))
    return ruled(None, AlarmCause(alarm=alarm), NOW_MS).episode


def climbed(episode: Episode, until_ms: int) -> list[Ruling]:
    """Every hour that it sets by itself up to then."""
    rulings: list[Ruling] = []
    while (step := next_step(episode, AS_AGREED)) is not None and step.at_ms <= until_ms:
        rulings.append(ruled(episode, Due(episode=episode.id, at_ms=step.at_ms), step.at_ms))
        episode = rulings[-1].episode
    return rulings


@pytest.mark.parametrize("code", [Code.TGD_SOS, Code.TGD_SOS_SILENT])
def test_the_place_of_a_phone_is_forgotten_before_its_time_is_over(code: Code) -> None:
    """Nobody takes it for three days: it rings all the time, and no ruling of the last hours has a place."""
    rulings = climbed(raised(code), NOW_MS + TIME_MS)
    (forgotten,) = [one for one in rulings if one.reason == Kind.FORGOTTEN.value]
    assert NOW_MS < forgotten.at_ms < NOW_MS + TIME_MS - PASS_MS
    behind = rulings[rulings.index(forgotten) :]
    assert len(behind) > 10, "its humans are still called"
    assert not any(without_places(one)[1] for one in behind)


def test_nobody_is_told_of_it_and_no_act_is_refused_for_it() -> None:
    before, forgotten = None, None
    for one in climbed(raised(Code.TGD_SOS), NOW_MS + TIME_MS):
        if one.reason == Kind.FORGOTTEN.value:
            forgotten = one
            break
        before = one.episode
    assert before is not None
    assert forgotten is not None
    assert forgotten.notifications == ()
    assert forgotten.episode == msgspec.structs.replace(before, protected=None)


def test_another_press_begins_its_own_three_days() -> None:
    first = raised(Code.TGD_SOS)
    again_ms = NOW_MS + DAY_MS
    alarm = press("alm_2", again_ms, code=Code.TGD_SOS, device="tgd-1", measures=(), position=fix_point("tgd-1"))
    again = ruled(first, AlarmCause(alarm=alarm), again_ms).episode
    (forgotten,) = [one for one in climbed(again, again_ms + TIME_MS) if one.reason == Kind.FORGOTTEN.value]
    assert forgotten.at_ms > NOW_MS + TIME_MS


def test_the_places_of_a_pair_stay_with_their_alert() -> None:
    """Of a measure they are its file (R631-11)."""
    episode = ruled(None, FindingCause(finding=entry()), NOW_MS).episode
    rulings = climbed(episode, NOW_MS + TIME_MS)
    assert {one.reason for one in rulings}.isdisjoint({Kind.FORGOTTEN.value})
    assert rulings[-1].episode.protected is not None
