"""How a server starts, keeps its connections in order, and stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

import fastlane
from fastlane.h2 import frames
from fastlane.h2.frames import Setting
from tests.fastlane.attacker import Attacker
from tests.fastlane.calls import PATH, add, channel_to, code_of, echo
from tests.fastlane.client import REQUEST, Client
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastlane.grpc.call import Call

# -- its life -------------------------------------------------------------------------------------


async def test_a_server_starts_once(server: fastlane.Server) -> None:
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with pytest.raises(RuntimeError):
        await server.start()
    with pytest.raises(RuntimeError):
        server.add_insecure_port("127.0.0.1:0")


async def test_a_server_that_never_started_stops() -> None:
    server = fastlane.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.stop(None)
    assert await server.wait_for_termination(1) is False


async def test_waiting_for_the_end_has_its_own_patience(server: fastlane.Server) -> None:
    await server.start()
    assert await server.wait_for_termination(0.01) is True


async def test_a_second_stop_hurries_the_first(server: fastlane.Server) -> None:
    begun = asyncio.Event()

    async def handler(_request: bytes, _context: Any) -> bytes:
        begun.set()
        await asyncio.sleep(60)
        return b""

    add(server, grpc.unary_unary_rpc_method_handler(handler))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    calling = asyncio.ensure_future(code_of(f"127.0.0.1:{port}"))
    await begun.wait()
    slowly = asyncio.ensure_future(server.stop(60))
    await asyncio.sleep(0)
    await asyncio.wait_for(server.stop(0), 5)
    await asyncio.wait_for(slowly, 5)
    code, _details = await calling
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_an_old_connection_is_replaced_without_losing_a_call() -> None:
    peers: set[str] = set()

    async def handler(request: bytes, context: Any) -> bytes:
        peers.add(context.peer())
        return request

    server = fastlane.server(options=[("grpc.max_connection_age_ms", 100)])
    add(server, grpc.unary_unary_rpc_method_handler(handler))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with channel_to(port) as channel:
        method = channel.unary_unary(PATH)
        while len(peers) < 3:
            assert await method(b"x", timeout=10) == b"x"
            await asyncio.sleep(0.001)
    await server.stop(None)


@pytest.mark.parametrize("story", ["a head without a body", "a refusal", "no window"])
async def test_an_old_connection_is_closed_though_a_stream_is_stuck(story: str) -> None:
    options = [("grpc.max_connection_age_ms", 100), ("grpc.max_connection_age_grace_ms", 50)]
    server = fastlane.server(options=options)
    add(server, grpc.unary_unary_rpc_method_handler(echo))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    def is_closed() -> bool:
        with Attacker(port, patience=5) as peer:
            message = bytes(5)
            if story == "no window":
                peer.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: 0}))
                peer.send(peer.headers(1) + peer.data(1, message, end=True))
            elif story == "a refusal":
                peer.send(peer.headers(1, (*REQUEST[:4], (b"content-type", b"text/plain"))))
            else:
                for stream_id in (1, 3):  # the server knows the head of the third
                    peer.send(peer.headers(stream_id) + peer.data(stream_id, message, end=True))
                peer.send(peer.headers(5))
            peer.read()
            return peer.closed

    assert await asyncio.to_thread(is_closed)
    await server.stop(None)


async def test_an_idle_connection_is_closed_when_told_to() -> None:
    server = fastlane.server(options=[("grpc.max_connection_idle_ms", 50)])
    add(server, grpc.unary_unary_rpc_method_handler(echo))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with channel_to(port) as channel:
        assert await channel.unary_unary(PATH)(b"x") == b"x"
        engine = server._engine
        assert engine is not None
        await wait_until(lambda: not engine.links, description="the connection is closed")
        assert await channel.unary_unary(PATH)(b"x", wait_for_ready=True) == b"x"
    await server.stop(None)


async def test_a_silent_connection_does_not_hold_up_a_stop(server: fastlane.Server) -> None:
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    engine = server._engine
    assert engine is not None
    await wait_until(lambda: bool(engine.links), description="the connection is seen")
    await asyncio.wait_for(server.stop(60), 5)
    writer.close()


async def test_a_peer_that_does_not_answer_keepalive_is_cut() -> None:
    options = [("grpc.keepalive_time_ms", 50), ("grpc.keepalive_timeout_ms", 100)]
    server = fastlane.server(options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(frames.PREFACE + frames.settings({}))
    received = await asyncio.wait_for(reader.read(-1), 5)
    assert received.endswith(frames.ping(b"keepaliv", ack=False))
    writer.close()
    await server.stop(None)


async def test_unfinished_requests_of_a_connection_are_bounded() -> None:
    server = fastlane.server(options=[("fastlane.max_unfinished_bytes", 100_000)])
    add(server, grpc.unary_unary_rpc_method_handler(echo))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = Client()
    writer.write(frames.PREFACE + frames.settings({}))
    body = b"\x00" + (1_000_000).to_bytes(4, "big") + bytes(16_000)
    for stream_id in range(1, 17, 2):
        writer.write(client.headers(stream_id) + client.data(stream_id, body))
    received = b""
    while b"Requests of this connection" not in received:
        received += await asyncio.wait_for(reader.read(65_536), 5)
    writer.write(client.headers(17) + client.data(17, bytes(5), end=True))
    link = next(iter(server._engine.links)) if server._engine else None
    assert link is not None
    await wait_until(lambda: link.held.size <= 100_000, description="what was refused is let go")
    writer.close()
    await server.stop(None)


async def test_a_peer_that_pings_too_much_is_told(server: fastlane.Server) -> None:
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    ping = frames.ping(bytes(8), ack=False)
    writer.write(frames.PREFACE + frames.settings({}) + ping * 5)
    received = await asyncio.wait_for(reader.read(-1), 5)
    assert received.endswith(b"too_many_pings")
    writer.close()


def test_options_are_read_and_wrong_ones_named() -> None:
    with pytest.raises(ValueError, match=r"grpc\.keepalive_time_ms"):
        fastlane.server(options=[("grpc.keepalive_time_ms", "soon")])
    fastlane.server(options=[("grpc.unknown", "ignored")])


# -- its clocks -----------------------------------------------------------------------------------


def timed(timeout: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return the fields of a call with this grpc-timeout."""
    return (*REQUEST, (b"grpc-timeout", timeout))


