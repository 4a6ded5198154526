"""How long to wait before a part that died is started again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# Half a second is short enough that killing a part by hand is barely noticed, and five are long
# enough that a part which cannot start costs next to nothing, and short enough that whoever has
# just mended the cause does not wait for us.
FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 5.0

# Parts that died together (one cause, say a full disk) come back apart.
JITTER: Final = 0.2


class Backoff:
    """Delays in seconds that double from the first to the longest, each off by up to JITTER.

    `draw` answers a number from 0 up to 1, as random.random does.
    """

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._next = FIRST_SECONDS

    def delay_seconds(self) -> float:
        """Answer the next delay."""
        delay = self._next
        self._next = min(delay * 2, LONGEST_SECONDS)
        return delay * (1 + JITTER * (2 * self._draw() - 1))

    def reset(self) -> None:
        """Start over with the first delay: the part was healthy for a while."""
        self._next = FIRST_SECONDS
