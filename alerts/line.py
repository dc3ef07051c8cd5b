"""How do bytes reach one HTTP endpoint, and what did it say? The door that every webhook channel goes out by.

One POST, signed (Standard Webhooks), to its end or to WEBHOOK_TIMEOUT_S. Only a 2xx is a yes: a redirect is a
failure, whatever it leads to. Each recipient has a client of its own: with a pool in common, one that hangs would
hold every connection.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

import httpx2

from alerts.channels.cloudevent import signed_headers
from alerts.retries import ACCEPTED
from tocsin.limits import LINE_CONNECTIONS_MAX, WEBHOOK_TIMEOUT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a channel is reached, and the secret of its signatures."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one POST came to: ``accepted``, ``status_503``, ``timeout``, …"""

    result: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An endpoint and the client that is for it alone."""

    endpoint: Endpoint
    http: httpx2.AsyncClient

    async def post(self, message_id: str, body: bytes, content_type: str, wall_ms: int) -> Outcome:
        """One attempt at ``wall_ms``, the machine's hour. Whatever the other side does is an Outcome."""
        headers = signed_headers(self.endpoint.secret, message_id, body, wall_ms, content_type)
        outcome: Outcome | None = None
        try:
            async with (
                asyncio.timeout(WEBHOOK_TIMEOUT_S),  # httpx counts each read alone: a drip would never end
                self.http.stream("POST", self.endpoint.url, content=body, headers=headers) as response,
            ):
                outcome = _answered(response)
                async for _ in response.aiter_raw():
                    pass  # to its end: whoever dies in the middle of its yes may not remember it
        except (httpx2.TimeoutException, TimeoutError):
            return _cut_short(outcome, "timeout")
        except httpx2.RequestError as error:
            return _cut_short(outcome, type(error).__name__.lower())
        return outcome


def _answered(response: httpx2.Response) -> Outcome:
    result = ACCEPTED if response.is_success else f"status_{response.status_code}"
    return Outcome(result=result, status=response.status_code)


def _cut_short(answered: Outcome | None, why: str) -> Outcome:
    """The answer has not come, or not to its end: then a yes is none."""
    if answered is None:
        return Outcome(result=why)
    return Outcome(result=why, status=answered.status) if answered.result == ACCEPTED else answered


def trusted_by_all() -> ssl.SSLContext:
    """Whom every line trusts. Made once: reading it takes 20 ms of the loop."""
    return httpx2.create_ssl_context(trust_env=False)


def client(trusted: ssl.SSLContext) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        verify=trusted,
        timeout=httpx2.Timeout(WEBHOOK_TIMEOUT_S),
        limits=httpx2.Limits(max_connections=LINE_CONNECTIONS_MAX, max_keepalive_connections=16),
        follow_redirects=False,
        trust_env=False,
    )
