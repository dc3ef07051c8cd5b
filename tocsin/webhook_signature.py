"""How is a webhook of ours signed? Standard Webhooks 1.0 (https://www.standardwebhooks.com).

The signature covers id, hour of the attempt and the exact bytes; its hour is the machine's, since receivers
compare it with theirs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

from tocsin.clock import MS

CLOUDEVENT: Final = "application/cloudevents+json"


def signed_headers(
    secret: str, message_id: str, body: bytes, wall_ms: int, content_type: str = CLOUDEVENT
) -> dict[str, str]:
    """The three headers of one attempt at ``wall_ms``, the machine's hour, and the type of what it carries."""
    moment = datetime.fromtimestamp(wall_ms // MS, UTC)  # the library takes any zone for UTC: give it UTC
    return {
        "content-type": content_type,
        "webhook-id": message_id,
        "webhook-timestamp": str(wall_ms // MS),
        "webhook-signature": Webhook(secret).sign(message_id, moment, body.decode()),
    }
