"""Rule files: what is read, and what each mistake is told to be."""

from __future__ import annotations

import pytest

from chassis.errors import ConfigError, Problem
from ratelimit_service.core import rules
from ratelimit_service.core.limit import OnStoreFailure, Unit
from ratelimit_service.storage.rules_file import parse


def build(*texts: str) -> rules.RuleSet:
    problems: list[Problem] = []
    nodes = [parse(text.encode(), f"{n}.yaml", problems) for n, text in enumerate(texts)]
    assert not problems
    return rules.build([node for node in nodes if node is not None])


def mistakes(*texts: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build(*texts)
    return [str(problem) for problem in caught.value.problems]


NESTED = """
domain: shop
descriptors:
  - key: client_id
    rate_limit: {unit: minute, requests_per_unit: 100, burst: 20, name: per client}
    on_store_failure: allow
  - key: path
    value: /pay
    descriptors:
      - key: client_id
        value: 0123
        rate_limit: {unit: Second, requests_per_unit: 0x10}
      - key: day
        value: yes
        rate_limit: {unlimited: true}
"""


def test_a_tree_is_read_as_written() -> None:
    root = build(NESTED).domains["shop"]
    client = root.children["client_id", None].rule
    assert client is not None
    assert client.limit is not None
    assert (client.limit.unit, client.limit.requests_per_unit) == (Unit.MINUTE, 100)
    assert (client.limit.capacity, client.limit.name) == (20, "per client")
    assert client.on_store_failure is OnStoreFailure.ALLOW
    pay = root.children["path", "/pay"]
    assert pay.rule is None
    exact = pay.children["client_id", "0123"]
    assert exact.path == "shop.path_/pay.client_id_0123"
    assert exact.rule is not None
    assert exact.rule.limit is not None
    assert (exact.rule.limit.unit, exact.rule.limit.requests_per_unit) == (Unit.SECOND, 16)
    assert pay.children["day", "yes"].rule is rules.UNLIMITED


@pytest.mark.parametrize(
    "scalar", ["0123", "yes", "2026-01-01", "12:30", "1.0", "0x1F", "'a'", "1e3"]
)
def test_values_keep_the_text_of_the_file(scalar: str) -> None:
    text = f"domain: d\ndescriptors: [{{key: k, value: {scalar}}}]"
    assert ("k", scalar.strip("'")) in build(text).domains["d"].children


@pytest.mark.parametrize("null", ["", "~", "null"])
def test_no_value_means_any_value(null: str) -> None:
    text = f"domain: d\ndescriptors:\n  - key: k\n    value: {null}\n"
    assert ("k", None) in build(text).domains["d"].children


def descriptor(body: str) -> str:
    return f"domain: d\ndescriptors:\n  - key: k\n    {body}\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("domain: ''", "0.yaml:1:9: config file cannot have empty domain"),
        ("descriptors: []", "0.yaml:1:1: config file cannot have empty domain"),
        ("[a]", "0.yaml:1:1: a rule file is a map with 'domain' and 'descriptors', not a list"),
        ("domain: d\ndescriptor: []", "0.yaml:2:1: config error, unknown key 'descriptor'; did you mean 'descriptors'?"),
        ("domain: d\n0.25: a", "0.yaml:2:1: config error, key is not of type string: '0.25'"),
        ("domain: d\ndomain: e", "0.yaml:2:1: key 'domain' stands twice here"),
        ("domain: d\n<<: {a: b}", "0.yaml:2:1: merge keys (<<) are not read"),
        ('domain: d\ndescriptors: [{key: "k\\n"}]', "0.yaml:2:21: 'key' holds a control character"),
        ("domain: d\ndescriptors: 5", "0.yaml:2:14: 'descriptors' must be a list of maps, not '5'"),
        ("domain: d\ndescriptors:\n- a", "0.yaml:3:3: config error, yaml file contains list of type other than map: 'a'"),
        ("domain: d\ndescriptors:\n- value: v", "0.yaml:3:3: descriptor has empty key"),
        ("domain: d\ndescriptors:\n- {key: [a]}", "0.yaml:3:9: 'key' must be text, not a list"),
        (descriptor("value: a*b"), "0.yaml:4:12: 'a*b': wildcards are not supported"),
        (descriptor("shadow_mode: true"), "0.yaml:4:5: 'shadow_mode' is not supported yet"),
        (descriptor("rate_limit: 5"), "0.yaml:4:17: 'rate_limit' must be a map, not '5'"),
        (descriptor("on_store_failure: allow"), "0.yaml:4:23: 'on_store_failure' stands beside a 'rate_limit'"),
        (descriptor("rate_limit: {unit: fortnight, requests_per_unit: 1}"), "0.yaml:4:24: invalid rate limit unit 'fortnight'; write one of second"),
        (descriptor("rate_limit: {unit: minutes, requests_per_unit: 1}"), "0.yaml:4:24: invalid rate limit unit 'minutes'; did you mean 'minute'?"),
        (descriptor("rate_limit: {unit: day}"), "0.yaml:4:17: rate_limit has no 'requests_per_unit'"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: -1}"), "0.yaml:4:48: 'requests_per_unit' is '-1'; write a whole number"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 1.5}"), "0.yaml:4:48: 'requests_per_unit' is '1.5'; write a whole number"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 4294967296}"), "0.yaml:4:48: 'requests_per_unit' is '4294967296'"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 1, burst: 0}"), "0.yaml:4:58: 'burst' is 0"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 1, unlimited: true}"), "0.yaml:4:24: should not specify rate limit unit when unlimited"),
        (descriptor("rate_limit: {unlimited: perhaps}"), "0.yaml:4:29: 'unlimited' is 'perhaps'; write true or false"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 1, name: 'a\"b'}"), "0.yaml:4:57: 'name' goes into a header"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 1}\n    on_store_failure: open"), "0.yaml:5:23: 'on_store_failure' is 'open'; write one of error, allow, deny"),
        ("domain: d\ndescriptors: [{key: k}, {key: k}]", "0.yaml:2:25: duplicate descriptor composite key 'd.k'; line 2 has it already"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_place(text: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in mistakes(text)), mistakes(text)


def test_all_mistakes_of_all_files_come_at_once() -> None:
    found = mistakes("domain: ''\nfoo: 1", "domain: d\ndescriptors: [{}]", "domain: d")
    assert [problem.split(":")[0] for problem in found] == ["0.yaml"] * 2 + ["1.yaml", "2.yaml"]
    assert "duplicate domain 'd' in config file; 1.yaml:1 has it already" in found[-1]


def test_a_value_joined_to_its_key_is_not_mistaken_for_another_pair() -> None:
    text = "domain: d\ndescriptors: [{key: a_b, value: c}, {key: a, value: b_c}]"
    assert len(build(text).domains["d"].children) == 2


def test_descriptors_nested_too_deep_are_refused() -> None:
    deep = "descriptors: [{key: k, " * 33 + "}]" * 33
    assert "deeper than 32 levels" in mistakes(f"{{domain: d, {deep}}}")[0]
