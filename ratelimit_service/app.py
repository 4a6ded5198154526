"""The composition root: the only file that knows every other room."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from chassis import log, workers
from chassis.build import this_build
from chassis.health import Health, Verdict
from chassis.http import HttpServer
from chassis.lifecycle import App, Step
from chassis.listen import Listen
from chassis.metrics import Metrics
from chassis.ops import ops_routes
from chassis.redis import RedisDoor
from chassis.server import Service, make_server
from chassis.settings import load, secrets
from ratelimit_service.config import Settings, refuse_unbuilt, without_effect
from ratelimit_service.service import Limiter
from ratelimit_service.storage.redis import RedisBuckets
from ratelimit_service.storage.rule_book import RuleBook
from ratelimit_service.transport import http
from ratelimit_service.transport.servicer import SERVICE_NAME, RateLimitServicer, register

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chassis.server import GrpcServer
    from ratelimit_service.service import Counts

# The name under which envoyproxy/ratelimit answers health checks.
_REFERENCE_HEALTH_NAME = "ratelimit"


def main() -> int:
    """Run the service as the environment says; return the exit code."""
    return workers.main("ratelimit_service", lambda: build(os.environ), sys.argv[1:], os.environ)


def build(environ: Mapping[str, str]) -> App:
    """Put the service together, inside a running event loop; SettingsError for bad settings."""
    settings = load(Settings, environ)
    refuse_unbuilt(environ)
    log.configure(settings.log, secrets=secrets(settings))
    if ignored := without_effect(environ):
        log.get_logger("settings").warning("set, and without effect here", variables=ignored)
    book = RuleBook(
        settings.rules_directory,
        watched_root=settings.runtime_root if settings.runtime_watch_root else None,
        log=log.get_logger("rules"),
    )
    door = RedisDoor(settings.redis, name="ratelimit")
    store = RedisBuckets(door, command_timeout_seconds=settings.redis.command_timeout_seconds)
    limiter = Limiter(book, store, key_prefix=settings.key_prefix)
    servicer = RateLimitServicer(limiter)
    health = Health(
        services=(SERVICE_NAME, _REFERENCE_HEALTH_NAME),
        checks={
            "redis": lambda: Verdict(door.ready, door.detail),
            "rules": lambda: Verdict(book.current is not None, book.detail),
        },
    )
    name = this_build("ratelimit")
    metrics = Metrics(name)
    grpc_server = make_server(
        [
            Service(
                add=register,
                servicer=servicer,
                name=SERVICE_NAME,
                deferred={"ShouldRateLimit": servicer.take},
            )
        ],
        health=health,
        limits=settings.limits,
        reuse_port=settings.worker.shares_ports,
    )
    _observe(metrics, limiter.counts)
    for room in (book, store, door, grpc_server):
        room.observe(metrics)
    main_http = HttpServer(http.routes(servicer, health))
    ops_http = HttpServer(ops_routes(build=name, health=health, metrics=metrics, settings=settings))

    async def close_redis() -> None:
        await store.close()
        await door.close()

    return App(
        name="ratelimit",
        health=health,
        reload=book.reload,
        close_seconds=settings.drain_seconds + 1.0,
        steps=(
            Step(name="rules", start=book.open, close=book.close),
            Step(name="redis", start=door.open, close=close_redis),
            *_listening(settings, grpc_server, main_http, ops_http),
            Step(name="health", start=health.open, close=health.close),
            workers.Membership(environ).step(),
        ),
    )


def _listening(
    settings: Settings, grpc_server: GrpcServer, main_http: HttpServer, ops_http: HttpServer
) -> tuple[Step, ...]:
    shared = settings.worker.shares_ports
    main = Listen(
        host=settings.http_host, port=settings.http_port, variable="PORT", reuse_port=shared
    )
    rpc = Listen(
        host=settings.grpc_host, port=settings.grpc_port, variable="GRPC_PORT", reuse_port=shared
    )
    # A worker's own, shared only with its successor while one takes over from the other.
    own = settings.worker.own_port(settings.debug_port)
    ops = Listen(host=settings.debug_host, port=own, variable="DEBUG_PORT", reuse_port=shared)
    return (
        Step(name="ops http", start=lambda: ops_http.start(ops), close=ops_http.close),
        Step(name="http", start=lambda: main_http.start(main), close=main_http.close),
        Step(
            name="grpc",
            start=lambda: grpc_server.start(rpc),
            close=lambda: grpc_server.stop(settings.drain_seconds),
        ),
    )


def _observe(metrics: Metrics, counts: Counts) -> None:
    """Name the limiter's plain counters as metrics."""
    metrics.observe_counter(
        "ratelimit_decisions",
        "Requests decided, by verdict.",
        read=lambda: [(counts.ok, {"code": "ok"}), (counts.over_limit, {"code": "over_limit"})],
    )
    metrics.observe_counter(
        "ratelimit_decisions_without_store",
        "Requests that a rule's on_store_failure decided, by verdict.",
        read=lambda: [
            (counts.allowed_without_store, {"code": "ok"}),
            (counts.denied_without_store, {"code": "over_limit"}),
        ],
    )
    metrics.observe_counter(
        "ratelimit_store_failures",
        "Requests that Redis did not decide.",
        read=lambda: counts.store_failures,
    )
