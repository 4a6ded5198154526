"""What a request asks of the store, and the rules by which its charges are made or not.

The rules are stated once, here: the store's twin (take.py), the verdict (judge.py) and whoever
charges a request in parts ask these functions; storage/lua/charge.lua and modes.lua compute the
same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ratelimit_service.core.bucket import Bucket
    from ratelimit_service.core.rule import Lease
    from ratelimit_service.core.window import Window

Meter: TypeAlias = "Bucket | Window"

EXACT = 2**53  # doubles, in which the Lua of the store computes, hold every integer up to here
# The most that a charge takes or gives back, in parts; beyond any balance there can be.
LARGEST = EXACT // 2


class Mode(IntEnum):
    """When a charge of a request is made. The numbers are those of storage/lua/spans.lua."""

    # With the other enforced charges of its request, or not at all.
    ENFORCED = 0
    # Always, as far as it fits; it never refuses.
    SHADOW = 1
    # If nothing else refuses; into debt, down to minus one capacity. The request is refused for it
    # only together with all its other quota charges.
    QUOTA = 2
    # If no enforced charge refuses; into debt, down to minus one capacity; in debt it refuses.
    POSTPAID = 3
    # Always and wholly, as envoyproxy/ratelimit counts; over the limit it refuses.
    COUNTED = 4


# The numbers of a charge as the scripts of the store read them (storage/lua/begin.lua): cost, mode,
# and what its meter says of itself. Doubles, in which they compute anyhow.
_WORDS = Struct("<8d")


@dataclass(slots=True)  # not frozen: one is made for every client that was never seen
class Charge:
    """Take `cost` (negative: give back; 0: look) from the meter at `key`.

    The cost is in the meter's own parts (see Meter.cost). `per_second` is set where the limit's
    unit is the second, because those may live in a Redis of their own. `lease`: how much of the
    meter a replica may take ahead (lease.py); only enforced charges of buckets have one. `words`:
    those of meter, cost and mode, where they are known already.
    """

    key: bytes
    meter: Meter
    cost: int
    mode: Mode = Mode.ENFORCED
    per_second: bool = False
    lease: Lease | None = None
    words: bytes = field(default=b"", init=False, compare=False, repr=False)

    @property
    def look(self) -> Charge:
        """The same at no cost."""
        return Charge(self.key, self.meter, 0, self.mode, self.per_second)


def words(meter: Meter, cost: int, mode: Mode) -> bytes:
    """Return what the store is told of a charge beside its key."""
    return _WORDS.pack(cost, mode, *meter.words)


# What a meter lacks is its debt, in parts: a bucket's missing tokens, a window's used hits. `full`
# of it is a meter used up, more is a balance below zero, less than none is a credit (grant.py).


def is_short(charge: Charge, debt: int) -> bool:
    """Return whether `charge` does not fit a meter in `debt`.

    More than the capacity never fits, whatever the credit, because its cost is not told apart. A
    look does not fit where the balance is below zero; a refund always does.
    """
    return charge.cost >= 0 and max(debt, 0) + charge.cost > charge.meter.full


def debt_after(charge: Charge, debt: int) -> int:
    """Return the debt that `charge`, if it is made, leaves of `debt`.

    A refund makes no credit and takes none away.
    """
    cost = charge.cost
    if cost <= 0:
        return max(debt + cost, min(debt, 0))
    return max(debt, min(debt + cost, most(charge.mode, charge.meter.full)))


def most(mode: Mode, full: int) -> int:
    """Return the debt beyond which a charge of this mode takes no meter of this size."""
    if mode in (Mode.QUOTA, Mode.POSTPAID):
        return 2 * full
    return LARGEST if mode is Mode.COUNTED else full


_BY_ENFORCED = frozenset((Mode.ENFORCED, Mode.QUOTA, Mode.POSTPAID))
_BY_POSTPAID = frozenset((Mode.ENFORCED, Mode.QUOTA))


def blocked(charges: Iterable[Charge], debts: Iterable[int]) -> Collection[Mode]:
    """Return the modes whose charges are not made, where the charges of a request met `debts`."""
    short = {
        charge.mode for charge, debt in zip(charges, debts, strict=True) if is_short(charge, debt)
    }
    if Mode.ENFORCED in short:
        return _BY_ENFORCED
    return _BY_POSTPAID if Mode.POSTPAID in short else ()


def answers(charges: Sequence[Charge], met: Sequence[int]) -> list[Sequence[int]]:
    """Part what the store answered by charges; the first number of each is the debt it met."""
    if len(met) == len(charges):
        return [(debt,) for debt in met]
    found = []
    start = 0
    for charge in charges:
        stop = start + charge.meter.width
        found.append(met[start:stop])
        start = stop
    return found
