"""Do the commands do what they say over a real API and a real log, and end as a script expects: 0, 1 or 2?

Typed as a user types them, through ``tocsin.cli.main``, in a process of their own; standard input is no terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from builders import NOW_MS, WEARER, location, message, topic

from alerts.__main__ import proof_doors
from alerts.api.server import run_api
from ingest.dialects.reports import Reason, Refusal
from ingest.quarantine import note_of
from tocsin import subjects
from tocsin.adapters.alarm_load import AlarmLoadRecord
from tocsin.adapters.episodes import EpisodeRecord
from tocsin.adapters.figures import FiguresRecord
from tocsin.adapters.jetstream import Bus
from tocsin.adapters.orders import Orders
from tocsin.adapters.postgres import Pool
from tocsin.clock import AffineClock
from tocsin.embedded import BrokerAddresses, DeviceLogin, EmbeddedBroker, hash_password
from tocsin.settings import ApiUser, Settings
from tocsin.testing.bus import MemoryBucket, MemoryLog

pytest_plugins = ("database",)
pytestmark = pytest.mark.timeout(120)

TOCSIN = Path(sys.executable).with_name("tocsin")
SUPERVISOR = "token-of-the-supervisor"
TOKENS = {
    "token-of-the-workshop": ApiUser(name="Tom", role="technical"),
    SUPERVISOR: ApiUser(name="Sue", role="supervisor"),
}


@dataclass
class Said:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


async def tocsin(*words: str, **variables: str) -> Said:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    child = await asyncio.create_subprocess_exec(
        TOCSIN, *words, env={**clean, **variables}, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await child.communicate()
    assert child.returncode is not None
    return Said(child.returncode, out.decode(), err.decode())


@dataclass
class Site:
    """A real API, and a real broker whose logins follow what was registered."""

    api: str
    broker: str
    orders: Orders

    async def typed(self, *words: str, token: str = SUPERVISOR, **settings: str) -> Said:
        said = await tocsin(*words, TOCSIN_API=self.api, TOCSIN_TOKEN=token, **settings)
        assert "Traceback" not in said.err
        return said


@pytest.fixture
async def site(pool: Pool, broker_home: Path) -> AsyncIterator[Site]:
    log, clock, orders = MemoryLog(), AffineClock(), Orders(pool)
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    api = asyncio.create_task(
        run_api(
            log=log, standings=MemoryBucket(), incidents=MemoryBucket(),
            episodes=EpisodeRecord(pool), orders=orders, alarm_load=AlarmLoadRecord(pool),
            figures=FiguresRecord(pool), proof=proof_doors(pool, pool, clock), clock=clock,
            hash_password=hash_password,
            settings=Settings(api_tokens=TOKENS, api_port=0), ready=ready.set_result,
        )
    )  # fmt: skip
    server = EmbeddedBroker(home=broker_home, service_password="service")
    addresses = await server.start()
    doorman = asyncio.create_task(_let_in(server, orders, clock))
    yield Site(f"http://127.0.0.1:{await ready}", addresses.mqtt_url, orders)
    for task in (api, doorman):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await server.stop()


async def _let_in(server: EmbeddedBroker, orders: Orders, clock: AffineClock) -> None:
    """The projector and the keeper of logins, in short: the register is looked at and applied."""
    while True:
        devices = (await orders.devices(clock.now_ms())).items
        logins = [
            DeviceLogin(device=one.id, password_bcrypt=one.password_bcrypt)
            for one in devices
            if one.revoked_ms is None
        ]
        await server.admit(logins)
        await asyncio.sleep(0.1)


async def test_a_device_from_its_login_to_its_end(site: Site) -> None:
    where = ("--broker", site.broker)
    added = await site.typed("device", "add", "bracelet-1", "--kind", "wearer", *where)
    assert (added.status, added.err.count("has not let")) == (0, 0)
    port = site.broker.rpartition(":")[2]
    for word in (
        "bracelet-1 (bar_wearer)",
        f"Port {port}",
        "owntracks:///config?inline=",
        "tocsin/1/bracelet-1/err",
    ):
        assert word in added.out
    assert "service" not in added.out + added.err, "the address had a login in it"
    told = json.loads((await site.typed("device", "add", "victim-1", "--kind", "protected", "--json", *where)).out)
    assert (told["kind"], told["mqtt"]["port"], told["mqtt"]["tls"]) == ("bar_protected", int(port), False)
    assert told["owntracks"]["configuration"]["password"] == told["password"]
    phone = await site.typed("device", "add", "phone-1", "--kind", "wearer", "--reports-every", "30", *where)
    assert "Interval in mode move: 30 s" in phone.out
    lines = (await site.typed("device", "list")).out.splitlines()
    assert {line.split()[0]: line.split()[2] for line in lines} == {
        "id": "reports", "bracelet-1": "told", "victim-1": "told", "phone-1": "30s",
    }  # fmt: skip
    too_long = await site.typed("device", "add", "phone-2", "--kind", "wearer", "--reports-every", "3601", *where)
    assert (too_long.status, "--reports-every" in too_long.err) == (2, True)
    renewed = await site.typed("device", "rotate", "victim-1", "--quiet", *where)
    assert renewed.status == 0
    assert len(renewed.out.strip()) == 27
    assert renewed.out.strip() != told["password"]

    made = json.loads((await site.typed("measure", "add", "bracelet-1", "victim-1", "--km", "2", "--json")).out)
    assert (made["alert_distance_m"], made["in_force"]) == (2000, True)
    in_use = await site.typed("device", "revoke", "victim-1")
    assert (in_use.status, in_use.out) == (1, "")
    assert made["id"] in in_use.err
    listed = await site.typed("measure", "list", "--live")
    assert made["id"] in listed.out
    assert (await site.typed("measure", "end", made["id"])).status == 0
    revoked = await site.typed("device", "revoke", "victim-1", "--json")
    assert (revoked.status, bool(json.loads(revoked.out)["revoked_at"])) == (0, True)
    devices = json.loads((await site.typed("device", "list", "--json")).out)
    assert [(one["id"], one["revoked_at"] is not None) for one in devices] == [
        ("bracelet-1", False),
        ("victim-1", True),
        ("phone-1", False),
    ]


async def test_what_the_api_says_no_to_is_shown_whole(site: Site) -> None:
    refused = await site.typed("measure", "add", "nobody-1", "nobody-2", "--km", "11")
    assert (refused.status, refused.out) == (1, "")
    lines = refused.err.splitlines()
    assert lines[0] == "This cannot be ordered"
    assert {line.split(":")[0].strip() for line in lines[1:]} == {"/wearer", "/protected", "/alert_distance_m"}
    reserved = await site.typed("device", "add", "fleet", "--kind", "tgd", "--broker", site.broker)
    assert (reserved.status, "reserved" in reserved.err) == (1, True)
    forbidden = await site.typed("measure", "add", "a-1", "b-1", token="token-of-the-workshop")
    assert (forbidden.status, "Your role may not do that" in forbidden.err) == (1, True)
    nobody = await site.typed("device", "list", token="a token that nobody has")
    assert (nobody.status, "Who asks?" in nobody.err) == (1, True)


async def test_a_broker_that_is_elsewhere_is_said_and_the_password_is_not_lost(site: Site) -> None:
    """The device exists: what was shown once must be shown, whatever is wrong with the address."""
    nowhere = await site.typed(
        "device", "add", "bracelet-1", "--kind", "wearer", "-q", "--broker", "mqtt://127.0.0.1:1"
    )
    assert (nowhere.status, len(nowhere.out.strip())) == (0, 27)
    assert "127.0.0.1:1 has not let bracelet-1 in" in nowhere.err


async def test_ingests_listener_is_never_given_to_a_device(site: Site) -> None:
    """On a broker of the deployment's own the devices have another: its address is not in our settings."""
    outside = {"TOCSIN_MQTT_URL": "mqtts://ingest:hunter2@broker.example:8884"}
    added = await site.typed("device", "add", "bracelet-1", "--kind", "wearer", **outside)
    assert (added.status, added.err) == (0, ""), "and nobody knocked at it"
    assert "deploy/mosquitto/README.md" in added.out
    assert "--broker" in added.out
    told = await site.typed("device", "rotate", "bracelet-1", "--json", **outside)
    for wrong in ("broker.example", "8884", "hunter2", "owntracks:///"):
        assert wrong not in added.out + told.out
    as_json = json.loads(told.out)
    assert (len(as_json["password"]), as_json["mqtt"], as_json["owntracks"]) == (27, None, None)
    said = await site.typed("device", "rotate", "bracelet-1", "--broker", site.broker, **outside)
    assert "owntracks:///" in said.out


