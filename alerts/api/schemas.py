"""What do bodies look like, on the way in and on the way out?

Requests are strict: a field that is not known is refused, a number is a number. Times are RFC 3339 with a zone;
ours are UTC with milliseconds. No reply here has a coordinate but the zones of a measure, shown to whom may order
it.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from alerts.api.places import Authorised, Place
from tocsin.clock import from_rfc3339
from tocsin.limits import HANDOFF_ROOMS_MAX, REPORTS_EVERY_MAX_S
from tocsin.model.device import DeviceKind
from tocsin.model.episode import DeedKind, Outcome, Reply, State, Verb
from tocsin.model.episode import Party as DeedParty
from tocsin.model.episode import Rung as EpisodeRung
from tocsin.model.finding import Code
from tocsin.model.fleet import Dimension, Party
from tocsin.model.ids import DEVICE_ID, RESERVED_NAMES
from tocsin.model.room import ROOM_NAME
from tocsin.model.standing import Protection

NOTE_MAX = 2000


def _is_time(text: str) -> str:
    from_rfc3339(text)
    return text


Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-21T20:15:00.000Z"])]
TimeIn = Annotated[
    str,
    Field(
        pattern=r"^2[01]\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$",
        json_schema_extra={"format": "date-time"},
        examples=["2026-11-21T20:15:00Z"],
    ),
    AfterValidator(_is_time),
]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
NewDeviceId = Annotated[
    str,
    Field(
        pattern=f"^{DEVICE_ID.pattern}$",
        json_schema_extra={"not": {"enum": sorted(RESERVED_NAMES)}},
        examples=["bracelet-1"],
    ),
]


ReportsEvery = Annotated[
    Annotated[int, Field(strict=True, ge=1, le=REPORTS_EVERY_MAX_S)] | None,
    Field(
        description="Seconds between two positions of a device that takes no orders about it, a phone with an app "
        "of its own. null: it is told how often.",
        examples=[30],
    ),
]


TRAIT_MAX = 64
Trait = Annotated[
    Annotated[str, Field(strict=True, max_length=TRAIT_MAX, pattern=r"^[!-~]([ -~]*[!-~])?$")] | None,
    Field(description="Devices of one word are watched together for falling silent together. null: not known."),
]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


NoteText = Annotated[str, Field(max_length=NOTE_MAX, pattern=r"^[^\x00]*$")]
Reason = Annotated[str, Field(min_length=1, max_length=NOTE_MAX, pattern=r"^[^\x00]*\S[^\x00]*$")]
PersonName = Annotated[
    str,
    Field(
        min_length=1, max_length=80, pattern=r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$",
        examples=["D. Martin"],
    ),
]  # fmt: skip


class AcknowledgementRequest(Request):
    """I take it, in this job; or I take it from whoever has it, and say why."""

    job: Literal["monitor", "teleassistance"] | None = None
    take_over: Annotated[bool, Field(strict=True)] = False
    reason: Annotated[Reason | None, Field(description="With take_over, and only then.")] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.take_over and self.reason is None:
            raise ValueError("a take-over has a reason")
        if not self.take_over and self.reason is not None:
            raise ValueError("only a take-over has a reason")
        if not self.take_over and self.job is None:
            raise ValueError("in which job?")
        return self

    @property
    def note(self) -> str:
        """What stands in the record."""
        said = [f"job: {self.job}"] if self.job else []
        return "; ".join([*said, *([self.reason] if self.reason else [])])


class HandoverRequest(Request):
    """It is his from now on."""

    to: PersonName
    note: NoteText = ""


_WITH_SOMEBODY = frozenset({DeedKind.CALL, DeedKind.ORDER, DeedKind.MESSAGE})
_WITH_OUTCOME = frozenset({DeedKind.CALL, DeedKind.ORDER})


class ActionRequest(Request):
    """What I did about it: a ``call``, an ``order`` or a ``message`` to somebody, a ``note``; ``no_voice``: nobody
    speaks on the line; ``no_police``: I have decided that the police are not needed.

    ``outcome`` of a call or an order, if there is one yet. ``started_at`` left out: now.
    """

    kind: DeedKind
    party: DeedParty | None = None
    outcome: Reply | None = None
    started_at: TimeIn | None = None
    ended_at: TimeIn | None = None
    note: NoteText = ""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.party is not None) != (self.kind in _WITH_SOMEBODY):
            raise ValueError("a call, an order and a message are to somebody, and nothing else is: party")
        if self.outcome is not None and self.kind not in _WITH_OUTCOME:
            raise ValueError("only a call or an order has an outcome")
        if self.ended_at is not None and self.started_at is None:
            raise ValueError("what has ended has started: started_at")
        if self.ended_at and self.started_at and from_rfc3339(self.ended_at) < from_rfc3339(self.started_at):
            raise ValueError("it ended before it started")
        return self


class HandoffRequest(Request):
    """To the police, verified by me. No rooms: those of the place."""

    rooms: Annotated[
        list[Annotated[str, Field(pattern=f"^{ROOM_NAME.pattern}$", examples=["CIC-13"])]],
        Field(max_length=HANDOFF_ROOMS_MAX),
    ] = []
    note: NoteText = ""


class CallbackRequest(Request):
    """Who answers the link of a notification."""

    by: PersonName
    act: Literal["acknowledge"]


class ClosureRequest(Request):
    """How it ended, from the closed list."""

    outcome: Outcome
    note: NoteText = ""
    inspected: Annotated[
        bool,
        Field(strict=True, description="The device was looked at. A latched alert is not closed without."),
    ] = False


class MeasureRequest(Request):
    """One wearer kept away from one protected person; the pre-alert distance is twice the alert distance."""

    wearer: Name
    protected: Name
    alert_distance_m: Annotated[int, Field(strict=True, description="Whole kilometres, 1000 to 10000.")]
    valid_from: TimeIn
    valid_until: TimeIn
    zones: Annotated[list[Place], Field(description="Fixed places, in GeoJSON: longitude first.")] = []
    authorised: Annotated[
        Authorised | None,
        Field(description="Hours at which nearness is recorded and nobody is alerted. null: none."),
    ] = None


class DeviceRequest(Request):
    """A unit that may speak from now on. Its id is its login, and never given again."""

    id: NewDeviceId
    kind: DeviceKind
    reports_every_s: ReportsEvery = None
    carrier: Trait = None
    apn: Trait = None
    region: Trait = None
    firmware: Trait = None

    def traits(self) -> dict[str, str | None]:
        """What it may lose together with others."""
        return {"carrier": self.carrier, "apn": self.apn, "region": self.region, "firmware": self.firmware}


class Me(BaseModel):
    """Who the server takes you for, and what you may do; ``verbs``: to an alert. ``service``: the account of a
    platform, which speaks for ``name``."""

    name: str
    role: str
    realm: str
    auth: Literal["token", "off"]
    permissions: list[str]
    verbs: list[str] = []
    service: str | None = None


class Distance(BaseModel):
    """Between the two parties at the newest raise that knew it; ``threshold_m`` is the ring that it is about.

    ``lower_m`` to ``upper_m`` is where it may be; ``fixes_at`` the hour of the older fix that it rests on.
    """

    best_m: float
    accuracy_m: float | None
    lower_m: float | None
    upper_m: float | None
    threshold_m: int | None
    at: Time
    fixes_at: Time | None


class BlindRisk(BaseModel):
    """From when on the silent one may be at the alert distance: at the worst and at the plausible speed."""

    worst_at: Time | None
    plausible_at: Time | None


class Approach(BaseModel):
    """Who approached since the crossing before this one: how much nearer each has come by moving, below 0 farther;
    ``wearer_share_pct`` null: nobody moved enough to say."""

    wearer_share_pct: int | None
    wearer_m: float
    protected_m: float


class Clock(BaseModel):
    """The hours that the first raise passed (DOMAIN section 2)."""

    t1: Time | None = None
    t2: Time | None = None
    t3: Time | None = None
    t4: Time | None = None
    t5: Time | None = None
    t6: Time | None = None
    t7: Time | None = None
    t8: Time | None = None
    t9: Time | None = None


class Correction(BaseModel):
    """What fixes that came late show of a visit: from when to when he was inside, and how near. ``withdrawn``:
    that it was none; then the numbers are those of what is taken back. ``authorised``: all of it was allowed."""

    at: Time
    first_at: Time
    last_at: Time
    nearest_at: Time
    best_m: float | None
    lower_m: float | None
    upper_m: float | None
    withdrawn: bool
    authorised: bool


class FleetSilence(BaseModel):
    """A group of devices that fell silent together, as it was found: ``silent`` of ``expected`` devices that
    should speak, in ``pairs`` measures; none of the silent ones has been heard since ``since``."""

    dimension: Dimension
    value: str
    silent: int
    expected: int
    since: Time
    pairs: int


class Deed(BaseModel):
    """What was done about it, as the operator said."""

    kind: DeedKind
    at: Time
    until: Time | None
    party: DeedParty | None
    outcome: Reply | None


class Rung(BaseModel):
    """Who was told because nobody had it, and when."""

    rung: EpisodeRung
    at: Time


Phase = Literal["raised", "presented", "acknowledged", "in_action", "handed_off", "over", "closed", "folded"]


class Alert(BaseModel):
    """An alert as everybody at the desk sees it.

    ``phase``: how far it has come, told by the facts below: ``raised``, nobody has it; ``presented``, nor yet, but
    the téléassistance has taken the notification of its newest raise; ``acknowledged``; ``in_action``, its owner
    has done something since he took it; ``handed_off``, to the police; ``over``, and it waits to be closed;
    ``closed``; ``folded`` into an incident. What is given back, or expires, is ``raised`` again.
    ``waiting_since``: nobody has it since; ``rungs``: who was told for that. ``deeds``: what was done.
    ``verified``: by a human, or by a second fix, since ``verified_at``. ``decided_at``: when a human decided about
    the police, either way. ``protected_told_at``: since when her unit shows it.

    Of the newest raise: ``low_confidence`` (a poor or implausible fix, unproven), ``alert_expected_at``
    (IMMINENT: when he reaches the alert distance if both go on like this), ``silent_since`` and ``blind_risk``
    (losses, DEGRADED), ``approach`` (a ring: who came nearer), ``call_wearer_not_before`` (a pre-alert: the
    earliest hour of the call to him, null: at once; IMMINENT and an alert override it). ``evidential_at``: since
    when the breach is certain whatever the accuracy. ``zone``: the place of the measure that it is about, by its
    id. ``authorised``: allowed at its hour, kept and told to nobody. ``latched``: nothing that a device says ends
    it, and it is closed only once the device was ``inspected``. ``events``: what units said of themselves that
    raised it.
    ``corrections``: appended when fixes come late, oldest first; what was said stays as it was said.
    """

    id: str
    version: int
    code: Code
    label: str
    duty: str
    priority: int
    state: State
    phase: Phase
    owner: str | None
    measures: list[str]
    device: str | None
    occurred_at: Time
    recorded_at: Time
    over_at: Time | None
    acknowledged_at: Time | None
    expires_at: Time | None
    distance: Distance | None
    low_confidence: bool
    alert_expected_at: Time | None
    silent_since: Time | None
    blind_risk: BlindRisk | None
    approach: Approach | None
    call_wearer_not_before: Time | None
    evidential_at: Time | None
    zone: str | None
    authorised: bool
    corrections: list[Correction] = []
    raises: int
    silent: bool
    clock: Clock
    outcome: Outcome | None
    closed_at: Time | None
    closed_by: str | None
    follows: str | None
    latched: bool
    inspected: bool
    events: list[str]
    fleet: FleetSilence | None = None
    folded_into: str | None = None
    waiting_since: Time | None = None
    rungs: list[Rung] = []
    deeds: list[Deed] = []
    verified: bool = False
    verified_at: Time | None = None
    decided_at: Time | None = None
    handed_off_at: Time | None = None
    protected_told_at: Time | None = None


class Alerts(BaseModel):
    """``next`` continues this list; ``cursor`` is where the live feed continues (``/live?since=``)."""

    items: list[Alert]
    next: str | None
    cursor: str


class MeasureProtection(BaseModel):
    """How well one measure is protected at ``at`` of the reply.

    ``age_s``: how long ``protection`` has been what it is, ``reason`` why, in the word of the engine.
    ``blind_risk``: the hours of blind risk if nobody speaks from now on, null while no loss and no uncertainty is
    open; ``blind_worst_s``, ``blind_plausible_s``: the seconds until then, negative: risk now. ``updated_at``:
    when geofence last changed any of this; ``wearer_heard_at``, ``protected_heard_at``: the last message by then.
    """

    measure: str
    protection: Protection
    since: Time
    age_s: float
    reason: str
    zone: Literal["far", "prealert", "alert"]
    uncertain_since: Time | None
    wearer_heard_at: Time | None
    protected_heard_at: Time | None
    blind_risk: BlindRisk | None
    blind_worst_s: float | None
    blind_plausible_s: float | None
    updated_at: Time


class ProtectionCounts(BaseModel):
    """Of all measures that are judged, whatever was asked for."""

    protected: int
    degraded: int
    unprotected: int


class Protections(BaseModel):
    items: list[MeasureProtection]
    next: str | None
    counts: ProtectionCounts
    at: Time


class PairInIncident(BaseModel):
    """One measure of an incident: who is silent, the hours of blind risk, how it stands and its own open
    alerts."""

    measure: str
    silent: Party
    blind_risk: BlindRisk | None
    blind_worst_s: float | None
    protection: Protection | None
    alerts: list[str]


class IncidentReply(BaseModel):
    """``pairs`` ranked: who may be at blind risk soonest comes first, then those of whom nobody can say.
    ``complete``: all of them; else the most urgent of them. ``at``: as it stood then."""

    alert: str
    dimension: Dimension
    value: str
    silent: int
    expected: int
    since: Time
    at: Time
    complete: bool
    pairs: list[PairInIncident]


class Acknowledgement(BaseModel):
    by: str
    at: Time
    expires_at: Time
    version: int


class ActReply(BaseModel):
    """What you did, as the log has it. A repetition has the same answer."""

    alert: str
    verb: Verb
    by: str
    service: str | None
    at: Time


class TimelineEntry(BaseModel):
    """``nature`` keeps what was measured or done apart from what a human judged."""

    at: Time
    source: Literal["machine", "human", "delivery"]
    nature: Literal["fact", "assessment"]
    what: str
    version: int
    actor: str | None = None
    detail: dict[str, str | int | float | bool | None] = {}


class TimelineReply(BaseModel):
    alert: str
    entries: list[TimelineEntry]


class MeasureReply(BaseModel):
    """``in_force`` at the hour of the reply."""

    id: str
    version: int
    wearer: str
    protected: str
    alert_distance_m: int
    prealert_distance_m: int
    valid_from: Time
    valid_until: Time
    in_force: bool
    created_at: Time
    created_by: str
    ended_at: Time | None
    ended_by: str | None
    zones: list[Place] = []
    authorised: Authorised | None = None


class Measures(BaseModel):
    items: list[MeasureReply]
    next: str | None


class DeviceReply(BaseModel):
    """``measures`` that have not ended and name it. ``revoked_at``: since when it may not speak.
    ``reports_every_s``: null where it is told how often."""

    id: str
    kind: DeviceKind
    measures: list[str]
    revoked_at: Time | None = None
    reports_every_s: int | None = None
    carrier: str | None = None
    apn: str | None = None
    region: str | None = None
    firmware: str | None = None


class NewDevice(DeviceReply):
    """``password`` is shown once, in the reply that made it; a repeated request gets null."""

    password: str | None


class Devices(BaseModel):
    items: list[DeviceReply]
    next: str | None


class Check(BaseModel):
    name: Literal["log", "record", "projection", "protection"]
    ok: bool
    needed: bool
    detail: str = ""


class Readiness(BaseModel):
    """``ready``: alerts are served and acted upon. ``degraded``: without the record, or without knowing how the
    measures are protected."""

    ready: bool
    draining: bool
    degraded: bool
    checks: list[Check]


class FieldError(BaseModel):
    """``pointer`` into the body, or ``parameter`` and where it was ``in``."""

    pointer: str | None = None
    parameter: str | None = None
    place: Annotated[str | None, Field(alias="in")] = None
    code: str
    detail: str


class ProblemDocument(BaseModel):
    """RFC 9457. 412 and 409 add ``etag``, ``owner``, ``expires_at``; a device in use adds ``measures``."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: str
    title: str
    status: int
    detail: str
    trace_id: str
    errors: list[FieldError] | None = None
