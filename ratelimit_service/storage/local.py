"""Meters in this process, for rules with `on_store_failure: local`.

While the store is away each replica counts alone, at its share (core/replica.py). A counter starts
from what the store last said of it, at the same fraction; one that it never saw starts full. What
was let through here is not told to the store when it comes back: an absence may therefore give a
client one more share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratelimit_service.core.bucket import Bucket, Cell
from ratelimit_service.core.charge import Charge, answers, blocked, debt_after
from ratelimit_service.core.take import take

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chassis.clock import Clock
    from ratelimit_service.core.window import Slots
    from ratelimit_service.service import Done

# Keys remembered of each kind; one takes some 300 bytes. Who is forgotten starts full.
MAX_KEYS = 20_000


class LocalBuckets:
    """A LocalStore (see service/ports.py). `replicas` tells how many share a limit."""

    def __init__(self, clock: Clock, replicas: Callable[[], int]) -> None:
        self._clock = clock
        self._count_replicas = replicas
        self._seen: dict[bytes, Cell] = {}
        self._cells: dict[bytes, Cell | Slots] = {}

    @property
    def replicas(self) -> int:
        """How many processes share a limit, this one counted."""
        return max(1, self._count_replicas())

    def seen(self, charges: Sequence[Charge], met: Sequence[int]) -> None:
        """Remember the debts of buckets, as LocalStore.seen promises."""
        now_us = self._now_us()
        answered = answers(charges, met)
        stopped = blocked(charges, [answer[0] for answer in answered])
        for charge, answer in zip(charges, answered, strict=True):
            meter = charge.meter
            if isinstance(meter, Bucket):
                made = charge.mode not in stopped
                debt = debt_after(charge, answer[0]) if made else answer[0]
                _put(self._seen, charge.key, Cell(debt, now_us, meter.full))
            self._cells.pop(charge.key, None)  # the store knows better from now on

    def take(
        self,
        charges: Sequence[Charge],
        timeout_seconds: float | None,  # noqa: ARG002  the port's; nothing waits here
        done: Done,
    ) -> None:
        """Charge, as BucketStore.take promises; the meters are this replica's share already."""
        for charge in charges:
            self._open(charge)
        done(take(self._cells, [charges], self._now_us()), None)
        while len(self._cells) > MAX_KEYS:
            del self._cells[next(iter(self._cells))]

    def _now_us(self) -> int:
        return int(self._clock.now() * 1_000_000)

    def _open(self, charge: Charge) -> None:
        """Start a counter from what the store said of it last."""
        meter = charge.meter
        known = self._seen.get(charge.key)
        if charge.key in self._cells or known is None or not isinstance(meter, Bucket):
            return
        if known.debt > 0:
            debt = min(meter.full, -(-known.debt * meter.full // known.full))
            self._cells[charge.key] = Cell(debt, known.stamp_us, meter.full)


def _put(cells: dict[bytes, Cell], key: bytes, cell: Cell) -> None:
    """Remember `cell` as the latest, and forget the oldest where there are too many."""
    cells.pop(key, None)
    cells[key] = cell
    if len(cells) > MAX_KEYS:
        del cells[next(iter(cells))]
