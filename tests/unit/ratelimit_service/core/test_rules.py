"""Rule files: what is read, and what each mistake is told to be."""

from __future__ import annotations

import pickle

import pytest

from chassis.errors import ConfigError, Problem
from ratelimit_service.core import rules
from ratelimit_service.core.limit import Limit, OnStoreFailure, Unit
from ratelimit_service.core.rule import Branch, Lease, Rule, RuleSet
from ratelimit_service.storage.rules_file import parse


def build(*texts: str, merge_domains: bool = False) -> RuleSet:
    problems: list[Problem] = []
    nodes = [parse(text.encode(), f"{n}.yaml", problems) for n, text in enumerate(texts)]
    assert not problems
    return rules.build([node for node in nodes if node is not None], merge_domains=merge_domains)


def mistakes(*texts: str, merge_domains: bool = False) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build(*texts, merge_domains=merge_domains)
    return [str(problem) for problem in caught.value.problems]


def warnings(*texts: str) -> list[str]:
    return [str(warning) for warning in build(*texts).warnings]


def descriptor(body: str) -> str:
    return f"domain: d\ndescriptors:\n  - key: k\n    {body}\n"


def rule_of(body: str) -> Rule:
    (rule,) = build(descriptor(body)).rules()
    return rule


def limit_of(branch: Branch) -> Limit:
    assert branch.rule is not None
    (allowance,) = branch.rule.allowances
    return allowance.limit


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
    client = root.children["client_id", None]
    assert limit_of(client) == Limit(
        unit=Unit.MINUTE, requests_per_unit=100, burst=20, name="per client"
    )
    assert client.rule is not None
    assert client.rule.on_store_failure is OnStoreFailure.ALLOW
    pay = root.children["path", "/pay"]
    assert pay.rule is None
    exact = pay.children["client_id", "0123"]
    assert exact.path == "shop.path_/pay.client_id_0123"
    assert limit_of(exact) == Limit(unit=Unit.SECOND, requests_per_unit=16)
    assert limit_of(pay.children["day", "yes"]).unlimited


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


def test_what_stands_beside_a_limit_is_read() -> None:
    rule = rule_of("""\
rate_limit: {unit: day, requests_per_unit: 100, replaces: [{name: a}, {name: b}]}
    shadow_mode: true
    quota_mode: yes
    postpaid: on
    detailed_metric: y
    on_store_failure: local
    lease: {max_share: 0.25, max_ms: 100}
    shard_by: k""")
    assert (rule.shadow_mode, rule.quota_mode, rule.postpaid, rule.detailed_metric) == (True,) * 4
    assert rule.allowances[0].replaces == ("a", "b")
    assert (rule.shard_by, rule.lease) == ("k", Lease(max_share=0.25, max_ms=100))
    assert rule.on_store_failure is OnStoreFailure.LOCAL


METADATA = """\
rate_limit: {unit: day, requests_per_unit: 1}
    metadata:
      service: {name: "12", plan: gold, since: 2026-01-01, at: 12:30}
      5: [5, 0x1F, 1.5, -1e3, true, off, ~, [], {}]"""


def test_metadata_is_read_as_json() -> None:
    assert rule_of(METADATA).metadata == {
        "service": {"name": "12", "plan": "gold", "since": "2026-01-01", "at": "12:30"},
        "5": [5, 31, 1.5, -1000.0, True, False, None, [], {}],
    }


def test_empty_metadata_is_none() -> None:
    assert (
        rule_of("rate_limit: {unit: day, requests_per_unit: 1}\n    metadata: {}").metadata is None
    )


def test_a_rule_is_as_zero_values_of_a_control_plane_have_it() -> None:
    rule = rule_of(
        "rate_limit: {unit: hour, requests_per_unit: 5, unlimited: false, name: '', replaces: []}\n"
        "    value: ''\n    shadow_mode: false\n    detailed_metric: false\n    descriptors: []"
    )
    assert rule.allowances[0].limit == Limit(unit=Unit.HOUR, requests_per_unit=5)
    unlimited = rule_of("rate_limit: {unit: UNKNOWN, requests_per_unit: 0, unlimited: true}")
    assert unlimited.unlimited


