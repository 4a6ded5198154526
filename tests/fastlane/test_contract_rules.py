"""The contract of grpc.aio over both servers: time, limits, compression."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.fastlane.contract import PATH, both, echo, failed, from_stream, to_stream, unary
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


# -- time and cancellation ------------------------------------------------------------------------


async def test_a_deadline_ends_the_call_and_its_handler(start: Any) -> None:
    story: list[object] = []

    async def handler(_request: bytes, context: Any) -> bytes:
        story.append(context.time_remaining())
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            story.append("cancelled")
            raise
        return b""

    channel = await start(unary(handler))
    error = await failed(channel.unary_unary(PATH)(b"", timeout=0.2))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await wait_until(lambda: len(story) == 2, description="the handler is cancelled")
    assert isinstance(story[0], float)
    assert 0 < story[0] <= 0.25  # clients round a timeout up


async def test_without_a_deadline_no_time_remains_to_tell(start: Any) -> None:
    async def handler(_request: bytes, context: Any) -> bytes:
        return repr(context.time_remaining()).encode()

    channel = await start(unary(handler))
    assert await channel.unary_unary(PATH)(b"") == b"None"


async def test_a_cancelled_call_cancels_its_handler_and_tells_the_context(
    start: Any, kind: str
) -> None:
    begun = asyncio.Event()
    story: list[object] = []

    async def handler(_request: bytes, context: Any) -> bytes:
        context.add_done_callback(lambda done: story.append(done.cancelled()))
        begun.set()
        try:
            await asyncio.sleep(30)
        finally:
            story.append("left")
        return b""

    channel = await start(unary(handler))
    call = channel.unary_unary(PATH)(b"")
    await begun.wait()
    call.cancel()
    await wait_until(lambda: len(story) == 2, description="the handler leaves")
    assert "left" in story
    # grpcio calls back before it has noted that the call was cancelled.
    assert (True in story) or kind == "grpcio"
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_handler_may_wait_under_a_timeout_of_its_own(start: Any) -> None:
    async def handler(_request: bytes, _context: Any) -> bytes:
        try:
            async with asyncio.timeout(0.02):
                await asyncio.sleep(30)
        except TimeoutError:
            return b"timed out"
        return b""

    channel = await start(unary(handler))
    assert await channel.unary_unary(PATH)(b"") == b"timed out"


async def test_a_handler_may_open_a_task_group(start: Any) -> None:
    async def handler(_request: bytes, _context: Any) -> bytes:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, number)) for number in range(3)]
        return bytes(task.result() for task in tasks)

    channel = await start(unary(handler))
    assert await channel.unary_unary(PATH)(b"") == b"\x00\x01\x02"


async def test_every_call_has_a_context_of_its_own(start: Any) -> None:
    variable: contextvars.ContextVar[bytes] = contextvars.ContextVar("variable", default=b"unset")

    async def handler(request: bytes, _context: Any) -> bytes:
        before = variable.get()
        variable.set(request)
        if request == b"slow":
            await asyncio.sleep(0.01)
            return before + variable.get()
        return before

    channel = await start(unary(handler))
    call = channel.unary_unary(PATH)
    answers = await asyncio.gather(call(b"slow"), *(call(b"fast") for _ in range(20)))
    assert answers == [b"unsetslow", *[b"unset"] * 20]


# -- limits ---------------------------------------------------------------------------------------


async def test_a_request_over_the_limit_is_refused(start: Any) -> None:
    options = [("grpc.max_receive_message_length", 1_000)]
    channel = await start(unary(echo), options=options)
    error = await failed(channel.unary_unary(PATH)(bytes(1_001)))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(await channel.unary_unary(PATH)(bytes(1_000))) == 1_000


async def test_a_response_over_the_limit_is_refused(start: Any) -> None:
    async def large(_request: bytes, _context: Any) -> bytes:
        return bytes(1_001)

    channel = await start(unary(large), options=[("grpc.max_send_message_length", 1_000)])
    error = await failed(channel.unary_unary(PATH)(b""))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_calls_over_the_limit_are_refused(start: Any) -> None:
    release = asyncio.Event()

    async def handler(request: bytes, _context: Any) -> bytes:
        await release.wait()
        return request

    channel = await start(unary(handler), maximum_concurrent_rpcs=2)
    calls = [channel.unary_unary(PATH)(b"") for _ in range(5)]
    await wait_until(lambda: sum(one.done() for one in calls) == 3, description="three refused")
    refused = [one for one in calls if one.done()]
    assert {await one.code() for one in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    release.set()
    assert [await one for one in calls if one not in refused] == [b"", b""]


# -- compression ----------------------------------------------------------------------------------

ALGORITHMS = [grpc.Compression.Gzip, grpc.Compression.Deflate, grpc.Compression.NoCompression]


TEXT = b"again and " * 5_000


async def repeat_one(request: bytes, _context: Any) -> AsyncIterator[bytes]:
    """Answer one request three times."""
    for _ in range(3):
        yield request


async def join(requests: AsyncIterator[bytes], _context: Any) -> bytes:
    """Answer all requests with one."""
    return b"".join([one async for one in requests])


async def repeat(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    """Answer each request with itself."""
    async for one in requests:
        yield one


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_one_request_and_many_answers_go_compressed(
    start: Any, algorithm: grpc.Compression
) -> None:
    channel = await start(to_stream(repeat_one), compression=algorithm)
    call = channel.unary_stream(PATH)(TEXT, compression=algorithm)
    assert [one async for one in call] == [TEXT] * 3


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_many_requests_and_one_answer_go_compressed(
    start: Any, algorithm: grpc.Compression
) -> None:
    channel = await start(from_stream(join), compression=algorithm)
    call = channel.stream_unary(PATH)(iter([TEXT] * 3), compression=algorithm)
    assert await call == TEXT * 3


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_both_streams_go_compressed(start: Any, algorithm: grpc.Compression) -> None:
    channel = await start(both(repeat), compression=algorithm)
    call = channel.stream_stream(PATH)(iter([TEXT] * 3), compression=algorithm)
    assert [one async for one in call] == [TEXT] * 3


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_unary_call_speaks_compressed(start: Any, algorithm: grpc.Compression) -> None:
    async def handler(request: bytes, context: Any) -> bytes:
        context.set_compression(algorithm)
        return request

    channel = await start(unary(handler))
    assert await channel.unary_unary(PATH)(TEXT, compression=algorithm) == TEXT
