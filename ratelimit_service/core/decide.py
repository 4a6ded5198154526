"""Plan a request before the store is asked, and judge it from what the store answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratelimit_service.core.bucket import Charge
from ratelimit_service.core.keys import bucket_key
from ratelimit_service.core.limit import UNLIMITED_REMAINING, OnStoreFailure
from ratelimit_service.core.match import find

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ratelimit_service.core.descriptor import Descriptor
    from ratelimit_service.core.limit import Limit
    from ratelimit_service.core.rules import Rule, RuleSet

_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Status:
    """What is said of one descriptor. `limit` None: nothing limits it, the rest is not sent.

    `reset_us`: passed, until the bucket is full again; refused, until the asked hits fit,
    rounded up to whole seconds, because Envoy cuts Retry-After down to them.
    """

    over: bool = False
    limit: Limit | None = None
    remaining: int = 0
    reset_us: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a request: refused or not, and a status for each descriptor, in order."""

    over: bool
    statuses: tuple[Status, ...]


PASS = Status()
PASS_UNLIMITED = Status(remaining=UNLIMITED_REMAINING)


@dataclass(frozen=True, slots=True)
class Item:
    """One descriptor of a plan: a settled `status`, or the `charge` its rule makes."""

    rule: Rule | None = None
    status: Status = PASS
    charge: Charge | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A request, matched: an item for each descriptor, and the charges in the same order.

    No charges: the verdict needs no store. A plan depends on the rules alone, so it may be kept
    for as long as they are.
    """

    items: tuple[Item, ...]
    charges: tuple[Charge, ...]


def plan(rules: RuleSet, prefix: str, domain: str, descriptors: Sequence[Descriptor]) -> Plan:
    """Match every descriptor and say what it will cost."""
    items = tuple(_item(rules, prefix, domain, descriptor) for descriptor in descriptors)
    if any(item.status.over for item in items):
        # One descriptor is refused whatever the store says, so none is charged: the others look.
        items = tuple(_looking(item) for item in items)
    return Plan(items, tuple(item.charge for item in items if item.charge))


def _item(rules: RuleSet, prefix: str, domain: str, descriptor: Descriptor) -> Item:
    rule = find(rules, domain, descriptor)
    if rule is None:
        return Item()
    if rule.limit is None:
        return Item(rule=rule, status=PASS_UNLIMITED)
    if rule.bucket is None:
        # A limit of 0: every hit is refused; a look or a refund is not a hit.
        reset_us = rule.limit.unit.seconds * _SECOND_US
        over = descriptor.hits > 0
        return Item(rule=rule, status=Status(over=over, limit=rule.limit, reset_us=reset_us))
    key = bucket_key(prefix, domain, descriptor.entries, rule.limit)
    return Item(rule=rule, charge=Charge(key, rule.bucket, rule.bucket.cost(descriptor.hits)))


def _looking(item: Item) -> Item:
    if item.charge is None:
        return item
    return Item(rule=item.rule, charge=Charge(item.charge.key, item.charge.bucket, 0))


def judge(plan: Plan, met: Sequence[int]) -> Verdict:
    """Judge from the debt each charge met (see bucket.take, which decides by the same rule)."""
    settled = any(item.status.over for item in plan.items)
    over = settled or any(
        not _fits(charge, debt) for charge, debt in zip(plan.charges, met, strict=True)
    )
    debts = iter(met)
    return Verdict(over, tuple(_status(item, debts, over=over) for item in plan.items))


def _fits(charge: Charge, debt: int) -> bool:
    return charge.cost <= 0 or debt + charge.cost <= charge.bucket.full


def _status(item: Item, debts: Iterator[int], *, over: bool) -> Status:
    charge = item.charge
    if charge is None or item.rule is None:
        return item.status
    debt, bucket = next(debts), charge.bucket
    if not _fits(charge, debt):
        # More hits than a full bucket holds never fit: say when it is as full as it can be.
        wanted = max(0, bucket.full - charge.cost)
        reset_us = -(-bucket.until(debt, wanted) // _SECOND_US) * _SECOND_US
        return Status(
            over=True,
            limit=item.rule.limit,
            remaining=bucket.tokens(debt),
            reset_us=reset_us,
        )
    owed = debt if over else max(0, debt + charge.cost)
    return Status(
        limit=item.rule.limit, remaining=bucket.tokens(owed), reset_us=bucket.until(owed, 0)
    )


def without_store(plan: Plan) -> Verdict | None:
    """Return what the rules say while the store is away; None if one of them leaves it open."""
    statuses = []
    for item in plan.items:
        if item.charge is None or item.rule is None:
            statuses.append(item.status)
        elif item.rule.on_store_failure is OnStoreFailure.ALLOW:
            statuses.append(PASS)  # no limit beside it: its balance is unknown
        elif item.rule.on_store_failure is OnStoreFailure.DENY:
            statuses.append(Status(over=True, limit=item.rule.limit, reset_us=_SECOND_US))
        else:
            return None
    return Verdict(any(status.over for status in statuses), tuple(statuses))
