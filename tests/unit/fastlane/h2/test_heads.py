"""What makes a request well formed: one broken field list per rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fastlane.h2 import heads
from fastlane.h2.errors import ErrorCode, StreamFault
from fastlane.h2.heads import read_request, read_trailers

if TYPE_CHECKING:
    from fastlane.h2.decoding import Field

GET: list[Field] = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")]


def test_a_request_is_taken_apart() -> None:
    fields = [*GET, (b":authority", b"host:1"), (b"x-a", b"1"), (b"x-a", b"2")]
    head = read_request(fields)
    assert (head.method, head.scheme, head.path, head.authority) == (
        b"GET",
        b"http",
        b"/",
        b"host:1",
    )
    assert head.fields == ((b"x-a", b"1"), (b"x-a", b"2"))
    assert head.first(b"x-a") == b"1"
    assert head.first(b"x-b") is None


@pytest.mark.parametrize(
    ("story", "fields"),
    [
        ("no method", GET[1:]),
        ("no scheme", [GET[0], GET[2]]),
        ("no path", GET[:2]),
        ("empty path", [*GET[:2], (b":path", b"")]),
        ("a pseudo-field twice", [*GET, (b":method", b"GET")]),
        ("a pseudo-field of responses", [*GET, (b":status", b"200")]),
        ("a pseudo-field after a field", [*GET[:2], (b"a", b"b"), GET[2]]),
        ("an upper-case name", [*GET, (b"X-A", b"1")]),
        ("a space in a name", [*GET, (b"x a", b"1")]),
        ("an empty name", [*GET, (b"", b"1")]),
        ("a line break in a value", [*GET, (b"x", b"1\r\ny: 2")]),
        ("a NUL in a value", [*GET, (b"x", b"\x00")]),
        ("a value that begins with a space", [*GET, (b"x", b" 1")]),
        ("a value that ends with a tab", [*GET, (b"x", b"1\t")]),
        ("a line break in the path", [*GET[:2], (b":path", b"/\n")]),
        ("connection", [*GET, (b"connection", b"close")]),
        ("transfer-encoding", [*GET, (b"transfer-encoding", b"chunked")]),
        ("keep-alive", [*GET, (b"keep-alive", b"1")]),
        ("upgrade", [*GET, (b"upgrade", b"h2c")]),
        ("te that is not trailers", [*GET, (b"te", b"gzip")]),
        ("host unlike the authority", [*GET, (b":authority", b"a"), (b"host", b"b")]),
        ("two content-lengths", [*GET, (b"content-length", b"1"), (b"content-length", b"2")]),
        ("a content-length that is no number", [*GET, (b"content-length", b"+1")]),
        ("CONNECT with a path", [(b":method", b"CONNECT"), (b":authority", b"a"), GET[2]]),
    ],
)
def test_a_malformed_request_is_refused(story: str, fields: list[Field]) -> None:
    with pytest.raises(StreamFault) as caught:
        read_request(fields)
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR, story


@pytest.mark.parametrize(
    "fields",
    [
        [*GET, (b"te", b"trailers")],
        [*GET, (b"x", b"")],
        [*GET, (b"content-length", b"7"), (b"content-length", b"7")],
        [*GET, (b":authority", b"A:1"), (b"host", b"a:1")],
        [(b":method", b"CONNECT"), (b":authority", b"a:1")],
    ],
)
def test_the_allowed_neighbours_are_taken(fields: list[Field]) -> None:
    read_request(fields)


def test_content_length_is_read() -> None:
    assert read_request([*GET, (b"content-length", b"7")]).content_length == 7
    assert read_request(GET).content_length is None


@pytest.mark.parametrize(("name", "value"), [(15_800, 1), (1, 15_800), (100, 100)])
def test_a_long_field_is_not_kept_beyond_its_request(name: int, value: int) -> None:
    """The memory is everybody's: 4,096 names of 16 KB would be 70 MB that never come back."""
    read_request(GET)
    kept = heads._classify_often.cache_info().currsize
    for number in range(3):
        read_request([*GET, (b"%d" % number + b"n" * name, b"v" * value)])
    assert heads._classify_often.cache_info().currsize == kept


def test_trailers_hold_no_pseudo_fields() -> None:
    assert read_trailers([(b"a", b"b")]) == ((b"a", b"b"),)
    with pytest.raises(StreamFault):
        read_trailers([(b":path", b"/")])
