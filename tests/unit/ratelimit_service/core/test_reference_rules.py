"""Rule files as users of envoyproxy/ratelimit have them: read, refused and matched as there.

Shapes are those of its test configurations, examples and README; the words are our own.
"""

from __future__ import annotations

import pytest

from ratelimit_service.core.descriptor import Descriptor, Entries
from ratelimit_service.core.match import find
from tests.unit.ratelimit_service.core.test_rules import build, mistakes

ONE = "rate_limit: {unit: minute, requests_per_unit: 1}"


@pytest.mark.parametrize(
    ("story", "texts", "error"),
    [
        ("a unit it does not know", ["domain: d\ndescriptors: [{key: k, rate_limit: {unit: foo, requests_per_unit: 5}}]"], "invalid rate limit unit 'foo'"),
        ("one domain in two files", ["domain: d\ndescriptors:", "domain: d\ndescriptors:"], "duplicate domain 'd' in config file"),
        ("a pair twice", ["domain: d\ndescriptors: [{key: k, value: v}, {key: k, value: v}]"], "duplicate descriptor composite key 'd.k_v'"),
        ("no domain", ["descriptors:"], "config file cannot have empty domain"),
        ("no key", ["domain: d\ndescriptors: [{value: v}]"], "descriptor has empty key"),
        ("a misspelled key of a descriptor", ["domain: d\ndescriptors: [{key: k, ratelimit: {unit: day}}]"], "config error, unknown key 'ratelimit'"),
        ("a misspelled key of a limit", ["domain: d\ndescriptors: [{key: k, rate_limit: {unit: day, requestsperunit: 5}}]"], "config error, unknown key 'requestsperunit'"),
        ("descriptors that are none", ["domain: d\ndescriptors: [a, b]"], "config error, yaml file contains list of type other than map: 'a'"),
        ("a number for a key", ["0.25: d\ndescriptors: [{key: k}]"], "config error, key is not of type string: '0.25'"),
        ("an empty replaces", [f"domain: d\ndescriptors: [{{key: k, {ONE[:-1]}, replaces: [{{name: }}]}}}}]"], "should not have an empty replaces entry"),
        ("a limit that replaces itself", [f"domain: d\ndescriptors: [{{key: k, {ONE[:-1]}, name: me, replaces: [{{name: me}}]}}}}]"], "replaces should not contain name of same descriptor"),
        ("unlimited by the day", ["domain: d\ndescriptors: [{key: k, rate_limit: {unlimited: true, unit: day, requests_per_unit: 2}}]"], "should not specify rate limit unit when unlimited"),
        ("a threshold shared by one value", [f"domain: d\ndescriptors: [{{key: k, value: v, share_threshold: true, {ONE}}}]"], "share_threshold can only be used with wildcard values (containing '*'), but found key 'k_v'"),
    ],
)  # fmt: skip
def test_what_it_refuses_is_refused_in_its_words(story: str, texts: list[str], error: str) -> None:
    assert any(error in found for found in mistakes(*texts)), story


RULES = build(
    f"""
---
domain: messaging
descriptors:
  # So many marketing messages to one number, and so many messages of all kinds.
  - key: message_type
    value: marketing
    descriptors:
      - key: to_number
        {ONE}
  - key: to_number
    {ONE}
""",
    """
domain: edge
descriptors:
  - key: remote_address
    rate_limit: {unit: second, requests_per_unit: 10}
  - key: remote_address
    value: 50.0.0.5
    rate_limit: {unit: second, requests_per_unit: 0}
  - key: remote_address
    value: 50.0.0.6
""",
    f"""
domain: depths
descriptors:
  - key: shallow
    value: v
    {ONE}
  - key: deep
    value: v
    descriptors: [{{key: sub, {ONE}}}]
  - key: both
    value: v
    {ONE}
    descriptors: [{{key: sub, value: w, {ONE}}}]
""",
    f"""
domain: wild
descriptors:
  - {{key: wild, value: foo*, {ONE}}}
  - {{key: no_wild, value: foo, {ONE}}}
  - {{key: mid, value: bar*b, {ONE}}}
  - {{key: multi, value: foo*bar*baz, {ONE}}}
  - {{key: route, value: /api/*/resource/*/action, {ONE}}}
  - key: nested
    value: v
    descriptors: [{{key: wild, value: goo*, {ONE}}}]
""",
)


@pytest.mark.parametrize(
    ("domain", "entries", "path"),
    [
        ("messaging", "message_type=marketing,to_number=1", "messaging.message_type_marketing.to_number"),
        ("messaging", "to_number=1", "messaging.to_number"),
        ("messaging", "message_type=marketing", None),
        ("messaging", "message_type=other,to_number=1", None),
        ("edge", "remote_address=10.0.0.1", "edge.remote_address"),
        ("edge", "remote_address=50.0.0.5", "edge.remote_address_50.0.0.5"),
        ("edge", "remote_address=50.0.0.6", None),
        ("depths", "shallow=v", "depths.shallow_v"),
        ("depths", "shallow=v,sub=w", None),
        ("depths", "deep=v", None),
        ("depths", "deep=v,sub=w", "depths.deep_v.sub"),
        ("depths", "both=v", "depths.both_v"),
        ("depths", "both=v,sub=w", "depths.both_v.sub_w"),
        ("depths", "both=v,sub=x", None),
        ("wild", "wild=foo", "wild.wild_foo*"),
        ("wild", "wild=foo1", "wild.wild_foo*"),
        ("wild", "wild=fo", None),
        ("wild", "no_wild=foo1", None),
        ("wild", "mid=barb", "wild.mid_bar*b"),
        ("wild", "mid=bar_b", "wild.mid_bar*b"),
        ("wild", "mid=bar", None),
        ("wild", "multi=foobarbaz", "wild.multi_foo*bar*baz"),
        ("wild", "multi=foo1bar2baz", "wild.multi_foo*bar*baz"),
        ("wild", "multi=foobaz", None),
        ("wild", "route=/api/v1/resource/7/action", "wild.route_/api/*/resource/*/action"),
        ("wild", "route=/api/v1/resource/7/other", None),
        ("wild", "nested=v,wild=good", "wild.nested_v.wild_goo*"),
        ("wild", "nested=v,wild=foo", None),
        ("wild", "wild=goo", None),
    ],
)  # fmt: skip
def test_requests_meet_the_rules_they_meet_there(
    domain: str, entries: str, path: str | None
) -> None:
    pairs: Entries = tuple(
        (key, value) for key, _, value in (pair.partition("=") for pair in entries.split(","))
    )
    match = find(RULES, domain, Descriptor(entries=pairs))
    assert (match and match.rule.path) == path


def test_none_of_it_is_doubted() -> None:
    assert RULES.warnings == ()
