"""The order of a bucket's pairs is the one that the rules have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratelimit_service.core import bucket_id
from ratelimit_service.core.bucket_id import MAX_STEPS, ordered
from ratelimit_service.core.match import step
from tests.unit.ratelimit_service.core.test_rules import build

if TYPE_CHECKING:
    import pytest

    from ratelimit_service.core.descriptor import Entries
    from ratelimit_service.core.rule import Branch

RULES = build("""
domain: d
descriptors:
  - key: user
    descriptors:
      - key: path
        rate_limit: {unit: minute, requests_per_unit: 10}
  - key: path
    value: /slow
    descriptors:
      - key: user
        rate_limit: {unit: minute, requests_per_unit: 1}
  - key: path
    value: /fast
    descriptors:
      - key: other
        rate_limit: {unit: minute, requests_per_unit: 1}
""")


def pairs(**values: str) -> Entries:
    return tuple(sorted(values.items()))


def test_the_order_of_the_rules_is_found() -> None:
    assert ordered(RULES, "d", pairs(path="/", user="x")) == (("user", "x"), ("path", "/"))


def test_sorted_by_key_comes_first() -> None:
    both_lead = pairs(path="/slow", user="x")
    assert ordered(RULES, "d", both_lead) == both_lead


def test_a_way_that_ends_is_left_again() -> None:
    assert ordered(RULES, "d", pairs(path="/fast", user="x")) == (("user", "x"), ("path", "/fast"))


def test_what_no_rule_limits_stays_as_it_is() -> None:
    for asked in (pairs(user="x"), pairs(other="x"), pairs(path="/", user="x", more="y")):
        assert ordered(RULES, "d", asked) == asked
    assert ordered(RULES, "elsewhere", pairs(user="x")) == pairs(user="x")


def test_rules_in_which_every_order_leads_far_cost_no_more_than_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    any_key = "".join(
        f"{'  ' * (2 * depth + 1)}- key: '*'\n{'  ' * (2 * depth + 2)}descriptors:\n"
        for depth in range(8)
    )
    rules = build(f"domain: d\ndescriptors:\n{any_key}{'  ' * 17}- key: end\n")
    steps = []

    def counted(branch: Branch, key: str, value: str) -> Branch | None:
        steps.append(key)
        return step(branch, key, value)

    monkeypatch.setattr(bucket_id, "step", counted)
    asked = pairs(**dict.fromkeys("abcdefghi", "v"))
    assert ordered(rules, "d", asked) == asked
    assert len(steps) == MAX_STEPS, "there are 9! orders"
