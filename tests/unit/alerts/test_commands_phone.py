"""Is what a phone is told what the broker lets it do and what ingest reads? And a list, is it whole?"""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from alerts.commands.phone import Listener, instructions, listener_of, owntracks, owntracks_url, topics
from tocsin.columns import columns
from tocsin.embedded.broker import device_user

LISTENER = Listener(host="broker.example", port=8883, tls=True)


@pytest.mark.parametrize(
    ("url", "listener"),
    [
        ("mqtt://h", Listener(host="h", port=1883, tls=False)),
        ("mqtts://h", Listener(host="h", port=8883, tls=True)),
        ("mqtt://ingest:secret@h:7", Listener(host="h", port=7, tls=False)),
    ],
)
def test_where_devices_connect(url: str, listener: Listener) -> None:
    assert listener_of(url) == listener
    assert "secret" not in repr(listener_of(url))


@pytest.mark.parametrize("url", ["h:1883", "http://h", "mqtt://", "mqtt://h:seven", ""])
def test_what_is_no_such_address(url: str) -> None:
    with pytest.raises(ValueError, match=r"mqtt://|Port"):
        listener_of(url)


def test_the_address_for_the_phone_is_the_configuration() -> None:
    configuration = owntracks("bracelet-1", "p+/ä=&", LISTENER)
    query = parse_qs(urlsplit(owntracks_url(configuration)).query)
    assert json.loads(base64.b64decode(query["inline"][0])) == configuration


def test_the_app_is_told_what_our_broker_speaks_and_keeps() -> None:
    told = owntracks("bracelet-1", "secret", LISTENER)
    assert (told["host"], told["port"], told["tls"]) == ("broker.example", 8883, True)
    assert (told["username"], told["password"], told["auth"]) == ("bracelet-1", "secret", True)
    assert (told["mqttProtocolLevel"], told["pubQos"], told["cleanSession"]) == (4, 1, False)
    assert told["pubRetain"] is False, "a position must not stay on the broker"
    assert told["pubTopicBase"] == f"owntracks/{told['username']}/{told['deviceId']}"
    assert len(told["tid"]) == 2
    assert told["tid"].isalnum()


def test_the_app_is_told_the_interval_that_was_registered() -> None:
    told = owntracks("bracelet-1", "secret", LISTENER, 30)
    assert (told["locatorInterval"], told["moveModeLocatorInterval"]) == (30, 30)
    assert "30 s" in instructions("bracelet-1", "secret", LISTENER, 30)
    assert "locatorInterval" not in owntracks("bracelet-1", "secret", LISTENER), "its own, and nobody knows it"
    assert "--reports-every" in instructions("bracelet-1", "secret", LISTENER)


def test_every_topic_that_is_told_is_permitted() -> None:
    allowed = device_user(("bracelet-1", "hash"))["permissions"]
    said = topics("bracelet-1")
    for published in said["publish"]:
        assert any(_covers(one, published) for one in allowed["publish"]["allow"]), published
        assert not any(_covers(one, published) for one in allowed["publish"]["deny"]), published
    for heard in (*said["subscribe"], owntracks("bracelet-1", "", LISTENER)["subTopic"]):
        assert any(_covers(one, heard) for one in allowed["subscribe"]), heard


def _covers(subject: str, topic: str) -> bool:
    pattern = re.escape(subject).replace(r"\*", "[^.]+").replace(">", ".+")
    return re.fullmatch(pattern, topic.replace("/", ".")) is not None


def test_a_person_is_told_all_of_it() -> None:
    text = instructions("bracelet-1", "secret", LISTENER)
    for word in ("broker.example", "8883", "bracelet-1", "secret", "owntracks/bracelet-1/phone", "3.1.1",
                 "tocsin/1/bracelet-1/err", "owntracks:///config?inline="):  # fmt: skip
        assert word in text


def test_columns_cut_nothing() -> None:
    long = "x" * 300
    assert columns(("a", "b"), [("1", long), ("22", "")]) == f"a   b\n1   {long}\n22"
    assert columns(("a", "b"), []) == "a  b"
