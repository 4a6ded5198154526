"""What every BucketStore promises, on each implementation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from chassis.clock import SystemClock
from chassis.redis import RedisDoor, RedisSettings
from ratelimit_service.core.bucket import Bucket, Charge
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.storage.memory import MemoryBuckets
from ratelimit_service.storage.redis import RedisBuckets
from tests.taking import take
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ratelimit_service.service import BucketStore
    from tests.servers import Server

# An hour a token: no refill disturbs a test.
BUCKET = Bucket.of(Limit(requests_per_unit=1, unit=Unit.HOUR, burst=10))


def charge(key: bytes, hits: int = 1) -> Charge:
    return Charge(b"rate_limit:{%s}:hour" % key, BUCKET, BUCKET.cost(hits))


def left(debt: int) -> int:
    return BUCKET.tokens(debt)


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest, valkey: Server) -> AsyncIterator[BucketStore]:
    if request.param == "memory":
        yield MemoryBuckets(SystemClock())
        return
    door = RedisDoor(RedisSettings(url=valkey.url), name="test")
    await door.open()
    await wait_until(lambda: door.ready, description="Redis answers")
    buckets = RedisBuckets(door, command_timeout_seconds=1.0)
    yield buckets
    await buckets.close()
    await door.close()


async def test_a_charge_meets_the_debt_before_it(store: BucketStore) -> None:
    assert [left((await take(store, [charge(b"k", 3)], None))[0]) for _ in range(3)] == [10, 7, 4]


async def test_a_request_is_charged_wholly_or_not_at_all(store: BucketStore) -> None:
    await take(store, [charge(b"b", 9)], None)
    met = await take(store, [charge(b"a", 2), charge(b"b", 2)], None)
    assert [left(debt) for debt in met] == [10, 1], "the second does not fit"
    met = await take(store, [charge(b"a", 0), charge(b"b", 0)], None)
    assert [left(debt) for debt in met] == [10, 1], "so the first was not charged"


async def test_looking_and_giving_back(store: BucketStore) -> None:
    await take(store, [charge(b"k", 4)], None)
    await take(store, [charge(b"k", 0)], None)
    await take(store, [charge(b"k", -3)], None)
    assert left((await take(store, [charge(b"k", 0)], None))[0]) == 9
    await take(store, [charge(b"k", -10)], None)
    assert left((await take(store, [charge(b"k", 0)], None))[0]) == 10


async def test_concurrent_requests_get_exactly_what_there_is(store: BucketStore) -> None:
    async def fits() -> bool:
        (debt,) = await take(store, [charge(b"k")], 5.0)
        return debt + BUCKET.cost(1) <= BUCKET.full

    passed = await asyncio.gather(*(fits() for _ in range(300)))
    assert sum(passed) == 10
