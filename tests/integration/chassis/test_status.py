"""Errors as large as can be, through a real server to a client with default limits."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import status_pb2  # type: ignore[import-untyped]

from chassis.errors import Unavailable
from chassis.health import Health
from chassis.listen import Listen
from chassis.server import Service, make_server


def add_wordy(_: Any, server: grpc.aio.Server) -> None:
    async def fail(letter: bytes, _: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        much = letter.decode() * 10_000
        raise Unavailable(much, metadata={f"{number}": much for number in range(100)})

    handlers: dict[str, Any] = {"Fail": grpc.unary_unary_rpc_method_handler(fail)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("wordy", handlers),))


@pytest.mark.parametrize("letter", ["x", "%", "🌊"], ids=ascii)
async def test_the_largest_error_arrives_with_its_code_and_details(letter: str) -> None:
    service = Service(add=add_wordy, servicer=None, name="wordy")
    server = make_server([service], health=Health(checks={}))
    port = await server.start(Listen(variable="GRPC_PORT"))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_unary("/wordy/Fail")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await method(letter.encode())
    await server.stop(0)
    error = raised.value
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    sent = dict(error.trailing_metadata())["grpc-status-details-bin"]
    # Clients of the rich error model refuse details whose message is not the call's.
    assert status_pb2.Status.FromString(sent).message == error.details()
    assert str(error.details()).startswith(letter)
