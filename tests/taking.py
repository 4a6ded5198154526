"""Charging in tests: a BucketStore's callback as something to await, and one charge by the twin."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ratelimit_service.core import take as twin
from ratelimit_service.core.charge import Charge, Mode, is_short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.charge import Meter
    from ratelimit_service.core.take import Cells
    from ratelimit_service.service import BucketStore


def take(
    store: BucketStore, charges: Sequence[Charge], timeout_seconds: float | None = None
) -> asyncio.Future[Sequence[int]]:
    """Charge now; the future gets what the charges met, or the error."""
    future: asyncio.Future[Sequence[int]] = asyncio.get_running_loop().create_future()

    def done(met: Sequence[int], error: BaseException | None) -> None:
        assert not future.done(), "answered twice"
        if error is None:
            future.set_result(list(met) if type(met) is tuple else met)
        else:
            future.set_exception(error)

    store.take(charges, timeout_seconds, done)
    return future


def hit(
    cells: Cells,
    meter: Meter,
    now_us: int,
    hits: int = 1,
    *,
    mode: Mode = Mode.ENFORCED,
    key: bytes = b"k",
) -> bool:
    """Charge one meter; return whether the hits fitted."""
    charge = Charge(key, meter, meter.cost(hits), mode)
    return not is_short(charge, twin.take(cells, [[charge]], now_us)[0])


def used(cells: Cells, meter: Meter, now_us: int, key: bytes = b"k") -> int:
    """Return the debt that a look meets, in the meter's parts."""
    return twin.take(cells, [[Charge(key, meter, 0)]], now_us)[0]
