"""What is said of orders, faults and phones, hour by hour, and what comes of it? (DOMAIN section 4)"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import msgspec
import pytest
from builders import DEVICES, NOW_MS, REALM, TGD, act, entry, leaving, press

from alerts.administration import DAY_MS, OURS, Seen, is_of_measure, notices_due
from alerts.catalogue import CATALOGUE
from alerts.desk import Unchanged, handle
from alerts.episodes import place_of
from alerts.escalation import next_due
from tocsin.limits import LISTENING_GAP_MAX_S, SIGN_EVERY_S
from tocsin.model.episode import (
    AlarmCause,
    Channel,
    Due,
    Episode,
    FindingCause,
    NoticeCause,
    Outcome,
    Ruling,
    State,
    Verb,
)
from tocsin.model.finding import Change, Code
from tocsin.model.order import Order
from tocsin.model.protocol import AS_AGREED
from tocsin.model.sign import Listening, Sign
from tocsin.model.standing import Protection, Standing
from tocsin.model.zone import Zone

HOUR_MS = 3_600_000
SINCE_MS = NOW_MS - 40 * DAY_MS


def order(**changes) -> Order:
    whole = {
        "id": "msr_1", "version": 1, "wearer": "wearer-1", "protected": "protected-1", "alert_distance_m": 1000,
        "valid_from_ms": NOW_MS, "valid_until_ms": NOW_MS + 365 * DAY_MS,
    }  # fmt: skip
    return Order(**{**whole, **changes})


def standing(reason: str = "never_heard", since_ms: int = NOW_MS) -> Standing:
    protection = Protection.UNPROTECTED if reason == "never_heard" else Protection.PROTECTED
    return Standing(
        measure="msr_1", protection=protection, since_ms=since_ms, reason=reason, zone=Zone.FAR, at_ms=since_ms
    )


def sign(**changes) -> Sign:
    return Sign(**{"device": TGD, "first_ms": NOW_MS, "heard_ms": NOW_MS, "tested_ms": NOW_MS, **changes})


@dataclass
class Office:
    """The clerk's looks and what the desk makes of them."""

    seen: Seen = field(default_factory=lambda: Seen(devices=DEVICES))
    told: list[tuple[float, str, int]] = field(default_factory=list)

    def sees(self, **changes) -> Office:
        self.seen = replace(self.seen, **changes)
        return self

    def hears(self, sign: Sign, until_ms: int, since_ms: int = SINCE_MS) -> Office:
        return self.sees(signs={TGD: sign}, listening=Listening(since_ms=since_ms, at_ms=until_ms))

    def look(self, at_ms: int, *, twice: bool = True) -> list[tuple[Code, Change]]:
        """What was said, and told to somebody; another clerk that looks as well says nothing that is new."""
        notices = notices_due(self.seen, at_ms)
        said = dict(self.seen.said)
        for notice in [*notices, *notices] if twice else notices:
            code, subject = place_of(notice)
            ruling = handle(said.get((code, subject)), NoticeCause(notice=notice), REALM, at_ms)
            if isinstance(ruling, Ruling):
                said[code, subject] = ruling.episode
                for one in ruling.notifications:
                    assert one.channel is Channel.TELEASSISTANCE
                    self.told.append(
                        ((at_ms - NOW_MS) / DAY_MS, one.type.rpartition(".")[2], ruling.episode.priority)
                    )
        self.seen = replace(self.seen, said=said)
        return [(one.code, one.change) for one in notices]

    def episode(self, code: Code, subject: str) -> Episode:
        return self.seen.said[code, subject]

    def close(self, code: Code, subject: str, at_ms: int) -> None:
        for verb, more in ((Verb.ACKNOWLEDGE, {}), (Verb.CLOSE, {"outcome": Outcome.TECHNICAL})):
            before = self.episode(code, subject)
            ruling = handle(before, act(verb, before.version, episode=before.id, **more), REALM, at_ms)
            assert isinstance(ruling, Ruling)
            self.seen = replace(self.seen, said={**self.seen.said, (code, subject): ruling.episode})


