"""HTTP/2 on a connection: an exchange a stream, over the sans-IO core of `fastlane.h2`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from fastlane.h2 import Connection, ErrorCode
from fastlane.h2.events import (
    ConnectionFailed,
    DataReceived,
    GoAwayReceived,
    PingAnswered,
    PingReceived,
    RequestReceived,
    SendQueueDrained,
    StreamReset,
    TrailersReceived,
    WholeRequest,
)
from fastlane.http.errors import Refusal
from fastlane.http.exchange import Exchange, refuse
from fastlane.http.heads import Head, adopt_head, check_trailers
from fastlane.http.response import Framing, trailers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastlane.h2 import Stream
    from fastlane.http.grammar import Field
    from fastlane.http.response import Response, Trailers
    from fastlane.http.session import Wire

# Unwritten bytes that gather within a turn before they are handed to the transport.
_GATHER: Final = 65_536


class SessionTwo:
    """The HTTP side of an HTTP/2 connection."""

    def __init__(self, wire: Wire) -> None:
        engine = wire.engine
        self._wire = wire
        self._engine = engine
        self._limits = engine.limits
        self._loop = engine.loop
        self._core = Connection(limits=engine.limits.two, now=engine.loop.time())
        self._gathered = 0
        self._closed = False
        self._on: dict[type, Callable[[Any], None]] = {
            WholeRequest: self._on_whole,
            RequestReceived: self._on_request,
            DataReceived: self._on_data,
            TrailersReceived: self._on_trailers,
            StreamReset: self._on_reset,
            SendQueueDrained: self._on_drained,
            PingReceived: self._on_notice,
            PingAnswered: self._on_notice,
            GoAwayReceived: self._on_notice,
            ConnectionFailed: self._on_failed,
        }
        wire.expect(engine.loop.time() + engine.limits.head_seconds)
        wire.touch()

    # -- the transport's side ----------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take bytes of one turn."""
        core = self._core
        handlers = self._on
        for event in core.receive(data, self._loop.time()):
            handlers[type(event)](event)
        if core.has_output:
            self._wire.touch()

    def output(self) -> list[bytes]:
        """Return what waits to be written, and set the clock of an idle connection."""
        core = self._core
        self._gathered = 0
        if core.is_settled and not core.draining:
            idle = not core.streams
            self._wire.expect(self._loop.time() + self._limits.idle_seconds if idle else math.inf)
        output = core.output()
        return [output] if output else []

    @property
    def is_finished(self) -> bool:
        """Whether to close."""
        return self._core.failed or self._core.drained

    def on_full(self, *, full: bool) -> None:
        """Keep bodies back while the transport is full."""
        for event in self._core.hold(held=full):
            self._on[type(event)](event)
        self._wire.touch()

    def on_due(self) -> None:
        """Close: no settings came, nothing was asked for, or a drain is not acknowledged."""
        core = self._core
        if not core.is_settled:
            self._wire.abort()
        elif not core.draining:
            if not core.streams:
                self.drain()
        else:
            core.finish_drain()
            self._wire.touch()

    def drain(self) -> None:
        """Tell the peer to open nothing more; close after what is open. Asked twice: now."""
        if self._core.draining:
            self._core.finish_drain()
        else:
            self._core.drain()
        self._wire.expect(self._loop.time() + self._limits.head_seconds)
        self._wire.touch()

    def close(self) -> None:
        """End every exchange."""
        self._closed = True
        for stream in list(self._core.streams.values()):
            if stream.owner is not None:
                stream.owner.cancel()

    # -- events of the core ------------------------------------------------------------------

    def _on_request(self, event: RequestReceived) -> None:
        self._begin(event.stream, event.head, has_body=not event.ended)

    def _on_whole(self, event: WholeRequest) -> None:
        exchange = self._begin(event.stream, event.head, has_body=True)
        if exchange is None:
            self._core.consume(event.stream, len(event.data))
        else:
            exchange.body.feed(event.data)
            exchange.body.end()

    def _begin(self, stream: Stream, raw: Any, *, has_body: bool) -> Exchange | None:
        engine = self._engine
        head = raw.plan
        if head is None:
            head = raw.plan = self._judge(raw)
        if type(head) is not Head:
            self._refuse(stream, head)
            return None
        engine.counters.requests += 1
        exchange = Exchange(engine, self, head, self._wire.peer, has_body=has_body, stream=stream)
        stream.owner = exchange
        engine.crew.add(exchange)
        return exchange

    def _judge(self, raw: Any) -> Head | Refusal:
        """Return the head, or why there is none; either is remembered with its block."""
        try:
            return adopt_head(raw, limits=self._limits)
        except Refusal as refusal:
            return refusal

    def _refuse(self, stream: Stream, refusal: Refusal) -> None:
        self._engine.counters.refused += 1
        response, body = refuse(refusal)
        framing = Framing(has_body=True, length=len(body))
        self._core.answer(stream, self._engine.two.head(response, framing), body)

    def _on_data(self, event: DataReceived) -> None:
        stream = event.stream
        exchange = stream.owner
        if exchange is None or exchange.over or exchange.body.failure is not None:
            self._core.consume(stream, len(event.data))
            return
        if event.data:
            exchange.body.feed(event.data)
        if event.ended:
            exchange.body.end()

    def _on_trailers(self, event: TrailersReceived) -> None:
        exchange = event.stream.owner
        if exchange is None:
            return
        try:
            exchange.body.end(check_trailers(event.fields))
        except Refusal as refusal:
            exchange.body.fail(refusal)

    def _on_reset(self, event: StreamReset) -> None:
        if event.stream.owner is not None:
            event.stream.owner.cancel()
        self._wire.touch()

    def _on_drained(self, event: SendQueueDrained) -> None:
        if event.stream.owner is not None:
            event.stream.owner.on_drained()

    def _on_notice(self, _event: object) -> None:
        """Nothing follows: the core has answered, and a peer that leaves closes by itself."""

    def _on_failed(self, _event: ConnectionFailed) -> None:
        self.close()
        self._wire.touch()

    # -- responses ---------------------------------------------------------------------------

    def respond(self, exchange: Exchange, response: Response, framing: Framing) -> None:
        """Send a whole response."""
        stream = _stream_of(exchange)
        core = self._core
        block = self._engine.two.head(response, framing)
        body = response.body
        if not framing.has_body or not isinstance(body, bytes) or not (body or response.trailers):
            core.end(stream, block, hang_up=True)
        elif response.trailers:
            tail = self._engine.two.trailers(trailers_of(response))
            core.send_headers(stream, block)
            core.send_data(stream, body)
            core.end(stream, tail, hang_up=True)
        else:
            core.answer(stream, block, body)
        self._end(exchange, stream)

    def begin(self, exchange: Exchange, response: Response, framing: Framing) -> None:
        """Send a head."""
        block = self._engine.two.head(response, framing)
        self._core.send_headers(_stream_of(exchange), block)
        self._wire.touch()

    def write(self, exchange: Exchange, data: bytes) -> bool:
        """Send body bytes."""
        goes_on = self._core.send_data(_stream_of(exchange), data)
        self._gathered += len(data)
        if self._gathered > _GATHER:
            self._wire.flush()
        else:
            self._wire.touch()
        return goes_on

    def finish(self, exchange: Exchange, trailers: Trailers) -> None:
        """End a body."""
        stream = _stream_of(exchange)
        self._core.end(stream, self._engine.two.trailers(trailers), hang_up=True)
        self._end(exchange, stream)

    def break_off(self, exchange: Exchange) -> None:
        """Reset the stream."""
        if not self._closed:
            self._core.reset(_stream_of(exchange), ErrorCode.INTERNAL_ERROR)
            self._wire.touch()

    def inform(self, exchange: Exchange, status: int, headers: Sequence[Field]) -> None:
        """Send an interim response."""
        block = self._engine.two.informational(status, headers)
        self._core.send_headers(_stream_of(exchange), block)
        self._wire.touch()

    def wanted(self, exchange: Exchange) -> None:
        """Ask for the body if the client waits to be asked."""
        if exchange.head.expects_continue and not exchange.informed and not exchange.begun:
            exchange.informed = True
            if not exchange.body.received:
                self.inform(exchange, 100, ())

    def took(self, exchange: Exchange, size: int) -> None:
        """Open the stream's window again."""
        if not self._closed:
            self._core.consume(_stream_of(exchange), size)
            if self._core.has_output:
                self._wire.touch()

    def _end(self, exchange: Exchange, stream: Stream) -> None:
        exchange.over = True
        unread = exchange.body.drop()
        if unread:
            self._core.consume(stream, unread)
        self._wire.touch()
        if not stream.is_closed:
            self._watch(stream, stream.queued_bytes)

    def _watch(self, stream: Stream, queued: int) -> None:
        """Reset a stream whose response the peer does not take."""
        self._loop.call_later(self._limits.write_seconds, self._check_taken, stream, queued)

    def _check_taken(self, stream: Stream, queued: int) -> None:
        if self._closed or stream.is_closed:
            return
        if stream.queued_bytes >= queued:
            self._core.reset(stream, ErrorCode.CANCEL)
            self._wire.touch()
        else:
            self._watch(stream, stream.queued_bytes)


def _stream_of(exchange: Exchange) -> Stream:
    if exchange.stream is None:
        raise RuntimeError("an exchange of another version")
    return exchange.stream
