"""When does a pre-alert become one without an answer? Each of its three triggers, over the API; DOMAIN 4."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest
from builders import NOW_MS, entry, leaving
from timeline_world import MARTIN, TELEASSISTANCE, World, audited_world

from tocsin.adapters.jetstream import Bus
from tocsin.embedded import BrokerAddresses
from tocsin.model.finding import Code

pytest_plugins = ("database",)
pytestmark = pytest.mark.timeout(120)

Site = Callable[..., AbstractAsyncContextManager[World]]
NEAR = entry(code=Code.PROX_PREALERT)
CALL = {"kind": "call", "party": "wearer"}
TOLD_TO_GO = {"kind": "order", "party": "wearer"}
BECAME = "téléassistance: raised PREALERT_NO_ANSWER P1"


@pytest.fixture
def site(bus: Bus, broker: BrokerAddresses, dsn: str) -> Site:
    return partial(audited_world, bus, broker, dsn)


def raised(here: World) -> list[str]:
    return [line for line in here.story(TELEASSISTANCE) if BECAME in line]


async def test_calls_that_nobody_answers_for_60_s(site: Site) -> None:
    """Called at 00:20 and at 00:50: a minute from the first of them."""
    async with site() as here:
        await here.happens(NEAR)
        await here.takes(MARTIN, Code.PROX_PREALERT)
        for hour in ("00:20", "00:50"):
            await here.until(hour)
            await here.does(MARTIN, Code.PROX_PREALERT, **CALL, outcome="no_answer")
        await here.until("01:45")
        assert raised(here) == [f"01:20 {BECAME}"]
        assert here.episode(Code.PROX_PREALERT).owner == MARTIN, "it stays his"


async def test_a_call_that_is_answered_meanwhile_is_none_of_these(site: Site) -> None:
    async with site() as here:
        await here.happens(NEAR)
        await here.takes(MARTIN, Code.PROX_PREALERT)
        await here.does(MARTIN, Code.PROX_PREALERT, **CALL, outcome="no_answer")
        await here.until("00:40")
        await here.does(MARTIN, Code.PROX_PREALERT, **CALL, outcome="answered")
        await here.until("02:30")
        assert raised(here) == []


async def test_a_refusal(site: Site) -> None:
    """At once; the rooms and her unit as of any other P1."""
    async with site() as here:
        await here.happens(NEAR)
        await here.takes(MARTIN, Code.PROX_PREALERT)
        await here.until("00:30")
        await here.does(MARTIN, Code.PROX_PREALERT, **TOLD_TO_GO, outcome="refused")
        await here.until("01:30")
        assert here.story() == [
            "00:00 téléassistance: acknowledged",
            "00:00 téléassistance: opened PROX_PREALERT P2",
            f"00:30 {BECAME}",
            "00:30 her unit: alert, rings",
            "01:30 téléassistance: escalated to police",
            "01:30 CIC-13: Alert, non vérifié",
            "01:30 CORG-13: Alert, non vérifié",
        ]


async def test_still_there_60_s_behind_the_order(site: Site) -> None:
    async with site() as here:
        await here.happens(NEAR)
        await here.takes(MARTIN, Code.PROX_PREALERT)
        await here.until("00:25")
        await here.does(MARTIN, Code.PROX_PREALERT, **TOLD_TO_GO, outcome="answered")
        await here.until("02:00")
        assert raised(here) == [f"01:25 {BECAME}"]


async def test_he_complies_and_leaves(site: Site) -> None:
    async with site() as here:
        await here.happens(NEAR)
        await here.takes(MARTIN, Code.PROX_PREALERT)
        await here.until("00:25")
        await here.does(MARTIN, Code.PROX_PREALERT, **TOLD_TO_GO, outcome="complies")
        await here.until("01:20")
        await here.happens(leaving(NEAR, after_s=80))
        await here.closes(MARTIN, "left_zone", Code.PROX_PREALERT)
        await here.until("10:00")
        assert here.story() == [
            "00:00 téléassistance: acknowledged",
            "00:00 téléassistance: opened PROX_PREALERT P2",
            "01:20 téléassistance: closed",
        ], "she is not told, and no room is"


async def test_he_says_that_he_complies_and_goes_on(site: Site) -> None:
    """IMMINENT at 01:00 says that he still comes nearer: a minute behind the order it is looked at."""
    async with site() as here:
        await here.happens(NEAR)
        await here.takes(MARTIN, Code.PROX_PREALERT)
        await here.until("00:25")
        await here.does(MARTIN, Code.PROX_PREALERT, **TOLD_TO_GO, outcome="complies")
        await here.until("01:00")
        await here.happens(entry("fnd_imm", NOW_MS + 60_000, code=Code.IMMINENT))
        await here.until("02:00")
        assert raised(here) == [f"01:25 {BECAME}"]
