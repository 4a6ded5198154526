"""The scripts take and grant against their Python twins: random histories on a real server."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import redis

from ratelimit_service.core.bucket import Bucket, Cell
from ratelimit_service.core.charge import EXACT, Charge, Mode
from ratelimit_service.core.grant import grant
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.take import take
from ratelimit_service.core.window import Window
from tests.differential.lua_meters import SECOND, START, LuaMeters, lives_us, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ratelimit_service.core.charge import Meter
    from ratelimit_service.core.take import Cells
    from tests.servers import Server

DAY = 86_400 * SECOND
KEYS = 6


@pytest.fixture
def lua(valkey: Server) -> Iterator[LuaMeters]:
    with redis.Redis(port=valkey.port) as client:
        yield LuaMeters(client)


def random_limit(dice: random.Random) -> Limit:
    return Limit(
        requests_per_unit=dice.choice([1, 2, 3, 7, 100, 1000, 4_294_967_291, 2**32 - 1]),
        unit=dice.choice(list(Unit)),
        unit_multiplier=dice.choice([1, 1, 1, 3, 10]),
        burst=dice.choice([None, None, 1, 5, 10_000, 2**32 - 1]),
    )


class History:
    """A few meters, their limits now and then changed, and a clock that jumps both ways."""

    def __init__(self, seed: int, modes: Sequence[Mode], *, windows: bool) -> None:
        self.dice = random.Random(seed)  # noqa: S311  a reproducible history, not a secret
        self.modes = modes
        self.now = START
        self.told: list[int] = []
        self.kinds = [self.dice.choice("bbsfc" if windows else "b") for _ in range(KEYS)]
        self.limits = [random_limit(self.dice) for _ in range(KEYS)]

    def meter(self, number: int) -> Meter:
        """Return the meter of a key; a change of its limit leaves period and algorithm as they were."""
        limit = self.limits[number]
        if self.kinds[number] == "b":
            return Bucket.of(limit)
        if self.kinds[number] == "s":
            return Window.sliding(limit)
        if self.kinds[number] == "f":
            return Window.fixed(limit)
        today = START // DAY * 86_400 + self.dice.choice([0, 3600])
        return Window.calendar(limit, [today + 86_400 * days for days in (-1, 0, 1, 2)])

    def charge(self) -> Charge:
        dice = self.dice
        number = dice.randrange(KEYS)
        if dice.random() < 0.03:
            limit = random_limit(dice)
            old = self.limits[number]
            self.limits[number] = Limit(
                requests_per_unit=limit.requests_per_unit,
                unit=old.unit,
                unit_multiplier=old.unit_multiplier,
                burst=limit.burst,
            )
        meter, capacity = self.meter(number), self.limits[number].capacity
        hits = dice.choice(
            [0, 1, 1, 1, 2, capacity // 2, capacity, capacity + 1, 2**64 - 1, -1, -capacity]
        )
        return Charge(b"meter:%d" % number, meter, meter.cost(hits), dice.choice(self.modes))

    def requests(self) -> list[list[Charge]]:
        dice = self.dice
        return [
            [self.charge() for _ in range(dice.choice([1, 1, 1, 2, 4]))]
            for _ in range(dice.choice([1, 2, 8]))
        ]

    def jump(self) -> int:
        dice = self.dice
        spans = [0, 1, 999, 10**6, 10**8, 10**11, dice.randrange(10**9), -(10**6), -(10**10)]
        # What was answered as a wait, or a bucket's debt, leads to the very moment it is over.
        spans += [span for span in self.told if 0 < span < 10**13]
        # And a slot on or back, from one that has hits into its neighbour.
        meter = self.meter(dice.randrange(KEYS))
        if isinstance(meter, Window) and meter.slot_us < 10**13:
            spans += [meter.slot_us, -meter.slot_us] * 3
        self.now += dice.choice(spans)
        return self.now


def assert_same(lua: LuaMeters, cells: Cells, history: History, before: dict[bytes, Any]) -> None:
    for number in range(KEYS):
        key = b"meter:%d" % number
        cell, meter = cells.get(key), history.meter(number)
        assert lua.client.get(key) == text(cell, meter)
        if cell is not None and cell != before.get(key) and isinstance(meter, Window):
            ttl = lives_us(cell, meter, history.now) // 1000 - lua.ttl_ms(key.decode())
            assert -2 <= ttl < 2000, "it expires when nothing counts, counted from now"


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("modes", "windows"),
    [
        ([Mode.ENFORCED], False),
        ([Mode.ENFORCED], True),
        ([Mode.ENFORCED, Mode.POSTPAID, Mode.QUOTA, Mode.SHADOW], True),
        ([Mode.COUNTED], True),
        (list(Mode), True),
    ],
    ids=["plain", "enforced", "modes", "reference", "all"],
)
def test_random_histories_agree(
    lua: LuaMeters, modes: list[Mode], windows: bool, seed: int
) -> None:
    history = History(seed, modes, windows=windows)
    cells: Cells = {}
    for _ in range(40):
        now = history.jump()
        before = dict(cells)
        if history.dice.random() < 0.15:
            grants = [
                Charge(charge.key, charge.meter, -abs(charge.cost))
                for charge in history.requests()[0]
            ]
            expire = history.dice.choice([1, 10**6, 10**9, 10**13])
            assert lua.grant(grants, expire, now) == grant(cells, grants, expire, now)
        else:
            requests = history.requests()
            history.told = take(cells, requests, now)
            assert lua.take(requests, now) == history.told
        assert_same(lua, cells, history, before)


METERS: dict[str, Meter] = {
    "bucket": Bucket.of(Limit(requests_per_unit=2, unit=Unit.HOUR)),
    "fixed": Window.fixed(Limit(requests_per_unit=2, unit=Unit.HOUR)),
    "sliding": Window.sliding(Limit(requests_per_unit=2, unit=Unit.HOUR)),
}
ANY_METER = pytest.mark.parametrize("meter", METERS.values(), ids=METERS)


@ANY_METER
def test_a_refused_request_writes_nothing(lua: LuaMeters, meter: Meter) -> None:
    lua.take([[Charge(b"a", meter, meter.cost(1)), Charge(b"b", meter, meter.cost(3))]], START)
    assert not lua.client.exists("a", "b")


@ANY_METER
def test_looking_and_giving_back_write_nothing_where_nothing_is(
    lua: LuaMeters, meter: Meter
) -> None:
    for cost in (0, -meter.full):
        lua.take([[Charge(b"a", meter, cost)]], START)
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
    lua: LuaMeters, limit: Limit, hits: int, milliseconds: int
) -> None:
    bucket = Bucket.of(limit)
    lua.take([[Charge(b"a", bucket, bucket.cost(hits))]], START)
    assert milliseconds - 1000 < lua.ttl_ms("a") <= milliseconds + 1


def test_the_longest_refill_there_is_has_a_ttl(lua: LuaMeters) -> None:
    limit = Limit(requests_per_unit=1, unit=Unit.YEAR, unit_multiplier=10, burst=2**32 - 1)
    bucket = Bucket.of(limit)
    lua.take([[Charge(b"a", bucket, bucket.full)]], START)
    years = lua.ttl_ms("a") / 1000 / Unit.YEAR.seconds
    assert 278 < years < 279


@ANY_METER
def test_a_key_in_credit_lives_until_the_credit_ends(lua: LuaMeters, meter: Meter) -> None:
    lua.grant([Charge(b"a", meter, meter.cost(-5))], 90 * SECOND, START)
    assert 89_000 < lua.ttl_ms("a") <= 90_001


@ANY_METER
@pytest.mark.parametrize("value", [b"not a meter", b"", b"\xff\x00 1", b"-", b"1 2 3 4 x"])
def test_a_value_that_is_not_ours_counts_as_an_untouched_meter(
    lua: LuaMeters, meter: Meter, value: bytes
) -> None:
    lua.client.set("a", value, px=60_000)
    assert lua.take([[Charge(b"a", meter, meter.cost(1))]], START)[0] == 0


def test_the_largest_numbers_are_read_back_exactly(lua: LuaMeters) -> None:
    bucket = Bucket.of(Limit(requests_per_unit=4_294_967_291, unit=Unit.SECOND))
    assert bucket.full > EXACT // 32
    lua.take([[Charge(b"a", bucket, bucket.full - 1)]], START)
    (met,) = lua.take([[Charge(b"a", bucket, 0)]], START + 1)
    assert met == bucket.settled(Cell(bucket.full - 1, START, bucket.full), START + 1).debt
