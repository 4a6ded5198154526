"""No history of replicas with leases lets through more than their bucket would, or keeps too much."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.rule import Lease
from tests.unit.ratelimit_service.storage.leasing import World, make_hot

Drawn: TypeAlias = tuple[Bucket, Lease, int, int, int]
Step: TypeAlias = tuple[Any, ...]

SECOND = Bucket.of(Limit(requests_per_unit=1_000, unit=Unit.SECOND))
SHAPES = st.builds(
    lambda rate, unit, burst: Bucket.of(Limit(requests_per_unit=rate, unit=unit, burst=burst)),
    st.integers(100, 20_000),
    st.sampled_from([Unit.SECOND, Unit.MINUTE, Unit.HOUR]),
    st.integers(100, 5_000),
)
LEASES = st.builds(
    lambda share, span: Lease(max_share=share, max_ms=span),
    st.sampled_from([0.05, 0.3, 1.0]),
    st.sampled_from([3, 50, 2_000]),
)
NUMBERS = st.integers(0, 2)
PEACE = st.one_of(
    st.tuples(
        st.just("calls"), NUMBERS, st.integers(1, 60), st.sampled_from([1, 1, 2, 7]),
        st.sampled_from([0, 20, 300, 2_000]),
    ),
    st.tuples(st.just("burst"), NUMBERS, st.integers(1, 5_000)),
    st.tuples(st.just("squeeze")),
    st.tuples(st.just("run"), st.sampled_from([100, 3_000, 40_000, 700_000, 5_000_000])),
    st.tuples(st.just("drain"), NUMBERS),
)  # fmt: skip
TROUBLE = st.one_of(
    st.tuples(st.just("fail"), NUMBERS, st.sampled_from(["before", "after", ""])),
    st.tuples(st.just("kill"), NUMBERS),
)


def play(world: World, step: Step) -> None:
    """Do one thing of a history."""
    what, *rest = step
    if what == "run":
        world.run(rest[0])
        return
    if what == "squeeze":
        world.squeeze()
        return
    number = rest[0] % len(world.replicas)
    replica = world.replicas[number]
    if what == "calls":
        for _ in range(rest[1]):
            world.call(replica, rest[2])
            world.run(rest[3])
    elif what == "burst":
        world.call(replica, rest[1])
    elif what == "fail":
        replica.link.fail = str(rest[1])
    elif what == "drain":
        world.drain(number)
    else:
        world.kill(number)


WORLDS = st.tuples(
    SHAPES, LEASES, st.integers(1, 3), st.sampled_from([1, 400]), st.sampled_from([1, 300])
)


def make_world(drawn: Drawn) -> World:
    bucket, lease, replicas, there_us, back_us = drawn
    return World(bucket, lease, replicas=replicas, there_us=there_us, back_us=back_us)


@settings(max_examples=200, deadline=None)
@given(WORLDS, st.lists(st.one_of(PEACE, TROUBLE), max_size=40))
def test_no_history_lets_through_more_than_the_bucket_would(
    drawn: Drawn, steps: list[Step]
) -> None:
    world = make_world(drawn)
    for step in steps:
        play(world, step)  # World.admit objects
    world.squeeze()
    for replica in world.replicas:
        replica.buckets.close()
    world.run(world.bucket.until(world.bucket.full, 0) + 10_000)
    assert world.kept() == 0, "everything came back in the end"


@settings(max_examples=200, deadline=None)
@given(WORLDS, st.lists(PEACE, max_size=40))
def test_what_is_kept_from_others_is_at_most_the_share_of_each_replica(
    drawn: Drawn, steps: list[Step]
) -> None:
    world = make_world(drawn)
    share = min(world.lease.max_share * world.count, 0.5)
    for step in steps:
        play(world, step)
        assert world.kept() <= share * world.bucket.full


@pytest.mark.parametrize("waited_ms", [1, 20, 30, 40, 45])
def test_a_block_does_not_count_on_what_another_replica_may_give_back(waited_ms: int) -> None:
    world = World(SECOND, Lease(max_share=1.0, max_ms=1_000), replicas=2, there_us=1, back_us=1)
    below, above = world.replicas
    for replica in (below, above):
        make_hot(world, replica, calls=6, gap_us=2)
        assert replica.in_hand(world.now_us) > 40
    below.buckets.close()
    world.run(waited_ms * 1_000)
    world.squeeze()  # World.admit objects


def test_what_flowed_back_is_not_given_back_to_be_there_twice() -> None:
    world = World(SECOND, Lease(max_share=1.0, max_ms=1_000), replicas=2, there_us=1, back_us=1)
    below, above = world.replicas
    make_hot(world, below, calls=6, gap_us=2)
    world.run(40_000)  # of the 50 ms that it may be held
    make_hot(world, above, calls=6, gap_us=2)
    below.buckets.close()
    world.run(1_000)
    assert above.in_hand(world.now_us) > 40
    world.squeeze()  # World.admit objects


def test_a_block_does_not_count_on_what_its_own_replica_may_give_back() -> None:
    world = World(SECOND, Lease(max_share=1.0, max_ms=1_000), there_us=1, back_us=1)
    (replica,) = world.replicas
    world.spend(70)
    for _ in range(4):
        world.call(replica, hits=8)
        world.run(2)
    world.run(80_000)  # of the 100 ms that it may be held
    make_hot(world, replica, calls=10, gap_us=2)
    counts = replica.buckets.counts
    assert counts.blocks == 2
    world.run(94_000)
    assert counts.tokens_returned > 20, "of the first, from below the second"
    world.squeeze()  # World.admit objects


def test_the_histories_do_lease() -> None:
    """Or the two above would hold of a store that leases nothing."""
    world = World(SECOND, Lease(max_share=1.0, max_ms=50), replicas=3)
    kept = []
    for _ in range(40):
        for number in range(3):
            play(world, ("calls", number, 20, 1, 400))
            kept.append(world.kept())
    assert sum(replica.buckets.counts.answered for replica in world.replicas) > 500
    assert max(kept) > SECOND.cost(20)
