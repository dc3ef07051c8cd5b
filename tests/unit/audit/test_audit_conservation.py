"""Does the law find a row that a part says is on the log and is not, and keep silent about everything lawful?

DOMAIN section 5 (conservation), F10. Times in milliseconds.
"""

from __future__ import annotations

from audit.conservation import KEPT_MAX, LASTS_MS, SILENT_MS, Conservation
from tocsin.model.tally import Account, Stretch, Tally

BAD = {"reports": Account(taken=10, outcomes={"admitted": 8}, in_hand=1)}


def tally(
    through: int, rows: int, *, after: int = 0, life: str = "a", stream: str = "FIXES", **changes: object
) -> Tally:
    stretch = Stretch(after=after, through=through, rows=rows, primary=rows)
    whole = {"part": "fixes", "life": life, "at_ms": 0, "accounts": {}, "streams": {stream: stretch}, **changes}
    return Tally(**whole)  # type: ignore[arg-type]


def law(*rows: int, stream: str = "FIXES", after: int = 0) -> Conservation:
    """A law that has read messages of so many rows."""
    made = Conservation()
    made.begin(stream, after)
    for sequence, count in enumerate(rows, start=after + 1):
        made.on_log(stream, sequence, count, count)
    return made


def said(one: Conservation, at_ms: int = 0) -> list[str]:
    """Asked now, and again when it has lasted."""
    first = one.differences(at_ms)
    assert not first, "nothing is a difference at once"
    return [found.detail for found in one.differences(at_ms + LASTS_MS)]


def test_what_agrees_is_no_difference() -> None:
    one = law(3, 4, 5)
    one.tallied(tally(2, 7), 0)
    assert said(one) == []
    one.tallied(tally(3, 12), 0)
    assert said(one, LASTS_MS) == []


def test_a_row_that_is_not_there_is_named_once() -> None:
    one = law(3, 4, 5)
    one.tallied(tally(3, 13), 0)
    assert said(one) == ["fixes says 13 rows (13 primary) in messages 1 to 3 of FIXES; there are 12 (12)."]
    assert one.differences(10 * LASTS_MS) == [], "each one once"


def test_a_row_too_many_is_one_as_well() -> None:
    one = law(3, 4)
    one.tallied(tally(2, 6), 0)
    assert len(said(one)) == 1


def test_a_copy_that_is_primary_twice_is_found_though_the_rows_agree() -> None:
    one = Conservation()
    one.begin("FIXES", 0)
    one.on_log("FIXES", 1, 2, 2)
    stretch = Stretch(after=0, through=1, rows=2, primary=1)
    one.tallied(Tally(part="fixes", life="a", at_ms=0, accounts={}, streams={"FIXES": stretch}), 0)
    assert len(said(one)) == 1


def test_what_the_auditor_has_not_read_yet_waits() -> None:
    one = law(3)
    one.tallied(tally(2, 7), 0)
    assert said(one) == []
    one.on_log("FIXES", 2, 3, 3)
    assert len(said(one, 10 * LASTS_MS)) == 1


def test_a_restart_begins_anew_and_what_nobody_tallied_is_nobodys() -> None:
    """The dead life's last batch, message 3, is on no tally."""
    one = law(3, 4, 5, 6)
    one.tallied(tally(2, 7), 0)
    assert said(one) == []
    one.tallied(tally(4, 6, after=3, life="b"), 0)
    assert said(one, LASTS_MS) == []


def test_a_life_that_began_before_the_auditor_is_compared_from_its_next_tally_on() -> None:
    one = law(5, 6, after=1_000)
    one.tallied(tally(1_001, 123_456), 0)
    assert said(one) == []
    one.tallied(tally(1_002, 123_456 + 7), 0)
    assert len(said(one, LASTS_MS)) == 1


def test_what_was_read_before_the_first_tally_of_a_life_is_compared_too() -> None:
    one = law(3, 4, 5)
    assert one.differences(0) == []
    one.tallied(tally(3, 13), 0)
    assert len(said(one)) == 1


def test_a_reader_of_alarms_confirms_no_more_than_there_are() -> None:
    """Two readers write the same ones: either may say fewer than there are."""
    one = law(1, 1, 1, stream="ALARMS")
    one.tallied(tally(3, 2, stream="ALARMS"), 0)
    assert said(one) == []
    other = law(1, 1, stream="ALARMS")
    other.tallied(tally(2, 3, stream="ALARMS"), 0)
    assert len(said(other)) == 1


def test_accounts_that_do_not_close_are_said_once_a_life_even_while_they_grow() -> None:
    one = Conservation()
    for second in range(20):
        account = Account(taken=10 + second, outcomes={"admitted": 8})
        one.tallied(tally(0, 0, accounts={"reports": account}, streams={}), second * 1_000)
        found = one.differences(second * 1_000)
        assert bool(found) == (second * 1_000 == LASTS_MS)
    (detail,) = [found.detail for found in law_of_account().differences(LASTS_MS)]
    assert detail == "fixes: 1 reports have no outcome."


def law_of_account() -> Conservation:
    one = Conservation()
    one.tallied(tally(0, 0, accounts=BAD, streams={}), 0)
    return one


def test_accounts_of_a_dead_life_are_not_waited_out() -> None:
    one = law_of_account()
    one.tallied(tally(0, 0, life="b", streams={}), 1_000)
    assert one.differences(LASTS_MS) == []


def test_a_part_that_counts_no_more_is_said_and_a_log_that_is_away_is_not() -> None:
    one = Conservation()
    one.tallied(tally(0, 0, streams={}), 0)
    assert silent(one, 0, SILENT_MS - 1) == []
    one.away(SILENT_MS - 1)
    assert silent(one, SILENT_MS - 1, 2 * SILENT_MS - 2) == []
    assert silent(one, 2 * SILENT_MS - 2, 3 * SILENT_MS) == ["fixes"], "once"


def test_a_part_is_not_silent_while_the_auditor_sleeps() -> None:
    """A machine that was paused: the tallies of meanwhile have not been read at its first look."""
    one = Conservation()
    one.tallied(tally(0, 0, streams={}), 0)
    assert one.differences(1_000) == []
    assert one.differences(10 * SILENT_MS) == []
    assert one.differences(10 * SILENT_MS + 2_000) == []
    assert silent(one, 10 * SILENT_MS + 2_000, 11 * SILENT_MS) == ["fixes"], "it is silent all the same"


def silent(one: Conservation, since_ms: int, until_ms: int) -> list[str]:
    """Asked each two seconds, as the auditor does, and at the end."""
    asked = [*range(since_ms, until_ms, 2_000), until_ms]
    return [found.about for at_ms in asked for found in one.differences(at_ms)]


def test_a_stream_made_anew_is_no_difference() -> None:
    one = law(3, 4)
    one.tallied(tally(2, 7), 0)
    assert said(one) == []
    one.on_log("FIXES", 1, 9, 9)
    one.tallied(tally(1, 9, life="b"), 0)
    assert said(one, LASTS_MS) == []


def test_memory_is_bounded_and_what_is_forgotten_is_not_a_difference() -> None:
    one = law(1)
    one.tallied(tally(1, 2), 0)
    for sequence in range(2, KEPT_MAX + 10):
        one.on_log("FIXES", sequence, 1, 1)
    assert said(one) == []
    assert len(one._counted["FIXES"].sequences) <= KEPT_MAX
