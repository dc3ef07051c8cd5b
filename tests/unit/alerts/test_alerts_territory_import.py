"""From outlines and a list of competences to a file, and back: what is read, what is reported, what is refused.

The real outlines and the historical sample of the Île-de-France are used where they are at hand; the ministry's
file of today could not be had, its columns are imitated.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from typer.testing import CliRunner

from alerts.__main__ import LAB_TERRITORY
from alerts.commands.territory import app
from alerts.territory import Territory, outlines
from alerts.territory_import import import_territory
from tocsin.model.room import DEFAULT_ROOM
from tocsin.territory_file import MAGIC, TerritoryError, pack, read, unpack

FRANCE = Path(__file__).parents[4] / "shared" / "data" / "fr"
SOURCES = ("invented",)


def square(west: float, south: float, side: float = 0.1) -> list[list[float]]:
    east, north = west + side, south + side
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def feature(code: str, *polygons: list[Any]) -> dict[str, Any]:
    geometry = {"type": "MultiPolygon", "coordinates": polygons}
    return {"type": "Feature", "properties": {"code": code, "nom": f"Nom {code}"}, "geometry": geometry}


def features(*them: dict[str, Any]) -> bytes:
    return json.dumps({"type": "FeatureCollection", "features": list(them)}).encode()


CODES = ("13001", "13055", "83069", "75056")
FOUR = features(*(feature(code, [square(5.0 + number * 0.1, 43.0)]) for number, code in enumerate(CODES)))
#   two neighbours that share the arc between them, one of them backwards; on a grid of 0.1 degrees
TOPOLOGY: dict[str, Any] = {
    "type": "Topology",
    "transform": {"scale": [0.1, 0.1], "translate": [5.0, 43.0]},
    "arcs": [
        [[1, 0], [0, 1]],
        [[1, 1], [-1, 0], [0, -1], [1, 0]],
        [[1, 0], [1, 0], [0, 1], [-1, 0]],
    ],
    "objects": {
        "communes": {
            "type": "GeometryCollection",
            "geometries": [
                {"type": "Polygon", "arcs": [[0, 1]], "properties": {"code": "13001", "nom": "Ouest"}},
                {"type": "Polygon", "arcs": [[2, -1]], "properties": {"code": "13055", "nom": "Est"}},
            ],
        }
    },
}
OFFICIAL = (
    "code_commune;libelle_commune;institution;id_service;service;code_postal;codes_postaux\n"
    '13001;"Aix; en ville";GN;1;"Brigade d\'Aix";13080;"13080, 13090"\n'
    "13055;Marseille;PN;2;Commissariat;13001;13001\n"
    "83069;Hyères-été;PN;3;Commissariat;83400;83400\n"
    "75056;Paris;PN;4;Préfecture;75001;75001\n"
)


def imported(communes: bytes = FOUR, competence: bytes = OFFICIAL.encode()) -> tuple[Territory, Any]:
    areas, report = import_territory(communes, competence, SOURCES)
    return Territory(unpack(pack(areas))), report


ENCODED = {
    "UTF-8": OFFICIAL.encode(),
    "with a byte order mark": OFFICIAL.encode("utf-8-sig"),
    "Windows": OFFICIAL.encode("cp1252"),
    "commas": OFFICIAL.replace(";", ",").encode(),
    "tabs": OFFICIAL.replace(";", "\t").encode(),
    "lines of Windows": OFFICIAL.replace("\n", "\r\n").encode(),
    "packed": gzip.compress(OFFICIAL.encode()),
    "headers shouting": OFFICIAL.replace("code_commune", "CODE_COMMUNE").encode(),
    "another order of columns": b"institution,code_commune\nGN,13001\nPN,13055\nPN,83069\nPN,75056\n",
    "words in small letters": b"code_commune,institution\n13001, gn\n13055,pn \n83069,pn\n75056,pn\n",
}


@pytest.mark.parametrize("competence", ENCODED.values(), ids=ENCODED)
def test_the_list_is_read_however_it_is_written(competence: bytes) -> None:
    territory, report = imported(competence=competence)
    assert report.rooms == {"CIC-13": 1, "CIC-75": 1, "CIC-83": 1, "CORG-13": 1}
    assert territory.rooms_at(43.05, 5.05, 1.0) == ("CORG-13",)
    assert territory.communes_at(43.05, 5.15, 1.0) == [("13055", "Nom 13055", "CIC-13")]
    counts = (report.rows_without_outline, report.outlines_without_row, report.unknown_institution, report.mended)
    assert [one.count for one in counts] == [0, 0, 0, 0]


@pytest.mark.parametrize("packed", [False, True])
def test_a_topology_with_shared_arcs(packed: bool) -> None:
    text = json.dumps(TOPOLOGY).encode()
    territory, report = imported(gzip.compress(text) if packed else text)
    assert (report.communes, len(territory)) == (2, 2)
    assert territory.rooms_at(43.05, 5.05, 1.0) == ("CORG-13",)
    assert territory.rooms_at(43.05, 5.15, 1.0) == ("CIC-13",)
    assert territory.rooms_at(43.05, 5.1, 1.0) == ("CIC-13", "CORG-13")
    without_grid = {**TOPOLOGY, "arcs": [[[5.1, 43.0], [5.1, 43.1]]], "transform": None}
    del without_grid["transform"]
    without_grid["arcs"] += [[[5.1, 43.1], [5.0, 43.1], [5.0, 43.0], [5.1, 43.0]],
                             [[5.1, 43.0], [5.2, 43.0], [5.2, 43.1], [5.1, 43.1]]]  # fmt: skip
    assert pack(import_territory(json.dumps(without_grid).encode(), OFFICIAL.encode(), SOURCES)[0]) == pack(
        import_territory(text, OFFICIAL.encode(), SOURCES)[0]
    )


def test_what_does_not_fit_is_counted_named_and_never_given_to_the_neighbours() -> None:
    rows = "code_commune,institution\n13001,GN\n13055,POMPIERS\n99999,PN\n"
    territory, report = imported(competence=rows.encode())
    assert (report.unknown_institution.count, report.unknown_institution.first) == (1, ("13055",))
    assert report.rows_without_outline.first == ("99999",)
    assert report.outlines_without_row.first == ("13055", "83069", "75056")
    assert territory.rooms_at(43.05, 5.15, 1.0) == (DEFAULT_ROOM,)
    assert territory.rooms_at(43.05, 5.1, 1.0) == ("CORG-13", DEFAULT_ROOM)


def test_lists_are_bounded() -> None:
    rows = "code_commune,institution\n13001,GN\n" + "".join(f"{code},PN\n" for code in range(50_000, 51_000))
    report = imported(competence=rows.encode())[1]
    assert (report.rows_without_outline.count, len(report.rows_without_outline.first)) == (1_000, 10)


def test_a_commune_of_two_forces_has_two_rooms() -> None:
    territory, report = imported(competence=OFFICIAL.encode() + b"13001;Aix;PN;9;Commissariat;13080;13080\n")
    assert territory.rooms_at(43.05, 5.05, 1.0) == ("CIC-13", "CORG-13")
    assert report.shared.first == ("13001",)


def test_a_spreadsheet_that_ate_the_zero() -> None:
    territory, _ = imported(
        features(feature("01004", [square(5.0, 45.0)])), b"code_commune,institution\n1004,PN\n"
    )
    assert territory.rooms_at(45.05, 5.05, 1.0) == ("CIC-01",)


@pytest.mark.parametrize(
    ("rows", "outline"), [("13201", "13055"), ("13055", "13201"), ("69381", "69123"), ("75120", "75056")]
)
def test_arrondissements_and_their_city_know_each_other(rows: str, outline: str) -> None:
    communes = features(feature(outline, [square(5.0, 43.0)]))
    territory, report = imported(communes, f"code_commune,institution\n{rows},PN\n".encode())
    assert territory.rooms_at(43.05, 5.05, 1.0) != (DEFAULT_ROOM,)
    assert report.outlines_without_row.count == 0


def test_an_outline_that_crosses_itself_is_mended_and_one_without_area_is_left_out() -> None:
    bow = [[5.0, 43.0], [5.1, 43.1], [5.1, 43.0], [5.0, 43.1], [5.0, 43.0]]
    line = [[6.0, 43.0], [6.1, 43.0], [6.0, 43.0], [6.0, 43.0]]
    communes = features(feature("13001", [bow]), feature("13055", [line]), feature("83069"))
    areas, report = import_territory(communes, OFFICIAL.encode(), SOURCES)
    assert set(report.mended.first) == {"13001", "13055"}
    assert set(report.empty_outline.first) == {"13055", "83069"}
    assert shapely.is_valid(outlines(areas)).all()


WRONG: dict[str, tuple[bytes, bytes, str]] = {
    "outlines that are no JSON": (b"{", OFFICIAL.encode(), "not JSON"),
    "outlines of another kind": (b'{"type": "Feature"}', OFFICIAL.encode(), "neither"),
    "a list": (b"[]", OFFICIAL.encode(), "neither"),
    "half a gzip": (gzip.compress(FOUR)[:-9], OFFICIAL.encode(), "gzip"),
    "an outline without a code": (FOUR.replace(b'"code"', b'"insee"'), OFFICIAL.encode(), "code"),
    "an outline of points": (FOUR.replace(b"MultiPolygon", b"MultiPoint"), OFFICIAL.encode(), "13001"),
    "an arc that is not there": (
        json.dumps(TOPOLOGY).replace("[[0, 1]]", "[[0, 7]]").encode(), OFFICIAL.encode(), "13001",
    ),
    "a topology without arcs": (b'{"type": "Topology", "objects": {}}', OFFICIAL.encode(), "collections"),
    "a topology of rubbish": (
        json.dumps({**TOPOLOGY, "arcs": [["x"]]}).encode(), OFFICIAL.encode(), "cannot be read",
    ),
    "features that are none": (
        b'{"type": "FeatureCollection", "features": [1]}', OFFICIAL.encode(), "cannot be read",
    ),
    "metres of Lambert-93": (
        features(feature("13001", [square(5.0, 43.0)]), feature("13055", [square(892_390.0, 6_247_035.0, 900.0)])),
        OFFICIAL.encode(), "13055 is not in degrees",
    ),
    "a latitude beyond the pole": (features(feature("13001", [square(43.0, 90.0)])), OFFICIAL.encode(), "13001"),
    "not a number": (FOUR.replace(b"5.2", b"NaN"), OFFICIAL.encode(), "83069 is not in degrees"),
    "without end": (FOUR.replace(b"5.2", b"-Infinity"), OFFICIAL.encode(), "83069 is not in degrees"),
    "a topology in metres": (
        json.dumps({**TOPOLOGY, "transform": {"scale": [100, 100], "translate": [892_390, 6_247_035]}}).encode(),
        OFFICIAL.encode(), "13001 is not in degrees",
    ),
    "no such column": (FOUR, b"commune,force\n13001,GN\n", "code_commune, institution"),
    "an empty list": (FOUR, b"", "code_commune"),
    "nothing in common": (FOUR, b"code_commune,institution\n01001,PN\n", "no code_commune"),
    "nothing at all": (features(), OFFICIAL.encode(), "no code_commune"),
}  # fmt: skip


@pytest.mark.parametrize(("communes", "competence", "word"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_a_territory_is_refused(communes: bytes, competence: bytes, word: str) -> None:
    with pytest.raises(TerritoryError, match=word):
        import_territory(communes, competence, SOURCES)


# --- the file --------------------------------------------------------------------------------------------------

WHOLE = pack(import_territory(FOUR, OFFICIAL.encode(), SOURCES)[0])


def test_the_same_sources_give_the_same_bytes() -> None:
    assert pack(import_territory(FOUR, OFFICIAL.encode(), SOURCES)[0]) == WHOLE
    assert unpack(WHOLE).sources == SOURCES


def with_digest(body: bytes) -> bytes:
    return MAGIC + hashlib.sha256(body).digest() + body


DAMAGED = {
    "empty": b"", "another file": b"PK" + WHOLE, "another version": WHOLE.replace(b"\x00\x01", b"\x00\x02", 1),
    "cut": WHOLE[:-1], "longer": WHOLE + b"\x00",
    "a byte changed": WHOLE[:-5] + bytes([WHOLE[-5] ^ 1]) + WHOLE[-4:],
    "not packed": with_digest(b"rubbish"), "nothing in it": with_digest(b""),
}  # fmt: skip


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused_with_its_name(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "france.territory"
    file.write_bytes(data)
    with pytest.raises(TerritoryError, match="france"):
        read(file)


def test_tables_that_do_not_fit_are_refused() -> None:
    areas = unpack(WHOLE)
    for name, table in (
        ("rings", areas.rings[:-1]),
        ("areas", areas.areas + 1),
        ("room_index", areas.room_index + 9),
    ):
        broken = {one: getattr(areas, one) for one in areas.__slots__} | {name: table}
        with pytest.raises(TerritoryError, match="fit"):
            unpack(pack(type(areas)(**broken)))


@pytest.mark.parametrize("beyond", [(180_000_001, 0), (0, 90_000_001), (-180_000_001, 0), (0, -(2**31))])
def test_a_file_that_is_not_in_degrees_is_refused(beyond: tuple[int, int]) -> None:
    """Whoever wrote it: with such outlines every place would be nobody's."""
    areas = unpack(WHOLE)
    points = areas.lon_lat_e6.copy()
    points[0] = beyond
    broken = {one: getattr(areas, one) for one in areas.__slots__} | {"lon_lat_e6": points}
    with pytest.raises(TerritoryError, match="not in degrees"):
        unpack(pack(type(areas)(**broken)))


