"""Is it known at the start that a recipient's name leads where nothing may go?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import ip_network

import httpx2
import pytest
from builders import SECRET, eventually, frozen_clock
from real_broker import cancelled

from alerts.addresses import examine
from alerts.doors import Door
from alerts.faults import Faults
from alerts.line import Endpoint, Line
from tocsin.model.episode import Channel
from tocsin.reach import INTERNET, Reach, reach_of
from tocsin.subjects import NOTICES
from tocsin.testing.bus import MemoryLog
from tocsin.wire import decode_notice

VPN = reach_of([ip_network("10.20.0.0/16")], is_lab=False)
NAMES = {"vpn.example": ["10.20.0.7"], "both.example": ["8.8.8.8", "10.20.0.7"], "open.example": ["8.8.8.8"]}


def door(name: str, host: str, reach: Reach = INTERNET) -> Door:
    endpoint = Endpoint(url=f"https://{host}/hook", secret=SECRET, reach=reach)
    return Door(name=name, channel=Channel.POLICE, line=Line(endpoint=endpoint, http=httpx2.AsyncClient()))


async def by_the_table(host: str, port: int) -> Sequence[str]:
    assert port == 443
    return NAMES[host]


async def said_of(*doors: Door) -> list[tuple[str, str]]:
    """When each has been looked at, and what was found is on the log."""
    log, closing = MemoryLog(), "of the test"
    faults = Faults(log, frozen_clock())
    serving = asyncio.create_task(faults.serve())
    try:
        await examine(doors, faults, by_the_table)
        faults.failing(closing, "said last")
        await eventually(
            lambda: log.entries(NOTICES) and decode_notice(log.entries(NOTICES)[-1].payload).subject == closing
        )
    finally:
        await cancelled(serving)
    found = [decode_notice(one.payload) for one in log.entries(NOTICES)]
    return [(one.subject, one.reason) for one in found[:-1]]


async def test_a_private_network_that_nobody_has_named_is_said_at_once() -> None:
    assert await said_of(door("police", "vpn.example")) == [("police", "address_refused")]


async def test_a_name_with_one_address_that_is_refused_is_said_too() -> None:
    """Which of them an attempt meets is the resolver's choice."""
    assert await said_of(door("police", "both.example")) == [("police", "address_refused")]


async def test_of_what_may_be_reached_nothing_is_said() -> None:
    well = (door("police", "open.example"), door("police-CIC-13", "vpn.example", VPN))
    assert await said_of(*well) == []


async def test_a_name_that_is_not_found_is_asked_again_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("alerts.addresses.LOOK_AGAIN_S", 0.001)
    asked: list[str] = []

    async def late(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        if host == "vpn.example" and asked.count(host) < 3:
            raise OSError("no resolver yet")
        return NAMES[host]

    faults = Faults(MemoryLog(), frozen_clock())
    await examine([door("police", "vpn.example"), door("operations", "open.example")], faults, late)
    assert (asked[:2], asked.count("vpn.example")) == (["vpn.example", "open.example"], 3)
