"""A connection of an HTTP server: which version it speaks, and when it ends."""

from __future__ import annotations

import math
import socket
import struct
from typing import TYPE_CHECKING, Final, cast

from fastlane.conduit import Conduit
from fastlane.h2.frames import PREFACE
from fastlane.http.session_one import SessionOne
from fastlane.http.session_two import SessionTwo

if TYPE_CHECKING:
    import asyncio

    from fastlane.http.engine import Engine
    from fastlane.http.session import Session

_RESETS: Final = struct.pack("ii", 1, 0)


class Link(Conduit):
    """The transport side of a session."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.loop, engine.crew, engine.turns, engine.door)
        self.engine = engine
        self.peer = ""
        self._session: Session | None = None
        self._scheme = b"http"
        self._opening = b""
        self._due = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    # -- the transport -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        engine = self.engine
        self.transport = stream = cast("asyncio.Transport", transport)
        if engine.stopping:
            self.abort()
            return
        engine.counters.connections += 1
        engine.links.add(self)
        self.peer = _peer_name(transport)
        stream.set_write_buffer_limits(engine.limits.write_buffer_bytes)
        self.expect(engine.loop.time() + engine.limits.head_seconds)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._scheme = b"https"
            speaks_two = tls.selected_alpn_protocol() == "h2"
            self._session = SessionTwo(self) if speaks_two else SessionOne(self, self._scheme)

    def take(self, data: bytes) -> None:
        """Take bytes, a slice at a time."""
        if self._session is None:
            self._choose(data)
        else:
            self._session.receive(data)

    def _choose(self, data: bytes) -> None:
        """Look at the first bytes: HTTP/2 begins with a preface that no HTTP/1 request is."""
        data = self._opening + data
        start = data[: len(PREFACE)]
        if start != PREFACE[: len(start)]:
            self._session = SessionOne(self, self._scheme)
        elif len(start) == len(PREFACE):
            self._session = SessionTwo(self)
        else:
            self._opening = data
            return
        self._opening = b""
        self._session.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is open."""
        super().connection_lost(exc)
        self._cancel_timers()
        self.engine.links.discard(self)
        if self._session is not None:
            self._session.close()

    def pause_writing(self) -> None:
        """Stop asking a peer for more that does not read, and give it so long to begin."""
        self.is_full = True
        self.regulate()
        if self._session is not None:
            self._session.on_full(full=True)
        patience = self.engine.limits.write_seconds
        self._stuck = self.engine.loop.call_later(patience, self.abort)

    def resume_writing(self) -> None:
        """Go on."""
        self.is_full = False
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        if self._session is not None:
            self._session.on_full(full=False)
        self.go_on()

    # -- what a session asks for ---------------------------------------------------------------

    def say(self) -> None:
        """Write the session's output."""
        session = self._session
        transport = self.transport
        if transport is None or session is None:
            return
        for part in session.output():
            transport.write(part)
        if session.is_finished:
            self.leave(self.engine.limits.write_seconds)

    def hold(self, *, held: bool) -> None:
        """Stop reading, or go on."""
        if held != self.is_held:
            self.is_held = held
            self.go_on()

    def expect(self, due: float) -> None:
        """Call the session at `due`. Moving it later costs nothing: the timer looks again."""
        self._due = due
        timer = self._timer
        if due < math.inf and (timer is None or due < timer.when()):
            if timer is not None:
                timer.cancel()
            self._timer = self.engine.loop.call_at(due, self._on_timer)

    def abort(self, *, reset: bool = False) -> None:
        """Cut the connection."""
        if reset and self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS)
        self.cut()

    # -- its life ----------------------------------------------------------------------------

    def drain(self) -> None:
        """Finish what is open and close."""
        if self._session is None:
            self.abort()
        else:
            self._session.drain()

    def _on_timer(self) -> None:
        self._timer = None
        if self.is_leaving:
            return
        if self.engine.loop.time() + 0.001 < self._due:  # timers may fire a little early
            self.expect(self._due)
            return
        self._due = math.inf
        if self._session is None:
            self.abort()
        else:
            self._session.on_due()

    def _cancel_timers(self) -> None:
        for timer in (self._timer, self._stuck):
            if timer is not None:
                timer.cancel()
        self._timer = self._stuck = None


def _peer_name(transport: asyncio.BaseTransport) -> str:
    address = transport.get_extra_info("peername")
    if not isinstance(address, tuple) or len(address) < 2:
        return "unix:"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
