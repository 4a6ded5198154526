"""Exchanges over HTTP/1.1: framing, keep-alive, pipelining, expectations, handlers' mistakes."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from fastlane.http import Refusal, Request, Response
from tests.fastlane.http_client import serving
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


async def hello(_request: Request) -> Response:
    return Response(200, ((b"content-type", b"text/plain"),), b"hello")


async def echo(request: Request) -> Response:
    return Response(200, (), await request.read(1024 * 1024))


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_request_and_what_the_handler_sees() -> None:
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(201, ((b"X-Order", b"1"), (b"x-order2", b"2")), await request.read())

    async with serving(handler) as host:
        answer = await host.ask(POST, b"X-A: b\r\nX-A: c\r\nContent-Length: 3\r\n\r\nabc")
    assert (answer.status, answer.body) == (201, b"abc")
    assert [*answer.headers] == [b"x-order", b"x-order2", b"date", b"content-length"]
    (request,) = seen
    assert (request.all(b"x-a"), request.first(b"x-a")) == ([b"b", b"c"], b"b")
    assert (request.length, request.version, request.authority) == (3, "1.1", b"a")
    assert request.peer.startswith("127.0.0.1:")


async def test_a_connection_is_kept_and_closed_as_asked() -> None:
    async with serving(hello) as host:
        client = await host.connect()
        for _ in range(3):
            client.send(GET)
            assert b"connection" not in (await client.answer()).headers
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", GET)
        assert (await client.answer()).headers[b"connection"] == b"close"
        assert await client.rest() == b""


async def test_http_1_0_closes_unless_it_asks_not_to() -> None:
    async with serving(hello) as host:
        client = await host.connect()
        client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await client.answer()).headers[b"connection"] == b"keep-alive"
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.answer()).headers[b"connection"] == b"close"
        assert await client.rest() == b""


async def test_a_stream_to_http_1_0_ends_with_the_connection() -> None:
    async def handler(_request: Request) -> Response:
        return Response(200, (), pieces(b"ab", b"", b"c"), trailers=((b"t", b"v"),))

    async with serving(handler) as host:
        answer = await host.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (answer.body, answer.headers[b"connection"]) == (b"abc", b"close")
    assert b"transfer-encoding" not in answer.headers


async def test_a_stream_is_chunked_with_trailers_behind_it() -> None:
    async def handler(_request: Request) -> Response:
        return Response(200, (), pieces(b"ab", b"", b"c"), trailers=lambda: ((b"T", b"v"),))

    async with serving(handler) as host:
        answer = await host.ask(GET)
    assert (answer.body, answer.trailers) == (b"abc", b"t: v\r\n")


async def test_a_chunked_request_and_its_trailers() -> None:
    async def handler(request: Request) -> Response:
        body = await request.read()
        return Response(200, request.body.trailers, body)

    async with serving(handler) as host:
        answer = await host.ask(
            POST, b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\nX-Sum: 9\r\n\r\n"
        )
    assert (answer.body, answer.headers[b"x-sum"]) == (b"abc", b"9")


@pytest.mark.parametrize(
    ("request_line", "response", "length"),
    [
        (b"HEAD", Response(200, (), b"hello"), b"5"),
        (b"HEAD", Response(200, length=7), b"7"),
        (b"GET", Response(204, (), b"hello"), None),
        (b"GET", Response(304, length=9), b"9"),
        (b"GET", Response(304), None),
    ],
)
async def test_answers_without_a_body_leave_the_connection_in_step(
    request_line: bytes, response: Response, length: bytes | None
) -> None:
    async def handler(request: Request) -> Response:
        return response if request.path == b"/x" else Response(200, (), b"next")

    async with serving(handler) as host:
        client = await host.connect()
        client.send(request_line, b" /x HTTP/1.1\r\nHost: a\r\n\r\n", GET)
        assert (await client.answer(bodiless=True)).headers.get(b"content-length") == length
        assert (await client.answer()).body == b"next"


async def test_a_stream_nobody_wants_is_closed_unread() -> None:
    class Stream:
        closed = False

        def __aiter__(self) -> AsyncIterator[bytes]:
            raise AssertionError("a HEAD reads no body")

        async def aclose(self) -> None:
            self.closed = True

    stream = Stream()

    async def handler(_request: Request) -> Response:
        return Response(200, (), stream)

    async with serving(handler) as host:
        await host.ask(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", bodiless=True)
        assert stream.closed


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async def handler(request: Request) -> Response:
        for _ in range(10 - int(request.path[1:]) % 10):
            await asyncio.sleep(0)
        return Response(200, (), request.path)

    async with serving(handler) as host:
        client = await host.connect()
        client.send(*(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(200)))
        assert [(await client.answer()).body for _ in range(200)] == [
            b"/%d" % number for number in range(200)
        ]


async def test_one_handler_runs_at_a_time_on_a_connection() -> None:
    running = most = 0

    async def handler(_request: Request) -> Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return Response(200)

    async with serving(handler) as host:
        client = await host.connect()
        client.send(GET * 50)
        for _ in range(50):
            await client.answer()
    assert most == 1


async def test_100_continue_goes_out_when_the_handler_reads() -> None:
    reads = asyncio.Event()

    async def handler(request: Request) -> Response:
        await reads.wait()
        return Response(200, (), await request.read())

    async with serving(handler) as host:
        client = await host.connect()
        client.send(POST, b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        await wait_until(lambda: host.server.counters.requests == 1)
        assert client.reader._buffer == b""  # type: ignore[attr-defined]
        reads.set()
        assert (await client.head())[0] == 100
        client.send(b"abc", GET)
        assert (await client.answer()).body == b"abc"


async def test_a_refusal_without_100_continue_closes_as_the_body_may_come_or_not() -> None:
    async def handler(_request: Request) -> Response:
        raise Refusal(403, "not for you")

    async with serving(handler) as host:
        answer = await host.ask(POST, b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert (answer.status, answer.body) == (403, b"not for you\n")
    assert answer.headers[b"connection"] == b"close"


async def test_early_hints_go_before_the_answer() -> None:
    async def handler(request: Request) -> Response:
        request.inform(103, ((b"link", b"</a>"),))
        return Response(200, (), b"abc")

    async with serving(handler) as host:
        client = await host.connect()
        client.send(GET)
        assert await client.head() == (103, {b"link": b"</a>"})
        assert (await client.answer()).body == b"abc"
        answer = await host.ask(b"GET / HTTP/1.0\r\n\r\n")
        assert answer.status == 200


@pytest.mark.parametrize("size", [10, 50_000])
async def test_a_small_body_nobody_read_is_passed_over(size: int) -> None:
    async with serving(hello) as host:
        client = await host.connect()
        client.send(POST, b"Content-Length: %d\r\n\r\n" % size, bytes(size), GET)
        assert b"connection" not in (await client.answer()).headers
        assert (await client.answer()).body == b"hello"


async def test_a_large_body_nobody_read_ends_the_connection() -> None:
    async with serving(hello) as host:
        answer = await host.ask(POST, b"Content-Length: 1000000\r\n\r\n")
        assert answer.headers[b"connection"] == b"close"
        client = await host.connect()
        client.send(POST, b"Transfer-Encoding: chunked\r\n\r\n")
        assert (await client.answer()).body == b"hello"
        client.send(b"10000\r\n", bytes(65_536), b"\r\n10000\r\n", bytes(65_536))
        assert await client.rest() == b""


async def test_a_body_that_breaks_off_its_grammar_is_refused_to_the_handler() -> None:
    async with serving(echo) as host:
        answer = await host.ask(POST, b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\nx\r\n")
    assert (answer.status, answer.headers[b"connection"]) == (400, b"close")


async def test_a_body_over_the_handlers_limit_is_413() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, (), await request.read(10))

    async with serving(handler) as host:
        assert (await host.ask(POST, b"Content-Length: 11\r\n\r\n")).status == 413
        chunk = b"Transfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n"
        assert (await host.ask(POST, chunk)).status == 413


@pytest.mark.parametrize(
    "response",
    [
        Response(200, ((b"x", b"a\r\nset-cookie: b"),), b"abc"),
        Response(200, ((b"x\r\ny", b"a"),)),
        Response(200, ((b"content-length", b"9"),)),
        Response(200, ((b"transfer-encoding", b"chunked"),)),
        Response(99),
        Response(200, (), b"abc", 4),
        Response(200, (), "abc"),  # type: ignore[arg-type]
        Response(200, (), b"", trailers=((b"content-length", b"1"),)),
        None,
    ],
    ids=repr,
)
async def test_a_response_that_cannot_be_sent_becomes_a_500_and_is_logged(
    response: Response, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: Request) -> Response:
        return response if request.path == b"/" else Response(200)

    async with serving(handler) as host:
        client = await host.connect()
        client.send(GET)
        answer = await client.answer()
        assert (answer.status, answer.body) == (500, b"Internal server error\n")
        assert b"set-cookie" not in answer.headers
        client.send(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).status == 200
    assert any(record.levelno == logging.ERROR for record in caplog.records)


async def test_a_handlers_failure_is_its_own_and_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(_request: Request) -> Response:
        raise ValueError("the secret")

    async with serving(handler) as host:
        answer = await host.ask(GET)
    assert (answer.status, answer.body) == (500, b"Internal server error\n")
    assert "the secret" in caplog.text


@pytest.mark.parametrize(
    "make",
    [
        lambda: Response(200, (), pieces(b"ab"), length=3),
        lambda: Response(200, (), pieces(b"abcd"), length=3),
        lambda: Response(200, (), failing()),
        lambda: Response(200, (), failing(), length=9),
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_stream_that_fails_does_not_look_whole(
    make: Callable[[], Response], version: bytes
) -> None:
    async def handler(_request: Request) -> Response:
        return make()

    async with serving(handler) as host:
        client = await host.connect()
        client.send(b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % version)
        answer = await client.rest_or_reset()
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"content-length" in head:
        assert len(body) < int(head.rpartition(b"content-length: ")[2].partition(b"\r")[0])
    elif b"chunked" in head:
        assert not body.endswith(b"0\r\n\r\n")
    else:
        assert answer == b""  # only a reset tells: such a body ends where the connection does


async def test_trailers_that_cannot_be_sent_break_the_stream_off() -> None:
    async def handler(_request: Request) -> Response:
        return Response(200, (), pieces(b"ab"), trailers=((b"host", b"x"),))

    async with serving(handler) as host:
        client = await host.connect()
        client.send(GET)
        assert not (await client.rest_or_reset()).endswith(b"0\r\n\r\n")


async def failing() -> AsyncIterator[bytes]:
    yield b"ab"
    raise ValueError("half way")


async def test_a_client_that_leaves_cancels_its_handler() -> None:
    started = asyncio.Event()
    cancelled = asyncio.Event()

    async def handler(_request: Request) -> Response:
        started.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Response(200)

    async with serving(handler) as host:
        client = await host.connect()
        client.send(GET)
        await started.wait()
        client.close()
        await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_client_that_leaves_in_the_midst_of_its_body_ends_its_handler() -> None:
    ended: list[BaseException] = []

    async def handler(request: Request) -> Response:
        try:
            return Response(200, (), await request.read())
        except BaseException as error:
            ended.append(error)
            raise

    async with serving(handler) as host:
        client = await host.connect()
        client.send(POST, b"Content-Length: 10\r\n\r\nabc")
        await wait_until(lambda: host.server.counters.requests == 1)
        client.close()
        await wait_until(lambda: bool(ended))
    assert isinstance(ended[0], asyncio.CancelledError | Refusal)


async def test_handlers_have_tasks_of_their_own() -> None:
    async def handler(_request: Request) -> Response:
        async with asyncio.timeout(0.01):
            await asyncio.get_running_loop().create_future()
        return Response(200)

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except TimeoutError:
            return Response(504)

    async with serving(guarded) as host:
        answers = await asyncio.gather(*(host.ask(GET) for _ in range(20)))
    assert {answer.status for answer in answers} == {504}
