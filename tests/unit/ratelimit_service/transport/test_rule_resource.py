"""RateLimitConfig resources against the bytes that Envoy Gateway sends, and against YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chassis.errors import ConfigError, Problem
from ratelimit_service.core import rules as core_rules
from ratelimit_service.core.limit import Unit
from ratelimit_service.storage.rules_file import parse
from ratelimit_service.transport.rule_resource import TYPE_URL, document
from tests.xds_server import config, per_hour
from wire.ratelimit.config.ratelimit.v3 import rls_conf_pb2

if TYPE_CHECKING:
    from ratelimit_service.core.rule import Branch, Rule, RuleSet

# What Go's protobuf makes of Envoy Gateway's first-listener: field by field, lengths in hexadecimal.
RULE = b"\x0a\x0erule-0-match-0\x12\x0erule-0-match-0"
GOLDEN = (
    b"\x0a\x0efirst-listener\x12\x0efirst-listener\x1a\x44"
    b"\x0a\x0csecond-route\x12\x0csecond-route\x22\x26" + RULE + b"\x1a\x04\x08\x01\x10\x05"
)
# The same with every zero written out, as a serialiser may: unlimited, name, the three modes.
ZEROS = (
    b"\x0a\x0efirst-listener\x12\x0efirst-listener\x1a\x54"
    b"\x0a\x0csecond-route\x12\x0csecond-route\x22\x30"
    + RULE
    + b"\x1a\x08\x08\x01\x10\x05\x18\x00\x22\x00"
    + b"\x28\x00\x30\x00\x38\x00"
    + b"\x28\x00\x30\x00\x38\x00"
)
YAML = """\
domain: first-listener
descriptors:
  - key: second-route
    value: second-route
    rate_limit: null
    descriptors:
      - key: rule-0-match-0
        value: rule-0-match-0
        rate_limit: {requests_per_unit: 5, unit: SECOND, unlimited: false, name: ""}
