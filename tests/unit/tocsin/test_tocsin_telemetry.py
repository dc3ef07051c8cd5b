"""What is counted and what may be written to the log? The code examines itself (habit 12, F33)."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from prometheus_client.metrics import MetricWrapperBase

import tocsin.telemetry
from ingest.dialects.reports import Reason
from tocsin.errors import LogUnavailable, SequenceConflict, SettingError, TocsinError, WireError
from tocsin.telemetry import METRICS, WITHHELD, _deny, configure_logging

ROOT = Path(__file__).parents[3]
PRODUCT = [path for stage in ("tocsin", "ingest", "geofence", "alerts") for path in (ROOT / stage).rglob("*.py")]
PERSONAL = ("device", "measure", "person", "episode", "alert", "user", "subject", "lat", "lon")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric._name)
def test_a_metric(metric: MetricWrapperBase) -> None:
    assert metric._name.startswith("tocsin_")
    assert metric._documentation.endswith(".")
    assert not set(metric._labelnames) & set(PERSONAL)


def test_every_metric_is_in_the_table() -> None:
    made = {one for one in vars(tocsin.telemetry).values() if isinstance(one, MetricWrapperBase)}
    assert made == set(METRICS)
    for path in PRODUCT:
        if path.name != "telemetry.py":
            assert "prometheus_client import Counter" not in path.read_text(), path


@pytest.mark.parametrize(
    "key", ["lat", "lon", "lat_e6", "fix_lat", "latitude", "longitude", "geo", "phone", "phone_number", "name",
            "user_name", "position", "last_position", "password", "secret", "api_token"],
)  # fmt: skip
def test_what_stands_under_a_key_for_a_place_a_person_or_a_secret_is_withheld(key: str) -> None:
    """The line itself is written: an error in writing about an error would end the part."""
    assert _deny(None, "info", {"event": "x", key: 48.8566}) == {"event": "x", key: WITHHELD}


@pytest.mark.parametrize("key", ["event", "late", "lag_s", "along", "reason", "subject", "relation"])
def test_other_keys_pass(key: str) -> None:
    assert _deny(None, "info", {key: 1}) == {key: 1}


def log_calls() -> Iterator[tuple[str, str]]:
    """(place, key) of every keyword of every ``log.<level>(…)`` of the product."""
    for path in PRODUCT:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id.strip("_") in {"log", "logger"}:
                    yield from ((f"{path.name}:{node.lineno}", word.arg or "**") for word in node.keywords)


def test_no_line_of_the_product_has_anything_withheld() -> None:
    """Found here, not missed in the middle of an outage."""
    calls = list(log_calls())
    assert len(calls) > 20, "the search finds nothing: this proves nothing"
    for place, key in calls:
        assert key != "**", place
        assert _deny(None, "info", {key: place})[key] == place, place


def test_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("ingest", "lab", "info")
    structlog.get_logger().info("broker_connection_lost", session="fixes")
    structlog.get_logger().debug("unheard")
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert said.pop("timestamp").endswith("Z")
    assert said == {
        "event": "broker_connection_lost", "session": "fixes", "role": "ingest", "realm": "lab", "level": "info",
    }  # fmt: skip


def test_an_error_says_its_first_line_and_whether_again_can_help() -> None:
    assert str(LogUnavailable("log.fix.0")) == "The log did not confirm the write in time. log.fix.0"
    again = {
        LogUnavailable: True,
        SequenceConflict: True,
        WireError: False,
        SettingError: False,
        TocsinError: False,
    }
    assert {kind: kind.retry for kind in again} == again


def test_a_reason_is_a_word_that_a_subject_and_a_label_can_hold() -> None:
    assert all(reason.value.replace("_", "").isalpha() and reason.value.islower() for reason in Reason)
