"""Can a place reach a wearer's unit through an order? Whatever the command holds; invariant 5, F33."""

from __future__ import annotations

import contextlib
import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from alerts.channels.device import WEARER_INTERVALS_S, NotSayable, payload
from alerts.channels.sentences import SENTENCES, Condition
from tocsin.model.command import Action, Command, Sentence, Shown
from tocsin.model.device import DeviceKind
from tocsin.model.ids import derived, is_derived

hours_ms = st.integers(0, 2**53)
names = st.one_of(st.text(), st.builds(lambda parts: derived("cmd", *parts), st.lists(st.text(), max_size=3)))
orders = st.builds(
    Command,
    id=names,
    device=st.text(),
    action=st.sampled_from(Action),
    at_ms=hours_ms,
    expires_ms=hours_ms,
    interval_s=st.one_of(st.none(), st.sampled_from(sorted(WEARER_INTERVALS_S)), st.integers()),
    shows=st.one_of(st.none(), st.sampled_from(Shown)),
    rings=st.one_of(st.none(), st.booleans()),
    sentence=st.one_of(st.none(), st.sampled_from(Sentence)),
    by=st.text(),
)
sayable = st.builds(
    Command,
    id=st.builds(lambda text: derived("cmd", text), st.text()),
    device=st.text(),
    action=st.just(Action.SET_CADENCE),
    at_ms=hours_ms,
    expires_ms=hours_ms,
    interval_s=st.sampled_from(sorted(WEARER_INTERVALS_S)),
)


@given(orders, st.sets(st.sampled_from(Condition)))
def test_a_wearer_reads_a_hash_an_interval_a_sentence_and_an_hour_or_nothing(
    order: Command, conditions: set[Condition]
) -> None:
    """Any text for a name, any number for an interval: what is not refused has no room for a place."""
    with contextlib.suppress(NotSayable):
        said = json.loads(payload(order, DeviceKind.WEARER, conditions))
        assert said.pop("_type") == "cmd"
        assert is_derived(said.pop("id"))
        assert said.pop("exp") == order.expires_ms // 1000
        assert said in [
            {"action": "reportLocation"},
            *({"action": "setCadence", "s": s} for s in (5, 10, 30, 60)),
            *({"action": "say", "template": one.value} for one in Sentence if SENTENCES[one].when in conditions),
        ]


@given(sayable, st.text(), hours_ms)
def test_what_a_wearer_reads_is_a_function_of_action_interval_name_and_expiry(
    order: Command, device: str, at_ms: int
) -> None:
    other = msgspec.structs.replace(order, device=device, at_ms=at_ms)
    assert payload(order, DeviceKind.WEARER) == payload(other, DeviceKind.WEARER)


def test_the_stream_of_orders_has_no_field_for_a_place() -> None:
    """A new field of Command is looked at here, before a position is in it."""
    assert set(Command.__struct_fields__) == {
        "id", "device", "action", "at_ms", "expires_ms", "interval_s", "shows", "rings", "sentence", "by",
    }  # fmt: skip
