"""A story of two people and their units, told to the real engine second by second.

Places are complex numbers, metres east and north (``1j``) of one house; hours are "mm:ss" since the story began.
Each second is a tick; a report made then is received 0.4 s later. A unit obeys what the engine asks of it, unless
it was built to report at its own interval, and hears nothing while it is silent.

    story = Story()
    story.she.stands(0)
    story.he.stands(3000).is_silent("00:10", "20:00")
    desk = story.play("20:00")
    assert desk.spans("UNCERTAIN") == [("01:51", None)]
"""

from __future__ import annotations

from cmath import phase
from collections import Counter
from math import degrees

import msgspec
import numpy as np
from geofence_pairs import GEOD, HOME, T0_MS, P, W, device, order, roster

from geofence import engine
from geofence.pair_table import PairTable, Roster, roster_of
from tocsin.model.command import Action
from tocsin.model.finding import Change
from tocsin.model.fix import ABSENT, FIX_DTYPE, FixFlag

LATENCY_MS = 400
NOTHING = np.empty(0, FIX_DTYPE)


def s(hour):
    """Seconds of the story."""
    minutes, seconds = str(hour).split(":")
    return 60 * int(minutes) + int(seconds)


def hour(at_s):
    return f"{int(at_s) // 60:02d}:{int(at_s) % 60:02d}"


def ms(hour_):
    return T0_MS + 1000 * s(hour_)


class Unit:
    """One person with a unit. ``reports_every_s``: a phone's fixed interval; None obeys."""

    def __init__(self, number, *, reports_every_s=None):
        self.number, self.reports_every_s = number, reports_every_s
        self.way, self.silences, self.blind, self.extra = [(0.0, 0j)], [], [], []
        self.accuracy_m, self.interval_s, self.last_s, self.asked = 5.0, reports_every_s or 60, None, False
        self.first_s, self.own, self.events = 0, [], []

    # --- what happens to him

    def stands(self, place):
        self.way = [(0.0, complex(place))]
        return self

    def starts(self, at):
        self.first_s = s(at)
        return self

    def goes(self, since, to, m_s):
        """From ``since``, or from when he arrived if that was later, straight to ``to``."""
        start_s = max(float(s(since)), self.way[-1][0])
        self.way.append((start_s, self.way[-1][1]))
        self.way.append((start_s + abs(to - self.way[-1][1]) / m_s, complex(to)))
        return self

    def is_silent(self, since, until="9999:00"):
        self.silences.append((s(since), s(until)))
        return self

    def has_no_gnss(self, since, until="9999:00"):
        self.blind.append((s(since), s(until)))
        return self

    def says(self, at, place=None, **more):
        """One message more, whatever the interval: ``accuracy_m`` (None: untold), ``age_s``, ``speed_m_s``."""
        self.extra.append((s(at), place, more))
        return self

    def says_of_itself(self, since="00:00", until="9999:00", **fields):
        """``battery`` %, ``strap``, ``case``, ``permission`` (Tell), ``pair`` s; None: it does not say. The later
        word holds."""
        self.own.append((s(since), s(until), fields))
        return self

    def happens(self, at, event, *, age_s=0.0, seq=None, **fields):
        """An event, heard at ``at``; it happened ``age_s`` before."""
        self.events.append((s(at), event, age_s, seq, fields))
        return self

    def tells(self, accuracy_m):
        self.accuracy_m = accuracy_m
        return self

    # --- what his unit does

    def place(self, at_s):
        east = np.interp(at_s, [t for t, _ in self.way], [z.real for _, z in self.way])
        north = np.interp(at_s, [t for t, _ in self.way], [z.imag for _, z in self.way])
        return complex(east, north)

    def reports(self, at_s):
        """The messages that leave it in this second."""
        told = [self._message(at_s, place, **more) for at, place, more in self.extra if at == at_s]
        told += [self._event(at_s, *more) for at, *more in self.events if at == at_s]
        if at_s < self.first_s or _within(at_s, self.silences):
            return told
        if self.last_s is None or at_s >= self.last_s + self.interval_s or self.asked:
            self.last_s, self.asked = at_s, False
            told.append(self._message(at_s, presence=_within(at_s, self.blind)))
        return told

    def hears(self, command, at_s):
        if self.reports_every_s is not None or _within(at_s, self.silences):
            return
        if command.action is Action.REPORT_LOCATION:
            self.asked = True
        else:
            self.interval_s = command.interval_s

    def _event(self, at_s, event, age_s, seq, fields):
        row = message(self.number, 0j, T0_MS + 1000 * at_s, presence=True)
        row["fix_ms"], row["boot"] = T0_MS + 1000 * at_s - round(1000 * age_s), 1
        row["seq"] = 10**6 + at_s if seq is None else seq
        row["event"] = event
        return _dressed(row, fields)

    def _of_itself(self, at_s):
        said = {}
        for since, until, fields in self.own:
            if since <= at_s < until:
                said |= fields
        return said

    def _message(self, at_s, place=None, *, accuracy_m=..., age_s=0.0, speed_m_s=None, presence=False, source=0,
                 of_itself=None):  # fmt: skip
        place = self.place(at_s - age_s) if place is None else complex(place)
        accuracy_m = self.accuracy_m if accuracy_m is ... else accuracy_m
        row = message(
            self.number, place, T0_MS + 1000 * at_s, age_s=age_s, accuracy_m=accuracy_m,
            speed_m_s=speed_m_s, presence=presence,
        )  # fmt: skip
        row["source"] = source
        if not self.own or of_itself is False:
            return row
        return _dressed(row, self._of_itself(at_s) | (of_itself or {}))


