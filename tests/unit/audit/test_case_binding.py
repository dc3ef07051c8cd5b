"""Is the case in a package that of the ruling in its chain, one for each, and is what lacks said for what it is?
F09, F10."""

from __future__ import annotations

import msgspec
import pytest
from builders import NOW_MS, WEARER, entry, fix_point, leaving
from evidence_world import (
    EPISODE,
    MINUTE_MS,
    OVER_MS,
    Chains,
    case_payload,
    lines,
    of_case,
    of_deletion,
    package,
    rulings,
    world,
)  # fmt: skip
from reference.package_check import problems

from audit.case_binding import Alert, is_decided
from audit.package_verification import Verdict, verify
from audit.witness import case_in
from tocsin import sealing
from tocsin.chain import Item, KeptAs, Kind
from tocsin.model.episode import FindingCause, Ruling
from tocsin.model.finding import Finding, Past
from tocsin.model.fleet import WHOLE_FLEET, Silenced

CASE_LINK = 7


def of_track() -> Item:
    return Item(
        chain=EPISODE, kind=Kind.TRACK, kept_as=KeptAs.MEASURE_FILE, source="track:1", payload=b'{"devices":{}}'
    )


def checked(chains: Chains, hide: tuple[int, ...] = ()) -> Verdict:
    """By both verifiers, which agree."""
    content = package(chains, hide={EPISODE: hide})
    verdict = verify(lines(content), replay=lambda _: [])
    assert bool(problems(content)) == bool(verdict.faults)
    return verdict


def words(verdict: Verdict) -> set[tuple[str, int]]:
    return {(one.what.value, one.number) for one in verdict.faults}


def lacks(verdict: Verdict) -> list[tuple[int, str, str]]:
    return [(one.number, one.finding, one.why.value) for one in verdict.undecided]


def test_the_case_that_is_its_own_is_good() -> None:
    verdict = checked(world())
    assert (verdict.faults, verdict.undecided) == ([], [])


OTHERS = [
    ("distance_dm", entry(distance_dm=9_408)),
    ("wearer", entry(wearer=fix_point(WEARER, lat_e6=43_304_113))),
    ("protected", entry(protected=None)),
    ("at_ms", entry(at_ms=NOW_MS + 1)),
    ("id", entry("fnd_other")),
    ("authorised", entry(authorised=True)),
]


@pytest.mark.parametrize(("name", "other"), OTHERS, ids=[name for name, _ in OTHERS])
def test_a_case_of_another_decision_does_not_stand_in_its_place(name: str, other: Finding) -> None:
    """Consistent in itself, linked under the right name, and decided again without a difference."""
    verdict = checked(world(cases=[of_case(case_payload(other))]))
    assert words(verdict) == {("case_foreign", CASE_LINK)}
    assert name in verdict.faults[0].detail
    assert "43304113" not in verdict.faults[0].detail


def test_one_that_cannot_be_read_is_none() -> None:
    for payload in (b"{}", b'{"finding":1}', b"[]"):
        assert words(checked(world(cases=[of_case(payload)]))) == {("case_foreign", CASE_LINK)}


def test_a_case_of_what_no_ruling_of_the_alert_says_is_foreign() -> None:
    foreign = of_case(case_payload(entry("fnd_9")), name="fnd_9")
    assert words(checked(world(cases=[of_case(), foreign]))) == {("case_foreign", CASE_LINK + 1)}


def test_two_of_one_decision_are_one_too_many() -> None:
    assert words(checked(world(cases=[of_case(), of_case()]))) == {("case_doubled", CASE_LINK + 1)}


def decided(finding: Finding, at_ms: int = NOW_MS + 2 * MINUTE_MS) -> Ruling:
    """A later ruling of the alert, that came of this."""
    return msgspec.structs.replace(rulings()[2], event=FindingCause(finding=finding), at_ms=at_ms)


def of_second() -> Item:
    return of_case(case_payload(entry("fnd_in2")), name="fnd_in2")


def test_where_a_later_decision_has_its_case_and_one_has_none_it_is_missing() -> None:
    chains = world(cases=[of_track()])
    chains.seal(sealing.of_ruling(4, decided(entry("fnd_in2"))), NOW_MS + 2 * MINUTE_MS)
    chains.seal([of_second()], NOW_MS + 3 * MINUTE_MS)
    verdict = checked(chains)
    assert words(verdict) == {("case_missing", 1)}
    assert verdict.undecided == []


def test_a_track_shows_nothing_of_the_cases_which_come_another_way() -> None:
    verdict = checked(world(cases=[of_track()]))
    assert (verdict.faults, lacks(verdict)) == ([], [(1, "fnd_in1", "case_never_made")])


