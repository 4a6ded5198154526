"""What a call costs that is refused, that only looks, or that gives back."""

from __future__ import annotations

from tests.conformance.table import (
    Crowd,
    KeysKept,
    Need,
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

CHARGING = cases(
    "charging",
    exact(
        "refused_hits_cost_nothing",
        "fixed_cache_impl.go:35-38 counts them",
        ask(at(("five", "x")), gives=ok(5, "DAY", 2), hits=3),
        ask(at(("five", "x")), gives=over(5, "DAY", None), hits=3, times=5),
        ask(at(("five", "x")), gives=ok(5, "DAY", 0), hits=2),
    ),
    exact(
        "more_than_could_ever_pass_costs_nothing",
        "fixed_cache_impl.go:35-38: one such call blocks the window",
        ask(at(("five", "x")), gives=over(5, "DAY", None), hits=6, times=3),
        ask(at(("five", "x")), gives=ok(5, "DAY", 0), hits=5),
    ),
    exact(
        "a_request_refused_by_one_descriptor_charges_none",
        "fixed_cache_impl.go:115-158 charges the others",
        ask(at(("one", "x")), gives=ok(1, "DAY", 0)),
        ask(at(("five", "x")), at(("one", "x")), at(("ten", "x")), times=10,
            gives=answer(ok(5, "DAY"), over(1, "DAY"), ok(10, "DAY"), over=True)),
        ask(at(("five", "x")), at(("ten", "x")), hits=5,
            gives=answer(ok(5, "DAY", 0), ok(10, "DAY", 5))),
    ),
    exact(
        "a_request_refused_by_a_limit_of_nothing_charges_none",
        "fixed_cache_impl.go:115-158 charges the others",
        ask(at(("five", "x")), at(("blocked", "x")), times=10,
            gives=answer(ok(5, "DAY"), over(0, "DAY"), over=True)),
        ask(at(("five", "x")), gives=ok(5, "DAY", 0), hits=5),
    ),
    exact(
        "a_request_that_names_a_descriptor_too_often_charges_it_not_once",
        "fixed_cache_impl.go:160-204 charges the first",
        ask(at(("one", "x")), at(("one", "x")),
            gives=answer(ok(1, "DAY"), over(1, "DAY"), over=True)),
        ask(at(("one", "x")), gives=ok(1, "DAY", 0)),
    ),
    exact(
        "a_limit_larger_than_one_refusal_is_there_for_the_next",
        "fixed_cache_impl.go:35-38",
        ask(at(("ten", "x")), gives=ok(10, "DAY", 1), hits=9),
        ask(at(("ten", "x")), gives=over(10, "DAY", None), hits=2),
        ask(at(("ten", "x")), gives=ok(10, "DAY", 0), hits=1),
    ),
    exact(
        "callers_at_once_with_two_hits_each_get_all_there_is",
        "fixed_cache_impl.go:35-38: refused hits take the place of others",
        ask(at(("ten", "x")), gives=ok(10, "DAY", 7), hits=3),
        Crowd(descriptor=at(("ten", "x"), hits=2), callers=50, admitted=3),
        ask(at(("ten", "x")), gives=ok(10, "DAY", 0)),
    ),
    exact(
        "a_refusal_says_what_is_left",
        "rls.proto limit_remaining; base_limiter.go:107, 126 says 0",
        ask(at(("five", "x")), gives=over(5, "DAY", 5), hits=6),
        ask(at(("five", "x")), gives=ok(5, "DAY", 2), hits=3),
        ask(at(("five", "x")), gives=over(5, "DAY", 2), hits=3),
    ),
    exact(
        "a_refused_request_says_what_the_other_descriptors_have_left",
        "rls.proto limit_remaining",
        ask(at(("one", "x")), gives=ok(1, "DAY", 0)),
        ask(at(("five", "x")), at(("one", "x")), at(("ten", "x")), times=2,
            gives=answer(ok(5, "DAY", 5), over(1, "DAY"), ok(10, "DAY", 10), over=True)),
    ),
    reference(
        "refused_hits_count",
        "fixed_cache_impl.go:35-38",
        ask(at(("five", "x")), gives=ok(5, "DAY", 2), hits=3),
        ask(at(("five", "x")), gives=over(5, "DAY", 0), hits=3),
        ask(at(("five", "x")), gives=over(5, "DAY", 0)),
    ),
    reference(
        "each_descriptor_is_charged_on_its_own",
        "fixed_cache_impl.go:160-204",
        ask(at(("one", "x")), gives=ok(1, "DAY", 0)),
        ask(at(("five", "x")), at(("one", "x")),
            gives=answer(ok(5, "DAY", 4), over(1, "DAY"), over=True)),
        ask(at(("five", "x")), at(("one", "x")),
            gives=answer(ok(5, "DAY", 3), over(1, "DAY"), over=True)),
        ask(at(("five", "x")), gives=ok(5, "DAY", 2)),
    ),
    reference(
        "more_than_the_limit_at_once_blocks_the_window",
        "fixed_cache_impl.go:35-38",
        ask(at(("five", "x")), gives=over(5, "DAY", 0), hits=6),
        ask(at(("five", "x")), gives=over(5, "DAY", 0), times=2),
    ),
    reference(
        "a_descriptor_named_twice_is_charged_for_the_first",
        "fixed_cache_impl.go:160-204",
        ask(at(("one", "x")), at(("one", "x")),
            gives=answer(ok(1, "DAY", 0), over(1, "DAY", 0), over=True)),
        ask(at(("one", "x")), gives=over(1, "DAY", 0)),
    ),
)  # fmt: skip

LOOKING = cases(
    "looking",
    exact(
        "a_look_writes_nothing",
        "fixed_cache_impl.go:160-187 writes a key",
        ask(at(("five", "x"), hits=0), gives=ok(5, "DAY", 5)),
        ask(at(("five", "x"), hits=0), at(("ten", "x"), hits=0),
            gives=answer(ok(5, "DAY", 5), ok(10, "DAY", 10))),
        KeysKept(),
        need=Need.STORE,
    ),
    exact(
        "a_refused_call_writes_nothing",
        "fixed_cache_impl.go:160-187 writes a key",
        ask(at(("five", "x")), gives=over(5, "DAY", None), hits=6),
        KeysKept(),
        need=Need.STORE,
    ),
    case(
        "a_look_beside_a_refusal_is_within",
        "base_limiter.go:104",
        ask(at(("one", "x")), gives=ok(1, "DAY", 0)),
        ask(at(("five", "x"), hits=0), at(("one", "x")),
            gives=answer(ok(5, "DAY", 5), over(1, "DAY"), over=True), times=3),
        ask(at(("five", "x"), hits=0), gives=ok(5, "DAY", 5)),
    ),
)  # fmt: skip

_NEGATIVE = "ratelimit.proto is_negative_hits; the reference charges them"

REFUNDS = cases(
    "refunds",
    exact(
        "hits_can_be_given_back",
        _NEGATIVE,
        ask(at(("five", "x")), gives=ok(5, "DAY", 1), hits=4),
        ask(at(("five", "x"), hits=2, negative=True), gives=ok(5, "DAY", 3)),
        ask(at(("five", "x")), gives=ok(5, "DAY", 0), hits=3),
        ask(at(("five", "x")), gives=over(5, "DAY")),
    ),
    exact(
        "no_more_is_given_back_than_was_taken",
        _NEGATIVE + "; capped as in Envoy's local limiter",
        ask(at(("five", "x")), gives=ok(5, "DAY", 2), hits=3),
        ask(at(("five", "x"), hits=1_000_000, negative=True), gives=ok(5, "DAY", 5)),
        ask(at(("five", "x")), gives=ok(5, "DAY", 0), hits=5),
        ask(at(("five", "x")), gives=over(5, "DAY")),
    ),
    exact(
        "the_most_that_can_be_given_back_does_not_wrap_around",
        _NEGATIVE,
        ask(at(("five", "x"), hits=2**64 - 1, negative=True), gives=ok(5, "DAY", 5)),
        ask(at(("five", "x"), hits=2**63, negative=True), gives=ok(5, "DAY", 5)),
        ask(at(("five", "x")), gives=ok(5, "DAY", 4)),
    ),
    exact(
        "giving_back_what_was_never_taken_changes_nothing",
        _NEGATIVE,
        ask(at(("five", "x"), hits=3, negative=True), gives=ok(5, "DAY", 5)),
        ask(at(("five", "x")), gives=ok(5, "DAY", 0), hits=5),
        ask(at(("five", "x")), gives=over(5, "DAY")),
    ),
    exact(
        "giving_back_what_was_never_taken_writes_nothing",
        _NEGATIVE,
        ask(at(("five", "x"), hits=3, negative=True), gives=ok(5, "DAY", 5)),
        KeysKept(),
        need=Need.STORE,
    ),
    exact(
        "giving_back_is_never_over_the_limit",
        _NEGATIVE,
        ask(at(("five", "x")), gives=ok(5, "DAY", 0), hits=5),
        ask(at(("five", "x"), hits=1, negative=True), gives=ok(5, "DAY", 1)),
        ask(at(("five", "x")), gives=ok(5, "DAY", 0)),
    ),
    exact(
        "the_requests_hits_are_given_back_where_the_descriptor_says_none",
        _NEGATIVE,
        ask(at(("five", "x")), gives=ok(5, "DAY", 0), hits=5),
        ask(at(("five", "x"), negative=True), gives=ok(5, "DAY", 2), hits=2),
        ask(at(("five", "x"), negative=True), gives=ok(5, "DAY", 3)),
    ),
    exact(
        "one_descriptor_gives_back_while_another_is_charged",
        _NEGATIVE,
        ask(at(("five", "x")), gives=ok(5, "DAY", 1), hits=4),
        ask(at(("five", "x"), hits=2, negative=True), at(("ten", "x")),
            gives=answer(ok(5, "DAY", 3), ok(10, "DAY", 9))),
    ),
    exact(
        "hits_are_given_back_under_a_limit_of_the_request",
        _NEGATIVE,
        ask(at(("five", "x"), limit=(8, 4)), gives=ok(8, "DAY", 2), hits=6),
        ask(at(("five", "x"), hits=4, negative=True, limit=(8, 4)), gives=ok(8, "DAY", 6)),
    ),
    exact(
        "a_limit_of_nothing_has_nothing_to_give_back",
        _NEGATIVE,
        ask(at(("blocked", "x"), hits=3, negative=True), gives=ok(0, "DAY", 0)),
        ask(at(("blocked", "x")), gives=over(0, "DAY")),
    ),
)  # fmt: skip

CASES = CHARGING + LOOKING + REFUNDS