async def test_nobody_there(tmp_path: Path) -> None:
    home = {"TOCSIN_DATA_DIR": str(tmp_path)}
    for words in (("device", "list"), ("measure", "list")):
        said = await tocsin(*words, "--api", "http://127.0.0.1:1", **home)
        assert (said.status, "no answer from http://127.0.0.1:1" in said.err) == (1, True), words
    no_log = await tocsin("quarantine", "list", TOCSIN_NATS_URL="nats://127.0.0.1:1")
    assert (no_log.status, "Is Tocsin running?" in no_log.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("device", "add", "bracelet-1"), "--kind"),
        (("device", "add", "bracelet-1", "--kind", "king"), "--kind"),
        (("device", "add", "bracelet-1", "--kind", "wearer"), "TOCSIN_DATA_DIR"),
        (("device", "add", "bracelet-1", "--kind", "wearer", "--broker", "localhost"), "--broker"),
        (("measure", "add", "bracelet-1"), "PROTECTED"),
        (("quarantine", "list", "--reason", "boredom"), "--reason"),
        (("quarantine", "list", "--limit", "0"), "--limit"),
        (("quarantine", "list"), "TOCSIN_NATS_URL"),
    ],
)
async def test_what_is_typed_or_set_wrongly_is_named(words: tuple[str, ...], names: str, tmp_path: Path) -> None:
    said = await tocsin(*words, TOCSIN_DATA_DIR=str(tmp_path), COLUMNS="200")
    assert (said.status, said.out) == (2, "")
    assert names in said.err
    assert "Traceback" not in said.err