def serve_as(server: fastlane.Server, way: str, calls: list[str]) -> None:
    """Serve PATH with a handler of this kind, which notes that it ran."""

    async def coroutine(_request: Any, _context: Any = None) -> bytes:
        calls.append(way)
        return b""

    async def stream(_request: Any, _context: Any) -> Any:
        calls.append(way)
        yield b""

    async def batch(asked: Sequence[Call]) -> list[bytes]:
        calls.append(way)
        return [b""] * len(asked)

    def deferred(asked: Call) -> None:
        calls.append(way)
        asked.respond(b"")

    if way == "raw":
        server.add_raw_unary(PATH, coroutine)
    elif way == "batch":
        server.add_batch_unary(PATH, batch)
    elif way == "deferred":
        server.add_deferred_unary(PATH, deferred)
    elif way == "unary":
        add(server, grpc.unary_unary_rpc_method_handler(coroutine))
    elif way == "to stream":
        add(server, grpc.unary_stream_rpc_method_handler(stream))
    else:
        add(server, grpc.stream_stream_rpc_method_handler(stream))


WAYS = ["unary", "to stream", "raw", "batch", "deferred"]


@pytest.mark.parametrize("way", [*WAYS, "both"])
async def test_a_call_without_time_left_reaches_no_handler(
    server: fastlane.Server, way: str
) -> None:
    calls: list[str] = []
    serve_as(server, way, calls)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    def ask() -> list[bytes | None]:
        with Attacker(port) as peer:
            found = []
            for stream_id in (1, 3, 5):  # the server knows the head of the later ones
                head = peer.headers(stream_id, timed(b"0n"))
                peer.send(head + peer.data(stream_id, bytes(5), end=True))
                found.append(peer.status(stream_id))
            return found

    assert await asyncio.to_thread(ask) == [b"4", b"4", b"4"]
    assert calls == []


@pytest.mark.parametrize("sent", [b"", bytes(3)])
@pytest.mark.parametrize("way", WAYS)
async def test_a_deadline_ends_a_call_whose_message_does_not_come(
    server: fastlane.Server, way: str, sent: bytes
) -> None:
    calls: list[str] = []
    serve_as(server, way, calls)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    def ask() -> list[bytes | None]:
        with Attacker(port) as peer:
            found = []
            for stream_id in (1, 3, 5):  # the server knows the head of the later ones
                peer.send(peer.headers(stream_id, timed(b"20m")))
                if sent:
                    peer.send(peer.data(stream_id, sent))
                found.append(peer.status(stream_id))
            return found

    assert await asyncio.to_thread(ask) == [b"4", b"4", b"4"]
    assert calls == []
