"""Which clock hangs on the wall there?

Rules of time come from the ``tzdata`` package alone, whatever the machine has: the same log must give the same
findings on another one (DOMAIN, invariant 11), so the version of these rules is one of the locked dependencies.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

PARIS = "Europe/Paris"


@lru_cache(maxsize=1)
def names() -> frozenset[str]:
    """The IANA names that are known."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())


@lru_cache(maxsize=64)
def time_zone(name: str) -> ZoneInfo:
    """One of ``names()``; KeyError for any other."""
    if name not in names():
        raise KeyError(name)
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, name)
