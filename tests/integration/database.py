"""A real PostgreSQL for the tests: one server a session, one database a test.

Migrated once into a template, cloned for each test in some 30 ms. A test that stops the server brings its own
(``own_home``).
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from psycopg.conninfo import make_conninfo
from real_record import patient_pool

from tocsin.adapters.migrate import migrate
from tocsin.adapters.postgres import Pool
from tocsin.embedded import EmbeddedPostgres

HASTE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "32MB"}
TEMPLATE = "tocsin_template"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def short_home() -> Iterator[Path]:
    """A folder whose path leaves room for a Unix socket."""
    home = Path(tempfile.mkdtemp(prefix="tcs-", dir="/tmp"))
    home.chmod(0o711)
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server_dsn(short_home: Path) -> AsyncIterator[str]:
    server = EmbeddedPostgres(home=short_home, settings=HASTE)
    dsn = await server.start()
    yield dsn
    await server.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template(server_dsn: str) -> str:
    await _execute(server_dsn, f"create database {TEMPLATE}")
    await migrate(make_conninfo(server_dsn, dbname=TEMPLATE))
    return TEMPLATE


async def _execute(dsn: str, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(statement)


async def _new_database(server_dsn: str, template: str) -> AsyncIterator[str]:
    name = f"t{next(_numbers)}"
    await _execute(server_dsn, f"create database {name} template {template}")
    yield make_conninfo(server_dsn, dbname=name)
    await _execute(server_dsn, f"drop database {name} with (force)")


@pytest_asyncio.fixture
async def dsn(server_dsn: str, template: str) -> AsyncIterator[str]:
    """A database with Tocsin's tables and nothing in them."""
    async for made in _new_database(server_dsn, template):
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_dsn(server_dsn: str, template: str) -> AsyncIterator[str]:
    """The same, for all tests of a module that only look."""
    async for made in _new_database(server_dsn, template):
        yield made


@pytest_asyncio.fixture
async def empty_dsn(server_dsn: str) -> AsyncIterator[str]:
    """A database without tables."""
    async for made in _new_database(server_dsn, "template0"):
        yield made


@pytest_asyncio.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    async with patient_pool(dsn) as opened:
        yield opened


@pytest.fixture
def own_home(short_home: Path) -> Path:
    """Where a test keeps a server of its own, to stop and start; its rows are really on disk."""
    return short_home / f"own{next(_numbers)}"
