"""How a response is framed: the table of the module, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fastlane.http import Head, Response, ResponseError
from fastlane.http.response import Framing, frame, trailers_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def head(version: str = "1.1", method: bytes = b"GET") -> Head:
    return Head(
        version=version,
        method=method,
        target=b"/",
        scheme=b"http",
        authority=b"a",
        path=b"/",
        headers=(),
    )


async def stream() -> AsyncIterator[bytes]:
    yield b"abc"


TRAILERS = ((b"t", b"v"),)


@pytest.mark.parametrize(
    ("asked", "response", "expected"),
    [
        (head(), Response(200, (), b"abc"), Framing(True, 3)),
        (head(), Response(200), Framing(True, 0)),
        (head(), Response(200, (), stream(), 3), Framing(True, 3)),
        (head(), Response(200, (), stream()), Framing(True, None, chunked=True)),
        (head(), Response(200, (), b"abc", trailers=TRAILERS), Framing(True, None, chunked=True)),
        (head(), Response(200, (), stream(), 3, TRAILERS), Framing(True, None, chunked=True)),
        (head("1.0"), Response(200, (), b"abc", trailers=TRAILERS), Framing(True, 3)),
        (head("1.0"), Response(200, (), stream()), Framing(True, None, until_close=True)),
        (head("1.0"), Response(200, (), stream(), 3), Framing(True, 3)),
        (head("2"), Response(200, (), b"abc", trailers=TRAILERS), Framing(True, 3)),
        (head("2"), Response(200, (), stream()), Framing(True, None)),
        (head(method=b"HEAD"), Response(200, (), b"abc"), Framing(False, 3)),
        (head(method=b"HEAD"), Response(200), Framing(False, 0)),
        (head(method=b"HEAD"), Response(200, length=9), Framing(False, 9)),
        (head(method=b"HEAD"), Response(200, (), stream()), Framing(False, None)),
        (head(), Response(204), Framing(False, None)),
        (head(), Response(204, (), b"abc"), Framing(False, None)),
        (head(), Response(304), Framing(False, None)),
        (head(), Response(304, length=9), Framing(False, 9)),
        (head(), Response(304, (), b"abc"), Framing(False, 3)),
    ],
)
def test_framing(asked: Head, response: Response, expected: Framing) -> None:
    assert frame(asked, response) == expected


@pytest.mark.parametrize(
    "response",
    [
        Response(100),
        Response(101),
        Response(600),
        Response("200"),  # type: ignore[arg-type]
        Response(200, (), b"abc", 4),
    ],
)
def test_what_cannot_be_sent_is_refused(response: Response) -> None:
    with pytest.raises(ResponseError):
        frame(head(), response)


def test_trailers_may_be_known_only_at_the_end() -> None:
    assert trailers_of(Response(trailers=lambda: TRAILERS)) == TRAILERS
    assert trailers_of(Response(trailers=TRAILERS)) == TRAILERS
