"""A small HTTP server for operators and `/json`: routes in, answers out, on fastlane.http.

A service sees only Request, Answer and Route. Sizes, times and numbers are bounded by
`fastlane.http.Limits`, tightened here to what operators need.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote

from chassis.errors import SluiceError
from chassis.listen import Listen, ListenError, SocketFile, check
from chassis.log import get_logger
from chassis.status import BUG_MESSAGE, code_of
from fastlane import http

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

# A body of the reference's /json is a few hundred bytes; nobody uploads here.
MAX_BODY_BYTES = 1024 * 1024
# Scrapers, probes and a few people; who wants more than this wants to do harm.
MAX_CONNECTIONS = 1000
# The largest body at 1 Mbit/s; who is slower only holds a connection.
BODY_SECONDS = 10.0
# How long answers under way may take when we stop.
STOP_SECONDS = 1.0

READ: Final = frozenset({"GET", "HEAD"})
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"

# Answers are about now and for the one who asked; browsers must not guess another type.
_ALWAYS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Server": "sluice",
}
LIMITS: Final = http.Limits(
    connections=MAX_CONNECTIONS, body_bytes=MAX_BODY_BYTES, body_seconds=BODY_SECONDS
)

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

    def __init__(self, routes: Mapping[str, Route], *, limits: http.Limits = LIMITS) -> None:
        self._exact = {path: route for path, route in routes.items() if not path.endswith("/*")}
        self._below = sorted(
            ((path[:-1], route) for path, route in routes.items() if path.endswith("/*")),
            key=lambda pair: -len(pair[0]),
        )
        self._limits = limits
        self._server: http.Server | None = None
        self._socket_file: SocketFile | None = None

    async def start(self, listen: Listen) -> int:
        """Bind and serve; returns the port. ListenError when the address cannot be had."""
        check(listen)
        server = http.Server(self._serve, limits=self._limits, reuse_port=listen.reuse_port)
        try:
            port = server.add(str(listen))
            if listen.socket_path:
                self._socket_file = SocketFile(listen)
            await server.start()
        except (RuntimeError, OSError) as error:
            await server.stop()
            if self._socket_file is not None:
                self._socket_file.remove()
            # Taken between the check and now, or refused for a reason the check does not know.
            raise ListenError(
                f"{listen} cannot be listened on ({error}); set {listen.variable} to a free one"
            ) from error
        self._server = server
        log.info("http is listening", address=str(listen), port=port)
        return 0 if listen.socket_path else port

    async def close(self) -> None:
        """Stop listening and close every connection."""
        try:
            if self._server is not None:
                server, self._server = self._server, None
                await server.stop(STOP_SECONDS)
        finally:
            if self._socket_file is not None:
                self._socket_file.remove()

    def _find(self, path: str) -> Route | None:
        route = self._exact.get(path)
        if route is None:
            route = next((route for prefix, route in self._below if path.startswith(prefix)), None)
        return route

    async def _serve(self, raw: http.Request) -> http.Response:
        # Not urlsplit: it takes `//a/b` for the host a, and raises at `//[`.
        plain, _, query = raw.path.decode("latin-1").partition("?")
        path, method = unquote(plain), raw.method.decode("latin-1")
        route = self._find(path)
        if route is None:
            answer = Answer.text("not found; GET / lists what is here", status=404)
        elif method not in route.methods:
            allowed = ", ".join(sorted(route.methods))
            answer = Answer(
                status=405,
                body=f"{method} is not allowed here; use {allowed}\n".encode(),
                headers={"Allow": allowed},
            )
        else:
            request = Request(
                method=method,
                path=path,
                query=dict(reversed(parse_qsl(query, keep_blank_values=True))),
                headers={
                    name.decode("latin-1"): value.decode("latin-1") for name, value in raw.headers
                },
                body=await raw.read(MAX_BODY_BYTES),  # beyond the limit it refuses with 413
            )
            answer = await _answer(route.handler, request)
        fields = {"Content-Type": answer.content_type, **_ALWAYS, **answer.headers}
        headers = [(name.encode(), value.encode("latin-1")) for name, value in fields.items()]
        return http.Response(answer.status, headers, answer.body)


async def _answer(handler: Handler, request: Request) -> Answer:
    try:
        return await handler(request)
    except SluiceError as error:
        told = {"reason": error.reason, "message": error.message}
        return Answer.json({"error": told}, status=code_of(error).http)
    except Exception:
        log.exception("an http handler failed: this is a bug", path=request.path)
        return Answer.json({"error": {"reason": "INTERNAL", "message": BUG_MESSAGE}}, status=500)
