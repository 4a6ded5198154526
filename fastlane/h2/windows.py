"""Flow control of what we receive: how much the peer may send, and when to let it send more.

A window is announced again when half of it was consumed, so one WINDOW_UPDATE covers many frames.
It grows by QUIC's rule: a half consumed within two round trips means that the window, not the
reader, was the bottleneck, so the window doubles, up to its limit. The round trip is measured once,
from our SETTINGS to their acknowledgement; no extra PING is needed. (RFC 9113 section 5.2.)
"""

from __future__ import annotations

from typing import Final

# Before the peer has acknowledged our SETTINGS: long enough to grow on most links, short enough
# that a slow reader on a fast one does not grow.
ASSUMED_ROUND_TRIP: Final = 0.01


class ReceiveWindow:
    """The receive window of a stream or of the connection; sizes in bytes, times in seconds."""

    __slots__ = ("_limit", "_since", "available", "consumed", "size")

    def __init__(self, size: int, limit: int, now: float) -> None:
        self.size = size
        self._limit = limit
        self.consumed = 0
        """Bytes used and not yet announced."""
        self._since = now
        self.available = size
        """What the peer may still send; below zero it broke the law."""

    def consume(self, amount: int, now: float, round_trip: float) -> int:
        """Note that `amount` bytes left our hands; returns the increment to announce, or 0."""
        self.consumed += amount
        if self.consumed * 2 < self.size:
            return 0
        return self.announce(now, round_trip)

    def announce(self, now: float, round_trip: float) -> int:
        """Grow if that helps; returns the increment."""
        growth = 0
        if now - self._since < 2 * round_trip:
            growth = min(self.size, self._limit - self.size)
            self.size += growth
        increment = self.consumed + growth
        self.consumed = 0
        self._since = now
        self.available += increment
        return increment
