"""Is the catalogue that of the domain, and does its page say what the data says? (DOMAIN section 4)"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from builders import NOW_MS, REALM, act, at_the_border, entry

from alerts.catalogue import CATALOGUE, FAMILIES, UNTOLD, CatalogueEntry, Report, Rooms, Step, Who
from alerts.catalogue.page import COMMAND, page
from alerts.channels import police
from alerts.channels.cap_reader import read_cap
from alerts.channels.police import Sender
from alerts.desk import handle
from alerts.escalation import LADDERS
from alerts.routing import Routing
from tocsin.limits import EPISODE_ROOMS_MAX
from tocsin.model.episode import Channel, FindingCause, Outcome, Ruling, Verb
from tocsin.model.finding import LATCHED, NOTICES, Code, Finding
from tocsin.model.fleet import WHOLE_FLEET, Silenced
from tocsin.model.room import DEFAULT_ROOM

ROOT: Final = Path(__file__).parents[3]

DOMAIN: Final = """
TGD_SOS P1 A,S | TGD_SOS_SILENT P1 A,S | BAR_SOS P1 A,M,S | PROX_ALERT P1 A,M,S | RF_PROXIMITY P1 A,M
PREALERT_NO_ANSWER P1 A,M | ZONE_CORE_ENTRY P1 M,A | STRAP_TAMPER P1-2 M,A | PROX_PREALERT P2 M | IMMINENT P2 M,A
DEGRADED P1-2 M,A | SEPARATION P1-2 M | JAMMING_SUSPECTED P2 M,S,T | SPOOF_SUSPECTED P2 M,S,T | W_DEVICE_OFF P2 M,A
W_BATT_DEAD P2 M,A | ZONE_ENTRY P2 M | ZONE_EXIT P3 M | W_GNSS_LOSS P2-3 M | W_COMMS_LOSS P2-3 M
W_BATT_CRIT P3 M | V_DEVICE_OFF P2-3 A
V_COMMS_LOSS P2-3 A | PROBING P3 S | FROZEN_FIX P3 M,T | LOW_YIELD P3 M,T | V_NOT_CARRIED P4 A
TGD_UNREACHABLE P4 A | OPEN_FAULT_24H P4 S | ORDER_NOT_FITTED P4 S | ORDER_EXPIRING P4 S
W_BATT_LOW P5 - | V_BATT_LOW P5 - | TGD_BATT_LOW P5 - | TGD_TEST_OK P5 - | TGD_TEST_MISSED P4 -
SYS_FLEET_SILENCE P1 S,T,C | SYS_PIPELINE_LAG P1 S,T | SYS_NOTIFY_FAIL P1 S,T | SYS_CANARY_FAIL P1 S,T
SYS_CAPACITY P1 S,T | SYS_CLOCK P1 S,T
"""
"""The table of the domain: code, priorities from the worst to the least, who is told at once."""

OURS: Final = {Code.ZONE_PREALERT, Code.CLOCK_SKEW, Code.PAST_INCURSION, Code.SYS_AUDIT}
ROWS: Final = [one.split() for one in re.split(r"[|\n]", DOMAIN.strip())]


@pytest.mark.parametrize(("code", "priorities", "letters"), ROWS, ids=[one[0] for one in ROWS])
def test_the_row_is_that_of_the_domain(code: str, priorities: str, letters: str) -> None:
    row = CATALOGUE[Code(code)]
    bounds = [int(one) for one in priorities[1:].split("-")]
    assert row.priorities == tuple(range(bounds[0], bounds[-1] + 1))
    assert [one.value for one in row.who] == ([] if letters == "-" else letters.split(","))
    assert not row.ours_fr


def test_no_row_is_missing_and_our_own_say_why_they_are_there() -> None:
    assert {Code(one[0]) for one in ROWS} | OURS == set(CATALOGUE) == set(Code) - UNTOLD
    assert {row.code for row in CATALOGUE.values() if row.ours_fr} == OURS
    assert sum(len(rows) for rows in FAMILIES.values()) == len(CATALOGUE), "a code has one row"


@pytest.mark.parametrize("row", CATALOGUE.values(), ids=str)
def test_the_channels_follow_from_the_letters(row: CatalogueEntry) -> None:
    """Everything is the téléassistance's; the rooms of the place are the protocol's, never a pre-alert's (R24-20);
    who keeps the system running hears of the system."""
    assert row.told[0] is Channel.TELEASSISTANCE
    assert (Channel.POLICE in row.told) is (row.hand_off or Who.POLICE in row.who)
    assert (Channel.OPERATIONS in row.told) is row.code.value.startswith("SYS_")
    assert not row.hand_off or row.priority == 1
    assert row.latched is (row.code in LATCHED)
    assert {Who.PROTECTED, Who.WEARER}.isdisjoint(row.who), "never at once (invariants 5 and 18)"


def test_whom_the_police_are_no_part_of() -> None:
    assert {row.code for row in CATALOGUE.values() if row.rooms is Rooms.EVERY} == {Code.SYS_FLEET_SILENCE}
    assert CATALOGUE[Code.PROX_PREALERT].rooms is Rooms.NONE
    assert Report.PROSECUTOR in CATALOGUE[Code.PROX_ALERT].report, "CPC 1136-19"
    assert {row.code for row in CATALOGUE.values() if row.automatic} == {
        Code.TGD_TEST_OK, Code.TGD_BATT_LOW
    }  # fmt: skip
    assert not {row.code for row in CATALOGUE.values() if row.fault} & NOTICES, "a fault is not its own notice"


# --- scripts ---------------------------------------------------------------------------------------------------


def steps() -> list[tuple[Code, Step]]:
    return [(row.code, step) for row in CATALOGUE.values() for step in row.script]


def test_every_p1_to_p3_has_a_script_whose_steps_have_names_of_their_own() -> None:
    for row in CATALOGUE.values():
        names = [step.id for step in row.script]
        assert len(names) == len(set(names)), row.code
        assert names or row.priority == 5, row.code
        assert all(re.fullmatch(r"[a-z_]+", name) for name in names)


def test_a_key_is_answered_within_ten_seconds_and_a_wearer_rung_within_thirty() -> None:
    assert CATALOGUE[Code.TGD_SOS].script[0].within_s == CATALOGUE[Code.BAR_SOS].script[0].within_s == 10
    assert CATALOGUE[Code.PROX_PREALERT].script[0].within_s == 30
    assert CATALOGUE[Code.SEPARATION].script[0].within_s == 180
    assert CATALOGUE[Code.TGD_SOS_SILENT].script[0].say_fr is None, "nobody speaks into a silent call"


WHERE: Final = re.compile(
    r"\b(nord|sud|l'est|l'ouest|mètres?|km|kilomètres?|rue|adresse|à droite|à gauche|elle|victime)\b"
)


def test_nothing_that_is_said_to_the_wearer_says_where_she_is() -> None:
    """Invariant 5, F34: a function of the zone, without direction, distance or place."""
    said = [step for _, step in steps() if "le porteur" in step.do_fr.lower() and step.say_fr]
    assert len({step.say_fr for step in said}) >= 6
    for step in said:
        assert not WHERE.search((step.say_fr or "").lower()), step.id
    assert WHERE.search("elle est au nord"), "the check can fail"


# --- F04: every room of an outage ------------------------------------------------------------------------------


def outage() -> Finding:
    silenced = Silenced(group=WHOLE_FLEET, silent=350, expected=400, since_ms=NOW_MS - 90_000, pairs=175, worst=())
    return entry(
        code=Code.SYS_FLEET_SILENCE, measure=WHOLE_FLEET.subject, wearer=None, protected=None, distance_dm=None,
        threshold_m=0, silenced=silenced, silent_since_ms=NOW_MS - 90_000,
    )  # fmt: skip


ADDRESSED: Final = tuple(f"CIC-{number:03}" for number in range(200))


def test_every_room_hears_of_an_outage_and_of_its_end() -> None:
    """F04. The map says nothing of it: what is silent has no place."""
    routing = Routing(territory=at_the_border(), addressed=frozenset(ADDRESSED))
    opened = handle(None, FindingCause(finding=outage()), REALM, NOW_MS, routing)
    assert isinstance(opened, Ruling)
    rooms = {one.recipient for one in opened.notifications if one.channel is Channel.POLICE}
    assert rooms == {*ADDRESSED, DEFAULT_ROOM}
    assert len(rooms) <= EPISODE_ROOMS_MAX
    taken = handle(opened.episode, _act(opened, Verb.ACKNOWLEDGE), REALM, NOW_MS, routing)
    assert isinstance(taken, Ruling)
    closed = handle(taken.episode, _act(taken, Verb.CLOSE, outcome=Outcome.TECHNICAL), REALM, NOW_MS, routing)
    assert isinstance(closed, Ruling)
    assert {one.recipient for one in closed.notifications if one.channel is Channel.POLICE} == rooms


def _act(before: Ruling, verb: Verb, **changes):
    return act(verb, before.episode.version, episode=before.episode.id, **changes)


def test_a_room_reads_of_an_outage_and_of_nobody_s_nearness() -> None:
    opened = handle(None, FindingCause(finding=outage()), REALM, NOW_MS)
    assert isinstance(opened, Ruling)
    told = next(one for one in opened.notifications if one.channel is Channel.POLICE)
    (info,) = read_cap(police.body(opened, told, Sender(site="paca", callback="+33199000000"))).infos
    assert "350 dispositifs sur 400" in info.description
    assert "Porteur à" not in info.description
    assert info.areas[0].circles == ()


# --- the page --------------------------------------------------------------------------------------------------


def test_the_page_is_what_the_data_says() -> None:
    assert (ROOT / "docs/alerts.md").read_text() == page(), f"stale: {COMMAND}"


def test_the_page_has_a_section_for_each_code_and_every_word_of_a_script() -> None:
    written = page()
    for row in CATALOGUE.values():
        assert written.count(f"\n### {row.code}\n") == 1
        assert row.trigger_fr in written
    for code, step in steps():
        section = written.split(f"\n### {code}\n")[1].split("\n##")[0]
        assert step.do_fr in section
        assert (step.say_fr or "") in section


def test_the_page_prints_each_rung_of_the_ladders_with_its_second() -> None:
    section = page().split("## Quand personne ne la prend")[1].split("\n## ")[0]
    printed = re.findall(r"^\| P(\d) \| (\d+) s \|", section, re.MULTILINE)
    climbs = [(str(priority), str(one.after_s)) for priority, ladder in LADDERS.items() for one in ladder]
    assert sorted(printed) == sorted(climbs)
