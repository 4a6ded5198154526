"""Which rule a descriptor meets: level by level, exact before any, greedy, at the last entry."""

from __future__ import annotations

from tests.conformance.table import FREE, ask, at, case, cases, exact, ok, over, top


def _depth(levels: int) -> tuple[tuple[str, str], ...]:
    return tuple(("depth", str(level)) for level in range(1, levels + 1))


MATCHING = cases(
    "matching",
    case(
        "a_rule_for_the_value_goes_before_the_rule_for_any",
        "config_impl.go:495-520",
        ask(at(("colour", "red")), gives=ok(1, "DAY", 0)),
        ask(at(("colour", "blue")), gives=ok(2, "DAY", 1)),
        ask(at(("colour", "green")), gives=ok(3, "DAY", 2)),
    ),
    case(
        "a_value_used_up_does_not_fall_back_on_the_rule_for_any",
        "config_impl.go:495-520",
        ask(at(("colour", "red")), gives=ok(1, "DAY", 0)),
        ask(at(("colour", "red")), gives=over(1, "DAY")),
        ask(at(("colour", "green")), gives=ok(3, "DAY", 2)),
    ),
    case(
        "values_are_case_sensitive",
        "config_impl.go:495",
        ask(at(("colour", "RED")), gives=ok(3, "DAY", 2)),
    ),
    case("keys_are_case_sensitive", "config_impl.go:495", ask(at(("Colour", "red")), gives=FREE)),
    case(
        "a_space_more_is_another_value",
        "config_impl.go:495",
        ask(at(("colour", "red ")), gives=ok(3, "DAY", 2)),
        ask(at(("colour", " red")), gives=ok(3, "DAY", 2)),
    ),
    case(
        "part_of_a_value_is_not_the_value",
        "config_impl.go:495",
        ask(at(("colour", "re")), gives=ok(3, "DAY", 2)),
        ask(at(("colour", "redd")), gives=ok(3, "DAY", 2)),
    ),
    case(
        "an_empty_value_meets_the_rule_for_any_and_counts_apart",
        "Envoy 1.40 sends an empty header as an empty value; config_impl.go:513-520",
        ask(at(("colour", "")), gives=ok(3, "DAY", 0), hits=3),
        ask(at(("colour", "")), gives=over(3, "DAY")),
        ask(at(("colour", "green")), gives=ok(3, "DAY", 2)),
    ),
    case("an_empty_key_meets_no_rule", "config_impl.go:247-249", ask(at(("", "x")), gives=FREE)),
    case(
        "what_was_chosen_is_not_taken_back",
        "config_impl.go:495-520: greedy, no backtracking",
        ask(at(("path", "a"), ("x", "1")), gives=ok(4, "DAY", 3)),
        ask(at(("path", "a"), ("y", "1")), gives=FREE),
        ask(at(("path", "b"), ("y", "1")), gives=ok(2, "DAY", 1)),
        ask(at(("path", "b"), ("x", "1")), gives=FREE),
    ),
    case(
        "scalars_of_the_rules_stay_as_they_are_written",
        "yaml.v2 decodes a scalar into a string field with its source text",
        ask(at(("scalar", "0123")), gives=ok(1, "DAY", 0)),
        ask(at(("scalar", "yes")), gives=ok(2, "DAY", 1)),
        ask(at(("scalar", "2026-01-01")), gives=ok(3, "DAY", 2)),
        ask(at(("scalar", "12:30")), gives=ok(4, "DAY", 3)),
        ask(at(("scalar", "83")), gives=FREE),
        ask(at(("scalar", "true")), gives=FREE),
        ask(at(("scalar", "750")), gives=FREE),
    ),
    case(
        "a_rule_below_another_is_not_met_on_its_own",
        "config_impl.go:495-520",
        ask(top(("five", "$")), gives=FREE),
    ),
)

NESTING = cases(
    "nesting",
    *(
        case(
            f"a_limit_{levels}_levels_down_is_met_at_the_last_entry",
            "config_impl.go:577",
            ask(at(*_depth(levels)), gives=ok(limit, "DAY", limit - 1)),
            ask(at(*_depth(levels)), gives=ok(limit, "DAY", 0), hits=limit - 1),
            ask(at(*_depth(levels)), gives=over(limit, "DAY")),
        )
        for levels, limit in ((1, 11), (2, 12), (4, 14), (5, 15))
    ),
    case(
        "a_level_without_a_limit_limits_nothing",
        "config_impl.go:575-603",
        ask(at(*_depth(3)), gives=FREE, times=3),
    ),
    case(
        "more_entries_than_the_rule_has_levels_meet_nothing",
        "config_impl.go:577; README example 4",
        ask(at(*_depth(5), ("depth", "6")), gives=FREE),
        ask(at(("five", "x"), ("five", "x")), gives=FREE),
    ),
    case(
        "fewer_entries_than_the_rule_has_levels_meet_nothing",
        "config_impl.go:577",
        ask(at(("path", "a")), gives=FREE),
    ),
    case(
        "levels_count_apart",
        "cache_key.go:64-79",
        ask(at(*_depth(1)), gives=ok(11, "DAY", 0), hits=11),
        ask(at(*_depth(1)), gives=over(11, "DAY")),
        ask(at(*_depth(2)), gives=ok(12, "DAY", 11)),
    ),
    case(
        "the_order_of_entries_matters",
        "config_impl.go:482-520",
        ask(at(("path", "p"), ("user", "u")), gives=FREE),
        ask(at(("user", "u"), ("path", "p")), gives=ok(1, "DAY", 0)),
    ),
    case(
        "an_entry_in_between_meets_nothing",
        "config_impl.go:482-520",
        ask(at(("user", "u"), ("between", "b"), ("path", "p")), gives=FREE),
    ),
)  # fmt: skip

KEYS = cases(
    "keys",
    exact(
        "a_value_that_spells_two_entries_is_not_those_entries",
        "cache_key.go:58-79 joins by `_`",
        ask(at(("user", "alice_path_x")), gives=ok(1, "DAY", 0)),
        ask(at(("user", "alice"), ("path", "x")), gives=ok(1, "DAY", 0)),
    ),
    exact(
        "two_entries_are_not_a_value_that_spells_them",
        "cache_key.go:58-79 joins by `_`",
        ask(at(("user", "a"), ("path", "b")), gives=ok(1, "DAY", 0)),
        ask(at(("user", "a_path_b")), gives=ok(1, "DAY", 0)),
    ),
    case(
        "an_underscore_may_stand_on_either_side",
        "cache_key.go:58-79 joins by `_`",
        ask(at(("user", "a_"), ("path", "b")), gives=ok(1, "DAY", 0)),
        ask(at(("user", "a"), ("path", "_b")), gives=ok(1, "DAY", 0)),
        ask(at(("user", "a_"), ("path", "_b")), gives=ok(1, "DAY", 0)),
    ),
    exact(
        "key_and_value_are_not_cut_elsewhere",
        "config_impl.go:495 joins by `_`",
        ask(at(("left_middle", "right")), gives=ok(1, "DAY", 0)),
        ask(at(("left", "middle_right")), gives=FREE),
    ),
    exact(
        "a_value_does_not_complete_the_name_of_a_rule",
        "config_impl.go:495 joins by `_`",
        ask(at(("whole_name", "x")), gives=ok(1, "DAY", 0)),
        ask(at(("whole", "name")), gives=FREE),
    ),
)

CASES = MATCHING + NESTING + KEYS
