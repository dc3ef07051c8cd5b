"""Is a wrong deployment refused at the start, by the name of what is wrong? (F38; A14)"""

from __future__ import annotations

import os
from typing import Any

import pytest
from builders import NOW_MS, SECRET

from tocsin.errors import SettingError
from tocsin.model.episode import Realm
from tocsin.settings import Settings, load

PRODUCTION: dict[str, str] = {
    "TOCSIN_REALM": "production",
    "TOCSIN_TELEASSISTANCE_URL": "https://teleassistance.example/hook",
    "TOCSIN_TELEASSISTANCE_SECRET": SECRET,
}
TOKEN = "t" * 20

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
    "late": ({"TOCSIN_LATE_AFTER_S": "0"}, ("TOCSIN_LATE_AFTER_S",)),
    "url": ({"TOCSIN_POLICE_URL": "police"}, ("TOCSIN_POLICE_URL",)),
    "port": ({"TOCSIN_API_PORT": "65536"}, ("TOCSIN_API_PORT",)),
    "auth": ({"TOCSIN_API_AUTH": "none"}, ("TOCSIN_API_AUTH",)),
    "level": ({"TOCSIN_LOG_LEVEL": "loud"}, ("TOCSIN_LOG_LEVEL",)),
    "tokens": ({"TOCSIN_API_TOKENS": "secret"}, ("TOCSIN_API_TOKENS",)),
    "a short token": (
        {"TOCSIN_API_TOKENS": '{"short": {"name": "A", "role": "monitor"}}'}, ("TOCSIN_API_TOKENS", "20"),
    ),
    "a role of one's own": (
        {"TOCSIN_API_TOKENS": f'{{"{TOKEN}": {{"name": "A", "role": "god"}}}}'}, ("TOCSIN_API_TOKENS",),
    ),
    "a misspelt setting": ({"TOCSIN_REALMS": "lab"}, ("TOCSIN_REALMS", "no such setting")),
    "url without secret": ({"TOCSIN_POLICE_URL": "https://p.example"}, ("TOCSIN_POLICE_SECRET", "missing")),
    "secret without url": ({"TOCSIN_POLICE_SECRET": SECRET}, ("TOCSIN_POLICE_URL", "missing")),
    "secret of another form": ({"TOCSIN_POLICE_SECRET": "hunter2"}, ("TOCSIN_POLICE_SECRET", "whsec_")),
    "secret that cannot sign": ({"TOCSIN_POLICE_SECRET": "whsec_!!"}, ("TOCSIN_POLICE_SECRET",)),
    "secret too short": ({"TOCSIN_POLICE_SECRET": "whsec_c2hvcnQ="}, ("TOCSIN_POLICE_SECRET", "24")),
    "production, moved clock": ({**PRODUCTION, "TOCSIN_CLOCK_EPOCH_MS": "1"}, ("TOCSIN_CLOCK_EPOCH_MS",)),
    "production, fast clock": ({**PRODUCTION, "TOCSIN_CLOCK_RATE": "2"}, ("TOCSIN_CLOCK_RATE",)),
    "production, heard afar": ({**PRODUCTION, "TOCSIN_MQTT_HOST": "192.0.2.7"}, ("TOCSIN_MQTT_HOST", "TLS")),
    "no address": ({"TOCSIN_MQTT_HOST": "localhost"}, ("TOCSIN_MQTT_HOST",)),
    "production, no auth": ({**PRODUCTION, "TOCSIN_API_AUTH": "off"}, ("TOCSIN_API_AUTH",)),
    "exercise, no auth": ({"TOCSIN_REALM": "exercise", "TOCSIN_API_AUTH": "off"}, ("TOCSIN_API_AUTH",)),
    "production, http": (
        {**PRODUCTION, "TOCSIN_TELEASSISTANCE_URL": "http://t.example"}, ("TOCSIN_TELEASSISTANCE_URL", "https"),
    ),
    "production, nobody told": (
        {"TOCSIN_REALM": "production", "TOCSIN_POLICE_URL": "https://p.example", "TOCSIN_POLICE_SECRET": SECRET},
        ("TOCSIN_TELEASSISTANCE_URL", "missing"),
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
    "a secret without padding": {
        "TOCSIN_POLICE_URL": "https://p.example", "TOCSIN_POLICE_SECRET": SECRET.rstrip("="),
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
