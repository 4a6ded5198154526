"""Filters over rules: what each finds, and where each mistake is said to be."""

from __future__ import annotations

import pytest

from chassis.errors import InvalidRequest
from ratelimit_service.transport.rule_filter import compiled
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb

RULES = {
    "pay": pb.Rule(
        rule="shop.path_/pay", domain="shop", name="pay slowly", algorithm=pb.ALGORITHM_TOKEN_BUCKET,
        limit=3, burst=5, unit=pb.UNIT_HOUR, unit_multiplier=1, replaces=["old", "older"],
        file="shop.yaml", line=4, lease=pb.Lease(max_share=0.5),
    ),
    "user": pb.Rule(
        rule="shop.user", domain="shop", algorithm=pb.ALGORITHM_SLIDING_WINDOW, limit=100, burst=100,
        unit=pb.UNIT_MINUTE, unit_multiplier=5, shadow_mode=True, file="shop.yaml", line=9,
        on_store_failure=pb.STORE_FAILURE_POLICY_ALLOW,
    ),
    "free": pb.Rule(rule="blog.free", domain="blog", unlimited=True, unit_multiplier=1, line=2),
}  # fmt: skip


def found(text: str) -> set[str]:
    fits = compiled(text, pb.Rule.DESCRIPTOR)
    return {name for name, rule in RULES.items() if fits(rule)}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", {"pay", "user", "free"}),
        ("  \n ", {"pay", "user", "free"}),
        # Numbers.
        ("limit = 3", {"pay"}),
        ("limit != 3", {"user", "free"}),
        ("limit < 100", {"pay", "free"}),
        ("limit <= 100", {"pay", "user", "free"}),
        ("limit > 3", {"user"}),
        ("limit >= 3", {"pay", "user"}),
        ("limit > -1", {"pay", "user", "free"}),
        ("limit < 9223372036854775807", {"pay", "user", "free"}),
        ("line > 3 line < 5", {"pay"}),
        # Enum values by their short names, quoted or not.
        ("unit = MINUTE", {"user"}),
        ('unit = "MINUTE"', {"user"}),
        ("unit != MINUTE", {"pay", "free"}),
        ("unit = UNSPECIFIED", {"free"}),
        ("algorithm = SLIDING_WINDOW", {"user"}),
        ("on_store_failure = ALLOW", {"user"}),
        # Switches.
        ("unlimited = true", {"free"}),
        ("unlimited != true", {"pay", "user"}),
        ("shadow_mode = false", {"pay", "free"}),
        # Texts.
        ("domain = shop", {"pay", "user"}),
        ('domain != "shop"', {"free"}),
        ('rule = "shop.*"', {"pay", "user"}),
        ('rule = "*user"', {"user"}),
        ('rule = "*o*e*"', set()),
        ('rule = "*.path*"', {"pay"}),
        ('rule != "shop.*"', {"free"}),
        ('rule = "*"', {"pay", "user", "free"}),
        ('name = "pay slowly"', {"pay"}),
        ('name = ""', {"user", "free"}),
        ('rule : "path"', {"pay"}),
        ("name:slow", {"pay"}),
        # Lists of texts.
        ("replaces:old", {"pay"}),
        ("replaces:ol", set()),
        ("NOT replaces:old", {"user", "free"}),
        # Put together; OR binds tighter than AND.
        ("unit = MINUTE AND limit < 100", set()),
        ("unit = MINUTE OR unit = HOUR AND limit > 50", {"user"}),
        ("limit = 3 OR (unit = MINUTE AND shadow_mode = true)", {"pay", "user"}),
        ("-unlimited = true", {"pay", "user"}),
        ("NOT (domain = shop)", {"free"}),
    ],
)
def test_a_filter_finds(text: str, names: set[str]) -> None:
    assert found(text) == names


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # It is no expression.
        ("limit", "line 1, column 1: 'limit' alone is no comparison"),
        ('"limit"', "line 1, column 1: 'limit' alone"),
        ("limit <", "line 1, column 8: it ends too early"),
        ("limit < 3 AND", "it ends too early"),
        ("AND limit < 3", "line 1, column 1: 'AND'"),
        ("limit < 3 OR OR limit > 4", "line 1, column 14: 'OR'"),
        ("(limit < 3", "a parenthesis is not closed"),
        ("limit < 3)", "line 1, column 10: ')'"),
        ("limit = = 3", "line 1, column 9: '='"),
        ("limit == 3", "line 1, column 8: '='"),
        ("limit ~ 3", "line 1"),
        ('name = "open', "line 1, column 8: the quote that opens here is not closed"),
        ("limit < (3)", "line 1, column 9"),
        ("min(limit) < 3", "line 1, column 12"),
        ("limit < 3, unit = DAY", "line 1, column 10"),
        ("()", "line 1, column 2"),
        ("NOT", "line 1, column 1: 'NOT'"),
        ("limit < 3\n  AND\n  unti = DAY", "line 3, column 3: there is no field 'unti'"),
        # There is no such field, or it cannot be compared.
        ("size = 3", "there is no field 'size' to filter by; rule, domain, name, algorithm"),
        ("levels = 3", "there is no field 'levels'"),
        ("lease.max_share > 0", "there is no field 'lease.max_share'"),
        ("schedule:x", "there is no field 'schedule'"),
        ("LIMIT = 3", "there is no field 'LIMIT'"),
        ('"limit" = 3', "a field's name goes without quotes"),
        # The field is not compared like that.
        ("unit < MINUTE", "'unit' takes = !=, not <"),
        ("rule < a", "'rule' takes = != :, not <"),
        ("unlimited > false", "'unlimited' takes = !=, not >"),
        ("limit:3", "'limit' takes = != < <= > >=, not :"),
        ("replaces = old", "'replaces' takes :, not ="),
        # The value does not fit the field.
        ("limit < three", "line 1, column 9: 'limit' is a whole number, not 'three'"),
        ("limit < 3.5", "'limit' is a whole number, not '3.5'"),
        ('limit < "3"', "'limit' is a whole number, not \"3\""),
        ("limit < 1_000", "'limit' is a whole number, not '1_000'"),
        ("limit < ٣", "'limit' is a whole number"),
        ("limit < " + "9" * 300, "'limit' is a whole number"),
        ("unlimited = yes", "'unlimited' is true or false, not 'yes'"),
        ("unlimited = TRUE", "'unlimited' is true or false"),
        ('unlimited = "true"', "'unlimited' is true or false, not \"true\""),
        ("unit = minute", "'minute' is no unit; UNSPECIFIED, SECOND, MINUTE, HOUR"),
        ("unit = UNIT_MINUTE", "'UNIT_MINUTE' is no unit"),
        ("unit = 2", "'2' is no unit"),
        # It is too much.
        ("(" * 40 + "limit = 3" + ")" * 40, "nests deeper"),
        (" ".join(["limit = 3"] * 101), "more than 100 comparisons"),
        ("name = " + "x" * 5000, "longer than 4096 characters"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        compiled(text, pb.Rule.DESCRIPTOR)
    (violation,) = caught.value.violations
    assert violation.field == "filter"
    assert told in violation.description
    assert len(violation.description) < 700
