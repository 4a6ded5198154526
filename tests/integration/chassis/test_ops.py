"""The operator's pages and the HTTP server under them."""

from __future__ import annotations

import asyncio
import io
import json
import stat
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from chassis.build import Build
from chassis.errors import InvalidRequest, Unavailable
from chassis.health import Health, Verdict
from chassis.http import LIMITS, MAX_BODY_BYTES, Answer, HttpServer, Request, Route
from chassis.listen import Listen, ListenError
from chassis.metrics import Metrics
from chassis.ops import metrics_routes, ops_routes
from chassis.settings import setting, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

BUILD = Build(service="demo", version="1.2.3", python="CPython 3", platform="Linux")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    name: str = setting("NAME", "demo", parse=text, doc="what it is called")
    token: str = setting("TOKEN", "hunter22", parse=text, doc="what it knows", secret=True)


@dataclass(slots=True)
class Reply:
    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def echo(request: Request) -> Answer:
    return Answer.json(
        {
            "method": request.method,
            "path": request.path,
            "query": dict(request.query),
            "header": request.headers.get("x-client"),
            "body": request.body.decode(),
        }
    )


async def wrong(_: Request) -> Answer:
    raise InvalidRequest.field("domain", "is empty")


async def away(_: Request) -> Answer:
    raise Unavailable("Redis is away", reason="REDIS_UNAVAILABLE")


async def bug(_: Request) -> Answer:
    raise ZeroDivisionError("secret detail")


