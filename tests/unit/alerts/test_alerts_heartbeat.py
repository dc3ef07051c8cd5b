"""What does an endpoint hear when there is nothing to say?"""

from __future__ import annotations

import json

from builders import NOW_MS, REALM

from alerts.channels.heartbeat import Beat, event, watchdog
from alerts.doors import Newest
from tocsin.clock import rfc3339

BEAT = Beat(
    name="evt_beat", site="paca", realm=REALM, at_ms=NOW_MS, since_ms=NOW_MS - 60_000, number=7,
    newest={
        "org.tocsin.alert.raised": Newest(id="evt_2", alert="alr_1", version=2),
        "org.tocsin.alert.opened": Newest(id="evt_1", alert="alr_1", version=1),
    },
)  # fmt: skip


def test_it_names_the_newest_of_each_type_as_its_own_envelope_did() -> None:
    said = json.loads(event(BEAT))
    assert said == {
        "specversion": "1.0", "id": "evt_beat", "source": "/tocsin/paca", "type": "org.tocsin.heartbeat",
        "time": rfc3339(NOW_MS), "datacontenttype": "application/json", "sequence": "7", "realm": "lab",
        "data": {
            "every_s": 60, "since": rfc3339(NOW_MS - 60_000),
            "last": {
                "org.tocsin.alert.opened": {"id": "evt_1", "alert": "alr_1", "sequence": "1"},
                "org.tocsin.alert.raised": {"id": "evt_2", "alert": "alr_1", "sequence": "2"},
            },
        },
    }  # fmt: skip


def test_operations_have_an_alert_that_always_fires_under_one_name() -> None:
    first, later = (json.loads(watchdog(one)) for one in (BEAT, _later()))
    assert (first["version"], first["status"]) == ("4", "firing")
    (alert,) = first["alerts"]
    assert alert["labels"] == {"alertname": "TocsinHeartbeat", "severity": "none", "site": "paca", "realm": "lab"}
    assert alert["endsAt"] == "0001-01-01T00:00:00Z", "it has not ended"
    assert (first["groupKey"], alert["fingerprint"]) == (later["groupKey"], later["alerts"][0]["fingerprint"])


def _later() -> Beat:
    return Beat(
        name="evt_next", site="paca", realm=REALM, at_ms=NOW_MS + 60_000, since_ms=NOW_MS, number=0, newest={}
    )
