"""How do outlines of communes and the ministry's list of competences become one territory?

Outlines: TopoJSON with shared arcs, or GeoJSON, in degrees WGS84, each commune with its INSEE ``code`` and its
``nom``. Competences: "Compétence territoriale gendarmerie et police nationales" (data.gouv.fr): CSV with
``code_commune`` and ``institution`` (PN, GN) at least; encoding, delimiter and a byte order mark are found out.

A commune that two forces share has an area for each room. One without a row, or with an institution that we do not
know, belongs to the default room: whoever stands in it is not given to the neighbours. Bytes in, ``Areas`` and a
report out.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import shapely

from tocsin.model.room import DEFAULT_ROOM, Force, room_of
from tocsin.territory_file import DEGREES_MAX, Areas, TerritoryError

LISTED_MAX: Final = 10
COLUMNS: Final = ("code_commune", "institution")
DELIMITERS: Final = ";,\t|"
GRID_DEG: Final = 1e-6
FRANCE: Final = shapely.MultiPolygon(
    [
        shapely.box(*edges)  # west, south, east, north, generously
        for edges in (
            (-5.6, 41.2, 9.8, 51.3),  # metropole and Corsica
            (-63.3, 14.2, -60.7, 18.3),  # Antilles
            (-54.8, 2.0, -51.4, 6.0),  # Guyane
            (55.0, -21.6, 56.0, -20.7),  # La Réunion
            (44.8, -13.2, 45.5, -12.4),  # Mayotte
            (-56.7, 46.6, -56.0, 47.3),  # Saint-Pierre-et-Miquelon
            (158.0, -23.0, 172.4, -18.0),  # Nouvelle-Calédonie
            (-155.0, -28.5, -134.0, -7.5),  # Polynésie
            (-178.5, -14.6, -176.0, -13.0),  # Wallis-et-Futuna
        )
    ]
)
SPLIT_CITIES: Final = {"75056": ("751", 1, 20), "13055": ("132", 1, 16), "69123": ("693", 81, 89)}
"""Paris, Marseille, Lyon: one commune on most maps, a row for each arrondissement in some lists."""


class Some(msgspec.Struct, frozen=True, kw_only=True):
    """How many, and the first of them."""

    count: int
    first: tuple[str, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. ``mended``: outlines that crossed themselves; ``shared``: communes with two rooms;
    ``abroad``: outlines that touch no part of France, all of them where latitude and longitude are swapped."""

    communes: int
    rooms: dict[str, int]
    points: int
    mended: Some
    shared: Some
    rows_without_outline: Some
    outlines_without_row: Some
    unknown_institution: Some
    empty_outline: Some
    abroad: Some


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    code: str
    name: str
    shape: shapely.MultiPolygon


def import_territory(communes: bytes, competence: bytes, sources: tuple[str, ...]) -> tuple[Areas, Report]:
    """Raises TerritoryError when either cannot be read, or when they have no commune in common."""
    outlines, mended = _whole(read_outlines(unzipped(communes)))
    empty = [one.code for one in outlines if one.shape.is_empty]
    outlines = [one for one in outlines if not one.shape.is_empty]
    rooms, unknown = read_competence(unzipped(competence))
    placed = [(one, room) for one in outlines for room in _rooms_of(one.code, rooms)]
    orphans = [one.code for one, room in placed if room == DEFAULT_ROOM]
    if len(orphans) == len(placed):
        raise TerritoryError("no code_commune is the code of an outline: are these lists of the same country?")
    known = {one.code for one in outlines}
    areas = _areas(placed, sources)
    return areas, Report(
        communes=len(known),
        rooms=_count(room for _, room in placed),
        points=len(areas.lon_lat_e6),
        mended=_some(mended),
        shared=_some([code for code, count in _count(one.code for one, _ in placed).items() if count > 1]),
        rows_without_outline=_some([code for code in rooms if not {code, _city_of(code)} & known]),
        outlines_without_row=_some(orphans),
        unknown_institution=_some(unknown),
        empty_outline=_some(empty),
        abroad=_some([one.code for one in outlines if not FRANCE.intersects(one.shape)]),
    )


def unzipped(data: bytes) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise TerritoryError(f"not a whole gzip file: {error}") from None


