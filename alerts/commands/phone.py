"""What must be told to a device, or typed into a phone, so that it speaks to this Tocsin? Pure.

The OwnTracks configuration is that of the Booklet (tech/json, ``_type`` configuration; features/remoteconfig for
the address that the app opens). What differs from the app's defaults, and why: MQTT 3.1.1 (it asks for 3.1), the
positions not retained by the broker (a copy would stay there for whoever may read it), a session that the broker
keeps, one topic to subscribe (the default, everybody's, is refused here), and mode *move*: *significant changes*
is silent for minutes. In that mode the app reports each ``locatorInterval`` seconds (300 on iOS, unless
told; Android: ``moveModeLocatorInterval``): the device's own interval, as it is registered.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from tocsin.subjects import PHONE_ROOT, topic

OWN_WORD: Final = "phone"  # OwnTracks' DeviceID: any word without a space
MQTT_PORT, MQTTS_PORT = 1883, 8883
MQTT_3_1_1: Final = 4
MOVE: Final = 2
INTERVAL_KEYS: Final = ("locatorInterval", "moveModeLocatorInterval")
NO_INTERVAL: Final = "say --reports-every: the app takes no orders about it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where devices connect."""

    host: str
    port: int
    tls: bool


def listener_of(url: str) -> Listener:
    """From ``mqtt://host[:port]`` or ``mqtts://…``; a login in it is left out. Raises ValueError."""
    address = urlsplit(url)
    if address.scheme not in {"mqtt", "mqtts"} or not address.hostname:
        raise ValueError("not mqtt://host:port or mqtts://host:port")
    tls = address.scheme == "mqtts"
    return Listener(host=address.hostname, port=address.port or (MQTTS_PORT if tls else MQTT_PORT), tls=tls)


def topics(device: str) -> dict[str, list[str]]:
    """What it publishes, and what it may subscribe."""
    return {
        "publish": [
            f"{PHONE_ROOT}/{device}/{OWN_WORD}",
            *(topic(device, leaf) for leaf in ("loc", "bulk", "sos")),
        ],
        "subscribe": [topic(device, "err"), f"{PHONE_ROOT}/{device}/{OWN_WORD}/cmd"],
    }


def tracker_id(device: str) -> str:
    """Two letters for the app's own map."""
    return device.replace("-", "")[-2:]


def owntracks(
    device: str, password: str, listener: Listener, reports_every_s: int | None = None
) -> dict[str, Any]:
    """The app's configuration as it imports it."""
    base = f"{PHONE_ROOT}/{device}/{OWN_WORD}"
    return {
        "_type": "configuration",
        "mode": 0,
        "host": listener.host,
        "port": listener.port,
        "tls": listener.tls,
        "ws": False,
        "auth": True,
        "username": device,
        "password": password,
        "deviceId": OWN_WORD,
        "tid": tracker_id(device),
        "mqttProtocolLevel": MQTT_3_1_1,
        "cleanSession": False,
        "pubTopicBase": base,
        "pubQos": 1,
        "pubRetain": False,
        "willRetain": False,
        "sub": True,
        "subTopic": f"{base}/cmd",
        "monitoring": MOVE,
        "extendedData": True,
        **({} if reports_every_s is None else dict.fromkeys(INTERVAL_KEYS, reports_every_s)),
    }


def owntracks_url(configuration: dict[str, Any]) -> str:
    """Opened on the phone, it fills the settings in."""
    packed = base64.b64encode(json.dumps(configuration, separators=(",", ":")).encode()).decode()
    return f"owntracks:///config?inline={quote(packed, safe='')}"


def instructions(device: str, password: str, listener: Listener, reports_every_s: int | None = None) -> str:
    """For a person who configures a unit or a phone, in plain text."""
    said, configuration = topics(device), owntracks(device, password, listener, reports_every_s)
    every = NO_INTERVAL if reports_every_s is None else f"{reports_every_s} s"
    return f"""\
  host        {listener.host}
  port        {listener.port}
  TLS         {"yes" if listener.tls else "no"}
  MQTT        3.1.1, QoS 1
  user        {device}
  password    {password}
  publishes   {said["publish"][0]}   (OwnTracks)
              {"  ".join(said["publish"][1:])}
  subscribes  {said["subscribe"][0]}   (why a message was refused)

OwnTracks, Preferences, Connection (iOS: Settings):
  Mode MQTT; Host {listener.host}; Port {listener.port}; TLS {"on" if listener.tls else "off"}
  UserID (Username) {device}; Password as above; DeviceID {OWN_WORD}; TrackerID {tracker_id(device)}
  Protocol level 3.1.1 (4); Clean session off; QoS 1; Retain off; Subscribe topic {configuration["subTopic"]}
  Interval in mode move: {every}
or open this address on the phone (it holds the password):
  {owntracks_url(configuration)}"""
