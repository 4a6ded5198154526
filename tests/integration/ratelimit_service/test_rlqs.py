"""Quota streams over the wire, on both servers, with a real Valkey."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from chassis.build import this_build
from chassis.clock import SystemClock
from chassis.health import Health
from chassis.listen import Listen
from chassis.metrics import Metrics
from chassis.redis import RedisDoor
from chassis.redis_settings import RedisSettings
from chassis.server import GrpcBackend, GrpcLimits, Service, make_server
from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.service.quotas import Quotas
from ratelimit_service.storage.redis import RedisBuckets
from ratelimit_service.transport import rlqs
from tests.limiting import make_limiter
from tests.servers import start_valkey
from tests.unit.ratelimit_service.core.test_rules import build
from tests.waiting import wait_until
from wire.envoy.service.rate_limit_quota.v3.rlqs_pb2 import (
    RateLimitQuotaResponse,
    RateLimitQuotaUsageReports,
)
from wire.envoy.service.rate_limit_quota.v3.rlqs_pb2_grpc import RateLimitQuotaServiceStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ratelimit_service.core.descriptor import Entries
    from tests.servers import Server

RULES = build("""
domain: shop
descriptors:
  - key: user
    rate_limit: {unit: hour, requests_per_unit: 100}
  - key: fast
    rate_limit: {unit: second, requests_per_unit: 40}
