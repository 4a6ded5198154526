"""The contract of grpc.aio over both servers: kinds of calls, metadata, status."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc import aio

from tests.fastlane.contract import PATH, MiB, both, echo, failed, from_stream, to_stream, unary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


# -- the four kinds -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 100, 70_000, 3 * MiB])
async def test_a_message_comes_back_whole(start: Any, size: int) -> None:
    channel = await start(unary(echo))
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert await channel.unary_unary(PATH)(message, timeout=20) == message


async def test_many_calls_at_once_get_each_its_own_answer(start: Any) -> None:
    async def slow(request: bytes, _context: Any) -> bytes:
        if request[-1] % 3:
            await asyncio.sleep(0.001 * (request[-1] % 5))
        return request

    channel = await start(unary(slow))
    call = channel.unary_unary(PATH)
    questions = [f"{number}".encode() for number in range(300)]
    assert await asyncio.gather(*(call(one) for one in questions)) == questions


async def test_a_handler_may_yield_its_responses(start: Any) -> None:
    async def count(request: bytes, _context: Any) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield b"%d" % number

    channel = await start(to_stream(count))
    call = channel.unary_stream(PATH)(b"200")
    assert [one async for one in call] == [b"%d" % number for number in range(200)]


async def test_a_handler_may_write_its_responses(start: Any) -> None:
    async def count(request: bytes, context: Any) -> None:
        for number in range(int(request)):
            await context.write(b"%d" % number)

    channel = await start(to_stream(count))
    assert [one async for one in channel.unary_stream(PATH)(b"3")] == [b"0", b"1", b"2"]


async def test_a_stream_larger_than_every_window_arrives(start: Any) -> None:
    async def pour(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        for _ in range(60):
            yield bytes(100_000)

    channel = await start(to_stream(pour))
    sizes = [len(one) async for one in channel.unary_stream(PATH)(b"")]
    assert sizes == [100_000] * 60


async def test_requests_are_iterated(start: Any) -> None:
    async def add(requests: AsyncIterator[bytes], _context: Any) -> bytes:
        return b"%d" % sum([int(one) async for one in requests])

    channel = await start(from_stream(add))
    assert await channel.stream_unary(PATH)(iter([b"1", b"2", b"39"])) == b"42"


async def test_requests_are_read(start: Any) -> None:
    async def add(_requests: Any, context: Any) -> bytes:
        total = 0
        while (one := await context.read()) is not aio.EOF:
            total += len(one)
        return b"%d" % total

    channel = await start(from_stream(add))
    pieces = [bytes(90_000)] * 40
    assert await channel.stream_unary(PATH)(iter(pieces)) == b"3600000"


async def test_both_sides_take_turns(start: Any) -> None:
    async def answer(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async for one in requests:
            yield one.upper()

    channel = await start(both(answer))
    call = channel.stream_stream(PATH)()
    for word in (b"one", b"two"):
        await call.write(word)
        assert await call.read() == word.upper()
    await call.done_writing()
    assert await call.read() is aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_stream_may_end_before_its_requests_do(start: Any) -> None:
    async def first(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async for one in requests:
            yield one
            return

    channel = await start(both(first))
    call = channel.stream_stream(PATH)()
    await call.write(b"only")
    assert await call.read() == b"only"
    assert await call.read() is aio.EOF
    assert await call.code() is grpc.StatusCode.OK


# -- metadata and status --------------------------------------------------------------------------


async def test_metadata_goes_both_ways(start: Any) -> None:
    seen: dict[str, Any] = {}

    async def handler(_request: bytes, context: Any) -> bytes:
        for key, value in context.invocation_metadata():
            seen.setdefault(key, []).append(value)
        await context.send_initial_metadata((("first", "1"), ("first-bin", b"\x00\xff")))
        context.set_trailing_metadata((("last", "2"), ("last-bin", b"\x01"), ("last", "3")))
        return b""

    channel = await start(unary(handler))
    sent = (("plain", "a"), ("plain", "b"), ("raw-bin", bytes(range(256))), ("empty", ""))
    call = channel.unary_unary(PATH)(b"", metadata=sent)
    await call
    assert seen["plain"] == ["a", "b"]
    assert seen["raw-bin"] == [bytes(range(256))]
    assert seen["empty"] == [""]
    assert "user-agent" in seen
    assert not {"te", "content-type", "grpc-timeout", ":path"} & set(seen)
    initial = await call.initial_metadata()
    assert (initial["first"], initial["first-bin"]) == ("1", b"\x00\xff")
    trailing = await call.trailing_metadata()
    assert list(trailing.get_all("last")) == ["2", "3"]
    assert trailing["last-bin"] == b"\x01"


@pytest.mark.parametrize("details", ["plain", "50% off\r\n\t\u263a \U0001f608", ""])
async def test_an_abort_arrives_with_everything(start: Any, details: str) -> None:
    reached: list[bool] = []

    async def handler(_request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("old", "1"),))
        await context.abort(grpc.StatusCode.DATA_LOSS, details, (("why-bin", b"\x07"),))
        reached.append(True)
        return b""

    channel = await start(unary(handler))
    error = await failed(channel.unary_unary(PATH)(b""))
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, details)
    assert error.trailing_metadata()["why-bin"] == b"\x07"
    assert not reached


async def test_a_status_with_rich_details_arrives(start: Any) -> None:
    class Rich(grpc.Status):
        code = grpc.StatusCode.INVALID_ARGUMENT
        details = "bad"
        trailing_metadata = (("grpc-status-details-bin", b"\x08\x03"),)

    async def handler(_request: bytes, context: Any) -> bytes:
        await context.abort(Rich.code, Rich.details, Rich.trailing_metadata)
        return b""

    channel = await start(unary(handler))
    error = await failed(channel.unary_unary(PATH)(b""))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.trailing_metadata()["grpc-status-details-bin"] == b"\x08\x03"


async def test_a_code_may_be_set_instead_of_raised(start: Any) -> None:
    async def handler(_request: bytes, context: Any) -> bytes:
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("no such thing")
        assert context.details() == "no such thing"
        return b"ignored"

    channel = await start(unary(handler))
    error = await failed(channel.unary_unary(PATH)(b""))
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing")


async def test_an_exception_is_unknown_and_named(start: Any) -> None:
    async def handler(_request: bytes, _context: Any) -> bytes:
        raise KeyError("lost")

    channel = await start(unary(handler))
    error = await failed(channel.unary_unary(PATH)(b""))
    assert error.code() is grpc.StatusCode.UNKNOWN
    assert "KeyError" in (error.details() or "")


async def test_a_stream_keeps_what_came_before_its_error(start: Any) -> None:
    async def handler(_request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"1"
        await context.abort(grpc.StatusCode.ABORTED, "enough")

    channel = await start(to_stream(handler))
    call = channel.unary_stream(PATH)(b"")
    assert await call.read() == b"1"
    error = await failed(call.read())
    assert error.code() is grpc.StatusCode.ABORTED


@pytest.mark.parametrize("path", ["/test.Service/Other", "/other.Service/Method", "/x"])
async def test_what_nobody_serves_is_unimplemented(start: Any, path: str) -> None:
    channel = await start(unary(echo))
    error = await failed(channel.unary_unary(path)(b""))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_request_that_cannot_be_parsed_is_internal(start: Any) -> None:
    channel = await start(unary(echo, request_deserializer=int))
    error = await failed(channel.unary_unary(PATH)(b"x"))
    assert error.code() in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
