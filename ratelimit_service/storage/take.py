"""The scripts take and grant as Python calls them: charges in, their KEYS and ARGV out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chassis.lua import Function, load_script
from ratelimit_service.core.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ratelimit_service.core.charge import Charge, Meter

_PACKAGE = "ratelimit_service.storage"
# What windows and modes need, in a function of the script.
_ALL_METERS = Function(
    "all_meters", ("slots.lua", "window.lua", "spans.lua", "charge.lua", "modes.lua")
)
_METERS = ("begin.lua", "bucket.lua", _ALL_METERS, "save.lua")
SCRIPT = load_script(_PACKAGE, *_METERS, "take.lua")
GRANT = load_script(_PACKAGE, *_METERS, "grant.lua")


def pack(requests: Iterable[Sequence[Charge]]) -> tuple[list[bytes], list[int]]:
    """Return KEYS and ARGV of one call that decides `requests` in order.

    The reply is one list of integers: what take.take returns for them.
    """
    keys: dict[bytes, int] = {}
    args: list[int] = []
    for charges in requests:
        start = len(args)
        args.append(len(charges))
        for charge in charges:
            bucket = charge.meter
            if charge.mode or bucket.__class__ is not Bucket:  # ENFORCED is 0
                break
            index = keys.setdefault(charge.key, len(keys) + 1)
            args += (index, charge.cost, bucket.full, bucket.refill, bucket.tick_us)
        else:
            continue
        del args[start:]
        args.append(-len(charges))
        for charge in charges:
            args += _words(charge, keys)
    return list(keys), args


def pack_grant(grants: Sequence[Charge], expire_in_us: int) -> tuple[list[bytes], list[int]]:
    """Return KEYS and ARGV of the call that makes `grants`; the reply is what grant.grant returns.

    Their keys lie in one cluster slot, as all limits of a descriptor do.
    """
    keys: dict[bytes, int] = {}
    args = [expire_in_us]
    for given in grants:
        args += (*_words(given.look, keys), -given.cost, given.meter.most_credit)
    return list(keys), args


def _words(charge: Charge, keys: dict[bytes, int]) -> tuple[int, ...]:
    index = keys.setdefault(charge.key, len(keys) + 1)
    return index, charge.cost, int(charge.mode), *_shape(charge.meter)


def _shape(meter: Meter) -> tuple[int, ...]:
    """Return the kind of a meter, and its five words."""
    if isinstance(meter, Bucket):
        return 0, meter.full, meter.refill, meter.tick_us, 0, 0
    if meter.edges_us:
        return 2, meter.full, meter.slot_us, *meter.edges_us[1:]
    return 1, meter.full, meter.slot_us, meter.keep_us, 0, 0
