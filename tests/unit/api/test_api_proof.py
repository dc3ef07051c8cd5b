"""Do evidence, links, accesses and heads leave by the API only to whom they may, with a purpose, and on record?
DOMAIN section 5, invariant 17; F09, F10. What is in them: tests/integration/test_proof_doors.py."""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
from api_room import NOW, NOW_MS, Room, opened, without_auth
from builders import eventually
from structlog.testing import capture_logs
from test_api_accesses import newest, noted

import alerts
from alerts.api.held import CHUNK_BYTES
from audit.evidence import gather
from tocsin.adapters import packager
from tocsin.adapters.accesses import OFF_THE_LOG, RecordedAccess
from tocsin.adapters.packager import PackagedEvidence, installed
from tocsin.adapters.trail import Cover, Entry, Heads, TooManyLinks
from tocsin.chain import START, Item, KeptAs, Kind, linked
from tocsin.errors import EvidenceBroken, NoPackager
from tocsin.heads import DAY_MS, Leaf, head_of, proof
from tocsin.model.access import Access

WHY = {"Tocsin-Purpose": "audit:2026-113"}
LINES = (b'{"kind":"package"}\n', b'{"kind":"seal"}\n')
DOORS = ("/alerts/alr_1/evidence", "/audit/entries", "/audit/accesses", "/audit/proof")


def link(chain: str = "episode/alr_1", number: int = 1):
    item = Item(
        chain=chain, kind=Kind.PLACES, kept_as=KeptAs.MEASURE_FILE, source=f"places:{number}", payload=b"{}"
    )
    return linked(item, bytes(32), number=number, previous=START, at_ms=NOW_MS)[0]


@pytest.mark.parametrize("path", DOORS)
async def test_each_door_asks_why_and_shows_nothing_without(room: Room, path: str) -> None:
    room.proof.packages["alr_1"] = LINES
    async with room.client("Xena") as xena:
        answer = await xena.get(f"/api/v1{path}")
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/purpose-missing")
    assert (room.proof.sealed, room.proof.asked) == ([], [])
    assert noted(room.log) == []


@pytest.mark.parametrize("path", DOORS)
async def test_without_the_record_each_door_says_so(room: Room, path: str) -> None:
    room.record.down = True
    async with room.client("Xena", **WHY) as xena:
        answer = await xena.get(f"/api/v1{path}")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/record-unavailable")
    assert noted(room.log) == []


# --- evidence --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "role"), [("Jude", "court"), ("Xena", "auditor")])
async def test_the_package_as_it_is_under_its_name_and_who_took_it(room: Room, name: str, role: str) -> None:
    room.proof.packages["alr_1"] = LINES
    async with room.client(name, **WHY) as client:
        answer = await client.get("/api/v1/alerts/alr_1/evidence")
    assert (answer.status_code, answer.content) == (200, b"".join(LINES))
    assert answer.headers["content-type"].partition(";")[0] == "application/x-ndjson"
    assert answer.headers["content-disposition"] == 'attachment; filename="alr_1.jsonl"'
    assert answer.headers["cache-control"] == "no-store"
    (one,) = room.proof.sealed
    assert one == RecordedAccess(
        sequence=OFF_THE_LOG,
        access=Access(
            id=one.access.id, at_ms=NOW_MS, who=name, role=role, what="evidence", objects=("alr_1",),
            purpose="audit:2026-113", places=True,
        ),
    )  # fmt: skip


async def test_what_could_not_be_sealed_does_not_leave(room: Room) -> None:
    room.proof.packages["alr_1"], room.proof.sealing_fails = LINES, True
    async with room.client("Jude", **WHY) as jude:
        answer = await jude.get("/api/v1/alerts/alr_1/evidence")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/record-unavailable")
    assert b"package" not in answer.content


async def test_a_long_package_comes_whole(room: Room) -> None:
    lines = tuple(b"%d %s\n" % (n, b"x" * (n * 37 % 5_000)) for n in range(200))
    assert sum(map(len, lines)) > 4 * CHUNK_BYTES
    room.proof.packages["alr_1"] = lines
    async with room.client("Jude", **WHY) as jude:
        assert (await jude.get("/api/v1/alerts/alr_1/evidence")).content == b"".join(lines)


