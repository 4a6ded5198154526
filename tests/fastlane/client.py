"""A peer for the sans-IO core: makes a client's bytes and reads the server's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import hpack

from fastlane.h2 import Connection, Limits, frames

if TYPE_CHECKING:
    from fastlane.h2.events import Event

REQUEST: Final = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/test.Service/Method"),
    (b":authority", b"localhost"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
)

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A frame that was read."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error code of RST_STREAM or GOAWAY."""
        at = 4 if self.kind == frames.FrameType.GOAWAY else 0
        return int.from_bytes(self.payload[at : at + 4], "big")


def read_frames(data: bytes) -> list[Frame]:
    """Cut bytes into frames; the bytes must end where a frame does."""
    found = []
    at = 0
    while at < len(data):
        high, low, kind, flags, stream_id = frames.HEADER.unpack_from(data, at)
        size = high << 8 | low
        payload = data[at + 9 : at + 9 + size]
        assert len(payload) == size, "a frame that is cut short"
        found.append(Frame(kind=kind, flags=flags, stream_id=stream_id, payload=payload))
        at += 9 + size
    return found


class Client:
    """A client's HPACK state and the frames it builds."""

    def __init__(self) -> None:
        self.encoder = hpack.Encoder()

    def headers(
        self, stream_id: int, fields: Fields = REQUEST, *, end: bool = False, flags: int = 0
    ) -> bytes:
        """Return HEADERS with a whole field block."""
        block = self.encoder.encode(fields)
        flags |= frames.END_HEADERS | (frames.END_STREAM if end else 0)
        return frames.frame(frames.FrameType.HEADERS, flags, stream_id, block)

    @staticmethod
    def data(stream_id: int, payload: bytes = b"", *, end: bool = False, flags: int = 0) -> bytes:
        """Return DATA."""
        flags |= frames.END_STREAM if end else 0
        return frames.frame(frames.FrameType.DATA, flags, stream_id, payload)


class Pair(Client):
    """A client and the server connection it talks to, past the greeting."""

    def __init__(self, limits: Limits | None = None, *, greet: bool = True) -> None:
        super().__init__()
        self.now = 0.0
        self.server = Connection(limits=limits, now=self.now)
        if greet:
            self.send(frames.PREFACE, frames.settings({}), frames.SETTINGS_ACK)
            self.server.output()

    def send(self, *data: bytes) -> list[Event]:
        """Deliver bytes; returns the events."""
        return self.server.receive(b"".join(data), self.now)

    def read(self) -> list[Frame]:
        """Return the frames that the server has sent since."""
        return read_frames(self.server.output())

    def read_decoded(self, kind: int) -> list[Frame]:
        """Return those of one type."""
        return [frame for frame in self.read() if frame.kind == kind]


__all__ = ["REQUEST", "Client", "Frame", "Pair", "read_frames"]
