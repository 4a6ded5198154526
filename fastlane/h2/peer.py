"""The peer's settings, checked as they arrive (RFC 9113 section 6.5.2)."""

from __future__ import annotations

import struct

from fastlane.h2.errors import ConnectionFault, ErrorCode
from fastlane.h2.frames import MAX_WINDOW, Setting


class PeerSettings:
    """What the peer allows us; the RFC's defaults until it says otherwise."""

    __slots__ = ("initial_window",)

    def __init__(self) -> None:
        self.initial_window = 65_535

    def apply(self, payload: bytes) -> int:
        """Take over one SETTINGS payload in its order; returns how far every send window moves."""
        before = self.initial_window
        for key, value in struct.iter_unpack(">HL", payload):
            self._set(key, value)
        return self.initial_window - before

    def _set(self, key: int, value: int) -> None:
        if key == Setting.INITIAL_WINDOW_SIZE:
            if value > MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "initial window over 2^31-1")
            self.initial_window = value
        elif key == Setting.MAX_FRAME_SIZE:
            # Checked and not used: we never send frames beyond 16 KiB, so that one stream's
            # answer does not hold up the others.
            if not 16_384 <= value <= 16_777_215:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "frame size setting out of range")
        elif key == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "push setting is neither 0 nor 1")
        # HEADER_TABLE_SIZE is met by never using the table, MAX_CONCURRENT_STREAMS by never
        # pushing. MAX_HEADER_LIST_SIZE is advice: whoever wants an answer without its trailers can
        # drop them as well as we could. Unknown settings are to be ignored.
