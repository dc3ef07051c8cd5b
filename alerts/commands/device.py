"""How does a unit or a phone get its login, and lose it? ``tocsin device add | list | rotate | revoke``.

Over the API, so that who may do this is decided there. ``add`` and ``rotate`` wait until the broker lets the
device in (a moment after the API has answered): what is printed then works.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import aiomqtt
import typer

from alerts.commands.client import Api, AsJson, Asking, Token, errors, say
from alerts.commands.phone import Listener, instructions, listener_of, owntracks, owntracks_url, topics
from tocsin.columns import columns
from tocsin.embedded.broker import EVERYWHERE, PORTS_FILE, ports_remembered
from tocsin.errors import SettingError
from tocsin.limits import REPORTS_EVERY_MAX_S
from tocsin.model.device import DeviceKind
from tocsin.settings import load

LET_IN_WITHIN_S: Final = 10.0  # the projector looks five times a second, the broker reloads its logins in one
ASK_EVERY_S: Final = 0.2

ONLY_HERE: Final = (
    "Only this machine reaches that host. For a phone: start Tocsin with TOCSIN_MQTT_HOST=0.0.0.0 (a laboratory's "
    "network: no TLS) and say --broker mqtt://ADDRESS:PORT"
)

ELSEWHERE: Final = (
    "This Tocsin listens to a broker of yours (TOCSIN_MQTT_URL), at a listener that is not the devices'. Who "
    "connects is decided there; deploy/mosquitto/README.md says how: by a certificate, which makes this password "
    "idle, or by this very password in the broker's own file. For what to type into the device say "
    "--broker mqtts://HOST:PORT, the address of the devices' listener."
)

app = typer.Typer(name="device", no_args_is_help=True, help="Units and phones: their logins.")


class Kind(StrEnum):
    """The field's words, in short."""

    WEARER = "wearer"
    PROTECTED = "protected"
    TGD = "tgd"


KINDS: Final[Mapping[Kind, DeviceKind]] = {
    Kind.WEARER: DeviceKind.WEARER, Kind.PROTECTED: DeviceKind.PROTECTED, Kind.TGD: DeviceKind.TGD,
}  # fmt: skip

