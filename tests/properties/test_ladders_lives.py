"""Whatever happens, in whatever order and however often: what must hold of an alert and its ladder at all times.

One place, several visits, proofs, judgements, acts of every verb by two people, hours that are said too early, too
late, twice, with and without knowledge of him; the process is killed at any moment (the episode is read back from
its newest ruling, and the hours are found again). Invariants 7, 11, 18 of the domain; F24, F26, F35.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest
from builders import NOW_MS, REALM, act, entry, leaving, press
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.answers import Unchanged
from alerts.desk import handle
from alerts.escalation import LADDERS, alarms, next_due, waiting_since_ms
from tocsin.clock import MS
from tocsin.model.episode import (
    Act,
    AlarmCause,
    Channel,
    Deed,
    DeedKind,
    Due,
    Episode,
    Event,
    FindingCause,
    Fold,
    Outcome,
    Party,
    Reply,
    Ruling,
    Rung,
    State,
    Verb,
)
from tocsin.model.finding import Code, Finding
from tocsin.model.protocol import PoliceMode, Protocol
from tocsin.wire import decode_ruling, encode

CODES = (
    Code.PROX_ALERT, Code.PROX_PREALERT, Code.W_COMMS_LOSS, Code.DEGRADED, Code.STRAP_TAMPER, Code.RF_PROXIMITY,
    Code.ZONE_ENTRY, Code.TGD_SOS,
)  # fmt: skip
ALARMED = {Code.STRAP_TAMPER, Code.RF_PROXIMITY, Code.TGD_SOS}
UNDER = Fold(incident="alr_incident", group="flt_1")
END_S = 1_000


class Step(msgspec.Struct, frozen=True):
    """After ``wait_s`` seconds, in which the hours that are due come by themselves unless ``asleep``."""

    wait_s: int
    what: str
    number: int
    verb: Verb
    actor: str
    deed: DeedKind
    reply: Reply
    closing: bool | None
    asleep: bool
    behind: int
    """An act on the version so many before the newest."""


WHATS = ("entry", "entry", "exit", "alarm", "judged", "worse", "proof", "allowed", "folded", "act", "act", "due")
STEPS = st.builds(
    Step,
    wait_s=st.integers(0, 130),
    what=st.sampled_from(WHATS),
    number=st.integers(0, 2),
    verb=st.sampled_from(Verb),
    actor=st.sampled_from(["A", "B"]),
    deed=st.sampled_from(DeedKind),
    reply=st.sampled_from(Reply),
    closing=st.sampled_from([None, True, False]),
    asleep=st.booleans(),
    behind=st.integers(0, 2),
)
LIVES = st.lists(STEPS, max_size=14)


def found(code: Code, number: int, **changes: object) -> Finding:
    hours = {"blind_worst_ms": NOW_MS + 200_000, "blind_plausible_ms": NOW_MS + 300_000}
    return entry(f"fnd_{number}", NOW_MS + number * 1_000, code=code, **{**hours, **changes})


def event_of(  # noqa: PLR0911  a table
    code: Code, step: Step, now: Episode | None, now_ms: int
) -> Event:
    """A key and what a unit says come as alarms; judgement is by the finding of the same cause."""
    number, began = step.number, found(code, step.number)
    if code is Code.TGD_SOS and step.what not in {"act", "due"}:
        return AlarmCause(
            alarm=press(f"alm_{number}", now_ms, code=code, device="tgd-1", measures=(), silent=number == 2)
        )
    match step.what:
        case "exit":
            return FindingCause(
                finding=leaving(began, f"fnd_out{number}", after_s=max(1, (now_ms - NOW_MS) // MS))
            )
        case "alarm" if code in ALARMED:
            return AlarmCause(alarm=press(f"alm_{number}", now_ms, code=code, device="wearer-1", event="said"))
        case "judged" if code in ALARMED:
            return FindingCause(finding=found(code, number, alarm=f"alm_{number}", priority=1 + number % 2))
        case "worse":
            late = msgspec.structs.replace(began, id=f"fnd_worse{number}", at_ms=now_ms, priority=1)
            return FindingCause(finding=late)
        case "proof":
            return FindingCause(finding=entry(f"fnd_proof{number}", now_ms, code=Code.EVIDENTIAL_BREACH))
        case "allowed":
            return FindingCause(finding=msgspec.structs.replace(began, id=f"fnd_allowed{number}", authorised=True))
        case "act" if now is not None:
            return _act(step, now, now_ms)
        case "due" if now is not None:
            return Due(episode=now.id if number else "alr_another", at_ms=now_ms, closing=step.closing)
        case _:
            return FindingCause(finding=msgspec.structs.replace(began, at_ms=now_ms, entry_ms=now_ms))


def _act(step: Step, now: Episode, now_ms: int) -> Act:
    return act(
        step.verb, max(1, now.version - step.behind), step.actor, now_ms, episode=now.id, to="A", note="why",
        supervises=step.number == 1, inspected=step.number != 0, outcome=Outcome.TECHNICAL,
        deed=Deed(kind=step.deed, at_ms=now_ms, party=Party.WEARER, reply=step.reply),
    )  # fmt: skip


@dataclass
class World:
    """One place on the log; ``rulings`` is all that outlasts a restart."""

    protocol: Protocol
    again: int
    now_ms: int = NOW_MS
    episode: Episode | None = None
    rulings: list[Ruling] = field(default_factory=list)

    def ruled(self, event: Event, under: Fold | None = None) -> bool:
        """Whether it changed anything. Said ``again`` times more: that must change nothing."""
        before = self.episode
        answer = handle(before, event, REALM, self.now_ms, under=under, protocol=self.protocol)
        if not isinstance(answer, Ruling):
            return False
        self.rulings.append(decode_ruling(encode(answer)))
        self.episode = self.rulings[-1].episode
        holds(self, before, self.rulings[-1])
        for _ in range(self.again if isinstance(event, FindingCause | AlarmCause) else 0):
            repeated = handle(self.episode, event, REALM, self.now_ms, under=under, protocol=self.protocol)
            assert isinstance(repeated, Unchanged) or not repeated.notifications
        return True

    def due(self, closing: bool | None) -> None:
        """Everything that is due by now: however late it is, one after the other."""
        for _ in range(20):
            due_ms = None if self.episode is None else next_due(self.episode, self.protocol)
            if self.episode is None or due_ms is None or due_ms > self.now_ms:
                return
            if not self.ruled(Due(episode=self.episode.id, at_ms=self.now_ms, closing=closing)):
                return  # he was not closing
        raise AssertionError("an hour that comes for ever")

    def until(self, at_ms: int, closing: bool | None) -> None:
        """Second by second is every moment at which an hour can come."""
        while self.now_ms < at_ms:
            due_ms = None if self.episode is None else next_due(self.episode, self.protocol)
            late = due_ms is not None and due_ms <= self.now_ms
            self.now_ms = min(at_ms, self.now_ms + MS if late or due_ms is None else max(due_ms, self.now_ms + 1))
            self.due(closing)
            moment(self, closing)


def holds(world: World, before: Episode | None, ruling: Ruling) -> None:
    """What each step must keep to."""
    after = ruling.episode
    if after.authorised or after.state is State.FOLDED:
        assert ruling.notifications == (), "nothing is told of what was allowed, or is explained"
        assert next_due(after, world.protocol) is None
    climbed = [one.audience for one in ruling.notifications if one.audience and one.channel is not Channel.POLICE]
    assert len(set(climbed)) <= 1, "one rung at a time"
    assert len({one.rung for one in after.rungs}) == len(after.rungs), "no rung twice in one wait"
    if after.state is not State.RAISED:
        assert after.waiting_ms is None
    if Rung.POLICE in climbed:
        assert before is not None
        assert alarms(before)
        assert before.decided_ms is None
    if after.state is State.CLOSED:
        assert next_due(after, world.protocol) is None
        assert after.wearer is None
        assert after.protected is None


def moment(world: World, closing: bool | None) -> None:
    """What must hold at every moment once what was due has been ruled."""
    now, at_ms = world.episode, world.now_ms
    assert now is not None or not world.rulings
    if now is None:
        return
    if now.protected_told_ms is not None:
        assert alarms(now), "invariant 18: her unit shows nothing that is over"
    if now.state is State.RAISED and (alarms(now) or now.priority == 1):
        zero_ms, reached = waiting_since_ms(now), {one.rung for one in now.rungs}
        for climb in LADDERS.get(now.priority, ()):
            if climb.rung in {Rung.POLICE, Rung.URGENT} or zero_ms + climb.after_s * MS > at_ms:
                continue
            assert climb.rung in reached, f"{climb.rung} skipped while nobody has it"
    if now.priority == 1 and now.is_open:  # invariant 7: a human, an hour, or everybody knows
        everybody = {one.rung for one in now.rungs} >= {Rung.OPERATORS, Rung.SUPERVISOR, Rung.BACKUP_SITE}
        assert now.owner or everybody or next_due(now, world.protocol) is not None
        assert not now.owner or next_due(now, world.protocol) is not None, "who has it, has it for a time"


def lived(code: Code, life: list[Step], mode: PoliceMode, again: int = 0) -> list[Ruling]:
    world = World(protocol=Protocol(police_mode=mode), again=again)
    for step in life:
        if step.asleep:
            world.now_ms += step.wait_s * MS  # nobody is there; what comes first may be the event
        else:
            world.until(world.now_ms + step.wait_s * MS, step.closing)
        world.ruled(event_of(code, step, world.episode, world.now_ms), UNDER if step.what == "folded" else None)
        world.due(step.closing)
        moment(world, step.closing)
    world.until(world.now_ms + END_S * MS, None)
    return world.rulings


@pytest.mark.parametrize("code", CODES)
@settings(max_examples=60)
@given(life=LIVES, mode=st.sampled_from(PoliceMode), again=st.integers(0, 2))
def test_every_life_keeps_to_what_must_hold(code: Code, life: list[Step], mode: PoliceMode, again: int) -> None:
    """And is the same a second time, and with every event redelivered (invariant 11)."""
    once = lived(code, life, mode)
    assert [encode(one) for one in lived(code, life, mode, again)] == [encode(one) for one in once]
    names = [one.id for ruling in once for one in ruling.notifications]
    assert len(set(names)) == len(names), "nobody is told one thing under two names, or two under one"
