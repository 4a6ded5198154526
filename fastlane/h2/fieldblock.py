"""A field block as it arrives: HEADERS and the CONTINUATION frames behind it, made one again.

Between them no other frame may come (RFC 9113 section 4.3); how long it may get is bounded in bytes
and in frames (CVE-2024-27316).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlane.h2 import frames
from fastlane.h2.errors import ConnectionFault, ErrorCode

if TYPE_CHECKING:
    from fastlane.h2.limits import Limits

_PREFIXED: Final = frames.PADDED | frames.PRIORITY


class FieldBlock:
    """The block that is incomplete, if one is."""

    __slots__ = ("_flags", "_frames", "_limits", "_parts", "stream_id")

    def __init__(self, limits: Limits) -> None:
        self.stream_id: int | None = None
        """The stream whose block is incomplete: only CONTINUATION may follow."""
        self._limits = limits
        self._parts = b""
        self._flags = 0
        self._frames = 0

    def begin(self, flags: int, stream_id: int, payload: bytes) -> bytes | None:
        """Take HEADERS; returns the block if that is all of it."""
        if flags & _PREFIXED:
            payload = _without_prefix(flags, stream_id, payload)
        if flags & frames.END_HEADERS:
            return payload
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
        self.stream_id = stream_id
        self._parts = payload
        self._flags = flags
        self._frames = 0
        return None

    def go_on(self, flags: int, stream_id: int, payload: bytes) -> tuple[int, bytes] | None:
        """Take CONTINUATION; returns the flags of its HEADERS and the block if that ends it."""
        if self.stream_id is None or stream_id != self.stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION continues nothing")
        self._frames += 1
        self._parts += payload
        limits = self._limits
        if (
            len(self._parts) > limits.header_block_bytes
            or self._frames > limits.continuation_frames
        ):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "an endless field block")
        if not flags & frames.END_HEADERS:
            return None
        block, self._parts = self._parts, b""
        self.stream_id = None
        return self._flags, block


def _without_prefix(flags: int, stream_id: int, payload: bytes) -> bytes:
    """Take off padding and the deprecated priority fields."""
    payload = frames.without_padding(flags, payload)
    if not flags & frames.PRIORITY:
        return payload
    if len(payload) < 5:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS shorter than its priority")
    if int.from_bytes(payload[:4], "big") & frames.MAX_STREAM_ID == stream_id:
        # RFC 9113 ignores priority; RFC 7540 calls this a stream error, and as the block would
        # have to be decoded first, the connection pays for such a peer.
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")
    return payload[5:]
