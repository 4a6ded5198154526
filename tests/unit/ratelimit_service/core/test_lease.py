"""How large a block is, and how it shrinks."""

from __future__ import annotations

import pytest

from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.lease import Demand, Terms
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.rule import Lease

MINUTE = Bucket.of(Limit(requests_per_unit=60_000, unit=Unit.MINUTE))  # one a millisecond
LEASE = Lease(max_share=0.5, max_ms=100)
TERMS = Terms.of(MINUTE, LEASE, 1)


def size(*, calls: int, hits: int = 1, span_ms: int = 100, lacks: int = 0, held: int = 0) -> int:
    """Return the tokens that are worth taking after such a demand."""
    demand = Demand(0, calls, MINUTE.cost(calls * hits))
    debt, own = MINUTE.cost(lacks), MINUTE.cost(held)
    return TERMS.size(demand, debt, own, span_ms * 1000) // MINUTE.parts


@pytest.mark.parametrize(
    ("story", "expected", "block"),
    [
        ("the demand of the next 100 ms", 1_000, {"calls": 1_000}),
        ("of a longer look, as much as 100 ms of it", 500, {"calls": 1_000, "span_ms": 200}),
        ("of a shorter look, twice what was seen", 2_000, {"calls": 1_000, "span_ms": 1}),
        ("a tenth of the capacity at most", 6_000, {"calls": 50_000}),
        ("half of what the bucket has", 1_000, {"calls": 5_000, "lacks": 58_000}),
        ("more than is asked for, where it flows back", 100, {"calls": 10}),
        ("no more, where enough lacks already", 10, {"calls": 10, "lacks": 100}),
        ("what this replica holds may be given back", 90, {"calls": 10, "lacks": 100, "held": 90}),
        ("three calls are too few", 0, {"calls": 3}),
        ("and so are four in a longer time", 0, {"calls": 4, "span_ms": 101}),
        ("looks take nothing", 0, {"calls": 1_000, "hits": 0}),
        ("a block that serves three calls is none", 0, {"calls": 50, "hits": 2_000}),
        ("nothing of an empty bucket", 0, {"calls": 1_000, "lacks": 60_000}),
    ],
)  # fmt: skip
def test_a_block_is_as_large_as_it_will_be_used(
    story: str, expected: int, block: dict[str, int]
) -> None:
    assert size(**block) == expected, story


@pytest.mark.parametrize("replicas", [1, 2, 5, 40])
@pytest.mark.parametrize("max_share", [0.01, 0.2, 1.0])
def test_all_replicas_together_keep_what_is_promised(max_share: float, replicas: int) -> None:
    terms = Terms.of(MINUTE, Lease(max_share=max_share, max_ms=60_000), replicas)
    held = 2 * replicas * terms.most
    # Given up is only what was taken of a bucket that lacked less than all may give back and what
    # flows back during a life.
    flowed = terms.life_us // MINUTE.tick_us * MINUTE.refill
    given_up = terms.beneath + terms.most + flowed + terms.most
    promised = min(max_share * replicas, 0.5) * MINUTE.full
    assert flowed <= terms.most
    assert held + given_up <= promised
    assert held >= promised / 3, "and not much less"


def test_a_block_shrinks_once_the_pile_that_it_lies_on_has_flowed_back() -> None:
    block = TERMS.block(MINUTE.cost(50), MINUTE.cost(30), MINUTE.cost(10), asked_us=0, now_us=1_000)
    lefts = [block.left(at_ms * 1_000) / MINUTE.parts for at_ms in (1, 19, 30, 60, 80)]
    assert lefts == pytest.approx([50, 50, 40, 10, 0], abs=0.01)
    assert block.until_us == 100_000


def test_a_tick_of_the_bucket_may_come_at_any_moment() -> None:
    coarse = Bucket(parts=10, full=10_000, refill=1, tick_us=1_000)
    terms = Terms.of(coarse, LEASE, 1)
    block = terms.block(100, 0, 0, asked_us=500, now_us=600)
    assert [block.left(at_us) for at_us in (600, 1_499, 1_500)] == [99, 99, 98]


def test_what_has_flowed_back_before_it_was_spent_stays_gone() -> None:
    block = TERMS.block(MINUTE.cost(50), 0, 0, asked_us=0, now_us=1_000)
    left = block.left(40_000)
    block.unspent = left - MINUTE.cost(5)
    assert block.left(40_000) == left - MINUTE.cost(5)
    assert block.left(46_000) / MINUTE.parts == pytest.approx(4, abs=0.01)


def test_a_slow_bucket_may_be_held_longer_than_a_fast_one_of_its_size() -> None:
    fast = Bucket.of(Limit(requests_per_unit=1_000, unit=Unit.SECOND))
    slow = Bucket.of(Limit(requests_per_unit=1_000, unit=Unit.HOUR))
    lease = Lease(max_share=1.0, max_ms=5_000)
    assert Terms.of(fast, lease, 1).life_us == 100_000  # a tenth of the capacity, in a tenth
    assert Terms.of(slow, lease, 1).life_us == 5_000_000
