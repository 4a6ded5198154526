"""What is not wrong but hardly meant: said at its place, and only then."""

from __future__ import annotations

import time

import pytest

from tests.unit.ratelimit_service.core.test_rules import build, warnings

ONE = "rate_limit: {unit: day, requests_per_unit: 1}"


def level(*descriptors: str) -> str:
    return "domain: d\ndescriptors:\n" + "".join(f"- {{{text}}}\n" for text in descriptors)


def beside(fields: str, limit: str = ONE) -> str:
    return level(f"key: k, {limit}, {fields}")


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (level(f"key: k, value: a*, {ONE}", f"key: k, value: ab*, {ONE}"), "0.yaml:4:3: 'k_ab*' is never met: 'k_a*' in line 3 takes all that it would; put the narrower one first"),
        (level(f"key: k*, {ONE}", f"key: k, value: ab*, {ONE}"), "0.yaml:4:3: 'k_ab*' is never met: 'k*' in line 3 takes all"),
        (level(f"key: k, {ONE}", f"key: k, value: '*', {ONE}"), "0.yaml:3:3: 'k' is never met: 'k_*' in line 4 takes all that it would; remove one"),
        (level("key: k"), "0.yaml:3:3: 'd.k' has neither a limit nor descriptors, and exempts nothing"),
        (level("key: k, value: v"), "0.yaml:3:3: 'd.k_v' has neither a limit nor descriptors"),
        (level("key: k, rate_limit: {unit: day, requests_per_unit: 1, replaces: [{name: nobody}]}"), "0.yaml:3:3: replaces 'nobody', but no limit of this domain has that name"),
        (level("key: k, rate_limit: {unit: day, requests_per_unit: 1, name: 'a\"b'}"), "0.yaml:3:64: 'name' breaks Envoy's x-ratelimit-limit header"),
        (level("key: k, rate_limit: {unit: day, requests_per_unit: 1, name: 'a\\b'}"), "0.yaml:3:64: 'name' breaks Envoy's x-ratelimit-limit header"),
        (level("key: k, rate_limit: {unit: day}"), "0.yaml:3:24: no 'requests_per_unit', so everything is refused"),
        (level("key: k, rate_limit: {unit: day, requests_per_unit: 0, burst: 5}"), "0.yaml:3:3: 'burst' has no effect: 'requests_per_unit' is 0"),
        (level("key: k, rate_limit: {unlimited: true, requests_per_unit: 5}"), "0.yaml:3:61: 'requests_per_unit' has no effect when unlimited"),
        (beside("on_store_failure: local", "rate_limit: {unlimited: true}"), "0.yaml:3:61: 'on_store_failure' has no effect: nothing is counted when unlimited"),
        (beside("shard_by: k", "rate_limit: {unlimited: true}"), "0.yaml:3:53: 'shard_by' has no effect"),
        (beside("shadow_mode: true, quota_mode: true"), "0.yaml:3:3: 'quota_mode' has no effect beside 'shadow_mode'"),
        (beside("shadow_mode: true, postpaid: true"), "0.yaml:3:3: 'postpaid' has no effect beside 'shadow_mode'"),
        (beside("quota_mode: true, postpaid: true"), "0.yaml:3:3: 'postpaid' has no effect beside 'quota_mode'"),
        (beside("postpaid: true, algorithm: fixed_window"), "0.yaml:3:3: 'postpaid' debt in a window is forgotten when the window ends"),
        (beside("shadow_mode: true, on_store_failure: deny"), "0.yaml:3:3: 'on_store_failure: deny' refuses what 'shadow_mode' never would"),
        (beside("lease: {max_share: 0.5, max_ms: 1}"), "0.yaml:3:3: the lease never takes anything: 0.5 of 1 is less than 20"),
        (level("key: k, shadow_mode: true, descriptors: []"), "0.yaml:3:25: 'shadow_mode' has no effect: there is no 'rate_limit' beside it"),
        (level("key: k, rate_limit: {unit: day, requests_per_unit: 1, shadow_mode: true}"), "0.yaml:3:58: 'shadow_mode' has no effect in a rate_limit; it is read beside the 'key' of a descriptor"),
        (level(f"key: k, unit: day, {ONE}"), "0.yaml:3:12: 'unit' has no effect in a descriptor; it is read in a rate_limit"),
        ("domain: d\nkey: k", "0.yaml:2:1: 'key' has no effect in a rule file; it is read beside the 'key' of a descriptor"),
        (level("key: k, limits: [{unit: day, requests_per_unit: 5}, {unit: day, requests_per_unit: 9}]"), "0.yaml:3:3: two limits per day, of 5 and 9: the larger never decides"),
        (level("key: k, rate_limit: {unit: day, requests_per_unit: 5, schedule: [{from: 09:00, to: '17:00', requests_per_unit: 1}, {days: mon, from: 10:00, to: '11:00', requests_per_unit: 2}]}"), "0.yaml:3:3: item 2 of 'schedule' is never on: earlier ones take all its hours"),
        (level("key: k, rate_limit: {unit: day, requests_per_unit: 5, schedule: [{days: sun, from: '22:00', to: 06:00, requests_per_unit: 1}, {days: mon, requests_per_unit: 2}]}"), "0.yaml:3:3: item 2 of 'schedule' overlaps an earlier one"),
    ],
)  # fmt: skip
def test_each_doubt_is_said(text: str, warning: str) -> None:
    said = warnings(text)
    assert [found for found in said if found.startswith(warning)], said


