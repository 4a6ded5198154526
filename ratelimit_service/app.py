"""The composition root: the only file that knows every other room."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from chassis import log
from chassis.build import this_build
from chassis.clock import SystemClock
from chassis.errors import OperatorError
from chassis.health import Health, Verdict
from chassis.http import HttpServer
from chassis.lifecycle import App, Step, run
from chassis.listen import Listen
from chassis.metrics import Metrics
from chassis.ops import ops_routes
from chassis.redis import RedisDoor
from chassis.server import GrpcServer, Service, make_server
from chassis.settings import load, secrets
from ratelimit_service.config import Settings
from ratelimit_service.service import Limiter
from ratelimit_service.storage.redis import RedisBuckets
from ratelimit_service.storage.rule_book import RuleBook
from ratelimit_service.transport import http
from ratelimit_service.transport.servicer import SERVICE_NAME, RateLimitServicer, register

if TYPE_CHECKING:
    from collections.abc import Mapping

# The name under which envoyproxy/ratelimit answers health checks.
_REFERENCE_HEALTH_NAME = "ratelimit"


def main() -> int:
    """Run the service as the environment says; return the exit code."""
    return run(lambda: build(os.environ))


def build(environ: Mapping[str, str]) -> App:
    """Put the service together, inside a running event loop; SettingsError for bad settings."""
    settings = load(Settings, environ)
    log.configure(settings.log, secrets=secrets(settings))
    clock = SystemClock()
    book = RuleBook(settings.rules_directory, clock=clock, log=log.get_logger("rules"))
    door = RedisDoor(settings.redis, name="ratelimit", clock=clock)
    store = RedisBuckets(door, command_timeout_seconds=settings.redis.command_timeout_seconds)
    limiter = Limiter(book, store, key_prefix=settings.key_prefix)
    servicer = RateLimitServicer(limiter)
    health = Health(
        services=(SERVICE_NAME, _REFERENCE_HEALTH_NAME),
        checks={"redis": lambda: Verdict(door.ready, door.detail), "rules": lambda: _rules(book)},
    )
    name = this_build("ratelimit")
    metrics = Metrics(name)
    _observe(metrics, limiter, store, book)
    door.observe(metrics)
    grpc_server = make_server(
        [Service(add=register, servicer=servicer, name=SERVICE_NAME)],
        health=health,
        limits=settings.limits,
    )
    grpc_server.observe(metrics)
    main_http = HttpServer(http.routes(servicer, health))
    ops_http = HttpServer(ops_routes(build=name, health=health, metrics=metrics, settings=settings))
    return App(
        name="ratelimit",
        health=health,
        reload=book.reload,
        steps=(
            _rules_step(book, settings),
            Step(name="redis", start=door.open, close=door.close),
            Step(name="buckets", start=_nothing, close=store.close),
            Step(name="health", start=health.open, close=health.close),
            *_listening(settings, grpc_server, main_http, ops_http),
        ),
    )


async def _nothing() -> None:
    """Start what needs no start."""


def _rules_step(book: RuleBook, settings: Settings) -> Step:
    """Load the rules, or end with everything that is wrong with them; then watch them."""
    stop = asyncio.Event()
    watching: list[asyncio.Task[None]] = []

    async def start() -> None:
        if not settings.rules_directory.is_dir():
            raise OperatorError(
                f"there is no rules directory {settings.rules_directory}; create it, or set "
                "RUNTIME_ROOT, RUNTIME_SUBDIRECTORY and RUNTIME_APPDIRECTORY to the one you have"
            )
        await book.load()
        watching.append(asyncio.create_task(book.watch(stop), name="rules"))

    async def close() -> None:
        stop.set()
        await asyncio.gather(*watching)

    return Step(name="rules", start=start, close=close)


def _listening(
    settings: Settings, grpc_server: GrpcServer, main_http: HttpServer, ops_http: HttpServer
) -> tuple[Step, ...]:
    ops = Listen(host=settings.debug_host, port=settings.debug_port, variable="DEBUG_PORT")
    main = Listen(host=settings.http_host, port=settings.http_port, variable="PORT")
    rpc = Listen(host=settings.grpc_host, port=settings.grpc_port, variable="GRPC_PORT")
    return (
        Step(name="ops http", start=lambda: ops_http.start(ops), close=ops_http.close),
        Step(name="http", start=lambda: main_http.start(main), close=main_http.close),
        Step(
            name="grpc",
            start=lambda: grpc_server.start(rpc),
            close=lambda: grpc_server.stop(settings.drain_seconds),
        ),
    )


def _rules(book: RuleBook) -> Verdict:
    """Old rules after a failed reload still serve; the detail says that they are old."""
    if book.current is None:
        return Verdict(ok=False, detail="no rate limit configuration loaded")
    if book.last_error:
        return Verdict(
            ok=True,
            detail=f"generation {book.generation} stays in force, the last load failed: "
            f"{book.last_error}",
        )
    return Verdict(ok=True, detail=f"generation {book.generation}")


def _observe(metrics: Metrics, limiter: Limiter, store: RedisBuckets, book: RuleBook) -> None:
    """Name the plain counters of the rooms as metrics."""
    decided, batches, loads = limiter.counts, store.counts, book.counts
    counter, gauge = metrics.observe_counter, metrics.observe_gauge
    counter(
        "ratelimit_decisions",
        "Requests decided, by verdict.",
        read=lambda: [(decided.ok, {"code": "ok"}), (decided.over_limit, {"code": "over_limit"})],
    )
    counter(
        "ratelimit_decisions_without_store",
        "Requests that a rule's on_store_failure decided, by verdict.",
        read=lambda: [
            (decided.allowed_without_store, {"code": "ok"}),
            (decided.denied_without_store, {"code": "over_limit"}),
        ],
    )
    counter(
        "ratelimit_store_failures",
        "Requests that Redis did not answer.",
        read=lambda: decided.store_failures,
    )
    counter("ratelimit_store_takes", "Requests charged in Redis.", read=lambda: batches.takes)
    counter(
        "ratelimit_store_batches",
        "Script calls those requests shared.",
        read=lambda: batches.batches,
    )
    counter(
        "ratelimit_store_expired",
        "Requests answered because the caller's deadline came first.",
        read=lambda: batches.expired,
    )
    counter(
        "ratelimit_store_queue_full",
        "Requests refused because too many waited.",
        read=lambda: batches.refused_full,
    )
    gauge(
        "ratelimit_store_largest_batch",
        "Most requests that shared one script call.",
        read=lambda: batches.largest_batch,
    )
    counter(
        "ratelimit_config_loads",
        "Loads of the rules, by result.",
        read=lambda: [(loads.success, {"result": "success"}), (loads.error, {"result": "error"})],
    )
    gauge(
        "ratelimit_config_stale",
        "1 while older rules serve because the last load failed.",
        read=lambda: int(bool(book.last_error)),
    )
