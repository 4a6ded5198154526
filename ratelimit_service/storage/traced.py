"""A store whose takes are seen in traces: a span from asking to the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.tracing import Tracing
    from ratelimit_service.core.charge import Charge
    from ratelimit_service.service import BucketStore, Done


class TracedBuckets:
    """A BucketStore (see service/ports.py) over another."""

    def __init__(self, store: BucketStore, tracing: Tracing) -> None:
        self._store = store
        self._tracing = tracing

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:
        """Charge, as BucketStore.take promises."""
        self._store.take(charges, timeout_seconds, self._tracing.follow("redis take", done))
