"""How does a list look on a terminal and in a pipe? Columns as wide as their widest word, nothing cut off."""

from __future__ import annotations

from collections.abc import Sequence

GAP = "  "


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """One line for the head and for each row, without a line's end at the end."""
    lines = [head, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    return "\n".join(
        GAP.join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
