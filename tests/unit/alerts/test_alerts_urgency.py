"""What goes before what, on its way to an endpoint? Invariant 2, F28."""

from __future__ import annotations

import pytest
from msgspec import structs
from recipients import opening

from alerts import episodes
from alerts.urgency import KEY, NEW, URGENT, most_urgent_of, rank_of
from tocsin.model.episode import Ruling
from tocsin.model.finding import Code


def said(code: Code, priority: int, type_: str) -> Ruling:
    plain = opening()
    episode = structs.replace(plain.episode, code=code, priority=priority)
    return structs.replace(
        plain, episode=episode, notifications=(structs.replace(plain.notifications[0], type=type_),)
    )


ORDER = [
    (Code.TGD_SOS, 1, episodes.OPENED),
    (Code.PROX_ALERT, 1, episodes.RAISED),
    (Code.TGD_SOS, 1, episodes.ESCALATED),
    (Code.PROX_PREALERT, 2, episodes.OPENED),
    (Code.PROX_PREALERT, 2, episodes.ESCALATED),
    (Code.W_COMMS_LOSS, 3, episodes.OPENED),
    (Code.W_BATT_LOW, 5, episodes.ESCALATED),
]


def test_each_goes_before_all_that_is_less_urgent() -> None:
    ranks = [rank_of(one, one.notifications[0]) for one in (said(*words) for words in ORDER)]
    assert ranks == sorted(set(ranks))
    assert ranks[:2] == [KEY, NEW]
    assert ranks[2] == URGENT < ranks[3]


@pytest.mark.parametrize("code", sorted(episodes.KEYS))
def test_a_key_goes_before_every_distance(code: Code) -> None:
    assert most_urgent_of(said(code, 1, episodes.RAISED)) < most_urgent_of(
        said(Code.PROX_ALERT, 1, episodes.OPENED)
    )


def test_of_a_ruling_that_says_several_things_the_most_urgent_counts() -> None:
    one = said(Code.PROX_ALERT, 1, episodes.ESCALATED)
    both = structs.replace(one, notifications=(*one.notifications, *said(*ORDER[1]).notifications))
    assert (most_urgent_of(one), most_urgent_of(both)) == (URGENT, NEW)
    assert most_urgent_of(structs.replace(one, notifications=())) == URGENT
