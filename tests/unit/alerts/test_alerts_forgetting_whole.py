"""When has the log nothing of an alert any more, and when must its record wait for it? (docs/adr/0044)"""

from __future__ import annotations

import pytest

from alerts.forgetting import Seen, whole


def ruling(sequence: int, episode: str) -> Seen:
    return Seen(sequence, episode, None if episode == "" else 0, None, canary=False)


@pytest.mark.parametrize(
    ("place", "last_sequence", "going"),
    [
        ([], 9, []),
        ([(1, "a"), (2, "a")], 2, [1, 2]),
        ([(1, "a"), (2, "a"), (3, "b")], 2, [1, 2]),
        ([(3, "b")], 2, []),
        ([(1, "b")], 9, []),  # the log was made anew, and begins again at 1
        ([(1, "b"), (2, "a")], 2, None),  # behind an older one
        ([(1, "a"), (2, "b"), (3, "a")], 3, None),
        ([(1, "a"), (3, "a")], 2, None),  # the record has not caught up
        ([(1, "")], 2, None),  # whose it is nobody can say
        ([(3, "")], 2, []),
    ],
)
def test_of_an_alert_all_goes_or_nothing(
    place: list[tuple[int, str]], last_sequence: int, going: list[int] | None
) -> None:
    found = whole([ruling(*one) for one in place], "a", last_sequence)
    assert (None if found is None else [one.sequence for one in found]) == going
