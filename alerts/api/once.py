"""Was this POST asked before, and what was the answer?

``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header-07): a key belongs to who sent it, for 24 h; the
same key with the same body gets the same reply, with another body it is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import Header, Response
from pydantic import BaseModel

from alerts.api.deps import Deps, OrderBook
from alerts.api.problems import Refusal
from alerts.api.roles import Caller
from tocsin.adapters.orders import Reply

KEY_MAX: Final = 200

IdempotencyKey = Annotated[
    str | None, Header(description="Yours, 1 to 200 characters. 400 without.", examples=["8e03978e-40d5-43dd"])
]


def checked_key(key: str | None) -> str:
    """Raises Refusal (400)."""
    if not key or len(key) > KEY_MAX or not key.isprintable():
        raise Refusal("idempotency-key-missing")
    return key


async def once(
    deps: Deps, caller: Caller, key: str, body: BaseModel, work: Callable[[OrderBook], Awaitable[Reply]]
) -> Reply:
    """The reply of ``work``, or the one that was given before. Raises KeyReused, RecordUnavailable."""
    kind = type(body).__name__
    fingerprint = hashlib.sha256(f"{kind}\n{body.model_dump_json()}".encode()).hexdigest()
    return await deps.orders.once(f"{caller.name}\n{kind}\n{key}", fingerprint, deps.clock.now_ms(), work)


def created(path: str, reply_id: str, status: int, body: bytes) -> Response:
    """201 with the place of what was made."""
    return Response(body, status, {"Location": f"/api/v1/{path}/{reply_id}"}, media_type="application/json")
