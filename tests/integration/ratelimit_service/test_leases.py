"""Leases on a real Valkey: many clients of one limit in several processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.keys import CounterKeys
from ratelimit_service.core.limit import Limit, Unit
from tests.integration.ratelimit_service.leasing_clients import LIMIT
from tests.integration.ratelimit_service.limiter import running

if TYPE_CHECKING:
    from tests.servers import Server

RULES = """\
domain: shop
descriptors:
  - key: hot
    rate_limit: {unit: day, requests_per_unit: 10000}
    lease: {max_share: 0.5, max_ms: 60000}
"""
DAILY = Limit(requests_per_unit=10_000, unit=Unit.DAY)
ROOT = Path(__file__).parents[3]
PROCESSES, CLIENTS, SECONDS = 4, 50, 4.0


def test_two_hundred_clients_of_four_processes_get_what_the_limit_says(valkey: Server) -> None:
    words = [str(valkey.port), str(PROCESSES), str(CLIENTS), str(SECONDS)]
    command = [sys.executable, "-m", "tests.integration.ratelimit_service.leasing_clients", *words]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(PROCESSES)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        started = time.monotonic()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [json.loads(process.communicate(timeout=40)[0]) for process in processes]
        took = time.monotonic() - started
    admitted, held = (sum(one[what] for one in said) for what in ("admitted", "held"))
    assert admitted <= LIMIT.capacity + LIMIT.requests_per_unit * took
    # Nobody was refused for what others held, once they had given it back.
    assert admitted >= (LIMIT.capacity + LIMIT.requests_per_unit * SECONDS) * 0.9
    assert held > admitted / 4, "and many answers were leased"


def used(server: Server) -> float:
    """Return the tokens that the bucket of the hot key lacks."""
    key = CounterKeys("", "shop", DAILY).of((("hot", "x"),))
    with redis.Redis(port=server.port) as client:
        stored = client.get(key)
    assert isinstance(stored, bytes)
    return int(stored.split()[0]) / Bucket.of(DAILY).parts


async def test_a_service_leases_and_gives_back_when_it_stops(
    tmp_path: Path, valkey: Server
) -> None:
    with running(tmp_path, valkey.url, RULES) as limiter:
        await limiter.ready()
        for _ in range(20):
            await asyncio.gather(*(limiter.ask({"hot": "x"}) for _ in range(10)))
        answer = await limiter.ask({"hot": "x"})
        assert answer.statuses[0].limit_remaining in (10_000 - 201, 10_000 - 200)
        assert used(valkey) > 201, "what is in hand lacks as well"
        metrics = limiter.get("/metrics")[1]
        assert "sluice_ratelimit_lease_answered_total 0.0" not in metrics
        assert "sluice_ratelimit_lease_answered_total" in metrics
        limiter.stop()
        assert await limiter.ended() == 0
        assert 195 < used(valkey) <= 201, "all that was not used is there again"
        await limiter.channel.close()
