"""May this be erased at this hour? Tables for the days of the law, properties for all between (invariant 14)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.chain import SALT_BYTES, START, Deletion, Erasure, Item, KeptAs, Kind, Link, Opened, linked
from tocsin.clock import from_rfc3339
from tocsin.retention import (
    DAY_MS,
    LINKED_LATE_MAX_MS,
    MEASURE_MONTHS,
    File,
    Hold,
    HoldKind,
    Terms,
    Verdict,
    What,
    Word,
    begins_ms,
    begun_before_ms,
    doubt,
    doubt_of_positions,
    keeping_in,
    keeping_of,
    plus_months,
    verdict,
)

TERMS = Terms()
ALERT = (What.ALERT, "alr_1")
NAMES = frozenset({ALERT, (What.MEASURE, "msr_1"), (What.DEVICE, "wearer-1")})
EARLY_MS, LATE_MS = from_rfc3339("2000-01-01T00:00:00Z"), from_rfc3339("2100-01-01T00:00:00Z")

hours = st.integers(EARLY_MS, LATE_MS)
classes = st.sampled_from(KeptAs)


def hold(
    kind: HoldKind = HoldKind.HOLD, what: What = What.ALERT, subject: str = "alr_1", **changes: object
) -> Hold:
    return Hold(
        id="hld_1", kind=kind, what=what, subject=subject, reason="an appeal", authority="TJ Marseille",
        placed_by="greffe", placed_ms=EARLY_MS, **changes,  # type: ignore[arg-type]
    )  # fmt: skip


def file(kept_as: KeptAs, from_ms: int | None = EARLY_MS) -> File:
    return File(kept_as=kept_as, from_ms=from_ms, names=NAMES)


def word(kept_as: KeptAs, now_ms: int, *holds: Hold, from_ms: int | None = EARLY_MS) -> Word:
    return verdict(file(kept_as, from_ms), holds, now_ms, TERMS).word


@pytest.mark.parametrize(
    ("ended", "last_kept", "over"),
    [
        ("2026-11-21T10:00:00Z", "2032-11-21T09:59:59.999Z", "2032-11-21T10:00:00Z"),
        ("2024-02-29T00:00:00Z", "2030-02-27T23:59:59.999Z", "2030-02-28T00:00:00Z"),  # no such day in 2030
        ("2026-02-28T12:00:00Z", "2032-02-28T11:59:59.999Z", "2032-02-28T12:00:00Z"),  # and one day more in 2032
        ("2026-01-31T23:00:00Z", "2032-01-31T22:59:59.999Z", "2032-01-31T23:00:00Z"),  # not by way of February
        ("2026-12-31T23:59:59Z", "2032-12-31T23:59:58.999Z", "2032-12-31T23:59:59Z"),
    ],
)
def test_the_file_of_a_measure_goes_after_72_calendar_months(ended: str, last_kept: str, over: str) -> None:
    """R631-11: one month active, five years and eleven months of archive; calendar months, not of 30 days."""
    from_ms = from_rfc3339(ended)
    assert word(KeptAs.MEASURE_FILE, from_rfc3339(last_kept), from_ms=from_ms) is Word.IN_TIME
    assert word(KeptAs.MEASURE_FILE, from_rfc3339(over), from_ms=from_ms) is Word.OVER


@pytest.mark.parametrize(("holds", "days"), [((), 3), ((hold(),), 3), ((hold(HoldKind.LEAVE),), 8)])
def test_positions_of_a_tgd_have_three_days_or_eight_with_leave(holds: tuple[Hold, ...], days: int) -> None:
    """Invariant 6. A hold adds nothing: the law gives three days, and nobody but the prosecutor more."""
    over_ms = EARLY_MS + days * DAY_MS
    assert word(KeptAs.TGD_POSITION, over_ms - 1, *holds) is Word.IN_TIME
    assert word(KeptAs.TGD_POSITION, over_ms, *holds) is Word.OVER


def test_a_leave_and_a_hold_together_still_end_after_eight_days() -> None:
    both = (hold(), hold(HoldKind.LEAVE))
    assert word(KeptAs.TGD_POSITION, EARLY_MS + 8 * DAY_MS, *both) is Word.OVER


def test_a_leave_holds_nothing_but_positions() -> None:
    assert word(KeptAs.TGD_FILE, LATE_MS, hold(HoldKind.LEAVE)) is Word.OVER


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_hold_on_any_of_its_names_keeps_it_and_says_which(name: tuple[What, str]) -> None:
    said = verdict(file(KeptAs.MEASURE_FILE), [hold(what=name[0], subject=name[1])], LATE_MS, TERMS)
    assert (said.word, said.hold) == (Word.HELD, "hld_1")


@pytest.mark.parametrize(
    "other", [hold(subject="alr_2"), hold(what=What.MEASURE), hold(lifted_ms=EARLY_MS, lifted_by="greffe")]
)
def test_a_hold_on_something_else_or_one_that_was_lifted_keeps_nothing(other: Hold) -> None:
    assert word(KeptAs.MEASURE_FILE, LATE_MS, other) is Word.OVER


def test_the_times_of_the_site_are_settings() -> None:
    terms = Terms(tgd_file_months=12, access_months=6)
    for kept_as, months in ((KeptAs.TGD_FILE, 12), (KeptAs.ACCESS, 6)):
        said = verdict(file(kept_as), (), EARLY_MS, terms)
        assert said.until_ms == plus_months(EARLY_MS, months)
        assert str(months) in said.rule


@given(classes, st.none() | hours, hours, st.integers(0, 40 * 365 * DAY_MS), st.lists(st.sampled_from(HoldKind)))
def test_what_is_over_stays_over(
    kept_as: KeptAs, from_ms: int | None, now_ms: int, later_ms: int, kinds: list[HoldKind]
) -> None:
    """Monotone in time: under the same holds nothing that may be erased may ever not be."""
    one, holds = file(kept_as, from_ms), [hold(kind) for kind in kinds]
    if verdict(one, holds, now_ms, TERMS).word is Word.OVER:
        assert verdict(one, holds, now_ms + later_ms, TERMS).word is Word.OVER


@given(classes.filter(lambda one: one is not KeptAs.TGD_POSITION), st.none() | hours, hours)
def test_what_is_held_is_never_over(kept_as: KeptAs, from_ms: int | None, now_ms: int) -> None:
    assert verdict(file(kept_as, from_ms), [hold()], now_ms, TERMS).word is not Word.OVER


@given(classes, hours, st.booleans())
def test_a_hold_only_ever_keeps(kept_as: KeptAs, now_ms: int, has_leave: bool) -> None:
    holds = [hold(HoldKind.LEAVE)] if has_leave else []
    without, held = (verdict(file(kept_as), some, now_ms, TERMS) for some in (holds, [*holds, hold()]))
    assert (held.word is Word.OVER) <= (without.word is Word.OVER)


@given(st.none() | hours, hours)
def test_a_proof_is_never_over(from_ms: int | None, now_ms: int) -> None:
    assert verdict(file(KeptAs.PROOF, from_ms), (), now_ms, TERMS) == Verdict(
        word=Word.PROOF, rule="kept for ever"
    )


@given(classes, hours, hours)
def test_what_begun_before_leaves_out_is_not_over(kept_as: KeptAs, from_ms: int, now_ms: int) -> None:
    if from_ms >= begun_before_ms(kept_as, now_ms, TERMS):
        assert word(kept_as, now_ms, from_ms=from_ms) is not Word.OVER


@given(hours, st.integers(0, 1200))
def test_months_are_counted_by_the_calendar(at_ms: int, months: int) -> None:
    """Never more than 31 days a month, never less than 28, and never past the month that it should be."""
    moved_ms = plus_months(at_ms, months)
    assert 28 * months * DAY_MS <= moved_ms - at_ms <= 31 * months * DAY_MS
    assert moved_ms % DAY_MS == at_ms % DAY_MS
    assert plus_months(at_ms, months + 1) > moved_ms


def test_a_measure_without_an_end_of_this_world_is_never_over() -> None:
    far_ms = from_rfc3339("9999-12-31T00:00:00Z")
    assert word(KeptAs.MEASURE_FILE, far_ms, from_ms=far_ms) is Word.IN_TIME


def test_an_alert_that_nobody_has_closed_has_no_time_yet() -> None:
    assert begins_ms(None, [EARLY_MS]) is None
    assert word(KeptAs.MEASURE_FILE, LATE_MS, from_ms=None) is Word.OPEN


def test_the_time_of_an_alert_begins_with_the_end_of_its_last_measure() -> None:
    assert begins_ms(5, [3, 9]) == 9  # of two measures, one still runs
    assert begins_ms(5, [3]) == 3  # the law counts from the measure, not from our close
    assert begins_ms(5, []) == 5  # about no measure that is known


@pytest.mark.parametrize(
    ("hours_known", "is_doubted"),
    [
        ({"position_ms": LATE_MS - DAY_MS}, False),
        ({"position_ms": LATE_MS - DAY_MS - 1}, True),
        ({"position_ms": LATE_MS - 7168 * DAY_MS}, True),  # 1024 weeks: a receiver that rolled over (F37)
        ({"position_ms": LATE_MS + DAY_MS}, False),  # behind: it erases too little
        ({"position_ms": EARLY_MS, "pass_ms": LATE_MS}, True),  # our own pass proves nothing beside a fleet
        ({"position_ms": EARLY_MS, "believed_ms": LATE_MS - DAY_MS}, False),
        ({"position_ms": EARLY_MS, "believed_ms": LATE_MS - DAY_MS - 1}, True),
        ({}, True),
        ({"pass_ms": LATE_MS - 31 * DAY_MS}, False),
        ({"pass_ms": LATE_MS - 31 * DAY_MS - 1}, True),
    ],
)
def test_a_clock_alone_does_not_empty_the_record(hours_known: dict[str, int], is_doubted: bool) -> None:
    """F37."""
    known: dict[str, int | None] = {"position_ms": None, "pass_ms": None, "believed_ms": None, **hours_known}
    assert (doubt(LATE_MS, **known) is not None) == is_doubted


@pytest.mark.parametrize(
    ("hours_known", "is_doubted"),
    [
        (
            {"pass_ms": LATE_MS - DAY_MS // 24, "position_ms": LATE_MS - 400 * DAY_MS},
            False,
        ),  # the last BAR has ended
        (
            {"position_ms": LATE_MS - 2 * DAY_MS, "heard_ms": LATE_MS - 2 * DAY_MS},
            False,
        ),  # few pairs, off for a day
        ({"position_ms": LATE_MS - 2 * DAY_MS, "heard_ms": LATE_MS}, True),  # they are heard: our clock is ahead
        ({"position_ms": LATE_MS - 8 * DAY_MS, "heard_ms": LATE_MS - 8 * DAY_MS}, False),
        ({"position_ms": LATE_MS - 8 * DAY_MS - 1, "heard_ms": LATE_MS - 8 * DAY_MS}, True),
        ({"position_ms": LATE_MS - 7168 * DAY_MS, "pass_ms": LATE_MS - 7168 * DAY_MS}, True),  # F37
        ({}, True),
    ],
)
def test_a_silent_fleet_keeps_no_position_and_a_wrong_clock_empties_nothing(
    hours_known: dict[str, int], is_doubted: bool
) -> None:
    """F37 and invariant 6."""
    known: dict[str, int | None] = {"position_ms": None, "pass_ms": None, "heard_ms": None, **hours_known}
    assert (doubt_of_positions(LATE_MS, **known) is not None) == is_doubted


def test_a_month_and_71_months_would_have_lost_days() -> None:
    """Why they are counted at once."""
    ended_ms = from_rfc3339("2026-01-31T00:00:00Z")
    assert plus_months(plus_months(ended_ms, 1), 71) < plus_months(ended_ms, MEASURE_MONTHS)


def test_one_file_held_by_two_stays_until_both_are_lifted() -> None:
    lifted = msgspec.structs.replace(hold(), id="hld_2", lifted_ms=1, lifted_by="greffe")
    said = verdict(file(KeptAs.MEASURE_FILE), [lifted, hold()], LATE_MS, TERMS)
    assert (said.word, said.hold) == (Word.HELD, "hld_1")


# --- as a verifier judges it, from the links alone ---

BEGAN_MS = from_rfc3339("2026-11-21T00:00:00Z")


def a_link(number: int, kept_as: KeptAs, at_ms: int, payload: bytes = b"{}", kind: Kind = Kind.RULING,
           chain: str = "episode/alr_1") -> tuple[Link, Opened]:  # fmt: skip
    item = Item(chain=chain, kind=kind, kept_as=kept_as, source=f"{kind}:{number}", payload=payload)
    return linked(item, bytes(SALT_BYTES), number=number, previous=START, at_ms=at_ms)


def an_erasure(kept_as: KeptAs, said_ms: int, linked_ms: int, number: int = 9) -> Erasure:
    said = Deletion(numbers=(1,), kept_as=kept_as, at_ms=said_ms, rule="", by="")
    return Erasure(link=a_link(number, KeptAs.PROOF, linked_ms)[0], said=said)


@pytest.mark.parametrize(
    ("kept_as", "months"), [(KeptAs.MEASURE_FILE, 72), (KeptAs.TGD_FILE, 1), (KeptAs.ACCESS, 1)]
)
def test_what_was_erased_before_its_time_can_be_over_was_not_erased_lawfully(kept_as: KeptAs, months: int) -> None:
    """Both hours of a deletion count: one of them anybody can write."""
    link, _ = a_link(1, kept_as, BEGAN_MS)
    judge = keeping_of("device/w-1", None, ())
    over_ms = plus_months(BEGAN_MS, months) - LINKED_LATE_MAX_MS
    assert judge(link, an_erasure(kept_as, over_ms, over_ms)) == ""
    for hours in ((over_ms - 1, over_ms), (over_ms, over_ms - 1), (BEGAN_MS, BEGAN_MS)):
        assert f"days too early for {kept_as}" in judge(link, an_erasure(kept_as, *hours))


def test_a_position_has_no_shortest_time() -> None:
    link, _ = a_link(1, KeptAs.TGD_POSITION, BEGAN_MS)
    assert (
        keeping_of("episode/alr_1", BEGAN_MS, ())(link, an_erasure(KeptAs.TGD_POSITION, BEGAN_MS, BEGAN_MS)) == ""
    )


def test_of_an_alert_its_first_link_counts_and_of_a_unit_each_one_its_own() -> None:
    """Its measure may have ended long before a human closed it; an old unit's chain is no licence for today."""
    over_ms = plus_months(BEGAN_MS, 72)
    late, _ = a_link(5, KeptAs.MEASURE_FILE, BEGAN_MS + 365 * DAY_MS)
    erasure = an_erasure(KeptAs.MEASURE_FILE, over_ms, over_ms)
    assert keeping_of("episode/alr_1", BEGAN_MS, ())(late, erasure) == ""
    assert "too early" in keeping_of("device/w-1", BEGAN_MS, ())(late, erasure)


