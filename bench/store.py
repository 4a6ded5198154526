"""The store alone: what batching buys, without a transport in front of it.

A number of callers each charge one bucket after another, all in flight at once, through the
batcher (one script call a turn) and through redis-py (one call a request). This process's own
CPU time is the client's cost.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis
import uvloop

from bench.unbatched import UnbatchedBuckets
from chassis.redis import RedisDoor, RedisSettings
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.storage.redis import RedisBuckets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.service import BucketStore

CALLERS = 256
CLIENTS = 10_000  # distinct buckets, so that no batch is all one key
BUCKET = Bucket.of(Limit(requests_per_unit=100, unit=Unit.MINUTE))


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreFigures:
    """Cost of one decision in the store; `per_call` decisions shared a script call."""

    name: str
    per_second: float
    client_us: float
    redis_us: float
    per_call: float


def measure(port: int, *, takes: int) -> list[StoreFigures]:
    """Charge `takes` buckets on the Redis at 127.0.0.1:`port`, batched and one by one."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_both(port, takes))


async def _both(port: int, takes: int) -> list[StoreFigures]:
    door = RedisDoor(RedisSettings(url=f"redis://127.0.0.1:{port}"), name="bench")
    await door.open()
    while not door.ready:  # noqa: ASYNC110  a bench may poll
        await asyncio.sleep(0.01)
    batched = RedisBuckets(door, command_timeout_seconds=5.0)
    single = UnbatchedBuckets(port)
    with redis.Redis(port=port) as watch:
        found = [
            await _measure("batched", batched, watch, takes),
            await _measure("redis-py", single, watch, takes // 4),
        ]
    await batched.close()
    await door.close()
    await single.close()
    return found


async def _measure(name: str, store: BucketStore, watch: redis.Redis, takes: int) -> StoreFigures:
    await _charge(store, takes // 10)  # warm up
    scripts, redis_us = _server(watch)
    started, cpu = time.perf_counter(), time.process_time()
    await _charge(store, takes)
    cpu, seconds = time.process_time() - cpu, time.perf_counter() - started
    scripts_after, redis_us_after = _server(watch)
    return StoreFigures(
        name=name,
        per_second=takes / seconds,
        client_us=cpu / takes * 1e6,
        redis_us=(redis_us_after - redis_us) / takes,
        per_call=takes / (scripts_after - scripts),
    )


async def _charge(store: BucketStore, takes: int) -> None:
    """Have CALLERS charges in flight until `takes` are done."""
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left, numbers = takes, iter(range(takes))

    def begin() -> None:
        number = next(numbers, None)
        if number is not None:
            key = b"rate_limit:{%032x}:minute" % (number % CLIENTS)
            store.take((Charge(key, BUCKET, BUCKET.cost(1)),), None, done)

    def done(_met: Sequence[int], error: BaseException | None) -> None:
        nonlocal left
        left -= 1
        if error is not None and not finished.done():
            finished.set_exception(error)
        elif not left:
            finished.set_result(None)
        begin()

    for _ in range(CALLERS):
        begin()
    await finished


def _server(watch: redis.Redis) -> tuple[int, float]:
    """Return how many scripts Redis has run, and its CPU time in microseconds."""
    cpu = watch.info("cpu")
    return script_calls(watch), (cpu["used_cpu_user"] + cpu["used_cpu_sys"]) * 1e6


def script_calls(client: redis.Redis) -> int:
    """Return how many scripts the server has run."""
    stats = client.info("commandstats")
    return sum(
        stats[name]["calls"] for name in ("cmdstat_evalsha", "cmdstat_eval") if name in stats
    )
