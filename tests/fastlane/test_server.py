"""What fastlane adds to grpc.aio, and what only its own server can show."""

from __future__ import annotations

import asyncio
import gzip
import socket
from typing import TYPE_CHECKING, Any

import grpc
import hpack
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_health.v1._async import HealthServicer  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc  # type: ignore[import-untyped]

import fastlane
from fastlane.h2 import frames
from tests.fastlane.attacker import Attacker
from tests.fastlane.calls import PATH, add, call, channel_to, code_of, echo
from tests.fastlane.client import REQUEST, Client, read_frames
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fastlane.grpc.call import Call

# -- raw and batch handlers -----------------------------------------------------------------------


async def raw_coroutine(message: bytes) -> bytes:
    """Answer after a wait."""
    await asyncio.sleep(0)
    return message.upper()


async def raw_at_once(message: bytes) -> bytes:
    """Answer without one."""
    return message.upper()


def raw_future(message: bytes) -> asyncio.Future[bytes]:
    """Answer by a future."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes] = loop.create_future()
    loop.call_soon(future.set_result, message.upper())
    return future


def raw_value(message: bytes) -> bytes:
    """Answer directly."""
    return message.upper()


@pytest.mark.parametrize("handler", [raw_coroutine, raw_at_once, raw_future, raw_value])
async def test_a_raw_handler_may_answer_in_any_way(server: fastlane.Server, handler: Any) -> None:
    server.add_raw_unary(PATH, handler)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    assert await call(f"127.0.0.1:{port}", b"abc") == b"ABC"


@pytest.mark.parametrize("error", [fastlane.Abort(grpc.StatusCode.ABORTED, "no"), ValueError("v")])
@pytest.mark.parametrize("way", ["raises", "future", "coroutine"])
async def test_a_raw_handler_may_fail_in_any_way(
    server: fastlane.Server, error: Exception, way: str
) -> None:
    def handler(_message: bytes) -> Any:
        if way == "raises":
            raise error
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        future.set_exception(error)
        return future

    async def coroutine(message: bytes) -> bytes:
        return bytes(await handler(message))

    server.add_raw_unary(PATH, coroutine if way == "coroutine" else handler)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    code, details = await code_of(f"127.0.0.1:{port}")
    expected = grpc.StatusCode.ABORTED if details == "no" else grpc.StatusCode.UNKNOWN
    assert code is expected


@pytest.mark.parametrize("way", ["value", "coroutine", "late coroutine", "future", "batch"])
async def test_an_answer_of_a_wrong_type_is_an_error_of_its_call_alone(
    server: fastlane.Server, way: str
) -> None:
    async def coroutine(_message: bytes) -> Any:
        if way == "late coroutine":
            await asyncio.sleep(0)
        return "text"

    def handler(message: bytes) -> Any:
        if way == "value":
            return 7
        return asyncio.ensure_future(coroutine(message)) if way == "future" else coroutine(message)

    async def batch(calls: Sequence[Call]) -> Any:
        return ["text" for _ in calls]

    if way == "batch":
        server.add_batch_unary(PATH, batch)
    else:
        server.add_raw_unary(PATH, handler)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    for _ in range(2):
        code, _details = await code_of(f"127.0.0.1:{port}")
        assert code is grpc.StatusCode.UNKNOWN


async def test_a_raw_handlers_deadline_cancels_its_future(server: fastlane.Server) -> None:
    futures: list[asyncio.Future[bytes]] = []

    def handler(_message: bytes) -> asyncio.Future[bytes]:
        futures.append(asyncio.get_running_loop().create_future())
        return futures[-1]

    server.add_raw_unary(PATH, handler)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with channel_to(port) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary(PATH)(b"", timeout=0.1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await wait_until(futures[0].cancelled, description="the future is cancelled")


async def test_a_batch_handler_gets_calls_together(server: fastlane.Server) -> None:
    sizes: list[int] = []

    async def handler(calls: Sequence[Call]) -> list[bytes | fastlane.Abort]:
        sizes.append(len(calls))
        await asyncio.sleep(0.01)
        return [
            fastlane.Abort(grpc.StatusCode.ABORTED, "odd") if one.message == b"7" else one.message
            for one in calls
        ]

    server.add_batch_unary(PATH, handler)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with channel_to(port) as channel:
        calls = [channel.unary_unary(PATH)(b"%d" % number) for number in range(50)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(sizes) == 50
    assert max(sizes) > 1
    assert isinstance(answers.pop(7), aio.AioRpcError)
    assert answers == [b"%d" % number for number in range(50) if number != 7]


async def test_a_batch_that_fails_fails_all_its_calls(server: fastlane.Server) -> None:
    async def handler(_calls: Sequence[Call]) -> list[bytes]:
        return []

    server.add_batch_unary(PATH, handler)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    code, _details = await code_of(f"127.0.0.1:{port}")
    assert code is grpc.StatusCode.UNKNOWN


async def test_interceptors_see_raw_and_batch_calls() -> None:
    seen: list[str] = []

    class Noting(aio.ServerInterceptor):
        async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
            seen.append(handler_call_details.method)
            return await continuation(handler_call_details)

    async def batch(calls: Sequence[Call]) -> list[bytes | fastlane.Abort]:
        return [one.message for one in calls]

    server = fastlane.server(interceptors=[Noting()])
    server.add_raw_unary(PATH, raw_future)
    server.add_batch_unary("/test.Service/Batch", batch)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with channel_to(port) as channel:
        assert await channel.unary_unary(PATH)(b"a") == b"A"
        assert await channel.unary_unary("/test.Service/Batch")(b"b") == b"b"
    await server.stop(None)
    assert seen == [PATH, "/test.Service/Batch"]


# -- compression on the wire ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "encoding"), [(b"identity,gzip", b"gzip"), (b"identity", None), (b"", None)]
)
async def test_answers_are_compressed_for_those_who_accept_it(
    accepted: bytes, encoding: bytes | None
) -> None:
    server = fastlane.server(compression=grpc.Compression.Gzip)
    add(server, grpc.unary_unary_rpc_method_handler(echo))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = Client()
    fields = (*REQUEST, (b"grpc-accept-encoding", accepted))
    writer.write(frames.PREFACE + frames.settings({}) + client.headers(1, fields))
    writer.write(client.data(1, b"\x00\x00\x00\x04\x00" + bytes(1_024), end=True))
    received = b""
    while b"grpc-status" not in received:
        received += await asyncio.wait_for(reader.read(65_536), 5)
    found = [one for one in read_frames(received) if one.stream_id == 1]
    head = dict(hpack.Decoder().decode(found[0].payload, raw=True))
    assert head.get(b"grpc-encoding") == encoding
    assert found[1].payload[0] == (1 if encoding else 0)
    assert (len(found[1].payload) < 1_000) is bool(encoding)
    writer.close()
    await server.stop(None)


# -- generated servicers --------------------------------------------------------------------------


async def test_health_and_reflection_run_unchanged(server: fastlane.Server) -> None:
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    reflection.enable_server_reflection(("grpc.health.v1.Health",), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with channel_to(port) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await health.enter_graceful_shutdown()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        asked: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        question = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = asked.ServerReflectionInfo(iter([question]))
        (answer,) = [one async for one in answers]
        names = {one.name for one in answer.list_services_response.service}
        assert "grpc.health.v1.Health" in names


# -- where it listens -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "target", "peer"),
    [
        ("127.0.0.1:0", "127.0.0.1:{port}", "ipv4:127.0.0.1:"),
        ("localhost:0", "127.0.0.1:{port}", "ipv4:127.0.0.1:"),
        ("ipv4:127.0.0.1:0", "127.0.0.1:{port}", "ipv4:"),
    ],
)
async def test_it_listens_where_it_is_told(
    server: fastlane.Server, address: str, target: str, peer: str
) -> None:
    async def handler(_request: bytes, context: Any) -> bytes:
        return str(context.peer()).encode()

    add(server, grpc.unary_unary_rpc_method_handler(handler))
    port = server.add_insecure_port(address)
    await server.start()
    assert (await call(target.format(port=port))).decode().startswith(peer)


@pytest.mark.parametrize("form", ["unix:{path}", "unix://{path}"])
async def test_it_listens_on_a_unix_socket(
    server: fastlane.Server, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))  # left behind by a killed server
    add(server, grpc.unary_unary_rpc_method_handler(echo))
    assert server.add_insecure_port(form.format(path=path)) == 1
    await server.start()
    assert await call(f"unix:{path}") == b"x"


async def test_a_used_port_is_one_sentence_that_says_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = fastlane.server(options=[("grpc.so_reuseport", 0)])
        with pytest.raises(RuntimeError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*in use"):
            server.add_insecure_port(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "127.0.0.1:http", "[::1"])
def test_a_wrong_address_is_refused(address: str) -> None:
    with pytest.raises(RuntimeError, match="cannot listen"):
        fastlane.server().add_insecure_port(address)


async def test_two_servers_share_a_port() -> None:
    first, second = fastlane.server(), fastlane.server()
    port = first.add_insecure_port("127.0.0.1:0")
    assert second.add_insecure_port(f"127.0.0.1:{port}") == port
    await first.stop(None)
    await second.stop(None)


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_stream_that_cannot_be_parsed_is_internal_and_no_bug(
    server: fastlane.Server, blocking: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(requests: Any, _context: Any) -> Any:
        async for request in requests:
            yield request

    def plain(requests: Any, _context: Any) -> Any:
        yield from requests

    chosen: Any = plain if blocking else handler
    parse = health_pb2.HealthCheckRequest.FromString
    add(server, grpc.stream_stream_rpc_method_handler(chosen, request_deserializer=parse))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with channel_to(port) as channel:
        asked = channel.stream_stream(PATH)(iter([b"\xff" * 9]), timeout=10)
        with pytest.raises(aio.AioRpcError) as caught:
            await asked.read()
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == "Exception deserializing request!"
    assert not caplog.records


async def test_a_second_message_of_a_unary_call_is_not_inflated(server: fastlane.Server) -> None:
    add(server, grpc.unary_unary_rpc_method_handler(echo))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    bomb = gzip.compress(bytes(6_000_000))  # inflated, it would be over the limit

    def ask() -> bytes | None:
        with Attacker(port) as peer:
            peer.send(peer.headers(1, (*REQUEST, (b"grpc-encoding", b"gzip"))))
            peer.send(peer.data(1, bytes(5) + b"\x01" + len(bomb).to_bytes(4, "big") + bomb))
            return peer.status(1)

    assert await asyncio.to_thread(ask) == b"13"
