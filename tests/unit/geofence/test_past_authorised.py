"""Was what late fixes show allowed then? Within the hours, above the floor, all of it (CPP R24-18 §3, F23)."""

from __future__ import annotations

import msgspec
import pytest
from geofence_places import authorised
from tracks import T0_MS, drive, joined, still

from geofence import authority
from geofence.past import Tracks, Visit, Window, judge
from tocsin.model.finding import Change, Finding
from tocsin.model.geozone import Authorisation
from tocsin.model.order import Order

LATE_MS = 2_000_000
ORDER = Order(
    id="msr_1", version=1, wearer="his-unit", protected="her-unit", alert_distance_m=1_000,
    valid_from_ms=T0_MS - 86_400_000, valid_until_ms=T0_MS + 86_400_000,
)  # fmt: skip
WINDOW = Window(T0_MS - 3_600_000, T0_MS + 3_600_000)
IN_AND_OUT = joined(drive(0, 4_000, 600, 400, delay_ms=LATE_MS), drive(630, 400, 1_230, 4_000, delay_ms=LATE_MS))
PAIR = Tracks(IN_AND_OUT, still(0, 1_800, delay_ms=LATE_MS))
"""Inside from 08:20 to 12:10 on that Saturday, 400 m away at 10:00."""


def said(
    hours: Authorisation | None,
    visits: tuple[Visit, ...] = (),
    before: tuple[Finding, ...] = (),
    window: Window = WINDOW,
) -> list[Finding]:
    order = msgspec.structs.replace(ORDER, authorised=hours)
    return [one for one in judge(order, PAIR, window, visits, before) if one.change is Change.ENTRY]


@pytest.mark.parametrize(
    ("hours", "is_authorised", "during_s", "below_floor"),
    [
        (None, False, 0, False),
        (authorised("08:00", "13:00"), True, 230, False),
        (authorised("08:00", "12:00"), False, 220, False),
        (authorised("09:00", "13:00"), False, 190, False),
        (authorised("20:00", "21:00"), False, 0, False),
        (authorised("08:00", "13:00", floor_m=300), True, 230, False),
        (authorised("08:00", "13:00", floor_m=500), False, 230, True),
        (authorised("11:00", "13:00", floor_m=500), False, 70, False),
    ],
    ids=["none", "all", "outlasts", "before", "another_hour", "above", "below", "below_before_the_hours"],
)
def test_all_of_it_within_the_hours_and_above_the_floor(
    hours: Authorisation | None, is_authorised: bool, during_s: int, below_floor: bool
) -> None:
    (one,) = said(hours)
    assert (one.authorised, one.past.below_floor) == (is_authorised, below_floor)
    assert one.past.authorised_ms / 1000 == pytest.approx(during_s, abs=0.5)


def test_what_began_before_what_was_looked_at_is_not_called_authorised() -> None:
    window = Window(T0_MS + 600_000, WINDOW.until_ms)
    (one,) = said(authorised("08:00", "13:00"), window=window)
    assert one.past.cut
    assert not one.authorised


def test_the_hours_may_be_in_pieces() -> None:
    whole, hours = authorised("08:00", "13:00").schedule, authorised("10:00", "13:00").schedule.hours
    pieces = msgspec.structs.replace(whole, hours=(*authorised("08:00", "10:00").schedule.hours, *hours))
    assert said(Authorisation(schedule=pieces))[0].authorised, "spans that touch are one"
    apart = msgspec.structs.replace(whole, hours=(*authorised("08:00", "09:00").schedule.hours, *hours))
    (one,) = said(Authorisation(schedule=apart))
    assert not one.authorised
    assert one.past.authorised_ms / 1000 == pytest.approx(40 + 130, abs=0.5)


@pytest.mark.parametrize(("at_s", "whole"), [(480, True), (779, True), (780, False), (479, False)])
def test_an_instant_is_within_the_hours_or_not(at_s: int, whole: bool) -> None:
    order, at_ms = msgspec.structs.replace(ORDER, authorised=authorised("08:00", "13:00")), T0_MS + 1000 * at_s
    assert authority.in_hindsight(order, at_ms, at_ms, at_ms, 900.0) == (whole, 0, False)


def test_of_an_authorised_alert_nobody_was_told_so_this_is_no_correction_of_it() -> None:
    silent = Visit("fnd_silent", T0_MS + 500_000, T0_MS + 700_000, authorised=True)
    told = Visit("fnd_told", T0_MS + 700_000, None)
    below = authorised("08:00", "13:00", floor_m=500)
    assert said(below, (silent,))[0].past.corrects is None
    assert said(below, (silent, told))[0].past.corrects == "fnd_told"
    assert said(authorised("08:00", "13:00"), (silent,))[0].past.corrects == "fnd_silent"


def test_it_is_decided_by_the_order_as_it_is_known_now() -> None:
    """The same fixes, looked at again after the judge has changed the hours, or the floor."""
    first = said(authorised("08:00", "13:00"))
    assert said(authorised("08:00", "13:00"), before=tuple(first)) == []
    (second,) = said(None, before=tuple(first))
    assert (second.authorised, second.past.supersedes, second.past.untold) == (False, (first[0].id,), True)
    (third,) = said(authorised("08:00", "13:00"), before=(second,))
    assert (third.authorised, third.past.untold) == (True, False)
    assert len({first[0].id, second.id, third.id}) == 3
