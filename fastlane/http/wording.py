"""Heads of responses as bytes: status line or `:status`, fields, date, framing. No I/O."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from fastlane.h2 import blocks
from fastlane.http.errors import ResponseError
from fastlane.http.fields import block_encoder, line_encoder, trailer_encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastlane.http.grammar import Field
    from fastlane.http.response import Framing, Response

_CLOSE: Final = b"connection: close\r\n"
_KEEP_ALIVE: Final = b"connection: keep-alive\r\n"
_CHUNKED: Final = b"transfer-encoding: chunked\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""  # RFC 9112 section 4: the phrase may be empty, the space may not


_LINES: Final = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, _phrase(status)) for status in range(100, 600)
}


class _Dates:
    """The date field, made once a second."""

    __slots__ = ("_clock", "_encode", "_encoded", "_second")

    def __init__(self, encode: Callable[[str], bytes], clock: Callable[[], float]) -> None:
        self._encode = encode
        self._clock = clock
        self._second = -1
        self._encoded = b""

    def now(self) -> bytes:
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._encoded = self._encode(formatdate(second, usegmt=True))
        return self._encoded


class WordingOne:
    """HTTP/1.1 heads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._fields = line_encoder()
        self._trailers = trailer_encoder(version=1)
        self._dates = _Dates(lambda date: b"date: %b\r\n" % date.encode(), clock)

    def head(
        self, response: Response, framing: Framing, *, closes: bool, says_keep_alive: bool
    ) -> bytes:
        """Return a response's head; `says_keep_alive` is what an HTTP/1.0 client must hear."""
        parts, has_date = self._fields.encode(response.headers)
        prepared = response.prepared
        if prepared is not None:
            parts.insert(0, prepared.lines)
            has_date = has_date or prepared.has_date
        if not has_date:
            parts.append(self._dates.now())
        if framing.length is not None:
            parts.append(b"content-length: %d\r\n" % framing.length)
        elif framing.chunked:
            parts.append(_CHUNKED)
        if closes:
            parts.append(_CLOSE)
        elif says_keep_alive:
            parts.append(_KEEP_ALIVE)
        return b"%b%b\r\n" % (_LINES[response.status], b"".join(parts))

    def informational(self, status: int, fields: Sequence[Field]) -> bytes:
        """Return the whole of a 1xx response."""
        check_informational(status)
        parts, _ = self._fields.encode(fields)
        return b"%b%b\r\n" % (_LINES[status], b"".join(parts))

    def trailers(self, fields: Sequence[Field]) -> bytes:
        """Return the last chunk with `fields` behind it."""
        if not fields:
            return LAST_CHUNK
        return b"0\r\n%b\r\n" % b"".join(self._trailers.encode(fields)[0])


class WordingTwo:
    """HTTP/2 field blocks."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._fields = block_encoder()
        self._trailers = trailer_encoder(version=2)
        self._dates = _Dates(lambda date: blocks.encode(((b"date", date.encode()),)), clock)
        self._statuses: dict[int, bytes] = {}

    def head(self, response: Response, framing: Framing) -> bytes:
        """Return a response's field block."""
        parts, has_date = self._fields.encode(response.headers)
        prepared = response.prepared
        if prepared is not None:
            parts.insert(0, prepared.block)
            has_date = has_date or prepared.has_date
        if not has_date:
            parts.append(self._dates.now())
        if framing.length is not None:
            parts.append(blocks.encode(((b"content-length", b"%d" % framing.length),)))
        return self._status(response.status) + b"".join(parts)

    def informational(self, status: int, fields: Sequence[Field]) -> bytes:
        """Return the field block of a 1xx response."""
        check_informational(status)
        return self._status(status) + b"".join(self._fields.encode(fields)[0])

    def trailers(self, fields: Sequence[Field]) -> bytes:
        """Return the field block of trailers."""
        return b"".join(self._trailers.encode(fields)[0])

    def _status(self, status: int) -> bytes:
        block = self._statuses.get(status)
        if block is None:
            block = blocks.encode(((b":status", b"%d" % status),))
            self._statuses[status] = block
        return block


def check_informational(status: int) -> None:
    """Refuse what is no interim answer; 101 would change the protocol, and this never does."""
    if not 100 <= status <= 199 or status == 101:
        raise ResponseError(f"{status} is no interim status: give 100, 102, 103 or another 1xx")
