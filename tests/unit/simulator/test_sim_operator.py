"""Does the operator take what nobody has, look again when he was late, and not give up at the first bad line?"""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from simulator.operator import Operator, OperatorGaveUp
from tocsin.clock import AffineClock


class Desk:
    """The API as it is written down, for one alert."""

    def __init__(self) -> None:
        self.alert: dict[str, Any] = {"id": "alr_1", "version": 1, "code": "PROX_ALERT", "state": "raised"}
        self.said: list[tuple[str, dict[str, Any], str | None]] = []
        self.before: Callable[[httpx2.Request], httpx2.Response | None] = lambda _: None

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if (answer := self.before(request)) is not None:
            return answer
        if request.method == "GET":
            assert request.url.params["open"] == "true"
            return httpx2.Response(200, json={"items": [self.alert]})
        self.said.append((request.url.path, json.loads(request.content), request.headers.get("authorization")))
        if request.headers["if-match"] != f'"{self.alert["version"]}"':
            return httpx2.Response(412)
        self.alert["version"] += 1
        self.alert["state"] = "acknowledged" if request.method == "PUT" else "closed"
        return httpx2.Response(200, json=self.alert)


class Hour:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self.clock = AffineClock(wall=lambda: self.at_s)


def at_work(desk: Desk, hour: Hour, **words: Any) -> Operator:
    return Operator("http://desk", clock=hour.clock, transport=httpx2.MockTransport(desk), **words)


async def test_takes_then_closes() -> None:
    desk, hour = Desk(), Hour()
    async with at_work(desk, hour, token="t" * 20, handling_s=30.0) as he:
        await he.look_and_act()
        await he.look_and_act()
        hour.at_s = 31.0
        await he.look_and_act()
    assert desk.said == [
        ("/api/v1/alerts/alr_1/acknowledgement", {"job": "teleassistance"}, "Bearer " + "t" * 20),
        ("/api/v1/alerts/alr_1/closure", {"outcome": "left_zone", "note": ""}, "Bearer " + "t" * 20),
    ]
    assert (he.day.acknowledged, he.day.closed) == (["alr_1"], ["alr_1"])


async def test_leaves_anothers_alert_alone() -> None:
    desk, hour = Desk(), Hour()
    desk.alert["state"] = "acknowledged"
    async with at_work(desk, hour, handling_s=0.0) as he:
        await he.look_and_act()
    assert desk.said == []


async def test_looks_again_when_it_changed_meanwhile() -> None:
    desk, hour = Desk(), Hour()
    async with at_work(desk, hour) as he:
        seen = await he.open_alerts()
        desk.alert["version"] = 2
        assert not await he.acknowledge(seen[0])
        await he.look_and_act()
    assert (he.day.outdated, he.day.acknowledged) == (1, ["alr_1"])


async def test_tries_again_what_can_be_tried_again() -> None:
    desk, hour = Desk(), Hour()
    bad: list[object] = [httpx2.ConnectError("no"), httpx2.Response(503), httpx2.ReadTimeout("slow")]

    def ill(_: httpx2.Request) -> httpx2.Response | None:
        if not bad:
            return None
        match bad.pop(0):
            case httpx2.Response() as answer:
                return answer
            case Exception() as error:
                raise error
        return None

    desk.before = ill
    async with at_work(desk, hour) as he:
        await he.look_and_act()
    assert (he.day.retried, he.day.acknowledged) == (3, ["alr_1"])


async def test_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.operator.RETRY_S", (0.0, 0.0))
    desk, hour = Desk(), Hour()
    desk.before = lambda _: httpx2.Response(500, text="broken")
    async with at_work(desk, hour) as he:
        with pytest.raises(OperatorGaveUp, match="500 broken"):
            await he.open_alerts()


async def test_a_refusal_is_not_tried_again() -> None:
    desk, hour = Desk(), Hour()
    desk.before = lambda request: httpx2.Response(404) if request.method == "PUT" else None
    async with at_work(desk, hour) as he:
        await he.look_and_act()
    assert (he.day.refused, he.day.retried) == ([("alr_1", 404)], 0)
