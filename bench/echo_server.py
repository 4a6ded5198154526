"""An echo server for the transport bench: `python -m bench.echo_server fastlane|grpcio`.

The methods are registered as generated code does it, with protobuf messages both ways.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

import grpc
import uvloop
from google.protobuf.wrappers_pb2 import BytesValue, Int32Value
from grpc import aio

import fastlane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from fastlane.grpc.call import Call


async def echo(request: BytesValue, _context: Any) -> BytesValue:
    """Answer with the question."""
    return BytesValue(value=request.value)


async def count(request: Int32Value, _context: Any) -> AsyncIterator[BytesValue]:
    """Answer with as many messages as asked for."""
    message = BytesValue(value=bytes(32))
    for _ in range(request.value):
        yield message


async def add(requests: AsyncIterator[BytesValue], _context: Any) -> Int32Value:
    """Answer with how many messages came."""
    total = 0
    async for _request in requests:
        total += 1
    return Int32Value(value=total)


async def raw_echo(message: bytes) -> bytes:
    """Answer with the question, bytes to bytes."""
    return message


async def batch_echo(calls: Sequence[Call]) -> list[bytes | fastlane.Abort]:
    """Answer every call with its question."""
    return [call.message for call in calls]


def deferred_echo(call: Call) -> None:
    """Answer with the question, by callback."""
    call.respond(call.message)


def make_server(kind: str) -> Any:
    """Return the server of this kind with its methods."""
    server: Any = fastlane.server() if kind == "fastlane" else aio.server()
    out = BytesValue.SerializeToString
    methods: dict[str, Any] = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo, BytesValue.FromString, out),
        "Count": grpc.unary_stream_rpc_method_handler(count, Int32Value.FromString, out),
        "Add": grpc.stream_unary_rpc_method_handler(
            add, BytesValue.FromString, Int32Value.SerializeToString
        ),
    }
    handler = grpc.method_handlers_generic_handler("bench.Echo", methods)
    server.add_generic_rpc_handlers((handler,))
    server.add_registered_method_handlers("bench.Echo", methods)
    if kind == "fastlane":
        server.add_raw_unary("/bench.Echo/Raw", raw_echo)
        server.add_batch_unary("/bench.Echo/Batch", batch_echo)
        server.add_deferred_unary("/bench.Echo/Deferred", deferred_echo)
    return server


async def serve(kind: str) -> None:
    """Serve until SIGTERM."""
    server = make_server(kind)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    await done.wait()
    await server.stop(1.0)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
