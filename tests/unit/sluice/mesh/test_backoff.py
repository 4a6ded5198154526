"""Delays between restarts."""

from __future__ import annotations

import pytest

from sluice.mesh.backoff import FIRST_SECONDS, JITTER, LONGEST_SECONDS, Backoff


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(lambda: 0.5)
    assert [backoff.delay_seconds() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_healthy_while_starts_over() -> None:
    backoff = Backoff(lambda: 0.5)
    for _ in range(5):
        backoff.delay_seconds()
    backoff.reset()
    assert backoff.delay_seconds() == FIRST_SECONDS


@pytest.mark.parametrize("drawn", [0.0, 0.25, 0.999])
def test_jitter_stays_within_its_share(drawn: float) -> None:
    backoff = Backoff(lambda: drawn)
    for _ in range(8):
        delay = backoff.delay_seconds()
        assert FIRST_SECONDS * (1 - JITTER) <= delay <= LONGEST_SECONDS * (1 + JITTER)


def test_two_parts_that_died_together_come_back_apart() -> None:
    assert Backoff(lambda: 0.0).delay_seconds() < Backoff(lambda: 0.9).delay_seconds()
