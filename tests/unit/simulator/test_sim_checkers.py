"""Does the checker see what is missing, what is too much, and what was told twice?"""

from dataclasses import replace

from simulator.checkers import judge
from simulator.oracle import ExpectedAlert
from simulator.receiver import Delivery, read_body
from tocsin.clock import rfc3339
from tocsin.model.finding import Code

START_MS = 1_795_219_200_000
KEYS = {"msr_1": "couple-0000"}
EXPECTED = [
    ExpectedAlert(code=Code.PROX_ALERT, subject="couple-0000", earliest_s=100.0, latest_s=120.0),
    ExpectedAlert(code=Code.BAR_SOS, subject="sim-p-0001", earliest_s=50.0, latest_s=55.0),
    ExpectedAlert(code=Code.PROX_PREALERT, subject="couple-0000", earliest_s=80.0, latest_s=90.0, required=False),
]


def delivery(code: str, at_s: float, webhook_id: str = "", *, version: int = 1, repeat: bool = False) -> Delivery:
    device = "sim-p-0001" if code == "BAR_SOS" else None
    return Delivery(
        channel="teleassistance",
        webhook_id=webhook_id or f"evt-{code}-{at_s}",
        type="org.tocsin.alert.opened",
        subject=f"alr-{code}",
        version=version,
        received_ms=0,
        repeat=repeat,
        body="",
        data={
            "code": code,
            "measures": ["msr_1"],
            "device": device,
            "occurred_at": rfc3339(START_MS + round(at_s * 1000)),
        },
    )


def test_all_is_well() -> None:
    verdict = judge(EXPECTED, [delivery("PROX_ALERT", 110), delivery("BAR_SOS", 51)], keys=KEYS, start_ms=START_MS)
    assert verdict.holds
    assert len(verdict.matched) == 2


def test_an_optional_one_may_come() -> None:
    heard = [delivery("PROX_ALERT", 110), delivery("BAR_SOS", 51), delivery("PROX_PREALERT", 85)]
    assert judge(EXPECTED, heard, keys=KEYS, start_ms=START_MS).holds


def test_what_the_oracle_cannot_know_is_neither_missing_nor_too_much() -> None:
    """He falls silent for Tocsin, never for the truth."""
    others = [delivery(code, 100) for code in ("IMMINENT", "DEGRADED", "W_COMMS_LOSS")]
    heard = [delivery("PROX_ALERT", 110), delivery("BAR_SOS", 51), *others]
    assert judge(EXPECTED, heard, keys=KEYS, start_ms=START_MS).holds


def test_what_is_missing_and_what_is_too_much() -> None:
    heard = [delivery("BAR_SOS", 51), delivery("PROX_ALERT", 121)]
    verdict = judge(EXPECTED, heard, keys=KEYS, start_ms=START_MS)
    assert [one.code for one in verdict.missing] == ["PROX_ALERT"]
    assert [(one.code, one.at_s) for one in verdict.unexpected] == [("PROX_ALERT", 121)]


def test_a_repeat_is_no_second_alert_but_a_second_id_is() -> None:
    heard = [
        delivery("PROX_ALERT", 110, "evt-a"),
        delivery("PROX_ALERT", 110, "evt-a", repeat=True),
        delivery("BAR_SOS", 51),
    ]
    assert judge(EXPECTED, heard, keys=KEYS, start_ms=START_MS).holds
    verdict = judge(EXPECTED, [*heard, delivery("PROX_ALERT", 110, "evt-b")], keys=KEYS, start_ms=START_MS)
    assert verdict.duplicated == ("alr-PROX_ALERT 1 teleassistance org.tocsin.alert.opened: evt-a, evt-b",)


def test_another_channel_is_not_this_one() -> None:
    heard = [delivery("PROX_ALERT", 110), delivery("BAR_SOS", 51)]
    assert len(judge(EXPECTED, heard, keys=KEYS, start_ms=START_MS, channel="police").missing) == 2


def test_a_body_that_says_nothing_is_read_as_nothing() -> None:
    for body in (b"", b"[]", b"{}", b'{"data": 3}', b"<x/>"):
        assert read_body(body) == {"type": "", "subject": "", "version": None, "data": {}}


def to_room(room: str, webhook_id: str, version: int = 1) -> Delivery:
    return replace(delivery("PROX_ALERT", 110, webhook_id, version=version), channel="police", room=room)


def test_one_alert_told_to_two_rooms_is_one_bell_and_no_conflict() -> None:
    two = [to_room("CIC-99", "evt-a"), to_room("CORG-99", "evt-b")]
    assert judge(EXPECTED[:1], two, keys=KEYS, start_ms=START_MS, channel="police").holds
    twice = judge(EXPECTED[:1], [*two, to_room("CIC-99", "evt-c")], keys=KEYS, start_ms=START_MS, channel="police")
    assert twice.duplicated == ("alr-PROX_ALERT 1 police CIC-99 org.tocsin.alert.opened: evt-a, evt-c",)
    again = judge(
        EXPECTED[:1], [*two, to_room("CIC-99", "evt-d", version=2)], keys=KEYS, start_ms=START_MS, channel="police"
    )
    assert len(again.unexpected) == 1
