"""What a request meets when the store answers, fails or is too busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chassis.errors import Exhausted, SluiceError, Unavailable
from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.core.plan import Policy
from ratelimit_service.core.take import take
from tests.limiting import ManualClock, Watch, make_limiter
from tests.unit.ratelimit_service.core.test_rules import build

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.charge import Charge
    from ratelimit_service.core.take import Cells
    from ratelimit_service.service import Done, Limiter

START = 1_795_561_835
RULES = build("""
domain: d
descriptors:
  - key: ten
    rate_limit: {unit: minute, requests_per_unit: 10, name: tenner}
  - key: two
    rate_limit: {unit: hour, requests_per_unit: 2}
  - key: none
    rate_limit: {unit: day, requests_per_unit: 0}
  - key: free
    rate_limit: {unlimited: true}
  - key: open
    rate_limit: {unit: hour, requests_per_unit: 2}
    on_store_failure: allow
  - key: shut
    rate_limit: {unit: hour, requests_per_unit: 2}
    on_store_failure: deny
  - key: own
    rate_limit: {unit: hour, requests_per_unit: 8}
    on_store_failure: local
  - key: office
    rate_limit:
      unit: hour
      requests_per_unit: 1
      schedule:
        - {from: "08:00", to: "18:00", requests_per_unit: 3}
""")


class Store:
    """A BucketStore with a frozen clock and a failure switch."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.cells: Cells = {}
        self.asked = 0

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:
        self.asked += 1
        if self.error:
            done((), self.error)
        else:
            done(take(self.cells, [charges], START * 1_000_000), None)


async def over(limiter: Limiter, *keys: str, hits: int = 1) -> bool:
    descriptors = [Descriptor(entries=((key, "v"),), hits=hits) for key in keys]
    asked = limiter.ask(limiter.edition, "d", descriptors)
    return (await limiter.check(asked, None)).over


async def test_passes_and_refusals_are_counted() -> None:
    limiter = make_limiter(RULES, Store())
    assert [await over(limiter, "two") for _ in range(3)] == [False, False, True]
    counts = limiter.books.counts
    assert (counts.ok, counts.over_limit) == (2, 1)


async def test_what_needs_no_store_does_not_ask_it() -> None:
    store = Store()
    limiter = make_limiter(RULES, store)
    assert not await over(limiter, "free", "nobody")
    assert await over(limiter, "none")
    assert not store.asked


@pytest.mark.parametrize("trouble", [Unavailable("away"), Exhausted("too many")])
async def test_rules_decide_when_the_store_does_not(trouble: SluiceError) -> None:
    store = Store()
    store.error = trouble
    limiter = make_limiter(RULES, store)
    assert not await over(limiter, "open")
    assert await over(limiter, "shut")
    with pytest.raises(type(trouble)):
        await over(limiter, "ten")
    counts = limiter.books.counts
    assert (counts.store_failures, counts.allowed_without_store) == (3, 1)
    assert counts.denied_without_store == 1


async def test_a_rule_may_count_here_at_its_share_from_what_was_left() -> None:
    store = Store()
    limiter = make_limiter(RULES, store, replicas=2, clock=ManualClock())
    assert not await over(limiter, "own", hits=4)  # half of it: half of the share is left, too
    store.error = Unavailable("away")
    assert [await over(limiter, "own") for _ in range(3)] == [False, False, True]
    store.error = None
    assert not await over(limiter, "own", hits=4)  # what was counted here is not told to the store


async def test_a_rule_that_leaves_it_open_decides_for_the_whole_request() -> None:
    store = Store()
    store.error = Unavailable("away")
    limiter = make_limiter(RULES, store)
    with pytest.raises(Unavailable):
        await over(limiter, "open", "ten")
    assert await over(limiter, "open", "shut")


async def test_each_absence_is_told_once_however_many_meet_it() -> None:
    store, watch, clock = Store(), Watch(), ManualClock()
    limiter = make_limiter(RULES, store, watch=watch, clock=clock)
    for _ in range(2):
        await over(limiter, "open")
        store.error = Unavailable("gone")
        for _ in range(5):
            await over(limiter, "open")
        clock.seconds += 7
        store.error = None
        await over(limiter, "own")
    assert watch.told == ["away: gone", "back: 7 s, 5 undecided"] * 2


async def test_a_bug_in_the_store_is_not_taken_for_its_absence() -> None:
    store = Store()
    store.error = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        await over(make_limiter(RULES, store), "open")


async def test_without_rules_the_service_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="no rate limit configuration loaded"):
        await over(make_limiter(None, Store()), "two")


async def test_an_edition_lasts_until_the_hours_of_a_rule_change() -> None:
    clock = ManualClock()
    clock.seconds = START - START % 86_400 + 7.5 * 3600
    limiter = make_limiter(RULES, Store(), clock=clock)
    early = limiter.edition
    clock.seconds += 1700
    assert limiter.edition is early
    assert [await over(limiter, "office") for _ in range(2)] == [False, True]
    clock.seconds += 200
    assert limiter.edition is not early
    # One of one was used, so all of three is: what was used stays used.
    assert await over(limiter, "office")


async def test_global_shadow_mode_lets_pass_and_counts() -> None:
    limiter = make_limiter(RULES, Store(), policy=Policy(shadow_mode=True))
    assert [await over(limiter, "two") for _ in range(3)] == [False, False, False]
    assert limiter.books.counts.global_shadow_mode == 1
