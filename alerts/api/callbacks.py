"""May whoever answers the link of a notification acknowledge its alert?

The link is the credential (``alerts.callback``), and the name in the body is the human. It acknowledges the alert
that it was sent about, as that stands now: to be raised again, or escalated, does not take it away from somebody
who says that he has it. But a link is of one wait: once the alert was taken and came back (released, expired),
there is a newer link, and the old one is refused (412). So a repetition, however late, never makes it look taken.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Response

from alerts import callback, desk
from alerts.api import schemas, views
from alerts.api.access import other_human
from alerts.api.acts import Said, acknowledged, refusal, ruled
from alerts.api.alerts import find
from alerts.api.deps import Deps, deps_of
from alerts.api.openapi import WITH_BODY, problems
from alerts.api.problems import Refusal
from alerts.api.roles import Caller
from tocsin.model.episode import Episode, Verb

SERVICE: Final = "callback"
"""In the record, in the place of the account that speaks for him."""
TRIES: Final = 5  # a version that changes under a hand five times within milliseconds is no human's work

router = APIRouter(tags=["callbacks"])


@router.post(
    "/callbacks/{token}",
    summary="Answer the link of a notification",
    responses=problems(
        "unknown-callback", "callback-expired", "already-owned", "already-closed", "stale-version",
        "unknown-alert", "actor-refused", "invalid-request", "not-ready", "log-unavailable",
        "record-unavailable",
        *WITH_BODY, guarded=False,
    ),
)  # fmt: skip
async def answer(
    token: Annotated[str, Path(max_length=callback.TOKEN_MAX, description="As it came in the notification.")],
    body: schemas.CallbackRequest,
    deps: Annotated[Deps, Depends(deps_of)],
    response: Response,
) -> schemas.Acknowledgement:
    """It is his for 120 s, as if he had taken it himself. Repeating it while he has it changes nothing."""
    claim = _claim(deps, token)
    human = Caller(name=other_human(deps.settings, body.by), role="platform", service=SERVICE)
    wanted = Said(verb=Verb.ACKNOWLEDGE, note=f"link sent to {claim.recipient}")
    seen, refused = await find(deps, claim.alert), desk.Objection.STALE
    for _ in range(TRIES):
        if is_of_an_earlier_wait(seen, claim, deps.clock.now_ms()):
            break
        said = await ruled(deps, human, seen, seen.version, wanted)
        assert said.episode is not None
        seen = said.episode
        if not isinstance(said, desk.Refused):
            return acknowledged(seen, response)
        refused = said.objection
        if refused is not desk.Objection.STALE:  # that one says how it is now: it is asked again about that
            break
    raise refusal(refused, seen)


def _claim(deps: Deps, token: str) -> callback.Claim:
    """Raises Refusal (404, 410)."""
    secret = deps.settings.callback_secret
    if secret is None:
        raise Refusal("unknown-callback")
    try:
        return callback.claim_in(token, secret.get_secret_value().encode(), deps.clock.now_ms())
    except callback.Forged:
        raise Refusal("unknown-callback") from None
    except callback.Expired:
        raise Refusal("callback-expired") from None


def is_of_an_earlier_wait(episode: Episode, claim: callback.Claim, now_ms: int) -> bool:
    """Whether somebody has had the alert since the link was sent, and has it no longer."""
    if views.is_taken(episode, now_ms):
        return False
    return max(episode.freed_ms or 0, episode.acknowledged_ms or 0) > claim.at_ms
