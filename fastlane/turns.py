"""Whose bytes are read next: one budget of time a loop turn, shared by all connections of a server.

A bound in bytes does not do: a byte of a field block that fills the HPACK table costs eighty times
a byte of a body, a kilobyte of gzip unpacks to a megabyte, and ten connections at once cost ten
times as much. So reading stops once the turn has taken long enough, and who is left waits in line.

The line is that of fair queueing (RFC 8290 section 4.1): a connection that had nothing waiting
stands in the first line and is served before those of the second, who have had a slice already. So
a small call is reached within a turn or two, however much the others have sent. Whoever is served
from the first line goes through the second before it may stand in the first again.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

# In the first line, before it is looked through for peers that have left: a crowd that reconnects
# would otherwise leave 128 KiB a connection there.
_CROWD: Final = 64
# Of a turn's time, for all that is read: a thousand calls, and a delay that nobody notices.
TURN_SECONDS: Final = 0.004


class Place(IntEnum):
    """Where a connection stands; false for nowhere."""

    NOWHERE = 0
    FIRST = 1
    SECOND = 2


class Reader(Protocol):
    """What stands in line."""

    place: Place

    def drop_if_gone(self) -> None:
        """Let go of what waits if nobody is there any more."""

    def read_on(self) -> bool:
        """Take a slice of what waits; returns whether more waits."""


class Staff(Protocol):
    """What works off what was read."""

    is_behind: bool
    turn: int


class Turns:
    """The lines of one server."""

    __slots__ = (
        "_crew",
        "_first",
        "_loop",
        "_open",
        "_second",
        "_seconds",
        "_sweep_at",
        "_turn",
        "_until",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, crew: Staff, *, seconds: float = TURN_SECONDS
    ) -> None:
        self._crew = crew
        self._loop = loop
        self._seconds = seconds
        self._open = False
        """Whether somebody stands in line, and so every turn begins with serving."""
        self._turn = -1
        self._until = 0.0
        self._sweep_at = _CROWD
        self._first: deque[Reader] = deque()
        self._second: deque[Reader] = deque()

    def has_time(self) -> bool:
        """Whether this turn has time left to read.

        While nobody stands in line the crew's count tells one turn from the next: a callback a turn
        would be 3 us of every call that comes alone.
        """
        # Not the loop's clock: uvloop's stands still within a turn.
        now = perf_counter()
        crew = self._crew
        if not self._open and self._turn != crew.turn:
            self._turn = crew.turn
            self._until = now + self._seconds
        return now < self._until and not crew.is_behind

    def stand(self, reader: Reader) -> None:
        """Put one in line who came when there was no time; nothing happens if it stands there."""
        if not reader.place:
            reader.place = Place.FIRST
            self._first.append(reader)
            self._wake()
            if len(self._first) >= self._sweep_at:
                self._sweep()

    def stand_again(self, reader: Reader) -> None:
        """Put one in line who has had its share of this turn."""
        if not reader.place:
            reader.place = Place.SECOND
            self._second.append(reader)
            self._wake()

    def _sweep(self) -> None:
        """Drop what waits of peers that have left, each time there are twice as many who have not.

        They stay in line until it is their turn, which is short then.
        """
        for reader in self._first:
            reader.drop_if_gone()
        self._sweep_at = 2 * len(self._first)

    def _wake(self) -> None:
        if not self._open:
            self._open = True
            self._loop.call_soon(self._serve)

    def _serve(self) -> None:
        """Begin a turn: serve the lines while there is time."""
        until = self._until = perf_counter() + self._seconds
        try:
            while (self._first or self._second) and not self._crew.is_behind:
                self._serve_next()
                if perf_counter() >= until:
                    break
        finally:
            self._sweep_at = max(_CROWD, min(self._sweep_at, 2 * len(self._first)))
            self._turn = self._crew.turn
            self._open = bool(self._first or self._second)
            if self._open:
                self._loop.call_soon(self._serve)

    def _serve_next(self) -> None:
        reader = self._first.popleft() if self._first else self._second.popleft()
        goes_on = reader.place is Place.FIRST
        try:
            goes_on = reader.read_on() or goes_on
        finally:
            reader.place = Place.SECOND if goes_on else Place.NOWHERE
            if goes_on:
                self._second.append(reader)
