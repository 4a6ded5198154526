"""The composition root: the only file that knows every other room."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from chassis import log, workers
from chassis.build import this_build
from chassis.clock import SystemClock
from chassis.health import Health, Verdict
from chassis.http import HttpServer
from chassis.lifecycle import App, Step
from chassis.listen import Listen
from chassis.metrics import Metrics
from chassis.ops import metrics_routes, ops_routes
from chassis.redis import RedisDoor
from chassis.server import Service, make_server
from chassis.settings import load, secrets
from chassis.tls import ServerTls
from chassis.tracing import Tracing
from ratelimit_service.config import (
    ConfigType,
    RateLimitMode,
    Settings,
    refuse_unbuilt,
    without_effect,
)
from ratelimit_service.core.plan import Policy
from ratelimit_service.service import Limiter
from ratelimit_service.service.books import Books
from ratelimit_service.service.operator import Operator
from ratelimit_service.storage.ledger import RedisLedger
from ratelimit_service.storage.local import LocalBuckets
from ratelimit_service.storage.per_second import PerSecondApart
from ratelimit_service.storage.redis import RedisBuckets
from ratelimit_service.storage.replicas import Replicas
from ratelimit_service.storage.rule_book import RuleBook
from ratelimit_service.storage.traced import TracedBuckets
from ratelimit_service.storage.xds_book import XdsBook
from ratelimit_service.transport import admin, debug, http, metrics, rule_resource
from ratelimit_service.transport.admin import AdminServicer
from ratelimit_service.transport.extras import Extras, HeaderNames
from ratelimit_service.transport.reference_metrics import ReferenceMetrics
from ratelimit_service.transport.servicer import SERVICE_NAME, RateLimitServicer, register
from wire.sluice.ratelimit.v1.ratelimit_pb2_grpc import (
    add_RateLimitAdminServiceServicer_to_server,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chassis.server import GrpcServer
    from ratelimit_service.service import BucketStore, RuleSource
    from ratelimit_service.storage.rules_in_force import RulesInForce


class Observed(Protocol):
    """A room with numbers to show."""

    def observe(self, metrics: Metrics) -> None:
        """Name them."""


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
        log.get_logger("settings").warning(
            "set, and without effect here: `sluice check --env` says why", variables=ignored
        )
    tls = ServerTls(settings.tls) if settings.tls.enabled else None
    tracing = Tracing(settings.tracing) if settings.tracing.enabled else None
    rules = _rules(settings)
    store = _Store(settings, tracing)
    limiter = _limiter(settings, rules, store)
    servicer = RateLimitServicer(limiter, _extras(settings), tracing)
    health = _health(settings, rules, store.doors)
    name = this_build("ratelimit")
    meters = Metrics(name)
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
        tls=tls,
        tracing=tracing,
    )
    operator = Operator(limiter, store.buckets, store.ledger)
    admin_server = make_server(
        [
            Service(
                add=add_RateLimitAdminServiceServicer_to_server,
                servicer=AdminServicer(
                    operator, limiter, rules, directory=settings.rules_directory
                ),
                name=admin.SERVICE_NAME,
            )
        ],
        health=health,
        limits=settings.limits,
        reuse_port=settings.worker.shares_ports,
    )
    metrics.observe(meters, limiter.books, servicer.latency)
    if settings.reference_metric_names:
        loads = lambda: (rules.loads, rules.failed_loads)  # noqa: E731  two numbers, read late
        meters.add(ReferenceMetrics(limiter.books, loads))
    store.doors[0].observe(meters, *store.doors[1:])
    rooms: list[Observed] = [rules, store.buckets, grpc_server]
    rooms += [room for room in (tls, tracing) if room is not None]
    for room in rooms:
        room.observe(meters)
    main_http = HttpServer(http.routes(servicer, health))
    ops_http = HttpServer(
        ops_routes(
            build=name,
            health=health,
            metrics=meters,
            settings=settings,
            extra=debug.routes(limiter),
        )
    )
    return App(
        name="ratelimit",
        health=health,
        reload=rules.reload,
        close_seconds=settings.drain_seconds + 1.0,
        steps=(
            *(Step(name="tracing", start=one.open, close=one.close) for one in (tracing,) if one),
            Step(name="rules", start=rules.open, close=rules.close),
            Step(name="redis", start=store.open, close=store.close),
            Step(name="replicas", start=store.replicas.open, close=store.replicas.close),
            *(Step(name="tls", start=one.open, close=one.close) for one in (tls,) if one),
            *_http(settings, main_http, ops_http, meters),
            *_grpc(settings, grpc_server, admin_server),
            Step(name="health", start=health.open, close=health.close),
            workers.Membership(environ).step(),
        ),
    )


def _rules(settings: Settings) -> RuleBook | XdsBook:
    """Return where the rules come from."""
    logger = log.get_logger("rules")
    if settings.config_type is ConfigType.GRPC_XDS_SOTW:
        return XdsBook(
            settings.xds,
            type_url=rule_resource.TYPE_URL,
            decode=rule_resource.document,
            log=logger,
            merge_domains=settings.merge_domain_config,
        )
    return RuleBook(
        settings.rules_directory,
        watched_root=settings.runtime_root if settings.runtime_watch_root else None,
        log=logger,
        required=not settings.force_start_without_initial_config,
        merge_domains=settings.merge_domain_config,
        dot_files=not settings.runtime_ignore_dot_files,
    )


class _Store:
    """Redis, or two of them, and all that is kept there."""

    def __init__(self, settings: Settings, tracing: Tracing | None) -> None:
        door = RedisDoor(settings.redis, name="ratelimit")
        patience = settings.redis.command_timeout_seconds
        buckets = RedisBuckets(door, command_timeout_seconds=patience)
        self.doors = [door]
        self.buckets: RedisBuckets | PerSecondApart = buckets
        second = None
        if settings.persecond is not None:
            second = RedisDoor(settings.persecond, name="ratelimit per second")
            self.doors.append(second)
            patience = settings.persecond.command_timeout_seconds
            apart = RedisBuckets(second, command_timeout_seconds=patience)
            self.buckets = PerSecondApart(buckets, apart)
        self.takes: BucketStore = self.buckets
        if tracing is not None:
            self.takes = TracedBuckets(self.buckets, tracing)
        self.ledger = RedisLedger(door, second)
        self.replicas = Replicas(door, key_prefix=settings.key_prefix)

    async def open(self) -> None:
        for door in self.doors:
            await door.open()

    async def close(self) -> None:
        await self.buckets.close()
        for door in self.doors:
            await door.close()


class _Voice:
    """Tells the log of the store's absences."""

    def __init__(self) -> None:
        self._log = log.get_logger("store")

    def away(self, error: BaseException) -> None:
        self._log.warning("redis is away; each rule's on_store_failure decides", why=str(error))

    def back(self, seconds: float, undecided: int) -> None:
        self._log.warning("redis decides again", after_seconds=round(seconds, 3), calls=undecided)


