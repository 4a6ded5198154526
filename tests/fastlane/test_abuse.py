"""Attacks: each is objected to as the RFC says, and nobody else notices.

During every test and after it normal calls are answered within a second, on an old connection and on
fresh ones, and the server has not grown by more than a bound; at the end it stops by itself and has
printed no traceback.
"""

from __future__ import annotations

import contextlib
import gzip
import random
import socket
import time
from typing import TYPE_CHECKING, Final

import hpack
import pytest

from fastlane.h2 import ErrorCode, frames
from fastlane.h2.frames import FrameType, Setting
from tests.fastlane.attacker import STREAM, UNARY, Attacker
from tests.fastlane.honest import Honest
from tests.fastlane.processes import interop_server, server_on
from tests.interop.stubs import testing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psutil

GROWTH: Final = 64 * 1024 * 1024
CALM: Final = ErrorCode.ENHANCE_YOUR_CALM
EMPTY: Final = bytes(5)


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
    """Run a client beside them that has nothing to do with it."""
    with Honest(port, process.pid) as client:
        yield client


@pytest.fixture(autouse=True)
def unharmed(honest: Honest, process: psutil.Process) -> Iterator[None]:
    """Check that others are served during every attack and after it, and that memory is bounded."""
    honest.worst_since(time.monotonic())
    begun = time.monotonic()
    before = process.memory_info().rss
    yield
    kept, fresh = honest.worst_since(begun)
    assert kept < 1.0
    assert fresh < 1.0
    assert process.memory_info().rss - before < GROWTH


def rapid_reset(attacker: Attacker) -> None:
    """CVE-2023-44487."""
    ids = range(1, 20_001, 2)
    reset = ErrorCode.CANCEL
    attacker.send(
        b"".join(attacker.headers(one, UNARY) + frames.rst_stream(one, reset) for one in ids)
    )


def made_you_reset(attacker: Attacker) -> None:
    """CVE-2025-8671."""
    ids = range(1, 4_001, 2)
    attacker.send(
        b"".join(attacker.headers(one, UNARY) + frames.window_update(one, 0) for one in ids)
    )


def continuation_flood(attacker: Attacker) -> None:
    """CVE-2024-27316."""
    attacker.send(frames.frame(FrameType.HEADERS, 0, 1, b"\x82"))
    attacker.send(frames.frame(FrameType.CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 1_000) * 1_000)


def hpack_bomb(attacker: Attacker) -> None:
    """One long entry, referred to by a byte a time."""
    block = hpack.Encoder().encode([(b"x", b"y" * 3_900)]) + b"\xbe" * 16_000
    attacker.send(frames.frame(FrameType.HEADERS, frames.END_HEADERS, 1, block[:16_384]))


def flood_of(frame: bytes, *, opens: bool = False) -> Callable[[Attacker], None]:
    """Return a flood of one frame."""

    def attack(attacker: Attacker) -> None:
        if opens:
            attacker.send(attacker.headers(1, UNARY))
        for _ in range(20):
            attacker.send(frame * 5_000)

    return attack


def streams_at_once(attacker: Attacker) -> None:
    """20,000 of them, none ever finished."""
    attacker.send(b"".join(attacker.headers(one, UNARY) for one in range(1, 40_001, 2)))


FLOODS = [
    ("rapid reset", rapid_reset),
    ("resets provoked from the server", made_you_reset),
    ("CONTINUATION", continuation_flood),
    ("an HPACK bomb", hpack_bomb),
    ("PING", flood_of(frames.ping(bytes(8), ack=False))),
    ("SETTINGS", flood_of(frames.settings({}))),
    ("empty SETTINGS acknowledgements", flood_of(frames.SETTINGS_ACK)),
    ("PRIORITY", flood_of(frames.frame(FrameType.PRIORITY, 0, 1, bytes(5)))),
    ("empty DATA", flood_of(frames.frame(FrameType.DATA, 0, 1, b""), opens=True)),
    ("padding", flood_of(frames.frame(FrameType.DATA, 8, 1, b"\x03" + bytes(3)), opens=True)),
    ("unknown frames", flood_of(frames.frame(0xFA, 0, 0, b""))),
    ("windows by one", flood_of(frames.window_update(0, 1))),
    ("20,000 streams", streams_at_once),
]


