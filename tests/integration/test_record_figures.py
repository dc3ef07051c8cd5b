"""Does the record give the figures of a time as defined? Real PostgreSQL. F11, F18, F25, F39."""

from __future__ import annotations

import msgspec
import pytest
from builders import entry

from alerts import desk
from alerts.service_levels import SHARES, STAGES
from tocsin.adapters.episodes import EpisodeRecord, RecordedRuling
from tocsin.adapters.figures import FiguresRecord
from tocsin.adapters.postgres import Pool
from tocsin.model.episode import Channel, Episode, FindingCause, Fold, Notification, Realm, Ruling, State
from tocsin.model.finding import Code
from tocsin.model.fix import ClockPoints

pytest_plugins = ("database",)

MINUTE_MS = 60_000
NOON_MS = 1_795_262_400_000
DAY_MS = 86_400_000
WINDOW = (NOON_MS, NOON_MS + DAY_MS)


class Past:
    """Alerts as they were, and the record that is asked about them."""

    def __init__(self, pool: Pool) -> None:
        self.record, self.figures, self.sequence = EpisodeRecord(pool), FiguresRecord(pool), 0

    async def alert(
        self, name: str, *, code: Code = Code.PROX_ALERT, measure: str = "msr_1",
        raised_ms: tuple[int, ...] = (NOON_MS,), points: ClockPoints | None = None, rang_her: bool = False,
        **changes: object,
    ) -> Episode:  # fmt: skip
        found = entry(name, raised_ms[0], code=code, measure=measure)
        ruling = desk.handle(None, FindingCause(finding=found), Realm.LAB, raised_ms[0])
        assert isinstance(ruling, Ruling)
        first = ruling.episode.raises[0]
        raises = tuple(
            msgspec.structs.replace(first, at_ms=at_ms, points=points or ClockPoints()) for at_ms in raised_ms
        )
        episode = msgspec.structs.replace(ruling.episode, raises=raises, opened_ms=raised_ms[0], **changes)
        told = (Notification(id=f"evt_{name}", channel=Channel.UNIT, type="org.tocsin.protection.alert"),)
        self.sequence += 1
        kept = msgspec.structs.replace(ruling, episode=episode, notifications=told if rang_her else ())
        await self.record.record_rulings([RecordedRuling(sequence=self.sequence, ruling=kept)])
        return episode


@pytest.fixture
def past(pool: Pool) -> Past:
    return Past(pool)


async def test_alarms_fall_into_their_slots_by_the_hour_of_each_raising(past: Past) -> None:
    again = (NOON_MS + 9 * MINUTE_MS, NOON_MS + 11 * MINUTE_MS, NOON_MS + DAY_MS + 1)
    await past.alert("a", raised_ms=again)
    await past.alert("b", code=Code.PROX_PREALERT, raised_ms=(NOON_MS - MINUTE_MS, NOON_MS + 10 * MINUTE_MS))
    await past.alert("c", code=Code.W_BATT_LOW)
    assert await past.figures.alarms_by_slot(*WINDOW, slot_s=600) == {(0, 1): 1, (1, 1): 1, (1, 2): 1}


async def test_what_rang_nobody_and_canaries_are_in_no_figure(past: Past) -> None:
    """F38 in small: what is invented is never counted among what was."""
    points = ClockPoints(t1_ms=1, t3_ms=2, t8_ms=5)
    raised = (NOON_MS, NOON_MS + 1, NOON_MS + 2)
    await past.alert("a", authorised=True, raised_ms=raised, points=points)
    await past.alert("b", state=State.FOLDED, folded=Fold(incident="alr_1", group="apn.x"), raised_ms=raised)
    await past.alert("c", measure="canary-3", raised_ms=raised, points=points)
    assert await past.figures.alarms_by_slot(*WINDOW, slot_s=600) == {}
    assert await past.figures.repeated(*WINDOW, raises=3, limit=10) == []
    assert await past.figures.standing(*WINDOW, stands_s=1) == {}
    assert await past.figures.stages(*WINDOW, shares=SHARES) == []


async def test_the_failure_of_a_canary_rang_humans_and_is_in_every_figure(past: Past) -> None:
    """F38: by one rule in the whole report, or its sources exceed its alarms."""
    raised = (NOON_MS, NOON_MS + 1, NOON_MS + 2)
    points = ClockPoints(t3_ms=NOON_MS, t5_ms=NOON_MS + 2, t8_ms=NOON_MS + 5)
    failed = await past.alert("a", code=Code.SYS_CANARY_FAIL, measure="canary-3", raised_ms=raised, points=points)
    await past.alert(
        "b", code=Code.W_COMMS_LOSS, measure="canary-3", subject="canary-3:school", raised_ms=raised, points=points
    )
    await past.alert(
        "c",
        code=Code.BAR_SOS,
        subject="canary-3-v",
        measures=(),
        device="canary-3-v",
        raised_ms=raised,
        points=points,
    )
    assert await past.figures.alarms_by_slot(*WINDOW, slot_s=600) == {(0, 1): 3}
    assert [one.alert for one in await past.figures.repeated(*WINDOW, raises=3, limit=10)] == [failed.id]
    assert await past.figures.standing(*WINDOW, stands_s=1) == {1: 1}
    assert {one.priority for one in await past.figures.stages(*WINDOW, shares=SHARES)} == {1}
    assert [one.alert for one in await past.figures.slowest(*WINDOW)] == [failed.id]


async def test_what_was_raised_often_comes_with_its_hours(past: Past) -> None:
    hours = (NOON_MS, NOON_MS + MINUTE_MS, NOON_MS + 2 * MINUTE_MS)
    await past.alert("a", raised_ms=hours)
    await past.alert("b", raised_ms=hours[:2])
    (found,) = await past.figures.repeated(*WINDOW, raises=3, limit=10)
    assert (found.subject, found.hours_ms) == ("msr_1", hours)


async def test_what_stands_is_counted_as_long_as_it_stood_within_the_window(past: Past) -> None:
    await past.alert("a", code=Code.W_COMMS_LOSS, raised_ms=(NOON_MS - 20 * DAY_MS,))
    closed = {"state": State.CLOSED, "closed_ms": NOON_MS + DAY_MS // 2}
    await past.alert("b", code=Code.W_COMMS_LOSS, raised_ms=(NOON_MS - 20 * DAY_MS,), **closed)
    assert await past.figures.standing(*WINDOW, stands_s=86_400) == {3: 1}


async def test_stages_are_percentiles_that_were_measured(past: Past) -> None:
    for number in range(100):
        points = ClockPoints(t1_ms=NOON_MS, t3_ms=NOON_MS + 10, t8_ms=NOON_MS + 10 + number + 1)
        await past.alert(f"a{number}", points=points)
    found = {one.stage: one for one in await past.figures.stages(*WINDOW, shares=SHARES)}
    assert set(found) == {"t1_t3", "t3_t8", "t1_t8"} <= set(STAGES)
    measured = found["t3_t8"].measured
    assert (measured[0.5], measured[0.99], measured[1.0]) == (50, 99, 100)
    slowest = await past.figures.slowest(*WINDOW)
    assert [one.t3_t8_ms for one in slowest] == list(range(100, 90, -1))


async def test_her_unit_rang_for_these(past: Past) -> None:
    episode = await past.alert("a", rang_her=True)
    await past.alert("b")
    await past.alert("c", measure="msr_2", rang_her=True)
    assert await past.figures.shown_her("msr_1", *WINDOW) == {episode.id}
