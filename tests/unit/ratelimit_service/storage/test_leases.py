"""Blocks of tokens in hand: what they answer, when they are asked for and given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chassis.build import Build
from chassis.errors import Unavailable
from chassis.metrics import Metrics
from ratelimit_service.core import take as twin
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge
from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.core.lease import Held
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.rule import Lease
from ratelimit_service.storage import leases
from tests.limiting import ManualClock, Watch, make_limiter
from tests.unit.ratelimit_service.core.test_rules import build
from tests.unit.ratelimit_service.storage.leasing import KEY, Put, Replica, World, make_hot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.take import Cells
    from ratelimit_service.core.verdict import Status
    from ratelimit_service.service import Done

MINUTE = Bucket.of(Limit(requests_per_unit=60_000, unit=Unit.MINUTE))
LEASE = Lease(max_share=0.5, max_ms=100)


def blocks(replica: Replica) -> list[int]:
    """Return the sizes of the blocks that were asked for."""
    return [
        charge.cost for charge in replica.link.asked if charge.lease is None and charge.cost > 0
    ]


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
    remaining = [
        MINUTE.tokens(met[0]) for met in replica.answers if not isinstance(met, BaseException)
    ]
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
    counts = replica.buckets.counts
    before = counts.blocks
    replica.buckets.close()
    world.run(5_000)
    assert counts.blocks == before + 1 == 1
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


def test_a_block_of_the_old_rules_that_comes_late_is_given_back() -> None:
    world = World(MINUTE, LEASE)
    (replica,) = world.replicas
    for _ in range(10):
        world.call(replica)
    world.run(600)  # the answers are here, and a block is on its way
    world.bucket = Bucket.of(Limit(requests_per_unit=50_000, unit=Unit.MINUTE))
    world.call(replica)
    world.run(1_000)
    assert replica.buckets.counts.blocks == 1
    assert [charge.meter for charge in replica.link.asked if charge.cost < 0] == [MINUTE]
    world.call(replica)
    assert not is_held(replica.answers[-1])


def test_a_block_is_not_spent_when_the_timer_is_late() -> None:
    world = World(MINUTE, LEASE)
    world.call_later = lambda seconds, call: Put(call)  # type: ignore[method-assign]
    late = world.start()
    make_hot(world, late, calls=2_000, gap_us=50)
    assert is_held(late.answers[-1])
    world.run(LEASE.max_ms * 1_000)
    asked = len(late.link.asked)
    world.call(late)
    assert late.link.asked[-1].lease is not None, "it went to the store"
    assert late.link.asked[asked].cost < 0, "and the block before it"


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


# -- in the limiter --------------------------------------------------------------------------

RULES = build("""
domain: d
descriptors:
  - key: hot
    rate_limit: {unit: minute, requests_per_unit: 60000}
    lease: {max_share: 0.5, max_ms: 1000}
    on_store_failure: allow
  - key: cold
    rate_limit: {unit: minute, requests_per_unit: 60000}
    on_store_failure: allow
  - key: quota
    rate_limit: {unit: minute, requests_per_unit: 60000}
    lease: {max_share: 0.5, max_ms: 1000}
    quota_mode: true
""")


class Store:
    """A BucketStore that answers at once, and a failure switch."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked: list[Charge] = []
        self.cells: Cells = {}

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:
        self.asked += charges
        if self.error:
            done((), self.error)
        else:
            done(twin.take(self.cells, [charges], 1_000_000_000), None)


async def test_an_answer_from_a_block_does_not_mean_that_the_store_is_back() -> None:
    store, watch, clock = Store(), Watch(), ManualClock()
    buckets = leases.LeasedBuckets(
        store, clock, replicas=lambda: 1, call_later=World(MINUTE, LEASE).call_later
    )
    limiter = make_limiter(RULES, buckets, watch=watch, clock=clock)

    async def ask(key: str) -> Status:
        asked = limiter.ask(limiter.edition, "d", [Descriptor(entries=((key, "v"),))])
        return (await limiter.check(asked, None)).statuses[0]

    remaining = [(await ask("hot")).remaining for _ in range(20)]
    assert remaining == list(range(59_999, 59_979, -1))
    store.error = Unavailable("gone")
    for _ in range(3):
        assert (await ask("cold")).limit is None
        assert (await ask("hot")).limit is not None, "from the block"
    assert watch.told == ["away: gone"]
    store.error = None
    await ask("cold")
    assert watch.told == ["away: gone", "back: 0 s, 3 undecided"]


async def test_only_what_is_refused_for_good_is_leased() -> None:
    store, clock = Store(), ManualClock()
    call_later = World(MINUTE, LEASE).call_later
    buckets = leases.LeasedBuckets(store, clock, replicas=lambda: 1, call_later=call_later)
    limiter = make_limiter(RULES, buckets, clock=clock)
    asked = limiter.ask(limiter.edition, "d", [Descriptor(entries=(("quota", "v"),))])
    for _ in range(20):
        await limiter.check(asked, None)
    assert len(store.asked) == 20