def _dressed(row, said):
    row["telemetry"] = 1
    row["battery_pct"] = ABSENT if said.get("battery") is None else said["battery"]
    row["pair_s1"] = 0 if said.get("pair") is None else said["pair"] + 1
    for name in ("strap", "case", "permission"):
        row[name] = said.get(name) or 0
    return row


def message(number, place, at_ms, *, age_s=0.0, accuracy_m=5.0, speed_m_s=None, presence=False):
    """One row of the fix lane, sent at ``at_ms``; an ``age_s`` below 0 is a clock ahead."""
    lon, lat, _ = GEOD.fwd(HOME[1], HOME[0], 90.0 - degrees(phase(place)), abs(place))
    row = np.zeros(1, FIX_DTYPE)
    row["device"], row["seq"] = number, at_ms // 1000 % 10**6
    row["fix_ms"], row["sent_ms"] = at_ms - round(1000 * age_s), at_ms
    row["t3_ms"] = row["t4_ms"] = at_ms + LATENCY_MS
    row["lat_e6"], row["lon_e6"] = round(lat * 1e6), round(lon * 1e6)
    row["accuracy_dm"] = ABSENT if accuracy_m is None else round(10 * accuracy_m)
    row["speed_cms"] = ABSENT if speed_m_s is None else round(100 * speed_m_s)
    if presence:
        row["flags"], row["fix_ms"] = FixFlag.PRESENCE, row["t3_ms"]
    return row


def _within(at_s, spans):
    return any(since <= at_s < until for since, until in spans)


class Story:
    """One measure, of 1 km unless said otherwise; ``he`` wears the bracelet, ``she`` is protected."""

    def __init__(self, *, he_every_s=None, she_every_s=None, **measure):
        self.he, self.she = Unit(W, reports_every_s=he_every_s), Unit(P, reports_every_s=she_every_s)
        self.order, self.revisions = order(**measure), {}

    def orders(self, at, **changed):
        """Another version of the measure from this second on; what is not named is as in the first."""
        version = self.order.version + 1 + len(self.revisions)
        self.revisions[s(at)] = msgspec.structs.replace(self.order, version=version, **changed)
        return self

    def play(self, until):
        units = {device(one.number).id: one for one in (self.he, self.she)}
        devices = {
            name: msgspec.structs.replace(device(one.number), reports_every_s=one.reports_every_s)
            for name, one in units.items()
        }
        desk = Desk(roster_of([self.order], devices, partition=0, partitions=1))
        for at_s in range(s(until) + 1):
            if at_s in self.revisions:
                desk.revise(roster_of([self.revisions[at_s]], devices, partition=0, partitions=1), at_s)
            desk.tick(at_s)
            for report in [report for unit in (self.she, self.he) for report in unit.reports(at_s)]:
                desk.take(report, at_s)
            for command in desk.heard_in(at_s):
                units[command.device].hears(command, at_s)
        return desk


