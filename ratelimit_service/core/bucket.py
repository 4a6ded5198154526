"""The token bucket, in integers: the executable specification of storage/lua/bucket.lua.

A bucket is kept by what it LACKS (its debt), so an absent key is a full bucket and a key may
expire the moment its bucket is full again. Debt is counted in parts of a token, chosen so that
every tick of the clock refills a whole number of parts: nothing is ever rounded, so over any
span of t seconds a client gets at most `capacity + rate * t` hits, and not one fewer.

Every intermediate value stays below 2**53, because the Lua of the store computes in doubles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, gcd
from typing import TYPE_CHECKING, ClassVar

from ratelimit_service.core.charge import EXACT, LARGEST

if TYPE_CHECKING:
    from ratelimit_service.core.charge import Charge
    from ratelimit_service.core.limit import Limit

_MICROSECONDS = 1_000_000
# 285 years: no wait is said to be longer, for one request in ten years may have a burst of
# billions. Redis takes it for a TTL and protobuf for a Duration.
LONGEST_US = EXACT


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """The shape of a bucket: `full` parts of debt empty it, `refill` parts flow back per tick.

    `parts` is how many parts make one token; `tick_us` is the clock's step in microseconds.
    The store answers `width` integers for a charge of it: the debt it met.
    """

    width: ClassVar[int] = 1

    parts: int
    full: int
    refill: int
    tick_us: int

    @staticmethod
    def of(limit: Limit) -> Bucket:
        """Return the finest bucket for `limit` whose arithmetic is exact in doubles."""
        return _bucket(
            limit.requests_per_unit, limit.period_seconds * _MICROSECONDS, limit.capacity
        )

    def cost(self, hits: int) -> int:
        """Return the parts that `hits` take, those of any balance at most."""
        return max(-LARGEST, min(hits * self.parts, LARGEST))

    @property
    def words(self) -> tuple[int, ...]:
        """The kind of meter it is, 0, and five numbers of that kind."""
        return 0, self.full, self.refill, self.tick_us, 0, 0

    @property
    def most_credit(self) -> int:
        """The parts beyond which grants add up to no more: twice a capacity at the least."""
        return LARGEST - 2 * self.full - self.parts

    def tokens(self, debt: int) -> int:
        """Return the whole tokens left at `debt`, 0 where it is more than `full`."""
        return max(0, self.full - debt) // self.parts

    def until(self, debt: int, wanted: int) -> int:
        """Return the microseconds until `debt` has sunk to `wanted`, 0 if it has."""
        if debt <= wanted:
            return 0
        return min(-(-(debt - wanted) // self.refill) * self.tick_us, LONGEST_US)

    def settled(self, cell: Cell | None, now_us: int) -> Cell:
        """Return `cell` as it stands at `now_us`, rescaled if its limit has changed since.

        A changed limit keeps the used FRACTION (a client that had used half has half left) and
        ends a credit. A clock that went back (a failover to a slower server) neither refills nor
        freezes the bucket.
        """
        if cell is None:
            return Cell(0, now_us, self.full)
        debt = cell.debt
        if debt < 0:
            over = cell.full != self.full or now_us >= cell.stamp_us
            return Cell(0, now_us, self.full) if over else cell
        if cell.full != self.full:
            # Written as the Lua computes it, in doubles, so that both round alike.
            debt = min(2 * self.full, ceil(debt / cell.full * self.full))
        elapsed = max(0, now_us - cell.stamp_us)
        ticks = elapsed // self.tick_us
        if ticks >= debt / self.refill:
            return Cell(0, now_us, self.full)
        return Cell(debt - ticks * self.refill, now_us - elapsed % self.tick_us, self.full)

    def charged(self, cell: Cell, debt: int, now_us: int) -> Cell:
        """Return the settled `cell` with another debt; one that used its credit up refills now."""
        stamp_us = now_us if cell.debt < 0 <= debt else cell.stamp_us
        return Cell(debt, stamp_us, self.full)

    def answer(self, before: Cell, _after: Cell, _charge: Charge, _now_us: int) -> tuple[int]:
        """Return what the store answers; everything else follows from the debt."""
        return (before.debt,)

    def granted(self, cell: Cell, parts: int, end_us: int) -> Cell:
        """Return the settled `cell` with `parts` more; what is beyond full is gone at `end_us`."""
        debt = max(cell.debt - parts, min(cell.debt, -self.most_credit))
        if debt >= 0:
            return Cell(debt, cell.stamp_us, self.full)
        return Cell(debt, max(end_us, cell.stamp_us) if cell.debt < 0 else end_us, self.full)


@dataclass(frozen=True, slots=True)
class Cell:
    """What the store keeps of one bucket: its debt at `stamp_us`, and how large it then was.

    A debt below zero is a credit: it is gone at `stamp_us`, and until then nothing refills.
    """

    debt: int
    stamp_us: int
    full: int


# As many shapes as a rule file has limits; overrides of a request may add to them.
@lru_cache(maxsize=10_000)
def _bucket(requests: int, period_us: int, capacity: int) -> Bucket:
    """Return the bucket of `capacity` that refills `requests` in a period.

    The tick is one microsecond unless capacity x period needs more than 50 bits (a hundred million
    requests a day, say); then it is the next power of ten that fits, so that a refill may come a
    tick late but never early. A long odd period such as 3,649 days that the tick does not divide
    is counted as a tick longer.
    """
    tick_us = 1
    while True:
        ticks = -(-period_us // tick_us)
        common = gcd(requests, ticks)
        parts = ticks // common
        # Eight times: a debt of two capacities plus any cost must be exact, and a cost must reach
        # from a credit of two capacities into a debt of two.
        if 8 * (capacity + 1) * parts <= EXACT:
            break
        tick_us *= 10
    return Bucket(parts=parts, full=capacity * parts, refill=requests // common, tick_us=tick_us)
