"""take.lua against core/bucket.py: random histories on a real server, equal to the last part.

The script reads the server's clock. Here that one line is replaced by a clock the test sets, so
that both sides see the same microsecond, and keys outlive the test, because the server expires
them by its own clock; everything else is the file that ships.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import redis

from ratelimit_service.core.bucket import EXACT, Bucket, Cell, Charge, refilled, take
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.storage.take import SCRIPT, pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

SOURCE = SCRIPT.source
CLOCK = "redis.call('TIME')"
TTL = "'PX', ttl)"
START = 1_795_561_835_147_696


class LuaBuckets:
    """The script on a real server, with the test's clock."""

    def __init__(self, client: redis.Redis) -> None:
        assert SOURCE.count(CLOCK) == SOURCE.count(TTL) == 1
        self.client = client
        by_the_tests_clock = SOURCE.replace(CLOCK, "redis.call('LRANGE', 'clock', 0, 1)")
        self._script = client.register_script(by_the_tests_clock.replace(TTL, "'PX', ttl + 60000)"))

    def take(self, requests: list[list[Charge]], now_us: int) -> list[int]:
        keys, args = pack(requests)
        with self.client.pipeline() as pipeline:
            pipeline.delete("clock")
            pipeline.rpush("clock", *divmod(now_us, 1_000_000))
            pipeline.pexpire("clock", 60_000)
            pipeline.execute()
        met: list[int] = self._script(keys=keys, args=args)
        return met


@pytest.fixture
def lua(valkey: Server) -> Iterator[LuaBuckets]:
    with redis.Redis(port=valkey.port) as client:
        yield LuaBuckets(client)


def random_limit(dice: random.Random) -> Limit:
    return Limit(
        requests_per_unit=dice.choice([1, 2, 3, 7, 100, 1000, 4_294_967_291, 2**32 - 1]),
        unit=dice.choice(list(Unit)),
        burst=dice.choice([None, None, 1, 5, 10_000, 2**32 - 1]),
    )


def random_request(dice: random.Random, limits: list[Limit]) -> list[Charge]:
    """One to four charges on few keys; now and then a key meets another limit than before."""
    request = []
    for _ in range(dice.choice([1, 1, 1, 2, 4])):
        number = dice.randrange(6)
        limit = limits[number if dice.random() < 0.95 else dice.randrange(6)]
        capacity = limit.capacity
        hits = dice.choice(
            [0, 1, 1, 1, 2, capacity // 2, capacity, capacity + 1, 2**64 - 1, -1, -capacity]
        )
        shape = Bucket.of(limit)
        request.append(Charge(b"bucket:%d" % number, shape, shape.cost(hits)))
    return request


@pytest.mark.parametrize("seed", range(20))
def test_random_histories_agree(lua: LuaBuckets, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311  a reproducible history, not a secret
    limits = [random_limit(dice) for _ in range(6)]
    cells: dict[bytes, Cell] = {}
    now = START
    for _ in range(60):
        now += dice.choice([0, 1, 999, 10**6, 10**8, 10**11, dice.randrange(10**9), -(10**6)])
        requests = [random_request(dice, limits) for _ in range(dice.choice([1, 2, 8]))]
        assert lua.take(requests, now) == take(cells, requests, now)
        for number in range(6):
            stored = lua.client.get(f"bucket:{number}")
            cell = cells.get(b"bucket:%d" % number)
            assert stored == (cell and b"%d %d %d" % (cell.debt, cell.stamp_us, cell.full))


def test_a_refused_request_writes_nothing(lua: LuaBuckets) -> None:
    bucket = Bucket.of(Limit(requests_per_unit=2, unit=Unit.HOUR))
    first, second = Charge(b"a", bucket, bucket.cost(1)), Charge(b"b", bucket, bucket.cost(3))
    assert lua.take([[first, second]], START) == [0, 0]
    assert not lua.client.exists("a", "b")


def test_looking_writes_nothing(lua: LuaBuckets) -> None:
    bucket = Bucket.of(Limit(requests_per_unit=2, unit=Unit.HOUR))
    assert lua.take([[Charge(b"a", bucket, 0)]], START) == [0]
    assert not lua.client.exists("a")


@pytest.mark.parametrize(
    ("limit", "hits", "milliseconds"),
    [
        (Limit(requests_per_unit=100, unit=Unit.MINUTE), 1, 600),
        (Limit(requests_per_unit=100, unit=Unit.MINUTE), 100, 60_000),
        (Limit(requests_per_unit=7, unit=Unit.SECOND), 1, 143),
        (Limit(requests_per_unit=1, unit=Unit.YEAR), 1, 365 * 86_400_000),
    ],
)
def test_a_key_lives_until_its_bucket_is_full(
    lua: LuaBuckets, limit: Limit, hits: int, milliseconds: int
) -> None:
    bucket = Bucket.of(limit)
    lua.take([[Charge(b"a", bucket, bucket.cost(hits))]], START)
    left = lua.client.pttl("a") - 60_000
    assert milliseconds - 1000 < left <= milliseconds + 1


def test_a_value_that_is_not_ours_counts_as_a_full_bucket(lua: LuaBuckets) -> None:
    bucket = Bucket.of(Limit(requests_per_unit=2, unit=Unit.HOUR))
    lua.client.set("a", "not a bucket", px=60_000)
    assert lua.take([[Charge(b"a", bucket, bucket.cost(1))]], START) == [0]


def test_the_largest_numbers_are_read_back_exactly(lua: LuaBuckets) -> None:
    bucket = Bucket.of(Limit(requests_per_unit=4_294_967_291, unit=Unit.SECOND))
    assert bucket.full > EXACT // 4
    charge = Charge(b"a", bucket, bucket.full - 1)
    lua.take([[charge]], START)
    later = START + 1
    (met,) = lua.take([[Charge(b"a", bucket, 0)]], later)
    assert met == refilled(Cell(bucket.full - 1, START, bucket.full), bucket, later).debt