def test_the_invented_country_is_made_of_its_sources() -> None:
    data = LAB_TERRITORY.parent
    communes, competence = (data / "lab_communes.geojson").read_bytes(), (data / "lab_competence.csv").read_bytes()
    areas, report = import_territory(communes, competence, ("invented for Tocsin",))
    assert pack(areas) == LAB_TERRITORY.read_bytes()
    assert report.rooms == {"CIC-99": 2, "CORG-99": 3}
    assert Territory(areas).rooms_at(43.2965, 5.3698, 600.0) == ("CIC-99",), "the middle of the town"


# --- what can be typed -----------------------------------------------------------------------------------------


def test_import_and_ask(tmp_path: Path) -> None:
    communes, competence, out = (tmp_path / name for name in ("c.geojson", "k.csv", "o.territory"))
    communes.write_bytes(FOUR)
    competence.write_bytes(b"code_commune,institution\n13001,GN\n99999,PN\n")
    words = ["territory", "import", "--communes", communes, "--competence", competence, "--out", out]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert "rows without an outline, left out: 1 (99999)" in done.output
    asked = CliRunner().invoke(app, ["territory", "at", "43.05", "5.05", "--radius", "1", "--file", str(out)])
    assert asked.output == "CORG-13\n  13001 Nom 13001: CORG-13\n"
    assert list(tmp_path.glob(".*")) == [], "nothing half written is left"


