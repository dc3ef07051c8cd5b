"""Whom does an alert reach while nobody acts, and when somebody does? DOMAIN section 4, escalation; F24, F26, F35.

Invariant 7: whatever happens an urgent alert goes on to a human until a human ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest
from builders import NOW_MS, entry, leaving
from timeline_world import MARTIN, PETIT, ROUX, TELEASSISTANCE, World, audited_world

from tocsin.adapters.jetstream import Bus
from tocsin.embedded import BrokerAddresses
from tocsin.model.finding import Code

pytest_plugins = ("database",)
pytestmark = pytest.mark.timeout(120)

Site = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def site(bus: Bus, broker: BrokerAddresses, dsn: str) -> Site:
    return partial(audited_world, bus, broker, dsn)


async def test_an_alert_that_nobody_takes_climbs_to_the_police(site: Site) -> None:
    """At 00:00 he comes in, and nobody does anything. Supervisor and back-up site hear of it again each 5 min."""
    async with site() as here:
        await here.happens(entry())
        await here.until("06:00")
        assert here.story() == [
            "00:00 téléassistance: opened PROX_ALERT P1",
            "00:10 téléassistance: escalated to operators",
            "00:15 her unit: alert, rings",
            "00:20 téléassistance: escalated to supervisor",
            "00:30 téléassistance: escalated to backup_site",
            "00:30 second site: escalated to backup_site",
            "01:00 téléassistance: escalated to police",
            "01:00 CIC-13: Alert, non vérifié",
            "01:00 CORG-13: Alert, non vérifié",
            "05:20 téléassistance: escalated to supervisor",
            "05:30 téléassistance: escalated to backup_site",
            "05:30 second site: escalated to backup_site",
        ]


async def test_a_pre_alert_climbs_and_becomes_urgent_at_180_s(site: Site) -> None:
    """P2 to P1: everybody again, and a fresh ladder; the rooms 60 s behind that."""
    async with site() as here:
        await here.happens(entry(code=Code.PROX_PREALERT))
        await here.until("04:00")
        assert here.story() == [
            "00:00 téléassistance: opened PROX_PREALERT P2",
            "01:00 téléassistance: escalated to operators",
            "02:00 téléassistance: escalated to supervisor",
            "03:00 téléassistance: raised PREALERT_NO_ANSWER P1 to urgent",
            "03:00 her unit: alert, rings",
            "03:10 téléassistance: escalated to operators",
            "03:20 téléassistance: escalated to supervisor",
            "03:30 téléassistance: escalated to backup_site",
            "03:30 second site: escalated to backup_site",
            "04:00 téléassistance: escalated to police",
            "04:00 CIC-13: Alert, non vérifié",
            "04:00 CORG-13: Alert, non vérifié",
        ]
        assert here.episode(Code.PROX_PREALERT).code is Code.PREALERT_NO_ANSWER, "one episode, in one place"


async def test_a_loss_is_told_again_after_5_and_15_minutes(site: Site) -> None:
    """P3: no unit rings, and no room hears of it."""
    async with site() as here:
        await here.happens(entry(code=Code.W_COMMS_LOSS))
        await here.until("60:00")
        assert here.story() == [
            "00:00 téléassistance: opened W_COMMS_LOSS P3",
            "05:00 téléassistance: escalated to operators",
            "15:00 téléassistance: escalated to supervisor",
        ]


async def test_a_loss_becomes_as_urgent_as_the_time_to_blind_risk_makes_it(site: Site) -> None:
    """At 04:00 he may be there unseen: P2 from then on, with the ladder of that."""
    async with site() as here:
        lost = entry(code=Code.W_COMMS_LOSS, blind_worst_ms=NOW_MS + 240_000, blind_plausible_ms=NOW_MS + 900_000)
        await here.happens(lost)
        await here.until("06:30")
        assert here.story(TELEASSISTANCE) == [
            "00:00 téléassistance: opened W_COMMS_LOSS P3",
            "04:00 téléassistance: raised W_COMMS_LOSS P2",
            "05:00 téléassistance: escalated to operators",
            "06:00 téléassistance: escalated to supervisor",
        ]


async def test_what_nobody_is_paged_for_does_not_climb(site: Site) -> None:
    async with site() as here:
        await here.happens(entry(code=Code.W_BATT_LOW))
        await here.until("120:00")
        assert here.story() == ["00:00 téléassistance: opened W_BATT_LOW P5"]


async def test_whoever_takes_it_stops_the_ladder_and_not_the_police(site: Site) -> None:
    """Martin has it at 00:12 and says nothing about the police for a minute: they hear of it."""
    async with site() as here:
        await here.happens(entry())
        await here.until("00:12")
        await here.takes(MARTIN)
        await here.until("01:30")
        assert here.story(TELEASSISTANCE, "CIC-13") == [
            "00:00 téléassistance: opened PROX_ALERT P1",
            "00:10 téléassistance: escalated to operators",
            "00:12 téléassistance: acknowledged",
            "01:00 téléassistance: escalated to police",
            "01:00 CIC-13: Alert, non vérifié",
        ]


async def test_an_acknowledgement_without_an_action_expires_at_120_s_and_the_ladder_begins_anew(
    site: Site,
) -> None:
    """Martin takes it at 00:05, decides that the police are not needed at 00:40, and then falls silent: from
    02:40 on it is nobody's."""
    async with site() as here:
        await here.happens(entry())
        await here.until("00:05")
        await here.takes(MARTIN)
        await here.until("00:40")
        await here.does(MARTIN, kind="no_police", note="il repart")
        await here.until("03:30")
        assert here.story(TELEASSISTANCE, "second site", "CIC-13", "CORG-13") == [
            "00:00 téléassistance: opened PROX_ALERT P1",
            "00:05 téléassistance: acknowledged",
            "02:40 téléassistance: expired_ack",
            "02:50 téléassistance: escalated to operators",
            "03:00 téléassistance: escalated to supervisor",
            "03:10 téléassistance: escalated to backup_site",
            "03:10 second site: escalated to backup_site",
        ]
        assert here.episode().owner is None


