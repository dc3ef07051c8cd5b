"""What is kept of a phone that says no place? (DOMAIN section 4, invariant 6)"""

from __future__ import annotations

import asyncio

import pytest
from builders import (
    DEVICES,
    NOW_MS,
    NOW_S,
    PROTECTED,
    TGD,
    WEARER,
    event,
    eventually,
    known,
    location,
    message,
    sos,
    status,
    topic,
)

from ingest.admission import admit, admit_alarm
from ingest.known import Known
from ingest.sign_book import SignBook
from ingest.signs import listening, sign_of
from tocsin.clock import AffineClock
from tocsin.errors import LogUnavailable
from tocsin.limits import LISTENING_GAP_MAX_S, PUBLISH_WAVE, SIGN_EVERY_S
from tocsin.model.finding import Alarm, Code
from tocsin.model.sign import LISTENING, Listening, Sign
from tocsin.testing.bus import MemoryBucket
from tocsin.wire import decode_sign, encode


def said(about: Known, payload: bytes, leaf: str = "state", at_ms: int = NOW_MS, device: str = TGD) -> Sign | None:
    """What is written of this message; remembered as the lane does it."""
    one = message(payload, topic(device, leaf), at_ms)
    sign = sign_of(one, admit(one, about, at_ms), about, at_ms)
    if sign is not None:
        about.signs[device] = sign
    return sign


def test_a_heartbeat_is_a_sign_and_the_next_one_within_a_quarter_of_an_hour_is_not_written() -> None:
    about = known()
    assert said(about, status()) == Sign(device=TGD, first_ms=NOW_MS, heard_ms=NOW_MS)
    assert said(about, status(), at_ms=NOW_MS + SIGN_EVERY_S * 1000 - 1) is None
    later_ms = NOW_MS + SIGN_EVERY_S * 1000
    assert said(about, status(), at_ms=later_ms) == Sign(device=TGD, first_ms=NOW_MS, heard_ms=later_ms)


@pytest.mark.parametrize(
    ("leaf", "payload"), [("sos", sos()), ("res", b"{}"), ("loc", location()), ("state", b"no json"), ("evt", b"")]
)
def test_whatever_it_says_it_was_there_and_no_place_is_kept(leaf: str, payload: bytes) -> None:
    """Invariant 6: a place outside an SOS is refused, and who said it is there all the same."""
    sign = said(known(), payload, leaf)
    assert sign == Sign(device=TGD, first_ms=NOW_MS, heard_ms=NOW_MS)


@pytest.mark.parametrize(
    ("device", "leaf"),
    [
        (TGD, "cmd"), (TGD, "err"), (TGD, "cfg/want"), (TGD, "lwt"), (WEARER, "state"), (PROTECTED, "state"),
        ("stranger-1", "state"),
    ],
)  # fmt: skip
def test_our_own_words_the_brokers_and_other_units_are_no_sign(device: str, leaf: str) -> None:
    assert said(known(), status(), leaf, device=device) is None


def test_a_battery_is_low_from_25_down_until_it_is_above_30() -> None:
    about = known()
    found = [
        None if sign is None else sign.low_since_ms
        for minute, percent in enumerate((26, 25, 20, 30, 31, 26))
        for sign in [said(about, status(batt=percent), at_ms=NOW_MS + minute * 60_000)]
    ]
    assert found == [None, NOW_MS + 60_000, None, None, None, None]
    assert about.signs[TGD].low_since_ms is None


def test_a_self_test_is_kept_by_its_hour_and_an_older_one_is_no_news() -> None:
    about = known()
    sign = said(about, event("self_test", tst=NOW_S - 60), "evt")
    assert sign is not None
    assert sign.tested_ms == NOW_MS - 60_000
    assert said(about, event("self_test", tst=NOW_S - 600, seq=2), "evt") is None
    ahead = said(about, event("self_test", tst=NOW_S + 90, seq=3), "evt", NOW_MS + 1_000)
    assert ahead is not None
    assert ahead.tested_ms == NOW_MS + 1_000, "never later than it came"


def test_a_press_during_a_test_rings() -> None:
    """DOMAIN 1: a test must never mask a real press. The word of a test rings nothing; the key rings, whatever
    was tested the second before, and whatever its message says of a test."""
    about = known()
    for at_ms in (NOW_MS, NOW_MS + 1):
        assert said(about, event("self_test", seq=at_ms - NOW_MS), "evt", at_ms) is not None or at_ms > NOW_MS
        tested = admit_alarm(message(event("self_test"), topic(TGD, "evt"), at_ms), about, at_ms)
        assert not isinstance(tested, Alarm)
        for payload in (
            sos(),
            sos(event="self_test"),
            sos(test=True, self_test=True),
            event("self_test"),
            b"test",
        ):
            pressed = admit_alarm(message(payload, topic(TGD, "sos"), at_ms), about, at_ms)
            assert isinstance(pressed, Alarm)
            assert pressed.code is Code.TGD_SOS


