"""What a server holds for its peers is bounded, and nobody is locked out by those who wait."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from grpc import aio

import fastlane
from fastlane.h2 import ErrorCode, frames
from fastlane.h2.frames import FrameType, Setting
from tests.fastlane.attacker import UNARY, Attacker
from tests.fastlane.calls import PATH, add, call, channel_to, code_of, echo
from tests.fastlane.client import REQUEST, Client, Frame, read_frames
from tests.fastlane.processes import interop_server, server_on
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GREETING: Final = frames.PREFACE + frames.settings({}) + frames.SETTINGS_ACK
CLOSED: Final = frames.PREFACE + frames.settings({Setting.INITIAL_WINDOW_SIZE: 0})
SOON: Final = 200


class Peer(Client):
    """A raw client on the test's loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__()
        self.writer = writer
        self._reader = reader
        self._seen = b""

    async def until(self, kind: int, stream_id: int) -> Frame:
        """Read until a frame of this type comes on this stream."""
        while True:
            whole, at = self._seen, 0
            while len(whole) - at >= 9:
                end = at + 9 + int.from_bytes(whole[at : at + 3], "big")
                if end > len(whole):
                    break
                (frame,) = read_frames(whole[at:end])
                at = end
                if frame.kind == kind and frame.stream_id == stream_id:
                    self._seen = whole[at:]
                    return frame
            self._seen = whole[at:]
            data = await asyncio.wait_for(self._reader.read(65_536), 10)
            assert data, "the server has closed"
            self._seen += data


@contextlib.asynccontextmanager
async def peer_of(port: int, greeting: bytes = GREETING) -> AsyncIterator[Peer]:
    """Connect and greet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(greeting)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def serving(handler: Any, **arguments: Any) -> AsyncIterator[tuple[fastlane.Server, int]]:
    """Serve PATH."""
    server = fastlane.server(**arguments)
    add(server, handler)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield server, port
    await server.stop(None)


def engine_of(server: fastlane.Server) -> Any:
    """Return what the server's connections share."""
    return server._engine


# -- connections ---------------------------------------------------------------------------------


async def test_a_connection_too_many_is_told_and_closed() -> None:
    options = [("fastlane.max_connections", 2)]
    handler: Any = grpc.unary_unary_rpc_method_handler(echo)
    async with serving(handler, options=options) as (server, port), peer_of(port) as first:
        first.writer.write(first.headers(1) + first.data(1, bytes(5), end=True))
        await first.until(FrameType.HEADERS, 1)
        async with peer_of(port) as second:
            second.writer.write(frames.ping(bytes(8), ack=False))
            await second.until(FrameType.PING, 0)
            async with peer_of(port, b"") as third:
                farewell = await third.until(FrameType.GOAWAY, 0)
                assert farewell.code == ErrorCode.ENHANCE_YOUR_CALM
                assert b"too many connections" in farewell.payload
        await wait_until(lambda: engine_of(server).door.inside < 2, description="it has left")
        assert await call(f"127.0.0.1:{port}") == b"x"


def test_a_process_out_of_descriptors_serves_those_it_has() -> None:
    with interop_server(descriptors=160) as port, contextlib.ExitStack() as stack:
        first = stack.enter_context(Attacker(port))
        for _ in range(400):
            one = socket.create_connection(("127.0.0.1", port), timeout=5)
            stack.callback(one.close)
        process = server_on(port)
        before = sum(process.cpu_times()[:2])
        for stream_id in range(1, 21, 2):
            first.send(first.headers(stream_id, UNARY) + first.data(stream_id, bytes(5), end=True))
            assert first.status(stream_id) == b"0"
        first.patience = 0.5
        first.read()  # nothing comes: half a second in which an accept loop would spin
        assert sum(process.cpu_times()[:2]) - before < 0.25
        assert process.num_fds() < 160 - 32
        stack.pop_all().close()
        # The first tries may come before the server has heard that the others have left.
        assert any(is_served(port) for _ in range(100))


def is_served(port: int) -> bool:
    """Whether a fresh connection gets an answer."""
    with Attacker(port) as fresh:
        fresh.send(fresh.headers(1, UNARY) + fresh.data(1, bytes(5), end=True))
        return fresh.status(1) == b"0"


# -- answers that nobody reads -----------------------------------------------------------------------


