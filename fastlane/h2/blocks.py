"""Field blocks that we send: HPACK without a dynamic table (RFC 7541 section 6).

A block made from the static table and literals alone means the same at any time on any connection,
so the blocks of common answers are constants. What indexing would save, some 20 bytes a call, is
less than what keeping the table in step would cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpack.table import HeaderTable

from fastlane.h2 import frames

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXACT: Final = {
    field: index + 1 for index, field in reversed(tuple(enumerate(HeaderTable.STATIC_TABLE)))
}
_NAMED: Final = {
    field[0]: index + 1 for index, field in reversed(tuple(enumerate(HeaderTable.STATIC_TABLE)))
}
# Never indexed (RFC 7541 section 7.1.3): intermediaries must not put these into a table either.
_SECRET: Final = frozenset({b"authorization", b"cookie", b"set-cookie"})


class Constant:
    """A block that is sent often, with the part of its frame header that never changes."""

    __slots__ = ("block", "closing", "opening")

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        self.block = encode(fields)
        size = len(self.block)
        if size > 1_024:
            raise ValueError(f"{size} bytes are too many for a constant block")
        self.opening = size.to_bytes(3, "big") + bytes((1, frames.END_HEADERS))
        """Length, type and flags of its HEADERS frame."""
        self.closing = size.to_bytes(3, "big") + bytes((1, frames.END_HEADERS | frames.END_STREAM))
        """The same, of a frame that ends the stream."""


def encode(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """One field block. Names must be lower case; nothing is checked here."""
    return b"".join(map(_field, fields))


def _field(field: tuple[bytes, bytes]) -> bytes:
    index = _EXACT.get(field)
    name, value = field
    if index is not None and value:
        return _integer(0x80, 7, index)
    prefix = 0x10 if name in _SECRET else 0x00
    index = _NAMED.get(name)
    if index is None:
        return bytes((prefix,)) + _string(name) + _string(value)
    return _integer(prefix, 4, index) + _string(value)


def _string(text: bytes) -> bytes:
    return _integer(0x00, 7, len(text)) + text


def _integer(prefix: int, bits: int, value: int) -> bytes:
    """Encode an integer with a prefix (RFC 7541 section 5.1)."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes((prefix | value,))
    octets = bytearray((prefix | limit,))
    value -= limit
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)
