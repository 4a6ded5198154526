"""Fixtures of the contract tests: the server under test, fastlane's or grpc.aio's."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc import aio

import fastlane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@pytest.fixture(params=["fastlane", "grpcio"])
def kind(request: pytest.FixtureRequest) -> str:
    """Return which server is under test."""
    return str(request.param)


@pytest.fixture
async def start(kind: str) -> AsyncIterator[Callable[..., Awaitable[aio.Channel]]]:
    """Return a function that starts a server with one handler and returns a channel to it."""
    make: Any = fastlane.server if kind == "fastlane" else aio.server
    async with contextlib.AsyncExitStack() as stack:

        async def begin(
            handler: Any, *, channel_options: Any = (), stop_early: bool = False, **options: Any
        ) -> aio.Channel:
            server = make(**options)
            methods = {"Method": handler}
            server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler("test.Service", methods),)
            )
            server.add_registered_method_handlers("test.Service", methods)
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            begin.server = server  # type: ignore[attr-defined]
            if not stop_early:
                stack.push_async_callback(server.stop, None)
            channel = aio.insecure_channel(f"127.0.0.1:{port}", options=channel_options)
            return await stack.enter_async_context(channel)

        yield begin


@pytest.fixture
async def pool() -> AsyncIterator[ThreadPoolExecutor]:
    """Return a pool; it is shut down without blocking the loop, which its threads wait for."""
    made = ThreadPoolExecutor(2)
    yield made
    await asyncio.to_thread(made.shutdown)


@pytest.fixture
async def server() -> AsyncIterator[fastlane.Server]:
    """Return a server that is not started."""
    made = fastlane.server()
    yield made
    await made.stop(None)