class Desk:
    """What the engine has said, and when; the standing of the pair as it was known second by second."""

    def __init__(self, measures):
        self.findings, self.commands, self.standings = [], [], []
        self.counts, self.broken, self.told = Counter(), [], []
        self.table = PairTable(Roster())
        self.table, first = engine.revise(self.table, measures, T0_MS - 1000)
        self._hear(first, 0)

    @classmethod
    def of_measure(cls, **measure):
        return cls(roster(order(**measure)))

    def revise(self, measures, at_s):
        self.table, step = engine.revise(self.table, measures, T0_MS + 1000 * at_s)
        self._hear(step, at_s)

    def tick(self, at_s):
        self._hear(engine.step(self.table, NOTHING, T0_MS + 1000 * at_s), at_s)
        self._look(at_s)

    def take(self, batch, at_s):
        self._hear(engine.step(self.table, batch, int(batch["t3_ms"][-1])), at_s)

    def _hear(self, step, at_s):
        self.findings.extend((at_s, one) for one in step.findings)
        self.commands.extend((at_s, one) for one in step.commands)
        self.broken.extend(step.broken)
        self.counts.update(_counts(step.counts))
        self.told.extend((at_s, one) for one in step.standings)

    def _look(self, at_s):
        """DOMAIN, invariant 13: exactly one state, whose age is known, and that is what was told."""
        for now in engine.standings(self.table):
            if self.told:
                _, told = self.told[-1]
                assert (now.protection, now.since_ms) == (told.protection, told.since_ms), hour(at_s)
                assert (now.blind_worst_ms is None) == (told.blind_worst_ms is None), hour(at_s)
            assert now.since_ms <= now.at_ms or now.reason == "not_in_force"
            self.standings.append((at_s, now))

    # --- what the desk shows

    @property
    def tale(self):
        """Everything that was said, in its order."""
        return [
            (hour(at_s), one.code.value.removeprefix("PROX_"), one.change.value, one.reason)
            for at_s, one in self.findings
        ]

    def of(self, code):
        return [(at_s, one) for at_s, one in self.findings if one.code.value.removeprefix("PROX_") == code]

    def one(self, code, change="entry", nth=0):
        return [one for _, one in self.of(code) if one.change.value == change][nth]

    def spans(self, code):
        """When the desk showed it, from and until; None: still."""
        spans = []
        for at_s, one in self.of(code):
            if one.change is Change.ENTRY:
                assert not spans or spans[-1][1] is not None, f"{code} began twice"
                spans.append((hour(at_s), None))
            else:
                assert spans, f"{code} ended and had not begun"
                spans[-1] = (spans[-1][0], hour(at_s))
        return spans

    def codes(self):
        return {one.code.value.removeprefix("PROX_") for _, one in self.findings}

    def protection(self):
        """(since, state, reason) of every state that the standing has had, as the seconds saw them."""
        seen = []
        for _, one in self.standings:
            here = (one.protection.value, one.reason)
            if not seen or seen[-1][1:] != here:
                seen.append((hour((one.at_ms - T0_MS) / 1000), *here))
        return seen

    def standing(self, at):
        return next(one for at_s, one in self.standings if at_s == s(at))

    # --- what the units are asked

    def heard_in(self, at_s):
        return [one for at, one in self.commands if at == at_s]

    def asked(self, number, action=Action.SET_CADENCE):
        """(hour, interval) of each command to a device."""
        return [
            (hour(at_s), one.interval_s)
            for at_s, one in self.commands
            if one.device == device(number).id and one.action is action
        ]

    def located(self, number):
        """Hours at which a device was asked where it is."""
        return [at for at, _ in self.asked(number, Action.REPORT_LOCATION)]


def _counts(counts):
    return {name: getattr(counts, name) for name in counts.__slots__}
