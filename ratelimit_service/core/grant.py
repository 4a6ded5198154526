"""Give hits beyond what was used, for a while: the specification of storage/lua/grant.lua."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ratelimit_service.core.take import keep, take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.charge import Charge
    from ratelimit_service.core.take import Cells


def grant(cells: Cells, grants: Sequence[Charge], expire_in_us: int, now_us: int) -> list[int]:
    """Give back the negative cost of each of `grants`; return what a look at each then meets.

    What was used is given back first. What is beyond that is a credit: it lifts the balance above
    the capacity, is charged before anything else is used, and is gone after `expire_in_us` or with
    a changed bucket. Credits add up, and all of it lasts as long as the part that lasts longest.
    """
    met: list[int] = []
    for given in grants:
        meter: Any = given.meter
        before = meter.settled(cells.get(given.key), now_us)
        after = meter.granted(before, -given.cost, now_us + expire_in_us)
        keep(cells, {given.key: after})
        met += take(cells, [[given.look]], now_us)
    return met
