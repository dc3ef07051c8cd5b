"""Whatever the bytes, admission answers; and its window remembers what a plain set would."""

from __future__ import annotations

import json
from collections.abc import Iterable

from builders import NOW_MS, PROTECTED, TGD, WEARER, event, known, location, message, sos, status, topic
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.admission import AdmittedFix, OtherLane, admit, admit_alarm
from ingest.dialects.reports import Refusal
from ingest.known import SeqWindow
from tocsin.limits import SEQ_WINDOW
from tocsin.model.finding import Alarm

LEAVES = st.sampled_from(["loc", "bulk", "sos", "evt", "state", "", "x/y"])
NAMES = st.sampled_from([WEARER, PROTECTED, TGD, "nobody-1", "", "A", "a" * 80])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("a0.é", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("_type", "lat", "lon", "tst", "ms", "seq", "boot", "acc", "vel", "cog", "batt", "src", "created_at",
          "created_ms", "topic", "silent", "fix_tst", "pts")  # fmt: skip


@given(payload=st.binary(max_size=400), name=NAMES, leaf=LEAVES)
@example(payload=b'{"_type":"location","topic":"\xff"}', name=WEARER, leaf="loc")
@example(payload=b'{"_type":"location","x":' + b"[" * 30_000, name=WEARER, leaf="loc")
def test_any_bytes_are_answered(payload: bytes, name: str, leaf: str) -> None:
    """F02: one message that raised would end the lane, and its redelivery the next one."""
    said = message(payload, topic(name, leaf))
    assert admit(said, known(), NOW_MS)
    rings = leaf == "sos" and name in {PROTECTED, TGD}
    assert isinstance(admit_alarm(said, known(), NOW_MS), Alarm if rings else Refusal | OtherLane)


@given(
    start=st.sampled_from([location(), sos(), event(), event("boot", batt=3, pair=1), status(strap="open")]),
    cuts=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_any_damage_to_a_good_message_is_answered(start: bytes, cuts: list[tuple[int, int]]) -> None:
    damaged = bytearray(start)
    for place, byte in cuts:
        damaged[place % len(damaged)] = byte
    for leaf in ("loc", "bulk", "sos", "evt", "state"):
        assert admit(message(bytes(damaged), topic(leaf=leaf)), known(), NOW_MS)
        said = message(bytes(damaged), topic(PROTECTED, leaf))
        never = Alarm if leaf == "sos" else Refusal | OtherLane
        assert isinstance(admit_alarm(said, known(), NOW_MS), never)
        assert admit_alarm(message(bytes(damaged), topic(leaf=leaf)), known(), NOW_MS)


@given(
    payload=st.binary(max_size=200)
    | st.dictionaries(st.sampled_from((*FIELDS, "t", "tid")), JSON, max_size=8).map(
        lambda fields: json.dumps(
            {"_type": "location", "lat": 1, "lon": 2, "tst": NOW_MS // 1000} | fields
        ).encode()
    ),
    name=NAMES,
    rest=st.sampled_from(["", "/", "/phone", "/my.phone", "/phone/event", "/phone/cmd", "/a/b/c"]),
)
def test_any_bytes_of_a_phone_are_answered(payload: bytes, name: str, rest: str) -> None:
    """F02, for the other dialect."""
    (answer,) = admit(message(payload, f"owntracks/{name}{rest}"), known(), NOW_MS)
    if isinstance(answer, AdmittedFix):
        assert answer.device == name
        assert answer.fix_ms // 1000 <= NOW_MS // 1000 + 300


@given(fields=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8))
def test_a_press_of_any_shape_rings(fields: dict[str, object]) -> None:
    said = message(json.dumps(fields).encode("utf-8", "replace"), topic(PROTECTED, "sos"))
    alarm = admit_alarm(said, known(), NOW_MS)
    assert isinstance(alarm, Alarm)
    assert alarm.device == PROTECTED
    assert alarm.position is None or abs(alarm.position.lat) <= 90


@given(
    payload=st.one_of(st.binary(max_size=40), st.just(sos()), st.just(sos(seq=None))), later=st.integers(0, 9_999)
)
def test_two_readers_of_one_press_name_it_alike(payload: bytes, later: int) -> None:
    """A3: within the ten seconds of an unnumbered one; NOW_MS is the first of them."""
    names = set()
    for t3_ms in (NOW_MS, NOW_MS + later):
        alarm = admit_alarm(message(payload, topic(PROTECTED, "sos"), t3_ms), known(), t3_ms + later)
        assert isinstance(alarm, Alarm)
        names.add(alarm.id)
    assert len(names) == 1


def seen_by_set(numbers: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """The plain model: everything of the newest boot, back to the window's length."""
    seen: set[tuple[int, int]] = set()
    for boot, seq in numbers:
        newest_boot = max((b for b, _ in seen), default=boot)
        newest = max((s for b, s in seen if b == newest_boot), default=seq)
        if boot < newest_boot or (boot == newest_boot and newest - seq >= SEQ_WINDOW):
            continue
        seen.add((boot, seq))
        top = max(s for b, s in seen if b == boot)
        seen = {(b, s) for b, s in seen if b == boot and top - s < SEQ_WINDOW}
    return seen


NUMBERS = st.tuples(
    st.integers(0, 2), st.one_of(st.integers(0, 200), st.sampled_from([2**31 - 1, 2**31, 2**63 - 2, 2**63 - 1]))
)


def hour_of(seq: int) -> int:
    """Each number was said once."""
    return NOW_MS - seq % 1000


@given(numbers=st.lists(NUMBERS, min_size=1, max_size=60), asked=st.lists(NUMBERS, max_size=20))
def test_the_window_is_a_set(numbers: list[tuple[int, int]], asked: list[tuple[int, int]]) -> None:
    """F01: also across 2**31."""
    window = SeqWindow(boot=numbers[0][0], newest=numbers[0][1], seen=1)
    for boot, seq in numbers:
        window.add(boot, seq, hour_of(seq))
    model = seen_by_set(numbers)
    for boot, seq in (*numbers, *asked):
        assert window.has(boot, seq, hour_of(seq)) == ((boot, seq) in model)
        assert not window.has(boot, seq, hour_of(seq) + 1)
    assert window.seen < 1 << SEQ_WINDOW


@given(seqs=st.lists(st.integers(0, 40), min_size=1, max_size=60))
def test_within_the_window_each_number_enters_once(seqs: list[int]) -> None:
    world = known()
    entered = []
    for seq in seqs:
        (admission,) = admit(message(location(seq=seq), topic()), world, NOW_MS)
        if isinstance(admission, AdmittedFix):
            world.remember(admission.device, admission.boot, admission.seq, admission.fix_ms)
            entered.append(admission.seq)
    assert sorted(entered) == sorted(set(seqs))
