"""Counting up to a limit and no further, in every unit, hits of every size."""

from __future__ import annotations

from tests.conformance.table import (
    Crowd,
    answer,
    ask,
    at,
    case,
    cases,
    exact,
    ok,
    over,
    reference,
)

_YEAR = 365 * 86_400

COUNTING = cases(
    "counting",
    case(
        "five_a_day_lets_five_pass",
        "base_limiter.go:104-126",
        *(ask(at(("five", "x")), gives=ok(5, "DAY", left)) for left in (4, 3, 2, 1, 0)),
        ask(at(("five", "x")), gives=over(5, "DAY"), times=3),
    ),
    case(
        "every_value_has_a_counter_of_its_own",
        "config_impl.go:513-520; cache_key.go:64-79",
        ask(at(("one", "alice")), gives=ok(1, "DAY", 0)),
        ask(at(("one", "alice")), gives=over(1, "DAY")),
        ask(at(("one", "bob")), gives=ok(1, "DAY", 0)),
    ),
    case(
        "every_value_above_has_counters_of_its_own",
        "cache_key.go:64-79",
        ask(at(("user", "alice"), ("path", "x")), gives=ok(1, "DAY", 0)),
        ask(at(("user", "bob"), ("path", "x")), gives=ok(1, "DAY", 0)),
        ask(at(("user", "alice"), ("path", "x")), gives=over(1, "DAY")),
    ),
    case(
        "a_limit_of_nothing_lets_nothing_pass",
        "config_impl.go:22: requests_per_unit 0",
        ask(at(("blocked", "x")), gives=over(0, "DAY"), times=3),
    ),
    case(
        "domains_have_counters_of_their_own",
        "cache_key.go:60",
        ask(at(("five", "x")), gives=ok(5, "DAY", 0), hits=5),
        ask(at(("five", "x")), gives=ok(7, "DAY", 6), domain="conformance_other"),
        ask(at(("five", "x")), gives=over(5, "DAY")),
    ),
    case(
        "callers_at_once_get_exactly_the_limit",
        "fixed_cache_impl.go:35-38",
        Crowd(descriptor=at(("ten", "x")), callers=100, admitted=10),
    ),
    case(
        "the_same_descriptor_twice_counts_twice",
        "fixed_cache_impl.go:160-204",
        ask(
            at(("five", "x")),
            at(("five", "x")),
            gives=answer(ok(5, "DAY", 4), ok(5, "DAY", 3)),
        ),
        ask(at(("five", "x")), gives=ok(5, "DAY", 2)),
    ),
    case(
        "the_same_descriptor_twice_is_over_when_one_is_left",
        "fixed_cache_impl.go:160-204",
        ask(
            at(("one", "x")),
            at(("one", "x")),
            gives=answer(ok(1, "DAY"), over(1, "DAY"), over=True),
        ),
    ),
    case(
        "names_of_metrics_change_no_count",
        "config_impl.go:614-670",
        ask(at(("detailed", "x")), at(("valued", "x")), hits=5,
            gives=answer(ok(5, "DAY", 0), ok(5, "DAY", 0))),
        ask(at(("detailed", "x")), gives=over(5, "DAY")),
        ask(at(("valued", "x")), gives=over(5, "DAY")),
        ask(at(("detailed", "y")), gives=ok(5, "DAY", 4)),
        ask(at(("valued", "y")), gives=ok(5, "DAY", 4)),
    ),
)  # fmt: skip

