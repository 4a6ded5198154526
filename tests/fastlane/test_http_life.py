"""Limits in time and number, drain and stop, addresses."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING

import pytest

from fastlane.http import Limits, Request, Response, Server
from tests.fastlane import certificates
from tests.fastlane.http_client import Client, serving
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SOON = 0.05


async def hello(_request: Request) -> Response:
    return Response(200, (), b"hello")


async def read(request: Request) -> Response:
    return Response(200, (), await request.read())


# -- time ----------------------------------------------------------------------------------------


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with serving(hello, Limits(head_seconds=SOON)) as host:
        assert await (await host.connect()).rest() == b""


async def test_a_head_that_does_not_end_is_408() -> None:
    async with serving(hello, Limits(head_seconds=SOON)) as host:
        client = await host.connect()
        client.send(b"GET / HTTP/1.1\r\nHost")
        assert (await client.rest()).startswith(b"HTTP/1.1 408 ")


async def test_a_head_in_drops_is_408_all_the_same() -> None:
    async with serving(hello, Limits(head_seconds=SOON * 2)) as host:
        client = await host.connect()
        answer = asyncio.ensure_future(client.rest())
        while not answer.done():
            client.send(b"X")
            await asyncio.wait([answer], timeout=SOON / 5)
        assert (await answer).startswith(b"HTTP/1.1 408 ")


async def test_half_a_preface_is_not_waited_for() -> None:
    async with serving(hello, Limits(head_seconds=SOON)) as host:
        client = await host.connect()
        client.send(b"PRI * HTTP/2.0\r\n")
        assert await client.rest_or_reset() == b""


async def test_an_idle_connection_is_closed_in_silence() -> None:
    async with serving(hello, Limits(idle_seconds=SOON)) as host:
        client = await host.connect()
        client.send(GET)
        assert (await client.answer()).status == 200
        assert await client.rest() == b""


async def test_a_handler_may_take_longer_than_any_limit_on_clients() -> None:
    release = asyncio.Event()

    async def handler(_request: Request) -> Response:
        await release.wait()
        return Response(200)

    async with serving(handler, Limits(idle_seconds=0.01, head_seconds=0.01)) as host:
        client = await host.connect()
        client.send(GET)
        await wait_until(lambda: host.server.counters.requests == 1)
        asyncio.get_running_loop().call_later(SOON, release.set)
        assert (await client.answer()).status == 200


async def test_a_body_that_does_not_come_is_408() -> None:
    async with serving(read, Limits(body_seconds=SOON)) as host:
        answer = await host.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
        assert (answer.status, answer.headers[b"connection"]) == (408, b"close")


# -- number --------------------------------------------------------------------------------------


async def test_connections_beyond_the_limit_are_turned_away() -> None:
    async with serving(hello, Limits(connections=2)) as host:
        first, second = await host.connect(), await host.connect()
        for client in (first, second):
            client.send(GET)
            assert (await client.answer()).status == 200
        third = await host.connect()
        third.send(GET)
        assert await third.rest_or_reset() == b""
        assert host.server.turned_away == 1
        first.close()
        await wait_until(lambda: host.server.connections == 1)
        assert (await host.ask(GET)).status == 200


async def test_the_servers_limit_on_bodies() -> None:
    async with serving(read, Limits(body_bytes=10)) as host:
        post = b"POST / HTTP/1.1\r\nHost: a\r\n"
        assert (await host.ask(post, b"Content-Length: 11\r\n\r\n")).status == 413
        chunks = b"Transfer-Encoding: chunked\r\n\r\n" + b"4\r\nabcd\r\n" * 3
        assert (await host.ask(post, chunks)).status == 413
        assert (await host.ask(post, b"Content-Length: 10\r\n\r\n0123456789")).status == 200


async def test_a_flood_on_one_connection_does_not_starve_another() -> None:
    turns: list[bytes] = []

    async def handler(request: Request) -> Response:
        turns.append(request.path)
        return Response(200)

    async with serving(handler) as host:
        flood = await host.connect()
        flood.send(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n" * 5_000)
        await wait_until(lambda: bool(turns))
        await host.ask(b"GET /calm HTTP/1.1\r\nHost: a\r\n\r\n")
        assert turns.index(b"/calm") < 2_500


# -- the end -------------------------------------------------------------------------------------


async def test_a_drain_lets_the_response_out_and_then_closes() -> None:
    release = asyncio.Event()

    async def handler(_request: Request) -> Response:
        await release.wait()
        return Response(200, (), b"late")

    async with serving(handler) as host:
        idle, busy = await host.connect(), await host.connect()
        idle.send(b"GET")
        busy.send(GET)
        await wait_until(lambda: host.server.counters.requests == 1)
        quiet = await host.connect()
        stopping = asyncio.ensure_future(host.server.stop(grace=10))
        await asyncio.sleep(0)
        release.set()
        answer = await busy.answer()
        assert (answer.body, answer.headers[b"connection"]) == (b"late", b"close")
        idle.send(b" / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await idle.answer()).headers[b"connection"] == b"close"
        quiet.close()
        await stopping
        with pytest.raises(OSError, match="onnect"):
            await host.connect()


async def test_a_stop_without_grace_ends_what_is_open() -> None:
    cancelled = asyncio.Event()

    async def handler(_request: Request) -> Response:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()
        return Response(200)

    async with serving(handler) as host:
        client = await host.connect()
        client.send(GET)
        await wait_until(lambda: host.server.counters.requests == 1)
        await asyncio.wait_for(host.server.stop(), 5)
        assert cancelled.is_set()


async def test_a_stop_can_be_hurried() -> None:
    async def handler(_request: Request) -> Response:
        await asyncio.get_running_loop().create_future()
        return Response(200)

    async with serving(handler) as host:
        client = await host.connect()
        client.send(GET)
        await wait_until(lambda: host.server.counters.requests == 1)
        stopping = asyncio.ensure_future(host.server.stop(grace=1_000))
        await asyncio.sleep(0)
        await asyncio.wait_for(host.server.stop(), 5)
        await stopping


# -- addresses -----------------------------------------------------------------------------------


async def test_a_unix_socket(tmp_path: Path) -> None:
    peers: list[str] = []

    async def handler(request: Request) -> Response:
        peers.append(request.peer)
        return Response(200)

    server = Server(handler)
    path = tmp_path / "http.sock"
    server.add(f"unix:{path}")
    await server.start()
    client = Client(*await asyncio.open_unix_connection(str(path)))
    client.send(GET)
    assert (await client.answer()).status == 200
    assert peers == ["unix:"]
    client.close()
    await server.stop()


async def test_two_servers_share_a_port_if_both_ask_to() -> None:
    first, second = Server(hello, reuse_port=True), Server(hello, reuse_port=True)
    port = first.add("127.0.0.1:0")
    assert second.add(f"127.0.0.1:{port}") == port
    await first.stop()
    await second.stop()


def test_a_used_port_says_what_to_do() -> None:
    async def main() -> None:
        first, second = Server(hello), Server(hello)
        port = first.add("127.0.0.1:0")
        await first.start()
        with pytest.raises(RuntimeError, match="in use"):
            second.add(f"127.0.0.1:{port}")
        await first.stop()

    asyncio.run(main())


@pytest.mark.skipif(not certificates.has_openssl(), reason="apt install openssl")
async def test_tls_without_alpn_speaks_http_1_and_says_https(tmp_path: Path) -> None:
    made = certificates.make(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")

    async def handler(request: Request) -> Response:
        return Response(200, (), request.scheme)

    server = Server(handler)
    port = server.add("127.0.0.1:0", tls=context)
    await server.start()
    trust = ssl.create_default_context(cadata=made.authority.decode())
    client = Client(
        *await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname="localhost")
    )
    client.send(GET)
    assert (await client.answer()).body == b"https"
    client.close()
    await server.stop()


async def test_plain_http_on_a_tls_port_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificates.make(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    server = Server(hello)
    port = server.add("127.0.0.1:0", tls=context)
    await server.start()
    client = Client(*await asyncio.open_connection("127.0.0.1", port))
    client.send(GET)
    await client.rest()
    client.close()
    await server.stop()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
