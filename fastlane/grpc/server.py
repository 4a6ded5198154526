"""The server: a drop-in for `grpc.aio.Server`, with a faster way in for those who want it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from grpc import aio

from fastlane.grpc import run
from fastlane.grpc.batches import Batches
from fastlane.grpc.credentials import context_of
from fastlane.grpc.engine import Engine
from fastlane.grpc.link import Link
from fastlane.grpc.messages import encoding_name
from fastlane.grpc.options import read_options
from fastlane.grpc.routes import Kind, Route, Router
from fastlane.h2 import Connection, ErrorCode, greeting
from fastlane.listen import bind
from fastlane.listener import Listener

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Iterable, Mapping, Sequence
    from concurrent.futures import Executor

    import grpc

    from fastlane.grpc.routes import BatchHandler, DeferredHandler, RawHandler


# Seconds for the statuses and GOAWAYs of a stop to reach their peers.
_LAST_WORDS: Final = 1.0


class Server(aio.Server):
    """A gRPC server on asyncio. Make it with `server`, within a running loop or before one."""

    def __init__(
        self,
        *,
        thread_pool: Executor | None,
        handlers: Sequence[grpc.GenericRpcHandler],
        interceptors: Sequence[aio.ServerInterceptor],
        options: Sequence[tuple[str, object]] | None,
        max_calls: int | None,
        compression: grpc.Compression | None,
    ) -> None:
        for one in interceptors:
            _check_interceptor(one)
        self._options = read_options(options)
        self._router = Router()
        self._router.add_generic(handlers)
        self._interceptors = tuple(interceptors)
        self._compression = encoding_name(compression)
        self._max_calls = max_calls
        self._thread_pool = thread_pool
        self._ports: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        self._engine: Engine | None = None
        self._listeners: list[Listener] = []
        self._stopping: asyncio.Task[None] | None = None
        self._stop_at = float("inf")
        self._hurry = asyncio.Event()
        self._terminated = asyncio.Event()

    # -- what it serves ----------------------------------------------------------------------

    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]
    ) -> None:
        """Register generic handlers, before `start`."""
        self._router.add_generic(generic_rpc_handlers)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Register a service's methods by name, before `start`; they win over generic handlers."""
        self._router.add_handlers(service_name, method_handlers)

    def add_raw_unary(self, path: str, handler: RawHandler) -> None:
        """Serve `/package.Service/Method` with a function from bytes to bytes.

        The function returns the response or an awaitable of it; a future costs less than a
        coroutine. It raises `Abort` for a status that is not OK. Interceptors see the call as a
        handler of neither kind, and context there is none.
        """
        self._router.add(path, Route(kind=Kind.RAW, handler=handler))

    def add_batch_unary(self, path: str, handler: BatchHandler) -> None:
        """Serve `/package.Service/Method` with one await for all calls of a loop turn.

        The function gets the calls (`message`, `metadata`, `deadline`) and returns as many
        answers: bytes, or an `Abort`.
        """
        self._router.add(path, Route(kind=Kind.BATCH, handler=handler))

    def add_deferred_unary(self, path: str, handler: DeferredHandler) -> None:
        """Serve `/package.Service/Method` with a function that answers when it likes.

        The function gets the call (`message`, `metadata`, `deadline`), returns nothing, and later
        calls `call.respond(bytes)` or `call.fail(Abort(...))`, once. Neither a task nor a future
        stands between: it is the cheapest way to serve, and interceptors do not see such calls.
        """
        self._router.add(path, Route(kind=Kind.DEFERRED, handler=handler))

    # -- where -------------------------------------------------------------------------------

    def add_insecure_port(self, address: str) -> int:
        """Bind an address without TLS; returns the port. RuntimeError says why it cannot be had."""
        return self._add_port(address, None)

    def add_secure_port(self, address: str, server_credentials: Any) -> int:
        """Bind an address with TLS, by credentials of `fastlane.ssl_server_credentials`."""
        return self._add_port(address, context_of(server_credentials))

    def _add_port(self, address: str, context: ssl.SSLContext | None) -> int:
        if self._engine is not None:
            raise RuntimeError("ports are added before start()")
        sockets, port = bind(address, reuse_port=self._options.reuse_port)
        self._ports.extend((one, context) for one in sockets)
        return port

    # -- its life ----------------------------------------------------------------------------

    async def start(self) -> None:
        """Accept connections."""
        if self._engine is not None:
            raise RuntimeError("the server was started before")
        loop = asyncio.get_running_loop()
        engine = self._engine = Engine(
            loop=loop,
            options=self._options,
            router=self._router,
            interceptors=self._interceptors,
            compression=self._compression,
            max_calls=self._max_calls,
            thread_pool=self._thread_pool,
            batches=Batches(),
            starter=run.starter,
            on_error=run.on_error,
        )
        for one, context in self._ports:
            listener = Listener(
                loop,
                one,
                partial(Link, engine, is_greeted=context is None),
                engine.door,
                tls=context,
                handshake_seconds=self._options.keepalive_timeout,
                first_words=greeting(self._options.limits),
                last_words=_full_house(),
            )
            listener.start()
            self._listeners.append(listener)

    async def stop(self, grace: float | None) -> None:
        """Take no new calls; give those open `grace` seconds, or none; then end them.

        May be called again, with less grace, to hurry.
        """
        if self._engine is None:
            self._close_ports()
            self._terminated.set()
            return
        loop = self._engine.loop
        self._stop_at = min(self._stop_at, loop.time() + (grace or 0.0))
        self._hurry.set()
        if self._stopping is None:
            self._stopping = loop.create_task(self._stop(self._engine))
        await asyncio.shield(self._stopping)

    async def wait_for_termination(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - grpc's signature
        """Wait until the server has stopped; returns whether `timeout` (seconds) came first."""
        try:
            await asyncio.wait_for(self._terminated.wait(), timeout)
        except TimeoutError:
            return True
        return False

    async def _stop(self, engine: Engine) -> None:
        for one in self._listeners:
            one.close()
        engine.stopping = True
        await self._drain(engine)
        for link in list(engine.links):
            link.end_calls("the server is stopping")
            link.core.finish_drain()
            link.flush()
        engine.crew.cancel()
        await engine.crew.wait_idle()
        if engine.links:
            # The last words are on their way; a peer that does not take them is not waited for.
            await asyncio.wait([link.closed for link in engine.links], timeout=_LAST_WORDS)
        for link in list(engine.links):
            link.abort("the server is stopping")
        engine.deadlines.close()
        engine.stalls.close()
        self._terminated.set()

    async def _drain(self, engine: Engine) -> None:
        """Wait for the open calls, as long as the grace lasts.

        Connections without calls are left a moment to answer the drain; a peer that is silent or
        half gone must not make a stop last as long as its grace.
        """
        for link in list(engine.links):
            link.drain()
        patience = engine.loop.time() + _LAST_WORDS
        while engine.links:
            now = engine.loop.time()
            left = min(self._stop_at - now, _LAST_WORDS)
            if left <= 0 or (not engine.calls and now >= patience):
                break
            self._hurry.clear()
            await self._wait_links(engine, left)

    async def _wait_links(self, engine: Engine, left: float) -> None:
        """Wait until all connections are gone, `left` is over, or less grace is asked for."""
        hurry = asyncio.ensure_future(self._hurry.wait())
        gone = asyncio.ensure_future(asyncio.wait([link.closed for link in engine.links]))
        try:
            await asyncio.wait([hurry, gone], timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurry.cancel()
            gone.cancel()

    def _close_ports(self) -> None:
        for one, _context in self._ports:
            one.close()
        self._ports.clear()


def _full_house() -> bytes:
    """Return what a connection beyond the limit is told: clients take it as UNAVAILABLE."""
    core = Connection()
    core.abandon(ErrorCode.ENHANCE_YOUR_CALM, "too many connections: try another server")
    return core.output()


def _check_interceptor(one: object) -> None:
    if not isinstance(one, aio.ServerInterceptor):
        raise ValueError(f"{one!r} is no interceptor: derive it from grpc.aio.ServerInterceptor")  # noqa: TRY004 - as grpc.aio


def server(  # noqa: PLR0917 - the arguments of grpc.aio.server
    migration_thread_pool: Executor | None = None,
    handlers: Sequence[grpc.GenericRpcHandler] | None = None,
    interceptors: Sequence[aio.ServerInterceptor] | None = None,
    options: Sequence[tuple[str, object]] | None = None,
    maximum_concurrent_rpcs: int | None = None,
    compression: grpc.Compression | None = None,
) -> Server:
    """Return a server; the arguments are those of `grpc.aio.server`."""
    return Server(
        thread_pool=migration_thread_pool,
        handlers=handlers or (),
        interceptors=interceptors or (),
        options=options,
        max_calls=maximum_concurrent_rpcs,
        compression=compression,
    )
