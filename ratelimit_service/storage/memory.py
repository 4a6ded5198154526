"""Meters in a dict: the store for tests, built on the core's own rules.

It is the reference the Redis store is compared with. Its clock is the process's, so it must not
be shared between processes; and it forgets nothing, so it must not live for long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratelimit_service.core.grant import grant
from ratelimit_service.core.take import take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.clock import Clock
    from ratelimit_service.core.charge import Charge
    from ratelimit_service.core.take import Cells
    from ratelimit_service.service import Done


class MemoryBuckets:
    """A BucketStore and a Ledger (see service/ports.py) that never fail and answer at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cells: Cells = {}

    def take(
        self,
        charges: Sequence[Charge],
        timeout_seconds: float | None,  # noqa: ARG002  the port's; nothing waits here
        done: Done,
    ) -> None:
        """Charge, as BucketStore.take promises."""
        done(take(self._cells, [charges], self._now_us()), None)

    async def forget(self, charges: Sequence[Charge]) -> None:
        """Drop the cells, as Ledger.forget promises."""
        for charge in charges:
            self._cells.pop(charge.key, None)

    async def grant(self, grants: Sequence[Charge], expire_in_us: int) -> Sequence[int]:
        """Grant, as Ledger.grant promises."""
        return grant(self._cells, grants, expire_in_us, self._now_us())

    def _now_us(self) -> int:
        return int(self._clock.now() * 1_000_000)
