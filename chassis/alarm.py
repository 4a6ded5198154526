"""One timer for many deadlines, for those who keep what is due in a collection of their own.

A timer each costs 2 us to set and cancel, and nearly all are cancelled. An alarm is set to the
earliest deadline, and those that come later than it do not touch it; when it rings, its owner looks
through what is due and says when to ring next.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Timers of the loop count in milliseconds and may ring a little early. What is due within one is
# due, or the alarm would ring again and again until it is.
TICK_SECONDS = 0.001


class Alarm:
    """Calls `ring(now)`, which deals with what is due at `now` and returns the next deadline.

    `now` reads the clock that deadlines are given in; math.inf means that nothing is left. Who
    adds a deadline compares it with `at` first, as most come later:

        if deadline < alarm.at:
            alarm.set(deadline)
    """

    __slots__ = ("_now", "_ring", "_timer", "at")

    def __init__(self, now: Callable[[], float], ring: Callable[[float], float]) -> None:
        self.at = math.inf
        self._now = now
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        """Ring at `when` instead of at `at`; needs a running loop."""
        self.stop()
        if when < math.inf:
            delay = max(0.0, when - self._now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._due)
            self.at = when

    def stop(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.at = None, math.inf

    def _due(self) -> None:
        self._timer, self.at = None, math.inf
        following = self._ring(self._now() + TICK_SECONDS)
        if following < self.at:  # what was added while it rang may come sooner
            self.set(following)
