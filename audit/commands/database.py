"""A pool at the record of this deployment, for a command: wherever that is, running or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tocsin.adapters.postgres import Pool, open_pool
from tocsin.settings import Settings
from tocsin.stack import record_address


@asynccontextmanager
async def record(settings: Settings, *, statement_timeout_s: float) -> AsyncIterator[Pool]:
    """As ``tocsin.stack.record_address``."""
    async with (
        record_address(settings) as dsn,
        open_pool(dsn, statement_timeout_s=statement_timeout_s) as pool,
    ):
        yield pool
