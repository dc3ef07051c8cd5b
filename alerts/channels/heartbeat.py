"""What does an endpoint hear when there is nothing to say? That it would have heard, and what it should have.

To the téléassistance a CloudEvents event of its own type, each HEARTBEAT_EVERY_S: of each type of message the
newest that was for this endpoint since the courier's start (``since``), by id, alert and version as its own
envelope names them, taken or not. Whoever does not know that id has missed something; whoever hears nothing for
180 s rings up. To operations an alert that always fires, in Alertmanager's webhook format (version 4): the dead
man's switch that receivers of that format know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

import msgspec

from tocsin.clock import rfc3339
from tocsin.limits import HEARTBEAT_EVERY_S
from tocsin.model.episode import Realm

TYPE: Final = "org.tocsin.heartbeat"
WATCHDOG: Final = "TocsinHeartbeat"


class Message(Protocol):
    """The newest of its type."""

    @property
    def id(self) -> str: ...

    @property
    def alert(self) -> str: ...

    @property
    def version(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """``number``: how many this endpoint was sent before it, since the start."""

    name: str
    site: str
    realm: Realm
    at_ms: int
    since_ms: int
    number: int
    newest: Mapping[str, Message]


def event(beat: Beat) -> bytes:
    """For people's platforms."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": beat.name,
            "source": f"/tocsin/{beat.site}",
            "type": TYPE,
            "time": rfc3339(beat.at_ms),
            "datacontenttype": "application/json",
            "sequence": str(beat.number),
            "realm": beat.realm.value,
            "data": {
                "every_s": HEARTBEAT_EVERY_S,
                "since": rfc3339(beat.since_ms),
                "last": {
                    kind: {"id": one.id, "alert": one.alert, "sequence": str(one.version)}
                    for kind, one in sorted(beat.newest.items())
                },
            },
        }
    )


def watchdog(beat: Beat) -> bytes:
    """For operations."""
    labels = {"alertname": WATCHDOG, "severity": "none", "site": beat.site, "realm": beat.realm.value}
    key = f"{WATCHDOG}:{beat.site}"
    return msgspec.json.encode(
        {
            "version": "4",
            "groupKey": key,
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "tocsin-operations",
            "groupLabels": labels,
            "commonLabels": labels,
            "commonAnnotations": {},
            "externalURL": "",
            "alerts": [
                {
                    "status": "firing",
                    "labels": labels,
                    "annotations": {"sent_at": rfc3339(beat.at_ms)},
                    "startsAt": rfc3339(beat.since_ms),
                    "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "",
                    "fingerprint": sha256(key.encode()).hexdigest()[:16],
                }
            ],
        }
    )
