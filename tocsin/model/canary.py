"""Which pairs are invented, and walk the whole road each minute so that its silence is noticed?

A *canary* pair has a name of its own form, that nobody else may have: its alerts go to a receiver of its own as
tests, and are in no queue and no statistic. By the name, and not by a field, so that whoever sees a device, a
measure or an alert of it knows.

``is_canarys`` is the one answer to "is this alert a canary's?": for the desk, the courier, the record, the
custodian and whoever verifies (docs/adr/0050). What the system says about a canary (SYS_CANARY_FAIL) is an alert
like any other: humans are told.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

PREFIX: Final = "canary-"
CANARY: Final = r"^canary-[0-9]+(-[wv])?$"
"""The form of a name, for whoever looks for them in a table."""
OF_THE_SYSTEM: Final = "SYS_"
"""How a code begins that is about the system itself, and about no measure and no device."""
_NAME = re.compile(CANARY)


def is_canary(name: str) -> bool:
    """Of a device (``canary-3-w``, ``canary-3-v``) or a measure (``canary-3``)."""
    return _NAME.fullmatch(name) is not None


def is_canarys(code: str, measures: Iterable[str], device: str | None) -> bool:
    """Of an alert: it is about invented people alone. What names anybody else as well is about somebody, and what
    names nobody, or is said of the system, is for humans."""
    named = [*measures, *(() if device is None else (device,))]
    return not code.startswith(OF_THE_SYSTEM) and bool(named) and all(map(is_canary, named))


def was_taken_for_a_canarys(code: str, subject: str, measures: Collection[str], device: str | None) -> bool:
    """The alerts whose rows migration 0018 listed: said of the system, and taken for a canary's until then. In the
    words of that file, which never changes."""
    names_one = is_canary(subject) or (device is not None and is_canary(device))
    return code.startswith(OF_THE_SYSTEM) and (names_one or (bool(measures) and all(map(is_canary, measures))))


LISTED_SLACK_MS: Final = 60_000
"""What was listed is dated before that migration; by so much may the desk's clock be ahead of the record's."""


CANARYS_IN_SQL: Final = f"""(
    code !~ '^{OF_THE_SYSTEM}' and coalesce(device, measures[1], '') ~ '{CANARY}'
    and not exists (select from unnest(measures) as named where named !~ '{CANARY}'))"""
"""``is_canarys`` of a row of alerts, ``{canarys}`` in a file of queries. The first name decides nearly always."""


def is_canarys_place(code: str, subject: str) -> bool:
    """The same by its place on the log alone, where nothing else is known: of receipts that older versions wrote.
    An order or a zone stands behind the name."""
    return is_canarys(code, (subject.partition(":")[0],), None)


def is_reserved(name: str) -> bool:
    """Nobody may register this."""
    return name.startswith(PREFIX)
