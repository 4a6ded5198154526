"""What every Ledger promises, on each implementation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import redis

from chassis.clock import SystemClock
from chassis.errors import Unavailable
from chassis.redis import RedisDoor, RedisSettings
from chassis.redis_settings import RedisType
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge
from ratelimit_service.core.limit import Algorithm, Limit, Unit
from ratelimit_service.core.window import Window
from ratelimit_service.storage.ledger import RedisLedger
from ratelimit_service.storage.memory import MemoryBuckets
from ratelimit_service.storage.redis import RedisBuckets
from tests.clusters import start_cluster
from tests.servers import start_valkey
from tests.taking import take
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ratelimit_service.core.charge import Meter
    from ratelimit_service.service import BucketStore
    from ratelimit_service.service.ports import Ledger
    from tests.servers import Server

# A year a token: no refill disturbs a test.
LIMIT = Limit(requests_per_unit=1, unit=Unit.YEAR, burst=10)
METERS: list[Meter] = [
    Bucket.of(LIMIT),
    Window.fixed(Limit(requests_per_unit=10, unit=Unit.YEAR, unit_multiplier=1000)),
    Window.sliding(Limit(requests_per_unit=10, unit=Unit.YEAR, algorithm=Algorithm.SLIDING_WINDOW)),
]
IDS = ["bucket", "fixed window", "sliding window"]
HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Books:
    """A store and its ledger."""

    store: BucketStore
    ledger: Ledger

    async def left(self, meter: Meter, key: bytes = b"k") -> int:
        """Return the hits left, negative in debt and above ten in credit."""
        met = await take(self.store, [charge(meter, 0, key)])
        return (meter.full - met[0]) // meter.parts


def charge(meter: Meter, hits: int, key: bytes = b"k", *, per_second: bool = False) -> Charge:
    return Charge(b"rate_limit:{%s}:x" % key, meter, meter.cost(hits), per_second=per_second)


@pytest.fixture(params=["memory", "redis"])
async def books(request: pytest.FixtureRequest, valkey: Server) -> AsyncIterator[Books]:
    if request.param == "memory":
        memory = MemoryBuckets(SystemClock())
        yield Books(memory, memory)
        return
    door = RedisDoor(RedisSettings(url=valkey.url), name="test")
    await door.open()
    await wait_until(lambda: door.ready, description="Redis answers")
    store = RedisBuckets(door, command_timeout_seconds=1.0)
    yield Books(store, RedisLedger(door))
    await store.close()
    await door.close()


@pytest.fixture(params=METERS, ids=IDS)
def meter(request: pytest.FixtureRequest) -> Meter:
    found: Meter = request.param
    return found


async def test_what_is_forgotten_is_whole_again(books: Books, meter: Meter) -> None:
    await take(books.store, [charge(meter, 7), charge(meter, 3, b"other")])
    for _ in range(2):  # once is as good as twice
        await books.ledger.forget([charge(meter, 0)])
        assert await books.left(meter) == 10
    assert await books.left(meter, b"other") == 7


async def test_a_grant_pays_what_was_used_and_lifts_the_rest_above(
    books: Books, meter: Meter
) -> None:
    await take(books.store, [charge(meter, 7)])
    met = await books.ledger.grant([charge(meter, -4)], HOUR_US)
    assert len(met) == meter.width
    assert (meter.full - met[0]) // meter.parts == await books.left(meter) == 7
    await books.ledger.grant([charge(meter, -4)], HOUR_US)
    await books.ledger.grant([charge(meter, -4)], HOUR_US)
    assert await books.left(meter) == 15
    await take(books.store, [charge(meter, 9)])
    assert await books.left(meter) == 6, "a credit is spent like anything else"
    await books.ledger.grant([charge(meter, -6)], HOUR_US)
    await books.ledger.forget([charge(meter, 0)])
    assert await books.left(meter) == 10


async def test_a_credit_ends(books: Books, meter: Meter) -> None:
    await books.ledger.grant([charge(meter, -5)], 1)

    async def is_as_before() -> bool:
        return await books.left(meter) == 10

    await wait_until(is_as_before, description="the credit has ended")


async def test_several_grants_answer_in_order(books: Books) -> None:
    bucket, window, _ = METERS
    met = await books.ledger.grant([charge(window, -2, b"w"), charge(bucket, -3, b"b")], HOUR_US)
    assert len(met) == window.width + bucket.width
    assert met[0] == -2
    assert met[window.width] == bucket.cost(-3)


async def test_limits_per_second_are_kept_apart(valkey: Server) -> None:
    """Where they have a Redis of their own, changes go there."""
    bucket = METERS[0]
    with start_valkey() as second:
        doors = [RedisDoor(RedisSettings(url=one.url), name="test") for one in (valkey, second)]
        for door in doors:
            await door.open()
        await wait_until(lambda: all(door.ready for door in doors), description="both answer")
        ledger = RedisLedger(*doors)
        apart = charge(bucket, -3, b"apart", per_second=True)
        await ledger.grant([charge(bucket, -3), apart], HOUR_US)
        with redis.Redis(port=valkey.port) as first, redis.Redis(port=second.port) as other:
            assert list(first.scan_iter()) == [b"rate_limit:{k}:x"]
            assert list(other.scan_iter()) == [b"rate_limit:{apart}:x"]
            await ledger.forget([charge(bucket, 0), apart])
            assert first.dbsize() == other.dbsize() == 0
        for door in doors:
            await door.close()


async def test_in_a_cluster_each_key_is_changed_where_it_lives() -> None:
    bucket, keys = METERS[0], [b"one", b"two", b"three", b"four"]
    async with start_cluster() as cluster:
        door = RedisDoor(RedisSettings(url=cluster.url, type=RedisType.CLUSTER), name="test")
        await door.open()
        await wait_until(lambda: door.ready, description="the cluster answers")
        store, ledger = RedisBuckets(door, command_timeout_seconds=5.0), RedisLedger(door)
        books = Books(store, ledger)
        await ledger.grant([charge(bucket, -3, key) for key in keys], HOUR_US)
        assert [await books.left(bucket, key) for key in keys] == [13] * 4
        await ledger.forget([charge(bucket, 0, key) for key in keys[1:]])
        assert [await books.left(bucket, key) for key in keys] == [13, 10, 10, 10]
        await store.close()
        await door.close()


async def test_without_redis_both_say_so() -> None:
    with start_valkey() as server:
        door = RedisDoor(RedisSettings(url=server.url), name="test")
        await door.open()
        await wait_until(lambda: door.ready, description="Redis answers")
        ledger = RedisLedger(door)
        server.kill()
        with pytest.raises(Unavailable):
            await ledger.forget([charge(METERS[0], 0)])
        with pytest.raises(Unavailable):
            await ledger.grant([charge(METERS[0], -1)], HOUR_US)
        await door.close()
