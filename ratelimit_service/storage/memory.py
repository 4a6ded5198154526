"""Buckets in a dict: the store for tests and single processes, built on the core's own rules.

It is the reference the Redis store is compared with. Its clock is the process's, so it must not
be shared between processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratelimit_service.core import bucket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.clock import Clock
    from ratelimit_service.core.bucket import Cell, Charge
    from ratelimit_service.service import Done


class MemoryBuckets:
    """A BucketStore (see service.py) that never fails and answers at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cells: dict[bytes, Cell] = {}

    def take(
        self,
        charges: Sequence[Charge],
        timeout_seconds: float | None,  # noqa: ARG002  the port's; nothing waits here
        done: Done,
    ) -> None:
        """Charge, as BucketStore.take promises."""
        now_us = int(self._clock.now() * 1_000_000)
        done(bucket.take(self._cells, [charges], now_us), None)
