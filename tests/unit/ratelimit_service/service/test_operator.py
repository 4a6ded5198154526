"""What an operator is told of limits and what changes by hand do, on the store's twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chassis.errors import FailedPrecondition, NotFound, Unavailable
from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.core.limit import UNLIMITED_REMAINING, Algorithm, Limit, Unit
from ratelimit_service.core.plan import Policy
from ratelimit_service.service.operator import LONGEST_GRANT_US, Balance, Operator
from ratelimit_service.storage.memory import MemoryBuckets
from tests.limiting import ManualClock, make_limiter
from tests.unit.ratelimit_service.core.test_rules import build

if TYPE_CHECKING:
    from ratelimit_service.core.verdict import Verdict
    from ratelimit_service.service.operator import Explained

SECOND = 1_000_000
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
RULES = build("""
domain: d
descriptors:
  - key: ten
    rate_limit: {unit: minute, requests_per_unit: 10}
  - key: path
    value: /pay
    rate_limit: {unit: hour, requests_per_unit: 3, burst: 5}
  - key: path
    value: /a*
    rate_limit: {unit: hour, requests_per_unit: 4}
  - key: group
    descriptors:
      - key: user
        rate_limit: {unit: minute, requests_per_unit: 1}
  - key: none
    rate_limit: {unit: day, requests_per_unit: 0}
  - key: free
    rate_limit: {unlimited: true}
  - key: quiet
    shadow_mode: true
    rate_limit: {unit: hour, requests_per_unit: 2}
  - key: quota
    quota_mode: true
    rate_limit: {unit: hour, requests_per_unit: 2, algorithm: fixed_window}
  - key: later
    postpaid: true
    rate_limit: {unit: hour, requests_per_unit: 4}
  - key: both
    limits:
      - {unit: second, requests_per_unit: 5}
      - {unit: hour, requests_per_unit: 20, algorithm: sliding_window}
  - key: instead
    limits:
      - {unit: minute, requests_per_unit: 7, name: new}
      - {unit: hour, requests_per_unit: 9, replaces: [{name: old}, {name: other}]}
  - key: office
    rate_limit:
      unit: hour
      requests_per_unit: 1
      schedule:
        - {from: "00:00", to: "24:00", requests_per_unit: 3}
  - key: some
    limits:
      - {unit: minute, requests_per_unit: 5}
      - {unit: day, requests_per_unit: 0}
""")


def of(*entries: tuple[str, str], hits: int = 1, override: Limit | None = None) -> Descriptor:
    return Descriptor(entries=entries, hits=hits, override=override)


class Desk:
    """An operator's place beside a limiter, both on one store."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.clock = ManualClock()
        self.store = MemoryBuckets(self.clock)
        self.limiter = make_limiter(RULES, self.store, policy=policy, clock=self.clock)
        self.operator = Operator(self.limiter, self.store, self.store)

    async def hit(self, *descriptors: Descriptor) -> Verdict:
        asked = self.limiter.ask(self.limiter.edition, "d", descriptors)
        return await self.limiter.check(asked, None)

    async def explain(self, descriptor: Descriptor) -> list[Explained]:
        before = dict(self.store._cells)
        found = (await self.operator.explain("d", descriptor)).found
        assert self.store._cells == before, "Explain changed something"
        return list(found)

    async def balances(self, descriptor: Descriptor) -> list[Balance]:
        before = dict(self.store._cells)
        found = await self.operator.balances("d", descriptor)
        assert self.store._cells == before, "GetBalance changed something"
        return found


# -- explain -------------------------------------------------------------------------------------


async def test_a_limit_says_what_is_left_and_when_it_would_be_whole() -> None:
    desk = Desk()
    await desk.hit(of(("ten", "x"), hits=4))
    (found,) = await desk.explain(of(("ten", "x"), hits=2))
    assert (found.label, found.balance) == ("d.ten", Balance("d.ten", 10, 6, 24 * SECOND))
    assert (found.status.over, found.status.reset_us) == (False, 36 * SECOND)
    (found,) = await desk.explain(of(("ten", "x"), hits=7))
    assert (found.status.over, found.status.reset_us) == (True, 6 * SECOND)


