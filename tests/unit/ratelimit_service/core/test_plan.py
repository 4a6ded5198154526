"""Plans: which limits a request meets, what each costs, and under which key."""

from __future__ import annotations

import pytest

from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Mode
from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.core.limit import UNLIMITED_REMAINING, Limit, Unit
from ratelimit_service.core.plan import Charged, Plan, Policy
from ratelimit_service.core.planner import plan
from ratelimit_service.core.verdict import Status
from ratelimit_service.core.window import Window
from tests.unit.ratelimit_service.core.test_rules import build

RULES = build("""
domain: d
descriptors:
  - key: minute
    rate_limit: {unit: minute, requests_per_unit: 10}
  - key: second
    rate_limit: {unit: second, requests_per_unit: 10}
  - key: free
    rate_limit: {unlimited: true, name: libre, replaces: [{name: tenner}]}
  - key: ten
    rate_limit: {unit: minute, requests_per_unit: 10, name: tenner}
  - key: chain
    rate_limit: {unit: minute, requests_per_unit: 9, name: link, replaces: [{name: libre}]}
  - key: several
    limits:
      - {unit: second, requests_per_unit: 5, replaces: [{name: link}]}
      - {unit: minute, requests_per_unit: 50, name: tenner}
      - {unit: second, requests_per_unit: 1, burst: 9}
  - key: none
    rate_limit: {unit: day, requests_per_unit: 0}
  - key: half
    limits:
      - {unit: second, requests_per_unit: 5}
      - {unit: day, requests_per_unit: 0}
  - key: shadow
    rate_limit: {unit: minute, requests_per_unit: 10}
    shadow_mode: true
    quota_mode: true
  - key: shadow-none
    rate_limit: {unit: minute, requests_per_unit: 0}
    shadow_mode: true
  - key: quota
    rate_limit: {unit: minute, requests_per_unit: 10}
    quota_mode: true
    postpaid: true
  - key: quota-none
    rate_limit: {unit: minute, requests_per_unit: 0}
    quota_mode: true
  - key: later
    rate_limit: {unit: minute, requests_per_unit: 10}
    postpaid: true
  - key: sliding
    rate_limit: {unit: minute, requests_per_unit: 10, algorithm: sliding_window}
  - key: fixed
    rate_limit: {unit: day, requests_per_unit: 10, unit_multiplier: 2, algorithm: fixed_window}
  - key: calendar
    rate_limit: {unit: day, requests_per_unit: 10, algorithm: fixed_window, time_zone: Asia/Tokyo}
  - key: night
    rate_limit:
      unit: minute
      requests_per_unit: 10
      schedule:
        - {from: "22:00", to: 06:00, requests_per_unit: 99}
        - {days: sun, requests_per_unit: 1}
  - key: files
    value: files/*
    share_threshold: true
    shard_by: files
    rate_limit: {unit: minute, requests_per_unit: 10}
""")
NOON = 1_795_608_000  # Wednesday, 25 November 2026, 12:00 UTC
HOUR = 3600


def ask(
    *keys: str, hits: int = 1, policy: Policy | None = None, now_s: float = NOON, value: str = "v"
) -> Plan:
    descriptors = [Descriptor(entries=((key, value),), hits=hits) for key in keys]
    return plan(RULES, policy or Policy(), "d", descriptors, now_s)


def charged(asked: Plan) -> list[Charged]:
    found: list[Charged] = []
    for item in asked.items:
        if isinstance(item, Charged):
            found.append(item)
        elif isinstance(item, tuple):
            found.extend(item)
    return found


def limits(asked: Plan) -> list[int]:
    return [each.limit.requests_per_unit for each in charged(asked)]


def test_what_is_not_limited_costs_nothing() -> None:
    asked = ask("unknown", "free")
    assert asked.items == (Status(), Status(remaining=UNLIMITED_REMAINING))
    assert (asked.charges, asked.refused, asked.quotas) == ((), False, (False, False))
    assert asked.matches[0] is None
    assert asked.matches[1] is not None


