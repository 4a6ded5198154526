"""The one table from our errors to what callers see, and the interceptor that applies it.

A SluiceError becomes its gRPC code, its message, and a `google.rpc.Status` in the trailer
`grpc-status-details-bin` with an ErrorInfo (reason, domain `sluice`, metadata) and, for bad input,
a BadRequest that names the fields. Anything else that a handler raises is a bug: the caller sees
INTERNAL and a sentence that gives nothing away, the log gets the traceback, once.
"""

from __future__ import annotations

import contextlib
import inspect
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from chassis.errors import (
    AlreadyExists,
    Conflict,
    DeadlineExceeded,
    Exhausted,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    SluiceError,
    Unauthenticated,
    Unavailable,
)
from chassis.log import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

DOMAIN: Final = "sluice"
DETAILS_KEY: Final = "grpc-status-details-bin"
BUG_MESSAGE: Final = "internal error; the server's log has the details"

# gRPC clients accept 8 KiB of metadata by default. On the wire the details are base64, a third
# longer (5,464 bytes), and the message is percent-encoded: the bounds below leave 1.5 KiB to the
# trailers of gRPC itself and of the handler.
MAX_DETAILS_BYTES = 4096
MAX_MESSAGE_BYTES = 1024
# What of the details ErrorInfo's metadata may take; the violations get what is left.
MAX_METADATA_BYTES = 1024
# error_details.proto: reasons of at most 63 characters, keys of at most 64.
_MAX_REASON = 63
_MAX_KEY = 64
_MAX_TEXT_BYTES = 512
# The Any around a detail, and its type URL.
_ENVELOPE_BYTES = 64
# Method names are our own; a client cannot invent more. Bounded all the same.
_MAX_WRAPPED = 1024

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Code:
    """What one class of error is on each wire."""

    grpc: grpc.StatusCode
    http: int


