"""Many clients, several processes, one limit: as many pass as the limit says, not one more or less."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.integration.ratelimit_service.limiter import running
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from wire.envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceStub

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

PROCESSES, CLIENTS, CALLS = 4, 200, 8
LIMIT = 700
# Of a year: nothing flows back meanwhile, so that the number is exact.
RULES = f"""\
domain: shop
descriptors:
  - key: token_bucket
    rate_limit: {{unit: year, requests_per_unit: {LIMIT}}}
  - key: fixed_window
    algorithm: fixed_window
    rate_limit: {{unit: year, requests_per_unit: {LIMIT}}}
  - key: sliding_window
    algorithm: sliding_window
    rate_limit: {{unit: year, requests_per_unit: {LIMIT}}}
  - key: wide
    rate_limit: {{unit: year, requests_per_unit: {10 * LIMIT}}}
"""


def request(*keys: str) -> RateLimitRequest:
    asked = RateLimitRequest(domain="shop")
    for key in keys:
        asked.descriptors.add().entries.add(key=key, value="all")
    return asked


async def client(port: int, asked: RateLimitRequest) -> int:
    """Call over a connection of its own; return how many calls passed."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        stub = RateLimitServiceStub(channel)
        passed = 0
        for _ in range(CALLS):
            answer = await stub.ShouldRateLimit(asked, timeout=20.0, wait_for_ready=True)
            passed += answer.overall_code == RateLimitResponse.OK
        return passed


@pytest.mark.timeout(120)
async def test_200_clients_of_four_processes_are_admitted_exactly_to_the_limit(
    tmp_path: Path, valkey: Server
) -> None:
    ports = []
    with contextlib.ExitStack() as stack:
        services = []
        for number in range(PROCESSES):
            folder = tmp_path / str(number)
            folder.mkdir()
            services.append(stack.enter_context(running(folder, valkey.url, RULES)))
        for service in services:
            await service.ready()
            ports.append(service.grpc_port)
        races = {
            "token_bucket": request("token_bucket"),
            "fixed_window": request("fixed_window"),
            "sliding_window": request("sliding_window"),
            # All or nothing: the tight limit is used up already, the wide one is never touched.
            "refused": request("wide", "token_bucket"),
        }
        passed = {}
        for name, asked in races.items():
            clients = [client(ports[number % PROCESSES], asked) for number in range(CLIENTS)]
            passed[name] = sum(await asyncio.gather(*clients))
        left = await RateLimitServiceStub(services[0].channel).ShouldRateLimit(request("wide"))
        for service in services:
            await service.channel.close()
    assert passed == {
        "token_bucket": LIMIT,
        "fixed_window": LIMIT,
        "sliding_window": LIMIT,
        "refused": 0,
    }
    assert left.statuses[0].limit_remaining == 10 * LIMIT - 1
