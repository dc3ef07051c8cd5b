"""Which parts does audit run as? ``python -m audit PART``, the names are those of PARTS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import httpx2
import structlog

from audit.auditor import AuditDoors, Laws, run_auditor
from audit.laws.answered import Answered
from audit.page import Pager
from audit.spokesman import Spokesman
from tocsin.adapters.jetstream import open_bus
from tocsin.limits import WEBHOOK_TIMEOUT_S
from tocsin.service import Ready, run_part
from tocsin.settings import Settings, WebhookTls

log = structlog.get_logger()


async def auditor(settings: Settings, ready: Ready) -> None:
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(open_bus(settings.required("nats_url"), "audit.auditor"))
        spokesman = Spokesman(
            log_=bus.log,
            clock=settings.clock,
            pager=await _pager(settings, stack),
            site=settings.site,
            realm=settings.realm,
        )
        await run_auditor(
            AuditDoors(log=bus.log, devices=bus.devices, orders=bus.orders, tallies=bus.tallies),
            laws=Laws(answered=Answered(settings.police_mode, settings.clock_rate)),
            spokesman=spokesman,
            clock=settings.clock,
            ready=ready,
        )


async def _pager(settings: Settings, stack: AsyncExitStack) -> Pager:
    """Certificates that cannot be read keep the auditor from paging, and from nothing else."""
    url, secret = settings.operations_url, settings.operations_secret
    if url is None or secret is None:
        log.warning("nobody_is_paged", effect="what does not agree is a notice and a line in the log")
        return Pager(url=None, http=None, clock=settings.clock)
    http: httpx2.AsyncClient | None = None
    try:
        tls = settings.webhook_tls.get("operations", WebhookTls()).files
        trusted = tls.context() if any((tls.ca, tls.cert, tls.key)) else httpx2.create_ssl_context(trust_env=False)
    except OSError as error:
        log.critical("certificates_unusable", reason=str(error), effect="no page leaves")
    else:
        http = httpx2.AsyncClient(verify=trusted, timeout=WEBHOOK_TIMEOUT_S, trust_env=False)
        await stack.enter_async_context(http)
    return Pager(url=str(url), secret=secret.get_secret_value(), http=http, clock=settings.clock)


PARTS: dict[str, Callable[[Settings, Ready], Awaitable[None]]] = {"auditor": auditor}

if __name__ == "__main__":
    run_part("audit", PARTS)
