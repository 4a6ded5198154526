"""How long calls take: counted by turns of the loop, told by buckets."""

from __future__ import annotations

import asyncio
import itertools
import math
import random

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from chassis.latency import Latency, LatencyHistogram, quantile
from tests.waiting import wait_until

MS = 1_000_000


def filled(*nanoseconds: int) -> Latency:
    latency = Latency()
    for duration in nanoseconds:
        latency.record(duration)
    return latency


@pytest.mark.parametrize("duration", [0, 1, 16_384, 50_000, MS, 999 * MS, 40_000 * MS, 2**63 - 1])
def test_a_duration_is_in_the_first_bucket_that_holds_it(duration: int) -> None:
    for bound, count in filled(duration).buckets():
        assert count == (duration / 1e9 < bound)


def test_buckets_grow_by_half_octaves_to_infinity() -> None:
    bounds = [bound for bound, _ in Latency().buckets()]
    assert bounds[0] == pytest.approx(16.384e-6)
    for lower, upper in itertools.pairwise(bounds[:-1]):
        assert upper / lower == pytest.approx(math.sqrt(2))
    assert bounds[-1] == math.inf


def test_sums_are_exact() -> None:
    latency = Latency()
    latency.record(3 * MS, 5)
    latency.record(7 * MS)
    assert latency.sum_seconds == 0.022
    assert list(latency.buckets())[-1] == (math.inf, 6)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_quantile_is_told_within_a_fifth(share: float) -> None:
    dice = random.Random(1)  # noqa: S311  a reproducible history, not a secret
    durations = sorted(int(dice.lognormvariate(13.5, 0.7)) for _ in range(5000))
    found = quantile(share, list(filled(*durations).buckets()))
    assert found == pytest.approx(durations[int(share * len(durations))] / 1e9, rel=0.2)


def test_quantiles_at_the_edges() -> None:
    assert quantile(0.5, []) is None
    assert quantile(0.5, list(Latency().buckets())) is None
    least = quantile(0.99, list(filled(1).buckets()))
    assert least is not None
    assert 0 < least <= 16.384e-6
    assert quantile(0.5, list(filled(10**12).buckets())) == pytest.approx(24.3, rel=0.01)


async def test_calls_of_a_turn_share_its_clock() -> None:
    latency = Latency()
    first = latency.turn or latency.begin()
    assert latency.turn == first != 0
    await wait_until(lambda: latency.turn == 0, description="the turn is over")
    second = latency.turn or latency.begin()
    assert second > first


async def test_what_ends_in_a_turn_is_counted_at_its_end() -> None:
    latency = Latency()
    for since in (latency.begin(), latency.begin() - 50 * MS, latency.begin()):
        latency.end(since)
    assert latency.sum_seconds == 0
    await asyncio.sleep(0)
    assert latency.sum_seconds > 0.05
    assert list(latency.buckets())[-1][1] == 3
    assert [count for bound, count in latency.buckets() if bound < 0.05][-1] == 2


def test_prometheus_sees_a_histogram() -> None:
    registry = CollectorRegistry()
    latency = filled(MS, 3 * MS, 3 * MS)
    registry.register(LatencyHistogram("sluice_call_seconds", "How long.", latency))
    said = generate_latest(registry).decode()
    assert "# TYPE sluice_call_seconds histogram" in said
    assert "sluice_call_seconds_count 3.0" in said
    assert "sluice_call_seconds_sum 0.007" in said
    assert 'sluice_call_seconds_bucket{le="+Inf"} 3.0' in said
