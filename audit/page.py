"""How does the auditor reach those who keep the system running, with nothing of the road between? ADR 45.

Straight to the endpoint of operations, in the format that it reads already (Alertmanager, version 4), signed as
any other webhook of ours (Standard Webhooks), where its name leads looked at (``tocsin.egress``): whatever is
wrong with desk and courier, this goes out. One page is one law that does not agree: how many differences, and the
first few in a sentence each. They name ids of alerts, findings and notifications; no place and no person. Tried
again until it is taken, TRIES times at once and then behind the others: a page that is refused for good holds up
none. A bounded number of pages waits, the newest. Of an answer the status is read and nothing else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import httpx2
import msgspec
import structlog

from audit.law import Difference
from audit.webhook import ACCEPTED, TLS_FAILED, posted
from tocsin.clock import Clock, rfc3339
from tocsin.egress import ADDRESS_REFUSED
from tocsin.model.episode import Realm
from tocsin.model.finding import Code
from tocsin.model.ids import derived
from tocsin.reach import INTERNET, Reach
from tocsin.signing import signed_headers

CONTENT_TYPE: Final = "application/json"
RUNS: Final = "0001-01-01T00:00:00Z"  # Go's zero time: it has not ended
TOLD_MAX: Final = 5
REFUSED: Final = "nothing is sent there: TOCSIN_WEBHOOK_NETWORKS names the private networks of recipients"
AGAIN_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # of the machine's time; the last one for ever
TRIES: Final = 10  # a minute and a half: an endpoint that restarts is back
WAITING_MAX: Final = 64  # pages: a law says its own again when it differs again
MARK: Final = {Realm.PRODUCTION: "", Realm.EXERCISE: "EXERCICE - ", Realm.LAB: "ESSAI - "}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What is said of one law. ``found`` empty: it agrees again, since ``at_ms``."""

    law: str
    since_ms: int
    at_ms: int
    found: tuple[Difference, ...]
    body: bytes

    @property
    def id(self) -> str:
        """Of its bytes: the same page again is no second one."""
        return derived("evt", "audit", self.law, sha256(self.body).hexdigest())


def page_of(law: str, found: Sequence[Difference], *, site: str, realm: Realm, since_ms: int, at_ms: int) -> Page:
    """``since_ms``: when the first of this trouble was said, which names the alert at the receiver."""
    status = "firing" if found else "resolved"
    labels = {
        "alertname": Code.SYS_AUDIT.value, "severity": "critical", "site": site, "realm": realm.value, "law": law,
    }  # fmt: skip
    annotations = {
        "summary": f"{MARK[realm]}{summary(law, found)}",
        "description": "\n".join(one.detail for one in found[:TOLD_MAX]),
        "differences": str(len(found)),
    }
    name = sha256(f"{site}:{law}:{since_ms}".encode()).hexdigest()[:16]
    alert: dict[str, Any] = {
        "status": status, "labels": labels, "annotations": annotations, "startsAt": rfc3339(since_ms),
        "endsAt": RUNS if found else rfc3339(at_ms), "generatorURL": "", "fingerprint": name,
    }  # fmt: skip
    whole = {
        "version": "4", "groupKey": f'{{}}/{{site="{site}"}}:{{law="{law}"}}',
        "truncatedAlerts": max(0, len(found) - TOLD_MAX), "status": status, "receiver": "tocsin-operations",
        "groupLabels": {"alertname": labels["alertname"]}, "commonLabels": labels,
        "commonAnnotations": annotations, "externalURL": f"/tocsin/{site}", "alerts": [alert],
    }  # fmt: skip
    return Page(law=law, since_ms=since_ms, at_ms=at_ms, found=tuple(found), body=msgspec.json.encode(whole))


def summary(law: str, found: Sequence[Difference]) -> str:
    if not found:
        return f"the law '{law}' has found nothing for a while"
    return f"the law '{law}' does not hold: {len(found)} differences, the first about {found[0].about}"


@dataclass(slots=True, kw_only=True)
class Pager:
    """``url`` None: nobody is configured; then the line in the log and the notice are all that there is.
    ``reach``: where its name may lead."""

    url: str | None
    secret: str = field(repr=False, default="")
    http: httpx2.AsyncClient | None
    clock: Clock
    reach: Reach = INTERNET
    _waiting: deque[Page] = field(default_factory=lambda: deque(maxlen=WAITING_MAX))
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def page(self, page: Page) -> None:
        """Returns at once."""
        level = log.critical if page.found else log.warning
        level(
            "audit", law=page.law, differences=len(page.found), first=[one.detail for one in page.found[:TOLD_MAX]]
        )
        if self.url is not None:
            self._waiting.append(page)
            self._more.set()

    async def serve(self) -> None:
        """Until cancelled: in order, as long as they are taken."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._waiting:
                page = self._waiting.popleft()
                if not await self._is_taken_in_the_end(page):
                    self._behind_the_others(page)

    async def _is_taken_in_the_end(self, page: Page) -> bool:
        for tried in range(TRIES):
            if await self._is_taken(page):
                return True
            await asyncio.sleep(AGAIN_S[min(tried, len(AGAIN_S) - 1)])
        return False

    def _behind_the_others(self, page: Page) -> None:
        """Never behind the word that its trouble is over, which would begin it again, nor for a newer one."""
        over = any(one.law == page.law and not one.found for one in self._waiting)
        if (page.found and over) or len(self._waiting) == WAITING_MAX:
            log.error("page_given_up", law=page.law, differences=len(page.found))
        else:
            self._waiting.append(page)

    async def _is_taken(self, page: Page) -> bool:
        assert self.url is not None
        result = TLS_FAILED
        if self.http is not None:
            headers = signed_headers(self.secret, page.id, page.body, self.clock.wall_ms(), CONTENT_TYPE)
            result = await posted(self.http, self.url, page.body, headers, self.reach)
        if result == ADDRESS_REFUSED:
            log.critical("page_waits", law=page.law, error=result, effect=REFUSED)
        elif result != ACCEPTED:
            log.error("page_waits", law=page.law, error=result)
        return result == ACCEPTED
