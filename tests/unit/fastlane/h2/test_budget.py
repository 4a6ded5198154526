"""Budgets: bursts, refills, earnings."""

from __future__ import annotations

from fastlane.h2.budget import Budget


def spend(budget: Budget, times: int, now: float, work: int = 0) -> int:
    """Spend `times` units; returns how many were there."""
    return sum(budget.spend(now, work) for _ in range(times))


def test_a_burst_is_allowed_and_no_more() -> None:
    budget = Budget(burst=5, per_second=1, per_work=0, now=0.0)
    assert spend(budget, 10, 0.0) == 5


def test_time_refills() -> None:
    budget = Budget(burst=5, per_second=2, per_work=0, now=0.0)
    spend(budget, 5, 0.0)
    assert spend(budget, 5, 1.0) == 2


def test_work_earns() -> None:
    budget = Budget(burst=5, per_second=0, per_work=3, now=0.0)
    spend(budget, 5, 0.0)
    assert spend(budget, 5, 0.0, work=1) == 3


def test_nothing_is_saved_beyond_the_burst() -> None:
    budget = Budget(burst=5, per_second=100, per_work=100, now=0.0)
    assert spend(budget, 10, 60.0, work=60) == 5