def test_metadata_too_large_for_every_answer_is_refused() -> None:
    body = f"rate_limit: {{unlimited: true}}\n    metadata: {{a: {'x' * 65536}}}"
    (problem,) = mistakes(descriptor(body))
    assert problem.startswith("0.yaml:5:15: 'metadata' goes into every answer")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("domain: ''", "0.yaml:1:9: config file cannot have empty domain"),
        ("descriptors: []", "0.yaml:1:1: config file cannot have empty domain"),
        ("[a]", "0.yaml:1:1: a rule file is a map with 'domain' and 'descriptors', not a list"),
        ("domain: d\ndescriptor: []", "0.yaml:2:1: config error, unknown key 'descriptor'; did you mean 'descriptors'?"),
        ("domain: d\n0.25: a", "0.yaml:2:1: config error, key is not of type string: '0.25'"),
        ("domain: d\ndomain: e", "0.yaml:2:1: key 'domain' stands twice here"),
        ('domain: d\ndescriptors: [{key: "k\\n"}]', "0.yaml:2:21: 'key' holds a control character"),
        ("domain: d\ndescriptors: 5", "0.yaml:2:14: 'descriptors' must be a list of maps, not '5'"),
        ("domain: d\ndescriptors:\n- a", "0.yaml:3:3: config error, yaml file contains list of type other than map: 'a'"),
        ("domain: d\ndescriptors:\n- value: v", "0.yaml:3:3: descriptor has empty key"),
        ("domain: d\ndescriptors:\n- {key: [a]}", "0.yaml:3:9: 'key' must be text, not a list"),
        ("domain: d\ndescriptors: [{key: k}, {key: k}]", "0.yaml:2:25: duplicate descriptor composite key 'd.k'; line 2 has it already"),
        ("domain: d\ndescriptors: [{key: k, value: 'v*'}, {key: k, value: 'v*'}]", "0.yaml:2:38: duplicate descriptor composite key 'd.k_v*'; line 2 has it already"),
        (descriptor("shadow_mode: perhaps\n    rate_limit: {unlimited: true}"), "0.yaml:4:18: 'shadow_mode' is 'perhaps'; write true or false"),
        (descriptor("share_threshold: true"), "0.yaml:4:22: share_threshold can only be used with wildcard values (containing '*'), but found key 'k'"),
        (descriptor("value: v\n    share_threshold: true"), "0.yaml:5:22: share_threshold can only be used with wildcard values (containing '*'), but found key 'k_v'"),
        (descriptor("rate_limit: 5"), "0.yaml:4:17: 'rate_limit' must be a map, not '5'"),
        (descriptor("metadata: [a]\n    rate_limit: {unlimited: true}"), "0.yaml:4:15: 'metadata' must be a map, not a list"),
        (descriptor("metadata: {a: 1e999}\n    rate_limit: {unlimited: true}"), "0.yaml:4:19: '1e999' is beyond what JSON can hold; quote it"),
        (descriptor("metadata: {a: 1, a: 2}\n    rate_limit: {unlimited: true}"), "0.yaml:4:22: key 'a' stands twice here"),
        (descriptor("metadata: {[a]: 1}\n    rate_limit: {unlimited: true}"), "0.yaml:4:16: config error, key is not of type string: a list"),
        (descriptor("metadata: {a: " + "[" * 15 + "[]" + "]" * 15 + "}\n    rate_limit: {unlimited: true}"), "0.yaml:4:34: nests deeper than 16 levels"),
        (descriptor("on_store_failure: allow"), "0.yaml:4:23: 'on_store_failure' stands beside a 'rate_limit'"),
        (descriptor("burst: 5"), "0.yaml:4:12: 'burst' stands beside a 'rate_limit'"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 1}\n    on_store_failure: open"), "0.yaml:5:23: 'on_store_failure' is 'open'; write one of error, allow, deny, local"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 1}\n    shard_by: kk"), "0.yaml:5:15: no entry of this descriptor has the key 'kk'; did you mean 'k'?"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 1}\n    shard_by: zz"), "0.yaml:5:15: no entry of this descriptor has the key 'zz'; write one of k"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 1}\n    lease: {max_share: 0.5}"), "0.yaml:5:12: a lease needs 'max_ms'"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 1}\n    lease: {max_share: 1.5, max_ms: 1}"), "0.yaml:5:24: 'max_share' is '1.5'; write a number above 0, up to 1"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 1}\n    lease: {max_share: nan, max_ms: 1}"), "0.yaml:5:24: 'max_share' is 'nan'; write a number above 0, up to 1"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 1}\n    lease: {max_share: 1, max_ms: 60001}"), "0.yaml:5:35: 'max_ms' is '60001'; write a whole number from 1 to 60000"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 1, algorithm: fixed_window}\n    lease: {max_share: 1, max_ms: 1}"), "0.yaml:5:12: only a token_bucket can be leased"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_place(text: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in mistakes(text)), mistakes(text)