def _limiter(settings: Settings, rules: RuleSource, store: _Store) -> Limiter:
    clock = SystemClock()
    return Limiter(
        rules,
        store.takes,
        Books(clock, near_limit_ratio=settings.near_limit_ratio),
        clock,
        policy=Policy(
            key_prefix=settings.key_prefix,
            reference=settings.mode is RateLimitMode.REFERENCE,
            quota_mode=settings.quota_mode,
            shadow_mode=settings.shadow_mode,
        ),
        local=LocalBuckets(clock, lambda: store.replicas.count),
        watch=_Voice(),
    )


def _extras(settings: Settings) -> Extras:
    headers = HeaderNames(
        limit=settings.limit_limit_header,
        remaining=settings.limit_remaining_header,
        reset=settings.limit_reset_header,
    )
    return Extras(
        headers=headers if settings.limit_response_headers_enabled else None,
        dynamic_metadata=settings.response_dynamic_metadata,
    )


def _health(settings: Settings, rules: RulesInForce, doors: list[RedisDoor]) -> Health:
    known = _Once()

    def redis() -> Verdict:
        ok = all(door.ready for door in doors)
        # Once Redis has answered, rules know what to say without it: the reference's choice, too.
        serves = known.seen(ok) and not settings.redis_health_check_active_connection
        detail = next((door.detail for door in doors if not door.ready), doors[0].detail)
        return Verdict(ok, detail, serves=serves)

    def loaded() -> Verdict:
        # Whoever starts it without rules is told by its answers that there are none.
        serves = (
            settings.force_start_without_initial_config
            and not settings.healthy_with_at_least_one_config_loaded
        )
        return Verdict(rules.current is not None, rules.detail, serves=serves)

    return Health(
        services=(SERVICE_NAME, _REFERENCE_HEALTH_NAME, admin.SERVICE_NAME),
        checks={"redis": redis, "rules": loaded},
    )


@dataclass(slots=True)
class _Once:
    """Whether something was ever true."""

    yes: bool = False

    def seen(self, now: bool) -> bool:  # noqa: FBT001  a reading, not an option
        self.yes = self.yes or now
        return self.yes


def _http(
    settings: Settings, main_http: HttpServer, ops_http: HttpServer, meters: Metrics
) -> tuple[Step, ...]:
    shared = settings.worker.shares_ports
    main = Listen(
        host=settings.http_host, port=settings.http_port, variable="PORT", reuse_port=shared
    )
    # A worker's own, shared only with its successor while one takes over from the other.
    own = settings.worker.own_port(settings.debug_port)
    ops = Listen(host=settings.debug_host, port=own, variable="DEBUG_PORT", reuse_port=shared)
    steps = [
        Step(name="ops http", start=lambda: ops_http.start(ops), close=ops_http.close),
        Step(name="http", start=lambda: main_http.start(main), close=main_http.close),
    ]
    if settings.use_prometheus:
        # Once more, where the reference has them; worker K at port + K.
        host, port = settings.prometheus_address
        server = HttpServer(metrics_routes(settings.prometheus_path, meters))
        listen = Listen(
            host=host,
            port=settings.worker.own_port(port),
            variable="PROMETHEUS_ADDR",
            reuse_port=shared,
        )
        steps.append(
            Step(name="metrics http", start=lambda: server.start(listen), close=server.close)
        )
    return tuple(steps)


def _grpc(
    settings: Settings, grpc_server: GrpcServer, admin_server: GrpcServer
) -> tuple[Step, ...]:
    shared = settings.worker.shares_ports
    rpc = Listen(
        host=settings.grpc_host,
        port=settings.grpc_port,
        variable="GRPC_UDS" if settings.grpc_uds else "GRPC_PORT",
        socket_path=settings.grpc_uds,
        socket_mode=settings.grpc_uds_mode,
        reuse_port=shared,
    )
    by_hand = Listen(
        host=settings.admin_host,
        port=settings.worker.own_port(settings.admin_port),
        variable="RATELIMIT_ADMIN_PORT",
        reuse_port=shared,
    )
    return (
        Step(
            name="admin grpc",
            start=lambda: admin_server.start(by_hand),
            close=lambda: admin_server.stop(settings.drain_seconds),
        ),
        Step(
            name="grpc",
            start=lambda: grpc_server.start(rpc),
            close=lambda: grpc_server.stop(settings.drain_seconds),
        ),
    )
