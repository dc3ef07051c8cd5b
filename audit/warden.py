"""Is anything of the system nearly full, behind, or wrong about the time? The judgement; ``audit.warding`` looks.

*Full* (SYS_CAPACITY): each bounded resource against its bound. From HALF on it is written to the log, at NOTICE
and again at URGENT a notice begins, each in a place of its own (``FIXES_bytes-70``, ``FIXES_bytes-85``), so that
the second rings although the first was taken; it ends EASED below where it began. Of what gives way to newer
messages when it is full there is the figure and no notice. The catalogue has one priority for both: a bound that
is met stops the road (F01), and who is woken at 70 % still has time.

*Behind* (SYS_PIPELINE_LAG): the age of the oldest message that a queue has not settled (of a courier, who keeps
a message for as long as its recipient is away: not been handed), by when the end of the stream was first seen
behind it. Never older than it is, by a look at most younger. A reader without a queue is judged from the first
word of a life that the warden has heard on, or from STARTING_MS behind its own beginning.

*Wrong about the time* (SYS_CLOCK): our clock against the steady one (a step), the log's and the record's. A step
is said for STEP_TOLD_MS, an offset for as long as it lasts, and only if two looks agree and the answer was quick.

Pure; milliseconds, hours handed in. Ids are derived.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tocsin.clock import MS
from tocsin.model.episode import Channel
from tocsin.model.finding import Change, Code
from tocsin.model.ids import derived
from tocsin.model.notice import Notice
from tocsin.model.tally import Tally
from tocsin.ports import Progress, Usage
from tocsin.subjects import ARCHIVIST_FIXES, RECORDER_EPISODES, dispatcher, fixes

HALF, NOTICE, URGENT = 0.50, 0.70, 0.85  # F01: capacity alarms at 50/70/85 % of every bounded resource
EASED = 0.05  # so far below its level a notice ends: what comes and goes at the edge rings once
OFFSET_MAX_MS = 5 * MS  # DOMAIN 3: a skew above 5 s is an event
OFFSET_WELL_MS = 2 * MS
ANSWER_MAX_MS = 1 * MS  # an answer that took longer says nothing of the hour
STEP_MIN_MS = 1 * MS  # as the geofence: less is NTP at work
STEP_TOLD_MS = 300 * MS
LOOKS_MAX = 10_000  # half a day at one each 5 s

Place = tuple[Code, str]


def reader_of(partition: int) -> Stage:
    """The geofence's own reading of the fixes of a partition."""
    word = f"geofence-{partition}"
    return Stage(word=word, stream="FIXES", queue="", bound_ms=ALERT_MS, subject=fixes(partition))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A queue that must keep up. ``bound_ms``: beside an outage of its own it is never so far behind. ``queue``
    empty: a reader of ``subject`` that tells its place in the bucket ``tallies`` under ``word``."""

    word: str
    stream: str
    queue: str
    bound_ms: int
    handed: bool = False
    subject: str = ""


ALERT_MS = 10 * MS  # an alert has as long to its recipient in all (DOMAIN 2), and a look is each 5 s
STARTING_MS = 60 * MS  # who has not told its place since then does not come up
RECORD_MS = 600 * MS  # the record may be away for minutes, and nothing on the road waits for it
STAGES = (
    Stage(word="dispatcher-alarms", stream="ALARMS", queue="dispatcher-alarms", bound_ms=ALERT_MS),
    *(
        Stage(word=queue, stream="FINDINGS", queue=queue, bound_ms=ALERT_MS)
        for queue in (dispatcher(code.value) for code in (Code.PROX_ALERT, Code.IMMINENT, Code.ZONE_CORE_ENTRY))
    ),
    *(
        Stage(
            word=f"courier-{one.value}",
            stream="EPISODES",
            queue=f"courier-{one.value}",
            bound_ms=ALERT_MS,
            handed=True,
        )
        for one in (Channel.TELEASSISTANCE, Channel.POLICE, Channel.OPERATIONS)
    ),
    Stage(word="dispatcher-notices", stream="NOTICES", queue="dispatcher-notices", bound_ms=60 * MS),
    Stage(word="archivist", stream="FIXES", queue=ARCHIVIST_FIXES, bound_ms=RECORD_MS),
    Stage(word="recorder", stream="EPISODES", queue=RECORDER_EPISODES, bound_ms=RECORD_MS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What holds now, and should stand as an episode."""

    code: Code
    subject: str
    reason: str
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def place(self) -> Place:
        return self.code, self.subject


@dataclass(slots=True)
class Standing:
    """What was said to have begun, by place: the id of the beginning and its hour. Learnt from EPISODES at the
    start, so that another life ends what this one began."""

    begun: dict[Place, tuple[str, int]] = field(default_factory=dict)

    def notices(self, troubles: Iterable[Trouble], of: frozenset[Code], now_ms: int) -> list[Notice]:
        """What is to be said so that what stands is what holds; ``of``: the codes that could be judged now."""
        held = {one.place: one for one in troubles}
        said = [self._begin(one, now_ms) for place, one in held.items() if place not in self.begun]
        over = [place for place in self.begun if place[0] in of and place not in held]
        return said + [self._end(place, now_ms) for place in over]

    def _begin(self, one: Trouble, now_ms: int) -> Notice:
        name = derived("ntc", one.code, one.subject, Change.ENTRY, now_ms)
        self.begun[one.place] = name, now_ms
        return Notice(
            id=name, code=one.code, subject=one.subject, change=Change.ENTRY, at_ms=now_ms, entry=name,
            entry_ms=now_ms, reason=one.reason, facts=one.facts,
        )  # fmt: skip

    def _end(self, place: Place, now_ms: int) -> Notice:
        entry, entry_ms = self.begun.pop(place)
        code, subject = place
        return Notice(
            id=derived("ntc", entry, Change.EXIT), code=code, subject=subject, change=Change.EXIT, at_ms=now_ms,
            entry=entry, entry_ms=entry_ms, reason="no_longer",
        )  # fmt: skip