def test_all_mistakes_of_all_files_come_at_once() -> None:
    found = mistakes("domain: ''\nfoo: 1", "domain: d\ndescriptors: [{}]", "domain: d")
    assert [problem.split(":")[0] for problem in found] == ["0.yaml"] * 2 + ["1.yaml", "2.yaml"]
    assert "duplicate domain 'd' in config file; 1.yaml:1 has it already" in found[-1]


def test_files_of_one_domain_become_one_tree_where_they_may() -> None:
    one = "domain: d\ndescriptors: [{key: k, value: 'a*', rate_limit: {unlimited: true}}]"
    two = "domain: d\ndescriptors: [{key: k, value: 'b*', rate_limit: {unlimited: true}}]"
    merged = build(one, two, merge_domains=True)
    assert [rule.path for rule in merged.rules()] == ["d.k_a*", "d.k_b*"]
    turned = build(two, one, merge_domains=True)
    assert [rule.path for rule in turned.rules()] == ["d.k_b*", "d.k_a*"]
    (twice,) = mistakes(one, one, merge_domains=True)
    assert (
        twice == "1.yaml:2:15: duplicate descriptor composite key 'd.k_a*'; 0.yaml:2 has it already"
    )


def test_a_value_joined_to_its_key_is_not_mistaken_for_another_pair() -> None:
    text = "domain: d\ndescriptors: [{key: a_b, value: c}, {key: a, value: b_c}]"
    assert len(build(text).domains["d"].children) == 2


def test_descriptors_nested_too_deep_are_refused() -> None:
    deep = "descriptors: [{key: k, " * 33 + "}]" * 33
    assert "deeper than 32 levels" in mistakes(f"{{domain: d, {deep}}}")[0]
    build("{domain: d, " + "descriptors: [{key: k, " * 32 + "}]" * 32 + "}")


def test_rules_survive_the_way_from_another_process() -> None:
    rules = build(NESTED, "domain: w\ndescriptors: [{key: k, value: '*', share_threshold: true}]")
    again: RuleSet = pickle.loads(pickle.dumps(rules))  # noqa: S301  what this test has made
    assert again == rules
    wildcard = again.domains["w"].wildcards.find("k", "v")
    assert wildcard is again.domains["w"].children["k", "*"]


def test_only_what_depends_on_the_hour_changes_later() -> None:
    hourly = """\
rate_limit:
      {unit: hour, requests_per_unit: 1, schedule: [{from: "06:00", to: "22:00", requests_per_unit: 2}]}"""
    assert build(NESTED).changes_after(0) == float("inf")
    assert build(descriptor(hourly)).changes_after(0) == 6 * 3600


def test_a_thousand_rules_of_the_same_hours_are_asked_once_for_the_next_change() -> None:
    hours = "schedule: [{from: 06:00, to: '22:00', requests_per_unit: %d}]"
    rules = build(
        "domain: d\ndescriptors:\n"
        + "".join(
            f"- {{key: k{n}, rate_limit: {{unit: hour, requests_per_unit: 1, {hours % n}}}}}\n"
            for n in range(1000)
        )
    )
    assert len(rules.timed) == 1
