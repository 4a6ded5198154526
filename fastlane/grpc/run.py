"""Running handlers: the four kinds of method, raw and batch handlers, interceptors.

What a handler raises comes back through the crew to `on_error`, which makes it a status.
"""

from __future__ import annotations

import asyncio
import logging
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from grpc import aio

from fastlane.crew import deliver
from fastlane.grpc import threads
from fastlane.grpc.call import TOO_MANY
from fastlane.grpc.context import Context
from fastlane.grpc.plan import not_found
from fastlane.grpc.routes import HandlerCallDetails, Kind, Route, route_of
from fastlane.grpc.status import Abort, StatusCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    import grpc

    from fastlane.grpc.call import Call

    Start = Callable[[Call], Coroutine[Any, Any, Any] | None]
    Serve = Callable[[Call, Route], Coroutine[Any, Any, None]]
    Continuation = Callable[[Any], Awaitable[Any]]

_log: Final = logging.getLogger("fastlane.grpc")


def starter(route: Route | None) -> Start:
    """Return what starts the calls of a route, or of one that is not known yet."""
    if route is None:
        return _find_and_serve
    if route.kind is Kind.BATCH:
        raise LookupError("batch handlers are started by their batch")
    if route.kind is Kind.RAW:
        return _raw(route)
    serve = _SERVE[route.kind]
    return lambda call: serve(call, route)


async def _unary(call: Call, route: Route) -> None:
    context = Context(call, route)
    message = call.message
    if not call.plan.is_simple:
        only = await _only_message(call)
        if only is None:
            return
        message = only
    request = message if route.deserialize is None else route.parse(message)
    if route.is_blocking:
        response = await threads.unary(call, route, request, context)
    else:
        response = await route.handler(request, context)
    if call.over:
        return
    if context.is_plain:
        call.respond(response if route.serialize is None else _pack(route, response))
    else:
        _finish(call, route, context, response)


async def _stream_unary(call: Call, route: Route) -> None:
    context = Context(call, route)
    if route.is_blocking:
        response = await threads.stream_unary(call, route, context)
    else:
        response = await route.handler(_Requests(context), context)
    if not call.over:
        _finish(call, route, context, response)


async def _streaming(call: Call, route: Route) -> None:
    context = Context(call, route)
    argument: Any = _Requests(context)
    if route.kind is Kind.SERVER_STREAM:
        message = call.message
        if not call.plan.is_simple:
            only = await _only_message(call)
            if only is None:
                return
            message = only
        argument = route.parse(message)
    if route.is_blocking:
        await threads.streaming(call, route, argument, context)
    else:
        await _write_all(route, context, argument)
    if not call.over:
        call.finish(context.final_code, context.details(), context.trailing_metadata())


async def _write_all(route: Route, context: Context, argument: Any) -> None:
    """Run a handler that yields its responses, or writes them to its context."""
    responses = route.handler(argument, context)
    if not hasattr(responses, "__aiter__"):
        await responses
        return
    try:
        async for response in responses:
            await context.write(response)
    finally:
        close = getattr(responses, "aclose", None)
        if close is not None:
            await close()


def _raw(route: Route) -> Start:
    handler = route.handler

    def start(call: Call) -> Coroutine[Any, Any, Any] | None:
        answer = handler(call.message)
        if type(answer) is bytes:
            call.respond(answer)
            return None
        if type(answer) is CoroutineType:
            return answer  # the crew runs it and hands the result to the call
        if isinstance(answer, asyncio.Future):
            # No task waits for it: the callback answers, for 1 us instead of 3.
            call.waits = answer
            call.on_wait()
            answer.add_done_callback(lambda future: _on_resolved(call, future))
            return None
        return _await(answer)

    return start


async def _await(answer: Awaitable[Any]) -> Any:
    return await answer


def _on_resolved(call: Call, future: asyncio.Future[bytes]) -> None:
    call.waits = None
    if future.cancelled():
        on_error(call, asyncio.CancelledError())
        return
    error = future.exception()
    if error is None:
        deliver(call, future.result())
    else:
        on_error(call, error)


