"""An invented alert and its evidence, for the tests of packages: what its chains hold, by kind, with salts that
are the same each time; and changes to a package as somebody would make them who wants to hide something."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from builders import NOW_MS, PROTECTED, WEARER, act, command, entry

from audit.package import ACCESSES, DEVICE, HeadLine, Run, place_of, written
from audit.package_heads import head_line
from audit.story import Story
from tocsin import sealing
from tocsin.chain import SALT_BYTES, START, Deletion, Item, KeptAs, Kind, Link, Opened, linked
from tocsin.heads import Head, Leaf, head_of, proof
from tocsin.model.access import Access
from tocsin.model.command import CommandStatus, Stage
from tocsin.model.episode import (
    Channel,
    Episode,
    FindingCause,
    Notification,
    Outcome,
    Raise,
    Realm,
    Receipt,
    Ruling,
    State,
    Verb,
)  # fmt: skip
from tocsin.model.finding import Code, Finding
from tocsin.model.fix import ClockPoints
from tocsin.model.order import Order
from tocsin.retention import MEASURE_MONTHS, plus_months

MINUTE_MS = 60_000
ALERT = "alr_0001"
MEASURE = "msr_1"
OTHER = "alr_0002"


def salts() -> Callable[[], bytes]:
    numbers = itertools.count(1)
    return lambda: hashlib.sha256(b"%d" % next(numbers)).digest()[:SALT_BYTES]


# --- what happened -----------------------------------------------------------------------------------------------


def rulings(
    alert: str = ALERT, opened_ms: int = NOW_MS, realm: Realm = Realm.LAB, found: Finding | None = None
) -> list[Ruling]:
    """Raised, taken, closed; the first with his and her place, and with two notifications. ``found``: what it was
    raised for."""
    raised = Episode(
        id=alert, code=Code.PROX_ALERT, subject=MEASURE, realm=realm, priority=1, state=State.RAISED, version=1,
        opened_ms=opened_ms, recorded_ms=opened_ms + 5, measures=(MEASURE,), device=None, causes=("fnd_in1",),
        raises=(Raise(version=1, cause="fnd_in1", at_ms=opened_ms, points=ClockPoints(t1_ms=opened_ms)),),
    )  # fmt: skip
    taken = msgspec.structs.replace(
        raised, state=State.ACKNOWLEDGED, version=2, owner="A. Martin", acknowledged_ms=opened_ms + 9_000
    )
    closed = msgspec.structs.replace(
        taken, state=State.CLOSED, version=3, outcome=Outcome.LEFT_ZONE, closed_ms=opened_ms + MINUTE_MS,
        note="l'été, rue de l’Œuvre",
    )  # fmt: skip
    told = tuple(
        Notification(id=f"evt_{alert}_{channel}", channel=channel, type="alert.raised")
        for channel in (Channel.TELEASSISTANCE, Channel.POLICE)
    )
    finding = FindingCause(finding=found or entry(at_ms=opened_ms))
    return [
        Ruling(episode=raised, event=finding, notifications=told, reason="opened", at_ms=opened_ms),
        Ruling(
            episode=taken, event=act(Verb.ACKNOWLEDGE, 1, episode=alert), notifications=(), reason="taken",
            at_ms=opened_ms + 9_000,
        ),
        Ruling(
            episode=closed, event=act(Verb.CLOSE, 2, episode=alert, outcome=Outcome.LEFT_ZONE), notifications=(),
            reason="closed", at_ms=opened_ms + MINUTE_MS,
        ),
    ]  # fmt: skip


def receipt(alert: str = ALERT, opened_ms: int = NOW_MS, **changes: Any) -> Receipt:
    whole = {
        "notification": f"evt_{alert}_teleassistance", "episode": alert, "version": 1,
        "channel": Channel.TELEASSISTANCE, "attempt": 1, "t7_ms": opened_ms + 200, "t8_ms": opened_ms + 230,
        "result": "taken", "status": 202,
    }  # fmt: skip
    return Receipt(**{**whole, **changes})


def order(version: int = 1, **changes: Any) -> Order:
    whole = {
        "id": MEASURE, "version": version, "wearer": WEARER, "protected": PROTECTED, "alert_distance_m": 1_000,
        "valid_from_ms": NOW_MS - 86_400_000, "valid_until_ms": NOW_MS + 86_400_000,
    }  # fmt: skip
    return Order(**{**whole, **changes})


def access(name: str, *alerts: str, at_ms: int = NOW_MS + 5_000) -> Access:
    return Access(id=name, at_ms=at_ms, who="Zoé", role="operator", what="alert", objects=alerts or (ALERT,))


def of_command(sequence: int, at_ms: int, device: str = WEARER) -> Item:
    said = command(str(sequence), device, at_ms=at_ms, expires_ms=at_ms + MINUTE_MS)
    return sealing.of_command(sequence, said)


def of_result(sequence: int, name: int, at_ms: int, device: str = WEARER) -> Item:
    said = CommandStatus(
        command=command(str(name), device).id, device=device, stage=Stage.DONE, at_ms=at_ms, reason="done"
    )
    return sealing.of_result(sequence, said)


def case_payload(finding: Finding | None = None) -> bytes:
    """What a verifier that has no engine reads of one."""
    return b'{"finding":%s,"snapshot":""}' % msgspec.json.encode(finding or entry())


def of_case(payload: bytes | None = None, alert: str = ALERT, name: str = "fnd_in1") -> Item:
    return Item(
        chain=sealing.episode_chain(alert), kind=Kind.CASE, kept_as=KeptAs.MEASURE_FILE, source=f"case:{name}",
        payload=case_payload() if payload is None else payload,
    )  # fmt: skip


OVER_MS = plus_months(NOW_MS + 86_400_000, MEASURE_MONTHS)
"""When the time of everything here is over."""


def of_deletion(chain: str, *numbers: int, at_ms: int = OVER_MS) -> Item:
    kept_as = KeptAs.ACCESS if chain.startswith(ACCESSES) else KeptAs.MEASURE_FILE
    said = Deletion(numbers=numbers, kept_as=kept_as, at_ms=at_ms, rule=f"{kept_as} 72 months", by="custodian")
    return Item(
        chain=chain, kind=Kind.DELETION, kept_as=KeptAs.PROOF, source=f"deletion:{numbers}",
        payload=msgspec.json.encode(said),
    )  # fmt: skip


# --- its chains, without a record --------------------------------------------------------------------------------


class Chains:
    """Chains in memory, linked as the adapter does."""

    def __init__(self) -> None:
        self.links: dict[str, list[Link]] = {}
        self.opened: dict[str, dict[int, Opened]] = {}
        self._draw = salts()

    def seal(self, items: Iterable[Item], at_ms: int) -> None:
        for item in items:
            links = self.links.setdefault(item.chain, [])
            previous = links[-1].hash if links else START
            link, beside = linked(item, self._draw(), number=len(links) + 1, previous=previous, at_ms=at_ms)
            links.append(link)
            self.opened.setdefault(item.chain, {})[link.number] = beside

    def run(self, chain: str, after: int = 0, until: int | None = None, hide: Sequence[int] = ()) -> Run:
        links = self.links.get(chain, [])[after:until]
        numbers = {link.number for link in links} - set(hide)
        return Run(
            chain=chain, links=tuple(links), after=after if links else 0,
            before=links[0].previous if links else START,
            opened={n: one for n, one in self.opened.get(chain, {}).items() if n in numbers},
        )  # fmt: skip

    def head(self, after: Head | None, at_ms: int) -> tuple[Head, list[Leaf]]:
        leaves = [
            Leaf(chain=name, length=len(links), hash=links[-1].hash)
            for name, links in sorted(self.links.items(), key=lambda one: one[0].encode())
        ]
        return head_of(leaves, after=after, at_ms=at_ms), leaves


def world(cases: Sequence[Item] | None = None) -> Chains:
    """One alert, a measure of two versions, two units, and a day on which two alerts were read. ``cases``: instead
    of the one that belongs to it."""
    chains = Chains()
    chains.seal([sealing.of_order(order()), sealing.of_order(order(2))], NOW_MS - 3_600_000)
    chains.seal([of_command(1, NOW_MS - 7_200_000)], NOW_MS - 7_200_000)
    for sequence, ruling in enumerate(rulings(), start=1):
        chains.seal(sealing.of_ruling(sequence, ruling), ruling.at_ms + 50)
    failed = receipt(notification=f"evt_{ALERT}_police", channel=Channel.POLICE, t8_ms=None, result="timeout")
    chains.seal([sealing.of_receipt(one, is_tgd=False) for one in (receipt(), failed)], NOW_MS + MINUTE_MS + 100)
    chains.seal([of_case()] if cases is None else cases, NOW_MS + MINUTE_MS + 200)
    chains.seal([of_command(2, NOW_MS), of_result(3, 2, NOW_MS + 900)], NOW_MS + 1_000)
    chains.seal([of_command(4, NOW_MS + 5 * 3_600_000)], NOW_MS + 5 * 3_600_000)
    reads = [access("acc_1"), access("acc_2", OTHER), access("acc_3", ALERT, OTHER)]
    chains.seal([sealing.of_access(one) for one in reads], NOW_MS + 6_000)
    return chains


DAY = sealing.access_chain(NOW_MS)
HIS = DEVICE + WEARER
HERS = DEVICE + PROTECTED
EPISODE = sealing.episode_chain(ALERT)
ORDERS = sealing.measure_chain(MEASURE)


def package(chains: Chains, *, with_head: bool = True, hide: dict[str, Sequence[int]] | None = None) -> bytes:
    """The evidence of ALERT: his run is around the alert, on to the head; of the day what names the alert."""
    hide = {DAY: (2,), HIS: (4,), **(hide or {})}
    names = sorted({EPISODE, ORDERS, HIS, HERS, DAY}, key=place_of)
    runs = [chains.run(name, after=1 if name == HIS else 0, hide=hide.get(name, ())) for name in names]
    story = Story(ALERT)
    for run in runs:
        for link in run.links:
            if link.number in run.opened:
                assert story.hear(link, run.opened[link.number].payload) == []
    return b"".join(written(story.header(), runs, heads_of(chains, names) if with_head else []))


def heads_of(chains: Chains, names: Sequence[str]) -> list[HeadLine]:
    newest_ms = max(links[-1].at_ms for links in chains.links.values() if links)
    tomorrow_ms = NOW_MS + 86_400_000
    head, leaves = chains.head(None, tomorrow_ms if newest_ms < tomorrow_ms else newest_ms + 86_400_000)
    shown = [head_line(head, leaf, proof(leaves, n)) for n, leaf in enumerate(leaves) if leaf.chain in names]
    return sorted(shown, key=lambda line: line.chain)


# --- how somebody would change it --------------------------------------------------------------------------------


def lines(content: bytes) -> list[bytes]:
    """As a binary file gives them: only ``\\n`` ends one."""
    return list(io.BytesIO(content))


def resealed(changed: Iterable[bytes]) -> bytes:
    """With a seal that is right again."""
    body = b"".join(line for line in changed if not line.startswith(b'{"kind":"seal"'))
    return body + b'{"kind":"seal","sha256":"%s"}\n' % hashlib.sha256(body).hexdigest().encode()


def found(content: bytes, **words: Any) -> list[int]:
    """The indexes of the lines that say all of this."""
    return [index for index, line in enumerate(lines(content)) if words.items() <= json.loads(line).items()]
