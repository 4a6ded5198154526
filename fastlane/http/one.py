"""The receiving half of an HTTP/1 connection without I/O: bytes in, events out (RFC 9112).

    reader.feed(data)
    while (event := reader.next()) is not None:
        ...
    reader.restart()      # the response is out: the next request may be read

Where a message ends is decided here and not by llhttp, which reads on from one message into the
next and cannot be stopped between them. So a request that is pipelined waits as bytes.

    state   | a head without body | with length | chunked | the body's end | restart | a violation
    --------+---------------------+-------------+---------+----------------+---------+------------
    HEAD    | DONE                | COUNTED     | CHUNKED | -              | -       | DEAD
    COUNTED | -                   | -           | -       | DONE           | -       | DEAD
    CHUNKED | -                   | -           | -       | DONE           | -       | DEAD
    DONE    | -                   | -           | -       | -              | HEAD    | -
    DEAD    | -                   | -           | -       | -              | -       | -

- does not happen. DEAD is for good: where one message was ambiguous, the next cannot be found.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from fastlane.http.chunks import ChunkReader, Phase
from fastlane.http.errors import Refusal
from fastlane.http.heads import Head, read_head, refuse_bare_feed

if TYPE_CHECKING:
    from fastlane.http.grammar import Fields
    from fastlane.http.limits import Limits

_END: Final = b"\r\n\r\n"


class State(IntEnum):
    """Where a connection is in its current request."""

    HEAD = 0
    COUNTED = 1
    CHUNKED = 2
    DONE = 3
    DEAD = 4


# Reading a member off its enum class costs 45 ns on Python 3.11, a module global 4 ns.
HEAD: Final = State.HEAD
COUNTED: Final = State.COUNTED
CHUNKED: Final = State.CHUNKED
DONE: Final = State.DONE
DEAD: Final = State.DEAD


@dataclass(frozen=True, slots=True)
class BodyEnded:
    """The request is complete."""

    trailers: Fields = ()


Event = Head | bytes | BodyEnded

ENDED: Final = BodyEnded()


class HeadMemo:
    """Heads by their bytes: the same client sends the same head, and reading one takes 8 us.

    One for all connections of a server, as a head's bytes mean the same on each. Bounded in number
    and size by two generations: what was not asked for while the young one filled up is forgotten.
    (To delete the oldest entry of one dict takes longer the more were deleted before it.)
    """

    ENTRIES: Final = 512
    ENTRY_BYTES: Final = 2_048

    __slots__ = ("_limits", "_old", "_scheme", "_young")

    def __init__(self, limits: Limits, scheme: bytes) -> None:
        self._young: dict[bytes, Head] = {}
        self._old: dict[bytes, Head] = {}
        self._limits = limits
        self._scheme = scheme

    def read(self, raw: bytes) -> Head:
        """Return the head that `raw` is; raises `Refusal`."""
        head = self._young.get(raw)
        if head is not None:
            return head
        head = self._old.get(raw)
        if head is None:
            head = read_head(raw, scheme=self._scheme, limits=self._limits)
        if len(raw) <= self.ENTRY_BYTES:
            if len(self._young) >= self.ENTRIES:
                self._old = self._young
                self._young = {}
            self._young[raw] = head
        return head


class Reader:
    """Reads the requests of one connection, one at a time."""

    __slots__ = ("_at", "_chunks", "_data", "_heads", "_left", "_limits", "_searched", "state")

    def __init__(self, heads: HeadMemo, limits: Limits) -> None:
        self.state = HEAD
        self._heads = heads
        self._limits = limits
        self._data = b""
        self._at = 0
        self._searched = 0
        self._left = 0
        self._chunks: ChunkReader | None = None

    @property
    def buffered(self) -> int:
        """Bytes that wait to be read."""
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Take bytes from the peer; after a violation they are dropped."""
        if self.state is DEAD:
            return
        if self._at == len(self._data):
            self._data = data
            self._searched = 0
        else:
            self._data = self._data[self._at :] + data
            self._searched = max(0, self._searched - self._at)
        self._at = 0

    def next(self) -> Event | None:
        """Return what comes next; None when bytes are missing or a response is due.

        Raises `Refusal` at a violation, after which nothing comes any more.
        """
        state = self.state
        if state is DONE or state is DEAD:
            return None
        try:
            if state is HEAD:
                return self._next_head()
            if state is COUNTED:
                return self._next_counted()
            return self._next_chunked()
        except Refusal:
            self.state = DEAD
            raise

    def restart(self) -> None:
        """Read the next request."""
        if self.state is not DONE:
            raise RuntimeError(f"a request that is {self.state.name} cannot be followed by another")
        self.state = HEAD

    def kill(self) -> None:
        """Read nothing any more, and forget what waits."""
        self.state = DEAD
        self._data = b""
        self._at = 0

    def _next_head(self) -> Head | None:
        data = self._data
        at = self._at
        if data.startswith((b"\r", b"\n"), at):
            at = self._skip_empty_line(data, at)
            if at < 0:
                return None
        limit = self._limits.head_bytes
        stop = data.find(_END, max(at, self._searched), at + limit)
        if stop < 0:
            size = len(data) - at
            refuse_bare_feed(data[at : at + limit], max(0, self._searched - at))
            self._searched = max(at, len(data) - 3)
            if size >= limit:
                self._refuse_long(data, at)
            return None
        raw = data[at : stop + 4]
        self._searched = 0
        self._at = stop + 4
        head = self._heads.read(raw)
        if head.chunked:
            self._chunks = ChunkReader(self._limits)
            self.state = CHUNKED
        elif head.length:
            self._left = head.length
            self.state = COUNTED
        else:
            self.state = DONE
        return head

    def _skip_empty_line(self, data: bytes, at: int) -> int:
        """Pass one CR LF before a request, as old clients send after a body; -1 while it is cut."""
        mark = data[at : at + 2]
        if mark == b"\r":
            return -1
        if mark != b"\r\n" or data.startswith((b"\r", b"\n"), at + 2):
            raise Refusal(400, "empty lines before the request")
        return at + 2

    def _refuse_long(self, data: bytes, at: int) -> None:
        limit = self._limits.head_bytes
        if data.find(b"\r\n", at, at + limit) < 0:
            raise Refusal(414, f"the request line is over {limit} bytes")
        raise Refusal(431, f"the head is over {limit} bytes")

    def _next_counted(self) -> Event | None:
        left = self._left
        if not left:
            self.state = DONE
            return ENDED
        data = self._data
        at = self._at
        size = len(data) - at
        if not size:
            return None
        if size > left:
            self._at = at + left
            self._left = 0
            return data[at : at + left]
        self._left = left - size
        self._data = b""
        self._at = 0
        return data[at:] if at else data

    def _next_chunked(self) -> Event | None:
        chunks = self._chunks
        if chunks is None:
            raise RuntimeError("no chunked body is being read")
        part, self._at = chunks.read(self._data, self._at)
        if part:
            return part
        if chunks.phase != Phase.END:
            return None
        self._chunks = None
        self.state = DONE
        return BodyEnded(chunks.trailers) if chunks.trailers else ENDED
