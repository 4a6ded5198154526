"""Two real processes that share a limit while their Redis is away, and when it comes back."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

import pytest
import redis

from tests.integration.ratelimit_service.limiter import Limiter, running
from tests.servers import start_valkey
from tests.waiting import wait_until
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.servers import Server

OK = RateLimitResponse.OK
RULES = """\
domain: shop
descriptors:
  - key: own
    rate_limit: {unit: day, requests_per_unit: 80}
    on_store_failure: local
"""
REPLICAS = "rate_limit:{replicas}"


@contextlib.contextmanager
def two(folder: Path, server: Server) -> Iterator[tuple[Limiter, Limiter]]:
    """Run two services on one Redis."""
    with contextlib.ExitStack() as stack:
        pair = []
        for name in ("one", "other"):
            own = folder / name
            own.mkdir()
            pair.append(stack.enter_context(running(own, server.url, RULES)))
        yield pair[0], pair[1]


def counted(server: Server) -> dict[bytes, float]:
    """Return when each process said last that it lives, by the server's clock."""
    with redis.Redis(port=server.port) as client:
        found: list[tuple[bytes, float]] = client.zrange(REPLICAS, 0, -1, withscores=True)
        return dict(found)


async def know_each_other(server: Server, *limiters: Limiter) -> None:
    """Wait until both have counted two: each has said again that it lives after both had."""
    for limiter in limiters:
        await limiter.ready()
    await wait_until(lambda: len(counted(server)) == 2, description="both live")
    joined = max(counted(server).values())
    await wait_until(
        lambda: min(counted(server).values()) > joined, timeout=20, description="both have counted"
    )


async def passes(limiter: Limiter, who: str, *, calls: int) -> int:
    """Return how many of so many calls pass."""
    answers = await asyncio.gather(*(limiter.ask({"own": who}) for _ in range(calls)))
    return sum(answer.overall_code == OK for answer in answers)


def told(limiter: Limiter, what: str) -> int:
    return sum(what in line for line in limiter.said().splitlines())


async def see_it_gone(*limiters: Limiter) -> None:
    await wait_until(
        lambda: all(limiter.readyz()[0] == 503 for limiter in limiters),
        description="they see that Redis is away",
    )


@pytest.mark.timeout(120)
async def test_a_limit_is_shared_by_halves_from_where_it_stood(tmp_path: Path) -> None:
    with start_valkey() as server, two(tmp_path, server) as (one, other):
        await know_each_other(server, one, other)
        assert await passes(one, "a", calls=20) == 20  # leaves 60 of 80
        assert await passes(other, "a", calls=20) == 20  # leaves 40
        server.kill()
        await see_it_gone(one, other)
        # Half of the limit each, as full as it was when this process heard of it last; who was
        # never heard of has a whole half.
        found = await asyncio.gather(
            passes(one, "a", calls=60),
            passes(other, "a", calls=60),
            passes(one, "new", calls=60),
            passes(other, "new", calls=60),
        )
        assert list(found) == [30, 20, 40, 40]
        for limiter in (one, other):
            assert told(limiter, "redis is away; each rule's on_store_failure decides") == 1
            assert told(limiter, "redis decides again") == 0
        server.start()
        for limiter in (one, other):
            await limiter.ready()
        assert await passes(one, "a", calls=50) + await passes(other, "a", calls=50) == 80
        for limiter in (one, other):
            assert told(limiter, "redis decides again") == 1
            assert "Traceback" not in limiter.said()
            await limiter.channel.close()


class Crowd:
    """Callers of several services, each of whom asks again as soon as it is answered."""

    def __init__(self, limiters: Sequence[Limiter], *, callers: int) -> None:
        self.asked = 0
        self._left = False
        self._tasks = [
            asyncio.create_task(self._ask(limiter, number))
            for limiter in limiters
            for number in range(callers)
        ]

    async def _ask(self, limiter: Limiter, number: int) -> None:
        while not self._left:
            await limiter.ask({"own": f"caller-{number}"})
            self.asked += 1

    async def busy(self) -> None:
        await wait_until(lambda: self.asked > 500, description="they are busy")

    async def leave(self) -> None:
        self._left = True
        await asyncio.gather(*self._tasks)


@pytest.mark.timeout(120)
async def test_when_redis_comes_back_it_is_not_run_over(tmp_path: Path) -> None:
    with start_valkey() as server, two(tmp_path, server) as pair:

        async def redis_decided_again(times: int) -> None:
            await wait_until(
                lambda: all(told(limiter, "redis decides again") == times for limiter in pair),
                description="Redis decides again",
            )

        await know_each_other(server, *pair)
        for absence in (1, 2):
            server.kill()
            await see_it_gone(*pair)
            crowd = Crowd(pair, callers=50)
            await crowd.busy()
            server.start()
            await redis_decided_again(absence)
            with redis.Redis(port=server.port) as client:
                received = client.info("stats")["total_connections_received"]
            await crowd.leave()
            # A few connections of each process and one of this test, none for each caller.
            assert received <= 12
        for limiter in pair:
            assert told(limiter, "redis is away; each") == 2
            assert told(limiter, "redis decides again") == 2
            await limiter.channel.close()


@pytest.mark.timeout(120)
async def test_processes_are_counted_and_forgotten(tmp_path: Path) -> None:
    with start_valkey() as server, two(tmp_path, server) as (one, other):
        await know_each_other(server, one, other)
        one.stop()
        assert await one.ended() == 0
        assert len(counted(server)) == 1, "who leaves says so"
        other.stop(signal.SIGKILL)
        await other.ended()
        assert len(counted(server)) == 1, "who is killed does not"
        with redis.Redis(port=server.port) as client:
            assert 0 < client.ttl(REPLICAS) <= 15
        await one.channel.close()
        await other.channel.close()
