"""What a rule allows: one limit or several, their algorithms, periods and hours."""

from __future__ import annotations

import pytest

from ratelimit_service.core.limit import Algorithm, Limit, Unit
from tests.unit.ratelimit_service.core.test_rules import descriptor, mistakes, rule_of, warnings


def limits_of(body: str) -> list[Limit]:
    return [allowance.limit for allowance in rule_of(body).allowances]


@pytest.mark.parametrize(
    ("word", "unit"),
    [("second", Unit.SECOND), ("MINUTE", Unit.MINUTE), ("Hour", Unit.HOUR), ("day", Unit.DAY),
     ("week", Unit.WEEK), ("month", Unit.MONTH), ("year", Unit.YEAR)],
)  # fmt: skip
def test_every_unit_in_any_case(word: str, unit: Unit) -> None:
    assert limits_of(f"rate_limit: {{unit: {word}, requests_per_unit: 3}}") == [
        Limit(unit=unit, requests_per_unit=3)
    ]


def test_several_limits_stand_on_one_descriptor() -> None:
    rule = rule_of("""\
limits:
      - {unit: second, requests_per_unit: 10, name: fast, replaces: [{name: x}]}
      - {unit: day, requests_per_unit: 1000, algorithm: Fixed_Window, time_zone: Europe/Paris}
      - {unit: second, requests_per_unit: 5, burst: 100}""")
    fast, daily, bursty = rule.allowances
    assert fast.limit == Limit(unit=Unit.SECOND, requests_per_unit=10, name="fast")
    assert fast.replaces == ("x",)
    assert daily.limit == Limit(
        unit=Unit.DAY,
        requests_per_unit=1000,
        algorithm=Algorithm.FIXED_WINDOW,
        time_zone="Europe/Paris",
    )
    assert (fast.ordinal, daily.ordinal, bursty.ordinal) == (1, 1, 2)


def test_what_stands_beside_the_limits_is_for_those_that_do_not_say() -> None:
    first, second, third = limits_of("""\
algorithm: sliding_window
    unit_multiplier: 5
    burst: 7
    limits:
      - {unit: minute, requests_per_unit: 1}
      - {unit: minute, requests_per_unit: 1, unit_multiplier: 2}
      - {unit: minute, requests_per_unit: 1, algorithm: token_bucket}""")
    assert (first.algorithm, first.period_seconds) == (Algorithm.SLIDING_WINDOW, 300)
    assert (first.burst, first.capacity) == (None, 1)
    assert second.period_seconds == 120
    assert (third.algorithm, third.capacity) == (Algorithm.TOKEN_BUCKET, 7)


def test_a_limit_without_a_number_refuses_everything_as_in_the_reference() -> None:
    body = "rate_limit: {unit: day}"
    assert limits_of(body) == [Limit(unit=Unit.DAY, requests_per_unit=0)]
    (warning,) = warnings(descriptor(body))
    assert warning.startswith("0.yaml:4:17: no 'requests_per_unit', so everything is refused")
    assert not warnings(descriptor("rate_limit: {unit: day, requests_per_unit: 0}"))


SCHEDULE = """\
rate_limit:
      unit: minute
      requests_per_unit: 10
      burst: 4
      schedule:
        - {days: fri-mon, from: "22:00", to: 06:00, requests_per_unit: 99, burst: 50}
        - {days: [tue, WED], requests_per_unit: 5, time_zone: Asia/Kolkata}"""


def test_a_schedule_keeps_unit_and_burst_of_its_limit() -> None:
    (allowance,) = rule_of(SCHEDULE).allowances
    night, early = allowance.shifts
    assert (night.days, night.start_minute, night.end_minute) == (
        frozenset({4, 5, 6, 0}),
        1320,
        360,
    )
    assert night.time_zone == "UTC"
    assert night.limit == Limit(unit=Unit.MINUTE, requests_per_unit=99, burst=50)
    assert (early.days, early.start_minute, early.end_minute) == (frozenset({1, 2}), 0, 1440)
    assert early.time_zone == "Asia/Kolkata"
    assert early.limit == Limit(unit=Unit.MINUTE, requests_per_unit=5, burst=4)


def rate_limit(fields: str) -> str:
    return descriptor(f"rate_limit: {{unit: day, requests_per_unit: 1, {fields}}}")


