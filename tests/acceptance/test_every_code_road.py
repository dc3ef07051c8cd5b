"""Does every code of the catalogue come from the log to whom its row names, and into the record? DOMAIN section 4.

All of it happens once, on one site whose rooms hear at the raise;
a code that is new to the catalogue and has no case here fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest
import pytest_asyncio
from builders import NOW_MS, PROTECTED, WEARER, entry, fix_point, press
from real_broker import emptied
from timeline_world import MARTIN, OPERATIONS, TELEASSISTANCE, World, world

from alerts.catalogue import CATALOGUE, UNTOLD, Rooms
from tocsin.adapters.episodes import Timeline
from tocsin.adapters.jetstream import open_bus
from tocsin.embedded import BrokerAddresses
from tocsin.model.episode import Channel, Episode
from tocsin.model.finding import NOTICES, Alarm, Change, Code, Finding, Past
from tocsin.model.fleet import Dimension, Group, Silenced
from tocsin.model.notice import Notice
from tocsin.model.protocol import PoliceMode

pytest_plugins = ("database",)
pytestmark = pytest.mark.timeout(120)

ROOMS: Final = ("CIC-13", "CORG-13")
EVERY_ROOM: Final = (*ROOMS, "elsewhere")
GROUP: Final = Group(dimension=Dimension.CARRIER, value="one")
PLACES: Final = {Code.ZONE_CORE_ENTRY, Code.ZONE_ENTRY, Code.ZONE_PREALERT, Code.ZONE_EXIT}


def name_of(code: Code) -> str:
    """A measure of its own."""
    return f"msr_{code.value}"


def found(code: Code, **changes: Any) -> Finding:
    return entry(f"fnd_{code.value}", **{"code": code, "measure": name_of(code), **changes})


def said(code: Code, **changes: Any) -> Alarm:
    return press(f"alm_{code.value}", code=code, device=f"dev-{code.value}", measures=(name_of(code),), **changes)


def noticed(code: Code) -> Notice:
    name = f"ntc_{code.value}"
    return Notice(
        id=name, code=code, subject=f"about-{code.value}", change=Change.ENTRY, at_ms=NOW_MS, entry=name,
        entry_ms=NOW_MS, reason="said", measures=() if code.value.startswith("SYS_") else (name_of(code),),
    )  # fmt: skip


def past() -> Finding:
    whole = Past(
        first_ms=NOW_MS - 600_000, last_ms=NOW_MS - 540_000, nearest_ms=NOW_MS - 570_000, wearer=fix_point(WEARER),
        protected=fix_point(PROTECTED), late=(),
    )  # fmt: skip
    return found(Code.PAST_INCURSION, past=whole, at_ms=NOW_MS - 600_000)


def silence() -> Finding:
    silenced = Silenced(group=GROUP, silent=350, expected=400, since_ms=NOW_MS - 90_000, pairs=175, worst=())
    return found(
        Code.SYS_FLEET_SILENCE, measure=GROUP.subject, wearer=None, protected=None, distance_dm=None,
        threshold_m=0, silenced=silenced, silent_since_ms=NOW_MS - 90_000, order_version=0,
    )  # fmt: skip


RINGS_AT_ONCE: Final = {Code.BAR_SOS, Code.TGD_SOS, Code.RF_PROXIMITY, Code.STRAP_TAMPER}
EVENTS: Final = {Code.RF_PROXIMITY: "rf_proximity", Code.STRAP_TAMPER: "strap_open"}
FROM_DISTANCE: Final = {
    Code.PROX_ALERT, Code.PROX_PREALERT, Code.IMMINENT, Code.DEGRADED, Code.W_GNSS_LOSS, Code.W_COMMS_LOSS,
    Code.V_COMMS_LOSS, Code.SEPARATION, Code.JAMMING_SUSPECTED, Code.SPOOF_SUSPECTED, Code.W_DEVICE_OFF,
    Code.V_DEVICE_OFF, Code.W_BATT_DEAD, Code.W_BATT_CRIT, Code.W_BATT_LOW, Code.V_BATT_LOW, Code.PROBING,
    Code.FROZEN_FIX, Code.LOW_YIELD, Code.V_NOT_CARRIED, Code.CLOCK_SKEW,
}  # fmt: skip

CASES: Final[Mapping[Code, Finding | Alarm | Notice]] = {
    **{code: found(code) for code in FROM_DISTANCE},
    **{code: found(code, zone="school") for code in PLACES},
    **{code: said(code, event=EVENTS.get(code, "")) for code in RINGS_AT_ONCE},
    **{code: noticed(code) for code in NOTICES},
    Code.TGD_SOS_SILENT: press("alm_silent", code=Code.TGD_SOS, device="tgd-silent", measures=(), silent=True),
    Code.PREALERT_NO_ANSWER: entry(
        "fnd_refuses", code=Code.PROX_PREALERT, measure=name_of(Code.PREALERT_NO_ANSWER)
    ),
    Code.PAST_INCURSION: past(),
    Code.SYS_FLEET_SILENCE: silence(),
}
"""What raises it. PREALERT_NO_ANSWER: a pre-alert, and he refuses the order."""


@dataclass(frozen=True, slots=True)
class Came:
    """What became of one code."""

    episode: Episode
    heard: Mapping[str, int]
    timeline: Timeline


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def came(broker: BrokerAddresses, module_dsn: str) -> dict[Code, Came]:
    """The site is gone before the first test looks at what it did."""
    await emptied(broker)
    async with (
        open_bus(broker.nats_url, "tests") as bus,
        world(bus, broker, module_dsn, PoliceMode.AUTO_PREADVICE) as here,
    ):
        await here.happens(*CASES.values())
        await _he_refuses(here)
        await here.is_recorded()
        newest = {ruling.episode.id: ruling.episode for _, ruling in here.rulings}
        return {
            one.code: Came(one, _heard(here, one), await here.record.timeline(one.id)) for one in newest.values()
        }


async def _he_refuses(here: World) -> None:
    about = {"code": Code.PROX_PREALERT, "subject": name_of(Code.PREALERT_NO_ANSWER)}
    await here.takes(MARTIN, **about)
    refused = {"kind": "order", "party": "wearer", "outcome": "refused"}
    await here.act(MARTIN, "POST", "actions", refused, **about)


def _heard(here: World, episode: Episode) -> dict[str, int]:
    """How often its id came to whom."""
    name = episode.id.encode()
    return {who: sum(name in one.body for one in recipient.heard) for who, recipient in here.people.items()}


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_code_is_raised_told_to_whom_its_row_names_and_recorded(code: Code, came: dict[Code, Came]) -> None:
    row, one = CATALOGUE[code], came[code]
    rooms = {Rooms.NONE: (), Rooms.PLACE: ROOMS, Rooms.EVERY: EVERY_ROOM}[row.rooms]
    if code is Code.TGD_SOS_SILENT or code is Code.TGD_SOS:
        rooms = tuple(room for room in ROOMS if one.heard[room])  # of a place near the border
        assert rooms
    told = {TELEASSISTANCE, *rooms, *([OPERATIONS] if Channel.OPERATIONS in row.told else [])}
    assert {who for who, times in one.heard.items() if times} == told
    assert one.episode.priority == row.priority
    opening = one.timeline.rulings[0].ruling
    assert opening.episode.id == one.episode.id
    taken = {receipt.notification for receipt in one.timeline.attempts if receipt.t8_ms is not None}
    owed = {sent.id for each in one.timeline.rulings for sent in each.ruling.notifications}
    assert owed <= taken | _for_her_unit(one.timeline), "each notification has been taken, and says so"


def _for_her_unit(timeline: Timeline) -> set[str]:
    """She has none here: these measures are of other units."""
    return {
        sent.id for each in timeline.rulings for sent in each.ruling.notifications if sent.channel is Channel.UNIT
    }


def test_every_code_has_a_case() -> None:
    assert set(CASES) == set(CATALOGUE)
    assert set(CASES) | UNTOLD == set(Code)


def test_what_opens_no_alert_is_a_state_or_a_proof(came: dict[Code, Came]) -> None:
    assert not UNTOLD & set(came)
