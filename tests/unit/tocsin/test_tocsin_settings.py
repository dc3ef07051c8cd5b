"""Is a wrong deployment refused at the start, by the name of what is wrong? (F38; A14)"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import structlog
from builders import NOW_MS, SECRET

from alerts.__main__ import LAB_TERRITORY, canary_endpoints, recipients_of
from tocsin.errors import SettingError
from tocsin.model.episode import Channel, Realm
from tocsin.model.protocol import PoliceMode
from tocsin.model.room import DEFAULT_ROOM, SECOND
from tocsin.settings import Settings, load
from tocsin.stack import Addresses, _variables, _with_receiver, running
from tocsin.supervisor import PartEvent

PRODUCTION: dict[str, str] = {
    "TOCSIN_REALM": "production",
    "TOCSIN_TELEASSISTANCE_URL": "https://teleassistance.example/hook",
    "TOCSIN_TELEASSISTANCE_SECRET": SECRET,
    "TOCSIN_POLICE_MODE": "operator_confirmed",
}
TOKEN = "t" * 20
LINKS = {"TOCSIN_API_PUBLIC_URL": "https://t.example", "TOCSIN_CALLBACK_SECRET": "d" * 32}
POLICE = {"TOCSIN_POLICE_URL": "https://p.example", "TOCSIN_POLICE_SECRET": SECRET}


def rooms(name: str, url: str = "https://c.example", secret: str = SECRET) -> str:
    return json.dumps({name: {"url": url, "secret": secret}})


OPERATIONS = {"TOCSIN_OPERATIONS_URL": "https://pages.example/hook", "TOCSIN_OPERATIONS_SECRET": SECRET}


def tls(**recipients: dict[str, str]) -> dict[str, str]:
    return {"TOCSIN_WEBHOOK_TLS": json.dumps(recipients)}


#   environment, words that the refusal must say
WRONG: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "realm": ({"TOCSIN_REALM": "Production"}, ("TOCSIN_REALM",)),
    "site": ({"TOCSIN_SITE": "Paca Nord"}, ("TOCSIN_SITE",)),
    "no partition": ({"TOCSIN_PARTITIONS": "0"}, ("TOCSIN_PARTITIONS",)),
    "too many partitions": ({"TOCSIN_PARTITIONS": "65"}, ("TOCSIN_PARTITIONS",)),
    "partitions as a word": ({"TOCSIN_PARTITIONS": "two"}, ("TOCSIN_PARTITIONS",)),
    "a clock that stands": ({"TOCSIN_CLOCK_RATE": "0"}, ("TOCSIN_CLOCK_RATE",)),
    "a clock that runs back": ({"TOCSIN_CLOCK_RATE": "-1"}, ("TOCSIN_CLOCK_RATE",)),
    "a clock of NaN": ({"TOCSIN_CLOCK_RATE": "nan"}, ("TOCSIN_CLOCK_RATE",)),
    "linger": ({"TOCSIN_BATCH_LINGER_MS": "-1"}, ("TOCSIN_BATCH_LINGER_MS",)),
    "kept shorter than a fix may be late": ({"TOCSIN_FIXES_KEPT_DAYS": "31"}, ("TOCSIN_FIXES_KEPT_DAYS",)),
    "columns after deletion": (
        {"TOCSIN_FIXES_KEPT_DAYS": "40", "TOCSIN_FIXES_COMPACT_AFTER_DAYS": "40"},
        ("TOCSIN_FIXES_COMPACT_AFTER_DAYS", "TOCSIN_FIXES_KEPT_DAYS"),
    ),
    "late": ({"TOCSIN_LATE_AFTER_S": "0"}, ("TOCSIN_LATE_AFTER_S",)),
    "url": ({"TOCSIN_POLICE_URL": "police"}, ("TOCSIN_POLICE_URL",)),
    "port": ({"TOCSIN_API_PORT": "65536"}, ("TOCSIN_API_PORT",)),
    "auth": ({"TOCSIN_API_AUTH": "none"}, ("TOCSIN_API_AUTH",)),
    "level": ({"TOCSIN_LOG_LEVEL": "loud"}, ("TOCSIN_LOG_LEVEL",)),
    "tokens": ({"TOCSIN_API_TOKENS": "secret"}, ("TOCSIN_API_TOKENS",)),
    "a short token": (
        {"TOCSIN_API_TOKENS": '{"short": {"name": "A", "role": "monitor"}}'}, ("TOCSIN_API_TOKENS", "20"),
    ),
    "links that lead nowhere": (
        {"TOCSIN_CALLBACK_SECRET": "c" * 32}, ("TOCSIN_API_PUBLIC_URL", "TOCSIN_CALLBACK_SECRET"),
    ),
    "links that nobody signs": (
        {"TOCSIN_API_PUBLIC_URL": "https://t.example"}, ("TOCSIN_CALLBACK_SECRET", "TOCSIN_API_PUBLIC_URL"),
    ),
    "links that can be guessed": (
        {"TOCSIN_API_PUBLIC_URL": "https://t.example", "TOCSIN_CALLBACK_SECRET": "c" * 31},
        ("TOCSIN_CALLBACK_SECRET",),
    ),
    "links in clear": (
        {**PRODUCTION, "TOCSIN_API_PUBLIC_URL": "http://t.example", "TOCSIN_CALLBACK_SECRET": "c" * 32},
        ("TOCSIN_API_PUBLIC_URL", "https"),
    ),
    "links behind a query": (
        {"TOCSIN_API_PUBLIC_URL": "https://t.example/?a=b", "TOCSIN_CALLBACK_SECRET": "c" * 32},
        ("TOCSIN_API_PUBLIC_URL", "query"),
    ),
    "a role of one's own": (
        {"TOCSIN_API_TOKENS": f'{{"{TOKEN}": {{"name": "A", "role": "god"}}}}'}, ("TOCSIN_API_TOKENS",),
    ),
    "a canary's receiver without a secret": (
        {"TOCSIN_CANARY_URL": "http://127.0.0.1:9"}, ("TOCSIN_CANARY_URL", "TOCSIN_CANARY_SECRET"),
    ),
    "a canary's receiver that is somebody's": (
        {"TOCSIN_CANARY_URL": "http://hook.example", "TOCSIN_CANARY_SECRET": SECRET},
        ("TOCSIN_CANARY_URL", "this machine"),
    ),
    "a canary's receiver behind a certificate": (
        {"TOCSIN_CANARY_URL": "https://127.0.0.1:9", "TOCSIN_CANARY_SECRET": SECRET},
        ("TOCSIN_CANARY_URL", "http"),
    ),
    "a canary's secret that cannot sign": (
        {"TOCSIN_CANARY_URL": "http://127.0.0.1:9", "TOCSIN_CANARY_SECRET": "secret"},
        ("TOCSIN_CANARY_SECRET", "base64"),
    ),
    "a misspelt setting": ({"TOCSIN_REALMS": "lab"}, ("TOCSIN_REALMS", "no such setting")),
    "mqtt without scheme": ({"TOCSIN_MQTT_URL": "broker:1883"}, ("TOCSIN_MQTT_URL", "mqtts://")),
    "mqtt without host": ({"TOCSIN_MQTT_URL": "mqtt://ingest:hunter2@"}, ("TOCSIN_MQTT_URL",)),
    "mqtt at no port": ({"TOCSIN_MQTT_URL": "mqtt://ingest:hunter2@broker:door"}, ("TOCSIN_MQTT_URL",)),
    "mqtt over the web": ({"TOCSIN_MQTT_URL": "wss://ingest:hunter2@broker:443"}, ("TOCSIN_MQTT_URL",)),
    "mqtt without proof of who we are": (
        {"TOCSIN_MQTT_URL": "mqtt://ingest@broker"}, ("TOCSIN_MQTT_URL", "TOCSIN_MQTT_KEY_FILE", "anybody"),
    ),
    "certificates in clear": (
        {"TOCSIN_MQTT_URL": "mqtt://ingest:hunter2@broker", "TOCSIN_MQTT_CA_FILE": __file__},
        ("TOCSIN_MQTT_CA_FILE", "mqtts://"),
    ),
    "certificates for nobody": ({"TOCSIN_MQTT_CA_FILE": __file__}, ("TOCSIN_MQTT_CA_FILE", "mqtts://")),
    "certificate without key": (
        {"TOCSIN_MQTT_URL": "mqtts://ingest:hunter2@broker", "TOCSIN_MQTT_CERT_FILE": __file__},
        ("TOCSIN_MQTT_CERT_FILE", "TOCSIN_MQTT_KEY_FILE", "both"),
    ),
    "an authority that is not there": (
        {"TOCSIN_MQTT_URL": "mqtts://ingest:hunter2@broker", "TOCSIN_MQTT_CA_FILE": "/nowhere/ca.crt"},
        ("TOCSIN_MQTT_CA_FILE", "/nowhere/ca.crt"),
    ),
    "url without secret": ({"TOCSIN_POLICE_URL": "https://p.example"}, ("TOCSIN_POLICE_SECRET", "missing")),
    "secret without url": ({"TOCSIN_POLICE_SECRET": SECRET}, ("TOCSIN_POLICE_URL", "missing")),
    "secret of another form": ({"TOCSIN_POLICE_SECRET": "hunter2"}, ("TOCSIN_POLICE_SECRET", "whsec_")),
    "secret that cannot sign": ({"TOCSIN_POLICE_SECRET": "whsec_!!"}, ("TOCSIN_POLICE_SECRET",)),
    "secret too short": ({"TOCSIN_POLICE_SECRET": "whsec_c2hvcnQ="}, ("TOCSIN_POLICE_SECRET", "24")),
    "a second endpoint without a first": (
        {"TOCSIN_TELEASSISTANCE_SECOND_URL": "https://s.example", "TOCSIN_TELEASSISTANCE_SECOND_SECRET": SECRET},
        ("TOCSIN_TELEASSISTANCE_URL", "first"),
    ),
    "a second endpoint without a secret": (
        {"TOCSIN_TELEASSISTANCE_SECOND_URL": "https://s.example"},
        ("TOCSIN_TELEASSISTANCE_SECOND_SECRET", "TOCSIN_TELEASSISTANCE_URL"),
    ),
    "operations whose secret cannot sign": (
        {"TOCSIN_OPERATIONS_URL": "https://o.example", "TOCSIN_OPERATIONS_SECRET": "hunter2"},
        ("TOCSIN_OPERATIONS_SECRET", "whsec_"),
    ),
    "production, operations by http": (
        {**PRODUCTION, "TOCSIN_OPERATIONS_URL": "http://o.example", "TOCSIN_OPERATIONS_SECRET": SECRET},
        ("TOCSIN_OPERATIONS_URL", "https"),
    ),
    "heads without a secret": ({"TOCSIN_HEADS_URL": "https://h.example"}, ("TOCSIN_HEADS_SECRET",)),
    "heads whose secret cannot sign": (
        {"TOCSIN_HEADS_URL": "https://h.example", "TOCSIN_HEADS_SECRET": "hunter2"},
        ("TOCSIN_HEADS_SECRET", "whsec_"),
    ),
    "production, heads by http": (
        {**PRODUCTION, "TOCSIN_HEADS_URL": "http://h.example", "TOCSIN_HEADS_SECRET": SECRET},
        ("TOCSIN_HEADS_URL", "https"),
    ),
    "heads to a host that nobody has allowed": (
        {
            "TOCSIN_HEADS_URL": "https://h.example", "TOCSIN_HEADS_SECRET": SECRET,
            "TOCSIN_WEBHOOK_HOSTS": '["o.example"]',
        },
        ("TOCSIN_HEADS_URL", "TOCSIN_WEBHOOK_HOSTS"),
    ),
    "production, moved clock": ({**PRODUCTION, "TOCSIN_CLOCK_EPOCH_MS": "1"}, ("TOCSIN_CLOCK_EPOCH_MS",)),
    "production, fast clock": ({**PRODUCTION, "TOCSIN_CLOCK_RATE": "2"}, ("TOCSIN_CLOCK_RATE",)),
    "production, heard afar": ({**PRODUCTION, "TOCSIN_MQTT_HOST": "192.0.2.7"}, ("TOCSIN_MQTT_HOST", "TLS")),
    "no address": ({"TOCSIN_MQTT_HOST": "localhost"}, ("TOCSIN_MQTT_HOST",)),
    "production, no auth": ({**PRODUCTION, "TOCSIN_API_AUTH": "off"}, ("TOCSIN_API_AUTH",)),
    "exercise, no auth": ({"TOCSIN_REALM": "exercise", "TOCSIN_API_AUTH": "off"}, ("TOCSIN_API_AUTH",)),
    "production, a broker in clear": (
        {**PRODUCTION, "TOCSIN_MQTT_URL": "mqtt://ingest:hunter2@192.0.2.7"}, ("TOCSIN_MQTT_URL", "clear text"),
    ),
    "production, a broker in clear by name": (
        {**PRODUCTION, "TOCSIN_MQTT_URL": "mqtt://ingest:hunter2@localhost.example"}, ("TOCSIN_MQTT_URL", "mqtts"),
    ),
    "production, http": (
        {**PRODUCTION, "TOCSIN_TELEASSISTANCE_URL": "http://t.example"}, ("TOCSIN_TELEASSISTANCE_URL", "https"),
    ),
    "production, nobody told": (
        {"TOCSIN_REALM": "production", "TOCSIN_POLICE_URL": "https://p.example", "TOCSIN_POLICE_SECRET": SECRET},
        ("TOCSIN_TELEASSISTANCE_URL", "missing"),
    ),
    "a room that is none": ({**POLICE, "TOCSIN_POLICE_ROOMS": rooms("CIC 13")}, ("TOCSIN_POLICE_ROOMS", "CIC-13")),
    "rooms that are no rooms": ({**POLICE, "TOCSIN_POLICE_ROOMS": "[1]"}, ("TOCSIN_POLICE_ROOMS",)),
    "rooms that are not JSON": ({**POLICE, "TOCSIN_POLICE_ROOMS": "{"}, ("TOCSIN_POLICE_ROOMS", "not JSON")),
    "a room without a secret": (
        {**POLICE, "TOCSIN_POLICE_ROOMS": '{"CIC-13": {"url": "https://c.example"}}'}, ("TOCSIN_POLICE_ROOMS",),
    ),
    "a room whose secret cannot sign": (
        {**POLICE, "TOCSIN_POLICE_ROOMS": rooms("CIC-13", secret="hunter2")}, ("TOCSIN_POLICE_ROOMS", "whsec_"),
    ),
    "rooms without a default": (
        {"TOCSIN_POLICE_ROOMS": rooms("CIC-13")}, ("TOCSIN_POLICE_URL", "TOCSIN_POLICE_ROOMS"),
    ),
    "rooms without a map": (
        {**POLICE, "TOCSIN_REALM": "exercise", "TOCSIN_POLICE_ROOMS": rooms("CIC-13")},
        ("TOCSIN_TERRITORY", "missing"),
    ),
    "production, a mode that tells no room": (
        {**PRODUCTION, "TOCSIN_POLICE_MODE": "auto_on_timeout"},
        ("TOCSIN_POLICE_URL", "missing", "TOCSIN_POLICE_MODE", "operator_confirmed"),
    ),
    "production, a pre-advice to no room": (
        {**PRODUCTION, "TOCSIN_POLICE_MODE": "auto_preadvice"}, ("TOCSIN_POLICE_URL", "TOCSIN_POLICE_MODE"),
    ),
    "production, a room by http": (
        {**PRODUCTION, **POLICE, "TOCSIN_POLICE_ROOMS": rooms("CIC-13", url="http://c.example"),
         "TOCSIN_TERRITORY": "f", "TOCSIN_CALLBACK_NUMBER": "+33199000000"},
        ("TOCSIN_POLICE_ROOMS", "CIC-13", "https"),
    ),
    "operations without a secret": (
        {"TOCSIN_OPERATIONS_URL": "https://pages.example"}, ("TOCSIN_OPERATIONS_SECRET", "missing"),
    ),
    "a second endpoint whose secret cannot sign": (
        {"TOCSIN_TELEASSISTANCE_SECOND_URL": "https://t.fr", "TOCSIN_TELEASSISTANCE_SECOND_SECRET": "hunter2"},
        ("TOCSIN_TELEASSISTANCE_SECOND_SECRET", "whsec_"),
    ),
    "a host that nobody has allowed": (
        {**POLICE, **OPERATIONS, "TOCSIN_WEBHOOK_HOSTS": '["p.example"]'},
        ("TOCSIN_OPERATIONS_URL", "TOCSIN_WEBHOOK_HOSTS"),
    ),
    "a room at a host that nobody has allowed": (
        {**POLICE, "TOCSIN_POLICE_ROOMS": rooms("CIC-13"), "TOCSIN_WEBHOOK_HOSTS": '["p.example"]'},
        ("TOCSIN_POLICE_ROOMS", "CIC-13", "TOCSIN_WEBHOOK_HOSTS"),
    ),
    "a host below one that is allowed": (
        {**POLICE, "TOCSIN_WEBHOOK_HOSTS": '["example"]'}, ("TOCSIN_POLICE_URL", "TOCSIN_WEBHOOK_HOSTS"),
    ),
    "hosts with a star": ({"TOCSIN_WEBHOOK_HOSTS": '["*.example"]'}, ("TOCSIN_WEBHOOK_HOSTS", "no star")),
    "hosts that are URLs": ({"TOCSIN_WEBHOOK_HOSTS": '["https://p.example"]'}, ("TOCSIN_WEBHOOK_HOSTS", "scheme")),
    "hosts with ports": ({"TOCSIN_WEBHOOK_HOSTS": '["p.example:443"]'}, ("TOCSIN_WEBHOOK_HOSTS", "port")),
    "a network that is none": ({"TOCSIN_WEBHOOK_NETWORKS": '["10.20.0.7/16"]'}, ("TOCSIN_WEBHOOK_NETWORKS",)),
    "certificates for a recipient that there is not": (
        tls(operations={}), ("TOCSIN_WEBHOOK_TLS", "operations", "no such recipient"),
    ),
    "certificates for a room that there is not": (
        {**POLICE, **tls(**{"CIC-13": {}})}, ("TOCSIN_WEBHOOK_TLS", "CIC-13", "no such recipient"),
    ),
    "certificates for http": (
        {**POLICE, "TOCSIN_POLICE_URL": "http://p.example", **tls(police={"ca_file": __file__})},
        ("TOCSIN_WEBHOOK_TLS", "police", "https"),
    ),
    "a certificate without its key": (
        {**POLICE, **tls(police={"cert_file": __file__})}, ("TOCSIN_WEBHOOK_TLS", "police", "both"),
    ),
    "a word that is no file": ({**POLICE, **tls(police={"cafile": "f"})}, ("TOCSIN_WEBHOOK_TLS",)),
    "production, nobody to ring back": ({**PRODUCTION, **POLICE}, ("TOCSIN_CALLBACK_NUMBER", "missing")),
    "a number that cannot be rung": ({"TOCSIN_CALLBACK_NUMBER": "0199000000"}, ("TOCSIN_CALLBACK_NUMBER",)),
    "a number with spaces": ({"TOCSIN_CALLBACK_NUMBER": "+33 1 99 00 00 00"}, ("TOCSIN_CALLBACK_NUMBER",)),
    "a margin of a country": ({"TOCSIN_BORDER_MARGIN_M": "10001"}, ("TOCSIN_BORDER_MARGIN_M",)),
    "all of the police at once": (
        {**PRODUCTION, **POLICE, "TOCSIN_POLICE_ROOMS": rooms("13", url="http://c.example", secret="hunter2")},
        ("a room is like", "https in production", "whsec_", "TOCSIN_TERRITORY", "TOCSIN_CALLBACK_NUMBER"),
    ),
    "several at once": (
        {**PRODUCTION, "TOCSIN_CLOCK_RATE": "2", "TOCSIN_API_AUTH": "off", "TOCSIN_POLICE_URL": "http://p.example"},
        ("TOCSIN_CLOCK_RATE", "TOCSIN_API_AUTH", "TOCSIN_POLICE_URL", "TOCSIN_POLICE_SECRET"),
    ),
    "several fields at once": (
        {"TOCSIN_PARTITIONS": "0", "TOCSIN_API_PORT": "-1"}, ("TOCSIN_PARTITIONS", "TOCSIN_API_PORT"),
    ),
}  # fmt: skip

RIGHT: dict[str, dict[str, str]] = {
    "nothing set": {},
    "an exercise that tells nobody": {"TOCSIN_REALM": "exercise"},
    "production": PRODUCTION,
    "a replay": {"TOCSIN_REALM": "exercise", "TOCSIN_CLOCK_RATE": "60", "TOCSIN_CLOCK_EPOCH_MS": str(NOW_MS)},
    "a lab without auth": {"TOCSIN_API_AUTH": "off", "TOCSIN_POLICE_URL": "http://127.0.0.1:1",
                           "TOCSIN_POLICE_SECRET": SECRET},
    "an outside broker": {"TOCSIN_MQTT_URL": "mqtt://ingest:hunter2@broker"},
    "an outside broker with TLS": {"TOCSIN_MQTT_URL": "mqtts://ingest:hunter2@[::1]:8883"},
    "production, a broker here": {**PRODUCTION, "TOCSIN_MQTT_URL": "mqtt://ingest:hunter2@127.0.0.1:1883"},
    "production, a broker here by IPv6": {**PRODUCTION, "TOCSIN_MQTT_URL": "mqtt://ingest:hunter2@[::1]"},
    "production, a broker here by name": {**PRODUCTION, "TOCSIN_MQTT_URL": "mqtt://ingest:hunter2@localhost"},
    "production, a broker with TLS": {**PRODUCTION, "TOCSIN_MQTT_URL": "mqtts://ingest:hunter2@broker.example"},
    "a secret without padding": {
        "TOCSIN_POLICE_URL": "https://p.example", "TOCSIN_POLICE_SECRET": SECRET.rstrip("="),
    },
    "production with rooms": {
        **PRODUCTION, **POLICE, "TOCSIN_CALLBACK_NUMBER": "+33199000000", "TOCSIN_TERRITORY": "france.territory",
        "TOCSIN_POLICE_ROOMS": rooms("CORG-2A"),
    },
    "production with one room for everything": {**PRODUCTION, **POLICE, "TOCSIN_CALLBACK_NUMBER": "+33199000000"},
    "production that tells the rooms by itself": {
        **PRODUCTION, **POLICE, "TOCSIN_CALLBACK_NUMBER": "+33199000000", "TOCSIN_POLICE_MODE": "auto_on_timeout",
    },
    "a lab with rooms": {**POLICE, "TOCSIN_POLICE_ROOMS": rooms("CIC-99", url="http://127.0.0.1:1")},
    "everybody who can be told": {
        **POLICE, **OPERATIONS,
        "TOCSIN_TELEASSISTANCE_URL": "https://t1.example", "TOCSIN_TELEASSISTANCE_SECRET": SECRET,
        "TOCSIN_WEBHOOK_HOSTS": '["P.example", "pages.example", "t1.example", "t2.example"]',
        "TOCSIN_WEBHOOK_NETWORKS": '["10.20.0.0/16", "fd00::/64"]', **tls(police={}, operations={}),
        "TOCSIN_TELEASSISTANCE_SECOND_URL": "https://t2.example", "TOCSIN_TELEASSISTANCE_SECOND_SECRET": SECRET,
    },
    "hosts by address": {
        "TOCSIN_POLICE_URL": "https://[fd00::7]/hook", "TOCSIN_POLICE_SECRET": SECRET,
        "TOCSIN_WEBHOOK_HOSTS": '["fd00::7"]',
    },
    "tokens": {"TOCSIN_API_TOKENS": f'{{"{TOKEN}": {{"name": "A", "role": "monitor"}}}}'},
}  # fmt: skip


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine that runs the tests."""
    for name in [name for name in os.environ if name.upper().startswith("TOCSIN_")]:
        monkeypatch.delenv(name)


