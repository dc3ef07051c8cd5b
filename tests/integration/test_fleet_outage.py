"""A carrier is lost: 350 of 400 pairs, on the real log, with the real parts. F05, F06.

The other 50 pairs go on, and each of them crosses once: while the carrier has just gone, while 700 losses are said
and folded, while the silent come back, and before the incident ends. None is lost, and none is later than the
budget of a P1, on the fleet's clock, which runs four times as fast as the wall's.
"""

from __future__ import annotations

import numpy as np
import pytest
from builders import eventually
from fleet_world import LOST, OTHERS, P1_HARD_MS, WARM_S, World
from geofence_pairs import T0_MS

from tocsin.adapters.jetstream import Bus
from tocsin.model.episode import Episode, State
from tocsin.model.finding import Change, Code
from tocsin.model.fleet import PairAtRisk
from tocsin.wire import decode_incident

pytestmark = pytest.mark.timeout(400)
FOUND_WITHIN_S = 90.0
MINUTES = (0, 1, 2, 2, 2, 3, 3, 3, 4, 5)  # of the outage, at which pairs cross: losses fall in 2, exits in 3 and 4
LOSSES = frozenset({Code.W_COMMS_LOSS, Code.V_COMMS_LOSS})


def folded(world: World) -> list[Episode]:
    return [one for one in world.episodes() if one.state is State.FOLDED and one.code in LOSSES]


async def test_350_pairs_of_one_carrier_are_one_incident_within_90_s_and_nobody_else_is_late(bus: Bus) -> None:
    world = World(bus)
    await world.furnish()
    async with world.lives():
        await world.clock.sleep(WARM_S)
        world.lost_s = lost_s = world.now_s()
        world.near_s[OTHERS] = lost_s + 60 * np.resize(MINUTES, OTHERS.size)

        (entry,) = await eventually(lambda: world.found(Code.SYS_FLEET_SILENCE), within_s=90.0)
        found_s = (entry.at_ms - T0_MS) / 1000 - lost_s
        assert 0 < found_s <= FOUND_WITHIN_S
        assert entry.silenced is not None
        assert entry.silenced.group.value == "one"

        await eventually(lambda: len(folded(world)) == 2 * LOST, within_s=120.0)
        subject = entry.silenced.group.subject

        async def all_ranked() -> tuple[PairAtRisk, ...] | None:
            payload = await bus.incidents.get(subject)
            found = () if payload is None else decode_incident(payload).ranked
            return found if len(found) == LOST else None

        hours = [one.worst_ms for one in await eventually(all_ranked)]
        assert None not in hours
        assert hours == sorted(hours)  # type: ignore[type-var]
        raised = [one for one in world.episodes() if one.lasts and one.code in {*LOSSES, Code.SYS_FLEET_SILENCE}]
        assert [one.code for one in raised] == [Code.SYS_FLEET_SILENCE], "one alert, and not 700"

        world.lost_s = None
        (over,) = await eventually(lambda: world.found(Code.SYS_FLEET_SILENCE, Change.EXIT), within_s=120.0)
        assert over.entry == entry.id
        crossed = {f"msr_{n}" for n in OTHERS}
        late_ms = await eventually(
            lambda: world.late_ms() if len(world.late_ms()) == len(crossed) else None, within_s=120.0
        )
        assert late_ms.keys() == crossed, "none lost, and nobody else"
        assert max(late_ms.values()) <= P1_HARD_MS, late_ms

        await eventually(lambda: not [one for one in world.episodes() if one.lasts and one.code in LOSSES])
        assert not [one for one in world.episodes() if one.is_folded], "each ended with its own exit"
        assert len(folded(world)) == 2 * LOST, "and none was raised"
        assert len(world.found(Code.SYS_FLEET_SILENCE)) == 1
        middle, worst = np.percentile(list(late_ms.values()), [50, 100])
        print(f"found after {found_s:.0f} s; t3 to t6 of 50: {middle:.0f} ms, at most {worst:.0f}, of the fleet's")
