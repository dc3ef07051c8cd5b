"""How does a part connect to the broker of the devices? One address, one login, for every part that needs it.

``mqtt://user:password@host:1883`` or ``mqtts://host:8883``, MQTT 3.1.1. Who keeps a session there, and under which
name, is the business of the part (``ingest.mqtt`` listens and keeps one, ``alerts.downlink`` only speaks).
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import aiomqtt

from tocsin.tls import TlsFiles

PORTS = {"mqtt": 1883, "mqtts": 8883}
NO_FILES = TlsFiles()


def client_to(
    url: str, tls: TlsFiles = NO_FILES, *, session: str | None = None, timeout_s: float | None = None
) -> aiomqtt.Client:
    """A client of this broker, not connected yet. ``timeout_s`` bounds each word to it (aiomqtt: 10 s).

    ``session``: the client id under which the broker keeps what arrives while we are away; None: it keeps nothing,
    and gives us a name of its own. ``tls``: who signs for the broker of an ``mqtts`` address, and our certificate.
    """
    address = urlsplit(url)
    return aiomqtt.Client(
        hostname=address.hostname or "127.0.0.1",
        port=address.port or PORTS[address.scheme],
        username=unquote(address.username or "") or None,
        password=password_in(url) or None,
        identifier=session,
        protocol=aiomqtt.ProtocolVersion.V311,
        clean_session=session is None,
        tls_context=tls.context() if address.scheme == "mqtts" else None,
        timeout=timeout_s,
    )


def password_in(url: str) -> str:
    return unquote(urlsplit(url).password or "")
