"""What may an engineer keep of a payload that was refused? Known keys and punctuation (privacy, F33)."""

from __future__ import annotations

import pytest

from ingest.admission import Message
from ingest.commands.quarantine import _row, _shown
from ingest.dialects.reports import Reason, Refusal
from ingest.quarantine import Note, note_of, shape_of
from tocsin.limits import PAYLOAD_MAX_BYTES, REFUSED_HEAD_BYTES

JSON: dict[str, tuple[bytes, str]] = {
    "a location": (b'{"lat":48.85,"lon":-1e9,"desc":"at home"}', '{"lat":#,"lon":#,"\u2026":"\u2026"}'),
    "a key that is text": (b'{"she is at her mother":1,"acc":null}', '{"\u2026":#,"acc":null}'),
    "a key twice": (b'{"lat":1,"lat":true}', '{"lat":#,"lat":true}'),
    "a key within": (b'{"pts":[{"lat":1},{"home":[]}]}', '{"pts":[{"lat":#},{"\u2026":[]}]}'),
    "a type": (b'{"_type":"location"}', '{"_type":"\u2026"}'),
    "a known key as a value": (b'["lat","topic"]', '["\u2026","\u2026"]'),
    "a known key in other letters": (rb'{"l\u0061t":"\ud800"}', '{"lat":"\u2026"}'),
    "an array of strings": (b'["x", "y"]', '["\u2026","\u2026"]'),
    "spaces": (b' { "a" \n: "x" } ', '{"\u2026":"\u2026"}'),
    "a quote in a key": (rb'{"a\"b":"x"}', '{"\u2026":"\u2026"}'),
    "no numbers": (b"[NaN, -Infinity]", "[#,#]"),
    "a number without end": (b"[" + b"1" * 10_000 + b"]", "[#]"),
}
TEXT: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", ""),
    "words": (b"48.85 at her mother", "##.## \u2026 \u2026 \u2026"),
    "single quotes": (b"{'lat':48,'at':'home'}", "{'\u2026':##,'\u2026':'\u2026'}"),
    "not closed": (b'{"lat":48.85,"desc":"at h', '{"\u2026":##.##,"\u2026":"\u2026 \u2026'),
    "figures of other scripts": ('{"lat":\u0664\u00b2\u216b}'.encode(), '{"\u2026":###}'),
    "letters of other scripts": ("\u00e9cole \u5bb6\u30d2\u0939\u093f".encode(), "\u2026 \u2026"),
    "orders to a terminal": (b"a\x1b]0;b\x07\r\x9b\n", "\u2026\u00b7]#;\u2026\u00b7\u00b7\u00b7\u00b7"),
    "not utf-8": (b"\xff\xfe,", "\u00b7\u00b7,"),
    "binary": (bytes(range(0x30, 0x3A)), "#" * 10),
    "without a bottom": (b"[" * 60_000, "[" * REFUSED_HEAD_BYTES),
}


@pytest.mark.parametrize(("payload", "shape"), [*JSON.values(), *TEXT.values()], ids=[*JSON, *TEXT])
def test_the_shape(payload: bytes, shape: str) -> None:
    assert shape_of(payload) == shape


def test_a_long_document_keeps_its_keys_and_is_cut_afterwards() -> None:
    shape = shape_of(b'{"pts":[' + b'{"lat":48.85},' * 1000 + b'{"lat":2}]}')
    assert shape.startswith('{"pts":[{"lat":#},{"lat":#}')
    assert len(shape) == REFUSED_HEAD_BYTES


@pytest.mark.timeout(5, func_only=True)
@pytest.mark.parametrize("one", [b'"', b"\\", b'\\"', b'"a" ', b'"\\"', b" ", b"[", b'{"a":', b"a1"])
def test_no_payload_takes_long(one: bytes) -> None:
    for _ in range(10):
        shape_of(one * (PAYLOAD_MAX_BYTES // len(one)))


def test_what_is_shown_gives_a_terminal_no_orders() -> None:
    """A note is shown as it was kept, be it by an older version."""
    note = Note(
        reason="schema", path="$\x1b[2J", detail="\x9b", topic="x\x1b/y", bytes=1, head="\x1b]0;\u202e\n", t3_ms=0
    )
    assert all(field.isprintable() for field in _row(note))
    assert all(str(field).isprintable() for field in _shown(note).values())


def test_a_topic_is_kept_without_figures_and_orders() -> None:
    message = Message(topic="tocsin/1/u-11/\x1b[2J\u0664\u00b2", payload=b"", t3_ms=0)
    assert note_of(message, Refusal(reason=Reason.UNKNOWN_TOPIC)).topic == "tocsin/1/u-11/\u00b7[#J##"