@pytest.mark.parametrize(
    ("kind", "steps", "is_held"),
    [
        (HoldKind.HOLD, (2,), True),
        (HoldKind.HOLD, (2, 3), False),
        (HoldKind.HOLD, (12,), False),
        (HoldKind.HOLD, (2, 12), True),
        (HoldKind.LEAVE, (2,), False),
    ],
)
def test_what_was_held_when_it_was_erased_was_not_erased_lawfully(
    kind: HoldKind, steps: tuple[int, ...], is_held: bool
) -> None:
    """The first step places, the second lifts; the deletion is link 9."""
    placed = Hold(id="hld_1", kind=kind, what=What.ALERT, subject="alr_1", reason="r", authority="a",
                  placed_by="b", placed_ms=BEGAN_MS)  # fmt: skip
    lifted = msgspec.structs.replace(placed, lifted_by="b", lifted_ms=BEGAN_MS + 1, lifted_because="c")
    pairs = [a_link(1, KeptAs.MEASURE_FILE, BEGAN_MS)]
    for number, hold in zip(steps, (placed, lifted), strict=False):
        pairs.append(a_link(number, KeptAs.PROOF, BEGAN_MS, msgspec.json.encode(hold), Kind.HOLD))
    over_ms = plus_months(BEGAN_MS, 72)
    judge = keeping_in("episode/alr_1", [link for link, _ in pairs], {link.number: one for link, one in pairs})
    said = judge(pairs[0][0], an_erasure(KeptAs.MEASURE_FILE, over_ms, over_ms))
    assert said == ("hld_1 was placed and not lifted" if is_held else "")


