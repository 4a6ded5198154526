"""Limits per second in a store of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from chassis.build import Build
from chassis.metrics import Metrics
from ratelimit_service.core import take as twin
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.storage.counts import StoreCounts
from ratelimit_service.storage.per_second import PerSecondApart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.take import Cells
    from ratelimit_service.service import Done

SECOND = Bucket.of(Limit(requests_per_unit=3, unit=Unit.SECOND))
HOUR = Bucket.of(Limit(requests_per_unit=3, unit=Unit.HOUR))


class Store:
    """A RedisBuckets on the twin of the Lua, at a standing clock."""

    def __init__(self) -> None:
        self.cells: Cells = {}
        self.counts = StoreCounts(takes=2, largest_batch=7)
        self.log: list[str] = []

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:
        del timeout_seconds
        done(twin.take(self.cells, [charges], 1), None)


def per_second(key: bytes, hits: int = 1) -> Charge:
    return Charge(key, SECOND, SECOND.cost(hits), per_second=True)


def per_hour(key: bytes, hits: int = 1) -> Charge:
    return Charge(key, HOUR, HOUR.cost(hits))


def ask(store: PerSecondApart, *charges: Charge) -> list[int]:
    said: list[list[int]] = []

    def done(met: Sequence[int], error: BaseException | None) -> None:
        assert error is None
        said.append(list(met))

    store.take(charges, None, done)
    assert len(said) == 1
    return said[0]


@pytest.fixture
def stores() -> tuple[Store, Store]:
    return Store(), Store()


@pytest.fixture
def store(stores: tuple[Store, Store]) -> PerSecondApart:
    return PerSecondApart(*cast("Any", stores))


def test_each_limit_is_charged_where_it_lives(
    store: PerSecondApart, stores: tuple[Store, Store]
) -> None:
    assert ask(store, per_second(b"s")) == [0]
    assert ask(store, per_hour(b"h", 2)) == [0]
    assert ask(store, per_hour(b"h"), per_second(b"s"), per_hour(b"i")) == [
        HOUR.cost(2), SECOND.cost(1), 0,
    ]  # fmt: skip
    others, seconds = stores
    assert (set(others.cells), set(seconds.cells)) == ({b"h", b"i"}, {b"s"})
    assert store.counts.scattered == 1, "what is in one place goes there as it is"


def test_a_request_refused_in_one_is_given_back_in_the_other(
    store: PerSecondApart, stores: tuple[Store, Store]
) -> None:
    ask(store, per_second(b"s", 3))
    ask(store, per_hour(b"h", 2))
    ask(store, per_hour(b"h"), per_second(b"s"))
    assert ask(store, per_hour(b"h", 0)) == [pytest.approx(HOUR.cost(2), rel=0.001)]


def test_the_counts_of_both_are_added_up(store: PerSecondApart) -> None:
    metrics = Metrics(Build(service="t", version="1", python="p", platform="l"))
    store.observe(metrics)
    text = metrics.render().decode()
    assert "sluice_ratelimit_store_takes_total 4.0" in text
    assert "sluice_ratelimit_store_refunds_lost_total 0.0" in text
    assert "sluice_ratelimit_store_largest_batch 7.0" in text