TABLE: Final[dict[type[SluiceError], Code]] = {
    InvalidRequest: Code(grpc.StatusCode.INVALID_ARGUMENT, 400),
    Unauthenticated: Code(grpc.StatusCode.UNAUTHENTICATED, 401),
    PermissionDenied: Code(grpc.StatusCode.PERMISSION_DENIED, 403),
    NotFound: Code(grpc.StatusCode.NOT_FOUND, 404),
    AlreadyExists: Code(grpc.StatusCode.ALREADY_EXISTS, 409),
    Conflict: Code(grpc.StatusCode.ABORTED, 409),
    FailedPrecondition: Code(grpc.StatusCode.FAILED_PRECONDITION, 400),
    Exhausted: Code(grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
    Unavailable: Code(grpc.StatusCode.UNAVAILABLE, 503),
    DeadlineExceeded: Code(grpc.StatusCode.DEADLINE_EXCEEDED, 504),
    SluiceError: Code(grpc.StatusCode.INTERNAL, 500),
}


def code_of(error: SluiceError) -> Code:
    """Return the table's row for an error, or for its nearest ancestor."""
    return next(TABLE[cls] for cls in type(error).__mro__ if cls in TABLE)


def status_of(error: SluiceError) -> status_pb2.Status:
    """Build the google.rpc.Status of an error, small enough for the trailers it travels in."""
    status = status_pb2.Status(
        code=code_of(error).grpc.value[0], message=clip(error.message, MAX_MESSAGE_BYTES)
    )
    status.details.add().Pack(_info_of(error))
    if error.violations:
        room = MAX_DETAILS_BYTES - status.ByteSize() - _ENVELOPE_BYTES
        bad = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad.field_violations.add(
                field=clip(violation.field, _MAX_TEXT_BYTES),
                description=clip(violation.description, _MAX_TEXT_BYTES),
            )
            if bad.ByteSize() > room:
                del bad.field_violations[-1]
                break
        status.details.add().Pack(bad)
    return status


def clip(text: str, room: int) -> str:
    """Cut a text so that it takes at most `room` bytes when it is percent-encoded for a trailer.

    What UTF-8 cannot carry (the surrogates of file names) becomes a question mark.
    """
    clean = text[:room].encode("utf-8", "replace").decode()
    if 3 * len(clean.encode()) <= room:
        return clean
    for end, character in enumerate(clean):
        plain = " " <= character <= "~" and character != "%"
        room -= 1 if plain else 3 * len(character.encode())
        if room < 0:
            return clean[:end]
    return clean


def _info_of(error: SluiceError) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo(reason=error.reason[:_MAX_REASON], domain=DOMAIN)
    for name, value in error.metadata.items():
        key = clip(name, _MAX_KEY)
        info.metadata[key] = clip(value, _MAX_TEXT_BYTES)
        if info.ByteSize() > MAX_METADATA_BYTES:
            del info.metadata[key]
            break
    return info


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: SluiceError) -> NoReturn:
    """End a call with an error's code, message and details."""
    status = status_of(error)
    trailers = (
        *(context.trailing_metadata() or ()),
        (DETAILS_KEY, status.SerializeToString()),
    )
    await context.abort(code_of(error).grpc, status.message, trailers)


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """Turns what handlers raise into statuses; counts calls and failures as plain integers."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.failures: Counter[tuple[str, str]] = Counter()
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the method's handler, wrapped once and then remembered."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        known = self._wrapped.get(method)
        if known is not None and known[0] is handler:
            return known[1]
        wrapped = self._wrap(method, handler)
        if len(self._wrapped) < _MAX_WRAPPED:
            self._wrapped[method] = (handler, wrapped)
        return wrapped

    def _wrap(self, method: str, handler: Any) -> Any:
        for kind, make in _KINDS.items():
            behaviour = getattr(handler, kind)
            if behaviour is None:
                continue
            if inspect.isasyncgenfunction(behaviour):
                guarded: Any = self._guard_stream(method, behaviour)
            elif inspect.iscoroutinefunction(behaviour):
                guarded = self._guard_call(method, behaviour)
            else:
                return handler  # a blocking handler, which gRPC runs in a thread: none is ours
            return make(
                guarded,
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return handler

    def _guard_call(
        self, method: str, behaviour: Callable[[Any, Any], Awaitable[Any]]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        calls = self.calls

        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            calls[method] += 1
            try:
                return await behaviour(request, context)
            except Exception as error:  # noqa: BLE001  the edge: everything gets its status here
                await self._end(method, context, error)

        return call

    def _guard_stream(
        self, method: str, behaviour: Callable[[Any, Any], AsyncIterator[Any]]
    ) -> Callable[[Any, Any], AsyncIterator[Any]]:
        async def stream(
            request: Any, context: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncIterator[Any]:
            self.calls[method] += 1
            try:
                # Closed with us, so that a cancelled call runs the handler's `finally` now.
                async with contextlib.aclosing(behaviour(request, context)) as responses:  # type: ignore[type-var]
                    async for response in responses:
                        yield response
            except Exception as error:  # noqa: BLE001  the edge: everything gets its status here
                await self._end(method, context, error)

        return stream

    async def _end(
        self, method: str, context: grpc.aio.ServicerContext[Any, Any], error: Exception
    ) -> NoReturn:
        if isinstance(error, grpc.aio.AbortError):
            self.failures[method, context.code().name] += 1
            raise error
        if isinstance(error, SluiceError):
            self.failures[method, code_of(error).grpc.name] += 1
            await abort(context, error)
        self.failures[method, grpc.StatusCode.INTERNAL.name] += 1
        log.error("a handler failed: this is a bug", method=method, exc_info=error)
        await abort(context, SluiceError(BUG_MESSAGE))


_KINDS: Final[dict[str, Callable[..., Any]]] = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "unary_stream": grpc.unary_stream_rpc_method_handler,
    "stream_unary": grpc.stream_unary_rpc_method_handler,
    "stream_stream": grpc.stream_stream_rpc_method_handler,
}
