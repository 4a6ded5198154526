"""What a bucket is told by its rule, and how much there may be of everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chassis.errors import Exhausted, Unavailable
from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.core.plan import Policy
from ratelimit_service.core.share import Block, Order
from ratelimit_service.service import quotas as quotas_module
from ratelimit_service.service.quotas import SILENT_SECONDS, Quotas, Usage
from ratelimit_service.storage.memory import MemoryBuckets
from tests.limiting import ManualClock, Rules, make_limiter
from tests.unit.ratelimit_service.core.test_rules import build
from tests.unit.ratelimit_service.service.envoys import DOMAIN, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.charge import Charge
    from ratelimit_service.core.descriptor import Entries
    from ratelimit_service.core.share import Action
    from ratelimit_service.service import Done
    from ratelimit_service.service.quotas import Stream

RULES = build("""
domain: d
descriptors:
  - key: ten
    rate_limit: {unit: hour, requests_per_unit: 10}
  - key: none
    rate_limit: {unit: hour, requests_per_unit: 0}
  - key: free
    rate_limit: {unlimited: true}
  - key: watched
    rate_limit: {unit: hour, requests_per_unit: 10}
    shadow_mode: true
  - key: open
    rate_limit: {unit: hour, requests_per_unit: 10}
    on_store_failure: allow
  - key: shut
    rate_limit: {unit: hour, requests_per_unit: 10}
    on_store_failure: deny
  - key: both
    limits:
      - {unit: hour, requests_per_unit: 100}
      - {unit: minute, requests_per_unit: 20}
  - key: window
    rate_limit: {unit: hour, requests_per_unit: 10, algorithm: fixed_window}
  - key: sliding
    rate_limit: {unit: hour, requests_per_unit: 10, algorithm: sliding_window}
  - key: user
    descriptors:
      - key: path
        rate_limit: {unit: hour, requests_per_unit: 10}
""")


class House:
    """A service, and one stream of it."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.world = World(RULES)
        self.clock = self.world.clock
        self.limiter = make_limiter(RULES, self.world, clock=self.clock, policy=policy)
        self.quotas = Quotas(self.limiter, self.world, self.clock, self.world.call_later)
        self.stream = self.join()

    def join(self) -> Stream:
        return self.quotas.join(lambda: None)

    def report(self, allowed: int = 1, denied: int = 0, **pairs: str) -> Action | None:
        """Report a bucket; return what is told of it."""
        return self.report_of(tuple(sorted(pairs.items())), allowed, denied)

    def report_of(self, bucket: Entries, allowed: int = 1, denied: int = 0) -> Action | None:
        usage = Usage(bucket=bucket, allowed=allowed, denied=denied)
        self.stream.report(DOMAIN, usage)
        told = self.stream.take(100)
        self.stream.sent(told)
        return told[-1].action if told else None

    def left(self, *entries: tuple[str, str]) -> int:
        """Return what a ShouldRateLimit caller would see."""
        asked = self.limiter.ask(
            self.limiter.edition, DOMAIN, (Descriptor(entries=entries, hits=0),)
        )
        found: list[int] = []
        self.limiter.decide(
            asked, None, lambda said, _: found.append(said.statuses[0].remaining if said else -1)
        )
        return found[0]


@pytest.mark.parametrize(
    ("key", "order"),
    [
        ("unknown", Order.ALLOW),
        ("free", Order.ALLOW),
        ("none", Order.DENY),
        ("watched", Order.ALLOW),
    ],
)
def test_what_needs_no_tokens_is_told_in_one_word(key: str, order: Order) -> None:
    house = House()
    assert house.report_of(((key, "x"),)) is order
    house.world.run(5)
    assert house.report_of(((key, "x"),)) is order, "each report prolongs it"


def test_a_shadow_limit_lets_everything_pass_and_counts_it() -> None:
    house = House()
    house.report(3, watched="x")
    assert house.left(("watched", "x")) == 7
    house.report(100, watched="x")
    assert house.left(("watched", "x")) == 0
    assert house.report(1, watched="x") is Order.ALLOW


