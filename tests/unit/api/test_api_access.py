"""Is everything forbidden that is not permitted, for every role and every operation?"""

from __future__ import annotations

from itertools import product

import pytest
from api_room import TOKEN_OF, USERS, Room, opened, without_auth

from alerts.api.roles import MAY, MAY_DO, Permission
from tocsin.model.episode import Verb

ROLE_OF = {user.name: user.role for user in USERS.values()}
COMMAND = "cmd_0f0e87bbd7ad8ff6b2b6e5f8c1d2a3b4"
OPERATIONS = {
    ("GET", "/me"): Permission.WHO_AM_I,
    ("GET", "/alerts"): Permission.SEE_ALERTS,
    ("GET", "/alerts/alr_1"): Permission.SEE_ALERT,
    ("GET", "/alerts/alr_1/timeline"): Permission.SEE_TIMELINE,
    ("PUT", "/alerts/alr_1/acknowledgement"): Permission.ACT_ON_ALERTS,
    ("DELETE", "/alerts/alr_1/acknowledgement"): Permission.ACT_ON_ALERTS,
    ("POST", "/alerts/alr_1/closure"): Permission.ACT_ON_ALERTS,
    ("POST", "/alerts/alr_1/actions"): Permission.ACT_ON_ALERTS,
    ("POST", "/alerts/alr_1/handovers"): Permission.ACT_ON_ALERTS,
    ("POST", "/alerts/alr_1/handoffs"): Permission.ACT_ON_ALERTS,
    ("GET", "/live?since=x"): Permission.SEE_ALERTS,
    ("GET", "/protection"): Permission.SEE_PROTECTION,
    ("GET", "/incidents/alr_1"): Permission.SEE_PROTECTION,
    ("GET", "/queue"): Permission.SEE_ALERTS,
    ("GET", "/reports/alarm-load"): Permission.SEE_REPORTS,
    ("GET", "/reports/alarm-kpis"): Permission.SEE_REPORTS,
    ("GET", "/reports/sla"): Permission.SEE_REPORTS,
    ("GET", "/measures/msr_1/burden"): Permission.SEE_REPORTS,
    ("GET", "/measures"): Permission.SEE_MEASURES,
    ("GET", "/measures/msr_1"): Permission.SEE_MEASURES,
    ("POST", "/measures"): Permission.ORDER_MEASURES,
    ("POST", "/measures/msr_1/ending"): Permission.ORDER_MEASURES,
    ("GET", "/devices"): Permission.SEE_DEVICES,
    ("GET", "/devices/b0000001"): Permission.SEE_DEVICES,
    ("POST", "/devices"): Permission.MAKE_DEVICES,
    ("DELETE", "/devices/b0000001"): Permission.MAKE_DEVICES,
    ("POST", "/devices/b0000001/password"): Permission.MAKE_DEVICES,
    ("POST", "/devices/b0000001/commands"): Permission.ORDER_UNITS,
    ("GET", f"/devices/b0000001/commands/{COMMAND}"): Permission.ORDER_UNITS,
    ("GET", "/alerts/alr_1/evidence"): Permission.TAKE_EVIDENCE,
    ("GET", "/audit/entries"): Permission.SEE_AUDIT,
    ("GET", "/audit/accesses"): Permission.SEE_AUDIT,
    ("GET", "/audit/proof"): Permission.SEE_AUDIT,
}
OPEN_TO_THE_LINK = {("POST", "/callbacks/{token}")}
"""Its credential is in the path: tests/unit/api/test_api_callbacks.py."""

