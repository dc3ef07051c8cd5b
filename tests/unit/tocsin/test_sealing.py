"""Does a ruling leave its coordinates, and nothing else, in the payload that goes first? F33, invariant 14."""

from __future__ import annotations

import builders
import msgspec

from alerts import desk
from tocsin.chain import KeptAs, Kind
from tocsin.model.episode import FindingCause, Realm, Ruling
from tocsin.sealing import PlacesPayload, RulingPayload, of_ruling, with_places, without_places


def ruled() -> Ruling:
    answer = desk.handle(None, FindingCause(finding=builders.entry()), Realm.LAB, builders.NOW_MS)
    assert isinstance(answer, Ruling)
    return answer


def test_places_go_apart_and_come_back() -> None:
    ruling = ruled()
    blanked, places = without_places(ruling)
    assert places, "the finding has two places"
    text = msgspec.json.encode(blanked)
    assert b"lat_e6" not in text
    assert b"lon_e6" not in text
    assert msgspec.convert(with_places(blanked, places), Ruling) == ruling


def test_two_payloads_of_two_classes_share_the_sequence() -> None:
    first, second = of_ruling(7, ruled())
    assert (first.kind, second.kind) == (Kind.RULING, Kind.PLACES)
    assert msgspec.json.decode(first.payload, type=RulingPayload).sequence == 7
    assert msgspec.json.decode(second.payload, type=PlacesPayload).sequence == 7
    assert second.kept_as in {KeptAs.MEASURE_FILE, KeptAs.TGD_POSITION}
