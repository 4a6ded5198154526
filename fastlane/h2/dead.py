"""What is known of streams that are not live, in bounded memory (RFC 9113 section 5.1).

An id above the last one opened is idle. Below it, an id that was skipped was never used, one that
we reset may still see late frames, and every other is closed.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from fastlane.h2.states import CLOSED, IDLE, RESET

if TYPE_CHECKING:
    from fastlane.h2.limits import Limits


class DeadStreams:
    """Skipped ids and ids that we reset."""

    __slots__ = ("_gaps", "_limits", "_resets")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._gaps: list[tuple[int, int]] = []
        self._resets: OrderedDict[int, None] = OrderedDict()

    def state_of(self, stream_id: int, last_id: int) -> int:
        """Return the state of a stream that is not live; `last_id` is the highest one opened."""
        if stream_id > last_id or not stream_id & 1:
            return IDLE
        if stream_id in self._resets:
            return RESET
        if any(first <= stream_id <= last for first, last in self._gaps):
            return IDLE
        return CLOSED

    def note_reset(self, stream_id: int) -> None:
        """Remember that we reset a stream."""
        self._resets[stream_id] = None
        if len(self._resets) > self._limits.resets_remembered:
            self._resets.popitem(last=False)  # a dict takes twice as long to find its first

    def note_gap(self, last_id: int, stream_id: int) -> None:
        """Remember that the ids between these two were never used."""
        self._gaps.append((last_id + 1, stream_id - 1))
        if len(self._gaps) > self._limits.gaps_remembered:
            del self._gaps[0]
