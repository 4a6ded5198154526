"""Plans and verdicts: what is charged, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.core.judge import judge, local_plan
from ratelimit_service.core.limit import UNLIMITED_REMAINING
from ratelimit_service.core.plan import Plan, Policy
from ratelimit_service.core.planner import plan
from ratelimit_service.core.take import take
from ratelimit_service.core.verdict import Status, Verdict
from tests.unit.ratelimit_service.core.test_rules import build

if TYPE_CHECKING:
    from ratelimit_service.core.take import Cells

START = 1_795_561_835_147_696
SECOND = 1_000_000
MINUTE_ENDS = 60 * SECOND - START % (60 * SECOND)

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
  - key: shut_in_shadow
    rate_limit: {unit: hour, requests_per_unit: 2}
    shadow_mode: true
    on_store_failure: deny
  - key: local
    rate_limit: {unit: hour, requests_per_unit: 2}
    on_store_failure: local
  - key: fixed
    rate_limit: {unit: minute, requests_per_unit: 10, algorithm: fixed_window}
  - key: sliding
    rate_limit: {unit: minute, requests_per_unit: 10, algorithm: sliding_window}
  - key: shadow
    rate_limit: {unit: hour, requests_per_unit: 2}
    shadow_mode: true
  - key: quota
    rate_limit: {unit: hour, requests_per_unit: 2}
    quota_mode: true
  - key: quota2
    rate_limit: {unit: minute, requests_per_unit: 2, algorithm: fixed_window}
    quota_mode: true
  - key: tokens
    rate_limit: {unit: hour, requests_per_unit: 2}
    postpaid: true
  - key: several
    limits:
      - {unit: second, requests_per_unit: 3, name: burst}
      - {unit: hour, requests_per_unit: 5, name: steady}
      - {unit: minute, requests_per_unit: 5, name: window, algorithm: fixed_window}
""")


def ask(*keys: str, hits: int = 1, policy: Policy | None = None) -> Plan:
    descriptors = [Descriptor(entries=((key, "v"),), hits=hits) for key in keys]
    return plan(RULES, policy or Policy(), "d", descriptors, 0)


def run(asked: Plan, cells: Cells, now_us: int = START) -> Verdict:
    return judge(asked, take(cells, [asked.charges], now_us))


def overs(verdict: Verdict) -> list[bool]:
    return [status.over for status in verdict.statuses]


def left(verdict: Verdict) -> list[int]:
    return [status.remaining for status in verdict.statuses]


def test_a_pass_says_what_is_left_and_when_the_bucket_is_full_again() -> None:
    (status,) = run(ask("ten", hits=3), {}).statuses
    assert not status.over
    assert status.limit is not None
    assert status.limit.name == "tenner"
    assert (status.remaining, status.reset_us) == (7, 18 * SECOND)


def test_a_refusal_says_when_the_asked_hits_fit_in_whole_seconds() -> None:
    cells: Cells = {}
    run(ask("ten", hits=8), cells)
    verdict = run(ask("ten", hits=5), cells, START + 100_000)
    assert verdict.over
    (status,) = verdict.statuses
    # Three tokens are short, six seconds each, 0.1 s of which have gone: 17.9 s, rounded up.
    assert (status.over, status.remaining, status.reset_us) == (True, 2, 18 * SECOND)


