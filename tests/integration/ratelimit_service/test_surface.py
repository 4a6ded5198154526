"""The service's own surface: TLS, a Unix socket, Prometheus's port, traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from tests.integration.chassis.certificates import Authority
from tests.integration.chassis.test_tracing import SAMPLED, collecting
from tests.integration.ratelimit_service.limiter import RULES, running
from tests.servers import free_port
from tests.waiting import wait_until
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from wire.envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceStub

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server


def request() -> RateLimitRequest:
    asked = RateLimitRequest(domain="shop")
    asked.descriptors.add().entries.add(key="hourly", value="x")
    return asked


async def test_mutual_tls_as_envoy_gateway_sets_it_up(tmp_path: Path, valkey: Server) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server", "DNS:localhost")
    client = authority.issue("envoy", "DNS:envoy")
    asked = {
        "GRPC_SERVER_USE_TLS": "true",
        "GRPC_SERVER_TLS_CERT": str(pair.cert),
        "GRPC_SERVER_TLS_KEY": str(pair.key),
        "GRPC_SERVER_TLS_CA_CERT": str(authority.cert),
    }
    with running(tmp_path, valkey.url, **asked) as limiter:
        await limiter.ready()
        for pems, passes in ((client.pem, True), ((), False)):
            credentials = grpc.ssl_channel_credentials(authority.cert.read_bytes(), *pems)
            target = f"localhost:{limiter.grpc_port}"
            async with grpc.aio.secure_channel(target, credentials) as channel:
                asking = RateLimitServiceStub(channel).ShouldRateLimit(request(), timeout=10)
                if passes:
                    assert (await asking).overall_code == RateLimitResponse.OK
                else:
                    with pytest.raises(grpc.aio.AioRpcError):
                        await asking
        assert "sluice_tls_certificate_end_seconds" in limiter.get("/metrics")[1]
        await limiter.channel.close()


async def test_a_socket_instead_of_a_port(tmp_path: Path, valkey: Server) -> None:
    path = tmp_path / "r.sock"
    with running(tmp_path, valkey.url, GRPC_UDS=str(path), GRPC_UDS_MODE="600") as limiter:
        await limiter.ready()
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            answer = await RateLimitServiceStub(channel).ShouldRateLimit(request(), timeout=10)
            assert answer.overall_code == RateLimitResponse.OK
        limiter.stop()
        assert await limiter.ended() == 0
        assert not path.exists()
        await limiter.channel.close()


async def test_prometheus_has_its_port_and_spans_their_collector(
    tmp_path: Path, valkey: Server
) -> None:
    port = free_port()
    async with collecting("grpc") as collector:
        asked = {
            "USE_PROMETHEUS": "true",
            "PROMETHEUS_ADDR": f"127.0.0.1:{port}",
            "PROMETHEUS_PATH": "/scrape",
            "TRACING_ENABLED": "true",
            "TRACING_EXPORTER_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
        }
        with running(tmp_path, valkey.url, RULES, **asked) as limiter:
            await limiter.ready()
            status, text = limiter.get("/scrape", port)
            assert (status, "sluice_ratelimit_decisions" in text) == (200, True)
            assert limiter.get("/readyz", port)[0] == 404
            await limiter.stub.ShouldRateLimit(request(), metadata=SAMPLED, timeout=10)
            await wait_until(lambda: bool(collector.spans), description="a span arrived")
            assert collector.span("ShouldRateLimit").trace_id.hex() in str(SAMPLED)
            await limiter.channel.close()
