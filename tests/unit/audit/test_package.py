"""Is every byte of a package looked at, and is what was changed named? ARCHITECTURE A13; F09, F10; DOMAIN section
5, invariants 11 and 15."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from builders import entry
from evidence_world import (
    ALERT,
    DAY,
    EPISODE,
    HERS,
    HIS,
    NOW_MS,
    ORDERS,
    OTHER,
    OVER_MS,
    Chains,
    found,
    heads_of,
    lines,
    of_case,
    of_deletion,
    order,
    package,
    receipt,
    resealed,
    rulings,
    world,
)  # fmt: skip
from hypothesis import given
from hypothesis import strategies as st
from reference.package_check import problems

from audit.package import Header, Run, Unwritable, written
from audit.package_heads import HeadsUnreadable, published_heads
from audit.package_reader import What, Wrong
from audit.package_verification import Verdict, verify
from audit.story import Story
from tocsin import chain, sealing
from tocsin.chain import Deletion, Item, KeptAs, Kind, Link
from tocsin.heads import line_of
from tocsin.model.episode import FindingCause

CHAINS = world()
GOOD = package(CHAINS)
DIGIT = {b"0": b"1"}


def check(content: bytes, **how: object) -> Verdict:
    """And the second verifier, which knows nothing of the first, says the same: whole, or not."""
    found = verify(lines(content), **how)
    mine = verify(lines(content)).faults if how else found.faults
    assert bool(problems(content)) == bool(mine), (mine, problems(content))
    return found


def words(verdict: Verdict) -> set[str]:
    return {one.what for one in verdict.faults}


def first(verdict: Verdict, what: str) -> Wrong:
    return next(one for one in verdict.faults if one.what == what)


def test_a_package_that_nobody_has_touched_is_good() -> None:
    verdict = check(GOOD, replay=lambda _: [])
    assert verdict.faults == []
    assert verdict.header is not None
    assert verdict.header.alert == ALERT
    assert verdict.links == {EPISODE: 7, ORDERS: 2, HIS: 3, HERS: 0, DAY: 3}
    assert verdict.withheld == {HIS: 1, DAY: 1}
    assert (verdict.cases, verdict.replayed, verdict.heads, verdict.unproven) == (1, 1, 4, {})
    assert [one.channel for one in verdict.story.untold()] == ["police"]


def test_the_same_record_gives_the_same_bytes() -> None:
    assert package(world()) == GOOD


@given(st.data())
def test_no_byte_is_unchecked(data: st.DataObject) -> None:
    """Changed, dropped or added anywhere."""
    at = data.draw(st.integers(0, len(GOOD) - 1))
    kind = data.draw(st.sampled_from(["change", "drop", "add"]))
    byte = bytes([data.draw(st.integers(0, 255).filter(lambda one: kind != "change" or one != GOOD[at]))])
    tail = GOOD[at:] if kind == "add" else GOOD[at + 1 :]
    changed = GOOD[:at] + (b"" if kind == "drop" else byte) + tail
    if changed != GOOD:
        assert check(changed).faults


@given(st.data())
def test_nor_is_one_whose_seal_was_made_anew(data: st.DataObject) -> None:
    """Every byte that another one stands for is found by hash, commitment, head, or by what the payloads say."""
    at = data.draw(st.integers(0, GOOD.rindex(b'{"kind":"seal"') - 1))
    byte = bytes([data.draw(st.integers(0, 255).filter(lambda one: one != GOOD[at]))])
    changed = GOOD[:at] + byte + GOOD[at + 1 :]
    assert check(resealed(lines(changed))).faults


def _small() -> bytes:
    """Nothing but a track, its deletion, and the head over both: each kind of line, and few bytes."""
    chains = Chains()
    chains.seal([Item(chain=EPISODE, kind=Kind.TRACK, kept_as=KeptAs.MEASURE_FILE, source="track:1",
                      payload=b'{"rows":[1]}')], NOW_MS)  # fmt: skip
    chains.seal([of_deletion(EPISODE, 1)], OVER_MS)
    runs, heads = [chains.run(EPISODE, hide=(1,))], heads_of(chains, [EPISODE])
    return b"".join(written(Story(ALERT).header(), runs, heads))


def test_each_byte_counts_one_after_the_other() -> None:
    """All of them, with a seal that is right again: in the other case, as the next byte, and dropped."""
    good = _small()
    assert check(good).faults == []
    assert problems(good) == []
    missed = []
    for at in range(good.rindex(b'{"kind":"seal"')):
        for byte in (bytes([good[at] ^ 0x20]), bytes([(good[at] + 1) % 256]), b""):
            changed = resealed(lines(good[:at] + byte + good[at + 1 :]))
            if not check(changed).faults or (at > good.index(b"\n") and not problems(changed)):
                missed.append((at, byte, good[at - 30 : at + 1]))
    assert missed == []


STRIDE = 17
"""Of a whole package each byte takes a minute and a half (18,260 positions on 2026-11-22, two ways, and none was
missed); the small one above has all of its bytes changed each time."""


@pytest.mark.parametrize("flip", [0x01, 0x20], ids=["another letter", "the other case"])
def test_bytes_all_over_a_whole_package_count(flip: int) -> None:
    """With a seal that is right again: rulings, places, attempts, orders, commands, accesses, heads."""
    end = GOOD.rindex(b'{"kind":"seal"')
    missed = [
        GOOD[max(0, at - 40) : at + 1]
        for at in range(0, end, STRIDE)
        if not check(resealed(lines(GOOD[:at] + bytes([GOOD[at] ^ flip]) + GOOD[at + 1 :]))).faults
    ]
    assert missed == []


def test_so_does_each_byte_of_a_chain_that_has_nothing() -> None:
    begin = sum(map(len, lines(GOOD)[:EMPTY]))
    for at in range(begin, begin + len(lines(GOOD)[EMPTY])):
        for byte in (bytes([GOOD[at] ^ 0x20]), bytes([(GOOD[at] + 1) % 256]), b""):
            assert check(resealed(lines(GOOD[:at] + byte + GOOD[at + 1 :]))).faults, GOOD[begin : at + 1]


@given(st.data())
def test_a_changed_payload_is_found_by_its_commitment(data: st.DataObject) -> None:
    index = data.draw(st.sampled_from(found(GOOD, kind="payload")))
    changed = lines(GOOD)
    begin = changed[index].index(b'"payload":{') + 11
    at = data.draw(st.integers(begin, len(changed[index]) - 3))
    byte = bytes([data.draw(st.integers(32, 126).filter(lambda one: one != changed[index][at]))])
    changed[index] = changed[index][:at] + byte + changed[index][at + 1 :]
    verdict = check(resealed(changed))
    assert words(verdict) & {"payload_changed", "unreadable"}
    assert {one.line for one in verdict.faults} & {index, index + 1}


def _drop(index: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda all_lines: all_lines[:index] + all_lines[index + 1 :]


LINK_3 = found(GOOD, kind="link", chain=EPISODE, number=3)[0]
PAYLOAD_3 = LINK_3 + 1
LINK_7 = found(GOOD, kind="link", chain=EPISODE, number=7)[0]
BEHIND = found(GOOD, kind="chain", chain=ORDERS)[0]
COMMAND = found(GOOD, kind="link", chain=HIS, number=2)[0]
HEAD = found(GOOD, kind="head", chain=EPISODE)[0]
EMPTY = found(GOOD, kind="chain", chain=HERS)[0]


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("link_missing", _drop(LINK_3)),
        ("payload_added", _drop(LINK_3)),
        ("payload_missing", _drop(PAYLOAD_3)),
        ("link_added", lambda old: [*old[:LINK_3], old[LINK_3], *old[LINK_3:]]),
        ("payload_added", lambda old: [*old[: PAYLOAD_3 + 1], *old[PAYLOAD_3:]]),
        ("link_foreign", lambda old: [*old[:LINK_3], old[COMMAND], *old[LINK_3:]]),
        ("payload_changed", lambda old: [*old[:PAYLOAD_3], _as(3, old[LINK_3 - 1]), *old[PAYLOAD_3 + 1 :]]),
        ("out_of_place", lambda old: [old[HEAD], *old]),
        ("no_header", _drop(0)),
        ("chain_missing", _drop(EMPTY)),
        ("out_of_place", lambda old: [*old, old[0]]),
        ("cut_off", lambda old: [*old[:LINK_7], *old[BEHIND:]]),
    ],
)
def test_what_was_done_to_it_is_named_though_the_seal_was_made_anew(
    what: str, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    verdict = check(resealed(change(lines(GOOD))))
    assert what in words(verdict)
    assert first(verdict, what).line > 0


def _as(number: int, payload_line: bytes) -> bytes:
    said = json.loads(payload_line)
    return payload_line.replace(b'"number":%d' % said["number"], b'"number":%d' % number, 1)


def test_a_chain_that_was_cut_off_and_announced_so_is_found_by_its_head() -> None:
    """Who drops the last links, counts anew, seals anew and leaves the proof: the head knows how long it was."""
    shorter = world()
    shorter.links[EPISODE] = shorter.links[EPISODE][:-1]
    cut = lines(package(shorter, with_head=False))[:-1]
    heads = [lines(GOOD)[index] for index in found(GOOD, kind="head")]
    fault = first(check(resealed([*cut, *heads])), "cut_off")
    assert (fault.chain, fault.number) == (EPISODE, 7)


def test_a_chain_that_was_made_anew_is_found_by_its_head() -> None:
    anew = Chains()
    anew.seal([of_deletion(ORDERS, 99)], NOW_MS)  # other salts from here on
    other = world()
    other.links[ORDERS], other.opened[ORDERS] = [], {}
    anew.seal([sealing.of_order(one) for one in (order(), order(2))], NOW_MS - 3_600_000)
    other.links[ORDERS] = anew.links[ORDERS][:2]
    other.opened[ORDERS] = {n: anew.opened[ORDERS][n] for n in (1, 2)}
    content = resealed(
        [*lines(package(other, with_head=False)), *(lines(GOOD)[n] for n in found(GOOD, kind="head"))]
    )
    assert ("link_changed", ORDERS, 2) in {(one.what, one.chain, one.number) for one in check(content).faults}


def test_a_payload_of_another_alert_is_foreign() -> None:
    chains = world()
    strange = sealing.of_receipt(receipt(OTHER), is_tgd=False)
    chains.seal([Item(chain=EPISODE, kind=Kind.ATTEMPT, kept_as=KeptAs.MEASURE_FILE, source=strange.source,
                      payload=strange.payload)], NOW_MS + 90_000)  # fmt: skip
    runs = [chains.run(EPISODE)]
    header = json.loads(lines(GOOD)[0])
    content = b"".join(written(_header(header), runs, []))
    fault = first(check(content), "payload_foreign")
    assert (fault.chain, fault.number, fault.of) == (EPISODE, 8, "attempt")
    assert OTHER in fault.detail


def _header(said: dict) -> Header:
    said = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
    del said["kind"]
    return Header(**said)


@pytest.mark.parametrize(
    ("member", "value"),
    [("alert", "alr_9"), ("realm", "production"), ("version", 2), ("measures", ["msr_2"]), ("state", "raised"),
     ("devices", ["wearer-1"]), ("opened_ms", NOW_MS + 1), ("ended_ms", None), ("code", "TGD_SOS")],
)  # fmt: skip
def test_the_header_says_what_the_payloads_say(member: str, value: object) -> None:
    header = json.dumps({**json.loads(lines(GOOD)[0]), member: value}, separators=(",", ":")).encode() + b"\n"
    assert "header_changed" in words(check(resealed([header, *lines(GOOD)[1:]]))) or member == "alert"
    assert check(resealed([header, *lines(GOOD)[1:]])).faults


def test_a_lawful_deletion_verifies_as_one_and_is_listed() -> None:
    chains = world()
    chains.seal([of_deletion(EPISODE, 2)], OVER_MS)
    verdict = check(package(chains, hide={EPISODE: (2,)}))
    assert verdict.faults == []
    (erased,) = verdict.erased
    assert (erased.chain, erased.number, erased.of, erased.by) == (EPISODE, 2, "places", "custodian")
    assert "measure_file" in erased.rule


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"at_ms": NOW_MS + 700_000}, "days too early for measure_file"),
        ({"kept_as": KeptAs.ACCESS}, "it erases what is kept as access"),
        ({"kept_as": KeptAs.TGD_POSITION}, "it erases what is kept as tgd_position"),
    ],
)
def test_a_deletion_excuses_only_what_it_may(changes: dict, why: str) -> None:
    """Whoever has the database can link one that erases a ruling of this morning."""
    chains, lawful = world(), of_deletion(EPISODE, 2)
    said = msgspec.structs.replace(msgspec.json.decode(lawful.payload, type=Deletion), **changes)
    chains.seal([msgspec.structs.replace(lawful, payload=msgspec.json.encode(said))], OVER_MS)
    verdict = check(package(chains, hide={EPISODE: (2,)}))
    fault = first(verdict, "deletion_unlawful")
    assert (fault.chain, fault.number, fault.of, verdict.erased) == (EPISODE, 2, "places", [])
    assert why in fault.detail


def test_a_deletion_is_no_licence_for_what_comes_behind_it() -> None:
    chains, before = world(), world()
    del before.links[EPISODE][4:]
    before.seal([of_deletion(EPISODE, 2, 7), *(_again(link) for link in chains.links[EPISODE][4:])], OVER_MS)
    verdict = check(package(before, hide={EPISODE: (2, 7)}))
    found = {(one.number, one.what.value) for one in verdict.faults if one.chain == EPISODE}
    assert found >= {(5, "deletion_unlawful"), (7, "deletion_unlawful")}
    assert [one.number for one in verdict.erased] == [2]


def _again(link: Link) -> Item:
    payload = CHAINS.opened[link.chain][link.number].payload
    return Item(chain=link.chain, kind=link.kind, kept_as=link.kept_as, source=link.source, payload=payload)


def test_without_its_heads_a_package_is_not_good_for_whoever_has_the_heads() -> None:
    """Made anew, cut off, resealed: the published file decides, also where nothing is left to compare with it."""
    content = package(CHAINS)
    known = {"published": {1: json.loads(lines(content)[found(content, kind="head")[0]])["hash"]}}
    known["published_until_ms"] = NOW_MS + 86_400_000
    assert check(content, **known).faults == []
    bare = package(CHAINS, with_head=False)
    assert check(bare).faults == []
    verdict = check(bare, **known)
    assert {(one.what.value, one.chain) for one in verdict.faults} >= {
        ("not_covered", EPISODE), ("not_covered", ORDERS), ("not_covered", HIS), ("not_covered", DAY)
    }  # fmt: skip
    assert check(bare, published={}, published_until_ms=NOW_MS - 86_400_000).faults == []


def test_what_is_erased_is_not_there() -> None:
    chains = world()
    chains.seal([of_deletion(EPISODE, 2)], OVER_MS)
    assert first(check(package(chains)), "not_erased").number == 2


def test_a_deletion_that_names_another_link_excuses_nothing() -> None:
    chains = world()
    chains.seal([of_deletion(EPISODE, 3)], OVER_MS)
    content = package(chains, hide={EPISODE: (2,)})
    fault = first(check(content), "payload_missing")
    assert (fault.chain, fault.number, fault.of) == (EPISODE, 2, "places")


def test_what_a_unit_was_told_during_the_alert_cannot_be_left_out() -> None:
    """F10: every command to a device appears in the evidence; one at another hour need not."""
    assert check(package(CHAINS, hide={HIS: (4,)})).faults == []
    fault = first(check(package(CHAINS, hide={HIS: (2, 4)})), "payload_missing")
    assert (fault.chain, fault.number, fault.of) == (HIS, 2, "command")


def test_an_access_to_another_alert_does_not_belong_here() -> None:
    chains, content = world(), GOOD
    index = found(content, kind="link", chain=DAY, number=2)[0]
    beside = chains.opened[DAY][2]
    line = b'{"kind":"payload","number":2,"salt":"%s","payload":%s}\n' % (
        beside.salt.hex().encode(),
        beside.payload,
    )
    changed = lines(content)
    fault = first(check(resealed([*changed[: index + 1], line, *changed[index + 1 :]])), "payload_foreign")
    assert (fault.chain, fault.number) == (DAY, 2)


def test_every_decision_is_made_again() -> None:
    verdict = check(GOOD, replay=lambda payload: ["another finding"] if b"snapshot" in payload else [])
    fault = first(verdict, "decided_otherwise")
    assert (fault.chain, fault.of, fault.detail) == (EPISODE, "case", "another finding")
    assert check(GOOD).replayed is None, "nobody asked, and it says so"


def test_a_decision_without_its_inputs_is_not_said_to_be_made_again() -> None:
    chains, second = world(), entry("fnd_2")
    again = msgspec.structs.replace(rulings()[2], event=FindingCause(finding=second))
    chains.seal(sealing.of_ruling(4, again), NOW_MS + 80_000)
    uncased = b'{"made":"uncased","why":"from_history","finding":%s}' % msgspec.json.encode(second)
    chains.seal([of_case(uncased, name="fnd_2")], NOW_MS + 90_000)
    verdict = check(package(chains), replay=lambda _: [])
    assert (verdict.cases, verdict.replayed, verdict.uncased, verdict.faults) == (2, 1, 1, [])
    strict = check(package(chains), replay=lambda case: ["no snapshot"] if b"uncased" in case else [])
    assert [one.what for one in strict.faults] == ["decided_otherwise"]


def test_a_case_that_breaks_the_engine_is_a_fault_and_the_rest_is_read() -> None:
    def broken(_: bytes) -> list[str]:
        raise OverflowError("of a fix")

    verdict = check(GOOD, replay=broken)
    assert [one.what for one in verdict.faults] == ["decided_otherwise"]
    assert "OverflowError" in verdict.faults[0].detail
    assert verdict.heads == 4


def test_a_member_that_stands_twice_is_found_even_where_it_was_sealed_so() -> None:
    chains = world()
    chains.seal([Item(chain=EPISODE, kind=Kind.TRACK, kept_as=KeptAs.MEASURE_FILE, source="track:1",
                      payload=b'{"from_ms":1,"from_ms":2}')], NOW_MS + 90_000)  # fmt: skip
    content = b"".join(written(_header(json.loads(lines(GOOD)[0])), [chains.run(EPISODE)], []))
    assert "stands twice" in first(check(content), "payload_foreign").detail


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'{"kind":"link",', b'{"kind":"link", '), (b'"links":2', b'"links":2.0'),
     (b'"whole":true}', b'"whole":true }'), (b'"version":3', b'"version":3,"version":3'),
     (b"realm", b"\\u0072ealm"), (b"\n", b"\r\n")],
)  # fmt: skip
def test_another_form_of_the_same_is_a_changed_line(old: bytes, new: bytes) -> None:
    assert old in GOOD
    verdict = check(resealed(lines(GOOD.replace(old, new, 1))))
    assert words(verdict) & {"line_changed", "unreadable"}


def test_upper_case_digits_are_another_form() -> None:
    index = found(GOOD, kind="payload", number=1)[0]
    changed = lines(GOOD)
    salt = json.loads(changed[index])["salt"].encode()
    changed[index] = changed[index].replace(salt, salt.upper())
    assert "payload_changed" in words(check(resealed(changed)))


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n", b"\xff\n", b"[" * 100_000 + b"\n", GOOD[:-1], GOOD[:200]]
)
def test_what_is_no_package_is_said_to_be_none(content: bytes) -> None:
    assert check(content).faults


def test_versions_that_count_down_disagree() -> None:
    chains = Chains()
    for sequence, ruling in zip((1, 3, 2), rulings(), strict=True):
        chains.seal(sealing.of_ruling(sequence, ruling), NOW_MS)
    content = b"".join(written(_header(json.loads(lines(GOOD)[0])), [chains.run(EPISODE)], []))
    assert "makes it version" in first(check(content), "disagrees").detail


def test_a_payload_that_is_no_json_of_one_line_is_not_written() -> None:
    for payload in (b'{"a":\n1}', b" {}", b"{} ", b"", b'{"a":"\xff"}', b"{}}"):
        chains = Chains()
        chains.seal([Item(chain=EPISODE, kind=Kind.TRACK, kept_as=KeptAs.MEASURE_FILE, source="x",
                          payload=payload)], NOW_MS)  # fmt: skip
        with pytest.raises(Unwritable, match=f"{EPISODE} 1"):
            list(written(_header(json.loads(lines(GOOD)[0])), [chains.run(EPISODE)], []))


def test_the_package_is_compared_with_what_was_published() -> None:
    head, _ = CHAINS.head(None, NOW_MS + 86_400_000)
    later, _ = CHAINS.head(head, NOW_MS + 2 * 86_400_000)
    published = published_heads([line_of(head), line_of(later), line_of(later)[:30]])
    good = check(GOOD, published=published)
    assert (good.compared, good.faults) == (4, [])
    assert check(GOOD).compared is None
    other = check(GOOD, published={1: "00" * 32})
    assert words(other) == {"head_other"}
    assert words(check(GOOD, published={2: later.hash.hex()})) == {"head_other"}
    assert check(GOOD, published={}).unknown_heads == 4


def test_a_published_file_that_was_changed_compares_nothing() -> None:
    head, _ = CHAINS.head(None, NOW_MS)
    with pytest.raises(HeadsUnreadable, match="line 1"):
        published_heads([line_of(head).replace(b'"leaves":4', b'"leaves":5')])
    with pytest.raises(HeadsUnreadable, match="no head"):
        published_heads([b"{}\n"])


def test_nothing_of_the_run_is_needed_twice() -> None:
    """Runs of one chain that overlap are no package."""
    runs = [CHAINS.run(EPISODE), CHAINS.run(HIS, 1, 3), CHAINS.run(HIS, 2, 4)]
    content = b"".join(written(_header(json.loads(lines(GOOD)[0])), runs, []))
    assert "out_of_place" in words(check(content))


def test_an_empty_run_says_that_nothing_is_there() -> None:
    assert Run(chain=HERS, links=()).last == 0


def test_the_page_has_every_fault_and_every_member() -> None:
    """What a chain can have is a part of it."""
    page = (Path(__file__).parents[3] / "docs/evidence.md").read_text()
    first_cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = {word for cell in first_cells for word in re.findall(r"`(\w+)`", cell)}
    assert {one.value for one in chain.Wrong} <= {one.value for one in What} <= named
    for line in lines(GOOD):
        kind, *members = json.loads(line)
        row = next(row for row in page.splitlines() if row.startswith(f"| `{json.loads(line)[kind]}` |"))
        assert re.findall(r"`(\w+)`", row)[1:] == members
