"""HTTP/1.1 on a connection: one exchange at a time, in the order of the requests.

Requests that are pipelined wait as bytes until the response before them is out. A connection is
closed rather than kept wherever the place of the next request is in doubt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlane.http import wording
from fastlane.http.errors import ForeignError, Refusal
from fastlane.http.exchange import Exchange, refuse
from fastlane.http.heads import Head
from fastlane.http.one import DEAD, DONE, BodyEnded, Reader
from fastlane.http.response import Framing, Response, trailers_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastlane.http.grammar import Field
    from fastlane.http.response import Trailers
    from fastlane.http.session import Wire

# Unwritten bytes that gather within a turn before they are handed to the transport.
_GATHER: Final = 65_536


class SessionOne:
    """The HTTP side of an HTTP/1 connection."""

    def __init__(self, wire: Wire, scheme: bytes) -> None:
        engine = wire.engine
        self._wire = wire
        self._engine = engine
        self._limits = engine.limits
        self._reader = Reader(engine.heads[scheme], engine.limits)
        self._exchange: Exchange | None = None
        self._out: list[bytes] = []
        self._gathered = 0
        self._closes = False
        """Whether the current response is the last."""
        self._draining = False
        self._finished = False
        self._discarded = 0
        self._begun_this_turn = 0
        self._mid_head = False
        wire.expect(engine.loop.time() + engine.limits.head_seconds)

    # -- the transport's side ----------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take bytes of one turn."""
        self._reader.feed(data)
        self._begun_this_turn = 0
        waits = self._exchange is None and self._wire.is_full
        if not waits and (self._exchange is None or self._reader.state < DONE):
            self._advance()
        self._regulate()

    def output(self) -> list[bytes]:
        """Return what waits to be written."""
        out = self._out
        self._out = []
        if len(out) > 1 and self._gathered <= _GATHER:
            out = [b"".join(out)]
        self._gathered = 0
        return out

    @property
    def is_finished(self) -> bool:
        """Whether to close."""
        return self._finished

    def on_full(self, *, full: bool) -> None:
        """Go on when there is room: with the response, or with the next request."""
        if full:
            return
        if self._exchange is not None:
            self._exchange.on_drained()
        else:
            self._resume()

    def on_due(self) -> None:
        """Close a connection that is idle, or answer a head or body that does not come."""
        if self._exchange is not None:
            return
        if self._mid_head:
            self._refuse(Refusal(408, f"no whole head within {self._limits.head_seconds:g} s"))
        else:
            self._finish()

    def drain(self) -> None:
        """Close now if idle, else after the response that is due."""
        self._draining = True
        if self._exchange is None and not self._mid_head:
            self._finish()

    def close(self) -> None:
        """End the exchange."""
        self._finished = True
        self._reader.kill()
        if self._exchange is not None:
            self._exchange.cancel()
            self._exchange = None

    # -- requests ----------------------------------------------------------------------------

    def _advance(self) -> None:
        reader = self._reader
        try:
            while (event := reader.next()) is not None:
                if type(event) is Head:
                    self._begin(event)
                    if reader.state is DONE:
                        break
                elif type(event) is BodyEnded:
                    self._on_end(event)
                elif type(event) is bytes:
                    self._on_data(event)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        if self._exchange is None and not self._finished and not self._discarded:
            self._await_head()

    def _await_head(self) -> None:
        """Set the clock of a head that has begun; idle time is set when a response is out."""
        if self._reader.buffered and not self._mid_head:
            self._mid_head = True
            self._wire.expect(self._engine.loop.time() + self._limits.head_seconds)

    def _begin(self, head: Head) -> None:
        self._engine.counters.requests += 1
        self._begun_this_turn += 1
        self._mid_head = False
        self._closes = not head.keeps_alive
        has_body = self._reader.state is not DONE
        exchange = Exchange(self._engine, self, head, self._wire.peer, has_body=has_body)
        self._exchange = exchange  # and on_due does nothing while there is one
        self._engine.crew.add(exchange)

    def _on_data(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is not None:
            exchange.body.feed(data)
            return
        self._discarded += len(data)
        if self._discarded > self._limits.discard_bytes:
            self._finish()

    def _on_end(self, event: BodyEnded) -> None:
        if self._exchange is not None:
            self._exchange.body.end(event.trailers)
        else:
            self._next()

    def _refuse(self, refusal: Refusal) -> None:
        """Say what was wrong and close; a handler in the midst of the body hears of it instead."""
        self._engine.counters.refused += 1
        self._closes = True
        self._reader.kill()
        if self._exchange is not None:
            self._exchange.body.fail(refusal)
            return
        if not self._discarded and not isinstance(refusal, ForeignError):
            response, body = refuse(refusal)
            framing = Framing(has_body=True, length=len(body))
            head = self._engine.one.head(response, framing, closes=True, says_keep_alive=False)
            self._send(head + body)
        self._finish()

    def _regulate(self) -> None:
        """Read on only while what was read is used."""
        limits = self._limits
        exchange = self._exchange
        held = self._reader.state is DONE and self._reader.buffered > limits.pipeline_bytes
        if exchange is not None and exchange.body.buffered > limits.body_buffer_bytes:
            held = True
        self._wire.hold(held=held)

    # -- responses ---------------------------------------------------------------------------

    def respond(self, exchange: Exchange, response: Response, framing: Framing) -> None:
        """Send a whole response."""
        body = response.body
        head = self._head(exchange, response, framing)
        if framing.chunked and isinstance(body, bytes):
            tail = self._engine.one.trailers(trailers_of(response))
            self._send(head)
            self._send_chunk(body)
            self._send(tail)
        elif framing.has_body and isinstance(body, bytes) and body:
            if len(body) > _GATHER:
                self._send(head)
                self._send(body)
            else:
                self._send(head + body)
        else:
            self._send(head)
        self._end(exchange)

    def begin(self, exchange: Exchange, response: Response, framing: Framing) -> None:
        """Send a head."""
        self._send(self._head(exchange, response, framing))
        exchange.framing = framing

    def write(self, exchange: Exchange, data: bytes) -> bool:
        """Send body bytes."""
        framing = exchange.framing
        if framing is not None and framing.chunked:
            self._send_chunk(data)
        else:
            self._send(data)
        if self._gathered > _GATHER:
            self._wire.flush()
        return not self._wire.is_full

    def finish(self, exchange: Exchange, trailers: Trailers) -> None:
        """End a body."""
        framing = exchange.framing
        if framing is not None and framing.chunked:
            self._send(self._engine.one.trailers(trailers))
        self._end(exchange)

    def break_off(self, exchange: Exchange) -> None:
        """Cut the connection."""
        framing = exchange.framing
        self._wire.flush()
        self._wire.abort(reset=framing is not None and framing.until_close)

    def inform(self, exchange: Exchange, status: int, headers: Sequence[Field]) -> None:
        """Send an interim response."""
        text = self._engine.one.informational(status, headers)
        if exchange.head.version != "1.0":
            self._send(text)

    def wanted(self, exchange: Exchange) -> None:
        """Ask for the body if the client waits to be asked."""
        if not exchange.head.expects_continue or exchange.informed or exchange.begun:
            return
        exchange.informed = True
        if not exchange.body.received:
            self._send(wording.CONTINUE)

    def took(self, exchange: Exchange, size: int) -> None:  # noqa: ARG002 - the other version's need
        """Read on."""
        if exchange.body.buffered * 2 < self._limits.body_buffer_bytes:
            self._regulate()

    def _head(self, exchange: Exchange, response: Response, framing: Framing) -> bytes:
        head = exchange.head
        closes = self._closes or self._draining or framing.until_close or self._is_astray(exchange)
        text = self._engine.one.head(
            response, framing, closes=closes, says_keep_alive=head.version == "1.0"
        )
        self._closes = closes
        return text

    def _is_astray(self, exchange: Exchange) -> bool:
        """Whether the next request could not be found, or not without reading too much."""
        body = exchange.body
        if self._reader.state is DONE:
            return False
        if self._reader.state is DEAD or body.failure is not None:
            return True
        if exchange.head.expects_continue and not exchange.informed:
            return True  # the client may send the body or not
        return body.length is not None and body.length - body.received > self._limits.discard_bytes

    def _send(self, data: bytes) -> None:
        self._out.append(data)
        self._gathered += len(data)
        self._wire.touch()

    def _send_chunk(self, data: bytes) -> None:
        if not data:
            return
        if len(data) > _GATHER:
            self._send(b"%x\r\n" % len(data))
            self._send(data)
            self._send(b"\r\n")
        else:
            self._send(b"%x\r\n%b\r\n" % (len(data), data))

    def _end(self, exchange: Exchange) -> None:
        """Find the next request, or close: the response is complete."""
        exchange.over = True
        exchange.body.drop()
        self._exchange = None
        if self._closes:
            self._finish()
        elif self._reader.state is DONE:
            self._next()
        else:
            # The rest of a body nobody read; the byte marks that discarding has begun.
            self._discarded = 1
            self._wire.expect(self._engine.loop.time() + self._limits.body_seconds)
            self._regulate()

    def _next(self) -> None:
        self._discarded = 0
        self._reader.restart()
        if self._draining:
            self._finish()
            return
        self._wire.expect(self._engine.loop.time() + self._limits.idle_seconds)
        if not self._reader.buffered or self._is_full():
            return
        if self._begun_this_turn < self._limits.requests_a_turn:
            self._advance()
            self._regulate()
        else:
            self._engine.loop.call_soon(self._resume)

    def _resume(self) -> None:
        """Go on with pipelined requests in a new turn."""
        self._begun_this_turn = 0
        if self._exchange is None and not self._finished and not self._is_full():
            self._advance()
            self._regulate()

    def _is_full(self) -> bool:
        """Whether a client that does not read its answers has to wait with its next request."""
        if self._gathered > _GATHER:
            self._wire.flush()
        return self._wire.is_full

    def _finish(self) -> None:
        self._finished = True
        self._reader.kill()
        self._wire.touch()
