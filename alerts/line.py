"""How do bytes reach one HTTP endpoint, and what did it say? The door that every webhook channel goes out by.

One POST, signed (Standard Webhooks), within WEBHOOK_TIMEOUT_S. Only a 2xx is a yes: a redirect is a failure,
whatever it leads to, and so is a yes that breaks off (whoever died while he answered may have forgotten the
question). The rest of an answer is read so that the connection can be used again, but no more of it than
ANSWER_MAX_BYTES and no longer than ANSWER_TAIL_S: who goes on talking has said yes, and is hung up on.

TLS is always verified, the name too: by the machine's authorities, or by the one that is set for this recipient
alone; with a certificate of ours where it asks for one. Where the connection has led to is looked at before
anything is said on it (``tocsin.egress``). Each recipient has a client of its own: with a pool in common, one that
hangs would hold every connection.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import httpx2

from alerts.retries import ACCEPTED
from tocsin.egress import ADDRESS_REFUSED, AddressRefused, watched
from tocsin.limits import ANSWER_MAX_BYTES, ANSWER_TAIL_S, LINE_CONNECTIONS_MAX, LINE_EAGER, WEBHOOK_TIMEOUT_S
from tocsin.reach import INTERNET, Reach
from tocsin.signing import signed_headers
from tocsin.tls import TlsFiles

TIMEOUT: Final = "timeout"
TLS_FAILED: Final = "tls_failed"
"""Results beside ``accepted``, ``status_NNN`` and ``address_refused``; any other is the name of httpx2's error, in
small letters. A yes that broke off has that word, and its status."""

NO_FILES: Final = TlsFiles()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a channel is reached, and the secret of its signatures. ``tls``: whom to trust there, and who we are
    (empty: the machine's authorities, nobody). ``reach``: where its name may lead."""

    url: str
    secret: str = field(repr=False)
    tls: TlsFiles = NO_FILES
    reach: Reach = INTERNET

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one POST came to: ``accepted``, ``status_503``, ``timeout``, …"""

    result: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An endpoint and the client that is for it alone. None: its certificates cannot be used, nothing is sent."""

    endpoint: Endpoint
    http: httpx2.AsyncClient | None

    async def post(self, message_id: str, body: bytes, content_type: str, wall_ms: int) -> Outcome:
        """One attempt at ``wall_ms``, the machine's hour. Whatever the other side does is an Outcome."""
        if self.http is None:
            return Outcome(result=TLS_FAILED)
        headers = signed_headers(self.endpoint.secret, message_id, body, wall_ms, content_type)
        said: Outcome | None = None
        try:
            async with (
                asyncio.timeout(WEBHOOK_TIMEOUT_S),  # httpx counts each read alone: a drip would never end
                self.http.stream(
                    "POST",
                    self.endpoint.url,
                    content=body,
                    headers=headers,
                    extensions=watched(self.endpoint.url, self.endpoint.reach),
                ) as response,
            ):
                said = _answered(response)
                await _listen(response)
        except AddressRefused:
            return Outcome(result=ADDRESS_REFUSED)
        except (httpx2.TimeoutException, TimeoutError):
            return said or Outcome(result=TIMEOUT)
        except httpx2.RequestError as error:
            if said is None:
                return Outcome(result=_word_for(error))
            return Outcome(result=_word_for(error), status=said.status) if said.result == ACCEPTED else said
        return said


def _answered(response: httpx2.Response) -> Outcome:
    result = ACCEPTED if response.is_success else f"status_{response.status_code}"
    return Outcome(result=result, status=response.status_code)


async def _listen(response: httpx2.Response) -> None:
    """To the end of the answer, or until it is too long."""
    size = 0
    async with asyncio.timeout(ANSWER_TAIL_S):
        async for part in response.aiter_raw():
            size += len(part)
            if size > ANSWER_MAX_BYTES:
                return


def _word_for(error: BaseException) -> str:
    """Who could not be believed, or did not believe us, is told apart from who could not be reached."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return TLS_FAILED
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__.lower()


def trusted_by_all() -> ssl.SSLContext:
    """Whom every line without files of its own trusts. Made once: reading it takes 20 ms of the loop."""
    return httpx2.create_ssl_context(trust_env=False)


def trusted_by(tls: TlsFiles, by_all: ssl.SSLContext) -> ssl.SSLContext:
    """Whom one endpoint's line trusts: with an authority of its own that one alone. Raises OSError."""
    return by_all if tls == NO_FILES else tls.context()


Heard = Callable[[httpx2.Response], Awaitable[None]]


def client(trusted: ssl.SSLContext, heard: Heard | None = None) -> httpx2.AsyncClient:
    """``heard`` is called with each answer as soon as it has a status (``alerts.wire_tap``)."""
    return httpx2.AsyncClient(
        event_hooks={} if heard is None else {"response": [heard]},
        verify=trusted,
        timeout=httpx2.Timeout(WEBHOOK_TIMEOUT_S),
        limits=httpx2.Limits(max_connections=LINE_CONNECTIONS_MAX, max_keepalive_connections=LINE_EAGER),
        follow_redirects=False,
        trust_env=False,
    )
