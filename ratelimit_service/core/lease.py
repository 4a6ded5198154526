"""Tokens that one replica takes from a bucket ahead, and for how long it may spend them.

A block leaves the bucket in one ordinary charge and is then spent without asking. In no window of
time do all replicas together let through more than `burst + rate x t`, blocks or not. For that a
block must shrink: the bucket refills behind it, so that a token held for long would be there twice.
Think of the debt of a bucket as a pile. Charges are laid on top, what flows back is taken away at
the bottom. A block lies on the pile that it met; once so much has flowed back, its own tokens go,
the spent ones among them first. What is below may also be given back by its holders, which brings
the block closer to the bottom unawares: as much as they can hold, it does not count on (`beneath`).

What is kept from others, at the worst: what all replicas hold, and what they gave up because it may
have flowed back, together `max_share x replicas` of the capacity, and never more than a half. So
nobody is refused for it who would have left half of the bucket. What is held comes back within
`max_ms`; what was given up, and what a process held that died or lost its store, comes back at the
rate of the limit, as used tokens do.

The promise does not cover what changes a bucket from outside: a refund of hits, a quota stream of
the same rule, a reset or a grant may give back what also flowed back; a lowered limit holds where a
replica has learned of it; and a replica that has just started is counted by the others some seconds
later (replicas.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ratelimit_service.core.bucket import Bucket
    from ratelimit_service.core.rule import Lease

# Calls that a block must be expected to answer: it costs two script calls, and some that do not
# pay are asked for.
MIN_CALLS = 4
# Of what all leases may keep from others half is held, half was given up, and up to a quarter
# of a replica's part lies between: 2 x 0.4 x replicas + 0.2 is at most as many as there are.
_HELD = 0.4
# All of the leases of a bucket keep this much of it at most, however many replicas there are.
_MOST_OF_ALL = 0.5
# A demand may have been a burst: twice what was seen is asked for at most.
_GROWTH = 2
# Tokens that a lease's share of a bucket must come to: of less no block is taken.
SMALLEST_SHARE = round(2 * MIN_CALLS / _HELD)
_MILLISECOND_US = 1_000


class Held(tuple[int, ...]):
    """What a store answers from tokens held in this process; says nothing of whether it is there.

    In everything else the same as what the store would have answered.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Demand:
    """What was asked for of a bucket since a moment, in calls and in parts of tokens."""

    since_us: int
    calls: int
    parts: int


@dataclass(slots=True, eq=False)
class Block:
    """Tokens in hand, `taken` of the bucket at a moment not before `since_us`; sums in parts.

    `trusted`: what must flow back before tokens of the block do. `unspent`: those in hand when one
    was last spent. Nothing is spent from `until_us` on. `took_us`: how long it took to get it, and
    so what it may take to give it back. `low` and `renew_us`: when to ask for the next one.
    """

    bucket: Bucket
    taken: int
    trusted: int
    since_us: int
    until_us: int
    took_us: int
    low: int
    renew_us: int
    unspent: int

    def left(self, now_us: int) -> int:
        """Return the parts that are still there; what may have flowed back is not."""
        bucket = self.bucket
        # A tick more than passed here: the bucket may have been between two.
        flowed = ((now_us - self.since_us) // bucket.tick_us + 1) * bucket.refill
        return max(0, min(self.unspent, self.taken + self.trusted - flowed))


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """How much of a bucket a replica may hold: two blocks of `most` parts, for `life_us` each.

    `beneath`: the most that others may give back from below a block while it lives, in parts.
    """

    bucket: Bucket
    most: int
    beneath: int
    life_us: int

    @staticmethod
    def of(bucket: Bucket, lease: Lease, replicas: int) -> Terms:
        """Return the terms for one of so many replicas."""
        share = min(lease.max_share, _MOST_OF_ALL / replicas)
        most = int(bucket.full * share * _HELD / 2)
        # Held longer than it takes to refill, a block would be gone while it is held.
        life_us = min(lease.max_ms * _MILLISECOND_US, most // bucket.refill * bucket.tick_us)
        beneath = 2 * (replicas - 1) * most
        return Terms(bucket=bucket, most=most, beneath=beneath, life_us=life_us)

    def size(self, demand: Demand, debt: int, held: int, now_us: int) -> int:
        """Return the parts that are worth taking of a bucket in `debt`, whole tokens; 0: none.

        `held`: what this replica has in hand of it. So many that they last for as long as they may
        be held, at the demand there was. Of what the bucket has left half stays, or one replica
        would refuse what another holds.
        """
        elapsed_us = max(1, now_us - demand.since_us)
        if demand.calls * min(1.0, self.life_us / elapsed_us) < MIN_CALLS or demand.parts <= 0:
            return 0
        bucket, trusted = self.bucket, self._trusted(debt, held)
        expected = int(demand.parts * min(_GROWTH, self.life_us / elapsed_us))
        refilled = self.life_us // bucket.tick_us * bucket.refill
        wanted = min(max(expected, refilled - trusted), self.most, (bucket.full - debt) // 2)
        size = wanted - wanted % bucket.parts
        lasts_us = min(self.life_us, (size + trusted) // bucket.refill * bucket.tick_us)
        used = min(size, expected * lasts_us // max(1, self.life_us))
        return size if used * demand.calls >= MIN_CALLS * demand.parts else 0

    def block(self, size: int, debt: int, held: int, *, asked_us: int, now_us: int) -> Block:
        """Return the block whose charge met `debt`, asked for and answered at these moments.

        `held`: what this replica had in hand when it asked, and may give back.
        """
        return Block(
            bucket=self.bucket,
            taken=size,
            trusted=self._trusted(debt, held),
            since_us=asked_us,
            until_us=asked_us + self.life_us,
            took_us=now_us - asked_us,
            low=size // 4,
            renew_us=asked_us + self.life_us * 3 // 4,
            unspent=size,
        )

    def _trusted(self, debt: int, held: int) -> int:
        return max(0, debt - self.beneath - held)
