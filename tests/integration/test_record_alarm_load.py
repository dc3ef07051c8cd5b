"""Are the alarms of a time counted as defined: per pair and day, and those for nothing? F18, F25, F39."""

from __future__ import annotations

import msgspec
import pytest
from builders import entry

from alerts.desk import handle
from tocsin.adapters.alarm_load import AlarmLoadRecord
from tocsin.adapters.episodes import EpisodeRecord, RecordedRuling
from tocsin.adapters.orders import Orders
from tocsin.adapters.postgres import Pool
from tocsin.model.device import DeviceKind
from tocsin.model.episode import Channel, Episode, FindingCause, Fold, Notification, Outcome, Realm, Ruling, State
from tocsin.model.finding import Code
from tocsin.model.order import Order

pytest_plugins = ("database",)

DAY_MS = 86_400_000
NOON_MS = 1_795_262_400_000
TOLD_HER = "org.tocsin.protection.alert"


class Past:
    """Alerts as they were, and the record that they are counted in."""

    def __init__(self, pool: Pool) -> None:
        self.record, self.counted, self.orders = EpisodeRecord(pool), AlarmLoadRecord(pool), Orders(pool)
        self.sequence = 0

    async def alert(
        self, name: str, *, code: Code = Code.PROX_ALERT, measure: str = "msr_1", at_ms: int = NOON_MS,
        rang_her: bool = False, raisings: int = 1, **changes: object,
    ) -> Episode:  # fmt: skip
        ruling = handle(
            None, FindingCause(finding=entry(name, at_ms, code=code, measure=measure)), Realm.LAB, at_ms
        )
        assert isinstance(ruling, Ruling)
        episode = msgspec.structs.replace(ruling.episode, raises=ruling.episode.raises * raisings, **changes)
        told = (Notification(id=f"evt_{name}", channel=Channel.UNIT, type=TOLD_HER),) if rang_her else ()
        self.sequence += 1
        kept = msgspec.structs.replace(ruling, episode=episode, notifications=told)
        await self.record.record_rulings([RecordedRuling(sequence=self.sequence, ruling=kept)])
        return episode

    async def measure(self, number: int, from_ms: int, until_ms: int) -> None:
        for kind in (DeviceKind.WEARER, DeviceKind.PROTECTED):
            await self.orders.create_device(f"{kind.name.lower()}-{number}", kind, "$2b$12$none", from_ms)
        order = Order(
            id=f"msr_{number}", version=1, wearer=f"wearer-{number}", protected=f"protected-{number}",
            alert_distance_m=1000, valid_from_ms=from_ms, valid_until_ms=until_ms,
        )  # fmt: skip
        await self.orders.create_measure(order, by="judge", now_ms=from_ms)


@pytest.fixture
def past(pool: Pool) -> Past:
    return Past(pool)


def closed(outcome: Outcome) -> dict[str, object]:
    return {"state": State.CLOSED, "outcome": outcome}


async def test_nothing_is_nothing(past: Past) -> None:
    load = await past.counted.between(NOON_MS, NOON_MS + DAY_MS)
    assert (load.actionable, load.pair_days, load.actionable_per_pair_day) == (0, 0.0, None)
    assert load.counted == load.false_calls == load.sources == ()


