"""The token bucket: exact over any history, for any limit."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ratelimit_service.core.bucket import LONGEST_US, Bucket, Cell
from ratelimit_service.core.charge import EXACT, LARGEST, Charge, debt_after
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.take import Cells, take
from tests.taking import hit

SECOND = 1_000_000
START = 1_795_561_835_147_696  # an ordinary Redis TIME in microseconds
YEAR = 365 * 86_400 * SECOND


def per(requests: int, unit: Unit, burst: int | None = None) -> Bucket:
    return Bucket.of(Limit(requests_per_unit=requests, unit=unit, burst=burst))


HUNDRED_A_MINUTE = per(100, Unit.MINUTE)

numbers = st.one_of(st.integers(1, 20), st.integers(1, 1000), st.integers(1, 2**32 - 1))
limits = st.builds(
    Limit,
    requests_per_unit=numbers,
    unit=st.sampled_from(Unit),
    burst=st.one_of(st.none(), numbers),
)
# Up to the ten years that rule files allow (core/allowances.py).
odd_limits = st.builds(
    Limit,
    requests_per_unit=numbers,
    unit=st.sampled_from([Unit.SECOND, Unit.MINUTE, Unit.HOUR, Unit.DAY]),
    unit_multiplier=st.integers(1, 3650),
    burst=st.one_of(st.none(), numbers),
)


def rate_of(limit: Limit) -> Fraction:
    """Hits a microsecond."""
    return Fraction(limit.requests_per_unit, limit.period_seconds * SECOND)


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
    cells: Cells = {}
    passed = sum(hit(cells, HUNDRED_A_MINUTE, START + at) for at in at_us)
    assert passed == passes, story


@settings(deadline=None)  # long histories, busy machines
@given(limits, st.data())
def test_in_any_span_there_is_a_capacity_and_what_the_rate_brings_and_no_more(
    limit: Limit, data: st.DataObject
) -> None:
    bucket = Bucket.of(limit)
    period_us = limit.period_seconds * SECOND
    gaps = st.one_of(st.integers(0, period_us // 8), st.integers(0, 2 * period_us))
    cells: Cells = {}
    now, passed = START, []
    for _ in range(20):
        now += data.draw(gaps)
        hits = data.draw(st.integers(1, limit.capacity))
        if hit(cells, bucket, now, hits):
            passed.append((now, hits))
    for first, (begin, _) in enumerate(passed):
        for last in range(first, len(passed)):
            span = passed[last][0] - begin
            hits = sum(hits for _, hits in passed[first : last + 1])
            assert hits <= limit.capacity + rate_of(limit) * (span + bucket.tick_us - 1)


@settings(deadline=None)  # long histories, busy machines
@given(limits, st.data())
def test_a_bucket_that_ticks_by_the_microsecond_is_the_textbooks_to_the_last_part(
    limit: Limit, data: st.DataObject
) -> None:
    bucket = Bucket.of(limit)
    cells: Cells = {}
    now, tokens = START, Fraction(limit.capacity)
    for _ in range(20):
        gap = data.draw(st.integers(0, limit.period_seconds * SECOND // 4))
        hits = data.draw(st.integers(1, limit.capacity))
        now += gap
        tokens = min(Fraction(limit.capacity), tokens + rate_of(limit) * gap)
        passes = hit(cells, bucket, now, hits)
        if bucket.tick_us == 1:
            assert passes == (tokens >= hits)
        else:
            assert not passes or tokens >= hits, "a coarse tick may be late, never early"
        tokens -= hits if passes else 0


@pytest.mark.parametrize("seed", range(3))
def test_nothing_drifts_in_a_year_and_three_billion_hits(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311  reproducible
    bucket = per(101, Unit.SECOND, burst=2_000_000)
    cells: Cells = {}
    assert hit(cells, bucket, START, 2_000_000)
    now, taken = START, 0
    while now < START + YEAR:
        now += dice.randrange(10**10)  # less than it needs to fill
        (debt,) = take(cells, [[Charge(b"k", bucket, 0)]], now)
        tokens = bucket.tokens(debt)
        assert tokens == 0 or hit(cells, bucket, now, tokens)
        taken += tokens
        assert taken == 101 * (now - START) // SECOND
    assert taken > 3 * 10**9


@given(limits, st.integers(0, 10**16), st.integers(1, 2**32))
def test_a_refused_call_passes_after_the_wait_it_was_told_and_not_before(
    limit: Limit, gone_us: int, hits: int
) -> None:
    bucket = Bucket.of(limit)
    hits = min(hits, limit.capacity)
    cell = Cell(bucket.full, START, bucket.full)
    cells: Cells = {b"k": cell}
    debt = bucket.settled(cell, START + gone_us).debt
    wait = bucket.until(debt, bucket.full - bucket.cost(hits))
    if wait == LONGEST_US:
        return
    if wait:
        early = START + gone_us + wait - bucket.tick_us
        assert bucket.settled(cell, early).debt + bucket.cost(hits) > bucket.full
    assert hit(cells, bucket, START + gone_us + wait, hits)


@given(st.one_of(limits, odd_limits))
def test_arithmetic_stays_exact_in_doubles(limit: Limit) -> None:
    bucket = Bucket.of(limit)
    assert 2 * bucket.full + LARGEST <= EXACT, "the deepest debt and the largest cost"
    assert bucket.most_credit + LARGEST <= EXACT, "the largest credit and the largest refund"
    assert -bucket.most_credit + LARGEST > 2 * bucket.full, "a cost reaches over any balance"
    assert bucket.most_credit >= 2 * bucket.full
    assert bucket.cost(2**64) <= LARGEST
    assert bucket.tokens(0) == limit.capacity


@given(limits)
def test_the_rate_is_the_limits_exactly(limit: Limit) -> None:
    bucket = Bucket.of(limit)
    per_unit = Fraction(limit.unit.seconds * SECOND, bucket.tick_us) * bucket.refill
    assert per_unit == limit.requests_per_unit * bucket.parts


@given(odd_limits)
@example(Limit(requests_per_unit=7, unit=Unit.DAY, unit_multiplier=3649, burst=2**32 - 1))
def test_the_rate_of_an_odd_long_period_is_no_higher_and_hardly_lower(limit: Limit) -> None:
    bucket = Bucket.of(limit)
    rate = Fraction(bucket.refill, bucket.parts * bucket.tick_us) / rate_of(limit)
    assert 1 - Fraction(1, 10_000) < rate <= 1


@pytest.mark.parametrize("limit", [(100, Unit.MINUTE), (7, Unit.SECOND), (10**6, Unit.DAY)])
def test_ordinary_limits_tick_by_the_microsecond(limit: tuple[int, Unit]) -> None:
    assert per(*limit).tick_us == 1


def test_a_coarse_clock_loses_no_time_between_ticks() -> None:
    bucket = per(2**32 - 1, Unit.HOUR)
    assert bucket.tick_us > 1
    cell = Cell(bucket.full, START, bucket.full)
    for _ in range(1000):
        cell = bucket.settled(cell, cell.stamp_us + bucket.tick_us + 1)
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
    cell = after.settled(Cell(before.cost(used), START, before.full), START)
    assert after.tokens(cell.debt) == left, story


def test_a_changed_limit_keeps_the_fraction_of_a_debt_below_zero() -> None:
    before, after = per(100, Unit.HOUR), per(10, Unit.HOUR)
    assert after.settled(Cell(before.cost(150), START, before.full), START).debt == after.cost(15)
    assert after.settled(Cell(before.cost(200), START, before.full), START).debt == after.cost(20)


def test_a_clock_that_went_back_neither_refills_nor_freezes() -> None:
    bucket = HUNDRED_A_MINUTE
    full_debt = Cell(bucket.full, START, bucket.full)
    back = bucket.settled(full_debt, START - 3600 * SECOND)
    assert back.debt == bucket.full
    assert bucket.tokens(bucket.settled(back, START - 3599 * SECOND).debt) == 1


def test_no_wait_is_longer_than_protobuf_and_redis_can_say() -> None:
    slow = Bucket.of(
        Limit(requests_per_unit=1, unit=Unit.YEAR, unit_multiplier=10, burst=2**32 - 1)
    )
    assert slow.until(slow.full, 0) == LONGEST_US


@given(limits, st.integers(-(2**64), 2**64), st.integers(-(2**54), 2**54))
def test_a_refund_makes_no_credit_and_takes_none(limit: Limit, hits: int, debt: int) -> None:
    bucket = Bucket.of(limit)
    debt = max(-bucket.most_credit, min(debt, 2 * bucket.full))
    left = debt_after(Charge(b"k", bucket, bucket.cost(-abs(hits))), debt)
    assert min(debt, 0) <= left <= debt
