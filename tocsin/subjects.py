"""The bus on one page: lanes, streams, who writes, who reads.

| stream    | subject                         | written by             | read by                                |
|-----------|---------------------------------|------------------------|----------------------------------------|
| ALARMS    | log.alarm.{device}              | ingest, both readers   | alerts.dispatcher                      |
| FIXES     | log.fix.{partition}             | ingest                 | geofence, its fleet, ingest.archivist  |
| LATE      | log.late.{partition}            | ingest                 | ingest.archivist                       |
| REFUSED   | log.refused.{reason}            | ingest                 | people, for inspection                 |
| FINDINGS  | log.finding.{partition}.{code}  | geofence, all parts    | alerts.dispatcher; geofence.fleet      |
| NOTICES   | log.notice.{code}               | any part               | alerts.dispatcher                      |
| COMMANDS  | log.command.{device}.{partition}.{action} | geofence, API | downlink, recorder, geofence.fleet |
| RESULTS   | log.result.{device}.{command}.{teller} | ingest, alerts.downlink, API | downlink, recorder, API |
| JOURNAL   | log.journal.{partition}         | geofence               | geofence, after a restart              |
| EPISODES  | log.episode.{code}.{subject}    | dispatcher, API (CAS)  | courier, recorder, API projection      |
| RECEIPTS  | log.receipt.{code}.{subject}    | alerts.courier         | dispatcher, recorder                   |
| ACCESSES  | log.access.{what}               | API                    | recorder                               |
| WIRES     | log.wire.{part}                 | courier's wire tap     | audit.auditor                          |

Buckets (newest value per key): ``devices`` and ``orders``, written by alerts.order_projector from PostgreSQL,
watched by ingest, geofence and alerts.clerk; ``standings``, how well each pair is protected, written by geofence,
watched by the API and the clerk; ``incidents``, which group is silent and its ranked pairs, written by
geofence.fleet, watched by the API; ``signs``, when each TGD was last heard, written by ingest, watched by the
clerk; ``tallies``, what each part has taken and what became of it, written by ingest, watched by the auditor, and
the pulses of the auditor (``auditor``), of the canary (``canary``) and of those in ``tocsin.model.pulse``, read by
the clerk; its own (``clerk``), read by the auditor.
Objects: ``snapshots``, one per partition, by geofence, and one of its fleet.

Findings of the fleet have FLEET in the place of a partition.

What came late is not read from LATE a second time: the archivist notes it with the fixes that it keeps, and
geofence.retrospect looks at the history again (docs/adr/0026-incursions-of-the-past.md).

Devices speak on ``tocsin/1/{device}/…`` (MQTT), which the gateway maps to ``tocsin.1.{device}.…``; phones with the
OwnTracks app on ``owntracks/{device}/…``. Neither can meet the names of the log.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from tocsin.limits import REFUSED_KEPT_MAX, RESULTS_KEPT_MAX

DAY_S = 86_400
MIB = 1024 * 1024

TOPIC_ROOT = "tocsin/1"
PHONE_ROOT = "owntracks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A durable stream of the log. ``refuse_when_full``: never discard silently, refuse new messages instead.

    ``max_messages`` None: the bytes are its bound.
    """

    name: str
    subjects: str
    keep_s: int
    max_bytes: int
    refuse_when_full: bool
    max_messages: int | None = None


ALARMS = Stream(
    name="ALARMS", subjects="log.alarm.>", keep_s=3 * DAY_S, max_bytes=256 * MIB, refuse_when_full=True
)
FIXES = Stream(name="FIXES", subjects="log.fix.>", keep_s=2 * DAY_S, max_bytes=4096 * MIB, refuse_when_full=True)
LATE = Stream(name="LATE", subjects="log.late.>", keep_s=2 * DAY_S, max_bytes=1024 * MIB, refuse_when_full=True)
REFUSED = Stream(
    name="REFUSED",
    subjects="log.refused.>",
    keep_s=3 * DAY_S,
    max_bytes=64 * MIB,
    refuse_when_full=False,
    max_messages=REFUSED_KEPT_MAX,
)
FINDINGS = Stream(
    name="FINDINGS", subjects="log.finding.>", keep_s=7 * DAY_S, max_bytes=256 * MIB, refuse_when_full=True
)
NOTICES = Stream(
    name="NOTICES", subjects="log.notice.>", keep_s=7 * DAY_S, max_bytes=64 * MIB, refuse_when_full=True
)
COMMANDS = Stream(
    name="COMMANDS", subjects="log.command.>", keep_s=7 * DAY_S, max_bytes=256 * MIB, refuse_when_full=True
)
RESULTS = Stream(
    name="RESULTS", subjects="log.result.>", keep_s=7 * DAY_S, max_bytes=128 * MIB, refuse_when_full=False,
    max_messages=RESULTS_KEPT_MAX,
)  # fmt: skip
JOURNAL = Stream(
    name="JOURNAL", subjects="log.journal.>", keep_s=FIXES.keep_s, max_bytes=2048 * MIB, refuse_when_full=True
)  # a tick is 154 bytes, one a second and partition at most: 26 MB a partition in two days, 64 partitions at most
EPISODES = Stream(
    name="EPISODES", subjects="log.episode.>", keep_s=0, max_bytes=2048 * MIB, refuse_when_full=True
)  # kept until the custodian has seen it recorded and closed
RECEIPTS = Stream(
    name="RECEIPTS", subjects="log.receipt.>", keep_s=7 * DAY_S, max_bytes=256 * MIB, refuse_when_full=True
)
ACCESSES = Stream(
    name="ACCESSES", subjects="log.access.>", keep_s=30 * DAY_S, max_bytes=512 * MIB, refuse_when_full=True
)  # nothing else holds them until they are recorded: a record that is away for weeks still gets them
WIRES = Stream(
    name="WIRES", subjects="log.wire.>", keep_s=7 * DAY_S, max_bytes=64 * MIB, refuse_when_full=False
)  # an answer is 80 bytes, a busy day's 100,000 are 8 MB; no delivery waits for a note of it
STREAMS = (
    ALARMS, FIXES, LATE, REFUSED, FINDINGS, NOTICES, COMMANDS, RESULTS, JOURNAL, EPISODES, RECEIPTS, ACCESSES,
    WIRES,
)  # fmt: skip