BEGUN, ENDED = Change.ENTRY, Change.EXIT


def test_all_administrative_codes_are_notices_that_the_office_raises() -> None:
    assert {row.code for row in CATALOGUE.values() if row.code.value.startswith(("TGD_", "ORDER_", "OPEN_"))} - {
        Code.TGD_SOS, Code.TGD_SOS_SILENT,
    } == OURS  # fmt: skip


# --- orders ----------------------------------------------------------------------------------------------------


def test_an_order_is_said_to_expire_thirty_seven_and_one_days_before() -> None:
    end_ms = NOW_MS + 40 * DAY_MS
    office = Office().sees(orders={"msr_1": order(valid_until_ms=end_ms)})
    for hours in range(40 * 24 + 2):
        office.look(NOW_MS + hours * HOUR_MS)
    assert office.told == [(10, "opened", 4), (33, "raised", 4), (39, "raised", 4)]
    ended = office.episode(Code.ORDER_EXPIRING, "msr_1")
    assert (ended.over_ms, ended.state) == (end_ms, State.RAISED), "a human closes it"


def test_an_order_that_is_prolonged_expires_no_longer() -> None:
    office = Office().sees(orders={"msr_1": order(valid_until_ms=NOW_MS + 6 * DAY_MS)})
    assert office.look(NOW_MS) == [(Code.ORDER_EXPIRING, BEGUN)]
    office.sees(orders={"msr_1": order(version=2, valid_until_ms=NOW_MS + 90 * DAY_MS)})
    assert office.look(NOW_MS + HOUR_MS) == [(Code.ORDER_EXPIRING, ENDED)]
    assert office.look(NOW_MS + 2 * HOUR_MS) == []
    assert office.look(NOW_MS + 60 * DAY_MS) == [(Code.ORDER_EXPIRING, BEGUN)], "30 days before the new end"


def test_one_that_a_human_has_closed_is_said_again_at_the_next_step_only() -> None:
    office = Office().sees(orders={"msr_1": order(valid_until_ms=NOW_MS + 30 * DAY_MS)})
    office.look(NOW_MS)
    office.close(Code.ORDER_EXPIRING, "msr_1", NOW_MS + HOUR_MS)
    assert office.look(NOW_MS + 2 * HOUR_MS) == []
    assert office.look(NOW_MS + 23 * DAY_MS) == [(Code.ORDER_EXPIRING, BEGUN)]


def test_an_order_is_not_fitted_for_72_hours_until_both_units_were_heard() -> None:
    office = Office().sees(orders={"msr_1": order()}, standings={"msr_1": standing()})
    assert office.look(NOW_MS + 72 * HOUR_MS - 1) == []
    assert office.look(NOW_MS + 72 * HOUR_MS) == [(Code.ORDER_NOT_FITTED, BEGUN)]
    assert office.look(NOW_MS + 73 * HOUR_MS) == []
    office.sees(standings={"msr_1": standing("reporting")})
    assert office.look(NOW_MS + 80 * HOUR_MS) == [(Code.ORDER_NOT_FITTED, ENDED)]


@pytest.mark.parametrize("known", [None, standing("reporting"), standing(since_ms=NOW_MS + 70 * HOUR_MS)])
def test_of_a_measure_that_is_not_known_to_be_unheard_nothing_is_said(known: Standing | None) -> None:
    """No standing at all; one that reports; a geofence that knows of it since two hours."""
    office = Office().sees(orders={"msr_1": order()}, standings={} if known is None else {"msr_1": known})
    assert office.look(NOW_MS + 72 * HOUR_MS) == []


