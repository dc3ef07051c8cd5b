"""Does the account of ``bench alerts`` find what was lost, told twice, or made to wait? And which calls fail?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from builders import SECRET
from standardwebhooks import Webhook

from alerts.catalogue import CATALOGUE
from simulator.alerts_bench import account, findings
from simulator.alerts_bench.account import Said, heard
from simulator.alerts_bench.recipient import FAILING_PCT, LOSING_PCT, Recipient, is_chosen
from tocsin.clock import MS, AffineClock
from tocsin.model.finding import Code
from tocsin.webhook_signature import signed_headers

OPENED = "org.tocsin.alert.opened"
LATENCY = {"p50": 1.0, "p99": 2.0, "max": 3.0}


def arrival(measure: str = "msr_1", at_ms: float = 100.0, **changes: Any) -> dict[str, Any]:
    whole = {
        "channel": "teleassistance", "id": f"evt_{measure}", "at_ms": at_ms, "status": 204, "type": OPENED,
        "code": "PROX_ALERT", "measures": [measure], "device": None, "occurred_at": None, "audience": None,
    }  # fmt: skip
    return {**whole, **changes}


def said(*measures: str, at_ms: float = 90.0, urgent: bool = True) -> dict[account.Key, Said]:
    return {("PROX_ALERT", one): Said(at_ms=at_ms, accepted_ms=at_ms + 2, is_urgent=urgent) for one in measures}


# --- what became of it ---------------------------------------------------------------------------------------


def test_an_attempt_counts_whatever_it_was_answered_and_taken_is_a_2xx() -> None:
    told = heard([arrival(at_ms=104.0, status=500), arrival(at_ms=1104.0)])
    assert account.to_attempt_ms(said("msr_1"), told) == [14.0]
    assert account.to_taken_ms(said("msr_1"), told) == [1014.0]


@pytest.mark.parametrize(
    "other",
    [
        {"channel": "police"},
        {"type": "org.tocsin.alert.closed"},
        {"type": "org.tocsin.alert.escalated"},
        {"measures": []},
        {"code": "PROX_PREALERT"},
        {"type": "org.tocsin.alert.raised", "audience": "urgent"},
    ],
)
def test_what_tells_of_something_else_is_no_attempt(other: dict[str, Any]) -> None:
    assert account.lost(said("msr_1"), heard([arrival(**other)])) == 1
    assert account.to_attempt_ms(said("msr_1"), heard([arrival(**other)])) == []


def test_what_was_told_beside_is_counted_by_type_and_each_message_once() -> None:
    rung = {"type": "org.tocsin.alert.escalated"}
    came = [
        arrival(status=500), arrival(), arrival(id="evt_2", **rung), arrival(id="evt_3", **rung),
        arrival(channel="police"),
    ]  # fmt: skip
    assert account.told_by_type(came) == {"escalated": 2, "opened": 1}


def test_lost_is_what_nobody_took_attempted_or_not() -> None:
    told = heard([arrival("msr_1"), arrival("msr_2", status=500)])
    assert account.lost(said("msr_1", "msr_2", "msr_3"), told) == 2


def test_a_repeat_is_no_duplicate_and_a_second_name_is() -> None:
    assert account.duplicated(said("msr_1"), heard([arrival(), arrival()])) == 0
    assert account.duplicated(said("msr_1"), heard([arrival(), arrival(id="evt_2")])) == 1


def test_each_press_of_a_key_is_known_by_its_hour() -> None:
    told = heard([arrival(device="tgd-1", occurred_at=hour, id=hour) for hour in ("08:00", "08:04")])
    assert set(told) == {("tgd-1", "08:00"), ("tgd-1", "08:04")}


def test_a_burst_is_over_when_the_last_one_was_attempted() -> None:
    burst = said("msr_1", "msr_2", at_ms=0.0)
    assert account.all_attempted_s(burst, heard([arrival("msr_1", 500.0), arrival("msr_2", 2500.0)])) == 2.5
    assert account.all_attempted_s(burst, heard([arrival("msr_1")])) is None


def test_behind_is_who_came_between_the_log_and_the_recipient() -> None:
    """The P1 is on the log at 92: two lower ones come before it does, one came earlier, one comes later."""
    lower = {"low_1": 91.0, "low_2": 95.0, "low_3": 99.0, "low_4": 101.0}
    told = heard([arrival("msr_1", 100.0), *(arrival(name, at_ms) for name, at_ms in lower.items())])
    assert account.waited_behind({**said("msr_1"), **said(*lower, urgent=False)}, told) == 2


# --- the verdict ---------------------------------------------------------------------------------------------


def report(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "lost": 0, "duplicated": 0, "first_attempt_ms": LATENCY, "first_accepted_ms": LATENCY,
        "sos_to_attempt_ms": LATENCY, "sos_overload_ms": LATENCY,
        "burst": {"all_attempted_s": 1.0, "p1_waited_behind": 3},
        "fixes": {"asked_per_s": 2000, "offered_per_s": 1990.0},
        **changes,
    }  # fmt: skip
    return {**whole, "promises": account.promises(whole)}


def test_all_in_budget_holds() -> None:
    assert account.holds(report())


@pytest.mark.parametrize(
    "broken",
    [
        {"lost": 1},
        {"duplicated": 1},
        {"first_attempt_ms": {**LATENCY, "p50": 20.5}},
        {"first_attempt_ms": {**LATENCY, "p99": 100.5}},
        {"first_attempt_ms": {"p50": None, "p99": None, "max": None}},
        {"first_accepted_ms": {**LATENCY, "p99": 1500.5}},
        {"sos_to_attempt_ms": {**LATENCY, "p99": 250.5}},
        {"sos_overload_ms": {**LATENCY, "p99": 2000.5}},
        {"burst": {"all_attempted_s": None, "p1_waited_behind": 0}},
        {"burst": {"all_attempted_s": 10.5, "p1_waited_behind": 0}},
        {"burst": {"all_attempted_s": 1.0, "p1_waited_behind": account.UNDER_WAY_MAX + 1}},
        {"fixes": {"asked_per_s": 2000, "offered_per_s": 1700.0}},
    ],
)
def test_each_clause_is_enough_to_fail(broken: dict[str, Any]) -> None:
    found = report(**broken)
    assert not account.holds(found)
    assert any(not one["held"] for one in found["promises"])


# --- what is published, and who answers ----------------------------------------------------------------------


def test_every_finding_has_a_place_of_its_own_and_one_in_five_is_urgent() -> None:
    wanted = [findings.wanted(7, "steady", index) for index in range(100)]
    assert len({one.key for one in wanted}) == 100
    assert sum(one.is_urgent for one in wanted) == 20
    assert {one.code for one in wanted if one.is_urgent} == {Code.PROX_ALERT}
    assert {CATALOGUE[one.code].priority for one in wanted} == {1, 2, 3}
    assert not {one.key for one in wanted} & {findings.wanted(7, "burst", index).key for index in range(100)}


def test_who_fails_follows_from_seed_and_id() -> None:
    ids = [f"evt_{number}" for number in range(5_000)]
    chosen = {one for one in ids if is_chosen(7, "failing", one, FAILING_PCT)}
    assert 400 < len(chosen) < 600
    assert chosen == {one for one in ids if is_chosen(7, "failing", one, FAILING_PCT)}
    assert chosen != {one for one in ids if is_chosen(8, "failing", one, FAILING_PCT)}


class Called:
    """The recipient, called as uvicorn would."""

    def __init__(self, *, loses: bool = False) -> None:
        self.recipient = Recipient(verifier=Webhook(SECRET), seed=7, loses=loses, wall=lambda: self.hour_s)
        self.hour_s = 0.0

    async def post(self, name: str, hour_s: float, *, secret: str = SECRET) -> int:
        body = json.dumps({"type": OPENED, "data": {"code": "PROX_ALERT", "measures": ["msr_1"]}}).encode()
        headers = signed_headers(secret, name, body, AffineClock().wall_ms())
        self.hour_s = hour_s
        return (await self._call("POST", b"", headers, body))[0]

    async def arrivals(self, after: int = 0) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((await self._call("GET", f"after={after}".encode(), {}, b""))[1])
        return found

    async def _call(self, method: str, query: bytes, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        raw = [(key.encode(), value.encode()) for key, value in headers.items()]
        scope = {
            "type": "http",
            "method": method,
            "path": "/teleassistance",
            "query_string": query,
            "headers": raw,
        }
        await self.recipient(scope, receive, send)
        return sent[0]["status"], sent[1]["body"]


NAMES = [f"evt_{number}" for number in range(2_000)]
FAILS = next(one for one in NAMES if is_chosen(7, "failing", one, FAILING_PCT))
WORKS = next(one for one in NAMES if not is_chosen(7, "failing", one, FAILING_PCT))
LOST = next(one for one in NAMES if is_chosen(7, "lost", one, LOSING_PCT))


async def test_the_first_attempt_of_a_chosen_id_fails_and_the_second_is_taken() -> None:
    them = Called()
    assert [await them.post(FAILS, 1.0), await them.post(FAILS, 2.0), await them.post(WORKS, 3.0)] == [
        500,
        204,
        204,
    ]
    assert [(one["id"], one["at_ms"], one["status"]) for one in await them.arrivals()] == [
        (FAILS, 1.0 * MS, 500),
        (FAILS, 2.0 * MS, 204),
        (WORKS, 3.0 * MS, 204),
    ]
    assert [one["id"] for one in await them.arrivals(after=2)] == [WORKS]


async def test_what_is_not_signed_is_not_taken() -> None:
    them = Called()
    assert await them.post(WORKS, 1.0, secret="whsec_" + "YW5vdGhlciBzZWNyZXQgb2YgYW5vdGhlcg==") == 401
    assert await them.arrivals() == []


async def test_the_planted_fault_is_a_2xx_for_what_is_forgotten() -> None:
    them = Called(loses=True)
    assert await them.post(LOST, 1.0) == 204
    assert await them.arrivals() == []
