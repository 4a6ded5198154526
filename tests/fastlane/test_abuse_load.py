"""Attacks that go on: connections in numbers that make the server work, or make it hold memory.

Each lasts for seconds. All the while an honest client in a process of its own calls, on a connection
it had before and on fresh ones, and never waits for long; and the server stays small.
"""

from __future__ import annotations

import contextlib
import gzip
import time
from typing import TYPE_CHECKING, Any, Final

import hpack
import pytest

from fastlane.h2 import frames
from fastlane.h2.frames import FrameType
from tests.fastlane.attacker import UNARY, Attacker
from tests.fastlane.crowd import Crowd
from tests.fastlane.honest import Honest
from tests.fastlane.processes import interop_server, server_on
from tests.interop.stubs import testing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psutil

    from tests.fastlane.client import Fields

SECONDS: Final = 3.0
# How long anybody may wait for an attack of ten connections, in CPU time of the server, and for one
# of more: each is read from once, for as long as 5 ms, before it is the others' turn again.
WAIT_OF_TEN: Final = 0.3
WAIT_OF_MORE: Final = 0.6
# Sixteen messages of the largest size are 64 MiB, and as much again while they are unpacked.
GROWTH: Final = 160 * 1024 * 1024
EMPTY: Final = bytes(5)
_ENCODER: Final = hpack.Encoder()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Run one server for all attacks."""
    with interop_server() as number:
        yield number


@pytest.fixture(scope="module")
def process(port: int) -> psutil.Process:
    """Return the server's process."""
    return server_on(port)


@pytest.fixture(scope="module")
def honest(port: int, process: psutil.Process) -> Iterator[Honest]:
    """Run the honest client beside all of them."""
    with Honest(port, process.pid) as client:
        yield client


@pytest.fixture(autouse=True)
def unharmed(
    honest: Honest, process: psutil.Process, request: pytest.FixtureRequest
) -> Iterator[None]:
    """Check that nobody honest waited during the attack, and that memory is bounded."""
    parameters = getattr(request.node, "callspec", None)
    size = parameters.params["size"] if parameters is not None else 10
    limit = WAIT_OF_TEN if size <= 10 else WAIT_OF_MORE
    honest.worst_since(time.monotonic())
    begun = time.monotonic()
    before = process.memory_info().rss
    yield
    kept, fresh = honest.worst_since(begun)
    grown = process.memory_info().rss - before
    print(f"kept {kept:.3f} s, fresh {fresh:.3f} s, grown by {grown / 2**20:.0f} MiB")
    assert kept < limit
    assert fresh < limit
    assert grown < GROWTH


def literal(name: bytes, value: bytes) -> bytes:
    """Return a field that is not indexed."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def inserted(name: bytes, value: bytes) -> bytes:
    """Return a field that goes into the table, in Huffman's code: the dearest to read."""
    name, value = (_ENCODER.huffman_coder.encode(one) for one in (name, value))
    return b"\x40" + bytes([0x80 | len(name)]) + name + bytes([0x80 | len(value)]) + value


CALL: Final = (
    b"\x83\x86"
    + literal(b":path", b"/grpc.testing.TestService/EmptyCall")
    + literal(b":authority", b"x")
    + literal(b"content-type", b"application/grpc")
    + literal(b"te", b"trailers")
)
LARGE: Final = CALL + b"".join(inserted(b"y-%03d" % k, b"0" * 60) for k in range(158))
OVER: Final = CALL + b"".join(inserted(b"z-%03d" % k, b"0" * 20) for k in range(330))
BY_TWO: Final = CALL + b"\x50\x00" * 390


def heads(block: bytes) -> Callable[[Attacker, int], bytes]:
    """Return what makes calls with this field block."""

    def make(_attacker: Attacker, stream_id: int) -> bytes:
        head = frames.frame(FrameType.HEADERS, frames.END_HEADERS, stream_id, block)
        return head + Attacker.data(stream_id, EMPTY, end=True)

    return make


def bomb(message: Any) -> bytes:
    """Return a message with all the zeros that it may have, compressed."""
    message.payload.body = bytes(4 * 1024 * 1024 - 64)
    body = gzip.compress(message.SerializeToString(), 9)
    return b"\x01" + len(body).to_bytes(4, "big") + body


