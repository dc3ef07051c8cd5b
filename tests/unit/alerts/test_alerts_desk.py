"""The life of an episode, move by move: the table of ``alerts.desk`` with every move that it does not allow.

Cited: F26, F27 (nothing closes by itself), F38 (realm), A6 (derived names), invariants 7, 8, 11.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from builders import NOW_MS, REALM, act, entry, leaving, press
from builders import preadvised as handle

from alerts.catalogue import CATALOGUE
from alerts.desk import Objection, Refused, Unchanged
from alerts.episodes import place_of
from alerts.retries import ACCEPTED, UNSENT
from tocsin.limits import (
    ACK_EXPIRES_S,
    EPISODE_CAUSES_MAX,
    EPISODE_RAISES_MAX,
    PROOF_EARLY_MAX_S,
    PROOF_WAITS_S,
)
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
    Keyed,
    Outcome,
    Party,
    Receipt,
    Reply,
    Ruling,
    State,
    Verb,
)
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.ids import derived
from tocsin.wire import decode_ruling, encode

MINE, HIS = "A. Martin", "B. Diallo"
FIRST = entry()
AGAIN = entry("fnd_in2", NOW_MS + 300_000)
OUT = leaving(FIRST)
UNSAID = entry(
    "fnd_out9", NOW_MS + 60_000, code=Code.PROX_PREALERT, change=Change.EXIT
)  # names itself as its entry
PROOF = entry("fnd_proof", NOW_MS + 20_000, code=Code.EVIDENTIAL_BREACH)
DOUBT = entry("fnd_doubt", code=Code.UNCERTAIN)
EXPIRED_MS = NOW_MS + ACK_EXPIRES_S * 1000


def came(finding: Finding) -> FindingCause:
    return FindingCause(finding=finding)


def ruled(episode: Episode | None, event: Event, now_ms: int = NOW_MS) -> Episode:
    answer = handle(episode, event, REALM, now_ms)
    assert isinstance(answer, Ruling), answer
    return answer.episode


def raised() -> Episode:
    return ruled(None, came(FIRST))


def owned() -> Episode:
    return ruled(raised(), act(Verb.ACKNOWLEDGE, 1, MINE))


def closed() -> Episode:
    return ruled(owned(), act(Verb.CLOSE, 2, MINE, outcome=Outcome.LEFT_ZONE, note="gone"))


def over() -> Episode:
    return ruled(raised(), came(OUT))


def proven() -> Episode:
    return ruled(raised(), came(PROOF))


NONE, RAISED, OVER, OWNED, CLOSED, PROVEN = (lambda: None), raised, over, owned, closed, proven
Start = Callable[[], Episode | None]


def doing(verb: Verb, actor: str = MINE, **changes: Any) -> Callable[[Episode | None], Act]:
    """An act on the version that its actor sees."""
    return lambda episode: act(verb, episode.version if episode else 1, actor, **changes)


ACKNOWLEDGE, RELEASE = doing(Verb.ACKNOWLEDGE), doing(Verb.RELEASE)
CLOSE = doing(Verb.CLOSE, outcome=Outcome.ARRESTED)
TAKE_OVER = doing(Verb.TAKE_OVER, note="nobody answers")
CALL = doing(Verb.DO, deed=Deed(kind=DeedKind.CALL, at_ms=NOW_MS, party=Party.PROTECTED, reply=Reply.ANSWERED))
NO_POLICE = doing(Verb.DO, deed=Deed(kind=DeedKind.NO_POLICE, at_ms=NOW_MS))
HAND_OFF = doing(Verb.HAND_OFF)
KEYED = Keyed(key="k1", fingerprint="f1")
STALE = Objection.STALE
GONE = "alr_gone"


def due(episode: Episode | None) -> Due:
    return Due(episode=GONE if episode is None else episode.id, at_ms=NOW_MS)


#   from, event, reason, state, is over, told
MOVES: dict[str, tuple[Start, Event | Callable[[Episode | None], Act | Due], str, State, bool, int]] = {
    "none, entry": (NONE, came(FIRST), "opened", State.RAISED, False, 2),
    "none, press": (NONE, AlarmCause(alarm=press()), "opened", State.RAISED, False, 2),
    "none, exit": (NONE, came(OUT), "raised_and_over", State.RAISED, True, 2),
    "raised, entry": (RAISED, came(AGAIN), "raised_again", State.RAISED, False, 2),
    "raised, exit": (RAISED, came(OUT), "over", State.RAISED, True, 0),
    "raised, proof": (RAISED, came(PROOF), "proven", State.RAISED, False, 1),
    "over, proof": (OVER, came(PROOF), "proven", State.RAISED, True, 0),
    "owned, proof": (OWNED, came(PROOF), "proven", State.ACKNOWLEDGED, False, 1),
    "proven, another proof": (
        PROVEN,
        came(entry("fnd_proof2", code=Code.EVIDENTIAL_BREACH)),
        "proven",
        State.RAISED,
        False,
        0,
    ),
    "proven, entry": (PROVEN, came(AGAIN), "raised_again", State.RAISED, False, 2),
    "proven, exit": (PROVEN, came(OUT), "over", State.RAISED, True, 1),
    "proven, acknowledge": (PROVEN, ACKNOWLEDGE, "acknowledged", State.ACKNOWLEDGED, False, 1),
    "raised, acknowledge": (RAISED, ACKNOWLEDGE, "acknowledged", State.ACKNOWLEDGED, False, 1),
    "over, entry": (OVER, came(AGAIN), "raised_again", State.RAISED, False, 2),
    "over, acknowledge": (OVER, ACKNOWLEDGE, "acknowledged", State.ACKNOWLEDGED, True, 1),
    "owned, entry": (OWNED, came(AGAIN), "raised_again", State.ACKNOWLEDGED, False, 2),
    "owned, exit": (OWNED, came(OUT), "over", State.ACKNOWLEDGED, True, 0),
    "raised, take over": (RAISED, TAKE_OVER, "taken_over", State.ACKNOWLEDGED, False, 1),
    "over, take over": (OVER, TAKE_OVER, "taken_over", State.ACKNOWLEDGED, True, 1),
    "owned, take over by a supervisor": (
        OWNED,
        doing(Verb.TAKE_OVER, HIS, note="he is on another call", supervises=True),
        "taken_over",
        State.ACKNOWLEDGED,
        False,
        1,
    ),
    "owned, hand over": (OWNED, doing(Verb.HAND_OVER, to=HIS), "handed_over", State.ACKNOWLEDGED, False, 1),
    "owned, a call": (OWNED, CALL, "done", State.ACKNOWLEDGED, False, 0),
    "owned, no police": (OWNED, NO_POLICE, "decided", State.ACKNOWLEDGED, False, 0),
    "owned, hand off": (OWNED, HAND_OFF, "handed_off", State.ACKNOWLEDGED, False, 3),
    "owned, over, hand off": (
        lambda: ruled(owned(), came(OUT)),
        HAND_OFF,
        "handed_off",
        State.ACKNOWLEDGED,
        True,
        2,
    ),
    "owned, release": (OWNED, RELEASE, "released", State.RAISED, False, 1),
    "owned, close": (OWNED, CLOSE, "closed", State.CLOSED, False, 2),
    "closed, entry": (CLOSED, came(AGAIN), "opened", State.RAISED, False, 2),
    "closed, exit of an entry never seen": (
        CLOSED,
        came(leaving(AGAIN)),
        "raised_and_over",
        State.RAISED,
        True,
        2,
    ),
}

REFUSED: dict[str, tuple[Start, Callable[[Episode | None], Act], Objection]] = {
    "none, acknowledge": (NONE, ACKNOWLEDGE, Objection.UNKNOWN),
    "none, release": (NONE, RELEASE, Objection.UNKNOWN),
    "none, close": (NONE, CLOSE, Objection.UNKNOWN),
    "raised, release": (RAISED, RELEASE, Objection.NOT_ACKNOWLEDGED),
    "raised, close": (RAISED, CLOSE, Objection.NOT_ACKNOWLEDGED),
    "over, close": (OVER, CLOSE, Objection.NOT_ACKNOWLEDGED),
    "owned, acknowledge by another": (OWNED, doing(Verb.ACKNOWLEDGE, HIS), Objection.ALREADY_OWNED),
    "owned, release by another": (OWNED, doing(Verb.RELEASE, HIS), Objection.NOT_OWNER),
    "owned, close by another": (OWNED, doing(Verb.CLOSE, HIS, outcome=Outcome.TECHNICAL), Objection.NOT_OWNER),
    "owned, close without outcome": (OWNED, doing(Verb.CLOSE), Objection.NO_OUTCOME),
    "latched, close without inspection": (
        lambda: msgspec.structs.replace(owned(), code=Code.STRAP_TAMPER),
        doing(Verb.CLOSE, outcome=Outcome.TECHNICAL), Objection.NOT_INSPECTED,
    ),
    "raised, hand over": (RAISED, doing(Verb.HAND_OVER, to=HIS), Objection.NOT_ACKNOWLEDGED),
    "raised, hand off": (RAISED, HAND_OFF, Objection.NOT_ACKNOWLEDGED),
    "raised, a call": (RAISED, CALL, Objection.NOT_ACKNOWLEDGED),
    "owned, take over by another": (OWNED, doing(Verb.TAKE_OVER, HIS, note="mine"), Objection.ALREADY_OWNED),
    "owned, take over without a reason": (
        OWNED, doing(Verb.TAKE_OVER, HIS, note=" ", supervises=True), Objection.NO_REASON,
    ),
    "owned, hand over by another": (OWNED, doing(Verb.HAND_OVER, HIS, to=HIS), Objection.NOT_OWNER),
    "owned, hand over to nobody": (OWNED, doing(Verb.HAND_OVER, to=" "), Objection.NO_SUCCESSOR),
    "owned, a call by another": (OWNED, doing(Verb.DO, HIS, deed=CALL(None).deed), Objection.NOT_OWNER),
    "owned, nothing done": (OWNED, doing(Verb.DO), Objection.NO_DEED),
    "owned, hand off by another": (OWNED, doing(Verb.HAND_OFF, HIS), Objection.NOT_OWNER),
    "closed, take over": (CLOSED, TAKE_OVER, Objection.CLOSED),
    "closed, hand off": (CLOSED, HAND_OFF, Objection.CLOSED),
    "owned, another act under a key": (
        lambda: ruled(raised(), act(Verb.ACKNOWLEDGE, 1, keyed=KEYED)),
        doing(Verb.RELEASE, keyed=Keyed(key="k1", fingerprint="f2")), Objection.KEY_REUSED,
    ),
    "closed, acknowledge": (CLOSED, ACKNOWLEDGE, Objection.CLOSED),
    "closed, release": (CLOSED, RELEASE, Objection.CLOSED),
    "closed, close": (CLOSED, CLOSE, Objection.CLOSED),
    "raised, acknowledge of the one before": (RAISED, doing(Verb.ACKNOWLEDGE, episode=GONE), Objection.UNKNOWN),
    "owned, acknowledge of the one before": (OWNED, doing(Verb.ACKNOWLEDGE, episode=GONE), Objection.UNKNOWN),
    "owned, release of the one before": (OWNED, doing(Verb.RELEASE, episode=GONE), Objection.UNKNOWN),
    "owned, close of the one before": (
        OWNED, doing(Verb.CLOSE, episode=GONE, outcome=Outcome.ARRESTED), Objection.UNKNOWN,
    ),
    "closed, acknowledge of the one before": (CLOSED, doing(Verb.ACKNOWLEDGE, episode=GONE), Objection.UNKNOWN),
    "raised, stale acknowledge": (RAISED, lambda _: act(Verb.ACKNOWLEDGE, 0), STALE),
    "owned, stale release": (OWNED, lambda _: act(Verb.RELEASE, 1), STALE),
    "owned, stale close": (OWNED, lambda _: act(Verb.CLOSE, 1, outcome=Outcome.ARRESTED), STALE),
}  # fmt: skip

UNCHANGED: dict[str, tuple[Start, Event | Callable[[Episode | None], Act | Due], str]] = {
    "raised, its entry": (RAISED, came(FIRST), "applied_before"),
    "over, its entry": (OVER, came(FIRST), "applied_before"),
    "over, its exit": (OVER, came(OUT), "applied_before"),
    "owned, its entry": (OWNED, came(FIRST), "applied_before"),
    "owned, acknowledge by its owner": (OWNED, ACKNOWLEDGE, "acknowledged_before"),
    "owned, acknowledge by its owner as first seen": (
        OWNED, lambda _: act(Verb.ACKNOWLEDGE, 1), "acknowledged_before",
    ),
    "released, its acknowledgement again under its key": (
        lambda: ruled(ruled(raised(), act(Verb.ACKNOWLEDGE, 1, keyed=KEYED)), act(Verb.RELEASE, 2)),
        lambda _: act(Verb.ACKNOWLEDGE, 1, keyed=KEYED), "applied_before",
    ),
    "closed, its closing again under its key": (
        lambda: ruled(owned(), act(Verb.CLOSE, 2, outcome=Outcome.ARRESTED, keyed=KEYED)),
        lambda _: act(Verb.CLOSE, 2, outcome=Outcome.ARRESTED, keyed=KEYED), "applied_before",
    ),
    "raised, an hour before any": (RAISED, due, "nothing_due"),
    "owned, an hour before any": (OWNED, due, "nothing_due"),
    "closed, an hour": (CLOSED, due, "nothing_due"),
    "none, an hour": (NONE, due, "due_of_another_episode"),
    "raised, an hour of the one before": (RAISED, Due(episode=GONE, at_ms=NOW_MS), "due_of_another_episode"),
    "proven, its proof": (PROVEN, came(PROOF), "applied_before"),
    "none, doubt": (NONE, came(DOUBT), "opens_no_alert"),
    "raised, doubt": (RAISED, came(DOUBT), "opens_no_alert"),
    "closed, its entry": (CLOSED, came(FIRST), "applied_before"),
    "closed, its exit": (CLOSED, came(OUT), "closed_before_exit"),
    "none, exit of what was never said": (NONE, came(UNSAID), "exit_of_nothing_said"),
    "raised, exit of what was never said": (RAISED, came(UNSAID), "exit_of_nothing_said"),
    "closed, exit of what was never said": (CLOSED, came(UNSAID), "exit_of_nothing_said"),
}  # fmt: skip


def event_for(episode: Episode | None, event: Event | Callable[[Episode | None], Act | Due]) -> Event:
    return event(episode) if callable(event) else event


@pytest.mark.parametrize(("start", "event", "reason", "state", "is_over", "told"), MOVES.values(), ids=MOVES)
def test_move(
    start: Start,
    event: Event | Callable[[Episode | None], Act | Due],
    reason: str,
    state: State,
    is_over: bool,
    told: int,
) -> None:
    before = start()
    ruling = handle(before, event_for(before, event), REALM, NOW_MS)
    assert isinstance(ruling, Ruling), ruling
    after = ruling.episode
    assert (ruling.reason, after.state, after.over_ms is not None) == (reason, state, is_over)
    assert len(ruling.notifications) == told, [one.type for one in ruling.notifications]
    fresh = before is None or not before.is_open
    assert after.version == (1 if fresh or before is None else before.version + 1)
    assert after.follows == (before.id if fresh and before else None)
    assert (before is not None and after.id == before.id) is not fresh
    assert decode_ruling(encode(ruling)) == ruling


@pytest.mark.parametrize(("start", "event", "objection"), REFUSED.values(), ids=REFUSED)
def test_move_refused(start: Start, event: Callable[[Episode | None], Act], objection: Objection) -> None:
    before = start()
    assert handle(before, event(before), REALM, NOW_MS) == Refused(objection=objection, episode=before)


@pytest.mark.parametrize(("start", "event", "reason"), UNCHANGED.values(), ids=UNCHANGED)
def test_move_without_effect(
    start: Start, event: Event | Callable[[Episode | None], Act | Due], reason: str
) -> None:
    before = start()
    assert handle(before, event_for(before, event), REALM, NOW_MS) == Unchanged(reason=reason, episode=before)


def test_every_objection_is_in_the_table() -> None:
    assert {objection for _, _, objection in REFUSED.values()} == set(Objection)


def test_an_act_never_falls_upon_the_successor() -> None:
    """Both have had version 1: the number alone would let it through."""
    second = ruled(closed(), came(AGAIN))
    meant_for_the_first = act(Verb.ACKNOWLEDGE, second.version)
    assert handle(second, meant_for_the_first, REALM, NOW_MS) == Refused(
        objection=Objection.UNKNOWN, episode=second
    )
    assert ruled(second, act(Verb.ACKNOWLEDGE, second.version, episode=second.id)).owner == MINE


@pytest.mark.parametrize("seen", [0, 2, 99])
@pytest.mark.parametrize("verb", Verb)
def test_an_act_on_a_version_that_is_not_the_episodes_writes_nothing(verb: Verb, seen: int) -> None:
    answer = handle(raised(), act(verb, seen, outcome=Outcome.ARRESTED), REALM, NOW_MS)
    assert isinstance(answer, Refused)
    assert answer.objection is Objection.STALE


# --- an acknowledgement that was not followed up (F26) ---------------------------------------------------------


@pytest.mark.parametrize(("at_ms", "taken"), [(EXPIRED_MS - 1, False), (EXPIRED_MS, True), (EXPIRED_MS + 9, True)])
def test_anybody_may_take_an_expired_acknowledgement(at_ms: int, taken: bool) -> None:
    answer = handle(owned(), act(Verb.ACKNOWLEDGE, 2, HIS, at_ms), REALM, at_ms)
    if not taken:
        assert answer == Refused(objection=Objection.ALREADY_OWNED, episode=owned())
        return
    assert isinstance(answer, Ruling)
    assert (answer.episode.owner, answer.episode.version) == (HIS, 3)
    assert answer.episode.points.t9_ms == NOW_MS, "the first acknowledgement is t9"
    assert isinstance(handle(answer.episode, act(Verb.RELEASE, 3, MINE), REALM, at_ms), Refused)


def test_an_owner_may_take_his_own_again_and_close_late() -> None:
    again = ruled(owned(), act(Verb.ACKNOWLEDGE, 2, MINE, EXPIRED_MS), EXPIRED_MS)
    assert again.acknowledgement_expires_ms == EXPIRED_MS + ACK_EXPIRES_S * 1000
    assert ruled(owned(), act(Verb.CLOSE, 2, MINE, outcome=Outcome.ARRESTED), EXPIRED_MS).state is State.CLOSED


def test_a_release_leaves_nothing_of_the_owner() -> None:
    free = ruled(owned(), act(Verb.RELEASE, 2, MINE))
    assert (free.owner, free.acknowledged_ms, free.acknowledgement_expires_ms) == (None, None, None)
    assert ruled(free, act(Verb.ACKNOWLEDGE, 3, HIS)).owner == HIS


# --- in and out, in whatever order the log brings it -----------------------------------------------------------


def test_a_reentry_is_notified_again_under_the_next_version() -> None:
    """DOMAIN 3, EXIT: folding is for the reader, never a silence."""
    episode, told = over(), set()
    for number in range(2, 6):
        ruling = handle(episode, came(entry(f"fnd_in{number}", NOW_MS + number * 90_000)), REALM, NOW_MS)
        assert isinstance(ruling, Ruling)
        assert ruling.episode.version == episode.version + 1
        assert ruling.episode.raises[-1].version == ruling.episode.version
        told |= {one.id for one in ruling.notifications}
        episode = ruling.episode
    assert len(told) == 4 * 2


def test_an_exit_that_overtakes_its_entry_opens_the_very_episode_that_the_entry_would_have() -> None:
    overtaken = handle(None, came(OUT), REALM, NOW_MS)
    straight = handle(None, came(FIRST), REALM, NOW_MS)
    assert isinstance(overtaken, Ruling)
    assert isinstance(straight, Ruling)
    assert overtaken.episode.id == straight.episode.id
    assert overtaken.notifications == straight.notifications, "one webhook-id, whichever came first"
    assert (overtaken.episode.opened_ms, overtaken.episode.over_ms) == (FIRST.at_ms, OUT.at_ms)
    assert handle(overtaken.episode, came(FIRST), REALM, NOW_MS).reason == "applied_before"  # type: ignore[union-attr]


@pytest.mark.parametrize("order", ["E1 E2 X1", "E2 E1 X1", "E1 X1 E2", "X1 E1 E2", "X1 E2 E1", "E2 X1 E1"])
def test_he_who_came_back_is_never_shown_as_gone(order: str) -> None:
    """A lease that ended brings X1 behind E2: the exit that is over is not the one that counts."""
    episode: Episode | None = None
    events = {"E1": came(FIRST), "X1": came(OUT), "E2": came(AGAIN)}
    for name in order.split():
        answer = handle(episode, events[name], REALM, NOW_MS)
        episode = answer.episode
    assert episode is not None
    assert episode.over_ms is None
    assert {one.cause for one in episode.raises} == {FIRST.id, AGAIN.id}


@pytest.mark.parametrize("order", ["E1 X1 E2 X2", "E2 X2 E1 X1", "X2 X1 E2 E1", "E1 E2 X2 X1", "X1 X2 E1 E2"])
def test_he_who_left_is_shown_as_gone_since_his_last_exit(order: str) -> None:
    last = leaving(AGAIN, "fnd_out2")
    episode: Episode | None = None
    events = {"E1": came(FIRST), "X1": came(OUT), "E2": came(AGAIN), "X2": came(last)}
    for name in order.split():
        episode = handle(episode, events[name], REALM, NOW_MS).episode
    assert episode is not None
    assert episode.over_ms == last.at_ms


def test_f05_a_fix_from_before_a_loss_was_said_ends_it() -> None:
    """Said by the clock, and ended by a fix that was on its way: its own raising is no later entry."""
    loss = entry(code=Code.W_COMMS_LOSS)
    before = entry("fnd_in0", NOW_MS - 30_000, code=Code.W_COMMS_LOSS)
    heard = leaving(loss, after_s=-21)
    twice = ruled(ruled(None, came(before)), came(loss))
    assert ruled(twice, came(heard)).over_ms == NOW_MS, "never over before it began"
    again = entry("fnd_in2", NOW_MS + 1, code=Code.W_COMMS_LOSS)
    assert ruled(ruled(twice, came(again)), came(heard)).over_ms is None


def test_over_is_not_closed() -> None:
    """F27, invariant 7: what has ended by itself still waits for its human."""
    assert over().is_open
    assert ruled(over(), act(Verb.ACKNOWLEDGE, 2)).is_open


# --- what makes it certain -------------------------------------------------------------------------------------


def test_of_several_proofs_the_earliest_hour_stands_in_whatever_order() -> None:
    early, late = PROOF, entry("fnd_proof2", PROOF.at_ms + 5_000, code=Code.EVIDENTIAL_BREACH)
    for order in ((early, late), (late, early)):
        episode = raised()
        for one in order:
            episode = ruled(episode, came(one))
        assert (episode.evidential_ms, episode.version) == (early.at_ms, 3)
        assert {early.id, late.id} < set(episode.causes)
        assert len(episode.raises) == 1, "it is no raising: nobody is rung up"


@pytest.mark.parametrize("start", [NONE, CLOSED])
def test_a_proof_that_overtook_its_alert_waits_for_it_and_not_for_ever(start: Start) -> None:
    before, end_ms = start(), PROOF.at_ms + PROOF_WAITS_S * 1000
    for now_ms, waits in ((NOW_MS, True), (end_ms - 1, True), (end_ms, False)):
        answer = handle(before, came(PROOF), REALM, now_ms)
        assert answer == Unchanged(reason="no_alert_to_prove", episode=before, again=waits)
    assert ruled(ruled(before, came(AGAIN if before else FIRST)), came(
        msgspec.structs.replace(PROOF, at_ms=AGAIN.at_ms if before else PROOF.at_ms)
    )).evidential_ms is not None  # fmt: skip


def test_a_proof_of_the_visit_before_proves_nothing_of_this_one() -> None:
    """The human had closed that one: its evidence must not stand on the next."""
    second = ruled(closed(), came(AGAIN))
    early = PROOF_EARLY_MAX_S * 1000
    for at_ms, proves in ((PROOF.at_ms, False), (AGAIN.at_ms - early - 1, False), (AGAIN.at_ms - early, True)):
        answer = handle(second, came(msgspec.structs.replace(PROOF, at_ms=at_ms)), REALM, AGAIN.at_ms)
        assert isinstance(answer, Ruling) is proves, at_ms


def test_a_proof_is_only_of_the_alert_distance() -> None:
    """R24-20: no pre-alert, no countdown and no silence has a place where a proof could be written."""
    assert {place_of(entry(code=code)) for code in (Code.EVIDENTIAL_BREACH, Code.PROX_ALERT)} == {
        (Code.PROX_ALERT, "msr_1")
    }
    for code in set(CATALOGUE) - {Code.PROX_ALERT, Code.BAR_SOS, Code.TGD_SOS}:
        assert place_of(entry(code=code)) == (code, "msr_1")


# --- bounds ----------------------------------------------------------------------------------------------------


def test_an_episode_stays_small_and_keeps_its_opening() -> None:
    episode = ruled(None, came(entry("fnd_0")))
    for number in range(1, EPISODE_CAUSES_MAX + 20):
        episode = ruled(episode, came(entry(f"fnd_{number}", NOW_MS + number)))
    assert (len(episode.causes), len(episode.raises)) == (EPISODE_CAUSES_MAX, EPISODE_RAISES_MAX)
    assert episode.raises[0].cause == "fnd_0"
    assert episode.raises[-1].cause == f"fnd_{EPISODE_CAUSES_MAX + 19}"


# --- receipts --------------------------------------------------------------------------------------------------


def receipt(
    episode: Episode,
    channel: Channel = Channel.TELEASSISTANCE,
    t7: int = 10,
    t8: int | None = 20,
    result: str = ACCEPTED,
) -> Receipt:
    return Receipt(
        notification="evt_1", episode=episode.id, version=1, channel=channel, attempt=1, t7_ms=NOW_MS + t7,
        t8_ms=None if t8 is None else NOW_MS + t8, result=result,
    )  # fmt: skip


def test_receipts_are_idempotent_and_commute() -> None:
    episode = raised()
    some = [receipt(episode, t7=30, t8=None), receipt(episode), receipt(episode, t7=12, t8=15)]
    for order in (some, some[::-1], [*some, *some], [some[1], some[2], some[0]]):
        after = episode
        for one in order:
            answer = handle(after, one, REALM, NOW_MS)
            assert isinstance(answer, Ruling | Unchanged)
            assert not isinstance(answer, Ruling) or answer.notifications == ()
            assert answer.episode is not None
            after = answer.episode
        assert (after.points.t7_ms, after.points.t8_ms, after.version) == (NOW_MS + 10, NOW_MS + 15, 1)
        assert handle(after, some[0], REALM, NOW_MS) == Unchanged(reason="receipt_known", episode=after)


def test_t8_is_the_teleassistance_and_nobody_else() -> None:
    """DOMAIN 2: the P1 budget is t3 to the téléassistance's 2xx; the police's is not it."""
    after = ruled(raised(), receipt(raised(), Channel.POLICE))
    assert (after.points.t7_ms, after.points.t8_ms) == (NOW_MS + 10, None)


@pytest.mark.parametrize("channel", Channel)
@pytest.mark.parametrize("result", UNSENT)
def test_where_nobody_is_told_nothing_was_handed_over(channel: Channel, result: str) -> None:
    """A t7 without a recipient would be a stage on time that nobody was told in."""
    nobody = receipt(raised(), channel, result=result)
    assert handle(raised(), nobody, REALM, NOW_MS) == Unchanged(reason="receipt_known", episode=raised())
    tried = ruled(raised(), receipt(raised(), channel, t8=None, result="timeout"))
    assert tried.points.t7_ms == NOW_MS + 10, "an attempt that failed was handed over"


def test_a_receipt_of_the_episode_before_changes_nothing() -> None:
    other = msgspec.structs.replace(receipt(raised()), episode="alr_other")
    assert handle(raised(), other, REALM, NOW_MS).reason == "receipt_of_another_episode"  # type: ignore[union-attr]
    assert handle(None, other, REALM, NOW_MS).reason == "receipt_of_another_episode"  # type: ignore[union-attr]


# --- names -----------------------------------------------------------------------------------------------------


def test_two_desks_derive_the_same_names() -> None:
    """A6: names are derived; the hour of the second desk changes none of them."""
    early, late = handle(None, came(FIRST), REALM, NOW_MS), handle(None, came(FIRST), REALM, NOW_MS + 9_000)
    assert isinstance(early, Ruling)
    assert isinstance(late, Ruling)
    assert early.episode.id == late.episode.id
    assert early.notifications == late.notifications
    assert encode(early) == encode(handle(None, came(entry()), REALM, NOW_MS)), "byte for byte (invariant 11)"  # type: ignore[arg-type]


def test_names_differ_by_place_version_kind_and_channel() -> None:
    names = set()
    for code in (Code.PROX_ALERT, Code.PROX_PREALERT):
        for measure in ("msr_1", "msr_2"):
            episode: Episode | None = None
            mine = derived("alr", code, measure, FIRST.id)
            for event in (
                came(entry(code=code, measure=measure)), act(Verb.ACKNOWLEDGE, 1, episode=mine),
                act(Verb.RELEASE, 2, episode=mine), act(Verb.ACKNOWLEDGE, 3, episode=mine),
                act(Verb.CLOSE, 4, episode=mine, outcome=Outcome.ARRESTED),
            ):  # fmt: skip
                ruling = handle(episode, event, REALM, NOW_MS)
                assert isinstance(ruling, Ruling)
                sat = (
                    isinstance(event, Act) and event.verb is not Verb.CLOSE
                )  # who takes it is not told to the rooms
                rooms = set() if sat else {Channel.POLICE}
                assert {one.channel for one in ruling.notifications} == set(CATALOGUE[code].told) & {
                    Channel.TELEASSISTANCE,
                    *rooms,
                }
                new = {one.id for one in ruling.notifications}
                assert len(new) == len(ruling.notifications)
                assert not names & new
                names |= new
                episode = ruling.episode


def test_the_realm_is_the_deployments() -> None:
    """F38."""
    for realm in type(REALM):
        ruling = handle(None, came(FIRST), realm, NOW_MS)
        assert isinstance(ruling, Ruling)
        assert ruling.episode.realm is realm


def test_an_alert_that_is_worked_for_an_hour_stays_small_on_the_log() -> None:
    """F01: each ruling carries the deeds and the keys, all rulings stay, and a full log takes none. 60 calls were
    334 kB."""
    episode, bytes_ = owned(), 0
    for number in range(60):
        keyed = Keyed(key=f"{number:032x}", fingerprint=f"{number:032x}", at_ms=NOW_MS)
        deed = Deed(kind=DeedKind.CALL, party=Party.WEARER, reply=Reply.ANSWERED, at_ms=NOW_MS)
        done = act(Verb.DO, episode.version, deed=deed, keyed=keyed)
        ruling = handle(episode, done, REALM, NOW_MS)
        assert isinstance(ruling, Ruling)
        episode, bytes_ = ruling.episode, bytes_ + len(encode(ruling))
    assert (episode.deeds[-1].at_ms, episode.keyed[-1].key) == (NOW_MS, f"{59:032x}")
    assert bytes_ < 240_000
    repeated = act(Verb.DO, 2, deed=episode.deeds[-1], keyed=episode.keyed[0])
    assert isinstance(handle(episode, repeated, REALM, NOW_MS), Unchanged), "a repetition within minutes is known"
