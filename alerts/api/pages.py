"""What does a browser get: the console, the page of evidence, and a page for each problem?

Five files, read once at the start; nothing from elsewhere, and the browser is told so (Content-Security-Policy).
"""

from __future__ import annotations

from html import escape
from importlib import resources
from types import MappingProxyType
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from alerts.api.problems import PROBLEMS, Refusal

CSP: Final = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
_TYPES: Final = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
_FILES: Final = MappingProxyType(
    {
        name: (resources.files("alerts").joinpath("console", name).read_bytes(), _TYPES[name.rpartition(".")[2]])
        for name in ("index.html", "console.js", "console.css", "evidence.html", "evidence.js")
    }
)

router = APIRouter(include_in_schema=False)


@router.get("/")
@router.get("/console/")
async def console() -> Response:
    return await console_file("index.html")


@router.get("/console/{name}")
async def console_file(name: str) -> Response:
    if name not in _FILES:
        raise Refusal("not-found")
    content, media_type = _FILES[name]
    return Response(content, media_type=f"{media_type}; charset=utf-8", headers={"Cache-Control": "no-cache"})


@router.get("/problems/{slug}")
async def problem_page(slug: str) -> HTMLResponse:
    if slug not in PROBLEMS:
        raise Refusal("not-found")
    kind = PROBLEMS[slug]
    title = escape(kind.title)
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<h1>{title}</h1><p>{escape(kind.advice)}</p>"
        f"<p>HTTP {kind.status}, <code>{escape(slug)}</code></p></html>"
    )
