"""Requests over several servers, some of which hang or die meanwhile: in the end all or nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from chassis.errors import Unavailable
from chassis.redis import RedisDoor, RedisSettings, RedisType
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.storage.per_second import PerSecondApart
from ratelimit_service.storage.redis import RedisBuckets
from tests.clusters import Cluster, start_cluster
from tests.servers import Server, start_valkey
from tests.taking import take
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ratelimit_service.service import BucketStore

COMMAND_SECONDS = 0.6
# Nothing to speak of flows back during a test.
BUCKET = Bucket.of(Limit(requests_per_unit=1, unit=Unit.DAY, burst=10))


def charge(key: bytes, hits: int = 1, *, per_second: bool = False) -> Charge:
    return Charge(key, BUCKET, BUCKET.cost(hits), per_second=per_second)


def fits(met: Sequence[int], hits: int = 1) -> bool:
    return all(debt + BUCKET.cost(hits) <= BUCKET.full for debt in met)


@contextlib.asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[RedisBuckets]:
    door = RedisDoor(RedisSettings(command_timeout_seconds=COMMAND_SECONDS, **settings))
    await door.open()
    await wait_until(lambda: door.detail == "ok", timeout=10)
    store = RedisBuckets(door, command_timeout_seconds=COMMAND_SECONDS)
    yield store
    await store.close()
    await door.close()


async def used(store: BucketStore, key: bytes, *, per_second: bool = False) -> float:
    """Return the hits used; what the time of a test lets flow back is not counted."""
    (debt,) = await take(store, [charge(key, 0, per_second=per_second)], None)
    return round(debt / BUCKET.parts, 2)


async def comes_to(
    store: BucketStore, key: bytes, hits: float, *, per_second: bool = False
) -> None:
    async def is_so() -> bool:
        with contextlib.suppress(Unavailable):
            return await used(store, key, per_second=per_second) == hits
        return False

    await wait_until(is_so, timeout=5, description=f"{hits} of {key!r} are used")


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with start_cluster() as made:
        yield made


@pytest.fixture
async def store(cluster: Cluster) -> AsyncIterator[RedisBuckets]:
    async with opened(url=cluster.url, type=RedisType.CLUSTER) as made:
        yield made


def key_on(cluster: Cluster, number: int) -> bytes:
    """Return a key of the cluster's node of this number."""
    door = RedisDoor(RedisSettings(url=cluster.url, type=RedisType.CLUSTER))
    keys = (b"rate_limit:{%d}:day" % n for n in range(1000))
    return next(key for key in keys if cluster.owner(door.slot_of(key)) is cluster.nodes[number])


@pytest.fixture
def keys(cluster: Cluster) -> list[bytes]:
    """Return a key on each node."""
    return [key_on(cluster, number) for number in range(3)]


async def test_over_three_nodes_a_request_is_charged_wholly_or_in_the_end_not_at_all(
    store: RedisBuckets, keys: list[bytes]
) -> None:
    a, b, c = keys
    assert await take(store, [charge(a, 2), charge(b, 3), charge(c, 9)]) == [0, 0, 0]
    met = await take(store, [charge(c, 2), charge(a, 2), charge(b, 2)])
    assert [round(debt / BUCKET.parts, 2) for debt in met] == [9, 2, 3], "as the request has them"
    for key, hits in ((a, 2), (b, 3), (c, 9)):
        await comes_to(store, key, hits)
    assert (store.counts.taken_back, store.counts.refunds_lost) == (2, 0)


async def test_many_at_once_over_two_nodes_never_get_more_than_there_is_and_leave_no_debt(
    store: RedisBuckets, keys: list[bytes]
) -> None:
    a, b, _ = keys
    passed = 0

    async def client(first: bytes, second: bytes) -> None:
        nonlocal passed
        for _ in range(20):
            met = await take(store, [charge(first), charge(second)])
            passed += fits(met)

    await asyncio.gather(*(client(a, b) for _ in range(20)), *(client(b, a) for _ in range(20)))
    assert 0 < passed <= 10
    for key in (a, b):
        await comes_to(store, key, passed)


