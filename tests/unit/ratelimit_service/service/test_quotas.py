"""Limits shared among Envoys: never more than the limit, and nothing idle that somebody wants."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.core.limit import Unit
from ratelimit_service.core.share import MAX_AGE_SECONDS, TTL_SECONDS, Block, Order
from tests.unit.ratelimit_service.core.test_rules import build
from tests.unit.ratelimit_service.service.envoys import DOMAIN, Envoy, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.descriptor import Entries
    from ratelimit_service.core.rule import RuleSet

ALICE: Entries = (("user", "alice"),)
# How long a token may be held between leaving the bucket and being spent.
HELD_SECONDS = MAX_AGE_SECONDS + TTL_SECONDS


def limit(requests: int, unit: Unit, burst: int | None = None) -> RuleSet:
    size = "" if burst is None else f", burst: {burst}"
    rate_limit = f"{{unit: {unit.name.lower()}, requests_per_unit: {requests}{size}}}"
    return build(f"domain: d\ndescriptors:\n  - {{key: user, rate_limit: {rate_limit}}}\n")


def call(world: World, count: int) -> int:
    """Make ShouldRateLimit calls; return how many passed."""
    limiter = world.limiters[0]
    asked = limiter.ask(limiter.edition, DOMAIN, (Descriptor(entries=ALICE),))
    passed: list[bool] = []
    for _ in range(count):
        limiter.decide(
            asked, None, lambda said, _: passed.append(said is not None and not said.over)
        )
    return sum(passed)


@dataclass(frozen=True)
class Act:
    """Something that happens, and the seconds that pass after it."""

    kind: str
    who: int
    how_many: int
    seconds: float


class Story:
    """A world, and what has passed in it."""

    def __init__(self, rules: RuleSet, rush: int, delays: Sequence[float]) -> None:
        self.world = World(rules, replicas=3)
        self.delays = delays
        self.messages = 0
        self.rush_size = rush
        self.called = 0
        self.envoys = [self.new(0), self.new(1)]

    def new(self, replica: int) -> Envoy:
        return Envoy(self.world, self.delay, replica=replica)

    def delay(self) -> float:
        self.messages += 1
        return self.delays[self.messages % len(self.delays)]

    @property
    def passed(self) -> int:
        return self.called + sum(envoy.admitted for envoy in self.envoys)

    def play(self, act: Act) -> None:
        getattr(self, act.kind)(self.envoys[act.who % len(self.envoys)], act)

    def ask(self, envoy: Envoy, act: Act) -> None:
        envoy.requests(ALICE, act.how_many)

    def rush(self, envoy: Envoy, act: Act) -> None:
        for one in self.envoys:  # the lost and the dead as well: what they hold they may spend
            one.requests(ALICE, self.rush_size)

    def caller(self, envoy: Envoy, act: Act) -> None:
        self.called += call(self.world, act.how_many)

    def lose(self, envoy: Envoy, act: Act) -> None:
        envoy.break_link()

    def kill(self, envoy: Envoy, act: Act) -> None:
        envoy.kill()

    def join(self, envoy: Envoy, act: Act) -> None:
        if len(self.envoys) < 6:
            self.envoys.append(self.new(act.how_many % 3))

    def move(self, envoy: Envoy, act: Act) -> None:
        envoy.replica = act.how_many % 3
        envoy.break_link()

    def drain(self, envoy: Envoy, act: Act) -> None:
        self.world.replicas[envoy.replica].drain()

    def store(self, envoy: Envoy, act: Act) -> None:
        self.world.store_is_away = not self.world.store_is_away


ACTS = st.builds(
    Act,
    kind=st.sampled_from(
        ["ask"] * 6 + ["rush"] * 3 + ["caller", "lose", "kill", "join", "move", "drain", "store"]
    ),
    who=st.integers(0, 5),
    how_many=st.integers(0, 30),
    seconds=st.one_of(st.floats(0, 2), st.sampled_from([0.0, 5.0, 6.0, 12.0])),
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    requests=st.integers(1, 300),
    unit=st.sampled_from([Unit.HOUR, Unit.HOUR, Unit.MINUTE, Unit.SECOND]),
    burst=st.one_of(st.none(), st.integers(1, 300)),
    acts=st.lists(ACTS, min_size=5, max_size=40),
    # Together less than SETTLE_SECONDS, there and back.
    delays=st.lists(st.floats(0, 1.9), min_size=1, max_size=20),
)
def test_all_envoys_together_never_pass_more_than_the_limit(
    requests: int, unit: Unit, burst: int | None, acts: list[Act], delays: list[float]
) -> None:
    capacity, rate = requests if burst is None else burst, Fraction(requests, unit.seconds)
    story = Story(limit(requests, unit, burst), capacity, delays)
    history: list[tuple[float, int]] = []
    for act in acts:
        before = story.passed
        story.play(act)
        now = story.world.elapsed
        assert story.passed <= capacity + rate * Fraction(now)
        history.append((now, before))
        for began, passed in history:
            span = Fraction(now - began + HELD_SECONDS)
            assert story.passed - passed <= capacity + rate * span, "in any span of time"
        story.world.run(act.seconds)


# -- who gets what --------------------------------------------------------------------------------


def under_load(world: World, loads: dict[Envoy, float], seconds: float) -> list[int]:
    """Call so many times a second; return how many of each Envoy's passed."""
    before = [envoy.admitted for envoy in loads]
    owed = dict.fromkeys(loads, 0.0)
    for _ in range(round(seconds / 0.05)):
        for envoy, rate in loads.items():
            owed[envoy] += rate * 0.05
            envoy.requests(ALICE, int(owed[envoy]))
            owed[envoy] %= 1
        world.run(0.05)
    return [envoy.admitted - had for envoy, had in zip(loads, before, strict=True)]


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_busy_envoy_gets_what_a_quiet_one_does_not_use(replicas: int) -> None:
    world = World(limit(50, Unit.SECOND), replicas)
    busy, quiet = Envoy(world), Envoy(world, replica=replicas - 1)
    under_load(world, {busy: 200, quiet: 5}, 10)
    had_busy, had_quiet = under_load(world, {busy: 200, quiet: 5}, 30)
    assert had_quiet >= 0.7 * 5 * 30, "it asks for less than its part"
    assert had_busy + had_quiet >= 0.9 * 50 * 30, "nothing lies idle"


