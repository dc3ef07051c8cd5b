"""Which receipts may go from the log before the week is over? Those of invented pairs, after a day.

A pair writes eleven a minute, and RECEIPTS refuses when it is full: what watches the road must not fill it. They
are no evidence and no statistic, and their rulings go after a day as well (``alerts.forgetting``). Nothing goes
that one of the queues of RECEIPTS has not had. A place is one subject of the log. Hours are milliseconds.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from tocsin import present
from tocsin.errors import WireError
from tocsin.model.canary import is_canarys_place
from tocsin.ports import Entry, Log
from tocsin.retention import CANARY_KEPT_MS
from tocsin.subjects import RECEIPTS, place_in
from tocsin.wire import decode_receipt

QUEUES: Final = ("dispatcher-receipts", "recorder-receipts")


class ForgettingReceipts:
    """What this life has read of them: two numbers for each receipt of a canary that is kept."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._places: dict[str, deque[tuple[int, int]]] = {}
        self._spared: set[str] = set()
        self._after = 0

    async def forget(self, now_ms: int) -> int:
        """All that may go now; how many that were. Raises LogUnavailable."""
        await self._follow()
        settled = min([(await self._log.progress(RECEIPTS, name)).settled for name in QUEUES])
        gone = 0
        for subject, kept in list(self._places.items()):
            last = 0
            while kept and kept[0][0] <= settled and now_ms - kept[0][1] >= CANARY_KEPT_MS:
                last, _ = kept.popleft()
            if last:
                gone += await self._log.forget(RECEIPTS, subject, before=last + 1)
            if not kept:
                del self._places[subject]
        return gone

    async def _follow(self) -> None:
        reader = self._log.read(RECEIPTS, RECEIPTS.subjects, after=self._after)
        async for entries in present.upto_present(reader, within_s=present.SILENCE_MAX_S):
            if entries[0].sequence <= self._after:  # a log that was made anew
                self._places.clear()
                self._spared.clear()
            for entry in entries:
                self._keep(entry)
            self._after = entries[-1].sequence

    def _keep(self, entry: Entry) -> None:
        """What this version cannot read goes with the next one of its place, or with its week."""
        try:
            if not is_canarys_place(*place_in(entry.subject)):  # and of nobody else is any decoded
                return
            receipt = decode_receipt(entry.payload)
        except (ValueError, WireError):
            return
        if receipt.canary is False:  # somebody else is named in its alert: of this place nothing goes early
            self._spared.add(entry.subject)
            self._places.pop(entry.subject, None)
        elif entry.subject not in self._spared:
            self._places.setdefault(entry.subject, deque()).append((entry.sequence, receipt.t7_ms))