@pytest.mark.parametrize(
    ("key", "gone_us"),
    [("fixed", MINUTE_ENDS), ("sliding", 60 * SECOND + 937_500 - START % 937_500)],
)
def test_a_window_says_when_it_is_empty_and_when_the_asked_hits_fit(key: str, gone_us: int) -> None:
    cells: Cells = {}
    (status,) = run(ask(key, hits=8), cells).statuses
    assert (status.over, status.remaining, status.reset_us) == (False, 2, gone_us)
    (status,) = run(ask(key, hits=3), cells).statuses
    whole_us = -(-gone_us // SECOND) * SECOND
    assert (status.over, status.remaining, status.reset_us) == (True, 2, whole_us)
    refused = run(ask(key, "two", hits=3), cells)
    assert refused.statuses[1].reset_us == 0, "what is not charged is as full as it was"
    beside = run(ask("two", key, hits=3), {})
    assert (beside.statuses[1].remaining, beside.statuses[1].reset_us) == (10, 0)


def test_more_hits_than_the_bucket_holds_never_fit_and_cost_nothing() -> None:
    cells: Cells = {}
    run(ask("ten", hits=4), cells)
    verdict = run(ask("ten", hits=2**64 - 1), cells)
    assert verdict.over
    assert (verdict.statuses[0].remaining, verdict.statuses[0].reset_us) == (6, 24 * SECOND)
    assert not run(ask("ten", hits=6), cells).over


def test_a_request_refused_by_one_descriptor_charges_none() -> None:
    cells: Cells = {}
    run(ask("two", hits=2), cells)
    verdict = run(ask("ten", "two"), cells)
    assert verdict.over
    assert overs(verdict) == [False, True]
    assert verdict.statuses[0].remaining == 10
    assert run(ask("ten"), cells).statuses[0].remaining == 9


def test_a_limit_of_zero_refuses_without_asking_the_store_to_charge_the_rest() -> None:
    cells: Cells = {}
    verdict = run(ask("ten", "none"), cells)
    assert verdict.over
    assert verdict.statuses[1].remaining == 0
    assert verdict.statuses[1].reset_us == 86_400 * SECOND
    assert not cells
    assert verdict.statuses[0].remaining == 10


def test_looking_at_a_limit_of_zero_is_not_refused() -> None:
    assert not run(ask("none", hits=0), {}).over


def test_unlimited_and_unmatched_need_no_store() -> None:
    asked = ask("free", "nobody")
    assert not asked.charges
    verdict = judge(asked, ())
    assert not verdict.over
    free, nobody = verdict.statuses
    assert (free.remaining, free.limit) == (UNLIMITED_REMAINING, None)
    assert nobody == Status()


@pytest.mark.parametrize("key", ["two", "fixed", "sliding", "quota", "tokens"])
def test_a_refund_is_never_refused(key: str) -> None:
    cells: Cells = {}
    run(ask(key, hits=12), cells)
    before = run(ask(key, hits=0), cells).statuses[0].remaining
    assert not run(ask(key, hits=-1), cells).over
    assert run(ask(key, hits=-30), cells).statuses[0].remaining >= before


def test_shadow_lets_through_and_says_so() -> None:
    cells: Cells = {}
    verdict = run(ask("shadow", "ten", hits=3), cells)
    assert not verdict.over
    assert overs(verdict) == [False, False]
    assert left(verdict) == [0, 7]
    assert verdict.statuses[0].shadowed
    assert not verdict.statuses[1].shadowed
    assert verdict.statuses[0].reset_us == 3600 * SECOND, "it took what there was"


def test_quotas_refuse_only_together() -> None:
    cells: Cells = {}
    run(ask("quota", hits=2), cells)
    verdict = run(ask("quota", "quota2"), cells)
    assert (verdict.over, overs(verdict)) == (False, [True, False])
    verdict = run(ask("quota", "quota2"), cells)
    assert (verdict.over, overs(verdict), left(verdict)) == (False, [True, False], [0, 0])
    verdict = run(ask("quota", "quota2", "ten"), cells)
    assert (verdict.over, overs(verdict)) == (True, [True, True, False])


def test_a_limit_that_is_no_quota_refuses_alone() -> None:
    cells: Cells = {}
    run(ask("two", hits=2), cells)
    verdict = run(ask("quota", "two"), cells)
    assert (verdict.over, overs(verdict)) == (True, [False, True])
    assert left(verdict) == [2, 0], "and the quota is not charged then"


def test_one_quota_alone_refuses() -> None:
    cells: Cells = {}
    run(ask("quota", hits=2), cells)
    assert run(ask("quota", "nobody"), cells).over


def test_all_limits_are_quotas_where_the_policy_says_so() -> None:
    policy = Policy(quota_mode=True)
    cells: Cells = {}
    run(ask("two", hits=2, policy=policy), cells)
    assert not run(ask("two", "ten", policy=policy), cells).over
    assert run(ask("two", policy=policy), cells).over


def test_the_policys_shadow_mode_lets_through_and_leaves_the_statuses() -> None:
    policy = Policy(shadow_mode=True)
    cells: Cells = {}
    run(ask("two", hits=2, policy=policy), cells)
    verdict = run(ask("two", policy=policy), cells)
    assert (verdict.over, verdict.shadowed, overs(verdict)) == (False, True, [True])
    for hits in (1, -1):
        assert not run(ask("ten", hits=hits, policy=policy), cells).shadowed


def test_post_paid_hits_pass_into_debt_only_while_there_is_none() -> None:
    cells: Cells = {}
    assert not run(ask("tokens", hits=0), cells).over
    verdict = run(ask("tokens", hits=3), cells)
    # Charged all the same. One token is owed, and three do not fit into two: until it is full.
    assert (verdict.over, left(verdict)) == (True, [0])
    assert verdict.statuses[0].reset_us == 3 * 1800 * SECOND
    verdict = run(ask("tokens", "ten", hits=0), cells)
    assert (verdict.over, overs(verdict)) == (True, [True, False])
    assert verdict.statuses[0].reset_us == 1800 * SECOND, "until the balance is zero"
    assert not run(ask("tokens", hits=0), cells, START + 1800 * SECOND).over


def test_of_several_limits_the_one_with_the_least_left_is_told() -> None:
    (status,) = run(ask("several", hits=2), {}).statuses
    assert status.limit is not None
    assert (status.limit.name, status.remaining) == ("burst", 1)
    cells: Cells = {}
    run(ask("several", hits=3), cells)
    (status,) = run(ask("several"), cells, START + SECOND).statuses
    assert status.limit is not None
    assert (status.limit.name, status.remaining) == ("steady", 1), "the first of those with one"


def test_of_several_limits_that_are_over_the_longest_wait_is_told() -> None:
    cells: Cells = {}
    run(ask("several", hits=3), cells)
    run(ask("several", hits=2), cells, START + SECOND)
    verdict = run(ask("several", hits=2), cells, START + SECOND)
    (status,) = verdict.statuses
    assert verdict.over
    assert status.limit is not None
    assert status.limit.name == "steady"
    assert (status.remaining, status.reset_us) == (0, 1439 * SECOND)


REFERENCE = Policy(reference=True)


def test_as_the_reference_counts_a_refused_call_is_charged_and_all_end_together() -> None:
    cells: Cells = {}
    verdict = run(ask("ten", "two", hits=3, policy=REFERENCE), cells)
    assert (verdict.over, overs(verdict), left(verdict)) == (True, [False, True], [7, 0])
    ends_us = -(-MINUTE_ENDS // SECOND) * SECOND
    assert verdict.statuses[0].reset_us == ends_us
    assert run(ask("ten", hits=7, policy=REFERENCE), cells).statuses[0].remaining == 0
    (status,) = run(ask("ten", policy=REFERENCE), cells).statuses
    assert (status.over, status.remaining, status.reset_us) == (True, 0, ends_us)
    (status,) = run(ask("ten", policy=REFERENCE), {}).statuses
    assert (status.over, status.remaining, status.reset_us) == (False, 9, ends_us)


def test_as_the_reference_counts_shadow_and_quota_are_what_they_are() -> None:
    cells: Cells = {}
    verdict = run(ask("shadow", "quota", "ten", hits=3, policy=REFERENCE), cells)
    assert (verdict.over, overs(verdict)) == (True, [False, True, False])
    assert verdict.statuses[0].shadowed
    verdict = run(ask("shadow", "quota", "quota2", "ten", hits=1, policy=REFERENCE), cells)
    assert (verdict.over, overs(verdict)) == (False, [False, True, False, False])


KEYS = ["ten", "two", "fixed", "sliding", "shadow", "quota", "tokens"]


@given(
    st.sampled_from(KEYS),
    st.one_of(st.integers(-12, 12), st.integers(-(2**64), 2**64)),
    st.integers(0, 25),
)
def test_one_descriptor_alone_is_judged_as_among_others(key: str, hits: int, used: int) -> None:
    cells: Cells = {}
    run(ask(key, hits=used), cells)
    alone, among = ask(key, hits=hits), ask(key, "nobody", hits=hits)
    met = take(dict(cells), [alone.charges], START)
    one, two = judge(alone, met), judge(among, met)
    assert one == Verdict(two.over, one.statuses)
    assert one.statuses[0] == two.statuses[0]


@pytest.mark.parametrize(
    ("story", "keys", "over", "asks"),
    [
        ("allow lets through", ("open",), False, 0),
        ("deny refuses", ("shut",), True, 0),
        ("deny in shadow mode does not", ("shut_in_shadow",), False, 0),
        ("deny beats allow", ("open", "shut"), True, 0),
        ("an unmatched descriptor does not matter", ("open", "nobody"), False, 0),
        ("local is asked here", ("open", "local"), False, 1),
        ("local passes nothing that deny refuses", ("shut", "local"), True, 1),
    ],
)
def test_rules_decide_while_the_store_is_away(
    story: str, keys: tuple[str, ...], over: bool, asks: int
) -> None:
    local = local_plan(ask(*keys))
    assert local is not None
    cells: Cells = {}
    assert len(local.charges) == asks
    verdict = run(local, cells)
    assert verdict.over is over, story
    assert len(verdict.statuses) == len(keys)
    assert bool(cells) is (asks > 0 and not over), "what is refused is not charged"


def test_one_rule_that_leaves_it_open_leaves_it_to_the_proxy() -> None:
    assert local_plan(ask("open", "ten")) is None
