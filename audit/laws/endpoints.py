"""Is there anybody for whom this notification is meant? By the auditor's own reading of the settings.

Who says ``no_endpoint`` of a notification that somebody could have been sent has told nobody, and says that
nobody was meant (F02). Which endpoints there are is in the settings, which every part reads for itself; which of
them a notification is for, in docs/webhooks.md:

    the police: the room's own, or the default recipient, who stands in for every room
    the téléassistance: the first; of what is for the second, the second, and there is none without a first
    operations: the one
    a unit: none of these

Without settings about a channel nobody is known there, and what its receipts say is believed as it was. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tocsin.model.episode import Channel, Notification
from tocsin.model.room import DEFAULT_ROOM, SECOND

Endpoints = Mapping[Channel, frozenset[str]]
"""The rooms that have an endpoint; DEFAULT_ROOM: the first of its channel, or whoever hears of every room."""

NONE_KNOWN: Final[Endpoints] = {}


def is_there(one: Notification, endpoints: Endpoints) -> bool:
    rooms = endpoints.get(one.channel, frozenset())
    if one.channel is Channel.POLICE:
        return one.recipient in rooms or DEFAULT_ROOM in rooms
    if one.channel is Channel.TELEASSISTANCE and one.recipient == SECOND:
        return {DEFAULT_ROOM, SECOND} <= rooms
    return DEFAULT_ROOM in rooms
