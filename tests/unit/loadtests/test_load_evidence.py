"""Which alert answers which crossing: a table of what can have happened to one stay inside."""

from __future__ import annotations

import pytest

from loadtests.evidence import Answers, Window, answers
from loadtests.handover import Crossing, Login
from simulator.raisings import Raising, told
from tocsin.model.finding import Code
from tocsin.model.fix import ClockPoints

T = 1_795_000_000_000
CROSSINGS = [Crossing(fix_ms=T + 1_000, wearer="w-1"), Crossing(fix_ms=T + 12_000, wearer="w-1")]
HEARD = frozenset({("alr_1", 1), ("alr_1", 4)})


def raising(
    version: int,
    t1_ms: int | None,
    *,
    subject: str = "msr_1",
    code: Code = Code.PROX_ALERT,
    t8_ms: int | None = 0,
    t3_after_ms: int = 5,
    t7_known: bool = True,
) -> Raising:
    """t3 is 5 ms after t1, t7 is 15 ms after t3, t8 is 20 ms after t3."""
    t3_ms = None if t1_ms is None else t1_ms + t3_after_ms
    return Raising(
        episode="alr_1", version=version, code=code, subject=subject,
        points=ClockPoints(t1_ms=t1_ms, t3_ms=t3_ms),
        t7_ms=None if t3_ms is None or not t7_known else t3_ms + 15,
        t8_ms=None if t8_ms is None or t3_ms is None else t3_ms + 20,
    )  # fmt: skip


GOOD = [raising(1, T + 1_000), raising(4, T + 12_000)]


def judged(raisings: list[Raising], *, ended_ms: int = T + 60_000, started_ms: int = T) -> Answers:
    return answers(
        CROSSINGS,
        raisings,
        wearers={"msr_1": "w-1"},
        heard=HEARD,
        doubled=(),
        window=Window(started_ms=started_ms, ended_ms=ended_ms),
    )


def test_each_crossing_has_its_alert_and_its_times() -> None:
    found = judged(GOOD)
    assert (found.alerts.expected, found.alerts.delivered) == (2, 2)
    assert (found.alerts.missing, found.alerts.unexpected) == ([], [])
    assert found.alerts.t3_t8_ms == [20.0, 20.0]
    assert found.alerts.t1_t8_ms == [25.0, 25.0]
    assert found.t3_t7_ms == [15.0, 15.0]


def test_a_fix_that_waited_for_ingest_shows_from_t1_on_alone() -> None:
    found = judged([GOOD[0], raising(4, T + 12_000, t3_after_ms=20_000)])
    assert found.alerts.t3_t8_ms == [20.0, 20.0]
    assert found.alerts.t1_t8_ms == [25.0, 20_020.0]


def test_a_crossing_whose_own_fix_raised_nothing_is_measured_from_that_fix() -> None:
    found = judged([GOOD[0], raising(4, T + 12_800)])
    assert found.alerts.t1_t8_ms == [25.0, 825.0]


def test_an_alert_whose_first_receipt_is_not_on_the_log_is_judged_all_the_same() -> None:
    found = judged([GOOD[0], raising(4, T + 12_000, t7_known=False)])
    assert found.alerts.t3_t8_ms == [20.0, 20.0]
    assert found.t3_t7_ms == [15.0]


@pytest.mark.parametrize(
    ("what", "raisings", "missing", "unexpected"),
    [
        ("never raised", GOOD[:1], ["not raised"], 0),
        ("raised by a later fix of the same stay", [GOOD[0], raising(4, T + 12_800)], [], 0),
        ("raised twice in one stay", [*GOOD, raising(4, T + 12_800)], [], 1),
        ("raised before any crossing", [raising(1, T + 200), *GOOD], [], 1),
        ("without the hour of a fix", [*GOOD, raising(9, None)], [], 1),
        ("of somebody of the background", [*GOOD, raising(1, T + 2_000, subject="msr_9")], [], 1),
        ("of another kind, which is not judged here", [*GOOD, raising(1, T, code=Code.PROX_PREALERT)], [], 0),
        ("no 2xx", [GOOD[0], raising(4, T + 12_000, t8_ms=None)], ["raised, not accepted"], 0),
        (
            "a 2xx of which the receiver knows nothing",
            [GOOD[0], raising(7, T + 12_000)],
            ["raised, not accepted"],
            0,
        ),
    ],
)
def test_what_can_have_happened(what: str, raisings: list[Raising], missing: list[str], unexpected: int) -> None:
    found = judged(raisings).alerts
    assert [one.rpartition(": ")[2] for one in found.missing] == missing, what
    assert len(found.unexpected) == unexpected, what
    assert found.delivered == 2 - len(missing)


def test_only_crossings_made_while_the_load_was_on_are_measured_but_all_must_be_answered() -> None:
    found = judged(GOOD, started_ms=T + 10_000)
    assert found.alerts.delivered == 2
    assert found.alerts.t3_t8_ms == [20.0]
    assert found.alerts.t1_t8_ms == [25.0]
    assert judged(GOOD, ended_ms=T - 1).alerts.t3_t8_ms == []


@pytest.mark.parametrize("ended_ms", [T + 12_000, T + 12_004])
def test_a_crossing_within_the_load_that_ingest_takes_up_after_it_is_measured(ended_ms: int) -> None:
    late = [GOOD[0], raising(4, T + 12_000, t3_after_ms=9_000)]
    assert judged(late, ended_ms=ended_ms).alerts.t1_t8_ms == [25.0, 9_020.0]
    assert len(judged(late, ended_ms=ended_ms).alerts.t3_t8_ms) == 2
    assert judged(late, ended_ms=T + 11_999).alerts.t1_t8_ms == [25.0]


def test_a_crossing_before_the_load_that_ingest_takes_up_within_it_is_not() -> None:
    early = [raising(1, T + 1_000, t3_after_ms=9_000), GOOD[1]]
    assert judged(early, started_ms=T + 5_000).alerts.t3_t8_ms == [20.0]


def test_no_receipts_no_times() -> None:
    assert told([], []) == []


def test_a_login_does_not_show_its_password() -> None:
    assert "hush" not in repr(Login(device="w-1", password="hush"))
