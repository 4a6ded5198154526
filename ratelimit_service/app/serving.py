"""What is served and where: the gRPC servers, the HTTP ports, health."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chassis.health import Health, Verdict
from chassis.http import HttpServer
from chassis.lifecycle import Step
from chassis.listen import Listen, is_loopback
from chassis.ops import metrics_routes
from chassis.server import Service, make_server
from ratelimit_service.transport import admin, rlqs
from ratelimit_service.transport.extras import Extras, HeaderNames
from ratelimit_service.transport.servicer import SERVICE_NAME, RateLimitServicer, register
from wire.sluice.ratelimit.v1.ratelimit_pb2_grpc import (
    add_RateLimitAdminServiceServicer_to_server,
)

if TYPE_CHECKING:
    from chassis.metrics import Metrics
    from chassis.redis import RedisDoor
    from chassis.server import GrpcServer
    from chassis.tls import ServerTls
    from chassis.tracing import Tracing
    from ratelimit_service.config import Settings
    from ratelimit_service.service.quotas import Quotas
    from ratelimit_service.storage.rules_in_force import RulesInForce
    from ratelimit_service.transport.admin import AdminServicer

# The name under which envoyproxy/ratelimit answers health checks.
_REFERENCE_HEALTH_NAME = "ratelimit"


def grpc_of(
    settings: Settings,
    servicer: RateLimitServicer,
    quotas: Quotas,
    health: Health,
    *,
    tls: ServerTls | None,
    tracing: Tracing | None,
) -> GrpcServer:
    """Return the server of the rate-limit RPCs."""
    return make_server(
        [
            Service(
                add=register,
                servicer=servicer,
                name=SERVICE_NAME,
                deferred={"ShouldRateLimit": servicer.take},
            ),
            Service(
                add=rlqs.register,
                servicer=rlqs.RateLimitQuotaServicer(quotas),
                name=rlqs.SERVICE_NAME,
            ),
        ],
        health=health,
        limits=settings.limits,
        reuse_port=settings.worker.shares_ports,
        tls=tls,
        tracing=tracing,
    )


def admin_of(
    settings: Settings, servicer: AdminServicer, health: Health, *, tls: ServerTls | None
) -> GrpcServer:
    """Return the server of the admin RPCs: a port of their own, so that it can be kept apart.

    Beyond this machine it wants the certificates that the rate-limit RPCs want; within, an
    operator needs none.
    """
    away = not is_loopback(settings.admin_host)
    return make_server(
        [
            Service(
                add=add_RateLimitAdminServiceServicer_to_server,
                servicer=servicer,
                name=admin.SERVICE_NAME,
            )
        ],
        health=health,
        limits=settings.limits,
        reuse_port=settings.worker.shares_ports,
        tls=tls if away else None,
    )


def extras_of(settings: Settings) -> Extras:
    """Return what answers carry beside the verdict."""
    headers = HeaderNames(
        limit=settings.limit_limit_header,
        remaining=settings.limit_remaining_header,
        reset=settings.limit_reset_header,
    )
    return Extras(
        headers=headers if settings.limit_response_headers_enabled else None,
        dynamic_metadata=settings.response_dynamic_metadata,
    )


def health_of(settings: Settings, rules: RulesInForce, doors: list[RedisDoor]) -> Health:
    """Return the health that all ports tell."""
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
        services=(SERVICE_NAME, rlqs.SERVICE_NAME, _REFERENCE_HEALTH_NAME, admin.SERVICE_NAME),
        checks={"redis": redis, "rules": loaded},
    )


@dataclass(slots=True)
class _Once:
    """Whether something was ever true."""

    yes: bool = False

    def seen(self, now: bool) -> bool:  # noqa: FBT001  a reading, not an option
        self.yes = self.yes or now
        return self.yes


def http_steps(
    settings: Settings, main_http: HttpServer, ops_http: HttpServer, meters: Metrics
) -> tuple[Step, ...]:
    """Return the steps that open and close the HTTP ports."""
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


def grpc_steps(
    settings: Settings, grpc_server: GrpcServer, admin_server: GrpcServer, quotas: Quotas
) -> tuple[Step, ...]:
    """Return the steps that open and close the gRPC ports."""
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

    async def stop() -> None:
        quotas.drain()  # or its streams would be waited for, all the grace
        await grpc_server.stop(settings.drain_seconds)

    return (
        Step(
            name="admin grpc",
            start=lambda: admin_server.start(by_hand),
            close=lambda: admin_server.stop(settings.drain_seconds),
        ),
        Step(
            name="grpc",
            start=lambda: grpc_server.start(rpc),
            close=stop,
        ),
    )
