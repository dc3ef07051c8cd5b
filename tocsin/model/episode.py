"""What is an alert between its first hour and its last?

An *episode* (in the API an *alert*) is one chain of events that one set of humans handles. Its life:

    raised -> acknowledged -> (released -> raised) -> closed
    folded -> (raised)

``over`` is a fact about the world (the wearer has left the ring) and not a state of the life: an episode that
is over still waits for a human who closes it with an outcome (invariant 7), and a re-entry before that raises
it again.

A loss that one incident of many devices explains is *folded* into it: kept, ended when the silent one is heard,
told to nobody; if it outlasts the incident it is raised.

A ``Ruling`` is one step of that life as the log keeps it: the episode after the step, what caused it, whom to
tell. The last ruling on a subject is the episode.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tocsin.model.canary import is_canarys
from tocsin.model.finding import Alarm, Code, Finding
from tocsin.model.fix import ClockPoints, FixPoint
from tocsin.model.fleet import Silenced
from tocsin.model.notice import Notice


class Realm(StrEnum):
    """Whether this is the world, a drill or a laboratory; they never mix (F38)."""

    PRODUCTION = "production"
    EXERCISE = "exercise"
    LAB = "lab"


class State(StrEnum):
    RAISED = "raised"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
    FOLDED = "folded"


class Outcome(StrEnum):
    """The closed list with which a human ends an episode (DOMAIN section 4)."""

    ARRESTED = "arrested"
    LEFT_ZONE = "left_zone"
    RELOCATED = "relocated"
    FALSE_ALARM = "false_alarm"
    TECHNICAL = "technical"


class Channel(StrEnum):
    """Who can be told. UNIT: the protected person, on her own unit. OPERATIONS: who keeps the system running."""

    TELEASSISTANCE = "teleassistance"
    POLICE = "police"
    UNIT = "unit"
    OPERATIONS = "operations"


class Verb(StrEnum):
    """What a human can do to an episode."""

    ACKNOWLEDGE = "acknowledge"
    RELEASE = "release"
    CLOSE = "close"
    TAKE_OVER = "take_over"
    HAND_OVER = "hand_over"
    DO = "do"
    HAND_OFF = "hand_off"


class DeedKind(StrEnum):
    """What an operator did about an alert while it was his. NO_VOICE: nobody speaks on the line of a pressed key,
    or the call was cut. NO_POLICE: he has decided that the police are not needed."""

    CALL = "call"
    ORDER = "order"
    MESSAGE = "message"
    NOTE = "note"
    NO_VOICE = "no_voice"
    NO_POLICE = "no_police"


class Party(StrEnum):
    """With whom."""

    WEARER = "wearer"
    PROTECTED = "protected"
    POLICE = "police"
    CONTACT = "contact"


class Reply(StrEnum):
    """What came of a call or an order."""

    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    REFUSED = "refused"
    COMPLIES = "complies"


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an operator did, as he says; ``at_ms`` is when, ``until_ms`` when it ended, None: he does not
    say."""

    kind: DeedKind
    at_ms: int
    party: Party | None = None
    reply: Reply | None = None
    until_ms: int | None = None


class Rung(StrEnum):
    """Who is told next when nobody has taken it (DOMAIN section 4, escalation). URGENT: what was P2 is P1 now."""

    OPERATORS = "operators"
    SUPERVISOR = "supervisor"
    BACKUP_SITE = "backup_site"
    POLICE = "police"
    URGENT = "urgent"


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """A rung, and when it was climbed."""

    rung: Rung
    at_ms: int


class Keyed(msgspec.Struct, frozen=True, kw_only=True):
    """An act that was applied: its idempotency key, as a hash with who spoke, and a hash of what it said. When:
    its repetition is answered with that."""

    key: str
    fingerprint: str
    at_ms: int = 0


class Act(msgspec.Struct, frozen=True, kw_only=True, tag="act"):
    """One named human does one thing to one episode. ``expected_version`` is what he saw (If-Match).
    ``inspected``: the device was looked at, on the body that it belongs on.

    ``to``: whom it is handed over to. ``deed``: what was done (DO). ``rooms``: which rooms of the police it is
    handed off to, none named: those of the place. ``supervises``: he may take from whoever has it. ``service``:
    the account of the téléassistance's platform that speaks for him, empty when he speaks himself. ``keyed``: the
    idempotency key it came under."""

    verb: Verb
    episode: str
    actor: str
    at_ms: int
    expected_version: int
    outcome: Outcome | None = None
    note: str = ""
    inspected: bool = False
    to: str = ""
    deed: Deed | None = None
    rooms: tuple[str, ...] = ()
    supervises: bool = False
    service: str = ""
    keyed: Keyed | None = None


