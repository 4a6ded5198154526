r"""The server: addresses, start, drain, stop.

async def handler(request: Request) -> Response:
    return Response(200, ((b"content-type", b"text/plain"),), b"hello\n")

server = Server(handler)
port = server.add("127.0.0.1:8080")
await server.start()
await server.stop(grace=5)
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from fastlane.http.engine import Counters, Engine, Handler
from fastlane.http.limits import Limits
from fastlane.http.link import Link
from fastlane.listen import bind
from fastlane.listener import Listener

if TYPE_CHECKING:
    import socket
    import ssl

# Seconds for the last responses and GOAWAYs of a stop to reach their peers.
_LAST_WORDS: Final = 1.0


class Server:
    """An HTTP/1.1 and HTTP/2 server on the running loop, for one handler."""

    def __init__(
        self, handler: Handler, *, limits: Limits | None = None, reuse_port: bool = False
    ) -> None:
        self._handler = handler
        self._limits = limits or Limits()
        self._reuse_port = reuse_port
        self._ports: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        self._listeners: list[Listener] = []
        self._engine: Engine | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._stop_at = float("inf")

    @property
    def counters(self) -> Counters:
        """What has happened so far."""
        return self._engine.counters if self._engine is not None else Counters()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._engine.links) if self._engine is not None else 0

    @property
    def turned_away(self) -> int:
        """How many connections were refused, as there were too many."""
        return self._engine.door.turned_away if self._engine is not None else 0

    def add(self, address: str, *, tls: ssl.SSLContext | None = None) -> int:
        """Bind `host:port`, `[::1]:port` or `unix:path`; returns the port (1 for a Unix socket).

        With `tls` the versions offered by ALPN are h2 and http/1.1; client certificates are asked
        for if the context says so. RuntimeError says why an address cannot be had.
        """
        if self._engine is not None:
            raise RuntimeError("addresses are added before start()")
        if tls is not None:
            tls.set_alpn_protocols(["h2", "http/1.1"])
        sockets, port = bind(address, reuse_port=self._reuse_port)
        self._ports.extend((one, tls) for one in sockets)
        return port

    async def start(self) -> None:
        """Accept connections."""
        if self._engine is not None:
            raise RuntimeError("the server was started before")
        loop = asyncio.get_running_loop()
        engine = self._engine = Engine(self._handler, self._limits, loop)
        for one, tls in self._ports:
            listener = Listener(
                loop,
                one,
                lambda: Link(engine),
                engine.door,
                tls=tls,
                handshake_seconds=self._limits.head_seconds,
            )  # the refused are told nothing: in which version is not known
            listener.start()
            self._listeners.append(listener)

    async def stop(self, grace: float = 0.0) -> None:
        """Take nothing new; give what is open `grace` seconds; then end it.

        May be called again, with less grace, to hurry.
        """
        engine = self._engine
        if engine is None:
            for one, _tls in self._ports:
                one.close()
            self._ports.clear()
            return
        self._stop_at = min(self._stop_at, engine.loop.time() + grace)
        if self._stopping is None:
            for listener in self._listeners:
                listener.close()
            self._stopping = engine.loop.create_task(self._drain(engine))
        else:
            engine.loop.call_at(self._stop_at, self._end, engine)
        await asyncio.shield(self._stopping)

    async def _drain(self, engine: Engine) -> None:
        engine.stopping = True
        hurry = engine.loop.call_at(self._stop_at, self._end, engine)
        for link in list(engine.links):
            link.drain()
        while engine.links:
            await asyncio.wait([link.closed for link in engine.links])
        hurry.cancel()
        await engine.crew.wait_idle()

    def _end(self, engine: Engine) -> None:
        """End what is still open: cancel handlers, say the last words, cut."""
        engine.crew.cancel()
        for link in list(engine.links):
            link.drain()
        engine.loop.call_later(_LAST_WORDS, _cut, engine)


def _cut(engine: Engine) -> None:
    for link in list(engine.links):
        link.abort()