def test_two_that_ask_for_too_much_get_about_the_same() -> None:
    world = World(limit(50, Unit.SECOND))
    loads = {Envoy(world): 100.0, Envoy(world): 1000.0}
    under_load(world, loads, 10)
    one, other = under_load(world, loads, 30)
    assert one + other >= 0.9 * 50 * 30
    assert min(one, other) >= 0.4 * 50 * 30


def test_nobody_is_refused_while_there_is_enough_for_all() -> None:
    world = World(limit(1000, Unit.SECOND))
    loads = {Envoy(world): 300.0, Envoy(world): 100.0, Envoy(world): 10.0}
    under_load(world, loads, 10)
    refused = sum(envoy.refused for envoy in loads)
    passed = under_load(world, loads, 30)
    assert sum(passed) >= 0.97 * 410 * 30
    assert sum(envoy.refused for envoy in loads) - refused <= 0.03 * 410 * 30


def test_demand_that_moves_takes_the_tokens_along() -> None:
    world = World(limit(50, Unit.SECOND))
    one, other = Envoy(world), Envoy(world)
    under_load(world, {one: 200, other: 2}, 15)
    under_load(world, {one: 2, other: 200}, 10)
    _, had_other = under_load(world, {one: 2, other: 200}, 10)
    assert had_other >= 0.85 * 48 * 10


def test_the_survivor_gets_what_a_dead_envoy_had() -> None:
    world = World(limit(50, Unit.SECOND))
    one, other = Envoy(world), Envoy(world)
    under_load(world, {one: 200, other: 200}, 15)
    one.kill()
    (had,) = under_load(world, {other: 200}, 10)
    assert had >= 0.9 * 50 * 10


def test_a_silent_envoy_gets_no_more() -> None:
    world = World(limit(50, Unit.SECOND))
    hung, other = Envoy(world), Envoy(world)
    under_load(world, {hung: 200, other: 200}, 15)
    hung.hang()
    under_load(world, {other: 200}, TTL_SECONDS)
    (had,) = under_load(world, {other: 200}, 10)
    assert had >= 0.9 * 50 * 10


def test_shouldratelimit_callers_share_the_bucket() -> None:
    world = World(limit(100, Unit.HOUR))
    envoy = Envoy(world)
    assert call(world, 60) == 60
    envoy.request(ALICE)
    world.run(1)
    assert envoy.requests(ALICE, 100) == 20, "a newcomer gets half of what is there"
    assert call(world, 100) == 20


# -- exact accounts -------------------------------------------------------------------------------


