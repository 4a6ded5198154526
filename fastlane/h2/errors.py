"""What can go wrong on a connection, and how far the damage reaches (RFC 9113 sections 5.4 and 7).

A fault is always the peer's: it ends one stream (RST_STREAM) or the whole connection (GOAWAY).
Our own misuse of the core raises `LocalError`, which is a bug of the caller and is never sent.
"""

from __future__ import annotations

from enum import IntEnum


class ErrorCode(IntEnum):
    """Error codes of RST_STREAM and GOAWAY (RFC 9113 section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class Fault(Exception):  # noqa: N818 - the peer's fault, not an error of this program
    """The peer broke the protocol: `code` for the wire, `reason` for a person."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class ConnectionFault(Fault):
    """The whole connection is lost: GOAWAY, then close (RFC 9113 section 5.4.1)."""


class StreamFault(Fault):
    """One stream is lost: RST_STREAM; the rest goes on (RFC 9113 section 5.4.2)."""


class LocalError(Exception):
    """The caller asked for a frame that its stream's state forbids."""
