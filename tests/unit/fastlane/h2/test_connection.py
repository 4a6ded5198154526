"""The connection as a whole: greeting, settings, pings, drain, and what each violation costs."""

from __future__ import annotations

import pytest

from fastlane.h2 import ErrorCode, Limits, frames
from fastlane.h2.events import (
    ConnectionFailed,
    DataReceived,
    GoAwayReceived,
    PingAnswered,
    PingReceived,
    RequestReceived,
    StreamReset,
    TrailersReceived,
    WholeRequest,
)
from fastlane.h2.frames import FrameType, Setting
from tests.fastlane.client import REQUEST, Pair, read_frames

CONTINUATION = FrameType.CONTINUATION
SETTINGS = frames.settings


def raw(kind: int, payload: bytes = b"", *, flags: int = 0, stream_id: int = 0) -> bytes:
    """Return any frame at all."""
    return frames.frame(kind, flags, stream_id, payload)


def test_the_server_greets_first_with_its_limits() -> None:
    pair = Pair(Limits(concurrent_streams=7, header_list_bytes=9_000), greet=False)
    first, second = pair.read()
    assert first.kind == FrameType.SETTINGS
    assert (Setting.MAX_CONCURRENT_STREAMS).to_bytes(2, "big") + bytes(
        (0, 0, 0, 7)
    ) in first.payload
    assert (second.kind, second.stream_id) == (FrameType.WINDOW_UPDATE, 0)


def test_settings_are_acknowledged_at_once() -> None:
    pair = Pair()
    pair.send(SETTINGS({Setting.MAX_FRAME_SIZE: 20_000}))
    assert [(one.kind, one.flags) for one in pair.read()] == [(FrameType.SETTINGS, frames.ACK)]


def test_a_ping_is_answered_with_its_payload() -> None:
    pair = Pair()
    assert pair.send(raw(FrameType.PING, b"12345678")) == [PingReceived()]
    (answer,) = pair.read()
    assert (answer.kind, answer.flags, answer.payload) == (FrameType.PING, frames.ACK, b"12345678")


def test_an_answer_to_a_ping_is_told_and_not_answered() -> None:
    pair = Pair()
    pair.server.ping(b"abcdefgh")
    pair.read()
    events = pair.send(raw(FrameType.PING, b"abcdefgh", flags=frames.ACK))
    assert events == [PingAnswered(b"abcdefgh")]
    assert pair.read() == []


def test_a_goaway_of_the_peer_is_told() -> None:
    events = Pair().send(frames.goaway(0, 11, b"why"))
    assert events == [GoAwayReceived(11, b"why")]


def test_unknown_frames_flags_and_settings_are_ignored() -> None:
    pair = Pair()
    unknown = b"\x00\x99\x00\x00\x00\x01"
    pair.send(raw(0x55, b"abc", stream_id=9), raw(FrameType.SETTINGS, unknown))
    assert not pair.server.failed
    assert len(pair.send(pair.headers(1, end=True, flags=0x40))) == 1


