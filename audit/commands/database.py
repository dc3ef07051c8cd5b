"""Where is the record for a command: at TOCSIN_DATABASE_URL, or in the data folder?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tocsin.adapters.postgres import Pool, open_pool
from tocsin.embedded import EmbeddedPostgres
from tocsin.errors import SettingError
from tocsin.settings import Settings


@asynccontextmanager
async def record(settings: Settings, *, statement_timeout_s: float) -> AsyncIterator[Pool]:
    """The embedded database runs for as long as the body, unless `tocsin up` has it. Makes nothing new."""
    if settings.database_url is not None:
        async with open_pool(settings.database_url, statement_timeout_s=statement_timeout_s) as pool:
            yield pool
        return
    home = settings.data_dir.resolve() / "database"
    if not home.exists():
        raise SettingError(f"no database in {settings.data_dir}: set TOCSIN_DATABASE_URL, or --data-dir")
    server = EmbeddedPostgres(home=home, bindir=settings.pg_bindir)
    try:
        async with open_pool(await server.start(), statement_timeout_s=statement_timeout_s) as pool:
            yield pool
    finally:
        await server.stop()
