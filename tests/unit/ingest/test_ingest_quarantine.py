"""What may an engineer keep of a payload that was refused? Its shape: keys and punctuation (privacy, F33)."""

from __future__ import annotations

import pytest

from ingest.quarantine import shape_of
from tocsin.limits import REFUSED_HEAD_BYTES

SHAPES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", ""),
    "a location": (b'{"lat":48.85,"desc":"at home"}', '{"lat":##.##,"desc":"\u2026"}'),
    "several values": (b'{"a":"x","b":"y","c":"z"}', '{"a":"\u2026","b":"\u2026","c":"\u2026"}'),
    "an array of strings": (b'["x", "y"]', '["\u2026", "\u2026"]'),
    "an empty value": (b'{"a":""}', '{"a":"\u2026"}'),
    "space before the colon": (b'{"a" \n: "x"}', '{"a" \n: "\u2026"}'),
    "a value that looks like a key": (b'{"a":"b:","c":":"}', '{"a":"\u2026","c":"\u2026"}'),
    "a quote within": (rb'{"a":"the \"school\": here","b":1}', '{"a":"\u2026","b":#}'),
    "a backslash at the end of a value": (rb'{"a":"x\\","b":"secret"}', '{"a":"\u2026","b":"\u2026"}'),
    "a quote in a key": (rb'{"a\"b":"x"}', r'{"a\"b":"\u2026"}'.replace(r"\u2026", "\u2026")),
    "a value not closed": (b'{"a":"at her mother', '{"a":"\u2026"'),
    "a value cut in an escape": (b'{"a":"at her mother\\', '{"a":"\u2026"'),
    "a value not closed after a quote": (rb'{"a":"at \"her\" mother', '{"a":"\u2026"'),
    "a value over lines": (b'{"a":"at\nher\\\nmother"}\n', '{"a":"\u2026"}\n'),
    "a value not closed, and a line's end": (b'{"a":"at her mother\n', '{"a":"\u2026"'),
    "a key not closed": (b'{"a":1,"at her', '{"a":#,"\u2026"'),
    "a key before its colon": (b'{"lat"', '{"\u2026"'),
    "figures in a key": (b'{"48.85":true}', '{"##.##":true}'),
    "figures of another script": ('{"a":\u0664\u0668}'.encode(), '{"a":##}'),
    "not utf-8": (b'{"a":"\xff\xfe", \xff', '{"a":"\u2026", \ufffd'),
    "binary": (bytes(range(0x30, 0x3A)), "#" * 10),
}


@pytest.mark.parametrize(("payload", "shape"), SHAPES.values(), ids=SHAPES)
def test_the_shape(payload: bytes, shape: str) -> None:
    assert shape_of(payload) == shape


@pytest.mark.timeout(2, func_only=True)
@pytest.mark.parametrize("one", [b'"', b"\\", b'\\"', b'"a" ', b'"\\"', b" "])
def test_no_payload_takes_long(one: bytes) -> None:
    """The head only is shaped; a hundred heads of the worst sort would be seen here."""
    for _ in range(100):
        shape_of(one * (REFUSED_HEAD_BYTES // len(one)))
