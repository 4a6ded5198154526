"""Frames as bytes."""

from __future__ import annotations

import pytest

from fastlane.h2 import frames
from fastlane.h2.errors import ConnectionFault, ErrorCode
from tests.fastlane.client import read_frames


def test_a_frame_is_its_header_and_payload() -> None:
    assert frames.frame(0x6, 0x1, 3, b"12345678") == b"\x00\x00\x08\x06\x01\x00\x00\x00\x0312345678"


def test_a_length_of_three_bytes_is_written_whole() -> None:
    frame = frames.frame(0x0, 0, 1, bytes(0x012345))
    assert frame[:3] == b"\x01\x23\x45"


def test_a_long_field_block_is_continued() -> None:
    found = read_frames(frames.headers(5, b"x" * 25, end_stream=True, max_frame=10))
    assert [(one.kind, one.flags, len(one.payload)) for one in found] == [
        (frames.FrameType.HEADERS, frames.END_STREAM, 10),
        (frames.FrameType.CONTINUATION, 0, 10),
        (frames.FrameType.CONTINUATION, frames.END_HEADERS, 5),
    ]


@pytest.mark.parametrize("size", [10, 20])
def test_a_block_that_fits_exactly_needs_no_empty_continuation(size: int) -> None:
    found = read_frames(frames.headers(5, b"x" * size, end_stream=False, max_frame=10))
    assert len(found) == size // 10
    assert found[-1].flags & frames.END_HEADERS


@pytest.mark.parametrize(
    ("payload", "data"),
    [(b"\x00abc", b"abc"), (b"\x02abc\x00\x00", b"abc"), (b"\x03\x00\x00\x00", b"")],
)
def test_padding_is_taken_off(payload: bytes, data: bytes) -> None:
    assert frames.without_padding(frames.PADDED, payload) == data


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", ErrorCode.FRAME_SIZE_ERROR),
        (b"\x01", ErrorCode.PROTOCOL_ERROR),
        (b"\x05abc", ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_padding_longer_than_its_frame_is_refused(payload: bytes, code: ErrorCode) -> None:
    with pytest.raises(ConnectionFault) as caught:
        frames.without_padding(frames.PADDED, payload)
    assert caught.value.code is code


def test_without_the_flag_nothing_is_padding() -> None:
    assert frames.without_padding(0, b"\x05abc") == b"\x05abc"
