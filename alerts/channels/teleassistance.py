"""What is the téléassistance told? The alert without any coordinate: its operators open the sheet for those."""

from __future__ import annotations

from alerts.channels.cloudevent import envelope, thin
from tocsin.model.episode import Notification, Ruling


def body(ruling: Ruling, notification: Notification, site: str) -> bytes:
    return envelope(ruling, notification, site, thin(ruling))
