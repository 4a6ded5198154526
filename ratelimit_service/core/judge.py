"""Judge a planned request from what the store answered, or without the store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ratelimit_service.core.bucket import LONGEST_US, Bucket
from ratelimit_service.core.charge import Mode, answers, blocked, debt_after, is_short
from ratelimit_service.core.limit import UNLIMITED_REMAINING, OnStoreFailure
from ratelimit_service.core.plan import Charged, charges_of, looking
from ratelimit_service.core.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from ratelimit_service.core.plan import Item, Plan

_SECOND_US = 1_000_000


def judge(plan: Plan, met: Sequence[int]) -> Verdict:
    """Judge from what the store answered (see take.take, which decides by the same rules).

    In one loop for requests that pass, of one limit a descriptor: 0.8 us for one instead of 5.
    """
    statuses = []
    at = 0
    for item in plan.items:
        if item.__class__ is not Charged:
            if not isinstance(item, Status) or item.over:
                return _judged(plan, met)
            statuses.append(item)
            continue
        charge = item.charge
        meter, cost, debt = charge.meter, charge.cost, met[at]
        owed = debt + cost
        if cost < 0 or debt < 0 or owed > meter.full:
            return _judged(plan, met)
        if meter.__class__ is Bucket:
            at += 1
            reset_us = -(-owed // meter.refill) * meter.tick_us
            if reset_us > LONGEST_US:
                return _judged(plan, met)
        else:
            at += meter.width
            reset_us = met[at - 1]
            if charge.mode is Mode.COUNTED:
                reset_us = -(-reset_us // _SECOND_US) * _SECOND_US
        statuses.append(Status(False, item.limit, (meter.full - owed) // meter.parts, reset_us))  # noqa: FBT003
    return Verdict(False, statuses)  # noqa: FBT003


def _judged(plan: Plan, met: Sequence[int]) -> Verdict:
    """Judge a request of any kind."""
    answered = answers(plan.charges, met)
    stopped = blocked(plan.charges, [answer[0] for answer in answered])
    following = iter(answered)
    return _verdict(plan, [_item(item, following, stopped) for item in plan.items])


def _verdict(plan: Plan, statuses: Sequence[Status]) -> Verdict:
    """Refuse if a limit is over that is no quota, or all quotas are."""
    quotas = [status.over for status, quota in zip(statuses, plan.quotas, strict=True) if quota]
    over = any(
        status.over for status, quota in zip(statuses, plan.quotas, strict=True) if not quota
    )
    over = over or (bool(quotas) and all(quotas))
    if over and plan.policy.shadow_mode:
        return Verdict(over=False, statuses=statuses, shadowed=True)
    return Verdict(over, statuses)


def _item(item: Item, answered: Iterator[Sequence[int]], stopped: Collection[Mode]) -> Status:
    if isinstance(item, Status):
        return item
    if not isinstance(item, tuple):
        return _status(item, next(answered), stopped)
    # One status for several limits: what keeps the caller longest, or what is used up first.
    found = [_status(charged, next(answered), stopped) for charged in item]
    over = [status for status in found if status.over]
    if over:
        return max(over, key=lambda status: status.reset_us)
    return min(found, key=lambda status: status.remaining)


def _status(item: Charged, answer: Sequence[int], stopped: Collection[Mode]) -> Status:
    charge = item.charge
    meter, debt = charge.meter, answer[0]
    made = charge.mode not in stopped
    left = debt_after(charge, debt) if made else debt
    short = is_short(charge, debt)
    over = short and not item.rule.shadow_mode
    if isinstance(meter, Bucket):
        # More hits than a full bucket holds never fit: say when it is as full as it can be.
        reset_us = meter.until(left, max(0, meter.full - charge.cost) if over else 0)
    elif over:
        reset_us = answer[1]
    else:
        reset_us = answer[3 if made else 2]
    if over or charge.mode is Mode.COUNTED:
        reset_us = -(-reset_us // _SECOND_US) * _SECOND_US
    remaining = 0 if short and not over else min(meter.tokens(left), UNLIMITED_REMAINING)
    return Status(over, item.limit, remaining, reset_us, shadowed=short and not over)


def local_plan(plan: Plan) -> Plan | None:
    """Return `plan` with what its rules say while the store is away; None: one leaves it open.

    Only descriptors whose rule has OnStoreFailure.LOCAL are still to be charged, by a store of
    this process; `judge` takes this plan and what that store answered. They only look where a rule
    with DENY refuses the request.
    """
    items: list[Item] = []
    refused = plan.refused
    for item in plan.items:
        if isinstance(item, Status):
            items.append(item)
            continue
        several = item if isinstance(item, tuple) else (item,)
        rule, mode = several[0].rule, several[0].charge.mode
        if rule.on_store_failure is OnStoreFailure.ERROR:
            return None
        if rule.on_store_failure is OnStoreFailure.LOCAL:
            items.append(item)
        elif rule.on_store_failure is OnStoreFailure.ALLOW:
            items.append(Status())  # no limit beside it: its balance is unknown
        else:
            over = not rule.shadow_mode
            items.append(Status(over, several[0].limit, 0, _SECOND_US, shadowed=not over))
            refused = refused or (over and mode is not Mode.QUOTA)
    if refused:
        items = [looking(item) for item in items]
    return replace(plan, items=tuple(items), charges=charges_of(items), refused=refused)
