"""What an HTTP/1 head becomes, and what an HTTP/2 head must not be."""

from __future__ import annotations

import pytest

from fastlane.h2.heads import RequestHead
from fastlane.http import Head, Limits, Refusal
from fastlane.http.heads import adopt_head, read_head

LIMITS = Limits()


def head(*lines: bytes) -> Head:
    return read_head(b"\r\n".join(lines) + b"\r\n\r\n", scheme=b"http", limits=LIMITS)


def two(path: bytes = b"/", fields: tuple[tuple[bytes, bytes], ...] = (), **pseudo: bytes) -> Head:
    known = {b":method": b"GET", b":scheme": b"http", b":path": path, b":authority": b"a"}
    known |= {b":" + name.encode(): value for name, value in pseudo.items()}
    return adopt_head(RequestHead(known, fields, None), limits=LIMITS)


def test_fields_keep_their_order_and_lose_what_is_framing() -> None:
    read = head(
        b"POST /a?b=c HTTP/1.1",
        b"Host: example.com:80",
        b"X-B:  2 \t",
        b"Content-Length: 5",
        b"Connection: keep-alive, X-Hop",
        b"X-A: 1",
        b"X-B: 3",
    )
    assert read.headers == ((b"x-b", b"2"), (b"x-a", b"1"), (b"x-b", b"3"))
    assert (read.method, read.target, read.path) == (b"POST", b"/a?b=c", b"/a?b=c")
    assert (read.authority, read.scheme, read.length) == (b"example.com:80", b"http", 5)
    assert read.nominated == {b"x-hop"}
    assert read.keeps_alive


def test_a_url_as_target_is_taken_apart_and_kept() -> None:
    read = head(b"GET HTTPS://Example.com?x HTTP/1.1", b"Host: example.COM")
    assert read.target == b"HTTPS://Example.com?x"
    assert (read.scheme, read.authority, read.path) == (b"https", b"Example.com", b"/?x")


def test_a_proxys_options_are_about_the_server_as_a_whole() -> None:
    assert head(b"OPTIONS http://a HTTP/1.1", b"Host: a").path == b"*"
    assert head(b"OPTIONS http://a/ HTTP/1.1", b"Host: a").path == b"/"


@pytest.mark.parametrize(
    ("lines", "keeps"),
    [
        ((b"GET / HTTP/1.1", b"Host: a"), True),
        ((b"GET / HTTP/1.1", b"Host: a", b"Connection: foo, Close"), False),
        ((b"GET / HTTP/1.1", b"Host: a", b"Connection: foo", b"Connection: close"), False),
        ((b"GET / HTTP/1.0",), False),
        ((b"GET / HTTP/1.0", b"Connection: keep-alive"), True),
        ((b"GET / HTTP/1.0", b"Connection: keep-alive, close"), False),
    ],
)
def test_whether_a_connection_lives_on(lines: tuple[bytes, ...], keeps: bool) -> None:
    assert head(*lines).keeps_alive is keeps


def test_an_offer_to_upgrade_is_passed_over() -> None:
    read = head(
        b"GET / HTTP/1.1",
        b"Host: a",
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    )
    assert read.headers == ()
    assert read.keeps_alive


def test_unknown_methods_are_methods() -> None:
    assert head(b"BREW /pot HTTP/1.1", b"Host: a").method == b"BREW"


def test_expect_is_obeyed_only_by_a_version_that_knows_it() -> None:
    assert head(b"PUT / HTTP/1.1", b"Host: a", b"Expect: 100-Continue").expects_continue
    assert not head(b"PUT / HTTP/1.0", b"Expect: 100-continue").expects_continue


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (505, (b"GET / HTTP/2.0", b"Host: a")),
        (505, (b"GET / HTTP/0.9", b"Host: a")),
        (400, (b"GET / HTTP/1.10", b"Host: a")),
        (414, (b"GET /" + b"a" * LIMITS.target_bytes + b" HTTP/1.1", b"Host: a")),
        (417, (b"GET / HTTP/1.1", b"Host: a", b"Expect: tea")),
        (431, (b"GET / HTTP/1.1", b"Host: a", *(b"a: b",) * LIMITS.fields)),
        (501, (b"CONNECT a:80 HTTP/1.1", b"Host: a:80")),
    ],
)
def test_refusals_say_which_kind(status: int, lines: tuple[bytes, ...]) -> None:
    with pytest.raises(Refusal) as caught:
        head(*lines)
    assert caught.value.status == status


def test_an_http2_head_reads_like_an_http1_head() -> None:
    fields = (
        (b"cookie", b"a=1"),
        (b"x", b"y"),
        (b"cookie", b"b=2"),
        (b"content-length", b"3"),
        (b"host", b"A"),
    )
    read = two(b"/p?q", fields)
    assert read.headers == ((b"cookie", b"a=1; b=2"), (b"x", b"y"))
    assert (read.authority, read.length, read.path, read.version) == (b"a", 3, b"/p?q", "2")


@pytest.mark.parametrize(
    ("path", "fields", "pseudo"),
    [
        pytest.param(b"http://a/", (), {}, id="absolute path"),
        pytest.param(b"*", (), {}, id="asterisk of a GET"),
        pytest.param(b"/ x", (), {}, id="space in path"),
        pytest.param(b"/\x7f", (), {}, id="control in path"),
        pytest.param(b"/#f", (), {}, id="fragment"),
        pytest.param(b"/", (), {"method": b"GE T"}, id="space in method"),
        pytest.param(b"/", (), {"scheme": b"file"}, id="other scheme"),
        pytest.param(b"/", (), {"scheme": b"http://a/?"}, id="URL in scheme"),
        pytest.param(b"/", (), {"authority": b"u@a"}, id="user information"),
        pytest.param(b"/", (), {"authority": b"a/b"}, id="path in authority"),
        pytest.param(b"/", (), {"authority": b""}, id="no authority"),
        pytest.param(b"/", ((b"host", b"a"), (b"host", b"a")), {}, id="host twice"),
        pytest.param(b"/", ((b"host", b"b"),), {}, id="another host"),
        pytest.param(b"/", ((b"x", b"a\x01"),), {}, id="control in value"),
        pytest.param(b"/", ((b"x", b"a\x7f"),), {}, id="DEL in value"),
        pytest.param(b"/", ((b"content-length", b"1"),) * 2, {}, id="length twice"),
    ],
)
def test_http2_heads_that_are_ambiguous_elsewhere(
    path: bytes, fields: tuple[tuple[bytes, bytes], ...], pseudo: dict[str, bytes]
) -> None:
    with pytest.raises(Refusal) as caught:
        two(path, fields, **pseudo)
    assert caught.value.status == 400
