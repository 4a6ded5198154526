"""A connection's transport side, whatever it speaks: what it reads, writes, and how it ends.

What a turn of the loop produces leaves in one write, flushed by the crew. What a turn may read is
bounded in time over all connections (`fastlane.turns`), so bytes may have to wait here; while many
do, or while the peer does not read its answers, nothing more is read from it. What a peer sent that
has gone since is dropped: nobody waits for its answers.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Final

from fastlane.farewell import leave
from fastlane.listener import is_gone
from fastlane.turns import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastlane.crew import Crew
    from fastlane.door import Door
    from fastlane.turns import Turns

# Bytes read at a time before the clock is looked at: 5 ms of the dearest there are, which fill the
# HPACK table two by two; some hundred calls of a client that repeats itself.
SLICE_BYTES: Final = 8_192
# Waiting bytes beyond which the peer is not read from: one frame of the largest size.
_WAITING_BYTES: Final = 16_384


class Conduit(asyncio.Protocol, ABC):
    """One connection; the side that knows its language derives from it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, crew: Crew, turns: Turns, door: Door
    ) -> None:
        self.closed: asyncio.Future[None] = loop.create_future()
        """Resolved when the connection is gone."""
        self.is_full = False
        """Whether the transport has more to write than it should."""
        self.is_held = False
        """Whether this side wants nothing read."""
        self.is_leaving = False
        """Whether nothing is taken any more."""
        self.place = Place.NOWHERE
        self.touched = False
        self.transport: asyncio.Transport | None = None
        self._crew = crew
        self._door = door
        self._loop = loop
        self._turns = turns
        self._waiting = b""
        self._at = 0
        """Where in `_waiting` the next slice begins."""
        self._put_off: deque[Callable[[], None]] | None = None
        self._paused = False

    # -- for the side that knows the language --------------------------------------------------

    @abstractmethod
    def take(self, data: bytes) -> None:
        """Take bytes, a slice at a time."""

    @abstractmethod
    def say(self) -> None:
        """Write what waits to be written, and `leave` if that was the last."""

    # -- reading -----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take bytes while the turn has time; the rest waits in line."""
        if self.is_leaving:
            return
        if self.place or self._waiting or not self._turns.has_time():
            self._keep(data)
            if not (self.is_full or self.is_held):
                self._turns.stand(self)
        elif len(data) <= SLICE_BYTES:
            self.take(data)
        else:
            self._waiting = data
            while self._read_slice() and self._turns.has_time():
                pass
            if self._can_read:
                self._turns.stand_again(self)
            self.regulate()

    def read_on(self) -> bool:
        """Take a slice of what waits; returns whether more waits (`turns.Reader`)."""
        if self.is_leaving:
            return False
        self.drop_if_gone()
        if self._put_off:
            self._put_off.popleft()()
        self._read_slice()
        self.regulate()
        return bool(self._put_off) or self._can_read

    def has_time(self) -> bool:
        """Whether this turn has time left, to read or to unpack."""
        return not self.place and self._turns.has_time()

    def drop_if_gone(self) -> None:
        """Cut a connection whose peer has left (`turns.Reader`)."""
        if not self.is_leaving and self._is_gone():
            self.cut()

    def put_off(self, work: Callable[[], None]) -> None:
        """Have `work` for this connection done when it is its turn."""
        if self._put_off is None:
            self._put_off = deque()
        self._put_off.append(work)
        self._turns.stand_again(self)

    def go_on(self) -> None:
        """Read on after having been full or held."""
        if self._can_read:
            self._turns.stand(self)
        self.regulate()

    @property
    def _can_read(self) -> bool:
        return bool(self._waiting) and not (self.is_full or self.is_held or self.is_leaving)

    def _keep(self, data: bytes) -> None:
        self._waiting = self._waiting[self._at :] + data if self._waiting else data
        self._at = 0
        self.regulate()

    def _read_slice(self) -> bool:
        """Take one slice; returns whether more waits that may be read."""
        if not self._can_read:
            return False
        at = self._at
        data = self._waiting[at : at + SLICE_BYTES]
        self._at = at + SLICE_BYTES
        if self._at >= len(self._waiting):
            self._waiting = b""
            self._at = 0
        self.take(data)
        return self._can_read

    def regulate(self) -> None:
        """Have the transport read, or not."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        waits = self.is_held or self.is_full or len(self._waiting) - self._at > _WAITING_BYTES
        pauses = waits and not self.is_leaving
        if pauses != self._paused:
            self._paused = pauses
            if pauses:
                transport.pause_reading()
            else:
                transport.resume_reading()

    def _is_gone(self) -> bool:
        """Whether the peer has closed its side: unseen by a loop that does not read."""
        sock = None if self.transport is None else self.transport.get_extra_info("socket")
        return sock is not None and is_gone(sock.fileno())

    # -- writing -----------------------------------------------------------------------------

    def touch(self) -> None:
        """Have what was produced written at the end of the turn."""
        if not self.touched:
            self.touched = True
            self._crew.touch(self)

    def flush(self) -> None:
        """Write everything in one go."""
        self.touched = False
        if self.transport is not None and not self.is_leaving:
            self.say()

    # -- the end -----------------------------------------------------------------------------

    def cut(self) -> None:
        """Cut the connection without a word."""
        self._stop()
        if self.transport is not None:
            self.transport.abort()

    def leave(self, patience_seconds: float) -> None:
        """Close the writing side, and read on for a moment so that the last words arrive."""
        transport = self.transport
        if self.is_leaving or transport is None:
            return
        self._stop()
        self.regulate()
        leave(transport, self._loop, patience_seconds)

    def eof_received(self) -> bool:
        """Let the transport close: a client that sends nothing more is taken to be gone.

        A half-closed client that still reads cannot be told from one that has left, and a handler
        that works for nobody is the greater evil. (HTTP/2 cannot be used half closed at all.)
        """
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Note that it is gone."""
        self._stop()
        self.transport = None
        self._door.on_left()
        if not self.closed.done():
            self.closed.set_result(None)

    def _stop(self) -> None:
        self.is_leaving = True
        self._waiting = b""
        self._put_off = None
