"""The admin servicer on a server in this process: who changed what, and what lists cost others."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from chassis.health import Health
from chassis.listen import Listen
from chassis.server import GrpcBackend, GrpcLimits, Service, make_server
from chassis.settings import load
from chassis.tls import ServerTls
from chassis.tls_settings import TlsSettings
from ratelimit_service.service.operator import Operator
from ratelimit_service.storage.memory import MemoryBuckets
from ratelimit_service.transport.admin import SERVICE_NAME, AdminServicer
from tests.integration.chassis.certificates import Authority
from tests.limiting import ManualClock, make_limiter
from tests.stalls import watched
from tests.unit.ratelimit_service.core.test_rules import build
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb
from wire.sluice.ratelimit.v1.ratelimit_pb2_grpc import (
    RateLimitAdminServiceStub,
    add_RateLimitAdminServiceServicer_to_server,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ratelimit_service.core.rule import RuleSet

BACKENDS = pytest.mark.parametrize("backend", GrpcBackend)
RULES = """
domain: shop
descriptors:
  - key: user
    rate_limit: {unit: hour, requests_per_unit: 9}
"""


@dataclass(slots=True)
class Loads:
    """What a RulesInForce tells of itself."""

    generation: int = 1
    load_time: float | None = None
    files: tuple[Any, ...] = ()


@contextlib.asynccontextmanager
async def serving(
    rules: RuleSet, backend: GrpcBackend, tls: ServerTls | None = None
) -> AsyncIterator[int]:
    store = MemoryBuckets(ManualClock())
    limiter = make_limiter(rules, store)
    servicer = AdminServicer(Operator(limiter, store, store), limiter, Loads())
    server = make_server(
        [
            Service(
                add=add_RateLimitAdminServiceServicer_to_server,
                servicer=servicer,
                name=SERVICE_NAME,
            )
        ],
        health=Health(checks={}),
        limits=GrpcLimits(backend=backend),
        tls=tls,
    )
    port = await server.start(Listen(host="localhost", variable="RATELIMIT_ADMIN_PORT"))
    try:
        yield port
    finally:
        await server.stop(0)


@BACKENDS
async def test_a_change_is_logged_with_the_name_in_the_callers_certificate(
    backend: GrpcBackend, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    pair, ada = (
        authority.issue("server", "DNS:localhost"),
        authority.issue("ada", "DNS:ada.example"),
    )
    tls = ServerTls(
        load(
            TlsSettings,
            {
                "GRPC_SERVER_USE_TLS": "true",
                "GRPC_SERVER_TLS_CERT": str(pair.cert),
                "GRPC_SERVER_TLS_KEY": str(pair.key),
                "GRPC_CLIENT_TLS_CACERT": str(authority.cert),
            },
        )
    )
    await tls.open()
    credentials = grpc.ssl_channel_credentials(authority.cert.read_bytes(), *ada.pem)
    with caplog.at_level(logging.WARNING):
        async with (
            serving(build(RULES), backend, tls) as port,
            grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel,
        ):
            request = pb.ResetRequest(domain="shop")
            request.descriptor.entries.add(key="user", value="bob")
            stub: Any = RateLimitAdminServiceStub(channel)
            await stub.Reset(request, timeout=10)
    await tls.close()
    (said,) = [record.msg for record in caplog.records if "change by hand" in str(record.msg)]
    assert isinstance(said, dict)
    assert said["identity"] == ["ada.example"]
    assert said["descriptor"] == ["user=bob"]


@BACKENDS
async def test_listing_many_rules_leaves_others_their_turns(backend: GrpcBackend) -> None:
    levels = "".join(
        f"  - {{key: k, value: v{n}, rate_limit: {{unit: hour, requests_per_unit: {n + 1}}}}}\n"
        for n in range(5_000)
    )
    rules = build(f"domain: shop\ndescriptors:\n{levels}")
    async with (
        serving(rules, backend) as port,
        grpc.aio.insecure_channel(f"localhost:{port}") as channel,
    ):
        stub: Any = RateLimitAdminServiceStub(channel)
        await stub.ListRules(pb.ListRulesRequest(page_size=1))
        async with watched() as stalls:
            answer = await stub.ListRules(pb.ListRulesRequest(filter="limit = 5000"), timeout=30)
    assert [rule.rule for rule in answer.rules] == ["shop.k_v4999"]
    assert stalls.longest_cpu_seconds < 0.03