VIOLATIONS = [
    ("DATA on stream 0", raw(0, b"x"), ErrorCode.PROTOCOL_ERROR),
    ("DATA on an idle stream", raw(0, b"x", stream_id=1), ErrorCode.PROTOCOL_ERROR),
    ("HEADERS on stream 0", raw(1, b"\x82", flags=4), ErrorCode.PROTOCOL_ERROR),
    ("HEADERS on an even stream", raw(1, b"\x82", flags=4, stream_id=2), ErrorCode.PROTOCOL_ERROR),
    ("HEADERS that cannot be decoded", raw(1, b"\x80", flags=5, stream_id=1), 9),
    ("a priority that is cut short", raw(1, b"\x00", flags=0x24, stream_id=1), 6),
    ("PRIORITY on stream 0", raw(2, bytes(5)), ErrorCode.PROTOCOL_ERROR),
    ("PRIORITY of four bytes", raw(2, bytes(4), stream_id=1), ErrorCode.FRAME_SIZE_ERROR),
    ("PRIORITY on itself", raw(2, b"\0\0\0\1\0", stream_id=1), ErrorCode.PROTOCOL_ERROR),
    ("RST_STREAM on stream 0", raw(3, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    ("RST_STREAM on an idle stream", raw(3, bytes(4), stream_id=1), ErrorCode.PROTOCOL_ERROR),
    ("RST_STREAM of three bytes", raw(3, bytes(3), stream_id=1), ErrorCode.FRAME_SIZE_ERROR),
    ("SETTINGS on a stream", raw(4, stream_id=1), ErrorCode.PROTOCOL_ERROR),
    ("SETTINGS of five bytes", raw(4, bytes(5)), ErrorCode.FRAME_SIZE_ERROR),
    ("an acknowledgement with settings", raw(4, bytes(6), flags=1), ErrorCode.FRAME_SIZE_ERROR),
    ("push neither 0 nor 1", SETTINGS({Setting.ENABLE_PUSH: 2}), ErrorCode.PROTOCOL_ERROR),
    ("a frame size too small", SETTINGS({Setting.MAX_FRAME_SIZE: 16_383}), 1),
    ("a frame size too large", SETTINGS({Setting.MAX_FRAME_SIZE: 2**24}), 1),
    ("a window too large", SETTINGS({Setting.INITIAL_WINDOW_SIZE: 2**31}), 3),
    ("PUSH_PROMISE", raw(5, bytes(4), stream_id=1), ErrorCode.PROTOCOL_ERROR),
    ("PING on a stream", raw(6, bytes(8), stream_id=1), ErrorCode.PROTOCOL_ERROR),
    ("PING of six bytes", raw(6, bytes(6)), ErrorCode.FRAME_SIZE_ERROR),
    ("GOAWAY on a stream", raw(7, bytes(8), stream_id=1), ErrorCode.PROTOCOL_ERROR),
    ("GOAWAY of four bytes", raw(7, bytes(4)), ErrorCode.FRAME_SIZE_ERROR),
    ("WINDOW_UPDATE on an idle stream", raw(8, b"\0\0\0\1", stream_id=1), 1),
    ("WINDOW_UPDATE by nothing", raw(8, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    ("WINDOW_UPDATE of three bytes", raw(8, bytes(3)), ErrorCode.FRAME_SIZE_ERROR),
    ("a window overflow", frames.window_update(0, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
    ("CONTINUATION of nothing", raw(9, b"\x82", flags=4, stream_id=1), 1),
    ("a frame over the size limit", b"\x00\x40\x01\x00\x00\x00\x00\x00\x01", 6),
]


@pytest.mark.parametrize(("story", "data", "code"), VIOLATIONS)
def test_a_violation_ends_the_connection_with_its_code(story: str, data: bytes, code: int) -> None:
    pair = Pair()
    (event,) = pair.send(data)
    assert isinstance(event, ConnectionFailed), story
    assert event.code == code
    goaway = pair.read()[-1]
    assert (goaway.kind, goaway.code) == (FrameType.GOAWAY, code)
    assert pair.send(pair.headers(1)) == [], "nothing is read after a failure"


@pytest.mark.parametrize("between", [raw(6, bytes(8)), raw(0x55), raw(9, stream_id=3)])
def test_nothing_may_interrupt_a_field_block(between: bytes) -> None:
    pair = Pair()
    (event,) = pair.send(raw(1, b"\x82", flags=1, stream_id=1), between)
    assert isinstance(event, ConnectionFailed)
    assert event.code is ErrorCode.PROTOCOL_ERROR


def test_settings_must_come_first() -> None:
    pair = Pair(greet=False)
    (event,) = pair.send(frames.PREFACE, raw(6, bytes(8)))
    assert isinstance(event, ConnectionFailed)


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nXX", b"\x16\x03"])
def test_what_is_not_http2_is_told_so(start: bytes) -> None:
    pair = Pair(greet=False)
    pair.read()
    (event,) = pair.send(start)
    assert isinstance(event, ConnectionFailed)
    assert pair.read()[-1].code == ErrorCode.PROTOCOL_ERROR


def test_a_preface_may_come_byte_by_byte() -> None:
    pair = Pair(greet=False)
    for byte in frames.PREFACE + SETTINGS({}) + pair.headers(1, end=True):
        events = pair.send(bytes((byte,)))
    assert [type(event) for event in events] == [RequestReceived]


def test_a_frame_is_judged_by_its_header_alone() -> None:
    pair = Pair()
    (event,) = pair.send(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01")
    assert isinstance(event, ConnectionFailed)


def test_a_drain_loses_no_stream_that_was_opened_before_it_was_heard_of() -> None:
    pair = Pair()
    pair.server.drain()
    first, ping = pair.read()
    assert (first.kind, first.payload[:4]) == (FrameType.GOAWAY, b"\x7f\xff\xff\xff")
    (event,) = pair.send(pair.headers(1, end=True))
    assert isinstance(event, RequestReceived)
    pair.send(raw(FrameType.PING, ping.payload, flags=frames.ACK))
    (last,) = pair.read()
    assert (last.kind, last.payload[:4], last.code) == (FrameType.GOAWAY, b"\x00\x00\x00\x01", 0)
    assert not pair.server.drained
    assert pair.send(pair.headers(3, end=True)) == [], "too late: not served"
    pair.server.send_headers(event.stream, b"\x88")
    pair.server.end(event.stream)
    assert pair.server.drained


def test_a_drain_without_an_answer_can_be_finished() -> None:
    pair = Pair()
    pair.server.drain()
    pair.server.finish_drain()
    pair.server.finish_drain()
    assert [one.kind for one in pair.read()] == [FrameType.GOAWAY, FrameType.PING, FrameType.GOAWAY]
    assert pair.server.drained


def test_abandoning_says_why() -> None:
    pair = Pair()
    pair.server.abandon(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")
    (goaway,) = pair.read()
    assert goaway.payload.endswith(b"too_many_pings")
    assert pair.server.failed


def test_a_whole_request_in_one_piece_is_one_event_once_its_block_is_known() -> None:
    pair = Pair()
    kinds = []
    for stream_id in (1, 3, 5):
        events = pair.send(pair.headers(stream_id), pair.data(stream_id, b"abc", end=True))
        kinds.append([type(event) for event in events])
    assert kinds == [[RequestReceived, DataReceived]] * 2 + [[WholeRequest]]


def test_trailers_end_a_request() -> None:
    pair = Pair()
    pair.send(pair.headers(1))
    (event,) = pair.send(pair.headers(1, ((b"x-sum", b"1"),), end=True))
    assert isinstance(event, TrailersReceived)
    assert event.fields == ((b"x-sum", b"1"),)


@pytest.mark.parametrize(
    ("story", "fields"),
    [("pseudo-fields", REQUEST), ("a connection field", ((b"connection", b"close"),))],
)
def test_malformed_trailers_cost_the_stream(story: str, fields: tuple[tuple[bytes, bytes]]) -> None:
    pair = Pair()
    pair.send(pair.headers(1))
    (event,) = pair.send(pair.headers(1, fields, end=True))
    assert isinstance(event, StreamReset), story
    (reset,) = pair.read()
    assert (reset.kind, reset.code) == (FrameType.RST_STREAM, ErrorCode.PROTOCOL_ERROR)


def test_output_is_handed_over_once() -> None:
    pair = Pair()
    pair.send(raw(6, bytes(8)))
    assert pair.server.has_output
    assert len(read_frames(pair.server.output())) == 1
    assert pair.server.output() == b""
    assert not pair.server.has_output