def test_a_country_that_is_not_france_is_said_and_taken(tmp_path: Path) -> None:
    """Latitude and longitude swapped: every place of France would be nobody's."""
    communes, competence, out = (tmp_path / name for name in ("c.geojson", "k.csv", "o.territory"))
    competence.write_text(OFFICIAL)
    words = ["territory", "import", "--communes", communes, "--competence", competence, "--out", out]
    for first, count, warned in ((square(43.0, 5.0), 1, False), (square(5.0, 43.0), 0, False), (None, 2, True)):
        one = first or square(43.2, 5.0)
        second = square(43.2, 5.0) if warned else square(55.4, -21.0)
        communes.write_bytes(features(feature("13001", [one]), feature("13055", [second])))
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        assert (f"outlines outside France: {count}" in done.output) is bool(count)
        assert ("swapped" in done.output) is warned


def test_validate_a_message(tmp_path: Path) -> None:
    file = tmp_path / "message.xml"
    file.write_bytes(b"<alert/>")
    refused = CliRunner().invoke(app, ["cap", "validate", str(file)])
    assert refused.exit_code == 1
    assert "not a CAP 1.2 message" in refused.output


# --- the real ones ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    not (FRANCE / "communes-2018.topo.json.gz").exists(), reason="the outlines of France are not here"
)
def test_the_real_communes_and_the_historical_sample() -> None:
    """Préfecture de police, Cergy (PN), a village of the Vexin (GN), a place on a border, the sea."""
    outlines_, sample = FRANCE / "communes-2018.topo.json.gz", FRANCE / "competence_idf_historique.csv"
    areas, report = import_territory(outlines_.read_bytes(), sample.read_bytes(), ("IGN 2018",))
    territory = Territory(unpack(pack(areas)))
    assert (report.communes, report.mended.count, report.rows_without_outline.count) == (35_357, 2, 0)
    assert (report.unknown_institution.count, report.abroad.count) == (0, 0)
    assert sum(count for room, count in report.rooms.items() if room != DEFAULT_ROOM) == 1_080
    places = {
        (48.8566, 2.3522): ("CIC-75",), (48.8924, 2.2153): ("CIC-75",), (48.8163, 2.3647): ("CIC-75",),
        (49.0361, 2.0631): ("CIC-95",), (49.1472, 1.7790): ("CORG-95",), (43.0, 7.5): (DEFAULT_ROOM,),
        (48.39, -4.49): (DEFAULT_ROOM,),
    }  # fmt: skip
    lat, lon = (np.array(one) for one in zip(*places, strict=True))
    assert territory.rooms_at_each(lat, lon, np.full(len(lat), 1.0)) == list(places.values())
    assert shapely.is_valid(outlines(areas)).all()
