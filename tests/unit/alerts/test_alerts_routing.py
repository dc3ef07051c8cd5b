"""Who is told of a place? DOMAIN section 4: the room of her place, a second one if he is in another's.

F04: the rooms, not a mailbox; never nobody.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import shapely
import structlog
from builders import NOW_MS, PROTECTED, REALM, SECRET, WEARER, at_the_border, entry, fix_point, press, squares
from builders import preadvised as handle
from prometheus_client import REGISTRY

from alerts.__main__ import LAB_TERRITORY, _lookup_failed, _territory
from alerts.episodes import remembering
from alerts.routing import Routing
from alerts.territory import Territory
from tocsin.limits import BORDER_MARGIN_M, EPISODE_ROOMS_MAX
from tocsin.model.episode import AlarmCause, Channel, Episode, FindingCause, Notification, Realm, Ruling
from tocsin.model.finding import Code, Finding
from tocsin.model.room import DEFAULT_ROOM, PREFECTURE_DE_POLICE, ROOM_NAME, Force, department_of, room_of
from tocsin.settings import Settings
from tocsin.territory_file import Areas, unpack

BORDER = Routing(territory=at_the_border())
BORDER_LAT_E6 = 43_300_000
METRES_E6 = 1e6 / 111_100


def north(metres: float) -> int:
    """Microdegrees of a latitude so many metres north of the border."""
    return round(BORDER_LAT_E6 + metres * METRES_E6)


def pair(her_m: float, his_m: float, accuracy_dm: int | None = 100) -> Finding:
    return entry(
        protected=fix_point(PROTECTED, lat_e6=north(her_m), accuracy_dm=accuracy_dm),
        wearer=fix_point(WEARER, lat_e6=north(his_m), accuracy_dm=accuracy_dm),
    )


#   her and his metres north of the border, accuracy in dm, rooms; 10 m accuracy is a radius of 16 m
PLACES: dict[str, tuple[float, float, int | None, tuple[str, ...]]] = {
    "both deep in one area": (-5_000, -4_000, 100, ("CIC-13",)),
    "he is in the other's": (-5_000, 5_000, 100, ("CIC-13", "CORG-13")),
    "both deep in the other": (5_000, 4_000, 100, ("CORG-13",)),
    "she is near the border": (-510, -2_000, 100, ("CIC-13", "CORG-13")),
    "she is just not near it": (-525, -2_000, 100, ("CIC-13",)),
    "her accuracy reaches over it": (-1_500, -5_000, 10_000, ("CIC-13", "CORG-13")),
    "an absent accuracy is the worst case, not zero": (-740, -5_000, None, ("CIC-13", "CORG-13")),
    "beyond the worst case": (-760, -5_000, None, ("CIC-13",)),
    "she is known to a county": (-19_000, -19_000, 500_000, ("CIC-13", "CORG-13", DEFAULT_ROOM)),
    "she is at sea": (-200_000, -200_000, 100, (DEFAULT_ROOM,)),
    "she is at sea and he is not": (-200_000, -4_000, 100, ("CIC-13", DEFAULT_ROOM)),
}


@pytest.mark.parametrize(("her_m", "his_m", "accuracy_dm", "rooms"), PLACES.values(), ids=PLACES)
def test_rooms_for_a_pair(her_m: float, his_m: float, accuracy_dm: int | None, rooms: tuple[str, ...]) -> None:
    assert BORDER.rooms_for(pair(her_m, his_m, accuracy_dm)) == rooms


def test_the_margin_is_a_setting_in_true_metres() -> None:
    for margin_m in (0, BORDER_MARGIN_M, 2_000):
        routing = Routing(territory=at_the_border(), margin_m=margin_m)
        near, far = pair(-margin_m - 10, -9_000), pair(-margin_m - 22, -9_000)
        assert (routing.rooms_for(near), routing.rooms_for(far)) == (("CIC-13", "CORG-13"), ("CIC-13",))


@pytest.mark.parametrize("routing", [Routing(), BORDER])
def test_a_key_without_a_place_is_told_to_the_default(routing: Routing) -> None:
    assert routing.rooms_for(press(position=None)) == (DEFAULT_ROOM,)


def test_without_a_territory_everything_is_the_defaults() -> None:
    assert Routing().rooms_for(pair(-5_000, 5_000)) == (DEFAULT_ROOM,)


class Failing(Territory):
    """A map that cannot answer for a place; its error's words would hold the position."""

    def rooms_at(self, lat: float, lon: float, radius_m: float) -> tuple[str, ...]:
        if lat < BORDER_LAT_E6 / 1e6:
            raise shapely.errors.GEOSException(f"TopologyException at {lat} {lon}")
        return super().rooms_at(lat, lon, radius_m)


def test_a_look_up_that_fails_is_the_defaults_and_is_said_without_a_place() -> None:
    failed: list[str] = []
    routing = Routing(territory=Failing(unpack(LAB_TERRITORY.read_bytes())), lookup_failed=failed.append)
    ruling = ruled(FindingCause(finding=pair(-5_000, -4_000)), routing=routing)
    assert (rooms_of(ruling), failed) == ([DEFAULT_ROOM], ["GEOSException"] * 2)
    _lookup_failed("GEOSException")
    assert REGISTRY.get_sample_value("tocsin_rulings_total", {"reason": "lookup_failed"}) == 1.0


def ruled(event: Any, episode: Episode | None = None, routing: Routing = BORDER) -> Ruling:
    ruling = handle(episode, event, REALM, NOW_MS, routing)
    assert isinstance(ruling, Ruling)
    return ruling


