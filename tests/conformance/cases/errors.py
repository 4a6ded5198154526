"""Requests that are wrong, and the shapes of answers where nothing is limited."""

from __future__ import annotations

import grpc

from tests.conformance.table import (
    DOMAIN,
    EITHER_INVALID,
    FREE,
    UNLIMITED,
    Ask,
    Refusal,
    Whatever,
    answer,
    ask,
    at,
    case,
    cases,
    exact,
    ok,
    over,
    top,
)

_NO_DOMAIN = "rate limit domain must not be empty"
_NO_DESCRIPTORS = "rate limit descriptor list must not be empty"
_INVALID = (grpc.StatusCode.INVALID_ARGUMENT,)
_UNREADABLE = (
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNKNOWN,
)


def _garbage(raw: bytes) -> Ask:
    return Ask(raw=raw, expected=Refusal(codes=_UNREADABLE))


def _field(number: int, body: bytes) -> bytes:
    """Return a protobuf field of bytes; `body` below 128 bytes."""
    return bytes((number << 3 | 2, len(body))) + body


def _request(key: bytes, value: bytes, domain: bytes = DOMAIN.encode()) -> bytes:
    entry = _field(1, _field(1, key) + _field(2, value))
    return _field(1, domain) + _field(2, entry)


ERRORS = cases(
    "errors",
    case(
        "an_empty_domain_is_an_error_with_its_text",
        "ratelimit.go:189",
        ask(at(("one", "x")), gives=Refusal(codes=EITHER_INVALID, text=_NO_DOMAIN), domain=""),
    ),
    case(
        "no_descriptors_are_an_error_with_its_text",
        "ratelimit.go:190",
        ask(gives=Refusal(codes=EITHER_INVALID, text=_NO_DESCRIPTORS)),
    ),
    case(
        "of_two_mistakes_the_domain_is_told_first",
        "ratelimit.go:189-190",
        ask(gives=Refusal(codes=EITHER_INVALID, text=_NO_DOMAIN), domain=""),
    ),
    exact(
        "an_empty_domain_is_the_callers_mistake",
        "google.rpc.Code INVALID_ARGUMENT; the reference says UNKNOWN",
        ask(at(("one", "x")), gives=Refusal(codes=_INVALID, text=_NO_DOMAIN), domain=""),
    ),
    exact(
        "no_descriptors_are_the_callers_mistake",
        "google.rpc.Code INVALID_ARGUMENT; the reference says UNKNOWN",
        ask(gives=Refusal(codes=_INVALID, text=_NO_DESCRIPTORS)),
    ),
    case(
        "bytes_that_are_no_request_are_an_error",
        "rls.proto RateLimitRequest",
        _garbage(b"\xff" * 100),
        ask(at(("one", "x")), gives=ok(1, "DAY", 0)),
    ),
    case(
        "a_request_cut_short_is_an_error",
        "rls.proto RateLimitRequest",
        _garbage(_request(b"one", b"x")[:-1]),
        ask(at(("one", "x")), gives=ok(1, "DAY", 0)),
    ),
    case(
        "a_value_that_is_not_utf8_is_an_error",
        "proto3 string: UTF-8",
        _garbage(_request(b"one", b"\xff\xfe")),
        ask(at(("one", "x")), gives=ok(1, "DAY", 0)),
    ),
    case(
        "a_domain_that_is_not_utf8_is_an_error",
        "proto3 string: UTF-8",
        _garbage(_request(b"one", b"x", domain=b"\xc3")),
        ask(at(("one", "x")), gives=ok(1, "DAY", 0)),
    ),
    case(
        "fields_the_server_does_not_know_are_passed_over",
        "protobuf: unknown fields",
        Ask(
            raw=_request(b"nothing", b"x") + _field(15, b"from the future"),
            expected=answer(FREE),
        ),
    ),
    case(
        "ten_thousand_descriptors_do_no_harm",
        "ratelimit.go:104 has no bound",
        ask(*(at(("nothing", str(n))) for n in range(10_000)), gives=Whatever.COMES),
        ask(at(("one", "x")), gives=ok(1, "DAY", 0)),
    ),
)

SHAPES = cases(
    "shapes",
    case(
        "an_unknown_domain_limits_nothing",
        "config_impl.go:452-457",
        ask(at(("one", "x")), gives=FREE, domain="conformance_nowhere", times=3),
    ),
    case(
        "an_unknown_key_limits_nothing",
        "config_impl.go:495-520",
        ask(at(("nothing", "x")), gives=FREE, times=3),
    ),
    case("no_entries_limit_nothing", "config_impl.go:492", ask(top(), gives=FREE, times=3)),
    case(
        "a_rule_without_a_limit_limits_nothing",
        "config_impl.go:265",
        ask(at(("bare", "x")), gives=FREE, times=3),
    ),
    case(
        "unlimited_says_the_largest_number_and_no_limit",
        "ratelimit.go:162-165, 224-228",
        ask(at(("unlimited", "x")), gives=UNLIMITED, hits=4_000_000, times=3),
    ),
    case(
        "a_limit_comes_with_its_numbers_and_a_time",
        "rls.proto DescriptorStatus; base_limiter.go:200-216",
        ask(at(("five", "x")), gives=ok(5, "DAY", 4)),
    ),
    case(
        "a_limit_comes_with_its_name",
        "config_impl.go:291",
        ask(at(("named", "x")), gives=ok(5, "DAY", 4, name="five a day")),
        ask(at(("named", "x")), gives=ok(5, "DAY", 0, name="five a day"), hits=4),
        ask(at(("named", "x")), gives=over(5, "DAY", 0, name="five a day")),
    ),
    case(
        "statuses_stand_in_the_order_of_the_descriptors",
        "rls.proto statuses; ratelimit.go:203-248",
        ask(
            at(("ten", "x")),
            at(("nothing", "x")),
            at(("unlimited", "x")),
            at(("five", "x")),
            at(("bare", "x")),
            gives=answer(ok(10, "DAY", 9), FREE, UNLIMITED, ok(5, "DAY", 4), FREE),
        ),
        ask(
            at(("five", "x")),
            at(("ten", "x")),
            gives=answer(ok(5, "DAY", 3), ok(10, "DAY", 8)),
        ),
    ),
    case(
        "one_descriptor_over_is_the_request_over",
        "rls.proto overall_code; ratelimit.go:250-255",
        ask(at(("one", "x")), gives=ok(1, "DAY", 0)),
        ask(
            at(("nothing", "x")),
            at(("one", "x")),
            at(("unlimited", "x")),
            gives=answer(FREE, over(1, "DAY"), UNLIMITED, over=True),
        ),
    ),
    case(
        "a_request_over_still_says_which_descriptors_are_within",
        "ratelimit.go:203-248",
        ask(at(("one", "x")), gives=ok(1, "DAY", 0)),
        ask(
            at(("five", "x")),
            at(("one", "x")),
            at(("ten", "x")),
            gives=answer(ok(5, "DAY"), over(1, "DAY"), ok(10, "DAY"), over=True),
        ),
    ),
)

CASES = ERRORS + SHAPES
