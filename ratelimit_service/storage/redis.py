"""Buckets in Redis: everything that arrives in one turn of the event loop is ONE script call.

A script call has a price of its own, in this process and in Redis, whatever it carries; so takes
gather while the loop turns, and a flush sends all of them as one EVALSHA (in a cluster, one for
each slot). At most two calls of a slot are on the way: under load the batches grow
instead of the queue of commands.

In a cluster a request whose buckets lie in several slots is charged slot by slot: each part is
atomic, the whole is not, and a part that fitted stays charged though another was refused.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from chassis.errors import Exhausted, SluiceError, Unavailable
from ratelimit_service.storage import take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.lua import Script
    from chassis.metrics import Metrics
    from ratelimit_service.core.bucket import Charge
    from ratelimit_service.service import Done

MAX_WAITING = 10_000  # charges; an eighth of a second at 80,000/s: Envoy has given up long before
# Charges a script call: Redis serves nobody else for the 4 ms they take; and Lua's unpack() of the
# keys ends near 8,000. A larger request goes alone.
MAX_BATCH = 512
MAX_IN_FLIGHT = 2  # one being answered while the next is built; more only shrinks the batches
# A caller is answered this much of its deadline early, or the answer would arrive after it.
_DEADLINE_SHARE = 0.85


class Scripts(Protocol):
    """The store's side of chassis.redis.RedisDoor."""

    async def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[int],
        timeout_seconds: float | None = None,
    ) -> list[int]:
        """Run a script; raise chassis.errors.Unavailable where Redis does not answer."""

    def slot_of(self, key: bytes) -> int:
        """Return the cluster slot of `key`; 0 for every key where there is no cluster."""


class _Take:
    """One request on its way, and the part of itself that it mostly is.

    Written out, as dataclasses make it three times as slow, and one is made for every decision.
    """

    __slots__ = ("answered", "charges", "deadline", "done", "met", "parts_out")

    places: list[int] | None = None

    def __init__(self, done: Done, deadline: float, charges: Sequence[Charge]) -> None:
        self.done = done
        self.deadline = deadline
        self.charges = charges
        self.parts_out = 1
        self.answered = False
        self.met: list[int]

    @property
    def take(self) -> _Take:
        """What it is a part of."""
        return self

    def answer(self, met: Sequence[int], error: BaseException | None) -> None:
        """Answer it, unless its time was up before."""
        if not self.answered:
            self.answered = True
            self.done(met, error)


@dataclass(slots=True, eq=False)
class _Part:
    """The charges of one take that share a slot, and their places among all of them."""

    take: _Take
    charges: Sequence[Charge]
    places: list[int]


