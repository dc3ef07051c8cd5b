"""How is a ruling made binding? Load the episode, let the desk rule, compare and set (ARCHITECTURE, A6).

The last ruling on a subject of EPISODES is the episode. A ruling is written with the sequence that it was made
on; when another writer was first, the desk rules again on what that writer left. The dispatcher and the API use
the same ledger, so that an operator's acknowledgement needs no other process to be alive. The hours of one place
never go back, whatever becomes of a clock (F37): what a ruling sets counts from the one before it.
"""

from __future__ import annotations

from alerts import desk
from alerts.calls import NO_KEY
from alerts.routing import EVERYTHING_TO_THE_DEFAULT, Routing
from tocsin import subjects
from tocsin.clock import Clock
from tocsin.errors import SequenceConflict
from tocsin.model.episode import Event, Fold, Realm, Ruling
from tocsin.model.protocol import AS_AGREED, Protocol
from tocsin.ports import Log
from tocsin.telemetry import CONFLICTS, RULINGS
from tocsin.wire import decode_ruling, encode


class Ledger:
    """The episodes, as the log has them. ``routing``, ``call_key`` and ``protocol`` are for who rules on findings,
    alarms and hours; acts need none of them."""

    def __init__(
        self,
        log: Log,
        clock: Clock,
        realm: Realm,
        routing: Routing = EVERYTHING_TO_THE_DEFAULT,
        call_key: bytes = NO_KEY,
        protocol: Protocol = AS_AGREED,
    ) -> None:
        self._protocol = protocol
        self._call_key = call_key
        self._routing = routing
        self._log = log
        self._clock = clock
        self._realm = realm

    async def rule(self, code: str, subject: str, event: Event, *, under: Fold | None = None) -> desk.Answer:
        """Apply ``event`` to the episode at (code, subject). ``under``: see ``alerts.folding``. Raises
        LogUnavailable."""
        place = subjects.episode(code, subject)
        while True:
            last = await self._log.last(subjects.EPISODES, place)
            before = decode_ruling(last.payload) if last else None
            now_ms = max(self._clock.now_ms(), before.at_ms if before else 0)
            episode = before.episode if before else None
            answer = desk.handle(
                episode, event, self._realm, now_ms, self._routing, self._call_key, under, self._protocol
            )
            if not isinstance(answer, Ruling):
                return answer
            try:
                await self._log.append(place, encode(answer), expected_last=last.sequence if last else 0)
            except SequenceConflict:
                CONFLICTS.inc()
                continue
            RULINGS.labels(reason=answer.reason).inc()
            return answer
