"""What is the téléassistance told? The alert without any coordinate: its operators open the sheet for those."""

from __future__ import annotations

from typing import Final

import msgspec

from alerts.channels.cloudevent import CONTENT_TYPE, alert_event
from alerts.channels.form import Form, Sender
from tocsin.model.episode import Notification, Ruling


def body(ruling: Ruling, notification: Notification, sender: Sender) -> bytes:
    return msgspec.json.encode(alert_event(ruling, notification, sender))


FORM: Final = Form(name="teleassistance", content_type=CONTENT_TYPE, body=body)
