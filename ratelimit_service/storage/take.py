"""The scripts take and grant as Python calls them: charges in, their KEYS and ARGV out.

What charges have in common, meter, cost and mode, goes once into a script call; a charge is then
three small numbers. All are packed into two words, as Redis takes 0.1 us for each word it is sent,
and the scripts as much to read it: with a word a number a decision cost this process 0.8 us more,
and Redis 1.1.
"""

from __future__ import annotations

from struct import pack as packed
from typing import TYPE_CHECKING

from chassis.lua import Function, load_script
from ratelimit_service.core.charge import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ratelimit_service.core.charge import Charge

_PACKAGE = "ratelimit_service.storage"
# What windows and modes need, in a function of the script.
_ALL_METERS = Function(
    "all_meters", ("slots.lua", "window.lua", "spans.lua", "charge.lua", "modes.lua")
)
_METERS = ("begin.lua", "bucket.lua", _ALL_METERS, "save.lua")
SCRIPT = load_script(_PACKAGE, *_METERS, "take.lua")
GRANT = load_script(_PACKAGE, *_METERS, "grant.lua")


def pack(requests: Iterable[Sequence[Charge]]) -> tuple[list[bytes], list[bytes | int]]:
    """Return KEYS and ARGV of one call that decides `requests` in order, 65,535 charges at most.

    The reply is one list of integers: what take.take returns for them.
    """
    keys: dict[bytes, int] = {}
    shapes: dict[bytes, int] = {}
    rows: list[int] = []
    for charges in requests:
        following = len(charges)
        for charge in charges:
            following -= 1
            shape = charge.words or words(charge.meter, charge.cost, charge.mode)
            number = shapes.get(shape)
            if number is None:
                number = shapes[shape] = len(shapes) + 1
            rows += (keys.setdefault(charge.key, len(keys) + 1), number, following)
    return list(keys), [b"".join(shapes), packed(f"<{len(rows)}H", *rows)]


def pack_grant(
    grants: Sequence[Charge], expire_in_us: int
) -> tuple[list[bytes], list[bytes | int]]:
    """Return KEYS and ARGV of the call that makes `grants`; the reply is what grant.grant returns.

    Their keys lie in one cluster slot, as all limits of a descriptor do.
    """
    keys, args = pack([[given.look] for given in grants])
    args.append(expire_in_us)
    for given in grants:
        args += (-given.cost, given.meter.most_credit)
    return keys, args