@pytest.mark.parametrize(
    ("descriptor", "policy"),
    [
        (of(("ten", "x"), hits=3), Policy()),
        (of(("ten", "x"), hits=0), Policy()),
        (of(("ten", "x"), hits=-3), Policy()),
        (of(("ten", "x"), hits=2**64 - 1), Policy()),
        (of(("quiet", "x"), hits=3), Policy()),
        (of(("quota", "x"), hits=3), Policy()),
        (of(("quota", "x"), hits=2), Policy()),
        (of(("later", "x"), hits=5), Policy()),
        (of(("later", "x"), hits=3), Policy()),
        (of(("none", "x")), Policy()),
        (of(("free", "x")), Policy()),
        (of(("office", "x"), hits=3), Policy()),
        (of(("group", "a"), ("user", "b"), hits=2), Policy()),
        (of(("any", "x"), hits=3, override=Limit(requests_per_unit=3, unit=Unit.DAY)), Policy()),
        (of(("any", "x"), override=Limit(unit=Unit.DAY)), Policy()),
        (of(("ten", "x"), hits=11), Policy(reference=True)),
        (of(("ten", "x"), hits=3), Policy(reference=True)),
        (of(("ten", "x"), hits=0), Policy(reference=True)),
        (of(("none", "x")), Policy(reference=True)),
        (of(("quiet", "x"), hits=3), Policy(reference=True)),
        (of(("ten", "x"), hits=11), Policy(quota_mode=True)),
        (of(("ten", "x"), hits=11), Policy(shadow_mode=True)),
    ],
    ids=lambda value: value.entries[0][0] if isinstance(value, Descriptor) else "",
)
@pytest.mark.parametrize("used", [0, 1, 9])
async def test_explain_says_what_asking_then_says(
    descriptor: Descriptor, policy: Policy, used: int
) -> None:
    desk = Desk(policy)
    if used:
        await desk.hit(Descriptor(entries=descriptor.entries, hits=used))
        await desk.hit(of(*descriptor.entries, hits=used, override=descriptor.override))
    desk.clock.seconds += 0.25
    (found,) = await desk.explain(descriptor)
    verdict = await desk.hit(descriptor)
    assert [found.status] == list(verdict.statuses)


async def test_each_limit_of_a_descriptor_is_explained_by_itself() -> None:
    desk = Desk()
    await desk.hit(of(("both", "x"), hits=5))
    first, second = await desk.explain(of(("both", "x"), hits=3))
    assert (first.label, first.status.over) == ("d.both", True)
    assert (second.label, second.status.over) == ("d.both#2", False)
    assert second.algorithm is Algorithm.SLIDING_WINDOW
    assert (second.balance.remaining, second.status.remaining) == (15, 12)
    assert first.key != second.key


async def test_it_is_told_what_a_limit_is_called_and_stands_in_for() -> None:
    first, second = await Desk().explain(of(("instead", "x")))
    assert [(one.limit.name, one.replaces) for one in (first, second)] == [
        ("new", ()), ("", ("old", "other")),
    ]  # fmt: skip


async def test_a_limit_of_0_among_several_is_told_by_its_number() -> None:
    (found,) = await Desk().explain(of(("some", "x")))
    assert (found.label, found.status.over, found.key) == ("d.some#2", True, b"")


async def test_an_unlimited_descriptor_has_no_key_and_no_balance() -> None:
    (found,) = await Desk().explain(of(("free", "x")))
    assert (found.key, found.status.remaining) == (b"", UNLIMITED_REMAINING)
    assert found.rule.unlimited


async def test_the_limit_of_the_hour_is_explained() -> None:
    (found,) = await Desk().explain(of(("office", "x")))
    assert (found.label, found.balance.capacity) == ("d.office", 3)


