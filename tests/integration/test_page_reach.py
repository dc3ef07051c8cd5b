"""May a page of the auditor be led into our own house by whoever answers for a name? A real endpoint."""

from __future__ import annotations

import asyncio

import httpx2
from builders import NOW_MS, REALM, SECRET, eventually
from real_broker import cancelled
from recipients import listening
from structlog.testing import capture_logs

from audit.law import Difference
from audit.page import Pager, page_of
from tocsin.clock import AffineClock
from tocsin.reach import INTERNET, Reach, reach_of

PAGE = page_of(
    "sent", [Difference(law="sent", about="alr_1", detail="alr_1 was not told", since_ms=NOW_MS)],
    site="paca", realm=REALM, since_ms=NOW_MS, at_ms=NOW_MS,
)  # fmt: skip


async def test_a_name_that_leads_there_is_told_nothing_and_the_page_waits() -> None:
    """And a page that may go there goes out: the same name, with the networks of a laboratory."""
    with capture_logs() as logs:
        async with listening(200) as operations, httpx2.AsyncClient(trust_env=False) as http:

            def pager(reach: Reach) -> Pager:
                url = operations.url.replace("127.0.0.1", "localhost")
                return Pager(url=url, secret=SECRET, http=http, clock=AffineClock(), reach=reach)

            refused = pager(INTERNET)
            refused.page(PAGE)
            task = asyncio.create_task(refused.serve())
            await eventually(lambda: [one for one in logs if one.get("error") == "address_refused"])
            assert operations.heard == []
            assert not task.done(), "no fault of the endpoint ends the auditor"
            await cancelled(task)
            allowed = pager(reach_of((), is_lab=True))
            allowed.page(PAGE)
            task = asyncio.create_task(allowed.serve())
            await eventually(lambda: operations.heard)
            await cancelled(task)