@pytest.mark.parametrize(
    ("story", "text"),
    [
        ("a value exempt from the limit of its key", level(f"key: k, {ONE}", "key: k, value: v")),
        ("or from a wildcard", level(f"key: k, value: a*, {ONE}", "key: k, value: ab")),
        ("the narrower wildcard first", level(f"key: k, value: ab*, {ONE}", f"key: k, value: a*, {ONE}")),
        ("a bare key behind a narrower wildcard", level(f"key: k, value: a*, {ONE}", f"key: k, {ONE}")),
        ("a rule that blocks", level("key: k, rate_limit: {unit: day, requests_per_unit: 0}")),
        ("a name somewhere below that is replaced", level("key: k, rate_limit: {unit: day, requests_per_unit: 1, replaces: [{name: n}]}", "key: l, descriptors: [{key: m, rate_limit: {unlimited: true, name: n}}]")),
        ("a small rate with a large burst", level("key: k, limits: [{unit: day, requests_per_unit: 5, burst: 50}, {unit: day, requests_per_unit: 9}]")),
        ("limits of different periods", level("key: k, limits: [{unit: day, requests_per_unit: 5}, {unit: hour, requests_per_unit: 1}]")),
        ("hours that meet", level("key: k, rate_limit: {unit: day, requests_per_unit: 5, schedule: [{from: '22:00', to: 06:00, requests_per_unit: 1}, {from: 06:00, to: '22:00', requests_per_unit: 2}]}")),
        ("hours of different zones", level("key: k, rate_limit: {unit: day, requests_per_unit: 5, schedule: [{requests_per_unit: 1}, {time_zone: Asia/Tokyo, requests_per_unit: 2}]}")),
        ("an empty domain", "domain: d"),
    ],
)  # fmt: skip
def test_what_may_be_meant_is_not_doubted(story: str, text: str) -> None:
    assert not warnings(text), story


def test_a_wildcard_of_another_file_is_named_with_it() -> None:
    wide = level(f"key: k, value: a*, {ONE}")
    narrow = level(f"key: k, value: ab*, {ONE}")
    (warning,) = build(wide, narrow, merge_domains=True).warnings
    assert "'k_a*' in 0.yaml:3" in str(warning)


def test_a_file_of_wildcards_and_schedules_is_looked_through_quickly() -> None:
    hours = "schedule: [{from: '22:00', to: 06:00, requests_per_unit: 1}, {requests_per_unit: 2}]"
    limit = f"rate_limit: {{unit: day, requests_per_unit: 1, {hours}}}"
    text = level(*[f"key: k, value: '{number:04}*', {limit}" for number in range(1000)])
    started = time.perf_counter()
    assert len(warnings(text)) == 1000
    assert time.perf_counter() - started < 10
