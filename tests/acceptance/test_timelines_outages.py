"""Does a ladder go on over a death of the dispatcher, and an alert without its record? F01, F24, F27.

Invariant 3: without the database alerts are told, read and acted upon, and the record is whole when it is back.
Invariant 11: who reads the same log finds the same hours, whenever he begins. Invariant 8: latched stays latched.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
from builders import NOW_MS, WEARER, entry, leaving, press
from timeline_world import HER_UNIT, MARTIN, PETIT, RECORDING, TELEASSISTANCE, World, audited_world

from tocsin.adapters.jetstream import Bus
from tocsin.adapters.migrate import migrate
from tocsin.embedded import BrokerAddresses, EmbeddedPostgres
from tocsin.model.finding import Code

pytest_plugins = ("database",)
pytestmark = pytest.mark.timeout(120)

Site = Callable[..., AbstractAsyncContextManager[World]]

LADDER = [
    "00:00 téléassistance: opened PROX_ALERT P1",
    "00:10 téléassistance: escalated to operators",
    "00:15 her unit: alert, rings",
    "00:20 téléassistance: escalated to supervisor",
    "00:30 téléassistance: escalated to backup_site",
    "00:30 second site: escalated to backup_site",
    "01:00 téléassistance: escalated to police",
    "01:00 CIC-13: Alert, non vérifié",
    "01:00 CORG-13: Alert, non vérifié",
]


@pytest.fixture
def site(bus: Bus, broker: BrokerAddresses, dsn: str) -> Site:
    return partial(audited_world, bus, broker, dsn)


async def test_a_dispatcher_that_dies_between_all_rungs_changes_nothing(site: Site) -> None:
    async with site() as here:
        await here.happens(entry())
        for hour in ("00:05", "00:10", "00:12", "00:20", "00:29", "00:30", "00:59", "01:00", "05:00"):
            await here.until(hour)
            await here.restarts()
        await here.until("05:10")
        assert here.story() == LADDER


async def test_what_became_due_while_nobody_was_there_is_told_by_the_next_one_at_once(site: Site) -> None:
    """Dead from 00:15 to 00:35: two rungs are late, and none is left out; the minute of the police stands."""
    async with site() as here:
        await here.happens(entry())
        await here.until("00:15")
        await here.dies_until("00:35")
        await here.until("05:00")
        late = [line.replace("00:20", "00:35").replace("00:30", "00:35") for line in LADDER]
        assert sorted(here.story()) == sorted(late)


async def test_an_acknowledgement_expires_for_the_next_dispatcher_too(site: Site) -> None:
    async with site() as here:
        await here.happens(entry(code=Code.PROX_PREALERT))
        await here.takes(MARTIN, Code.PROX_PREALERT)
        await here.until("01:30")
        await here.restarts()
        await here.until("03:05")
        assert here.story(TELEASSISTANCE)[2:] == [
            "02:00 téléassistance: expired_ack",
            "03:00 téléassistance: escalated to operators",
        ]


async def test_postgresql_stops_in_the_middle_of_a_ladder(
    bus: Bus, broker: BrokerAddresses, own_home: Path
) -> None:
    """Stopped at 00:15, back at 03:00: read, taken, handed off and closed meanwhile; what was written is whole."""
    server = EmbeddedPostgres(home=own_home)
    dsn = await server.start()
    try:
        await migrate(dsn)
        async with audited_world(bus, broker, dsn) as here:
            await here.happens(entry())
            await here.until("00:15")
            await server.stop()
            here.let_wait = RECORDING
            await here.until("00:40")
            read = await here.seen(PETIT)
            assert [one["rung"] for one in read.json()["rungs"]] == ["operators", "supervisor", "backup_site"]
            await here.takes(MARTIN)
            await here.hands_off(MARTIN)
            await here.until("00:45")
            await here.happens(press("alm_2", NOW_MS + 45_000))
            await here.takes(PETIT, Code.BAR_SOS, subject="protected-1")
            await here.happens(leaving(entry(), after_s=45))
            await here.closes(MARTIN, "arrested")
            await here.until("03:00")
            away = here.story()
            await server.start()
            here.let_wait = frozenset()
            await here.is_recorded()
            assert here.story() == away, "the return of the record tells nobody anything"
            print("\n".join(away))
    finally:
        await server.stop()
        shutil.rmtree(own_home, ignore_errors=True)


async def test_a_strap_that_is_closed_again_stays_an_alert_until_somebody_has_looked_at_it(site: Site) -> None:
    """F27: it rings at once, is judged, and no word of the unit ends it, nor a human who has not looked."""
    async with site() as here:
        cut = press("alm_cut", code=Code.STRAP_TAMPER, device=WEARER, position=None, event="strap_open")
        await here.happens(cut)
        judged = entry("fnd_cut", NOW_MS + 1_000, code=Code.STRAP_TAMPER, alarm="alm_cut", priority=2)
        await here.until("00:01")
        await here.happens(judged)
        await here.until("00:30")
        await here.happens(leaving(judged, after_s=29))
        await here.until("01:02")
        await here.takes(MARTIN, Code.STRAP_TAMPER)
        unseen = {"code": Code.STRAP_TAMPER, "status": 422}
        await here.act(MARTIN, "POST", "closure", {"outcome": "technical"}, **unseen)
        assert here.episode(Code.STRAP_TAMPER).lasts
        await here.closes(MARTIN, "technical", Code.STRAP_TAMPER, inspected=True)
        await here.until("10:00")
        assert here.story() == [
            "00:00 téléassistance: opened STRAP_TAMPER P1",
            "00:01 téléassistance: judged",
            "01:00 téléassistance: escalated to operators",
            "01:02 téléassistance: acknowledged",
            "01:02 téléassistance: closed",
        ]


async def test_two_alerts_of_one_pair_climb_beside_each_other(site: Site) -> None:
    """The pre-alert is taken; that stops nothing of the alert that comes at 00:30."""
    async with site() as here:
        await here.happens(entry("fnd_near", code=Code.PROX_PREALERT))
        await here.takes(MARTIN, Code.PROX_PREALERT)
        await here.until("00:30")
        await here.happens(entry("fnd_in", NOW_MS + 30_000))
        await here.until("00:45")
        assert here.story()[2:] == [
            "00:30 téléassistance: opened PROX_ALERT P1",
            "00:40 téléassistance: escalated to operators",
            "00:45 her unit: alert, rings",
        ]
        assert here.story(HER_UNIT) == ["00:45 her unit: alert, rings"]
