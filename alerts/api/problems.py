"""Why was a request refused, in a form that a program and a person can read?

RFC 9457: ``application/problem+json`` with a ``type`` that is a page here, ``/problems/<slug>``. One row per slug;
what the desk objects has the slug of its word. ``errors[]`` names every place that is wrong by JSON pointer. What
the caller sent is never repeated to him: it may hold a secret.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from alerts.desk import Objection
from tocsin.adapters.orders import AlreadyExists, DeviceRevoked, KeyReused, OrderRefused, StaleVersion
from tocsin.adapters.postgres import BadCursor, RecordRefused
from tocsin.adapters.trail import NotCovered, TooManyLinks
from tocsin.errors import EvidenceBroken, EvidenceTooLarge, LogUnavailable, NoPackager, RecordUnavailable
from tocsin.model.problem import Problem

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of problem: its page, its status, what it means and what to do."""

    slug: str
    status: int
    title: str
    advice: str


def _kind(slug: str, status: int, title: str, advice: str) -> Kind:
    return Kind(slug=slug, status=status, title=title, advice=advice)


PROBLEMS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.slug: kind
        for kind in (
            _kind("bad-request", 400, "The request cannot be read", "Send JSON as /openapi.json says."),
            _kind("bad-window", 400, "This is no span of time to count",
                  "Send `from` before `to`, at most a year apart."),
            _kind("too-many-alerts", 400, "There are too many alerts in this time", "Ask for a shorter time."),
            _kind("bad-cursor", 400, "This cursor was not given out here", "Start the list again without cursor."),
            _kind("idempotency-key-missing", 400, "A POST here needs Idempotency-Key",
                  "Send a key of your own, 1 to 200 characters; repeat it when you repeat the request."),
            _kind("actor-missing", 400, "For whom?",
                  "The account of a platform acts for one human: name him in Tocsin-Actor, 1 to 80 characters."),
            _kind("purpose-missing", 400, "Why do you look?",
                  "This names or shows people: send Tocsin-Purpose, as audit:2026-113."),
            _kind("etag-not-quoted", 400, "An ETag is in quotes", "Send it as it was given: If-Match: \"3\"."),
            _kind("unauthorized", 401, "Who asks?", "Send Authorization: Bearer with a token of this deployment."),
            _kind("forbidden", 403, "Your role may not do that",
                  "Ask somebody whose role may; GET /api/v1/me lists yours."),
            _kind("actor-refused", 403, "You may not speak for him",
                  "Whoever has a token here acts with it, and for nobody else."),
            _kind("not-found", 404, "There is nothing here", "Look at /openapi.json."),
            _kind("unknown-alert", 404, "There is no alert of this id", "Take the list of alerts again."),
            _kind("unknown-measure", 404, "There is no measure of this id", "Take the list of measures again."),
            _kind("unknown-device", 404, "There is no device of this id", "Take the list of devices again."),
            _kind("unknown-callback", 404, "This link is none of ours",
                  "Use the link of a notification as it came, all of it."),
            _kind("unknown-command", 404, "Nothing is known of an order of this id to this device",
                  "It is kept for days: look at the id, and at the device."),
            _kind("not-covered", 404, "No daily head proves this yet, or ever",
                  "Look at the chain's name and the day; what was linked since the last head is in the next one."),
            _kind("method-not-allowed", 405, "This cannot be done here", "Look at /openapi.json."),
            _kind("already-owned", 409, "Somebody else has this alert in his hands",
                  "The member owner names him; until expires_at it is his."),
            _kind("not-owner", 409, "The alert is in another's hands", "Only its owner may release or close it."),
            _kind("not-acknowledged", 409, "Nobody has taken it", "Take it before you release or close it."),
            _kind("already-closed", 409, "The alert is closed", "What comes later is a new alert."),
            _kind("already-exists", 409, "This name is taken", "Choose another id."),
            _kind("device-in-use", 409, "Measures that have not ended need this device",
                  "measures names them: end them, or wait for their end."),
            _kind("device-revoked", 409, "This device was revoked", "Make another device."),
            _kind("not-recorded", 409, "The record has not got this alert yet",
                  "The log has it, and the record is behind: ask again in some seconds."),
            _kind("evidence-broken", 409, "The record of this alert cannot be written as evidence",
                  "Somebody has put into it what Tocsin never writes: tocsin audit verify names the place."),
            _kind("evidence-too-large", 409, "The evidence of this alert is too large for the API",
                  "Whoever runs this site takes it with tocsin evidence export, which has no bound."),
            _kind("too-many-links", 409, "Too many links are between this one and its head",
                  "Ask without number, and take the links from /api/v1/audit/entries."),
            _kind("callback-expired", 410, "The time of this link is over",
                  "Act with a token, or on the console."),
            _kind("stale-version", 412, "It has changed since you looked",
                  "Look at it again and send the ETag of what you saw; etag and owner say how it is now."),
            _kind("body-too-large", 413, "The body is too large", "64 KiB are enough for anything here."),
            _kind("invalid-request", 422, "Some of this is not as it must be", "errors[] names every place."),
            _kind("order-refused", 422, "This cannot be ordered", "errors[] names every reason."),
            _kind("outcome-missing", 422, "An alert is closed with an outcome", "Choose one of the closed list."),
            _kind("inspection-missing", 422, "A tamper is closed after an inspection",
                  "Have the device looked at, then close with inspected: true."),
            _kind("reason-missing", 422, "A take-over says why", "Send a note of your own words."),
            _kind("successor-missing", 422, "To whom?", "Name who has the alert from now on."),
            _kind("deed-missing", 422, "What was done?", "Choose one of the closed list of actions."),
            _kind("idempotency-key-reused", 422, "This key belongs to another request",
                  "Make a new key for a new request."),
            _kind("precondition-required", 428, "What did you see?",
                  "Send If-Match with the ETag of what you saw."),
            _kind("internal-error", 500, "Something failed inside Tocsin",
                  "Tell the operator of this site the trace_id."),
            _kind("log-unavailable", 503, "The log did not confirm",
                  "Nothing is certain: look again, then try again. By voice meanwhile."),
            _kind("record-unavailable", 503, "The record cannot be reached",
                  "Open alerts go on without it; ask again later for what is in the record."),
            _kind("evidence-unavailable", 503, "This installation cannot write evidence",
                  "Its package audit is missing or older: tell the operator of this site."),
            _kind("evidence-busy", 503, "Others are taking evidence",
                  "So many packages at once and no more: ask again when one of them is through."),
            _kind("not-ready", 503, "This process is still reading the log", "Try again in a second."),
        )
    }
)  # fmt: skip

