"""Deadlines of many calls behind one timer.

A timer a call costs 2 us to set and cancel. Calls are put into slots of one millisecond instead,
and one timer waits for the earliest slot; a call that ends in time leaves its slot for 0.1 us.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

_SLOTS_PER_SECOND = 1000


class Expiring(Protocol):
    """What has a deadline."""

    deadline: float | None

    def on_deadline(self) -> None:
        """Say that the deadline has passed."""


class Deadlines:
    """Calls by the millisecond they expire in, on the clock of one event loop."""

    __slots__ = ("_loop", "_order", "_slots", "_timer", "_timer_slot")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, set[Expiring]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_slot = 0

    def add(self, call: Expiring, deadline: float) -> None:
        """Watch a call; `deadline` is in seconds of the loop's clock."""
        slot = math.ceil(deadline * _SLOTS_PER_SECOND)
        calls = self._slots.get(slot)
        if calls is not None:
            calls.add(call)
            return
        self._slots[slot] = {call}
        heapq.heappush(self._order, slot)
        if self._timer is None or slot < self._timer_slot:
            self._arm()

    def discard(self, call: Expiring, deadline: float) -> None:
        """Stop watching a call; nothing happens if it is not watched."""
        calls = self._slots.get(math.ceil(deadline * _SLOTS_PER_SECOND))
        if calls is not None:
            calls.discard(call)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self.close()
        if self._order:
            self._timer_slot = self._order[0]
            self._timer = self._loop.call_at(self._timer_slot / _SLOTS_PER_SECOND, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time() * _SLOTS_PER_SECOND
        while self._order and self._order[0] <= now + 0.5:
            for call in self._slots.pop(heapq.heappop(self._order)):
                call.on_deadline()
        self._arm()
