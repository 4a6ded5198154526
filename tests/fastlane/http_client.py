"""A raw client and a server in the same loop, for tests of the HTTP shell over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastlane.http import Limits, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastlane.http.engine import Handler

PATIENCE = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A response as read off the wire."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    trailers: bytes = b""


class Client:
    """One connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *data: bytes) -> None:
        """Write."""
        self.writer.write(b"".join(data))

    async def rest(self) -> bytes:
        """Return everything until the server closes."""
        return await asyncio.wait_for(self.reader.read(-1), PATIENCE)

    async def rest_or_reset(self) -> bytes:
        """Return the same, or nothing if the server had unread bytes and the kernel reset it."""
        try:
            return await self.rest()
        except ConnectionResetError:
            return b""

    async def head(self) -> tuple[int, dict[bytes, bytes]]:
        """Return the status and fields of the next head."""
        text = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        line, *fields = text[:-4].split(b"\r\n")
        found = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [A-Za-z' -]*", line)
        assert found is not None, line
        names = [field.partition(b": ")[0] for field in fields]
        assert len(names) == len(set(names)), text
        return int(found[1]), dict(field.split(b": ", 1) for field in fields)

    async def answer(self, *, bodiless: bool = False) -> Answer:
        """Return the next response."""
        status, headers = await self.head()
        body = trailers = b""
        if not bodiless and b"content-length" in headers:
            wanted = int(headers[b"content-length"])
            body = await asyncio.wait_for(self.reader.readexactly(wanted), PATIENCE)
        elif not bodiless and b"transfer-encoding" in headers:
            body, trailers = await self._chunks()
        elif headers.get(b"connection") == b"close" and not bodiless:
            body = await self.rest()
        return Answer(status=status, headers=headers, body=body, trailers=trailers)

    async def _chunks(self) -> tuple[bytes, bytes]:
        body = bytearray()
        while True:
            line = await asyncio.wait_for(self.reader.readuntil(b"\r\n"), PATIENCE)
            size = int(line, 16)
            if not size:
                break
            body += await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        trailers = b""
        while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
            trailers += line
        return bytes(body), trailers

    def close(self) -> None:
        """Hang up."""
        self.writer.transport.abort()


class Host:
    """A running server."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port
        self.clients: list[Client] = []

    async def connect(self) -> Client:
        """Open a connection."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    async def ask(self, *data: bytes, bodiless: bool = False) -> Answer:
        """Send on a new connection and return the first response."""
        client = await self.connect()
        client.send(*data)
        answer = await client.answer(bodiless=bodiless)
        client.close()
        return answer


@contextlib.asynccontextmanager
async def serving(handler: Handler, limits: Limits | None = None) -> AsyncIterator[Host]:
    """Run a server for `handler`."""
    server = Server(handler, limits=limits)
    port = server.add("127.0.0.1:0")
    await server.start()
    host = Host(server, port)
    try:
        yield host
    finally:
        for client in host.clients:
            client.close()
        await server.stop()
