"""Does the warden live on where a folder goes under its feet, a tally is another version's, or a look breaks?

Whoever dies here takes the auditor's laws along, and what they were waiting for. F01, F02.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from builders import NOW_MS

from audit.warding import Warding
from tocsin import subjects
from tocsin.clock import AffineClock
from tocsin.model.finding import Code
from tocsin.model.tally import Tally
from tocsin.subjects import NOTICES
from tocsin.telemetry import BOUNDED_USAGE
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_notice, encode


class Site:
    """``passed_s``: of a clock that nobody sets."""

    def __init__(self, folder: Path, partitions: int = 0) -> None:
        self.log = MemoryLog()
        self.tallies = MemoryBucket()
        self.passed_s = 1_000.0
        self.warding = Warding(
            log=self.log, tallies=self.tallies, pool=None, clock=AffineClock(steady=lambda: self.passed_s),
            folder=folder, clock_moved=True, stages=(), partitions=partitions,
        )  # fmt: skip

    async def looks(self, times: int = 1) -> None:
        for _ in range(times):
            await self.warding.look()
            self.passed_s += 5

    async def tally(self, *, place: int, life: str = "a", at_ms: int = 0) -> None:
        places = {subjects.fixes(0): place}
        await self.tallies.put(
            "geofence-0", encode(Tally(part="geofence-0", life=life, at_ms=at_ms, accounts={}, places=places))
        )

    def lag(self) -> list[str]:
        said = [decode_notice(one.payload) for one in self.log.entries(NOTICES)]
        return [one.change.value for one in said if one.code is Code.SYS_PIPELINE_LAG]


async def test_a_folder_that_goes_between_listing_and_reading_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The servers make and remove folders of their own all the time."""
    (tmp_path / "kept").write_bytes(bytes(1_000))
    consumer = tmp_path / "consumer"
    consumer.mkdir()
    scandir = os.scandir

    def too_late(path: Any) -> Any:
        if Path(path) == consumer and consumer.exists():
            consumer.rmdir()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", too_late)
    await Site(tmp_path).looks()
    assert not consumer.exists()
    assert BOUNDED_USAGE.labels(resource="disk.data")._value.get() > 0


async def test_an_auditor_without_the_folder_of_the_servers_looks_at_all_else(tmp_path: Path) -> None:
    site = Site(tmp_path / "elsewhere")
    await site.looks()
    assert BOUNDED_USAGE.labels(resource="auditor.open_files")._value.get() > 0


async def test_a_place_of_another_version_leaves_the_one_before(tmp_path: Path) -> None:
    site = Site(tmp_path, partitions=1)
    await site.log.append(subjects.fixes(0), b"1")
    for at_ms in range(2):
        await site.tally(place=1, at_ms=at_ms)
        await site.looks()
    await site.tallies.put("geofence-0", b"not ours")
    await site.looks(5)
    assert site.lag() == [], "all that there is was dealt with"


async def test_a_geofence_that_is_starting_is_not_behind(tmp_path: Path) -> None:
    """A stack that starts: the bucket has the place of the life before, a second behind its end."""
    site = Site(tmp_path, partitions=1)
    for _ in range(2):
        await site.log.append(subjects.fixes(0), b"1")
    await site.tally(place=1)
    await site.looks(6)
    await site.tally(place=2, life="b", at_ms=1)
    await site.looks(12)
    assert site.lag() == []
    await site.log.append(subjects.fixes(0), b"1")
    await site.looks(4)
    assert site.lag() == ["entry"], "from now on it is judged"


@pytest.mark.parametrize("before", [True, False])
async def test_a_geofence_that_does_not_come_up_within_a_minute_is(tmp_path: Path, before: bool) -> None:
    site = Site(tmp_path, partitions=1)
    for _ in range(2):
        await site.log.append(subjects.fixes(0), b"1")
    if before:
        await site.tally(place=1)
    await site.looks(12)
    assert site.lag() == []
    await site.looks()
    assert site.lag() == ["entry"]


async def test_what_another_life_of_the_warden_said_stands_until_the_geofence_speaks(tmp_path: Path) -> None:
    site = Site(tmp_path, partitions=1)
    site.warding.standing.begun[Code.SYS_PIPELINE_LAG, "geofence-0"] = "ntc_1", NOW_MS
    await site.tally(place=0)
    await site.looks(2)
    assert site.lag() == []
    await site.tally(place=0, at_ms=1)
    await site.looks()
    assert site.lag() == ["exit"]


async def test_a_look_that_breaks_is_a_difference_and_the_next_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path)

    async def broken() -> Any:
        raise ZeroDivisionError

    with monkeypatch.context() as breaking:
        breaking.setattr(site.log, "usages", broken)
        await site.warding.look_guarded()
    await site.warding.look_guarded()
    (said,) = site.warding.differences(NOW_MS)
    assert (said.law, said.detail) == ("warden", "it could not look: ZeroDivisionError")
    assert site.warding.differences(NOW_MS) == [], "each one once"
