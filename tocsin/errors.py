"""What can go wrong, whose fault it was, and whether trying again can help.

The docstring of an error is the first line of its message; ``retry`` is what a shell reads before it
decides between waiting and giving up.
"""

from __future__ import annotations

from typing import ClassVar


class TocsinError(Exception):
    """Something failed inside Tocsin."""

    retry: ClassVar[bool] = False

    def __init__(self, detail: str = "") -> None:
        headline = (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(f"{headline} {detail}".strip())


class SettingError(TocsinError):
    """A setting is wrong; nothing was started."""


class LogUnavailable(TocsinError):
    """The log did not confirm the write in time."""

    retry = True


class LogUnreachable(LogUnavailable):
    """The log cannot be reached:"""


class SequenceConflict(TocsinError):
    """Another writer was first on this subject."""

    retry = True


class RecordUnavailable(TocsinError):
    """The record (PostgreSQL) cannot be reached."""

    retry = True


class RecordHeld(RecordUnavailable):
    """The record (PostgreSQL) answers, and not to this:"""


class WireError(TocsinError):
    """A message on the bus cannot be read by this version."""


class NoEvidence(TocsinError):
    """The record has no evidence of this:"""


class EvidenceBroken(TocsinError):
    """What the record holds of this cannot be written as evidence:"""


class EvidenceTooLarge(TocsinError):
    """More links or bytes than may be read at once are needed for this:"""


class NoPackager(TocsinError):
    """This installation cannot write packages of evidence."""
