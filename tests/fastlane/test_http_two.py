"""Exchanges over HTTP/2 with prior knowledge, on the port that also speaks HTTP/1.1."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import h2.events
import pytest

from fastlane import h2 as core
from fastlane.h2 import frames
from fastlane.http import Limits, Refusal, Request, Response
from tests.fastlane.client import read_frames
from tests.fastlane.http_client import PATIENCE, serving
from tests.fastlane.http_peer import Fields, Peer, request
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CHUNK = bytes(16_384)


async def echo(request: Request) -> Response:
    return Response(200, ((b"X-Version", request.version.encode()),), await request.read())


async def test_a_request_and_its_answer() -> None:
    async with serving(echo) as host:
        peer = await Peer.connect(host)
        stream = peer.ask(request(b"/", b"POST", (b"content-length", b"3")), b"abc")
        headers, body = await peer.answer(stream)
    assert body == b"abc"
    assert [*headers] == [b":status", b"x-version", b"date", b"content-length"]
    assert headers[b"x-version"] == b"2"


async def test_both_versions_on_one_port_at_once() -> None:
    async with serving(echo) as host:
        peer = await Peer.connect(host)
        answer = await host.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        headers, _ = await peer.answer(peer.ask(request()))
    assert (answer.headers[b"x-version"], headers[b"x-version"]) == (b"1.1", b"2")


async def test_a_preface_in_single_bytes() -> None:
    async with serving(echo) as host:
        client = await host.connect()
        for at in range(len(frames.PREFACE)):
            client.send(frames.PREFACE[at : at + 1])
            await client.writer.drain()
        client.send(frames.settings({}))
        greeting = await asyncio.wait_for(client.reader.readexactly(9), PATIENCE)
        assert greeting[3] == frames.FrameType.SETTINGS


async def test_streams_run_side_by_side() -> None:
    gates = {b"/1": asyncio.Event(), b"/2": asyncio.Event()}

    async def handler(request: Request) -> Response:
        await gates[request.path].wait()
        return Response(200, (), request.path)

    async with serving(handler) as host:
        peer = await Peer.connect(host)
        first, second = peer.ask(request(b"/1")), peer.ask(request(b"/2"))
        gates[b"/2"].set()
        assert (await peer.answer(second))[1] == b"/2"
        gates[b"/1"].set()
        assert (await peer.answer(first))[1] == b"/1"


async def test_a_stream_both_ways_with_trailers() -> None:
    async def handler(request: Request) -> Response:
        async def copy() -> AsyncIterator[bytes]:
            async for chunk in request.body:
                yield chunk

        return Response(200, (), copy(), trailers=lambda: request.body.trailers)

    async with serving(handler) as host:
        peer = await Peer.connect(host)
        stream = peer.ask(request(b"/", b"POST"), b"ab", end=False)
        await peer.until(lambda event: isinstance(event, h2.events.DataReceived))
        peer.state.send_data(stream, b"c")
        peer.state.send_headers(stream, [(b"x-sum", b"9")], end_stream=True)
        peer.flush()
        assert (await peer.answer(stream))[1] == b"abc"
        trailers = next(e for e in peer.of(stream) if isinstance(e, h2.events.TrailersReceived))
    assert list(trailers.headers) == [(b"x-sum", b"9")]


@pytest.mark.parametrize(
    ("method", "response", "length"),
    [
        (b"HEAD", Response(200, (), b"hello"), b"5"),
        (b"GET", Response(204, (), b"hello"), None),
        (b"GET", Response(304, length=9), b"9"),
        (b"GET", Response(200), b"0"),
    ],
)
async def test_answers_without_a_body(
    method: bytes, response: Response, length: bytes | None
) -> None:
    async def handler(_request: Request) -> Response:
        return response

    async with serving(handler) as host:
        peer = await Peer.connect(host)
        headers, body = await peer.answer(peer.ask(request(b"/", method)))
    assert (headers.get(b"content-length"), body) == (length, b"")


async def test_interim_answers() -> None:
    async def handler(request: Request) -> Response:
        request.inform(103, ((b"link", b"</a>"),))
        return Response(200, (), await request.read())

    async with serving(handler) as host:
        peer = await Peer.connect(host)
        fields = request(b"/", b"POST", (b"expect", b"100-continue"))
        stream = peer.ask(fields, end=False)

        def interim(status: bytes) -> Callable[[h2.events.Event], bool]:
            return lambda event: (
                isinstance(event, h2.events.InformationalResponseReceived)
                and (b":status", status) in event.headers
            )

        await peer.until(interim(b"103"))
        await peer.until(interim(b"100"))
        peer.state.send_data(stream, b"abc", end_stream=True)
        peer.flush()
        assert (await peer.answer(stream))[1] == b"abc"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(request(b"http://a/"), id="URL as path"),
        pytest.param(request(b"/a b"), id="space in path"),
        pytest.param(request(b"/#"), id="fragment"),
        pytest.param(request(b"/", b"G T"), id="space in method"),
        pytest.param(request(b"/", b"GET", (b"host", b"a"), (b"host", b"a")), id="hosts"),
        pytest.param(request(b"/", b"GET", (b"x", b"a\x01")), id="control in value"),
        pytest.param(request()[:3], id="no authority"),
        pytest.param([*request()[:3], (b":authority", b"u@a")], id="user information"),
    ],
)
async def test_what_is_ambiguous_elsewhere_is_400_on_its_stream_alone(fields: Fields) -> None:
    async with serving(echo) as host:
        peer = await Peer.connect(host)
        headers, _ = await peer.answer(peer.ask(fields))
        assert headers[b":status"] == b"400"
        assert (await peer.answer(peer.ask(request())))[0][b":status"] == b"200"
        assert host.server.counters.requests == 1


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(request(b"/", b"POST", (b"transfer-encoding", b"chunked")), id="coding"),
        pytest.param(request(b"/", b"POST", (b"connection", b"close")), id="connection"),
        pytest.param(request(b"/", b"POST", (b"content-length", b"4")), id="another length"),
        pytest.param(request(b"/", b"POST", (b"content-length", b"3,3")), id="list of lengths"),
        pytest.param(request(b"/", b"POST", (b"host", b"b")), id="another host"),
        pytest.param(request(b"/", b"POST", (b"X", b"a")), id="upper case"),
        pytest.param(request(b"/", b"POST", (b"x", b"a\r\nb: c")), id="CR LF in value"),
        pytest.param(request(b"/", b"POST", (b"x\r\ny", b"a")), id="CR LF in name"),
        pytest.param(request(b"/", b"POST", (b"x", b"a\x00")), id="NUL"),
        pytest.param(request(b"/", b"POST", (b":path", b"/b")), id="pseudo-field behind"),
        pytest.param([(b":path", b"/b"), *request(b"/", b"POST")], id="two paths"),
        pytest.param(request(b"/\r\nX: a HTTP/1.1", b"POST"), id="CR LF in path"),
        pytest.param(request(b"/", b"POST /\r\n"), id="CR LF in method"),
    ],
)
async def test_what_is_malformed_resets_its_stream_alone(fields: Fields) -> None:
    async with serving(echo) as host:
        peer = await Peer.connect(host)
        assert await peer.reset(peer.ask(fields, b"abc")) == core.ErrorCode.PROTOCOL_ERROR
        headers, _ = await peer.answer(peer.ask(request()))
        assert headers[b":status"] == b"200"


async def test_forbidden_trailers_break_the_body() -> None:
    async with serving(echo) as host:
        peer = await Peer.connect(host)
        stream = peer.ask(request(b"/", b"POST"), b"abc", end=False)
        peer.state.send_headers(stream, [(b"authorization", b"x")], end_stream=True)
        peer.flush()
        assert (await peer.answer(stream))[0][b":status"] == b"400"


async def test_a_reset_cancels_its_handler() -> None:
    cancelled = asyncio.Event()

    async def handler(_request: Request) -> Response:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()
        return Response(200)

    async with serving(handler) as host:
        peer = await Peer.connect(host)
        stream = peer.ask(request())
        await wait_until(lambda: host.server.counters.requests == 1)
        peer.state.reset_stream(stream, 8)
        peer.flush()
        await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_handlers_failure_and_a_refusal() -> None:
    async def handler(request: Request) -> Response:
        if request.path == b"/refused":
            raise Refusal(404, "nothing here")
        return Response(200, ((b"x", b"a\r\nb"),))

    async with serving(handler) as host:
        peer = await Peer.connect(host)
        headers, body = await peer.answer(peer.ask(request(b"/refused")))
        assert (headers[b":status"], body) == (b"404", b"nothing here\n")
        headers, body = await peer.answer(peer.ask(request()))
        assert (headers[b":status"], body) == (b"500", b"Internal server error\n")


async def test_a_stream_that_fails_is_reset() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"ab"
        raise ValueError("half way")

    async def handler(_request: Request) -> Response:
        return Response(200, (), stream())

    async with serving(handler) as host:
        peer = await Peer.connect(host)
        assert await peer.reset(peer.ask(request())) == core.ErrorCode.INTERNAL_ERROR


async def test_a_slow_handler_closes_the_streams_window() -> None:
    bodies = []
    goes_on = asyncio.Event()

    async def handler(request: Request) -> Response:
        bodies.append(request.body)
        await goes_on.wait()
        return Response(200, (), b"%d" % len(await request.read(1024 * 1024)))

    async with serving(handler) as host:
        peer = await Peer.connect(host)
        stream = peer.ask(request(b"/", b"POST"), end=False)
        sent = 0
        while window := peer.state.local_flow_control_window(stream):
            peer.state.send_data(stream, CHUNK[:window])
            sent += min(window, len(CHUNK))
            peer.flush()
        await wait_until(lambda: bool(bodies) and bodies[0].buffered == sent)
        assert sent == core.Limits().stream_window
        goes_on.set()
        await peer.until(
            lambda event: isinstance(event, h2.events.WindowUpdated) and event.stream_id == stream
        )
        peer.state.send_data(stream, b"", end_stream=True)
        peer.flush()
        assert (await peer.answer(stream))[1] == b"%d" % sent


async def test_a_slow_client_holds_its_handler_back() -> None:
    made = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(1_000):
            made += len(CHUNK)
            yield CHUNK

    async def handler(_request: Request) -> Response:
        return Response(200, (), stream())

    async with serving(handler) as host:
        peer = await Peer.connect(host)
        peer.acknowledges = False
        stream_id = peer.ask(request())
        received = 0
        while received < 65_535:
            event = await peer.until(lambda event: isinstance(event, h2.events.DataReceived))
            assert isinstance(event, h2.events.DataReceived)
            peer.events.remove(event)
            received += len(event.data)
        assert made <= 65_535 + core.Limits().send_queue_bytes + 2 * len(CHUNK)
        peer.acknowledges = True
        peer.state.acknowledge_received_data(received, stream_id)
        peer.flush()
        _, body = await peer.answer(stream_id)
        assert received + len(body) == 1_000 * len(CHUNK)


@pytest.mark.parametrize("streams", [True, False])
async def test_a_client_that_opens_no_window_is_given_up(streams: bool) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield CHUNK

    async def handler(_request: Request) -> Response:
        return Response(200, (), stream() if streams else CHUNK * 100)

    async with serving(handler, Limits(write_seconds=0.05)) as host:
        peer = await Peer.connect(host)
        peer.acknowledges = False
        await peer.reset(peer.ask(request()))


async def test_no_settings_no_connection() -> None:
    async with serving(echo, Limits(head_seconds=0.05)) as host:
        client = await host.connect()
        client.send(frames.PREFACE)
        await client.rest_or_reset()
        await wait_until(lambda: host.server.connections == 0)


async def test_an_idle_connection_is_drained() -> None:
    async with serving(echo, Limits(idle_seconds=0.05)) as host:
        peer = await Peer.connect(host)
        await peer.answer(peer.ask(request()))
        rest = b""
        while b"draining" not in rest:  # the PING behind the first GOAWAY
            rest += await asyncio.wait_for(peer.client.reader.read(65_536), PATIENCE)
        peer.client.send(frames.ping(b"draining", ack=True))
        rest += await peer.client.rest()
        kinds = [frame.kind for frame in read_frames(rest)]
    assert kinds == [frames.FrameType.GOAWAY, frames.FrameType.PING, frames.FrameType.GOAWAY]


async def test_a_drain_finishes_what_is_open() -> None:
    release = asyncio.Event()

    async def handler(_request: Request) -> Response:
        await release.wait()
        return Response(200, (), b"late")

    async with serving(handler) as host:
        peer = await Peer.connect(host)
        stream = peer.ask(request())
        await wait_until(lambda: host.server.counters.requests == 1)
        stopping = asyncio.ensure_future(host.server.stop(grace=10))
        client = peer.client
        greeting = b""
        while b"draining" not in greeting:  # the PING behind the GOAWAY
            greeting += await asyncio.wait_for(client.reader.read(65_536), PATIENCE)
        client.send(frames.SETTINGS_ACK, frames.ping(b"draining", ack=True))
        release.set()
        assert b"late" in await client.rest()
        assert stream == 1
        await asyncio.wait_for(stopping, PATIENCE)


async def test_a_stop_without_grace_says_goodbye_and_cancels() -> None:
    cancelled = asyncio.Event()

    async def handler(_request: Request) -> Response:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()
        return Response(200)

    async with serving(handler) as host:
        peer = await Peer.connect(host)
        peer.ask(request())
        await wait_until(lambda: host.server.counters.requests == 1)
        await asyncio.wait_for(host.server.stop(), PATIENCE)
        assert cancelled.is_set()
        rest = await peer.client.rest_or_reset()
    kinds = [frame.kind for frame in read_frames(rest)]
    assert frames.FrameType.GOAWAY in kinds
    assert frames.FrameType.RST_STREAM in kinds


async def test_http1_and_http2_see_equal_requests() -> None:
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(200, (), await request.read())

    async with serving(handler) as host:
        peer = await Peer.connect(host)
        fields = request(b"/p?q", b"POST", (b"content-length", b"3"), (b"X-A".lower(), b"b"))
        await peer.answer(peer.ask(fields, b"abc"))
        await host.ask(b"POST /p?q HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-A: b\r\n\r\nabc")
    two, one = seen
    for name in ("method", "target", "path", "scheme", "authority", "headers", "length"):
        assert getattr(one, name) == getattr(two, name), name
