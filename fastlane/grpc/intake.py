"""A request that is more than one whole message in one frame: assembled, queued, and paced.

Pace: bytes go back to the peer's window while no complete message waits for the handler. So a
message of any allowed size can complete, and a handler that does not read holds one window and one
message at most. Compressed messages wait as they came; only what the handler reads is unpacked,
and in its connection's turn, as 4 KiB may become 4 MiB and take 15 ms.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from fastlane.grpc.messages import Assembler, Packed, unpacked
from fastlane.grpc.status import Abort, StatusCode

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from fastlane.h2 import Connection
    from fastlane.h2.stream import Stream

# Compressed bytes that are unpacked at once: 256 KiB at most, which takes a millisecond.
_SMALL_BYTES: Final = 256


class Line(Protocol):
    """Whose turn it is; see `fastlane.conduit`."""

    def has_time(self) -> bool:
        """Whether this turn of the loop has time left."""

    def put_off(self, work: Callable[[], None]) -> None:
        """Have `work` done in a turn of its own."""


class Intake:
    """The messages of one request, between the wire and the handler."""

    __slots__ = (
        "_assembler",
        "_core",
        "_encoding",
        "_in_hand",
        "_kept",
        "_limit",
        "_queued",
        "_stream",
        "_turn",
        "charge",
        "ended",
        "inbox",
        "reader",
        "received",
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
        self._encoding = encoding
        self._limit = limit
        self._assembler = Assembler(encoding, limit, single=single)
        self._kept = 0
        """Bytes not yet given back to the peer's window."""
        self._queued = 0
        self._in_hand = 0
        """Bytes that the handler was given and that came compressed."""
        self.charge = 0
        """Bytes held, as the connection was last told."""
        self.inbox: deque[bytes] = deque()
        self.ended = False
        """Whether the request is complete."""
        self.received = 0
        """Bytes that have arrived."""
        self.reader: asyncio.Future[None] | None = None
        self._turn: asyncio.Future[bytes] | None = None
        """What a reader waits for whose message is not unpacked yet."""

    def feed(self, data: bytes, *, ended: bool) -> None:
        """Take body bytes; Abort when they break a rule."""
        messages = list(self._assembler.feed(data))
        self.inbox.extend(messages)
        self._queued += sum(map(len, messages))
        if ended and not self._assembler.is_between_messages:
            raise Abort(StatusCode.INTERNAL, "the request ends within a message")
        self.ended = ended
        self.received += len(data)
        self._kept += len(data)
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
        return self._hand_out(self.inbox.popleft())

    async def read(self, loop: asyncio.AbstractEventLoop, line: Line) -> bytes | None:
        """Return the next message, or None after the last; Abort if it does not decompress."""
        self._in_hand = 0
        while not self.inbox:
            if self.ended:
                return None
            self.reader = loop.create_future()
            await self.reader
        message = self.inbox.popleft()
        if type(message) is not Packed or (len(message) <= _SMALL_BYTES and line.has_time()):
            plain = self._hand_out(message)
        else:
            turn = self._turn = loop.create_future()
            line.put_off(lambda: self._hand_over(message, turn))
            plain = await turn
        if not self.inbox:
            self._give_back()
        return plain

    def recharge(self) -> int:
        """Return by how many bytes what is held has changed since the last time."""
        held = self._assembler.size + self._queued + self._in_hand
        change = held - self.charge
        self.charge = held
        return change

    @property
    def is_amid_message(self) -> bool:
        """Whether a message has begun and is not complete."""
        return not self._assembler.is_between_messages

    def wake(self) -> None:
        """Let a waiting reader look again."""
        if self.reader is not None and not self.reader.done():
            self.reader.set_result(None)

    def close(self) -> None:
        """Give a reader nothing more, and hold nothing: the call is over."""
        self.ended = True
        self.inbox.clear()
        self.wake()
        if self._turn is not None:
            self._turn.cancel()

    def _hand_out(self, message: bytes) -> bytes:
        self._queued -= len(message)
        if type(message) is not Packed:
            return message
        plain = unpacked(message, self._encoding, self._limit)
        self._in_hand = len(plain)
        return plain

    def _hand_over(self, message: bytes, turn: asyncio.Future[bytes]) -> None:
        """Answer a reader that waited for its turn, unless it has gone."""
        if turn.done():
            return
        try:
            turn.set_result(self._hand_out(message))
        except Abort as fault:
            turn.set_exception(fault)

    def _give_back(self) -> None:
        if self._kept:
            self._core.consume(self._stream, self._kept)
            self._kept = 0
