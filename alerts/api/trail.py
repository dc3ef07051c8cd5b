"""What binds the record together, who has read what, and what do the daily heads prove? For auditors.

A link says nothing of anybody, and no payload leaves by these doors: neither a place nor what was decided. Who
read what is about people who work, so every one of them asks for the purpose, and each look is an access itself:
to what was shown, and to whom or what it was asked about, also where there was nothing to show.
How a proof is checked offline: docs/proof.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, BaseModel, Field

from alerts.api import schemas
from alerts.api.alerts import ID_PATTERN, LIST_MAX, Cursor, Limit, TheDeps
from alerts.api.load import window
from alerts.api.openapi import problems
from alerts.api.problems import Refusal
from alerts.api.reader import Reader, reads_for_a_reason
from alerts.api.reports import Since, Until
from alerts.api.roles import Permission
from tocsin import sealing
from tocsin.adapters.accesses import RecordedAccess
from tocsin.adapters.trail import Cover, Entry
from tocsin.chain import KeptAs, Kind, Link
from tocsin.clock import from_rfc3339, rfc3339
from tocsin.heads import DAY_MS, Published, published
from tocsin.model.access import WHO

NUMBER_MAX: Final = 10**15
"""Of a link or a head: far above what is ever reached, and within 64 bits."""

OBJECT_PATTERN: Final = rf"{ID_PATTERN}|^{WHO}[^\x00-\x1f]{{1,200}}$"

router = APIRouter(tags=["audit"], prefix="/audit")

Auditor = Annotated[Reader, Depends(reads_for_a_reason(Permission.SEE_AUDIT))]


def _is_day(text: str) -> str:
    date.fromisoformat(text)
    return text


DayIn = Annotated[
    str,
    Field(
        pattern=r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}$",
        json_schema_extra={"format": "date"},
        examples=["2026-11-21"],
    ),
    AfterValidator(_is_day),
]
ChainIn = Annotated[
    str | None,
    Query(
        pattern=r"^(episode|measure|device|accesses)/[A-Za-z0-9_-]{1,64}$",
        examples=["episode/alr_0b8f1f6c3d2e8a4f9c7b6a5d4e3f2a1b"],
        description="`episode/{alert}`, `measure/{measure}`, `device/{device}` or `accesses/{day}`.",
    ),
]
Number = Annotated[int | None, Query(ge=1, le=NUMBER_MAX)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class EntryReply(BaseModel):
    """One link, as docs/proof.md hashes it. ``kept``: its payload is still in the record, and was not erased."""

    chain: str
    number: int
    kind: Kind
    kept_as: KeptAs
    source: str
    at: schemas.Time
    at_ms: int
    commitment: Hash
    previous: Hash
    hash: Hash
    kept: bool | None = None


class EntriesReply(BaseModel):
    items: list[EntryReply]
    next: str | None


class AccessReply(BaseModel):
    """Who read ``objects``, in which ``role``, why and when; ``service``: the account that spoke for him.
    ``places``: with coordinates. ``chain``, ``source``: where it is linked."""

    id: str
    at: schemas.Time
    who: str
    role: str
    service: str | None
    what: str
    objects: list[str]
    purpose: str | None
    places: bool
    chain: str
    source: str


class AccessesReply(BaseModel):
    items: list[AccessReply]
    next: str | None


class HeadReply(BaseModel):
    """A daily head as it is published."""

    number: int
    day: str
    at_ms: int
    previous: Hash
    root: Hash
    leaves: int
    hash: Hash


class CoverReply(BaseModel):
    """When ``head`` was made ``chain`` had ``length`` links, the last of them with the hash ``last``. ``leaf``
    counts the leaves of the head from 0; ``proof`` are the hashes beside its way to the root, lowest first
    (RFC 6962, section 2.1.1). ``links``: from the number that was asked for to the last of these."""

    head: HeadReply
    chain: str
    length: int
    last: Hash
    leaf: int
    proof: list[Hash]
    links: list[EntryReply]


class ProofReply(BaseModel):
    """``head``: the newest up to the day. ``heads`` lead to it, each over the one before; ``next``: more of them
    follow, ask with ``after``."""

    head: HeadReply
    heads: list[HeadReply]
    next: int | None
    covered: CoverReply | None


@router.get(
    "/entries",
    summary="List the links of the record",
    responses=problems("purpose-missing", "bad-cursor", "invalid-request", "record-unavailable"),
)
async def list_entries(
    deps: TheDeps,
    auditor: Auditor,
    chain: ChainIn = None,
    alert: Annotated[
        str | None, Query(pattern=ID_PATTERN, description="The chain of this alert, in place of `chain`.")
    ] = None,
    day: Annotated[DayIn | None, Query(description="Linked on this UTC day.")] = None,
    limit: Limit = LIST_MAX,
    cursor: Cursor = None,
) -> EntriesReply:
    """By chain, then by number. Hashes, hours and names alone: what a link commits to is in the evidence."""
    if chain is not None and alert is not None:
        raise Refusal("invalid-request", errors=[_wrong("alert", "instead-of-chain", "not together with chain")])
    page = await deps.proof.trail.entries(
        chain=chain if alert is None else sealing.episode_chain(alert),
        from_ms=0 if day is None else _begin_ms(day),
        until_ms=None if day is None else _begin_ms(day) + DAY_MS,
        cursor=cursor,
        limit=limit,
    )
    auditor.saw("entries", _named(entry.link.chain for entry in page.items))
    return EntriesReply(items=[_entry(entry) for entry in page.items], next=page.next)


@router.get(
    "/accesses",
    summary="List who has read what, the newest first",
    responses=problems("purpose-missing", "bad-cursor", "bad-window", "invalid-request", "record-unavailable"),
)
async def list_accesses(
    deps: TheDeps,
    auditor: Auditor,
    object_id: Annotated[
        str | None,
        Query(
            alias="object",
            pattern=OBJECT_PATTERN,
            description="Who read this alert, or this measure; `who:` and a name: who looked up what he has read.",
        ),
    ] = None,
    who: Annotated[str, Query(max_length=200, description="What he has read.", pattern=r"^[^\x00-\x1f]*$")] = "",
    since: Since = None,
    until: Until = None,
    limit: Limit = LIST_MAX,
    cursor: Cursor = None,
) -> AccessesReply:
    """Of a window of at most a year; a day until now where nothing is said. It is as far as the recorder is: what
    is on the log alone comes seconds later. Erased after its term; its links stay."""
    from_ms, to_ms = window(deps, since, until)
    page = await deps.proof.trail.accesses(
        from_ms, to_ms, object_id=object_id, who=who, cursor=cursor, limit=limit
    )
    shown = (name for one in page.items for name in one.access.objects)
    auditor.saw("accesses", dict.fromkeys((*_asked_about(object_id, who), *shown)))
    return AccessesReply(items=[_access(one) for one in page.items], next=page.next)


@router.get(
    "/proof",
    summary="Prove a chain, or a link, by the daily heads",
    responses=problems(
        "purpose-missing", "not-covered", "too-many-links", "invalid-request", "record-unavailable"
    ),
)
async def prove(
    deps: TheDeps,
    auditor: Auditor,
    upto: Annotated[
        DayIn | None, Query(description="The newest head of this UTC day or one before; today's without.")
    ] = None,
    after: Annotated[
        int | None,
        Query(ge=0, le=NUMBER_MAX, description="The number of the head that you have: what came since."),
    ] = None,
    chain: ChainIn = None,
    number: Annotated[Number, Query(description="A link of `chain`: proven by the first head over it.")] = None,
) -> ProofReply:
    """Whoever has kept a published head checks with it that the record of then is in that of now, and that a chain
    or a link was there: with SHA-256, and without asking us again (docs/proof.md)."""
    if number is not None and chain is None:
        raise Refusal("invalid-request", errors=[_wrong("number", "without-chain", "a link has a chain")])
    day = rfc3339(deps.clock.now_ms())[:10] if upto is None else upto
    found = await deps.proof.trail.heads(day, after=after, chain=chain, number=number)
    auditor.saw("proof", _named([] if chain is None else [chain]))
    return ProofReply(
        head=_head(published(found.newest)),
        heads=[_head(published(one)) for one in found.run],
        next=found.run[-1].number if found.more else None,
        covered=None if found.cover is None else _cover(found.cover),
    )


def _asked_about(object_id: str | None, who: str) -> Iterator[str]:
    """As objects of the access: whoever looks up one person's work has looked at that person."""
    if who:
        yield f"{WHO}{who}"
    if object_id is not None:
        yield object_id


