"""A client of the rate-limit service that sends another body with each call, which h2load cannot.

HTTP/2 by hand, and no more of it than our own server asks for. It is no faster than it must be:
what counts in a bench is the CPU time of the service, taken from its process.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import hpack

from bench.load import CONNECTIONS, STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

METHOD: Final = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
_SECONDS: Final = 300  # a bench that takes longer hangs

# RFC 9113, section 6.
_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER: Final = struct.Struct(">BHBBL")  # length in 8 and 16 bits, type, flags, stream
_MOST_WINDOW: Final = 2**31 - 1 - 65_535
_CODE_AT: Final = 5 + 1  # behind the header of the message and the tag of overall_code
_PASSED: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What came of calls: how many passed, and the seconds that all took."""

    calls: int
    passed: int
    seconds: float


def body(message: bytes) -> bytes:
    """Return a message as gRPC sends it."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return one HTTP/2 frame."""
    size = len(payload)
    return _HEADER.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


class Caller(asyncio.Protocol):
    """One connection, which keeps a number of calls in flight."""

    def __init__(self, bodies: Iterator[bytes]) -> None:
        self.passed = 0
        self.last = b""  # the latest answer
        self._bodies = bodies
        self._unsent = self._unanswered = 0
        self._stream = 1
        self._unread = b""
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.WriteTransport
        fields = (
            (":method", "POST"), (":scheme", "http"), (":path", METHOD),
            (":authority", "127.0.0.1"), ("content-type", "application/grpc"), ("te", "trailers"),
        )  # fmt: skip
        # Never indexed, so that the block is the same every time.
        never = [hpack.NeverIndexedHeaderTuple(*field) for field in fields]
        self._block = hpack.Encoder().encode(never, huffman=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce ourselves."""
        self._transport = cast("asyncio.WriteTransport", transport)
        window = frame(_WINDOW, 0, 0, _MOST_WINDOW.to_bytes(4, "big"))
        self._transport.write(_PREFACE + frame(_SETTINGS, 0, 0, b"") + window)

    async def call(self, calls: int, streams: int) -> None:
        """Make so many calls, so many of them at a time; return when all are answered."""
        self._done = asyncio.get_running_loop().create_future()
        self._unsent = self._unanswered = calls
        self._send(streams)
        await asyncio.wait_for(self._done, _SECONDS)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Count the answers, and send as many calls as were answered."""
        data = self._unread + data
        at, answered = 0, 0
        while at + 9 <= len(data):
            high, low, kind, flags, _ = _HEADER.unpack_from(data, at)
            end = at + 9 + (high << 16) + low
            if end > len(data):
                break
            if kind == _DATA:
                answered += 1
                self.last = data[at + 9 : end]
                self.passed += self.last[_CODE_AT] == _PASSED
            elif kind == _GOAWAY or (kind == _HEADERS and flags & _END_STREAM and not answered):
                self._fail("the service refuses calls")  # one that fails has no message
            elif kind in (_SETTINGS, _PING) and not flags & _ACK:
                payload = data[at + 9 : end] if kind == _PING else b""
                self._transport.write(frame(kind, _ACK, 0, payload))
            at = end
        self._unread = data[at:]
        self._unanswered -= answered
        if self._unsent and answered:
            self._send(answered)
        elif not self._unanswered and not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Fail, if calls are unanswered."""
        if self._unanswered:
            self._fail("the service closed the connection")

    def _send(self, count: int) -> None:
        frames = []
        for _ in range(min(count, self._unsent)):
            frames.append(frame(_HEADERS, _END_HEADERS, self._stream, self._block))
            frames.append(frame(_DATA, _END_STREAM, self._stream, next(self._bodies)))
            self._stream += 2
        self._unsent -= len(frames) // 2
        self._transport.write(b"".join(frames))

    def _fail(self, why: str) -> None:
        if not self._done.done():
            self._done.set_exception(RuntimeError(why))


async def connected(port: int, bodies: Iterator[bytes], connections: int) -> list[Caller]:
    """Return so many callers, connected, that take their bodies in turn."""
    loop = asyncio.get_running_loop()
    callers = []
    for _ in range(connections):
        _, caller = await loop.create_connection(lambda: Caller(bodies), "127.0.0.1", port)
        callers.append(caller)
    return callers


async def call(
    port: int,
    bodies: Iterator[bytes],
    calls: int,
    *,
    connections: int = CONNECTIONS,
    streams: int = STREAMS,
) -> Answers:
    """Make `calls` calls over these connections, `streams` in flight on each."""
    loop = asyncio.get_running_loop()
    callers = await connected(port, bodies, connections)
    started = loop.time()
    try:
        await asyncio.gather(*[caller.call(calls // connections, streams) for caller in callers])
    finally:
        for caller in callers:
            caller.close()
    passed = sum(caller.passed for caller in callers)
    return Answers(calls=calls, passed=passed, seconds=loop.time() - started)
