"""Which of the open alerts does a reader need to see by itself, and which repeat, stand or chatter? F25, F26, F28.

Folding is for the reader, never a silence (DOMAIN section 3): every raising has been notified, every alert keeps
its own clock, ladder and end, and nothing is closed here. The queue shows one line for one chain of events:

* alerts about the same measure stand under the most urgent of them;
* an untaken P1 is always a line of its own, and so is what somebody has in hand;
* what has stood open for STALE_S without an act of anybody and is neither P1 nor P2 stands in one line at the end;
* an alert raised CHATTER_RAISES times within CHATTER_S *chatters*: it says so, and stays where it is.

The words are those of IEC 62682 (ISA-18.2): stale there is 24 h, chattering three times in a minute. Ours counts
within the 15 minutes in which a re-entry belongs to the same episode: a ring is left by two fixes, not by one.

Pure; milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tocsin.clock import MS
from tocsin.limits import REENTRY_WITHIN_S
from tocsin.model.episode import Episode, State

STALE_S: Final = 24 * 3600
DAY_MS: Final = 86_400 * MS
CHATTER_RAISES: Final = 3
CHATTER_S: Final = REENTRY_WITHIN_S
ALWAYS_SHOWN_MAX: Final = 1  # the priorities that are never folded while nobody has them
NEVER_STALE_MAX: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the queue: an alert, and what stands under it, both in the order of the queue."""

    episode: Episode
    under: tuple[Episode, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """``lines`` in the order of what they are headed by; ``stale`` beside them, oldest word first."""

    lines: tuple[Line, ...]
    stale: tuple[Episode, ...]


def folded(ranked: Iterable[Episode], now_ms: int) -> Queue:
    """The queue of open episodes, given in the order of urgency: each of them once."""
    lines: list[list[Episode]] = []
    heads: dict[str, list[Episode]] = {}
    standing: list[Episode] = []
    for one in ranked:
        chain = _chain(one)
        if is_stale(one, now_ms):
            standing.append(one)
        elif chain in heads and not _stands_alone(one, now_ms):
            heads[chain].append(one)
        else:
            lines.append([one])
            if chain:
                heads.setdefault(chain, lines[-1])
    return Queue(
        lines=tuple(Line(episode=first, under=tuple(rest)) for first, *rest in lines),
        stale=tuple(sorted(standing, key=_last_word_ms)),
    )


def _chain(episode: Episode) -> str:
    """What is one chain of events: all that is about one measure. Empty: it is about several, or none."""
    return episode.measures[0] if len(episode.measures) == 1 else ""


def _stands_alone(episode: Episode, now_ms: int) -> bool:
    return is_in_hand(episode, now_ms) or episode.priority <= ALWAYS_SHOWN_MAX


def is_in_hand(episode: Episode, now_ms: int) -> bool:
    expires_ms = episode.acknowledgement_expires_ms
    return episode.state is State.ACKNOWLEDGED and expires_ms is not None and now_ms < expires_ms


def is_stale(episode: Episode, now_ms: int) -> bool:
    """Nobody has done anything about it, and nothing has happened, for STALE_S."""
    if episode.priority <= NEVER_STALE_MAX or is_in_hand(episode, now_ms):
        return False
    return now_ms - _last_word_ms(episode) >= STALE_S * MS


def _last_word_ms(episode: Episode) -> int:
    deeds = [one.at_ms for one in episode.deeds]
    return max(episode.raises[-1].at_ms, episode.acknowledged_ms or 0, episode.over_ms or 0, *deeds)


def is_chattering(episode: Episode) -> bool:
    """CHATTER_RAISES of its raisings lie within CHATTER_S of each other."""
    return chatters(one.at_ms for one in episode.raises)


def chatters(raised_ms: Iterable[int]) -> bool:
    """The same of the hours of its raisings, in any order."""
    hours = sorted(raised_ms)
    spans = zip(hours, hours[CHATTER_RAISES - 1 :], strict=False)
    return any(last - first <= CHATTER_S * MS for first, last in spans)


def counts(open_now: Iterable[Episode], now_ms: int) -> dict[str, int]:
    """How many of the open alerts repeat, stand and chatter, by the word."""
    known = list(open_now)
    return {
        "repeated": sum(len(one.raises) > 1 for one in known),
        "stale": sum(is_stale(one, now_ms) for one in known),
        "chattering": sum(map(is_chattering, known)),
    }