def test_what_the_geofence_forgot_does_not_end_what_was_said() -> None:
    office = Office().sees(orders={"msr_1": order()}, standings={"msr_1": standing()})
    office.look(NOW_MS + 72 * HOUR_MS)
    office.sees(standings={"msr_1": standing(since_ms=NOW_MS + 73 * HOUR_MS)})
    assert office.look(NOW_MS + 74 * HOUR_MS) == []


# --- faults ----------------------------------------------------------------------------------------------------


def fault(code: Code = Code.W_GNSS_LOSS) -> Episode:
    ruling = handle(None, FindingCause(finding=entry(code=code)), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    return ruling.episode


def test_a_fault_that_lasts_for_a_day_is_the_supervisors() -> None:
    lost = fault()
    office = Office().sees(faults={"place": lost})
    assert office.look(NOW_MS + 24 * HOUR_MS - 1) == []
    assert office.look(NOW_MS + 24 * HOUR_MS) == [(Code.OPEN_FAULT_24H, BEGUN)]
    said = office.episode(Code.OPEN_FAULT_24H, lost.id)
    assert (said.measures, said.raises[0].event) == (lost.measures, "W_GNSS_LOSS")
    assert office.look(NOW_MS + 48 * HOUR_MS) == []
    assert office.sees(faults={}).look(NOW_MS + 49 * HOUR_MS) == [(Code.OPEN_FAULT_24H, ENDED)]


def again(lost: Episode, name: str, at_ms: int) -> Episode:
    """It is heard, and lost anew in the same alert."""
    back = leaving(entry(lost.raises[-1].cause, lost.raises[-1].at_ms, code=lost.code), f"{name}_end")
    found = entry(name, at_ms, code=lost.code)
    for finding, now_ms in ((back, at_ms - 1_000), (found, at_ms)):
        ruling = handle(lost, FindingCause(finding=finding), REALM, now_ms)
        assert isinstance(ruling, Ruling)
        lost = ruling.episode
    return lost


def test_one_that_comes_back_in_the_same_alert_is_said_again_when_it_has_lasted_a_day_again() -> None:
    lost = fault()
    office = Office().sees(faults={"place": lost})
    office.look(NOW_MS + 24 * HOUR_MS)
    office.sees(faults={}).look(NOW_MS + 25 * HOUR_MS)
    office.sees(faults={"place": again(lost, "fnd_2", NOW_MS + 26 * HOUR_MS)})
    assert office.look(NOW_MS + 50 * HOUR_MS - 1) == []
    assert office.look(NOW_MS + 50 * HOUR_MS) == [(Code.OPEN_FAULT_24H, BEGUN)]


def test_a_tunnel_on_wednesday_is_no_fault_since_monday() -> None:
    """F25, F39: an alert that nobody closed between the two is one alert, and not one fault."""
    office = Office().sees(faults={"place": again(fault(), "fnd_2", NOW_MS + 48 * HOUR_MS)})
    assert office.look(NOW_MS + 48 * HOUR_MS) == []


def test_a_fault_counts_from_when_it_was_found_however_late_it_was_ruled_upon() -> None:
    ruling = handle(None, FindingCause(finding=entry(code=Code.W_GNSS_LOSS)), REALM, NOW_MS + 20 * HOUR_MS)
    assert isinstance(ruling, Ruling)
    office = Office().sees(faults={"place": ruling.episode})
    assert office.look(NOW_MS + 24 * HOUR_MS) == [(Code.OPEN_FAULT_24H, BEGUN)]


def test_a_fault_that_a_version_before_left_counts_from_its_newest_raising() -> None:
    old = msgspec.structs.replace(again(fault(), "fnd_2", NOW_MS + 48 * HOUR_MS), lasting_ms=None)
    office = Office().sees(faults={"place": old})
    assert office.look(NOW_MS + 72 * HOUR_MS - 1) == []
    assert office.look(NOW_MS + 72 * HOUR_MS) == [(Code.OPEN_FAULT_24H, BEGUN)]


def test_nearness_is_no_fault() -> None:
    assert not CATALOGUE[Code.PROX_ALERT].fault
    assert CATALOGUE[Code.STRAP_TAMPER].fault


# --- what a measure has left -----------------------------------------------------------------------------------

ANOTHER = {"msr_2": order(id="msr_2", version=1)}
OVER = {"msr_1": order(valid_from_ms=0, valid_until_ms=NOW_MS - 10_000)}


def left(code: Code) -> Episode:
    """Of msr_1; untaken, and known to the ladder."""
    ruling = handle(None, FindingCause(finding=entry(code=code)), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    return ruling.episode


def climbed(episode: Episode, until_ms: int) -> Episode:
    """Every step of its ladder, at its hour."""
    while (due_ms := next_due(episode, AS_AGREED)) is not None and due_ms <= until_ms:
        ruling = handle(episode, Due(episode=episode.id, at_ms=due_ms), REALM, due_ms)
        assert isinstance(ruling, Ruling)
        episode = ruling.episode
    return episode


@pytest.mark.parametrize(
    "code", [Code.PROX_ALERT, Code.PROX_PREALERT, Code.STRAP_TAMPER, Code.W_COMMS_LOSS, Code.DEGRADED]
)
def test_the_police_are_not_called_for_a_measure_that_is_over(code: Code) -> None:
    """As a release leaves it that did not say the end of a measure. Without the clerk the ladder would climb to
    the rooms, for somebody who may be where he is."""
    one, now_ms = left(code), NOW_MS + 30_000
    (notice,) = notices_due(Seen(lasting={"place": one}, orders=OVER), now_ms)
    assert (notice.change, notice.reason, place_of(notice)) == (ENDED, "measure_ended", place_of(entry(code=code)))
    ruling = handle(one, NoticeCause(notice=notice), REALM, now_ms)
    assert isinstance(ruling, Ruling)
    assert (ruling.episode.over_ms, ruling.episode.state) == (now_ms, State.RAISED), "a human closes it"
    assert not climbed(ruling.episode, now_ms + DAY_MS).told
    if code in {Code.PROX_ALERT, Code.PROX_PREALERT, Code.STRAP_TAMPER}:
        assert climbed(one, now_ms + DAY_MS).told, "else"


def test_a_pre_alert_that_became_more_urgent_ends_in_its_place() -> None:
    one = climbed(left(Code.PROX_PREALERT), NOW_MS + 180_000)
    assert one.code is Code.PREALERT_NO_ANSWER
    (notice,) = notices_due(Seen(lasting={"place": one}, orders=OVER), NOW_MS + 190_000)
    assert place_of(notice) == (Code.PROX_PREALERT, "msr_1")
    assert isinstance(handle(one, NoticeCause(notice=notice), REALM, NOW_MS + 190_000), Ruling)


@pytest.mark.parametrize(
    ("orders", "is_ended"),
    [
        ({}, False),
        ({"msr_1": order(valid_from_ms=0)}, False),
        ({"msr_1": order(valid_from_ms=0, valid_until_ms=NOW_MS - 9_000)}, False),
        ({"msr_1": order(valid_from_ms=0, valid_until_ms=NOW_MS - 10_000)}, True),
        ({"msr_1": order(valid_from_ms=NOW_MS + DAY_MS)}, True),
        (ANOTHER, False),
    ],
)
def test_a_measure_that_is_in_force_and_an_empty_bucket_end_nothing(
    orders: dict[str, Order], is_ended: bool
) -> None:
    seen = Seen(lasting={"place": left(Code.PROX_ALERT)}, orders=orders)
    assert len(notices_due(seen, NOW_MS)) == is_ended


def test_an_order_that_is_not_in_the_bucket_ends_what_is_a_day_old_and_nothing_younger() -> None:
    """The bucket may be being filled again, beside alerts that last: to end one by mistake calls nobody."""
    seen = Seen(lasting={"place": left(Code.PROX_ALERT)}, orders=ANOTHER)
    assert notices_due(seen, NOW_MS + DAY_MS - 1) == []
    assert len(notices_due(seen, NOW_MS + DAY_MS)) == 1


def test_a_key_that_was_pressed_does_not_end_with_a_measure() -> None:
    ruling = handle(None, AlarmCause(alarm=press(measures=("msr_1",))), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    assert not is_of_measure(ruling.episode)
    assert not is_of_measure(left(Code.SYS_FLEET_SILENCE))


def test_a_latched_alert_ends_with_its_measure_and_by_nothing_else() -> None:
    """And a human who has looked at the device closes it, as before (invariant 8)."""
    begun = entry(code=Code.STRAP_TAMPER)
    one = left(Code.STRAP_TAMPER)
    out = msgspec.structs.replace(leaving(begun), code=Code.STRAP_TAMPER)
    assert isinstance(handle(one, FindingCause(finding=out), REALM, NOW_MS), Unchanged)
    over = msgspec.structs.replace(out, reason="measure_ended")
    ruling = handle(one, FindingCause(finding=over), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    assert ruling.episode.over_ms is not None


# --- phones ----------------------------------------------------------------------------------------------------

DUE_MS = NOW_MS + 24 * HOUR_MS + SIGN_EVERY_S * 1000


def test_a_phone_without_a_word_for_a_day_is_unreachable_until_it_speaks() -> None:
    """A quarter of an hour more than the day: so long after its last sign it may have said something."""
    office = Office()
    assert office.hears(sign(), DUE_MS).look(DUE_MS - 1) == []
    assert office.look(DUE_MS) == [(Code.TGD_UNREACHABLE, BEGUN)]
    assert office.look(DUE_MS + HOUR_MS) == []
    office.hears(sign(heard_ms=DUE_MS + 2 * HOUR_MS), DUE_MS + 3 * HOUR_MS)
    assert office.look(DUE_MS + 3 * HOUR_MS) == [(Code.TGD_UNREACHABLE, ENDED)]


def test_hours_in_which_nobody_listened_are_nobodys_silence() -> None:
    """F05: the network of ingest was away, and not 6,565 phones."""
    old = sign(tested_ms=NOW_MS - 2 * DAY_MS)
    office = Office().hears(old, until_ms=NOW_MS + HOUR_MS)
    assert office.look(NOW_MS + 60 * HOUR_MS) == []
    office.hears(old, until_ms=NOW_MS + 60 * HOUR_MS, since_ms=NOW_MS + 59 * HOUR_MS)
    assert office.look(NOW_MS + 60 * HOUR_MS) == []
    assert office.sees(listening=None).look(NOW_MS + 60 * HOUR_MS) == []


def test_an_outage_does_not_end_what_was_said() -> None:
    office = Office().hears(sign(tested_ms=NOW_MS - 2 * DAY_MS), DUE_MS)
    assert office.look(DUE_MS) == [(Code.TGD_UNREACHABLE, BEGUN)]
    office.sees(listening=Listening(since_ms=DUE_MS + LISTENING_GAP_MAX_S, at_ms=DUE_MS + HOUR_MS))
    assert office.look(DUE_MS + HOUR_MS) == []


def test_a_phone_in_a_drawer_and_one_that_was_revoked_are_not_missed() -> None:
    assert Office().hears(sign(), NOW_MS + 90 * DAY_MS).sees(signs={}).look(NOW_MS + 90 * DAY_MS) == []
    office = Office().hears(sign(tested_ms=NOW_MS - 2 * DAY_MS), DUE_MS)
    office.look(DUE_MS)
    assert office.sees(devices={}).look(DUE_MS + HOUR_MS) == [(Code.TGD_UNREACHABLE, ENDED)]


def test_a_low_battery_is_said_once_and_asks_nothing_of_anybody() -> None:
    old = sign(tested_ms=NOW_MS - 2 * DAY_MS)
    low = msgspec.structs.replace(old, battery_pct=24, low_since_ms=NOW_MS)
    office = Office().hears(low, NOW_MS + HOUR_MS)
    assert office.look(NOW_MS) == [(Code.TGD_BATT_LOW, BEGUN)]
    assert (
        office.hears(msgspec.structs.replace(low, battery_pct=20), NOW_MS + HOUR_MS).look(NOW_MS + HOUR_MS) == []
    )
    message = office.episode(Code.TGD_BATT_LOW, TGD)
    assert (message.state, message.closed_by) == (State.CLOSED, "automatic"), "P5: a message, and nobody's work"
    assert office.look(NOW_MS + 2 * HOUR_MS) == []
    assert office.told == [(0, "opened", 5)]


def test_a_test_is_told_and_closed_by_itself_and_one_that_is_missed_is_told_until_it_is_made() -> None:
    office = Office()
    for day in range(18):
        at_ms = NOW_MS + day * DAY_MS
        office.hears(sign(heard_ms=at_ms), at_ms).look(at_ms)
    assert office.told == [(0, "opened", 5), (15, "opened", 4)]
    good = office.episode(Code.TGD_TEST_OK, TGD)
    assert (good.state, good.closed_by) == (State.CLOSED, "automatic")
    at_ms = NOW_MS + 18 * DAY_MS
    office.hears(sign(heard_ms=at_ms, tested_ms=at_ms), at_ms)
    assert sorted(office.look(at_ms)) == [(Code.TGD_TEST_MISSED, ENDED), (Code.TGD_TEST_OK, BEGUN)]
    assert office.episode(Code.TGD_TEST_OK, TGD).follows == good.id


def never_tested(name: str) -> Seen:
    phone = msgspec.structs.replace(DEVICES[TGD], id=name)
    first = Sign(device=name, first_ms=NOW_MS, heard_ms=NOW_MS + 16 * DAY_MS)
    return Seen(devices={name: phone}, signs={name: first}, listening=Listening(since_ms=SINCE_MS, at_ms=NOW_MS))


def test_phones_that_were_never_tested_are_counted_from_their_first_word_and_told_over_a_day() -> None:
    """F25: ingest saw all of them first in the minute in which it first started."""
    phones = [never_tested(f"tgd-{number}") for number in range(480)]

    def told_at(hours: int) -> int:
        now_ms = NOW_MS + 15 * DAY_MS + hours * HOUR_MS
        return sum(one.code is Code.TGD_TEST_MISSED for phone in phones for one in notices_due(phone, now_ms))

    told = [told_at(hours) for hours in range(25)]
    assert (told_at(-1), told[0], told[-1]) == (0, 0, 480)
    assert max(later - earlier for earlier, later in pairwise(told)) < 2 * 480 / 24, "an hour has its share"


def test_an_old_test_is_no_news() -> None:
    old = sign(tested_ms=NOW_MS - 3 * DAY_MS)
    assert Office().hears(old, NOW_MS).look(NOW_MS) == []


def test_two_looks_before_the_desk_has_ruled_say_the_same_names() -> None:
    office = Office().sees(orders={"msr_1": order(valid_until_ms=NOW_MS + 6 * DAY_MS)})
    first = notices_due(office.seen, NOW_MS)
    assert first == notices_due(office.seen, NOW_MS + 60_000), "byte for byte: the log takes it once"


def test_an_exit_that_overtakes_its_entry_opens_nothing_twice() -> None:
    """The alarm of a fault is left alone by what the office says of it."""
    lost = fault()
    gone = handle(lost, FindingCause(finding=leaving(entry(code=lost.code))), REALM, NOW_MS)
    assert isinstance(gone, Ruling)
    assert not gone.episode.lasts
