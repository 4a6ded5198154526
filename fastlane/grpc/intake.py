"""A request that is more than one whole message in one frame: assembled, queued, and paced.

Pace: bytes go back to the peer's window while no complete message waits for the handler. So a
message of any allowed size can complete, and a handler that does not read holds one window and one
message at most.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from fastlane.grpc.messages import Assembler
from fastlane.grpc.status import Abort, StatusCode

if TYPE_CHECKING:
    import asyncio

    from fastlane.h2 import Connection
    from fastlane.h2.stream import Stream


class Intake:
    """The messages of one request, between the wire and the handler."""

    __slots__ = (
        "_assembler",
        "_core",
        "_held",
        "_queued",
        "_stream",
        "charge",
        "ended",
        "inbox",
        "reader",
    )

    def __init__(
        self,
        core: Connection,
        stream: Stream,
        encoding: bytes | None,
        limit: int | None,
        *,
        single: bool = False,
    ) -> None:
        self._core = core
        self._stream = stream
        self._assembler = Assembler(encoding, limit, single=single)
        self._held = 0
        self._queued = 0
        self.charge = 0
        """Bytes held, as the connection was last told."""
        self.inbox: deque[bytes] = deque()
        self.ended = False
        """Whether the request is complete."""
        self.reader: asyncio.Future[None] | None = None

    def feed(self, data: bytes, *, ended: bool) -> None:
        """Take body bytes; Abort when they break a rule."""
        messages = list(self._assembler.feed(data))
        self.inbox.extend(messages)
        self._queued += sum(map(len, messages))
        if ended and not self._assembler.is_between_messages:
            raise Abort(StatusCode.INTERNAL, "the request ends within a message")
        self.ended = ended
        self._held += len(data)
        if not self.inbox:
            self._give_back()
        elif self.reader is not None and not self.reader.done():
            self.reader.set_result(None)
        if ended:
            self.wake()

    def take_only(self) -> bytes | None:
        """Return the message of a complete `single` request, or None while it is incomplete."""
        if not self.ended:
            self._give_back()
            return None
        if not self.inbox:
            raise Abort(StatusCode.INTERNAL, "no request message")
        self._queued = 0
        return self.inbox.popleft()

    async def read(self, loop: asyncio.AbstractEventLoop) -> bytes | None:
        """Return the next message, or None after the last."""
        while not self.inbox:
            if self.ended:
                return None
            self.reader = loop.create_future()
            await self.reader
        message = self.inbox.popleft()
        self._queued -= len(message)
        if not self.inbox:
            self._give_back()
        return message

    def recharge(self) -> int:
        """Return by how many bytes what is held has changed since the last time."""
        held = self._assembler.size + self._queued
        change = held - self.charge
        self.charge = held
        return change

    def wake(self) -> None:
        """Let a waiting reader look again."""
        if self.reader is not None and not self.reader.done():
            self.reader.set_result(None)

    def close(self) -> None:
        """Give a reader nothing more, and hold nothing: the call is over."""
        self.ended = True
        self.inbox.clear()
        self.wake()

    def _give_back(self) -> None:
        if self._held:
            self._core.consume(self._stream, self._held)
            self._held = 0
