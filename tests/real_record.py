"""A test's own way to a real record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from builders import HANGS_AFTER_S

from tocsin.adapters.postgres import Pool, open_pool


@asynccontextmanager
async def patient_pool(dsn: str) -> AsyncIterator[Pool]:
    """A part tries again what the record did not do in its time; a test says it once, and waits."""
    async with open_pool(dsn, statement_timeout_s=HANGS_AFTER_S) as opened:
        opened.timeout = HANGS_AFTER_S
        yield opened
