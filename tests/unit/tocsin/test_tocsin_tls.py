"""Are certificates that cannot work refused at the start, by the setting's name? And are those that can, used?"""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tocsin.cli import where_devices_connect
from tocsin.errors import SettingError
from tocsin.settings import Settings, load
from tocsin.tls import TlsFiles

URL = "mqtts://broker.example:8884"


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    authority = trustme.CA()
    mine = authority.issue_cert(common_name="ingest")
    files = TlsFiles(ca=tmp_path / "ca.crt", cert=tmp_path / "ingest.crt", key=tmp_path / "ingest.key")
    assert files.ca is not None
    assert files.cert is not None
    assert files.key is not None
    authority.cert_pem.write_to_path(files.ca)
    mine.cert_chain_pems[0].write_to_path(files.cert)
    mine.private_key_pem.write_to_path(files.key)
    return files


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TOCSIN_{name.upper()}", raising=False)


def settings(files: TlsFiles) -> Settings:
    return load(mqtt_url=URL, mqtt_ca_file=files.ca, mqtt_cert_file=files.cert, mqtt_key_file=files.key)


def test_what_is_right_is_taken_and_verifies_the_broker_and_its_name(files: TlsFiles) -> None:
    assert settings(files).mqtt_tls == files
    context = files.context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1, "this authority, and nobody whom the machine trusts besides"


def test_without_files_the_machine_says_whom_to_trust() -> None:
    context = load(mqtt_url="mqtts://ingest:hunter2@broker.example").mqtt_tls.context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_path_is_meant_from_here(files: TlsFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts run in another folder than the one where the setting was typed."""
    assert files.ca is not None
    monkeypatch.chdir(files.ca.parent)
    for name in ("ca", "cert", "key"):
        file = getattr(files, name)
        monkeypatch.setenv(f"TOCSIN_MQTT_{name.upper()}_FILE", file.name)
    assert load(mqtt_url=URL).mqtt_tls == files


def test_somebody_elses_key(files: TlsFiles) -> None:
    assert files.key is not None
    trustme.CA().issue_cert(common_name="ingest").private_key_pem.write_to_path(files.key)
    refused(files, "TOCSIN_MQTT_KEY_FILE", "ingest.crt")


def test_a_key_behind_a_passphrase(files: TlsFiles) -> None:
    """It would ask for it, at night, of nobody."""
    assert files.key is not None
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    closed = serialization.BestAvailableEncryption(b"hunter2")
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, closed))
    refused(files, "TOCSIN_MQTT_KEY_FILE", "without passphrase")


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
@pytest.mark.parametrize("what", ["empty", "rubbish", "missing", "a folder"])
def test_a_file_of_which_nothing_can_be_made(files: TlsFiles, name: str, what: str) -> None:
    file: Path = getattr(files, name)
    match what:
        case "empty":
            file.write_bytes(b"")
        case "rubbish":
            file.write_bytes(b"\x00secret of the key\xff")
        case "missing":
            file.unlink()
        case "a folder":
            file.unlink()
            file.mkdir()
    said = refused(files, "TOCSIN_MQTT_", str(file))
    assert "secret of the key" not in said


def refused(files: TlsFiles, *words: str) -> str:
    with pytest.raises(SettingError) as refusal:
        settings(files)
    said = str(refusal.value)
    for word in words:
        assert word in said
    return said


def test_tocsin_up_says_where_devices_connect(files: TlsFiles) -> None:
    """And not the login; of an outside broker only that ingest's listener is not theirs."""
    embedded = where_devices_connect(load(), "mqtt://ingest:secret@127.0.0.1:1883")
    assert embedded == "bracelets and phones: mqtt://127.0.0.1:1883"
    outside = where_devices_connect(settings(files), URL)
    assert "the devices' listener of your broker" in outside
    assert outside.endswith(URL)
