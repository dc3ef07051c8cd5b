"""Was this act asked before? Its key is kept with the alert, on the log.

``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header-07) of an act: 400 without, 422 with another body,
and for a repetition the answer of the first time. The key is a part of the act and becomes a part of the episode
in the same message of the log that the act does: there is no moment at which one of the two is known without the
other, and no database in it. What makes things in the record keeps its keys there (``alerts.api.once``).

A key belongs to who spoke and to what was asked; of both and the body only hashes are kept. The episode remembers
the newest acts: behind those a repetition is an act on an old version, and refused as one (412).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic import BaseModel

from alerts.api.once import checked_key
from alerts.api.problems import Refusal
from alerts.api.roles import Caller
from tocsin.model.episode import Episode, Keyed

HASH_CHARS = 32  # 128 bits: in every ruling of the alert from then on


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedAct:
    """The key that an act comes under, and what it says, as hashes."""

    key: str
    fingerprint: str

    def applied(self, at_ms: int) -> Keyed:
        """As the episode keeps it if the act is applied at this hour."""
        return Keyed(key=self.key, fingerprint=self.fingerprint, at_ms=at_ms)


def checked_act_key(actor: Caller, key: str | None, body: BaseModel) -> KeyedAct:
    """Raises Refusal (400)."""
    kind = type(body).__name__
    spoken = f"{actor.service}\n{actor.name}\n{kind}\n{checked_key(key)}"
    return KeyedAct(key=_hash(spoken), fingerprint=_hash(f"{kind}\n{body.model_dump_json()}"))


def repeated(episode: Episode, keyed: KeyedAct) -> Keyed | None:
    """The act that was applied under this key, None: none is remembered. Raises Refusal (422) for another body."""
    known = next((one for one in episode.keyed if one.key == keyed.key), None)
    if known is not None and known.fingerprint != keyed.fingerprint:
        raise Refusal("idempotency-key-reused")
    return known


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_CHARS]