def test_in_a_record_that_was_made_again_from_the_log_the_cases_of_before_are_not_missing() -> None:
    """The witness had acknowledged them; what comes behind has its case again."""
    chains = world(cases=[])
    again_ms = NOW_MS + 24 * 60 * MINUTE_MS
    third = decided(entry("fnd_in3"), again_ms)
    chains.seal(sealing.of_ruling(4, decided(entry("fnd_in2"))), again_ms)
    chains.seal(sealing.of_ruling(5, third), again_ms)
    chains.seal([of_case(case_payload(entry("fnd_in3")), name="fnd_in3")], again_ms)
    verdict = checked(chains)
    assert words(verdict) == {("case_missing", 1)}, "linked when it was made; the second was linked a day later"
    assert [one[1:] for one in lacks(verdict)] == [("fnd_in2", "case_never_made")]


@pytest.mark.parametrize("depth", [60, 300, 700, 900])
def test_what_is_nested_without_end_is_a_fault_with_a_name(depth: int) -> None:
    deep = case_payload().replace(b'"finding":{', b'"finding":{"deep":' + b"[" * depth + b"]" * depth + b",", 1)
    assert words(checked(world(cases=[of_case(deep)]))) == {("case_foreign", CASE_LINK)}


def test_where_the_witness_never_was_that_is_said_and_no_fault() -> None:
    verdict = checked(world(cases=[]))
    assert (verdict.faults, lacks(verdict)) == ([], [(1, "fnd_in1", "case_never_made")])


def test_a_later_decision_whose_case_is_not_sealed_yet_is_no_fault_of_the_first() -> None:
    chains = world()
    second = Ruling(**{
        **{name: getattr(rulings()[2], name) for name in Ruling.__struct_fields__},
        "event": FindingCause(finding=entry("fnd_in2")),
    })  # fmt: skip
    chains.seal(sealing.of_ruling(4, second), NOW_MS + 2 * MINUTE_MS)
    verdict = checked(chains)
    assert (verdict.faults, lacks(verdict)) == ([], [(8, "fnd_in2", "case_never_made")])
    chains.seal([of_case(case_payload(entry("fnd_in2")), name="fnd_in2")], NOW_MS + 3 * MINUTE_MS)
    assert (checked(chains).faults, lacks(checked(chains))) == ([], [])


def test_a_case_that_was_erased_by_the_law_is_said_to_be_that() -> None:
    chains = world()
    chains.seal([of_deletion(EPISODE, CASE_LINK)], OVER_MS)
    verdict = checked(chains, hide=(CASE_LINK,))
    assert (verdict.faults, lacks(verdict)) == ([], [(1, "fnd_in1", "case_erased")])


def test_a_case_that_is_gone_without_a_deletion_is_no_lack_but_a_fault() -> None:
    verdict = checked(world(), hide=(CASE_LINK,))
    assert (words(verdict), verdict.undecided) == ({("payload_missing", CASE_LINK)}, [])


def test_a_case_whose_ruling_was_erased_is_said_to_be_one() -> None:
    chains = world()
    chains.seal([of_deletion(EPISODE, 1)], OVER_MS)
    verdict = checked(chains, hide=(1,))
    assert (verdict.faults, lacks(verdict)) == ([], [(CASE_LINK, "fnd_in1", "ruling_gone")])


def test_without_the_places_the_rest_is_compared() -> None:
    chains = world(cases=[of_case(case_payload(entry(distance_dm=1)))])
    chains.seal([of_deletion(EPISODE, 2)], OVER_MS)
    assert words(checked(chains, hide=(2,))) == {("case_foreign", CASE_LINK)}


def test_what_one_version_writes_and_another_does_not_is_no_difference() -> None:
    said = msgspec.json.decode(case_payload())
    said["finding"]["of_a_later_version"] = None
    del said["finding"]["zone"], said["finding"]["authorised"]
    assert checked(world(cases=[of_case(msgspec.json.encode(said))])).faults == []


def test_a_number_in_another_form_is_another_number() -> None:
    other = case_payload().replace(b'"threshold_m":1000', b'"threshold_m":1000.0')
    assert words(checked(world(cases=[of_case(other)]))) == {("case_foreign", CASE_LINK)}


SILENCED = Silenced(group=WHOLE_FLEET, silent=7, expected=8, since_ms=1, pairs=7, worst=())
FINDINGS = [
    entry(),
    leaving(entry()),
    entry(measure="canary-3"),
    entry(measure="msr_canary"),
    entry(silenced=SILENCED),
    entry(past=Past(first_ms=1, last_ms=2, nearest_ms=1, wearer=None, protected=None, late=())),
]


@pytest.mark.parametrize("finding", FINDINGS)
@pytest.mark.parametrize("others", [(), ("msr_1",), ("canary-4",)])
def test_it_asks_for_a_case_exactly_where_the_witness_makes_one(finding: Finding, others: tuple[str, ...]) -> None:
    opened = rulings()[0]
    episode = msgspec.structs.replace(opened.episode, measures=(finding.measure, *others), device=None)
    ruling = msgspec.structs.replace(opened, episode=episode, event=FindingCause(finding=finding))
    alert = Alert(code=episode.code.value, measures=episode.measures, device=episode.device)
    assert is_decided(msgspec.to_builtins(finding), alert) == (case_in(ruling) is not None)