def test_only_a_tgd_is_tested_so() -> None:
    (refused,) = admit(message(event("self_test"), topic(WEARER, "evt")), known(), NOW_MS)
    assert refused.reason.value == "not_for_this_kind_of_device"


def test_a_gap_begins_the_listening_anew() -> None:
    gap_ms = LISTENING_GAP_MAX_S * 1000
    first = listening(None, NOW_MS)
    assert first == Listening(since_ms=NOW_MS, at_ms=NOW_MS)
    assert listening(first, NOW_MS + gap_ms) == Listening(since_ms=NOW_MS, at_ms=NOW_MS + gap_ms)
    assert listening(first, NOW_MS + gap_ms + 1).since_ms == NOW_MS + gap_ms + 1
    assert listening(first, NOW_MS - 1).since_ms == NOW_MS - 1, "a clock that was set back"


class SlowBucket(MemoryBucket):
    """Takes nothing before it is opened; counts who waits at once."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = asyncio.Event()
        self.waiting = self.most = 0

    async def put(self, key: str, value: bytes) -> int:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await self.opened.wait()
        self.waiting -= 1
        return await super().put(key, value)


async def test_the_first_signs_of_all_phones_hold_up_no_fix_and_a_test_is_written_first() -> None:
    """At a first start and behind every outage each phone has a sign at once; the fixes of the wearers are in the
    same batch. A test is acknowledged when it is written, and not before."""
    bucket, about = SlowBucket(), known()
    phones = [f"tgd-{number}" for number in range(2_000)]
    signs = [Sign(device=name, first_ms=NOW_MS, heard_ms=NOW_MS) for name in phones]
    about.signs.update({one.device: one for one in signs})
    book = SignBook(bucket, about, AffineClock(wall=lambda: NOW_MS / 1000))
    writer = asyncio.create_task(book.write_for_ever())
    await book.write(signs)  # returns, though the bucket takes nothing
    await asyncio.sleep(0)
    tested = Sign(device=TGD, first_ms=NOW_MS, heard_ms=NOW_MS, tested_ms=NOW_MS)
    about.signs[TGD] = tested
    acknowledging = asyncio.create_task(book.write([tested]))
    await eventually(lambda: bucket.waiting > 1)
    assert not acknowledging.done()
    bucket.opened.set()
    await acknowledging
    assert decode_sign(await bucket.get(TGD) or b"") == tested
    await eventually(lambda: bucket.get(phones[-1]))
    assert bucket.most <= PUBLISH_WAVE + 1
    writer.cancel()


class RefusesOnce(MemoryBucket):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def put(self, key: str, value: bytes) -> int:
        self.asked += 1
        if self.asked == 1:
            raise LogUnavailable("no answer")
        return await super().put(key, value)


async def test_an_older_sign_that_is_tried_again_never_replaces_a_test() -> None:
    """The log was away when the sign was noted; when it is tried again the phone has been tested, and that is
    written and acknowledged."""
    about, bucket = known(), RefusesOnce()
    first = about.signs[TGD] = Sign(device=TGD, first_ms=NOW_MS, heard_ms=NOW_MS)
    book = SignBook(bucket, about, AffineClock(wall=lambda: NOW_MS / 1000))
    writer = asyncio.create_task(book.write_for_ever())
    await book.write([first])
    await eventually(lambda: bucket.asked == 1)
    tested = about.signs[TGD] = Sign(device=TGD, first_ms=NOW_MS, heard_ms=NOW_MS, tested_ms=NOW_MS)
    await book.write([tested])
    await eventually(lambda: bucket.asked == 3)
    assert decode_sign(await bucket.get(TGD) or b"") == tested
    writer.cancel()


async def test_another_life_goes_on_where_this_one_ended() -> None:
    bucket, about, clock = MemoryBucket(), known(), AffineClock(wall=lambda: NOW_MS / 1000)
    await bucket.put("tgd-broken", b"\x09what")
    await bucket.put(LISTENING, encode(Listening(since_ms=NOW_MS - 120_000, at_ms=NOW_MS - 60_000)))
    first = said(about, event("self_test"), "evt")
    assert first is not None
    await SignBook(bucket, about, clock).write([first])
    reborn = known()
    book = SignBook(bucket, reborn, clock)
    await book.open()
    assert reborn.signs == {TGD: first}
    book.connected = True
    listening_ = asyncio.create_task(book.listen_for_ever())
    async for change in bucket.watch():
        if change is not None and change.key == LISTENING and change.revision > 3:
            break
    listening_.cancel()
    assert decode_sign(await bucket.get(TGD) or b"") == first
    assert set(DEVICES) >= set(reborn.signs)