def scheduled(fields: str) -> str:
    return rate_limit(f"schedule: [{{requests_per_unit: 1, {fields}}}]")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (descriptor("rate_limit: {unit: fortnight, requests_per_unit: 1}"), "0.yaml:4:24: invalid rate limit unit 'fortnight'; write one of second"),
        (descriptor("rate_limit: {unit: minutes, requests_per_unit: 1}"), "0.yaml:4:24: invalid rate limit unit 'minutes'; did you mean 'minute'?"),
        (descriptor("rate_limit: {unit: unknown, requests_per_unit: 1}"), "0.yaml:4:24: invalid rate limit unit 'unknown'"),
        (descriptor("rate_limit: {requests_per_unit: 1}"), "0.yaml:4:17: invalid rate limit unit ''"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: -1}"), "0.yaml:4:48: 'requests_per_unit' is '-1'; write a whole number"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 1.5}"), "0.yaml:4:48: 'requests_per_unit' is '1.5'; write a whole number"),
        (descriptor("rate_limit: {unit: day, requests_per_unit: 4294967296}"), "0.yaml:4:48: 'requests_per_unit' is '4294967296'"),
        (rate_limit("burst: 0"), "0.yaml:4:58: 'burst' is '0'; write a whole number from 1"),
        (rate_limit("unit_multiplier: 0"), "0.yaml:4:68: 'unit_multiplier' is '0'; write a whole number from 1"),
        (rate_limit("unit_multiplier: 3651"), "0.yaml:4:68: 3651 days are more than ten years"),
        (rate_limit("algorithm: leaky"), "0.yaml:4:62: 'algorithm' is 'leaky'; write one of token_bucket, sliding_window, fixed_window"),
        (rate_limit("algorithm: fixed_window, burst: 5"), "0.yaml:4:83: 'burst' is the size of a token bucket; fixed_window has none"),
        (rate_limit("time_zone: Europe/Paris"), "0.yaml:4:62: 'time_zone' is for a fixed_window of one day, week, month or year"),
        (rate_limit("algorithm: fixed_window, unit_multiplier: 2, time_zone: UTC"), "0.yaml:4:107: 'time_zone' is for a fixed_window"),
        (descriptor("rate_limit: {unit: hour, requests_per_unit: 1, algorithm: fixed_window, time_zone: UTC}"), "0.yaml:4:88: 'time_zone' is for a fixed_window"),
        (rate_limit("algorithm: fixed_window, time_zone: Europe/Pariss"), "0.yaml:4:87: there is no time zone 'Europe/Pariss'; did you mean 'Europe/Paris'?"),
        (rate_limit("algorithm: fixed_window, time_zone: ../passwd"), "0.yaml:4:87: there is no time zone '../passwd'; write an IANA name"),
        (rate_limit("algorithm: fixed_window, time_zone: Europe"), "0.yaml:4:87: there is no time zone 'Europe'"),
        (rate_limit("unlimited: true"), "0.yaml:4:24: should not specify rate limit unit when unlimited"),
        (descriptor("rate_limit: {unlimited: perhaps}"), "0.yaml:4:29: 'unlimited' is 'perhaps'; write true or false"),
        (descriptor("rate_limit: {unlimited: true, burst: 5}"), "0.yaml:4:42: nothing is counted when unlimited; remove 'burst'"),
        (rate_limit("replaces: [{name: }]"), "0.yaml:4:69: should not have an empty replaces entry"),
        (rate_limit("replaces: [{}]"), "0.yaml:4:62: should not have an empty replaces entry"),
        (rate_limit("replaces: [a]"), "0.yaml:4:62: config error, yaml file contains list of type other than map: 'a'"),
        (rate_limit("name: me, replaces: [{name: you}, {name: me}]"), "0.yaml:4:71: replaces should not contain name of same descriptor"),
        (descriptor("limits: []"), "0.yaml:4:13: 'limits' names no limit"),
        (descriptor("limits: [{unlimited: true}]\n    rate_limit: {unlimited: true}"), "0.yaml:4:13: 'limits' stands instead of 'rate_limit'"),
        (descriptor("limits: [{unlimited: true}, {unit: day, requests_per_unit: 1}]"), "0.yaml:4:26: an unlimited limit stands alone"),
        (descriptor("limits: [" + "{unit: day, requests_per_unit: 1}, " * 9 + "]"), "0.yaml:4:13: a descriptor has at most 8 limits, here are 9"),
        (rate_limit("schedule: [{from: '10:00'}]"), "0.yaml:4:62: a schedule says how many requests are allowed in its hours"),
        (scheduled("from: 25:00"), "0.yaml:4:91: 'from' is '25:00'; write hours and minutes, as in 22:00"),
        (scheduled("from: 24:00"), "0.yaml:4:91: 'from' is '24:00'; write hours and minutes"),
        (scheduled("to: 24:01"), "0.yaml:4:89: 'to' is '24:01'; write hours and minutes"),
        (scheduled("to: 10"), "0.yaml:4:89: 'to' is '10'; write hours and minutes"),
        (scheduled("days: [mon, someday]"), "0.yaml:4:97: 'days' are mon, tue, wed, thu, fri, sat, sun, or from one to another as in mon-fri, not 'someday'"),
        (scheduled("days: []"), "0.yaml:4:91: 'days' is empty"),
        (scheduled("days: {mon: 1}"), "0.yaml:4:91: 'days' must be a list, not a map"),
        (scheduled("days: mon-wed-fri"), "0.yaml:4:91: 'days' are mon"),
        (scheduled("time_zone: Mars/Olympus"), "0.yaml:4:96: there is no time zone 'Mars/Olympus'"),
        (scheduled("name: x"), "0.yaml:4:85: config error, unknown key 'name'"),
        (rate_limit("algorithm: fixed_window, schedule: [{requests_per_unit: 1, burst: 2}]"), "0.yaml:4:117: 'burst' is the size of a token bucket"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_place(text: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in mistakes(text)), mistakes(text)
