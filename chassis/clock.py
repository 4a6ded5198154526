"""The clock port: time is handed in, so that tests own it and nothing sleeps to wait for it.

Balances and time stamps that services share are taken from the store's clock inside Lua, never
from here (clocks of machines differ); this one is for waits, ages and log lines of one process.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings, both in seconds."""

    def now(self) -> float:
        """Seconds since the Unix epoch; may jump when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back. For waits and ages."""
        ...


class SystemClock:
    """The machine's clock."""

    __slots__ = ()

    # Bound as they are: a Python frame around each would double what a reading costs.
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
