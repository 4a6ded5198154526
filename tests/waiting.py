"""Waiting for a condition instead of sleeping: as long as it takes, and no longer."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# Short enough not to slow a test down, long enough to leave a shared core to the thing waited for.
_PAUSE_SECONDS = 0.01


async def wait_until(
    predicate: Callable[[], Awaitable[object] | object],
    *,
    timeout: float = 10.0,  # noqa: ASYNC109  the point of the function, with a message of its own
    description: str = "",
) -> Any:
    """Return the predicate's first true value; AssertionError naming `description` otherwise.

    The predicate may be a plain function or an async one; `timeout` is in seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        outcome = predicate()
        value = await outcome if inspect.isawaitable(outcome) else outcome
        if value:
            return value
        if time.monotonic() > deadline:
            what = description or getattr(predicate, "__name__", "the condition")
            raise AssertionError(f"waited {timeout:g} s in vain until {what}; last seen: {value!r}")
        await asyncio.sleep(_PAUSE_SECONDS)