class Receipt(msgspec.Struct, frozen=True, kw_only=True, tag="receipt"):
    """One attempt to deliver one notification, and what came of it.

    ``t8_ms`` is None unless the other side took it (2xx). ``channel`` is whose endpoint it was: OPERATIONS where
    operations were told of what the téléassistance did not take. ``line``: which of the lines of the notification
    (``alerts.telling``), or which of the units that it was for; empty in receipts of 0.1.0. Two attempts at one
    notification differ in number, hour or line: the record keeps them by these.

    ``canary``: whether its alert is a canary's, by whoever had the alert before him; None: a version of before,
    that did not say.
    """

    notification: str
    episode: str
    version: int
    channel: Channel
    attempt: int
    t7_ms: int
    t8_ms: int | None
    result: str
    status: int | None = None
    recipient: str = ""
    line: str = ""
    canary: bool | None = None


class Unfold(msgspec.Struct, frozen=True, kw_only=True, tag="unfold"):
    """The incident (an episode's id) is over or closed: what is still folded into it is an alert of its own."""

    incident: str


class Due(msgspec.Struct, frozen=True, kw_only=True, tag="due"):
    """An hour has come that the episode's own state has set (``alerts.escalation``). ``closing``: whether the
    wearer still comes nearer, where that was asked; None: not known, which counts as yes."""

    episode: str
    at_ms: int
    closing: bool | None = None


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """What explains a loss: the incident's episode, and its subject on the log."""

    incident: str
    group: str


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """Something that one recipient must be told. ``id`` is the ``webhook-id`` of every attempt.

    ``recipient`` is the room of the police, or SECOND of two endpoints; empty on a channel that has one (and in
    rulings of 0.1.0). ``audience``: the rung that this is for, empty at the first telling.
    """

    id: str
    channel: Channel
    type: str
    recipient: str = ""
    audience: Rung | None = None


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One message to a room: its name and its hour are what a later one refers to it by."""

    id: str
    at_ms: int


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A room that has heard of this episode: its first message and the newest ones, in their order."""

    room: str
    sent: tuple[Sent, ...]


