"""Envoys that share limits by quota streams, on a clock of the test's own.

They do as Envoy 1.40 does: the first request of a bucket reports it at once, all are reported every
five seconds, a new block comes full, one sent again is prolonged, and an assignment ends with its
time to live; sent again after that, it comes full. Without an assignment they refuse.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chassis.errors import Unavailable
from ratelimit_service.core.share import REPORT_SECONDS, TTL_SECONDS, Action, Block, Order
from ratelimit_service.service.quotas import Quotas, Stream, Told, Usage
from ratelimit_service.storage.memory import MemoryBuckets
from tests.limiting import ManualClock, make_limiter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ratelimit_service.core.charge import Charge
    from ratelimit_service.core.descriptor import Entries
    from ratelimit_service.core.rule import RuleSet
    from ratelimit_service.service import Done

DOMAIN = "d"


@dataclass(slots=True, eq=False)
class Timer:
    """A call at a time, until it is cancelled."""

    call: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class World:
    """Time, a store, and any number of replicas and Envoys."""

    def __init__(self, rules: RuleSet, replicas: int = 1) -> None:
        self.clock = ManualClock()
        self.began = self.clock.seconds
        self.buckets = MemoryBuckets(self.clock)
        self.store_is_away = False
        self._due: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self.limiters = [make_limiter(rules, self, clock=self.clock) for _ in range(replicas)]
        self.replicas = [
            Quotas(limiter, self, self.clock, self.call_later) for limiter in self.limiters
        ]

    @property
    def elapsed(self) -> float:
        return self.clock.seconds - self.began

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        timer = Timer(call)
        heapq.heappush(self._due, (self.clock.seconds + seconds, next(self._numbers), timer))
        return timer

    def run(self, seconds: float) -> None:
        """Let time pass, and do what is due."""
        until = self.clock.seconds + seconds
        while self._due and self._due[0][0] <= until:
            at, _, timer = heapq.heappop(self._due)
            self.clock.seconds = max(self.clock.seconds, at)
            if not timer.cancelled:
                timer.call()
        self.clock.seconds = until

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:
        """Be the BucketStore of the replicas."""
        if self.store_is_away:
            done((), Unavailable("Redis is away"))
        else:
            self.buckets.take(charges, timeout_seconds, done)


@dataclass(slots=True, eq=False)
class Bucket:
    """A bucket as an Envoy has it."""

    strategy: Action | None = None
    left: int = 0
    expires_at: float = 0.0
    allowed: int = 0
    denied: int = 0
    reported_at: float = 0.0


@dataclass(slots=True, eq=False)
class Link:
    """A stream on a slow line; what is on its way is lost when it breaks."""

    stream: Stream
    broken: bool = False
    free_at: dict[str, float] = field(default_factory=dict)


class Envoy:
    """One Envoy; `delay` says how long a message takes, in seconds.

    `lenient`: without an assignment it lets everything pass.
    """

    def __init__(
        self,
        world: World,
        delay: Callable[[], float] = lambda: 0.001,
        replica: int = 0,
        *,
        lenient: bool = False,
    ) -> None:
        self.admitted = 0
        self.refused = 0
        self.told: list[Action] = []
        self.buckets: dict[Entries, Bucket] = {}
        self.replica = replica
        self.link: Link | None = None
        self._world = world
        self._delay = delay
        self._lenient = lenient
        self._alive = True
        self._reporting = False

    def request(self, pairs: Entries) -> bool:
        """Ask for one request."""
        now = self._world.clock.seconds
        bucket = self.buckets.get(pairs)
        if bucket is None:
            bucket = self.buckets[pairs] = Bucket(reported_at=now)
            self._count(bucket, passes=self._lenient)
            if not self._reporting:
                self._reporting = True
                self._connect()
                self._world.call_later(REPORT_SECONDS, self._report_all)
            self._send([self._usage(pairs, bucket)])
            return self._lenient
        if now >= bucket.expires_at:
            bucket.strategy = None
        passes = bucket.strategy is Order.ALLOW or (bucket.strategy is None and self._lenient)
        if isinstance(bucket.strategy, Block) and bucket.left:
            bucket.left -= 1
            passes = True
        self._count(bucket, passes=passes)
        return passes

    def _count(self, bucket: Bucket, *, passes: bool) -> None:
        if passes:
            bucket.allowed += 1
            self.admitted += 1
        else:
            bucket.denied += 1
            self.refused += 1

    def requests(self, pairs: Entries, count: int) -> int:
        """Ask for many; return how many passed."""
        return sum([self.request(pairs) for _ in range(count)])

    def break_link(self) -> None:
        """Lose the stream, and what is on its way."""
        if self.link is not None:
            self.link.broken = True
            self.link.stream.close()
            self.link = None

    def hang(self) -> None:
        """Keep the stream, and report nothing."""
        self._alive = False

    def kill(self) -> None:
        """Be gone."""
        self._alive = False
        self.break_link()

    def _connect(self) -> None:
        link: Link | None = None

        def wake() -> None:
            # The first word may come while the stream is being opened.
            self._world.call_later(0, lambda: self._flush(link))

        try:
            link = Link(self._world.replicas[self.replica].join(wake))
        except Unavailable:
            return
        self.link = link

    def _flush(self, link: Link | None) -> None:
        if link is None or link.broken:
            return
        if link.stream.ended:
            self.break_link()
            return
        told = link.stream.take(1000)
        link.stream.sent(told)
        self._carry(link, "down", lambda: self._obey(told))

    def _obey(self, told: Sequence[Told]) -> None:
        now = self._world.clock.seconds
        for pairs, action, anew in told:
            bucket = self.buckets.get(pairs)
            if bucket is None:
                continue
            self.told.append(action)
            if action is Order.ABANDON:
                del self.buckets[pairs]
                continue
            if now >= bucket.expires_at:
                bucket.strategy = None
            if isinstance(action, Block) and (anew or bucket.strategy is None):
                bucket.left = action.tokens
            bucket.strategy = action
            bucket.expires_at = now + TTL_SECONDS

    def _report_all(self) -> None:
        if not self._alive:
            return
        self._world.call_later(REPORT_SECONDS, self._report_all)
        usages = [self._usage(pairs, bucket) for pairs, bucket in self.buckets.items()]
        if self.link is None:
            self._connect()
        self._send(usages)

    def _usage(self, pairs: Entries, bucket: Bucket) -> Usage:
        now = self._world.clock.seconds
        usage = Usage(
            bucket=pairs,
            allowed=bucket.allowed,
            denied=bucket.denied,
            elapsed=float(int(now - bucket.reported_at)),
        )
        bucket.allowed = bucket.denied = 0
        bucket.reported_at = now
        return usage

    def _send(self, usages: list[Usage]) -> None:
        link = self.link
        if link is None:
            return

        def arrive() -> None:
            if not link.stream.ended:
                for usage in usages:
                    link.stream.report(DOMAIN, usage)

        self._carry(link, "up", arrive)

    def _carry(self, link: Link, way: str, arrive: Callable[[], None]) -> None:
        """Deliver in order, after a while, unless the line breaks before."""
        now = self._world.clock.seconds
        at = max(link.free_at.get(way, 0.0), now + self._delay())
        link.free_at[way] = at
        self._world.call_later(at - now, lambda: None if link.broken else arrive())
