"""How do the parts of the API become one application? ``create_app(deps)``."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alerts.api import (
    acts,
    alerts,
    callbacks,
    commands,
    deeds,
    devices,
    evidence,
    health,
    incidents,
    live,
    load,
    measures,
    openapi,
    pages,
    problems,
    protection,
    reports,
    schemas,
    trail,
)
from alerts.api.access import requires
from alerts.api.alerts import TheDeps
from alerts.api.deps import Deps
from alerts.api.roles import MAY, MAY_DO, Caller, Permission

BODY_MAX_BYTES: Final = 64 * 1024
API: Final = "/api/v1"
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": pages.CSP,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(tags=["me"])


@router.get("/me", summary="Who am I here?", responses=openapi.problems())
async def me(caller: Annotated[Caller, Depends(requires(Permission.WHO_AM_I))], deps: TheDeps) -> schemas.Me:
    """Your name, your role, and what it permits."""
    return schemas.Me(
        name=caller.label,
        role=caller.role,
        realm=deps.settings.realm.value,
        auth=deps.settings.api_auth,
        permissions=sorted(permission.value for permission in MAY[caller.role]),
        verbs=sorted(verb.value for verb in MAY_DO[caller.role]),
        service=caller.service or None,
    )


def create_app(deps: Deps) -> FastAPI:
    """The application over ``deps``; whoever makes it runs ``deps.projection`` and ``deps.standings``."""
    app = FastAPI(
        title="Tocsin",
        version="1",
        description="Alerts of anti-approach bracelets and grave danger telephones.",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False},
    )
    app.state.deps = deps
    for part in (
        router,
        alerts.router,
        acts.router,
        deeds.router,
        callbacks.router,
        live.router,
        protection.router,
        incidents.router,
        load.router,
        reports.router,
        measures.router,
        devices.router,
        commands.router,
        evidence.router,
        trail.router,
    ):
        app.include_router(part, prefix=API)
    app.include_router(health.router)
    app.include_router(pages.router)
    app.add_middleware(WithLimit)
    app.add_middleware(WithHeaders)
    problems.install(app)
    openapi.install(app)
    return app


class WithLimit:
    """A body of more than BODY_MAX_BYTES is refused: before it is read where it says its length, else while read.

    Not FastAPI's ``max_body_size``: that one answers in plain text.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _said_length(scope) > BODY_MAX_BYTES:
            refusal = problems.Refusal("body-too-large")
            await problems.response_of(refusal, problems.new_trace_id())(scope, receive, send)
            return
        read = 0

        async def receive_some() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > BODY_MAX_BYTES:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return message

        await self._app(scope, receive_some, send)


def _said_length(scope: Scope) -> int:
    text = Headers(scope=scope).get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else 0


class WithHeaders:
    """Every response says who may keep it and where its parts may come from, unless it says so itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)
