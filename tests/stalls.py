"""How long an event loop is held up, told apart from how long the machine was busy elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Stalls:
    """The longest time between two turns of the loop: on the clock, and of this process's CPU.

    On a machine that others use too, only the second says what the process itself did.
    """

    def __init__(self) -> None:
        self.longest_seconds = 0.0
        self.longest_cpu_seconds = 0.0

    async def watch(self) -> None:
        clock, cpu = time.perf_counter(), time.process_time()
        while True:
            await asyncio.sleep(0)
            clock_now, cpu_now = time.perf_counter(), time.process_time()
            self.longest_seconds = max(self.longest_seconds, clock_now - clock)
            self.longest_cpu_seconds = max(self.longest_cpu_seconds, cpu_now - cpu)
            clock, cpu = clock_now, cpu_now


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[Stalls]:
    """Watch the running loop meanwhile."""
    stalls = Stalls()
    watching = asyncio.create_task(stalls.watch())
    try:
        yield stalls
    finally:
        watching.cancel()
        await asyncio.wait({watching})
