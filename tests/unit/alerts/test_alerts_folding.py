"""Is one silence of many one alert at the desk, with every loss of it kept and none forgotten? F05, F06."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from builders import DEVICES, NOW_MS, REALM, WEARER, act, entry, eventually, fix_point, frozen_clock, leaving
from real_broker import cancelled

from alerts.desk import handle
from alerts.dispatcher import run_dispatcher
from alerts.folding import FOLDABLE, Folding
from alerts.ledger import Ledger
from tocsin import subjects
from tocsin.model.device import Device
from tocsin.model.episode import Channel, Episode, FindingCause, Fold, Outcome, Ruling, State, Unfold, Verb
from tocsin.model.finding import Code, Finding
from tocsin.model.fleet import Dimension, Group, PairAtRisk, Party, Silenced
from tocsin.ports import Appended
from tocsin.subjects import EPISODES
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_ruling, encode

GROUP = Group(dimension=Dimension.CARRIER, value="one")
INCIDENT = Code.SYS_FLEET_SILENCE


def silenced(pairs: int = 350) -> Silenced:
    worst = tuple(
        PairAtRisk(measure=f"msr_{n}", silent=Party.WEARER, worst_ms=NOW_MS + n, plausible_ms=NOW_MS + 2 * n)
        for n in range(1, 21)
    )
    return Silenced(
        group=GROUP, silent=2 * pairs, expected=2 * pairs, since_ms=NOW_MS - 60_000, pairs=pairs, worst=worst
    )


def silence(name: str = "fnd_fleet", at_ms: int = NOW_MS) -> Finding:
    return entry(
        name, at_ms, code=INCIDENT, measure=GROUP.subject, order_version=0, wearer=None, protected=None,
        distance_dm=None, threshold_m=0, silenced=silenced(), silent_since_ms=at_ms - 60_000,
    )  # fmt: skip


def loss(n: int = 1, code: Code = Code.W_COMMS_LOSS, at_ms: int = NOW_MS + 100_000, device: str = "") -> Finding:
    him = fix_point(device or f"wearer-{n}", fix_ms=at_ms - 180_000)
    her = fix_point(device or f"protected-{n}", fix_ms=at_ms - 180_000)
    return entry(
        f"fnd_{code}_{n}", at_ms, code=code, measure=f"msr_{n}", wearer=him, protected=her,
        silent_since_ms=at_ms - 180_000,
    )  # fmt: skip


async def fleet_of(carrier: str | None = "one", count: int = 40) -> MemoryBucket:
    bucket = MemoryBucket()
    for n in range(1, count + 1):
        for name, kind in ((f"wearer-{n}", WEARER), (f"protected-{n}", "protected-1")):
            await bucket.put(name, encode(Device(id=name, number=2 * n, kind=DEVICES[kind].kind, carrier=carrier)))
    return bucket


class Desk:
    """Ledger and folding over one log."""

    def __init__(self, log: MemoryLog, devices: MemoryBucket) -> None:
        self.log, self.devices = log, devices
        self.folding = Folding(log, devices, Ledger(log, frozen_clock(NOW_MS + 200_000), REALM))

    async def find(self, finding: Finding) -> Episode:
        await self.folding.rule(finding.code.value, finding.measure, FindingCause(finding=finding))
        return await self.at(finding.code, finding.measure)

    async def at(self, code: Code, subject: str) -> Episode:
        last = await self.log.last(EPISODES, subjects.episode(code.value, subject))
        assert last is not None
        return decode_ruling(last.payload).episode

    async def unfold(self) -> int:
        async def on() -> None:
            return None

        return await self.folding.unfold(await self.at(INCIDENT, GROUP.subject), on)

    def told(self) -> list[tuple[Code, str]]:
        """Each telling once, however many hear of it."""
        rulings = [decode_ruling(one.payload) for one in self.log.entries(EPISODES)]
        return [(one.episode.code, one.reason) for one in rulings if one.notifications]


@pytest.fixture
async def desk() -> Desk:
    return Desk(MemoryLog(), await fleet_of())


async def test_a_silence_of_many_is_one_urgent_alert_and_every_room_hears_of_it(desk: Desk) -> None:
    """F04: the téléassistance, every room, and who keeps the system running."""
    alert = await desk.find(silence())
    assert (alert.priority, alert.subject, alert.state) == (1, GROUP.subject, State.RAISED)
    assert alert.raises[-1].silenced == silenced()
    assert alert.measures == tuple(f"msr_{n}" for n in range(1, 21))
    (ruling,) = [decode_ruling(one.payload) for one in desk.log.entries(EPISODES)]
    told = [Channel.TELEASSISTANCE, Channel.POLICE, Channel.OPERATIONS]
    assert [one.channel for one in ruling.notifications] == told
    ended = await desk.find(leaving(silence()))
    assert ended.over_ms is not None


@pytest.mark.parametrize("code", FOLDABLE)
async def test_a_loss_that_it_explains_is_kept_and_told_to_nobody(desk: Desk, code: Code) -> None:
    incident = await desk.find(silence())
    folded = await desk.find(loss(code=code))
    assert (folded.state, folded.is_open, folded.code) == (State.FOLDED, False, code)
    assert folded.folded is not None
    assert (folded.folded.incident, folded.folded.group) == (incident.id, GROUP.subject)
    assert desk.told() == [(INCIDENT, "opened")]


async def test_350_losses_are_one_alert_and_350_episodes(desk: Desk) -> None:
    desk.devices = await fleet_of(count=350)
    desk.folding = Folding(desk.log, desk.devices, Ledger(desk.log, frozen_clock(), REALM))
    await desk.find(silence())
    for n in range(1, 351):
        await desk.find(loss(n))
        await desk.find(loss(n, Code.V_COMMS_LOSS))
    assert desk.told() == [(INCIDENT, "opened")]
    assert len(desk.log.entries(EPISODES)) == 701
    for n in range(1, 341):
        await desk.find(leaving(loss(n)))
        await desk.find(leaving(loss(n, Code.V_COMMS_LOSS)))
    await desk.find(leaving(silence(), after_s=600))
    assert await desk.unfold() == 20
    assert desk.told().count((Code.W_COMMS_LOSS, "unfolded")) == 10
    assert len(desk.told()) == 21


@pytest.mark.parametrize("code", sorted(set(Code) - {*FOLDABLE, Code.UNCERTAIN, Code.EVIDENTIAL_BREACH, INCIDENT}))
async def test_nothing_but_silence_is_folded(desk: Desk, code: Code) -> None:
    """Somebody near is near, whatever the carrier does."""
    if code in {Code.BAR_SOS, Code.TGD_SOS}:
        return
    await desk.find(silence())
    assert (await desk.find(loss(code=code))).state is State.RAISED


async def test_degraded_is_folded_only_if_a_silent_party_is_in_the_group(desk: Desk) -> None:
    await desk.find(silence())
    at_ms = NOW_MS + 100_000
    heard = entry(
        "fnd_d", at_ms, code=Code.DEGRADED, measure="msr_2", silent_since_ms=at_ms - 30_000,
        wearer=fix_point("wearer-2", fix_ms=at_ms - 30_000),
        protected=fix_point("protected-2", fix_ms=at_ms - 5_000),
    )  # fmt: skip
    assert (await desk.find(heard)).state is State.RAISED


@pytest.mark.parametrize("reason", ["rules_failed", "unresolved_60_s"])
async def test_f05_degraded_without_a_silence_is_told(desk: Desk, reason: str) -> None:
    """The rules of a pair failed, or units that are heard send doubtful fixes: no carrier explains that, however
    old the last believed fix."""
    await desk.find(silence())
    heard = msgspec.structs.replace(loss(code=Code.DEGRADED), silent_since_ms=None, reason=reason)
    assert (await desk.find(heard)).state is State.RAISED


async def test_the_loss_of_a_device_of_another_carrier_is_its_own(desk: Desk) -> None:
    await desk.devices.put(
        "wearer-1", encode(Device(id="wearer-1", number=1, kind=DEVICES[WEARER].kind, carrier="two"))
    )
    await desk.find(silence())
    assert (await desk.find(loss())).state is State.RAISED
    assert (await desk.find(loss(2, device="nobody-knows"))).state is State.RAISED


@pytest.mark.parametrize("code", FOLDABLE)
async def test_a_loss_is_told_if_what_may_explain_it_cannot_be_read(desk: Desk, code: Code) -> None:
    """Of another version, or damaged: the record of the device, the ruling on the incident."""
    await desk.find(silence())
    for device in ("wearer-1", "protected-1"):
        await desk.devices.put(device, b"\x02of another version")
    assert (await desk.find(loss(1, code))).state is State.RAISED
    assert (await desk.find(loss(2, code))).state is State.FOLDED, "the others are explained still"
    await desk.log.append(subjects.episode(INCIDENT.value, GROUP.subject), b"\x02of another version")
    assert (await desk.find(loss(3, code))).state is State.RAISED


async def test_what_is_folded_is_told_once_its_incident_cannot_be_read(desk: Desk) -> None:
    """The redelivery looks at the incident, which nobody can say that it lasts."""
    await desk.find(silence())
    assert (await desk.find(loss())).state is State.FOLDED
    await desk.log.append(subjects.episode(INCIDENT.value, GROUP.subject), b"\x02of another version")
    assert (await desk.find(loss())).state is State.RAISED


async def test_what_was_open_before_stays_open_and_is_notified_again(desk: Desk) -> None:
    before = await desk.find(loss(at_ms=NOW_MS - 1))
    await desk.find(silence())
    again = entry("fnd_again", NOW_MS + 5, code=Code.W_COMMS_LOSS, wearer=fix_point("wearer-1"))
    after = await desk.find(again)
    assert (after.id, after.state, len(after.raises)) == (before.id, State.RAISED, 2)


async def test_who_was_heard_again_before_the_end_is_not_raised_at_the_end(desk: Desk) -> None:
    await desk.find(silence())
    await desk.find(loss(1))
    await desk.find(leaving(loss(1)))
    await desk.find(loss(2))
    assert await desk.unfold() == 0, "it lasts"
    await desk.find(leaving(silence(), after_s=600))
    assert await desk.unfold() == 1
    assert await desk.unfold() == 0
    mine, other = await desk.at(Code.W_COMMS_LOSS, "msr_2"), await desk.at(Code.W_COMMS_LOSS, "msr_1")
    assert (mine.state, mine.raises[-1].version, other.state) == (State.RAISED, mine.version, State.FOLDED)
    over = await desk.find(leaving(loss(2), after_s=900))
    assert (over.id, over.over_ms is not None) == (mine.id, True)


async def test_a_second_loss_in_one_incident_is_folded_too(desk: Desk) -> None:
    await desk.find(silence())
    first = await desk.find(loss(1))
    await desk.find(leaving(loss(1)))
    second = entry("fnd_second", NOW_MS + 400_000, code=Code.W_COMMS_LOSS, wearer=fix_point("wearer-1"))
    again = await desk.find(second)
    assert (again.id, again.state, again.over_ms) == (first.id, State.FOLDED, None)
    assert desk.told() == [(INCIDENT, "opened")]


async def test_an_exit_that_overtakes_its_entry_tells_nobody_either(desk: Desk) -> None:
    await desk.find(silence())
    ended = await desk.find(leaving(loss()))
    assert (ended.state, ended.over_ms is not None) == (State.FOLDED, True)
    assert (await desk.find(loss())).version == ended.version
    assert desk.told() == [(INCIDENT, "opened")]


async def test_an_operator_who_closes_the_incident_gets_what_is_silent_still(desk: Desk) -> None:
    alert = await desk.find(silence())
    await desk.find(loss())
    for verb, version, outcome in ((Verb.ACKNOWLEDGE, 1, None), (Verb.CLOSE, 2, Outcome.TECHNICAL)):
        done = act(verb, version, episode=alert.id, outcome=outcome, at_ms=NOW_MS + 200_000)
        assert isinstance(await desk.folding.rule(INCIDENT.value, GROUP.subject, done), Ruling)
    assert await desk.unfold() == 1
    assert (await desk.find(loss(2))).state is State.RAISED


async def test_a_later_incident_unfolds_only_its_own(desk: Desk) -> None:
    await desk.find(silence())
    await desk.find(loss())
    stranger = Unfold(incident="alr_another")
    await desk.folding.rule(Code.W_COMMS_LOSS.value, "msr_1", stranger)
    assert (await desk.at(Code.W_COMMS_LOSS, "msr_1")).state is State.FOLDED


# --- races and deaths ------------------------------------------------------------------------------------------


class Interrupted(MemoryLog):
    """Something else happens just before or just behind the write of a fold."""

    before: Callable[[], Awaitable[object]] | None = None
    behind: Callable[[], Awaitable[object]] | None = None

    async def append(
        self, subject: str, payload: bytes, *, dedupe_id: str | None = None, expected_last: int | None = None
    ) -> Appended:
        before, behind = self.before, self.behind
        if not subject.startswith("log.episode.W_COMMS_LOSS") or not (before or behind):
            return await super().append(subject, payload, dedupe_id=dedupe_id, expected_last=expected_last)
        self.before = self.behind = None
        if before:
            await before()
        kept = await super().append(subject, payload, dedupe_id=dedupe_id, expected_last=expected_last)
        if behind:
            await behind()
        return kept


@pytest.mark.parametrize("when", ["before", "behind"])
@pytest.mark.parametrize("walks", [True, False])
async def test_an_incident_that_ends_while_a_loss_is_folded_leaves_none_behind(when: str, walks: bool) -> None:
    """With and without the walk in between: whoever comes second sees it."""
    log = Interrupted()
    desk = Desk(log, await fleet_of())
    await desk.find(silence())

    async def ends() -> None:
        await desk.find(leaving(silence(), after_s=150))
        if walks:
            await desk.unfold()

    setattr(log, when, ends)
    await desk.find(loss())
    await desk.unfold()
    assert (await desk.at(Code.W_COMMS_LOSS, "msr_1")).state is State.RAISED
    assert desk.told().count((Code.W_COMMS_LOSS, "unfolded")) == 1


async def test_a_dispatcher_that_dies_behind_the_fold_is_made_good_by_the_next(desk: Desk) -> None:
    log = Interrupted()
    mine = Desk(log, await fleet_of())
    await mine.find(silence())

    async def dies() -> None:
        raise asyncio.CancelledError

    log.behind = dies
    with pytest.raises(asyncio.CancelledError):
        await mine.find(loss())
    await mine.find(leaving(silence(), after_s=150))
    assert (await mine.find(loss())).state is State.RAISED, "the redelivery looks at the incident"


async def test_the_dispatcher_folds_and_unfolds_by_itself() -> None:
    log, devices = MemoryLog(), await fleet_of()

    def dispatching() -> asyncio.Task[None]:
        return asyncio.create_task(
            run_dispatcher(log_=log, clock=frozen_clock(), realm=REALM, ready=lambda: None, devices=devices)
        )

    async def found(finding: Finding) -> None:
        where = subjects.findings(subjects.FLEET, finding.code.value)
        await log.append(where, encode(finding), dedupe_id=finding.id)

    desk = Desk(log, devices)

    async def state(code: Code, subject: str) -> State | None:
        last = await log.last(EPISODES, subjects.episode(code.value, subject))
        return None if last is None else decode_ruling(last.payload).episode.state

    first = dispatching()
    await found(silence())
    await eventually(lambda: state(INCIDENT, GROUP.subject))
    for n in (1, 2):
        await found(loss(n))
        await eventually(lambda n=n: state(Code.W_COMMS_LOSS, f"msr_{n}"))
    await found(leaving(loss(1)))

    async def is_over() -> bool:
        return (await desk.at(Code.W_COMMS_LOSS, "msr_1")).over_ms is not None

    await eventually(is_over)
    await cancelled(first)
    for kept in log._streams.values():
        for queue in kept.queues.values():
            queue.expire_leases()
    await found(leaving(silence(), "fnd_fleet_over", after_s=600))
    second = dispatching()

    async def is_raised() -> bool:
        return await state(Code.W_COMMS_LOSS, "msr_2") is State.RAISED

    await eventually(is_raised)
    assert await state(Code.W_COMMS_LOSS, "msr_1") is State.FOLDED
    await cancelled(second)
    assert sorted(desk.told()) == [(INCIDENT, "opened"), (Code.W_COMMS_LOSS, "unfolded")]


def test_f05_of_what_an_incident_explained_and_is_over_no_place_is_kept() -> None:
    """Invariant on places: they are kept for a room that may hear of it later, and none will."""
    under = Fold(incident="alr_incident", group="flt_1")
    found = loss()
    folded = handle(None, FindingCause(finding=found), REALM, NOW_MS, under=under)
    assert isinstance(folded, Ruling)
    assert folded.episode.wearer is not None, "it may be raised yet"
    over = handle(folded.episode, FindingCause(finding=leaving(found)), REALM, NOW_MS, under=under)
    assert isinstance(over, Ruling)
    assert over.reason == "folded_over"
    assert (over.episode.wearer, over.episode.protected) == (None, None)