GZIPPED: Final = (b"grpc-encoding", b"gzip")
UNARY_BOMB: Final = bomb(testing.SimpleRequest())
STREAM_BOMB: Final = bomb(testing.StreamingInputCallRequest())
DUPLEX_BOMB: Final = bomb(testing.StreamingOutputCallRequest())


def bombs(attacker: Attacker, stream_id: int) -> bytes:
    """Make calls whose messages unpack to the most that is allowed."""
    head = attacker.headers(stream_id, (*UNARY, GZIPPED))
    return head + attacker.data(stream_id, UNARY_BOMB, end=True)


def reset_later(attacker: Attacker, stream_id: int) -> bytes:
    """Make calls and reset those of a while ago."""
    call = attacker.headers(stream_id, UNARY) + attacker.data(stream_id, EMPTY, end=True)
    return call + (frames.rst_stream(stream_id - 200, 8) if stream_id > 200 else b"")


FLOODS = [
    ("large heads that fill the table", heads(LARGE), 10, False),
    ("large heads that fill the table", heads(LARGE), 40, False),
    ("heads over the limit", heads(OVER), 10, False),
    ("insertions by two bytes", heads(BY_TWO), 10, False),
    ("large heads of peers that leave", heads(LARGE), 10, True),
    ("messages that unpack to 4 MiB", bombs, 10, False),
    ("small calls", heads(CALL), 40, False),
    ("small calls of peers that leave", heads(CALL), 10, True),
    ("calls reset a while later", reset_later, 10, False),
]


@pytest.mark.parametrize(
    ("story", "make", "size", "reconnects"),
    FLOODS,
    ids=[f"{story}, {size}" for story, _, size, _ in FLOODS],
)
def test_a_flood_delays_nobody_else(
    port: int,
    story: str,
    make: Callable[[Attacker, int], bytes],
    size: int,
    reconnects: bool,
) -> None:
    crowd = Crowd(port, make, size=size, seconds=SECONDS, reconnects=reconnects)
    crowd.join()
    assert crowd.sent > 100_000, f"{story} was no flood"


def path(method: bytes) -> Fields:
    """Return the fields of a call of compressed messages."""
    full = b"/grpc.testing.TestService/" + method
    return (*((n, full if n == b":path" else v) for n, v in UNARY), GZIPPED)


def test_unread_messages_of_streams_are_not_unpacked(port: int, process: psutil.Process) -> None:
    """Send bombs to handlers that are busy with a first message for a minute."""
    parameters = [testing.ResponseParameters(size=1, interval_us=60_000_000)]
    raw = testing.StreamingOutputCallRequest(response_parameters=parameters).SerializeToString()
    first = b"\x00" + len(raw).to_bytes(4, "big") + raw
    before = process.memory_info().rss
    with contextlib.ExitStack() as stack:
        attackers = [stack.enter_context(Attacker(port)) for _ in range(20)]
        for attacker in attackers:
            attacker.send(attacker.headers(1, path(b"FullDuplexCall")) + attacker.data(1, first))
            attacker.send(attacker.data(1, DUPLEX_BOMB) * 15)
            attacker.send(frames.ping(b"are over", ack=False))
        for attacker in attackers:
            assert any(one.payload == b"are over" for one in attacker.read(until=FrameType.PING))
        assert process.memory_info().rss - before < 16 * 1024 * 1024


def test_readers_of_large_messages_take_turns(port: int) -> None:
    """Have 200 handlers of five connections read what unpacks to 4 MiB each."""
    with contextlib.ExitStack() as stack:
        attackers = [stack.enter_context(Attacker(port, patience=20.0)) for _ in range(5)]
        for attacker in attackers:
            for stream_id in range(1, 81, 2):
                attacker.send(attacker.headers(stream_id, path(b"StreamingInputCall")))
                attacker.send(attacker.data(stream_id, STREAM_BOMB, end=True))
        for attacker in attackers:
            assert attacker.status(79) in {b"0", b"8"}
