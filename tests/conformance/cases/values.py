"""Keys and values as clients send them: any script, any length, any sign."""

from __future__ import annotations

from tests.conformance.table import FREE, UNLIMITED, answer, ask, at, case, cases, ok, over, top

_ODD = {
    "letters_of_other_scripts": "привет мир 你好 مرحبا",
    "emoji_beyond_the_basic_plane": "🦀🧑‍🚀",
    "line_breaks_and_tabs": "a\r\n\tb",
    "a_nul": "a\x00b",
    "control_characters": "\x01\x1b[31m\x7f",
    "signs_that_keys_are_joined_with": "_a__b_|c:d.e_",
    "braces_of_a_hash_tag": "{a}{b}",
    "quotes_and_backslashes": "'\"\\",
    "percent_signs": "%s %d %00 %",
    "only_spaces": "   ",
    "a_star": "*",
    "a_private_and_a_last_code_point": "\ue000\U0010ffff",
}

VALUES = cases(
    "values",
    *(
        case(
            f"a_value_with_{name}_counts",
            "rls.proto: any UTF-8",
            ask(at(("two", text)), gives=ok(2, "DAY", 1)),
            ask(at(("two", text)), gives=ok(2, "DAY", 0)),
            ask(at(("two", text)), gives=over(2, "DAY")),
            ask(at(("two", text + "x")), gives=ok(2, "DAY", 1)),
        )
        for name, text in _ODD.items()
    ),
    case(
        "a_key_of_odd_signs_meets_no_rule",
        "config_impl.go:495-520",
        ask(at(("\x00", "x")), at(("{two}", "x")), at(("two*", "x")), at(("*", "x")),
            at(("🦀", "x")), gives=answer(FREE, FREE, FREE, FREE, FREE)),
    ),
    case(
        "letters_that_look_alike_are_not_alike",
        "values are compared by their bytes",
        ask(at(("one", "caf\u00e9")), gives=ok(1, "DAY", 0)),
        ask(at(("one", "cafe\u0301")), gives=ok(1, "DAY", 0)),
        ask(at(("one", "caf\u00e9")), gives=over(1, "DAY")),
    ),
    case(
        "a_rule_for_a_value_in_another_script_is_met",
        "config_impl.go:495",
        ask(at(("scalar", "ünïcode ☃")), gives=ok(6, "DAY", 5)),
    ),
    case(
        "long_values_that_differ_at_the_end_count_apart",
        "cache_key.go:58-79",
        ask(at(("one", "v" * 10_000 + "1")), gives=ok(1, "DAY", 0)),
        ask(at(("one", "v" * 10_000 + "2")), gives=ok(1, "DAY", 0)),
        ask(at(("one", "v" * 10_000 + "1")), gives=over(1, "DAY")),
    ),
    case(
        "a_value_of_a_mebibyte_counts",
        "gRPC's default limit of a message is 4 MiB",
        ask(at(("two", "v" * 2**20)), gives=ok(2, "DAY", 0), hits=2),
        ask(at(("two", "v" * 2**20)), gives=over(2, "DAY")),
    ),
    case(
        "a_key_of_64_kib_meets_no_rule",
        "config_impl.go:495-520",
        ask(at(("k" * 2**16, "x")), gives=FREE),
    ),
    case(
        "a_domain_of_odd_signs_limits_nothing",
        "config_impl.go:452-457",
        ask(at(("one", "x")), gives=FREE, domain="conformance\n\x00*{}"),
        ask(at(("one", "x")), gives=FREE, domain="conformance "),
        ask(at(("one", "x")), gives=FREE, domain="CONFORMANCE"),
        ask(at(("one", "x")), gives=FREE, domain="d" * 2**16),
    ),
)  # fmt: skip

_HUNDRED = tuple(at(("five", str(n))) for n in range(100))

MANY = cases(
    "many",
    case(
        "a_hundred_descriptors_get_a_hundred_statuses",
        "rls.proto statuses",
        ask(*_HUNDRED, gives=answer(*[ok(5, "DAY", 4)] * 100)),
        ask(*_HUNDRED, gives=answer(*[ok(5, "DAY", 0)] * 100), hits=4),
        ask(*_HUNDRED, gives=answer(*[over(5, "DAY")] * 100, over=True)),
    ),
    case(
        "one_of_a_hundred_descriptors_over_is_found",
        "ratelimit.go:250-255",
        ask(at(("five", "42")), gives=ok(5, "DAY", 0), hits=5),
        ask(*_HUNDRED, gives=answer(
            *(over(5, "DAY") if n == 42 else ok(5, "DAY") for n in range(100)), over=True)),
    ),
    case(
        "descriptors_of_every_kind_keep_their_places",
        "ratelimit.go:203-248",
        ask(*(at(("unlimited", "x")), at(("nothing", "x")), at(("ten", "x"))) * 10,
            gives=answer(*(status for n in range(10)
                           for status in (UNLIMITED, FREE, ok(10, "DAY", 9 - n))))),
    ),
    case(
        "a_descriptor_of_twenty_entries_meets_no_rule",
        "config_impl.go:482-520",
        ask(top(*((f"key{n}", "x") for n in range(20))), gives=FREE),
    ),
    case(
        "an_override_may_have_twenty_entries",
        "config_impl.go:459-475",
        ask(at(*((f"key{n}", "x") for n in range(20)), limit=(1, 4)), gives=ok(1, "DAY", 0)),
        ask(at(*((f"key{n}", "x") for n in range(20)), limit=(1, 4)), gives=over(1, "DAY")),
    ),
)  # fmt: skip

CASES = VALUES + MANY