@pytest.mark.parametrize(("story", "attack"), FLOODS, ids=[story for story, _ in FLOODS])
def test_a_flood_is_told_to_calm_down(
    port: int, story: str, attack: Callable[[Attacker], None]
) -> None:
    with Attacker(port) as attacker:
        attack(attacker)
        assert attacker.objection() == CALM, story
        assert attacker.closed


def test_a_call_that_is_refused_and_reset_at_once_harms_nobody(port: int) -> None:
    nowhere = tuple((n, b"/no/where" if n == b":path" else v) for n, v in UNARY)
    get = tuple((n, b"GET" if n == b":method" else v) for n, v in UNARY)
    with Attacker(port) as attacker:
        for stream_id, fields in ((1, nowhere), (3, get)):
            attacker.send(
                attacker.headers(stream_id, fields, end=True)
                + frames.rst_stream(stream_id, ErrorCode.CANCEL)
            )
        attacker.send(attacker.headers(5, UNARY) + attacker.data(5, EMPTY, end=True))
        assert attacker.status(5) == b"0"


VIOLATIONS = [
    ("an even stream", frames.frame(1, 5, 2, b"\x82"), ErrorCode.PROTOCOL_ERROR),
    ("DATA on an idle stream", frames.frame(0, 0, 7, b"x"), ErrorCode.PROTOCOL_ERROR),
    ("a window overflow", frames.window_update(0, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
    ("a huge frame", b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", ErrorCode.FRAME_SIZE_ERROR),
    ("a push", frames.frame(5, 4, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
]


@pytest.mark.parametrize(("story", "data", "code"), VIOLATIONS, ids=[v[0] for v in VIOLATIONS])
def test_an_illegal_act_is_always_objected_to(
    port: int, story: str, data: bytes, code: ErrorCode
) -> None:
    with Attacker(port) as attacker:
        attacker.send(data + bytes(300_000))  # unread input must not hide the objection
        assert attacker.objection() == code, story


def message(size: int) -> bytes:
    """Return a UnaryCall that asks for `size` bytes."""
    raw: bytes = testing.SimpleRequest(response_size=size).SerializeToString()
    return b"\x00" + len(raw).to_bytes(4, "big") + raw


def test_a_gzip_bomb_is_refused(port: int) -> None:
    bomb = gzip.compress(bytes(200 * 1024 * 1024), compresslevel=9)
    body = b"\x01" + len(bomb).to_bytes(4, "big") + bomb
    with Attacker(port) as attacker:
        attacker.send(attacker.headers(1, (*UNARY, (b"grpc-encoding", b"gzip"))))
        for at in range(0, len(body), 16_384):
            piece = body[at : at + 16_384]
            attacker.send(attacker.data(1, piece, end=at + 16_384 >= len(body)))
        assert attacker.status(1) == b"8"


@pytest.mark.parametrize(
    ("story", "body", "status"),
    [
        ("a length of 2 GiB", b"\x00\x80\x00\x00\x00", b"8"),
        ("a message cut short", b"\x00\x00\x00\x00\x05abc", b"13"),
        ("a prefix cut short", b"\x00\x00", b"13"),
        ("two messages", EMPTY * 2, b"13"),
        ("none", b"", b"13"),
        ("a flag that is none", b"\x07\x00\x00\x00\x00", b"13"),
        ("compressed without an encoding", b"\x01\x00\x00\x00\x00", b"13"),
        ("what is not a request", b"\x00\x00\x00\x00\x02\xff\xff", b"13"),
    ],
)
def test_a_broken_message_ends_its_call_alone(
    port: int, story: str, body: bytes, status: bytes
) -> None:
    with Attacker(port) as attacker:
        attacker.send(attacker.headers(1, UNARY) + attacker.data(1, body, end=True))
        assert attacker.status(1) == status, story
        attacker.send(attacker.headers(3, UNARY) + attacker.data(3, EMPTY, end=True))
        assert attacker.status(3) == b"0"


def test_a_length_of_2_gib_is_refused_before_it_is_sent(port: int) -> None:
    with Attacker(port) as attacker:
        attacker.send(attacker.headers(1, UNARY) + attacker.data(1, b"\x00\x80\x00\x00\x00"))
        assert attacker.status(1) == b"8"


def test_fields_over_the_limit_cost_only_their_stream(port: int) -> None:
    with Attacker(port) as attacker:
        large = tuple((b"x-%d" % number, b"y" * 3_000) for number in range(6))
        attacker.send(attacker.headers(1, (*UNARY, *large)))
        (reset,) = [one for one in attacker.read(until=3) if one.kind == FrameType.RST_STREAM]
        assert reset.code == CALM
        attacker.send(attacker.headers(3, UNARY) + attacker.data(3, EMPTY, end=True))
        assert attacker.status(3) == b"0"


def test_one_byte_at_a_time_is_served(port: int) -> None:
    with Attacker(port, greet=False) as attacker:
        call = attacker.headers(1, UNARY) + attacker.data(1, EMPTY, end=True)
        for byte in frames.PREFACE + frames.settings({}) + call:
            attacker.send(bytes((byte,)))
        assert attacker.status(1) == b"0"


def test_a_reader_with_a_window_of_one_gets_its_answer(port: int) -> None:
    with Attacker(port) as attacker:
        attacker.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: 1}))
        attacker.send(attacker.headers(1, UNARY) + attacker.data(1, message(20), end=True))
        received = b""
        while len(received) < 20:
            found = attacker.read(until=FrameType.DATA)
            bodies = [one.payload for one in found if one.kind == FrameType.DATA]
            assert [len(one) for one in bodies] == [1]
            received += b"".join(bodies)
            attacker.send(frames.window_update(1, 1))


def test_a_client_that_never_reads_is_not_buffered_for(port: int) -> None:
    """Ask for 8 GB and read nothing; the fixture's honest call and its bound are the proof."""
    with Attacker(port, patience=1.0) as attacker:
        attacker.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: 2**31 - 1}))
        attacker.send(frames.window_update(0, 2**31 - 1 - 65_535))
        parameters = [testing.ResponseParameters(size=1_000_000)] * 400
        raw = testing.StreamingOutputCallRequest(response_parameters=parameters)
        body = raw.SerializeToString()
        prefix = b"\x00" + len(body).to_bytes(4, "big")
        for stream_id in range(1, 41, 2):
            attacker.send(attacker.headers(stream_id, STREAM))
            attacker.send(attacker.data(stream_id, prefix + body, end=True))
        attacker.send(frames.ping(bytes(8), ack=False) * 5_000)