class Raise(msgspec.Struct, frozen=True, kw_only=True):
    """One time the alarm was given: at the opening, at a re-entry, at another press of the key.

    ``threshold_m`` is None for a key and for what a unit said, until it is judged. ``distance_dm`` is None then,
    and where one party was never heard; ``lower_dm`` to ``upper_dm`` is where the distance may be, ``fixes_ms``
    the hour of the older of the two fixes that it rests on. The fields behind ``silent`` are those of the finding
    (``model.finding``), None where it said nothing of them. ``priority`` None: the catalogue's. ``event``: the
    word of the unit that rang at once, ``local`` that it had decided so by itself; ``judged``: the finding that
    confirmed or lowered it. ``call_not_before_ms``: the earliest hour of a call to the wearer about it
    (``alerts.calls``), None: at once.
    """

    version: int
    cause: str
    at_ms: int
    points: ClockPoints
    distance_dm: int | None = None
    accuracy_dm: int | None = None
    threshold_m: int | None = None
    silent: bool = False
    lower_dm: int | None = None
    upper_dm: int | None = None
    fixes_ms: int | None = None
    low_confidence: bool = False
    alert_ms: int | None = None
    silent_since_ms: int | None = None
    blind_worst_ms: int | None = None
    blind_plausible_ms: int | None = None
    authorised: bool = False
    zone: str | None = None
    crossed_from_ms: int | None = None
    crossed_until_ms: int | None = None
    priority: int | None = None
    event: str = ""
    local: bool = False
    judged: str | None = None
    wearer_share_pct: int | None = None
    wearer_approach_dm: int | None = None
    protected_approach_dm: int | None = None
    call_not_before_ms: int | None = None
    silenced: Silenced | None = None

    @property
    def is_key(self) -> bool:
        """Somebody pressed; else something was found between two parties, or said by a unit."""
        return self.threshold_m is None and not self.event


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """What fixes that came late show of a visit that was known, or said, otherwise. Appended, never in place of
    what was said. ``withdrawn``: they show that it was none; then the numbers are those of what is taken back.
    ``authorised``: all of it was allowed by the order.
    """

    cause: str
    at_ms: int
    first_ms: int
    last_ms: int
    nearest_ms: int
    distance_dm: int | None
    lower_dm: int | None
    upper_dm: int | None
    withdrawn: bool = False
    authorised: bool = False


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as it stands.

    ``subject`` is the measure (PROX_*) or the device (SOS) it is about; (code, subject) is its place on the log.
    ``version`` counts what a human can see change, and is the ETag. ``causes`` are the ids of findings and alarms
    already applied, newest last: what is redelivered changes nothing. ``told`` are the rooms of the police that
    have heard of it: they hear of its end too, wherever she is by then. ``evidential_ms``: since when the breach
    is certain whatever the accuracy (EVIDENTIAL_BREACH); None: it is an alert, and no proof. ``authorised``: what
    was found was allowed at that hour; nobody was told, and it was closed when it was opened. ``priority`` is that
    of its most urgent raising. ``inspected``: who closed it says that the device was looked at.
    ``corrections``: what late fixes changed of it, in the order in which that was found.
    ``folded``: the incident that explains it, or once did.

    ``waiting_ms``: since when no human has it, the zero of its ladder; None while one has, and once closed.
    ``rungs``: those climbed since then. ``deeds``: what was done about it, newest last. ``verified_ms``: since
    when a human, or a second fix, has confirmed it. ``decided_ms``: when a human decided about the police, either
    way; ``handed_off_ms``: when the rooms were told on his word, of this visit. ``protected_told_ms``: since when
    her unit shows this alert, None: it does not (any longer). ``keyed``: the acts that were applied, for their
    repetition.

    ``lasting_ms``: since when it lasts without a break. ``undecided_ms``: since when somebody has to decide about
    the police; None: nobody has to, or the rooms know. ``rooms``: of the place of the newest raising, told or not;
    ``wearer``, ``protected``: where both were then, for a room that hears of it later; forgotten at the close.
    ``seen_from``: the oldest version on which an act may rest: a rung climbed since then takes nothing from what
    the actor saw (0: rulings of before, only the newest). ``free_from``: since which version nobody has it, which
    is enough for whoever takes it (0: rulings of before); ``freed_ms``: when somebody who had it had it no longer,
    the last time, None: never.
    """

    id: str
    code: Code
    subject: str
    realm: Realm
    priority: int
    state: State
    version: int
    opened_ms: int
    recorded_ms: int
    measures: tuple[str, ...]
    device: str | None
    raises: tuple[Raise, ...]
    causes: tuple[str, ...]
    over_ms: int | None = None
    owner: str | None = None
    acknowledged_ms: int | None = None
    acknowledgement_expires_ms: int | None = None
    outcome: Outcome | None = None
    closed_by: str | None = None
    closed_ms: int | None = None
    note: str = ""
    follows: str | None = None
    told: tuple[Told, ...] = ()
    evidential_ms: int | None = None
    authorised: bool = False
    inspected: bool = False
    corrections: tuple[Correction, ...] = ()
    folded: Fold | None = None
    waiting_ms: int | None = None
    rungs: tuple[Reached, ...] = ()
    deeds: tuple[Deed, ...] = ()
    verified_ms: int | None = None
    decided_ms: int | None = None
    handed_off_ms: int | None = None
    protected_told_ms: int | None = None
    keyed: tuple[Keyed, ...] = ()
    lasting_ms: int | None = None
    undecided_ms: int | None = None
    rooms: tuple[str, ...] = ()
    wearer: FixPoint | None = None
    protected: FixPoint | None = None
    seen_from: int = 0
    free_from: int = 0
    freed_ms: int | None = None

    @property
    def points(self) -> ClockPoints:
        """The clock points of the opening; t9 is the first acknowledgement."""
        return self.raises[0].points

    @property
    def is_open(self) -> bool:
        """Some human has to do with it."""
        return self.state not in {State.CLOSED, State.FOLDED}

    @property
    def is_folded(self) -> bool:
        """Kept for an incident, and not ended by itself meanwhile."""
        return self.state is State.FOLDED and self.over_ms is None

    @property
    def lasts(self) -> bool:
        """Neither over nor closed."""
        return self.is_open and self.over_ms is None

    @property
    def is_canary(self) -> bool:
        """It is about invented people alone (``tocsin.model.canary``)."""
        return is_canarys(self.code.value, self.measures, self.device)

    @property
    def is_silent(self) -> bool:
        """A key once pressed in silence stays silent, and so does one behind which nobody spoke."""
        return self.code is Code.TGD_SOS_SILENT or any(one.silent for one in self.raises)

    @property
    def is_verified(self) -> bool:
        """By a human, who handed this visit off. A second fix proves the place, and lifts no doubt for a room."""
        return self.handed_off_ms is not None

    @property
    def is_doubtful(self) -> bool:
        """The newest raising rests on a poor or implausible fix, and no proof has come since."""
        newest, proven_ms = self.raises[-1], self.evidential_ms
        return newest.low_confidence and (proven_ms is None or proven_ms < newest.at_ms)


class FindingCause(msgspec.Struct, frozen=True, kw_only=True, tag="finding"):
    finding: Finding


class AlarmCause(msgspec.Struct, frozen=True, kw_only=True, tag="alarm"):
    alarm: Alarm


class NoticeCause(msgspec.Struct, frozen=True, kw_only=True, tag="notice"):
    notice: Notice


Event = FindingCause | AlarmCause | NoticeCause | Act | Receipt | Unfold | Due


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """One step: the episode after it, its cause, whom to tell, and the reason in a word."""

    episode: Episode
    event: Event
    notifications: tuple[Notification, ...]
    reason: str
    at_ms: int
