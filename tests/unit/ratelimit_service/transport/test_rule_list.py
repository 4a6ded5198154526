"""The rules in force as the admin API lists them."""

from __future__ import annotations

from ratelimit_service.transport.rule_list import rules_of
from tests.unit.ratelimit_service.core.test_rules import build
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb

SHOP = """
domain: shop
descriptors:
  - key: b
    rate_limit: {unit: minute, requests_per_unit: 2, burst: 9}
    descriptors:
      - key: c
        value: d*
        share_threshold: true
        limits:
          - {unit: second, requests_per_unit: 1}
          - {unit: day, requests_per_unit: 5, algorithm: fixed_window, time_zone: Europe/Paris}
  - key: a
    postpaid: true
    rate_limit: {unit: hour, requests_per_unit: 3, unit_multiplier: 4, name: three}
"""
BLOG = """
domain: blog
descriptors:
  - key: free
    rate_limit: {unlimited: true}
"""


def test_rules_come_in_the_order_of_files_and_lines_one_a_limit() -> None:
    rules = build(SHOP, BLOG)
    assert [rule.rule for rule in rules_of(rules, "")] == [
        "shop.b", "shop.b.c_d*", "shop.b.c_d*#2", "shop.a", "blog.free",
    ]  # fmt: skip
    assert [rule.rule for rule in rules_of(rules, "blog")] == ["blog.free"]
    assert not list(rules_of(rules, "none"))


def test_a_rule_is_listed_as_its_file_has_it() -> None:
    found = {rule.rule: rule for rule in rules_of(build(SHOP, BLOG), "")}
    assert found["shop.b"].burst == 9
    shared = found["shop.b.c_d*#2"]
    assert [(one.key, one.value) for one in shared.levels] == [("b", ""), ("c", "d*")]
    assert (shared.share_threshold, shared.time_zone) == (True, "Europe/Paris")
    assert shared.algorithm == pb.ALGORITHM_FIXED_WINDOW
    assert (found["shop.a"].unit_multiplier, found["shop.a"].name) == (4, "three")
    assert found["shop.a"].postpaid
    assert (found["shop.a"].file, found["shop.a"].line) == ("0.yaml", 13)
    free = found["blog.free"]
    assert (free.unlimited, free.unit, free.algorithm) == (True, 0, 0)


def test_in_reference_mode_all_are_fixed_windows_without_a_burst() -> None:
    found = {rule.rule: rule for rule in rules_of(build(SHOP, BLOG), "", reference=True)}
    assert found["shop.b"].burst == 2
    assert {rule.algorithm for rule in found.values() if not rule.unlimited} == {
        pb.ALGORITHM_FIXED_WINDOW
    }
    assert found["blog.free"].algorithm == pb.ALGORITHM_UNSPECIFIED
