"""What is counted of requests, by rule and by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.tally import Tally
from ratelimit_service.service import books
from tests.limiting import ManualClock, make_limiter
from tests.unit.ratelimit_service.core.test_rules import build
from tests.unit.ratelimit_service.service.test_limiter import Store

if TYPE_CHECKING:
    from ratelimit_service.service import Limiter

RULES = build("""
domain: d
descriptors:
  - key: user
    rate_limit: {unit: minute, requests_per_unit: 10}
  - key: plan
    value_to_metric: true
    rate_limit: {unit: minute, requests_per_unit: 10}
  - key: shadow
    shadow_mode: true
    rate_limit: {unit: minute, requests_per_unit: 2}
""")


async def ask(limiter: Limiter, *entries: tuple[str, str], hits: int = 1) -> None:
    descriptors = [Descriptor(entries=(entry,), hits=hits) for entry in entries]
    await limiter.check(limiter.ask(limiter.edition, "d", descriptors), None)


def tally(limiter: Limiter, key: str) -> Tally:
    limiter.books.bring_up()
    return limiter.books.tallies.by_key[key]


async def test_a_rule_has_one_tally_whatever_the_values() -> None:
    limiter = make_limiter(RULES, Store())
    for user in ("alice", "bob"):
        for _ in range(6):
            await ask(limiter, ("user", user), hits=2)
    # Of ten, eight are far and two near; the sixth call of two does not fit.
    assert tally(limiter, "d.user") == Tally(
        total_hits=24, within_limit=20, near_limit=4, over_limit=4
    )


async def test_value_to_metric_has_one_by_value() -> None:
    limiter = make_limiter(RULES, Store())
    await ask(limiter, ("plan", "gold"))
    await ask(limiter, ("plan", "free"))
    assert tally(limiter, "d.plan_gold").total_hits == tally(limiter, "d.plan_free").total_hits == 1


async def test_shadow_hits_are_over_and_shadowed() -> None:
    limiter = make_limiter(RULES, Store())
    for _ in range(3):
        await ask(limiter, ("shadow", "x"))
    assert tally(limiter, "d.shadow") == Tally(
        total_hits=3, within_limit=2, near_limit=1, over_limit=1, shadow_mode=1
    )


async def test_several_descriptors_count_each() -> None:
    limiter = make_limiter(RULES, Store())
    await ask(limiter, ("user", "a"), ("plan", "gold"), hits=10)
    await ask(limiter, ("user", "a"), ("plan", "free"), hits=3)
    assert tally(limiter, "d.user") == Tally(
        total_hits=13, within_limit=10, near_limit=2, over_limit=3
    )
    # It was refused for the other's sake, and would itself have passed.
    assert tally(limiter, "d.plan_free") == Tally(total_hits=3, within_limit=3)


async def test_looks_and_refunds_are_no_hits() -> None:
    limiter = make_limiter(RULES, Store())
    await ask(limiter, ("user", "a"), hits=0)
    await ask(limiter, ("user", "a"), hits=-5)
    assert tally(limiter, "d.user") == Tally()
    assert limiter.books.hottest(10, "")[0] == []


async def test_limits_that_requests_bring_along_share_the_tally_of_their_domain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ratelimit_service.core.tally.MAX_TALLIES", 3)
    limiter = make_limiter(RULES, Store())
    override = Limit(requests_per_unit=5, unit=Unit.MINUTE)
    for value in range(20):
        descriptor = Descriptor(entries=(("any", str(value)),), override=override)
        await limiter.check(limiter.ask(limiter.edition, "d", [descriptor]), None)
    limiter.books.bring_up()
    assert len(limiter.books.tallies.by_key) == 4
    assert limiter.books.tallies.by_key["d"].total_hits == 17


async def test_hot_keys_are_told_by_domain_entries_and_rule() -> None:
    clock = ManualClock()
    limiter = make_limiter(RULES, Store(), clock=clock)
    for _ in range(12):
        await ask(limiter, ("user", "greedy"))
    await ask(limiter, ("user", "modest"), ("nobody", "x"))
    clock.seconds += 2
    hottest, seconds = limiter.books.hottest(2, "d")
    assert seconds == 2
    assert hottest[0].key == ("d", (("user", "greedy"),), "d.user")
    assert hottest[0].hits_per_second == 6.0
    assert hottest[0].over_share == pytest.approx(2 / 12)
    assert len(hottest) == 2
    assert limiter.books.hottest(5, "other")[0] == []
    assert ("d", (("nobody", "x"),), "") in [hot.key for hot in limiter.books.hottest(5, "")[0]]


async def test_no_hit_is_lost_when_many_different_requests_come() -> None:
    limiter = make_limiter(RULES, Store())
    for user in range(3 * books.MAX_WAITING):
        await ask(limiter, ("user", str(user)))
    assert tally(limiter, "d.user").total_hits == 3 * books.MAX_WAITING


async def test_where_many_come_that_are_not_kept_a_sample_stands_for_them() -> None:
    clock = ManualClock()
    limiter = make_limiter(RULES, Store(), clock=clock)
    limiter.books.bring_up()
    for _ in range(books.MAX_WAITING + 100 * books.SAMPLE):
        await ask(limiter, ("user", "often"))
    assert len(limiter.books._waiting) < books.MAX_WAITING
    clock.seconds += 1
    (hottest, *_), seconds = limiter.books.hottest(1, "d")
    hits = books.MAX_WAITING + 100 * books.SAMPLE
    assert hottest.hits_per_second * seconds == pytest.approx(hits, rel=0.05)
    assert tally(limiter, "d.user").total_hits == hits
    assert tally(limiter, "d.user").over_limit == hits - 10


async def test_what_callers_send_by_the_megabyte_is_neither_kept_nor_told_whole() -> None:
    limiter = make_limiter(RULES, Store())
    huge = "x" * 2**20
    await ask(limiter, ("user", huge))
    await ask(limiter, ("user", huge))
    await ask(limiter, (huge, "nobody"))
    assert not limiter.books._waiting, "nothing waits to be gathered"
    override = Limit(requests_per_unit=5, unit=Unit.MINUTE)
    many = Descriptor(entries=(("user", huge),) * 50, override=override)
    await limiter.check(limiter.ask(limiter.edition, "d", [many]), None)
    hottest, _ = limiter.books.hottest(10, "")
    assert (hottest[0].key[1], hottest[0].key[2]) == ((("user", f"{'x' * 32}…"),), "d.user")
    assert len(hottest) == 3
    assert len(repr(hottest)) < 2000
