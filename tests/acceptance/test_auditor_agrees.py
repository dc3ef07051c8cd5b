"""Does the auditor find nothing where nothing is wrong? Every code of the catalogue, acts, rungs, ends and
restarts.

A second program that cries wolf is switched off (F26). Everything that can be raised is raised on one real site,
lives its first minutes there, and is asked for when the patience of every law has passed.
"""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from audited import audited
from builders import eventually, leaving
from test_every_code_road import CASES, RINGS_AT_ONCE, found
from timeline_world import MARTIN, PETIT, world

from tocsin.adapters.jetstream import Bus
from tocsin.embedded import BrokerAddresses
from tocsin.model.finding import Alarm, Code, Finding
from tocsin.model.notice import Notice
from tocsin.model.protocol import PoliceMode

pytest_plugins = ("database",)
pytestmark = pytest.mark.timeout(240)

AHEAD = (Code.PROX_PREALERT, Code.ZONE_ENTRY, Code.W_COMMS_LOSS)


def proof() -> Finding:
    return found(Code.EVIDENTIAL_BREACH, measure="msr_PROX_ALERT")


def early_proof() -> Finding:
    """Of what nobody has raised."""
    return found(Code.EVIDENTIAL_BREACH, id="fnd_early", measure="msr_nobody")


def again() -> list[Finding | Alarm | Notice]:
    """Redelivered under the same name, and a press of what rang already."""
    return [CASES[code] for code in (Code.PROX_ALERT, Code.BAR_SOS, Code.SYS_CLOCK, Code.STRAP_TAMPER)]


def judgements() -> list[Finding]:
    return [
        found(code, id=f"fnd_judged_{code}", alarm=CASES[code].id, priority=2)
        for code in RINGS_AT_ONCE - {Code.BAR_SOS, Code.TGD_SOS}
    ]


def uncertain() -> Finding:
    return found(Code.UNCERTAIN)


def allowed() -> Finding:
    return found(Code.PROX_ALERT, id="fnd_allowed", measure="msr_allowed", authorised=True)


def endings() -> list[Finding]:
    """Of what lasts, of what was closed, and two that came before their beginning."""
    ends = [
        msgspec.structs.replace(leaving(one, f"fnd_end_{code}"), zone=one.zone)
        for code, one in CASES.items()
        if isinstance(one, Finding) and one.past is None
    ]
    ahead = [
        leaving(found(code, id=f"fnd_late_{code}", measure=f"msr_late_{code}"), f"fnd_ahead_{code}")
        for code in AHEAD
    ]
    return [*ends, *ahead, leaving(allowed(), "fnd_allowed_end")]


@pytest.mark.parametrize("mode", [PoliceMode.AUTO_PREADVICE, PoliceMode.AUTO_ON_TIMEOUT])
async def test_a_site_on_which_everything_happens_agrees(
    mode: PoliceMode, bus: Bus, broker: BrokerAddresses, dsn: str
) -> None:
    async with world(bus, broker, dsn, mode) as here, audited(bus, here.clock) as auditor:
        here.let_wait = frozenset({"dispatcher-EVIDENTIAL_BREACH"})
        await here.happens(*CASES.values(), uncertain(), allowed(), early_proof())
        await here.happens(proof(), *again(), *judgements())
        await here.until("00:35")
        await here.takes(MARTIN, subject="msr_PROX_ALERT")
        await here.takes(PETIT, Code.PROX_PREALERT, subject="msr_PROX_PREALERT", job="monitor")
        await here.act(
            PETIT,
            "POST",
            "closure",
            {"outcome": "left_zone"},
            code=Code.PROX_PREALERT,
            subject="msr_PROX_PREALERT",
        )
        await here.until("01:05")
        await here.happens(*endings())
        await here.restarts()
        await eventually(here.is_tapped)
        await auditor.passes(68)
        assert not auditor.pages


async def test_an_auditor_that_begins_in_the_middle_agrees_too(
    bus: Bus, broker: BrokerAddresses, dsn: str
) -> None:
    """It dies and another one begins, on a log that is full of what was dealt with."""
    async with world(bus, broker, dsn) as here:
        await here.happens(*CASES.values(), proof(), uncertain(), allowed())
        for _ in range(2):
            async with audited(bus, here.clock) as auditor:
                await asyncio.gather(here.happens(*again()), auditor.passes(4))
                assert not auditor.pages
        await here.until("01:05")
        async with audited(bus, here.clock) as auditor:
            await here.happens(*endings())
            await eventually(here.is_tapped)
            await auditor.passes(68)
            assert not auditor.pages