UNITS = cases(
    "units",
    *(
        case(
            f"a_limit_a_{unit}_counts",
            "config_impl.go:268-281, any case of letters; utilities.go:20-39",
            # All at once and again, so that what flows back in a second decides nothing.
            ask(at(("unit", unit)), gives=ok(1000, unit.upper(), 0), hits=1000),
            ask(at(("unit", unit)), gives=over(1000, unit.upper(), None), hits=1000),
            window_seconds=seconds,
        )
        for unit, seconds in (
            ("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400), ("week", 86_400),
            ("month", 86_400), ("year", _YEAR),
        )
    ),
)  # fmt: skip

HITS = cases(
    "hits",
    case(
        "no_hits_on_the_request_are_one",
        "rls.proto hits_addend; utilities.go:84-87",
        ask(at(("five", "x")), gives=ok(5, "DAY", 4), hits=0),
    ),
    case(
        "hits_of_the_request_count_for_every_descriptor",
        "rls.proto hits_addend; utilities.go:84-87",
        ask(at(("five", "x")), at(("ten", "x")), hits=3,
            gives=answer(ok(5, "DAY", 2), ok(10, "DAY", 7))),
    ),
    case(
        "hits_of_a_descriptor_beat_those_of_the_request",
        "ratelimit.proto hits_addend; utilities.go:79-82",
        ask(at(("five", "x"), hits=2), at(("ten", "x")), hits=4,
            gives=answer(ok(5, "DAY", 3), ok(10, "DAY", 6))),
    ),
    case(
        "hits_of_each_descriptor_count_apart",
        "ratelimit.proto hits_addend",
        ask(at(("five", "x"), hits=4), at(("ten", "x"), hits=7),
            gives=answer(ok(5, "DAY", 1), ok(10, "DAY", 3))),
    ),
    case(
        "no_hits_on_a_descriptor_only_look",
        "ratelimit.proto hits_addend 0; utilities.go:79-82",
        ask(at(("five", "x"), hits=0), gives=ok(5, "DAY", 5), times=10),
        ask(at(("five", "x")), gives=ok(5, "DAY", 4)),
        ask(at(("five", "x"), hits=0), gives=ok(5, "DAY", 4), hits=3, times=10),
    ),
    case(
        "a_look_beside_a_charge_costs_nothing",
        "utilities.go:79-82",
        ask(at(("five", "x"), hits=0), at(("ten", "x")),
            gives=answer(ok(5, "DAY", 5), ok(10, "DAY", 9)), times=1),
        ask(at(("five", "x"), hits=0), gives=ok(5, "DAY", 5)),
    ),
    case(
        "a_look_passes_when_nothing_is_left",
        "base_limiter.go:104-107: over means above the limit",
        ask(at(("five", "x")), gives=ok(5, "DAY", 0), hits=5),
        ask(at(("five", "x"), hits=0), gives=ok(5, "DAY", 0), times=3),
    ),
    case(
        "exactly_the_limit_at_once_passes",
        "base_limiter.go:104",
        ask(at(("ten", "x")), gives=ok(10, "DAY", 0), hits=10),
        ask(at(("ten", "x")), gives=over(10, "DAY")),
    ),
    case(
        "one_more_than_the_limit_at_once_is_refused",
        "base_limiter.go:104",
        ask(at(("ten", "x")), gives=over(10, "DAY", None), hits=11),
    ),
    case(
        "the_largest_limit_counts_to_its_end",
        "rls.proto requests_per_unit uint32",
        ask(at(("largest", "x")), gives=ok(2**32 - 1, "DAY", 0), hits=2**32 - 1),
        ask(at(("largest", "x")), gives=over(2**32 - 1, "DAY", None), hits=2**32 - 1),
    ),
    case(
        "the_most_hits_a_request_can_ask_are_refused",
        "rls.proto hits_addend uint32",
        ask(at(("ten", "x")), gives=over(10, "DAY", None), hits=2**32 - 1),
    ),
    case(
        "more_hits_than_32_bits_are_refused",
        "ratelimit.proto hits_addend uint64",
        ask(at(("largest", "x"), hits=2**40), gives=over(2**32 - 1, "DAY", None)),
    ),
    case(
        "hits_of_2_to_the_63_less_1_are_refused",
        "ratelimit.proto hits_addend uint64",
        ask(at(("ten", "x"), hits=2**63 - 1), gives=over(10, "DAY", None)),
    ),
    exact(
        "hits_of_2_to_the_63_are_refused_and_no_error",
        "ratelimit.proto hits_addend uint64; fixed_cache_impl.go:36 overflows INCRBY",
        ask(at(("ten", "x"), hits=2**63), gives=over(10, "DAY", None)),
        ask(at(("ten", "x")), gives=ok(10, "DAY", 9)),
    ),
    exact(
        "hits_of_2_to_the_64_less_1_are_refused_and_no_error",
        "ratelimit.proto hits_addend uint64; fixed_cache_impl.go:36 overflows INCRBY",
        ask(at(("ten", "x"), hits=2**64 - 1), gives=over(10, "DAY", None)),
        ask(at(("ten", "x")), gives=ok(10, "DAY", 9)),
    ),
    exact(
        "two_huge_numbers_of_hits_do_not_wrap_around",
        "fixed_cache_impl.go:36: INCRBY overflows on the second",
        ask(at(("ten", "x"), hits=2**63 - 1), gives=over(10, "DAY", None), times=2),
        ask(at(("ten", "x")), gives=ok(10, "DAY", 9)),
    ),
    reference(
        "a_look_at_a_counter_over_its_limit_is_over",
        "base_limiter.go:104: refused hits have counted",
        ask(at(("five", "x")), gives=over(5, "DAY"), hits=6),
        ask(at(("five", "x"), hits=0), gives=over(5, "DAY")),
    ),
    exact(
        "a_look_after_a_refusal_finds_what_was_there",
        "rls.proto limit_remaining",
        ask(at(("five", "x")), gives=ok(5, "DAY", 2), hits=3),
        ask(at(("five", "x")), gives=over(5, "DAY", None), hits=4),
        ask(at(("five", "x"), hits=0), gives=ok(5, "DAY", 2)),
    ),
)  # fmt: skip

CASES = COUNTING + UNITS + HITS
