"""A BucketStore's callback as something to await."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.bucket import Charge
    from ratelimit_service.service import BucketStore


def take(
    store: BucketStore, charges: Sequence[Charge], timeout_seconds: float | None = None
) -> asyncio.Future[Sequence[int]]:
    """Charge now; the future gets the debts met, or the error."""
    future: asyncio.Future[Sequence[int]] = asyncio.get_running_loop().create_future()

    def done(met: Sequence[int], error: BaseException | None) -> None:
        assert not future.done(), "answered twice"
        if error is None:
            future.set_result(met)
        else:
            future.set_exception(error)

    store.take(charges, timeout_seconds, done)
    return future