async def _find_and_serve(call: Call) -> Any:
    """Ask the interceptors and generic handlers for a route, then serve by it."""
    handler = await _intercept(call)
    if handler is None:
        raise not_found(call.plan.path)
    route = handler if isinstance(handler, Route) else route_of(handler)
    if route.is_stream and not call.is_stream:
        call.note_stream()  # interceptors may answer with either kind
        if call.engine.is_over_limit(of_streams=True):
            raise Abort(StatusCode.RESOURCE_EXHAUSTED, TOO_MANY)
    if route.kind in {Kind.RAW, Kind.BATCH}:
        message = await _only_message(call)
        if message is None:
            return None
        call.message = message
    if route.kind is Kind.BATCH:
        call.engine.batches.add(call, route)
        return None
    rest = starter(route)(call)
    return None if rest is None else await rest


async def _intercept(call: Call) -> Any:
    """Return what the chain of interceptors makes of the handler."""
    router = call.engine.router

    async def find(details: grpc.HandlerCallDetails) -> Any:
        return router.find_handler(details)

    continuation: Continuation = find
    for interceptor in reversed(call.engine.interceptors):
        continuation = _bound(interceptor, continuation)
    return await continuation(HandlerCallDetails(call.plan.path, call.plan.metadata))


def _bound(interceptor: Any, continuation: Continuation) -> Continuation:
    async def step(details: Any) -> Any:
        return await interceptor.intercept_service(continuation, details)

    return step


async def _only_message(call: Call) -> bytes | None:
    """Read the one message of a call that was not known to be unary; None if it is over.

    The end is not waited for: an interceptor may answer a stream with a unary handler, and the
    caller of a stream need not end it before it is answered.
    """
    message = await call.read()
    if message is None:
        call.fail(Abort(StatusCode.INTERNAL, "no request message"))
    elif call.has_message:
        call.fail(Abort(StatusCode.INTERNAL, "more than one request message"))
        return None
    return message


def _pack(route: Route, response: Any) -> bytes:
    try:
        raw = response if route.serialize is None else route.serialize(response)
    except Exception as error:  # a handler that returns the wrong type shows here
        _log.error("cannot serialize %r", type(response), exc_info=error)
        raise Abort(StatusCode.INTERNAL, "Failed to serialize response!") from error
    if not isinstance(raw, bytes):
        raise Abort(StatusCode.INTERNAL, "Failed to serialize response!")
    return raw


def _finish(call: Call, route: Route, context: Context, response: Any) -> None:
    """End a call with one response: the message goes only with OK, as in grpc.aio."""
    code = context.final_code
    if code is StatusCode.OK:
        call.send(_pack(route, response), plain=context.sends_plain)
    call.finish(code, context.details(), context.trailing_metadata())


def on_error(call: Call, error: BaseException) -> None:
    """Turn what a handler raised into a status; only what is to end the process goes on."""
    if isinstance(error, Abort):
        call.fail(error)
    elif isinstance(error, asyncio.CancelledError):
        # Usually the call is over, which is why; otherwise the handler cancelled itself.
        call.finish(StatusCode.CANCELLED, "the handler was cancelled")
    elif not isinstance(error, Exception):
        raise error
    elif not isinstance(error, aio.AbortError) and not call.over:
        _on_unexpected(call, error)
    # After an AbortError context.abort has sent the status.


def _on_unexpected(call: Call, error: Exception) -> None:
    details = f"Unexpected {type(error)}: {error}"
    context = call.context
    if context is not None and context.final_code is not StatusCode.OK:
        # Set before it raised, as the methods of generated base classes do.
        metadata = context.trailing_metadata()
        call.finish(context.final_code, context.details() or details, metadata)
        return
    _log.error("unexpected %s in %s", type(error).__name__, call.plan.path, exc_info=error)
    call.finish(StatusCode.UNKNOWN, details)


class _Requests:
    """The requests of a stream, as the handler iterates them."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def __aiter__(self) -> _Requests:
        return self

    async def __anext__(self) -> Any:
        request = await self._context.read()
        if request is aio.EOF:
            raise StopAsyncIteration
        return request


_SERVE: Final[dict[Kind, Serve]] = {
    Kind.UNARY: _unary,
    Kind.CLIENT_STREAM: _stream_unary,
    Kind.SERVER_STREAM: _streaming,
    Kind.BIDI: _streaming,
}
