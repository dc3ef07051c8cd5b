"""Whose alert is it: an invented pair's, or one for humans? One answer for everybody who asks. F07, F38."""

from __future__ import annotations

import builders
import msgspec
import pytest

from alerts import desk
from alerts.forgetting import seen
from audit import tables
from audit.track import has_track
from audit.witness import case_in
from tocsin import wire
from tocsin.adapters.episodes import RecordedReceipt
from tocsin.model.canary import is_canarys, is_canarys_place
from tocsin.model.episode import Channel, Episode, FindingCause, Realm, Receipt, Ruling
from tocsin.model.finding import Code
from tocsin.ports import Entry

RULE = pytest.mark.parametrize(
    ("code", "measures", "device", "expected"),
    [
        ("PROX_ALERT", ("canary-1",), None, True),
        ("BAR_SOS", (), "canary-1-v", True),
        ("STRAP_TAMPER", ("canary-1",), "canary-1-w", True),
        ("PROX_ALERT", ("canary-1", "canary-2"), None, True),
        ("PROX_ALERT", ("canary-1", "msr_1"), None, False),
        ("STRAP_TAMPER", ("msr_1",), "canary-1-w", False),
        ("STRAP_TAMPER", ("canary-1",), "b0000001", False),
        ("PROX_ALERT", (), None, False),
        ("PROX_ALERT", ("canary-x",), None, False),
        ("PROX_ALERT", ("msr_1",), "b0000001", False),
        *(
            (one.value, ("canary-3",), "canary-3-w", False)
            for one in Code
            if one.value.startswith("SYS_")
        ),
    ],
)  # fmt: skip


def ruled(code: str, measures: tuple[str, ...], device: str | None, subject: str = "canary-3") -> Ruling:
    answer = desk.handle(None, FindingCause(finding=builders.entry()), Realm.LAB, builders.NOW_MS)
    assert isinstance(answer, Ruling)
    episode = msgspec.structs.replace(
        answer.episode, code=Code(code), subject=subject, measures=measures, device=device
    )
    return msgspec.structs.replace(answer, episode=episode)


@RULE
def test_everybody_who_asks_hears_the_same(
    code: str, measures: tuple[str, ...], device: str | None, expected: bool
) -> None:
    """The desk's noun, the custodian's look at the log, the verifier's at the record, witness and track; the
    subject is a canary's in each, and decides nothing."""
    ruling = ruled(code, measures, device)
    payload = wire.encode(ruling)
    assert is_canarys(code, measures, device) is expected
    assert ruling.episode.is_canary is expected
    assert seen(Entry(subject="", sequence=1, payload=payload)).canary is expected
    assert tables.is_canarys_alert((tables.noun_in(payload) or {})["episode"]) is expected
    assert (case_in(ruling) is None) is expected
    if code == Code.PROX_ALERT:
        assert has_track(ruling.episode) is not expected


@pytest.mark.parametrize("noun", [None, {}, {"code": 1, "measures": [], "device": None}, {"code": "PROX_ALERT"}])
def test_what_is_no_alert_is_nobodys(noun: dict[str, object] | None) -> None:
    assert not tables.is_canarys_alert(noun)


@pytest.mark.parametrize(
    ("code", "subject", "expected"),
    [
        ("PROX_ALERT", "canary-3", True), ("BAR_SOS", "canary-3-v", True), ("ZONE_ENTRY", "canary-3:school", True),
        ("SYS_CANARY_FAIL", "canary-3", False), ("PROX_ALERT", "canary-x", False), ("PROX_ALERT", "msr_1", False),
        ("", "", False),
    ],
)  # fmt: skip
def test_of_a_receipt_that_says_nothing_the_place_decides(code: str, subject: str, expected: bool) -> None:
    assert is_canarys_place(code, subject) is expected
    assert receipt(code, subject, None).is_canarys is expected


@pytest.mark.parametrize("said", [True, False])
def test_a_receipt_is_its_alerts_whatever_its_place_is_called(said: bool) -> None:
    for code, subject in (("PROX_ALERT", "canary-3"), ("SYS_CANARY_FAIL", "canary-3"), ("PROX_ALERT", "msr_1")):
        assert receipt(code, subject, said).is_canarys is said


def receipt(code: str, subject: str, canary: bool | None) -> RecordedReceipt:
    attempt = Receipt(
        notification="evt_1", episode="alr_1", version=1, channel=Channel.TELEASSISTANCE, attempt=1, t7_ms=1,
        t8_ms=None, result="timeout", canary=canary,
    )  # fmt: skip
    return RecordedReceipt(code=code, subject=subject, receipt=attempt)


def test_a_receipt_of_before_is_read_and_says_nothing() -> None:
    """What an older version wrote has no such word: it must not be taken for ``no``."""
    noun = msgspec.to_builtins(receipt("PROX_ALERT", "canary-3", True).receipt)
    del noun["canary"]
    assert wire.decode_receipt(wire.NOUN_VERSION + msgspec.msgpack.encode(noun)).canary is None


def test_the_word_of_the_system_is_no_canarys_with_all_its_names() -> None:
    failed: Episode = ruled("SYS_CANARY_FAIL", (), None).episode
    assert not failed.is_canary
