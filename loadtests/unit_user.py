"""How does one bracelet or phone behave under locust? A connection of its own, its own login, QoS 1, its own walk.

locust's MQTT client (``locust.contrib.mqtt``: paho in a greenlet) connects again by itself after a cut and sends
what had no PUBACK again. Two times are locust requests: from asking for a connection to CONNACK, and from
publishing to PUBACK, whatever lies between. A unit without a connection withholds what is due: its next fix is the
newest one, as a real one's would be.

Only locust's own process may import this module: locust replaces the standard library's sockets and threads.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import gevent
import gevent.event
import numpy as np
from locust import task
from locust.contrib.mqtt import REQUEST_TYPE, MqttClient, MqttUser
from paho.mqtt.client import connack_string

from loadtests.handover import Crowd, Login
from loadtests.walks import Walk
from simulator import messages
from tocsin.clock import MS, AffineClock
from tocsin.subjects import topic

RECONNECT_S: Final = (1, 5)  # paho's own waits, whole seconds
CONNECT_WITHIN_S: Final = 5.0  # then it goes on waiting, and withholds what is due
CONFIRM_WITHIN_S: Final = 10.0  # at the end, for the PUBACKs that are under way: the broker's own time to repeat
QUIET_S: Final = 0.05
NAMES: Final = {"publish": "publish loc", "subscribe": "subscribe cmd"}


@dataclass(slots=True, eq=False)
class Person:
    """Who takes a unit along, kept while the unit is switched off and on again: numbers go on, restarts count."""

    login: Login
    walk: Walk
    seq: int = 0
    boot: int = 0


@dataclass(slots=True)
class Fleet:
    """What the units of this process have in common: who they are, and what they did."""

    crowd: Crowd
    clock: AffineClock = field(default_factory=AffineClock)
    waiting: deque[Person] = field(default_factory=deque)
    connected: set[str] = field(default_factory=set)
    connections: int = 0
    offered: int = 0
    confirmed: int = 0
    withheld: int = 0

    def __post_init__(self) -> None:
        self.waiting.extend(
            Person(login, Walk.invent(self.crowd.seed, index)) for index, login in enumerate(self.crowd.units)
        )


class UnitClient(MqttClient):
    """locust's client with a session that the broker keeps, and one line in the table for all units together."""

    def __init__(self, **words: Any) -> None:  # noqa: ANN401  (locust's own)
        super().__init__(clean_session=False, **words)
        self.reconnect_delay_set(*RECONNECT_S)
        self.admitted = gevent.event.Event()
        self.asked = time.perf_counter()
        self.fleet: Fleet | None = None

    @property
    def unconfirmed(self) -> int:
        """Published, and no PUBACK yet."""
        return len(self._publish_requests)

    def _generate_event_name(self, event_type: str, qos: int, topic: str) -> str:  # noqa: ARG002  (locust's own)
        return NAMES[event_type]

    def _on_connect_cb(self, *given: Any) -> None:  # noqa: ANN401  (client, userdata, flags, rc)
        """CONNACK. locust's own callback knows neither the time nor the word for a refusal."""
        rc = given[-1]
        refused = ConnectionRefusedError(connack_string(rc)) if rc != 0 else None
        self.environment.events.request.fire(  # type: ignore[no-untyped-call]  # locust's
            request_type=REQUEST_TYPE,
            name="connect",
            response_time=(time.perf_counter() - self.asked) * MS,
            response_length=0,
            exception=refused,
            context={},
        )
        if refused is None:
            assert self.fleet is not None
            assert self.client_id is not None
            self.fleet.connected.add(self.client_id)
            self.fleet.connections += 1
            self.subscribe(topic(self.client_id, "cmd"), qos=1)
            self.admitted.set()

    def _on_disconnect_cb(self, client: Any, userdata: Any, rc: Any) -> None:  # noqa: ANN401
        super()._on_disconnect_cb(client, userdata, rc)
        self.asked = time.perf_counter()

    def _on_publish_cb(self, client: Any, userdata: Any, mid: int) -> None:  # noqa: ANN401
        assert self.fleet is not None
        self.fleet.confirmed += mid in self._publish_requests
        super()._on_publish_cb(client, userdata, mid)


class UnitUser(MqttUser):
    """One unit of the background. ``fleet`` is set before the first of them is made."""

    client_cls = UnitClient
    client: UnitClient
    client_id: Any  # locust says None where it means a name
    username: Any
    password: Any
    use_loop_selectors = True  # select() ends at 1,024 descriptors: 340 units
    fleet: ClassVar[Fleet]

    def __init__(self, environment: Any) -> None:  # noqa: ANN401  (locust's own)
        crowd = self.fleet.crowd
        self.person = self.fleet.waiting.popleft()
        self.person.boot += 1
        self.host, self.port = crowd.mqtt_host, crowd.mqtt_port
        self.client_id = self.username = self.person.login.device
        self.password = self.person.login.password
        self.rng = np.random.default_rng([crowd.seed, len(crowd.units), self.person.boot, hash_of(self.person)])
        self.share = float(self.rng.uniform(0.5, 1.0))
        super().__init__(environment)
        self.client.fleet = self.fleet

    def wait_time(self) -> float:
        """The interval; part of it after the first fix, for fleets do not march in step."""
        share, self.share = self.share, 1.0
        return share * self.fleet.crowd.interval_s

    def on_start(self) -> None:
        self.client.admitted.wait(CONNECT_WITHIN_S)

    @task
    def report(self) -> None:
        """Say where it is, now."""
        if not self.client.is_connected():
            self.fleet.withheld += 1
            return
        crowd, now_ms = self.fleet.crowd, self.fleet.clock.now_ms()
        fix = self.person.walk.fix((now_ms - crowd.start_ms) / MS)
        self.person.seq += 1
        body = messages.point(fix, start_ms=crowd.start_ms, seq=self.person.seq, boot=self.person.boot)
        said = messages.encode(messages.location(body, now_ms=now_ms))
        self.client.publish(topic(self.person.login.device, "loc"), said, qos=1)
        self.fleet.offered += 1

    def on_stop(self) -> None:
        """Wait for what is under way, hang up, and let somebody else be this unit."""
        with gevent.Timeout(CONFIRM_WITHIN_S, False):
            while self.client.unconfirmed:
                gevent.sleep(QUIET_S)
        self.client.disconnect()
        self.client.loop_stop()
        self.fleet.waiting.append(self.person)


def hash_of(person: Person) -> int:
    """A number of this device that is the same in every run."""
    return int.from_bytes(person.login.device.encode()[-7:], "big")