"""


def build(value: bytes, type_url: str = TYPE_URL) -> RuleSet:
    problems: list[Problem] = []
    _, node = document(type_url, value, 1, problems)
    if problems:
        raise ConfigError(problems)
    assert node is not None
    return core_rules.build([node])


def problems_of(value: bytes, type_url: str = TYPE_URL) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build(value, type_url)
    return [str(problem) for problem in caught.value.problems]


def shape(rules: RuleSet) -> list[tuple[Any, ...]]:
    """Everything but the places."""

    def of(branch: Branch) -> tuple[Any, ...]:
        rule = branch.rule and (branch.rule.path, branch.rule.allowances, branch.rule.shadow_mode)
        return (branch.path, branch.key, branch.value, rule)

    return [of(branch) for root in rules.domains.values() for branch in (root, *root.below())]


def only_rule(rules: RuleSet) -> Rule:
    (rule,) = rules.rules()
    return rule


@pytest.mark.parametrize("wire", [GOLDEN, ZEROS], ids=["zeros left out", "zeros written"])
def test_envoy_gateways_bytes_are_the_rules_of_its_yaml(wire: bytes) -> None:
    problems: list[Problem] = []
    name, _ = document(TYPE_URL, wire, 1, problems)
    assert (name, problems) == ("first-listener", [])
    written = parse(YAML.encode(), "f.yaml", [])
    assert written is not None
    assert shape(build(wire)) == shape(core_rules.build([written]))
    (rule,) = build(wire).rules()
    limit = rule.allowances[0].limit
    assert (limit.requests_per_unit, limit.unit, limit.name) == (5, Unit.SECOND, "")


def test_our_bytes_are_those_of_the_control_plane() -> None:
    message = rls_conf_pb2.RateLimitConfig.FromString(ZEROS)
    assert message.SerializeToString() == GOLDEN


def test_a_shadow_mode_above_the_limit_means_nothing_as_envoy_gateway_sends_it() -> None:
    level = {"key": "match", "shadow_mode": True, "descriptors": [per_hour("ip", 1)]}
    rules = build(config("d", {"key": "route", **level, "quota_mode": True}).SerializeToString())
    assert not only_rule(rules).shadow_mode


def test_every_field_of_a_limit_arrives() -> None:
    limit = {"unit": "WEEK", "requests_per_unit": 7, "name": "w", "replaces": [{"name": "other"}]}
    flags = {"shadow_mode": True, "quota_mode": True, "detailed_metric": True}
    metadata: dict[str, Any] = {
        "tier": "gold",
        "n": 3,
        "f": 0.5,
        "e": 1e30,
        "no": None,
        "l": [True, "x", "true"],
    }
    resource = config("d", {"key": "k", "value": "v", "rate_limit": limit, **flags})
    resource.descriptors[0].metadata.update(metadata)
    rule = only_rule(build(resource.SerializeToString()))
    (allowance,) = rule.allowances
    assert (allowance.limit.unit, allowance.limit.requests_per_unit) == (Unit.WEEK, 7)
    assert (allowance.limit.name, allowance.replaces) == ("w", ("other",))
    assert (rule.shadow_mode, rule.quota_mode, rule.detailed_metric) == (True, True, True)
    assert rule.metadata == metadata


@pytest.mark.parametrize("unit", [u for u in rls_conf_pb2.RateLimitUnit.values() if u])
def test_units_are_numbered_as_ours(unit: int) -> None:
    resource = config("d", {"key": "k", "rate_limit": {"unit": unit, "requests_per_unit": 1}})
    (allowance,) = only_rule(build(resource.SerializeToString())).allowances
    assert allowance.limit.unit == unit


def test_unlimited_needs_no_unit_and_0_blocks() -> None:
    free = config("d", {"key": "k", "rate_limit": {"unlimited": True}})
    assert only_rule(build(free.SerializeToString())).unlimited
    shut = config("d", {"key": "k", "rate_limit": {"unit": "DAY"}})
    (allowance,) = only_rule(build(shut.SerializeToString())).allowances
    assert allowance.limit.requests_per_unit == 0


@pytest.mark.parametrize("text", ["null", "~", "0123", "yes", "<<", "1.0", "2026-01-01", "a: b #"])
def test_texts_mean_themselves(text: str) -> None:
    resource = config(text, per_hour(text, 1, value=text))
    (rule,) = build(resource.SerializeToString()).rules()
    assert rule.path == f"{text}.{text}_{text}"


DEEP = config("d")
level = DEEP.descriptors.add(key="k")
for _ in range(40):
    level = level.descriptors.add(key="k")


@pytest.mark.parametrize(
    ("story", "resource", "problem"),
    [
        ("no domain", config("", name="n"), "n: config file cannot have empty domain"),
        ("no key", config("d", per_hour("", 1)), "d: descriptors[0]: descriptor has empty key"),
        (
            "no unit",
            config("d", {"key": "a", "rate_limit": {"requests_per_unit": 1}}),
            "d: descriptors[0]: invalid rate limit unit 'UNKNOWN'",
        ),
        (
            "a unit of the future",
            config("d", {"key": "a", "rate_limit": {"unit": 99}}),
            "d: descriptors[0]: invalid rate limit unit '99'",
        ),
        (
            "unlimited a second",
            config("d", {"key": "a", "rate_limit": {"unlimited": True, "unit": "SECOND"}}),
            "should not specify rate limit unit when unlimited",
        ),
        (
            "twice the same below",
            config("d", {"key": "a", "descriptors": [per_hour("b", 1), per_hour("b", 2)]}),
            "d: descriptors[0].descriptors[1]: duplicate descriptor composite key 'd.a.b'",
        ),
        ("nested beyond reason", DEEP, "nest deeper than 32 levels"),
    ],
)  # fmt: skip
def test_mistakes_say_where_in_the_resource_they_are(
    story: str, resource: rls_conf_pb2.RateLimitConfig, problem: str
) -> None:
    assert any(problem in found for found in problems_of(resource.SerializeToString())), story


def test_a_number_that_json_has_not_is_refused() -> None:
    resource = config("d", per_hour("k", 1))
    resource.descriptors[0].metadata.fields["n"].number_value = float("nan")
    (found,) = problems_of(resource.SerializeToString())
    assert found == "d: descriptors[0]: metadata holds nan, which JSON cannot"


@pytest.mark.parametrize(
    ("value", "type_url", "problem"),
    [
        (b"\x0a\xff", TYPE_URL, "resource 1: is not a ratelimit.config.ratelimit.v3.RateLimitConfig"),
        (b"\x0a\x01\xff", TYPE_URL, "resource 1: is not a"),  # no UTF-8
        (b"\x1a\x02" * 200, TYPE_URL, "resource 1: is not a"),
        (GOLDEN, "type.googleapis.com/envoy.config.cluster.v3.Cluster", "is of type 'type.googleapis"),
        (GOLDEN, "", "is of type ''; send type.googleapis.com/ratelimit"),
        (GOLDEN, "x\n[31m" * 500, "resource 1: is of type 'x?"),
    ],
)  # fmt: skip
def test_what_is_no_resource_is_told_of(value: bytes, type_url: str, problem: str) -> None:
    (found,) = problems_of(value, type_url)
    assert problem in found
    assert len(found) < 500
