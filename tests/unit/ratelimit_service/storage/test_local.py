"""Counting in this process while the store is away."""

from __future__ import annotations

import pytest

from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge, is_short
from ratelimit_service.core.limit import Algorithm, Limit, Unit
from ratelimit_service.core.window import Window
from ratelimit_service.storage import local
from ratelimit_service.storage.local import LocalBuckets
from tests.limiting import ManualClock

LIMIT = Limit(requests_per_unit=60, unit=Unit.MINUTE)  # one a second
BUCKET = Bucket.of(LIMIT)
HALF = Bucket(parts=BUCKET.parts, full=BUCKET.full // 2, refill=BUCKET.refill, tick_us=2)


class Here:
    """LocalBuckets of one of two replicas, and its clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.buckets = LocalBuckets(self.clock, lambda: 2)

    def hit(self, hits: int, key: bytes = b"k") -> bool:
        """Charge here; return whether it fitted."""
        charge = Charge(key, HALF, HALF.cost(hits))
        said: list[int] = []
        self.buckets.take([charge], None, lambda met, error: said.extend(met))
        return not is_short(charge, said[0])

    def seen(self, *charges: tuple[int, int], key: bytes = b"k") -> None:
        """Hear what the store answered: hits that were asked, and tokens lacking before."""
        asked = [Charge(key, BUCKET, BUCKET.cost(hits)) for hits, _ in charges]
        self.buckets.seen(asked, [BUCKET.cost(lacks) for _, lacks in charges])


def test_a_client_that_the_store_never_told_of_starts_with_a_whole_share() -> None:
    here = Here()
    assert [here.hit(30), here.hit(1)] == [True, False]
    here.clock.seconds += 2
    assert [here.hit(1), here.hit(1)] == [True, False], "half of the rate"


def test_the_share_starts_as_full_as_the_store_said_it_was() -> None:
    here = Here()
    here.seen((10, 10))  # twenty of sixty
    assert [here.hit(21), here.hit(20)] == [False, True]


def test_what_flowed_back_since_the_store_told_is_there() -> None:
    here = Here()
    here.seen((60, 0))
    assert not here.hit(1)
    here.clock.seconds += 10
    assert [here.hit(5), here.hit(1)] == [True, False]


def test_a_refused_request_has_used_nothing() -> None:
    here = Here()
    here.seen((31, 30))
    assert [here.hit(16), here.hit(15)] == [False, True]


def test_a_credit_is_a_whole_share() -> None:
    here = Here()
    here.seen((0, -30))
    assert [here.hit(30), here.hit(1)] == [True, False]


def test_each_absence_starts_from_what_the_store_said_last() -> None:
    here = Here()
    here.seen((30, 0))
    assert [here.hit(15), here.hit(1)] == [True, False]
    here.seen((0, 12))  # it is back, and knows nothing of the fifteen
    assert [here.hit(25), here.hit(24)] == [False, True]


def test_windows_count_here_too() -> None:
    fixed = Limit(requests_per_unit=3, unit=Unit.HOUR, algorithm=Algorithm.FIXED_WINDOW)
    charge = Charge(b"w", Window.fixed(fixed), 1)
    here = Here()
    short = []
    here.buckets.seen([charge], [2, 0, 0, 0])
    for _ in range(4):
        here.buckets.take([charge], None, lambda met, _: short.append(is_short(charge, met[0])))
    assert short == [False, False, False, True]


def test_memory_is_bounded_and_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MAX_KEYS", 3)
    here = Here()
    for name in (b"a", b"b", b"c", b"a", b"d"):  # so that b is the oldest
        here.seen((60, 0), key=name)
    assert [here.hit(1, name) for name in (b"a", b"b", b"c", b"d")] == [False, True, False, False]
    for number in range(10):
        here.hit(1, b"%d" % number)
    assert len(here.buckets._cells) <= 3


@pytest.mark.parametrize(("counted", "replicas"), [(0, 1), (1, 1), (7, 7)])
def test_there_is_one_replica_at_least(counted: int, replicas: int) -> None:
    assert LocalBuckets(ManualClock(), lambda: counted).replicas == replicas
