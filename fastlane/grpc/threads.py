# ruff: noqa: D102 - the methods of BlockingContext are those of grpc.ServicerContext
"""Plain functions as handlers: they run in the server's thread pool, as in grpc.aio.

Such a handler sees a context whose methods block; each hops to the event loop and waits.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc import aio

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from fastlane.grpc.call import Call
    from fastlane.grpc.context import Context
    from fastlane.grpc.routes import Route

_END: Final = object()


async def unary(call: Call, route: Route, request: Any, context: Context) -> Any:
    """Run a handler of one request and one response."""
    blocking = BlockingContext(context, call.engine.loop)
    return await _in_thread(call, route.handler, request, blocking)


async def stream_unary(call: Call, route: Route, context: Context) -> Any:
    """Run a handler of many requests and one response."""
    blocking = BlockingContext(context, call.engine.loop)
    return await _in_thread(call, route.handler, blocking.requests(), blocking)


async def streaming(call: Call, route: Route, argument: Any, context: Context) -> None:
    """Run a handler that yields many responses."""
    blocking = BlockingContext(context, call.engine.loop)
    if route.streams_requests:
        argument = blocking.requests()
    responses = iter(await _in_thread(call, route.handler, argument, blocking))
    while (response := await _in_thread(call, next, responses, _END)) is not _END:
        await context.write(response)


async def _in_thread(call: Call, function: Callable[..., Any], *arguments: Any) -> Any:
    engine = call.engine
    return await engine.loop.run_in_executor(engine.thread_pool, function, *arguments)


class BlockingContext(grpc.ServicerContext):
    """`grpc.ServicerContext` over the asynchronous one, for handlers in threads."""

    def __init__(self, context: Context, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop

    def requests(self) -> Iterator[Any]:
        """Iterate the requests of a stream."""
        while (request := self._wait(self._context.read())) is not aio.EOF:
            yield request

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        self._wait(self._context.send_initial_metadata(initial_metadata))

    def abort(self, code: grpc.StatusCode, details: str) -> Any:
        self._wait(self._context.abort(code, details))

    def abort_with_status(self, status: grpc.Status) -> Any:
        self._wait(self._context.abort_with_status(status))

    def _wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    # What follows only reads or notes something, which is safe from any thread.

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self._context.set_trailing_metadata(trailing_metadata)

    def set_code(self, code: grpc.StatusCode) -> None:
        self._context.set_code(code)

    def set_details(self, details: str) -> None:
        self._context.set_details(details)

    def set_compression(self, compression: grpc.Compression) -> None:
        self._context.set_compression(compression)

    def disable_next_message_compression(self) -> None:
        self._context.disable_next_message_compression()

    def invocation_metadata(self) -> Any:
        return self._context.invocation_metadata()

    def peer(self) -> str:
        return self._context.peer()

    def peer_identities(self) -> Any:
        return self._context.peer_identities()

    def peer_identity_key(self) -> Any:
        return self._context.peer_identity_key()

    def auth_context(self) -> Any:
        return self._context.auth_context()

    def time_remaining(self) -> Any:
        return self._context.time_remaining()

    def trailing_metadata(self) -> Any:
        return self._context.trailing_metadata()

    def code(self) -> Any:
        return self._context.code()

    def details(self) -> Any:
        return self._context.details()

    def is_active(self) -> bool:
        return not self._context.done()

    def cancel(self) -> bool:
        self._loop.call_soon_threadsafe(self._context.cancel)
        return True

    def add_callback(self, callback: Callable[[], None]) -> bool:
        if self._context.done():
            return False
        self._loop.call_soon_threadsafe(
            self._context.add_done_callback, lambda _context: callback()
        )
        return True
