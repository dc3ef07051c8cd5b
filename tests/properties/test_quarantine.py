"""No digit and no string value of a JSON object is kept, wherever the head of the payload was cut."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from ingest.quarantine import shape_of

# A value is told from keys and punctuation by a letter that only values have.
MARK = "Z"
VALUES = st.text(st.sampled_from('Zab"\\\\/:,{}[]\n\t 7\u0664\u00e9'), max_size=12).map(
    lambda text: MARK + text + MARK
)
KEYS = st.text(st.sampled_from('ab"\\\\:,{} 7\u00e9'), max_size=6)
DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(
        VALUES | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=5,
)
LAYOUTS = st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 1}, {"separators": (" , ", " : ")}])


def unmarked(text: str) -> bool:
    return MARK not in text and not any(letter.isdecimal() for letter in text)


@given(document=DOCUMENTS, layout=LAYOUTS, ascii_only=st.booleans())
def test_no_digit_and_no_string_value_survives(
    document: dict[str, object], layout: dict[str, object], ascii_only: bool
) -> None:
    shape = shape_of(json.dumps(document, ensure_ascii=ascii_only, **layout).encode())  # type: ignore[arg-type]
    assert unmarked(shape)
    for key in document:
        whole = json.dumps(key, ensure_ascii=ascii_only)
        assert "".join("#" if letter.isdecimal() else letter for letter in whole) in shape, "keys are kept"


@given(document=DOCUMENTS, layout=LAYOUTS, ascii_only=st.booleans(), cut=st.integers(0, 400))
def test_nor_from_a_head_that_was_cut_anywhere(
    document: dict[str, object], layout: dict[str, object], ascii_only: bool, cut: int
) -> None:
    payload = json.dumps(document, ensure_ascii=ascii_only, **layout).encode()  # type: ignore[arg-type]
    assert unmarked(shape_of(payload[:cut]))


@given(payload=st.binary(max_size=100))
def test_no_bytes_leave_a_digit(payload: bytes) -> None:
    assert not any(letter.isdecimal() for letter in shape_of(payload))