@pytest.mark.parametrize("how", ["hangs", "dies"])
async def test_where_one_node_does_not_answer_the_others_have_their_tokens_back(
    cluster: Cluster, store: RedisBuckets, keys: list[bytes], how: str
) -> None:
    a, b, c = keys
    node = cluster.nodes[2]
    if how == "hangs":
        node.stop()
    else:
        node.kill()
    started = time.monotonic()
    with pytest.raises(Unavailable):
        await take(store, [charge(a), charge(b, 4), charge(c)], 0.3)
    assert time.monotonic() - started < 0.4
    await comes_to(store, a, 0)
    await comes_to(store, b, 0)
    assert store.counts.taken_back == 2


async def test_a_refund_that_meets_a_hung_node_is_counted_and_given_up(
    cluster: Cluster, store: RedisBuckets, keys: list[bytes]
) -> None:
    a, b, _ = keys
    await take(store, [charge(b, 10)])
    slow, lost = cluster.nodes[1], cluster.nodes[0]
    slow.stop()
    asked = take(store, [charge(a, 3), charge(b, 1)])
    await comes_to(store, a, 3)
    lost.stop()
    slow.cont()
    assert not fits(await asked)
    await wait_until(lambda: store.counts.refunds_lost == 1, timeout=3)
    await store.close()  # nothing of it is still being tried
    lost.cont()
    assert store.counts.taken_back == 1
    # Whether it ran is unknown: this server had it in its socket and went on.
    await wait_until(lambda: _settled(store, a), timeout=5)


async def _settled(store: BucketStore, key: bytes) -> bool:
    with contextlib.suppress(Unavailable):
        return await used(store, key) in (0, 3)
    return False


@contextlib.asynccontextmanager
async def apart() -> AsyncIterator[tuple[PerSecondApart, Server, Server]]:
    """Run two servers, the second for limits per second."""
    with start_valkey() as first, start_valkey() as second:
        async with opened(url=first.url) as others, opened(url=second.url) as per_second:
            yield PerSecondApart(others, per_second), first, second


async def test_limits_per_second_are_in_the_second_redis_alone() -> None:
    async with apart() as (store, first, second):
        await take(store, [charge(b"s", 2, per_second=True), charge(b"d", 3)])
        await take(store, [charge(b"s", 9, per_second=True), charge(b"d", 3)])
        await comes_to(store, b"s", 2, per_second=True)
        await comes_to(store, b"d", 3)
        async with opened(url=first.url) as one, opened(url=second.url) as two:
            assert (await used(one, b"d"), await used(one, b"s")) == (3, 0)
            assert (await used(two, b"d"), await used(two, b"s")) == (0, 2)


@pytest.mark.parametrize("how", ["hangs", "dies"])
async def test_without_the_second_redis_other_limits_hold_and_lose_no_tokens(how: str) -> None:
    async with apart() as (store, _, second):
        await take(store, [charge(b"d", 3)])
        if how == "hangs":
            second.stop()
        else:
            second.kill()
        with pytest.raises(Unavailable):
            await take(store, [charge(b"d", 3), charge(b"s", per_second=True)], 0.3)
        await comes_to(store, b"d", 3)
        assert await used(store, b"d") == 3, "served as ever"
        with pytest.raises(Unavailable):
            await take(store, [charge(b"s", per_second=True)], 0.3)
        if how == "hangs":
            second.cont()
        else:
            second.start()
        await comes_to(store, b"d", 3)
        await wait_until(lambda: _passes(store), timeout=5, description="it is found again")


async def _passes(store: BucketStore) -> bool:
    with contextlib.suppress(Unavailable):
        return fits(await take(store, [charge(b"d"), charge(b"t", per_second=True)], 0.3))
    return False
