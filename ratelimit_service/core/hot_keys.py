"""The keys that are asked for most, in bounded memory.

Space-Saving (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements
in Data Streams, ICDT 2005): as many counters as there is room for; a key without one takes over
the smallest and inherits its rank, so that a key with more than 1/ROOM of all hits always has a
counter. What was inherited ranks a key and is not reported as its own hits. Two spans of time lie
behind each other: rates cover the one before and what the running one has seen, so they follow the
traffic and never start from nothing.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from heapq import heappush, heapreplace, nlargest
from typing import Generic, TypeVar

ROOM = 1_000  # counters a span; a key with 0.1% of the hits is never missed
SPAN_SECONDS = 10.0

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Hot(Generic[K]):
    """A key, its hits a second, and which share of them was over limit (0 to 1)."""

    key: K
    hits_per_second: float
    over_share: float


@dataclass(slots=True)
class _Counter:
    hits: int = 0
    over: int = 0
    inherited: int = 0

    @property
    def rank(self) -> int:
        return self.hits + self.inherited


@dataclass(slots=True)
class _Span(Generic[K]):
    """The counters of one span. `ranks` is a heap of (rank when last looked at, serial, key)."""

    counters: dict[K, _Counter] = field(default_factory=dict)
    ranks: list[tuple[int, int, K]] = field(default_factory=list)
    serial: int = 0

    def counter(self, key: K) -> _Counter:
        known = self.counters.get(key)
        if known is not None:
            return known
        self.serial += 1  # so that keys themselves are never compared
        if len(self.counters) < ROOM:
            counter = self.counters[key] = _Counter()
            heappush(self.ranks, (0, self.serial, key))
            return counter
        # A rank in the heap may be out of date, and then only too small: put it right and look on.
        while (rank := self.counters[self.ranks[0][2]].rank) > self.ranks[0][0]:
            heapreplace(self.ranks, (rank, *self.ranks[0][1:]))
        del self.counters[self.ranks[0][2]]
        counter = self.counters[key] = _Counter(inherited=rank)
        heapreplace(self.ranks, (rank, self.serial, key))
        return counter


class HotKeys(Generic[K]):
    """Counts hits by key. Times are seconds of any clock that does not go back."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._running: _Span[K] = _Span()
        self._before: _Span[K] = _Span()
        self._before_seconds = 0.0

    def add(self, key: K, hits: int, over: int, now: float) -> None:
        """Count `hits` of `key`, `over` of which were refused."""
        self._turn(now)
        counter = self._running.counter(key)
        counter.hits += hits
        counter.over += over

    def top(self, count: int | None, now: float) -> list[Hot[K]]:
        """Return the `count` hottest keys (None: all there are), hottest first."""
        seconds = self.window_seconds(now)
        sums: dict[K, _Counter] = {}
        for span in (self._before, self._running):
            for key, counter in span.counters.items():
                total = sums.setdefault(key, _Counter())
                total.hits += counter.hits
                total.over += counter.over
        hottest = nlargest(count or 2 * ROOM, sums.items(), key=lambda item: item[1].hits)
        return [
            Hot(key, total.hits / seconds, total.over / total.hits)
            for key, total in hottest
            if total.hits
        ]

    def window_seconds(self, now: float) -> float:
        """Return what the rates of `top` cover; at least a second, so that no rate explodes."""
        self._turn(now)
        return max(1.0, self._before_seconds + now - self._since)

    def _turn(self, now: float) -> None:
        elapsed = now - self._since
        if elapsed < SPAN_SECONDS:
            return
        if elapsed < 2 * SPAN_SECONDS:
            self._before, self._before_seconds = self._running, SPAN_SECONDS
            self._since += SPAN_SECONDS
        else:  # a pause: nothing of it is worth keeping
            self._before, self._before_seconds = _Span(), 0.0
            self._since = now
        self._running = _Span()
