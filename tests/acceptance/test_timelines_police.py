"""When do the rooms of the police hear of an alert, how sure is it, and when does her unit ring? DOMAIN section 4.

Three modes (docs/adr/0031-a-ladder-that-cannot-stall.md); F16 and F18 for her unit: invariant 18.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest
from builders import NOW_MS, PROTECTED, entry, fix_point, leaving, press
from timeline_world import HER_UNIT, MARTIN, TELEASSISTANCE, World, audited_world

from tocsin.adapters.jetstream import Bus
from tocsin.embedded import BrokerAddresses
from tocsin.model.finding import Code
from tocsin.model.protocol import PoliceMode

pytest_plugins = ("database",)
pytestmark = pytest.mark.timeout(120)

Site = Callable[..., AbstractAsyncContextManager[World]]
ROOMS = ("CIC-13", "CORG-13", "elsewhere")


@pytest.fixture
def site(bus: Bus, broker: BrokerAddresses, dsn: str) -> Site:
    return partial(audited_world, bus, broker, dsn)


async def test_by_operators_alone_the_rooms_wait_for_a_word(site: Site) -> None:
    async with site(PoliceMode.OPERATOR_CONFIRMED) as here:
        await here.happens(entry())
        await here.until("05:00")
        assert here.story(*ROOMS) == []
        await here.takes(MARTIN)
        await here.until("05:20")
        await here.hands_off(MARTIN)
        await here.until("08:00")
        assert here.story(*ROOMS) == ["05:20 CIC-13: Alert, vérifié", "05:20 CORG-13: Alert, vérifié"]


async def test_under_a_pre_advice_the_rooms_hear_at_once_and_then_that_it_is_verified(site: Site) -> None:
    async with site(PoliceMode.AUTO_PREADVICE) as here:
        await here.happens(entry())
        await here.takes(MARTIN)
        await here.until("00:25")
        await here.hands_off(MARTIN)
        await here.happens(leaving(entry(), after_s=25))
        await here.closes(MARTIN, "arrested")
        await here.until("05:00")
        assert here.story("CIC-13") == [
            "00:00 CIC-13: Alert, non vérifié",
            "00:25 CIC-13: Update, vérifié",
            "00:25 CIC-13: Update, vérifié",
        ]
        assert here.story("CORG-13") == [line.replace("CIC", "CORG") for line in here.story("CIC-13")]


async def test_a_word_before_the_minute_is_over_is_the_only_one(site: Site) -> None:
    """Handed off at 00:50: verified, and nothing of 01:00 comes behind it."""
    async with site() as here:
        await here.happens(entry())
        await here.until("00:10")
        await here.takes(MARTIN)
        await here.until("00:50")
        await here.hands_off(MARTIN)
        await here.until("02:00")
        assert here.story(*ROOMS) == ["00:50 CIC-13: Alert, vérifié", "00:50 CORG-13: Alert, vérifié"]


async def test_a_word_behind_the_minute_updates_what_they_were_told(site: Site) -> None:
    async with site() as here:
        await here.happens(entry())
        await here.until("01:10")
        await here.takes(MARTIN)
        await here.until("01:30")
        await here.hands_off(MARTIN)
        await here.closes(MARTIN, "false_alarm")
        assert here.story("CORG-13") == [
            "01:00 CORG-13: Alert, non vérifié",
            "01:30 CORG-13: Cancel, vérifié",
            "01:30 CORG-13: Update, vérifié",
        ]


async def test_a_decision_against_the_police_keeps_them_out_until_he_comes_back(site: Site) -> None:
    """Said at 00:20 of what was known then; at 02:00 he comes in again, and the minute begins anew."""
    async with site() as here:
        await here.happens(entry())
        await here.takes(MARTIN)
        await here.until("00:20")
        await here.does(MARTIN, kind="no_police", note="il repart")
        await here.happens(leaving(entry(), after_s=20))
        await here.until("02:00")
        await here.happens(entry("fnd_in2", NOW_MS + 120_000))
        await here.until("03:00")
        assert here.story("CIC-13") == ["03:00 CIC-13: Alert, non vérifié"]
        assert here.story(TELEASSISTANCE)[2] == "02:00 téléassistance: raised PROX_ALERT P1", "told again"


async def test_he_who_has_left_before_the_minute_is_nothing_for_a_patrol(site: Site) -> None:
    async with site() as here:
        await here.happens(entry())
        await here.until("00:40")
        await here.happens(leaving(entry(), after_s=40))
        await here.until("10:00")
        assert here.story(*ROOMS) == []
        assert here.story(TELEASSISTANCE)[-1] == "00:30 téléassistance: escalated to backup_site"


async def test_her_unit_does_not_ring_for_what_is_over_before_15_s(site: Site) -> None:
    """Invariant 18: a jump of GNSS; operators were told at once."""
    async with site() as here:
        await here.happens(entry())
        await here.until("00:14")
        await here.happens(leaving(entry(), after_s=14))
        await here.until("03:00")
        assert here.story(HER_UNIT) == []
        assert here.story()[0] == "00:00 téléassistance: opened PROX_ALERT P1"


async def test_her_unit_rings_at_the_proof_and_hears_the_end_with_the_ruling_that_is_the_end(site: Site) -> None:
    """Invariant 18: confirmed by a second fix at 00:05; he leaves at 00:45."""
    async with site() as here:
        await here.happens(entry())
        await here.until("00:05")
        await here.happens(entry("fnd_proof", NOW_MS + 5_000, code=Code.EVIDENTIAL_BREACH))
        await here.until("00:45")
        await here.happens(leaving(entry(), after_s=45))
        await here.until("02:00")
        assert here.story(HER_UNIT) == ["00:05 her unit: alert, rings", "00:45 her unit: over"]


async def test_her_unit_hears_the_end_that_a_human_says(site: Site) -> None:
    async with site() as here:
        await here.happens(entry())
        await here.until("00:20")
        await here.takes(MARTIN)
        await here.closes(MARTIN, "relocated")
        await here.until("02:00")
        assert here.story(HER_UNIT) == ["00:15 her unit: alert, rings", "00:20 her unit: over"]


async def test_her_unit_shows_that_less_is_known_and_does_not_ring(site: Site) -> None:
    async with site() as here:
        await here.happens(entry(code=Code.DEGRADED))
        await here.until("00:50")
        assert here.story(HER_UNIT) == ["00:15 her unit: degraded"]


async def test_who_comes_back_is_told_of_again_and_proven_anew(site: Site) -> None:
    """One episode, told as often as he comes in; the first visit proves nothing of the second."""
    async with site() as here:
        await here.happens(entry(), entry("fnd_proof", NOW_MS, code=Code.EVIDENTIAL_BREACH))
        await here.until("00:30")
        await here.happens(leaving(entry(), after_s=30))
        await here.until("01:30")
        await here.happens(entry("fnd_in2", NOW_MS + 90_000))
        await here.until("01:50")
        assert here.story(HER_UNIT) == [
            "00:00 her unit: alert, rings", "00:30 her unit: over", "01:45 her unit: alert, rings",
        ]  # fmt: skip
        assert "01:30 téléassistance: raised PROX_ALERT P1" in here.story()
        assert len(here.episode().raises) == 2


async def test_a_silent_key_tells_the_rooms_of_her_place_and_never_rings_her(site: Site) -> None:
    """TGD: the press is silent; nobody takes it. She is so near the border that both rooms are told."""
    async with site() as here:
        await here.happens(
            press(code=Code.TGD_SOS, device="tgd-1", measures=(), silent=True, position=fix_point(PROTECTED))
        )
        await here.until("01:30")
        assert here.story() == [
            "00:00 téléassistance: opened TGD_SOS_SILENT P1",
            "00:10 téléassistance: escalated to operators",
            "00:20 téléassistance: escalated to supervisor",
            "00:30 téléassistance: escalated to backup_site",
            "00:30 second site: escalated to backup_site",
            "01:00 téléassistance: escalated to police",
            "01:00 CIC-13: Alert, non vérifié",
            "01:00 CORG-13: Alert, non vérifié",
        ]


async def test_a_key_behind_which_nobody_speaks_becomes_a_silent_one(site: Site) -> None:
    async with site() as here:
        key = press(code=Code.TGD_SOS, device="tgd-1", measures=(), position=None)
        await here.happens(key)
        await here.act(
            MARTIN, "PUT", "acknowledgement", {"job": "teleassistance"}, code=Code.TGD_SOS, subject="tgd-1"
        )
        await here.until("00:12")
        await here.act(MARTIN, "POST", "actions", {"kind": "no_voice"}, code=Code.TGD_SOS, subject="tgd-1")
        await here.until("01:00")
        assert here.story(TELEASSISTANCE, *ROOMS) == [
            "00:00 téléassistance: acknowledged",
            "00:00 téléassistance: opened TGD_SOS P1",
            "00:12 téléassistance: raised TGD_SOS_SILENT P1",
            "01:00 téléassistance: escalated to police",
            "01:00 elsewhere: Alert, non vérifié",
        ]