class Rig:
    """A running ops server and a client."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.verdict = Verdict(ok=True)

    async def ask(self, path: str, method: str = "GET", **options: Any) -> Reply:
        async with self.session.request(method, path, **options) as response:
            return Reply(response.status, await response.text(), response.headers)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made: Rig
    metrics = Metrics(BUILD)
    metrics.observe_gauge("answer", "The answer.", read=lambda: 42)
    metrics.observe_gauge("shares", "Shares.", read=lambda: [(0.5, {"part": "a"})])
    health = Health(checks={"redis": lambda: made.verdict})
    routes = ops_routes(
        build=BUILD,
        health=health,
        metrics=metrics,
        settings=Settings(),
        extra={
            "/json": Route(handler=echo, methods=frozenset({"POST"}), doc="one call"),
            "/debug/*": Route(handler=echo, doc="what is inside"),
            "/debug/exact": Route(handler=wrong),
            "/away": Route(handler=away),
            "/bug": Route(handler=bug),
        },
    )
    server = HttpServer(routes)
    port = await server.start(Listen(variable="DEBUG_PORT"))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        made = Rig(session)
        await health.open()
        yield made
        await health.close()
    await server.close()


async def test_alive(rig: Rig) -> None:
    reply = await rig.ask("/healthz")
    assert (reply.status, reply.body) == (200, "ok\n")


async def test_ready_or_not_and_why(rig: Rig) -> None:
    assert (await rig.ask("/readyz")).status == 200
    rig.verdict = Verdict(ok=False, detail="Redis is away; start it")
    reply = await rig.ask("/readyz")
    assert reply.status == 503
    assert reply.json == {
        "ready": False,
        "checks": {"redis": {"ok": False, "detail": "Redis is away; start it"}},
    }


async def test_metrics_are_prometheus_text(rig: Rig) -> None:
    reply = await rig.ask("/metrics")
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "sluice_answer 42" in reply.body
    head = await rig.ask("/metrics", "HEAD")
    assert (head.status, head.body) == (200, "")
    assert head.headers["Content-Type"] == reply.headers["Content-Type"]


async def test_metrics_may_have_a_port_of_their_own() -> None:
    metrics = Metrics(BUILD)
    metrics.observe_gauge("answer", "The answer.", read=lambda: 42)
    server = HttpServer(metrics_routes("/scrape", metrics))
    port = await server.start(Listen(variable="PROMETHEUS_ADDR"))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        rig = Rig(session)
        reply = await rig.ask("/scrape")
        assert "sluice_answer 42" in reply.body
        assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert (await rig.ask("/configz")).status == 404
    await server.close()


async def test_stats_are_the_same_numbers_in_json(rig: Rig) -> None:
    reply = await rig.ask("/stats")
    assert reply.json["sluice_answer"] == 42
    assert reply.json['sluice_shares{part="a"}'] == 0.5
    assert list(reply.json) == sorted(reply.json)


async def test_settings_are_shown_without_secrets(rig: Rig) -> None:
    reply = await rig.ask("/configz")
    assert reply.json == {"NAME": "demo", "TOKEN": "******"}


async def test_what_is_running(rig: Rig) -> None:
    assert (await rig.ask("/buildz")).json["version"] == "1.2.3"


async def test_the_first_page_lists_all_others(rig: Rig) -> None:
    reply = await rig.ask("/")
    assert "demo 1.2.3" in reply.body
    for path in (
        "/healthz",
        "/readyz",
        "/metrics",
        "/stats",
        "/configz",
        "/buildz",
        "/json",
        "/debug/*",
    ):
        assert path in reply.body


async def test_a_route_of_the_service_gets_the_request(rig: Rig) -> None:
    reply = await rig.ask("/json?a=1&a=2", "POST", data=b"body", headers={"X-Client": "c"})
    assert reply.json == {
        "method": "POST",
        "path": "/json",
        "query": {"a": "1"},
        "header": "c",
        "body": "body",
    }


async def test_everything_below_a_prefix_and_the_exact_path_first(rig: Rig) -> None:
    assert (await rig.ask("/debug/a/b")).json["path"] == "/debug/a/b"
    assert (await rig.ask("/debug/exact")).status == 400
    assert (await rig.ask("/debug")).status == 404


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/healthz", "POST", "GET, HEAD"),
        ("/metrics", "DELETE", "GET, HEAD"),
        ("/json", "GET", "POST"),
    ],
)
async def test_other_methods_are_refused(rig: Rig, path: str, method: str, allow: str) -> None:
    reply = await rig.ask(path, method)
    assert (reply.status, reply.headers["Allow"]) == (405, allow)


async def test_head_has_the_headers_without_the_body(rig: Rig) -> None:
    reply = await rig.ask("/healthz", "HEAD")
    assert (reply.status, reply.body, reply.headers["Content-Length"]) == (200, "", "3")


async def test_an_unknown_path(rig: Rig) -> None:
    assert (await rig.ask("/nope")).status == 404


async def raw_status(line: bytes) -> bytes:
    """Return the status that a server with `/healthz` and `/debug/*` gives to a request line."""
    server = HttpServer({"/healthz": Route(handler=echo), "/debug/*": Route(handler=echo)})
    port = await server.start(Listen(variable="PORT"))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(line + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    await server.close()
    return answer[9:12]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/healthz", b"200"),
        (b"/%68ealthz?a=//[", b"200"),
        (b"http://h/healthz", b"200"),
        (b"//[", b"404"),
        (b"//x/healthz", b"404"),
        (b"//x/debug/a", b"404"),
        (b"/healthz;a", b"404"),
        (b"/x:y/healthz", b"404"),
        (b"/healthz#a", b"400"),
        (b"healthz", b"400"),
    ],
)
async def test_only_a_plain_path_finds_its_page(target: bytes, status: bytes) -> None:
    assert await raw_status(b"GET " + target) == status


async def test_our_errors_have_their_http_codes(rig: Rig) -> None:
    reply = await rig.ask("/away")
    assert reply.status == 503
    assert reply.json == {"error": {"reason": "REDIS_UNAVAILABLE", "message": "Redis is away"}}


async def test_a_bug_gives_nothing_away_and_is_logged(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    reply = await rig.ask("/bug")
    assert reply.status == 500
    assert "secret" not in reply.body
    logged = [record for record in caplog.records if "secret detail" in record.getMessage()]
    assert len(logged) == 1


async def test_a_body_over_the_limit_is_refused(rig: Rig) -> None:
    reply = await rig.ask("/json", "POST", data=io.BytesIO(b"x" * (MAX_BODY_BYTES + 1)))
    assert reply.status == 413
    assert (await rig.ask("/healthz")).status == 200


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    routes = {"/json": Route(handler=echo, methods=frozenset({"POST"}))}
    server = HttpServer(routes, limits=replace(LIMITS, body_seconds=0.1))
    port = await server.start(Listen(variable="PORT"))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /json HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
    answer = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    await writer.wait_closed()
    await server.close()
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_headers_over_the_limit_are_refused(rig: Rig) -> None:
    reply = await rig.ask("/healthz", headers={"X-Long": "x" * 20_000})
    assert reply.status == 431


async def test_answers_are_not_cached_and_name_no_library(rig: Rig) -> None:
    reply = await rig.ask("/readyz")
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Server"] == "sluice"


async def test_a_used_port_is_told() -> None:
    first, second = HttpServer({}), HttpServer({})
    port = await first.start(Listen(variable="DEBUG_PORT"))
    with pytest.raises(ListenError, match="set DEBUG_PORT"):
        await second.start(Listen(port=port, variable="DEBUG_PORT"))
    await second.close()
    await first.close()


async def test_a_socket_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "h.sock"
    server = HttpServer({"/healthz": Route(handler=echo)})
    assert await server.start(Listen(socket_path=str(path), socket_mode=0o600)) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    connector = aiohttp.UnixConnector(str(path))
    async with aiohttp.ClientSession("http://h", connector=connector) as session:
        assert (await Rig(session).ask("/healthz")).status == 200
    await server.close()
    assert not path.exists()
