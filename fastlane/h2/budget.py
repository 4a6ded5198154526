"""A budget: how often something may happen, at once, over time, and per useful work done."""

from __future__ import annotations


class Budget:
    """A token bucket of `burst` units, refilled by time (seconds) and by work (a count)."""

    __slots__ = ("_at", "_burst", "_left", "_per_second", "_per_work", "_work")

    def __init__(self, *, burst: float, per_second: float, per_work: float, now: float) -> None:
        self._burst = float(burst)
        self._per_second = float(per_second)
        self._per_work = float(per_work)
        self._left = float(burst)
        self._at = now
        self._work = 0

    def spend(self, now: float, work: int) -> bool:
        """Take one unit, at `now` and after `work` done in all; False when none is left."""
        earned = (now - self._at) * self._per_second + (work - self._work) * self._per_work
        self._at = now
        self._work = work
        self._left = min(self._burst, self._left + earned) - 1.0
        return self._left >= 0.0
