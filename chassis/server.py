"""The gRPC server factory: one place for limits, health, reflection, statuses and binding.

server = make_server([Service(add=add_XServicer_to_server, servicer=x, name=NAME)], health=h)
port = await server.start(Listen(port=8081, variable="GRPC_PORT"))
await server.stop(grace_seconds=3)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import grpc.aio
from grpc_health.v1 import health_pb2_grpc  # type: ignore[import-untyped]

import fastlane
from chassis import health as health_module
from chassis.deferred import guarded
from chassis.health import Health, HealthServicer
from chassis.listen import Listen, ListenError, SocketFile, check
from chassis.log import get_logger
from chassis.reflection import add_reflection
from chassis.settings import choice, duration_between, setting, whole
from chassis.status import StatusInterceptor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from chassis.deferred import Handler
    from chassis.metrics import Metrics
    from chassis.tls import ServerTls
    from chassis.tracing import Tracing

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One gRPC service: the generated registrar, its servicer, and its full name.

    `deferred` are methods that fastlane serves by a callback instead (chassis/deferred.py).
    """

    add: Callable[[Any, Any], None]
    servicer: Any
    name: str
    deferred: Mapping[str, Handler] = field(default_factory=dict)


class GrpcBackend(Enum):
    """Which server carries the calls."""

    FASTLANE = "fastlane"
    GRPCIO = "grpcio"


@dataclass(frozen=True, kw_only=True, slots=True)
class GrpcLimits:
    """What one client, and all together, may ask of a gRPC server; a field of Settings."""

    backend: GrpcBackend = setting(
        "SLUICE_GRPC_SERVER",
        GrpcBackend.FASTLANE,
        parse=choice(GrpcBackend),
        doc="the gRPC server: ours, or grpc.aio, which costs thirty times as much a call",
    )
    max_receive_bytes: int = setting(
        "GRPC_MAX_RECEIVE_BYTES",
        4 * 1024 * 1024,  # gRPC's own default on every platform; batches of 1,000 fit
        parse=whole(1024, 256 * 1024 * 1024),
        doc="the largest request message",
    )
    max_send_bytes: int = setting(
        "GRPC_MAX_SEND_BYTES",
        16 * 1024 * 1024,  # a page of 1,000 of the largest records
        parse=whole(1024, 256 * 1024 * 1024),
        doc="the largest response message",
    )
    max_concurrent_streams: int = setting(
        "GRPC_MAX_CONCURRENT_STREAMS",
        1000,  # an Envoy worker multiplexes everything over one connection; floods need a bound
        parse=whole(1, 1_000_000),
        doc="calls in flight on one connection",
    )
    max_concurrent_calls: int = setting(
        "GRPC_MAX_CONCURRENT_CALLS",
        10_000,  # some 20 KB each: what a small container can hold; beyond: RESOURCE_EXHAUSTED
        parse=whole(1, 10_000_000),
        doc="calls in flight in the whole process, open streams included",
    )
    max_metadata_bytes: int = setting(
        "GRPC_MAX_METADATA_BYTES",
        16 * 1024,  # gRPC's hard limit by default; Envoy sends well under 1 KiB
        parse=whole(1024, 1024 * 1024),
        doc="the headers of one call",
    )
    keepalive_seconds: float = setting(
        "GRPC_KEEPALIVE",
        60.0,  # finds clients that vanished, well before a NAT forgets them
        parse=duration_between(10, 7200),
        doc="how often an idle connection is pinged",
    )
    keepalive_timeout_seconds: float = setting(
        "GRPC_KEEPALIVE_TIMEOUT",
        20.0,  # gRPC's default: long enough for a stalled network
        parse=duration_between(1, 600),
        doc="how long a ping may stay unanswered before the connection is closed",
    )
    max_connection_age_seconds: float = setting(
        "GRPC_MAX_CONNECTION_AGE",
        24 * 3600.0,  # the reference's default; lets clients find new replicas without a restart
        parse=duration_between(1, 292 * 365 * 86400),
        doc="when a connection is asked to end and be made anew",
    )
    max_connection_age_grace_seconds: float = setting(
        "GRPC_MAX_CONNECTION_AGE_GRACE",
        3600.0,  # the reference's default; streams get that long to finish
        parse=duration_between(0, 292 * 365 * 86400),
        doc="how long calls of such a connection may still take",
    )


