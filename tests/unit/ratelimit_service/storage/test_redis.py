"""The batcher: what goes into one script call, and what every caller hears of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from chassis.errors import Exhausted, Unavailable
from ratelimit_service.core import take as twin
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.window import Window
from ratelimit_service.storage import redis as store
from ratelimit_service.storage import take as script
from tests.taking import take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from chassis.lua import Script
    from ratelimit_service.core.take import Cells

BUCKET = Bucket.of(Limit(requests_per_unit=10, unit=Unit.HOUR))


def charge(key: bytes, hits: int = 1) -> Charge:
    return Charge(key, BUCKET, BUCKET.cost(hits))


@pytest.fixture(autouse=True)
def _unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hand requests to the door as they are; how they are packed is not the batcher's."""

    def pack(requests: Iterable[Sequence[Charge]]) -> tuple[list[bytes], Any]:
        listed = list(requests)
        return [charge.key for charges in listed for charge in charges], listed

    monkeypatch.setattr(script, "pack", pack)


class Door:
    """A RedisDoor that computes answers by the Lua's twin, and answers when told to."""

    def __init__(self, *, slots: int = 1) -> None:
        self.slots = slots
        self.batches: list[int] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.gates: dict[int, asyncio.Event] = {}
        self.cells: Cells = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def clustered(self) -> bool:
        return self.slots > 1

    def submit(
        self,
        script: Script,
        keys: Sequence[bytes],
        args: Any,
        timeout_seconds: float | None,
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        assert script.name == "take"
        assert timeout_seconds == 1.0
        assert len({self.slot_of(key) for key in keys}) == 1, "a script call stays in one slot"
        self.batches.append(len(args))
        task = asyncio.get_running_loop().create_task(self._answer(keys[0], args, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(
        self,
        key: bytes,
        requests: Sequence[Sequence[Charge]],
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        await self.gates.get(self.slot_of(key), self.gate).wait()
        if self.error:
            done(None, self.error)
        else:
            done(twin.take(self.cells, requests, 1), None)

    def slot_of(self, key: bytes) -> int:
        return key[-1] % self.slots


def used(door: Door, key: bytes) -> int:
    """Return the hits used; what flows back while a request is under way is not counted."""
    (debt,) = twin.take(door.cells, [[charge(key, 0)]], 1)
    return round(debt / BUCKET.parts)


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


async def test_over_slots_a_refused_request_is_charged_nowhere_in_the_end() -> None:
    door = Door(slots=3)
    buckets = batcher(door)
    await take(buckets, [charge(b"1", 10)], None)
    assert await take(buckets, [charge(b"0"), charge(b"1"), charge(b"2")], None) == [
        0, BUCKET.cost(10), 0,
    ]  # fmt: skip
    await buckets.close()
    assert not used(door, b"0")
    assert not used(door, b"2")
    assert used(door, b"1") == 10
    assert (buckets.counts.scattered, buckets.counts.taken_back) == (1, 2)
    assert buckets.counts.refunds_lost == 0


async def test_over_slots_a_request_whose_slot_fails_is_charged_nowhere_else() -> None:
    door = Door(slots=2)
    buckets = batcher(door)
    door.gates[1] = asyncio.Event()
    asked = take(buckets, [charge(b"0"), charge(b"1")], 0.05)
    with pytest.raises(Unavailable):
        await asked
    door.gates[1].set()
    await buckets.close()
    assert not used(door, b"0")


async def test_answers_of_several_numbers_are_parted_by_charge() -> None:
    window = Window.fixed(Limit(requests_per_unit=5, unit=Unit.DAY))
    wide = Charge(b"w", window, 2)
    buckets = batcher(Door())
    asked = [
        take(buckets, charges)
        for charges in ([charge(b"k", 3)], [wide, charge(b"k")], [charge(b"k")], [wide])
    ]
    met = await asyncio.gather(*asked)
    assert [len(one) for one in met] == [1, 5, 1, 4]
    assert (met[0], met[1][4], met[2]) == ([0], BUCKET.cost(3), [BUCKET.cost(4)])
    assert (met[1][0], met[3][0]) == (0, 2)


@pytest.mark.parametrize("error", [None, Unavailable("away", reason="REDIS_UNAVAILABLE")])
async def test_a_caller_that_fails_on_its_answer_costs_no_other_its_own(
    error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door()
    door.error = error
    buckets = batcher(door)
    before = take(buckets, [charge(b"k")])

    def fails(_met: Sequence[int], _error: BaseException | None) -> None:
        raise ZeroDivisionError

    buckets.take([charge(b"k")], None, fails)
    after = take(buckets, [charge(b"k")])
    answers = await asyncio.gather(before, after, return_exceptions=True)
    assert len(answers) == 2
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "ZeroDivisionError" in caplog.text
    door.error = None
    assert len(await take(buckets, [charge(b"k")])) == 1, "and the next call is made"


async def test_a_caller_that_fails_on_its_deadline_costs_no_other_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    door = Door()
    door.gate.clear()
    buckets = batcher(door)

    def fails(_met: Sequence[int], _error: BaseException | None) -> None:
        raise ZeroDivisionError

    buckets.take([charge(b"k")], 0.01, fails)
    with pytest.raises(Unavailable):
        await take(buckets, [charge(b"k")], 0.01)
    assert "ZeroDivisionError" in caplog.text
    with pytest.raises(Unavailable):
        await take(buckets, [charge(b"k")], 0.02)
    door.gate.set()


async def test_close_waits_for_what_is_on_the_way() -> None:
    door = Door()
    buckets = batcher(door)
    answer = take(buckets, [charge(b"k")], None)
    await asyncio.sleep(0)
    await buckets.close()
    assert answer.done()
