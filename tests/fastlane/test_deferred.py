"""Deferred handlers: called at once, answered whenever they like, and past interceptors."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc import aio

import fastlane
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from fastlane.grpc.call import Call

PATH = "/test.Service/Method"


class Refuses(aio.ServerInterceptor):
    """Lets nothing through."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        raise fastlane.Abort(grpc.StatusCode.PERMISSION_DENIED)


class Waiting:
    """A server's port, and the calls that have come to it."""

    def __init__(self, port: int) -> None:
        self.target = f"127.0.0.1:{port}"
        self.calls: list[Call] = []


@pytest.fixture
async def waiting() -> AsyncIterator[Waiting]:
    server = fastlane.server(interceptors=[Refuses()])
    found = Waiting(server.add_insecure_port("127.0.0.1:0"))
    server.add_deferred_unary(PATH, found.calls.append)
    await server.start()
    yield found
    await server.stop(None)


def ask(channel: Any, message: bytes, **options: Any) -> asyncio.Future[bytes]:
    answer: asyncio.Future[bytes] = asyncio.ensure_future(
        channel.unary_unary(PATH)(message, **options)
    )
    return answer


async def test_answers_come_in_any_order_and_past_interceptors(waiting: Waiting) -> None:
    async with aio.insecure_channel(waiting.target) as channel:
        asked = [ask(channel, b"%d" % n, timeout=10) for n in range(3)]
        await wait_until(lambda: len(waiting.calls) == 3, description="all calls have come")
        for call in reversed(waiting.calls):
            call.respond(call.message * 2)
        assert await asyncio.gather(*asked) == [b"00", b"11", b"22"]


async def test_a_deferred_call_may_fail(waiting: Waiting) -> None:
    async with aio.insecure_channel(waiting.target) as channel:
        asked = ask(channel, b"x", timeout=10)
        await wait_until(lambda: waiting.calls, description="the call has come")
        trailers = [("reason", "because")]
        waiting.calls[0].fail(fastlane.Abort(grpc.StatusCode.ABORTED, "no", trailers))
        with pytest.raises(aio.AioRpcError) as caught:
            await asked
        assert caught.value.code() is grpc.StatusCode.ABORTED
        assert ("reason", "because") in tuple(caught.value.trailing_metadata() or ())


async def test_a_deadline_ends_a_call_that_is_not_answered(waiting: Waiting) -> None:
    async with aio.insecure_channel(waiting.target) as channel:
        asked = ask(channel, b"x", timeout=0.1)
        await wait_until(
            lambda: waiting.calls and waiting.calls[0].over, description="its time is up"
        )
        waiting.calls[0].respond(b"too late")
        with pytest.raises(aio.AioRpcError) as caught:
            await asked
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_what_a_handler_raises_is_the_status_of_its_call() -> None:
    def broken(_call: Call) -> None:
        raise ZeroDivisionError("a bug")

    server = fastlane.server()
    server.add_deferred_unary(PATH, broken)
    where = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with aio.insecure_channel(where) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await ask(channel, b"x", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    await server.stop(None)


async def test_a_message_that_comes_in_pieces_is_whole(waiting: Waiting) -> None:
    async with aio.insecure_channel(waiting.target) as channel:
        asked = ask(channel, b"y" * 200_000, timeout=10)
        await wait_until(lambda: waiting.calls, description="the call has come")
        assert waiting.calls[0].message == b"y" * 200_000
        waiting.calls[0].respond(b"")
        assert await asked == b""