HANDLING = {"acknowledge", "release", "close", "hand_over", "do", "hand_off"}
THE_VERBS = {
    "monitor": HANDLING | {"take_over"},
    "teleassistant": HANDLING,
    "supervisor": HANDLING | {"take_over"},
    "court": set(),
    "technical": set(),
    "auditor": set(),
    "platform": HANDLING,
    "lab": HANDLING | {"take_over"},
}
VERBS = {
    Verb.ACKNOWLEDGE: ("PUT", "acknowledgement", {"job": "monitor"}),
    Verb.TAKE_OVER: ("PUT", "acknowledgement", {"take_over": True, "reason": "he has gone home"}),
    Verb.RELEASE: ("DELETE", "acknowledgement", None),
    Verb.DO: ("POST", "actions", {"kind": "note"}),
    Verb.HAND_OVER: ("POST", "handovers", {"to": "C. Petit"}),
    Verb.HAND_OFF: ("POST", "handoffs", {}),
    Verb.CLOSE: ("POST", "closure", {"outcome": "technical"}),
}
THE_TABLE = {
    "monitor": {
        "who-am-i",
        "see-alerts",
        "see-alert",
        "see-timeline",
        "act-on-alerts",
        "see-protection",
        "order-units",
    },
    "teleassistant": {"who-am-i", "see-alerts", "see-alert", "see-timeline", "act-on-alerts", "see-protection"},
    "supervisor": {permission.value for permission in Permission} - {"see-canaries", "take-evidence", "see-audit"},
    "court": {
        "who-am-i",
        "see-alert",
        "see-timeline",
        "see-measures",
        "order-measures",
        "see-reports",
        "take-evidence",
    },
    "technical": {"who-am-i", "see-devices", "make-devices", "order-units", "see-canaries"},
    "auditor": {"who-am-i", "see-timeline", "take-evidence", "see-audit"},
    "platform": {"who-am-i", "see-alerts", "see-alert", "see-timeline", "act-on-alerts"},
    "lab": {permission.value for permission in Permission},
}


def test_the_table_is_the_one_that_was_agreed() -> None:
    assert {role: {each.value for each in may} for role, may in MAY.items()} == THE_TABLE


def test_the_table_of_verbs_is_the_one_that_was_agreed() -> None:
    assert {role: {verb.value for verb in may} for role, may in MAY_DO.items()} == THE_VERBS
    assert MAY_DO.keys() == MAY.keys()
    assert VERBS.keys() == set(Verb)


@pytest.mark.parametrize(("name", "verb"), list(product(ROLE_OF, VERBS)))
async def test_role_by_verb(room: Room, name: str, verb: Verb) -> None:
    """Of an alert that is not there: who may is told so, who may not learns not even that."""
    method, path, body = VERBS[verb]
    headers = {"If-Match": '"1"', "Idempotency-Key": "k"} | ({"Tocsin-Actor": "Zoe"} if name == "Alma" else {})
    async with room.client(name, **headers) as client:
        answer = await client.request(method, f"/api/v1/alerts/alr_1/{path}", json=body)
    permitted = verb.value in THE_VERBS[ROLE_OF[name]]
    expected = (404, "/problems/unknown-alert") if permitted else (403, "/problems/forbidden")
    assert (answer.status_code, answer.json()["type"]) == expected, answer.text


def test_every_operation_is_in_this_test(room_paths: set[tuple[str, str]]) -> None:
    named = {(method, path.partition("?")[0]) for method, path in OPERATIONS}
    assert room_paths == named | OPEN_TO_THE_LINK


@pytest.fixture
async def room_paths(room: Room) -> set[tuple[str, str]]:
    examples = {"{alert_id}": "alr_1", "{measure_id}": "msr_1", "{device_id}": "b0000001", "{command_id}": COMMAND}
    found = set()
    for path, operations in room.app.openapi()["paths"].items():
        for name, example in examples.items():
            path = path.replace(name, example)  # noqa: PLW2901
        found |= {
            (method.upper(), path.removeprefix("/api/v1")) for method in operations if path.startswith("/api/v1")
        }
    return found


@pytest.mark.parametrize(("name", "operation"), list(product(ROLE_OF, OPERATIONS)))
async def test_role_by_operation(room: Room, name: str, operation: tuple[str, str]) -> None:
    method, path = operation
    async with room.client(name) as client:
        answer = await client.request(method, f"/api/v1{path}")
    permitted = OPERATIONS[operation].value in THE_TABLE[ROLE_OF[name]]
    assert (answer.status_code != 403) is permitted, answer.text
    assert answer.status_code != 401
    if not permitted:
        assert answer.json()["type"] == "/problems/forbidden"


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "header", [None, "Bearer ", "Bearer wrong", f"Basic {TOKEN_OF['Ada']}", f"Bearer {TOKEN_OF['Ada']}x"]
)
async def test_nobody_gets_in_without_a_token(room: Room, operation: tuple[str, str], header: str | None) -> None:
    method, path = operation
    headers = {"Tocsin-Actor": "Ada"} | ({} if header is None else {"Authorization": header})
    async with room.client(None, **headers) as client:
        answer = await client.request(method, f"/api/v1{path}")
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="tocsin"'


