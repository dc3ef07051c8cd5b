"""How does a notification look as a CloudEvents 1.0 event in JSON, and how is it signed?

The body is a function of the ruling alone. The signature (Standard Webhooks 1.0) covers id, hour of the attempt
and the exact bytes; its hour is the machine's, since receivers compare it with theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from standardwebhooks import Webhook

from alerts.catalogue import CATALOGUE
from tocsin.clock import MS, rfc3339
from tocsin.model.episode import Episode, Notification, Ruling

CONTENT_TYPE = "application/cloudevents+json"


def envelope(ruling: Ruling, notification: Notification, site: str, data: Mapping[str, Any]) -> bytes:
    """CloudEvents 1.0 in structured mode. ``realm`` and ``sequence`` are extension attributes."""
    episode = ruling.episode
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": notification.id,
            "source": f"/tocsin/{site}",
            "type": notification.type,
            "subject": episode.id,
            "time": rfc3339(ruling.at_ms),
            "datacontenttype": "application/json",
            "sequence": str(episode.version),
            "realm": episode.realm.value,
            "data": data,
        }
    )


def thin(ruling: Ruling) -> dict[str, Any]:
    """What every recipient may know: ids, code, hours, distance with its accuracy and age. No coordinates."""
    episode = ruling.episode
    entry = CATALOGUE[episode.code]
    return {
        "alert": episode.id,
        "version": episode.version,
        "code": episode.code.value,
        "label": entry.label_fr,
        "priority": episode.priority,
        "state": episode.state.value,
        "owner": episode.owner,
        "outcome": None if episode.outcome is None else episode.outcome.value,
        "measures": list(episode.measures),
        "device": episode.device,
        "occurred_at": rfc3339(episode.raises[-1].at_ms),
        "recorded_at": rfc3339(ruling.at_ms),
        "urgency": entry.urgency,
        "severity": entry.severity,
        "certainty": entry.certainty,
        "verified": False,
        **_distance(episode, ruling.at_ms),
        "links": {"self": link(episode)},
    }


def link(episode: Episode) -> str:
    return f"/api/v1/alerts/{episode.id}"


def _distance(episode: Episode, at_ms: int) -> dict[str, Any]:
    """Of the newest raising. A key once pressed in silence stays silent: nobody may ring her back aloud."""
    raising = episode.raises[-1]
    if raising.distance_dm is None:
        return {"silent": any(one.silent for one in episode.raises)}
    accuracy_m = None if raising.accuracy_dm is None else raising.accuracy_dm / 10
    return {
        "distance_m": {
            "best": raising.distance_dm / 10,
            "accuracy": accuracy_m,
            "age_s": max(0, at_ms - raising.at_ms) / MS,
        },
        "threshold_m": raising.threshold_m,
    }


def signed_headers(
    secret: str, notification_id: str, body: bytes, wall_ms: int, content_type: str = CONTENT_TYPE
) -> dict[str, str]:
    """The three headers of Standard Webhooks for one attempt at ``wall_ms``."""
    moment = datetime.fromtimestamp(wall_ms // MS, UTC)  # the library takes any zone for UTC: give it UTC
    return {
        "content-type": content_type,
        "webhook-id": notification_id,
        "webhook-timestamp": str(wall_ms // MS),
        "webhook-signature": Webhook(secret).sign(notification_id, moment, body.decode()),
    }