class GrpcServer:
    """A gRPC server that can be started on an address and stopped with grace."""

    def __init__(
        self, server: grpc.aio.Server, statuses: StatusInterceptor, tls: ServerTls | None = None
    ) -> None:
        self.statuses = statuses
        self._server = server
        self._tls = tls
        self._socket_files: list[SocketFile] = []

    def observe(self, metrics: Metrics) -> None:
        """Expose `sluice_grpc_calls_total` and `sluice_grpc_failures_total`, by method and code."""
        counts = self.statuses
        metrics.observe_counter(
            "grpc_calls",
            "Calls that reached a handler, by method.",
            read=lambda: [
                (count, {"method": method}) for method, count in dict(counts.calls).items()
            ],
        )
        metrics.observe_counter(
            "grpc_failures",
            "Calls that ended with an error status, by method and code.",
            read=lambda: [
                (count, {"method": method, "code": code})
                for (method, code), count in dict(counts.failures).items()
            ],
        )

    async def start(self, *listens: Listen) -> int:
        """Bind and serve; returns the port of the first address (0 for a Unix socket).

        ListenError when an address cannot be had.
        """
        try:
            ports = [self._bind(listen) for listen in listens]
            await self._server.start()
        except BaseException:
            await self.stop(0)
            raise
        for listen, port in zip(listens, ports, strict=True):
            log.info("grpc is listening", address=str(listen), port=port)
        return ports[0]

    async def stop(self, grace_seconds: float = 3.0) -> None:
        """Take no new calls, let those in flight finish within the grace, then cancel them."""
        try:
            await self._server.stop(grace_seconds)
        finally:
            self._remove_sockets()

    def _remove_sockets(self) -> None:
        while self._socket_files:
            self._socket_files.pop().remove()

    def _bind(self, listen: Listen) -> int:
        check(listen)
        try:
            port = self._add(str(listen))
            if listen.socket_path:
                self._socket_files.append(SocketFile(listen))
        except (RuntimeError, OSError) as error:
            # Taken between the check and now, or refused for a reason the check does not know.
            raise ListenError(
                f"{listen} cannot be listened on ({error}); set {listen.variable} to a free one"
            ) from error
        return 0 if listen.socket_path else port

    def _add(self, address: str) -> int:
        if self._tls is None:
            return self._server.add_insecure_port(address)
        if isinstance(self._server, fastlane.Server):
            return self._server.add_secure_port(address, self._tls.context)
        return self._server.add_secure_port(address, self._tls.grpcio_credentials())


def make_server(
    services: Sequence[Service],
    *,
    health: Health,
    limits: GrpcLimits | None = None,
    reuse_port: bool = False,
    tls: ServerTls | None = None,
    tracing: Tracing | None = None,
) -> GrpcServer:
    """Make a server with health and reflection beside the services. Needs a running event loop.

    `tls` is for every address it listens on; `tracing` for the services, not for health and
    reflection, whose callers come every second and trace nothing.
    """
    statuses = StatusInterceptor()
    names = frozenset(service.name for service in services)
    bounds = limits or GrpcLimits()
    make = fastlane.server if bounds.backend is GrpcBackend.FASTLANE else grpc.aio.server
    server = make(
        # The statuses first: they see the error that a trace has noted.
        interceptors=(statuses, *((tracing.interceptor(names),) if tracing else ())),
        options=_options(bounds, reuse_port=reuse_port),
        maximum_concurrent_rpcs=bounds.max_concurrent_calls,
    )
    for service in services:
        service.add(service.servicer, server)
        if isinstance(server, fastlane.Server):
            for method, handler in service.deferred.items():
                path = f"/{service.name}/{method}"
                traced = tracing.deferred(path, handler) if tracing else handler
                server.add_deferred_unary(path, guarded(path, traced, statuses))
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(health), server)
    add_reflection(server, [*(service.name for service in services), health_module.SERVICE_NAME])
    return GrpcServer(server, statuses, tls)


def _options(limits: GrpcLimits, *, reuse_port: bool) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", limits.max_receive_bytes),
        ("grpc.max_send_message_length", limits.max_send_bytes),
        ("grpc.max_concurrent_streams", limits.max_concurrent_streams),
        ("grpc.max_metadata_size", limits.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", limits.max_metadata_bytes),
        ("grpc.keepalive_time_ms", _milliseconds(limits.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", _milliseconds(limits.keepalive_timeout_seconds)),
        ("grpc.keepalive_permit_without_calls", 1),
        # Clients may ping this often; Envoy's and gRPC's own floors are above it.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.max_connection_age_ms", _milliseconds(limits.max_connection_age_seconds)),
        (
            "grpc.max_connection_age_grace_ms",
            _milliseconds(limits.max_connection_age_grace_seconds),
        ),
        # gRPC turns it on by default, and two processes would share a port unnoticed.
        ("grpc.so_reuseport", 1 if reuse_port else 0),
    ]


def _milliseconds(seconds: float) -> int:
    # Channel arguments are C ints; anything beyond 24 days is for ever to a connection.
    return min(math.ceil(seconds * 1000), 2**31 - 1)
