"""What has the test receiver taken? An HTTP endpoint for alerts about invented pairs, and for nothing else.

``POST /teleassistance`` takes the CloudEvent, ``POST /police`` the CAP message: each signed as Standard Webhooks
says, with a secret that no other recipient has. A message that is not signed so is refused (401), and one that
does not say that it is a test (422): the round then lacks its stage, which is how it is found out. It listens on
this machine alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Generator
from typing import Final
from urllib.parse import urlsplit

import msgspec
import structlog
import uvicorn
from lxml import etree
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BODY_MAX_BYTES: Final = 64 * 1024  # a message of ours is below 32 KiB
CAP: Final = "{urn:oasis:names:tc:emergency:cap:1.2}"
TELEASSISTANCE, POLICE = "teleassistance", "police"
STOP_S: Final = 2

Taken = Callable[[str, str], None]
"""Told of each message that was taken: by which door, and about which alert."""

log = structlog.get_logger()


class NoTest(Exception):
    """It cannot be read, or does not say of itself that it is a test."""


class _Event(msgspec.Struct, frozen=True):
    subject: str
    realm: str
    test: bool = False


def alert_in_event(body: bytes) -> str:
    """Of a CloudEvent. Raises NoTest."""
    try:
        event = msgspec.json.decode(body, type=_Event)
    except msgspec.DecodeError as error:
        raise NoTest(str(error)) from None
    if not event.test or event.realm == "production":
        raise NoTest("not marked as a test")
    return event.subject


def alert_in_cap(body: bytes) -> str:
    """Of a CAP message. Raises NoTest."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        message = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise NoTest(str(error)) from None
    if message.findtext(f"{CAP}status") != "Test":
        raise NoTest("its status is not Test")
    return message.findtext(f"{CAP}incidents") or ""


READERS: Final = {TELEASSISTANCE: alert_in_event, POLICE: alert_in_cap}


def receiver(secret: str, taken: Taken) -> Starlette:
    webhook = Webhook(secret)

    async def take(request: Request) -> Response:
        door = request.path_params["door"]
        if door not in READERS:
            return Response(status_code=404)
        body = await request.body()
        if len(body) > BODY_MAX_BYTES:
            return Response(status_code=413)
        try:
            webhook.verify(body, dict(request.headers), json_parse=False)
        except (WebhookVerificationError, ValueError):  # ValueError: what is not even shaped like a signature
            log.error("canary_message_not_signed", door=door)
            return Response(status_code=401)
        try:
            taken(door, READERS[door](body))
        except NoTest as error:
            log.critical("canary_message_is_no_test", door=door, reason=str(error))
            return Response(status_code=422)
        return Response(status_code=204)

    return Starlette(routes=[Route("/{door}", take, methods=["POST"])])


class _Server(uvicorn.Server):
    """uvicorn without hands on the signals: they belong to ``tocsin.service``."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextlib.asynccontextmanager
async def listening(url: str, app: Starlette) -> AsyncIterator[None]:
    """While the body runs. Raises OSError when the address cannot be had."""
    address = urlsplit(url)
    host = address.hostname or ""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, server_header=False,
        timeout_graceful_shutdown=STOP_S,
    )  # fmt: skip
    server = _Server(config)
    with socket.create_server((host, address.port or 80), family=family) as bound:
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving
