"""A client that speaks HTTP/2 over a socket and keeps no rule it is not told to keep."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Final, Self

import hpack

from fastlane.h2 import frames
from fastlane.h2.frames import FrameType
from tests.fastlane.client import Client, Frame

if TYPE_CHECKING:
    from types import TracebackType

UNARY: Final = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/grpc.testing.TestService/UnaryCall"),
    (b":authority", b"localhost"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
)
STREAM: Final = tuple(
    (name, b"/grpc.testing.TestService/StreamingOutputCall" if name == b":path" else value)
    for name, value in UNARY
)
_CHUNK: Final = 65_536


class Attacker(Client):
    """One connection; reading and writing end when the server ends them."""

    def __init__(self, port: int, *, greet: bool = True, patience: float = 3.0) -> None:
        super().__init__()
        self.decoder = hpack.Decoder()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=patience)
        self.patience = patience
        self._unread = b""
        self.closed = False
        if greet:
            self.send(frames.PREFACE + frames.settings({}) + frames.SETTINGS_ACK)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> int:
        """Send until all is sent, or the server stops taking it; returns how much went."""
        sent = 0
        with contextlib.suppress(OSError):
            while sent < len(data):
                sent += self._socket.send(data[sent : sent + _CHUNK])
        return sent

    def read(self, *, until: int | None = None) -> list[Frame]:
        """Read frames until one of this type, the end of the connection, or a timeout."""
        found: list[Frame] = []
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline and not self.closed:
            found += self._cut()
            if until is not None and any(one.kind == until for one in found):
                break
            self._receive()
        return found + self._cut()

    def objection(self) -> int | None:
        """Return the code of the GOAWAY that the server ends the connection with, if it does."""
        codes = [one.code for one in self.read() if one.kind == FrameType.GOAWAY]
        return codes[-1] if codes else None

    def status(self, stream_id: int) -> bytes | None:
        """Read a call's grpc-status."""
        status: bytes | None = None
        deadline = time.monotonic() + self.patience
        while status is None and time.monotonic() < deadline and not self.closed:
            for one in self._cut():
                if one.kind == FrameType.HEADERS:
                    fields = dict(self.decoder.decode(one.payload, raw=True))
                    if one.stream_id == stream_id:
                        status = fields.get(b"grpc-status", status)
            if status is None:
                self._receive()
        return status

    def glance(self) -> None:
        """Throw away what has come so far, and notice the end."""
        self._socket.setblocking(False)
        try:
            while data := self._socket.recv(_CHUNK):
                del data
            self.closed = True
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True
        self._socket.settimeout(self.patience)

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except TimeoutError:
            return
        except OSError:
            data = b""
        self.closed = not data
        self._unread += data

    def _cut(self) -> list[Frame]:
        found: list[Frame] = []
        data, at = self._unread, 0
        while len(data) - at >= 9:
            high, low, kind, flags, stream_id = frames.HEADER.unpack_from(data, at)
            end = at + 9 + (high << 8 | low)
            if end > len(data):
                break
            payload = data[at + 9 : end]
            found.append(Frame(kind=kind, flags=flags, stream_id=stream_id, payload=payload))
            at = end
        self._unread = data[at:]
        return found
