"""How many processes share the limits: each says so in the store, and forgets who fell silent.

A sorted set of process names by the store's time of their last word. While the store is away the
last number stands: that is when it is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING

from chassis.errors import SluiceError
from chassis.lua import load_script

if TYPE_CHECKING:
    from chassis.redis import RedisDoor

SCRIPT = load_script("ratelimit_service.storage", "replicas.lua")
# How often a process says that it lives; who has not for three times as long is gone.
BEAT_SECONDS = 5.0
SILENT_SECONDS = 15


class Replicas:
    """Counts the processes under one key prefix, this one with them."""

    def __init__(self, door: RedisDoor, *, key_prefix: str) -> None:
        self.count = 1
        self._door = door
        self._key = f"{key_prefix}rate_limit:{{replicas}}"
        self._name = uuid.uuid4().hex
        self._stop = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to say that this process lives."""
        self._beating = asyncio.create_task(self._beat(), name="replicas")

    async def close(self) -> None:
        """Say that it does no more, if the store is there to hear it."""
        self._stop.set()
        if self._beating is not None:
            await self._beating
        with contextlib.suppress(SluiceError):
            await self._door.call("ZREM", self._key, self._name)

    async def _beat(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(SluiceError):  # away: the last count stands
                self.count = int(
                    await self._door.run(SCRIPT, [self._key], [self._name, SILENT_SECONDS])
                )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._stop.wait()
