"""Buckets in Redis: everything that arrives in one turn of the event loop is ONE script call.

redis-py's asyncio call costs about 100 us of CPU whatever it carries, so it carries all that is
waiting: takes gather while the loop turns, a flush sends them as one EVALSHA for each cluster
slot (one in all on a standalone server), and at most two flushes are on the way, so that under
load the batches grow instead of the queue of commands.

In a cluster a request whose buckets lie in several slots is charged slot by slot: each part is
atomic, the whole is not, and a part that fitted stays charged though another was refused.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from chassis.errors import Exhausted, SluiceError, Unavailable
from chassis.lua import load_script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.lua import Script
    from ratelimit_service.core.bucket import Charge

MAX_WAITING = 10_000  # an eighth of a second at 80,000/s: Envoy has given up long before
MAX_BATCH = 512  # requests a script call: Redis serves nobody else meanwhile (about 4 ms)
MAX_IN_FLIGHT = 2  # one being answered while the next is built; more only shrinks the batches
# A caller is answered this much of its deadline early, or the answer would arrive after it.
_DEADLINE_SHARE = 0.85


class Scripts(Protocol):
    """The store's side of chassis.redis.RedisDoor."""

    async def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[bytes | int | str],
        timeout: float | None = None,  # noqa: ASYNC109  the driver's own, cheaper than wait_for
    ) -> list[int]:
        """Run a script; raise chassis.errors.Unavailable where Redis does not answer."""

    def slot_of(self, key: bytes) -> int:
        """Return the cluster slot of `key`; 0 for every key where there is no cluster."""


@dataclass(slots=True, eq=False)
class _Take:
    """One request on its way: its answer so far, and how many parts are still out."""

    answer: asyncio.Future[Sequence[int]]
    charges: Sequence[Charge]
    deadline: float
    met: list[int] = field(default_factory=list)
    parts_out: int = 0


@dataclass(slots=True, eq=False)
class _Part:
    """The charges of one take that share a slot. `places` None: all of them, in order."""

    take: _Take
    charges: Sequence[Charge]
    places: list[int] | None = None


@dataclass(slots=True)
class BatchCounts:
    """What the batcher has done since the start, as plain integers for the metrics."""

    takes: int = 0
    batches: int = 0
    largest_batch: int = 0
    failed_batches: int = 0
    expired: int = 0
    refused_full: int = 0


