"""One gRPC connection: a conduit, the HTTP/2 core and the calls."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from fastlane.conduit import Conduit
from fastlane.grpc.call import LARGE_BYTES, Call
from fastlane.grpc.credentials import Identity, auth_context_of, identity_of
from fastlane.grpc.held import Held
from fastlane.grpc.peer import peer_name
from fastlane.grpc.plan import make_plan
from fastlane.grpc.refusal import Refusal
from fastlane.grpc.status import StatusCode
from fastlane.grpc.vitals import Vitals
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

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from fastlane.grpc.engine import Engine
    from fastlane.grpc.plan import Plan
    from fastlane.h2.blocks import Constant
    from fastlane.h2.heads import RequestHead
    from fastlane.h2.stream import Stream

# Unwritten bytes beyond which nothing more is read: a peer that does not read its answers stops
# being asked for more. Well above what one turn can produce for an honest peer.
_HIGH_WATER: Final = 1024 * 1024
# Calls that go on in a turn once the peer has read answers: their answers are seen before more do.
_RELEASED: Final = 4


class Link(Conduit):
    """A connection of a gRPC server."""

    def __init__(self, engine: Engine, *, is_greeted: bool = False) -> None:
        super().__init__(engine.loop, engine.crew, engine.turns, engine.door)
        self.engine = engine
        now = engine.loop.time()
        self.core = Connection(limits=engine.options.limits, now=now, is_greeted=is_greeted)
        self.peer = ""
        self.identity: Identity | None = None
        self.auth_context: Mapping[str, list[bytes]] = {}
        self.respond: Callable[[Stream, Constant, bytes, bytes, Constant], None]
        """The core's, one look-up nearer."""
        self.respond = self.core.respond
        self.held = Held(engine.options.max_unfinished, "connection", engine.held)
        """What its requests hold."""
        self.crowded = False
        """Whether so much waits for the peer to read it that its calls have to wait too."""
        self._unread = 0
        """Bytes of answers that wait for the peer, as the engine was last told."""
        self.stalled: dict[int, tuple[int, float]] = {}
        """Of streams that should go on arriving: how much had, and since when (`stalls`)."""
        self._parked: deque[Call] | None = None
        self._vitals: Vitals | None = None

    # -- the transport -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        engine = self.engine
        self.transport = stream = cast("asyncio.Transport", transport)
        if engine.stopping:
            self.cut()
            return
        self.peer = peer_name(transport)
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
        if self.core.has_output:
            self.touch()

    def take(self, data: bytes) -> None:
        """Take bytes, a slice at a time."""
        now = self.engine.loop.time()
        if self._vitals is not None:
            self._vitals.heard_at = now
        handlers = self._on
        for event in self.core.receive(data, now):
            handlers[type(event)](self, event)
        if self.core.has_output or self.core.draining or self.crowded:
            self.touch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End every call."""
        super().connection_lost(exc)
        if self._vitals is not None:
            self._vitals.close()
        self.engine.links.discard(self)
        self._count_unread()
        self._lose_calls()

    def pause_writing(self) -> None:
        """Stop asking a peer for more that does not read."""
        self.is_full = True
        self.core.hold(held=True)
        self.regulate()
        if self._vitals is not None:
            self._vitals.on_blocked()

    def resume_writing(self) -> None:
        """Go on."""
        self.is_full = False
        if self._vitals is not None:
            self._vitals.on_unblocked()
        for event in self.core.hold(held=False):
            self._on[type(event)](self, event)
        self.touch()
        self.go_on()

    @property
    def unwritten(self) -> int:
        """Bytes that the peer has not taken yet."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def say(self) -> None:
        """Write everything in one go."""
        core = self.core
        output = core.output()
        if output and self.transport is not None:
            self.transport.write(output)
        if core.failed or core.drained:
            self.leave(self.engine.options.keepalive_timeout)
        elif self.crowded:
            self._release()
        elif core.unsent or self._unread:
            self.has_room(0)

    # -- answers that the peer does not read -----------------------------------------------------

    def has_room(self, size: int) -> bool:
        """Whether an answer of so many bytes may wait for the peer beside those that do."""
        self._count_unread()
        if not self.crowded and self._has_over(4) and self._vitals is not None:
            self.crowded = True
            self._vitals.on_crowded()
        options = self.engine.options
        return (
            self._unread + size <= options.max_unsent
            and self.engine.unread + size <= options.max_unread
        )

    def _has_over(self, part: int) -> bool:
        """Whether more than this part of what may wait does, here or, with some of it here, in all.

        A part is written as 4 for a quarter.
        """
        options = self.engine.options
        return self._unread * part > options.max_unsent or (
            self._unread > LARGE_BYTES and self.engine.unread * part > options.max_unread
        )

    def _count_unread(self) -> None:
        unread = 0 if self.transport is None else self.core.unsent
        self.engine.unread += unread - self._unread
        self._unread = unread

    def park(self, call: Call) -> None:
        """Keep a call whose message is complete until the peer has read other answers."""
        call.on_wait()
        if self._parked is None:
            self._parked = deque()
        self._parked.append(call)

    def _release(self) -> None:
        """Let parked calls go on, once the peer has read most of what it was sent."""
        self._count_unread()
        if self.is_full or self._has_over(8):
            return
        parked = self._parked
        if parked:
            for _ in range(min(_RELEASED, len(parked))):
                call = parked.popleft()
                if not call.over:
                    call.dispatch()
            self.touch()  # and so comes back here in the next turn
            return
        self._parked = None
        self.crowded = False
        if self._vitals is not None:
            self._vitals.on_uncrowded()

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
            stream.owner = Refusal(plan, *plan.http_refusal)
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
        if not plan.is_plain or engine.calls > engine.max_calls:
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
        if not plan.is_plain or engine.calls > engine.max_calls:
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
            self._on_end(stream)

    def _on_trailers(self, event: TrailersReceived) -> None:
        self._on_end(event.stream)

    def _on_end(self, stream: Stream) -> None:
        owner = stream.owner
        if type(owner) is Call:
            owner.on_end()
        elif type(owner) is Refusal:
            owner.answer(self.core, stream)

    def _on_stream_reset(self, event: StreamReset) -> None:
        if type(event.stream.owner) is Call:
            event.stream.owner.on_reset()

    def _on_drained(self, event: SendQueueDrained) -> None:
        if type(event.stream.owner) is Call:
            event.stream.owner.on_drained()

    def _on_ping(self, _event: PingReceived) -> None:
        if self._vitals is not None:
            self._vitals.on_ping()

    def _on_ping_answered(self, _event: PingAnswered) -> None:
        if self._vitals is not None:
            self._vitals.on_answer()

    def _on_goaway(self, _event: GoAwayReceived) -> None:
        """Finish what is open: the peer opens nothing more and closes when it is served."""

    def _on_failed(self, _event: ConnectionFailed) -> None:
        self._lose_calls()
        self.touch()

    # -- the end -----------------------------------------------------------------------------

    def drain(self) -> None:
        """Let the open calls finish, take no new ones, then close."""
        self.core.drain()
        if self._vitals is not None:
            self._vitals.on_drain()
        self.touch()

    def abandon(self, code: ErrorCode, reason: str) -> None:
        """End the connection for a rule of the server, telling the peer why."""
        self.core.abandon(code, reason)
        self._lose_calls()
        self.touch()

    def end_calls(self, details: str) -> None:
        """End every call with UNAVAILABLE."""
        for stream in list(self.core.streams.values()):
            if type(stream.owner) is Call:
                stream.owner.abandon(StatusCode.UNAVAILABLE, details)

    def abort(self, _reason: str) -> None:
        """Cut the connection without a word."""
        self.cut()

    def _lose_calls(self) -> None:
        self._parked = None
        for stream in list(self.core.streams.values()):
            if type(stream.owner) is Call:
                stream.owner.on_reset()

    # One table for all connections, and not one of bound methods for each.
    _on: ClassVar[Mapping[type, Callable[[Link, Any], None]]] = {
        WholeRequest: _on_whole,
        RequestReceived: _on_request,
        DataReceived: _on_data,
        TrailersReceived: _on_trailers,
        StreamReset: _on_stream_reset,
        SendQueueDrained: _on_drained,
        PingReceived: _on_ping,
        PingAnswered: _on_ping_answered,
        GoAwayReceived: _on_goaway,
        ConnectionFailed: _on_failed,
    }
