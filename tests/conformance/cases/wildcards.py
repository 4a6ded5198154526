"""Values with `*`, and counters that all matching values share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.conformance.table import FREE, answer, at, case, cases, ok, over
from tests.conformance.table import ask as ask_in

if TYPE_CHECKING:
    from tests.conformance.table import Ask, Descriptor, Expected, Status

_DOMAIN = "conformance_wildcards"


def ask(*descriptors: Descriptor, gives: Expected | Status, hits: int = 0, times: int = 1) -> Ask:
    return ask_in(*descriptors, gives=gives, hits=hits, times=times, domain=_DOMAIN)


WILDCARDS = cases(
    "wildcards",
    case(
        "a_star_at_the_end_stands_for_any_rest",
        "config_impl.go:202-238, 504-512",
        ask(at(("tail", "/api/users/7")), gives=ok(2, "DAY", 1)),
        ask(at(("tail", "/api")), gives=FREE),
        ask(at(("tail", "x/api/")), gives=FREE),
    ),
    case(
        "a_star_stands_for_nothing_too",
        "config_impl.go:202-204: zero or more characters",
        ask(at(("tail", "/api/")), gives=ok(2, "DAY", 1)),
        ask(at(("middle", "az")), gives=ok(2, "DAY", 1)),
    ),
    case(
        "a_star_at_the_start",
        "config_impl.go:202-238",
        ask(at(("head", "cat.jpg")), gives=ok(2, "DAY", 1)),
        ask(at(("head", ".jpg")), gives=ok(2, "DAY", 1)),
        ask(at(("head", "cat.jpeg")), gives=FREE),
    ),
    case(
        "a_star_in_the_middle",
        "config_impl.go:202-238",
        ask(at(("middle", "a/b/c/z")), gives=ok(2, "DAY", 1)),
        ask(at(("middle", "a")), gives=FREE),
        ask(at(("middle", "azb")), gives=FREE),
    ),
    case(
        "several_stars",
        "config_impl.go:226-235",
        ask(at(("many", "a-b-c")), gives=ok(2, "DAY", 1)),
        ask(at(("many", "abc")), gives=ok(2, "DAY", 1)),
        ask(at(("many", "acb")), gives=FREE),
        ask(at(("many", "ac")), gives=FREE),
    ),
    case(
        "the_parts_around_a_star_do_not_overlap",
        "config_impl.go:217-224",
        ask(at(("middle", "a")), gives=FREE),
        ask(at(("many", "abbc")), gives=ok(2, "DAY", 1)),
    ),
    case(
        "other_signs_stand_for_themselves",
        "config_impl.go:202: no regular expressions",
        ask(at(("dotted", "a.c1")), gives=ok(2, "DAY", 1)),
        ask(at(("dotted", "abc1")), gives=FREE),
    ),
    case(
        "a_star_stands_for_line_breaks_and_letters_of_any_script",
        "config_impl.go:202-238",
        ask(at(("middle", "a\n☃ü\x00z")), gives=ok(2, "DAY", 1)),
    ),
    case(
        "a_star_in_a_request_is_a_character",
        "config_impl.go:504-512",
        ask(at(("middle", "a*z")), gives=ok(2, "DAY", 1)),
        ask(at(("tail", "*")), gives=FREE),
        ask(at(("colour", "*")), gives=FREE),
    ),
    case(
        "matching_values_count_apart",
        "cache_key.go:69-76",
        ask(at(("tail", "/api/a")), gives=ok(2, "DAY", 0), hits=2),
        ask(at(("tail", "/api/a")), gives=over(2, "DAY")),
        ask(at(("tail", "/api/b")), gives=ok(2, "DAY", 1)),
    ),
    case(
        "the_exact_value_goes_before_a_wildcard",
        "config_impl.go:495-503",
        ask(at(("order", "/v1/exact")), gives=ok(3, "DAY", 2)),
    ),
    case(
        "of_two_wildcards_the_first_in_the_file_is_taken",
        "config_impl.go:504-512",
        ask(at(("order", "/v1/users")), gives=ok(1, "DAY", 0)),
        ask(at(("order", "/v2")), gives=ok(1, "DAY", 0)),
    ),
    case(
        "a_wildcard_goes_before_the_rule_for_any",
        "config_impl.go:504-520",
        ask(at(("order", "elsewhere")), gives=ok(4, "DAY", 3)),
        ask(at(("order", "/v")), gives=ok(1, "DAY", 0)),
    ),
    case(
        "rules_go_on_below_a_wildcard",
        "config_impl.go:575-610",
        ask(at(("outer", "/shop/1"), ("method", "GET")), gives=ok(2, "DAY", 0), hits=2),
        ask(at(("outer", "/shop/1"), ("method", "GET")), gives=over(2, "DAY")),
        ask(at(("outer", "/shop/2"), ("method", "GET")), gives=ok(2, "DAY", 1)),
        ask(at(("outer", "/shop/1"), ("method", "PUT")), gives=FREE),
    ),
)

SHARING = cases(
    "share_threshold",
    case(
        "matching_values_share_one_counter",
        "config_impl.go:522-532; cache_key.go:69-76",
        ask(at(("shared", "/files/a")), gives=ok(3, "DAY", 2)),
        ask(at(("shared", "/files/b")), gives=ok(3, "DAY", 1)),
        ask(at(("shared", "/files/c/d")), gives=ok(3, "DAY", 0)),
        ask(at(("shared", "/files/e")), gives=over(3, "DAY")),
    ),
    case(
        "values_that_do_not_match_share_nothing",
        "config_impl.go:504-512",
        ask(at(("shared", "/files/a")), gives=ok(3, "DAY", 0), hits=3),
        ask(at(("shared", "/other")), gives=FREE),
    ),
    case(
        "two_matching_values_in_one_request_take_from_one_counter",
        "cache_key.go:69-76",
        ask(at(("shared", "/files/a")), gives=ok(3, "DAY", 2)),
        ask(
            at(("shared", "/files/b")),
            at(("shared", "/files/c")),
            gives=answer(ok(3, "DAY", 1), ok(3, "DAY", 0)),
        ),
        ask(at(("shared", "/files/a")), gives=over(3, "DAY")),
    ),
    case(
        "only_the_wildcards_level_is_shared",
        "cache_key.go:69-76: by the index of the entry",
        ask(at(("shared_outer", "/files/a"), ("client", "1")), gives=ok(2, "DAY", 1)),
        ask(at(("shared_outer", "/files/b"), ("client", "1")), gives=ok(2, "DAY", 0)),
        ask(at(("shared_outer", "/files/c"), ("client", "1")), gives=over(2, "DAY")),
        ask(at(("shared_outer", "/files/a"), ("client", "2")), gives=ok(2, "DAY", 1)),
    ),
)

CASES = WILDCARDS + SHARING
