"""A worker that dies as often as a test wants, at whichever operation on the bus, and lives again.

``Mortality`` counts the operations of one life on log, buckets and objects. At the chosen one it raises
``Killed``, before or after the operation took effect, and from then on at every other: nothing that the dead
one does in its last moments reaches the world.
"""

from __future__ import annotations

import msgspec
import numpy as np
from geofence_pairs import T0_MS, device

from geofence import engine
from geofence.order_watch import Revision
from geofence.worker import Doors, Tick, Worker
from tocsin import subjects
from tocsin.model.command import Action, Command
from tocsin.model.ids import derived
from tocsin.model.standing import Protection, Standing
from tocsin.subjects import COMMANDS, FINDINGS, FIXES
from tocsin.testing.bus import MemoryBucket, MemoryLog, MemoryObjects
from tocsin.wire import decode_command, decode_finding, decode_standing, encode_fixes

DEVICES = {device(number).id: device(number) for number in range(1, 9)}


class Killed(Exception):
    """kill -9, as the code of the dead process never sees it."""


class Mortality:
    def __init__(self, die_at=None, *, after=False):
        self.operations = 0
        self._die_at, self._after = die_at, after
        self.dead = False

    async def __call__(self, operation):
        self.operations += 1
        now = self.operations == self._die_at
        if self.dead or (now and not self._after):
            self.dead = True
            operation.close()
            raise Killed
        answer = await operation
        if now:
            self.dead = True
        if self.dead:
            raise Killed
        return answer


class Mortal:
    """One door of the bus, as a mortal process holds it."""

    def __init__(self, real, mortality):
        self._real, self._mortality = real, mortality

    def __getattr__(self, verb):
        real = getattr(self._real, verb)
        if verb in {"read", "watch"}:
            return real
        return lambda *args, **kwargs: self._mortality(real(*args, **kwargs))


class HandClock:
    """Stands where the story is; whoever sleeps has slept."""

    def __init__(self):
        self.ms = T0_MS

    def now_ms(self):
        return self.ms

    wall_ms = now_ms

    async def sleep(self, seconds):
        del seconds


class Site:
    """What outlives a worker."""

    def __init__(self, orders=()):
        self.log, self.snapshots, self.clock = MemoryLog(), MemoryObjects(), HandClock()
        self.standings = MemoryBucket()
        self.revision = Revision(orders=tuple(orders), devices=DEVICES)
        self.lives = 0

    async def born(self, mortality=None):
        """A worker that has reached the present."""
        self.lives += 1
        mortality = mortality or Mortality()
        doors = Doors(
            log=Mortal(self.log, mortality),
            devices=MemoryBucket(),
            orders=MemoryBucket(),
            standings=Mortal(self.standings, mortality),
            snapshots=Mortal(self.snapshots, mortality),
        )
        worker = Worker(doors, partition=0, partitions=1, clock=self.clock, life=f"life {self.lives}")
        await worker.begin(self.revision)
        await said(worker)
        return worker

    # --- what the world has heard ---

    def messages(self, stream, decode):
        """Payloads by subject, in order, without t5."""
        found = {}
        for entry in self.log.entries(stream):
            found.setdefault(entry.subject, []).append(decode(entry.payload))
        return found

    @property
    def findings(self):
        return self.messages(FINDINGS, lambda payload: without_t5(decode_finding(payload)))

    @property
    def commands(self):
        return self.messages(COMMANDS, decode_command)

    async def standing(self):
        values = {}
        async for change in self.standings.watch():
            if change is None:
                return values
            if change.value is not None:
                values[change.key] = decode_standing(change.value)
        return values

    async def heard(self):
        return self.findings, self.commands, await self.standing()


def without_t5(finding):
    """As bytes: equal to the last bit but for the hour of the computation."""
    bare = msgspec.structs.replace(finding, points=msgspec.structs.replace(finding.points, t5_ms=None))
    return msgspec.msgpack.encode(bare)


async def said(worker):
    while await worker.publisher.tell_rest():
        continue


async def play(site, story, mortalities=()):
    """Live through ``story``, a list of (hour_ms, input): fixes, a tuple of orders, or None for a tick.

    Each mortality is one life; the last life is immortal. Whoever is born again meets the input that killed.
    """
    lives = iter(mortalities)
    worker, at = None, 0
    while worker is None or at < len(story):
        try:
            if worker is None:
                worker = await site.born(next(lives, None))
                continue
            await meet(site, worker, *story[at])
            at += 1
        except* Killed:
            worker = None
    return worker


async def meet(site, worker, hour_ms, one):
    site.clock.ms = hour_ms
    if one is None:
        await worker.take([Tick(now_ms=hour_ms)])
    elif isinstance(one, tuple):
        site.revision = Revision(orders=one, devices=DEVICES)
        await worker.take([site.revision])
    else:
        if one.size and not was_sent(site, one):
            await site.log.append(subjects.fixes(0), encode_fixes(one))
        entries = [entry for entry in site.log.entries(FIXES) if entry.sequence > worker.sequence]
        await worker.take([entries])
    await said(worker)


def was_sent(site, fixes):
    """The world sends once, however often the worker dies over it."""
    return any(entry.payload == encode_fixes(fixes) for entry in site.log.entries(FIXES))


def talkative(step):
    """The step with a command and a standing for each finding: made of it alone, as a rule would make them."""
    return msgspec.structs.replace(
        step,
        commands=tuple(
            Command(
                id=derived("evt", one.id),
                device=DEVICES["b0000001"].id,
                action=Action.SET_CADENCE,
                at_ms=one.at_ms,
                expires_ms=one.at_ms + 10**9,
                interval_s=60 - 10 * int(one.after),
            )
            for one in step.findings
        ),
        standings=tuple(
            Standing(
                measure=one.measure,
                protection=Protection.PROTECTED,
                since_ms=one.at_ms,
                reason=one.reason,
                zone=one.after,
                at_ms=one.at_ms,
            )
            for one in step.findings
        ),
    )


def make_talkative(patch):
    """One command and one standing for each finding, so that a test can count them by hand."""
    step, revise = engine.step, engine.revise
    patch.setattr(engine, "step", lambda *args: talkative(step(*args)))

    def revised(*args):
        table, judged = revise(*args)
        return table, talkative(judged)

    patch.setattr(engine, "revise", revised)
    patch.setattr(
        engine, "standings", lambda _table: ()
    )  # those of the engine would stand beside the counted ones


def split(fixes, cuts):
    return [part for part in np.split(fixes, sorted(cuts)) if part.size]