def test_what_was_not_spent_can_be_had_by_others_after_the_reports() -> None:
    world = World(limit(100, Unit.HOUR))
    holder, other = Envoy(world), Envoy(world)
    holder.request(ALICE)
    world.run(1)
    assert call(world, 100) == 50, "the holder has the rest"
    world.run(30)
    # It asked for nothing, so that it was given less, and what it had went back.
    assert call(world, 100) >= 44
    assert world.replicas[0].counts.tokens_returned == 50
    assert other.admitted == 0


def test_a_lost_envoy_may_still_spend_so_nothing_goes_back() -> None:
    world = World(limit(100, Unit.HOUR))
    lost = Envoy(world)
    lost.request(ALICE)
    world.run(1)
    lost.break_link()
    world.run(1)
    assert call(world, 100) + lost.requests(ALICE, 100) == 100


def test_a_drained_replica_gives_nothing_back_that_may_be_spent() -> None:
    world = World(limit(100, Unit.HOUR), replicas=2)
    envoy = Envoy(world)
    envoy.request(ALICE)
    world.run(1)
    world.replicas[0].drain()
    world.run(0.1)
    assert envoy.link is None
    envoy.replica = 1
    passed = envoy.requests(ALICE, 100) + call(world, 100)
    assert passed == 100
    world.run(20)
    assert envoy.link is not None, "it has gone to the other"
    assert passed + envoy.requests(ALICE, 100) + call(world, 100) <= 100


def test_a_late_block_is_not_spent_twice() -> None:
    delays = iter([0.0, 0.0, 0.0, 1.9, 1.9])
    world = World(limit(100, Unit.HOUR))
    slow = Envoy(world, lambda: next(delays, 1.9))
    slow.request(ALICE)
    world.run(1)
    passed = 0
    for _ in range(60):
        passed += call(world, 1) + slow.requests(ALICE, 1)
        world.run(1)
    passed += slow.requests(ALICE, 100) + call(world, 100)
    assert passed <= 100 + 1, "an hour's limit gives one in a minute"


def test_what_passes_before_the_first_assignment_is_charged_when_it_is_reported() -> None:
    world = World(limit(100, Unit.HOUR))
    envoy = Envoy(world, lambda: 0.5, lenient=True)
    assert envoy.requests(ALICE, 30) == 30
    world.run(2)
    assert call(world, 200) == 49, "one was reported at once, and then half was given"
    assert envoy.requests(ALICE, 60) == 50
    world.run(6)
    assert world.replicas[0].counts.tokens_overspent == 30
    world.run(36 * 29)
    assert call(world, 1) == 0, "an hour's limit has paid for twenty-nine"
    world.run(36 * 2)
    assert call(world, 1) == 1


def test_an_idle_bucket_is_abandoned_and_the_next_request_subscribes_anew() -> None:
    world = World(limit(100, Unit.HOUR))
    envoy = Envoy(world)
    envoy.request(ALICE)
    world.run(26)
    assert not envoy.buckets
    assert envoy.told[-1] is Order.ABANDON
    quotas = world.replicas[0]
    assert (quotas.buckets, len(quotas.pools)) == (0, 0)
    envoy.request(ALICE)
    world.run(0.1)
    assert isinstance(envoy.told[-1], Block)
    assert call(world, 100) + envoy.requests(ALICE, 100) >= 95, "at most its last block was lost"


def test_one_that_was_busy_is_abandoned_as_soon() -> None:
    world = World(limit(40, Unit.SECOND))
    envoy = Envoy(world)
    under_load(world, {envoy: 5}, 23)
    told = len(envoy.told)
    world.run(36)
    assert not envoy.buckets
    assert Order.DENY not in envoy.told[told:], "there was enough all the time"


def test_without_the_store_nothing_is_told_and_streams_stay() -> None:
    world = World(limit(100, Unit.SECOND))
    envoy = Envoy(world)
    under_load(world, {envoy: 50}, 10)
    told, link = len(envoy.told), envoy.link
    world.store_is_away = True
    under_load(world, {envoy: 50}, TTL_SECONDS + 11)
    new_blocks = {action for action in envoy.told[told:] if isinstance(action, Block)}
    assert new_blocks <= set(envoy.told[:told]), "at most what it has is prolonged"
    assert envoy.link is link
    assert under_load(world, {envoy: 50}, 5) == [0], "Envoy does as it is configured to"
    world.store_is_away = False
    under_load(world, {envoy: 50}, 6)
    assert under_load(world, {envoy: 50}, 10)[0] >= 0.95 * 500
