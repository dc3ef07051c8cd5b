"""Which parts does audit run as? ``python -m audit PART``, the names are those of PARTS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tocsin.service import Ready, run_part
from tocsin.settings import Settings

PARTS: dict[str, Callable[[Settings, Ready], Awaitable[None]]] = {}

if __name__ == "__main__":
    run_part("audit", PARTS)