@dataclass(slots=True, eq=False)
class _Lane:
    """One slot: what waits for it, and how many script calls of it are on the way."""

    waiting: deque[_Take | _Part] = field(default_factory=deque)
    in_flight: int = 0
    flush_due: bool = False


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
        self._timeout_seconds = command_timeout_seconds
        self._lanes: dict[int, _Lane] = {}
        self._batches: dict[asyncio.Task[list[int]], tuple[_Lane, list[_Take | _Part]]] = {}
        self._charges_waiting = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf
        self.counts = BatchCounts()

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:
        """Queue `charges` for the flush of this turn, as BucketStore.take promises."""
        if self._charges_waiting >= MAX_WAITING:
            self.counts.refused_full += 1
            done((), _queue_full())
            return
        loop = self._loop = self._loop or asyncio.get_running_loop()
        patience = self._timeout_seconds
        if timeout_seconds is not None:
            patience = min(patience, max(0.0, timeout_seconds) * _DEADLINE_SHARE)
        deadline = loop.time() + patience
        request = _Take(done, deadline, charges)
        self._charges_waiting += len(charges)
        self.counts.takes += 1
        if len(charges) == 1:
            self._enqueue(loop, self._door.slot_of(charges[0].key), request)
        else:
            self._split(loop, request)
        if deadline < self._alarm_at:
            self._set_alarm(loop, deadline)

    async def close(self) -> None:
        """Wait for what is on the way; nothing new may come."""
        while self._batches:
            await asyncio.wait(self._batches)
        if self._alarm:
            self._alarm.cancel()

    def observe(self, metrics: Metrics) -> None:
        """Expose the counts."""
        for name, description in (
            ("takes", "Requests charged in Redis."),
            ("batches", "Script calls those requests shared."),
            ("failed_batches", "Script calls that failed."),
            ("expired", "Requests answered because the caller's deadline came first."),
            ("refused_full", "Requests refused because too many waited."),
        ):
            read = partial(getattr, self.counts, name)
            metrics.observe_counter(f"ratelimit_store_{name}", description, read=read)
        metrics.observe_gauge(
            "ratelimit_store_largest_batch",
            "Most requests that shared one script call.",
            read=lambda: self.counts.largest_batch,
        )

    def _split(self, loop: asyncio.AbstractEventLoop, request: _Take) -> None:
        charges = request.charges
        slots = [self._door.slot_of(charge.key) for charge in charges]
        distinct = set(slots)
        if len(distinct) == 1:
            self._enqueue(loop, slots[0], request)
            return
        request.parts_out = len(distinct)
        request.met = [0] * len(slots)
        for slot in distinct:
            places = [place for place, other in enumerate(slots) if other == slot]
            part = _Part(request, [charges[place] for place in places], places)
            self._enqueue(loop, slot, part)

    def _enqueue(self, loop: asyncio.AbstractEventLoop, slot: int, part: _Take | _Part) -> None:
        lane = self._lanes.get(slot)
        if lane is None:
            lane = self._lanes[slot] = _Lane()  # never more than the 16,384 slots of a cluster
        lane.waiting.append(part)
        if not lane.flush_due:
            lane.flush_due = True
            loop.call_soon(self._flush, lane)

    def _flush(self, lane: _Lane) -> None:
        """Send what waits, unless enough is on the way: its end flushes again."""
        lane.flush_due = False
        while lane.waiting and lane.in_flight < MAX_IN_FLIGHT:
            parts: list[_Take | _Part] = []
            room = MAX_BATCH
            while lane.waiting and (len(lane.waiting[0].charges) <= room or not parts):
                part = lane.waiting.popleft()
                self._charges_waiting -= len(part.charges)
                if not part.take.answered:  # else its time was up while it waited
                    parts.append(part)
                    room -= len(part.charges)
            if parts:
                self._send(lane, parts)

    def _send(self, lane: _Lane, parts: list[_Take | _Part]) -> None:
        keys, args = take.pack(part.charges for part in parts)
        self.counts.batches += 1
        self.counts.largest_batch = max(self.counts.largest_batch, len(parts))
        task = asyncio.get_running_loop().create_task(
            self._door.run(take.SCRIPT, keys, args, timeout_seconds=self._timeout_seconds)
        )
        lane.in_flight += 1
        self._batches[task] = (lane, parts)
        task.add_done_callback(self._settle)

    def _settle(self, task: asyncio.Task[list[int]]) -> None:
        """Give every take of a finished batch its answer, or the batch's error to them all."""
        lane, parts = self._batches.pop(task)
        lane.in_flight -= 1
        error: BaseException | None
        if task.cancelled():
            error = Unavailable("the service is shutting down", reason="SHUTTING_DOWN")
        else:
            error = task.exception()
        if error is not None:
            self.counts.failed_batches += 1
            for part in parts:
                part.take.answer((), _own(error))
        else:
            self._deliver(parts, task.result())
        if lane.waiting and not lane.flush_due:
            self._flush(lane)

    @staticmethod
    def _deliver(parts: list[_Take | _Part], met: list[int]) -> None:
        start = 0
        for part in parts:
            stop = start + len(part.charges)
            found, start = met[start:stop], stop
            request = part.take
            if part.places is None:
                request.answer(found, None)
                continue
            for place, debt in zip(part.places, found, strict=True):
                request.met[place] = debt
            request.parts_out -= 1
            if not request.parts_out:
                request.answer(request.met, None)

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        """Watch the earliest deadline. One timer for all: a timer a request costs 2 us each."""
        if self._alarm:
            self._alarm.cancel()
        self._alarm, self._alarm_at = loop.call_at(when, self._expire), when

    def _expire(self) -> None:
        """Answer the takes whose time is up, and watch for the next."""
        self._alarm, self._alarm_at = None, math.inf
        loop = asyncio.get_running_loop()
        now = loop.time()
        next_deadline: float | None = None
        waiting = [part for lane in self._lanes.values() for part in lane.waiting]
        sent = [part for _, parts in self._batches.values() for part in parts]
        for part in waiting + sent:
            request = part.take
            if request.answered:
                continue
            if request.deadline <= now:
                self.counts.expired += 1
                request.answer((), _too_late())
            elif next_deadline is None or request.deadline < next_deadline:
                next_deadline = request.deadline
        for lane in self._lanes.values():
            self._drop_answered(lane)
        if next_deadline is not None:
            self._set_alarm(loop, next_deadline)

    def _drop_answered(self, lane: _Lane) -> None:
        """Give the room of takes that need no answer any more to those that come."""
        kept = deque(part for part in lane.waiting if not part.take.answered)
        self._charges_waiting -= sum(len(part.charges) for part in lane.waiting)
        self._charges_waiting += sum(len(part.charges) for part in kept)
        lane.waiting = kept


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
