"""The chunked transfer coding, as strict as it can be read (RFC 9112 section 7.1).

    phase   | waits for                        | then
    --------+----------------------------------+------------------------------------
    SIZE    | digits, extensions, CR LF        | DATA, or TRAILERS after a zero
    DATA    | as many bytes                    | CLOSE
    CLOSE   | CR LF                            | SIZE
    TRAILERS| fields and an empty line         | END
    END     | nothing                          | -

A size is hexadecimal digits and nothing else: no sign, no 0x, no white space. Extensions must be
well formed although they mean nothing: a LF within one is how two parsers are made to disagree.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from fastlane.http.errors import Refusal
from fastlane.http.grammar import TOKEN, Fields
from fastlane.http.heads import check_trailers, read_fields

if TYPE_CHECKING:
    from fastlane.http.limits import Limits

_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*"'
_EXTENSION: Final = b";" + TOKEN + b"(?:=(?:" + TOKEN + b"|" + _QUOTED + b"))?"
_LINE: Final = re.compile(b"([0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*\Z")


class Phase(IntEnum):
    """Where in the coding a body is."""

    SIZE = 0
    DATA = 1
    CLOSE = 2
    TRAILERS = 3
    END = 4


class ChunkReader:
    """Takes the chunks of one body apart."""

    __slots__ = ("_left", "_limits", "_overhead", "phase", "trailers")

    def __init__(self, limits: Limits) -> None:
        self.phase = Phase.SIZE
        self.trailers: Fields = ()
        self._limits = limits
        self._left = 0
        self._overhead = 0

    def read(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Return the body bytes in `data` from `at` on, and where reading has stopped."""
        parts: list[bytes] = []
        end = len(data)
        while at < end and self.phase != Phase.END:
            before = at
            if self.phase == Phase.DATA:
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                if not self._left:
                    self.phase = Phase.CLOSE
                continue
            if self.phase == Phase.SIZE:
                at = self._read_size(data, at)
            elif self.phase == Phase.CLOSE:
                at = self._read_close(data, at)
            else:
                at = self._read_trailers(data, at)
            if at == before:
                break
        return b"".join(parts), at

    def _read_size(self, data: bytes, at: int) -> int:
        stop = data.find(b"\r\n", at, at + self._limits.chunk_line_bytes)
        if stop < 0:
            if len(data) - at >= self._limits.chunk_line_bytes:
                raise Refusal(400, f"a chunk's line over {self._limits.chunk_line_bytes} bytes")
            return at
        line = _LINE.match(data[at:stop])
        if line is None:
            raise Refusal(400, "a chunk's size is not a hexadecimal number")
        size = int(line[1], 16)
        self._charge(stop + 4 - at, size)
        self._left = size
        self.phase = Phase.DATA if size else Phase.TRAILERS
        return stop + 2

    def _charge(self, cost: int, size: int) -> None:
        self._overhead = max(0, self._overhead + cost - 2 * size - 8)
        if self._overhead > self._limits.chunk_overhead_bytes:
            raise Refusal(400, "more chunking than data")

    def _read_close(self, data: bytes, at: int) -> int:
        mark = data[at : at + 2]
        if mark != b"\r\n"[: len(mark)]:
            raise Refusal(400, "a chunk is longer than its size")
        if len(mark) < 2:
            return at
        self.phase = Phase.SIZE
        return at + 2

    def _read_trailers(self, data: bytes, at: int) -> int:
        if data.startswith(b"\r\n", at):
            self.phase = Phase.END
            return at + 2
        stop = data.find(b"\r\n\r\n", at, at + self._limits.trailer_bytes)
        if stop < 0:
            if len(data) - at >= self._limits.trailer_bytes:
                raise Refusal(431, f"trailers over {self._limits.trailer_bytes} bytes")
            return at
        fields = read_fields(data[at : stop + 4])
        if len(fields) > self._limits.fields:
            raise Refusal(431, f"more than {self._limits.fields} trailers")
        self.trailers = check_trailers(fields)
        self.phase = Phase.END
        return stop + 4
