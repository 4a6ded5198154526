"""The pace of a stream's responses: that of its peer, and one that lets other calls have a turn."""

from __future__ import annotations

import asyncio
from typing import Final

# How much a stream may write before others get a turn: a handler whose writes never wait would
# otherwise hold the loop for as long as the peer's window lasts.
TURN_MESSAGES: Final = 64
TURN_BYTES: Final = 65_536


class Pace:
    """What one stream has written since it last waited."""

    __slots__ = ("_drained", "bytes", "messages")

    def __init__(self) -> None:
        self.bytes = 0
        self.messages = 0
        self._drained: asyncio.Future[None] | None = None

    async def wait(self, loop: asyncio.AbstractEventLoop, *, goes_on: bool) -> None:
        """Wait for a turn, or, if the peer does not take more, until it does."""
        if goes_on:
            await asyncio.sleep(0)
        else:
            self._drained = loop.create_future()
            await self._drained
        self.messages = self.bytes = 0

    def go_on(self) -> None:
        """Let the writer go on: the peer has taken what waited."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