# --- competences ---------------------------------------------------------------------------------------------


def read_competence(data: bytes) -> tuple[dict[str, set[str]], list[str]]:
    """(commune -> its rooms, communes of an unknown institution). Raises TerritoryError."""
    reader = csv.DictReader(io.StringIO(_decoded(data)), delimiter=_delimiter(_decoded(data)))
    header = [name.strip().lower() for name in reader.fieldnames or ()]
    if missing := [column for column in COLUMNS if column not in header]:
        raise TerritoryError(f"the competences have no column {', '.join(missing)}")
    reader.fieldnames = header
    rooms: defaultdict[str, set[str]] = defaultdict(set)
    unknown = []
    for row in reader:
        code, institution = _code(row["code_commune"]), (row["institution"] or "").strip().upper()
        if not code:
            continue
        if institution in {force.value for force in Force}:
            rooms[code].add(room_of(code, Force(institution)))
        else:
            unknown.append(code)
    return dict(rooms), unknown


def _code(text: str | None) -> str:
    """A spreadsheet takes 01001 for a number."""
    return (text or "").strip().zfill(5) if (text or "").strip() else ""


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")  # names may suffer, codes cannot


def _delimiter(text: str) -> str:
    """The one that the header has most of: no column of ours has any of them in its name."""
    header = text.partition("\n")[0]
    return max(DELIMITERS, key=header.count)


def _rooms_of(code: str, rooms: Mapping[str, set[str]]) -> Sequence[str]:
    """Of the commune, or of the city that it is an arrondissement of, or of the arrondissements that it has."""
    found = rooms.get(code) or rooms.get(_city_of(code)) or set[str]().union(*_arrondissements(code, rooms))
    return sorted(found) or [DEFAULT_ROOM]


def _city_of(code: str) -> str:
    for city, (head, first, last) in SPLIT_CITIES.items():
        if code.startswith(head) and code[3:].isdigit() and first <= int(code[3:]) <= last:
            return city
    return code


def _arrondissements(code: str, rooms: Mapping[str, set[str]]) -> Iterator[set[str]]:
    if code in SPLIT_CITIES:
        head, first, last = SPLIT_CITIES[code]
        yield from (rooms.get(f"{head}{number:02}", set()) for number in range(first, last + 1))


# --- outlines ------------------------------------------------------------------------------------------------

Rings = list[npt.NDArray[np.float64]]


def read_outlines(data: bytes) -> list[Outline]:
    """Raises TerritoryError naming the commune that cannot be read."""
    try:
        whole = json.loads(data)
    except ValueError:
        raise TerritoryError("the outlines are not JSON") from None
    kind = whole.get("type") if isinstance(whole, dict) else None
    shapes = {"Topology": _of_topology, "FeatureCollection": _of_features}.get(str(kind))
    try:
        if shapes is not None:
            return [_outline(one, rings) for one, rings in shapes(whole)]
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise TerritoryError(f"the {kind} cannot be read: {error!r}") from None
    raise TerritoryError(f"the outlines are neither a Topology nor a FeatureCollection, but {kind!r}")


def _outline(properties: Mapping[str, Any], polygons: Iterable[Rings]) -> Outline:
    code = str(properties.get("code") or "")
    if not code:
        raise TerritoryError("an outline has no property 'code'")
    try:
        known = list(polygons)
        _check_degrees(code, known)
        shape = shapely.MultiPolygon([(rings[0], rings[1:]) for rings in known])
    except (ValueError, IndexError, TypeError, KeyError) as error:
        raise TerritoryError(f"the outline of {code} cannot be read: {error}") from None
    return Outline(code=code, name=str(properties.get("nom") or ""), shape=shape)


def _check_degrees(code: str, polygons: Iterable[Rings]) -> None:
    """Lambert-93 is in metres: nobody stands there, and every place would belong to nobody."""
    for points in (ring for rings in polygons for ring in rings):
        if not (np.abs(points) <= DEGREES_MAX).all():  # NaN is not less than anything
            raise TerritoryError(
                f"the outline of {code} is not in degrees: longitude beyond 180, latitude beyond 90, or no number"
            )


