"""Is everything that a unit said on the log?

The ear hears the broker beside ingest and reads the log behind it. What must be there (``audit.ear_reading``) is
expected; what is found, or was found before (a repetition), agrees; what is missing is a difference that names the
device and its number. A message is called missing only on evidence, so that an outage is not taken for a loss:

* PATIENCE_MS have passed, and the ear has read the streams up to where they ended after that;
* ingest has had the session at the broker since before it; what a dead one had in hand comes again within
  STRAGGLER_MAX_S;
* ingest was *overtaken*: the log has what was heard a second later on the same lane; or it is *idle*: two tallies
  of one life took nothing and hold nothing. Without either for WAIT_MAX_MS, with the log well: said all the same.

When its own session is cut the ear forgets what it still expected: it may have heard what the broker never kept.
What was measured before it followed the log it does not judge: it may be a repetition of what it never read.
Pure; milliseconds, hours handed in. No coordinates are held.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from audit.ear_reading import Ringing, Row, RowKey
from audit.law import Difference
from tocsin.clock import MS
from tocsin.limits import SEQ_WINDOW, STRAGGLER_MAX_S
from tocsin.model.tally import Tally
from tocsin.subjects import ALARMS, FIXES, LATE
from tocsin.telemetry import EAR_MESSAGES

NAME = "ear"
PATIENCE_MS = 5 * MS  # ingest's 5 ms of company and an append are a twentieth of a second
OVERTAKEN_MS = 1 * MS  # two sessions hear the same message within milliseconds
HELD_MS = 10 * MS  # the same words without a number, so soon behind an alarm: a key held down, on the log once
TALLY_FRESH_MS = 3 * MS  # one is written each second
WAIT_MAX_MS = 60 * MS  # a part that is restarted is back long before
RECENT_MS = 60 * MS  # what was read from the log waits so long for being heard
ALARM_KNOWN_MS = 3 * RECENT_MS  # the log itself knows a name for two minutes
EXPECTED_MAX = 200_000  # 20 minutes of 10,000 units at 60 s: 60 MB; beyond, all is forgotten and said
NAMED_MAX = 20  # differences at once that name what is missing; of the others the number
FIX, ALARM = "fix", "alarm"
STREAMS: Mapping[str, tuple[str, ...]] = {FIX: (FIXES.name, LATE.name), ALARM: (ALARMS.name,)}
LANE_OF = {"fixes": FIX, "alarms-1": ALARM, "alarms-2": ALARM}

Key = RowKey | str
"""A row's numbers, or the id of an alarm."""


class Window:
    """Which numbers of one device the log has: for each place in SEQ_WINDOW the newest, of its newest boot. At
    least what ingest knows it by (``docs/device-protocol.md``: boot, seq and hour say that it is a repetition)."""

    __slots__ = ("_boot", "_hours", "_seqs")

    def __init__(self) -> None:
        self._boot = -1
        self._seqs = array("q", [-1]) * SEQ_WINDOW
        self._hours = array("q", [0]) * SEQ_WINDOW

    def add(self, boot: int, seq: int, hour_ms: int) -> None:
        if boot > self._boot:
            self.__init__()  # type: ignore[misc]
            self._boot = boot
        if boot == self._boot and seq >= self._seqs[seq % SEQ_WINDOW]:
            self._seqs[seq % SEQ_WINDOW], self._hours[seq % SEQ_WINDOW] = seq, hour_ms

    def has(self, boot: int, seq: int, hour_ms: int) -> bool:
        place = seq % SEQ_WINDOW
        return boot == self._boot and self._seqs[place] == seq and self._hours[place] == hour_ms


@dataclass(slots=True)
class Expectation:
    device: str
    seq: int | None
    heard_ms: int


@dataclass(slots=True)
class Lane:
    """What the ear knows of one lane. ``overtaken_ms``: when the newest that the log has was heard."""

    expected: dict[Key, Expectation] = field(default_factory=dict)
    recent: dict[Key, int] = field(default_factory=dict)
    overtaken_ms: int = 0
    readers: dict[str, Reader] = field(default_factory=dict)


@dataclass(slots=True)
class Reader:
    """A part of ingest, by its tallies. ``idle_ms``: since when it has taken nothing and held nothing."""

    life: str
    heard_ms: int
    listening_ms: int
    taken: int
    shed: int
    idle_ms: int | None = None