def test_unfinished_uploads_are_bounded(port: int) -> None:
    with Attacker(port) as attacker:
        for stream_id in range(1, 257 * 2, 2):
            attacker.send(attacker.headers(stream_id, UNARY))
            attacker.send(attacker.data(stream_id, b"\x00\x00\x3f\x00\x00" + bytes(16_000)))
        assert attacker.objection() is None


def opening(number: int) -> bytes:
    """Return what a connection says that never gets further."""
    return frames.PREFACE[: number % 24] if number % 2 else b""


def settled(_number: int) -> bytes:
    """Return what a connection says that is idle by right."""
    return frames.PREFACE + frames.settings({}) + frames.SETTINGS_ACK


@pytest.mark.parametrize("says", [opening, settled])
def test_thousands_of_connections_without_calls_cost_little(
    port: int, process: psutil.Process, says: Callable[[int], bytes]
) -> None:
    before = process.memory_info().rss
    with contextlib.ExitStack() as stack:
        for number in range(3_000):
            idle = socket.create_connection(("127.0.0.1", port), timeout=5)
            stack.callback(idle.close)
            idle.sendall(says(number))
        with Attacker(port) as attacker:
            attacker.send(attacker.headers(1, UNARY) + attacker.data(1, EMPTY, end=True))
            assert attacker.status(1) == b"0"
        # 10 KiB, most of them the HPACK table, the event loop's transport and the core's parts.
        assert process.memory_info().rss - before < 3_000 * 16 * 1024


@pytest.mark.parametrize("greet", [True, False])
def test_random_bytes_are_answered_or_dropped(port: int, greet: bool) -> None:
    noise = random.Random(7)  # noqa: S311 - no secret
    for _ in range(30):
        with Attacker(port, greet=greet, patience=0.2) as attacker:
            attacker.send(noise.randbytes(noise.randrange(1, 3_000)))
            attacker.objection()


def test_what_speaks_http_1_is_told_and_closed(port: int) -> None:
    with Attacker(port, greet=False) as attacker:
        attacker.send(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert attacker.objection() == ErrorCode.PROTOCOL_ERROR
        assert attacker.closed
