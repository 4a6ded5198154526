"""How long to wait before trying again: longer each time, and never all at once."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Backoff:
    """Waits in seconds: `first`, then `growth` times the one before, never more than `longest`.

    Each is off by up to `spread` of itself either way, so that clients which lost a server together
    do not come back together. `draw` answers a number from 0 up to 1.
    """

    def __init__(
        self,
        *,
        first: float,
        longest: float,
        growth: float = 2.0,
        spread: float = 0.5,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._first = first
        self._longest = longest
        self._growth = growth
        self._spread = spread
        self._draw = draw
        self._next = min(first, longest)

    def delay_seconds(self) -> float:
        """Return the next wait."""
        delay = self._next
        self._next = min(delay * self._growth, self._longest)
        return min(delay * (1 + self._spread * (2 * self._draw() - 1)), self._longest)

    def reset(self) -> None:
        """Start over with the first wait: it worked."""
        self._next = min(self._first, self._longest)