async def test_what_is_given_back_begins_anew(site: Site) -> None:
    async with site() as here:
        await here.happens(entry(code=Code.W_COMMS_LOSS))
        await here.until("04:00")
        await here.takes(MARTIN, Code.W_COMMS_LOSS)
        await here.releases(MARTIN, Code.W_COMMS_LOSS)
        await here.until("19:00")
        assert here.story() == [
            "00:00 téléassistance: opened W_COMMS_LOSS P3",
            "04:00 téléassistance: acknowledged",
            "04:00 téléassistance: released",
            "09:00 téléassistance: escalated to operators",
            "19:00 téléassistance: escalated to supervisor",
        ]


async def test_a_supervisor_takes_it_over_and_hands_it_on(site: Site) -> None:
    """A monitor may not take it from Martin; Roux may, says why, and gives it to Petit, who ends it."""
    async with site() as here:
        await here.happens(entry())
        await here.takes(MARTIN)
        await here.takes(PETIT, status=409, take_over=True, reason="je suis libre")
        await here.takes(ROUX, take_over=True, reason="Martin est en ligne")
        assert here.episode().owner == ROUX
        await here.hands_over(ROUX, PETIT)
        assert here.episode().owner == PETIT
        await here.until("00:30")
        await here.happens(leaving(entry(), after_s=30))
        await here.closes(PETIT, "left_zone")
        await here.until("10:00")
        assert here.story(TELEASSISTANCE) == [
            "00:00 téléassistance: acknowledged",
            "00:00 téléassistance: acknowledged",
            "00:00 téléassistance: acknowledged",
            "00:00 téléassistance: opened PROX_ALERT P1",
            "00:30 téléassistance: closed",
        ]