def test_limits_per_second_are_marked_because_they_may_live_elsewhere() -> None:
    assert [charge.per_second for charge in ask("second", "minute").charges] == [True, False]


@pytest.mark.parametrize(
    ("key", "mode"),
    [
        ("minute", Mode.ENFORCED),
        ("shadow", Mode.SHADOW),
        ("quota", Mode.QUOTA),
        ("later", Mode.POSTPAID),
    ],
)
def test_a_rule_decides_how_it_is_charged(key: str, mode: Mode) -> None:
    asked = ask(key)
    assert [charge.mode for charge in asked.charges] == [mode]
    assert asked.quotas == (key in {"shadow", "quota"},)


@pytest.mark.parametrize(
    ("key", "meter"),
    [
        ("minute", Bucket.of(Limit(requests_per_unit=10, unit=Unit.MINUTE))),
        ("sliding", Window.sliding(Limit(requests_per_unit=10, unit=Unit.MINUTE))),
        ("fixed", Window.fixed(Limit(requests_per_unit=10, unit=Unit.DAY, unit_multiplier=2))),
        (
            "calendar",
            Window.calendar(
                Limit(requests_per_unit=10, unit=Unit.DAY),
                [NOON + 3 * HOUR + day * 24 * HOUR for day in (-2, -1, 0, 1)],
            ),
        ),
    ],
)
def test_a_rule_decides_how_it_is_counted(key: str, meter: object) -> None:
    (charge,) = ask(key).charges
    assert charge.meter == meter
    assert ask(key, hits=3).charges[0].cost == charge.meter.cost(3)


def test_several_limits_are_several_charges_of_one_descriptor() -> None:
    asked = ask("minute", "several", "ten")
    assert [isinstance(item, tuple) for item in asked.items] == [False, True, False]
    assert len(asked.charges) == 5
    assert len({charge.key for charge in asked.charges}) == 5
    assert [charge.key.rpartition(b":")[2] for charge in asked.charges[1:4]] == [
        b"second", b"minute", b"second.2"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("story", "keys", "left"),
    [
        ("alone it stands", ("ten",), [10]),
        ("one that is named by another goes", ("ten", "free"), []),
        ("before or after", ("free", "ten", "minute"), [10]),
        ("of several limits only the named one", ("several", "free"), [5, 1]),
        ("also from among several", ("chain", "several"), [5, 50, 1]),
        ("what is replaced replaces nevertheless", ("several", "chain", "ten", "free"), [5, 1]),
        ("an unlimited one stays", ("chain", "free"), [9]),
    ],
)
def test_replacing(story: str, keys: tuple[str, ...], left: list[int]) -> None:
    asked = ask(*keys)
    assert limits(asked) == left, story
    assert len(asked.items) == len(keys)
    if "free" in keys:
        assert asked.items[keys.index("free")] == Status(remaining=UNLIMITED_REMAINING)


def test_a_replaced_limit_answers_as_if_there_were_none() -> None:
    asked = ask("ten", "free")
    assert asked.items[0] == Status()
    assert asked.matches[0] is not None, "but it is known what was met"


@pytest.mark.parametrize(("key", "hits"), [("none", 1), ("half", 5)])
def test_a_limit_of_nothing_refuses_without_the_store_and_the_rest_only_looks(
    key: str, hits: int
) -> None:
    asked = ask("minute", key, "shadow", hits=hits)
    assert asked.refused
    blocked = asked.items[1]
    assert isinstance(blocked, Status)
    assert blocked.over
    assert blocked.reset_us == 24 * HOUR * 1_000_000
    looked, shadow = asked.charges
    assert (looked.cost, shadow.cost) == (0, shadow.meter.cost(hits))


@pytest.mark.parametrize("hits", [0, -1])
def test_a_look_or_a_refund_passes_a_limit_of_nothing(hits: int) -> None:
    asked = ask("none", hits=hits)
    assert not asked.refused
    (status,) = asked.items
    assert isinstance(status, Status)
    assert not status.over


