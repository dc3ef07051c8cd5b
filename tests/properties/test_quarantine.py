"""No figure, no value and no key of the sender's own is kept, wherever the head of the payload was cut."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from ingest.quarantine import KEYS, shape_of

# A value is told from keys and punctuation by a letter that only values have.
MARK = "Z"
VALUES = st.text(st.sampled_from('Zab"\\\\/:,{}[]\n\t 7\u0664\u00e9'), max_size=12).map(
    lambda text: MARK + text + MARK
)
NAMES = st.text(st.sampled_from('ab"\\\\:,{} 7\u00e9'), max_size=6)
DOCUMENTS = st.dictionaries(
    NAMES,
    st.recursive(
        VALUES | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=5,
)
LAYOUTS = st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 1}, {"separators": (" , ", " : ")}])


LETTERS = re.compile(r"[^\W\d_]{2,}")


def unmarked(text: str) -> bool:
    return MARK not in text and not any(letter.isnumeric() for letter in text)


@given(document=DOCUMENTS, layout=LAYOUTS, ascii_only=st.booleans())
def test_no_digit_and_no_string_value_survives(
    document: dict[str, object], layout: dict[str, object], ascii_only: bool
) -> None:
    shape = shape_of(json.dumps(document, ensure_ascii=ascii_only, **layout).encode())  # type: ignore[arg-type]
    assert unmarked(shape)


@given(document=st.dictionaries(st.sampled_from(sorted(KEYS)), VALUES | st.integers(), max_size=8))
def test_known_keys_are_kept_in_their_order(document: dict[str, object]) -> None:
    shape = shape_of(json.dumps(document).encode())
    assert list(json.loads(shape.replace("#", "0"))) == list(document)


@given(document=DOCUMENTS, layout=LAYOUTS, ascii_only=st.booleans(), cut=st.integers(0, 400))
def test_nor_from_a_head_that_was_cut_anywhere(
    document: dict[str, object], layout: dict[str, object], ascii_only: bool, cut: int
) -> None:
    payload = json.dumps(document, ensure_ascii=ascii_only, **layout).encode()  # type: ignore[arg-type]
    assert unmarked(shape_of(payload[:cut]))


@given(payload=st.binary(max_size=100) | st.text(max_size=100).map(str.encode))
def test_no_bytes_leave_a_digit_a_letter_or_an_order_to_a_terminal(payload: bytes) -> None:
    shape = shape_of(payload)
    assert not any(letter.isnumeric() for letter in shape)
    assert shape.isprintable()


SENTENCES = st.text(st.sampled_from("mère chez 48٤家ヒहि'\"{}[]:,=\\\n\x1b"), max_size=40)
SAID = (
    st.recursive(
        SENTENCES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SENTENCES, inner, max_size=3)
    ).map(lambda said: json.dumps(said, ensure_ascii=False))
    | SENTENCES
)


@given(said=SAID | st.text(max_size=60), cut=st.integers(0, 200))
def test_no_two_letters_together_survive_outside_known_keys(said: str, cut: int) -> None:
    for payload in (said, said[:cut]):
        left = set(LETTERS.findall(shape_of(payload.encode(errors="replace"))))
        assert left <= KEYS_IN_LETTERS | {"null", "true", "false"}


KEYS_IN_LETTERS = {part for key in KEYS for part in LETTERS.findall(key)}
