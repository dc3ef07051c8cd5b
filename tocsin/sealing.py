"""What of a noun goes into which chain, and what is kept for how long?

Coordinates go apart from the rest (``Kind.PLACES``): where somebody was is erased after days, or years, when what
was decided is still needed. So every payload of an episode but PLACES, CASE and TRACK can be shown to whoever may
see the alert; an ORDER has the shapes of the zones that were ordered.

What is of a canary (``tocsin.model.canary``) is no evidence and is never linked; what the system says of one is
linked like any other alert.

| chain | has |
|---|---|
| ``episode/{alert}`` | rulings, their places, attempts; cases and tracks |
| ``device/{device}`` | commands, and what came of them |
| ``measure/{measure}`` | the versions of the order |
| ``accesses/{day}`` | who has read what, by the UTC day |
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tocsin.chain import Item, KeptAs, Kind
from tocsin.clock import utc
from tocsin.model.access import Access
from tocsin.model.command import Command, CommandStatus
from tocsin.model.episode import Episode, Receipt, Ruling
from tocsin.model.finding import Code
from tocsin.model.fix import FixPoint
from tocsin.model.order import Order

TGD_CODES: Final = frozenset(code for code in Code if code.value.startswith("TGD_"))

_encode = msgspec.json.Encoder().encode
_POINT: Final = set(FixPoint.__struct_fields__)


class RulingPayload(msgspec.Struct, frozen=True, kw_only=True):
    """``sequence``: its place on EPISODES. ``ruling``: the noun, null where coordinates were."""

    sequence: int
    ruling: msgspec.Raw


class PlacesPayload(msgspec.Struct, frozen=True, kw_only=True):
    """By the path in the ruling of the same ``sequence``: ``event/finding/wearer``."""

    sequence: int
    places: dict[str, FixPoint]


class CommandPayload(msgspec.Struct, frozen=True, kw_only=True):
    """``sequence``: its place on COMMANDS."""

    sequence: int
    command: Command


class ResultPayload(msgspec.Struct, frozen=True, kw_only=True):
    """``sequence``: its place on RESULTS."""

    sequence: int
    status: CommandStatus


def episode_chain(episode: str) -> str:
    return f"episode/{episode}"


def device_chain(device: str) -> str:
    return f"device/{device}"


def measure_chain(measure: str) -> str:
    return f"measure/{measure}"


def access_chain(at_ms: int) -> str:
    return f"accesses/{utc(at_ms):%Y-%m-%d}"


def of_ruling(sequence: int, ruling: Ruling) -> list[Item]:
    """One item, and a second one with its coordinates if it has any."""
    return of_parted(sequence, ruling.episode, *without_places(ruling))


def of_parted(sequence: int, episode: Episode, blanked: dict[str, Any], places: dict[str, FixPoint]) -> list[Item]:
    """The same of a ruling that was parted already (``without_places``)."""
    chain, tgd = episode_chain(episode.id), is_tgd(episode.code)
    items = [
        Item(
            chain=chain,
            kind=Kind.RULING,
            kept_as=KeptAs.TGD_FILE if tgd else KeptAs.MEASURE_FILE,
            source=f"ruling:{sequence}",
            payload=_encode({"sequence": sequence, "ruling": blanked}),
        )
    ]
    if places:
        items.append(
            Item(
                chain=chain,
                kind=Kind.PLACES,
                kept_as=KeptAs.TGD_POSITION if tgd else KeptAs.MEASURE_FILE,
                source=f"places:{sequence}",
                payload=_encode(PlacesPayload(sequence=sequence, places=places)),
            )
        )
    return items


def of_receipt(receipt: Receipt, *, is_tgd: bool) -> Item:
    """An attempt is named as the record names it: notification, number, hour, line."""
    return Item(
        chain=episode_chain(receipt.episode),
        kind=Kind.ATTEMPT,
        kept_as=KeptAs.TGD_FILE if is_tgd else KeptAs.MEASURE_FILE,
        source=f"attempt:{receipt.notification}:{receipt.attempt}:{receipt.t7_ms}:{receipt.line}",
        payload=_encode(receipt),
    )


def of_access(access: Access) -> Item:
    return Item(
        chain=access_chain(access.at_ms),
        kind=Kind.ACCESS,
        kept_as=KeptAs.ACCESS,
        source=f"access:{access.id}",
        payload=_encode(access),
    )


def of_command(sequence: int, command: Command, *, is_tgd: bool = False) -> Item:
    """In the file of the measure that its unit belongs to, or of the phone: no command says where anybody is.

    The place on the log does not name it alone: a log that was made anew begins at 1 again."""
    return Item(
        chain=device_chain(command.device),
        kind=Kind.COMMAND,
        kept_as=KeptAs.TGD_FILE if is_tgd else KeptAs.MEASURE_FILE,
        source=f"command:{sequence}:{command.id}",
        payload=_encode(CommandPayload(sequence=sequence, command=command)),
    )


def of_result(sequence: int, status: CommandStatus, *, is_tgd: bool = False) -> Item:
    """Of an order to a unit, in the chain of the unit; it never says where the unit was."""
    return Item(
        chain=device_chain(status.device),
        kind=Kind.RESULT,
        kept_as=KeptAs.TGD_FILE if is_tgd else KeptAs.MEASURE_FILE,
        source=f"result:{sequence}:{status.command}:{status.stage.value}",
        payload=_encode(ResultPayload(sequence=sequence, status=status)),
    )


def command_named(source: str) -> tuple[int, str]:
    """Sequence and id out of the source of a command. Raises ValueError."""
    _, sequence, name = source.split(":", 2)
    return int(sequence), name


def result_named(source: str) -> tuple[int, str, str]:
    """Sequence, command and stage out of that of a result. Raises ValueError."""
    _, sequence, rest = source.split(":", 2)
    name, stage = rest.rsplit(":", 1)
    return int(sequence), name, stage


def of_order(order: Order) -> Item:
    """One version of a measure, whole; its end is a version too."""
    return Item(
        chain=measure_chain(order.id),
        kind=Kind.ORDER,
        kept_as=KeptAs.MEASURE_FILE,
        source=f"order:{order.version}",
        payload=_encode(order),
    )


def is_tgd(code: str) -> bool:
    """Of an alert with this code: its file and its places have classes of their own."""
    return code in TGD_CODES


def without_places(ruling: Ruling) -> tuple[dict[str, Any], dict[str, FixPoint]]:
    """The ruling as JSON has it, null for each point, and the points by their path."""
    return blanked(msgspec.to_builtins(ruling))


def blanked(noun: dict[str, Any]) -> tuple[dict[str, Any], dict[str, FixPoint]]:
    """The same of any noun."""
    places: dict[str, FixPoint] = {}

    def blank(value: object, path: str) -> object:
        """Of a dict or a list: most of a ruling is neither, and need not be looked into."""
        if isinstance(value, dict):
            if "lat_e6" in value and value.keys() == _POINT:
                places[path] = msgspec.convert(value, FixPoint)
                return None
            return {
                key: blank(one, f"{path}/{key}" if path else key) if isinstance(one, _NESTS) else one
                for key, one in value.items()
            }
        assert isinstance(value, _NESTS)
        return [
            blank(one, f"{path}/{number}") if isinstance(one, _NESTS) else one for number, one in enumerate(value)
        ]

    found = blank(noun, "")
    assert isinstance(found, dict)
    return found, places


_NESTS: Final = (dict, list, tuple)


def with_places(blanked: dict[str, Any], places: dict[str, FixPoint]) -> dict[str, Any]:
    """The inverse of ``without_places``, in place; of those paths that are given."""
    for path, point in places.items():
        *way, last = path.split("/")
        at: Any = blanked
        for step in way:
            at = at[int(step)] if isinstance(at, list) else at[step]
        at[last if isinstance(at, dict) else int(last)] = msgspec.to_builtins(point)
    return blanked