async def test_the_commands_own_variables_do_not_stop_the_rest(tmp_path: Path) -> None:
    """An operator who exported his token must still be able to start Tocsin."""
    said = await tocsin("quarantine", "list", TOCSIN_TOKEN="x", TOCSIN_API="y", TOCSIN_DATA_DIR=str(tmp_path))
    assert "no such setting" not in said.err


async def test_the_version() -> None:
    assert (await tocsin("--version")).out == (await tocsin("version")).out


# --- the quarantine ------------------------------------------------------------------------------------------


async def test_the_quarantine_is_listed_newest_last_without_contents(bus: Bus, broker: BrokerAddresses) -> None:
    for number, reason in enumerate((Reason.SCHEMA, Reason.COORDINATES, Reason.SCHEMA, Reason.SCHEMA)):
        said = message(location(lat="at her mother 4", desc="x\ny"), topic(), NOW_MS + number)
        note = note_of(said, Refusal(reason=reason, path="$.lat", detail="Expected `float`, got `str`"))
        await bus.log.append(subjects.refused(reason.value), msgspec.json.encode(note))
    where = {"TOCSIN_NATS_URL": broker.nats_url}
    listed = await tocsin("quarantine", "list", "--limit", "3", "--json", **where)
    assert listed.status == 0
    notes = [json.loads(line) for line in listed.out.splitlines()]
    assert [note["reason"] for note in notes] == ["coordinates_out_of_range", "schema", "schema"]
    assert [note["at"] for note in notes] == [f"2026-11-21T00:00:00.00{number}Z" for number in (1, 2, 3)]
    assert {note["topic"] for note in notes} == {f"tocsin/1/{WEARER}/loc"}
    only = await tocsin("quarantine", "list", "--reason", "coordinates_out_of_range", **where)
    assert len(only.out.splitlines()) == 2
    assert "mother" not in listed.out + only.out
    assert "1 shown of 4 kept; 0 older ones are gone" in only.err


async def test_an_empty_quarantine_is_an_answer(bus: Bus, broker: BrokerAddresses) -> None:
    said = await tocsin("quarantine", "list", TOCSIN_NATS_URL=broker.nats_url)
    assert (said.status, len(said.out.splitlines())) == (0, 1)
