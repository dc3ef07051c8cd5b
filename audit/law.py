"""What does every law of the auditor say in the end? That something does not agree, and what.

A law hears of the world in its own way and is asked every few seconds. Pure: the hour is handed in.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """``law``: which one. ``about``: an id, or a subject of the log; never a person's name nor a place.
    ``since_ms``: when it should have agreed at the latest. ``detail`` is one sentence for whoever is on call."""

    law: str
    about: str
    since_ms: int
    detail: str


class Law(Protocol):
    """``differences`` says each one once; it forgets what it has said, and what has agreed."""

    @property
    def name(self) -> str: ...

    def differences(self, now_ms: int) -> list[Difference]: ...
