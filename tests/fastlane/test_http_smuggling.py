"""Ambiguous requests over real sockets: refused, and what hides behind them never served."""

from __future__ import annotations

import pytest

from fastlane.http import Request, Response
from tests.fastlane import http_smuggling as smuggling
from tests.fastlane.http_client import Host, serving

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"


class Witness:
    """A handler that notes what it was asked."""

    def __init__(self) -> None:
        self.paths: list[bytes] = []

    async def __call__(self, request: Request) -> Response:
        """Take any body."""
        self.paths.append(request.path)
        return Response(200, (), await request.read())


async def send(host: Host, data: bytes, *, one_by_one: bool) -> bytes:
    client = await host.connect()
    if one_by_one:
        for at in range(len(data)):
            client.send(data[at : at + 1])
            await client.writer.drain()
    else:
        client.send(data)
    return await client.rest()


@pytest.mark.parametrize("one_by_one", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("data", smuggling.HEADS.values(), ids=smuggling.HEADS.keys())
async def test_an_ambiguous_head_is_refused(data: bytes, one_by_one: bool) -> None:
    witness = Witness()
    async with serving(witness) as host:
        answer = await send(host, data + HIDDEN, one_by_one=one_by_one)
    assert witness.paths == []
    assert not answer or answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/1.1") <= 1
    assert not answer or b"\r\nconnection: close\r\n" in answer


@pytest.mark.parametrize("data", smuggling.CHUNKS.values(), ids=smuggling.CHUNKS.keys())
async def test_ambiguous_chunks_are_refused(data: bytes) -> None:
    witness = Witness()
    async with serving(witness) as host:
        answer = await send(host, data + HIDDEN, one_by_one=False)
    assert b"/hidden" not in witness.paths
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nhOsT:a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:   a \t \r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        b"GET /?a=%00&b=\"|{}<>`^\\' HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://A:80/ HTTP/1.1\r\nHost: a:80\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \xc3\xa4\tb\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked \r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0003\r\n\r\nabc",
        b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_what_is_odd_and_clear_is_served(data: bytes) -> None:
    async with serving(Witness()) as host:
        assert (await host.ask(data)).status == 200


async def test_a_refused_request_ends_what_was_pipelined_behind_it() -> None:
    witness = Witness()
    async with serving(witness) as host:
        good = b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
        answer = await send(host, good + b"GET / HTTP/1.1\r\n\r\n" + HIDDEN, one_by_one=False)
    assert witness.paths == [b"/good"]
    assert [line[9:12] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/")] == [
        b"200",
        b"400",
    ]


async def test_no_upgrade_to_h2c_and_nothing_hidden_in_it() -> None:
    witness = Witness()
    upgrade = (
        b"GET /one HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
    )
    async with serving(witness) as host:
        client = await host.connect()
        client.send(upgrade, b"GET /two HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 200
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert (await client.answer()).status == 505
    assert witness.paths == [b"/one", b"/two"]
