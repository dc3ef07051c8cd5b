"""How is something posted to the one endpoint that a setting names, outside the road of alerts?

One POST, signed (``tocsin.signing``), to exactly that URL: no redirect, no proxy of the environment, TLS verified,
name included, where the name leads looked at before anything is said there (``tocsin.egress``). Only a 2xx is a
yes; nothing of the answer but its status is read.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

import httpx2

from tocsin.egress import ADDRESS_REFUSED, AddressRefused, watched
from tocsin.limits import WEBHOOK_TIMEOUT_S
from tocsin.reach import INTERNET, Reach
from tocsin.signing import CLOUDEVENT, signed_headers
from tocsin.tls import TlsFiles

ACCEPTED: Final = "accepted"
TIMEOUT: Final = "timeout"
TLS_FAILED: Final = "tls_failed"
"""Results beside ``status_NNN`` and ``address_refused``; any other is the name of httpx2's error, in small
letters."""

NO_FILES: Final = TlsFiles()


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """``tls``: whom to trust there, and who we are; empty: the machine's authorities, nobody. ``reach``: where the
    name may lead."""

    url: str
    secret: str = field(repr=False)
    tls: TlsFiles = NO_FILES
    reach: Reach = INTERNET

    async def post(self, message_id: str, body: bytes, wall_ms: int, content_type: str = CLOUDEVENT) -> str:
        """One attempt at ``wall_ms``, the machine's hour. Whatever the other side does is a result."""
        try:
            trusted = httpx2.create_ssl_context(trust_env=False) if self.tls == NO_FILES else self.tls.context()
        except OSError:  # a file that is not there, or is no certificate
            return TLS_FAILED
        async with httpx2.AsyncClient(verify=trusted, follow_redirects=False, trust_env=False) as client:
            headers = signed_headers(self.secret, message_id, body, wall_ms, content_type)
            return await posted(client, self.url, body, headers, self.reach)


async def posted(http: httpx2.AsyncClient, url: str, body: bytes, headers: dict[str, str], reach: Reach) -> str:
    """One attempt by this client; what came of it."""
    try:
        async with (
            asyncio.timeout(WEBHOOK_TIMEOUT_S),  # httpx counts each read alone: a drip would never end
            http.stream("POST", url, content=body, headers=headers, extensions=watched(url, reach)) as response,
        ):
            return ACCEPTED if response.is_success else f"status_{response.status_code}"
    except AddressRefused:
        return ADDRESS_REFUSED
    except (httpx2.TimeoutException, TimeoutError):
        return TIMEOUT
    except httpx2.RequestError as error:
        return type(error).__name__.lower()
