"""What would the téléassistance platform and the police have heard?

A small real HTTP server: ``POST /teleassistance``, ``POST /police`` and ``POST /police/CIC-99``, each checking
every Standard Webhooks signature with the reference library; what it took is kept and shown at
``GET /deliveries``. What the police are sent must be CAP 1.2: anything else is refused (422). It can also be ill,
on request (``Faults``).

Alone: ``python -m simulator.receiver --port 0 --secret whsec_…`` prints its address as JSON.

A delivery is what was answered with 2xx. The same ``webhook-id`` again is a repeat: kept, counted, and told apart.
Received times are wall time in milliseconds: signatures and networks know no other.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import uvicorn
from fastapi import FastAPI, Request, Response
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.requests import ClientDisconnect

from alerts.channels.cap import CapMessage
from alerts.channels.cap_reader import CapError, read_cap
from alerts.channels.heartbeat import TYPE as HEARTBEAT
from tocsin.clock import AffineClock, Clock

ChannelName = Literal["teleassistance", "police"]
CHANNELS: tuple[ChannelName, ...] = ("teleassistance", "police")
DELIVERIES_MAX = 100_000  # a day of a large fleet; beyond that the laboratory has another problem: 507
BODY_MAX_BYTES = 256 * 1024  # a CAP message is 4 kB
STOP_S = 3


@dataclass(slots=True, kw_only=True)
class Faults:
    """How the other side is ill just now. Change it while the server runs.

    ``refuse``: answer the next n with 503. ``hang_s``: take it, and answer only after so long (the caller gives
    up, and must repeat under the same id). ``every_second_500``: the second, fourth, … call fails.
    """

    refuse: int = 0
    hang_s: float = 0.0
    every_second_500: bool = False
    calls: int = 0

    def status(self) -> int | None:
        """With which status to fail this call; None: answer properly."""
        self.calls += 1
        if self.refuse > 0:
            self.refuse -= 1
            return 503
        return 500 if self.every_second_500 and self.calls % 2 == 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message that was taken. ``data`` is that of the CloudEvents envelope, or what the CAP message says in
    the same words. ``room``: whom of the police it is for."""

    channel: ChannelName
    webhook_id: str
    type: str
    subject: str
    version: int | None
    received_ms: int
    repeat: bool
    body: str
    data: dict[str, Any] = field(repr=False)
    room: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """``conflicts``: one (subject, version, channel, room, type) seen under two ids, which must never be."""

    distinct: int
    repeats: int
    failed: int
    forged: int
    invalid: int
    conflicts: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class History:
    """Everything that came, per channel."""

    deliveries: list[Delivery] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    forged: Counter[str] = field(default_factory=Counter)
    invalid: int = 0
    heartbeats: int = 0
    taken: set[tuple[str, str]] = field(default_factory=set)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(self, channel: ChannelName, webhook_id: str, body: bytes, received_ms: int) -> None:
        head = read_body(body)
        key = (channel, webhook_id)
        async with self.arrived:
            self.deliveries.append(
                Delivery(
                    channel=channel,
                    webhook_id=webhook_id,
                    received_ms=received_ms,
                    repeat=key in self.taken,
                    body=body.decode(),
                    **head,
                )
            )
            self.taken.add(key)
            self.arrived.notify_all()

    def report(self) -> Report:
        repeats = sum(delivery.repeat for delivery in self.deliveries)
        return Report(
            distinct=len(self.deliveries) - repeats,
            repeats=repeats,
            failed=self.failed.total(),
            forged=self.forged.total(),
            invalid=self.invalid,
            conflicts=tuple(conflicts(self.deliveries)),
        )


def conflicts(deliveries: Iterable[Delivery]) -> list[str]:
    """Each notification that was told under more than one id, with those ids. Two rooms are two notifications."""
    ids: defaultdict[tuple[str, int | None, str, str, str], set[str]] = defaultdict(set)
    for one in deliveries:
        if one.subject:  # a heartbeat is about nothing
            ids[one.subject, one.version, one.channel, one.room, one.type].add(one.webhook_id)
    return [
        f"{' '.join(str(part) for part in what if part != '')}: {', '.join(sorted(found))}"
        for what, found in ids.items()
        if len(found) > 1
    ]


def read_body(body: bytes) -> dict[str, Any]:
    """type, subject, version, data, and the room, of a CloudEvents or CAP message; empty where it says nothing."""
    if body.lstrip().startswith(b"<"):
        try:
            return read_police(read_cap(body))
        except CapError:
            body = b""
    try:
        event = json.loads(body)
    except ValueError:
        event = {}
    event = event if isinstance(event, dict) else {}
    data = event.get("data")
    data = data if isinstance(data, dict) else {}
    version = data.get("version") if isinstance(data.get("version"), int) else None
    return {
        "type": str(event.get("type", "")),
        "subject": str(event.get("subject", "")),
        "version": version,
        "data": data,
    }


def read_police(message: CapMessage) -> dict[str, Any]:
    """The same words for what a CAP message of ours says."""
    info = message.infos[0]
    said: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in info.parameters:
        said[name.removeprefix("tocsin:")].append(value)

    def one(name: str) -> str | None:
        return said[name][0] if said[name] else None

    distance, version = one("distance_m"), one("version")
    return {
        "type": one("type") or "",
        "subject": message.incidents[0] if message.incidents else "",
        "version": None if version is None else int(version),
        "room": one("room") or "",
        "data": {
            "code": dict(info.event_codes).get("tocsin:code"),
            "label": info.event,
            "priority": one("priority"),
            "measures": said["measure"],
            "device": one("device"),
            "occurred_at": one("occurred_at"),
            "recorded_at": one("recorded_at"),
            "outcome": one("outcome"),
            "distance_m": None if distance is None else {"best": float(distance)},
            "threshold_m": one("threshold_m"),
            "message_type": message.message_type,
            "status": message.status,
            "rooms": list(message.addresses),
            "references": [reference.identifier for reference in message.references],
        },
    }


