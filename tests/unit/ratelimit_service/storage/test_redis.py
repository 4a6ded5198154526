"""The batcher: what goes into one script call, and what every caller hears of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from chassis.errors import Exhausted, Unavailable
from ratelimit_service.core import bucket
from ratelimit_service.core.bucket import Bucket, Cell, Charge
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.storage import redis as store
from tests.taking import take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.lua import Script

BUCKET = Bucket.of(Limit(requests_per_unit=10, unit=Unit.HOUR))


def charge(key: bytes, hits: int = 1) -> Charge:
    return Charge(key, BUCKET, BUCKET.cost(hits))


class Door:
    """A RedisDoor that computes answers by the Lua's twin, and answers when told to."""

    def __init__(self, *, slots: int = 1) -> None:
        self.slots = slots
        self.batches: list[int] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.gates: dict[int, asyncio.Event] = {}
        self.cells: dict[bytes, Cell] = {}

    async def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[int],
        timeout_seconds: float | None = None,
    ) -> list[int]:
        assert script.name == "take"
        assert timeout_seconds == 1.0
        assert len({self.slot_of(key) for key in keys}) == 1, "a script call stays in one slot"
        numbers = list(args)
        requests: list[list[Charge]] = []
        while numbers:
            count = numbers.pop(0)
            request = []
            for _ in range(count):
                index, cost, *_shape = (numbers.pop(0) for _ in range(5))
                request.append(Charge(keys[index - 1], BUCKET, cost))
            requests.append(request)
        self.batches.append(len(requests))
        await self.gates.get(self.slot_of(keys[0]), self.gate).wait()
        if self.error:
            raise self.error
        return bucket.take(self.cells, requests, 1)

    def slot_of(self, key: bytes) -> int:
        return key[-1] % self.slots


def batcher(door: Door) -> store.RedisBuckets:
    return store.RedisBuckets(door, command_timeout_seconds=1.0)


async def test_what_arrives_in_one_turn_goes_in_one_call() -> None:
    door = Door()
    buckets = batcher(door)
    met = await asyncio.gather(*(take(buckets, [charge(b"k")], None) for _ in range(100)))
    assert door.batches == [100]
    assert [debts[0] for debts in met[:11]] == [BUCKET.cost(n) for n in range(11)]


async def test_at_most_two_calls_are_on_the_way_and_the_rest_gathers() -> None:
    door = Door()
    door.gate.clear()
    buckets = batcher(door)
    waiting = []
    for _ in range(5):
        waiting += [asyncio.ensure_future(take(buckets, [charge(b"k")], None)) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert door.batches == [3, 3]
    door.gate.set()
    await asyncio.gather(*waiting)
    assert door.batches == [3, 3, 9]


async def test_a_batch_is_bounded() -> None:
    door = Door()
    buckets = batcher(door)
    await asyncio.gather(*(take(buckets, [charge(b"k")], None) for _ in range(1200)))
    assert door.batches == [512, 512, 176]


async def test_a_batch_is_bounded_by_its_charges_and_a_large_request_goes_alone() -> None:
    door = Door()
    buckets = batcher(door)
    sizes = [500, 10, 3, 700, 1]
    await asyncio.gather(
        *(take(buckets, [charge(b"%d" % n) for n in range(size)], None) for size in sizes)
    )
    assert door.batches == [2, 1, 1, 1]


async def test_a_full_queue_refuses_instead_of_growing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_WAITING", 3)
    buckets = batcher(Door())
    waiting = [take(buckets, [charge(b"k")], None) for _ in range(3)]
    with pytest.raises(Exhausted) as caught:
        await take(buckets, [charge(b"k")], None)
    assert caught.value.reason == "QUEUE_FULL"
    await asyncio.gather(*waiting)


async def test_every_caller_of_a_failed_call_hears_why_and_the_next_call_works() -> None:
    door = Door()
    door.error = Unavailable("Redis is away", reason="REDIS_UNAVAILABLE")
    buckets = batcher(door)
    waiting = [take(buckets, [charge(b"k")], None) for _ in range(3)]
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [getattr(error, "reason", None) for error in errors] == ["REDIS_UNAVAILABLE"] * 3
    assert len({id(error) for error in errors}) == 3, "each has its own traceback"
    door.error = None
    assert await take(buckets, [charge(b"k")], None) == [0]


async def test_a_bug_in_a_call_reaches_the_callers_instead_of_hanging_them() -> None:
    door = Door()
    door.error = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        await take(batcher(door), [charge(b"k")])


async def test_a_caller_is_answered_before_its_deadline_though_redis_hangs() -> None:
    door = Door()
    door.gate.clear()
    buckets = batcher(door)
    loop = asyncio.get_running_loop()
    started = loop.time()
    impatient = asyncio.ensure_future(take(buckets, [charge(b"k")], 0.1))
    patient = asyncio.ensure_future(take(buckets, [charge(b"k")], 5.0))
    with pytest.raises(Unavailable) as caught:
        await impatient
    assert caught.value.reason == "REDIS_TIMEOUT"
    assert loop.time() - started < 0.1
    assert not patient.done()
    door.gate.set()
    assert await patient == [BUCKET.cost(1)]


async def test_what_expired_while_it_waited_is_not_charged() -> None:
    door = Door()
    door.gate.clear()
    buckets = batcher(door)
    for _ in range(2):  # two calls are on the way, so what follows waits
        take(buckets, [charge(b"k")], None)
        await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await take(buckets, [charge(b"k", 5)], 0.01)
    door.gate.set()
    assert await take(buckets, [charge(b"k")], None) == [BUCKET.cost(2)]


async def test_expired_takes_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_WAITING", 3)
    door = Door()
    door.gate.clear()
    buckets = batcher(door)
    for _ in range(2):  # two calls are on the way, so what follows waits
        take(buckets, [charge(b"k")], 60.0)
        await asyncio.sleep(0)
    late = [take(buckets, [charge(b"k")], 0.01) for _ in range(3)]
    await asyncio.gather(*late, return_exceptions=True)
    patient = take(buckets, [charge(b"k")], None)
    door.gate.set()
    assert await patient == [BUCKET.cost(2)]


async def test_a_slow_slot_does_not_hold_up_the_others() -> None:
    door = Door(slots=2)
    slow = asyncio.Event()
    door.gates[1] = slow
    buckets = batcher(door)
    stuck = []
    for _ in range(3):
        stuck.append(take(buckets, [charge(b"1")], None))
        await asyncio.sleep(0)
    assert await take(buckets, [charge(b"0")], None) == [0]
    slow.set()
    await asyncio.gather(*stuck)


async def test_in_a_cluster_each_slot_has_its_own_call_and_answers_come_in_order() -> None:
    door = Door(slots=3)
    buckets = batcher(door)
    await take(buckets, [charge(b"1", 4)], None)
    met = await take(buckets, [charge(b"0"), charge(b"1"), charge(b"2"), charge(b"1")], None)
    assert met == [0, BUCKET.cost(4), 0, BUCKET.cost(5)]
    assert sorted(door.batches) == [1, 1, 1, 1]


async def test_close_waits_for_what_is_on_the_way() -> None:
    door = Door()
    buckets = batcher(door)
    answer = take(buckets, [charge(b"k")], None)
    await asyncio.sleep(0)
    await buckets.close()
    assert answer.done()
