"""The reader of HTTP/1: messages found where they are, whatever the cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlane.http import Head, Limits, Refusal
from fastlane.http.errors import ForeignError
from fastlane.http.one import BodyEnded, HeadMemo, Reader, State

LIMITS = Limits()
GET = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
COUNTED = b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n"
)


def make(limits: Limits = LIMITS) -> Reader:
    return Reader(HeadMemo(limits, b"http"), limits)


def run(reader: Reader, *pieces: bytes) -> list[object]:
    """Feed the pieces, restarting after every message; bytes of one body are joined."""
    events: list[object] = []
    for piece in pieces:
        reader.feed(piece)
        while True:
            event = reader.next()
            if event is None:
                if reader.state != State.DONE:
                    break
                events.append("done")
                reader.restart()
            elif isinstance(event, bytes) and events and isinstance(events[-1], bytes):
                events[-1] += event
            else:
                events.append(event.target if isinstance(event, Head) else event)
    return events


EXPECTED = [
    *(b"/1", "done", b"/2hello", BodyEnded(), "done"),
    *(b"/3abcde", BodyEnded(((b"t", b"v"),)), "done", b"/1", "done"),
]


def test_pipelined_requests_come_one_after_the_other() -> None:
    assert run(make(), GET + COUNTED + CHUNKED + GET) == EXPECTED


def test_one_byte_at_a_time_reads_the_same() -> None:
    data = GET + COUNTED + CHUNKED + GET
    assert run(make(), *(data[at : at + 1] for at in range(len(data)))) == EXPECTED


@given(st.lists(st.integers(1, 60), min_size=1))
def test_any_cut_reads_the_same(sizes: list[int]) -> None:
    data = GET + COUNTED + CHUNKED + GET
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    assert run(make(), *pieces, data) == EXPECTED


def test_the_next_request_waits_for_the_response_before_it() -> None:
    reader = make()
    reader.feed(GET + GET)
    assert isinstance(reader.next(), Head)
    assert reader.next() is None
    assert (reader.state, reader.buffered) == (State.DONE, len(GET))


def test_one_empty_line_before_a_request_is_passed_and_no_more() -> None:
    assert run(make(), b"\r\n" + GET) == [b"/1", "done"]
    for junk in (b"\n", b"\r", b"\r\n\r\n", b"\r\n\n", b"\n\r\n"):
        with pytest.raises(Refusal):
            run(make(), junk + GET)


def test_after_a_violation_nothing_is_read() -> None:
    reader = make()
    reader.feed(b"GET / HTTP/1.1\r\n\r\n" + GET)
    with pytest.raises(Refusal):
        reader.next()
    held = reader.buffered
    reader.feed(GET)
    assert (reader.next(), reader.state, reader.buffered) == (None, State.DEAD, held)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 20_000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x: y\r\n" * 4_000, 431),
    ],
)
def test_endless_heads_are_refused_before_they_end(data: bytes, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        run(make(), *(data[at : at + 100] for at in range(0, len(data), 100)))
    assert caught.value.status == status


BARE = [
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost: a\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    b"GET / HTTP/1.1\r\nX: a\nHost: a\r\n\r\n",
    b"\r\nGET / HTTP/1.1\n",
]


@pytest.mark.parametrize("size", [1, 1_000], ids=["byte by byte", "whole"])
@pytest.mark.parametrize("data", BARE)
def test_a_bare_line_feed_is_refused_as_soon_as_it_is_seen(data: bytes, size: int) -> None:
    with pytest.raises(Refusal, match="line feed") as caught:
        run(make(), *(data[at : at + size] for at in range(0, len(data), size)))
    assert caught.value.status == 400


def test_lines_that_are_no_http_are_not_answered() -> None:
    with pytest.raises(ForeignError):
        run(make(), b"EHLO example.org\n")


def test_a_head_of_the_limit_is_taken_and_one_more_byte_is_not() -> None:
    base = b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n"
    for extra in (0, 1):
        pad = b"x" * (LIMITS.head_bytes - len(base) + extra)
        data = base.replace(b"X: ", b"X: " + pad)
        if extra:
            with pytest.raises(Refusal):
                run(make(), data)
        else:
            assert run(make(), data) == [b"/", "done"]


def test_equal_heads_are_read_once_and_the_memo_is_bounded() -> None:
    memo = HeadMemo(LIMITS, b"http")
    first = memo.read(GET)
    assert memo.read(GET) is first
    for number in range(2 * HeadMemo.ENTRIES):
        memo.read(b"GET /%d HTTP/1.1\r\nHost: b\r\n\r\n" % number)
    assert memo.read(GET) is not first
    assert len(memo._young) + len(memo._old) <= 2 * HeadMemo.ENTRIES


def test_a_head_that_is_asked_for_again_and_again_stays() -> None:
    memo = HeadMemo(LIMITS, b"http")
    first = memo.read(GET)
    for number in range(3 * HeadMemo.ENTRIES):
        memo.read(b"GET /%d HTTP/1.1\r\nHost: b\r\n\r\n" % number)
        assert memo.read(GET) is first


def test_refused_heads_are_refused_every_time() -> None:
    memo = HeadMemo(LIMITS, b"http")
    for _ in range(2):
        with pytest.raises(Refusal):
            memo.read(b"GET / HTTP/1.1\r\n\r\n")
