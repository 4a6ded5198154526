"""Accepting connections: many a turn, none that the door refuses, none whose peer has left again.

The event loops' own servers do one accept a turn (libuv) or close the listening socket when the
process is out of descriptors (uvloop). With a turn of milliseconds, a crowd that reconnects would
keep everybody else in the kernel's queue for seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import select
import socket
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Final

from fastlane.listen import BACKLOG

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from fastlane.door import Door

# Of a turn's time, for accepting. As long again for looking who has left since.
_TURN_SECONDS: Final = 0.002
# Made something of in a turn. Counted, as most of the work is done in the turns that follow.
_MADE_A_TURN: Final = 16
# Without descriptors or memory accept() fails at once and forever: the next try waits so long.
_PAUSE_SECONDS: Final = 0.1
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_GONE: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR

_log: Final = logging.getLogger("fastlane")


class Listener:
    """One listening socket."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        make: Callable[[], asyncio.Protocol],
        door: Door,
        *,
        tls: ssl.SSLContext | None = None,
        handshake_seconds: float | None = None,
        first_words: bytes = b"",
        last_words: bytes = b"",
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._make = make
        self._door = door
        self._tls = tls
        self._handshake_seconds = handshake_seconds if tls is not None else None
        self._first_words = b"" if tls is not None else first_words
        """What a peer is told at once, if its language has the server say something unasked."""
        self._last_words = b"" if tls is not None else last_words
        """What a refused peer is told."""
        self._waiting: deque[socket.socket] = deque()
        """Accepted, and let in as there is time."""
        self._lets_in = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._is_tcp = sock.family != socket.AF_UNIX
        self._is_exhausted = False
        self._closed = False

    def start(self) -> None:
        """Listen and accept."""
        self._socket.listen(BACKLOG)
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def close(self) -> None:
        """Accept nothing more."""
        if self._closed:
            return
        self._closed = True
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        while self._waiting:
            self._door.on_left()
            self._waiting.popleft().close()

    def _accept(self) -> None:
        """Empty the kernel's queue: once that is full, clients wait a second to try again."""
        until = perf_counter() + _TURN_SECONDS
        while perf_counter() < until:
            try:
                connection, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._rest(error)
                    break
                continue  # the peer was faster than we
            self._is_exhausted = False
            connection.setblocking(False)  # noqa: FBT003 - the standard library's signature
            if self._door.admits(connection.fileno()):
                self._greet(connection)
                self._waiting.append(connection)
            else:
                self._turn_away(connection)
        if self._waiting and not self._lets_in:
            self._let_in()

    def _let_in(self) -> None:
        """Make connections of those that wait, and drop at little cost who has left meanwhile."""
        until = perf_counter() + _TURN_SECONDS
        waiting = self._waiting
        made = 0
        while waiting and made < _MADE_A_TURN and perf_counter() < until:
            connection = waiting.popleft()
            if is_gone(connection.fileno()):
                self._door.on_left()
                connection.close()
            else:
                made += 1
                task = self._loop.create_task(self._connect(connection))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        self._lets_in = bool(waiting)
        if self._lets_in:
            self._loop.call_soon(self._let_in)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            if self._is_tcp:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(
                self._make,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_seconds,
            )
        except (OSError, asyncio.CancelledError) as error:
            # A handshake that failed or took too long (ssl.SSLError, TimeoutError), or the end.
            self._door.on_left()
            connection.close()
            if not isinstance(error, OSError):
                raise

    def _greet(self, connection: socket.socket) -> None:
        """Say the first words; they are short enough for the buffer of any socket.

        Whoever has left answers with a reset, which `is_gone` sees. Its end of file would not be
        seen: it is behind all that it sent, which nobody has read.
        """
        if self._first_words:
            with contextlib.suppress(OSError):
                connection.send(self._first_words)

    def _turn_away(self, connection: socket.socket) -> None:
        """Say why, as far as that can be done at once, and close."""
        try:
            if self._last_words:
                connection.send(self._last_words)
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is not interested
        finally:
            connection.close()

    def _rest(self, error: OSError) -> None:
        """Stop accepting for a moment."""
        if not self._is_exhausted:
            self._is_exhausted = True
            _log.warning("cannot accept connections: %s", error.strerror)
        self._loop.remove_reader(self._socket.fileno())
        self._pause = self._loop.call_later(_PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._socket.fileno(), self._accept)


def is_gone(descriptor: int) -> bool:
    """Whether the peer of a socket has closed its side: unseen by a loop that does not read."""
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, _GONE)
    return bool(poll.poll(0))
