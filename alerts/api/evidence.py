"""What proves one alert, for whoever must be shown it and check it without us?

The package that docs/evidence.md describes, byte for byte that of ``tocsin evidence export``. It has the places of
both, so it says why it is taken, and who took it is linked into the chain of its day before a byte of it leaves; a
package does not have its own taking in it, the next one has. What is too large to be made beside the screens of
the desk is left to that command, and as many as have a place are in memory at once (``alerts.api.held``).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from alerts.api.alerts import AlertId, TheDeps
from alerts.api.deps import Deps
from alerts.api.held import Placed
from alerts.api.openapi import problems
from alerts.api.problems import Refusal
from alerts.api.reader import Reader, reads_for_a_reason
from alerts.api.roles import Permission
from tocsin.errors import NoEvidence

MEDIA_TYPE: Final = "application/x-ndjson"
_PACKAGE: Final[dict[str, Any]] = {
    "description": "The package of docs/evidence.md: JSON lines, sealed. `tocsin evidence verify` checks it.",
    "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    "headers": {
        "Content-Disposition": {
            "description": "Its file name, the id of the alert with .jsonl.", "schema": {"type": "string"},
        }
    },
}  # fmt: skip

router = APIRouter(tags=["audit"])


@router.get(
    "/alerts/{alert_id}/evidence",
    summary="Take the evidence of one alert",
    response_class=StreamingResponse,
    responses={
        200: _PACKAGE,
        **problems(
            "unknown-alert", "purpose-missing", "invalid-request", "not-recorded", "evidence-broken",
            "evidence-too-large", "evidence-busy", "record-unavailable", "evidence-unavailable", "not-ready",
        ),
    },
)  # fmt: skip
async def take_evidence(
    alert_id: AlertId,
    deps: TheDeps,
    reader: Annotated[Reader, Depends(reads_for_a_reason(Permission.TAKE_EVIDENCE))],
) -> StreamingResponse:
    """Everything that the record knows of it, and the proof that nothing of it was changed, dropped or added.

    It has personal data: the places of both. Tocsin-Purpose is required, and stands in the record with your name
    before you get the first byte."""
    headers = {"Content-Disposition": f'attachment; filename="{alert_id}.jsonl"', "Cache-Control": "no-store"}
    async with AsyncExitStack() as held:
        await held.enter_async_context(deps.proof.places.one())
        lines = await _packaged(deps, alert_id)
        await reader.takes(deps.proof.sealed, "evidence", [alert_id])
        return Placed(lines, held.pop_all(), media_type=MEDIA_TYPE, headers=headers)


async def _packaged(deps: Deps, alert_id: str) -> Iterable[bytes]:
    """Raises Refusal: 404, or 409 for an alert that is on the log and not in the record yet."""
    try:
        return await deps.proof.packages.lines(alert_id)
    except NoEvidence:
        known = deps.projection.find(alert_id)
        if known is None and not deps.projection.ready.is_set():
            raise Refusal("not-ready") from None
        is_behind = known is not None and not known.episode.is_canary
        raise Refusal("not-recorded" if is_behind else "unknown-alert") from None
