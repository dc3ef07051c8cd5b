"""Is the position of a phone older than its time anywhere? Every table and every stream is searched (invariant 6).

By its digits, in whatever form: as text, and as the bytes that JSON, MessagePack and a raw record make of them.
"""

from __future__ import annotations

import numpy as np
import pytest
from builders import fix_point, press
from custody_world import Site

from alerts.escalation import next_step
from tocsin import subjects, wire
from tocsin.adapters.postgres import Pool
from tocsin.clock import from_rfc3339
from tocsin.model.episode import AlarmCause, Due
from tocsin.model.finding import Code
from tocsin.model.fix import FIX_DTYPE
from tocsin.model.protocol import AS_AGREED
from tocsin.retention import DAY_MS, FORGET_POSITION_AFTER_S
from tocsin.subjects import STREAMS

pytest_plugins = ("database",)

START_MS = from_rfc3339("2026-01-05T12:00:00Z")
HOUR_MS = 3_600_000
LAT_E6 = 43_123_457
FORMS = (
    str(LAT_E6).encode(),
    LAT_E6.to_bytes(4, "big"),  # MessagePack
    LAT_E6.to_bytes(4, "little"),  # a row of FIX_DTYPE
)


@pytest.fixture
def site(pool: Pool) -> Site:
    return Site(pool)


async def tables_with_it(site: Site) -> set[str]:
    names = await site.rows(
        """select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where n.nspname = 'tocsin' and c.relkind in ('r', 'p')"""
    )
    found = set()
    for (name,) in names:
        for (row,) in await site.rows(f"select t::text from {name} as t"):  # noqa: S608  (the catalogue's names)
            as_bytes = row.encode()
            if any(form in as_bytes or form.hex().encode() in as_bytes for form in FORMS):
                found.add(name)
    return found


def streams_with_it(site: Site, now_ms: int) -> set[str]:
    """What a stream lets go by its own age is not there: a press was put on each at START_MS."""
    kept = [one for one in STREAMS if not one.keep_s or START_MS + one.keep_s * 1000 > now_ms]
    return {
        stream.name
        for stream in kept
        for entry in site.log.entries(stream)
        if any(form in entry.payload for form in FORMS)
    }


@pytest.mark.parametrize("is_closed", [True, False])
async def test_in_no_store_is_a_position_older_than_its_time(site: Site, is_closed: bool) -> None:
    """Closed within a minute, or untaken for three days with all the rungs that this climbs."""
    await site.device("tgd-1", "tgd", START_MS)
    position = fix_point("tgd-1", lat_e6=LAT_E6, fix_ms=START_MS)
    alarm = press("alm_1", START_MS, code=Code.TGD_SOS, device="tgd-1", position=position, measures=())
    await site.log.append(subjects.alarm("tgd-1"), wire.encode(alarm))
    fixes = np.zeros(1, FIX_DTYPE)
    fixes["lat_e6"] = LAT_E6
    for subject in (subjects.fixes(0), subjects.late(0)):
        await site.log.append(subject, wire.encode_fixes(fixes))
    episode = await site.life(AlarmCause(alarm=alarm), START_MS, closed=is_closed)
    over_ms = START_MS + 3 * DAY_MS
    rungs, forgets_ms = 0, START_MS + FORGET_POSITION_AFTER_S * 1000
    while (step := next_step(episode, AS_AGREED)) is not None and step.at_ms < over_ms - HOUR_MS:
        # Its first minutes; then nobody kept its hours until the one of the last day, which climbs all it missed.
        at_ms = step.at_ms if rungs < 10 else max(step.at_ms, forgets_ms)
        episode = await site.rule(episode, Due(episode=episode.id, at_ms=at_ms), at_ms)
        rungs += 1
    assert streams_with_it(site, START_MS) == {"ALARMS", "FIXES", "LATE", "EPISODES"}
    assert await tables_with_it(site) == {"tocsin.opened"}

    assert await site.keep(over_ms - HOUR_MS)
    assert await tables_with_it(site) == set()
    assert streams_with_it(site, over_ms) == set()
    assert await site.faults() == []
    assert (rungs == 0) == is_closed
