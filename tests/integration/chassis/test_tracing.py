"""Spans of real calls, as a real OTLP receiver gets them over gRPC and HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc

from chassis.errors import NotFound
from chassis.health import Health
from chassis.http import Answer, HttpServer, Request, Route
from chassis.listen import Listen
from chassis.server import GrpcBackend, GrpcLimits, Service, make_server
from chassis.settings import load
from chassis.tracing import Tracing, TracingSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chassis.deferred import DeferredCall, Failures

NAME = "sluice.test.v1.Echo"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = (("traceparent", f"00-{TRACE}-{SPAN}-01"),)
UNSAMPLED = (("traceparent", f"00-{TRACE}-{SPAN}-00"),)


class Collector:
    """What it was sent."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.port = 0

    def take(self, request: Any) -> Any:
        self.requests.append(request)
        return otlp.ExportTraceServiceResponse()

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self) -> dict[str, str]:
        attributes = self.requests[0].resource_spans[0].resource.attributes
        return {one.key: one.value.string_value for one in attributes}

    def span(self, name: str) -> Any:
        (found,) = [span for span in self.spans if span.name == name]
        return found


@contextlib.asynccontextmanager
async def collecting(protocol: str) -> AsyncIterator[Collector]:
    collector = Collector()
    if protocol == "grpc":

        class Servicer(otlp_grpc.TraceServiceServicer):
            async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
                return collector.take(request)

        server = grpc.aio.server()
        register: Any = otlp_grpc.add_TraceServiceServicer_to_server
        register(Servicer(), server)
        collector.port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        yield collector
        await server.stop(0)
        return

    async def take(request: Request) -> Answer:
        message = otlp.ExportTraceServiceRequest.FromString(request.body)
        return Answer(body=collector.take(message).SerializeToString())

    routes = {"/v1/traces": Route(handler=take, methods=frozenset({"POST"}))}
    http = HttpServer(routes)
    collector.port = await http.start(Listen(variable="PORT"))
    yield collector
    await http.close()


