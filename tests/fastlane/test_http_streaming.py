"""Streams both ways: what one side does not take, the other side does not send."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from fastlane.http import Limits, Request, Response
from tests.fastlane.http_client import serving
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNK = bytes(32_768)
MEGABYTE = 1024 * 1024
# What sockets of both ends buffer on loopback, and then some.
KERNEL = 12 * MEGABYTE


async def test_a_slow_handler_holds_its_client_back() -> None:
    bodies = []
    goes_on = asyncio.Event()

    async def handler(request: Request) -> Response:
        bodies.append(request.body)
        await goes_on.wait()
        size = 0
        async for chunk in request.body:
            size += len(chunk)
        return Response(200, (), b"%d" % size)

    total = 32 * MEGABYTE
    async with serving(handler) as host:
        client = await host.connect()
        client.send(POST, b"Content-Length: %d\r\n\r\n" % total)
        sent = 0

        async def upload() -> None:
            nonlocal sent
            while sent < total:
                client.send(CHUNK)
                await client.writer.drain()
                sent += len(CHUNK)

        uploading = asyncio.ensure_future(upload())
        await wait_until(lambda: bool(bodies) and bodies[0].buffered > 0)
        stalled = -1
        while sent != stalled:
            stalled = sent
            for _ in range(200):
                await asyncio.sleep(0)
        assert sent < KERNEL
        assert bodies[0].buffered <= 256 * 1024
        goes_on.set()
        assert (await client.answer()).body == b"%d" % total
        await uploading


@pytest.mark.parametrize("length", [None, 32 * MEGABYTE])
async def test_a_slow_client_holds_its_handler_back(length: int | None) -> None:
    total = 32 * MEGABYTE
    made = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal made
        while made < total:
            made += len(CHUNK)
            yield CHUNK

    async def handler(_request: Request) -> Response:
        return Response(200, (), stream(), length=length)

    async with serving(handler) as host:
        client = await host.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await wait_until(lambda: made > 0)
        stalled = -1
        while made != stalled:
            stalled = made
            for _ in range(200):
                await asyncio.sleep(0)
        assert made < KERNEL
        assert len((await client.answer()).body) == total


async def test_an_echo_of_any_size_runs_in_little_memory() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, (), request.body)

    total = 16 * MEGABYTE
    async with serving(handler) as host:
        client = await host.connect()
        client.send(POST, b"Transfer-Encoding: chunked\r\n\r\n")

        async def upload() -> None:
            for _ in range(total // len(CHUNK)):
                client.send(b"%x\r\n" % len(CHUNK), CHUNK, b"\r\n")
                await client.writer.drain()
            client.send(b"0\r\n\r\n")

        uploading = asyncio.ensure_future(upload())
        answer = await client.answer()
        await uploading
    assert len(answer.body) == total


async def test_a_client_that_never_reads_is_given_up() -> None:
    closed = asyncio.Event()

    async def stream() -> AsyncIterator[bytes]:
        try:
            while True:
                yield CHUNK
        finally:
            closed.set()

    async def handler(_request: Request) -> Response:
        return Response(200, (), stream())

    async with serving(handler, Limits(write_seconds=0.1)) as host:
        client = await host.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(closed.wait(), 10)
        await wait_until(lambda: host.server.connections == 0)


async def test_a_client_that_pipelines_and_never_reads_is_not_served_on() -> None:
    async def handler(_request: Request) -> Response:
        return Response(200, (), CHUNK)

    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    async with serving(handler, Limits(write_seconds=0.2)) as host:
        client = await host.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(request * 20_000)
        await wait_until(lambda: host.server.counters.requests > 0)
        await wait_until(lambda: host.server.connections == 0, timeout=10)
        assert host.server.counters.requests * len(CHUNK) < KERNEL


async def test_what_is_pipelined_behind_a_slow_handler_is_not_read_without_end() -> None:
    goes_on = asyncio.Event()

    async def handler(_request: Request) -> Response:
        await goes_on.wait()
        return Response(204)

    batch = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 1_000
    async with serving(handler) as host:
        client = await host.connect()
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while True:
                client.send(batch)
                await client.writer.drain()
                sent += len(batch)

        flooding = asyncio.ensure_future(flood())
        await wait_until(lambda: host.server.counters.requests == 1)
        stalled = -1
        while sent != stalled and sent < 2 * KERNEL:
            stalled = sent
            for _ in range(200):
                await asyncio.sleep(0)
        assert sent < KERNEL
        flooding.cancel()
