"""The hottest keys, in bounded memory."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ratelimit_service.core.hot_keys import ROOM, SPAN_SECONDS, HotKeys


def test_the_hottest_come_first_with_rates_and_shares() -> None:
    keys: HotKeys[str] = HotKeys(100.0)
    keys.add("warm", 20, 0, 101.0)
    keys.add("hot", 40, 10, 102.0)
    keys.add("hot", 40, 10, 103.0)
    first, second = keys.top(5, 104.0)
    assert (first.key, first.hits_per_second, first.over_share) == ("hot", 20.0, 0.25)
    assert (second.key, second.hits_per_second, second.over_share) == ("warm", 5.0, 0.0)
    assert [hot.key for hot in keys.top(1, 104.0)] == ["hot"]


def test_no_heavy_key_is_lost_in_a_flood_of_others() -> None:
    dice = random.Random(7)  # noqa: S311  a reproducible history, not a secret
    keys: HotKeys[int] = HotKeys(0.0)
    truth: Counter[int] = Counter()
    for _ in range(60_000):
        key = dice.randrange(5) if dice.random() < 0.05 else dice.randrange(10, 10**9)
        truth[key] += 1
        keys.add(key, 1, 0, 1.0)
    hottest = keys.top(5, 1.0)
    assert {hot.key for hot in hottest} == set(range(5))
    for hot in hottest:
        # Never more than there was; less only by what came before it had a counter.
        assert 0.8 * truth[hot.key] <= hot.hits_per_second <= truth[hot.key]


def test_memory_is_bounded() -> None:
    keys: HotKeys[int] = HotKeys(0.0)
    for key in range(10 * ROOM):
        keys.add(key, 1, 0, 1.0)
    assert len(keys.top(10 * ROOM, 1.0)) == ROOM


def test_rates_follow_the_traffic() -> None:
    keys: HotKeys[str] = HotKeys(0.0)
    keys.add("old", 1000, 0, 1.0)
    keys.add("new", 10, 0, SPAN_SECONDS + 1)
    assert [hot.key for hot in keys.top(2, SPAN_SECONDS + 1)] == ["old", "new"]
    keys.add("new", 10, 0, 2 * SPAN_SECONDS + 1)
    assert [hot.key for hot in keys.top(2, 2 * SPAN_SECONDS + 1)] == ["new"]


@pytest.mark.parametrize("pause", [2 * SPAN_SECONDS, 1000.0])
def test_a_pause_leaves_nothing(pause: float) -> None:
    keys: HotKeys[str] = HotKeys(0.0)
    keys.add("old", 1000, 0, 1.0)
    assert keys.top(1, 1.0 + pause) == []
    keys.add("new", 10, 0, 1.0 + pause)
    (hot,) = keys.top(1, 2.0 + pause)
    assert hot.hits_per_second == 10.0
