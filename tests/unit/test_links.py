"""Does every link of the pages lead somewhere: to a file that is there, and to a heading that it has?

Anchors are made as the hosts of repositories make them: small letters, what is no letter, digit, space, hyphen or
underscore dropped, spaces to hyphens, ``-1``, ``-2`` behind a heading that comes again. Links to other sites are
not asked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
OURS: Final = ("*.md", "docs/**/*.md", "deploy/**/*.md", "alerts/**/*.md", "loadtests/**/*.md", "tests/**/*.md")
PAGES: Final = sorted({path for pattern in OURS for path in ROOT.glob(pattern)})

FENCED: Final = re.compile(r"^ *(```|~~~).*?^ *\1", re.MULTILINE | re.DOTALL)
CODE: Final = re.compile(r"`[^`]*`")
LINK: Final = re.compile(r"\]\(([^()\s]+(?:\([^()]*\)[^()\s]*)*)\)")
HEADING: Final = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
ELSEWHERE: Final = re.compile(r"[a-z][a-z+.-]*:", re.IGNORECASE)


def links(text: str) -> list[str]:
    """Where the page leads beside other sites."""
    prose = CODE.sub("", FENCED.sub("", text))
    return [one for one in LINK.findall(prose) if not ELSEWHERE.match(one)]


def anchors(text: str) -> set[str]:
    return set(_anchors(text))


def _anchors(text: str) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for heading in HEADING.findall(FENCED.sub("", text)):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()).replace(" ", "-")
        yield slug if not seen[slug] else f"{slug}-{seen[slug]}"
        seen[slug] += 1


def dead(page: Path) -> list[str]:
    """The links of ``page`` that lead nowhere."""
    return [one for one in links(page.read_text()) if not _leads_somewhere(page, one)]


def _leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    if not target.exists():
        return False
    return not anchor or (target.suffix == ".md" and anchor in anchors(target.read_text()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    assert not dead(page)


def test_every_page_of_the_docs_is_led_to_from_somewhere() -> None:
    reached = {
        (page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page.read_text())
    }
    folders = {path / "README.md" for path in reached}
    assert not [page.name for page in (ROOT / "docs").rglob("*.md") if page.resolve() not in reached | folders]


def test_every_decision_record_is_in_the_index() -> None:
    records = ROOT / "docs" / "adr"
    assert {path.name for path in records.glob("0*.md")} == set(links((records / "README.md").read_text()))


def test_a_link_to_nothing_is_found(tmp_path: Path) -> None:
    there = tmp_path / "there.md"
    there.write_text("# One, `two`\n\n## Again\n\n## Again\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#one-two) [c](there.md#again-1) [d](https://e.example/f) `[g](h.md)`\n"
        "```\n[i](j.md)\n```\n[k](gone.md) [l](there.md#again-2) [m](#here)\n"
    )
    assert dead(page) == ["gone.md", "there.md#again-2", "#here"]
