"""ShouldRateLimit as Envoy calls it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection_pb2  # type: ignore[import-untyped]

from tests.integration.ratelimit_service.limiter import running
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.ratelimit_service.limiter import Limiter
    from tests.servers import Server

OK, OVER = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT


@pytest.fixture(params=["fastlane", "grpcio"])
async def limiter(
    request: pytest.FixtureRequest, tmp_path: Path, valkey: Server
) -> AsyncIterator[Limiter]:
    with running(tmp_path, valkey.url, SLUICE_GRPC_SERVER=request.param) as started:
        await started.ready()
        yield started
        await started.channel.close()


async def test_the_sixth_call_of_five_a_minute_is_refused(limiter: Limiter) -> None:
    answers = [await limiter.ask({"client_id": "alice"}) for _ in range(6)]
    assert [answer.overall_code for answer in answers] == [OK] * 5 + [OVER]
    first, last = answers[0].statuses[0], answers[-1].statuses[0]
    assert first.current_limit.requests_per_unit == 5
    assert first.current_limit.unit == RateLimitResponse.RateLimit.MINUTE
    assert first.current_limit.name == "per client"
    assert first.limit_remaining == 4
    assert first.duration_until_reset.ToMilliseconds() == 12_000
    assert last.limit_remaining == 0
    assert last.duration_until_reset.seconds in range(1, 13)
    assert last.duration_until_reset.nanos == 0, "whole seconds, as Envoy cuts fractions off"
    other = await limiter.ask({"client_id": "bob"})
    assert other.overall_code == OK


async def test_parallel_callers_get_exactly_the_capacity(limiter: Limiter) -> None:
    answers = await asyncio.gather(*(limiter.ask({"hourly": "x"}) for _ in range(200)))
    assert sum(answer.overall_code == OK for answer in answers) == 3


async def test_a_refused_request_charges_no_descriptor(limiter: Limiter) -> None:
    await limiter.ask({"hourly": "x"}, hits=3)
    answer = await limiter.ask({"client_id": "carol"}, {"hourly": "x"})
    assert answer.overall_code == OVER
    assert [status.code for status in answer.statuses] == [OK, OVER]
    assert (await limiter.ask({"client_id": "carol"}, hits=5)).overall_code == OK


@pytest.mark.parametrize(
    ("domain", "entries"), [("nowhere", {"client_id": "x"}), ("shop", {"unknown": "x"})]
)
async def test_what_no_rule_names_is_not_limited(
    limiter: Limiter, domain: str, entries: dict[str, str]
) -> None:
    answer = await limiter.ask(entries, domain=domain, hits=1_000_000)
    assert answer.overall_code == OK
    assert [status.code for status in answer.statuses] == [OK]
    assert not answer.statuses[0].HasField("current_limit")


@pytest.mark.parametrize(
    ("domain", "descriptors", "text", "field"),
    [
        ("", [{"client_id": "x"}], "rate limit domain must not be empty", "domain"),
        ("shop", [], "rate limit descriptor list must not be empty", "descriptors"),
    ],
)
async def test_a_wrong_request_is_told_so(
    limiter: Limiter, domain: str, descriptors: list[dict[str, str]], text: str, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await limiter.ask(*descriptors, domain=domain)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == text
    trailers = dict(caught.value.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("sluice", "INVALID_REQUEST")
    assert status.details[1].Unpack(bad)
    assert [violation.field for violation in bad.field_violations] == [field]


async def test_hostile_requests_do_no_harm(limiter: Limiter) -> None:
    garbage: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = limiter.channel.unary_unary(
        "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await garbage(b"\xff" * 100)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    huge = "x" * 1_000_000
    assert (await limiter.ask({"client_id": huge})).overall_code == OK
    answer = await limiter.ask({"client_id": "m\n\0 {}*"}, hits=2**32 - 1)
    assert answer.overall_code == OVER
    assert (await limiter.ask({"client_id": "m\n\0 {}*"}, hits=5)).overall_code == OK
    assert limiter.readyz()[0] == 200
    assert "Traceback" not in limiter.said()


async def test_more_calls_at_once_than_streams_are_all_answered(
    tmp_path: Path, valkey: Server
) -> None:
    # On fastlane alone: grpc.aio resets calls that were sent before it granted their streams.
    with running(tmp_path, valkey.url) as limiter:
        await limiter.ready()
        answers = await asyncio.gather(*(limiter.ask({"client_id": str(n)}) for n in range(1500)))
        assert {answer.overall_code for answer in answers} == {OK}
        await limiter.channel.close()


async def test_many_large_requests_do_not_fail_each_other(limiter: Limiter) -> None:
    many = [
        limiter.ask(*({"client_id": f"{caller}-{n}"} for n in range(100))) for caller in range(100)
    ]
    answers = await asyncio.gather(limiter.ask({"client_id": "small"}), *many)
    assert {answer.overall_code for answer in answers} == {OK}
    assert {status.limit_remaining for answer in answers for status in answer.statuses} == {4}


@pytest.mark.parametrize(
    "service", ["", "ratelimit", "envoy.service.ratelimit.v3.RateLimitService"]
)
async def test_health_answers_under_every_name(limiter: Limiter, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(limiter.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_names_the_services(limiter: Limiter, version: str) -> None:
    call = limiter.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    async for answer in call(asked):
        names = [service.name for service in answer.list_services_response.service]
        assert "envoy.service.ratelimit.v3.RateLimitService" in names


async def test_json_answers_as_the_rpc_does(limiter: Limiter) -> None:
    body = b'{"domain": "shop", "descriptors": [{"entries": [{"key": "hourly", "value": "j"}]}]}'
    codes = [limiter.get("/json", limiter.http_port, body)[0] for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    status, text = limiter.get("/json", limiter.http_port, b"{")
    assert status == 400
    assert "RateLimitRequest in JSON" in text
    assert limiter.get("/healthcheck", limiter.http_port) == (200, "OK\n")


async def test_metrics_count_decisions_and_script_calls(limiter: Limiter) -> None:
    await asyncio.gather(*(limiter.ask({"hourly": "m"}) for _ in range(10)))
    text = limiter.get("/metrics")[1]
    assert 'sluice_ratelimit_decisions_total{code="ok"} 3.0' in text
    assert 'sluice_ratelimit_decisions_total{code="over_limit"} 7.0' in text
    assert "sluice_ratelimit_store_takes_total 10.0" in text