async def test_the_settings_show_in_what_is_explained() -> None:
    (found,) = await Desk(Policy(reference=True)).explain(of(("path", "/pay")))
    assert (found.algorithm, found.balance.capacity) == (Algorithm.FIXED_WINDOW, 3)
    (found,) = await Desk(Policy(quota_mode=True)).explain(of(("ten", "x")))
    assert found.quota


@pytest.mark.parametrize(
    ("entries", "levels"),
    [
        ([("ten", "x")], ["ten"]),
        ([("path", "/pay")], ["path_/pay"]),
        ([("path", "/abc")], ["path_/a*"]),
        ([("group", "a"), ("user", "b")], ["group", "user"]),
    ],
)
async def test_the_path_names_the_levels_that_were_taken(
    entries: list[tuple[str, str]], levels: list[str]
) -> None:
    explanation = await Desk().operator.explain("d", of(*entries))
    assert [branch.pattern for branch in explanation.path] == levels
    assert explanation.found


@pytest.mark.parametrize(
    ("domain", "entries", "why"),
    [
        ("shop", [("ten", "x")], "no rule file has the domain 'shop'; there are: d"),
        ("d", [("nine", "x")], "no descriptor below d fits entry 0, nine=x"),
        ("d", [("path", "/b")], "no descriptor below d fits entry 0, path=/b"),
        ("d", [("ten", "x"), ("y", "z")], "no descriptor below d.ten fits entry 1, y=z"),
        ("d", [("group", "x")], "d.group has no rate_limit of its own; only deeper descriptors"),
        ("d" * 100, [("ten", "x")], f"has the domain '{'d' * 60}…'"),
        ("d", [("k", "v" * 10_000)], f"fits entry 0, k={'v' * 58}…"),
    ],
)
async def test_what_no_limit_applies_to_is_told_with_the_reason(
    domain: str, entries: list[tuple[str, str]], why: str
) -> None:
    explanation = await Desk().operator.explain(domain, of(*entries))
    assert not explanation.found
    assert why in explanation.unmatched_reason


async def test_without_rules_nothing_can_be_said() -> None:
    desk = Desk()
    desk.limiter._rules.current = None  # type: ignore[misc]
    with pytest.raises(Unavailable):
        await desk.operator.explain("d", of(("ten", "x")))


# -- balances ------------------------------------------------------------------------------------


