"""How does a payload become a typed message, or a refusal that names the place and no value?

For every dialect. The path is the one that msgspec gives, ``$`` for the whole; its sentences name types and
bounds. Whatever the bytes, ``read`` returns: a reader that raised would end its lane, and the redelivery would end
the next one (F02).
"""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

import msgspec

from ingest.dialects.reports import Reason, Refusal

PATH_IN_MESSAGE = re.compile(r" - at `(\$[^`]*)`$")
EpochSeconds = Annotated[int, msgspec.Meta(ge=0, le=2**41)]

T = TypeVar("T")


def read(decoder: msgspec.json.Decoder[T], payload: bytes) -> T | Refusal:
    """Beside its own errors msgspec lets pass those of a string that is not UTF-8 and of endless nesting."""
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        return _refusal(error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Refusal(reason=Reason.MALFORMED, detail="not JSON in UTF-8")


def on_earth(lat: float, lon: float) -> bool:
    return -90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0


def off_the_earth(path: str) -> Refusal:
    return Refusal(reason=Reason.COORDINATES, path=path, detail="lat is -90 to 90, lon is -180 to 180")


def _refusal(error: msgspec.ValidationError) -> Refusal:
    """A schema error keeps its path; the text of msgspec names types and bounds, never values."""
    text = str(error)
    found = PATH_IN_MESSAGE.search(text)
    if found is None:
        return Refusal(reason=Reason.SCHEMA, detail=_without_values(text))
    return Refusal(reason=Reason.SCHEMA, path=found[1], detail=_without_values(text[: found.start()]))


def _without_values(text: str) -> str:
    """``Invalid value 'xyz'`` quotes the payload (an unknown tag): say only that it is invalid."""
    return "Invalid value" if text.startswith("Invalid") else text
