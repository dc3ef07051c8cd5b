"""Is a link worth what it says, and nothing once a bit of it is another, or its hour is over?"""

from __future__ import annotations

import base64
import hmac

import msgspec
import pytest
from builders import NOW_MS, REALM, entry
from hypothesis import given
from hypothesis import strategies as st

from alerts.callback import PATH, TOKEN_MAX, Claim, Expired, Forged, Links, claim_in, token_of
from alerts.desk import handle
from tocsin.limits import CALLBACK_VALID_S
from tocsin.model.episode import FindingCause, Ruling

SECRET = b"a secret of the tests, 32 characters"
CLAIM = Claim("alr_0123", "teleassistance", NOW_MS)
TOKEN = token_of(CLAIM, SECRET)
LIFE_MS = CALLBACK_VALID_S * 1000

OPENED = handle(None, FindingCause(finding=entry()), REALM, NOW_MS)
assert isinstance(OPENED, Ruling)


@given(
    st.builds(
        Claim, st.text(max_size=40), st.text(max_size=40), st.integers(min_value=NOW_MS - LIFE_MS, max_value=2**53)
    ),
    st.binary(min_size=1),
)
def test_what_was_signed_is_read_back(claim: Claim, secret: bytes) -> None:
    assert claim_in(token_of(claim, secret), secret, claim.at_ms + LIFE_MS - 1) == claim


def test_its_time_is_over_to_the_millisecond() -> None:
    assert claim_in(TOKEN, SECRET, NOW_MS + LIFE_MS - 1) == CLAIM
    with pytest.raises(Expired):
        claim_in(TOKEN, SECRET, NOW_MS + LIFE_MS)


@pytest.mark.parametrize("place", range(len(TOKEN)))
def test_every_character_counts(place: int) -> None:
    """Also the last one, of which base64 leaves bits unused: one link has one way of being written."""
    for other in "Az0-_.~=\n":
        if other != TOKEN[place]:
            with pytest.raises(Forged):
                claim_in(TOKEN[:place] + other + TOKEN[place + 1 :], SECRET, NOW_MS)


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{43}"))
def test_what_nobody_signed_is_forged(text: str) -> None:
    with pytest.raises(Forged):
        claim_in(text, SECRET, NOW_MS)


def test_another_secret_and_another_purpose_are_no_link() -> None:
    with pytest.raises(Forged):
        claim_in(token_of(CLAIM, SECRET + b"x"), SECRET, NOW_MS)
    said, _, _ = TOKEN.partition(".")
    raw = base64.urlsafe_b64decode(said + "=" * (-len(said) % 4))
    plain = base64.urlsafe_b64encode(hmac.digest(SECRET, raw, "sha256")).rstrip(b"=").decode()
    with pytest.raises(Forged):
        claim_in(f"{said}.{plain}", SECRET, NOW_MS)


@pytest.mark.parametrize(
    "base", ["https://tocsin.example", "https://tocsin.example/", "https://a.example/tocsin/"]
)
def test_the_link_of_a_notification_is_the_same_at_every_attempt(base: str) -> None:
    links = Links(public_url=base, secret=SECRET)
    told = OPENED.notifications[0]
    link = links(OPENED, told)
    assert link == links(OPENED, told)
    assert link.startswith(f"{base.rstrip('/')}{PATH}")
    token = link.rpartition("/")[2]
    assert len(token) <= TOKEN_MAX
    assert claim_in(token, SECRET, NOW_MS) == Claim(OPENED.episode.id, "teleassistance", NOW_MS)
    second = links(OPENED, msgspec.structs.replace(told, recipient="second")).rpartition("/")[2]
    assert claim_in(second, SECRET, NOW_MS).recipient == "teleassistance/second"
