"""A handler's answer, and how its body is framed in either version (RFC 9110 sections 6.4 and 8.6).

Framing belongs to the shell: a handler says what the body is and, if it streams, how long; whether
that becomes content-length, chunks or frames follows from the request.

    request or status      | body of bytes      | stream, length known | stream, length unknown
    -----------------------+--------------------+----------------------+-----------------------
    HEAD                   | its length alone   | the length alone     | neither
    204                    | nothing            | nothing              | nothing
    304                    | length if not empty| the length alone     | neither
    HTTP/1.0               | length             | length               | until the close
    HTTP/1.1               | length             | length               | chunked
    HTTP/1.1 with trailers | chunked            | chunked              | chunked
    HTTP/2                 | length             | length               | END_STREAM
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastlane.http.errors import ResponseError

if TYPE_CHECKING:
    from fastlane.http.fields import Prepared
    from fastlane.http.grammar import Field
    from fastlane.http.heads import Head

# Final statuses whose responses have bodies.
_ORDINARY: Final = frozenset(range(200, 600)) - {204, 304}

Trailers = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True)
class Response:
    """What a handler returns. Not frozen: making a frozen one costs 0.5 us more.

    `headers` are in order; names in any case. `date` is added where it is missing. `trailers` may
    be a function, called after the body, for what is only known then.
    """

    status: int = 200
    headers: Sequence[Field] = ()
    body: bytes | AsyncIterable[bytes] = b""
    length: int | None = None
    """A streamed body's length. Held to: a body that differs ends the connection or stream."""
    trailers: Trailers | Callable[[], Trailers] = ()
    prepared: Prepared | None = None
    """Fields that go before `headers`, encoded already."""


@dataclass(slots=True)
class Framing:
    """How one response is framed."""

    has_body: bool
    """Whether body bytes follow the head at all."""
    length: int | None
    """What content-length says; None leaves it out."""
    chunked: bool = False
    until_close: bool = False


def frame(head: Head, response: Response) -> Framing:
    """Return how `response` answers the request that `head` began; raises `ResponseError`."""
    body = response.body
    status: object = response.status
    if (
        type(body) is bytes
        and status in _ORDINARY
        and head.method != b"HEAD"
        and response.length is None
        and not response.trailers
    ):
        return Framing(has_body=True, length=len(body))  # what follows says the same, 0.7 us later
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ResponseError(f"{status!r} is no status of a final response: give 200 to 599")
    length = len(body) if isinstance(body, bytes) else response.length
    if (
        isinstance(body, bytes)
        and response.length is not None
        and body
        and length != response.length
    ):
        raise ResponseError(f"a body of {length} bytes with length={response.length}")
    if not isinstance(body, bytes) and not hasattr(body, "__aiter__"):
        raise ResponseError(
            f"a body that is a {type(body).__name__}: give bytes or an async iterator"
        )
    if status == 204:
        return Framing(has_body=False, length=None)
    if status == 304 or head.method == b"HEAD":
        if isinstance(body, bytes) and not body:
            # The length a GET would have is only known if it is said; 0 would be a lie in a 304.
            length = response.length if status == 304 else response.length or 0
        return Framing(has_body=False, length=length)
    if head.version == "1.1" and (length is None or response.trailers):
        return Framing(has_body=True, length=None, chunked=True)
    if length is None and head.version == "1.0":
        return Framing(has_body=True, length=None, until_close=True)
    return Framing(has_body=True, length=length)


def trailers_of(response: Response) -> Trailers:
    """Return the trailers, calling for them if they are a function."""
    trailers = response.trailers
    return trailers() if callable(trailers) else trailers
