"""The composition root: the only room that knows every other.

deciding.py   rules, Redis, limiter
serving.py    gRPC, HTTP, health
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Protocol

from chassis import log, workers
from chassis.build import this_build
from chassis.clock import SystemClock
from chassis.http import HttpServer
from chassis.lifecycle import App, Step
from chassis.metrics import Metrics
from chassis.ops import ops_routes
from chassis.settings import load, secrets
from chassis.tls import ServerTls
from chassis.tracing import Tracing
from ratelimit_service.app.deciding import Store, limiter_of, rules_of
from ratelimit_service.app.serving import (
    admin_of,
    extras_of,
    grpc_of,
    grpc_steps,
    health_of,
    http_steps,
)
from ratelimit_service.config import Settings, refuse_unbuilt, without_effect
from ratelimit_service.service.operator import Operator
from ratelimit_service.service.quotas import Quotas
from ratelimit_service.transport import debug, http, metrics, rlqs
from ratelimit_service.transport.admin import AdminServicer
from ratelimit_service.transport.reference_metrics import ReferenceMetrics
from ratelimit_service.transport.servicer import RateLimitServicer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ratelimit_service.service import Limiter
    from ratelimit_service.storage.rules_in_force import RulesInForce


class _Observed(Protocol):
    """A room with numbers to show."""

    def observe(self, metrics: Metrics) -> None:
        """Name them."""


def main() -> int:
    """Run the service as the environment says; return the exit code."""
    return workers.main("ratelimit_service", lambda: build(os.environ), sys.argv[1:], os.environ)


def build(environ: Mapping[str, str]) -> App:
    """Put the service together, inside a running event loop; SettingsError for bad settings."""
    settings = _settings(environ)
    tls = ServerTls(settings.tls) if settings.tls.enabled else None
    tracing = Tracing(settings.tracing) if settings.tracing.enabled else None
    rules = rules_of(settings)
    store = Store(settings, tracing)
    limiter = limiter_of(settings, rules, store)
    servicer = RateLimitServicer(limiter, extras_of(settings), tracing)
    quotas = Quotas(limiter, store.buckets, SystemClock(), asyncio.get_running_loop().call_later)
    health = health_of(settings, rules, store.doors)
    grpc_server = grpc_of(settings, servicer, quotas, health, tls=tls, tracing=tracing)
    operator = Operator(limiter, store.buckets, store.ledger)
    admin_servicer = AdminServicer(operator, limiter, rules, directory=settings.rules_directory)
    admin_server = admin_of(settings, admin_servicer, health, tls=tls)
    name = this_build("ratelimit")
    meters = Metrics(name)
    metrics.observe(meters, limiter.books, servicer.latency)
    rlqs.observe(meters, quotas)
    store.doors[0].observe(meters, *store.doors[1:])
    rooms: list[_Observed] = [rules, store.buckets, store.leases, grpc_server]
    rooms += [room for room in (tls, tracing) if room is not None]
    for room in rooms:
        room.observe(meters)
    if settings.reference_metric_names:
        _observe_by_the_references_names(meters, limiter, rules)
    main_http = HttpServer(http.routes(servicer, health))
    pages = ops_routes(
        build=name, health=health, metrics=meters, settings=settings, extra=debug.routes(limiter)
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
            *http_steps(settings, main_http, HttpServer(pages), meters),
            *grpc_steps(settings, grpc_server, admin_server, quotas),
            Step(name="health", start=health.open, close=health.close),
            workers.Membership(environ).step(),
        ),
    )


def _settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings, and begin to log as they say."""
    settings = load(Settings, environ)
    refuse_unbuilt(environ)
    log.configure(settings.log, secrets=secrets(settings))
    if ignored := without_effect(environ):
        log.get_logger("settings").warning(
            "set, and without effect here: `sluice check --env` says why", variables=ignored
        )
    return settings


def _observe_by_the_references_names(
    meters: Metrics, limiter: Limiter, rules: RulesInForce
) -> None:
    meters.add(ReferenceMetrics(limiter.books, lambda: (rules.loads, rules.failed_loads)))
