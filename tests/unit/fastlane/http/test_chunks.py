"""Chunked bodies: whole, cut anywhere, and broken."""

from __future__ import annotations

import pytest

from fastlane.http import Limits, Refusal
from fastlane.http.chunks import ChunkReader, Phase


def read(data: bytes, step: int | None = None) -> tuple[bytes, ChunkReader, int]:
    """Feed `data` in steps of so many bytes; returns the body, the reader, the bytes left over."""
    reader = ChunkReader(Limits())
    body = b""
    waiting = b""
    for at in range(0, len(data), step or len(data)):
        waiting += data[at : at + (step or len(data))]
        part, used = reader.read(waiting, 0)
        body += part
        waiting = waiting[used:]
    return body, reader, len(waiting)


GOOD = b'4\r\nWiki\r\n00A;a;b=c;d="e \\" f"\r\n0123456789\r\n0\r\nX-T: v\r\nY: w\r\n\r\n'


@pytest.mark.parametrize("step", [None, 1, 2, 3, 7])
def test_any_cut_reads_the_same(step: int | None) -> None:
    body, reader, left = read(GOOD, step)
    assert body == b"Wiki0123456789"
    assert reader.phase is Phase.END
    assert reader.trailers == ((b"x-t", b"v"), (b"y", b"w"))
    assert left == 0


def test_what_follows_the_body_is_left_alone() -> None:
    body, reader, left = read(b"1\r\na\r\n0\r\n\r\nGET /")
    assert (body, reader.phase, left) == (b"a", Phase.END, 5)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\r\n", id="empty size"),
        pytest.param(b"-1\r\n", id="sign"),
        pytest.param(b"+1\r\na", id="plus"),
        pytest.param(b"0x1\r\na", id="prefix"),
        pytest.param(b"1_0\r\na", id="underscore"),
        pytest.param(b"1 \r\na", id="space after"),
        pytest.param(b" 1\r\na", id="space before"),
        pytest.param(b"\t1\r\na", id="tab before"),
        pytest.param(b"1\na\r\n0\r\n\r\n" + b" " * 300, id="bare LF after size"),
        pytest.param(b"1\r\r\na", id="CR CR LF"),
        pytest.param(b"1\n\r\na", id="LF in the size's line"),
        pytest.param(b"g\r\n", id="not a digit"),
        pytest.param(b"\xef\xbc\x91\r\n", id="a digit beyond ASCII"),
        pytest.param(b"1" * 16 + b"\r\n", id="beyond 60 bits"),
        pytest.param(b"10000000000000001\r\na", id="wraps at 64 bits"),
        pytest.param(b"1;\r\na", id="empty extension"),
        pytest.param(b"1;a\nb\r\na", id="LF in an extension"),
        pytest.param(b"1;a\rb\r\na", id="CR in an extension"),
        pytest.param(b'1;a="\n"\r\na', id="LF in a quoted extension"),
        pytest.param(b"1;a b\r\na", id="space in an extension"),
        pytest.param(b"1;a\x00\r\na", id="NUL in an extension"),
        pytest.param(b"1;" + b"a" * 256, id="endless extension"),
        pytest.param(b"1\r\nab\r\n", id="longer than its size"),
        pytest.param(b"1\r\na\n0\r\n\r\n", id="bare LF after data"),
        pytest.param(b"1\r\na\rX", id="bare CR after data"),
        pytest.param(b"2\r\na\r\n0\r\n\r\n", id="shorter than its size"),
        pytest.param(b"0\r\n\n" + b"\r\n\r\n", id="bare LF ends trailers"),
        pytest.param(b"0\r\nX : a\r\n\r\n", id="space before a trailer's colon"),
        pytest.param(b"0\r\nX: a\r\n b\r\n\r\n", id="folded trailer"),
        pytest.param(b"0\r\nX: a\nY: b\r\n\r\n", id="bare LF in trailers"),
        pytest.param(b"0\r\nContent-Length: 5\r\n\r\n", id="length in trailers"),
        pytest.param(b"0\r\nTransfer-Encoding: chunked\r\n\r\n", id="coding in trailers"),
        pytest.param(b"0\r\nHost: b\r\n\r\n", id="host in trailers"),
        pytest.param(b"0\r\nAuthorization: x\r\n\r\n", id="authorization in trailers"),
    ],
)
def test_broken_chunks_are_refused(data: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        read(data)
    assert caught.value.status == 400


def test_endless_trailers_are_refused() -> None:
    with pytest.raises(Refusal) as caught:
        read(b"0\r\n" + b"a: b\r\n" * 2_000, 1_000)
    assert caught.value.status == 431


def test_more_chunking_than_data_is_refused() -> None:
    line = b"1;" + b"x" * 200 + b"\r\na\r\n"
    with pytest.raises(Refusal, match="more chunking"):
        read(line * 200)


def test_small_honest_chunks_are_taken() -> None:
    body, _, _ = read(b"1\r\na\r\n" * 20_000)
    assert body == b"a" * 20_000