def test_a_limit_of_nothing_in_shadow_or_quota_mode_does_not_stop_the_rest() -> None:
    asked = ask("shadow-none", "quota-none", "minute")
    assert not asked.refused
    shadow, quota, _ = asked.items
    assert isinstance(shadow, Status)
    assert isinstance(quota, Status)
    assert (shadow.over, shadow.shadowed, quota.over) == (False, True, True)
    assert asked.quotas == (False, True, False)
    assert asked.charges[0].cost


@pytest.mark.parametrize(
    ("now_s", "requests"),
    [(NOON, 10), (NOON + 11 * HOUR, 99), (NOON + 4 * 24 * HOUR, 1), (NOON + 4 * 24 * HOUR - 8 * HOUR, 99)],
)  # fmt: skip
def test_the_hour_decides_which_limit_holds(now_s: float, requests: int) -> None:
    asked = ask("night", now_s=now_s)
    assert limits(asked) == [requests]
    assert asked.charges[0].key == ask("night").charges[0].key, "the counter stays"


def test_plans_last_until_the_next_change_of_hours_or_days() -> None:
    # Tokyo's midnight is at 15:00 UTC, before the night shift.
    assert RULES.changes_after(NOON) == NOON + 3 * HOUR
    assert RULES.changes_after(NOON + 3 * HOUR) == NOON + 10 * HOUR


def test_a_shared_threshold_is_one_counter_in_one_slot() -> None:
    one, two = (ask("files", value=f"files/{name}").charges[0].key for name in "ab")
    assert one == two
    assert one.count(b":") == 3, "shard and digest"


OWN = Limit(requests_per_unit=3, unit=Unit.HOUR)


def test_a_limit_of_the_request_is_always_enforced() -> None:
    for key in ("shadow", "quota", "free", "unknown"):
        asked = plan(RULES, Policy(), "d", [Descriptor(entries=((key, "v"),), override=OWN)], NOON)
        assert limits(asked) == [3]
        assert asked.charges[0].mode is Mode.ENFORCED
        assert asked.quotas == (False,)
        assert asked.matches[0] is not None
        assert asked.matches[0].metric == f"d.{key}_v"


def test_a_limit_of_the_request_that_is_nothing_refuses() -> None:
    nothing = Descriptor(entries=(("free", "v"),), override=Limit(unit=Unit.HOUR))
    assert plan(RULES, Policy(), "d", [nothing], NOON).refused


def test_where_everything_is_a_quota_only_limits_are() -> None:
    asked = ask("minute", "none", "later", "free", "unknown", policy=Policy(quota_mode=True))
    assert asked.quotas == (True, True, True, False, False)
    assert [charge.mode for charge in asked.charges] == [Mode.QUOTA, Mode.QUOTA]
    assert not asked.refused


def test_the_reference_counts_everything_in_fixed_windows_each_alone() -> None:
    policy = Policy(reference=True, key_prefix="p:")
    keys = ("minute", "sliding", "calendar", "quota", "shadow", "later", "none")
    asked = ask(*keys, policy=policy)
    assert {charge.mode for charge in asked.charges} == {Mode.COUNTED}
    assert all(charge.key.endswith(b".reference") for charge in asked.charges)
    assert all(charge.key.startswith(b"p:rate_limit:{") for charge in asked.charges)
    assert [charge.meter for charge in asked.charges] == [
        Window.fixed(each.limit) for each in charged(asked)
    ]
    assert not asked.refused
    assert limits(ask("night", policy=policy, now_s=NOON + 11 * HOUR)) == [99]


def test_in_the_reference_what_is_not_limited_is_a_quota_too() -> None:
    asked = ask("unknown", "ten", "free", "minute", policy=Policy(reference=True, quota_mode=True))
    assert asked.quotas == (True, True, False, True)
