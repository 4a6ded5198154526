"""Limits that the request brings along."""

from __future__ import annotations

import grpc

from tests.conformance.table import (
    FREE,
    Refusal,
    answer,
    ask,
    at,
    case,
    cases,
    exact,
    ok,
    over,
    reference,
    top,
)

SECOND, MINUTE, HOUR, DAY, MONTH, YEAR, WEEK = 1, 2, 3, 4, 5, 6, 7
_INVALID = Refusal(codes=(grpc.StatusCode.INVALID_ARGUMENT,))

CASES = cases(
    "override",
    case(
        "a_limit_of_the_request_goes_before_the_rule",
        "ratelimit.proto limit; config_impl.go:459-475",
        ask(at(("five", "x"), limit=(2, HOUR)), gives=ok(2, "HOUR", 1)),
        ask(at(("five", "x"), limit=(2, HOUR)), gives=ok(2, "HOUR", 0)),
        ask(at(("five", "x"), limit=(2, HOUR)), gives=over(2, "HOUR")),
    ),
    case(
        "a_limit_of_the_request_needs_no_rule",
        "config_impl.go:459-475",
        ask(at(("nothing", "x"), limit=(1, DAY)), gives=ok(1, "DAY", 0)),
        ask(at(("nothing", "x"), limit=(1, DAY)), gives=over(1, "DAY")),
    ),
    case(
        "a_limit_of_the_request_may_be_larger_than_the_rule",
        "config_impl.go:459-475",
        ask(at(("five", "x"), limit=(100, DAY)), gives=ok(100, "DAY", 1), hits=99),
    ),
    case(
        "a_limit_of_the_request_opens_what_a_rule_blocks",
        "config_impl.go:459-475",
        ask(at(("blocked", "x"), limit=(2, DAY)), gives=ok(2, "DAY", 1)),
    ),
    case(
        "a_limit_of_the_request_limits_what_a_rule_does_not",
        "config_impl.go:459-475",
        ask(at(("unlimited", "x"), limit=(1, DAY)), gives=ok(1, "DAY", 0)),
        ask(at(("unlimited", "x"), limit=(1, DAY)), gives=over(1, "DAY")),
    ),
    case(
        "a_limit_of_the_request_has_no_name",
        "config_impl.go:459-475",
        ask(at(("named", "x"), limit=(9, DAY)), gives=ok(9, "DAY", 8)),
    ),
    case(
        "a_limit_of_the_request_may_let_nothing_pass",
        "config_impl.go:459-475",
        ask(at(("five", "x"), limit=(0, DAY)), gives=over(0, "DAY"), times=2),
    ),
    case(
        "an_unknown_domain_knows_no_limits_of_the_request_either",
        "config_impl.go:452-457 comes first",
        ask(at(("five", "x"), limit=(1, DAY)), gives=FREE, domain="conformance_nowhere", times=3),
    ),
    case(
        "a_limit_of_the_request_holds_for_its_descriptor_alone",
        "config_impl.go:459-475",
        ask(
            at(("five", "x"), limit=(2, DAY)),
            at(("five", "y")),
            gives=answer(ok(2, "DAY", 1), ok(5, "DAY", 4)),
        ),
    ),
    case(
        "values_count_apart_under_a_limit_of_the_request",
        "cache_key.go:64-79",
        ask(at(("nothing", "x"), limit=(1, DAY)), gives=ok(1, "DAY", 0)),
        ask(at(("nothing", "y"), limit=(1, DAY)), gives=ok(1, "DAY", 0)),
    ),
    case(
        "hits_count_under_a_limit_of_the_request",
        "utilities.go:79-82",
        ask(at(("five", "x"), hits=3, limit=(4, DAY)), gives=ok(4, "DAY", 1)),
        ask(at(("five", "x"), hits=0, limit=(4, DAY)), gives=ok(4, "DAY", 1)),
    ),
    case(
        "a_limit_of_the_request_without_entries_counts",
        "config_impl.go:459-475 comes before the entries",
        ask(top(("run", "$"), limit=(1, DAY)), gives=ok(1, "DAY", 0)),
        ask(top(("run", "$"), limit=(1, DAY)), gives=over(1, "DAY")),
    ),
    *(
        case(
            f"a_limit_of_the_request_a_{unit.lower()}_counts",
            "ratelimit_unit.proto; Envoy 1.40 sends it from dynamic metadata",
            ask(at(("five", "x"), limit=(50, number)), gives=ok(50, unit, 0), hits=50),
            ask(at(("five", "x"), limit=(50, number)), gives=over(50, unit, None), hits=50),
            window_seconds=seconds,
        )
        for unit, number, seconds in (
            ("SECOND", SECOND, 1),
            ("MINUTE", MINUTE, 60),
            ("HOUR", HOUR, 3600),
            ("DAY", DAY, 3600),
            ("WEEK", WEEK, 3600),
            ("MONTH", MONTH, 3600),
            ("YEAR", YEAR, 3600),
        )
    ),
    case(
        "limits_of_two_units_count_apart",
        "cache_key.go:81-82",
        ask(at(("five", "x"), limit=(1, DAY)), gives=ok(1, "DAY", 0)),
        ask(at(("five", "x"), limit=(1, YEAR)), gives=ok(1, "YEAR", 0)),
        ask(at(("five", "x"), limit=(1, DAY)), gives=over(1, "DAY")),
    ),
    exact(
        "a_limit_that_changes_keeps_the_share_that_was_used",
        "half of 10 used leaves half of 4",
        ask(at(("five", "x"), limit=(10, DAY)), gives=ok(10, "DAY", 5), hits=5),
        ask(at(("five", "x"), limit=(4, DAY)), gives=ok(4, "DAY", 0), hits=2),
        ask(at(("five", "x"), limit=(4, DAY)), gives=over(4, "DAY")),
    ),
    reference(
        "a_limit_that_changes_keeps_the_hits_that_were_used",
        "cache_key.go:48-88: the limit is not in the key",
        ask(at(("five", "x"), limit=(10, DAY)), gives=ok(10, "DAY", 5), hits=5),
        ask(at(("five", "x"), limit=(8, DAY)), gives=ok(8, "DAY", 2)),
        ask(at(("five", "x"), limit=(4, DAY)), gives=over(4, "DAY")),
    ),
    exact(
        "a_limit_of_the_request_in_no_unit_is_the_callers_mistake",
        "utilities.go:38 panics: the process ends",
        *(ask(at(("five", "x"), limit=(2, unit)), gives=_INVALID) for unit in (0, 8, 99)),
        ask(at(("five", "x")), gives=ok(5, "DAY", 4)),
        deadly=True,
    ),
)