assert {objection.value for objection in Objection} <= PROBLEMS.keys(), "what the desk objects has a page"

_OF_STATUS: Final[Mapping[int, str]] = MappingProxyType(
    {400: "bad-request", 404: "not-found", 405: "method-not-allowed", 413: "body-too-large"}
)


class Refusal(Exception):
    """A request that is answered with a problem."""

    def __init__(
        self,
        slug: str,
        detail: str = "",
        *,
        errors: Iterable[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(slug)
        self.kind = PROBLEMS[slug]
        self.detail = detail
        self.errors = [dict(error) for error in errors]
        self.headers = dict(headers or {})
        self.members = dict(members or {})


def response_of(refusal: Refusal, trace_id: str) -> Response:
    """The problem document of ``refusal``."""
    kind = refusal.kind
    document: dict[str, Any] = {"type": f"/problems/{kind.slug}", "title": kind.title, "status": kind.status}
    document |= {"detail": refusal.detail or kind.advice, "trace_id": trace_id, **refusal.members}
    if refusal.errors:
        document["errors"] = refusal.errors
    headers = {"Cache-Control": "no-store", **refusal.headers}
    if kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return JSONResponse(document, kind.status, headers, media_type=MEDIA_TYPE)


def new_trace_id() -> str:
    """The word under which this refusal is found in the log of the process."""
    return secrets.token_hex(8)


def install(app: FastAPI) -> None:
    """Answer everything that is raised with a problem, in place of FastAPI's own documents."""

    async def answer(request: Request, error: Exception) -> Response:
        refusal = refusal_of(error)
        trace_id = new_trace_id()
        if refusal.kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error(
                "refused", problem=refusal.kind.slug, trace_id=trace_id, error=repr(error), method=request.method
            )
        return response_of(refusal, trace_id)

    for kind in (
        Refusal, RequestValidationError, HTTPException, LogUnavailable, RecordUnavailable, RecordRefused,
        BadCursor, OrderRefused, AlreadyExists, DeviceRevoked, KeyReused, StaleVersion, NotCovered, TooManyLinks,
        EvidenceBroken, EvidenceTooLarge, NoPackager, Exception,
    ):  # fmt: skip
        app.add_exception_handler(kind, answer)


def refusal_of(error: Exception) -> Refusal:
    """Each error that an operation may meet, as a refusal."""
    match error:
        case Refusal():
            return error
        case RequestValidationError():
            return Refusal("invalid-request", errors=[_place_and_fault(one) for one in error.errors()])
        case HTTPException():
            slug = _OF_STATUS.get(error.status_code, "bad-request")
            return Refusal(slug, headers=error.headers)
        case OrderRefused():
            return Refusal("order-refused", errors=[_of_order(problem) for problem in error.problems])
        case RecordRefused():
            return Refusal("order-refused", "the record cannot hold one of these values")
        case StaleVersion():
            tag = f'"{error.current}"'
            return Refusal("stale-version", headers={"ETag": tag}, members={"etag": tag})
        case _:
            return Refusal(_slug_of(error))


def _slug_of(error: Exception) -> str:
    """By what it is, or what it is a kind of."""
    return next((_SLUGS[kind] for kind in type(error).__mro__ if kind in _SLUGS), "internal-error")


_SLUGS: Final[Mapping[type[Exception], str]] = MappingProxyType(
    {
        LogUnavailable: "log-unavailable",
        RecordUnavailable: "record-unavailable",
        BadCursor: "bad-cursor",
        AlreadyExists: "already-exists",
        DeviceRevoked: "device-revoked",
        KeyReused: "idempotency-key-reused",
        NotCovered: "not-covered",
        TooManyLinks: "too-many-links",
        EvidenceBroken: "evidence-broken",
        EvidenceTooLarge: "evidence-too-large",
        NoPackager: "evidence-unavailable",
    }
)


def _of_order(problem: Problem) -> dict[str, str]:
    return {"pointer": problem.pointer, "code": problem.code, "detail": problem.detail}


def _place_and_fault(error: Mapping[str, Any]) -> dict[str, str]:
    """pydantic's ``loc`` as a JSON pointer into the body, or as the name of a parameter."""
    where, *path = error["loc"]
    fault = {"code": str(error["type"]).replace("_", "-"), "detail": str(error["msg"])}
    if where != "body":
        return {"parameter": "/".join(map(str, path)), "in": str(where), **fault}
    if error["type"] == "json_invalid":
        return {"pointer": "", **fault}
    return {"pointer": "".join(f"/{escape(part)}" for part in path), **fault}


def escape(part: str | int) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    return str(part).replace("~", "~0").replace("/", "~1")
