"""A real gRPC server from the factory: statuses, limits, health, reflection, addresses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection_pb2  # type: ignore[import-untyped]

from chassis.build import Build
from chassis.errors import FieldViolation, InvalidRequest, NotFound
from chassis.health import Health, Verdict
from chassis.listen import Listen, ListenError
from chassis.metrics import Metrics
from chassis.server import GrpcLimits, GrpcServer, Service, make_server
from tests.servers import free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    Context = grpc.aio.ServicerContext[Any, Any]

NAME = "sluice.test.v1.Echo"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class Echo:
    """Answers what it is sent, or fails as it is told; the same in all four kinds."""

    def __init__(self) -> None:
        self.left: list[str] = []

    async def act(self, request: bytes, context: Context) -> bytes:
        match request:
            case b"wrong":
                context.set_trailing_metadata((("x-kept", "yes"),))
                violation = FieldViolation(field="name", description="is empty; write one")
                raise InvalidRequest("name: is empty", violations=(violation,))
            case b"none":
                raise NotFound("no such thing", reason="THING_NOT_FOUND", metadata={"a": "b"})
            case b"bug":
                raise ZeroDivisionError("secret detail")
            case b"abort":
                await context.abort(grpc.StatusCode.DATA_LOSS, "by hand")
            case b"hang":
                try:
                    await asyncio.Event().wait()
                finally:
                    self.left.append("unary")
        return request

    async def unary_unary(self, request: bytes, context: Context) -> bytes:
        return await self.act(request, context)

    async def unary_stream(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            yield await self.act(request, context)
        finally:
            self.left.append("stream")

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Context) -> bytes:
        return b"".join([await self.act(request, context) async for request in requests])

    async def stream_stream(
        self, requests: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[bytes]:
        async for request in requests:
            yield await self.act(request, context)


def add_echo(servicer: Echo, server: grpc.aio.Server) -> None:
    handlers = {
        kind: getattr(grpc, f"{kind}_rpc_method_handler")(getattr(servicer, kind)) for kind in KINDS
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))


class Rig:
    """A running server with a channel to it."""

    def __init__(self, server: GrpcServer, channel: grpc.aio.Channel, echo: Echo) -> None:
        self.server = server
        self.channel = channel
        self.echo = echo
        self.ok = True
        self.health: Health

    async def call(self, kind: str, request: bytes, **options: Any) -> list[bytes]:
        method = getattr(self.channel, kind)(f"/{NAME}/{kind}")

        async def requests() -> AsyncIterator[bytes]:
            yield request

        call = method(requests() if kind.startswith("stream") else request, **options)
        if kind.endswith("stream"):
            return [response async for response in call]
        return [await call]

    async def failure(self, kind: str, request: bytes) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await self.call(kind, request)
        return raised.value


@contextlib.asynccontextmanager
async def running(limits: GrpcLimits | None = None) -> AsyncIterator[Rig]:
    echo = Echo()
    rig: Rig
    health = Health(services=[NAME], checks={"part": lambda: Verdict(ok=rig.ok)})
    server = make_server(
        [Service(add=add_echo, servicer=echo, name=NAME)], health=health, limits=limits
    )
    port = await server.start(Listen(variable="GRPC_PORT"))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        rig = Rig(server, channel, echo)
        rig.health = health
        await health.open()
        try:
            yield rig
        finally:
            await health.close()
            await server.stop(0)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running() as made:
        yield made


def trailers(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    return dict(error.trailing_metadata())


def status_in(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    return status_pb2.Status.FromString(trailers(error)["grpc-status-details-bin"])


@pytest.mark.parametrize("kind", KINDS)
async def test_all_four_kinds_work(rig: Rig, kind: str) -> None:
    assert (await rig.call(kind, b"hello"))[-1] == b"hello"
    assert rig.server.statuses.calls[f"/{NAME}/{kind}"] == 1
    assert not rig.server.statuses.failures


@pytest.mark.parametrize("kind", KINDS)
async def test_our_errors_arrive_with_code_message_and_details(rig: Rig, kind: str) -> None:
    error = await rig.failure(kind, b"wrong")
    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "name: is empty")
    assert trailers(error)["x-kept"] == "yes"
    status = status_in(error)
    assert (status.code, status.message) == (3, "name: is empty")
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(bad)
    assert (info.reason, info.domain) == ("INVALID_REQUEST", "sluice")
    assert bad.field_violations[0].field == "name"
    assert rig.server.statuses.failures == {(f"/{NAME}/{kind}", "INVALID_ARGUMENT"): 1}


async def test_reason_and_metadata_are_for_programs(rig: Rig) -> None:
    error = await rig.failure("unary_unary", b"none")
    info = error_details_pb2.ErrorInfo()
    status_in(error).details[0].Unpack(info)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert (info.reason, dict(info.metadata)) == ("THING_NOT_FOUND", {"a": "b"})


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bug_gives_nothing_away_and_is_logged_once(
    rig: Rig, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = await rig.failure(kind, b"bug")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(error.details()) + str(error.trailing_metadata())
    assert "log" in str(error.details())
    (logged,) = [record for record in caplog.records if "secret detail" in record.getMessage()]
    assert "Traceback" in logged.getMessage()


@pytest.mark.parametrize("kind", KINDS)
async def test_an_abort_by_hand_is_left_as_it_is(rig: Rig, kind: str) -> None:
    error = await rig.failure(kind, b"abort")
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "by hand")


async def test_a_deadline_and_a_cancelled_stream_end_the_handler(rig: Rig) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await rig.call("unary_unary", b"hang", timeout=0.1)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await wait_until(lambda: rig.echo.left == ["unary"])
    streaming: Any = rig.channel.unary_stream(f"/{NAME}/unary_stream")
    call = streaming(b"hang")
    assert await call.read() == b"first"
    call.cancel()
    await wait_until(lambda: "stream" in rig.echo.left)
    assert not rig.server.statuses.failures


async def test_calls_and_failures_are_exposed_by_method(rig: Rig) -> None:
    metrics = Metrics(Build(service="t", version="1", python="p", platform="l"))
    rig.server.observe(metrics)
    await rig.call("unary_unary", b"fine")
    await rig.failure("unary_unary", b"none")
    text = metrics.render().decode()
    method = f'method="/{NAME}/unary_unary"'
    assert f"sluice_grpc_calls_total{{{method}}} 2.0" in text
    assert f'sluice_grpc_failures_total{{code="NOT_FOUND",{method}}} 1.0' in text


async def test_an_unknown_method_is_unimplemented(rig: Rig) -> None:
    nothing: Any = rig.channel.unary_unary(f"/{NAME}/Nothing")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await nothing(b"")
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_message_over_the_limit_is_refused_and_the_next_is_served() -> None:
    async with running(GrpcLimits(max_receive_bytes=2048, max_send_bytes=2048)) as rig:
        error = await rig.failure("unary_unary", b"x" * 4096)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await rig.call("unary_unary", b"fits") == [b"fits"]


async def test_calls_beyond_the_limit_are_refused_at_once() -> None:
    async with running(GrpcLimits(max_concurrent_calls=2)) as rig:
        method: Any = rig.channel.unary_stream(f"/{NAME}/unary_stream")
        hanging = [method(b"hang") for _ in range(2)]
        for call in hanging:
            assert await call.read() == b"first"
        error = await rig.failure("unary_stream", b"one more")
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for call in hanging:
            call.cancel()


# -- health ---------------------------------------------------------------------------------------


async def test_health_tells_the_verdict_for_every_service(rig: Rig) -> None:
    stub = health_pb2_grpc.HealthStub(rig.channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    for service in ("", NAME):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == serving
    listed = await stub.List(health_pb2.HealthListRequest())
    assert {name: entry.status for name, entry in listed.statuses.items()} == {
        "": serving,
        NAME: serving,
    }
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.Check(health_pb2.HealthCheckRequest(service="no.Such"))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watcher_hears_of_changes_and_does_not_hold_up_the_drain(rig: Rig) -> None:
    stub = health_pb2_grpc.HealthStub(rig.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=NAME))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    rig.ok = False
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    rig.ok = True
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    rig.health.drain()
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    async with asyncio.timeout(5):
        await rig.server.stop(30)


async def test_calls_in_flight_finish_while_it_stops(rig: Rig) -> None:
    call: Any = rig.channel.stream_stream(f"/{NAME}/stream_stream")()
    await call.write(b"one")
    assert await call.read() == b"one"
    stopping = asyncio.create_task(rig.server.stop(10))
    await call.write(b"two")
    assert await call.read() == b"two"
    await call.done_writing()
    async with asyncio.timeout(5):
        await stopping


# -- reflection -----------------------------------------------------------------------------------


async def reflect(rig: Rig, version: str, request: Any) -> Any:
    method = rig.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )

    async def requests() -> AsyncIterator[Any]:
        yield request

    return await anext(aiter(method(requests())))


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_the_services(rig: Rig, version: str) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="*")
    response = await reflect(rig, version, request)
    assert [service.name for service in response.list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        NAME,
    ]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@pytest.mark.parametrize(
    ("symbol", "package"),
    [
        ("grpc.health.v1.Health", "grpc.health.v1"),
        ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1"),
        ("grpc.reflection.v1.ServerReflectionRequest", "grpc.reflection.v1"),
        ("grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1alpha"),
    ],
)
async def test_reflection_describes_what_it_lists(
    rig: Rig, version: str, symbol: str, package: str
) -> None:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    response = await reflect(rig, version, request)
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(text)
        for text in response.file_descriptor_response.file_descriptor_proto
    ]
    assert files[0].package == package
    # Every type it mentions is in a file it sends.
    types = [
        method.input_type for file in files for service in file.service for method in service.method
    ]
    assert all(kind.startswith(f".{package}.") for kind in types)


# -- addresses ------------------------------------------------------------------------------------


def bare_server(*, reuse_port: bool = False) -> GrpcServer:
    return make_server([], health=Health(checks={}), reuse_port=reuse_port)


async def test_a_used_port_is_told_in_a_sentence_that_names_the_variable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError) as raised:
            await bare_server().start(Listen(port=port, variable="GRPC_PORT"))
    assert str(raised.value) == (
        f"port {port} on 127.0.0.1 is in use; end the process that has it, "
        "or set GRPC_PORT to a free one"
    )


async def test_two_servers_do_not_share_a_port_unless_both_want_to() -> None:
    port = free_port()
    listen = Listen(port=port, variable="GRPC_PORT", reuse_port=True)
    first, second, third = (bare_server(reuse_port=shared) for shared in (True, True, False))
    try:
        assert await first.start(listen) == port
        assert await second.start(listen) == port
        with pytest.raises(ListenError):
            await third.start(Listen(port=port, variable="GRPC_PORT"))
    finally:
        await first.stop(0)
        await second.stop(0)
