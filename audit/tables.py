"""What has each table to say, when this was linked? The columns of a row, made again from the payload of its link.

The payload is read as plain JSON and the row's bytes as plain MessagePack, by no version's types: a field that a
later version adds with a default is in neither. Coordinates are null on both sides (``tocsin.sealing``); rows from
before they were taken out have them, and are compared without. Pure; hours are milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from tocsin.chain import Kind, Link
from tocsin.model.canary import is_canarys, was_taken_for_a_canarys
from tocsin.model.fix import FixPoint
from tocsin.sealing import access_chain, device_chain, episode_chain, measure_chain
from tocsin.wire import NOUN_VERSION

Json = dict[str, Any]
Key = tuple[Any, ...]

NAMES: Final[Mapping[Kind, str]] = {
    Kind.RULING: "ruling",
    Kind.ATTEMPT: "attempt",
    Kind.ACCESS: "access",
    Kind.COMMAND: "command",
    Kind.RESULT: "result",
    Kind.ORDER: "measure_version",
    Kind.HOLD: "hold",
}
"""The table that has the row of a link of this kind."""

_NUMBER_MAX: Final = 10**14
"""Far above every hour in ms, and every number that a log has ever given; below what the database can be asked."""
_POINT: Final = frozenset(FixPoint.__struct_fields__)
_SAID_AS_JSON: Final = frozenset({"event", "noun", "points"})


def read(payload: bytes) -> Json | None:
    """A payload of a link; None for what is no JSON object."""
    try:
        said = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return said if isinstance(said, dict) else None


def noun_in(payload: bytes) -> Json | None:
    """A noun as the bus and the tables have it (``tocsin.wire``), without coordinates; None when unreadable."""
    if payload[:1] != NOUN_VERSION:
        return None
    try:
        noun = msgspec.msgpack.decode(payload[1:])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(noun, dict):
        return None
    plain: Json = {key: blanked(one) for key, one in noun.items()}
    return plain


def blanked(value: object) -> object:
    """Null for each place."""
    if isinstance(value, dict):
        return None if value.keys() == _POINT else {key: blanked(one) for key, one in value.items()}
    return [blanked(one) for one in value] if isinstance(value, list) else value


# ------------------------------------------------------------------------------------------------ where a row is


def key_of(link: Link) -> Key | None:
    """By its source, which stays when the payload is erased; None for a source of another form."""
    return key_at(link.kind, link.chain, link.source)


def key_at(kind: Kind, chain: str, source: str) -> Key | None:
    try:
        key = _KEYS[kind](chain.partition("/")[2], source.partition(":")[2])
    except (KeyError, ValueError):
        return None
    return key if all(abs(one) < _NUMBER_MAX for one in key if isinstance(one, int)) else None


def _attempt_key(_: str, source: str) -> Key:
    notification, attempt, t7_ms, line = source.split(":", 3)
    return notification, int(attempt), int(t7_ms), line


def _command_key(device: str, source: str) -> Key:
    sequence, name = source.split(":", 1)
    return device, int(sequence), name


def _result_key(device: str, source: str) -> Key:
    sequence, rest = source.split(":", 1)
    command, stage = rest.rsplit(":", 1)
    return device, int(sequence), command, stage


_KEYS: Final[Mapping[Kind, Callable[[str, str], Key]]] = {
    Kind.RULING: lambda name, source: (name, int(source)),
    Kind.ATTEMPT: _attempt_key,
    Kind.ACCESS: lambda _, source: (source,),
    Kind.COMMAND: _command_key,
    Kind.RESULT: _result_key,
    Kind.ORDER: lambda name, source: (name, int(source)),
    Kind.HOLD: lambda _, source: _hold_key(*source.rsplit(":", 1)),
}


def _hold_key(name: str, step: str) -> Key:
    if step not in HOLD_STEPS:
        raise ValueError(step)
    return name, step


HOLD_STEPS: Final = ("placed", "lifted")
"""One row has two links; the second is about its last columns as well."""
KEY_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "ruling": ("episode", "stream_sequence"),
    "attempt": ("notification", "attempt", "t7", "line"),
    "access": ("id",),
    "command": ("device", "stream_sequence", "id"),
    "result": ("device", "stream_sequence", "command", "stage"),
    "measure_version": ("measure", "version"),
    "hold": ("id", "step"),
}


def place_of(kind: Kind, said: Json) -> tuple[str, str] | None:
    """(chain, source) of what a payload says that it is; None where its kind, or its form, does not say."""
    try:
        return _PLACES[kind](said)
    except (KeyError, TypeError, ValueError):
        return None


def _attempt_source(said: Json) -> str:
    return f"attempt:{said['notification']}:{said['attempt']}:{said['t7_ms']}:{said.get('line', '')}"


def _command_source(said: Json) -> str:
    return f"command:{said['sequence']}:{said['command']['id']}"


def _result_source(said: Json) -> str:
    return f"result:{said['sequence']}:{said['status']['command']}:{said['status']['stage']}"


_PLACES: Final[Mapping[Kind, Callable[[Json], tuple[str, str]]]] = {
    Kind.RULING: lambda said: (episode_chain(said["ruling"]["episode"]["id"]), f"ruling:{said['sequence']}"),
    Kind.ATTEMPT: lambda said: (episode_chain(said["episode"]), _attempt_source(said)),
    Kind.ACCESS: lambda said: (access_chain(said["at_ms"]), f"access:{said['id']}"),
    Kind.COMMAND: lambda said: (device_chain(said["command"]["device"]), _command_source(said)),
    Kind.RESULT: lambda said: (device_chain(said["status"]["device"]), _result_source(said)),
    Kind.ORDER: lambda said: (measure_chain(said["id"]), f"order:{said['version']}"),
    Kind.HOLD: lambda said: (_HELD[said["what"]](said["subject"]), f"hold:{said['id']}:{_step(said)}"),
}
_HELD: Final[Mapping[str, Callable[[str], str]]] = {
    "alert": episode_chain, "measure": measure_chain, "device": device_chain
}  # fmt: skip


def _step(said: Json) -> str:
    return HOLD_STEPS[said.get("lifted_ms") is not None]


# ------------------------------------------------------------------------------------------- what a row has to say


def row_of(kind: Kind, said: Json) -> Json | None:
    """The columns of the row of a payload; None for a payload of another form. Nouns as plain JSON."""
    try:
        return _ROWS[kind](said)
    except (KeyError, TypeError, AttributeError):
        return None


def differing(row: Json, expected: Json) -> list[str]:
    """The columns in which a row says something else."""
    return [name for name, value in expected.items() if _value(name, row.get(name)) != value]


def _value(name: str, value: object) -> object:
    if name == "payload":
        return noun_in(value) if isinstance(value, bytes) else None
    if name in _SAID_AS_JSON:
        return blanked(msgspec.json.decode(value)) if isinstance(value, str) else None
    return value


def _ruling_row(said: Json) -> Json:
    ruling, episode = said["ruling"], said["ruling"]["episode"]
    return {
        "episode": episode["id"],
        "stream_sequence": said["sequence"],
        "code": episode["code"],
        "subject": episode["subject"],
        "version": episode["version"],
        "reason": ruling["reason"],
        "event": ruling["event"],
        "at": ruling["at_ms"],
        "payload": ruling,
    }


def _attempt_row(said: Json) -> Json:
    same = ("notification", "attempt", "episode", "version", "channel", "result", "status")
    rest = {"t7": said["t7_ms"], "t8": said["t8_ms"], "line": said.get("line", "")}
    return {name: said.get(name) for name in same} | rest


def _access_row(said: Json) -> Json:
    same = ("id", "who", "service", "role", "what", "objects", "purpose", "places")
    return {name: said[name] for name in same} | {"at": said["at_ms"]}


def _command_row(said: Json) -> Json:
    command = said["command"]
    hours = {"at": command["at_ms"], "expires_at": command["expires_ms"]}
    named = {"device": command["device"], "id": command["id"], "action": command["action"]}
    place = {"stream_sequence": said["sequence"], "said_by": command.get("by", "")}
    return {**place, **named, **hours, "payload": command}


def _result_row(said: Json) -> Json:
    status = said["status"]
    same = {name: status[name] for name in ("device", "command", "stage", "reason")}
    return {"stream_sequence": said["sequence"], **same, "at": status["at_ms"], "payload": status}


def _order_row(said: Json) -> Json:
    same = {name: said[name] for name in ("version", "wearer", "protected", "alert_distance_m")}
    hours = {"valid_from": said["valid_from_ms"], "valid_until": said["valid_until_ms"]}
    shapes = {"zones": said.get("zones", []), "authorised": said.get("authorised")}
    return {"measure": said["id"], **same, **hours, **shapes}


def _hold_row(said: Json) -> Json:
    same = ("id", "kind", "what", "subject", "reason", "authority", "placed_by")
    row = {name: said[name] for name in same} | {"placed_at": said["placed_ms"], "step": _step(said)}
    if said.get("lifted_ms") is not None:
        row |= {"lifted_by": said["lifted_by"], "lifted_at": said["lifted_ms"]}
        row |= {"lifted_because": said["lifted_because"]}
    return row


_ROWS: Final[Mapping[Kind, Callable[[Json], Json]]] = {
    Kind.RULING: _ruling_row,
    Kind.ATTEMPT: _attempt_row,
    Kind.ACCESS: _access_row,
    Kind.COMMAND: _command_row,
    Kind.RESULT: _result_row,
    Kind.ORDER: _order_row,
    Kind.HOLD: _hold_row,
}


# --------------------------------------------------------------------------------- what follows from the rulings


def notifications_of(kind: Kind, said: Json) -> Iterator[Json]:
    """The rows of the notifications that a ruling's payload made."""
    if kind is Kind.RULING:
        yield from notifications(said["ruling"], said["sequence"])


