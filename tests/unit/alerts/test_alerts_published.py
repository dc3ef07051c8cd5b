"""Do those who receive webhooks read what is sent? The schema, the examples and the page, held to the bodies.

The judge of the schema is a validator of its own, not the library that printed it. Cited: F33.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from builders import NOW_MS, SECRET, act, entry, press
from msgspec import structs

import alerts
from alerts import episodes
from alerts.catalogue import CATALOGUE
from alerts.channels import registry
from alerts.channels.form import Sender
from alerts.channels.published import TYPES, fields_table, schema_text
from alerts.desk import handle
from tocsin.clock import AffineClock
from tocsin.model.episode import (
    AlarmCause,
    Channel,
    Episode,
    Event,
    FindingCause,
    Notification,
    Outcome,
    Realm,
    Ruling,
    Rung,
    Verb,
)
from tocsin.webhook_signature import signed_headers

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "webhooks.md").read_text()
SCHEMA_FILE = DOCS / "schemas" / "alert-event-1.json"
EXAMPLES = [
    json.loads(line) for line in (DOCS / "schemas" / "alert-event-examples.jsonl").read_text().splitlines()
]
VALID = jsonschema_rs.validator_for(json.loads(SCHEMA_FILE.read_text()))
CALLBACK = "https://tocsin.example/api/v1/callbacks/token"
SENDER = Sender(site="paca", callback_url=lambda _ruling, _one: CALLBACK)


def ruled(before: Episode | None, event: Event) -> Ruling:
    ruling = handle(before, event, Realm.PRODUCTION, NOW_MS + 1_500)
    assert isinstance(ruling, Ruling)
    return ruling


def sent(ruling: Ruling, kind: str = episodes.OPENED, audience: Rung | None = None, **to: Any) -> dict[str, Any]:
    one = Notification(id="evt_1", channel=Channel.TELEASSISTANCE, type=kind, audience=audience)
    changed = structs.replace(ruling, episode=structs.replace(ruling.episode, **to))
    body: dict[str, Any] = json.loads(registry.FORMS[Channel.TELEASSISTANCE].body(changed, one, SENDER))
    VALID.validate(body)
    return body


OPENED = ruled(None, FindingCause(finding=entry()))
BLOCKS = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


def test_the_published_schema_is_the_one_of_the_nouns() -> None:
    assert SCHEMA_FILE.read_text() == schema_text(), "python -m alerts.channels.published > docs/schemas/…"


def test_the_table_of_the_page_is_the_one_of_the_nouns() -> None:
    assert fields_table() in PAGE, "python -m alerts.channels.published fields"


@pytest.mark.parametrize("code", CATALOGUE)
@pytest.mark.parametrize("known", [{}, {"wearer": None, "protected": None, "distance_dm": None}])
def test_what_is_sent_of_every_code_is_what_the_schema_says(code: str, known: dict[str, Any]) -> None:
    sent(ruled(None, FindingCause(finding=entry(code=code, **known))))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("audience", [None, *Rung])
def test_each_type_and_audience_is_what_the_schema_says(kind: str, audience: Rung | None) -> None:
    assert sent(OPENED, kind, audience)["data"]["audience"] == (audience.value if audience else None)


@pytest.mark.parametrize(
    ("place", "value"),
    [("time", "yesterday"), ("type", "other"), ("realm", "world"), ("source", "paca"), ("specversion", "0.3")],
)
def test_the_schema_refuses_what_is_not_ours(place: str, value: str) -> None:
    """A check that cannot fail would prove nothing."""
    assert not VALID.is_valid({**sent(OPENED), place: value})
    assert not VALID.is_valid({name: one for name, one in sent(OPENED).items() if name != place})


@pytest.mark.parametrize("field", json.loads(SCHEMA_FILE.read_text())["$defs"]["AlertData"]["required"])
def test_a_field_that_is_promised_may_not_be_missing(field: str) -> None:
    body = sent(OPENED)
    del body["data"][field]
    assert not VALID.is_valid(body)


@pytest.mark.parametrize("example", [*EXAMPLES, BLOCKS[0]], ids=lambda one: one["type"])
def test_every_example_is_one_that_could_be_sent(example: dict[str, Any]) -> None:
    VALID.validate(example)
    assert example["subject"] == example["data"]["alert"]
    assert example["sequence"] == str(example["data"]["version"])
    assert set(example["data"]) == set(sent(OPENED)["data"]), "no field less, none more"


def test_there_is_an_example_of_each_type_and_a_line_on_the_page() -> None:
    assert {one["type"] for one in EXAMPLES} == set(TYPES)
    assert all(f"| `{kind}` | {when} |" in PAGE for kind, when in TYPES.items())


def test_every_type_that_the_code_knows_is_published() -> None:
    """A constant of ``org.tocsin.alert.…`` anywhere in alerts."""
    modules = [one.name for one in pkgutil.walk_packages(alerts.__path__, "alerts.") if "__main__" not in one.name]
    values = [value for name in modules for value in vars(importlib.import_module(name)).values()]
    known = {
        value for value in values if isinstance(value, str) and re.fullmatch(r"org\.tocsin\.alert\.\w+", value)
    }
    assert episodes.OPENED in known
    assert known <= set(TYPES)


def test_the_page_of_operations_is_one_that_could_be_sent() -> None:
    one = Notification(
        id="evt_1", channel=Channel.OPERATIONS, type="org.tocsin.alert.escalated", audience=Rung.SUPERVISOR
    )
    real = json.loads(registry.FORMS[Channel.OPERATIONS].body(OPENED, one, SENDER))
    shown = BLOCKS[1]
    assert (set(shown), set(shown["alerts"][0])) == (set(real), set(real["alerts"][0]))
    assert set(shown["commonAnnotations"]) == set(real["commonAnnotations"])


# --- what the facts are ------------------------------------------------------------------------------------------


def test_who_has_it_until_when_and_who_is_to_look() -> None:
    taken = ruled(OPENED.episode, act(Verb.ACKNOWLEDGE, 1, "A. Martin"))
    data = sent(taken, episodes.ACKNOWLEDGED)["data"]
    assert (data["owner"], data["acknowledged_at"]) == ("A. Martin", "2026-11-21T00:00:00.000Z")
    assert data["acknowledgement_expires_at"] == "2026-11-21T00:02:01.500Z"
    assert sent(OPENED, "org.tocsin.alert.escalated", Rung.BACKUP_SITE)["data"]["audience"] == "backup_site"


def test_verified_is_when_somebody_has_confirmed_it() -> None:
    assert (sent(OPENED)["data"]["verified"], sent(OPENED)["data"]["verified_at"]) == (False, None)
    data = sent(OPENED, verified_ms=NOW_MS, handed_off_ms=NOW_MS, decided_ms=NOW_MS)["data"]
    assert data["verified"]
    assert {data[name] for name in ("verified_at", "handed_off_at", "police_decided_at")} == {
        "2026-11-21T00:00:00.000Z"
    }


def test_a_link_takes_what_is_open_and_is_absent_where_there_is_none() -> None:
    links = sent(OPENED)["data"]["links"]
    assert (links["callback"], links["acknowledge"]) == (CALLBACK, f"{links['self']}/acknowledgement")
    taken = ruled(OPENED.episode, act(Verb.ACKNOWLEDGE, 1))
    closed = ruled(taken.episode, act(Verb.CLOSE, taken.episode.version, outcome=Outcome.ARRESTED))
    assert "callback" not in sent(closed, episodes.CLOSED)["data"]["links"]
    without = registry.FORMS[Channel.TELEASSISTANCE].body(OPENED, OPENED.notifications[0], Sender(site="paca"))
    assert "callback" not in json.loads(without)["data"]["links"]


def test_a_key_has_no_distance_and_a_distance_no_key() -> None:
    key = sent(ruled(None, AlarmCause(alarm=press(silent=True))))["data"]
    assert key["silent"]
    assert "distance_m" not in key
    assert "silent" not in sent(OPENED)["data"]


# --- the code of the page ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["", "body", "id", "hour", "old", "secret", "nobody"])
def test_the_check_that_the_page_prints_believes_us_and_nobody_else(change: str) -> None:
    (code,) = (one for one in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "def is_ours" in one)
    page: dict[str, Any] = {}
    exec(code, page)  # noqa: S102  # our own page, as a reader would run it
    body = json.dumps(sent(OPENED)).encode()
    wall_ms = AffineClock().wall_ms() - (600_000 if change == "old" else 0)
    headers = signed_headers(SECRET, "evt_1", body, wall_ms)
    headers |= {"id": {"webhook-id": "evt_2"}, "nobody": {"webhook-signature": ""}}.get(change, {})
    if change == "hour":
        headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) + 1)
    secret = "whsec_b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIg" if change == "secret" else SECRET
    assert page["is_ours"](secret, headers, body + b" " * (change == "body")) is (change == "")