async def test_an_alert_that_the_record_has_not_got_yet_is_not_unknown(room: Room) -> None:
    episode = await room.press()
    async with room.client("Jude", **WHY) as jude:
        behind = await jude.get(f"/api/v1/alerts/{episode.id}/evidence")
        unknown = await jude.get("/api/v1/alerts/alr_9/evidence")
    assert (behind.status_code, behind.json()["type"]) == (409, "/problems/not-recorded")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/unknown-alert")
    assert room.proof.sealed == [], "what was refused was not taken"


async def test_before_the_log_is_read_nobody_says_that_an_alert_is_unknown(room: Room) -> None:
    room.projection.ready.clear()
    async with room.client("Jude", **WHY) as jude:
        answer = await jude.get("/api/v1/alerts/alr_9/evidence")
    room.projection.ready.set()
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (EvidenceBroken("episode/alr_1 3"), 409, "evidence-broken"),
        (NoPackager(), 503, "evidence-unavailable"),
    ],
)
async def test_what_cannot_be_written_is_refused_before_it_begins(
    room: Room, error: Exception, status: int, slug: str
) -> None:
    room.proof.packages["alr_1"] = error
    async with room.client("Jude", **WHY) as jude:
        answer = await jude.get("/api/v1/alerts/alr_1/evidence")
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    assert room.proof.sealed == []


def test_the_page_has_a_french_sentence_for_each_refusal_of_its_door(room: Room) -> None:
    """A court reads the title otherwise, which is English."""
    page = (Path(alerts.__file__).parent / "console" / "evidence.js").read_text("utf-8")
    (path,) = (one for one in room.app.openapi()["paths"] if one.endswith("/evidence"))
    refusals = room.app.openapi()["paths"][path]["get"]["responses"]
    slugs = set(re.findall(r"`/problems/([a-z-]+)`", str(refusals))) - {"internal"}
    assert {"evidence-busy", "evidence-too-large", "purpose-missing"} <= slugs
    assert {slug for slug in slugs if not re.search(rf'^  "?{slug}"?: ".+",$', page, re.MULTILINE)} == set()


async def test_the_installed_packager_is_that_of_the_command() -> None:
    """The API imports nothing of audit: it is found by its name, or nothing leaves."""
    assert [one.name for one in entry_points(group="tocsin.evidence")] == ["packager"]
    assert installed() is gather
    with pytest.raises(NoPackager):
        await PackagedEvidence(None, None).lines("alr_1")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["audit.nothing_here:gather", "audit.evidence:nothing_here", None])
