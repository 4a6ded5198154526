"""Response fields to bytes: checked, encoded, and remembered by what they say.

A response is split by a CR or LF in a value, so each field passes the grammar before it is encoded.
That takes 1.5 us a field, and answers repeat their fields: a memo gives the encoded bytes of a
field that has passed before. It holds for either version, since our HPACK uses no dynamic table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlane.h2 import blocks
from fastlane.http import grammar
from fastlane.http.errors import ResponseError
from fastlane.http.heads import FORBIDDEN_TRAILERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fastlane.http.grammar import Field

_ENTRIES: Final = 4_096
_ENTRY_BYTES: Final = 256

# Framing and the connection are the shell's own (RFC 9112 sections 6 and 9).
_RESERVED: Final = frozenset(
    {
        *(b"content-length", b"transfer-encoding", b"connection", b"keep-alive"),
        *(b"proxy-connection", b"upgrade", b"te", b"trailer"),
    }
)


class FieldEncoder:
    """Encodes the fields of one HTTP version."""

    __slots__ = ("_dates", "_encode", "_known", "_reserved")

    def __init__(
        self, encode: Callable[[bytes, bytes], bytes], reserved: frozenset[bytes] = _RESERVED
    ) -> None:
        self._encode = encode
        self._known: dict[Field, bytes] = {}
        self._dates: dict[Field, bytes] = {}
        """The same for `date`, so that the loop below need not look at names."""
        self._reserved = reserved

    def encode(self, fields: Iterable[Field]) -> tuple[list[bytes], bool]:
        """Return the encoded fields and whether `date` is among them; raises `ResponseError`."""
        known = self._known
        parts = []
        has_date = False
        for field in fields:
            part = known.get(field)
            if part is None:
                part = self._dates.get(field) or self._check(field)
                if field[0].lower() == b"date":
                    has_date = True
            parts.append(part)
        return parts, has_date

    def _check(self, field: Field) -> bytes:
        name, value = field
        if not all(isinstance(part, bytes) for part in field):
            raise ResponseError(f"field {field!r}: give name and value as bytes")
        if not grammar.NAME.match(name):
            raise ResponseError(f"field name {name!r} is not a token")
        if not grammar.VALUE.match(value):
            raise ResponseError(
                f"field {name!r} has a forbidden byte or outer white space in its value"
            )
        lower = name.lower()
        if lower in self._reserved:
            raise ResponseError(f"field {name!r} is the shell's to say: set length or body instead")
        part = self._encode(lower, value)
        if len(part) <= _ENTRY_BYTES:
            memo = self._dates if lower == b"date" else self._known
            if len(memo) >= _ENTRIES:
                memo.clear()
            memo[field] = part
        return part


class Prepared:
    """Fields checked and encoded once, for a response that is sent many times.

    What a cache keeps beside a body: twelve fields then cost nothing, where even remembered ones
    cost 1 us. Raises `ResponseError` when it is made, not when it is sent.
    """

    __slots__ = ("block", "fields", "has_date", "lines")

    def __init__(self, fields: Iterable[Field]) -> None:
        self.fields = tuple(fields)
        lines, self.has_date = FieldEncoder(_line).encode(self.fields)
        self.lines = b"".join(lines)
        """As HTTP/1 sends them."""
        self.block = b"".join(FieldEncoder(_block).encode(self.fields)[0])
        """As HTTP/2 sends them."""


def _line(name: bytes, value: bytes) -> bytes:
    return b"%b: %b\r\n" % (name, value)


def _block(name: bytes, value: bytes) -> bytes:
    return blocks.encode(((name, value),))


def line_encoder() -> FieldEncoder:
    """Return an encoder for HTTP/1 heads."""
    return FieldEncoder(_line)


def block_encoder() -> FieldEncoder:
    """Return an encoder for HTTP/2 field blocks."""
    return FieldEncoder(_block)


def trailer_encoder(*, version: int) -> FieldEncoder:
    """Return an encoder for trailers of HTTP/1 or HTTP/2."""
    return FieldEncoder(_line if version == 1 else _block, FORBIDDEN_TRAILERS)
