"""Replicas with leases in a world of its own time: one bucket, and a way to it that takes time."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from chassis.errors import Unavailable
from ratelimit_service.core import take as twin
from ratelimit_service.core.charge import Charge, is_short
from ratelimit_service.core.lease import Held
from ratelimit_service.storage.leases import LeasedBuckets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ratelimit_service.core.bucket import Bucket
    from ratelimit_service.core.rule import Lease
    from ratelimit_service.core.take import Cells
    from ratelimit_service.service import Done

KEY = b"hot"


@dataclass(eq=False)
class Put:
    """A call that was put off."""

    call: Callable[[], None] | None

    def cancel(self) -> None:
        self.call = None


class Link:
    """A replica's way to the store: in order, `there_us` there and `back_us` back."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dead = False
        self.fail = ""  # "before" the store hears of it, or "after"; "" not
        self.asked: list[Charge] = []

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:
        del timeout_seconds
        self.asked += charges
        self.world.put(self.world.there_us, partial(self._arrive, charges, self.fail, done))

    def _arrive(self, charges: Sequence[Charge], fail: str, done: Done) -> None:
        met: list[int] = []
        error: Exception | None = None
        if fail != "before":
            met = twin.take(self.world.cells, [charges], self.world.now_us)
            # Only what a caller asked for has a lease; blocks are not for anybody yet.
            if charges[0].lease is not None and not is_short(charges[0], met[0]):
                self.world.admit(charges[0].cost)
        if fail:
            met, error = [], Unavailable("away")
        self.world.put(self.world.back_us, lambda: None if self.dead else done(met, error))


@dataclass
class Replica:
    """One process."""

    buckets: LeasedBuckets
    link: Link
    answers: list[Sequence[int] | BaseException] = field(default_factory=list)

    def in_hand(self, now_us: int) -> int:
        """Return the tokens of the first block that has any which may be spent."""
        key = self.buckets._young.get(KEY)
        blocks = key.blocks if key is not None else []
        found = [
            block.left(now_us) // block.bucket.parts for block in blocks if now_us < block.until_us
        ]
        return next(filter(None, found), 0)


class World:
    """The time, the bucket, and beside it a plain one that is charged with what passes."""

    def __init__(
        self, bucket: Bucket, lease: Lease, *, replicas: int = 1, there_us: int = 300,
        back_us: int = 200,
    ) -> None:  # fmt: skip
        self.bucket, self.lease = bucket, lease
        self.there_us, self.back_us = there_us, back_us
        self.now_us = 1_000
        self.cells: Cells = {}
        self.plain: Cells = {}
        self.admitted = 0
        self._events: list[tuple[int, int, Put]] = []
        self._serial = 0
        self.count = replicas
        self.replicas = [self.start() for _ in range(replicas)]

    # The middle of a microsecond, so that no float on the way rounds to another.
    def now(self) -> float:
        return (self.now_us + 0.5) / 1_000_000

    monotonic = now

    def start(self) -> Replica:
        link = Link(self)
        buckets = LeasedBuckets(link, self, replicas=lambda: self.count, call_later=self.call_later)
        return Replica(buckets, link)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Put:
        return self.put(round(seconds * 1_000_000), call)

    def put(self, span_us: int, call: Callable[[], None]) -> Put:
        self._serial += 1
        put = Put(call)
        heapq.heappush(self._events, (self.now_us + span_us, self._serial, put))
        return put

    def run(self, span_us: int) -> None:
        """Let time pass, and what falls due in it happen."""
        end_us = self.now_us + span_us
        while self._events and self._events[0][0] <= end_us:
            at_us, _, put = heapq.heappop(self._events)
            self.now_us = max(self.now_us, at_us)
            if put.call is not None:
                put.call()
        self.now_us = end_us

    def call(self, replica: Replica, hits: int = 1) -> None:
        """Ask a replica; its answer comes to `replica.answers` in time."""
        cost = self.bucket.cost(hits)
        charge = Charge(KEY, self.bucket, cost, lease=self.lease)

        def done(met: Sequence[int], error: BaseException | None) -> None:
            if isinstance(met, Held):
                assert not is_short(charge, met[0]), "a block only answers what passes"
                self.admit(cost)
            replica.answers.append(error or met)

        replica.buckets.take([charge], None, done)

    def admit(self, cost: int) -> None:
        """Charge the plain bucket, which must hold whatever passes: the textbook bound."""
        charge = Charge(KEY, self.bucket, cost)
        met = twin.take(self.plain, [[charge]], self.now_us)[0]
        assert not is_short(charge, met), (
            f"{cost / self.bucket.parts:g} more hits at {self.now_us} us than burst + rate x t"
        )
        self.admitted += cost

    def spend(self, hits: int) -> None:
        """Take hits of the bucket at once, as somebody without leases."""
        cost = self.bucket.cost(hits)
        twin.take(self.cells, [[Charge(KEY, self.bucket, cost)]], self.now_us)
        self.admit(cost)

    def squeeze(self) -> None:
        """Take all there is at this moment: what the bucket has, and what replicas hold of it."""
        (lacks,) = twin.take(self.cells, [[Charge(KEY, self.bucket, 0)]], self.now_us)
        self.spend(self.bucket.tokens(lacks))
        for replica in self.replicas:
            while tokens := replica.in_hand(self.now_us):
                self.call(replica, tokens)

    def kept(self) -> int:
        """Return the parts that the bucket lacks though nobody got them."""
        looks = [Charge(KEY, self.bucket, 0)]
        lacks = twin.take(self.cells, [looks], self.now_us)[0]
        return lacks - twin.take(self.plain, [looks], self.now_us)[0]

    def kill(self, number: int) -> None:
        """End a replica as a crash does; another takes its place."""
        self.replicas[number].link.dead = True
        self.replicas[number] = self.start()

    def drain(self, number: int) -> None:
        """End a replica as a deployment does; another takes its place."""
        self.replicas[number].buckets.close()
        self.replicas[number] = self.start()


def make_hot(world: World, replica: Replica, calls: int = 10, gap_us: int = 1_000) -> None:
    """Ask often enough, and long enough for a block to come."""
    for _ in range(calls):
        world.call(replica)
        world.run(gap_us)
