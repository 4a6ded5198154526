"""A replica with leases and many clients of one limit, as a process of its own.

    python -m tests.integration.ratelimit_service.leasing_clients REDIS_PORT REPLICAS CLIENTS SECONDS

Says `ready`, waits for a line on its standard input, asks as fast as it can for so long, gives back
what it holds, and says what came of it as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from chassis.clock import SystemClock
from chassis.redis import RedisDoor, RedisSettings
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge, is_short
from ratelimit_service.core.lease import Held
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.rule import Lease
from ratelimit_service.storage.leases import LeasedBuckets
from ratelimit_service.storage.redis import RedisBuckets
from tests.taking import take
from tests.waiting import wait_until

if TYPE_CHECKING:
    from ratelimit_service.service import BucketStore

LIMIT = Limit(requests_per_unit=3_000, unit=Unit.SECOND, burst=30_000)
LEASE = Lease(max_share=0.25, max_ms=100)
CHARGE = Charge(b"hot", Bucket.of(LIMIT), Bucket.of(LIMIT).cost(1), lease=LEASE)


async def client(store: BucketStore, until: float, said: dict[str, int]) -> None:
    """Ask again and again, and count the answers."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        met = await take(store, [CHARGE])
        said["refused" if is_short(CHARGE, met[0]) else "admitted"] += 1
        said["held"] += isinstance(met, Held)
        await asyncio.sleep(0)  # an answer from a block leaves the loop to nobody else


async def main(port: int, replicas: int, clients: int, seconds: float) -> None:
    """Be one replica."""
    door = RedisDoor(RedisSettings(url=f"redis://127.0.0.1:{port}"), name="test")
    await door.open()
    await wait_until(lambda: door.ready, description="Redis answers")
    buckets = RedisBuckets(door, command_timeout_seconds=5.0)
    loop = asyncio.get_running_loop()
    store = LeasedBuckets(
        buckets, SystemClock(), replicas=lambda: replicas, call_later=loop.call_later
    )
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    said = {"admitted": 0, "refused": 0, "held": 0}
    until = loop.time() + seconds
    await asyncio.gather(*(client(store, until, said) for _ in range(clients)))
    store.close()
    await buckets.close()
    await door.close()
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
