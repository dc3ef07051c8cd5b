"""Is every refusal a problem document with a page, also those of the framework?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from api_room import Room

from alerts.api import problems
from alerts.desk import Objection
from tocsin.adapters.postgres import RecordRefused


@pytest.mark.parametrize("slug", problems.PROBLEMS)
async def test_every_problem_has_a_page(room: Room, slug: str) -> None:
    async with room.client(None) as client:
        page = await client.get(f"/problems/{slug}")
    assert page.status_code == 200
    assert slug in page.text


async def test_an_unknown_page_is_a_problem_itself(room: Room) -> None:
    async with room.client(None) as client:
        for path in ("/problems/none", "/console/none.js", "/console/../app.py", "/api/v1/none", "/api/v2/alerts"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found"), path


@pytest.mark.parametrize("objection", Objection)
def test_what_the_desk_objects_is_a_kind_of_problem(objection: Objection) -> None:
    assert problems.Refusal(objection.value).kind.status in {404, 409, 412, 422}


async def test_what_the_framework_refuses_is_ours_too(room: Room) -> None:
    async with room.client("Jude") as jude:
        headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
        broken = await jude.post("/api/v1/measures", content=b"{", headers=headers)
        huge = await jude.post("/api/v1/measures", content=b'"' + b"x" * 70_000 + b'"', headers=headers)
        chunks = (b"x" * 10_000 for _ in range(10))
        endless = await jude.post("/api/v1/measures", content=_later(chunks), headers=headers)
        plain = await jude.post(
            "/api/v1/measures", content=b"a=1", headers=headers | {"Content-Type": "text/plain"}
        )
        method = await jude.patch("/api/v1/measures")
    for answer, status, slug in (
        (broken, 422, "invalid-request"), (huge, 413, "body-too-large"), (endless, 413, "body-too-large"),
        (plain, 422, "invalid-request"),
        (method, 405, "method-not-allowed"),
    ):  # fmt: skip
        assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
        assert answer.headers["content-type"] == "application/problem+json"
        assert re.fullmatch(r"[0-9a-f]{16}", answer.json()["trace_id"])
    assert method.headers["allow"]


async def _later(chunks):
    for chunk in chunks:
        yield chunk


async def test_what_nobody_foresaw_says_nothing_of_the_inside(room: Room, monkeypatch) -> None:
    async def broken(*_args, **_words):
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr(room.orders, "measures", broken)
    async with room.client("Jude") as jude:
        answer = await jude.get("/api/v1/measures")
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal-error")
    assert "secret" not in answer.text


def test_a_value_that_the_record_cannot_hold_is_refused() -> None:
    assert problems.refusal_of(RecordRefused("x")).kind.slug == "order-refused"


def test_outcome_missing_is_the_desks_word_too() -> None:
    assert problems.PROBLEMS["outcome-missing"].status == 422


def test_every_slug_that_the_code_names_is_in_the_table() -> None:
    source = "".join(path.read_text() for path in Path(problems.__file__).parent.glob("*.py"))
    named = set(re.findall(r'Refusal\(\s*"([a-z-]+)"', source))
    assert named <= problems.PROBLEMS.keys()


async def test_the_schema_promises_our_problems_and_no_other(room: Room) -> None:
    async with room.client(None) as client:
        schema = (await client.get("/openapi.json")).json()
    assert schema["openapi"].startswith("3.1")
    assert "HTTPValidationError" not in schema["components"]["schemas"]
    assert schema["components"]["schemas"]["Problem"]["properties"]["errors"]
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert operation["operationId"]
            for status, response in operation["responses"].items():
                if status >= "400" and path.startswith("/api"):
                    assert list(response["content"]) == ["application/problem+json"], (method, path, status)
                    assert "/problems/" in response["description"]


async def test_pages_come_from_here_alone(room: Room) -> None:
    async with room.client(None) as client:
        page = await client.get("/")
        script = await client.get("/console/console.js")
        style = await client.get("/console/console.css")
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert style.headers["cache-control"] == "no-cache"
    assert "http" not in page.text.replace("http-equiv", "")
    assert not re.search(r"innerHTML|eval\(|https?:", script.text)


async def test_health(room: Room, monkeypatch, tmp_path: Path) -> None:
    async with room.client(None) as client:
        assert (await client.get("/livez")).json() == (await client.get("/healthz")).json() == {"status": "alive"}
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["ready"], ready.json()["degraded"]) == (200, True, False)
        room.standings.ready.clear()
        unknown = await client.get("/readyz")
        assert (unknown.status_code, unknown.json()["ready"], unknown.json()["degraded"]) == (200, True, True)
        room.standings.ready.set()
        await room.press()
        assert 'tocsin_alerts_open{priority="1"} 1.0' in (await client.get("/metrics")).text
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
        assert (await client.get("/metrics")).status_code == 200
        room.projection.drain()
        draining = await client.get("/readyz")
        assert (draining.status_code, draining.json()["draining"]) == (503, True)
