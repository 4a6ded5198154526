"""Which handler serves a path: what generated code, generic handlers and fast paths register."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc

from fastlane.grpc.status import Abort, StatusCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from fastlane.grpc.call import Call
    from fastlane.grpc.metadata import Metadata

    RawHandler = Callable[[bytes], Awaitable[bytes] | bytes]
    BatchHandler = Callable[[Sequence[Call]], Awaitable[Sequence[bytes | Abort]]]
    DeferredHandler = Callable[[Call], None]


class Kind(Enum):
    """How a method is called."""

    UNARY = "unary_unary"
    SERVER_STREAM = "unary_stream"
    CLIENT_STREAM = "stream_unary"
    BIDI = "stream_stream"
    RAW = "raw"
    BATCH = "batch"
    DEFERRED = "deferred"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Route:
    """A handler and how to call it; a route is itself, whatever another looks like."""

    kind: Kind
    handler: Callable[..., Any]
    deserialize: Callable[[bytes], Any] | None = None
    serialize: Callable[[Any], bytes | None] | None = None
    is_blocking: bool = False
    """A plain function: it runs in the thread pool."""

    @property
    def streams_requests(self) -> bool:
        """Whether the handler starts before the request has ended."""
        return self.kind in {Kind.CLIENT_STREAM, Kind.BIDI}

    @property
    def is_stream(self) -> bool:
        """Whether either side sends more than one message."""
        return self.kind in {Kind.CLIENT_STREAM, Kind.SERVER_STREAM, Kind.BIDI}

    def parse(self, message: bytes) -> Any:
        """Return the request that `message` holds; Abort when it holds none."""
        if self.deserialize is None:
            return message
        try:
            return self.deserialize(message)
        except Exception as error:  # protobuf raises its own DecodeError, others anything
            raise Abort(StatusCode.INTERNAL, "Exception deserializing request!") from error


class HandlerCallDetails(NamedTuple):
    """What generic handlers and interceptors are told (grpc.HandlerCallDetails)."""

    method: str
    invocation_metadata: Metadata


grpc.HandlerCallDetails.register(HandlerCallDetails)

# Handlers that generated code makes look only at the path, so their answer can be kept.
_BY_PATH: Final = type(grpc.method_handlers_generic_handler("fastlane", {}))


class Router:
    """Everything that was registered."""

    def __init__(self) -> None:
        self._handlers: dict[str, Route | grpc.RpcMethodHandler[Any, Any]] = {}
        self._generic: list[grpc.GenericRpcHandler] = []
        self._asks_by_path = True
        self._found: dict[str, Route] = {}
        """Routes by paths that were asked for and exist: at most as many as there are methods."""

    def add(self, path: str, route: Route) -> None:
        """Register a route for exactly one path."""
        self._handlers[path] = route

    def add_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Register what `add_registered_method_handlers` is given."""
        for method, handler in handlers.items():
            self._handlers[f"/{service}/{method}"] = handler

    def add_generic(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Register generic handlers; earlier ones are asked first."""
        for handler in handlers:
            self._generic.append(handler)
            self._asks_by_path = self._asks_by_path and type(handler) is _BY_PATH

    def deferred(self, path: str) -> Route | None:
        """Return the route of a deferred method: it is served past interceptors."""
        route = self._handlers.get(path)
        return route if isinstance(route, Route) and route.kind is Kind.DEFERRED else None

    def is_static(self, path: str) -> bool:
        """Whether the answer for `path` depends on the path alone."""
        return self._asks_by_path or path in self._handlers

    def find(self, details: Any) -> Route | None:
        """Return the route of a call, or None if nobody serves it."""
        path = details.method
        route = self._found.get(path)
        if route is None:
            handler = self.find_handler(details)
            if handler is None:
                return None
            route = handler if isinstance(handler, Route) else route_of(handler)
            if self.is_static(path):
                self._found[path] = route
        return route

    def find_handler(self, details: Any) -> Any:
        """Return what was registered for a call: what interceptors are given. None if nothing."""
        handler = self._handlers.get(details.method)
        if handler is not None:
            return handler
        for generic in self._generic:
            handler = generic.service(details)
            if handler is not None:
                return handler
        return None


def route_of(handler: grpc.RpcMethodHandler[Any, Any]) -> Route:
    """Return the route that a grpc.RpcMethodHandler describes."""
    kind = {
        (False, False): Kind.UNARY,
        (False, True): Kind.SERVER_STREAM,
        (True, False): Kind.CLIENT_STREAM,
        (True, True): Kind.BIDI,
    }[bool(handler.request_streaming), bool(handler.response_streaming)]
    function = getattr(handler, kind.value)
    return Route(
        kind=kind,
        handler=function,
        deserialize=handler.request_deserializer,
        serialize=handler.response_serializer,
        is_blocking=not is_asynchronous(function),
    )


def is_asynchronous(function: Any) -> bool:
    """Whether a handler is a coroutine or an asynchronous generator function."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return True
    call = getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    if inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call):
        return True
    inner = getattr(function, "func", None)  # functools.partial
    return inner is not None and is_asynchronous(inner)
