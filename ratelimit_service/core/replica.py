"""One replica's part of a plan, for the time that each counts alone.

The parts of all replicas together let through what the limit says; where it is below one hit a
replica, one hit each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.plan import Charged, charges_of

if TYPE_CHECKING:
    from ratelimit_service.core.charge import Meter
    from ratelimit_service.core.plan import Item, Plan


def part_of(plan: Plan, replicas: int) -> Plan:
    """Return `plan` with each meter cut to a part; what is asked of them stays the same."""
    if replicas <= 1:
        return plan
    items = [_item(item, replicas) for item in plan.items]
    return replace(plan, items=tuple(items), charges=charges_of(items))


def _item(item: Item, replicas: int) -> Item:
    if isinstance(item, Charged):
        return _charged(item, replicas)
    if isinstance(item, tuple):
        return tuple([_charged(charged, replicas) for charged in item])
    return item


def _charged(charged: Charged, replicas: int) -> Charged:
    meter = _meter(charged.charge.meter, replicas)
    return replace(charged, charge=replace(charged.charge, meter=meter))


def _meter(meter: Meter, replicas: int) -> Meter:
    """Return a meter of one replica's size; a bucket refills at a replica's part of the rate."""
    if isinstance(meter, Bucket):
        full = max(meter.parts, meter.full // replicas)
        # The same parts, flowing back a replica's part as often.
        return replace(meter, full=full, tick_us=meter.tick_us * replicas)
    return replace(meter, full=max(1, meter.full // replicas))
