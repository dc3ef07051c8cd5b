"""When does an attempt reach its recipient? The other side of ``bench alerts``: an HTTP server of its own process.

``python -m simulator.alerts_bench.recipient --secret whsec_… --seed N`` prints its address as JSON, and serves:

* ``POST /{channel}``: stamped when its body is whole, its signature checked, answered 204. The first attempt under
  an id in FAILING_PCT of all ids is answered 500: which ids those are follows from the seed and the id alone.
* ``GET /arrivals?after=N``: what came behind the first N, as JSON.

Hours are milliseconds of the machine's clock, with fractions: the same clock as the publisher's.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import uvicorn
import uvloop
from standardwebhooks import Webhook, WebhookVerificationError

from simulator.receiver import read_body
from tocsin.clock import MS, AffineClock

FAILING_PCT = 10
LOSING_PCT = 2
BACKLOG = 2048  # connections that wait to be taken: a burst opens many at once
KEEP_ALIVE_S = 75  # as common servers do
ARRIVALS_MAX = 200_000  # an hour at 50 a second; beyond that 507

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def is_chosen(seed: int, purpose: str, webhook_id: str, percent: int) -> bool:
    """Whether this id is among so many of a hundred, of this seed."""
    return zlib.crc32(f"{seed}:{purpose}:{webhook_id}".encode()) % 100 < percent


@dataclass(slots=True, kw_only=True)
class Recipient:
    """What has come. ``loses``: the fault to plant; some are taken with a 2xx and forgotten."""

    verifier: Webhook
    seed: int
    loses: bool
    wall: Callable[[], float]
    came: list[tuple[str, str, float, int, bytes]] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        assert scope["type"] == "http"
        if scope["method"] == "GET":
            await _answer(send, 200, json.dumps(self._since(scope["query_string"])).encode())
            return
        body = await _whole(receive)
        at_ms = self.wall() * MS
        if body is not None:
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            await _answer(send, self._take(scope["path"].split("/")[1], headers, body, at_ms))

    def _take(self, channel: str, headers: dict[str, str], body: bytes, at_ms: float) -> int:
        try:
            self.verifier.verify(body, headers, json_parse=False)
        except (WebhookVerificationError, ValueError):
            return 401
        if len(self.came) >= ARRIVALS_MAX:
            return 507
        name = headers["webhook-id"]
        if self.loses and is_chosen(self.seed, "lost", name, LOSING_PCT):
            return 204
        is_first = (channel, name) not in self.seen
        self.seen.add((channel, name))
        status = 500 if is_first and is_chosen(self.seed, "failing", name, FAILING_PCT) else 204
        self.came.append((channel, name, at_ms, status, body))
        return status

    def _since(self, query: bytes) -> list[dict[str, Any]]:
        after = int(parse_qs(query.decode()).get("after", ["0"])[0])
        return [
            {"channel": channel, "id": name, "at_ms": at_ms, "status": status, **_said(body)}
            for channel, name, at_ms, status, body in self.came[after:]
        ]


def _said(body: bytes) -> dict[str, Any]:
    read = read_body(body)
    data = read["data"]
    return {
        "type": read["type"],
        "episode": read["subject"],
        "code": data.get("code"),
        "measures": data.get("measures") or [],
        "device": data.get("device"),
        "occurred_at": data.get("occurred_at"),
        "audience": data.get("audience"),
    }


async def _whole(receive: Receive) -> bytes | None:
    """None: the caller went away in the middle of it."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def _answer(send: Send, status: int, body: bytes = b"") -> None:
    headers = [(b"content-length", str(len(body)).encode())] if status == 200 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m simulator.alerts_bench.recipient", description=__doc__)
    parser.add_argument("--secret", required=True, help="whsec_…")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--loses", action="store_true")
    given = parser.parse_args()
    recipient = Recipient(
        verifier=Webhook(given.secret), seed=given.seed, loses=given.loses, wall=AffineClock().wall
    )
    config = uvicorn.Config(
        recipient, log_level="warning", lifespan="off", access_log=False, timeout_keep_alive=KEEP_ALIVE_S
    )
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        print(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}"}))
        sys.stdout.flush()
        uvloop.run(uvicorn.Server(config).serve(sockets=[listening]))


if __name__ == "__main__":
    main()
