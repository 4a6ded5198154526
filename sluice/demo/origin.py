"""The demo's origin: a small web server for Envoy to protect. `python -m sluice.demo.origin`."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from typing import TYPE_CHECKING, Final

from fastlane import http
from sluice.mesh.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_DEFAULT_PORT: Final = "8099"
_JSON: Final = ((b"content-type", b"application/json; charset=utf-8"),)

# Calls in flight when the mesh stops are answered at once; two seconds are for a slow reader.
_SHUTDOWN_SECONDS: Final = 2.0


def make_handler() -> Callable[[http.Request], Awaitable[http.Response]]:
    """Answer the handler: every path says which call this is and who made it."""
    numbers = itertools.count(1)

    async def answer(request: http.Request) -> http.Response:
        client = request.first(b"x-client-id")
        said = {
            "message": "hello from the demo's origin",
            "call": next(numbers),
            "client": None if client is None else client.decode("latin-1"),
            "path": request.path.partition(b"?")[0].decode("latin-1"),
        }
        return http.Response(200, _JSON, json.dumps(said).encode())

    return answer


async def serve(port: int) -> None:
    """Serve on the loopback interface until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = http.Server(make_handler())
    server.add(f"{LOOPBACK}:{port}")
    await server.start()
    await stop.wait()
    await server.stop(_SHUTDOWN_SECONDS)


if __name__ == "__main__":
    asyncio.run(serve(int(os.environ.get("SLUICE_DEMO_PORT", _DEFAULT_PORT))))
