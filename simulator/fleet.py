"""How does a whole scenario come to life on a real broker?

``Fleet`` runs one ``Unit`` for each party of a scenario and presses the keys at the scenario's seconds.
``Gateway`` (its own file) is the other way: one connection that speaks for all, for loads and replays.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from simulator.gateway import Gateway
from simulator.gnss import OPEN, Sky, chance_of, receiver_of
from simulator.scenario import Mishap, Press, Scenario
from simulator.unit import Line, Unit
from tocsin.clock import MS, Clock

__all__ = ["Fleet", "Gateway"]

UNIT_CHANCE = 0xB0  # keeps a unit's own chances apart from its receiver's


class Fleet:
    """The units of one scenario. ``scenario.start_ms`` is on ``clock``, close to its now at ``run``."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        host: str,
        port: int,
        password_of: Callable[[str], str],
        clock: Clock,
        sky: Sky = OPEN,
        interval_s: float = 30.0,
        boot: int = 1,
    ) -> None:
        self._scenario = scenario
        self._clock = clock
        self.units = {
            party.device: Unit(
                party.device,
                party.kind,
                receiver_of(scenario, party, sky),
                line=Line(host=host, port=port, password=password_of(party.device)),
                clock=clock,
                start_ms=scenario.start_ms,
                rng=chance_of(scenario, party.device, UNIT_CHANCE),
                interval_s=interval_s,
                boot=boot,
            )
            for party in scenario.parties
        }

    async def run(self) -> None:
        """From now to the end of the scenario, or until ``stop``; every unit has then sent what it had."""
        async with asyncio.TaskGroup() as group:
            living = [group.create_task(unit.run()) for unit in self.units.values()]
            plot = [group.create_task(self._press(press)) for press in self._scenario.presses]
            plot += [group.create_task(self._befall(mishap)) for mishap in self._scenario.mishaps]
            plot.append(group.create_task(self._end()))
            await asyncio.wait(living)
            for each in plot:
                each.cancel()

    async def everybody_connected(self) -> None:
        """Until each unit has been let in. A wrong password waits for ever: put a timeout around it."""
        for unit in self.units.values():
            await unit.connected.wait()

    def stop(self) -> None:
        for unit in self.units.values():
            unit.stop()

    @property
    def acknowledged(self) -> Counter[str]:
        """PUBACKs of all units by leaf (loc, bulk, sos, state, res)."""
        total: Counter[str] = Counter()
        for unit in self.units.values():
            total.update(unit.tally.acknowledged)
        return total

    async def _press(self, press: Press) -> None:
        await self._until(press.at_s)
        self.units[press.device].press(silent=press.silent)

    async def _befall(self, mishap: Mishap) -> None:
        await self._until(mishap.at_s)
        getattr(self.units[mishap.device], mishap.what)()

    async def _end(self) -> None:
        await self._until(self._scenario.duration_s)
        self.stop()

    async def _until(self, at_s: float) -> None:
        while (left_s := at_s - (self._clock.now_ms() - self._scenario.start_ms) / MS) > 0:
            await self._clock.sleep(left_s)