def _begin_ms(day: str) -> int:
    return from_rfc3339(f"{day}T00:00:00Z")


def _wrong(parameter: str, code: str, detail: str) -> dict[str, str]:
    return {"parameter": parameter, "in": "query", "code": code, "detail": detail}


def _named(chains: Iterable[str]) -> list[str]:
    """What these chains are about, as accesses name it: alert, measure or unit; a day of accesses by its chain."""
    names = dict.fromkeys(chains)
    return [name if name.startswith("accesses/") else name.partition("/")[2] for name in names]


def _entry(entry: Entry) -> EntryReply:
    return _link(entry.link).model_copy(update={"kept": entry.kept})


def _link(link: Link) -> EntryReply:
    return EntryReply(
        chain=link.chain,
        number=link.number,
        kind=link.kind,
        kept_as=link.kept_as,
        source=link.source,
        at=rfc3339(link.at_ms),
        at_ms=link.at_ms,
        commitment=link.commitment.hex(),
        previous=link.previous.hex(),
        hash=link.hash.hex(),
    )


def _access(one: RecordedAccess) -> AccessReply:
    read = one.access
    return AccessReply(
        id=read.id,
        at=rfc3339(read.at_ms),
        who=read.who,
        role=read.role,
        service=read.service or None,
        what=read.what,
        objects=list(read.objects),
        purpose=read.purpose or None,
        places=read.places,
        chain=sealing.access_chain(read.at_ms),
        source=f"access:{read.id}",
    )


def _head(head: Published) -> HeadReply:
    return HeadReply(
        number=head.number,
        day=head.day,
        at_ms=head.at_ms,
        previous=head.previous,
        root=head.root,
        leaves=head.leaves,
        hash=head.hash,
    )


def _cover(cover: Cover) -> CoverReply:
    return CoverReply(
        head=_head(published(cover.head)),
        chain=cover.leaf.chain,
        length=cover.leaf.length,
        last=cover.leaf.hash.hex(),
        leaf=cover.proof.index,
        proof=[one.hex() for one in cover.proof.path],
        links=[_link(link) for link in cover.links],
    )
