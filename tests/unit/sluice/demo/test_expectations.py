"""The demo's judgement: what it accepts, and each thing it must not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sluice.demo.calls import Answer, percentile_ms
from sluice.demo.expectations import limited_client, most_allowed, untouched_client

if TYPE_CHECKING:
    from collections.abc import Mapping

REFUSAL = {
    "x-ratelimit-limit": '100, 100;w=60;name="calls_per_client"',
    "x-ratelimit-remaining": "0",
    "x-ratelimit-reset": "1",
    "retry-after": "1",
}


def answer(status: int, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status=status, headers=headers or {}, seconds=0.001)


def run(passed: int, refused: int, *, headers: Mapping[str, str] = REFUSAL) -> list[Answer]:
    return [answer(200)] * passed + [answer(429, headers)] * refused


def test_a_hundred_and_what_refills_may_pass() -> None:
    assert most_allowed(0.0, 0) == 101
    assert most_allowed(3.0, 0) == 106
    assert most_allowed(3.0, 2) == 108


@pytest.mark.parametrize(("passed", "elapsed"), [(100, 0.3), (101, 0.3), (106, 3.0)])
def test_the_right_number_of_calls_is_accepted(passed: int, elapsed: float) -> None:
    answers = run(passed, 130 - passed)
    assert not list(limited_client(answers, elapsed_seconds=elapsed, unjudged=0))


@pytest.mark.parametrize(("passed", "elapsed"), [(99, 0.3), (102, 0.3), (130, 0.3)])
def test_the_wrong_number_of_calls_is_not(passed: int, elapsed: float) -> None:
    answers = run(passed, 130 - passed)
    problems = list(limited_client(answers, elapsed_seconds=elapsed, unjudged=0))
    assert f"{passed} calls passed; 100 to 101 were to" in problems


def test_calls_that_envoy_let_through_without_a_verdict_are_allowed_for() -> None:
    assert not list(limited_client(run(103, 27), elapsed_seconds=0.3, unjudged=2))


def test_any_other_status_is_named() -> None:
    answers = [*run(100, 29), answer(503)]
    assert list(limited_client(answers, elapsed_seconds=0.3, unjudged=0)) == [
        "some calls were answered with status 503"
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-ratelimit-limit", "60, 60;w=60"),
        ("x-ratelimit-remaining", "3"),
        ("x-ratelimit-reset", "soon"),
        ("retry-after", "0.6"),
        ("retry-after", None),
    ],
)
def test_a_refusal_that_does_not_say_when_to_come_back_is_named(
    name: str, value: str | None
) -> None:
    headers = {key: text for key, text in {**REFUSAL, name: value}.items() if text is not None}
    (problem,) = limited_client(run(100, 30, headers=headers), elapsed_seconds=0.3, unjudged=0)
    assert name in problem


def test_another_clients_refusal_is_named() -> None:
    assert not list(untouched_client([answer(200)] * 5))
    assert list(untouched_client([answer(200), answer(429)])) == [
        "1 calls of another client were answered with 429, not 200"
    ]


def test_percentiles_are_of_the_sorted_durations() -> None:
    answers = [Answer(status=200, headers={}, seconds=ms / 1000) for ms in (5, 1, 4, 2, 3)]
    assert percentile_ms(answers, 0.5) == pytest.approx(3.0)
    assert percentile_ms(answers, 0.99) == pytest.approx(5.0)
