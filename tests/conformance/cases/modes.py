"""Rules that stand back: replaces, shadow_mode, quota_mode."""

from __future__ import annotations

from functools import partial

from tests.conformance.table import (
    FREE,
    UNLIMITED,
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

_ask_replaces = partial(ask, domain="conformance_replaces")
_ask_modes = partial(ask, domain="conformance_modes")
_GENERAL = at(("general", "x"))
_SPECIAL = at(("special", "x"))

REPLACES = cases(
    "replaces",
    case(
        "a_limit_drops_the_one_it_replaces",
        "ratelimit.go:157-180",
        _ask_replaces(_SPECIAL, _GENERAL, gives=answer(ok(4, "DAY", 3, name="special"), FREE)),
    ),
    case(
        "the_order_of_the_two_does_not_matter",
        "ratelimit.go:168-180: collected first, dropped then",
        _ask_replaces(_GENERAL, _SPECIAL, gives=answer(FREE, ok(4, "DAY", 3, name="special"))),
    ),
    case(
        "what_is_replaced_is_not_charged",
        "ratelimit.go:168-180",
        _ask_replaces(_SPECIAL, _GENERAL, times=1,
                      gives=answer(ok(4, "DAY", 0, name="special"), FREE), hits=4),
        _ask_replaces(_GENERAL, gives=ok(2, "DAY", 1, name="general")),
    ),
    case(
        "what_is_replaced_refuses_nothing",
        "ratelimit.go:168-180",
        _ask_replaces(_GENERAL, gives=ok(2, "DAY", 0, name="general"), hits=2),
        _ask_replaces(_GENERAL, _SPECIAL, gives=answer(FREE, ok(4, "DAY", 3, name="special"))),
        _ask_replaces(_GENERAL, gives=over(2, "DAY", name="general")),
    ),
    case(
        "a_limit_on_its_own_is_replaced_by_nothing",
        "ratelimit.go:168-180",
        _ask_replaces(_GENERAL, gives=ok(2, "DAY", 1, name="general")),
        _ask_replaces(_SPECIAL, gives=ok(4, "DAY", 3, name="special")),
    ),
    case(
        "the_one_that_replaces_still_refuses",
        "ratelimit.go:168-180",
        _ask_replaces(_SPECIAL, gives=ok(4, "DAY", 0, name="special"), hits=4),
        _ask_replaces(_SPECIAL, _GENERAL,
                      gives=answer(over(4, "DAY", name="special"), FREE, over=True)),
    ),
    case(
        "an_unlimited_rule_replaces_too",
        "ratelimit.go:157-165",
        _ask_replaces(at(("waived", "x")), _GENERAL, gives=answer(UNLIMITED, FREE), times=5),
        _ask_replaces(_GENERAL, gives=ok(2, "DAY", 1, name="general")),
    ),
    case(
        "one_may_replace_several",
        "ratelimit.go:157-160",
        _ask_replaces(_GENERAL, at(("both", "x")), _SPECIAL,
                      gives=answer(FREE, ok(8, "DAY", 7), FREE)),
    ),
    case(
        "what_is_replaced_still_replaces",
        "ratelimit.go:157-180: no order and no chain, all names are collected first",
        _ask_replaces(at(("chain", "x")), _SPECIAL, _GENERAL,
                      gives=answer(ok(6, "DAY", 5, name="chain"), FREE, FREE)),
    ),
    case(
        "a_name_two_steps_away_is_not_replaced",
        "ratelimit.go:157-180",
        _ask_replaces(at(("chain", "x")), _GENERAL,
                      gives=answer(ok(6, "DAY", 5, name="chain"), ok(2, "DAY", 1, name="general"))),
    ),
    case(
        "a_name_that_no_rule_has_replaces_nothing",
        "config_impl.go:283-304: not checked",
        _ask_replaces(at(("nothing", "x")), _GENERAL,
                      gives=answer(ok(8, "DAY", 7), ok(2, "DAY", 1, name="general"))),
    ),
    case(
        "all_descriptors_of_the_same_limit_are_replaced",
        "ratelimit.go:168-180",
        _ask_replaces(_GENERAL, _SPECIAL, at(("general", "y")),
                      gives=answer(FREE, ok(4, "DAY", 3, name="special"), FREE)),
    ),
    case(
        "an_override_has_no_name_and_is_not_replaced",
        "config_impl.go:459-475",
        _ask_replaces(at(("general", "x"), limit=(3, 4)), _SPECIAL,
                      gives=answer(ok(3, "DAY", 2), ok(4, "DAY", 3, name="special"))),
    ),
)  # fmt: skip

_TRIAL = at(("shadow_two", "x"))

SHADOW = cases(
    "shadow_mode",
    case(
        "a_limit_in_shadow_mode_never_refuses",
        "base_limiter.go:134-140",
        _ask_modes(_TRIAL, gives=ok(2, "DAY", 1, name="trial")),
        _ask_modes(_TRIAL, gives=ok(2, "DAY", 0, name="trial")),
        _ask_modes(_TRIAL, gives=ok(2, "DAY", 0, name="trial"), times=5),
    ),
    case(
        "more_than_the_limit_at_once_passes_in_shadow_mode",
        "base_limiter.go:134-140",
        _ask_modes(_TRIAL, gives=ok(2, "DAY", 0, name="trial"), hits=1000),
    ),
    case(
        "a_limit_of_nothing_passes_in_shadow_mode",
        "base_limiter.go:134-140",
        _ask_modes(at(("shadow_none", "x")), gives=ok(0, "DAY", 0), times=3),
    ),
    case(
        "shadow_mode_covers_its_own_rule_alone",
        "base_limiter.go:134-140",
        _ask_modes(_TRIAL, at(("hard_one", "x")),
                   gives=answer(ok(2, "DAY", 1, name="trial"), ok(1, "DAY", 0))),
        _ask_modes(_TRIAL, at(("hard_one", "x")), gives=answer(
            ok(2, "DAY", None, name="trial"), over(1, "DAY"), over=True)),
    ),
    case(
        "a_rule_in_shadow_mode_counts_when_another_refuses",
        "fixed_cache_impl.go:160-204",
        _ask_modes(at(("shadow_ten", "x")), at(("hard_one", "x")),
                   gives=answer(ok(10, "DAY", 9), ok(1, "DAY", 0))),
        _ask_modes(at(("shadow_ten", "x")), at(("hard_one", "x")),
                   gives=answer(ok(10, "DAY", 8), over(1, "DAY"), over=True)),
        _ask_modes(at(("shadow_ten", "x")), gives=ok(10, "DAY", 7)),
    ),
    case(
        "an_override_lifts_shadow_mode",
        "config_impl.go:462",
        _ask_modes(at(("shadow_two", "x"), limit=(1, 4)), gives=ok(1, "DAY", 0)),
        _ask_modes(at(("shadow_two", "x"), limit=(1, 4)), gives=over(1, "DAY")),
    ),
)  # fmt: skip

_ONE, _TWO, _THREE = at(("quota_one", "x")), at(("quota_two", "x")), at(("quota_three", "x"))

QUOTA = cases(
    "quota_mode",
    case(
        "a_quota_alone_refuses_when_it_is_used_up",
        "ratelimit.go:250-255",
        _ask_modes(_ONE, gives=ok(1, "DAY", 0)),
        _ask_modes(_ONE, gives=over(1, "DAY")),
    ),
    case(
        "a_request_passes_while_one_quota_is_left",
        "ratelimit.go:231-255",
        _ask_modes(_ONE, _THREE, gives=answer(ok(1, "DAY", 0), ok(3, "DAY", 2))),
        _ask_modes(_ONE, _THREE, gives=answer(over(1, "DAY"), ok(3, "DAY", 1))),
        _ask_modes(_ONE, _THREE, gives=answer(over(1, "DAY"), ok(3, "DAY", 0))),
        _ask_modes(_ONE, _THREE, gives=answer(over(1, "DAY"), over(3, "DAY"), over=True)),
    ),
    case(
        "a_quota_over_beside_a_limit_within_refuses",
        "ratelimit.go:250-255: all quotas of the request are over",
        _ask_modes(_ONE, at(("hard_ten", "x")), gives=answer(ok(1, "DAY", 0), ok(10, "DAY", 9))),
        _ask_modes(_ONE, at(("hard_ten", "x")),
                   gives=answer(over(1, "DAY"), ok(10, "DAY", None), over=True)),
    ),
    case(
        "a_quota_left_does_not_outweigh_a_limit_over",
        "ratelimit.go:250-255",
        _ask_modes(at(("hard_one", "x")), gives=ok(1, "DAY", 0)),
        _ask_modes(_THREE, at(("hard_one", "x")),
                   gives=answer(ok(3, "DAY", None), over(1, "DAY"), over=True)),
    ),
    case(
        "a_descriptor_without_a_rule_is_no_quota",
        "ratelimit.go:231: only with QUOTA_MODE",
        _ask_modes(_ONE, gives=ok(1, "DAY", 0)),
        _ask_modes(_ONE, at(("nothing", "x")), gives=answer(over(1, "DAY"), FREE, over=True)),
    ),
    case(
        "a_quota_that_is_over_is_no_hindrance_to_the_next_one",
        "ratelimit.go:250-255: fail-over",
        _ask_modes(_ONE, _TWO, _THREE, hits=2,
                   gives=answer(over(1, "DAY", None), ok(2, "DAY", 0), ok(3, "DAY", 1))),
        _ask_modes(_ONE, _TWO, _THREE,
                   gives=answer(over(1, "DAY", None), over(2, "DAY"), ok(3, "DAY", 0))),
    ),
    case(
        "an_override_lifts_quota_mode",
        "config_impl.go:459-475",
        _ask_modes(at(("quota_one", "x"), limit=(1, 4)), _THREE,
                   gives=answer(ok(1, "DAY", 0), ok(3, "DAY", 2))),
        _ask_modes(at(("quota_one", "x"), limit=(1, 4)), _THREE,
                   gives=answer(over(1, "DAY"), ok(3, "DAY", None), over=True)),
    ),
    exact(
        "a_request_that_a_limit_refuses_costs_no_quota",
        "fixed_cache_impl.go:160-204 charges both",
        _ask_modes(at(("hard_one", "x")), gives=ok(1, "DAY", 0)),
        _ask_modes(_TWO, at(("hard_one", "x")), times=5,
                   gives=answer(ok(2, "DAY", None), over(1, "DAY"), over=True)),
        _ask_modes(_TWO, gives=ok(2, "DAY", 1)),
    ),
    reference(
        "a_request_that_a_limit_refuses_costs_quota",
        "fixed_cache_impl.go:160-204",
        _ask_modes(at(("hard_one", "x")), gives=ok(1, "DAY", 0)),
        _ask_modes(_THREE, at(("hard_one", "x")),
                   gives=answer(ok(3, "DAY", 2), over(1, "DAY"), over=True)),
        _ask_modes(_THREE, gives=ok(3, "DAY", 1)),
    ),
)  # fmt: skip

CASES = REPLACES + SHADOW + QUOTA
