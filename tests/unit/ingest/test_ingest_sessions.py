"""By what are the sessions of ingest named? A secret that outlives its key; F31, ADR 3."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ingest.mqtt import NAMED_BY_FILE, MqttSession, client_id, session_secret
from tocsin.clock import AffineClock
from tocsin.errors import SettingError

BARE = "mqtts://broker.example:8884"


def test_a_password_names_them_and_no_file_is_made(tmp_path: Path) -> None:
    assert session_secret("mqtts://ingest:gi%40ven@broker.example", tmp_path) == "gi@ven"
    assert list(tmp_path.iterdir()) == []


def test_without_one_a_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "not" / "yet"
    made = session_secret(BARE, home)
    assert len(made) >= 32
    assert session_secret(BARE, home) == made
    assert session_secret(BARE, tmp_path) != made
    assert [one.name for one in home.iterdir()] == [NAMED_BY_FILE], "and no draft"
    assert stat.S_IMODE((home / NAMED_BY_FILE).stat().st_mode) == 0o600


def test_parts_that_start_at_once_read_the_same(tmp_path: Path) -> None:
    for number in range(20):
        with ThreadPoolExecutor(8) as parts:
            read = parts.map(lambda _, home=tmp_path / str(number): session_secret(BARE, home), range(8))
            assert len(set(read)) == 1


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 40])
def test_a_file_that_is_no_secret_is_refused_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAMED_BY_FILE).write_bytes(content)
    with pytest.raises(SettingError, match="TOCSIN_DATA_DIR") as refusal:
        session_secret(BARE, tmp_path)
    assert "short to be" in str(refusal.value) or "Unicode" in str(refusal.value)
    assert (tmp_path / NAMED_BY_FILE).read_bytes() == content, "nor replaced: a session may wait under it"


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="TOCSIN_DATA_DIR"):
        session_secret(BARE, tmp_path / "file")


def test_each_role_has_its_own_name_and_none_can_be_guessed() -> None:
    assert client_id("fixes", "a") == client_id("fixes", "a")
    assert len({client_id("fixes", "a"), client_id("alarms-1", "a"), client_id("fixes", "b")}) == 3
    with pytest.raises(ValueError, match="secret"):
        MqttSession(BARE, "fixes", (), AffineClock())