class Echo:
    """Answers what it is asked, asking a store meanwhile, on either kind of server."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def store(self, request: bytes, loop: asyncio.AbstractEventLoop, done: Any) -> None:
        followed = self._tracing.follow("store take", done)
        error = ConnectionError("the password is x") if request == b"away" else None
        loop.call_soon(followed, [1], error)

    def take(self, call: DeferredCall, failures: Failures) -> None:
        if call.message == b"none":
            raise NotFound("no such thing")
        span = self._tracing.current()

        def done(_: list[int], error: BaseException | None) -> None:
            if error is not None:
                call.fail(failures.told(error))
                return
            if span is not None:
                span.set_attribute("domain", "shop")
            call.respond(call.message)

        self.store(call.message, asyncio.get_running_loop(), done)

    async def unary(self, request: bytes, context: Any) -> bytes:
        if request == b"none":
            raise NotFound("no such thing")
        span = self._tracing.current()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self.store(
            request, loop, lambda _, e: future.set_exception(e) if e else future.set_result(None)
        )
        await future
        if span is not None:
            span.set_attribute("domain", "shop")
        return request


def add(echo: Echo, server: grpc.aio.Server) -> None:
    handlers: dict[str, Any] = {"Ask": grpc.unary_unary_rpc_method_handler(echo.unary)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))


class Rig:
    """A traced server, and how to call it."""

    def __init__(self, tracing: Tracing, channel: grpc.aio.Channel) -> None:
        self.tracing = tracing
        self._ask: Any = channel.unary_unary(f"/{NAME}/Ask")
        self._check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")

    async def ask(self, request: bytes = b"hello", metadata: Any = ()) -> bytes:
        return bytes(await self._ask(request, metadata=metadata, timeout=10))

    async def check_health(self) -> None:
        await self._check(b"", timeout=10)


@contextlib.asynccontextmanager
async def serving(
    port: int, *, protocol: str = "http", backend: str = "fastlane", deferred: bool = True,
    **environ: str,
) -> AsyncIterator[Rig]:  # fmt: skip
    settings = load(
        TracingSettings,
        {
            "TRACING_ENABLED": "true",
            "TRACING_EXPORTER_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            **environ,
        },
    )
    tracing = Tracing(settings)
    echo = Echo(tracing)
    service = Service(
        add=add, servicer=echo, name=NAME, deferred={"Ask": echo.take} if deferred else {}
    )
    limits = GrpcLimits(backend=GrpcBackend(backend))
    server = make_server([service], health=Health(checks={}), limits=limits, tracing=tracing)
    at = await server.start(Listen(variable="GRPC_PORT"))
    await tracing.open()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{at}") as channel:
        yield Rig(tracing, channel)
    await server.stop(0)
    await tracing.close()


WAYS = pytest.mark.parametrize(
    ("backend", "deferred"),
    [("fastlane", True), ("fastlane", False), ("grpcio", False)],
    ids=["deferred", "fastlane", "grpcio"],
)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_spans_arrive_with_who_sent_them(protocol: str) -> None:
    async with collecting(protocol) as collector:
        async with serving(
            collector.port,
            protocol=protocol,
            TRACING_SERVICE_NAME="limits",
            TRACING_SERVICE_NAMESPACE="mesh",
            TRACING_SERVICE_INSTANCE_ID="one",
        ) as rig:
            await rig.ask()
        assert collector.resource["service.name"] == "limits"
        assert collector.resource["service.namespace"] == "mesh"
        assert collector.resource["service.instance.id"] == "one"
        assert {span.name for span in collector.spans} == {"Ask", "store take"}


@WAYS
async def test_the_callers_trace_is_continued_down_to_the_store(
    backend: str, deferred: bool
) -> None:
    async with collecting("http") as collector:
        async with serving(collector.port, backend=backend, deferred=deferred) as rig:
            assert await rig.ask(metadata=(*SAMPLED, ("tracestate", "a=1"))) == b"hello"
        ask, store = collector.span("Ask"), collector.span("store take")
    assert (ask.trace_id.hex(), ask.parent_span_id.hex()) == (TRACE, SPAN)
    assert ask.trace_state == "a=1"
    assert (store.trace_id, store.parent_span_id) == (ask.trace_id, ask.span_id)
    attributes = {one.key: one.value.string_value for one in ask.attributes}
    assert attributes["rpc.service"] == NAME
    assert attributes["domain"] == "shop"
    assert (ask.kind, store.kind) == (ask.SPAN_KIND_SERVER, ask.SPAN_KIND_CLIENT)
    assert ask.start_time_unix_nano <= store.start_time_unix_nano
    assert store.end_time_unix_nano <= ask.end_time_unix_nano


@WAYS
@pytest.mark.parametrize(
    ("metadata", "rate", "traced"),
    [
        (UNSAMPLED, "1", False),
        (SAMPLED, "0", True),
        ((), "0", False),
        ((), "1", True),
        ((("b3", "0"),), "1", False),
        ((("b3", f"{TRACE}-{SPAN}-1"),), "0", True),
    ],
)
async def test_the_caller_decides_and_the_rate_where_it_does_not(
    backend: str, deferred: bool, metadata: Any, rate: str, traced: bool
) -> None:
    async with collecting("http") as collector:
        async with serving(
            collector.port, backend=backend, deferred=deferred, TRACING_SAMPLING_RATE=rate
        ) as rig:
            await rig.ask(metadata=metadata)
            assert rig.tracing.calls == int(traced)
        assert len(collector.spans) == (2 if traced else 0)


@WAYS
async def test_errors_are_in_the_span_without_what_may_be_secret(
    backend: str, deferred: bool
) -> None:
    async with collecting("http") as collector:
        async with serving(collector.port, backend=backend, deferred=deferred) as rig:
            for request in (b"none", b"away"):
                with pytest.raises(grpc.aio.AioRpcError):
                    await rig.ask(request)
        told, bug = [span for span in collector.spans if span.name == "Ask"]
        store = collector.span("store take")
    assert told.status.message == "no such thing"
    codes = {one.key: one.value.int_value for one in told.attributes}
    assert codes["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    for span in (told, bug, store):
        assert span.status.code == span.status.STATUS_CODE_ERROR
        assert "password" not in str(span)


async def test_probes_are_not_traced() -> None:
    async with collecting("http") as collector, serving(collector.port) as rig:
        await rig.check_health()
        assert rig.tracing.calls == 0


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_a_collector_that_is_away_holds_up_nobody(
    protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as deaf:  # takes connections, and answers none
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        async with asyncio.timeout(10):
            async with serving(deaf.getsockname()[1], protocol=protocol) as rig:
                for _ in range(20):
                    assert await rig.ask() == b"hello"
