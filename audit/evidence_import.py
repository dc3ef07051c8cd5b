"""How does a package come into a record that has nothing of its alert?

Only into one for examination, which has packages and nothing of its own (``tocsin.adapters.evidence``). Checked
first as anybody would check it; then links, payloads and heads in one transaction, then the rows that
follow from them, which may be made again. Refused with every reason at once. Shell.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

from audit.evidence_rows import Rows
from audit.package import encode
from audit.package_reader import HeadRead, RunRead, lines_of
from audit.package_verification import Replay, Verdict, verify
from tocsin.adapters.evidence import Conflicts, Evidence, Stretch
from tocsin.adapters.postgres import Pool
from tocsin.clock import Clock
from tocsin.errors import TocsinError
from tocsin.model.episode import Realm


class Refused(TocsinError):
    """This package is not taken in:"""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(reasons))


async def taken_in(
    pool: Pool, content: bytes, *, realm: Realm, clock: Clock, replay: Replay | None = None
) -> tuple[str, int]:
    """The alert, and how many links were not here yet. Raises Refused."""
    rows, stretches, heads = Rows(), list[Stretch](), list[tuple[str, int, bytes]]()

    def keep(part: RunRead | HeadRead) -> None:
        if isinstance(part, RunRead):
            rows.add(part)
            stretches.append(_stretch(part))
        else:
            heads.append((part.said.chain, part.said.number, encode(part.said)))

    verdict = verify(lines_of(io.BytesIO(content)), replay=replay, keep=keep)
    reasons = [*_faults(verdict), *rows.unreadable, *_of_realm(verdict, realm)]
    if reasons or verdict.header is None:
        raise Refused(reasons)
    alert, seal = verdict.header.alert, hashlib.sha256(content).hexdigest()
    try:
        new = await Evidence(pool).take_in(alert, seal, stretches, heads, clock.now_ms())
    except Conflicts as error:
        raise Refused(error.reasons) from error
    await rows.keep(pool, clock)
    return alert, new


def _stretch(run: RunRead) -> Stretch:
    after, before = run.after
    return Stretch(chain=run.said.chain, after=after, before=before, links=run.links, opened=run.opened)


def _faults(verdict: Verdict) -> list[str]:
    named = [
        f"line {one.line}: {one.what.value} {one.chain} {one.number or ''}: {one.detail}" for one in verdict.faults
    ]
    return named + ([f"and {verdict.more_faults} more"] if verdict.more_faults else [])


def _of_realm(verdict: Verdict, realm: Realm) -> list[str]:
    """Drills and the world never mix (F38)."""
    theirs = None if verdict.header is None else verdict.header.realm
    return (
        [] if theirs in {None, realm.value} else [f"it is of realm {theirs}, and this instance of {realm.value}"]
    )
