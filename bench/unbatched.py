"""The yardstick of bench/ratelimit.py: the same servicer on grpc.aio, one redis-py call a request.

python -m bench.unbatched GRPC_PORT REDIS_PORT RULES_DIRECTORY
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import uvloop
from redis.asyncio import BlockingConnectionPool, Redis

from chassis.clock import SystemClock
from ratelimit_service.service import Limiter
from ratelimit_service.service.books import Books
from ratelimit_service.storage import rules_file, take
from ratelimit_service.storage.local import LocalBuckets
from ratelimit_service.transport.servicer import RateLimitServicer, register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.charge import Charge
    from ratelimit_service.core.rule import RuleSet
    from ratelimit_service.service import Done


class UnbatchedBuckets:
    """A BucketStore that sends every request's charges at once, alone."""

    def __init__(self, port: int) -> None:
        # redis-py's default pool fails beyond 100 calls in flight; this one makes them wait.
        pool = BlockingConnectionPool(port=port, max_connections=100, timeout=None)
        self._client = Redis.from_pool(pool)
        self._take = self._client.register_script(take.SCRIPT.source)
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:  # noqa: ARG002
        """Charge, as BucketStore.take promises."""
        task = asyncio.get_running_loop().create_task(self._run(charges, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, charges: Sequence[Charge], done: Done) -> None:
        keys, args = take.pack([charges])
        done(await self._take(keys=keys, args=args), None)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class FixedRules:
    """A RuleSource that never changes."""

    def __init__(self, rules: RuleSet) -> None:
        self.current: RuleSet | None = rules


class NoWatch:
    """A StoreWatch that tells nobody."""

    def away(self, error: BaseException) -> None:
        """Say nothing."""

    def back(self, seconds: float, undecided: int) -> None:
        """Say nothing."""


async def serve(grpc_port: int, redis_port: int, rules: Path) -> None:
    """Serve until the process is ended."""
    clock = SystemClock()
    limiter = Limiter(
        FixedRules(rules_file.read([rules]).build()),
        UnbatchedBuckets(redis_port),
        Books(clock),
        clock,
        local=LocalBuckets(clock, lambda: 1),
        watch=NoWatch(),
    )
    server = grpc.aio.server()
    register(RateLimitServicer(limiter), server)
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
