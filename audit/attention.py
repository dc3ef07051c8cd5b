"""How long has the auditor been looking? Its own hours: those in which the log was there, and it was awake.

What should be on the log within five seconds is not late when the log was away for four of them, nor when the
auditor itself had no processor. So each look that succeeded counts the time since the one before, STEP_MAX_MS at
most, and behind a failed one nothing is counted for RECOVER_MS: whoever writes has to find the log again, too.
Milliseconds of a clock that nobody sets. Pure.
"""

from __future__ import annotations

from typing import Final

STEP_MAX_MS: Final = 5_000  # looks are 2 s apart: who comes so late was asleep, and so were perhaps the others
RECOVER_MS: Final = 15_000  # a reader that lost the log asks again after 6 s, a lease ends after 3 s


class Attention:
    """``steady_ms`` is any monotonic hour."""

    def __init__(self, steady_ms: int) -> None:
        self._ms = 0
        self._at_ms = steady_ms
        self._resumes_ms = steady_ms

    def now_ms(self, steady_ms: int) -> int:
        """Between two looks: for what is heard now."""
        passed_ms = min(steady_ms - max(self._at_ms, self._resumes_ms), STEP_MAX_MS)
        return self._ms + max(passed_ms, 0)

    def looked(self, steady_ms: int) -> int:
        """Everything that was on the log at this hour has been read."""
        self._ms, self._at_ms = self.now_ms(steady_ms), steady_ms
        return self._ms

    def missed(self, steady_ms: int) -> None:
        """The log is away, or more was on it than could be read."""
        self._at_ms, self._resumes_ms = steady_ms, steady_ms + RECOVER_MS
