"""Which rulings get a case, what is sealed where there can be none, and how often is the log read in a flood? F28.

The real geofence worker and witness among the twins; the record is a list.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import builders
import msgspec
import numpy as np
import pytest
from builders import entry
from evidence_world import Chains
from geofence_lives import Site, meet
from geofence_pairs import T0_MS, P, W, fix, order

from alerts import desk
from audit.case import Why, check, uncased
from audit.case_binding import Bindings
from audit.recall import BACK_MAX, Recall
from audit.witness import Witness, case_in
from geofence import shelf
from geofence.worker import Worker
from tocsin import sealing, subjects, wire
from tocsin.chain import Item, KeptAs, Kind
from tocsin.model.episode import FindingCause, Realm, Ruling
from tocsin.model.finding import Change, Code, Finding, Past
from tocsin.ports import Delivery
from tocsin.subjects import EPISODES, FINDINGS, FIXES, NOTICES

PAIRS = 30


class Sealed:
    """Takes what is sealed, each source once."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}

    async def seal(self, items: Sequence[Item], *, at_ms: int) -> list[Any]:
        del at_ms
        new = {item.source: item for item in items if item.source not in self.items}
        self.items |= new
        return list(new.values())

    def payload(self, finding: Finding) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.items[f"case:{finding.id}"].payload)
        return found


class Counting:
    """The log, and how often which stream was read."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.reads: list[str] = []

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._log, verb)

    def read(self, stream: Any, *args: Any, **how: Any) -> Any:
        self.reads.append(stream.name)
        return self._log.read(stream, *args, **how)


class Scene:
    """Wearers 1, 3, 5 … are told from 2; all come in at once."""

    def __init__(self) -> None:
        orders = [order(f"msr_{number}", W, P, alert_distance_m=1_000 + number) for number in range(PAIRS)]
        self.site = Site(orders)
        self.sealed = Sealed()
        self.log = Counting(self.site.log)
        recall = Recall(self.log, self.site.snapshots, partitions=1, clock=self.site.clock)  # type: ignore[arg-type]
        self.witness = Witness(log=self.log, recall=recall, seals=self.sealed, clock=self.site.clock)  # type: ignore[arg-type]
        self.worker: Worker

    async def begin(self) -> None:
        self.worker = await self.site.born()
        await self.worker._keeper.shelve()

    async def hears(self, at_s: float, *fixes: np.ndarray) -> None:
        await meet(self.site, self.worker, T0_MS + round(1000 * at_s), np.concatenate(fixes))

    async def crosses(self) -> list[Finding]:
        await self.hears(10, fix(P, 9), fix(W, 9, 5_000.0))
        await self.hears(130, fix(P, 129), fix(W, 129, 400.0))
        return self.alerts()

    def alerts(self) -> list[Finding]:
        found = [wire.decode_finding(entry.payload) for entry in self.site.log.entries(FINDINGS)]
        return [one for one in found if one.code is Code.PROX_ALERT]

    async def rule(self, *findings: Finding) -> list[Delivery]:
        for finding in findings:
            ruling = desk.handle(None, FindingCause(finding=finding), Realm.LAB, self.site.clock.now_ms())
            assert isinstance(ruling, Ruling)
            subject = subjects.episode(finding.code.value, finding.measure)
            await self.site.log.append(subject, wire.encode(ruling))
        async with self.site.log.queue(EPISODES, "witness", parallel=1_000) as queue:
            return list(await queue.take(1_000))


@pytest.fixture
async def scene() -> Scene:
    made = Scene()
    await made.begin()
    return made


async def test_a_flood_reads_the_log_once(scene: Scene) -> None:
    alerts = await scene.crosses()
    assert len(alerts) == PAIRS
    deliveries = await scene.rule(*alerts)
    scene.log.reads.clear()
    await scene.witness.keep(deliveries)
    assert scene.log.reads.count(FIXES.name) == 1
    assert len(scene.sealed.items) == PAIRS
    assert {(item.kind, item.kept_as) for item in scene.sealed.items.values()} == {
        (Kind.CASE, KeptAs.MEASURE_FILE)
    }
    assert all(check(item.payload) == [] for item in scene.sealed.items.values())
    assert scene.site.log.entries(NOTICES) == []


async def test_what_is_sealed_is_the_case_of_its_ruling(scene: Scene) -> None:
    """As a verifier of evidence binds them: the real finding, through the record's payloads."""
    (alert, *_) = await scene.crosses()
    (delivery,) = await scene.rule(alert)
    await scene.witness.keep([delivery])
    (case,) = scene.sealed.items.values()
    chains = Chains()
    chains.seal([*sealing.of_ruling(1, wire.decode_ruling(delivery.entry.payload)), case], T0_MS)
    (links,) = chains.links.values()
    bindings = Bindings()
    for link in links:
        bindings.hear(link, chains.opened[link.chain][link.number].payload)
    assert len(links) == 3
    assert (list(bindings.faults()), list(bindings.undecided(set()))) == ([], [])


