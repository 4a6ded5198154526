"""One trace from Envoy through the service to Redis: envoy/recipes/tracing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc

from tests.e2e.recipes import Origin, serving
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.servers import Server

pytestmark = pytest.mark.e2e

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(otlp_grpc.TraceServiceServicer):
    """An OpenTelemetry collector: keeps what it is sent."""

    def __init__(self) -> None:
        self.port = 0
        self.spans: list[tuple[str, Any]] = []

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  OpenTelemetry's name
        for resource in request.resource_spans:
            attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(attributes["service.name"], span) for span in scope.spans]
        return otlp.ExportTraceServiceResponse()

    def of(self, trace: str) -> dict[bytes, tuple[str, Any]]:
        """Return the spans of a trace, and who sent them, by their ids."""
        wanted = bytes.fromhex(trace)
        return {span.span_id: (who, span) for who, span in self.spans if span.trace_id == wanted}

    def path_to(self, name: str, trace: str) -> list[tuple[str, str]]:
        """Return service and name of the spans from the first of a trace down to one."""
        spans = self.of(trace)
        found = [entry for entry in spans.values() if entry[1].name == name]
        path: list[tuple[str, str]] = []
        while found:
            who, span = found[0]
            path.insert(0, (who, span.name))
            found = [spans[span.parent_span_id]] if span.parent_span_id in spans else []
        return path


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    server = grpc.aio.server()
    register: Any = otlp_grpc.add_TraceServiceServicer_to_server
    register(collector, server)
    collector.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield collector
    await server.stop(0)


async def test_one_trace_leads_from_envoy_to_redis(
    tmp_path: Path, valkey: Server, collector: Collector
) -> None:
    environ = {
        "TRACING_ENABLED": "true",
        "TRACING_EXPORTER_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
    }
    origin = Origin()
    async with serving(
        "tracing", tmp_path, valkey.url, origin, environ=environ, OTLP_PORT=collector.port
    ) as recipe:
        headers = {"x-client-id": "alice", "traceparent": f"00-{TRACE}-{CALLER}-01"}
        assert (await recipe.call("/", headers)).status == 200
        await wait_until(
            lambda: len(collector.path_to("redis take", TRACE)) >= 4,
            timeout=20,
            description="all spans are with the collector",
        )
        path = collector.path_to("redis take", TRACE)
        assert [who for who, _ in path] == ["edge", "edge", "RateLimit", "RateLimit"]
        assert "RateLimitService.ShouldRateLimit" in path[1][1]
        assert [name for _, name in path[2:]] == ["ShouldRateLimit", "redis take"]
        first = next(
            span for _, span in collector.of(TRACE).values() if span.parent_span_id.hex() == CALLER
        )
        assert first.name == path[0][1]
        # The origin gets the same trace, further down.
        (asked,) = origin.asked
        assert (asked.first(b"traceparent") or b"").decode().split("-")[1] == TRACE


async def test_what_the_caller_does_not_trace_nobody_does(
    tmp_path: Path, valkey: Server, collector: Collector
) -> None:
    environ = {
        "TRACING_ENABLED": "true",
        "TRACING_EXPORTER_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
    }
    async with serving(
        "tracing", tmp_path, valkey.url, Origin(), environ=environ, OTLP_PORT=collector.port
    ) as recipe:
        quiet = {"x-client-id": "alice", "traceparent": f"00-{TRACE}-{CALLER}-00"}
        assert (await recipe.call("/", quiet)).status == 200
        assert (await recipe.call("/", {"x-client-id": "alice"})).status == 200
        await wait_until(
            lambda: any(span.name == "redis take" for _, span in collector.spans),
            timeout=20,
            description="the later call is traced",
        )
        assert not collector.of(TRACE)
