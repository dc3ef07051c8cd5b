"""Ports of our own servers: none of a connection's, and no number for two doors."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tocsin.embedded import broker
from tocsin.loopback import BEHIND, FIRST, LOOPBACK, free_port, free_ports

HOSTS = {"nats": LOOPBACK, "mqtt": LOOPBACK}


def test_they_lie_below_those_of_connections_and_differ():
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert all(FIRST <= port < BEHIND for port in ports)


def test_a_port_that_somebody_listens_at_is_not_free():
    with socket.create_server((LOOPBACK, free_port())) as theirs:
        assert theirs.getsockname()[1] not in free_ports(50)


@pytest.mark.parametrize("wanted", [{"nats": 0, "mqtt": 0}, {"nats": 0, "mqtt": "one"}])
@pytest.mark.parametrize("remembered", [{}, {"mqtt": "one"}])
def test_two_doors_never_have_one_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, int | str], remembered: dict[str, str]
) -> None:
    """Chance draws the same number again and again; bound and not listening, the kernel gives it twice."""
    one, other = free_ports(2)

    def draws() -> Iterator[int]:
        yield from (one, one, other)

    monkeypatch.setattr(broker, "drawn_ports", draws)
    memory = tmp_path / "broker.ports"
    memory.write_text(json.dumps(dict.fromkeys(remembered, one)))
    asked = {door: one if port == "one" else 0 for door, port in wanted.items()}
    chosen = broker.choose_ports(memory, asked, HOSTS)
    assert sorted(chosen.values()) == sorted((one, other))
    assert json.loads(memory.read_text()) == chosen
    assert broker.choose_ports(memory, {"nats": 0, "mqtt": 0}, HOSTS) == chosen
