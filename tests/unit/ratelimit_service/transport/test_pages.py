"""Page tokens: good for the list they are of, and for nothing else."""

from __future__ import annotations

import base64

import pytest

from chassis.errors import InvalidRequest
from ratelimit_service.transport.pages import start_of, token_of

QUESTION = (7, "shop", "limit > 3")


def test_a_token_leads_on_and_no_token_to_the_start() -> None:
    assert start_of("", QUESTION) == 0
    assert start_of(token_of(100, QUESTION), QUESTION) == 100


@pytest.mark.parametrize(
    "other",
    [
        (8, "shop", "limit > 3"),
        (7, "", "limit > 3"),
        (7, "shop", ""),
        (7, "shop'", "limit > 3"),
        "7",
    ],
)
def test_a_token_of_another_question_is_refused(other: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        start_of(token_of(100, QUESTION), other)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"
    assert [one.field for one in caught.value.violations] == ["page_token"]


def moved(token: str) -> str:
    """Return the token with another start."""
    start, _, digest = base64.urlsafe_b64decode(token).decode().partition(":")
    return base64.urlsafe_b64encode(f"{int(start) + 1}:{digest}".encode()).decode()


@pytest.mark.parametrize(
    "token",
    [
        "x", "====", "ä", "a b", token_of(100, QUESTION) + "\n", token_of(100, QUESTION)[:-4],
        moved(token_of(100, QUESTION)), base64.urlsafe_b64encode(b"\xff:0").decode(),
        base64.urlsafe_b64encode(b"1" * 10_000).decode(), base64.urlsafe_b64encode(b"-1:0").decode(),
    ],
    ids=range(10),
)  # fmt: skip
def test_a_forged_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        start_of(token, QUESTION)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"
