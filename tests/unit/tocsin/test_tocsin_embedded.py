"""Does the broker of the laboratory have room for all that the log may hold?

nats-server reserves ``max_bytes`` for each stream as it is made, and refuses the first that does not fit: nothing
would start.
"""

from __future__ import annotations

import inspect
from pathlib import Path

from tocsin.embedded import EmbeddedBroker
from tocsin.embedded.broker import MAX_FILE_B, SPARE_FILE_B, configuration
from tocsin.subjects import STREAMS

PORTS = {"nats": 1, "mqtt": 2}
HOSTS = {"nats": "127.0.0.1", "mqtt": "127.0.0.1"}


def test_the_storage_holds_every_stream_when_full_and_what_has_no_stream_besides():
    reserved_b = sum(stream.max_bytes for stream in STREAMS)
    conf = configuration(home=Path("/h"), ports=PORTS, hosts=HOSTS, max_file_b=MAX_FILE_B, users=[])
    assert conf["jetstream"]["max_file"] == reserved_b + SPARE_FILE_B
    assert SPARE_FILE_B == 2 * 1024**3
    assert all(stream.max_bytes > 0 for stream in STREAMS), (
        "one without a bound reserves nothing, and fills the rest"
    )


def test_who_asks_for_nothing_else_gets_this_limit():
    assert inspect.signature(EmbeddedBroker).parameters["max_file_b"].default == MAX_FILE_B
