"""Is everything forbidden that is not permitted, for every role and every operation?"""

from __future__ import annotations

from itertools import product

import pytest
from api_room import TOKEN_OF, USERS, Room, opened, without_auth

from alerts.api.access import MAY, Permission

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
    ("GET", "/live?since=x"): Permission.SEE_ALERTS,
    ("GET", "/protection"): Permission.SEE_PROTECTION,
    ("GET", "/incidents/alr_1"): Permission.SEE_PROTECTION,
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
    "supervisor": {permission.value for permission in Permission},
    "court": {"who-am-i", "see-alert", "see-timeline", "see-measures", "order-measures"},
    "technical": {"who-am-i", "see-devices", "make-devices", "order-units"},
    "lab": {permission.value for permission in Permission},
}


def test_the_table_is_the_one_that_was_agreed() -> None:
    assert {role: {each.value for each in may} for role, may in MAY.items()} == THE_TABLE


def test_every_operation_is_in_this_test(room_paths: set[tuple[str, str]]) -> None:
    named = {(method, path.partition("?")[0]) for method, path in OPERATIONS}
    assert room_paths == named


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
            "permissions": ["make-devices", "order-units", "see-devices", "who-am-i"],
        }  # fmt: skip


async def test_in_the_lab_without_auth_everything_is_permitted() -> None:
    async with opened(without_auth()) as room, room.client(None) as anybody:
        for method, path in OPERATIONS:
            answer = await anybody.request(method, f"/api/v1{path}")
            assert answer.status_code not in {401, 403}, (method, path)
