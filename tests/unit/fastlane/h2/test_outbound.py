"""The sending half: windows are kept, order is kept, and streams take turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlane.h2 import ErrorCode, blocks, frames
from fastlane.h2.errors import LocalError
from fastlane.h2.events import ConnectionFailed, RequestReceived, SendQueueDrained, StreamReset
from fastlane.h2.frames import FrameType, Setting
from tests.fastlane.client import Frame, Pair

if TYPE_CHECKING:
    from fastlane.h2.stream import Stream

HEAD = blocks.Constant([(b":status", b"200")])
TAIL = blocks.Constant([(b"grpc-status", b"0")])


def opened(pair: Pair, stream_id: int = 1, *, end: bool = True) -> Stream:
    """Open a stream and return it."""
    (event,) = pair.send(pair.headers(stream_id, end=end))
    assert isinstance(event, RequestReceived)
    return event.stream


def windowed(window: int) -> Pair:
    """Return a pair whose client gives every stream this window."""
    pair = Pair()
    pair.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: window}))
    pair.read()
    return pair


def bodies(found: list[Frame], stream_id: int = 1) -> list[int]:
    """Return the sizes of the DATA frames of a stream."""
    return [len(f.payload) for f in found if f.kind == FrameType.DATA and f.stream_id == stream_id]


def test_a_whole_response_is_three_frames() -> None:
    pair = Pair()
    stream = opened(pair)
    pair.server.respond(stream, HEAD, b"12345", b"body", TAIL)
    found = pair.read()
    assert [(one.kind, one.flags, one.payload) for one in found] == [
        (FrameType.HEADERS, frames.END_HEADERS, HEAD.block),
        (FrameType.DATA, 0, b"12345body"),
        (FrameType.HEADERS, frames.END_HEADERS | frames.END_STREAM, TAIL.block),
    ]
    assert not pair.server.streams


def test_a_whole_response_waits_for_the_window_like_any_other() -> None:
    pair = windowed(3)
    stream = opened(pair)
    pair.server.respond(stream, HEAD, b"12345", b"body", TAIL)
    assert bodies(pair.read()) == [3]
    pair.send(frames.window_update(1, 5))
    assert bodies(pair.read()) == [5]
    pair.send(frames.window_update(1, 5))
    found = pair.read()
    assert [one.kind for one in found] == [FrameType.DATA, FrameType.HEADERS]
    assert found[-1].flags & frames.END_STREAM


def test_an_empty_end_rides_on_the_last_data() -> None:
    pair = windowed(0)
    stream = opened(pair)
    pair.server.send_headers(stream, HEAD.block)
    pair.server.send_data(stream, b"abc")
    pair.server.end(stream)
    pair.read()
    pair.send(frames.window_update(1, 10))
    (only,) = pair.read()
    assert (only.flags, only.payload) == (frames.END_STREAM, b"abc")


def test_a_window_may_go_below_zero() -> None:
    pair = windowed(3)
    stream = opened(pair)
    pair.server.send_headers(stream, HEAD.block)
    pair.server.send_data(stream, b"abcdef")
    assert bodies(pair.read()) == [3]
    pair.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: 1}))
    pair.send(frames.window_update(1, 2))
    assert bodies(pair.read()) == [], "three sent, one allowed, two more: none left"
    pair.send(frames.window_update(1, 1))
    assert bodies(pair.read()) == [1]


def test_the_connections_window_is_shared_in_turns() -> None:
    pair = Pair()
    greedy, *others = [opened(pair, stream_id) for stream_id in (1, 3, 5)]
    for stream in (greedy, *others):
        pair.server.send_headers(stream, HEAD.block)
    pair.server.send_data(greedy, bytes(65_535))
    for stream in others:
        pair.server.send_data(stream, bytes(40_000))
    pair.read()
    pair.send(frames.window_update(0, 4 * 16_384))
    found = pair.read_decoded(FrameType.DATA)
    assert [one.stream_id for one in found] == [3, 5, 3, 5]


def test_a_writer_is_told_to_wait_and_when_to_go_on() -> None:
    pair = windowed(10)
    stream = opened(pair)
    pair.server.send_headers(stream, HEAD.block)
    assert pair.server.send_data(stream, bytes(60_000)) is True
    assert pair.server.send_data(stream, bytes(70_000)) is False
    assert pair.send(frames.window_update(1, 1_000)) == []
    pair.send(frames.window_update(0, 200_000))
    events = pair.send(frames.window_update(1, 200_000))
    assert events == [SendQueueDrained(stream)]


def test_held_bodies_wait_and_pings_do_not() -> None:
    pair = Pair()
    stream = opened(pair)
    pair.server.send_headers(stream, HEAD.block)
    pair.read()
    pair.server.hold(held=True)
    pair.server.send_data(stream, b"abc")
    pair.send(frames.ping(bytes(8), ack=False))
    assert [one.kind for one in pair.read()] == [FrameType.PING]
    pair.server.hold(held=False)
    assert bodies(pair.read()) == [3]


def test_a_reset_forgets_what_waits() -> None:
    pair = windowed(0)
    stream = opened(pair)
    pair.server.send_headers(stream, HEAD.block)
    pair.server.send_data(stream, b"abc")
    pair.send(frames.rst_stream(1, ErrorCode.CANCEL))
    pair.read()
    pair.send(frames.window_update(0, 100))
    assert pair.read() == []
    assert stream.queued_bytes == 0


def test_sending_on_a_stream_that_was_reset_goes_nowhere() -> None:
    pair = Pair()
    reset = frames.rst_stream(1, ErrorCode.CANCEL)
    event, _ = pair.send(pair.headers(1), reset)  # both come before the handler can know
    assert isinstance(event, RequestReceived)
    pair.server.send_headers(event.stream, HEAD.block)
    assert pair.server.send_data(event.stream, b"x")
    pair.server.end(event.stream, TAIL.block, hang_up=True)
    pair.server.respond(event.stream, HEAD, b"", b"x", TAIL)
    assert pair.read() == []


def test_a_stream_that_overflows_its_window_is_reset() -> None:
    pair = Pair()
    stream = opened(pair, end=False)
    (event,) = pair.send(frames.window_update(1, 2**31 - 1))
    assert event == StreamReset(stream, ErrorCode.FLOW_CONTROL_ERROR, by_peer=False)


def test_settings_that_overflow_a_streams_window_end_the_connection() -> None:
    pair = Pair()
    opened(pair, end=False)
    pair.send(frames.window_update(1, 2**31 - 1 - 65_535))
    (event,) = pair.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: 2**31 - 1}))
    assert isinstance(event, ConnectionFailed)
    assert event.code is ErrorCode.FLOW_CONTROL_ERROR


def test_a_response_that_ends_early_hangs_up_after_all_is_sent() -> None:
    pair = windowed(2)
    stream = opened(pair, end=False)
    pair.server.send_headers(stream, HEAD.block)
    pair.server.send_data(stream, b"abc")
    pair.server.end(stream, TAIL.block, hang_up=True)
    assert FrameType.RST_STREAM not in {one.kind for one in pair.read()}
    pair.send(frames.window_update(1, 2))
    last = pair.read()[-1]
    assert (last.kind, last.code) == (FrameType.RST_STREAM, ErrorCode.NO_ERROR)


@pytest.mark.parametrize("act", ["send_headers", "send_data", "end"])
def test_nothing_may_follow_the_end(act: str) -> None:
    pair = windowed(0)
    stream = opened(pair)
    pair.server.send_headers(stream, HEAD.block)
    pair.server.send_data(stream, b"abc")
    pair.server.end(stream, TAIL.block)
    with pytest.raises(LocalError):
        getattr(pair.server, act)(stream, b"x")


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("data"), st.integers(0, 40_000)),
            st.tuples(st.just("stream"), st.integers(1, 50_000)),
            st.tuples(st.just("connection"), st.integers(1, 50_000)),
            st.tuples(st.just("initial"), st.integers(0, 100_000)),
        ),
        max_size=30,
    )
)
def test_no_history_of_windows_is_ever_overrun(history: list[tuple[str, int]]) -> None:
    pair = Pair()
    stream = opened(pair)
    pair.server.send_headers(stream, HEAD.block)
    pair.read()
    initial = window = connection = 65_535
    sent = queued = 0
    for act, amount in history:
        if act == "data":
            pair.server.send_data(stream, bytes(amount))
            queued += amount
        elif act == "stream":
            pair.send(frames.window_update(1, amount))
            window += amount
        elif act == "connection":
            pair.send(frames.window_update(0, amount))
            connection += amount
        else:
            pair.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: amount}))
            window += amount - initial
            initial = amount
        size = sum(bodies(pair.read()))
        sent += size
        window -= size
        connection -= size
        assert not size or (window >= 0 and connection >= 0)
        assert sent == queued or window <= 0 or connection <= 0, "it sends what it may"
