"""One connection: an asyncio protocol between a transport, the HTTP/2 core and the calls.

What a turn of the loop produces leaves in one write, flushed by the crew. What a turn may consume
is bounded, so that a flood on one connection does not starve the others.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from fastlane.farewell import leave
from fastlane.grpc.call import Call
from fastlane.grpc.credentials import Identity, auth_context_of, identity_of
from fastlane.grpc.peer import peer_name
from fastlane.grpc.plan import make_plan
from fastlane.grpc.status import Abort, StatusCode
from fastlane.grpc.vitals import Vitals
from fastlane.h2 import Connection, ErrorCode, blocks
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastlane.grpc.engine import Engine
    from fastlane.grpc.plan import Plan
    from fastlane.h2.blocks import Constant
    from fastlane.h2.heads import RequestHead
    from fastlane.h2.stream import Stream

# Bytes read a turn: some 700 unary calls, or 5 ms of the cheapest frames there are.
_TURN_BYTES: Final = 65_536
# Unwritten bytes beyond which nothing more is read: a peer that does not read its answers stops
# being asked for more. Well above what one turn can produce for an honest peer.
_HIGH_WATER: Final = 1024 * 1024


class _Refusal:
    """What hangs on a stream that is not gRPC: the answer for when the request has ended."""

    __slots__ = ("hides_body", "status", "text")

    def __init__(self, status: int, text: bytes, *, hides_body: bool) -> None:
        self.status = status
        self.text = text
        self.hides_body = hides_body


class Link(asyncio.Protocol):
    """A connection of a gRPC server."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.core: Connection
        self.peer = ""
        self.identity: Identity | None = None
        self.auth_context: Mapping[str, list[bytes]] = {}
        self.closed = engine.loop.create_future()
        """Resolved when the connection is gone."""
        self.respond: Callable[[Stream, Constant, bytes, bytes, Constant], None]
        """The core's, one look-up nearer."""
        self.touched = False
        self._transport: asyncio.Transport | None = None
        self._vitals: Vitals
        self._held = 0
        self._backlog = b""
        self._full = False
        self._leaving = False
        self._on: dict[type, Callable[[Any], None]] = {
            WholeRequest: self._on_whole,
            RequestReceived: self._on_request,
            DataReceived: self._on_data,
            TrailersReceived: self._on_trailers,
            StreamReset: self._on_stream_reset,
            SendQueueDrained: self._on_drained,
            PingReceived: self._on_ping,
            PingAnswered: self._on_ping_answered,
            GoAwayReceived: self._on_goaway,
            ConnectionFailed: self._on_failed,
        }

    # -- the transport -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the peer."""
        engine = self.engine
        self._transport = stream = cast("asyncio.Transport", transport)
        self.peer = peer_name(transport)
        self.core = Connection(limits=engine.options.limits, now=engine.loop.time())
        self.respond = self.core.respond
        self._vitals = Vitals(self, engine)
        engine.links.add(self)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.identity = identity_of(tls)
            self.auth_context = auth_context_of(tls, self.identity)
            if tls.selected_alpn_protocol() != "h2":
                self.abort("TLS without ALPN h2")
                return
        stream.set_write_buffer_limits(_HIGH_WATER)
        self.touch()

    def data_received(self, data: bytes) -> None:
        """Take bytes, at most so many a turn."""
        if self._leaving:
            return
        if self._backlog:
            self._backlog += data
            return
        if len(data) > _TURN_BYTES:
            self._backlog = data[_TURN_BYTES:]
            data = data[:_TURN_BYTES]
            self._pause_reading()
            self.engine.loop.call_soon(self._read_backlog)
        self._take(data)

    def _read_backlog(self) -> None:
        data, self._backlog = self._backlog, b""
        if self._leaving or not data:
            return
        if self._full:
            self._backlog = data  # resume_writing comes back here
            return
        self._backlog = data[_TURN_BYTES:]
        if self._backlog:
            self.engine.loop.call_soon(self._read_backlog)
        else:
            self._resume_reading()
        self._take(data[:_TURN_BYTES])

    def _take(self, data: bytes) -> None:
        now = self.engine.loop.time()
        self._vitals.heard_at = now
        handlers = self._on
        for event in self.core.receive(data, now):
            handlers[type(event)](event)
        if self.core.has_output or self.core.draining:
            self.touch()

    def eof_received(self) -> bool:
        """Let the transport close: a half-closed client cannot use HTTP/2."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End every call."""
        self._leaving = True
        self._vitals.close()
        self.engine.links.discard(self)
        for stream in list(self.core.streams.values()):
            if isinstance(stream.owner, Call):
                stream.owner.on_reset()
        self._transport = None
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """Stop asking a peer for more that does not read."""
        self._full = True
        self.core.hold(held=True)
        self._pause_reading()
        self._vitals.on_blocked()

    def resume_writing(self) -> None:
        """Go on."""
        self._full = False
        self._vitals.on_unblocked()
        for event in self.core.hold(held=False):
            self._on[type(event)](event)
        self.touch()
        if self._backlog:
            self.engine.loop.call_soon(self._read_backlog)
        else:
            self._resume_reading()

    def charge(self, change: int) -> None:
        """Count what unfinished requests hold; Abort for the one that makes it too much."""
        self._held += change
        limit = self.engine.options.max_unfinished
        if change > 0 and self._held > limit:
            details = f"Unfinished requests of this connection hold more than {limit} bytes"
            raise Abort(StatusCode.RESOURCE_EXHAUSTED, details)

    def touch(self) -> None:
        """Have what was produced written at the end of the turn."""
        if not self.touched:
            self.touched = True
            self.engine.crew.touch(self)

    @property
    def unwritten(self) -> int:
        """Bytes that the peer has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def flush(self) -> None:
        """Write everything in one go."""
        self.touched = False
        transport = self._transport
        if transport is None or self._leaving:
            return
        output = self.core.output()
        if output:
            transport.write(output)
        if self.core.failed or self.core.drained:
            self._leave()

    def _pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # -- events of the core ------------------------------------------------------------------

    def _on_request(self, event: RequestReceived) -> None:
        head = event.head
        plan = head.plan or self._plan(head)
        stream = event.stream
        if plan.http_refusal is None:
            call = self._begin(stream, plan)
            if plan.is_simple and not event.ended:
                call.on_wait()
        else:
            status, text = plan.http_refusal
            stream.owner = _Refusal(status, text, hides_body=plan.hides_body)
        if event.ended:
            self._on_end(stream)

    def _on_whole(self, event: WholeRequest) -> None:
        plan = event.head.plan
        if plan is None or not plan.is_simple:
            self._on_request(RequestReceived(event.stream, event.head, ended=False))
            self._on_data(DataReceived(event.stream, event.data, ended=True))
            return
        # _begin() written out: 0.1 us of every unary call.
        engine = self.engine
        stream = event.stream
        call = stream.owner = Call(self, engine, stream, plan)
        engine.calls += 1
        if plan.accepts or engine.calls > engine.max_calls:
            call.begin()
        call.on_data(event.data, ended=True)

    def _plan(self, head: RequestHead) -> Plan:
        engine = self.engine
        intercepted = bool(engine.interceptors)
        plan = make_plan(head, engine.router, engine.starter, intercepted=intercepted)
        head.plan = plan
        # A head with a timeout is told at once: its clock runs while the body is awaited.
        head.is_wanted_whole = plan.is_simple and plan.timeout is None
        return plan

    def _begin(self, stream: Stream, plan: Plan) -> Call:
        engine = self.engine
        call = stream.owner = Call(self, engine, stream, plan)
        engine.calls += 1
        if not plan.is_simple or plan.accepts or engine.calls > engine.max_calls:
            call.begin()
        return call

    def _on_data(self, event: DataReceived) -> None:
        stream = event.stream
        owner = stream.owner
        if type(owner) is Call:
            owner.on_data(event.data, ended=event.ended)
            return
        self.core.consume(stream, len(event.data))
        if event.ended:
            self._refuse(stream)

    def _on_trailers(self, event: TrailersReceived) -> None:
        self._on_end(event.stream)

    def _on_end(self, stream: Stream) -> None:
        if isinstance(stream.owner, Call):
            stream.owner.on_end()
        else:
            self._refuse(stream)

    def _refuse(self, stream: Stream) -> None:
        """Answer what is not gRPC, once it has ended: earlier, the peer may still be writing."""
        refusal = stream.owner
        if not isinstance(refusal, _Refusal) or stream.is_closed:
            return
        fields = [
            (b":status", str(refusal.status).encode()),
            (b"content-type", b"text/plain; charset=utf-8"),
        ]
        if refusal.status == 405:
            fields.append((b"allow", b"POST"))
        block = blocks.encode(fields)
        if refusal.hides_body:
            self.core.end(stream, block)
            return
        self.core.send_headers(stream, block)
        self.core.send_data(stream, refusal.text)
        self.core.end(stream)

    def _on_stream_reset(self, event: StreamReset) -> None:
        if isinstance(event.stream.owner, Call):
            event.stream.owner.on_reset()

    def _on_drained(self, event: SendQueueDrained) -> None:
        if isinstance(event.stream.owner, Call):
            event.stream.owner.on_drained()

    def _on_ping(self, _event: PingReceived) -> None:
        self._vitals.on_ping()

    def _on_ping_answered(self, _event: PingAnswered) -> None:
        self._vitals.on_answer()

    def _on_goaway(self, _event: GoAwayReceived) -> None:
        """Finish what is open: the peer opens nothing more and closes when it is served."""

    def _on_failed(self, _event: ConnectionFailed) -> None:
        for stream in list(self.core.streams.values()):
            if isinstance(stream.owner, Call):
                stream.owner.on_reset()
        self.touch()

    # -- the end -----------------------------------------------------------------------------

    def drain(self) -> None:
        """Let the open calls finish, take no new ones, then close."""
        self.core.drain()
        self._vitals.on_drain()
        self.touch()

    def abandon(self, code: ErrorCode, reason: str) -> None:
        """End the connection for a rule of the server, telling the peer why."""
        self.core.abandon(code, reason)
        self._on_failed(ConnectionFailed(code, reason))

    def end_calls(self, details: str) -> None:
        """End every call with UNAVAILABLE."""
        for stream in list(self.core.streams.values()):
            if isinstance(stream.owner, Call):
                stream.owner.abandon(StatusCode.UNAVAILABLE, details)

    def abort(self, _reason: str) -> None:
        """Cut the connection without a word."""
        self._leaving = True
        if self._transport is not None:
            self._transport.abort()

    def _leave(self) -> None:
        """Close the writing side, and read on for a moment so that the last words arrive."""
        if self._leaving or self._transport is None:
            return
        self._leaving = True
        self._resume_reading()
        leave(self._transport, self.engine.loop, self.engine.options.keepalive_timeout)
