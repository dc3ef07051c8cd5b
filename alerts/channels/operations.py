"""What do those read who keep the system running? One alert in the webhook format of Alertmanager, version 4.

Who pages people reads this format already. Rules of the format: https://prometheus.io/docs/alerting
(webhook_config, template data): ``status`` is firing or resolved, a running alert ends in the year 1, hours are
RFC 3339, ``groupKey`` and ``fingerprint`` name what a receiver folds repetitions by.

Labels are copied into tickets, dashboards and metrics: a code, a severity, the site and the realm stand there,
never a device, a measure or a person. ``groupKey`` and ``fingerprint`` are the alert's own, since two alerts of
one code have the same labels. What a human has not closed is firing, also when it is over in the world:
somebody still has to.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Final

import msgspec

from alerts.catalogue import CATALOGUE
from alerts.channels.cloudevent import link
from alerts.channels.form import Form, Sender, mark_fr, realm_told
from tocsin.clock import rfc3339
from tocsin.model.canary import OF_THE_SYSTEM
from tocsin.model.episode import Episode, Notification, Ruling

CONTENT_TYPE: Final = "application/json"
RECEIVER: Final = "tocsin-operations"
RUNS: Final = "0001-01-01T00:00:00Z"
"""Go's zero time: it has not ended."""

SEVERITY: Final = {1: "critical", 2: "critical", 3: "warning", 4: "info", 5: "info"}
"""By priority, in the words that receivers route by."""


class PagedAlert(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str
    ends_at: str
    generator_url: str = msgspec.field(name="generatorURL")
    fingerprint: str


class Page(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One group of one alert."""

    version: str = "4"
    group_key: str
    truncated_alerts: int = 0
    status: str
    receiver: str = RECEIVER
    group_labels: dict[str, str]
    common_labels: dict[str, str]
    common_annotations: dict[str, str]
    external_url: str = msgspec.field(name="externalURL")
    alerts: tuple[PagedAlert, ...]


def page(ruling: Ruling, notification: Notification, sender: Sender) -> Page:
    """As a noun; ``body`` is its JSON."""
    episode = ruling.episode
    status = "firing" if episode.is_open else "resolved"
    labels, annotations = _labels(episode, sender), dict(_annotations(ruling, notification))
    alert = PagedAlert(
        status=status,
        labels=labels,
        annotations=annotations,
        starts_at=rfc3339(episode.opened_ms),
        ends_at=RUNS if episode.is_open else rfc3339(episode.closed_ms or ruling.at_ms),
        generator_url=link(episode),
        fingerprint=sha256(episode.id.encode()).hexdigest()[:16],
    )
    return Page(
        group_key=f"{{}}/{{site={sender.site!r}}}:{{alert={episode.id!r}}}".replace("'", '"'),
        status=status,
        group_labels={"alertname": labels["alertname"]},
        common_labels=labels,
        common_annotations=annotations,
        external_url=f"/tocsin/{sender.site}",
        alerts=(alert,),
    )


def _labels(episode: Episode, sender: Sender) -> dict[str, str]:
    return {
        "alertname": episode.code.value,
        "severity": SEVERITY[episode.priority],
        "site": sender.site,
        "realm": realm_told(episode).value,
    }


def _annotations(ruling: Ruling, notification: Notification) -> Iterator[tuple[str, str]]:
    episode = ruling.episode
    entry = CATALOGUE[episode.code]
    yield "summary", f"{mark_fr(episode)}{entry.label_fr}"
    yield "description", entry.duty_fr
    yield "alert", link(episode)
    yield "priority", str(episode.priority)
    yield "state", episode.state.value
    yield "version", str(episode.version)
    yield "notification", notification.id
    yield "type", notification.type
    if notification.audience is not None:
        yield "audience", notification.audience.value
    if episode.outcome is not None:
        yield "outcome", episode.outcome.value
    if episode.code.value.startswith(OF_THE_SYSTEM):  # of these the subject is a part or a channel, of no other
        yield "subject", episode.subject
        yield "reason", episode.raises[-1].event


def body(ruling: Ruling, notification: Notification, sender: Sender) -> bytes:
    return msgspec.json.encode(page(ruling, notification, sender))


FORM: Final = Form(name="operations", content_type=CONTENT_TYPE, body=body)