ARCHIVIST_FIXES = "archivist-fixes"
RECORDER_EPISODES = "recorder-episodes"
"""Durable queues that another part asks about: how far are the history, and the record of episodes?"""

DEVICES_BUCKET = "devices"
ORDERS_BUCKET = "orders"
STANDINGS_BUCKET = "standings"
INCIDENTS_BUCKET = "incidents"
SIGNS_BUCKET = "signs"
TALLIES_BUCKET = "tallies"
BUCKETS = (
    DEVICES_BUCKET, ORDERS_BUCKET, STANDINGS_BUCKET, INCIDENTS_BUCKET, SIGNS_BUCKET, TALLIES_BUCKET
)  # fmt: skip
AUDITOR_PULSE = "auditor"
CANARY_PULSE = "canary"
"""The keys in ``tallies`` of the pulses of the auditor and of the canary; those of other parts are in
``tocsin.model.pulse``, and all others are tallies."""
SNAPSHOTS = "snapshots"
FLEET = "fleet"


def alarm(device: str) -> str:
    return f"log.alarm.{device}"


def fixes(partition: int) -> str:
    return f"log.fix.{partition}"


def late(partition: int) -> str:
    return f"log.late.{partition}"


def refused(reason: str) -> str:
    return f"log.refused.{reason}"


def findings(partition: int | str, code: str) -> str:
    """With the code in the subject, so that an alert never waits behind pre-alerts (invariant 2)."""
    return f"log.finding.{partition}.{code}"


def notice(code: str) -> str:
    return f"log.notice.{code}"


def dispatcher(code: str) -> str:
    """The durable queue on which the desk hears of this code."""
    return f"dispatcher-{code}"


def command(device: str, partition: int, action: str) -> str:
    """Of which partition, because each asks an interval of its own of a unit that they share: the newest message
    here is what this one asks, whatever the others do."""
    return f"log.command.{device}.{partition}.{action}"


OPERATOR = "operator"
"""In the place of a partition: who asks is a human."""


def operators_command(device: str, action: str) -> str:
    return f"log.command.{device}.{OPERATOR}.{action}"


def is_operators(command_subject: str) -> bool:
    return command_subject.split(".")[3:4] == [OPERATOR]


def partition_in(command_subject: str) -> int:
    """Which partition asks. Raises ValueError for a subject of another form."""
    _, _, _, partition, _ = command_subject.split(".")
    return int(partition)


def result(device: str, command: str, teller: str) -> str:
    """What ``teller`` knows of this order, one of TELLERS. Each has a place of its own, so that a word that is
    late hides none that was sooner."""
    return f"log.result.{device}.{command}.{teller}"


QUEUED_BY = "queued"
SENT_BY = "sent"
ENDED_BY = "ended"
UNIT_SAYS = "unit"
TELLERS = (QUEUED_BY, SENT_BY, ENDED_BY, UNIT_SAYS)
"""The API that took it, the downlink that sent it, the downlink that ended it, the unit that answered."""


def journal(partition: int) -> str:
    return f"log.journal.{partition}"


def episode(code: str, subject: str) -> str:
    return f"log.episode.{code}.{subject}"


def receipt(code: str, subject: str) -> str:
    return f"log.receipt.{code}.{subject}"


def place_in(subject: str) -> tuple[str, str]:
    """Code and subject of an episode, in the subject of a ruling or of a receipt. Raises ValueError for a subject
    of another form."""
    _, _, code, about = subject.split(".")
    return code, about


def access(what: str) -> str:
    return f"log.access.{what}"


def wire(part: str) -> str:
    return f"log.wire.{part}"


def partition_of(key: str, partitions: int) -> int:
    """Which partition decides about this measure (or keeps this unpaired device)."""
    return zlib.crc32(key.encode()) % partitions


def device_in(topic: str) -> str | None:
    """Who speaks on this MQTT topic, as far as it says: ``tocsin/1/{device}/…``, ``owntracks/{device}/…``."""
    levels = topic.split("/")
    named_at = {TOPIC_ROOT: 2, PHONE_ROOT: 1}
    for root, place in named_at.items():
        if levels[:place] == root.split("/") and len(levels) > place:
            return levels[place]
    return None


def topic(device: str, leaf: str) -> str:
    """The MQTT topic of one leaf of one device: ``tocsin/1/b0000001/loc``."""
    return f"{TOPIC_ROOT}/{device}/{leaf}"
