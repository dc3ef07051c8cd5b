"""What does /openapi.json promise: which problems may each operation answer with?

FastAPI's own 422 document is replaced by ours, in the schema as in the handler.
"""

from __future__ import annotations

from collections import defaultdict
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from alerts.api.problems import MEDIA_TYPE, PROBLEMS
from alerts.api.schemas import ProblemDocument

_REF: Final = "#/components/schemas/{model}"
EVENT_STREAM: Final[dict[str, Any]] = {
    "description": "Events alerts, beat, reset, retire.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}

WITH_BODY: Final = ("bad-request", "body-too-large")
"""What any operation that reads a body may answer."""

Responses = dict[int | str, dict[str, Any]]


def problems(*slugs: str, guarded: bool = True) -> Responses:
    """The ``responses`` of an operation; ``guarded`` ones may also say 401, 403 and that they failed."""
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for slug in ("unauthorized", "forbidden", *slugs) if guarded else slugs:
        by_status[PROBLEMS[slug].status].append(slug)
    return {status: _response(slugs) for status, slugs in by_status.items()}


def creation(model: type[BaseModel], description: str) -> Responses:
    """The ``responses`` of a POST that makes something, once per Idempotency-Key."""
    return {
        HTTPStatus.CREATED.value: {"model": model, "description": description},
        **problems(
            "idempotency-key-missing", "idempotency-key-reused", "invalid-request", "order-refused",
            "already-exists", "record-unavailable", *WITH_BODY,
        ),
    }  # fmt: skip


def _response(slugs: list[str]) -> dict[str, Any]:
    names = [f"`/problems/{slug}`: {PROBLEMS[slug].title}" for slug in slugs]
    schema = {"$ref": _REF.format(model="Problem")}
    return {"description": ". ".join(names), "content": {MEDIA_TYPE: {"schema": schema}}}


def install(app: FastAPI) -> None:
    """Serve a schema in which every ``$ref`` to Problem is found."""

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            parts = made.setdefault("components", {}).setdefault("schemas", {})
            problem = ProblemDocument.model_json_schema(ref_template=_REF)
            parts |= problem.pop("$defs", {})
            parts["Problem"] = problem
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema
