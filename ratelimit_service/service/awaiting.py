"""A callback's answer as something to await, for those who are not on the hot path."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def awaited(ask: Callable[[Callable[[T, BaseException | None], None]], None]) -> T:
    """Return what `ask` calls its argument with, or raise the error that it brings."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def done(answer: T, error: BaseException | None) -> None:
        if future.done():
            return  # the caller went away
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)

    ask(done)
    return await future