async def test_a_later_snapshot_takes_the_turn_of_the_first(scene: Scene) -> None:
    """Between them lies what the second one already knows."""
    await scene.hears(10, fix(P, 9), fix(W, 9, 5_000.0))
    await scene.worker.save()
    await scene.worker._keeper.shelve()
    await scene.hears(130, fix(P, 129), fix(W, 129, 400.0))
    alerts = scene.alerts()
    await scene.witness.keep(await scene.rule(alerts[0]))
    assert scene.sealed.payload(alerts[0])["sequence"] == 1
    slots = shelf.load(await scene.site.snapshots.get(shelf.shelf_name(0, 1))).slots
    await scene.site.snapshots.put(shelf.slot_name(0, 1, slots[-1].number), b"written over")
    scene.witness.recall = Recall(scene.site.log, scene.site.snapshots, partitions=1, clock=scene.site.clock)
    await scene.witness.keep(await scene.rule(alerts[1]))
    assert scene.sealed.payload(alerts[1])["sequence"] == 0, "the one before it serves"
    assert BACK_MAX > 1
    assert check(scene.sealed.items[f"case:{alerts[1].id}"].payload) == []


async def test_another_finding_than_the_engines_is_kept_with_what_differs_and_told(scene: Scene) -> None:
    """F10: a finding that nobody decided, or not so, stands there as one."""
    (alert, *_) = await scene.crosses()
    forged = msgspec.structs.replace(alert, distance_dm=(alert.distance_dm or 0) + 1)
    scene.site.clock.ms += 60_000
    await scene.witness.keep(await scene.rule(forged))
    case = scene.sealed.payload(forged)
    assert case["differs"] == ["the finding is another: distance_dm"]
    (entry,) = scene.site.log.entries(NOTICES)
    notice = wire.decode_notice(entry.payload)
    assert (notice.code, notice.subject, notice.reason) == (Code.SYS_AUDIT, "witness", "not_decided_again")
    assert notice.facts == (("finding", forged.id),)


async def test_without_a_snapshot_that_is_old_enough(scene: Scene) -> None:
    (alert, *_) = await scene.crosses()
    early = msgspec.structs.replace(alert, points=msgspec.structs.replace(alert.points, t5_ms=T0_MS - 1))
    scene.site.clock.ms += 60_000
    await scene.witness.keep(await scene.rule(early))
    assert scene.sealed.payload(early)["why"] == "no_snapshot"
    assert check(scene.sealed.items[f"case:{early.id}"].payload) != []
    assert len(scene.site.log.entries(NOTICES)) == 1


async def test_what_is_older_than_the_log_is_no_news(scene: Scene) -> None:
    (alert, *_) = await scene.crosses()
    early = msgspec.structs.replace(alert, points=msgspec.structs.replace(alert.points, t5_ms=T0_MS - 1))
    scene.site.clock.ms += 1000 * FIXES.keep_s + 200_000
    await scene.witness.keep(await scene.rule(early))
    assert scene.sealed.payload(early)["why"] == "no_snapshot"
    assert scene.site.log.entries(NOTICES) == []


# --- which rulings ---------------------------------------------------------------------------------------------


def ruled(**changes: Any) -> Ruling:
    """Its episode is about the same measure, whatever else is changed."""
    finding = msgspec.structs.replace(builders.entry(), **changes)
    began = msgspec.structs.replace(finding, change=Change.ENTRY)
    ruling = desk.handle(None, FindingCause(finding=began), Realm.LAB, builders.NOW_MS)
    assert isinstance(ruling, Ruling)
    return msgspec.structs.replace(ruling, event=FindingCause(finding=finding))


def test_of_an_entry_between_two_parties_there_is_a_case() -> None:
    found = case_in(ruled())
    assert found is not None
    assert found[1] == builders.entry()


@pytest.mark.parametrize("changes", [{"change": Change.EXIT}, {"measure": "canary-3"}])
def test_of_an_end_and_of_invented_pairs_there_is_none(changes: dict[str, Any]) -> None:
    assert case_in(ruled(**changes)) is None


async def test_what_came_from_the_history_says_so(scene: Scene) -> None:
    point = builders.fix_point("b0000001")
    past = Past(first_ms=1, last_ms=2, nearest_ms=1, wearer=point, protected=point, late=())
    finding = msgspec.structs.replace(builders.entry(), past=past, code=Code.PAST_INCURSION)
    ruling = msgspec.structs.replace(ruled(), event=FindingCause(finding=finding))
    await scene.site.log.append(subjects.episode("PAST_INCURSION", "msr_1"), wire.encode(ruling))
    async with scene.site.log.queue(EPISODES, "witness", parallel=10) as queue:
        await scene.witness.keep(await queue.take(10))
    assert scene.sealed.payload(finding)["why"] == "from_history"
    assert check(scene.sealed.items[f"case:{finding.id}"].payload) == []
    assert scene.site.log.entries(NOTICES) == []


def test_only_what_was_found_in_the_history_may_have_no_case_for_that_reason() -> None:
    assert check(uncased(entry(), Why.FROM_HISTORY)) == ["it is said to be from the history, and is not"]