# --- full ------------------------------------------------------------------------------------------------------


def too_full(usages: Iterable[Usage], begun: Mapping[Place, object]) -> Iterator[Trouble]:
    for one in usages:
        if one.gives_way:
            continue
        for level in (NOTICE, URGENT):
            subject = f"{one.resource.replace('.', '_')}-{level * 100:.0f}"
            least = level - EASED if (Code.SYS_CAPACITY, subject) in begun else level
            if one.ratio >= least:
                facts = (("resource", one.resource), ("used", f"{one.ratio:.0%}"), ("bound", f"{one.bound:.0f}"))
                yield Trouble(
                    code=Code.SYS_CAPACITY, subject=subject, reason=f"above_{level * 100:.0f}_percent", facts=facts
                )


# --- behind ----------------------------------------------------------------------------------------------------


class Backlog:
    """One queue: when was the end of its stream first seen beyond what it has settled?"""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._ends: deque[tuple[int, int]] = deque(maxlen=LOOKS_MAX)

    def age_ms(self, progress: Progress, now_ms: int) -> int:
        """Of the oldest message that it has before it; 0: none."""
        settled = progress.handed if self.stage.handed else progress.settled
        if self._ends and progress.end < self._ends[-1][1]:
            self._ends.clear()  # another stream of this name
        if not self._ends or progress.end > self._ends[-1][1]:
            self._ends.append((now_ms, progress.end))
        while self._ends and self._ends[0][1] <= settled:
            self._ends.popleft()
        return now_ms - self._ends[0][0] if self._ends else 0


class Heard:
    """The place of a reader that tells it in ``tallies``. What stands there when the warden begins is perhaps of a
    life before: a stack that starts, or is upgraded, has its geofence read to the present first."""

    def __init__(self) -> None:
        self.place = 0
        self._first: tuple[tuple[str, int] | None] | None = None
        self._is_alive = False

    def tells(self, subject: str, tally: Tally | None) -> None:
        """At each look; None: nothing stands there."""
        told = None if tally is None else (tally.life, tally.at_ms)
        self.place = self.place if tally is None else tally.places.get(subject, 0)
        if self._first is None:
            self._first = (told,)
        self._is_alive = self._is_alive or (told is not None and told != self._first[0])

    def is_judged(self, since_began_ms: int) -> bool:
        return self._is_alive or since_began_ms >= STARTING_MS


def behind(ages_ms: Mapping[Stage, int | None], begun: Mapping[Place, object]) -> Iterator[Trouble]:
    """None: it cannot be judged yet; what has begun of it stands."""
    for stage, age_ms in ages_ms.items():
        if age_ms is None:
            if (Code.SYS_PIPELINE_LAG, stage.word) in begun:
                yield Trouble(code=Code.SYS_PIPELINE_LAG, subject=stage.word, reason="oldest_unsettled")
        elif age_ms >= stage.bound_ms:
            facts = (("stage", stage.word), ("oldest_s", str(age_ms // MS)), ("stream", stage.stream))
            yield Trouble(code=Code.SYS_PIPELINE_LAG, subject=stage.word, reason="oldest_unsettled", facts=facts)


# --- wrong about the time --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Another clock's answer, between two looks at ours."""

    before_ms: int
    said_ms: int
    after_ms: int

    @property
    def offset_ms(self) -> int | None:
        """Theirs less ours; None: it took too long to say."""
        took_ms = self.after_ms - self.before_ms
        return self.said_ms - (self.before_ms + took_ms // 2) if 0 <= took_ms <= ANSWER_MAX_MS else None


class Clocks:
    """What the looks at the clocks have shown."""

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None
        self._stepped: tuple[int, int] | None = None
        self._offsets: dict[str, deque[int]] = {}

    def stepped_ms(self, wall_ms: int, steady_ms: int) -> int:
        """How far our clock has been set since the last look; below 0: back. ``steady_ms`` cannot be set."""
        if self._last is None:
            self._last = wall_ms, steady_ms
            return 0
        step_ms = (wall_ms - self._last[0]) - (steady_ms - self._last[1])
        self._last = wall_ms, steady_ms
        if abs(step_ms) >= STEP_MIN_MS:
            self._stepped = step_ms, steady_ms
        elif self._stepped is not None and steady_ms - self._stepped[1] >= STEP_TOLD_MS:
            self._stepped = None
        return step_ms

    def answered(self, whose: str, asked: Asked) -> int | None:
        """Of ``log`` or ``record``: the offset, if it says anything."""
        offset_ms = asked.offset_ms
        if offset_ms is not None:
            self._offsets.setdefault(whose, deque(maxlen=2)).append(offset_ms)
        return offset_ms

    def troubles(self, begun: Mapping[Place, object]) -> Iterator[Trouble]:
        if self._stepped is not None:
            step_ms, _ = self._stepped
            reason = "set_back" if step_ms < 0 else "set_forward"
            yield Trouble(
                code=Code.SYS_CLOCK, subject="step", reason=reason, facts=(("step_s", f"{step_ms / MS:.1f}"),)
            )
        for whose, two in self._offsets.items():
            most_ms = OFFSET_WELL_MS if (Code.SYS_CLOCK, whose) in begun else OFFSET_MAX_MS
            if len(two) == two.maxlen and min(map(abs, two)) > most_ms:
                facts = (("against", whose), ("offset_s", f"{two[-1] / MS:.1f}"))
                yield Trouble(code=Code.SYS_CLOCK, subject=whose, reason="offset", facts=facts)