async def test_unread_answers_are_bounded_and_calls_wait_for_them() -> None:
    asked = 0

    async def large(_request: bytes, _context: Any) -> bytes:
        nonlocal asked
        asked += 1
        return bytes(100_000)

    options = [("fastlane.max_unsent_bytes", 1_000_000)]
    handler: Any = grpc.unary_unary_rpc_method_handler(large)
    async with serving(handler, options=options) as (server, port), peer_of(port, CLOSED) as peer:
        for stream_id in range(1, 201, 2):
            peer.writer.write(peer.headers(stream_id) + peer.data(stream_id, bytes(5), end=True))
            if stream_id == 11:
                peer.writer.write(frames.ping(bytes(8), ack=False))
                await peer.until(FrameType.PING, 0)
        peer.writer.write(frames.ping(b"all sent", ack=False))
        await peer.until(FrameType.PING, 0)
        (link,) = engine_of(server).links
        assert link.core.unsent <= 1_000_000
        assert asked < 50, "the others wait"
        wide = frames.settings({Setting.INITIAL_WINDOW_SIZE: 200_000})
        peer.writer.write(wide + frames.window_update(0, 2**30))
        await peer.until(FrameType.DATA, 199)
        assert asked == 100


async def test_a_peer_that_lets_its_answers_wait_for_too_long_is_ended() -> None:
    async def large(_request: bytes, _context: Any) -> bytes:
        return bytes(100_000)

    options = [("fastlane.max_unsent_bytes", 200_000), ("grpc.keepalive_timeout_ms", SOON)]
    handler: Any = grpc.unary_unary_rpc_method_handler(large)
    async with serving(handler, options=options) as (_, port), peer_of(port, CLOSED) as peer:
        peer.writer.write(peer.headers(1) + peer.data(1, bytes(5), end=True))
        farewell = await peer.until(FrameType.GOAWAY, 0)
        assert farewell.code == ErrorCode.ENHANCE_YOUR_CALM


