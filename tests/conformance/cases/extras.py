"""Health, and what a server answers when told to: headers and dynamic metadata."""

from __future__ import annotations

from functools import partial

from tests.conformance.table import (
    FREE,
    UNLIMITED,
    Case,
    Health,
    Need,
    Step,
    answer,
    ask,
    at,
    case,
    cases,
    exact,
    ok,
    over,
)

HEALTH = cases(
    "health",
    case("the_server_as_a_whole_is_serving", "grpc.health.v1: the empty name", Health("")),
    case("the_service_ratelimit_is_serving", "server_impl.go:293-295", Health("ratelimit")),
    case(
        "a_service_that_is_not_there_is_not_found",
        "grpc.health.v1 Check",
        Health("no.such.Service", serving=False),
    ),
    exact(
        "the_service_is_serving_under_its_own_name",
        "grpc.health.v1: the full name of the service; health.go has `ratelimit` alone",
        Health("envoy.service.ratelimit.v3.RateLimitService"),
    ),
)


def _headers(name: str, source: str, *steps: Step) -> Case:
    return case(name, source, *steps, need=Need.HEADERS)


def _told(limit: str, remaining: str) -> dict[str, str]:
    return {"ratelimit-limit": limit, "ratelimit-remaining": remaining, "ratelimit-reset": ""}


HEADERS = cases(
    "headers",
    _headers(
        "a_limit_is_told_in_three_headers",
        "ratelimit.go:257-264, 374-405",
        ask(at(("five", "x")), gives=answer(ok(5, "DAY", 4), headers=_told("5", "4"))),
    ),
    _headers(
        "a_refusal_is_told_in_three_headers",
        "ratelimit.go:257-264",
        ask(at(("five", "x")), gives=answer(ok(5, "DAY", 0), headers=_told("5", "0")), hits=5),
        ask(at(("five", "x")),
            gives=answer(over(5, "DAY"), over=True, headers=_told("5", "0"))),
    ),
    _headers(
        "the_limit_with_the_least_remaining_is_told",
        "ratelimit.go:215-222",
        ask(at(("ten", "x")), at(("five", "x")), at(("unlimited", "x")),
            gives=answer(ok(10, "DAY", 9), ok(5, "DAY", 4), UNLIMITED, headers=_told("5", "4"))),
    ),
    _headers(
        "the_limit_that_refuses_is_told",
        "ratelimit.go:235-240",
        ask(at(("one", "x")), gives=ok(1, "DAY", 0)),
        ask(at(("five", "x")), at(("one", "x")), at(("ten", "x")),
            gives=answer(over=True, headers=_told("1", "0"))),
    ),
    _headers(
        "of_two_limits_that_refuse_the_last_is_told",
        "ratelimit.go:235-240",
        ask(at(("two", "x")), at(("one", "x")),
            gives=answer(headers=_told("1", "0"))),
        ask(at(("two", "x")), gives=ok(2, "DAY", 0)),
        ask(at(("one", "x")), at(("two", "x")),
            gives=answer(over=True, headers=_told("2", "0"))),
    ),
    _headers(
        "without_a_limit_there_are_no_headers",
        "ratelimit.go:257-258",
        ask(at(("nothing", "x")), gives=answer(FREE, headers={})),
        ask(at(("unlimited", "x")), at(("bare", "x")), gives=answer(UNLIMITED, FREE, headers={})),
    ),
)  # fmt: skip

_ask = partial(ask, domain="conformance_metadata")
_GOLD, _SILVER = at(("gold", "x")), at(("silver", "x"))


def _metadata(name: str, source: str, *steps: Step) -> Case:
    return case(name, source, *steps, need=Need.METADATA)


METADATA = cases(
    "metadata",
    _metadata(
        "the_request_is_repeated",
        "ratelimit.go:281-350",
        _ask(at(("quiet", "x"), hits=2), at(("quiet", "y")), gives=answer(metadata={
            "domain": "conformance_metadata",
            "descriptors.0.entries.1": "quiet=x",
            "descriptors.0.hitsAddend": 2.0,
            "descriptors.1.entries.1": "quiet=y",
            "descriptors.1.hitsAddend": None,
            "hitsAddend": 3.0,
            "metadata": None,
        }), hits=3),
    ),
    _metadata(
        "metadata_of_the_rule_that_passed_is_told",
        "ratelimit.go:307-318",
        _ask(_GOLD, gives=answer(metadata={
            "metadata.tier": "gold",
            "metadata.nested.one": 1.0,
            "metadata.nested.more.gold": True,
        })),
    ),
    _metadata(
        "metadata_of_two_rules_is_merged_and_the_first_wins",
        "ratelimit.go:352-372",
        _ask(_GOLD, _SILVER, gives=answer(metadata={
            "metadata.shared": "from gold",
            "metadata.nested": {"one": 1.0, "two": 2.0, "more": {"gold": True, "silver": True}},
        })),
        _ask(_SILVER, _GOLD, gives=answer(metadata={"metadata.shared": "from silver"})),
    ),
    _metadata(
        "metadata_of_a_rule_that_refused_is_not_told",
        "ratelimit.go:241-244",
        _ask(at(("single", "x")), gives=answer(metadata={"metadata.single": True})),
        _ask(at(("single", "x")), gives=answer(over=True, metadata={
            "metadata": None, "domain": "conformance_metadata"})),
    ),
    exact(
        "merging_leaves_the_rules_as_they_were",
        "ratelimit.go:352-372 writes into the first rule's own",
        _ask(_GOLD, _SILVER, gives=answer()),
        _ask(_GOLD, gives=answer(metadata={
            "metadata.nested": {"one": 1.0, "more": {"gold": True}}})),
        need=Need.METADATA,
    ),
    exact(
        "detailed_metric_keeps_metadata",
        "config_impl.go:617",
        _ask(at(("detailed", "x")), gives=answer(metadata={"metadata.kept": "detailed"})),
        need=Need.METADATA,
    ),
    exact(
        "value_to_metric_keeps_metadata",
        "config_impl.go:667",
        _ask(at(("valued", "x")), gives=answer(metadata={"metadata.kept": "valued"})),
        need=Need.METADATA,
    ),
)  # fmt: skip

CASES = HEALTH + HEADERS + METADATA