def loaded(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], **overrides: Any) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load(**overrides)


@pytest.mark.parametrize(("environment", "words"), WRONG.values(), ids=WRONG)
def test_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: tuple[str, ...]
) -> None:
    with pytest.raises(SettingError) as refusal:
        loaded(monkeypatch, environment)
    said = str(refusal.value)
    assert said.startswith("A setting is wrong; nothing was started.")
    for word in words:
        assert word in said


@pytest.mark.parametrize("environment", [one for one, _ in WRONG.values()], ids=WRONG)
def test_no_refusal_says_a_secret(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    with pytest.raises(SettingError) as refusal:
        loaded(monkeypatch, environment)
    for secret in (SECRET, "hunter2", TOKEN, "c2hvcnQ="):
        assert secret not in str(refusal.value)


@pytest.mark.parametrize("environment", RIGHT.values(), ids=RIGHT)
def test_accepted(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    settings = loaded(monkeypatch, environment)
    assert settings.realm is Realm(environment.get("TOCSIN_REALM", "lab"))
    assert SECRET not in repr(settings)


def test_an_override_is_a_setting_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, {}, partitions=4).partitions == 4
    with pytest.raises(SettingError, match="PARTITIONS"):
        loaded(monkeypatch, {}, partitions=0)


def test_the_clock_is_the_one_that_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = loaded(monkeypatch, RIGHT["a replay"], clock_anchor_ms=5).clock
    assert (clock.epoch_ms, clock.anchor_ms, clock.rate) == (NOW_MS, 5, 60.0)


@pytest.mark.parametrize("mode", PoliceMode)
def test_the_police_hear_by_the_mode_that_was_set(monkeypatch: pytest.MonkeyPatch, mode: PoliceMode) -> None:
    assert loaded(monkeypatch, {}).protocol.police_mode is PoliceMode.AUTO_ON_TIMEOUT
    assert loaded(monkeypatch, {"TOCSIN_POLICE_MODE": mode.value}).protocol.police_mode is mode


def test_a_mode_that_is_none_is_refused_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match="TOCSIN_POLICE_MODE") as refused:
        loaded(monkeypatch, {"TOCSIN_POLICE_MODE": "never"})
    assert all(mode.value in str(refused.value) for mode in PoliceMode)