def test_global_shadow_mode_refuses_nothing() -> None:
    house = House(Policy(shadow_mode=True))
    assert house.report(2, ten="x") is Order.ALLOW
    assert house.report(none="x") is Order.ALLOW
    assert house.left(("ten", "x")) == 8


def test_tokens_leave_every_limit_of_a_rule() -> None:
    house = House()
    told = house.report(0, 1, both="x")
    assert isinstance(told, Block)
    assert told.tokens == 10, "half of the smaller"
    assert house.left(("both", "x")) == 10


def test_the_counter_is_that_of_the_callers_who_send_the_entries_as_the_rules_do() -> None:
    house = House()
    told = house.report(0, 1, path="/", user="x")
    assert told == Block(5, 1)
    assert house.left(("user", "x"), ("path", "/")) == 5


@pytest.mark.parametrize("key", ["window", "sliding"])
def test_windows_are_shared_and_get_nothing_back(key: str) -> None:
    house = House()
    told = house.report_of(((key, "x"),), 0, 1)
    assert isinstance(told, Block)
    for _ in range(10):
        house.world.run(5)
        house.report_of(((key, "x"),), 0, 0)
    assert house.quotas.counts.tokens_returned == 0
    assert house.left((key, "x")) == 10 - house.quotas.counts.tokens_granted


def test_an_empty_bucket_is_refused_until_tokens_are_there() -> None:
    house = House()
    assert isinstance(house.report(0, 1, ten="x"), Block)
    other = house.join()
    for _ in range(4):
        other.report(DOMAIN, Usage(bucket=(("ten", "x"),), denied=100, elapsed=5.0))
        house.world.run(1)
    assert house.left(("ten", "x")) == 0
    third = house.join()
    third.report(DOMAIN, Usage(bucket=(("ten", "x"),), denied=1))
    assert [told.action for told in third.take(9)] == [Order.DENY]
    house.world.run(1200)
    assert house.left(("ten", "x")) >= 0


@pytest.mark.parametrize(
    ("key", "told"), [("ten", None), ("open", Order.ALLOW), ("shut", Order.DENY)]
)
def test_without_the_store_the_rule_decides(key: str, told: Order | None) -> None:
    house = House()
    house.world.store_is_away = True
    assert house.report_of(((key, "x"),), 0, 1) is told
    house.world.store_is_away = False
    house.world.run(5)
    assert isinstance(house.report_of(((key, "x"),), 0, 1), Block)


def test_before_there_are_rules_nothing_is_told() -> None:
    clock = ManualClock()
    store = MemoryBuckets(clock)
    limiter = make_limiter(None, store, clock=clock)
    quotas = Quotas(limiter, store, clock, World(RULES).call_later)
    stream = quotas.join(lambda: None)
    stream.report(DOMAIN, Usage(bucket=(("ten", "x"),), denied=1))
    assert stream.take(9) == []


def test_new_rules_hold_with_the_next_report() -> None:
    house = House()
    assert isinstance(house.report(0, 1, ten="x"), Block)
    rules: Rules = house.limiter._rules  # type: ignore[assignment]
    rules.current = build("""
domain: d
descriptors:
  - key: ten
    rate_limit: {unit: hour, requests_per_unit: 0}
""")
    house.world.run(5)
    assert house.report(0, 1, ten="x") is Order.DENY
    assert not house.quotas.pools
    rules.current = RULES
    house.world.run(5)
    assert isinstance(house.report(0, 1, ten="x"), Block)


def test_reports_are_counted_for_their_rule() -> None:
    house = House()
    house.report(3, 2, ten="x")
    tally = house.limiter.books.tallies.by_key["d.ten"]
    assert (tally.total_hits, tally.within_limit, tally.over_limit) == (5, 3, 2)


def test_a_report_without_use_of_an_unknown_bucket_is_no_subscription() -> None:
    house = House()
    assert house.report(0, 0, ten="x") is Order.ABANDON
    assert house.quotas.buckets == 0


