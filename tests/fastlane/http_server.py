"""The HTTP shell as a process of its own, for programs that connect to a port.

`python -m tests.fastlane.http_server [ADDRESS]` prints the port and serves until SIGTERM:
`/` a word, `/echo` the body back at once, `/stream` the body back as it comes, `/big` a megabyte.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Final

import uvloop

from fastlane.http import Request, Response, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_TEXT: Final = ((b"content-type", b"text/plain"),)
_BIG: Final = bytes(1024) * 1024


async def handler(request: Request) -> Response:
    """Serve."""
    match request.path:
        case b"/echo":
            return Response(200, _TEXT, await request.read(64 * 1024 * 1024))
        case b"/stream":
            return Response(200, _TEXT, _copy(request), trailers=((b"x-end", b"yes"),))
        case b"/big":
            return Response(200, _TEXT, _BIG)
        case _:
            # Only then, as an answer to an unfinished request would race with what h2spec sends.
            await request.read()
            return Response(200, _TEXT, b"hello\n")


async def _copy(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.body:
        yield chunk


async def _serve(address: str) -> None:
    server = Server(handler)
    port = server.add(address)
    await server.start()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await stopped.wait()
    await server.stop(grace=1)


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:0"))
