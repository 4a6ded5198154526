"""The token bucket, in integers: the executable specification of storage/lua/take.lua.

A bucket is kept by what it LACKS (its debt), so an absent key is a full bucket and a key may
expire the moment its bucket is full again. Debt is counted in parts of a token, chosen so that
every tick of the clock refills a whole number of parts: nothing is ever rounded, so over any
span of t seconds a client gets at most `capacity + rate * t` hits, and not one fewer.

Every intermediate value stays below 2**53, because the Lua of the store computes in doubles.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, gcd
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from ratelimit_service.core.limit import Limit

EXACT = 2**53  # doubles hold every integer up to here
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """The shape of a bucket: `full` parts of debt empty it, `refill` parts flow back per tick.

    `parts` is how many parts make one token; `tick_us` is the clock's step in microseconds.
    """

    parts: int
    full: int
    refill: int
    tick_us: int

    @staticmethod
    def of(limit: Limit) -> Bucket:
        """Return the finest bucket for `limit` whose arithmetic is exact in doubles.

        The tick is one microsecond unless capacity x unit needs more than 53 bits (a billion
        requests a day, say); then it is the next power of ten that fits, so that a refill may
        come a tick late but never early.
        """
        unit_us = limit.unit.seconds * _MICROSECONDS
        tick_us = 1
        while True:
            ticks = unit_us // tick_us
            common = gcd(limit.requests_per_unit, ticks)
            parts = ticks // common
            # Twice: a debt plus the cost of one more request must be exact too.
            if 2 * (limit.capacity + 1) * parts <= EXACT:
                break
            tick_us *= 10
        return Bucket(
            parts=parts,
            full=limit.capacity * parts,
            refill=limit.requests_per_unit // common,
            tick_us=tick_us,
        )

    def cost(self, hits: int) -> int:
        """Return the parts that `hits` take; more than the bucket holds counts as one too many."""
        capacity = self.full // self.parts
        return max(-capacity, min(hits, capacity + 1)) * self.parts

    def tokens(self, debt: int) -> int:
        """Return the whole tokens left at `debt`."""
        return (self.full - debt) // self.parts

    def until(self, debt: int, wanted: int) -> int:
        """Return the microseconds until `debt` has sunk to `wanted`, 0 if it has."""
        if debt <= wanted:
            return 0
        return -(-(debt - wanted) // self.refill) * self.tick_us


@dataclass(frozen=True, slots=True)
class Cell:
    """What the store keeps of one bucket: its debt at `stamp_us`, and how large it then was."""

    debt: int
    stamp_us: int
    full: int


@dataclass(frozen=True, slots=True)
class Charge:
    """Take `cost` parts (negative: give back; 0: look) from the bucket at `key`."""

    key: bytes
    bucket: Bucket
    cost: int


def refilled(cell: Cell | None, bucket: Bucket, now_us: int) -> Cell:
    """Return `cell` as it stands at `now_us`, rescaled if its limit has changed since.

    A changed limit keeps the used FRACTION: a client that had used half has half left.
    A clock that went back (a failover to a slower server) neither refills nor freezes the bucket.
    """
    if cell is None:
        return Cell(0, now_us, bucket.full)
    debt = cell.debt
    if cell.full != bucket.full:
        # Written as the Lua computes it, in doubles, so that both round alike.
        debt = min(bucket.full, ceil(debt / cell.full * bucket.full))
    elapsed = max(0, now_us - cell.stamp_us)
    ticks = elapsed // bucket.tick_us
    if ticks >= debt / bucket.refill:
        return Cell(0, now_us, bucket.full)
    return Cell(debt - ticks * bucket.refill, now_us - elapsed % bucket.tick_us, bucket.full)


def take(
    cells: MutableMapping[bytes, Cell], requests: Sequence[Sequence[Charge]], now_us: int
) -> list[int]:
    """Charge `requests` in order, each wholly or not at all; return the debt each charge met.

    A charge fits if the debt it met plus its cost is at most `full`. If one charge of a request
    does not fit, none of that request is made. A charge sees those before it in its own request.
    The caller judges from the debts alone (see decide.judge), so one number a charge travels back.
    """
    met: list[int] = []
    for charges in requests:
        drafts: dict[bytes, Cell] = {}
        fits = True
        for charge in charges:
            cell = refilled(drafts.get(charge.key) or cells.get(charge.key), charge.bucket, now_us)
            met.append(cell.debt)
            owed = cell.debt + charge.cost
            fits = fits and (owed <= cell.full or charge.cost <= 0)
            if charge.cost:
                drafts[charge.key] = Cell(max(0, owed), cell.stamp_us, cell.full)
        if fits:
            _keep(cells, drafts)
    return met


def _keep(cells: MutableMapping[bytes, Cell], drafts: dict[bytes, Cell]) -> None:
    for key, draft in drafts.items():
        if draft.debt:
            cells[key] = draft
        else:
            cells.pop(key, None)  # a full bucket is an absent one