TIMES = {
    "clock_epoch_ms": "a replay's",
    "clock_anchor_ms": "a replay's",
    "clock_rate": "a replay's",
    "batch_linger_ms": "of fixes to the log, a second at most; keys do not pass there",
    "late_after_s": "which fixes are history; it holds up none",
    "fixes_compact_after_days": "the history's",
    "fixes_kept_days": "the history's",
}


def test_f24_no_setting_puts_a_grace_on_the_road_of_an_alert() -> None:
    """Whoever adds a setting that speaks of time says here what it holds up."""
    words = re.compile(r"_(s|ms|seconds|minutes|days|rate)$|grace|delay|wait|hold|after|timeout|repeat|every")
    assert {name for name in Settings.model_fields if words.search(name)} == set(TIMES)


def test_the_secrets_of_rooms_reach_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``tocsin up`` hands to its children is read by them as the same settings, secrets and all."""
    told = {**RIGHT["everybody who can be told"], "TOCSIN_WEBHOOK_HOSTS": "[]", "TOCSIN_CALL_SECRET": "c" * 32}
    settings = loaded(monkeypatch, {**told, **RIGHT["production with rooms"], **LINKS})
    addresses = Addresses(
        mqtt_url="mqtt://ingest:s3cret@[::1]",
        nats_url="nats://n",
        database_url="d",
        fleet_mqtt_url=None,
        api_url="a",
    )
    handed = _variables(settings, addresses)
    for name, value in handed.items():
        monkeypatch.setenv(name, value)
    theirs = load()
    assert theirs.police_rooms["CORG-2A"].secret.get_secret_value() == SECRET
    assert str(theirs.police_rooms["CORG-2A"].url) == "https://c.example/"
    assert recipients_of(theirs) == recipients_of(settings)
    assert set(recipients_of(theirs)[Channel.TELEASSISTANCE]) == {DEFAULT_ROOM, SECOND}
    assert recipients_of(theirs)[Channel.OPERATIONS][DEFAULT_ROOM].secret == SECRET
    assert theirs.call_secret is not None
    assert theirs.call_secret.get_secret_value() == "c" * 32
    assert theirs.callback_secret is not None
    assert theirs.callback_secret.get_secret_value() == "d" * 32
    assert str(theirs.api_public_url) == "https://t.example/"
    assert theirs.callback_number == "+33199000000"
    assert theirs.territory is not None
    assert theirs.territory.is_absolute()


@pytest.mark.parametrize("content", [None, b"", b"TOCTER\x00\x01rubbish"])
async def test_a_map_that_cannot_be_read_is_said_and_the_start_goes_on(
    tmp_path: Path, content: bytes | None
) -> None:
    """A key needs no map. Here the start ends at what comes after the map: a folder that cannot be made."""
    file, blocked = tmp_path / "france.territory", tmp_path / "blocked"
    blocked.write_bytes(b"")
    if content is not None:
        file.write_bytes(content)
    told, said = await started(load(territory=file, data_dir=blocked / "data"))
    assert [one.part for one in told] == ["territory"]
    assert "the default recipient of the police is told of every place" in told[0].what
    assert [(one["event"], one["log_level"]) for one in said] == [("territory_unreadable", "critical")]


async def test_a_room_that_the_map_does_not_have_is_named(tmp_path: Path) -> None:
    """CIC-98 for CIC-99: its address would wait for ever."""
    (tmp_path / "blocked").write_bytes(b"")
    endpoint = {"url": "https://c.example", "secret": SECRET}
    settings = load(
        police_url="https://p.example", police_secret=SECRET, territory=LAB_TERRITORY,
        police_rooms={"CIC-99": endpoint, "CIC-98": endpoint}, data_dir=tmp_path / "blocked" / "data",
    )  # fmt: skip
    told, said = await started(settings)
    assert [(one.part, "CIC-98" in one.what, "CIC-99" in one.what) for one in told] == [("territory", True, False)]
    assert [(one["event"], one["log_level"], one["rooms"]) for one in said] == [
        ("police_rooms_unknown", "warning", ["CIC-98"])
    ]


async def started(settings: Settings) -> tuple[list[PartEvent], list[Any]]:
    """What is told and logged by a start that cannot make its folder."""
    told: list[PartEvent] = []
    with structlog.testing.capture_logs() as said, pytest.raises(SettingError, match="TOCSIN_DATA_DIR"):
        async with running(settings, tell=told.append, only=frozenset()):
            pass
    return told, said


def test_a_secret_of_the_calls_that_could_be_guessed_is_refused_and_not_quoted() -> None:
    with pytest.raises(SettingError, match="TOCSIN_CALL_SECRET") as refused:
        load(call_secret="guess me")
    assert "guess me" not in str(refused.value)
    secret = load(call_secret="x" * 32).call_secret
    assert secret is not None
    assert "x" * 32 not in repr(secret)


@pytest.mark.parametrize(("file", "word"), [("/nowhere/ca.crt", "/nowhere/ca.crt"), (__file__, "PEM")])
async def test_a_file_of_one_recipient_is_said_and_keeps_no_part_from_starting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, word: str
) -> None:
    """A renewal that failed at night: whoever presses a key is heard all the same."""
    blocked = tmp_path / "blocked"
    blocked.touch()
    settings = loaded(monkeypatch, {**POLICE, **tls(police={"ca_file": file})}, data_dir=blocked / "data")
    told, said = await started(settings)
    assert [one.part for one in told] == ["certificates"]
    assert "police: ca_file" in told[0].what
    assert word in told[0].what
    assert [(one["event"], one["log_level"]) for one in said] == [("certificates_unusable", "critical")]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        (PRODUCTION, True),
        ({"TOCSIN_CANARY": "true"}, True),
        ({**PRODUCTION, "TOCSIN_CANARY": "false"}, False),
    ],
)
def test_canaries_walk_in_production_unless_somebody_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: bool
) -> None:
    assert loaded(monkeypatch, environment).canary_expected is expected


def test_what_courier_canary_and_api_must_agree_about_is_made_once_and_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = loaded(monkeypatch, {"TOCSIN_CANARY": "true"})
    first, again = _with_receiver(settings, tmp_path), _with_receiver(settings, tmp_path)
    assert first.canary_secret == again.canary_secret
    assert first.canary_api_token == again.canary_api_token
    assert first.canary_url is not None
    assert first.canary_url.host == "127.0.0.1"
    assert first.canary_api_token is not None
    account = first.api_tokens[first.canary_api_token.get_secret_value()]
    assert (account.name, account.role) == ("tocsin-canary", "platform")
    assert set(canary_endpoints(first)) == {Channel.TELEASSISTANCE, Channel.POLICE}
    assert canary_endpoints(settings) == {}
    addresses = Addresses(
        mqtt_url="mqtt://a:b@127.0.0.1:1", nats_url="nats://127.0.0.1:2", database_url="x", fleet_mqtt_url=None,
        api_url="http://127.0.0.1:3",
    )  # fmt: skip
    theirs = loaded(monkeypatch, dict(_variables(first, addresses)))
    assert (theirs.canary_url, theirs.canary_secret) == (first.canary_url, first.canary_secret)
    assert theirs.api_tokens == first.api_tokens


def test_a_receiver_that_somebody_has_set_is_used_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = {"TOCSIN_CANARY": "true", "TOCSIN_CANARY_URL": "http://127.0.0.1:9", "TOCSIN_CANARY_SECRET": SECRET}
    equipped = _with_receiver(loaded(monkeypatch, own), tmp_path)
    assert str(equipped.canary_url) == "http://127.0.0.1:9/"
    assert equipped.canary_secret is not None
    assert equipped.canary_secret.get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"ear_mqtt_url": "http://broker"}, "TOCSIN_EAR_MQTT_URL"),
        ({"ear_mqtt_url": "mqtts://broker", "ear_mqtt_cert_file": "cert.pem"}, "TOCSIN_EAR_MQTT_KEY_FILE"),
        ({"ear_mqtt_cert_file": "cert.pem", "ear_mqtt_key_file": "key.pem"}, "TOCSIN_EAR_MQTT_URL"),
        ({"audit_share": 1.5}, "TOCSIN_AUDIT_SHARE"),
    ],
)
def test_a_wrong_ear_is_refused_at_the_start(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        load(**wrong)
