"""duration_until_reset, and what really happens after it."""

from __future__ import annotations

from tests.conformance.table import (
    Seconds,
    WaitFraction,
    WaitReset,
    WindowEnd,
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

_HOUR, _DAY, _YEAR = 3600, 86_400, 365 * 86_400
# Rules of these tests refill a token a second: what was left may have grown by one or two.
_STEADY = at(("steady", "x"))
_FULL = 3600

CASES = cases(
    "timing",
    case(
        "after_the_wait_it_was_told_a_caller_passes",
        "rls.proto duration_until_reset",
        ask(at(("two_a_second", "x")), gives=ok(2, "SECOND", 0), hits=2),
        ask(at(("two_a_second", "x")), gives=over(2, "SECOND", None), hits=2),
        WaitReset(),
        ask(at(("two_a_second", "x")), gives=ok(2, "SECOND", 0), hits=2),
        window_seconds=1,
    ),
    case(
        "the_wait_of_a_refusal_is_at_least_a_second_and_whole",
        "Envoy 1.40 cuts Retry-After and x-ratelimit-reset to whole seconds",
        ask(at(("two_a_second", "x")), gives=ok(2, "SECOND", 0), hits=2),
        ask(
            at(("two_a_second", "x")),
            gives=over(2, "SECOND", None, reset=Seconds(0.9, 1, whole=True)),
            hits=2,
        ),
        window_seconds=1,
    ),
    case(
        "no_time_is_longer_than_the_unit",
        "rls.proto duration_until_reset",
        ask(at(("one", "x")), gives=ok(1, "DAY", 0, reset=Seconds(0, _DAY))),
        ask(at(("one", "x")), gives=over(1, "DAY", 0, reset=Seconds(0, _DAY))),
    ),
    case(
        "a_limit_of_nothing_says_to_wait_at_most_a_unit",
        "utilities.go:41-45",
        ask(at(("blocked", "x")), gives=over(0, "DAY", reset=Seconds(0, _DAY, whole=True))),
    ),
    exact(
        "within_the_limit_the_time_is_until_it_is_whole_again",
        "utilities.go:41-45 answers the window's end",
        ask(_STEADY, gives=ok(_FULL, "HOUR", _FULL - 10, reset=Seconds(9, 10)), hits=10),
    ),
    exact(
        "an_untouched_limit_has_no_time_to_wait",
        "utilities.go:41-45 answers the window's end",
        ask(at(("steady", "x"), hits=0), gives=ok(_FULL, "HOUR", _FULL, reset=Seconds(-1, 0))),
    ),
    exact(
        "over_the_limit_the_time_is_until_one_hit_fits",
        "utilities.go:41-45 answers the window's end",
        ask(_STEADY, gives=ok(_FULL, "HOUR", 0), hits=_FULL),
        ask(_STEADY, gives=over(_FULL, "HOUR", None, reset=Seconds(0, 1, whole=True))),
    ),
    exact(
        "over_the_limit_the_time_is_until_the_asked_hits_fit",
        "utilities.go:41-45 answers the window's end",
        ask(_STEADY, gives=ok(_FULL, "HOUR", 0), hits=_FULL),
        ask(
            _STEADY,
            gives=over(_FULL, "HOUR", None, reset=Seconds(58, 60, whole=True)),
            hits=60,
        ),
    ),
    exact(
        "after_the_time_for_the_asked_hits_they_pass_and_not_many_more",
        "a token flows back each second; utilities.go:41-45 answers the window's end",
        ask(_STEADY, gives=ok(_FULL, "HOUR", 0), hits=_FULL),
        ask(_STEADY, gives=over(_FULL, "HOUR", None), hits=2),
        WaitReset(),
        ask(_STEADY, gives=ok(_FULL, "HOUR"), hits=2),
        ask(_STEADY, gives=over(_FULL, "HOUR", None), hits=100),
    ),
    exact(
        "hits_that_never_fit_are_told_when_the_limit_is_whole",
        "utilities.go:41-45 answers the window's end",
        ask(_STEADY, gives=ok(_FULL, "HOUR", _FULL - 30), hits=30),
        ask(
            _STEADY,
            gives=over(_FULL, "HOUR", None, reset=Seconds(28, 30, whole=True)),
            hits=_FULL + 1,
        ),
    ),
    exact(
        "each_descriptor_over_has_its_own_time",
        "utilities.go:41-45 answers the window's end",
        ask(_STEADY, at(("steady", "y")), hits=_FULL,
            gives=answer(ok(_FULL, "HOUR", 0), ok(_FULL, "HOUR", 0))),
        ask(
            at(("steady", "x"), hits=20),
            at(("steady", "y"), hits=40),
            gives=answer(
                over(_FULL, "HOUR", None, reset=Seconds(18, 20, whole=True)),
                over(_FULL, "HOUR", None, reset=Seconds(38, 40, whole=True)),
                over=True,
            ),
        ),
    ),
    exact(
        "the_edge_of_a_second_does_not_double_the_limit",
        "fixed windows: base_limiter.go:51",
        WaitFraction(0.75),
        ask(at(("five_a_second", "x")), gives=ok(5, "SECOND", 0), hits=5),
        WaitFraction(0.05),
        ask(at(("five_a_second", "x")), gives=over(5, "SECOND", None), hits=5),
    ),
    reference(
        "within_the_limit_the_time_is_until_the_window_ends",
        "utilities.go:41-45",
        ask(at(("steady", "x")), gives=ok(_FULL, "HOUR", _FULL - 1, reset=WindowEnd(_HOUR))),
        ask(at(("five", "x")), gives=ok(5, "DAY", 4, reset=WindowEnd(_DAY))),
        ask(at(("unit", "year")), gives=ok(1000, "YEAR", 999, reset=WindowEnd(_YEAR))),
        ask(at(("unit", "month")), gives=ok(1000, "MONTH", 999, reset=WindowEnd(30 * _DAY))),
        ask(at(("unit", "week")), gives=ok(1000, "WEEK", 999, reset=WindowEnd(7 * _DAY))),
    ),
    reference(
        "over_the_limit_the_time_is_until_the_window_ends",
        "utilities.go:41-45",
        ask(at(("five", "x")), gives=ok(5, "DAY", 0), hits=5),
        ask(at(("five", "x")), gives=over(5, "DAY", reset=WindowEnd(_DAY))),
        ask(at(("blocked", "x")), gives=over(0, "DAY", reset=WindowEnd(_DAY))),
    ),
    reference(
        "a_new_window_is_a_new_limit",
        "cache_key.go:81-82",
        WaitFraction(0.75),
        ask(at(("five_a_second", "x")), gives=ok(5, "SECOND", 0), hits=5),
        ask(at(("five_a_second", "x")), gives=over(5, "SECOND")),
        WaitFraction(0.05),
        ask(at(("five_a_second", "x")), gives=ok(5, "SECOND", 0), hits=5),
        window_seconds=1,
    ),
)  # fmt: skip
