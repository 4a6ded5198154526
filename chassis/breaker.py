"""A circuit breaker: when a store stops answering, callers are told at once instead of queueing.

    CLOSED ----- N failures in a row ----------> OPEN
    OPEN ------- its time has passed ----------> HALF_OPEN, one trial may pass
    HALF_OPEN -- the trial fails --------------> OPEN, for longer
    HALF_OPEN -- the trial succeeds -----------> CLOSED
    any -------- reset(): a probe succeeded ---> CLOSED

Pure: time is an argument (any clock's seconds), chance is handed in.
"""

from __future__ import annotations

import random
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Five in a row: one lost packet must not cut a store off, and five timeouts are soon reached.
FAILURES_TO_OPEN = 5
FIRST_OPEN_SECONDS = 0.1
# Longer than the longest pause gains nothing: a trial is one call, and a probe closes it sooner.
LONGEST_OPEN_SECONDS = 2.0


class BreakerState(Enum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class CircuitBreaker:
    """Counts failures in a row and refuses while there is no hope.

    `chance` returns a float in [0, 1): each open time is drawn from the upper half of its range,
    so that many processes do not try a recovering store in the same instant.
    """

    __slots__ = ("_chance", "_failures", "_opened", "_until", "state")

    def __init__(self, *, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._failures = 0
        self._opened = 0
        self._until = 0.0
        self.state = BreakerState.CLOSED

    def allows(self, now: float) -> bool:
        """Tell whether a call may go out; in HALF_OPEN the one that asks first is the trial."""
        if self.state is BreakerState.CLOSED:
            return True
        if now < self._until:
            return False
        # Of the trial we may never hear again (its caller left), so its turn ends by itself.
        self.state = BreakerState.HALF_OPEN
        self._until = now + LONGEST_OPEN_SECONDS
        return True

    def succeeded(self) -> None:
        """Count a call that was answered, whatever the answer."""
        self._failures = 0
        if self.state is not BreakerState.CLOSED:
            self.reset()

    def failed(self, now: float) -> None:
        """Count a call that was not answered."""
        self._failures += 1
        if self.state is BreakerState.HALF_OPEN or (
            self.state is BreakerState.CLOSED and self._failures >= FAILURES_TO_OPEN
        ):
            self._open(now)

    def reset(self) -> None:
        """Close it, because somebody knows that the store answers again."""
        self.state = BreakerState.CLOSED
        self._failures = 0
        self._opened = 0

    def _open(self, now: float) -> None:
        # The exponent is capped too: 2.0**1100 would overflow after a long night.
        longest = min(LONGEST_OPEN_SECONDS, FIRST_OPEN_SECONDS * 2.0 ** min(self._opened, 16))
        self._opened += 1
        self._until = now + longest * (0.5 + 0.5 * self._chance())
        self.state = BreakerState.OPEN
