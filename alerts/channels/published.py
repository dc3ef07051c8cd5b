"""What is published of a webhook's body, for those who receive it? ``python -m alerts.channels.published``

Without a word the JSON Schema, which is ``docs/schemas/alert-event-1.json``; with ``fields`` the table of
``docs/webhooks.md``. Both are made of the nouns that are sent, and a test holds the files to them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

from alerts.channels.cloudevent import alert_schema

TYPES: Final = {
    "org.tocsin.alert.opened": "an alert begins, or one that was folded into an incident outlasts it",
    "org.tocsin.alert.raised": "the same alert again: re-entry, another press, more urgent by the hour",
    "org.tocsin.alert.judged": "what rang at once has been lowered by its finding; `priority` says to what",
    "org.tocsin.alert.escalated": "nobody has taken it in time; `audience` is who is to look now",
    "org.tocsin.alert.acknowledged": "a human took it, `owner`, until `acknowledgement_expires_at`",
    "org.tocsin.alert.expired_ack": "nothing was done about it in that time: it is anybody's again",
    "org.tocsin.alert.released": "who had it gave it back",
    "org.tocsin.alert.handed_off": "a human has handed it to the police",
    "org.tocsin.alert.closed": "a human ended it, with `outcome`",
}
"""Type, and when it is sent. More may come; who does not know one takes it and looks at ``data``."""


def schema_text() -> str:
    return json.dumps(alert_schema(), indent=1, ensure_ascii=False) + "\n"


def fields_table() -> str:
    """Of ``data``: name, kind, meaning."""
    kinds = alert_schema()["$defs"]
    return "\n".join(["| Field | Kind | Meaning |", "|---|---|---|", *_rows(kinds["AlertData"], kinds)]) + "\n"


def _rows(noun: dict[str, Any], kinds: dict[str, Any], inside: str = "") -> Iterator[str]:
    for name, form in noun["properties"].items():
        optional = "" if name in noun["required"] else ", where it applies"
        yield f"| `{inside}{name}` | {_kind(form, kinds)}{optional} | {form.get('description', '')} |"
        if (noun_inside := _noun_in(form, kinds)) is not None:
            yield from _rows(noun_inside, kinds, f"{inside}{name}.")


def _kind(form: dict[str, Any], kinds: dict[str, Any]) -> str:
    if "anyOf" in form:
        return " or ".join(_kind(one, kinds) for one in form["anyOf"])
    if "$ref" in form:
        noun = _referred(form, kinds)
        return "an object" if "properties" in noun else ", ".join(f"`{word}`" for word in noun["enum"])
    if form["type"] == "array":
        return "a list"
    return str(form.get("title", form["type"]))


def _noun_in(form: dict[str, Any], kinds: dict[str, Any]) -> dict[str, Any] | None:
    for one in form.get("anyOf", [form, form.get("items", {})]):
        if "$ref" in one and "properties" in (noun := _referred(one, kinds)):
            return noun
    return None


def _referred(form: dict[str, Any], kinds: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = kinds[form["$ref"].removeprefix("#/$defs/")]
    return found


if __name__ == "__main__":
    sys.stdout.write(fields_table() if "fields" in sys.argv[1:] else schema_text())
