"""Do the pages name everything that there is: every alert code with its priority and whom it tells, every setting,
metric, part, event and reason of refusal? What the code has and no page says is found here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from alerts.api.projection import PRIORITIES
from alerts.catalogue import CATALOGUE
from ingest.dialects.reports import Reason
from ingest.dialects.tocsin_v1 import EVENTS, Ailing
from tocsin.model.finding import Code
from tocsin.settings import PREFIX, Settings
from tocsin.stack import PARTS
from tocsin.subjects import STREAMS, Stream
from tocsin.supervisor import PartSpec
from tocsin.telemetry import METRICS

ROOT: Final = Path(__file__).parents[2]


def page(name: str) -> str:
    return (ROOT / name).read_text()


def rows(text: str) -> list[list[str]]:
    """The cells of each row of a table whose first cell begins with code."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| `")
    ]


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_code_that_alerts_is_on_the_page_of_alerts_with_its_priority(code: Code) -> None:
    """What the page says of it is asked in tests/unit/alerts/test_alerts_catalogue.py."""
    table = [line for line in page("docs/alerts.md").splitlines() if line.startswith(f"| [`{code}`]")]
    assert len(table) == 1
    assert f"| P{CATALOGUE[code].priority}" in table[0]


def test_every_priority_of_the_catalogue_is_counted_among_the_open_alerts() -> None:
    assert {entry.priority for entry in CATALOGUE.values()} <= set(PRIORITIES)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_on_the_page_of_the_operator(name: str) -> None:
    assert f"`{PREFIX}{name.upper()}`" in page("docs/operating.md")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric._name)
def test_every_metric_is_on_the_page_of_the_operator(metric: Any) -> None:
    names = {row[0].strip("`").removesuffix("_total") for row in rows(page("docs/operating.md"))}
    assert metric._name in names


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_part_and_what_its_death_costs_is_in_the_architecture(part: PartSpec) -> None:
    text = page("ARCHITECTURE.md")
    processes, deaths = text.split("## Processes")[1], text.split("## What happens when each thing dies")[1]
    assert all(f"`{part.name}`" in some for some in (processes.split("\n## ")[0], deaths))


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_every_stream_is_in_the_architecture(stream: Stream) -> None:
    assert f"\n| {stream.name} |" in page("ARCHITECTURE.md")


@pytest.mark.parametrize("word", [*EVENTS, *Ailing.__struct_fields__, *(reason.value for reason in Reason)])
def test_every_word_of_a_unit_and_every_refusal_is_on_the_page_of_the_protocol(word: str) -> None:
    assert any(f"`{word}`" in cell for row in rows(page("docs/device-protocol.md")) for cell in row)
