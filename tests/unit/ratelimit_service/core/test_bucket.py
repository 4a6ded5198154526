"""The token bucket: exact over any history, for any limit."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service.core.bucket import EXACT, Bucket, Cell, Charge, refilled, take
from ratelimit_service.core.limit import Limit, Unit

SECOND = 1_000_000
START = 1_795_561_835_147_696  # an ordinary Redis TIME in microseconds


def per(requests: int, unit: Unit, burst: int | None = None) -> Bucket:
    return Bucket.of(Limit(requests_per_unit=requests, unit=unit, burst=burst))


HUNDRED_A_MINUTE = per(100, Unit.MINUTE)

limits = st.builds(
    Limit,
    requests_per_unit=st.one_of(st.integers(1, 1000), st.integers(1, 2**32 - 1)),
    unit=st.sampled_from(Unit),
    burst=st.one_of(st.none(), st.integers(1, 2**32 - 1)),
)


def hit(cells: dict[bytes, Cell], bucket: Bucket, now_us: int, hits: int = 1) -> bool:
    charge = Charge(b"k", bucket, bucket.cost(hits))
    (debt,) = take(cells, [[charge]], now_us)
    return debt + charge.cost <= bucket.full


@pytest.mark.parametrize(
    ("story", "at_us", "passes"),
    [
        ("a full bucket lets its capacity through at once", [0] * 100, 100),
        ("and not one more", [0] * 150, 100),
        ("one token has come back after 600 ms", [0] * 100 + [600_000] * 2, 101),
        ("and not a microsecond earlier", [0] * 100 + [599_999], 100),
        ("half a minute brings half the tokens", [0] * 100 + [30 * SECOND] * 100, 150),
        ("an hour brings no more than the capacity", [0] * 100 + [3600 * SECOND] * 200, 200),
        ("a steady client at the rate is never refused", list(range(0, 60 * SECOND, 600_000)), 100),
    ],
)
def test_hundred_a_minute(story: str, at_us: list[int], passes: int) -> None:
    cells: dict[bytes, Cell] = {}
    passed = sum(hit(cells, HUNDRED_A_MINUTE, START + at) for at in at_us)
    assert passed == passes, story


@given(limits, st.data())
def test_a_client_gets_its_capacity_and_its_rate_and_no_more(
    limit: Limit, data: st.DataObject
) -> None:
    bucket = Bucket.of(limit)
    cells: dict[bytes, Cell] = {}
    now, used = START, 0
    for _ in range(20):
        now += data.draw(st.integers(0, 2 * limit.unit.seconds * SECOND))
        hits = data.draw(st.integers(1, limit.capacity))
        if hit(cells, bucket, now, hits):
            used += hits
        rate = Fraction(limit.requests_per_unit, limit.unit.seconds * SECOND)
        assert used <= limit.capacity + rate * (now - START)


@given(limits, st.integers(0, 10**16), st.integers(1, 2**32))
def test_a_refused_call_passes_after_the_wait_it_was_told_and_not_before(
    limit: Limit, gone_us: int, hits: int
) -> None:
    bucket = Bucket.of(limit)
    hits = min(hits, limit.capacity)
    cells = {b"k": Cell(bucket.full, START, bucket.full)}
    debt = refilled(cells[b"k"], bucket, START + gone_us).debt
    wait = bucket.until(debt, bucket.full - bucket.cost(hits))
    if wait:
        early = START + gone_us + wait - bucket.tick_us
        assert refilled(cells[b"k"], bucket, early).debt + bucket.cost(hits) > bucket.full
    assert hit(cells, bucket, START + gone_us + wait, hits)


@given(limits)
def test_arithmetic_stays_exact_in_doubles(limit: Limit) -> None:
    bucket = Bucket.of(limit)
    assert bucket.full + bucket.cost(2**64) <= EXACT
    assert bucket.tokens(0) == limit.capacity
    per_unit = Fraction(limit.unit.seconds * SECOND, bucket.tick_us) * bucket.refill
    assert per_unit == limit.requests_per_unit * bucket.parts, "the rate is the limit's, exactly"


@pytest.mark.parametrize("limit", [(100, Unit.MINUTE), (7, Unit.SECOND), (10**6, Unit.DAY)])
def test_ordinary_limits_tick_by_the_microsecond(limit: tuple[int, Unit]) -> None:
    assert per(*limit).tick_us == 1


def test_a_coarse_clock_loses_no_time_between_ticks() -> None:
    bucket = per(2**32 - 1, Unit.HOUR)
    assert bucket.tick_us > 1
    cell = Cell(bucket.full, START, bucket.full)
    for _ in range(1000):
        cell = refilled(cell, bucket, cell.stamp_us + bucket.tick_us + 1)
    total = bucket.full - cell.debt
    assert total == 1000 * bucket.refill


@pytest.mark.parametrize(
    ("story", "old", "new", "used", "left"),
    [
        ("half used of 100 is half used of 10", 100, 10, 50, 5),
        ("a raised limit gives the same share of more", 10, 100, 5, 50),
        ("all used stays all used", 100, 7, 100, 0),
        ("a fraction of a token is never given away", 3, 10, 1, 6),
    ],
)
def test_a_changed_limit_keeps_the_used_fraction(
    story: str, old: int, new: int, used: int, left: int
) -> None:
    before, after = per(old, Unit.HOUR), per(new, Unit.HOUR)
    cell = refilled(Cell(before.cost(used), START, before.full), after, START)
    assert after.tokens(cell.debt) == left, story


def test_a_clock_that_went_back_neither_refills_nor_freezes() -> None:
    bucket = HUNDRED_A_MINUTE
    full_debt = Cell(bucket.full, START, bucket.full)
    back = refilled(full_debt, bucket, START - 3600 * SECOND)
    assert back.debt == bucket.full
    assert bucket.tokens(refilled(back, bucket, START - 3599 * SECOND).debt) == 1


def test_one_refused_charge_leaves_every_bucket_of_the_request_untouched() -> None:
    bucket = per(2, Unit.HOUR)
    cells = {b"empty": Cell(bucket.full, START, bucket.full)}
    request = [Charge(b"full", bucket, bucket.cost(1)), Charge(b"empty", bucket, bucket.cost(1))]
    assert take(cells, [request], START) == [0, bucket.full]
    assert cells == {b"empty": Cell(bucket.full, START, bucket.full)}


def test_a_key_twice_in_one_request_is_charged_twice() -> None:
    bucket = per(3, Unit.HOUR)
    cells: dict[bytes, Cell] = {}
    twice = [Charge(b"k", bucket, bucket.cost(2))] * 2
    assert take(cells, [twice], START) == [0, bucket.cost(2)]
    assert not cells, "four hits do not fit into three"
    assert take(cells, [[Charge(b"k", bucket, bucket.cost(1))] * 2], START) == [0, bucket.cost(1)]
    assert bucket.tokens(cells[b"k"].debt) == 1


def test_a_refund_gives_back_and_stops_at_full() -> None:
    bucket = per(10, Unit.HOUR)
    cells: dict[bytes, Cell] = {}
    assert hit(cells, bucket, START, 4)
    take(cells, [[Charge(b"k", bucket, bucket.cost(-3))]], START)
    assert bucket.tokens(cells[b"k"].debt) == 9
    take(cells, [[Charge(b"k", bucket, bucket.cost(-100))]], START)
    assert not cells, "a full bucket is an absent one"


def test_looking_costs_nothing() -> None:
    bucket = per(1, Unit.HOUR)
    cells: dict[bytes, Cell] = {}
    assert hit(cells, bucket, START, 0)
    assert hit(cells, bucket, START, 1)
    assert hit(cells, bucket, START, 0), "an empty bucket is not in debt, so a look passes"
