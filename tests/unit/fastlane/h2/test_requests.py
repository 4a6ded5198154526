"""Streams as the peer drives them: opening, bodies, resets, and the bounds on all three."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fastlane.h2 import ErrorCode, Limits, frames
from fastlane.h2.events import (
    ConnectionFailed,
    DataReceived,
    RequestReceived,
    StreamReset,
    TrailersReceived,
    WholeRequest,
)
from fastlane.h2.frames import FrameType
from tests.fastlane.client import REQUEST, Pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastlane.h2.stream import Stream


def open_stream(pair: Pair, stream_id: int = 1, *, end: bool = False) -> Stream:
    """Open a stream and return it."""
    (event,) = pair.send(pair.headers(stream_id, end=end))
    assert isinstance(event, RequestReceived)
    return event.stream


def rst(stream_id: int) -> bytes:
    """Return RST_STREAM with CANCEL."""
    return frames.rst_stream(stream_id, ErrorCode.CANCEL)


def failure(events: Sequence[object]) -> ErrorCode:
    """Return the code that the connection failed with."""
    event = events[-1]
    assert isinstance(event, ConnectionFailed), events
    return event.code


def test_a_block_may_come_in_pieces() -> None:
    pair = Pair()
    block = pair.encoder.encode(REQUEST)
    first = frames.frame(FrameType.HEADERS, frames.END_STREAM, 1, block[:3])
    middle = frames.frame(FrameType.CONTINUATION, 0, 1, block[3:4])
    last = frames.frame(FrameType.CONTINUATION, frames.END_HEADERS, 1, block[4:])
    (event,) = pair.send(first, middle, last)
    assert isinstance(event, RequestReceived)
    assert event.ended


def wanted_whole(pair: Pair) -> None:
    """Have requests with the usual head told whole from now on."""
    for stream_id in (1, 3):  # the first block inserts, the second is remembered
        (event,) = pair.send(pair.headers(stream_id))
        assert isinstance(event, RequestReceived)
        event.head.is_wanted_whole = True
        pair.send(rst(stream_id))


def test_a_head_wanted_whole_is_told_with_its_body() -> None:
    pair = Pair()
    wanted_whole(pair)
    assert pair.send(pair.headers(5), frames.ping(bytes(8), ack=True)) != []
    (event,) = pair.send(pair.data(5, b"abc", end=True))
    assert isinstance(event, WholeRequest)
    assert (event.stream.id, event.data) == (5, b"abc")


@pytest.mark.parametrize("way", ["pieces", "trailers", "padding"])
def test_a_head_wanted_whole_is_told_first_if_its_body_comes_otherwise(way: str) -> None:
    pair = Pair()
    wanted_whole(pair)
    assert pair.send(pair.headers(5)) == []
    if way == "pieces":
        events = pair.send(pair.data(5, b"abc"), pair.data(5, b"", end=True))
    elif way == "padding":
        events = pair.send(pair.data(5, b"\x00abc", end=True, flags=frames.PADDED))
    else:
        events = pair.send(pair.headers(5, ((b"x", b"y"),), end=True))
    assert isinstance(events[0], RequestReceived)
    assert len(events) == (3 if way == "pieces" else 2)


def test_a_head_wanted_whole_and_reset_is_a_reset_of_nothing() -> None:
    pair = Pair()
    wanted_whole(pair)
    (event,) = pair.send(pair.headers(5), rst(5))
    assert isinstance(event, StreamReset)
    assert event.stream.owner is None


def test_padding_and_priority_are_taken_off() -> None:
    pair = Pair()
    block = pair.encoder.encode(REQUEST)
    payload = b"\x02" + b"\x00\x00\x00\x00\x10" + block + bytes(2)
    flags = frames.PADDED | frames.PRIORITY | frames.END_HEADERS
    (event,) = pair.send(frames.frame(FrameType.HEADERS, flags, 1, payload))
    assert isinstance(event, RequestReceived)
    assert event.head.path == b"/test.Service/Method"


@pytest.mark.parametrize(("pieces", "size"), [(40, 1), (3, 16_000)])
def test_an_endless_block_ends_the_connection(pieces: int, size: int) -> None:
    pair = Pair()
    events = pair.send(
        frames.frame(FrameType.HEADERS, 0, 1, b"\x82"),
        *(frames.frame(FrameType.CONTINUATION, 0, 1, b"\x82" * size) for _ in range(pieces)),
    )
    assert failure(events) is ErrorCode.ENHANCE_YOUR_CALM


def test_streams_over_the_limit_are_refused_and_may_be_retried() -> None:
    pair = Pair(Limits(concurrent_streams=2))
    open_stream(pair, 1)
    open_stream(pair, 3)
    assert pair.send(pair.headers(5)) == []
    (reset,) = pair.read()
    assert (reset.stream_id, reset.code) == (5, ErrorCode.REFUSED_STREAM)
    assert pair.send(pair.data(5, b"late", end=True)) == [], "it did not know"
    pair.send(rst(1))
    open_stream(pair, 7)


def test_ids_must_rise_and_skipped_ones_stay_unused() -> None:
    pair = Pair()
    open_stream(pair, 5)
    assert failure(pair.send(pair.headers(3))) is ErrorCode.PROTOCOL_ERROR


def test_a_stream_that_is_done_cannot_be_opened_again() -> None:
    pair = Pair()
    stream = open_stream(pair, 1, end=True)
    pair.server.send_headers(stream, b"\x88")
    pair.server.end(stream)
    assert failure(pair.send(pair.headers(1))) is ErrorCode.STREAM_CLOSED


def test_data_after_the_end_costs_the_stream() -> None:
    pair = Pair()
    open_stream(pair, 1, end=True)
    (event,) = pair.send(pair.data(1, b"x"))
    assert event == StreamReset(event.stream, ErrorCode.STREAM_CLOSED, by_peer=False)  # type: ignore[union-attr]
    assert pair.read()[0].code == ErrorCode.STREAM_CLOSED


def test_data_on_a_stream_that_the_peer_reset_is_objected_to() -> None:
    pair = Pair()
    open_stream(pair, 1)
    pair.send(rst(1))
    assert pair.send(pair.data(1, b"x")) == []
    (reset,) = pair.read()
    assert (reset.kind, reset.code) == (FrameType.RST_STREAM, ErrorCode.STREAM_CLOSED)


def test_late_frames_on_a_stream_that_we_reset_are_ignored() -> None:
    pair = Pair()
    stream = open_stream(pair, 1)
    pair.server.reset(stream, ErrorCode.CANCEL)
    pair.read()
    late = (pair.data(1, b"x"), frames.window_update(1, 5), pair.headers(1, (), end=True), rst(1))
    assert pair.send(*late) == []
    assert pair.read() == []
    open_stream(pair, 3)  # and the table of field blocks is in step


@pytest.mark.parametrize(
    ("length", "bodies", "whole"),
    [
        (b"4", [b"test"], True),
        (b"4", [b"te", b"st"], True),
        (b"4", [b"", b"test"], True),
        (b"3", [b"test"], False),
        (b"5", [b"test"], False),
        (b"8", [b"test"], False),
    ],
)
def test_a_body_is_as_long_as_it_said(length: bytes, bodies: list[bytes], whole: bool) -> None:
    pair = Pair()
    pair.send(pair.headers(1, (*REQUEST, (b"content-length", length))))
    events = []
    for number, body in enumerate(bodies, start=1):
        events += pair.send(pair.data(1, body, end=number == len(bodies)))
    assert isinstance(events[-1], DataReceived if whole else StreamReset)


def test_a_head_that_promises_a_body_and_ends_is_malformed() -> None:
    pair = Pair()
    assert pair.send(pair.headers(1, (*REQUEST, (b"content-length", b"1")), end=True)) == []
    assert pair.read()[0].code == ErrorCode.PROTOCOL_ERROR


def test_trailers_may_not_come_before_the_promised_body() -> None:
    pair = Pair()
    pair.send(pair.headers(1, (*REQUEST, (b"content-length", b"4"))))
    (event,) = pair.send(pair.headers(1, ((b"x", b"y"),), end=True))
    assert isinstance(event, StreamReset)


def test_trailers_must_end_the_stream() -> None:
    pair = Pair()
    open_stream(pair, 1)
    (event,) = pair.send(pair.headers(1, ((b"x", b"y"),)))
    assert isinstance(event, StreamReset)
    assert event.code == ErrorCode.PROTOCOL_ERROR


def test_the_streams_window_binds_the_peer() -> None:
    pair = Pair()
    open_stream(pair, 1)
    for _ in range(3):
        pair.send(pair.data(1, bytes(16_384)))
    (_, event) = pair.send(pair.data(1, bytes(16_383)), pair.data(1, b"x"))
    assert isinstance(event, StreamReset)
    assert event.code == ErrorCode.FLOW_CONTROL_ERROR


def test_consuming_gives_the_window_back() -> None:
    pair = Pair()
    stream = open_stream(pair, 1)
    for _ in range(3):
        pair.send(pair.data(1, bytes(16_384)))
    pair.read()
    pair.now = 10.0
    pair.send(frames.ping(bytes(8), ack=True))
    pair.server.consume(stream, 3 * 16_384)
    (update,) = pair.read_decoded(FrameType.WINDOW_UPDATE)
    assert (update.stream_id, int.from_bytes(update.payload, "big")) == (1, 3 * 16_384)


def test_the_connections_window_comes_back_by_itself() -> None:
    pair = Pair(Limits(connection_window=65_535, connection_window_max=65_535))
    for stream_id in range(1, 21, 2):
        open_stream(pair, stream_id)
        pair.send(pair.data(stream_id, bytes(16_384)))
    assert not pair.server.failed
    updates = pair.read_decoded(FrameType.WINDOW_UPDATE)
    assert {one.stream_id for one in updates} == {0}


def test_padding_counts_for_the_window_and_comes_back() -> None:
    pair = Pair()
    open_stream(pair, 1)
    for _ in range(600):
        pair.send(pair.data(1, b"\xff" + bytes(255), flags=frames.PADDED))
    assert not pair.server.failed
    assert pair.read_decoded(FrameType.WINDOW_UPDATE)


def test_streams_reset_right_after_opening_are_counted() -> None:
    pair = Pair(Limits(early_reset_burst=10))
    events: list[object] = []
    for stream_id in range(1, 41, 2):
        events += pair.send(pair.headers(stream_id), rst(stream_id))
    assert failure(events) is ErrorCode.ENHANCE_YOUR_CALM


def test_streams_that_time_out_are_not_counted() -> None:
    pair = Pair(Limits(early_reset_burst=10))
    for stream_id in range(1, 401, 2):
        open_stream(pair, stream_id)
        pair.now += 0.02
        pair.send(rst(stream_id))
    assert not pair.server.failed


def test_violations_that_make_us_reset_are_counted() -> None:
    pair = Pair(Limits(provoked_reset_burst=10))
    events: list[object] = []
    for stream_id in range(1, 41, 2):
        events += pair.send(pair.headers(stream_id), frames.window_update(stream_id, 0))
    assert failure(events) is ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    ("story", "frame"),
    [
        ("PING", frames.ping(bytes(8), ack=False)),
        ("answers to no PING", frames.ping(bytes(8), ack=True)),
        ("SETTINGS", frames.settings({})),
        ("acknowledgements of no SETTINGS", frames.SETTINGS_ACK),
        ("PRIORITY", frames.frame(FrameType.PRIORITY, 0, 9, bytes(5))),
        ("empty DATA", frames.frame(FrameType.DATA, 0, 1, b"")),
        ("RST_STREAM", rst(3)),
        ("WINDOW_UPDATE", frames.window_update(0, 1)),
        ("unknown frames", frames.frame(0x77, 0, 0, b"")),
        ("GOAWAY", frames.goaway(0, 0)),
    ],
)
def test_a_flood_ends_the_connection(story: str, frame: bytes) -> None:
    pair = Pair(Limits(nuisance_burst=50))
    open_stream(pair, 1)
    open_stream(pair, 3)
    events = pair.send(frame * 100)
    assert failure(list(events)) is ErrorCode.ENHANCE_YOUR_CALM, story


def test_work_pays_for_pings() -> None:
    pair = Pair(Limits(nuisance_burst=20))
    for stream_id in range(1, 401, 2):
        stream = open_stream(pair, stream_id, end=True)
        pair.server.send_headers(stream, b"\x88")
        pair.server.end(stream)
        pair.send(frames.ping(bytes(8), ack=False) * 3)
    assert not pair.server.failed


def test_a_request_over_the_list_limit_is_refused_and_the_next_is_served() -> None:
    pair = Pair(Limits(header_list_bytes=500))
    assert pair.send(pair.headers(1, (*REQUEST, (b"x", b"y" * 500)))) == []
    assert pair.read()[0].code == ErrorCode.ENHANCE_YOUR_CALM
    open_stream(pair, 3)


def test_what_is_remembered_of_resets_is_bounded() -> None:
    pair = Pair(Limits(resets_remembered=4))
    for stream_id in range(1, 41, 2):
        pair.server.reset(open_stream(pair, stream_id), ErrorCode.CANCEL)
    pair.read()
    assert pair.send(pair.data(39, b"late")) == []
    assert pair.read() == []
    pair.send(pair.data(1, b"very late"))
    assert pair.read()[0].code == ErrorCode.STREAM_CLOSED


def test_an_event_names_the_trailers_stream() -> None:
    pair = Pair()
    stream = open_stream(pair, 1)
    (event,) = pair.send(pair.headers(1, ((b"x", b"y"),), end=True))
    assert isinstance(event, TrailersReceived)
    assert event.stream is stream
