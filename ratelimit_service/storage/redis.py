"""Buckets in Redis: everything that arrives in one turn of the event loop is ONE script call.

A script call has a price of its own, in this process and in Redis, whatever it carries; so takes
gather while the loop turns, and a flush sends all of them as one EVALSHA (in a cluster, one for
each slot). At most two calls of a slot are on the way: under load the batches grow
instead of the queue of commands.

A request whose buckets lie in several slots of a cluster is scattered (scatter.py) into parts that
come back here, each in one slot.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from chassis.alarm import Alarm
from chassis.errors import Exhausted, SluiceError, Unavailable
from chassis.log import get_logger
from ratelimit_service.storage import take
from ratelimit_service.storage.counts import StoreCounts, observe
from ratelimit_service.storage.scatter import Scatter, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chassis.lua import Script
    from chassis.metrics import Metrics
    from ratelimit_service.core.charge import Charge
    from ratelimit_service.service import Done

MAX_WAITING = 10_000  # charges; an eighth of a second at 80,000/s: Envoy has given up long before
# Charges a script call: Redis serves nobody else for the 4 ms they take; and Lua's unpack() of the
# keys ends near 8,000. A larger request goes alone.
MAX_BATCH = 512
MAX_IN_FLIGHT = 2  # one being answered while the next is built; more only shrinks the batches
# A caller is answered this much of its deadline early, or the answer would arrive after it.
_DEADLINE_SHARE = 0.85

log = get_logger(__name__)


class Scripts(Protocol):
    """The store's side of chassis.redis.RedisDoor."""

    @property
    def clustered(self) -> bool:
        """Whether keys may be of different slots, which one script call must not mix."""

    def submit(
        self,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[bytes | int],
        timeout_seconds: float | None,
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        """Run a script; later call `done` once, with Unavailable where Redis does not answer."""

    def slot_of(self, key: bytes) -> int:
        """Return the slot of `key`."""


class _Take:
    """One request on its way; `done` is None once it is answered.

    Written out, as dataclasses make it three times as slow, and one is made for every decision.
    """

    __slots__ = ("charges", "deadline", "done")

    def __init__(self, charges: Sequence[Charge], deadline: float, done: Done) -> None:
        self.charges = charges
        self.deadline = deadline
        self.done: Done | None = done

    def answer(self, met: Sequence[int], error: BaseException | None) -> None:
        """Answer it, unless its time was up before; nothing that the caller does stops us."""
        done = self.done
        if done is not None:
            self.done = None
            try:
                done(met, error)
            except Exception:
                # The others of its batch wait for their answers.
                log.exception("a request failed on its answer from the store: this is a bug")


class _Lane:
    """One slot: what waits for it, and how many script calls of it are on the way."""

    __slots__ = ("flush_due", "in_flight", "latest", "now", "slot", "waiting")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.waiting: deque[_Take] = deque()  # none of them answered
        self.in_flight = 0
        self.flush_due = False
        # When the first take of this turn came, and what takes of this turn may wait for at most:
        # asked once a turn, the clock and the loop cost a take 0.2 us less.
        self.now = 0.0
        self.latest = 0.0


class _Batch:
    """One script call on the way."""

    __slots__ = ("_buckets", "lane", "takes")

    def __init__(self, buckets: RedisBuckets, lane: _Lane, takes: list[_Take]) -> None:
        self._buckets = buckets
        self.lane = lane
        self.takes = takes

    def done(self, met: Any, error: BaseException | None) -> None:
        """Give every take its answer, or the error to them all."""
        try:
            if error is not None:
                for request in self.takes:
                    request.answer((), _own(error))
            else:
                self._deliver(met)
        finally:  # whatever the reply is, the lane stays open
            self._buckets.settled(self, failed=error is not None)

    def _deliver(self, met: list[int]) -> None:
        takes = self.takes
        if len(met) == len(takes):  # one number each, as most have
            for request, debt in zip(takes, met, strict=True):
                request.answer((debt,), None)
            return
        narrow = len(met) == sum([len(request.charges) for request in takes])
        start = 0
        for request in takes:
            charges = request.charges
            width = len(charges) if narrow else sum([charge.meter.width for charge in charges])
            request.answer(met[start : start + width], None)
            start += width


class RedisBuckets:
    """A BucketStore (see service.py) over a RedisDoor."""

    def __init__(self, door: Scripts, *, command_timeout_seconds: float) -> None:
        self._door = door
        self._slot_of = door.slot_of
        self._clustered = door.clustered
        self._timeout_seconds = command_timeout_seconds
        # Only those in use: a cluster has 16,384 slots, and each deadline looks through all lanes.
        self._lanes: dict[int, _Lane] = {}
        self._batches: set[_Batch] = set()
        self._charges_waiting = 0
        self._alarm = Alarm(lambda: asyncio.get_running_loop().time(), self._expire)
        self._a_call_ended = asyncio.Event()
        self.counts = StoreCounts()
        self._scatter = Scatter(self.counts)

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:
        """Queue `charges` for the flush of this turn, as BucketStore.take promises."""
        slot = 0
        if self._clustered:
            slots = [self._slot_of(charge.key) for charge in charges]
            slot = slots[0]
            if slots.count(slot) < len(slots):
                parts = parts_of(charges, slots, lambda _: self.take)
                self._scatter.take(parts, timeout_seconds, done)
                return
        if self._charges_waiting >= MAX_WAITING:
            self.counts.refused_full += 1
            done((), _queue_full())
            return
        lane = self._lanes.get(slot)
        if lane is None:
            lane = self._lanes[slot] = _Lane(slot)
        if not lane.flush_due:
            self._begin_turn(lane)
        deadline = lane.latest
        if timeout_seconds is not None:
            sooner = lane.now + timeout_seconds * _DEADLINE_SHARE
            if sooner < deadline:  # noqa: PLR1730  min() takes three times as long
                deadline = sooner
        if deadline < self._alarm.at:
            self._alarm.set(deadline)
        self._charges_waiting += len(charges)
        self.counts.takes += 1
        lane.waiting.append(_Take(charges, deadline, done))

    async def close(self) -> None:
        """Wait for what waits and what is on the way; nothing new may come."""
        while self._charges_waiting or self._batches:
            self._a_call_ended.clear()
            await self._a_call_ended.wait()
        self._alarm.stop()

    def observe(self, metrics: Metrics) -> None:
        """Expose the counts."""
        observe(metrics, [self.counts])

    def settled(self, batch: _Batch, *, failed: bool) -> None:
        """Take note that a script call has ended, and make the next."""
        self._batches.discard(batch)
        self.counts.failed_batches += failed
        lane = batch.lane
        lane.in_flight -= 1
        if lane.waiting:
            if not lane.flush_due:
                self._flush(lane)
        elif self._clustered and not lane.in_flight:
            del self._lanes[lane.slot]
        self._a_call_ended.set()

    def _begin_turn(self, lane: _Lane) -> None:
        """Have a lane flushed at the end of this turn of the loop."""
        loop = asyncio.get_running_loop()
        lane.flush_due = True
        loop.call_soon(self._flush, lane)
        lane.now = loop.time()
        lane.latest = lane.now + self._timeout_seconds

    def _flush(self, lane: _Lane) -> None:
        """Send what waits, unless enough is on the way: its end flushes again."""
        lane.flush_due = False
        waiting = lane.waiting
        while waiting and lane.in_flight < MAX_IN_FLIGHT:
            takes: list[_Take] = []
            room = MAX_BATCH
            while waiting and (len(waiting[0].charges) <= room or not takes):
                request = waiting.popleft()
                takes.append(request)
                room -= len(request.charges)
            self._charges_waiting -= MAX_BATCH - room
            self._send(lane, takes)

    def _send(self, lane: _Lane, takes: list[_Take]) -> None:
        keys, args = take.pack([request.charges for request in takes])
        self.counts.batches += 1
        self.counts.largest_batch = max(self.counts.largest_batch, len(takes))
        lane.in_flight += 1
        batch = _Batch(self, lane, takes)
        self._batches.add(batch)
        self._door.submit(take.SCRIPT, keys, args, self._timeout_seconds, batch.done)

    def _expire(self, now: float) -> float:
        """Answer the takes whose time is up; return the deadline of the next."""
        late: list[_Take] = []
        following = math.inf
        for lane in self._lanes.values():
            kept: deque[_Take] = deque()
            for request in lane.waiting:
                if request.deadline <= now:
                    # It is not sent, and leaves its room to those that come.
                    self._charges_waiting -= len(request.charges)
                    late.append(request)
                else:
                    kept.append(request)
                    following = min(following, request.deadline)
            lane.waiting = kept
        for batch in self._batches:
            for request in batch.takes:
                if request.done is not None:
                    if request.deadline <= now:
                        late.append(request)
                    else:
                        following = min(following, request.deadline)
        self.counts.expired += len(late)
        for request in late:
            request.answer((), _too_late())
        return following


def _own(error: BaseException) -> BaseException:
    """Return an error of the caller's own: one object raised in many tasks grows its traceback."""
    if isinstance(error, SluiceError):
        return type(error)(error.message, reason=error.reason, metadata=error.metadata)
    return error


def _queue_full() -> Exhausted:
    return Exhausted(
        f"{MAX_WAITING} charges wait for Redis already; slow down or add replicas",
        reason="QUEUE_FULL",
    )


def _too_late() -> Unavailable:
    return Unavailable(
        "Redis did not answer within the caller's deadline; whether it charged is unknown",
        reason="REDIS_TIMEOUT",
        metadata={"outcome": "unknown"},
    )
