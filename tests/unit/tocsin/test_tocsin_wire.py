"""Nouns to bytes and back; a version that is not ours is refused. Names, and the page of the bus (F01, F38)."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from builders import DEVICES, NOW_MS, REALM, WEARER, act, entry, leaving, press
from builders import preadvised as handle
from hypothesis import given
from hypothesis import strategies as st

from alerts.channels import police
from alerts.channels.cap_reader import read_cap
from alerts.channels.form import Sender
from tocsin import subjects, wire
from tocsin.errors import WireError
from tocsin.model.access import Access
from tocsin.model.episode import Channel, FindingCause, Receipt, Ruling, Verb
from tocsin.model.fix import FIX_DTYPE, SILENT_TAIL
from tocsin.model.ids import derived, is_device_id
from tocsin.model.order import Order
from tocsin.model.room import DEFAULT_ROOM

OPENED = handle(None, FindingCause(finding=entry()), REALM, NOW_MS)
assert isinstance(OPENED, Ruling)
ACKED = handle(OPENED.episode, act(Verb.ACKNOWLEDGE, 1, "Zoé", note="àç"), REALM, NOW_MS)
assert isinstance(ACKED, Ruling)
NOUNS: dict[str, tuple[wire.NounDecoder[Any], msgspec.Struct]] = {
    "access": (
        wire.decode_access,
        Access(id="acc_1", at_ms=NOW_MS, who="Zoé", role="monitor", what="alerts", objects=("alr_1",)),
    ),
    "alarm": (wire.decode_alarm, press()),
    "alarm without a place": (wire.decode_alarm, press(position=None)),
    "device": (wire.decode_device, DEVICES[WEARER]),
    "finding": (wire.decode_finding, leaving(entry())),
    "order": (
        wire.decode_order,
        Order(id="msr_1", version=2**40, wearer="w", protected="p", alert_distance_m=1_000, valid_from_ms=0,
              valid_until_ms=2**45),
    ),
    "receipt": (
        wire.decode_receipt,
        Receipt(notification="evt_1", episode="alr_1", version=1, channel=Channel.POLICE, attempt=1, t7_ms=1,
                t8_ms=None, result="timeout"),
    ),
    "ruling on a finding": (wire.decode_ruling, OPENED),
    "ruling on an act": (wire.decode_ruling, ACKED),
}  # fmt: skip


@pytest.mark.parametrize(("decode", "noun"), NOUNS.values(), ids=NOUNS)
def test_round_trip(decode: wire.NounDecoder[Any], noun: msgspec.Struct) -> None:
    assert decode(wire.encode(noun)) == noun


@pytest.mark.parametrize(("decode", "noun"), NOUNS.values(), ids=NOUNS)
@pytest.mark.parametrize("damage", ["version", "empty", "cut", "other", "tail"])
def test_what_is_not_of_this_version_is_refused(
    decode: wire.NounDecoder[Any], noun: msgspec.Struct, damage: str
) -> None:
    good = wire.encode(noun)
    bad = {
        "version": b"\x02" + good[1:], "empty": b"", "cut": good[:-1], "other": b"\x01\x93\x01\x02\x03",
        "tail": good + b"\x00",
    }[damage]  # fmt: skip
    with pytest.raises(WireError):
        decode(bad)


FIX_NAMES = FIX_DTYPE.names or ()
ROWS = st.lists(
    st.tuples(*[st.integers(-(2**63), 2**63 - 1)] * 7, *[st.integers(-(2**31), 2**31 - 1)] * 5,
              st.integers(0, 2**16 - 1), st.integers(0, 255), st.integers(-128, 127), st.integers(0, 1),
              st.integers(0, 255), st.integers(0, 2**16 - 1), *[st.integers(0, 255)] * 4, st.just(b"")),
    max_size=5,
)  # fmt: skip


@given(rows=ROWS)
def test_fixes_round_trip(rows: list[tuple[Any, ...]]) -> None:
    """F01: every column of 64 bits holds 64 bits."""
    fixes = np.array(rows, FIX_DTYPE)
    back = wire.decode_fixes(wire.encode_fixes(fixes))
    assert back.tobytes() == fixes.tobytes()
    assert not back.flags.writeable


def test_a_row_of_an_older_version_says_nothing_of_its_unit() -> None:
    """What it wrote behind ``primary`` was fifteen zeros, which is what the reader of now takes for silence."""
    older = np.dtype([*[(name, FIX_DTYPE[name]) for name in FIX_NAMES[:16]], ("spare", "V15")])
    assert older.itemsize == FIX_DTYPE.itemsize
    row = np.ones(1, older)
    row["spare"] = np.void(bytes(15))
    read = wire.decode_fixes(wire.FIXES_HEADER + row.tobytes())[0]
    assert all(read[name] == 1 for name in FIX_NAMES[:16])
    assert tuple(int(read[name]) for name in FIX_NAMES[16:-1]) == SILENT_TAIL[:-1]


@pytest.mark.parametrize(
    "payload", [b"", b"TOCFIX\x00\x02", b"TOCFIX\x00\x01" + bytes(95), b"GARBAGE!" + bytes(96)]
)
def test_other_batches_are_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        wire.decode_fixes(payload)


# --- names -----------------------------------------------------------------------------------------------------


@given(
    left=st.lists(st.text("ab1", max_size=3), max_size=4), right=st.lists(st.text("ab1", max_size=3), max_size=4)
)
def test_a_derived_name_is_of_its_parts_and_their_borders(left: list[str], right: list[str]) -> None:
    assert (derived("alr", *left) == derived("alr", *right)) is (left == right)


def test_a_derived_name_is_a_uuid_of_version_8() -> None:
    prefix, _, text = derived("evt", "x").partition("_")
    assert (prefix, len(text), text[12], text[16] in "89ab") == ("evt", 32, "8", True)
    assert derived("evt", "x") != f"evt_{derived('alr', 'x').removeprefix('alr_')}"


@pytest.mark.parametrize(
    "text", ["ab", "A-1", "a.b", "a/b", "a+b", "a#b", "a>b", "-ab", "a" * 33, "", "abc\n", "é12"]
)
def test_what_is_not_the_name_of_a_device(text: str) -> None:
    assert not is_device_id(text)


@pytest.mark.parametrize("text", ["abc", "b0000001", "a-1", "0" * 32])
def test_the_name_of_a_device(text: str) -> None:
    assert is_device_id(text)


def test_every_subject_has_its_stream_and_only_one() -> None:
    written = [
        subjects.alarm("u-1"), subjects.fixes(0), subjects.late(0), subjects.refused("schema"),
        subjects.findings(0, "PROX_ALERT"), subjects.episode("TGD_SOS", "u-1"), subjects.receipt("TGD_SOS", "u-1"),
        subjects.command("u-1", 0, "setCadence"), subjects.journal(0),
        subjects.notice("SYS_CLOCK"), subjects.access("alert"), subjects.result("u-1", "cmd_1", "unit"),
        subjects.wire("courier"),
    ]  # fmt: skip
    found = [[one.name for one in subjects.STREAMS if name.startswith(one.subjects[:-1])] for name in written]
    assert [len(names) for names in found] == [1] * len(written)
    assert {names[0] for names in found} == {one.name for one in subjects.STREAMS}


@pytest.mark.parametrize(("partition", "subject"), [(3, "log.finding.3.TGD_SOS"), ("*", "log.finding.*.TGD_SOS")])
def test_a_finding_says_its_code_in_its_subject(partition: int | str, subject: str) -> None:
    """Invariant 2: so that a queue of alerts can be asked for without the pre-alerts."""
    assert subjects.findings(partition, "TGD_SOS") == subject


def test_only_what_may_be_lost_is_lost_when_full() -> None:
    assert [one.name for one in subjects.STREAMS if not one.refuse_when_full] == ["REFUSED", "RESULTS", "WIRES"]
    assert subjects.ALARMS.keep_s == 3 * 86_400, "law: TGD positions 3 days"


@given(key=st.text(min_size=1), partitions=st.integers(1, 64))
def test_a_partition_is_of_its_key_alone(key: str, partitions: int) -> None:
    assert 0 <= subjects.partition_of(key, partitions) < partitions
    assert subjects.partition_of(key, partitions) == subjects.partition_of(key, partitions)


def test_partitions_do_not_move_between_versions() -> None:
    """A constant of the deployment: a pair that changed partition would be judged in two places."""
    assert [subjects.partition_of(f"msr_{number}", 2) for number in range(8)] == PARTITIONS_OF_MSR


PARTITIONS_OF_MSR = [0, 0, 0, 0, 1, 1, 1, 1]


def test_a_ruling_of_0_1_0_is_still_read() -> None:
    """Without rooms: what is on the log of a deployment that is upgraded, and in its record for years."""
    old = msgspec.to_builtins(OPENED)
    del old["episode"]["told"]
    for notification in old["notifications"]:
        del notification["recipient"]
    read = wire.decode_ruling(wire.NOUN_VERSION + msgspec.msgpack.encode(old))
    assert read.episode.told == ()
    assert {one.recipient for one in read.notifications} == {""}
    receipt = {"type": "receipt", "notification": "e", "episode": "a", "version": 1, "channel": "police",
               "attempt": 1, "t7_ms": 1, "t8_ms": None, "result": "timeout", "status": None}  # fmt: skip
    assert wire.decode_receipt(wire.NOUN_VERSION + msgspec.msgpack.encode(receipt)).recipient == ""
    (to_police,) = (one for one in read.notifications if one.channel is Channel.POLICE)
    assert read_cap(police.body(read, to_police, Sender(site="old"))).addresses == (DEFAULT_ROOM,)
