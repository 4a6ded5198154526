"""The script take.lua as Python calls it: charges in, its KEYS and ARGV out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chassis.lua import load_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ratelimit_service.core.bucket import Charge

SCRIPT = load_script("ratelimit_service.storage", "take.lua")


def pack(requests: Iterable[Sequence[Charge]]) -> tuple[list[bytes], list[int]]:
    """Return KEYS and ARGV of one call that decides `requests` in order.

    The reply is one list of integers: the debt that each charge met, in the same order.
    """
    keys: dict[bytes, int] = {}
    args: list[int] = []
    for charges in requests:
        args.append(len(charges))
        for charge in charges:
            bucket = charge.bucket
            index = keys.setdefault(charge.key, len(keys) + 1)
            args += (index, charge.cost, bucket.full, bucket.refill, bucket.tick_us)
    return list(keys), args
