"""Two stores behind one: limits per second in a Redis of their own, all others in the first.

They are the most of the traffic and the least worth keeping, so whoever runs a limiter at scale
gives them a server that need not be saved or replicated. A request that has both is scattered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratelimit_service.storage.counts import StoreCounts, observe
from ratelimit_service.storage.scatter import Scatter, parts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.metrics import Metrics
    from ratelimit_service.core.charge import Charge
    from ratelimit_service.service import Done
    from ratelimit_service.storage.redis import RedisBuckets


class PerSecondApart:
    """A BucketStore (see service.py) over two."""

    def __init__(self, others: RedisBuckets, per_second: RedisBuckets) -> None:
        self._stores = (others, per_second)
        self.counts = StoreCounts()
        self._scatter = Scatter(self.counts)

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:
        """Charge where each limit lives, as BucketStore.take promises."""
        places = [int(charge.per_second) for charge in charges]
        place = places[0]
        if places.count(place) == len(places):
            self._stores[place].take(charges, timeout_seconds, done)
        else:
            parts = parts_of(charges, places, lambda number: self._stores[number].take)
            self._scatter.take(parts, timeout_seconds, done)

    async def close(self) -> None:
        """Wait for what is on the way in both; nothing new may come."""
        others, per_second = self._stores
        await others.close()
        await per_second.close()
        await others.close()  # the last answer of the second may have led to a refund in the first

    def observe(self, metrics: Metrics) -> None:
        """Expose the counts of both, added up."""
        observe(metrics, [self.counts, *(store.counts for store in self._stores)])