class Ear:
    """``audit.law.Law``. ``since_ms``: the hour at which it began to follow the log. ``rate``: of the clock.
    ``steady_ms``: the same moment by the clock of all the other hours here, if that is another one."""

    name = NAME

    def __init__(self, since_ms: int, rate: float = 1.0, *, steady_ms: int | None = None) -> None:
        self._since_ms = since_ms
        self._rate = max(1.0, rate)
        self._lanes = {FIX: Lane(), ALARM: Lane()}
        self._windows: dict[int, Window] = {}
        self._nameless: list[Expectation] = []
        self._rang_ms: dict[str, int] = {}
        self._words_ms: dict[tuple[str, bytes], int] = {}
        self._known_alarms: dict[Key, int] = {}
        self._read_ms: dict[str, int] = {}
        self._unwell_ms = since_ms if steady_ms is None else steady_ms

    def _span(self, ms: int) -> int:
        return int(ms * self._rate)

    @property
    def waiting(self) -> int:
        return sum(len(lane.expected) for lane in self._lanes.values()) + len(self._nameless)

    # --- what it hears from units ---------------------------------------------------------------------------

    def heard(self, due: Iterable[Row | Ringing], now_ms: int) -> None:
        for one in due:
            if isinstance(one, Row):
                _, _, seq, hour_ms = one.key
                self._expect(FIX, one.key, hour_ms, Expectation(one.device, seq, now_ms))
            elif one.id is not None and one.at_ms is not None:
                self._expect(ALARM, one.id, one.at_ms, Expectation(one.device, one.seq, now_ms))
            else:
                self._expect_any(one, now_ms)
        if self.waiting > EXPECTED_MAX:
            self.forget(now_ms)

    def _expect(self, where: str, key: Key, hour_ms: int, expectation: Expectation) -> None:
        lane = self._lanes[where]
        if (read_ms := lane.recent.pop(key, None)) is not None:
            lane.overtaken_ms = max(lane.overtaken_ms, min(read_ms, expectation.heard_ms))
            EAR_MESSAGES.labels(outcome="agreed").inc()
        elif hour_ms < self._since_ms:
            EAR_MESSAGES.labels(outcome="before").inc()
        elif self._is_repeated(key):
            EAR_MESSAGES.labels(outcome="repeated").inc()
        else:
            lane.expected.setdefault(key, expectation)

    def _expect_any(self, one: Ringing, now_ms: int) -> None:
        behind_ms = now_ms - self._rang_ms.get(one.device, 0)
        said_ms = self._words_ms.get((one.device, one.words))
        self._words_ms[one.device, one.words] = now_ms
        held_ms = HELD_MS + self._span(OVERTAKEN_MS)
        if said_ms is not None and max(behind_ms, now_ms - said_ms) <= held_ms:
            EAR_MESSAGES.labels(outcome="repeated").inc()
        elif behind_ms > self._span(OVERTAKEN_MS):
            self._nameless.append(Expectation(one.device, None, now_ms))

    def _is_repeated(self, key: Key) -> bool:
        if isinstance(key, str):
            return (
                key in self._known_alarms
            )  # the log keeps a press once, and again when it has forgotten its name
        number, boot, seq, hour_ms = key
        window = self._windows.get(number)
        return window is not None and window.has(boot, seq, hour_ms)

    def forget(self, now_ms: int) -> None:
        """What is expected is expected no longer: the session was cut, or there is no room."""
        EAR_MESSAGES.labels(outcome="forgotten").inc(self.waiting)
        for lane in self._lanes.values():
            lane.expected.clear()
        self._nameless.clear()
        self._unwell_ms = now_ms

    def forget_device(self, device: str) -> None:
        """It was changed, or may speak no longer: which of the two admission knew is not known here."""
        for lane in self._lanes.values():
            for key in [key for key, one in lane.expected.items() if one.device == device]:
                del lane.expected[key]
        self._nameless = [one for one in self._nameless if one.device != device]

    # --- what it reads on the log ---------------------------------------------------------------------------

    def rows(self, rows: Iterable[RowKey], now_ms: int) -> None:
        """Numbers of each row of a message of FIXES or LATE; those without numbers are nobody's."""
        lane = self._lanes[FIX]
        for key in rows:
            number, boot, seq, hour_ms = key
            if seq < 0:
                continue
            window = self._windows.get(number)
            if window is None:
                window = self._windows[number] = Window()
            window.add(boot, seq, hour_ms)
            self._found(lane, key, now_ms)

    def alarm(self, name: str, device: str, now_ms: int) -> None:
        self._rang_ms[device] = now_ms
        self._known_alarms.pop(name, None)
        self._known_alarms[name] = now_ms
        self._nameless = [one for one in self._nameless if one.device != device]
        self._found(self._lanes[ALARM], name, now_ms)

    def _found(self, lane: Lane, key: Key, now_ms: int) -> None:
        expectation = lane.expected.pop(key, None)
        if expectation is None:
            lane.recent.pop(key, None)
            lane.recent[key] = now_ms  # behind the others: they are in the order of reading
            return
        EAR_MESSAGES.labels(outcome="agreed").inc()
        lane.overtaken_ms = max(lane.overtaken_ms, expectation.heard_ms)
        if now_ms - expectation.heard_ms > self._span(PATIENCE_MS):
            self._unwell_ms = now_ms  # late is not lost: the others that wait may come as late

    def read_up_to_the_end_of(self, stream: str, asked_ms: int) -> None:
        """All that was on the stream at this hour has been handed to this law."""
        self._read_ms[stream] = asked_ms

    def away(self, now_ms: int) -> None:
        """The log could not be asked."""
        self._unwell_ms = now_ms

    # --- what it knows of ingest ----------------------------------------------------------------------------

    def tallied(self, tally: Tally, now_ms: int) -> None:
        where = LANE_OF.get(tally.part)
        if where is None:
            return
        messages = tally.accounts["messages"]
        old = self._lanes[where].readers.get(tally.part)
        still = (
            old is not None
            and (old.life, old.taken) == (tally.life, messages.taken)
            and messages.in_hand == 0
            and old.listening_ms == tally.listening_ms
        )
        idle_ms = (old.idle_ms or now_ms) if still and old is not None else None
        shed = messages.outcomes.get("dropped_qos_0", 0)
        if shed > (old.shed if old is not None and old.life == tally.life else 0):
            self.forget(now_ms)  # counted there; which ones they were is not known here
        reader = Reader(tally.life, now_ms, tally.listening_ms, messages.taken, shed, idle_ms)
        self._lanes[where].readers[tally.part] = reader

    def _evidence(self, where: str, heard_ms: int, now_ms: int) -> bool:
        """That what was heard at this hour would be on the log by now."""
        lane = self._lanes[where]
        for reader in lane.readers.values():
            fresh = now_ms - reader.heard_ms <= self._span(TALLY_FRESH_MS)
            if not fresh or not reader.listening_ms or not self._had_it(reader, heard_ms, now_ms):
                continue
            idle = reader.idle_ms is not None and reader.heard_ms >= heard_ms + self._span(PATIENCE_MS)
            if idle or lane.overtaken_ms >= heard_ms + self._span(OVERTAKEN_MS):
                return True
        return now_ms >= max(heard_ms, self._unwell_ms) + self._span(WAIT_MAX_MS)

    def _had_it(self, reader: Reader, heard_ms: int, now_ms: int) -> bool:
        if reader.listening_ms + self._span(OVERTAKEN_MS) <= heard_ms:
            return True
        return now_ms >= reader.listening_ms + self._span(STRAGGLER_MAX_S * MS)

    # --- what it says ---------------------------------------------------------------------------------------

    def differences(self, now_ms: int) -> list[Difference]:
        missing = [*self._missing(now_ms)]
        EAR_MESSAGES.labels(outcome="missing").inc(len(missing))
        for lane in self._lanes.values():
            _drop_older(lane.recent, now_ms - self._span(RECENT_MS))
        _drop_older(self._known_alarms, now_ms - self._span(ALARM_KNOWN_MS))
        since_ms = now_ms - self._span(RECENT_MS)
        self._rang_ms = {one: at for one, at in self._rang_ms.items() if at >= since_ms}
        self._words_ms = {one: at for one, at in self._words_ms.items() if at >= since_ms}
        named = [_difference(where, one) for where, one in missing[:NAMED_MAX]]
        if more := missing[NAMED_MAX:]:
            since_ms = min(one.heard_ms for _, one in more)
            detail = f"{len(more)} more messages of units are not on the log."
            named.append(Difference(law=NAME, about="log", since_ms=since_ms, detail=detail))
        return named

    def _missing(self, now_ms: int) -> Iterator[tuple[str, Expectation]]:
        for where, lane in self._lanes.items():
            read_ms = min(self._read_ms.get(stream, 0) for stream in STREAMS[where])
            before_ms = min(now_ms, read_ms) - self._span(PATIENCE_MS)
            for key, one in list(lane.expected.items()):
                if one.heard_ms > before_ms:
                    break  # in the order of hearing
                if self._evidence(where, one.heard_ms, now_ms):
                    del lane.expected[key]
                    yield where, one
            if where == ALARM:
                due = [one for one in self._nameless if one.heard_ms <= before_ms]
                for one in due:
                    if self._evidence(where, one.heard_ms, now_ms):
                        self._nameless.remove(one)
                        yield where, one


def _difference(where: str, one: Expectation) -> Difference:
    number = "without a number" if one.seq is None else f"seq {one.seq}"
    stream = " nor ".join(STREAMS[where])
    detail = f"{one.device} said {number}; it is not on {stream}."
    return Difference(law=NAME, about=one.device, since_ms=one.heard_ms, detail=detail)


def _drop_older(recent: dict[Key, int], than_ms: int) -> None:
    """In the order of reading, so that the oldest are first."""
    while recent:
        key = next(iter(recent))
        if recent[key] >= than_ms:
            return
        del recent[key]
