"""The contract of grpc.aio over both servers: interceptors, threads, stopping."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc import aio

import fastlane
from tests.fastlane.contract import PATH, both, echo, failed, unary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from concurrent.futures import ThreadPoolExecutor


# -- interceptors ---------------------------------------------------------------------------------


class Noting(aio.ServerInterceptor):
    """Notes what it sees and passes it on."""

    def __init__(self, name: str, story: list[str]) -> None:
        self.name = name
        self.story = story

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Note the method."""
        self.story.append(f"{self.name} {handler_call_details.method}")
        return await continuation(handler_call_details)


class Denying(aio.ServerInterceptor):
    """Lets nobody in without a token."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Answer in the handler's place."""
        if ("token", "secret") in tuple(handler_call_details.invocation_metadata):
            return await continuation(handler_call_details)

        async def deny(_request: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "a token is needed")

        return unary(deny)


async def test_interceptors_see_calls_in_their_order(start: Any) -> None:
    story: list[str] = []
    interceptors = [Noting("outer", story), Noting("inner", story)]
    channel = await start(unary(echo), interceptors=interceptors)
    assert await channel.unary_unary(PATH)(b"x") == b"x"
    assert story == [f"outer {PATH}", f"inner {PATH}"]


async def test_an_interceptor_may_answer_instead(start: Any) -> None:
    channel = await start(unary(echo), interceptors=[Denying()])
    error = await failed(channel.unary_unary(PATH)(b"x"))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert await channel.unary_unary(PATH)(b"x", metadata=(("token", "secret"),)) == b"x"


async def test_an_interceptor_may_refuse_a_stream_that_goes_on(start: Any) -> None:
    async def answer(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async for one in requests:
            yield one

    channel = await start(both(answer), interceptors=[Denying()])
    call = channel.stream_stream(PATH)()
    await call.write(b"x")
    error = await failed(call.read())
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_an_intercepted_stream_flows(start: Any) -> None:
    async def answer(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async for one in requests:
            yield one

    channel = await start(both(answer), interceptors=[Noting("one", [])])
    call = channel.stream_stream(PATH)(iter([b"a", b"b"]))
    assert [one async for one in call] == [b"a", b"b"]


def test_what_is_no_interceptor_is_refused(kind: str) -> None:
    if kind == "fastlane":
        with pytest.raises(ValueError, match="interceptor"):
            fastlane.server(interceptors=[object()])  # type: ignore[list-item]


# -- plain functions ------------------------------------------------------------------------------


async def test_plain_functions_run_in_the_thread_pool(start: Any, pool: ThreadPoolExecutor) -> None:
    def handler(request: bytes, context: Any) -> bytes:
        if request == b"abort":
            context.abort(grpc.StatusCode.ABORTED, "from a thread")
        context.set_trailing_metadata((("thread", "yes"),))
        return request

    channel = await start(unary(handler), migration_thread_pool=pool)
    call = channel.unary_unary(PATH)(b"x")
    assert await call == b"x"
    assert (await call.trailing_metadata())["thread"] == "yes"
    error = await failed(channel.unary_unary(PATH)(b"abort"))
    assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "from a thread")


async def test_plain_streams_run_in_the_thread_pool(start: Any, pool: ThreadPoolExecutor) -> None:
    def handler(requests: Iterator[bytes], _context: Any) -> Iterator[bytes]:
        for one in requests:
            yield one * 2

    channel = await start(both(handler), migration_thread_pool=pool)
    call = channel.stream_stream(PATH)(iter([b"a", b"b"]))
    assert [one async for one in call] == [b"aa", b"bb"]


# -- stopping -------------------------------------------------------------------------------------


async def test_a_graceful_stop_lets_calls_finish(start: Any) -> None:
    begun = asyncio.Event()
    release = asyncio.Event()

    async def handler(request: bytes, _context: Any) -> bytes:
        begun.set()
        await release.wait()
        return request

    channel = await start(unary(handler), stop_early=True)
    call = channel.unary_unary(PATH)(b"x")
    await begun.wait()
    stopping = asyncio.ensure_future(_server(start).stop(10))
    await asyncio.sleep(0)
    release.set()
    assert await call == b"x"
    await asyncio.wait_for(stopping, 5)


async def test_a_stop_without_grace_ends_calls(start: Any) -> None:
    begun = asyncio.Event()
    left = asyncio.Event()

    async def handler(_request: bytes, _context: Any) -> bytes:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            left.set()
        return b""

    channel = await start(unary(handler), stop_early=True)
    call = channel.unary_unary(PATH)(b"x")
    await begun.wait()
    await asyncio.wait_for(_server(start).stop(None), 5)
    assert left.is_set()
    error = await failed(call)
    assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


def _server(start: Any) -> Any:
    return start.server
