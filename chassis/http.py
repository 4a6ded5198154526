"""A small HTTP server for operators and `/json`: routes in, answers out.

aiohttp is behind it and shows nowhere else, so that another server can take its place: a service
sees only Request, Answer and Route.

Bounded are the request line, each header, the body and the time it takes to come, the time a
connection may idle between requests, and the time to stop. Not bounded, as aiohttp has nothing for
it, are the number of connections and the time headers take to come: the ports are on the loopback
interface unless told otherwise, and who opens them wider puts Envoy in front, which bounds both.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from chassis.errors import SluiceError
from chassis.listen import Listen, ListenError, check
from chassis.log import get_logger
from chassis.status import BUG_MESSAGE, code_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

# A body of the reference's /json is a few hundred bytes; nobody uploads here.
MAX_BODY_BYTES = 1024 * 1024
# The largest body at 1 Mbit/s; who is slower only holds a connection.
BODY_SECONDS = 10.0
# aiohttp's own default, said aloud: the request line, and each header.
MAX_HEADER_BYTES = 8190
# An idle keep-alive connection; scrapers come every 15 to 60 seconds.
KEEPALIVE_SECONDS = 75.0
# How long answers under way may take when we stop.
STOP_SECONDS = 1.0

READ: Final = frozenset({"GET", "HEAD"})
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"

# Answers are about now and for the one who asked; browsers must not guess another type.
# The server's name is set because aiohttp would tell its version and Python's.
_ALWAYS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Server": "sluice",
}

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a handler may know: header names in lower case, of repeated query keys the first."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a handler answers."""

    status: int = 200
    content_type: str = TEXT
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def text(cls, text: str, *, status: int = 200) -> Answer:
        """Answer with text, ended by a newline."""
        body = text if text.endswith("\n") else text + "\n"
        return cls(status=status, body=body.encode())

    @classmethod
    def json(cls, value: Any, *, status: int = 200) -> Answer:
        """Answer with JSON, indented for people."""
        body = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        return cls(status=status, content_type=JSON, body=body.encode())


if TYPE_CHECKING:
    Handler = Callable[[Request], Awaitable[Answer]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One path's handler; `doc` is shown in the listing of `/`."""

    handler: Handler
    methods: frozenset[str] = READ
    doc: str = ""


class HttpServer:
    """Serves routes: `/exact` paths, and `/prefix/*` for everything below a prefix.

    A SluiceError of a handler becomes its HTTP code with a JSON body, anything else a neutral 500.
    """

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._exact = {path: route for path, route in routes.items() if not path.endswith("/*")}
        self._below = sorted(
            ((path[:-1], route) for path, route in routes.items() if path.endswith("/*")),
            key=lambda pair: -len(pair[0]),
        )
        self._runner: web.AppRunner | None = None

    async def start(self, listen: Listen) -> int:
        """Bind and serve; returns the port. ListenError when the address cannot be had."""
        check(listen)
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=KEEPALIVE_SECONDS,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            shutdown_timeout=STOP_SECONDS,
        )
        await runner.setup()
        self._runner = runner
        site: web.BaseSite
        if listen.socket_path:
            site = web.UnixSite(runner, listen.socket_path)
        else:
            site = web.TCPSite(
                runner, listen.host, listen.port, reuse_port=listen.reuse_port or None
            )
        try:
            await site.start()
        except OSError as error:
            await self.close()
            raise ListenError(
                f"{listen} cannot be listened on ({error.strerror}); "
                f"set {listen.variable} to a free one"
            ) from error
        port = 0 if listen.socket_path else int(runner.addresses[0][1])
        log.info("http is listening", address=str(listen), port=port)
        return port

    async def close(self) -> None:
        """Stop listening and close every connection."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    def _find(self, path: str) -> Route | None:
        route = self._exact.get(path)
        if route is None:
            route = next((route for prefix, route in self._below if path.startswith(prefix)), None)
        return route

    async def _serve(self, raw: web.Request) -> web.Response:
        route = self._find(raw.path)
        if route is None:
            answer = Answer.text("not found; GET / lists what is here", status=404)
        elif raw.method not in route.methods:
            allowed = ", ".join(sorted(route.methods))
            answer = Answer(
                status=405,
                body=f"{raw.method} is not allowed here; use {allowed}\n".encode(),
                headers={"Allow": allowed},
            )
        else:
            answer = await _call(route.handler, raw)
        headers = {"Content-Type": answer.content_type, **_ALWAYS, **answer.headers}
        return web.Response(status=answer.status, body=answer.body, headers=headers)


async def _call(handler: Handler, raw: web.Request) -> Answer:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await raw.read()  # beyond the limit aiohttp answers 413
    except TimeoutError:
        return Answer.text(f"the body has not come within {BODY_SECONDS:g} s", status=408)
    request = Request(
        method=raw.method,
        path=raw.path,
        query=dict(raw.query),
        headers={name.lower(): value for name, value in raw.headers.items()},
        body=body,
    )
    return await _answer(handler, request)


async def _answer(handler: Handler, request: Request) -> Answer:
    try:
        return await handler(request)
    except SluiceError as error:
        told = {"reason": error.reason, "message": error.message}
        return Answer.json({"error": told}, status=code_of(error).http)
    except Exception:
        log.exception("an http handler failed: this is a bug", path=request.path)
        return Answer.json({"error": {"reason": "INTERNAL", "message": BUG_MESSAGE}}, status=500)
