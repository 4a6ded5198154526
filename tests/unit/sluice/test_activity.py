"""What two looks at a limiter's numbers say of the time between."""

from __future__ import annotations

import pytest

from sluice.activity import Look, between

CALLS = "sluice_ratelimit_call_duration_seconds_bucket"


def numbers(ok: float, over: float, **more: float) -> dict[str, float]:
    return {
        'sluice_ratelimit_decisions_total{code="ok"}': ok,
        'sluice_ratelimit_decisions_total{code="over_limit"}': over,
        'sluice_redis_up{redis="ratelimit"}': 1.0,
        'sluice_redis_calls_total{redis="ratelimit"}': ok,
        'sluice_redis_wait_seconds_total{redis="ratelimit"}': ok / 1000,
        f'{CALLS}{{le="0.001"}}': ok,
        f'{CALLS}{{le="0.002"}}': ok + over,
        f'{CALLS}{{le="+Inf"}}': ok + over,
        **more,
    }


def test_rates_are_of_the_time_between() -> None:
    found = between(Look(10, numbers(100, 0)), Look(12, numbers(160, 20)))
    assert (found.seconds, found.requests_per_second) == (2, 40)
    assert found.over_limit_share == 0.25
    assert found.p50_seconds == pytest.approx(0.001 * 40 / 60)
    assert found.p99_seconds == pytest.approx(0.00196)
    redis = found.redis["ratelimit"]
    assert (redis.up, redis.calls_per_second) == (True, 30)
    assert redis.wait_seconds == pytest.approx(0.001)


def test_nothing_happened() -> None:
    found = between(Look(10, numbers(100, 5)), Look(11, numbers(100, 5)))
    assert (found.requests_per_second, found.over_limit_share) == (0, 0)
    assert found.p50_seconds is found.p99_seconds is found.redis["ratelimit"].wait_seconds is None


def test_a_process_that_was_started_again_counts_from_nothing() -> None:
    found = between(Look(10, numbers(1000, 500)), Look(11, numbers(30, 10)))
    assert found.requests_per_second == 40
    assert found.over_limit_share == 0.25


def test_an_absent_redis_shows_with_its_failures() -> None:
    away = {
        'sluice_redis_up{redis="ratelimit"}': 0.0,
        'sluice_redis_timeouts_total{redis="ratelimit"}': 3.0,
        'sluice_redis_refusals_total{redis="ratelimit"}': 4.0,
        "sluice_ratelimit_store_failures_total": 7.0,
    }
    found = between(Look(10, numbers(5, 0)), Look(11, numbers(5, 0, **away)))
    assert not found.redis["ratelimit"].up
    assert found.redis["ratelimit"].failures_per_second == 7
    assert found.undecided_per_second == 7


def test_numbers_of_something_else_say_nothing() -> None:
    found = between(Look(1, {"up": 1.0}), Look(1, {"up": 1.0}))
    assert (found.requests_per_second, found.p50_seconds, found.redis) == (0, None, {})
