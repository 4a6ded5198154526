"""Deadlines of many calls behind one timer.

A timer a call costs 2 us to set and cancel. Calls are put into slots of one millisecond instead,
and one timer waits for the earliest slot; a call that ends in time leaves its slot for 0.1 us.
Empty slots stay, as the next call is likely to need them, until they are most of all.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

_SLOTS_PER_SECOND = 1000
# Empty slots that are not worth sweeping up: 24 KB.
_EMPTY_SLOTS = 64


class Expiring(Protocol):
    """What has a deadline."""

    deadline: float | None

    def on_deadline(self) -> None:
        """Say that the deadline has passed."""


class Deadlines:
    """Calls by the millisecond they expire in, on the clock of one event loop."""

    __slots__ = ("_empty", "_loop", "_order", "_slots", "_timer", "_timer_slot")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, set[Expiring]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_slot = 0
        self._empty = 0

    def add(self, call: Expiring, deadline: float) -> None:
        """Watch a call; `deadline` is in seconds of the loop's clock."""
        slot = math.ceil(deadline * _SLOTS_PER_SECOND)
        calls = self._slots.get(slot)
        if calls is not None:
            self._empty -= not calls
            calls.add(call)
            return
        self._slots[slot] = {call}
        heapq.heappush(self._order, slot)
        if self._timer is None or slot < self._timer_slot:
            self._arm()

    def discard(self, call: Expiring, deadline: float) -> None:
        """Stop watching a call; nothing happens if it is not watched."""
        calls = self._slots.get(math.ceil(deadline * _SLOTS_PER_SECOND))
        if calls is None or call not in calls:
            return
        calls.remove(call)
        if not calls:
            self._empty += 1
            if self._empty > _EMPTY_SLOTS and self._empty * 2 > len(self._slots):
                self._sweep()

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
            calls = self._slots.pop(heapq.heappop(self._order))
            self._empty -= not calls
            for call in calls:
                call.on_deadline()
        self._arm()

    def _sweep(self) -> None:
        """Drop the empty slots; the timer may fire for one of them, and then finds nothing."""
        self._slots = {slot: calls for slot, calls in self._slots.items() if calls}
        self._order = list(self._slots)
        heapq.heapify(self._order)
        self._empty = 0