async def test_alarms_per_pair_day_count_what_wants_a_human_over_the_time_of_measures_in_force(past: Past) -> None:
    """Of two measures one is in force for half of the window: 1.5 pair-days; three of four alarms are P1 to P3."""
    await past.measure(1, NOON_MS - DAY_MS, NOON_MS + 9 * DAY_MS)
    await past.measure(2, NOON_MS + DAY_MS // 2, NOON_MS + 9 * DAY_MS)
    for name, code in (("a", Code.PROX_ALERT), ("b", Code.PROX_PREALERT), ("c", Code.W_COMMS_LOSS)):
        await past.alert(name, code=code, raisings=2)
    await past.alert("d", code=Code.W_BATT_LOW)
    load = await past.counted.between(NOON_MS, NOON_MS + DAY_MS)
    assert load.pairs == 2
    assert load.pair_days == pytest.approx(1.5)
    assert load.actionable == 3
    assert load.actionable_per_pair_day == pytest.approx(2.0)
    assert {(one.code, one.priority, one.raisings) for one in load.counted} == {
        (Code.PROX_ALERT, 1, 2), (Code.PROX_PREALERT, 2, 2), (Code.W_COMMS_LOSS, 3, 2), (Code.W_BATT_LOW, 5, 1),
    }  # fmt: skip


async def test_what_nobody_was_told_of_is_no_alarm(past: Past) -> None:
    await past.alert("allowed", authorised=True, **closed(Outcome.LEFT_ZONE))
    await past.alert("explained", state=State.FOLDED, folded=Fold(incident="alr_1", group="apn.x"))
    await past.alert("before", at_ms=NOON_MS - 1)
    await past.alert("behind", at_ms=NOON_MS + DAY_MS)
    assert (await past.counted.between(NOON_MS, NOON_MS + DAY_MS)).counted == ()


async def test_a_false_call_is_one_that_rang_her_for_nothing(past: Past) -> None:
    """F16, F18: her unit was told and a human then found nothing; an alert that she never heard of is no call."""
    await past.alert("a", measure="msr_1", rang_her=True, **closed(Outcome.FALSE_ALARM))
    await past.alert("b", measure="msr_1", rang_her=True, **closed(Outcome.TECHNICAL))
    await past.alert("c", measure="msr_2", rang_her=True, **closed(Outcome.TECHNICAL))
    await past.alert("d", measure="msr_2", rang_her=True, **closed(Outcome.ARRESTED))
    await past.alert("e", measure="msr_3", rang_her=False, **closed(Outcome.FALSE_ALARM))
    load = await past.counted.between(NOON_MS, NOON_MS + DAY_MS)
    assert [(one.measure, one.calls) for one in load.false_calls] == [("msr_1", 2), ("msr_2", 1)]
    (row,) = load.counted
    assert (row.alerts, row.unfounded, row.still_open) == (5, 4, 0)


async def test_the_worst_sources_come_first(past: Past) -> None:
    await past.alert("a", measure="msr_1", raisings=2)
    await past.alert("b", measure="msr_2", raisings=5)
    load = await past.counted.between(NOON_MS, NOON_MS + DAY_MS)
    assert [(one.subject, one.alerts, one.raisings) for one in load.sources] == [("msr_2", 1, 5), ("msr_1", 1, 2)]


async def test_of_a_canary_nothing_is_counted_and_of_what_is_said_about_it_all_is(past: Past) -> None:
    """F38: neither its alerts, nor its measure, nor a call; that it has failed is an alarm like any other."""
    await past.alert("a", measure="msr_1")
    await past.alert("b", measure="canary-0", rang_her=True, **closed(Outcome.TECHNICAL))
    await past.alert("c", measure="canary-0", code=Code.PROX_PREALERT)
    await past.alert("d", measure="canary-0", code=Code.SYS_CANARY_FAIL)
    await past.measure(1, NOON_MS - DAY_MS, NOON_MS + 9 * DAY_MS)
    for name, kind in (("canary-0-w", DeviceKind.WEARER), ("canary-0-v", DeviceKind.PROTECTED)):
        await past.orders.create_device(name, kind, "$2b$12$none", NOON_MS)
    order = Order(
        id="canary-0", version=1, wearer="canary-0-w", protected="canary-0-v", alert_distance_m=1000,
        valid_from_ms=NOON_MS - DAY_MS, valid_until_ms=NOON_MS + 9 * DAY_MS,
    )  # fmt: skip
    await past.orders.create_measure(order, by="canary", now_ms=NOON_MS)
    load = await past.counted.between(NOON_MS, NOON_MS + DAY_MS)
    assert {(one.code, one.alerts) for one in load.counted} == {(Code.PROX_ALERT, 1), (Code.SYS_CANARY_FAIL, 1)}
    assert (load.pairs, load.pair_days, load.false_calls) == (1, 1.0, ())
    assert {one.subject for one in load.sources} == {"msr_1", "canary-0"}
    assert {one.code for one in load.sources} == {Code.PROX_ALERT, Code.SYS_CANARY_FAIL}


async def test_the_list_of_what_closed_has_canaries_only_where_they_are_asked_for(past: Past) -> None:
    for name, measure in (("a", "msr_1"), ("b", "canary-0")):
        await past.alert(name, measure=measure, **closed(Outcome.TECHNICAL))
    for canary, measure in ((False, "msr_1"), (True, "canary-0")):
        page = await past.record.episodes(NOON_MS, NOON_MS + DAY_MS, canary=canary)
        assert [one.measures for one in page.items] == [(measure,)]
