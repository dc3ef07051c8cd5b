"""What does a unit send next, and what does it keep while nobody listens?

Three queues: the urgent (key presses, answers to commands), fresh fixes, and the backlog. Urgent things go
first; of several waiting fixes the newest goes first, as a ``loc``, and the older ones follow in bulks: where they
are now is what matters. Bounded: when full, the oldest fix or answer goes, never a key press before those.

One message is on its way at a time (``head``) and stays the head until ``done``; after a broken connection
``lost`` puts it back, so that a key pressed meanwhile overtakes it. What was sent and not acknowledged goes again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from simulator.messages import Fields
from tocsin.limits import BULK_POINTS_MAX

URGENT_MAX = 256  # a key pressed twice a second for two minutes; then it is stuck
FIXES_MAX = BULK_POINTS_MAX
BULK_POINTS = 60
FRESH = 2  # more waiting fixes than this are a backlog


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message to be. ``bodies``: the fields of it, of several points for a bulk."""

    leaf: str
    bodies: tuple[Fields, ...]


@dataclass(slots=True, kw_only=True)
class Outbox:
    """``dropped`` counts what was given up because too much waited."""

    dropped: int = 0
    _urgent: deque[Outgoing] = field(default_factory=deque)
    _fresh: deque[Fields] = field(default_factory=deque)
    _backlog: deque[Fields] = field(default_factory=deque)
    _head: Outgoing | None = None

    def put_urgent(self, leaf: str, fields: Fields) -> None:
        if len(self._urgent) >= URGENT_MAX:
            self.dropped += 1
            answers = (each for each in self._urgent if each.leaf not in {"sos", "evt"})
            if (oldest := next(answers, None)) is None:
                return  # URGENT_MAX presses wait already: one more tells nobody anything
            self._urgent.remove(oldest)
        self._urgent.append(Outgoing(leaf=leaf, bodies=(fields,)))

    def put_fix(self, body: Fields) -> None:
        if len(self._fresh) + len(self._backlog) >= FIXES_MAX:
            (self._backlog or self._fresh).popleft()
            self.dropped += 1
        self._fresh.append(body)

    def head(self) -> Outgoing | None:
        """What to send now; the same until it is ``done`` or ``lost``. None: nothing waits."""
        if self._head is None:
            self._head = self._next()
        return self._head

    def done(self) -> None:
        """The broker has it."""
        assert self._head is not None
        self._head = None

    def lost(self) -> None:
        """The connection broke: nobody knows whether the broker has it, so it will be sent again."""
        head, self._head = self._head, None
        if head is None:
            return
        if head.leaf == "bulk":
            self._backlog.extendleft(reversed(head.bodies))
        elif head.leaf == "loc":
            self._fresh.extendleft(head.bodies)
        else:
            self._urgent.appendleft(head)

    @property
    def is_empty(self) -> bool:
        return len(self) == 0

    def __len__(self) -> int:
        """Fixes, presses and answers that the broker does not have for certain."""
        on_its_way = 0 if self._head is None else len(self._head.bodies)
        return on_its_way + len(self._urgent) + len(self._fresh) + len(self._backlog)

    def _next(self) -> Outgoing | None:
        if self._urgent:
            return self._urgent.popleft()
        if len(self._fresh) > FRESH:
            newest = self._fresh.pop()
            self._backlog.extend(self._fresh)
            self._fresh.clear()
            return Outgoing(leaf="loc", bodies=(newest,))
        if self._fresh:
            return Outgoing(leaf="loc", bodies=(self._fresh.popleft(),))
        if self._backlog:
            points = [self._backlog.popleft() for _ in range(min(BULK_POINTS, len(self._backlog)))]
            return Outgoing(leaf="bulk", bodies=tuple(points))
        return None
