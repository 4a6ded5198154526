"""What every BucketStore and its Ledger promise, on each implementation."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from chassis.clock import SystemClock
from chassis.redis import RedisDoor, RedisSettings
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge, Mode, answers, is_short
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.window import Window
from ratelimit_service.storage.ledger import RedisLedger
from ratelimit_service.storage.memory import MemoryBuckets
from ratelimit_service.storage.redis import RedisBuckets
from tests.taking import take
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ratelimit_service.core.charge import Meter
    from ratelimit_service.service import BucketStore
    from ratelimit_service.service.ports import Ledger
    from tests.servers import Server

# A year a token, or ten a window (the next begins in 2029): no refill disturbs a test.
METERS: dict[str, Meter] = {
    "bucket": Bucket.of(Limit(requests_per_unit=1, unit=Unit.YEAR, burst=10)),
    "fixed": Window.fixed(Limit(requests_per_unit=10, unit=Unit.YEAR, unit_multiplier=10)),
    "sliding": Window.sliding(Limit(requests_per_unit=10, unit=Unit.YEAR)),
}
HOUR_US = 3600 * 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """A store, its ledger, and the kind of meter they are tried with."""

    takes: BucketStore
    ledger: Ledger
    meter: Meter

    def charge(self, key: bytes, hits: int = 1, mode: Mode = Mode.ENFORCED) -> Charge:
        return Charge(b"rate_limit:{%s}:year" % key, self.meter, self.meter.cost(hits), mode)

    async def take(self, *charges: Charge) -> list[int]:
        """Charge; return what was left when each charge came."""
        met = answers(charges, await take(self.takes, charges, 5.0))
        return [(self.meter.full - answer[0]) // self.meter.parts for answer in met]

    async def left(self, key: bytes) -> int:
        return (await self.take(self.charge(key, 0)))[0]


@pytest.fixture(params=METERS)
def meter(request: pytest.FixtureRequest) -> Meter:
    return METERS[str(request.param)]


@pytest.fixture(params=["memory", "redis"])
async def store(
    request: pytest.FixtureRequest, meter: Meter, valkey: Server
) -> AsyncIterator[Store]:
    if request.param == "memory":
        memory = MemoryBuckets(SystemClock())
        yield Store(takes=memory, ledger=memory, meter=meter)
        return
    door = RedisDoor(RedisSettings(url=valkey.url), name="test")
    await door.open()
    await wait_until(lambda: door.ready, description="Redis answers")
    buckets = RedisBuckets(door, command_timeout_seconds=1.0)
    yield Store(takes=buckets, ledger=RedisLedger(door), meter=meter)
    await buckets.close()
    await door.close()


async def test_a_charge_meets_what_those_before_it_left(store: Store) -> None:
    assert [await store.take(store.charge(b"k", 3)) for _ in range(3)] == [[10], [7], [4]]


async def test_a_request_is_charged_wholly_or_not_at_all(store: Store) -> None:
    await store.take(store.charge(b"b", 9))
    left = await store.take(store.charge(b"a", 2), store.charge(b"b", 2))
    assert left == [10, 1], "the second does not fit"
    assert await store.left(b"a") == 10, "so the first was not charged"


async def test_looking_and_giving_back(store: Store) -> None:
    await store.take(store.charge(b"k", 4))
    await store.take(store.charge(b"k", 0))
    await store.take(store.charge(b"k", -3))
    assert await store.left(b"k") == 9
    await store.take(store.charge(b"k", -10))
    assert await store.left(b"k") == 10


async def test_shadow_quota_and_postpaid_are_charged_beyond_what_fits(store: Store) -> None:
    for mode, left in ((Mode.SHADOW, 0), (Mode.QUOTA, -5), (Mode.POSTPAID, -5)):
        key = mode.name.encode()
        await store.take(store.charge(key, 8, mode))
        await store.take(store.charge(key, 7, mode))
        assert await store.left(key) == left, mode
    await store.take(store.charge(b"POSTPAID", 1_000, Mode.POSTPAID))
    assert await store.left(b"POSTPAID") == -10, "never below minus one capacity"


async def test_a_refusal_stops_all_but_shadow(store: Store) -> None:
    modes = (Mode.SHADOW, Mode.QUOTA, Mode.POSTPAID)
    refused = [store.charge(mode.name.encode(), 1, mode) for mode in modes]
    await store.take(*refused, store.charge(b"k", 11))
    assert [await store.left(mode.name.encode()) for mode in modes] == [9, 10, 10]


async def test_a_grant_pays_what_was_used_and_lifts_beyond_the_capacity(store: Store) -> None:
    await store.take(store.charge(b"k", 4))
    await store.ledger.grant([store.charge(b"k", -3)], HOUR_US)
    assert await store.left(b"k") == 9
    await store.ledger.grant([store.charge(b"k", -6)], HOUR_US)
    assert await store.left(b"k") == 15
    await store.take(store.charge(b"k", 7))
    assert await store.left(b"k") == 8


async def test_what_is_forgotten_is_as_if_it_had_never_been_charged(store: Store) -> None:
    await store.take(store.charge(b"k", 10))
    await store.ledger.forget([store.charge(b"k"), store.charge(b"nobody")])
    assert await store.left(b"k") == 10


async def test_concurrent_requests_get_exactly_what_there_is(store: Store) -> None:
    charge = store.charge(b"k")

    async def fits() -> bool:
        return not is_short(charge, (await take(store.takes, [charge], 5.0))[0])

    passed = await asyncio.gather(*(fits() for _ in range(300)))
    assert sum(passed) == 10
