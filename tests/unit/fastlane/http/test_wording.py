"""Response heads as bytes, and what must never become one."""

from __future__ import annotations

import hpack
import pytest

from fastlane.http import Prepared, Response, ResponseError
from fastlane.http.fields import line_encoder
from fastlane.http.response import Framing
from fastlane.http.wording import WordingOne, WordingTwo

NOON = 1_700_000_000.0
DATE = b"Tue, 14 Nov 2023 22:13:20 GMT"


def one(*fields: tuple[bytes, bytes], status: int = 200, length: int | None = 3) -> bytes:
    framing = Framing(has_body=True, length=length, chunked=length is None)
    wording = WordingOne(lambda: NOON)
    return wording.head(Response(status, fields), framing, closes=False, says_keep_alive=False)


def test_a_head_of_http1() -> None:
    assert one((b"X-A", b"b")) == (
        b"HTTP/1.1 200 OK\r\nx-a: b\r\ndate: " + DATE + b"\r\ncontent-length: 3\r\n\r\n"
    )


def test_an_unknown_status_has_an_empty_phrase() -> None:
    assert one(status=299).startswith(b"HTTP/1.1 299 \r\n")


def test_the_connection_field_says_what_will_happen() -> None:
    wording = WordingOne(lambda: NOON)
    framing = Framing(has_body=True, length=0)
    closing = wording.head(Response(), framing, closes=True, says_keep_alive=True)
    keeping = wording.head(Response(), framing, closes=False, says_keep_alive=True)
    assert b"\r\nconnection: close\r\n" in closing
    assert b"\r\nconnection: keep-alive\r\n" in keeping


@pytest.mark.parametrize("name", [b"date", b"Date"])
def test_a_date_of_the_handlers_own_is_kept(name: bytes) -> None:
    for _ in range(2):  # the second time from the memo
        head = one((name, b"yesterday"))
        assert head.count(b"date: ") == 1
        assert b"date: yesterday\r\n" in head


def test_the_date_moves_on() -> None:
    now = NOON
    wording = WordingOne(lambda: now)
    framing = Framing(has_body=True, length=0)
    before = wording.head(Response(), framing, closes=False, says_keep_alive=False)
    now += 1
    assert before != wording.head(Response(), framing, closes=False, says_keep_alive=False)


def test_a_head_of_http2() -> None:
    block = WordingTwo(lambda: NOON).head(
        Response(404, ((b"X-A", b"b"),)), Framing(has_body=True, length=3)
    )
    assert hpack.Decoder().decode(block, raw=True) == [
        (b":status", b"404"),
        (b"x-a", b"b"),
        (b"date", DATE),
        (b"content-length", b"3"),
    ]


BAD_FIELDS = [
    (b"x", b"a\r\nset-cookie: b"),
    (b"x", b"a\nb"),
    (b"x", b"a\rb"),
    (b"x", b"a\x00b"),
    (b"x", b"a\x0bb"),
    (b"x", b"\x7f"),
    (b"x", b" a"),
    (b"x", b"a\t"),
    (b"x\r\ny", b"a"),
    (b"x y", b"a"),
    (b"x:", b"a"),
    (b"", b"a"),
    (b":status", b"200"),
    (b"x\xe9", b"a"),
    (b"Content-Length", b"3"),
    (b"transfer-encoding", b"chunked"),
    (b"connection", b"close"),
    (b"upgrade", b"h2c"),
    ("x", b"a"),
    (b"x", "a"),
    (b"x", bytearray(b"a")),
]


@pytest.mark.parametrize("field", BAD_FIELDS, ids=repr)
def test_fields_that_would_split_or_reframe_are_refused(field: tuple[bytes, bytes]) -> None:
    with pytest.raises((ResponseError, TypeError)):
        one((b"fine", b"1"), field)
    with pytest.raises((ResponseError, TypeError)):
        WordingTwo(lambda: NOON).head(Response(200, (field,)), Framing(has_body=True, length=None))


def test_trailers_must_not_reframe() -> None:
    wording = WordingOne(lambda: NOON)
    assert wording.trailers(((b"X-T", b"v"),)) == b"0\r\nx-t: v\r\n\r\n"
    assert wording.trailers(()) == b"0\r\n\r\n"
    for name in (b"content-length", b"Transfer-Encoding", b"host", b"set-cookie"):
        with pytest.raises(ResponseError):
            wording.trailers(((name, b"1"),))


@pytest.mark.parametrize("status", [101, 200, 99])
def test_only_interim_statuses_are_interim(status: int) -> None:
    with pytest.raises(ResponseError):
        WordingOne().informational(status, ())
    with pytest.raises(ResponseError):
        WordingTwo().informational(status, ())


def test_early_hints() -> None:
    assert WordingOne().informational(103, ((b"link", b"</a>"),)) == (
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    )


def test_the_memo_of_fields_is_bounded() -> None:
    encoder = line_encoder()
    for number in range(10_000):
        encoder.encode(((b"x", b"%d" % number),))
    assert len(encoder._known) <= 4_096
    assert encoder.encode(((b"x", b"1"),)) == ([b"x: 1\r\n"], False)


def test_prepared_fields_are_sent_as_if_they_were_given() -> None:
    fields = ((b"X-A", b"b"), (b"Date", b"then"))
    plain, ready = Response(200, (*fields, (b"age", b"1"))), Response(200, ((b"age", b"1"),))
    ready.prepared = Prepared(fields)
    framing = Framing(has_body=True, length=0)
    one, two = WordingOne(), WordingTwo()
    heads = [one.head(r, framing, closes=False, says_keep_alive=False) for r in (plain, ready)]
    assert heads[0] == heads[1]
    assert two.head(plain, framing) == two.head(ready, framing)


@pytest.mark.parametrize("field", BAD_FIELDS, ids=repr)
def test_prepared_fields_are_checked_when_they_are_made(field: tuple[bytes, bytes]) -> None:
    with pytest.raises((ResponseError, TypeError)):
        Prepared((field,))