""")


class House:
    """The service in this process, over a real Redis and a real port."""

    def __init__(self, door: RedisDoor, store: RedisBuckets, backend: GrpcBackend) -> None:
        clock, loop = SystemClock(), asyncio.get_running_loop()
        self.door = door
        self.limiter = make_limiter(RULES, store)
        self.quotas = Quotas(self.limiter, store, clock, loop.call_later)
        service = Service(
            add=rlqs.register,
            servicer=rlqs.RateLimitQuotaServicer(self.quotas),
            name=rlqs.SERVICE_NAME,
        )
        self.server = make_server(
            [service], health=Health(checks={}), limits=GrpcLimits(backend=backend)
        )
        self.channel: grpc.aio.Channel

    async def start(self) -> None:
        port = await self.server.start(Listen(port=0, variable="GRPC_PORT"))
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")

    def client(self) -> Client:
        return Client(self.channel)

    async def passes(self, entries: Entries, count: int) -> int:
        """Make ShouldRateLimit calls; return how many passed."""
        asked = self.limiter.ask(self.limiter.edition, "shop", (Descriptor(entries=entries),))
        verdicts = await asyncio.gather(*(self.limiter.check(asked, None) for _ in range(count)))
        return sum(not verdict.over for verdict in verdicts)


class Client:
    """A stream as Envoy opens it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.call: Any = RateLimitQuotaServiceStub(channel).StreamRateLimitQuotas()

    async def report(
        self, allowed: int = 0, denied: int = 0, domain: str = "shop", **pairs: str
    ) -> None:
        message = RateLimitQuotaUsageReports(domain=domain)
        usage = message.bucket_quota_usages.add(
            num_requests_allowed=allowed, num_requests_denied=denied
        )
        usage.bucket_id.bucket.update(pairs)
        await self.call.write(message)

    async def told(self) -> RateLimitQuotaResponse.BucketAction:
        """Return the last action of the next message."""
        message = await asyncio.wait_for(self.call.read(), timeout=10)
        assert isinstance(message, RateLimitQuotaResponse), await self.call.code()
        return message.bucket_action[-1]

    async def given(self) -> int:
        """Return the tokens of the block that the next message assigns."""
        told = (await self.told()).quota_assignment_action.rate_limit_strategy
        assert told.WhichOneof("strategy") == "token_bucket"
        return told.token_bucket.max_tokens

    async def end(self) -> tuple[grpc.StatusCode, str]:
        """Return how the stream ended."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            while await self.call.read() is not grpc.aio.EOF:
                pass
        return await self.call.code(), await self.call.details()


@contextlib.asynccontextmanager
async def open_house(url: str, backend: GrpcBackend) -> AsyncIterator[House]:
    settings = RedisSettings(url=url)
    door = RedisDoor(settings, name="test")
    store = RedisBuckets(door, command_timeout_seconds=settings.command_timeout_seconds)
    house = House(door, store, backend)
    await door.open()
    await wait_until(lambda: door.ready, description="Redis is there")
    await house.start()
    try:
        yield house
    finally:
        await house.channel.close()
        house.quotas.drain()
        await house.server.stop(1)
        await store.close()
        await door.close()


@pytest.fixture(params=GrpcBackend)
async def house(request: pytest.FixtureRequest, valkey: Server) -> AsyncIterator[House]:
    async with open_house(valkey.url, request.param) as opened:
        yield opened


async def test_the_first_report_is_answered_with_tokens_that_have_left_the_bucket(
    house: House,
) -> None:
    client = house.client()
    await client.report(denied=1, user="alice")
    assert await client.given() == 50
    assert await house.passes((("user", "alice"),), 100) == 50


async def test_streams_of_two_services_share_one_bucket(house: House, valkey: Server) -> None:
    async with open_house(valkey.url, GrpcBackend.FASTLANE) as second:
        first_client, second_client = house.client(), second.client()
        await first_client.report(denied=1, user="alice")
        assert await first_client.given() == 50
        await second_client.report(denied=1, user="alice")
        assert await second_client.given() == 25
        assert await house.passes((("user", "alice"),), 100) == 25


async def test_who_goes_short_gets_what_flows_back_without_reporting_again(house: House) -> None:
    client = house.client()
    await client.report(denied=1, fast="x")
    assert await client.given() == 20
    loop = asyncio.get_running_loop()
    await wait_until(lambda: house.quotas.counts.blocks, description="it was counted")
    began = loop.time()
    await wait_until(lambda: loop.time() - began > 1.1, description="a second passes")
    await client.report(allowed=20, denied=400, fast="x")
    total = 0
    while total < 80:  # more than there ever is at once
        total += await client.given()
    assert total <= 40 + 40 * (loop.time() - began) + 1


async def test_a_stream_that_ends_is_forgotten(house: House) -> None:
    client = house.client()
    await client.report(denied=1, user="alice")
    await client.given()
    quotas = house.quotas
    assert (len(quotas.streams), quotas.buckets, len(quotas.pools)) == (1, 1, 1)
    await client.call.done_writing()
    code, _ = await client.end()
    assert code is grpc.StatusCode.OK
    await wait_until(lambda: not quotas.streams, description="the stream is forgotten")
    assert (quotas.buckets, len(quotas.pools)) == (0, 0)


async def test_a_stream_that_breaks_is_forgotten(house: House) -> None:
    client = house.client()
    await client.report(denied=1, user="alice")
    await client.given()
    client.call.cancel()
    await wait_until(lambda: not house.quotas.streams, description="the stream is forgotten")
    assert house.quotas.buckets == 0


async def test_the_domain_may_be_left_out_after_the_first_message(house: House) -> None:
    client = house.client()
    await client.report(denied=1, user="alice")
    await client.given()
    await client.report(denied=1, domain="", user="bob")
    assert await client.given() == 50


@pytest.mark.parametrize(
    ("story", "domain", "pairs"),
    [
        ("no domain", "", {"user": "alice"}),
        ("no pairs", "shop", {}),
        ("an empty value", "shop", {"user": ""}),
        ("a huge value", "shop", {"user": "x" * 100_000}),
    ],
)
async def test_a_wrong_message_ends_the_stream_and_says_why(
    house: House, story: str, domain: str, pairs: dict[str, str]
) -> None:
    client = house.client()
    await client.report(0, 1, domain, **pairs)
    code, details = await client.end()
    assert code is grpc.StatusCode.INVALID_ARGUMENT, story
    assert "domain" in details or "bucket_id" in details
    await wait_until(lambda: not house.quotas.streams, description="it is forgotten")


async def test_a_stream_keeps_its_domain(house: House) -> None:
    client = house.client()
    await client.report(denied=1, user="alice")
    await client.given()
    await client.report(denied=1, domain="elsewhere", user="alice")
    code, details = await client.end()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "open another" in details


async def test_a_drain_ends_streams_at_once(house: House) -> None:
    client = house.client()
    await client.report(denied=1, user="alice")
    await client.given()
    house.quotas.drain()
    code, details = await client.end()
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "connect again" in details
    code, _ = await house.client().end()
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_thousands_of_buckets_in_one_message(house: House) -> None:
    client = house.client()
    message = RateLimitQuotaUsageReports(domain="shop")
    for number in range(5_000):
        usage = message.bucket_quota_usages.add(num_requests_denied=1)
        usage.bucket_id.bucket["user"] = f"user-{number}"
    await client.call.write(message)
    blocks = 0
    while blocks < 5_000:
        response = await asyncio.wait_for(client.call.read(), timeout=20)
        blocks += sum(
            action.quota_assignment_action.rate_limit_strategy.HasField("token_bucket")
            for action in response.bucket_action
        )
    assert blocks == 5_000


async def test_while_redis_is_away_streams_stay_and_go_on_when_it_is_back() -> None:
    with start_valkey() as server:
        async with open_house(server.url, GrpcBackend.FASTLANE) as house:
            client = house.client()
            await client.report(denied=1, user="alice")
            assert await client.given() == 50
            server.kill()
            await wait_until(lambda: not house.door.ready, description="Redis is missed")
            await client.report(denied=1, user="bob")
            await wait_until(lambda: house.quotas.counts.store_failures, description="it failed")
            server.start()
            await wait_until(lambda: house.door.ready, description="Redis is back")
            await client.report(denied=1, user="bob")
            assert await client.given() == 50, "and it is the answer to this report, on this stream"


async def test_metrics_tell_who_takes_part(house: House) -> None:
    metrics = Metrics(this_build("ratelimit"))
    rlqs.observe(metrics, house.quotas)
    client = house.client()
    await client.report(denied=1, user="alice")
    await client.given()
    numbers = metrics.numbers()
    assert numbers["sluice_ratelimit_quota_streams"] == 1
    assert numbers["sluice_ratelimit_quota_buckets"] == 1
    assert numbers["sluice_ratelimit_quota_blocks_total"] == 1
    assert numbers["sluice_ratelimit_quota_tokens_granted_total"] == 50