# --- of rows that no link commits to ---


def rows_gone(at_ms: int, until_ms: int | None, kept_as: KeptAs = KeptAs.MEASURE_FILE, number: int = 9) -> Erasure:
    said = Deletion(
        numbers=(), kept_as=kept_as, at_ms=at_ms, rule="", by="", rows={"fixes": 1}, until_ms=until_ms
    )  # fmt: skip
    return Erasure(link=a_link(number, KeptAs.PROOF, at_ms)[0], said=said)


def test_a_history_goes_six_years_behind_its_end_and_no_sooner() -> None:
    """A day of slack: months are not monotone across a 29 February."""
    keeping = keeping_of("device/w-1", BEGAN_MS, ())
    over_ms = plus_months(BEGAN_MS, 72) - DAY_MS
    assert keeping.of_rows(rows_gone(over_ms, BEGAN_MS)) == ""
    assert "1 days too early" in keeping.of_rows(rows_gone(over_ms - 1, BEGAN_MS))


def test_the_row_of_a_measure_goes_with_its_file() -> None:
    over_ms = plus_months(BEGAN_MS, 72)
    assert "too early" in keeping_of("measure/m1", BEGAN_MS, ()).of_rows(rows_gone(BEGAN_MS, None))
    assert keeping_of("measure/m1", BEGAN_MS, ()).of_rows(rows_gone(over_ms, None)) == ""
    assert keeping_of("device/w-1", BEGAN_MS, ()).of_rows(rows_gone(BEGAN_MS, None)) == "", "its links do not say"


def test_rows_that_were_held_did_not_go_lawfully() -> None:
    placed = a_link(3, KeptAs.PROOF, BEGAN_MS, msgspec.json.encode(hold()), Kind.HOLD)
    keeping = keeping_of("device/w-1", BEGAN_MS, [placed])
    late_ms = plus_months(BEGAN_MS, 100)
    assert "was placed and not lifted" in keeping.of_rows(rows_gone(late_ms, BEGAN_MS))
    assert keeping.of_rows(rows_gone(late_ms, BEGAN_MS, number=2)) == "", "before it was placed"
