"""A connection's transport side: which version it speaks, how much it reads, when it ends.

What a turn of the loop produces leaves in one write, flushed by the crew. What a turn consumes is
bounded, so that a flood on one connection does not starve the others.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from typing import TYPE_CHECKING, Final

from fastlane.farewell import leave
from fastlane.h2.frames import PREFACE
from fastlane.http.session_one import SessionOne
from fastlane.http.session_two import SessionTwo

if TYPE_CHECKING:
    from fastlane.http.engine import Engine
    from fastlane.http.session import Session

_RESETS: Final = struct.pack("ii", 1, 0)


class Link(asyncio.Protocol):
    """A connection of an HTTP server."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.peer = ""
        self.is_full = False
        """Whether the transport has more to write than it should."""
        self.closed = engine.loop.create_future()
        """Resolved when the connection is gone."""
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._scheme = b"http"
        self._opening = b""
        self._backlog = b""
        self._touched = False
        self._held = False
        self._paused = False
        self._leaving = False
        self._due = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    # -- the transport -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, if there is room for it."""
        if not isinstance(transport, asyncio.Transport) and not hasattr(transport, "write"):
            raise TypeError("a link needs a stream transport")
        engine = self.engine
        self._transport = transport  # type: ignore[assignment]  # uvloop's has no common base
        if engine.stopping or len(engine.links) >= engine.limits.connections:
            engine.counters.turned_away += 1
            self.abort()
            return
        engine.counters.connections += 1
        engine.links.add(self)
        self.peer = _peer_name(transport)
        self._transport.set_write_buffer_limits(  # type: ignore[union-attr]
            engine.limits.write_buffer_bytes
        )
        self.expect(engine.loop.time() + engine.limits.head_seconds)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._scheme = b"https"
            speaks_two = tls.selected_alpn_protocol() == "h2"
            self._session = SessionTwo(self) if speaks_two else SessionOne(self, self._scheme)

    def data_received(self, data: bytes) -> None:
        """Take bytes, at most so many a turn."""
        if self._leaving:
            return
        if self._backlog:
            self._backlog += data
            return
        most = self.engine.limits.turn_bytes
        if len(data) > most:
            self._backlog = data[most:]
            data = data[:most]
            self._regulate()
            self.engine.loop.call_soon(self._read_backlog)
        if self._session is None:
            self._choose(data)
        else:
            self._session.receive(data)

    def _read_backlog(self) -> None:
        if self._leaving or not self._backlog or self._held or self.is_full:
            return  # hold() and resume_writing() come back here
        most = self.engine.limits.turn_bytes
        data = self._backlog[:most]
        self._backlog = self._backlog[most:]
        if self._backlog:
            self.engine.loop.call_soon(self._read_backlog)
        if self._session is not None:
            self._session.receive(data)
        self._regulate()

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

    def eof_received(self) -> bool:
        """Let the transport close: a client that sends nothing more is taken to be gone.

        A half-closed client that still reads cannot be told from one that has left, and a handler
        that works for nobody is the greater evil.
        """
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End what is open."""
        self._leaving = True
        self._transport = None
        self._backlog = b""
        self._cancel_timers()
        self.engine.links.discard(self)
        if self._session is not None:
            self._session.close()
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """Stop asking a peer for more that does not read, and give it so long to begin."""
        self.is_full = True
        self._regulate()
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
        self._regulate()
        self._read_backlog()

    # -- what a session asks for ---------------------------------------------------------------

    def touch(self) -> None:
        """Have the session's output written at the end of the turn."""
        if not self._touched:
            self._touched = True
            self.engine.crew.touch(self)

    def flush(self) -> None:
        """Write the session's output in one go."""
        self._touched = False
        session = self._session
        transport = self._transport
        if transport is None or session is None or self._leaving:
            return
        for part in session.output():
            transport.write(part)
        if session.is_finished:
            self._leave()

    def hold(self, *, held: bool) -> None:
        """Stop reading, or go on."""
        if held != self._held:
            self._held = held
            self._regulate()
            if not held and self._backlog:
                self.engine.loop.call_soon(self._read_backlog)

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
        self._leaving = True
        transport = self._transport
        if transport is None:
            return
        if reset:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS)
        transport.abort()

    # -- its life ----------------------------------------------------------------------------

    def drain(self) -> None:
        """Finish what is open and close."""
        if self._session is None:
            self.abort()
        else:
            self._session.drain()

    def _on_timer(self) -> None:
        self._timer = None
        if self._leaving:
            return
        if self.engine.loop.time() + 0.001 < self._due:  # timers may fire a little early
            self.expect(self._due)
            return
        self._due = math.inf
        if self._session is None:
            self.abort()
        else:
            self._session.on_due()

    def _regulate(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        pauses = not self._leaving and (self._held or self.is_full or bool(self._backlog))
        if pauses != self._paused:
            self._paused = pauses
            if pauses:
                transport.pause_reading()
            else:
                transport.resume_reading()

    def _leave(self) -> None:
        """Close the writing side, and read on for a moment so that the last words arrive."""
        transport = self._transport
        if self._leaving or transport is None:
            return
        self._leaving = True
        self._backlog = b""
        self._regulate()
        leave(transport, self.engine.loop, self.engine.limits.write_seconds)

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
