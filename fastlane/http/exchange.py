"""One request and its response: runs the handler, streams what it returns, survives its mistakes.

The same for both versions; what differs stands behind `Carrier`. An exchange is a job of the crew,
so that a handler which never waits costs no task of its own.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from fastlane.http.body import NO_BODY, Body
from fastlane.http.errors import Refusal, ResponseError
from fastlane.http.request import Request
from fastlane.http.response import Response, frame, trailers_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Coroutine, Sequence

    from fastlane.h2 import Stream
    from fastlane.http.engine import Engine
    from fastlane.http.grammar import Field
    from fastlane.http.heads import Head
    from fastlane.http.response import Framing, Trailers

log = logging.getLogger("fastlane.http")

# Written without a pause by one response, before other connections have their turn: about 0.2 ms.
_STRETCH: Final = 262_144
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
_FAILED: Final = Response(500, (_TEXT,), b"Internal server error\n")


class Carrier(Protocol):
    """What carries exchanges: one connection of either version."""

    def respond(self, exchange: Exchange, response: Response, framing: Framing) -> None:
        """Send a whole response, its body being bytes."""

    def begin(self, exchange: Exchange, response: Response, framing: Framing) -> None:
        """Send the head of a response whose body follows."""

    def write(self, exchange: Exchange, data: bytes) -> bool:
        """Send body bytes; False asks to wait for `Exchange.on_drained`."""

    def finish(self, exchange: Exchange, trailers: Trailers) -> None:
        """End a response that was begun."""

    def break_off(self, exchange: Exchange) -> None:
        """End a response that cannot be completed so that the client notices."""

    def inform(self, exchange: Exchange, status: int, headers: Sequence[Field]) -> None:
        """Send an interim response."""

    def wanted(self, exchange: Exchange) -> None:
        """Note that the handler waits for body bytes."""

    def took(self, exchange: Exchange, size: int) -> None:
        """Note that the handler has taken body bytes."""


class Exchange:
    """A job of the crew, the source of its request's body, and the sender of interim answers."""

    __slots__ = (
        "_waiter",
        "begun",
        "body",
        "carrier",
        "engine",
        "framing",
        "head",
        "informed",
        "over",
        "request",
        "stream",
        "task",
    )

    def __init__(
        self,
        engine: Engine,
        carrier: Carrier,
        head: Head,
        peer: str,
        *,
        has_body: bool,
        stream: Stream | None = None,
    ) -> None:
        self.engine = engine
        self.carrier = carrier
        self.head = head
        self.stream = stream
        """Its stream in HTTP/2."""
        self.task: asyncio.Task[None] | None = None
        self.over = False
        """Whether nothing more is to be sent: it is complete, or the client is gone."""
        self.begun = False
        """Whether the response's head is out."""
        self.informed = False
        """Whether `100 Continue` is out."""
        self.framing: Framing | None = None
        self._waiter: asyncio.Future[None] | None = None
        if has_body:
            limits = engine.limits
            self.body = Body(
                self,
                length=head.length,
                limit=limits.body_bytes,
                timeout=limits.body_seconds,
                rate=limits.body_bytes_a_second,
            )
        else:
            self.body = NO_BODY
        self.request = Request(head, self.body, peer, self)

    # -- the crew's side ---------------------------------------------------------------------

    def start(self) -> Coroutine[Any, Any, None]:
        """Return what is to be run."""
        return self._run()

    def on_wait(self) -> None:
        """Nothing depends on it."""

    def on_result(self, result: Any) -> None:
        """Nothing is returned."""

    def on_error(self, error: BaseException) -> None:
        """Answer a handler's failure with a 500, or break off what it had begun."""
        if isinstance(error, asyncio.CancelledError):
            if not self.over:
                self._break_off()
            return
        if not isinstance(error, Exception):
            raise error
        if not self.over:
            log.error("the handler of %r failed", self.request, exc_info=error)
            self._answer(_FAILED)
        elif not isinstance(error, Refusal):
            log.warning(
                "the handler of %r failed after its client left", self.request, exc_info=error
            )

    async def _run(self) -> None:
        try:
            response = await self.engine.handler(self.request)
            if self.over:
                return
            framing = frame(self.head, response)
            if isinstance(response.body, bytes):
                self.carrier.respond(self, response, framing)
            else:
                await self._stream(response, response.body, framing)
        except Refusal as refusal:
            if not self.over:
                self._answer(refuse(refusal)[0])

    def _answer(self, response: Response) -> None:
        if self.begun:
            self._break_off()
        else:
            self.carrier.respond(self, response, frame(self.head, response))

    def _break_off(self) -> None:
        self.over = True
        self.carrier.break_off(self)

    # -- a streamed response -----------------------------------------------------------------

    async def _stream(
        self, response: Response, body: AsyncIterable[bytes], framing: Framing
    ) -> None:
        carrier = self.carrier
        try:
            if not framing.has_body:
                carrier.respond(self, response, framing)
                return
            carrier.begin(self, response, framing)
            self.begun = True
            await self._pump(body, response.length)
            if not self.over:
                carrier.finish(self, trailers_of(response))
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()

    async def _pump(self, body: AsyncIterable[bytes], length: int | None) -> None:
        write = self.carrier.write
        sent = 0
        stretch = 0
        async for data in body:
            if not data:
                continue
            size = len(data)
            sent += size
            if length is not None and sent > length:
                raise ResponseError(f"a body longer than its length={length}")
            if not write(self, data):
                await self._wait_drained()
                stretch = 0
            elif (stretch := stretch + size) >= _STRETCH:
                await asyncio.sleep(0)
                stretch = 0
            if self.over:
                return
        if length is not None and sent != length:
            raise ResponseError(f"a body of {sent} bytes with length={length}")

    async def _wait_drained(self) -> None:
        loop = self.engine.loop
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(self.engine.limits.write_seconds, self._stall)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _stall(self) -> None:
        """Give up on a client that does not take what it asked for."""
        if not self.over and self._waiter is not None and not self._waiter.done():
            self._break_off()
            self._cancel_task()

    # -- the connection's side ---------------------------------------------------------------

    def on_drained(self) -> None:
        """Let the writer go on."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def cancel(self) -> None:
        """Stop: the client is gone. A handler that waits is cancelled."""
        if self.over:
            return
        self.over = True
        self.body.fail(Refusal(400, "the client is gone"))
        self._cancel_task()

    def _cancel_task(self) -> None:
        if self.task is not None:
            self.task.cancel()

    # -- the request's side ------------------------------------------------------------------

    def wanted(self) -> None:
        """See `Source`."""
        if not self.over:
            self.carrier.wanted(self)

    def took(self, size: int) -> None:
        """See `Source`."""
        self.carrier.took(self, size)

    def inform(self, status: int, headers: Sequence[Field]) -> None:
        """See `Informer`."""
        if self.begun:
            raise ResponseError("an interim answer after the final one has begun")
        if not self.over:
            self.carrier.inform(self, status, headers)


def refuse(refusal: Refusal) -> tuple[Response, bytes]:
    """Return the answer that says why, and its body."""
    body = f"{refusal.reason}\n".encode()
    return Response(refusal.status, (_TEXT,), body), body