def notifications(ruling: Json, sequence: int) -> Iterator[Json]:
    episode = ruling["episode"]
    for one in ruling.get("notifications", ()):
        yield {
            "id": one["id"],
            "episode": episode["id"],
            "version": episode["version"],
            "channel": one["channel"],
            "type": one["type"],
            "created_at": ruling["at_ms"],
            "stream_sequence": sequence,
        }


_SAME: Final = (
    "id", "code", "subject", "realm", "priority", "state", "version", "owner", "outcome", "measures", "device",
)  # fmt: skip
_HOURS: Final = ("opened", "recorded", "acknowledged", "over", "closed")


def differing_episode(row: Json, ruling: Json, sequence: int) -> list[str]:
    """The columns in which an episode stands otherwise than after this ruling, its newest."""
    episode = ruling["episode"]
    expected = {name: episode.get(name) for name in _SAME}
    expected |= {f"{name}_at": episode.get(f"{name}_ms") for name in _HOURS}
    expected |= {"points": episode["raises"][0]["points"], "noun": episode, "last_sequence": sequence}
    return [name for name, value in expected.items() if _value(name, row[name]) != value]


def was_taken_for_a_canarys_alert(episode: object) -> bool:
    """Said of the system, and taken for an invented pair's by the rule of before migration 0018."""
    try:
        return isinstance(episode, dict) and was_taken_for_a_canarys(
            episode["code"], episode["subject"], episode["measures"], episode["device"]
        )
    except (KeyError, TypeError, AttributeError):
        return False


def is_canarys_alert(episode: Json | None) -> bool:
    """Of an invented pair: kept for a day, and never linked. What has another form than an alert is nobody's."""
    try:
        return episode is not None and is_canarys(episode["code"], episode["measures"], episode["device"])
    except (KeyError, TypeError, AttributeError):
        return False