def rooms_of(ruling: Ruling) -> list[str]:
    return [one.recipient for one in ruling.notifications if one.channel is Channel.POLICE]


def test_the_ruling_carries_a_notification_for_each_room() -> None:
    ruling = ruled(FindingCause(finding=pair(-5_000, 5_000)))
    assert rooms_of(ruling) == ["CIC-13", "CORG-13"]
    assert len({one.id for one in ruling.notifications}) == 3
    assert {one.room: [sent.id for sent in one.sent] for one in ruling.episode.told} == {
        one.recipient: [one.id] for one in ruling.notifications if one.recipient
    }


def test_a_press_by_her_goes_to_her_room_alone() -> None:
    here = fix_point(PROTECTED, lat_e6=north(3_000))
    assert rooms_of(ruled(AlarmCause(alarm=press(position=here)))) == ["CORG-13"]


def test_a_prealert_is_no_business_of_a_room() -> None:
    assert rooms_of(ruled(FindingCause(finding=entry(code=Code.PROX_PREALERT)))) == []


def test_two_desks_with_the_same_map_rule_the_same() -> None:
    """Invariant 11: the map is an argument like the hour."""
    cause = FindingCause(finding=pair(-5_000, 5_000))
    assert ruled(cause) == ruled(cause, routing=Routing(territory=at_the_border()))
    assert ruled(cause).episode.realm is Realm.LAB


def test_an_episode_remembers_so_many_rooms_and_forgets_the_one_longest_without_news() -> None:
    episode = ruled(FindingCause(finding=pair(-5_000, -4_000))).episode
    for number in range(EPISODE_ROOMS_MAX):
        told = Notification(id=f"evt_{number}", channel=Channel.POLICE, type="t", recipient=f"CIC-{number:02}")
        episode = remembering(episode, (told,), NOW_MS)
    assert [one.room for one in episode.told] == [f"CIC-{number:02}" for number in range(EPISODE_ROOMS_MAX)]


def test_a_corner_of_three_is_told_to_all_three() -> None:
    corner = squares(
        ("CIC-13", 5.0, 43.0, 5.369731, 43.296587), ("CORG-13", 5.369731, 43.0, 6.0, 43.296587),
        ("CORG-84", 5.0, 43.296587, 6.0, 43.6),
    )  # fmt: skip
    found = Routing(territory=corner, margin_m=0).rooms_for(press())
    assert found == ("CIC-13", "CORG-13", "CORG-84")


PN, GN = Force.POLICE, Force.GENDARMERIE

# --- names of rooms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("commune", "force", "room"),
    [
        ("13055", PN, "CIC-13"), ("13001", GN, "CORG-13"), ("2A004", PN, "CIC-2A"), ("2B033", GN, "CORG-2B"),
        ("97411", PN, "CIC-974"), ("98735", GN, "CORG-987"), ("01004", GN, "CORG-01"), ("95018", PN, "CIC-95"),
        ("75056", PN, "CIC-75"), ("92012", PN, "CIC-75"), ("93066", PN, "CIC-75"), ("94028", PN, "CIC-75"),
    ],
)  # fmt: skip
def test_the_room_of_a_commune(commune: str, force: Force, room: str) -> None:
    assert room_of(commune, force) == room
    assert ROOM_NAME.fullmatch(room)
    assert (department_of(commune) in PREFECTURE_DE_POLICE) is (room == "CIC-75")


# --- which map a dispatcher starts with ------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"", b"TOCTER\x00\x01rubbish"])
def test_a_dispatcher_with_a_broken_map_starts_all_the_same_and_says_so(
    tmp_path: Path, content: bytes | None
) -> None:
    """It may be a restart at night: everything to the default recipient is better than no alert at all."""
    file = tmp_path / "france.territory"
    if content is not None:
        file.write_bytes(content)
    with structlog.testing.capture_logs() as said:
        assert _territory(Settings(territory=file)) is None
    assert [(one["event"], one["log_level"]) for one in said] == [("territory_unreadable", "critical")]


def test_a_map_that_no_tree_can_be_made_of_is_no_reason_either(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_tree(areas: Areas) -> None:
        raise shapely.errors.GEOSException("out of memory")

    monkeypatch.setattr("alerts.territory.outlines", no_tree)
    with structlog.testing.capture_logs() as said:
        assert _territory(Settings()) is None
    assert [(one["event"], one["log_level"]) for one in said] == [("territory_unreadable", "critical")]


def test_a_room_that_the_map_does_not_have_is_named() -> None:
    endpoint = {"url": "https://c.example", "secret": SECRET}
    rooms = {"CIC-99": endpoint, "CIC-98": endpoint}
    settings = Settings(police_url="https://p.example", police_secret=SECRET, police_rooms=rooms)
    with structlog.testing.capture_logs() as said:
        assert _territory(settings) is not None
    assert [one["rooms"] for one in said if one["event"] == "police_rooms_unknown"] == [["CIC-98"]]


def test_the_lab_has_its_invented_country_and_no_other_realm_has() -> None:
    lab = _territory(Settings())
    assert lab is not None
    assert len(lab) == 5
    police = {"police_url": "https://p.example", "police_secret": SECRET}
    with structlog.testing.capture_logs() as said:
        assert _territory(Settings(realm=Realm.EXERCISE, **police)) is None
    assert [one["event"] for one in said] == ["no_territory"], "loud: a whole country for one recipient"
