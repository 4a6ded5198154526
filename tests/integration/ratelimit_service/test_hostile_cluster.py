"""All or nothing over the three nodes of a real Redis Cluster, under a crowd and with a node gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import grpc
import pytest
import redis

from tests.clusters import start_cluster
from tests.integration.ratelimit_service.limiter import running
from tests.waiting import wait_until
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.clusters import Cluster
    from tests.integration.ratelimit_service.limiter import Limiter

OK, OVER = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT
RULES = """\
domain: shop
descriptors:
  - key: client
    rate_limit: {unit: day, requests_per_unit: 100}
  - key: path
    limits:
      - {unit: day, requests_per_unit: 50}
      - {unit: week, requests_per_unit: 60, algorithm: sliding_window}
"""
CLIENTS = [f"c{index}" for index in range(12)]  # on every node some


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with start_cluster() as started:
        yield started


@pytest.fixture
async def limiter(tmp_path: Path, cluster: Cluster) -> AsyncIterator[Limiter]:
    kind = {"REDIS_TYPE": "CLUSTER", "REDIS_SOCKET_TYPE": "tcp"}
    with running(tmp_path, cluster.url, RULES, **kind) as started:
        await started.ready()
        yield started
        await started.channel.close()
    for node in cluster.nodes:
        with redis.Redis(port=node.port) as client, contextlib.suppress(redis.ConnectionError):
            assert not [key for key in client.scan_iter() if client.ttl(key) < 0]


async def left(limiter: Limiter, key: str, values: list[str]) -> list[int]:
    found = []
    for value in values:
        request = RateLimitRequest(domain="shop")
        descriptor = request.descriptors.add()
        descriptor.entries.add(key=key, value=value)
        descriptor.hits_addend.value = 0
        answer = await limiter.stub.ShouldRateLimit(request, timeout=5)
        found.append(int(answer.statuses[0].limit_remaining))
    return found


async def test_a_refused_request_is_taken_back_on_every_node(limiter: Limiter) -> None:
    await limiter.ask({"client": "spent"}, hits=100)
    for _ in range(20):
        answer = await limiter.ask({"client": "spent"}, *[{"client": one} for one in CLIENTS])
        assert answer.overall_code == OVER

    async def all_there() -> bool:
        return await left(limiter, "client", CLIENTS) == [100] * len(CLIENTS)

    await wait_until(all_there, timeout=5, description="what was reserved is given back")
    answer = await limiter.ask(*[{"client": one} for one in CLIENTS])
    assert answer.overall_code == OK
    assert await left(limiter, "client", CLIENTS) == [99] * len(CLIENTS)


async def test_a_crowd_never_gets_more_and_balances_say_what_it_got(limiter: Limiter) -> None:
    def ask(index: int) -> asyncio.Task[RateLimitResponse]:
        pair = ({"client": CLIENTS[index % 3]}, {"path": CLIENTS[(index + 1) % 3]})
        return asyncio.create_task(limiter.ask(*pair, hits=20))

    answers = await asyncio.gather(*[ask(index) for index in range(60)])
    passed = Counter(index % 3 for index, answer in enumerate(answers) if answer.overall_code == OK)
    assert all(passed[index] <= 2 for index in range(3)), "50 a day are two times 20"

    async def tallies() -> bool:
        clients = await left(limiter, "client", CLIENTS[:3])
        paths = await left(limiter, "path", CLIENTS[:3])
        return clients == [100 - 20 * passed[index] for index in range(3)] and paths == [
            50 - 20 * passed[(index - 1) % 3] for index in range(3)
        ]

    await wait_until(tallies, timeout=5, description="the balances tally with what passed")


async def test_with_a_node_gone_the_others_decide_and_nothing_of_a_failed_call_is_kept(
    limiter: Limiter, cluster: Cluster
) -> None:
    await limiter.ask(*[{"client": one} for one in CLIENTS])
    cluster.nodes[1].kill()
    failed = 0
    while failed < 5:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await limiter.ask(*[{"client": one} for one in CLIENTS], timeout=2)
            pytest.fail("it passed without a node")
        failed += 1
    codes: Counter[object] = Counter()
    kept = []
    for one in CLIENTS:
        try:
            kept += await left(limiter, "client", [one])
            codes["decided"] += 1
        except grpc.aio.AioRpcError as error:
            codes[error.code()] += 1
    assert set(codes) == {"decided", grpc.StatusCode.UNAVAILABLE}
    assert set(kept) == {99}, "of calls that failed something was kept"
    cluster.nodes[1].start()

    async def all_decide() -> bool:
        with contextlib.suppress(grpc.aio.AioRpcError):
            return len(await left(limiter, "client", CLIENTS)) == len(CLIENTS)
        return False

    await wait_until(all_decide, timeout=15, description="the node is used again")
