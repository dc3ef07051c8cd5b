"""Of the alerts of a detector on real people, whose approach was it? And was anybody taken for a prober?

Nobody knows the truth of it here: roles were drawn by lot, so that a rule that favours neither shows as many of
hers as of his. Shares in percent of the wearer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from simulator.evaluation.scoring import Spoken

ALONE_PCT: Final = 5  # the other moved nothing to speak of
EVEN_PCT: Final = (35, 65)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approaches:
    """Counts of alerts by the wearer's share, and PROBING per pair-day."""

    hers: int
    mostly_hers: int
    both: int
    mostly_his: int
    his: int
    not_said: int
    probing_per_day: float


def approaches(spoken: Iterable[Spoken], pair_days: float) -> Approaches:
    every = list(spoken)
    counts = Counter(_kind(share) for one in every for share in one.wearer_shares_pct)
    names = ("hers", "mostly_hers", "both", "mostly_his", "his", "not_said")
    probings = sum(one.probings for one in every)
    return Approaches(**{name: counts[name] for name in names}, probing_per_day=round(probings / pair_days, 3))


def _kind(share_pct: int | None) -> str:
    if share_pct is None:
        return "not_said"
    if share_pct <= ALONE_PCT:
        return "hers"
    if share_pct >= 100 - ALONE_PCT:
        return "his"
    low, high = EVEN_PCT
    return "mostly_hers" if share_pct < low else "mostly_his" if share_pct > high else "both"
