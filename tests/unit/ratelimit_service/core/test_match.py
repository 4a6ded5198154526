"""Which rule a descriptor meets."""

from __future__ import annotations

import pytest

from ratelimit_service.core.descriptor import Descriptor, Entries
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.match import find
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
    rule = find(RULES, "d", Descriptor(entries=entries))
    paths = [branch.path for branch in RULES.limited() if branch.rule is rule]
    assert paths == ([path] if path else []), story


def test_an_unknown_domain_limits_nothing() -> None:
    assert find(RULES, "other", Descriptor(entries=(("user", "x"),))) is None


def test_a_limit_in_the_descriptor_replaces_the_rule() -> None:
    own = Limit(requests_per_unit=9, unit=Unit.HOUR)
    rule = find(RULES, "d", Descriptor(entries=(("user", "gold"),), override=own))
    assert rule is not None
    assert rule.limit is own
    assert find(RULES, "other", Descriptor(entries=(("user", "x"),), override=own)) is None
