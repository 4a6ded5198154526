"""Waits that grow, end at a bound, and differ."""

from __future__ import annotations

import pytest

from chassis.backoff import Backoff


def waits(backoff: Backoff, count: int) -> list[float]:
    return [round(backoff.delay_seconds(), 6) for _ in range(count)]


def test_waits_grow_to_the_longest_and_start_over() -> None:
    backoff = Backoff(first=10, longest=60, spread=0)
    assert waits(backoff, 5) == [10, 20, 40, 60, 60]
    backoff.reset()
    assert waits(backoff, 1) == [10]


@pytest.mark.parametrize(
    ("draw", "expected"), [(0.0, [5, 10]), (0.5, [10, 20]), (0.999999, [15, 30])]
)
def test_waits_are_off_by_a_share_either_way(draw: float, expected: list[float]) -> None:
    backoff = Backoff(first=10, longest=60, spread=0.5, draw=lambda: draw)
    assert waits(backoff, 2) == pytest.approx(expected, rel=1e-4)


def test_no_wait_is_longer_than_the_longest() -> None:
    backoff = Backoff(first=100, longest=60, spread=1, draw=lambda: 0.999)
    assert waits(backoff, 2) == [60, 60]


def test_two_clients_do_not_come_back_together() -> None:
    one, other = (Backoff(first=10, longest=60) for _ in range(2))
    assert waits(one, 3) != waits(other, 3)
