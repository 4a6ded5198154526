"""Whole answers over the HTTP/2 core: frames as few as can be, whatever the windows."""

from __future__ import annotations

import pytest

from fastlane.h2 import blocks, frames
from fastlane.h2.events import RequestReceived
from tests.fastlane.client import Pair

BLOCK = blocks.encode(((b":status", b"200"),))


def begin(pair: Pair) -> RequestReceived:
    (event,) = pair.send(pair.headers(1, end=True))
    assert isinstance(event, RequestReceived)
    return event


@pytest.mark.parametrize("size", [1, 100, 16_384, 40_000])
def test_the_end_rides_on_the_last_of_the_body(size: int) -> None:
    pair = Pair()
    pair.server.answer(begin(pair).stream, BLOCK, bytes(size))
    head, *body = pair.read()
    assert (head.kind, head.flags) == (frames.FrameType.HEADERS, frames.END_HEADERS)
    assert sum(len(frame.payload) for frame in body) == size
    assert [frame.flags for frame in body] == [0] * (len(body) - 1) + [frames.END_STREAM]
    assert not pair.server.streams


def test_an_empty_body_ends_at_once() -> None:
    pair = Pair()
    pair.server.answer(begin(pair).stream, BLOCK, b"")
    assert pair.read()[-1].flags == frames.END_STREAM


def test_a_body_beyond_the_window_waits_and_then_ends() -> None:
    pair = Pair()
    stream = begin(pair).stream
    pair.server.answer(stream, BLOCK, bytes(70_000))
    assert sum(len(frame.payload) for frame in pair.read_decoded(0)) == 65_535
    assert not stream.is_closed
    pair.send(frames.window_update(0, 10_000), frames.window_update(1, 10_000))
    (rest,) = pair.read_decoded(0)
    assert (len(rest.payload), rest.flags) == (70_000 - 65_535, frames.END_STREAM)
    assert stream.is_closed


def test_an_answer_to_a_lost_stream_is_dropped() -> None:
    pair = Pair()
    stream = begin(pair).stream
    pair.send(frames.rst_stream(1, 8))
    pair.server.answer(stream, BLOCK, b"abc")
    assert pair.read() == []


def test_a_request_that_goes_on_is_hung_up() -> None:
    pair = Pair()
    (event,) = pair.send(pair.headers(1))
    assert isinstance(event, RequestReceived)
    pair.server.answer(event.stream, BLOCK, b"abc")
    assert pair.read()[-1].kind == frames.FrameType.RST_STREAM
