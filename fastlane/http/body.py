"""A request's body as its handler sees it, with backpressure towards the peer.

Bytes that the handler has not taken hold the peer back: in HTTP/2 through the stream's window, in
HTTP/1 by not reading the socket. Nothing is asked of the peer before the handler reads: that is
when `100 Continue` goes out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from fastlane.http.errors import Refusal

if TYPE_CHECKING:
    from fastlane.http.grammar import Fields

# What read() takes when it is given no limit: a small document, not an upload.
_READ_BYTES: Final = 1024 * 1024


class Source(Protocol):
    """Where a body comes from."""

    def wanted(self) -> None:
        """Note that the handler waits for the first or next bytes."""

    def took(self, size: int) -> None:
        """Note that the handler has taken `size` bytes."""


class Body:
    """An async iterator of bytes, to be read once, in the pieces in which they arrive."""

    __slots__ = (
        "_chunks",
        "_ended",
        "_failure",
        "_limit",
        "_rate",
        "_source",
        "_timeout",
        "_waited",
        "_waiter",
        "buffered",
        "length",
        "received",
        "trailers",
    )

    def __init__(
        self,
        source: Source | None,
        *,
        length: int | None,
        limit: int | None,
        timeout: float,
        rate: int = 0,
    ) -> None:
        self.length = length
        """What the client declared; None when it did not."""
        self.trailers: Fields = ()
        """What followed the body; known once it has been read to its end."""
        self.buffered = 0
        """Bytes that wait for the handler."""
        self.received = 0
        """Bytes that have arrived."""
        self._chunks: deque[bytes] = deque()
        self._source = source
        self._limit = limit
        self._timeout = timeout
        self._rate = rate
        self._waited = 0.0
        """Seconds that the handler has waited in all."""
        self._ended = source is None
        self._failure: Refusal | None = None
        self._waiter: asyncio.Future[None] | None = None
        if limit is not None and length is not None and length > limit:
            self._failure = _too_long(limit)

    # -- the handler's side ------------------------------------------------------------------

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                raise StopAsyncIteration
            await self._wait()
        chunk = self._chunks.popleft()
        self.buffered -= len(chunk)
        if self._source is not None:
            self._source.took(len(chunk))
        return chunk

    async def read(self, limit: int = _READ_BYTES) -> bytes:
        """Return the rest of the body; raises `Refusal` (413) if it is over `limit` bytes."""
        if self.length is not None and self.length > limit:
            raise _too_long(limit)
        parts = []
        size = 0
        async for chunk in self:
            size += len(chunk)
            if size > limit:
                raise _too_long(limit)
            parts.append(chunk)
        return b"".join(parts)

    async def _wait(self) -> None:
        if self._source is not None:
            self._source.wanted()
        if self._waiter is not None:
            raise RuntimeError("two tasks read one body")
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        began = loop.time()
        timer = loop.call_at(began + self._patience(), self._expire)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None
            self._waited += loop.time() - began

    def _patience(self) -> float:
        """Return the seconds to wait: so many for any byte, and in all as many as bytes earn."""
        if not self._rate:
            return self._timeout
        return min(self._timeout, self._timeout + self.received / self._rate - self._waited)

    # -- the connection's side ---------------------------------------------------------------

    @property
    def failure(self) -> Refusal | None:
        """Why no more will come, if it broke off."""
        return self._failure

    def feed(self, data: bytes) -> None:
        """Append bytes."""
        if self._failure is not None:
            return
        self.received += len(data)
        if self._limit is not None and self.received > self._limit:
            self.fail(_too_long(self._limit))
            return
        self._chunks.append(data)
        self.buffered += len(data)
        self._wake()

    def end(self, trailers: Fields = ()) -> None:
        """Note that it is complete."""
        self._ended = True
        self.trailers = trailers
        self._wake()

    def fail(self, failure: Refusal) -> None:
        """Break off: what waits is lost, as a cut body must not look like a whole one."""
        if self._failure is None and not self._ended:
            self._failure = failure
            self._chunks.clear()
            self.buffered = 0
            self._wake()

    def drop(self) -> int:
        """Forget what nobody has read; returns how many bytes that was."""
        size = self.buffered
        self._chunks.clear()
        self.buffered = 0
        return size

    def _expire(self) -> None:
        if self._waiter is not None and self._waiter.done():
            return  # it has come, and only this process was slow
        self.fail(Refusal(408, f"the body did not come within {self._timeout:g} s"))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _too_long(limit: int) -> Refusal:
    return Refusal(413, f"the body is over {limit} bytes")


NO_BODY: Final = Body(None, length=0, limit=None, timeout=0)
"""The body of every request without one: it has no state."""
