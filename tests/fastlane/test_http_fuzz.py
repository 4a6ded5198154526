"""Mutated HTTP/1 traffic: any cut reads the same, and a server lives through it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastlane.http import Head, Limits, Refusal, Request, Response
from fastlane.http.one import BodyEnded, HeadMemo, Reader, State
from tests.fastlane import http_smuggling as smuggling
from tests.fastlane.http_client import serving

if TYPE_CHECKING:
    from collections.abc import Sequence

# Small ones, so that mutations reach them.
LIMITS = Limits(head_bytes=512, target_bytes=128, trailer_bytes=128, chunk_overhead_bytes=256)
GET = b"GET /a HTTP/1.1\r\nHost: a\r\nX-Y: z, q\r\n\r\n"
CHUNKS = b"5;a=b\r\nhello\r\n0\r\nT: v\r\n\r\n"
HONEST = [
    GET,
    b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world",
    b"PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    b"GET http://a/d HTTP/1.0\r\nConnection: keep-alive\r\nHost: a\r\n\r\n",
]
TOKENS = [
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b":", b",", b";", b"0", b"\x0b", b"\xff"),
    *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n", b"0\r\n\r\n"),
    *(b"HTTP/1.1", b"chunked", b"\r\n\r\n", b"X" * 600, b"5\r\n", b"Connection: close\r\n"),
]


@st.composite
def traffic(draw: st.DrawFn) -> bytes:
    """Return messages, some of them odd, with some bytes changed."""
    corpus = st.sampled_from([*HONEST, *HONEST, *smuggling.HEADS.values()])
    data = b"".join(draw(st.lists(corpus | st.sampled_from(HONEST), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 4))
        new = draw(st.sampled_from([b"", *TOKENS]) | st.binary(max_size=3))
        data = data[:at] + new + data[at + cut :]
    return data


def events(pieces: Sequence[bytes]) -> list[object]:
    """Return what is read, up to the refusal; body bytes of one message joined."""
    reader = Reader(HeadMemo(LIMITS, b"http"), LIMITS)
    found: list[object] = []
    for piece in pieces:
        reader.feed(piece)
        try:
            while True:
                event = reader.next()
                if event is None:
                    if reader.state != State.DONE:
                        break
                    reader.restart()
                elif isinstance(event, bytes) and found and isinstance(found[-1], bytes):
                    found[-1] += event
                elif isinstance(event, Head):
                    found.append((event.method, event.target, event.headers, event.length))
                else:
                    found.append(event)
        except Refusal as refusal:
            if found and isinstance(found[-1], bytes):
                found.pop()  # how much of a broken body came first depends on the cut
            found.append(refusal.status)
            break
    return found


@settings(max_examples=400)
@given(traffic(), st.lists(st.integers(1, 40), max_size=30))
def test_any_cut_of_any_traffic_reads_the_same(data: bytes, sizes: list[int]) -> None:
    pieces = []
    rest = data
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    pieces.append(rest)
    whole = events([data])
    assert events(pieces) == whole
    assert events([data[at : at + 1] for at in range(len(data))]) == whole


@settings(max_examples=200)
@given(traffic())
def test_what_is_read_is_what_is_allowed(data: bytes) -> None:
    for event in events([data]):
        if isinstance(event, tuple):
            _method, target, headers, _length = event
            assert not set(target) & set(b"\x00\r\n \t")
            for name, value in headers:
                assert name == name.lower()
                assert not set(value) & set(b"\x00\r\n")
        elif isinstance(event, BodyEnded):
            assert all(name != b"content-length" for name, _ in event.trailers)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(traffic() | st.binary(max_size=300), min_size=1, max_size=5))
def test_a_server_lives_through_it(messages: list[bytes]) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, (), await request.read())

    async def main() -> None:
        async with serving(handler, LIMITS) as host:
            for message in messages:
                client = await host.connect()
                client.send(message)
                await client.writer.drain()
                client.writer.write_eof()
                answer = await client.rest_or_reset()
                assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
            assert (await host.ask(GET)).status == 200

    asyncio.run(main())
