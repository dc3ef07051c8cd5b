"""What does admission know: which devices there are, and which of their fixes have been seen?

Memory of one process, bounded per device. It is filled by whoever takes what was admitted, and asked before.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tocsin.clock import MS
from tocsin.limits import LATE_AFTER_S, SEQ_WINDOW, UNNUMBERED_A_SECOND_MAX, UNNUMBERED_KEPT
from tocsin.model.device import Device
from tocsin.model.fix import ABSENT
from tocsin.model.sign import Sign

WINDOW_MASK = (1 << SEQ_WINDOW) - 1


@dataclass(slots=True, kw_only=True)
class SeqWindow:
    """Which of the last SEQ_WINDOW sequence numbers of this boot have been seen (as RFC 4303 does it), and the
    hour of the fix that each was on: a unit that counts from 0 again, or never counts, is still heard."""

    boot: int
    newest: int
    seen: int
    fix_ms: array[int] = field(default_factory=lambda: array("q", bytes(8 * SEQ_WINDOW)))

    def has(self, boot: int, seq: int, fix_ms: int) -> bool:
        back = self.newest - seq
        numbered = boot == self.boot and 0 <= back < SEQ_WINDOW and bool(self.seen >> back & 1)
        return numbered and self.fix_ms[seq % SEQ_WINDOW] == fix_ms

    def add(self, boot: int, seq: int, fix_ms: int) -> None:
        self._number(boot, seq)
        if boot == self.boot and self.newest - seq < SEQ_WINDOW:
            self.fix_ms[seq % SEQ_WINDOW] = fix_ms

    def _number(self, boot: int, seq: int) -> None:
        if boot > self.boot or (boot == self.boot and seq - self.newest >= SEQ_WINDOW):
            self.boot, self.newest, self.seen = boot, seq, 1
        elif boot == self.boot and seq > self.newest:
            self.seen = (self.seen << (seq - self.newest) | 1) & WINDOW_MASK
            self.newest = seq
        elif boot == self.boot and self.newest - seq < SEQ_WINDOW:
            self.seen |= 1 << (self.newest - seq)


@dataclass(slots=True)
class Unnumbered:
    """What a device that does not count has measured lately: the fingerprints of each whole second, in the order
    of their arrival, for the last UNNUMBERED_KEPT seconds heard."""

    seconds: dict[int, list[int]] = field(default_factory=dict)

    def has(self, second: int, fingerprint: int) -> bool:
        return fingerprint in self.seconds.get(second, ())

    def add(self, second: int, fingerprint: int) -> None:
        if second not in self.seconds and len(self.seconds) >= UNNUMBERED_KEPT:
            del self.seconds[next(iter(self.seconds))]
        said = self.seconds.setdefault(second, [])
        if len(said) < UNNUMBERED_A_SECOND_MAX:
            said.append(fingerprint)

    def place_in(self, second: int) -> int:
        """Milliseconds for the next fix of this second: the order of arrival stands for the fraction that the
        phone left out, so that nobody behind us takes two fixes of one second for one."""
        return len(self.seconds.get(second, ()))


@dataclass(slots=True, kw_only=True)
class Known:
    """What admission knows: the devices, the numbers seen of each, the deployment's constants.

    ``open_sos``: the TGD phones whose alert is open, and who may therefore say where they are. ``present_ms``:
    when a device that said no place was last passed on as present, ``present_said``: and what it said of itself.
    ``signs``: what is kept of each TGD (``ingest.signs``).
    ``answers``: the minute in which a device answered last, and how often.
    """

    partitions: int
    late_after_s: int = LATE_AFTER_S
    devices: Mapping[str, Device] = field(default_factory=dict)
    open_sos: set[str] = field(default_factory=set)
    present_ms: dict[str, int] = field(default_factory=dict)
    present_said: dict[str, tuple[int, ...]] = field(default_factory=dict)
    signs: dict[str, Sign] = field(default_factory=dict)
    answers: dict[str, tuple[int, int]] = field(default_factory=dict)
    windows: dict[str, SeqWindow] = field(default_factory=dict)
    unnumbered: defaultdict[str, Unnumbered] = field(default_factory=lambda: defaultdict(Unnumbered))

    def is_repeat(self, device: str, boot: int, seq: int, fix_ms: int) -> bool:
        if seq == ABSENT:
            return device in self.unnumbered and self.unnumbered[device].has(fix_ms // MS, boot)
        window = self.windows.get(device)
        return window is not None and window.has(boot, seq, fix_ms)

    def answers_in(self, device: str, minute: int) -> int:
        last, number = self.answers.get(device, (minute, 0))
        return number if last == minute else 0

    def remember(self, device: str, boot: int, seq: int, fix_ms: int) -> None:
        if seq == ABSENT:
            self.unnumbered[device].add(fix_ms // MS, boot)
            return
        if device not in self.windows:
            self.windows[device] = SeqWindow(boot=boot, newest=seq, seen=1)
        self.windows[device].add(boot, seq, fix_ms)
