"""Blocks of tokens in hand: what they answer, when they are asked for and given back, and that they
never let more through than the bucket would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.build import Build
from chassis.metrics import Metrics
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge
from ratelimit_service.core.lease import Held
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.rule import Lease
from ratelimit_service.storage import leases
from tests.unit.ratelimit_service.storage.leasing import KEY, Replica, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.service import Done

MINUTE = Bucket.of(Limit(requests_per_unit=60_000, unit=Unit.MINUTE))
SECOND = Bucket.of(Limit(requests_per_unit=1_000, unit=Unit.SECOND))
LEASE = Lease(max_share=0.5, max_ms=100)


def make_hot(world: World, replica: Replica, calls: int = 10, gap_us: int = 1_000) -> None:
    """Ask often enough, and long enough for a block to come."""
    for _ in range(calls):
        world.call(replica)
        world.run(gap_us)


def blocks(replica: Replica) -> list[int]:
    """Return the sizes of the blocks that were asked for."""
    return [charge.cost for charge in replica.link.asked if charge.lease is None and charge.cost > 0]


def is_held(answer: Sequence[int] | BaseException) -> bool:
    return isinstance(answer, Held)


def test_a_hot_key_is_answered_here_and_a_cold_one_by_the_store() -> None:
    world = World(MINUTE, LEASE)
    (replica,) = world.replicas
    make_hot(world, replica, calls=200)
    assert sum(map(is_held, replica.answers)) > 180
    assert len(replica.link.asked) < 20
    cold = World(MINUTE, LEASE)
    make_hot(cold, cold.replicas[0], calls=20, gap_us=LEASE.max_ms * 1000 // 3)
    assert not any(map(is_held, cold.replicas[0].answers))
    assert len(cold.replicas[0].link.asked) == 20


def test_a_block_lasts_as_long_as_it_may_be_held_and_is_no_larger_than_its_share() -> None:
    world = World(MINUTE, LEASE)
    (replica,) = world.replicas
    make_hot(world, replica, calls=500, gap_us=500)
    expected = MINUTE.cost(200)  # 100 ms of 2,000 calls a second
    assert expected * 0.8 <= blocks(replica)[-1] <= expected * 1.2
    make_hot(world, replica, calls=40_000, gap_us=1)
    assert expected < max(blocks(replica)) <= MINUTE.full * LEASE.max_share


def test_remaining_counts_what_is_in_hand() -> None:
    world = World(MINUTE, LEASE)
    (replica,) = world.replicas
    make_hot(world, replica, calls=1_000, gap_us=20)
    assert is_held(replica.answers[-1])
    remaining = [MINUTE.tokens(met[0]) for met in replica.answers if not isinstance(met, Exception)]
    # 20 ms refill 20 tokens; answers that came from the store were on the way for 25 calls.
    for number, left in enumerate(remaining):
        assert 60_000 - number - 26 <= left <= 60_000 - number + 26


def test_unused_tokens_go_back_when_the_block_expires() -> None:
    world = World(MINUTE, LEASE)
    (replica,) = world.replicas
    make_hot(world, replica, calls=2_000, gap_us=50)
    assert world.kept() > MINUTE.cost(300)
    world.run(LEASE.max_ms * 1000)
    assert replica.buckets.counts.tokens_returned > 300
    assert world.kept() < MINUTE.cost(1), "but for what flowed back on the way"


def test_unused_tokens_go_back_on_drain_even_those_on_their_way() -> None:
    bucket = Bucket.of(Limit(requests_per_unit=60_000, unit=Unit.DAY))  # refills one in 1.4 s
    world = World(bucket, Lease(max_share=0.5, max_ms=10_000))
    (replica,) = world.replicas
    for _ in range(10):
        world.call(replica)
    world.run(600)  # the answers are here, and a block is on its way
    assert not replica.buckets.counts.blocks
    replica.buckets.close()
    world.run(5_000)
    assert replica.buckets.counts.blocks == 1
    assert world.kept() < bucket.cost(1)
    world.call(replica)
    world.run(1_000)
    assert not is_held(replica.answers[-1])


def test_more_hits_than_a_block_has_end_it_and_go_to_the_store() -> None:
    world = World(MINUTE, LEASE)
    (replica,) = world.replicas
    make_hot(world, replica)
    world.call(replica, hits=50_000)
    refund, asked = replica.link.asked[-2:]
    assert refund.cost < 0
    assert asked.cost == MINUTE.cost(50_000)
    world.run(1_000)
    assert not is_held(replica.answers[-1])


def test_a_look_is_answered_from_the_block_and_a_refund_by_the_store() -> None:
    world = World(MINUTE, LEASE)
    (replica,) = world.replicas
    make_hot(world, replica)
    asked = len(replica.link.asked)
    world.call(replica, hits=0)
    assert is_held(replica.answers[-1])
    assert len(replica.link.asked) == asked
    world.call(replica, hits=-1)
    assert replica.link.asked[-1].cost == MINUTE.cost(-1)


@pytest.mark.parametrize("what", ["limit", "lease"])
def test_changed_rules_end_the_block_of_the_old_ones(what: str) -> None:
    world = World(MINUTE, LEASE)
    (replica,) = world.replicas
    make_hot(world, replica)
    if what == "limit":
        world.bucket = Bucket.of(Limit(requests_per_unit=50_000, unit=Unit.MINUTE))
    else:
        world.lease = Lease(max_share=0.5, max_ms=50)
    world.call(replica)
    refund, asked = replica.link.asked[-2:]
    assert (refund.cost < 0, refund.meter) == (True, MINUTE)
    assert (asked.meter, asked.lease) == (world.bucket, world.lease)


def test_what_has_no_lease_or_several_limits_is_passed_on_as_it_is() -> None:
    passed: list[Sequence[Charge]] = []

    class Store:
        def take(
            self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done
        ) -> None:
            passed.append(charges)

    world = World(MINUTE, LEASE)
    buckets = leases.LeasedBuckets(Store(), world, replicas=lambda: 1, call_later=world.call_later)
    plain = [Charge(b"k", MINUTE, 1)]
    several = [Charge(b"k", MINUTE, 1, lease=LEASE), Charge(b"l", MINUTE, 1, lease=LEASE)]
    for charges in (plain, several):
        buckets.take(charges, 1.0, lambda met, error: None)
        assert passed[-1] is charges


def test_a_dead_store_is_not_missed_until_the_block_expires() -> None:
    world = World(MINUTE, Lease(max_share=0.5, max_ms=1_000))
    (replica,) = world.replicas
    make_hot(world, replica, calls=1_000, gap_us=50)
    replica.link.fail = "before"
    make_hot(world, replica, calls=20, gap_us=50)
    assert all(map(is_held, replica.answers[-20:]))
    world.run(1_100_000)
    make_hot(world, replica, calls=5)
    assert all(isinstance(answer, BaseException) for answer in replica.answers[-4:])
    assert replica.buckets.counts.tokens_lost > 0
    asked = len(replica.link.asked)
    make_hot(world, replica, calls=20)
    assert len(replica.link.asked) == asked + 20, "nothing is leased from a store that fails"


def test_a_credit_is_not_leased_because_it_could_not_be_given_back() -> None:
    world = World(MINUTE, LEASE)
    world.cells[KEY] = MINUTE.granted(MINUTE.settled(None, world.now_us), MINUTE.full, 10**9)
    make_hot(world, world.replicas[0])
    assert not any(map(is_held, world.replicas[0].answers))


def test_a_store_farther_than_a_block_may_be_held_is_asked_rarely_for_one() -> None:
    world = World(MINUTE, Lease(max_share=0.5, max_ms=5), there_us=4_000, back_us=4_000)
    (replica,) = world.replicas
    make_hot(world, replica, calls=300)
    assert not any(map(is_held, replica.answers))
    assert replica.buckets.counts.blocks == 1
    world.run(100_000)
    assert world.kept() == 0


def test_keys_are_forgotten_with_what_was_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "MAX_KEYS", 2)
    world = World(MINUTE, LEASE)
    (replica,) = world.replicas
    make_hot(world, replica)
    assert world.kept() > 0
    for number in range(5):
        other = Charge(b"%d" % number, MINUTE, 1, lease=LEASE)
        replica.buckets.take([other], None, lambda met, error: None)
    assert [charge.cost < 0 for charge in replica.link.asked if charge.key == KEY][-1]


def test_what_it_does_is_counted() -> None:
    world = World(MINUTE, LEASE)
    (replica,) = world.replicas
    metrics = Metrics(Build(service="t", version="1", python="p", platform="l"))
    replica.buckets.observe(metrics)
    make_hot(world, replica, calls=1_000, gap_us=50)
    world.run(200_000)
    numbers = metrics.numbers()
    assert numbers["sluice_ratelimit_lease_blocks_total"] > 0
    assert numbers["sluice_ratelimit_lease_answered_total"] == sum(map(is_held, replica.answers))
    taken = numbers["sluice_ratelimit_lease_tokens_taken_total"]
    assert taken >= numbers["sluice_ratelimit_lease_tokens_returned_total"] > 0


# -- any history -----------------------------------------------------------------------------

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


def play(world: World, step: tuple[str, *tuple[int, ...]]) -> None:
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


def make_world(drawn: tuple[Bucket, Lease, int, int, int]) -> World:
    bucket, lease, replicas, there_us, back_us = drawn
    return World(bucket, lease, replicas=replicas, there_us=there_us, back_us=back_us)


@settings(max_examples=300, deadline=None)
@given(WORLDS, st.lists(st.one_of(PEACE, TROUBLE), max_size=40))
def test_no_history_lets_through_more_than_the_bucket_would(drawn, steps) -> None:  # type: ignore[no-untyped-def]
    world = make_world(drawn)
    for step in steps:
        play(world, step)  # World.admit objects
    world.squeeze()
    for replica in world.replicas:
        replica.buckets.close()
    world.run(world.bucket.until(world.bucket.full, 0) + 10_000)
    assert world.kept() == 0, "everything came back in the end"


@settings(max_examples=300, deadline=None)
@given(WORLDS, st.lists(PEACE, max_size=40))
def test_what_is_kept_from_others_is_at_most_the_share_of_each_replica(drawn, steps) -> None:  # type: ignore[no-untyped-def]
    world = make_world(drawn)
    share = min(world.lease.max_share * world.count, 0.5)
    for step in steps:
        play(world, step)
        assert world.kept() <= share * world.bucket.full


@pytest.mark.parametrize("waited_ms", range(10, 60, 10))
def test_a_block_does_not_count_on_what_another_replica_may_give_back(waited_ms: int) -> None:
    world = World(SECOND, Lease(max_share=1.0, max_ms=1_000), replicas=2, there_us=1, back_us=1)
    below, above = world.replicas
    make_hot(world, below, calls=60, gap_us=2)
    make_hot(world, above, calls=60, gap_us=2)
    assert below.in_hand(world.now_us)
    assert above.in_hand(world.now_us)
    world.run(40_000)
    below.buckets.close()
    world.run(waited_ms * 1_000 - 40_000 if waited_ms > 40 else 0)
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
