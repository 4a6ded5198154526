"""The demo's origin: a small web server for Envoy to protect. `python -m sluice.demo.origin`."""

from __future__ import annotations

import itertools
import os
from typing import Final

from aiohttp import web

from sluice.mesh.ports import LOOPBACK

_DEFAULT_PORT: Final = "8099"

# Calls in flight when the mesh stops are answered at once; two seconds are for a slow reader.
_SHUTDOWN_SECONDS: Final = 2.0


def make_app() -> web.Application:
    """Answer the application: every path says which call this is and who made it."""
    numbers = itertools.count(1)

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(
            {
                "message": "hello from the demo's origin",
                "call": next(numbers),
                "client": request.headers.get("x-client-id"),
                "path": request.path,
            }
        )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


def main() -> None:
    """Serve on the loopback interface until SIGTERM."""
    web.run_app(
        make_app(),
        host=LOOPBACK,
        port=int(os.environ.get("SLUICE_DEMO_PORT", _DEFAULT_PORT)),
        print=None,
        access_log=None,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )


if __name__ == "__main__":
    main()