def test_buckets_beyond_the_bound_are_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas_module, "MAX_BUCKETS_PER_STREAM", 3)
    house = House()
    told = [house.report(ten=str(number)) for number in range(5)]
    assert [one is not None for one in told] == [True, True, True, False, False]
    assert house.quotas.counts.refused_buckets == 2
    monkeypatch.setattr(quotas_module, "MAX_BUCKETS", 4)
    other = house.join()
    for number in range(3):
        other.report(DOMAIN, Usage(bucket=(("ten", str(number)),), allowed=1))
    assert house.quotas.buckets == 4


def test_streams_beyond_the_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas_module, "MAX_STREAMS", 2)
    house = House()
    second = house.join()
    with pytest.raises(Exhausted, match="add replicas"):
        house.join()
    second.close()
    house.join()


def test_who_does_not_read_is_told_the_latest_only() -> None:
    house = House()
    for _ in range(50):
        house.stream.report(DOMAIN, Usage(bucket=(("ten", "x"),), denied=9))
        house.world.run(5)
    assert len(house.stream.take(100)) == 1


def test_ids_nobody_uses_do_not_pile_up_for_who_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quotas_module, "MAX_BUCKETS_PER_STREAM", 10)
    house = House()
    for number in range(100):
        house.stream.report(DOMAIN, Usage(bucket=(("ten", str(number)),)))
    assert len(house.stream.take(1000)) == 10


def test_buckets_that_are_reported_no_more_are_forgotten() -> None:
    house = House()
    house.report(0, 1, ten="gone")
    for _ in range(int(SILENT_SECONDS // 5) + 3):
        house.world.run(5)
        house.report(1, 0, ten="here")
        house.stream.sweep()
    assert [sub.bucket for sub in house.stream.subscriptions.values()] == [(("ten", "here"),)]
    assert house.quotas.buckets == 1


def test_a_draining_service_ends_its_streams_and_takes_no_new() -> None:
    house = House()
    woken: list[bool] = []
    stream = house.quotas.join(lambda: woken.append(True))
    house.quotas.drain()
    assert stream.ended
    assert woken
    with pytest.raises(Unavailable, match="connect again"):
        house.join()


def test_a_closed_stream_leaves_nothing_behind() -> None:
    house = House()
    for number in range(5):
        house.report(ten=str(number))
    house.stream.close()
    quotas = house.quotas
    assert (quotas.buckets, quotas.pools, quotas.streams) == (0, {}, set())


class LateStore:
    """A BucketStore that answers when it is told to."""

    def __init__(self, clock: ManualClock) -> None:
        self.waiting: list[tuple[Sequence[Charge], Done]] = []
        self.buckets = MemoryBuckets(clock)

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:
        self.waiting.append((charges, done))

    def answer(self) -> None:
        waiting, self.waiting = self.waiting, []
        for charges, done in waiting:
            self.buckets.take(charges, None, done)


def test_tokens_taken_for_a_stream_that_has_gone_go_back() -> None:
    house = House()
    store = LateStore(house.clock)
    quotas = Quotas(house.limiter, store, house.clock, house.world.call_later)
    stay, go = quotas.join(lambda: None), quotas.join(lambda: None)
    bucket: Entries = (("ten", "x"),)
    for stream in (stay, go):
        stream.report(DOMAIN, Usage(bucket=bucket, denied=1))
    store.answer()  # the look
    go.close()
    while store.waiting:
        store.answer()
    (told,) = stay.take(9)
    assert isinstance(told.action, Block)
    counts = quotas.counts
    assert counts.tokens_granted - counts.tokens_returned == told.action.tokens


def test_who_is_slower_than_another_replica_gets_what_is_left() -> None:
    house = House()
    store = LateStore(house.clock)
    streams = []
    for _ in range(2):
        quotas = Quotas(house.limiter, store, house.clock, house.world.call_later)
        streams.append(quotas.join(lambda: None))
        streams[-1].report(DOMAIN, Usage(bucket=(("ten", "x"),), denied=100, elapsed=5.0))
    while store.waiting:
        store.answer()  # both look before either takes
    first, second = (stream.take(9)[0].action for stream in streams)
    assert isinstance(first, Block)
    assert (first.tokens, second) == (10, Order.DENY)