async def test_balances_go_below_zero_where_debts_may_be_made() -> None:
    desk = Desk()
    await desk.hit(of(("later", "x"), hits=3))
    await desk.hit(of(("later", "x"), hits=3))
    assert await desk.balances(of(("later", "x"))) == [
        Balance("d.later", 4, -2, 6 * HOUR // 4),
    ]


async def test_balances_do_not_care_for_the_hits_asked() -> None:
    desk = Desk()
    assert await desk.balances(of(("ten", "x"), hits=99)) == [Balance("d.ten", 10, 10, 0)]
    assert await desk.balances(of(("none", "x"), hits=99)) == [Balance("d.none", 0, 0, 0)]
    assert await desk.balances(of(("free", "x"))) == []


async def test_in_reference_mode_a_whole_window_is_full_now() -> None:
    desk = Desk(Policy(reference=True))
    assert await desk.balances(of(("ten", "x"))) == [Balance("d.ten", 10, 10, 0)]
    await desk.hit(of(("ten", "x"), hits=14))
    (balance,) = await desk.balances(of(("ten", "x")))
    assert balance.remaining == -4
    assert 0 < balance.full_in_us <= MINUTE


# -- reset and grant -----------------------------------------------------------------------------


async def test_reset_makes_every_limit_whole_twice_as_well_as_once() -> None:
    desk = Desk()
    await desk.hit(of(("both", "x"), hits=5))
    await desk.hit(of(("both", "y"), hits=4))
    whole = [Balance("d.both", 5, 5, 0), Balance("d.both#2", 20, 20, 0)]
    for _ in range(2):
        assert await desk.operator.reset("d", of(("both", "x"))) == whole
        assert await desk.balances(of(("both", "x"))) == whole
    assert (await desk.balances(of(("both", "y"))))[0].remaining == 1, "another's count stays"


async def test_a_reset_takes_a_grant_away() -> None:
    desk = Desk()
    await desk.operator.grant("d", of(("ten", "x")), 5, None)
    await desk.operator.reset("d", of(("ten", "x")))
    assert (await desk.balances(of(("ten", "x"))))[0].remaining == 10


@pytest.mark.parametrize("key", ["ten", "quota", "later", "quiet", "office"])
@pytest.mark.parametrize("used", [0, 1])
async def test_a_grant_lifts_every_kind_by_exactly_its_hits(key: str, used: int) -> None:
    desk = Desk()
    if used:
        await desk.hit(of((key, "x"), hits=used))
    (before,) = await desk.balances(of((key, "x")))
    for times in (1, 2):
        (after,) = await desk.operator.grant("d", of((key, "x")), 6, HOUR)
        assert after.remaining == before.remaining + 6 * times
        assert await desk.balances(of((key, "x"))) == [after]
    assert after.full_in_us == 0


async def test_a_grant_can_be_spent_and_ends() -> None:
    desk = Desk()
    await desk.operator.grant("d", of(("ten", "x")), 5, 2 * MINUTE)
    verdict = await desk.hit(of(("ten", "x"), hits=10))
    assert not verdict.over
    assert (await desk.balances(of(("ten", "x"))))[0].remaining == 5
    await desk.operator.grant("d", of(("ten", "x")), 10, 2 * MINUTE)
    desk.clock.seconds += 121
    assert (await desk.balances(of(("ten", "x"))))[0].remaining == 10


async def test_a_grant_to_several_limits_lasts_as_long_as_each_fills() -> None:
    desk = Desk()
    balances = await desk.operator.grant("d", of(("both", "x")), 5, None)
    assert [balance.remaining for balance in balances] == [10, 25]
    desk.clock.seconds += 2
    assert [one.remaining for one in await desk.balances(of(("both", "x")))] == [5, 25]
    desk.clock.seconds += 3600
    assert [one.remaining for one in await desk.balances(of(("both", "x")))] == [5, 20]


@pytest.mark.parametrize("hits", [1_000_000, 2**32 - 1])
async def test_a_grant_beyond_all_measure_says_what_was_given(hits: int) -> None:
    desk = Desk()
    (balance,) = await desk.operator.grant("d", of(("ten", "x")), hits, LONGEST_GRANT_US)
    assert min(hits, 700_000_000) < balance.remaining <= 10 + hits
    assert await desk.balances(of(("ten", "x"))) == [balance]


async def test_nothing_can_be_given_to_a_limit_of_0() -> None:
    desk = Desk()
    with pytest.raises(FailedPrecondition) as caught:
        await desk.operator.grant("d", of(("none", "x")), 1, None)
    assert caught.value.reason == "LIMIT_IS_ZERO"
    assert await desk.operator.reset("d", of(("none", "x"))) == [Balance("d.none", 0, 0, 0)]


async def test_unlimited_ones_have_nothing_to_change() -> None:
    desk = Desk()
    assert await desk.operator.grant("d", of(("free", "x")), 1, None) == []
    assert await desk.operator.reset("d", of(("free", "x"))) == []
    assert not desk.store._cells


@pytest.mark.parametrize("domain", ["d", "shop"])
async def test_where_no_limit_applies_there_is_nothing_to_show_or_change(domain: str) -> None:
    desk = Desk()
    nobody = of(("nobody", "x"))
    for asking in (
        desk.operator.balances(domain, nobody),
        desk.operator.reset(domain, nobody),
        desk.operator.grant(domain, nobody, 1, None),
    ):
        with pytest.raises(NotFound) as caught:
            await asking
        assert caught.value.reason == "RULE_NOT_FOUND"