def application(
    secrets: dict[ChannelName, str], history: History, faults: dict[ChannelName, Faults], clock: Clock
) -> FastAPI:
    """The two receivers of one laboratory, and the window into them."""
    app = FastAPI(title="Tocsin laboratory receiver", openapi_url=None)
    verifiers = {channel: Webhook(secret) for channel, secret in secrets.items()}

    @app.post("/{channel}")
    @app.post("/{channel}/{room}")
    async def take(channel: ChannelName, request: Request) -> Response:
        received_ms = clock.wall_ms()
        try:
            body = await request.body()
        except ClientDisconnect:  # the courier died in the middle of its sentence
            return Response(status_code=400)
        if len(body) > BODY_MAX_BYTES:
            return Response(status_code=413)
        if channel not in verifiers or not _is_genuine(verifiers[channel], body, dict(request.headers)):
            history.forged[channel] += 1
            return Response(status_code=401)
        if len(history.deliveries) >= DELIVERIES_MAX:
            return Response(status_code=507)
        if channel == "police" and not _is_cap(body):
            history.invalid += 1
            return Response(status_code=422)
        if channel == "teleassistance" and _is_heartbeat(body):  # no alert: neither a delivery nor a fault's
            history.heartbeats += 1
            return Response(status_code=204)
        if (status := faults[channel].status()) is not None:
            history.failed[channel] += 1
            return Response(status_code=status)
        await history.add(channel, request.headers["webhook-id"], body, received_ms)
        await asyncio.sleep(faults[channel].hang_s)
        return Response(status_code=204)

    @app.get("/deliveries")
    async def deliveries() -> dict[str, Any]:
        return {
            "report": asdict(history.report()),
            "deliveries": [asdict(delivery) for delivery in history.deliveries],
        }

    return app


def _is_heartbeat(body: bytes) -> bool:
    try:
        return bool(json.loads(body).get("type") == HEARTBEAT)
    except (ValueError, AttributeError):
        return False


def _is_cap(body: bytes) -> bool:
    try:
        read_police(read_cap(body))
    except (CapError, IndexError, ValueError):
        return False
    return True


def _is_genuine(verifier: Webhook, body: bytes, headers: dict[str, str]) -> bool:
    """The library raises ValueError of several kinds for headers that are not even shaped like a signature."""
    try:
        verifier.verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):
        return False
    return True


class _Server(uvicorn.Server):
    """uvicorn, leaving the signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Receiver:
    """The running server: ``async with Receiver(secret) as receiver: … receiver.url``."""

    def __init__(
        self,
        secret: str,
        *,
        police_secret: str | None = None,
        port: int = 0,
        faults: dict[ChannelName, Faults] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.faults: dict[ChannelName, Faults] = {"teleassistance": Faults(), "police": Faults(), **(faults or {})}
        self.history = History()
        self._port = port
        secrets: dict[ChannelName, str] = {"teleassistance": secret, "police": police_secret or secret}
        app = application(secrets, self.history, self.faults, clock or AffineClock())
        self._server = _Server(
            uvicorn.Config(
                app, log_level="warning", lifespan="off", access_log=False, timeout_graceful_shutdown=STOP_S
            )
        )
        self._socket: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Without a path; add ``/teleassistance`` or ``/police``."""
        assert self._socket is not None, "not started"
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        # Listening before the server runs: a caller that is told the address can connect at once.
        self._socket = socket.create_server(("127.0.0.1", self._port))
        self._port = int(self._socket.getsockname()[1])
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="receiver")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._serving is not None
        assert self._socket is not None
        self._server.should_exit = True
        try:
            await self._serving
        finally:
            self._socket.close()  # uvicorn leaves it open when it is told to exit before it has started

    async def wait(self) -> None:
        """Until the server ends."""
        assert self._serving is not None
        await asyncio.shield(self._serving)

    async def heard(self, distinct: int, *, within_s: float) -> bool:
        """Wait until so many distinct ids have been taken; False when the time is up."""
        try:
            async with asyncio.timeout(within_s), self.history.arrived:
                await self.history.arrived.wait_for(lambda: len(self.history.taken) >= distinct)
        except TimeoutError:
            return False
        return True


def main(arguments: list[str] | None = None) -> None:
    """Run alone until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m simulator.receiver", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--secret", required=True, help="whsec_…")
    parser.add_argument("--police-secret", help="whsec_…; the same one when left out")
    parser.add_argument("--hang-s", type=float, default=0.0, help="both answer so late")
    given = parser.parse_args(arguments)
    slow: dict[ChannelName, Faults] = {name: Faults(hang_s=given.hang_s) for name in CHANNELS}

    async def run() -> None:
        async with Receiver(
            given.secret, police_secret=given.police_secret, port=given.port, faults=slow
        ) as receiver:
            print(json.dumps({"url": receiver.url, **{name: f"{receiver.url}/{name}" for name in CHANNELS}}))
            sys.stdout.flush()
            await receiver.wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    main()