async def test_what_nobody_reads_is_bounded_over_all_connections() -> None:
    async def answer(request: bytes, _context: Any) -> bytes:
        return request or bytes(100_000)

    options = [("fastlane.max_unread_bytes", 1_000_000), ("grpc.keepalive_timeout_ms", 2_000)]
    handler: Any = grpc.unary_unary_rpc_method_handler(answer)
    async with (
        serving(handler, options=options) as (server, port),
        contextlib.AsyncExitStack() as s,
    ):
        peers = [await s.enter_async_context(peer_of(port, CLOSED)) for _ in range(20)]
        for stream_id in (1, 3):
            for peer in peers:
                peer.writer.write(
                    peer.headers(stream_id) + peer.data(stream_id, bytes(5), end=True)
                )
                peer.writer.write(frames.ping(bytes(8), ack=False))
                await peer.until(FrameType.PING, 0)
        engine = engine_of(server)
        assert 800_000 < engine.unread <= 1_000_000
        assert await call(f"127.0.0.1:{port}") == b"x", "small calls go on"
        refused = await code_of(f"127.0.0.1:{port}", b"")
        assert refused[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        await wait_until(lambda: not engine.unread, description="who reads nothing is ended")
        assert len(await call(f"127.0.0.1:{port}", b"")) == 100_000


# -- streams that wait -------------------------------------------------------------------------------


async def test_streams_that_wait_do_not_lock_callers_out() -> None:
    gate = asyncio.Event()

    async def watch(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        await gate.wait()

    server = fastlane.server(maximum_concurrent_rpcs=3)
    methods: dict[str, Any] = {
        "Watch": grpc.unary_stream_rpc_method_handler(watch),
        "Method": grpc.unary_unary_rpc_method_handler(echo),
    }
    server.add_registered_method_handlers("test.Service", methods)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel: Any
    async with channel_to(port) as channel:
        watchers = [channel.unary_stream("/test.Service/Watch")(b"") for _ in range(3)]
        for one in watchers:
            assert await one.read() == b"first"
        assert await channel.unary_unary(PATH)(b"x", timeout=5) == b"x"
        with pytest.raises(aio.AioRpcError, match="Concurrent RPC limit exceeded"):
            await channel.unary_stream("/test.Service/Watch")(b"").read()
        gate.set()
        for one in watchers:
            assert await one.read() == aio.EOF
        engine = engine_of(server)
        await wait_until(lambda: engine.streams == engine.calls == 0, description="all are over")
    await server.stop(None)


async def test_a_stream_that_an_interceptor_puts_in_place_counts_among_the_streams() -> None:
    gate = asyncio.Event()

    async def watch(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        await gate.wait()

    watching: Any = grpc.unary_stream_rpc_method_handler(watch)

    class Instead(aio.ServerInterceptor):
        """Answers calls that say so with a stream."""

        async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
            """Look at the metadata."""
            if ("watch", "me") in tuple(handler_call_details.invocation_metadata):
                return watching
            return await continuation(handler_call_details)

    handler: Any = grpc.unary_unary_rpc_method_handler(echo)
    arguments = {"interceptors": [Instead()], "maximum_concurrent_rpcs": 2}
    async with serving(handler, **arguments) as (server, port):
        channel: Any
        async with channel_to(port) as channel:
            method = channel.unary_stream(PATH)
            watchers = [method(b"", metadata=(("watch", "me"),)) for _ in range(2)]
            for one in watchers:
                assert await one.read() == b"first"
            assert await channel.unary_unary(PATH)(b"x", timeout=5) == b"x"
            with pytest.raises(aio.AioRpcError, match="Concurrent RPC limit exceeded"):
                await method(b"", metadata=(("watch", "me"),)).read()
            assert await channel.unary_unary(PATH)(b"y", timeout=5) == b"y"
            gate.set()
            for one in watchers:
                assert await one.read() == aio.EOF
            engine = engine_of(server)
            await wait_until(lambda: engine.streams == engine.calls == 0, description="all over")


# -- what gets no further ------------------------------------------------------------------------------


async def test_a_request_that_does_not_arrive_is_ended() -> None:
    options = [("fastlane.max_arrival_ms", SOON)]
    handler: Any = grpc.unary_unary_rpc_method_handler(echo)
    async with serving(handler, options=options) as (server, port), peer_of(port) as peer:
        head = peer.encoder.encode([(*field, True) for field in REQUEST])
        whole = frames.frame(FrameType.HEADERS, frames.END_HEADERS, 1, head)
        peer.writer.write(whole + peer.data(1, bytes(5), end=True))
        await peer.until(FrameType.HEADERS, 1)
        for stream_id, body in ((3, b""), (5, b"\x00\x00\x00\x00\x09half")):
            known = frames.frame(FrameType.HEADERS, frames.END_HEADERS, stream_id, head)
            peer.writer.write(known + (peer.data(stream_id, body) if body else b""))
        reset = await peer.until(FrameType.RST_STREAM, 3)
        assert reset.code == ErrorCode.CANCEL
        await wait_until(lambda: not engine_of(server).calls, description="the other is over")
        (link,) = engine_of(server).links
        assert not link.core.streams


async def test_a_stream_that_is_idle_between_messages_is_left_alone() -> None:
    async def collect(requests: Any, _context: Any) -> bytes:
        return b"".join([one async for one in requests])

    options = [("fastlane.max_arrival_ms", 20)]
    handler: Any = grpc.stream_unary_rpc_method_handler(collect)
    async with serving(handler, options=options) as (server, port):
        channel: Any
        async with channel_to(port) as channel:
            stream = channel.stream_unary(PATH)()
            await stream.write(b"a")
            stalls = engine_of(server).stalls
            looks = 0

            def count(*_: Any) -> None:
                nonlocal looks
                looks += 1
                begin()

            begin, stalls._begin = stalls._begin, count
            await wait_until(lambda: looks > 4, description="it was looked at")
            await stream.write(b"b")
            await stream.done_writing()
            assert await stream == b"ab"


async def test_the_rest_of_an_answer_is_dropped_after_its_deadline() -> None:
    options = [("fastlane.max_arrival_ms", SOON)]

    async def large(_request: bytes, _context: Any) -> bytes:
        return bytes(1_000)

    handler: Any = grpc.unary_unary_rpc_method_handler(large)
    async with serving(handler, options=options) as (server, port), peer_of(port, CLOSED) as peer:
        timed = (*REQUEST, (b"grpc-timeout", b"100m"))
        peer.writer.write(peer.headers(1, timed) + peer.data(1, bytes(5), end=True))
        await peer.until(FrameType.RST_STREAM, 1)
        (link,) = engine_of(server).links
        assert not link.core.unsent


async def test_what_all_connections_hold_is_bounded() -> None:
    options = [("fastlane.max_held_bytes", 100_000)]
    handler: Any = grpc.unary_unary_rpc_method_handler(echo)
    async with (
        serving(handler, options=options) as (server, port),
        contextlib.AsyncExitStack() as s,
    ):
        peers = [await s.enter_async_context(peer_of(port)) for _ in range(4)]
        body = b"\x00" + (1_000_000).to_bytes(4, "big") + bytes(16_000)
        for stream_id in (1, 3):
            for peer in peers:
                peer.writer.write(peer.headers(stream_id) + peer.data(stream_id, body))
                peer.writer.write(frames.ping(bytes(8), ack=False))
                await peer.until(FrameType.PING, 0)
        held = engine_of(server).held
        assert 80_000 < held.size <= 100_000
        assert await call(f"127.0.0.1:{port}") == b"x", "small calls go on"
        for peer in peers:
            peer.writer.close()
        await wait_until(lambda: not held.size, description="all of it is let go")