def test_an_installation_without_a_packager_starts_all_the_same(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    found = [] if value is None else [EntryPoint(packager.NAME, value, packager.GROUP)]
    monkeypatch.setattr(packager, "entry_points", lambda **_: found)
    with capture_logs() as said:
        assert installed() is None
    assert [one["event"] for one in said] == [*(["packager_unusable"] if value else []), "no_packager"]


@pytest.mark.parametrize(
    "source", ["def gather(:", "1 + 'one'", "gather = missing", "int('x')", "open('/no/such')"]
)
def test_a_packager_that_breaks_as_it_is_loaded_stops_no_api(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    """SyntaxError, TypeError, NameError, ValueError, OSError: a half-finished upgrade gives any of them."""
    (tmp_path / "half_upgraded.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "half_upgraded", raising=False)
    found = [EntryPoint(packager.NAME, "half_upgraded:gather", packager.GROUP)]
    monkeypatch.setattr(packager, "entry_points", lambda **_: found)
    with capture_logs() as said:
        assert installed() is None
    assert [one["event"] for one in said] == ["packager_unusable", "no_packager"]


# --- links -----------------------------------------------------------------------------------------------------


async def test_links_are_listed_and_the_look_at_them_is_on_the_log(room: Room) -> None:
    chains = ["accesses/2026-11-21", "device/b0000001", "episode/alr_1", "episode/alr_1", "measure/msr_1"]
    room.proof.linked = [Entry(link=link(chain, n), kept=n != 2) for n, chain in enumerate(chains, 1)]
    async with room.client("Xena", **WHY) as xena:
        first = (await xena.get("/api/v1/audit/entries", params={"limit": 3})).json()
        rest = (await xena.get("/api/v1/audit/entries", params={"cursor": first["next"]})).json()
    assert [one["chain"] for one in first["items"] + rest["items"]] == chains
    assert [one["kept"] for one in first["items"]] == [True, False, True]
    assert first["items"][2] == {
        "chain": "episode/alr_1", "number": 3, "kind": "places", "kept_as": "measure_file", "source": "places:3",
        "at": NOW, "at_ms": NOW_MS, "commitment": link(number=3).commitment.hex(), "previous": START.hex(),
        "hash": link(number=3).hash.hex(), "kept": True,
    }  # fmt: skip
    one, two = await newest(room, 2)
    assert (one.who, one.role, one.what, one.purpose, one.places) == (
        "Xena", "auditor", "entries", "audit:2026-113", False,
    )  # fmt: skip
    assert one.objects == ("accesses/2026-11-21", "b0000001", "alr_1")
    assert two.objects == ("alr_1", "msr_1"), "by this an alert's own evidence tells who looked at its links"


async def test_links_by_alert_chain_and_day(room: Room) -> None:
    day_ms = NOW_MS // DAY_MS * DAY_MS
    async with room.client("Xena", **WHY) as xena:
        for query in ({"alert": "alr_1"}, {"chain": "device/b0000001"}, {"day": "2026-11-21"}, {}):
            assert (await xena.get("/api/v1/audit/entries", params=query)).status_code == 200
    assert room.proof.asked == [
        ("episode/alr_1", 0, None), ("device/b0000001", 0, None), (None, day_ms, day_ms + DAY_MS), (None, 0, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        {"alert": "alr_1", "chain": "episode/alr_1"}, {"chain": "alr_1"}, {"chain": "episode/"},
        {"chain": "secret/alr_1"}, {"day": "2026-02-30"}, {"day": "20261121"}, {"limit": 201},
    ],
)  # fmt: skip
async def test_links_that_cannot_be_asked_for(room: Room, query: dict[str, object]) -> None:
    async with room.client("Xena", **WHY) as xena:
        answer = await xena.get("/api/v1/audit/entries", params=query)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-request")
    assert room.proof.asked == []


# --- accesses --------------------------------------------------------------------------------------------------


def read(number: int, *objects: str, **changes: object) -> RecordedAccess:
    whole = {"id": f"acc_{number}", "at_ms": NOW_MS, "who": "Bob", "role": "teleassistant", "what": "alert"}
    return RecordedAccess(sequence=number, access=Access(objects=objects, **{**whole, **changes}))


async def test_who_read_what_and_the_auditor_is_among_them(room: Room) -> None:
    room.proof.read = [read(2, "alr_1", service="Alma", purpose="alert:alr_1"), read(1, "alr_1", "alr_2")]
    async with room.client("Xena", **WHY) as xena:
        items = (await xena.get("/api/v1/audit/accesses", params={"object": "alr_1"})).json()["items"]
    assert items[0] == {
        "id": "acc_2", "at": NOW, "who": "Bob", "role": "teleassistant", "service": "Alma", "what": "alert",
        "objects": ["alr_1"], "purpose": "alert:alr_1", "places": False, "chain": "accesses/2026-11-21",
        "source": "access:acc_2",
    }  # fmt: skip
    assert (items[1]["service"], items[1]["purpose"]) == (None, None)
    assert room.proof.asked == [(NOW_MS - DAY_MS, NOW_MS, "alr_1", "")]
    (access,) = await newest(room)
    assert (access.who, access.what, access.objects) == ("Xena", "accesses", ("alr_1", "alr_2"))


async def test_whom_an_auditor_looks_up_is_on_record_and_can_be_asked_for(room: Room) -> None:
    """Also where there is nothing to show: that he has read nothing was asked of somebody, too."""
    room.proof.read = [read(1, "alr_1", who="D. Martin")]
    async with room.client("Xena", **WHY) as xena:
        for query in ({"who": "D. Martin"}, {"object": "who:D. Martin"}, {"object": "alr_9"}):
            assert (await xena.get("/api/v1/audit/accesses", params=query)).status_code == 200
            room.proof.read = []
        bare = await xena.get("/api/v1/audit/accesses", params={"object": "D. Martin"})
    assert [one.objects for one in await newest(room, 3)] == [
        ("who:D. Martin", "alr_1"), ("who:D. Martin",), ("alr_9",),
    ]  # fmt: skip
    assert bare.status_code == 422, "an object is an id, or says that it is a name"


async def test_accesses_of_more_than_a_year_at_once_are_refused(room: Room) -> None:
    async with room.client("Xena", **WHY) as xena:
        answer = await xena.get("/api/v1/audit/accesses", params={"from": "2024-01-01T00:00:00Z"})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-window")


# --- heads -----------------------------------------------------------------------------------------------------


def heads(*, more: bool = False) -> Heads:
    one = link()
    leaf = Leaf(chain=one.chain, length=1, hash=one.hash)
    first = head_of([leaf], after=None, at_ms=NOW_MS)
    second = head_of([], after=first, at_ms=NOW_MS + DAY_MS)
    cover = Cover(head=first, leaf=leaf, proof=proof([leaf], 0), links=(one,))
    return Heads(newest=second, run=(first, second)[: 1 if more else 2], more=more, cover=cover)


async def test_a_proof_and_who_asked_for_it(room: Room) -> None:
    room.proof.shown = heads()
    query = {"upto": "2026-11-22", "chain": "episode/alr_1", "number": 1}
    async with room.client("Xena", **WHY) as xena:
        said = (await xena.get("/api/v1/audit/proof", params=query)).json()
    assert [one["number"] for one in said["heads"]] == [1, 2]
    assert (said["head"], said["next"]) == (said["heads"][1], None)
    assert (said["covered"]["chain"], said["covered"]["length"], said["covered"]["proof"]) == (
        "episode/alr_1",
        1,
        [],
    )
    assert said["covered"]["links"][0]["hash"] == said["covered"]["last"] == link().hash.hex()
    assert room.proof.asked == [("2026-11-22", None, "episode/alr_1", 1)]
    (access,) = await newest(room)
    assert (access.who, access.what, access.objects) == ("Xena", "proof", ("alr_1",))


async def test_more_heads_than_one_reply_has_are_asked_for_by_the_last(room: Room) -> None:
    room.proof.shown = heads(more=True)
    async with room.client("Xena", **WHY) as xena:
        assert (await xena.get("/api/v1/audit/proof")).json()["next"] == 1
    assert room.proof.asked == [("2026-11-21", None, None, None)], "today, where no day is said"


async def test_what_no_head_proves_and_what_cannot_be_asked(room: Room) -> None:
    async with room.client("Xena", **WHY) as xena:
        uncovered = await xena.get("/api/v1/audit/proof", params={"chain": "episode/alr_1"})
        alone = await xena.get("/api/v1/audit/proof", params={"number": 1})
    assert (uncovered.status_code, uncovered.json()["type"]) == (404, "/problems/not-covered")
    assert alone.json()["errors"] == [
        {"parameter": "number", "in": "query", "code": "without-chain", "detail": "a link has a chain"}
    ]


async def test_too_long_a_way_to_the_head_is_refused(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    async def too_many(*_: object, **__: object) -> Heads:
        raise TooManyLinks("2001")

    monkeypatch.setattr(room.proof, "heads", too_many)
    async with room.client("Xena", **WHY) as xena:
        answer = await xena.get("/api/v1/audit/proof", params={"chain": "episode/alr_1", "number": 1})
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/too-many-links")


async def test_the_schema_says_what_these_doors_answer() -> None:
    async with opened(without_auth()) as room:
        paths = room.app.openapi()["paths"]
    replies = paths["/api/v1/alerts/{alert_id}/evidence"]["get"]["responses"]
    assert list(replies["200"]["content"]) == ["application/x-ndjson"]
    assert {"400", "401", "403", "404", "409", "503"} <= replies.keys()
    for path in DOORS:
        operation = paths[f"/api/v1{path.replace('alr_1', '{alert_id}')}"]["get"]
        assert "Tocsin-Purpose" in json.dumps(operation["parameters"])
        assert operation["summary"]
        assert "400" in operation["responses"]


async def test_a_reader_of_the_evidence_in_the_lab_is_noted_as_lab() -> None:
    async with opened(without_auth()) as room:
        room.proof.packages["alr_1"] = LINES
        async with room.client(None, **WHY) as anybody:
            await anybody.get("/api/v1/alerts/alr_1/evidence")
        await eventually(lambda: len(room.proof.sealed) == 1)
        assert room.proof.sealed[0].access.role == "lab"
