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

from alerts.catalogue import CATALOGUE, certainty_of
from tocsin.clock import MS, rfc3339
from tocsin.model.episode import Episode, Notification, Raise, Ruling
from tocsin.model.fleet import Silenced

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
        "certainty": certainty_of(episode.code, low_confidence=episode.is_doubtful),
        "verified": episode.is_verified,
        **_found(episode, ruling.at_ms),
        "links": {"self": link(episode)},
    }


def link(episode: Episode) -> str:
    return f"/api/v1/alerts/{episode.id}"


def _found(episode: Episode, at_ms: int) -> dict[str, Any]:
    """Of the newest raising; what is not known is null. A key once pressed in silence stays silent: nobody may
    ring her back aloud."""
    raising = episode.raises[-1]
    if raising.is_key:
        return {"silent": episode.is_silent}
    if raising.silenced is not None:
        return {"silent_since": _time(raising.silent_since_ms), "fleet": _fleet(raising.silenced)}
    return {
        "distance_m": _distance(raising, at_ms),
        "threshold_m": raising.threshold_m,
        "low_confidence": episode.is_doubtful,
        "alert_expected_at": _time(raising.alert_ms),
        "silent_since": _time(raising.silent_since_ms),
        "blind_risk_at": {"worst": _time(raising.blind_worst_ms), "plausible": _time(raising.blind_plausible_ms)},
        "approach": _approach(raising),
        "call_wearer_not_before": _time(raising.call_not_before_ms),
        "evidential_at": _time(episode.evidential_ms),
        "zone": raising.zone,
        "crossed": None
        if raising.crossed_from_ms is None
        else {"from": _time(raising.crossed_from_ms), "until": _time(raising.crossed_until_ms)},
        "event": raising.event or None,
    }


def _fleet(silenced: Silenced) -> dict[str, Any]:
    """The group, how many, and the pairs to look at first: who may be at blind risk soonest."""
    return {
        "dimension": silenced.group.dimension.value,
        "value": silenced.group.value,
        "silent": silenced.silent,
        "expected": silenced.expected,
        "pairs": silenced.pairs,
        "first": [
            {"measure": one.measure, "silent": one.silent.value, "blind_risk_at": _time(one.worst_ms)}
            for one in silenced.worst
        ],
    }


def _distance(raising: Raise, at_ms: int) -> dict[str, Any] | None:
    """``age_s`` of the raising, ``fixes_age_s`` of the older fix that it rests on."""
    if raising.distance_dm is None:
        return None
    return {
        "best": raising.distance_dm / 10,
        "accuracy": _metres(raising.accuracy_dm),
        "lower": _metres(raising.lower_dm),
        "upper": _metres(raising.upper_dm),
        "age_s": max(0, at_ms - raising.at_ms) / MS,
        "fixes_age_s": None if raising.fixes_ms is None else max(0, at_ms - raising.fixes_ms) / MS,
    }


def _approach(raising: Raise) -> dict[str, Any] | None:
    """Who came nearer, by what he or she did; no direction in it, and no place."""
    if raising.wearer_approach_dm is None or raising.protected_approach_dm is None:
        return None
    return {
        "wearer_share_pct": raising.wearer_share_pct,
        "wearer_m": raising.wearer_approach_dm / 10,
        "protected_m": raising.protected_approach_dm / 10,
    }


def _metres(dm: int | None) -> float | None:
    return None if dm is None else dm / 10


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


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
