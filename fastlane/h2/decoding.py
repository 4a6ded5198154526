"""Field blocks that we receive: one loop over the bytes of a block (RFC 7541 sections 5 and 6).

The package hpack decodes Huffman; its own loop takes 20 us for a block of eight indexed fields,
this one 3 us. That is what a call costs whose block is new each time, as grpc-go's and grpcio's
are: they put every deadline into the dynamic table, and the memo is void.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpack.huffman_table import decode_huffman

from fastlane.h2.table import STATIC, STATIC_SIZE

if TYPE_CHECKING:
    from fastlane.h2.table import DynamicTable

Field = tuple[bytes, bytes]

# An integer beyond this length in bytes is over 2^28 and no honest index, size or length.
_INTEGER_BYTES: Final = 5
_BEYOND: Final = "an index beyond the table"


class DecodingError(Exception):
    """A block that is not HPACK."""


class TooLargeError(Exception):
    """A block that expands beyond the limit; the table is lost with it."""


def decode(block: bytes, table: DynamicTable, limit: int) -> tuple[list[Field], int]:
    """Return the fields of a block and their size (32 bytes a field and its text).

    DecodingError if it is not HPACK, TooLargeError once the size passes `limit`.
    """
    fields: list[Field] = []
    names, values = table.names, table.values
    size = 0
    at = 0
    end = len(block)
    while at < end:
        byte = block[at]
        if byte & 0x80:
            index = byte & 0x7F
            at += 1
            if index == 0x7F:
                index, at = _integer(block, at, 0x7F)
            if 0 < index <= STATIC_SIZE:
                field = STATIC[index - 1]
            elif STATIC_SIZE < index <= STATIC_SIZE + len(names):
                field = names[STATIC_SIZE - index], values[STATIC_SIZE - index]
            else:
                raise DecodingError(_BEYOND)
        elif byte & 0x60 == 0x20:
            if fields:
                raise DecodingError("a size update after a field")
            at = _resize(block, at, table)
            continue
        else:
            mask = 0x3F if byte & 0x40 else 0x0F
            field, at = _literal(block, at, mask, table)
            if byte & 0x40:
                table.add(*field)
        fields.append(field)
        size += len(field[0]) + len(field[1]) + 32
        if size > limit:
            raise TooLargeError
    return fields, size


def _name(table: DynamicTable, index: int) -> bytes:
    if 0 < index <= STATIC_SIZE:
        return STATIC[index - 1][0]
    index -= STATIC_SIZE
    if 0 < index <= len(table.names):
        return table.names[-index]
    raise DecodingError(_BEYOND)


def _resize(block: bytes, at: int, table: DynamicTable) -> int:
    size = block[at] & 0x1F
    at += 1
    if size == 0x1F:
        size, at = _integer(block, at, 0x1F)
    if not table.resize(size):
        raise DecodingError(f"a table of {size} bytes was not offered")
    return at


def _literal(block: bytes, at: int, mask: int, table: DynamicTable) -> tuple[Field, int]:
    index = block[at] & mask
    at += 1
    if index == mask:
        index, at = _integer(block, at, mask)
    if index:
        name = _name(table, index)
    else:
        name, at = _string(block, at)
    value, at = _string(block, at)
    return (name, value), at


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    if at >= len(block):
        raise DecodingError("a block that ends within a field")
    byte = block[at]
    size = byte & 0x7F
    at += 1
    if size == 0x7F:
        size, at = _integer(block, at, 0x7F)
    end = at + size
    if end > len(block):
        raise DecodingError("a string longer than its block")
    text = block[at:end]
    return (decode_huffman(text) if byte & 0x80 else text), end


def _integer(block: bytes, at: int, number: int) -> tuple[int, int]:
    """Return an integer whose prefix was full, and where it ends (RFC 7541 section 5.1)."""
    shift = 0
    for byte in block[at : at + _INTEGER_BYTES]:
        at += 1
        number += (byte & 0x7F) << shift
        if not byte & 0x80:
            return number, at
        shift += 7
    raise DecodingError("an integer that does not end")