async def test_a_token_of_odd_bytes_is_only_wrong(room: Room) -> None:
    async with room.client(None) as client:
        answer = await client.get("/api/v1/me", headers={b"Authorization": b"Bearer \xff\xe9\xe8"})
    assert answer.status_code == 401


async def test_who_am_i(room: Room) -> None:
    async with room.client("Tom") as tom:
        assert (await tom.get("/api/v1/me")).json() == {
            "name": "Tom", "role": "technical", "realm": "lab", "auth": "token",
            "permissions": ["make-devices", "order-units", "see-canaries", "see-devices", "who-am-i"],
            "verbs": [], "service": None,
        }  # fmt: skip


# --- the account of the téléassistance's platform --------------------------------------------------------------


async def test_a_platform_acts_for_the_human_whom_it_names_and_the_record_has_both(room: Room) -> None:
    episode = await room.press()
    async with room.client("Alma", **{"Tocsin-Actor": "Zo%C3%A9%20Martin", "If-Match": '"1"'}) as alma:
        taken = await alma.put(f"/api/v1/alerts/{episode.id}/acknowledgement", json={"job": "teleassistance"})
        assert (taken.status_code, taken.json()["by"]) == (200, "Zoé Martin")
        me = (await alma.get("/api/v1/me")).json()
        assert (me["name"], me["service"], me["role"]) == ("Zoé Martin", "Alma", "platform")
        room.record.catch_up()
        entries = (await alma.get(f"/api/v1/alerts/{episode.id}/timeline")).json()["entries"]
    assert [(one["actor"], one["detail"]["service"]) for one in entries if one["source"] == "human"] == [
        ("Zoé Martin", "Alma")
    ]


@pytest.mark.parametrize(
    ("said", "status", "slug"),
    [
        (None, 400, "actor-missing"),
        ("", 400, "actor-missing"),
        ("%20", 400, "actor-missing"),
        ("a%00b", 400, "actor-missing"),
        ("x" * 81, 400, "actor-missing"),
        ("Ada", 403, "actor-refused"),
        ("Alma", 403, "actor-refused"),
    ],
)
@pytest.mark.parametrize("verb", sorted(VERBS.keys() - {Verb.TAKE_OVER}))
async def test_a_platform_acts_for_nobody_else(
    room: Room, said: str | None, status: int, slug: str, verb: Verb
) -> None:
    """Nor for one who has a token here: who of both it was could not be told in the record."""
    episode = await room.press()
    method, path, body = VERBS[verb]
    headers = {"If-Match": '"1"', "Idempotency-Key": "k"} | ({} if said is None else {"Tocsin-Actor": said})
    async with room.client("Alma", **headers) as alma:
        answer = await alma.request(method, f"/api/v1/alerts/{episode.id}/{path}", json=body)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    assert room.projection.find(episode.id).episode.version == 1


@pytest.mark.parametrize(("said", "status"), [("Ada", 200), ("Bob", 403), ("", 403), ("Zoe", 403)])
async def test_who_has_a_token_of_his_own_speaks_for_nobody_else(room: Room, said: str, status: int) -> None:
    async with room.client("Ada", **{"Tocsin-Actor": said}) as ada:
        answer = await ada.get("/api/v1/me")
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["type"] == "/problems/actor-refused"


async def test_in_the_lab_without_auth_everything_is_permitted() -> None:
    async with opened(without_auth()) as room, room.client(None) as anybody:
        for method, path in OPERATIONS:
            answer = await anybody.request(method, f"/api/v1{path}")
            assert answer.status_code not in {401, 403}, (method, path)
