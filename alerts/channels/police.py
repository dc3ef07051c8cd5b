"""What are the police told? The alert and where both parties were, each place with its age and accuracy.

The webhook of this version; CAP 1.2 takes its place with the territories. Positions are those of the cause of
the latest raising, if this ruling is about one: nothing is looked up.
"""

from __future__ import annotations

from typing import Any

from alerts.channels.cloudevent import envelope, thin
from alerts.episodes import cause_in
from tocsin.clock import MS
from tocsin.model.episode import Notification, Ruling
from tocsin.model.finding import Alarm, Finding
from tocsin.model.fix import FixPoint


def body(ruling: Ruling, notification: Notification, site: str) -> bytes:
    return envelope(ruling, notification, site, {**thin(ruling), **_places(ruling)})


def _places(ruling: Ruling) -> dict[str, Any]:
    match cause_in(ruling.event):
        case Finding(wearer=wearer, protected=protected):
            return {"protected": _place(protected, ruling.at_ms), "wearer": _place(wearer, ruling.at_ms)}
        case Alarm(position=FixPoint() as position):
            return {"protected": _place(position, ruling.at_ms)}
        case _:
            return {}


def _place(point: FixPoint, at_ms: int) -> dict[str, Any]:
    """RFC 5870 ``geo:``; ``u`` is the reported 68 % radius in metres, absent when the device gave none."""
    uncertainty = "" if point.accuracy_dm is None else f";u={point.accuracy_dm / 10:g}"
    return {
        "geo": f"geo:{point.lat:.6f},{point.lon:.6f}{uncertainty}",
        "age_s": max(0, at_ms - point.fix_ms) / MS,
    }