class RedisBuckets:
    """A BucketStore (see service.py) over a RedisDoor."""

    def __init__(self, door: Scripts, *, command_timeout_seconds: float) -> None:
        self._door = door
        self._timeout = command_timeout_seconds
        self._script = load_script("ratelimit_service.storage", "take.lua")
        self._waiting: list[_Take] = []
        self._batches: dict[asyncio.Task[list[int]], list[_Part]] = {}
        self._flush_due = False
        self._alarm: asyncio.TimerHandle | None = None
        self.counts = BatchCounts()

    def take(
        self, charges: Sequence[Charge], timeout_seconds: float | None
    ) -> asyncio.Future[Sequence[int]]:
        """Queue `charges` for the flush of this turn, as BucketStore.take promises."""
        if len(self._waiting) >= MAX_WAITING:
            self.counts.refused_full += 1
            raise Exhausted(
                f"{MAX_WAITING} requests wait for Redis already; slow down or add replicas",
                reason="QUEUE_FULL",
            )
        loop = asyncio.get_running_loop()
        patience = self._timeout
        if timeout_seconds is not None:
            patience = min(patience, max(0.0, timeout_seconds) * _DEADLINE_SHARE)
        take = _Take(loop.create_future(), charges, loop.time() + patience)
        self._waiting.append(take)
        self.counts.takes += 1
        if not self._flush_due:
            self._flush_due = True
            loop.call_soon(self._flush)
        if self._alarm is None or take.deadline < self._alarm.when():
            self._set_alarm(loop, take.deadline)
        return take.answer

    async def close(self) -> None:
        """Wait for what is on the way; nothing new may come."""
        while self._batches:
            await asyncio.wait(self._batches)
        if self._alarm:
            self._alarm.cancel()

    def _flush(self) -> None:
        """Send what waits, unless enough is on the way: its end flushes again."""
        self._flush_due = False
        while self._waiting and len(self._batches) < MAX_IN_FLIGHT:
            chunk, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            by_slot: dict[int, list[_Part]] = {}
            for take in chunk:
                if not take.answer.done():  # expired, or the caller went away
                    self._split(take, by_slot)
            for parts in by_slot.values():
                self._send(parts)

    def _split(self, take: _Take, by_slot: dict[int, list[_Part]]) -> None:
        slots = [self._door.slot_of(charge.key) for charge in take.charges]
        distinct = set(slots)
        take.parts_out = len(distinct)
        take.met = [0] * len(slots)
        if len(distinct) == 1:
            by_slot.setdefault(slots[0], []).append(_Part(take, take.charges))
            return
        for slot in distinct:
            places = [place for place, other in enumerate(slots) if other == slot]
            charges = [take.charges[place] for place in places]
            by_slot.setdefault(slot, []).append(_Part(take, charges, places))

    def _send(self, parts: list[_Part]) -> None:
        keys: dict[bytes, int] = {}
        args: list[bytes | int | str] = []
        for part in parts:
            args.append(len(part.charges))
            for charge in part.charges:
                bucket = charge.bucket
                index = keys.setdefault(charge.key, len(keys) + 1)
                args += (index, charge.cost, bucket.full, bucket.refill, bucket.tick_us)
        self.counts.batches += 1
        self.counts.largest_batch = max(self.counts.largest_batch, len(parts))
        task = asyncio.get_running_loop().create_task(
            self._door.run(self._script, list(keys), args, timeout=self._timeout)
        )
        self._batches[task] = parts
        task.add_done_callback(self._settle)

    def _settle(self, task: asyncio.Task[list[int]]) -> None:
        """Give every take of a finished batch its answer, or the batch's error to them all."""
        parts = self._batches.pop(task)
        error: BaseException | None
        if task.cancelled():
            error = Unavailable("the service is shutting down", reason="SHUTTING_DOWN")
        else:
            error = task.exception()
        if error is not None:
            self.counts.failed_batches += 1
            for part in parts:
                if not part.take.answer.done():
                    part.take.answer.set_exception(_own(error))
        else:
            self._deliver(parts, task.result())
        if self._waiting and not self._flush_due:
            self._flush()

    @staticmethod
    def _deliver(parts: list[_Part], met: list[int]) -> None:
        start = 0
        for part in parts:
            take = part.take
            stop = start + len(part.charges)
            if part.places is None:
                take.met = met[start:stop]
            else:
                for place, debt in zip(part.places, met[start:stop], strict=True):
                    take.met[place] = debt
            start = stop
            take.parts_out -= 1
            if not take.parts_out and not take.answer.done():
                take.answer.set_result(take.met)

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        """Watch the earliest deadline. One timer for all: a timer a request costs 2 us each."""
        if self._alarm:
            self._alarm.cancel()
        self._alarm = loop.call_at(when, self._expire)

    def _expire(self) -> None:
        """Answer the takes whose time is up, and watch for the next."""
        self._alarm = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        next_deadline: float | None = None
        sent = (part.take for parts in self._batches.values() for part in parts)
        for take in (*self._waiting, *sent):
            if take.answer.done():
                continue
            if take.deadline <= now:
                self.counts.expired += 1
                take.answer.set_exception(_too_late())
            elif next_deadline is None or take.deadline < next_deadline:
                next_deadline = take.deadline
        self._waiting = [take for take in self._waiting if not take.answer.done()]
        if next_deadline is not None:
            self._set_alarm(loop, next_deadline)


def _own(error: BaseException) -> BaseException:
    """Return an error of the caller's own: one object raised in many tasks grows its traceback."""
    if isinstance(error, SluiceError):
        return type(error)(error.message, reason=error.reason, metadata=error.metadata)
    return error


def _too_late() -> Unavailable:
    return Unavailable(
        "Redis did not answer within the caller's deadline; whether it charged is unknown",
        reason="REDIS_TIMEOUT",
    )