def _of_topology(whole: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Iterator[Rings]]]:
    """Arcs are shared by neighbours; ``~i`` is arc i backwards. With a transform they are steps on a grid."""
    collections = [one for one in whole["objects"].values() if one.get("type") == "GeometryCollection"]
    if len(collections) != 1:
        raise TerritoryError(f"the topology has {len(collections)} collections of outlines, not one")
    arcs = [_arc(one, whole.get("transform")) for one in whole["arcs"]]
    for geometry in collections[0]["geometries"]:
        yield geometry.get("properties") or {}, _with_arcs(geometry, arcs)


def _arc(points: Sequence[Sequence[float]], transform: Mapping[str, Any] | None) -> npt.NDArray[np.float64]:
    array = np.asarray(points, float)[:, :2]
    if transform is not None:
        array = np.cumsum(array, axis=0) * transform["scale"] + transform["translate"]
    return np.round(array, 6)


def _with_arcs(geometry: Mapping[str, Any], arcs: Sequence[npt.NDArray[np.float64]]) -> Iterator[Rings]:
    for polygon in _polygons(geometry, "arcs"):
        yield [_ring(ring, arcs) for ring in polygon]


def _ring(indices: Sequence[int], arcs: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    parts = [arcs[i] if i >= 0 else arcs[~i][::-1] for i in indices]
    return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])


def _of_features(whole: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Iterator[Rings]]]:
    for feature in whole["features"]:
        yield feature.get("properties") or {}, _with_points(feature.get("geometry") or {})


def _with_points(geometry: Mapping[str, Any]) -> Iterator[Rings]:
    for polygon in _polygons(geometry, "coordinates"):
        yield [np.round(np.asarray(ring, float)[:, :2], 6) for ring in polygon]


def _polygons(geometry: Mapping[str, Any], key: str) -> list[Any]:
    match geometry.get("type"):
        case "Polygon":
            return [geometry[key]]
        case "MultiPolygon":
            return list(geometry[key])
        case None:
            return []
        case other:
            raise TypeError(f"a {other} is not an area")


# --- into the tables -----------------------------------------------------------------------------------------


def _whole(outlines: list[Outline]) -> tuple[list[Outline], list[str]]:
    """Outlines that cross themselves made areas again, on the grid that the file keeps; and which these were."""
    valid = shapely.is_valid([one.shape for one in outlines])
    mended = [
        one if fine else Outline(code=one.code, name=one.name, shape=_areal(one.shape))
        for one, fine in zip(outlines, valid.tolist(), strict=True)
    ]
    return mended, [one.code for one, fine in zip(outlines, valid.tolist(), strict=True) if not fine]


def _areal(shape: shapely.MultiPolygon) -> shapely.MultiPolygon:
    """make_valid may leave lines and points beside the areas: these hold nobody."""
    parts = shapely.get_parts(shapely.set_precision(shapely.make_valid(shape), GRID_DEG))
    polygons = [part for part in _flat(parts) if part.geom_type == "Polygon" and not part.is_empty]
    return shapely.MultiPolygon(polygons)


def _flat(parts: Iterable[Any]) -> Iterator[Any]:
    for part in parts:
        yield from part.geoms if hasattr(part, "geoms") else (part,)


def _areas(placed: Sequence[tuple[Outline, str]], sources: tuple[str, ...]) -> Areas:
    rooms = sorted({room for _, room in placed})
    places = {room: index for index, room in enumerate(rooms)}
    shapes = np.array([one.shape for one, _ in placed], dtype=object)
    _, points, (rings, polygons, areas) = shapely.to_ragged_array(shapes, include_z=False)
    return Areas(
        sources=sources,
        rooms=tuple(rooms),
        codes=tuple(one.code for one, _ in placed),
        names=tuple(one.name for one, _ in placed),
        room_index=np.array([places[room] for _, room in placed], np.uint16),
        lon_lat_e6=np.rint(points * 1e6).astype(np.int32),
        rings=rings.astype(np.int32),
        polygons=polygons.astype(np.int32),
        areas=areas.astype(np.int32),
    )


def _count(words: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return dict(sorted(found.items()))


def _some(codes: Sequence[str]) -> Some:
    return Some(count=len(codes), first=tuple(codes[:LISTED_MAX]))
