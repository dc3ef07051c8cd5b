"""Do the broker's logins follow the bucket of devices, whatever the broker says at first? Where is the log? Is it
said when the record has no tables?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from builders import eventually
from structlog.testing import capture_logs

from tocsin import stack
from tocsin.adapters.postgres import RecordRefused
from tocsin.embedded import DeviceLogin, EmbeddedServerError, hash_password
from tocsin.errors import SettingError
from tocsin.model.device import Device, DeviceKind
from tocsin.settings import Settings
from tocsin.stack import _follow_logins, log_address
from tocsin.testing.bus import MemoryBucket
from tocsin.wire import encode

HASH = hash_password("a secret of the tests")


class Door:
    """The broker's part that admits: it refuses as often as it is told to."""

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = list(refusals)
        self.tried: list[set[str]] = []
        self.inside: set[str] = set()

    async def admit(self, logins: Iterable[DeviceLogin]) -> None:
        names = {login.device for login in logins}
        self.tried.append(names)
        if self.refusals:
            raise self.refusals.pop(0)
        self.inside = names


def entry(name: str, hashed: str = HASH) -> bytes:
    return encode(Device(id=name, number=1, kind=DeviceKind.TGD, password_bcrypt=hashed))


async def following(door: Any, bucket: MemoryBucket) -> asyncio.Task[None]:
    return asyncio.create_task(_follow_logins(door, bucket))


async def test_who_could_not_be_admitted_is_admitted_again_without_a_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that refuses a reload, a disk that is full for a moment: nobody changes the bucket meanwhile."""
    monkeypatch.setattr("tocsin.stack.SERVER_RESTART_S", 0)
    door, bucket = Door(EmbeddedServerError("not now"), OSError("disk full")), MemoryBucket()
    await bucket.put("unit-1", entry("unit-1"))
    task = await following(door, bucket)
    await eventually(lambda: door.inside == {"unit-1"})
    assert door.tried == [{"unit-1"}] * 3
    task.cancel()


async def test_what_changes_while_the_broker_refuses_is_in_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.stack.SERVER_RESTART_S", 0)
    door, bucket = Door(*[EmbeddedServerError("not now")] * 20), MemoryBucket()
    await bucket.put("unit-1", entry("unit-1"))
    task = await following(door, bucket)
    await eventually(lambda: door.tried)
    await bucket.put("unit-2", entry("unit-2"))
    await bucket.delete("unit-1")
    await eventually(lambda: door.inside == {"unit-2"})
    task.cancel()


async def test_a_revoked_device_leaves_and_an_unreadable_one_costs_no_other_its_voice() -> None:
    door, bucket = Door(), MemoryBucket()
    for name in ("unit-1", "unit-2"):
        await bucket.put(name, entry(name))
    await bucket.put("broken-1", b"\x09rubbish")
    await bucket.put("broken-2", entry("broken-2", hashed="a password in clear"))
    await bucket.put("silent-1", entry("silent-1", hashed=""))
    task = await following(door, bucket)
    await eventually(lambda: door.inside == {"unit-1", "unit-2"})
    await bucket.delete("unit-1")
    await eventually(lambda: door.inside == {"unit-2"})
    task.cancel()


def test_the_log_of_a_command_is_the_one_that_is_set(tmp_path: Path) -> None:
    assert log_address(Settings(nats_url="nats://a:b@c:1", data_dir=tmp_path)) == "nats://a:b@c:1"


def test_without_any_the_two_ways_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"TOCSIN_DATA_DIR: no Tocsin has run in .*TOCSIN_NATS_URL"):
        log_address(Settings(data_dir=tmp_path))


# --- the tables of the record ----------------------------------------------------------------------------------


async def test_a_migration_that_is_refused_behind_the_start_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Alerts go on, and nothing is recorded: who is on call must not hear of it when everything ends."""
    may_end = asyncio.Event()

    async def refused(_url: str) -> None:
        await may_end.wait()
        raise RecordRefused("0099_new.sql")

    monkeypatch.setattr(stack, "migrate", refused)
    monkeypatch.setattr(stack, "TABLES_FIRST_S", 0.01)
    with capture_logs() as said:
        async with stack._tables("postgresql://", lambda _: None) as recorded:
            assert said == []
            may_end.set()
            await eventually(lambda: said)
            assert not recorded.is_set()
    assert [(one["event"], one["log_level"]) for one in said] == [("tables_not_up_to_date", "critical")]
    assert "0099_new.sql" in said[0]["error"]


async def test_one_that_is_refused_at_the_start_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(_url: str) -> None:
        raise RecordRefused("0099_new.sql")

    monkeypatch.setattr(stack, "migrate", refused)
    with capture_logs() as said, pytest.raises(RecordRefused):
        async with stack._tables("postgresql://", lambda _: None):
            pytest.fail("it went on")
    assert said == []