Id = Annotated[str, typer.Argument(metavar="ID", help="3 to 32 of a-z, 0-9 and -; it is the login, too.")]
Broker = Annotated[
    str | None,
    typer.Option(help="Where devices connect, mqtt://host:port or mqtts://host:port; else as the settings say."),
]
Every = Annotated[
    int | None,
    typer.Option(
        "--reports-every", min=1, max=REPORTS_EVERY_MAX_S, metavar="SECONDS",
        help="Its own interval, for what takes no orders about it: a phone with an app. Left out: it is told.",
    ),
]  # fmt: skip
Carrier = Annotated[str | None, typer.Option(metavar="WORD", help="Who carries its messages.")]
Apn = Annotated[str | None, typer.Option(metavar="WORD", help="The access point of its SIM.")]
Region = Annotated[str | None, typer.Option(metavar="WORD", help="Where it is used.")]
Firmware = Annotated[str | None, typer.Option(metavar="WORD", help="What runs on it.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="The password alone, for scripts.")]


@app.command()
def add(
    device: Id,
    kind: Annotated[Kind, typer.Option(help="Who carries it.")],
    reports_every: Every = None,
    carrier: Carrier = None,
    apn: Apn = None,
    region: Region = None,
    firmware: Firmware = None,
    broker: Broker = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    api: Api = None,
    token: Token = None,
) -> None:
    """Register a device; print what it, or its owner, needs to connect. The password is shown this once.

    Devices with one word of --carrier, --apn, --region or --firmware are watched for falling silent together."""
    listener = _listener(broker)
    traits = {"carrier": carrier, "apn": apn, "region": region, "firmware": firmware}
    wanted = {"id": device, "kind": KINDS[kind].value, "reports_every_s": reports_every, **traits}
    made = Asking(api, token).make("/devices", wanted)
    _hand_out(made, listener, quiet=quiet, as_json=as_json)


@app.command()
def rotate(
    device: Id,
    broker: Broker = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    api: Api = None,
    token: Token = None,
) -> None:
    """Give a device another password; the one before ends, and its connection with it."""
    listener = _listener(broker)
    renewed = Asking(api, token)("POST", f"/devices/{device}/password")
    _hand_out(renewed, listener, quiet=quiet, as_json=as_json)


@app.command("list")
def show(as_json: AsJson = False, api: Api = None, token: Token = None) -> None:
    """Every device, revoked ones too."""
    devices = Asking(api, token).all_of("/devices")
    if as_json:
        say(json.dumps(devices, indent=1))
        return
    rows = [
        (one["id"], one["kind"], _every(one), " ".join(one["measures"]), one["revoked_at"] or "")
        for one in devices
    ]
    say(columns(("id", "kind", "reports", "measures", "revoked"), rows))


def _every(device: dict[str, Any]) -> str:
    return f"{seconds}s" if (seconds := device["reports_every_s"]) else "told"


@app.command()
def revoke(device: Id, as_json: AsJson = False, api: Api = None, token: Token = None) -> None:
    """End a device's login for good. Refused while a measure that has not ended needs it."""
    revoked = Asking(api, token)("DELETE", f"/devices/{device}")
    say(json.dumps(revoked) if as_json else f"{device} was revoked at {revoked['revoked_at']}")


def _listener(broker: str | None) -> Listener | None:
    """None: on a broker that is not ours, and only its keeper knows. Raises SettingError, BadParameter."""
    if broker is not None:
        try:
            return listener_of(broker)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--broker") from None
    settings = load()
    if settings.mqtt_url is not None:
        return None
    ports = ports_remembered(settings.data_dir / "broker" / PORTS_FILE)
    port = settings.mqtt_port or ports.get("mqtt")
    if port is None:
        raise SettingError(f"TOCSIN_DATA_DIR: no broker has run in {settings.data_dir.resolve()}; say --broker")
    host = "127.0.0.1" if str(settings.mqtt_host) == EVERYWHERE else str(settings.mqtt_host)
    return Listener(host=host, port=port, tls=False)


def _hand_out(made: dict[str, Any], listener: Listener | None, *, quiet: bool, as_json: bool) -> None:
    device, password = made["id"], made["password"]
    if listener is not None and not asyncio.run(_let_in(device, password, listener)):
        where = f"{listener.host}:{listener.port}"
        errors.print(
            f"the broker at {where} has not let {device} in within {LET_IN_WITHIN_S:.0f} s: is this where devices "
            "connect (--broker)?", style="yellow", markup=False,
        )  # fmt: skip
    if quiet:
        say(password)
    elif as_json:
        say(json.dumps(_as_json(made, listener), indent=1))
    else:
        say(f"{device} ({made['kind']}). Its password is shown this once.\n")
        if listener is None:
            say(f"  password    {password}\n\n{ELSEWHERE}")
            return
        say(instructions(device, password, listener, made["reports_every_s"]))
        if listener.host.startswith("127."):
            errors.print(f"\n{ONLY_HERE}", style="dim", markup=False)


def _as_json(made: dict[str, Any], listener: Listener | None) -> dict[str, Any]:
    if listener is None:
        return {**made, "mqtt": None, "topics": topics(made["id"]), "owntracks": None}
    configuration = owntracks(made["id"], made["password"], listener, made["reports_every_s"])
    return {
        **made,
        "mqtt": {"host": listener.host, "port": listener.port, "tls": listener.tls, "version": "3.1.1"},
        "topics": topics(made["id"]),
        "owntracks": {"configuration": configuration, "url": owntracks_url(configuration)},
    }


async def _let_in(device: str, password: str, listener: Listener) -> bool:
    """The broker follows the register; a device that knocks too early is refused."""
    tls = aiomqtt.TLSParameters() if listener.tls else None
    try:
        async with asyncio.timeout(LET_IN_WITHIN_S):
            while True:
                try:
                    async with aiomqtt.Client(
                        listener.host, listener.port, username=device, password=password, tls_params=tls,
                        identifier=f"{device}-registered", protocol=aiomqtt.ProtocolVersion.V311,
                    ):  # fmt: skip
                        return True
                except (aiomqtt.MqttError, OSError):
                    await asyncio.sleep(ASK_EVERY_S)
    except TimeoutError:
        return False
