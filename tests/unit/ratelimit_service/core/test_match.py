"""Which rule a descriptor meets."""

from __future__ import annotations

import time

import pytest

from ratelimit_service.core.descriptor import Descriptor, Entries
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.match import find
from ratelimit_service.core.rule import Allowance, RuleSet
from tests.unit.ratelimit_service.core.test_rules import build

RULES = build("""
domain: d
descriptors:
  - key: user
    rate_limit: {unit: minute, requests_per_unit: 1}
  - key: user
    value: gold
    rate_limit: {unit: minute, requests_per_unit: 2}
    descriptors:
      - key: path
        rate_limit: {unit: minute, requests_per_unit: 3}
  - key: plan
    descriptors:
      - key: path
        value: /pay
        rate_limit: {unit: minute, requests_per_unit: 4}
  - key: free
    rate_limit: {unlimited: true}
""")


@pytest.mark.parametrize(
    ("story", "entries", "path"),
    [
        ("a bare key takes any value", (("user", "bob"),), "d.user"),
        ("an empty value too", (("user", ""),), "d.user"),
        ("the exact value beats the bare key", (("user", "gold"),), "d.user_gold"),
        ("deeper rules need deeper descriptors", (("user", "gold"), ("path", "x")), "d.user_gold.path"),
        ("a branch once taken is not left", (("user", "bob"), ("path", "x")), None),
        ("a level without a limit does not limit", (("plan", "x"),), None),
        ("but leads on", (("plan", "x"), ("path", "/pay")), "d.plan.path_/pay"),
        ("order matters", (("path", "/pay"), ("plan", "x")), None),
        ("unlimited is a match", (("free", "x"),), "d.free"),
        ("an unknown key is not", (("other", "x"),), None),
        ("no entries are not", (), None),
        ("key and value do not run together", (("user_gold", ""),), None),
    ],
)  # fmt: skip
def test_matching(story: str, entries: Entries, path: str | None) -> None:
    match = find(RULES, "d", Descriptor(entries=entries))
    assert (match and match.rule.path) == path, story


def test_an_unknown_domain_limits_nothing() -> None:
    assert find(RULES, "other", Descriptor(entries=(("user", "x"),))) is None


def test_a_limit_in_the_descriptor_replaces_the_rule() -> None:
    own = Limit(requests_per_unit=9, unit=Unit.HOUR)
    match = find(RULES, "d", Descriptor(entries=(("user", "gold"), ("path", "")), override=own))
    assert match is not None
    assert match.rule.allowances == (Allowance(limit=own),)
    assert match.rule.path == match.metric == "d.user_gold.path"
    assert find(RULES, "other", Descriptor(entries=(("user", "x"),), override=own)) is None


WILD = build("""
domain: d
descriptors:
  - key: file
    value: test1
    rate_limit: {unit: minute, requests_per_unit: 1}
  - key: file
    value: test*
    share_threshold: true
    rate_limit: {unit: minute, requests_per_unit: 1}
  - key: file
    value: "*"
    rate_limit: {unit: minute, requests_per_unit: 1}
  - key: file
    rate_limit: {unit: minute, requests_per_unit: 1}
  - key: route
    value: api/*
    share_threshold: true
    value_to_metric: true
    descriptors:
      - key: method
        rate_limit: {unit: minute, requests_per_unit: 1}
  - key: service
    value: svc/*
    share_threshold: true
    descriptors:
      - key: endpoint
        detailed_metric: true
        rate_limit: {unit: minute, requests_per_unit: 1}
  - key: path
    value: path/*
    share_threshold: true
    descriptors:
      - key: path
        value: file/*
        descriptors:
          - key: type
            rate_limit: {unit: minute, requests_per_unit: 1}
  - key: user
    value_to_metric: true
    descriptors:
      - key: action
        value: read*
        value_to_metric: true
        descriptors:
          - key: resource
            rate_limit: {unit: minute, requests_per_unit: 1}
  - key: all
    detailed_metric: true
    rate_limit: {unit: minute, requests_per_unit: 1}
  - key: x-*
    share_threshold: true
    rate_limit: {unit: minute, requests_per_unit: 1}
""")


@pytest.mark.parametrize(
    ("story", "entries", "path", "counted", "metric"),
    [
        ("the exact value beats wildcards", "file=test1", "d.file_test1", "file=test1", "d.file_test1"),
        ("all values of a shared threshold are one", "file=test2", "d.file_test*", "file=test*", "d.file_test*"),
        ("a wildcard beats the bare key", "file=x", "d.file_*", "file=x", "d.file_*"),
        ("an empty value meets a star", "file=", "d.file_*", "file=", "d.file_*"),
        ("shared beats value_to_metric", "route=api/u,method=GET", "d.route_api/*.method", "route=api/*,method=GET", "d.route_api/*.method"),
        ("a detailed metric keeps what is shared", "service=svc/1,endpoint=e", "d.service_svc/*.endpoint", "service=svc/*,endpoint=e", "d.service_svc/*.endpoint_e"),
        ("only what is shared is shared", "path=path/a,path=file/b,type=t", "d.path_path/*.path_file/*.type", "path=path/*,path=file/b,type=t", "d.path_path/*.path_file/*.type"),
        ("values enter the metric where asked", "user=u1,action=readfile,resource=r", "d.user.action_read*.resource", "user=u1,action=readfile,resource=r", "d.user_u1.action_readfile.resource"),
        ("but not when empty", "user=,action=read,resource=r", "d.user.action_read*.resource", "user=,action=read,resource=r", "d.user.action_read.resource"),
        ("a detailed metric is every entry", "all=v", "d.all", "all=v", "d.all_v"),
        ("even an empty one", "all=", "d.all", "all=", "d.all_"),
        ("a star in the key", "x-a=1", "d.x-*", "x-a=x-*", "d.x-*"),
    ],
)  # fmt: skip
def test_wildcards_and_what_they_are_counted_under(
    story: str, entries: str, path: str, counted: str, metric: str
) -> None:
    match = find(WILD, "d", Descriptor(entries=pairs(entries)))
    assert match is not None, story
    assert match.rule.path == path, story
    assert match.entries == pairs(counted), story
    assert match.metric == metric, story


def pairs(text: str) -> Entries:
    return tuple(
        (key, value) for key, _, value in (pair.partition("=") for pair in text.split(","))
    )


def test_a_thousand_rules_cost_what_ten_do() -> None:
    def rules_of(count: int) -> RuleSet:
        rule = "rate_limit: {unit: day, requests_per_unit: 1}"
        items = "".join(f"- {{key: k, value: v{number}, {rule}}}\n" for number in range(count))
        return build(f"domain: d\ndescriptors:\n{items}")

    def cost(rules: RuleSet) -> float:
        started = time.perf_counter()
        for _ in range(1000):
            find(rules, "d", descriptor)
        return time.perf_counter() - started

    descriptor = Descriptor(entries=(("k", "v9"),))
    many, few = rules_of(1000), rules_of(10)
    assert min(cost(many) for _ in range(9)) < 3 * min(cost(few) for _ in range(9))
