"""What a request gives back is taken off what it charges the same meter after the fact.

The bound of a debt is for what a request costs. Cutting the charge there, and not the refund beside
it, would pay older debts with hits that were never charged: an answer of a million tokens, most of
them cached, would wipe out everything its user had spent before.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from ratelimit_service.core.charge import Mode
from ratelimit_service.core.plan import Charged, charges_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.plan import Item

_INTO_DEBT = (Mode.QUOTA, Mode.POSTPAID)


def netted(items: Sequence[Item]) -> list[Item]:
    """Return `items` with charges and refunds of one meter, as far as they meet, taken out."""
    taken: Counter[bytes] = Counter()
    given: Counter[bytes] = Counter()
    for charge in charges_of(items):
        if charge.mode in _INTO_DEBT:
            (taken if charge.cost > 0 else given)[charge.key] += abs(charge.cost)
    both = {key: min(taken[key], given[key]) for key in taken if key in given}
    left = (Counter(both), Counter(both))

    def net(charged: Charged) -> Charged:
        charge = charged.charge
        if charge.mode not in _INTO_DEBT or charge.key not in both:
            return charged
        sign = 1 if charge.cost > 0 else -1
        off = min(abs(charge.cost), left[sign > 0][charge.key])
        left[sign > 0][charge.key] -= off
        return replace(charged, charge=replace(charge, cost=charge.cost - sign * off))

    def of(item: Item) -> Item:
        if isinstance(item, tuple):
            return tuple([net(charged) for charged in item])
        return net(item) if isinstance(item, Charged) else item

    return [of(item) for item in items]
