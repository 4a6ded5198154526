"""Messages on the wire: a flag byte, a length of four bytes, the message (Length-Prefixed-Message).

Both directions are bounded: a length is judged before its bytes are awaited, and decompression
stops one byte past the limit, so a bomb costs no more than an honest message of the largest size.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import grpc

from fastlane.grpc.status import Abort, StatusCode

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX_BYTES: Final = 5
PLAIN: Final = b"\x00"

# zlib's wbits: 31 reads and writes gzip, 15 zlib, which is what HTTP means by deflate.
_WBITS: Final = {b"gzip": 31, b"deflate": 15}
_NAMES: Final = {
    grpc.Compression.Gzip: b"gzip",
    grpc.Compression.Deflate: b"deflate",
    grpc.Compression.NoCompression: None,
}
# gzip -1 costs a third of -6 for a tenth more bytes, and the peer waits for the CPU.
_LEVEL: Final = 1


def encoding_name(compression: grpc.Compression | None) -> bytes | None:
    """Return the grpc-encoding of grpc's enum; None for identity."""
    return None if compression is None else _NAMES[compression]


def is_known(encoding: bytes) -> bool:
    """Return whether messages in `encoding` can be read."""
    return encoding in _WBITS or encoding == b"identity"


def accepted(value: bytes | None) -> frozenset[bytes]:
    """Return the encodings that a grpc-accept-encoding field allows."""
    if not value:
        return frozenset()
    return frozenset(part.strip() for part in value.split(b","))


def prefix_of(size: int) -> bytes:
    """Return what precedes an uncompressed message of this size."""
    return PLAIN + size.to_bytes(4, "big")


# Most answers are short: 0.03 us instead of 0.15.
SHORT_PREFIXES: Final = tuple(map(prefix_of, range(256)))


def prefixed(message: bytes) -> bytes:
    """Return `message` as it goes on the wire, uncompressed."""
    return prefix_of(len(message)) + message


def compressed(message: bytes, encoding: bytes) -> bytes:
    """Return `message` compressed, or plain if that is shorter."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WBITS[encoding])
    packed = packer.compress(message) + packer.flush()
    if len(packed) >= len(message):
        return prefixed(message)
    return b"\x01" + len(packed).to_bytes(4, "big") + packed


def too_large(size: int, limit: int) -> Abort:
    """Return the status for a response over the limit for sending."""
    details = f"Sent message larger than max ({size} vs. {limit})"
    return Abort(StatusCode.RESOURCE_EXHAUSTED, details)


def unread() -> Abort:
    """Return the status for a response that may not wait beside those that wait already."""
    details = "Too many answers wait to be read: read them, or ask for less at once"
    return Abort(StatusCode.RESOURCE_EXHAUSTED, details)


class Packed(bytes):
    """A message that is compressed: it may be a thousand times as large as it looks."""

    __slots__ = ()


def unpacked(message: Packed, encoding: bytes | None, limit: int | None) -> bytes:
    """Return a request message decompressed; Abort when that fails or gives over `limit` bytes."""
    unpacker = zlib.decompressobj(_WBITS[encoding or b""])
    try:
        # max_length 0 means no limit to zlib.
        plain = unpacker.decompress(message, 0 if limit is None else limit + 1)
    except zlib.error as error:
        raise Abort(StatusCode.INTERNAL, "a message that does not decompress") from error
    if limit is not None and len(plain) > limit:
        details = f"Received message larger than max (over {limit} decompressed)"
        raise Abort(StatusCode.RESOURCE_EXHAUSTED, details)
    if not unpacker.eof:
        raise Abort(StatusCode.INTERNAL, "a compressed message that is cut short")
    if unpacker.unused_data:
        raise Abort(StatusCode.INTERNAL, "a compressed message with bytes after its end")
    return plain


class Assembler:
    """Cuts a request body into messages; `single` allows one, and refuses the next unread."""

    __slots__ = ("_bytes", "_encoding", "_limit", "_single", "_spent", "_wanted")

    def __init__(self, encoding: bytes | None, limit: int | None, *, single: bool = False) -> None:
        self._bytes = bytearray()
        self._encoding = encoding
        self._limit = limit
        self._single = single
        self._spent = False
        self._wanted = PREFIX_BYTES

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that `data` completes, `Packed` ones among them; Abort for a fault."""
        held = self._bytes
        held += data
        at = 0
        while len(held) - at >= self._wanted:
            if self._wanted == PREFIX_BYTES:
                self._judge(held, at)
                if len(held) - at < self._wanted:
                    break
            end = at + self._wanted
            kind = Packed if held[at] else bytes
            message = kind(held[at + PREFIX_BYTES : end])
            at = end
            self._wanted = PREFIX_BYTES
            yield message
        del held[:at]

    @property
    def size(self) -> int:
        """Bytes held of a message that is not complete."""
        return len(self._bytes)

    @property
    def is_between_messages(self) -> bool:
        """Whether the body may end here."""
        return not self._bytes

    def _judge(self, held: bytearray, at: int) -> None:
        if self._spent:
            raise Abort(StatusCode.INTERNAL, "more than one request message")
        self._spent = self._single
        flag = held[at]
        if flag > 1:
            raise Abort(StatusCode.INTERNAL, f"message flag {flag} is neither 0 nor 1")
        if flag and self._encoding in {None, b"identity"}:
            raise Abort(StatusCode.INTERNAL, "a compressed message without a grpc-encoding")
        size = int.from_bytes(held[at + 1 : at + PREFIX_BYTES], "big")
        if self._limit is not None and size > self._limit:
            details = f"Received message larger than max ({size} vs. {self._limit})"
            raise Abort(StatusCode.RESOURCE_EXHAUSTED, details)
        self._wanted = PREFIX_BYTES + size
