"""Limits shared out among Envoys, one stream for each (RLQS): who takes part, and in which buckets.

A bucket's tokens are shared out by its pool (pool.py). Here is what surrounds that: which rule a
bucket meets, what is told to whom, what was long silent, and how much there may be of everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from chassis.errors import Exhausted, Unavailable
from ratelimit_service.core.bucket_id import ordered
from ratelimit_service.core.charge import Charge, Mode
from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.core.limit import OnStoreFailure
from ratelimit_service.core.share import IDLE_REPORTS, Order, Share
from ratelimit_service.core.verdict import Status
from ratelimit_service.service.pool import Pool, QuotaCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chassis.clock import Clock
    from ratelimit_service.core.descriptor import Entries
    from ratelimit_service.core.plan import Plan
    from ratelimit_service.core.share import Action
    from ratelimit_service.core.tally import Tally
    from ratelimit_service.service.asked import Edition
    from ratelimit_service.service.limiter import Limiter
    from ratelimit_service.service.pool import CallLater
    from ratelimit_service.service.ports import BucketStore

MAX_STREAMS = 1_000  # an Envoy has one for each of its filters; a process serves a few hundred
# Reports name all buckets every five seconds, in one message of at most 4 MiB.
MAX_BUCKETS_PER_STREAM = 10_000
MAX_BUCKETS = 100_000  # some 2 KB each, in the whole process
# A bucket that is not reported for so long is not there any more: an assignment crossed with the
# report before the last, or the peer does not report as Envoy does.
SILENT_SECONDS = 60.0
_SWEEP_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a report says of one bucket: requests let through and refused in `elapsed` seconds."""

    bucket: Entries
    allowed: int = 0
    denied: int = 0
    elapsed: float = 0.0


class Told(NamedTuple):
    """What a stream is told of a bucket. `anew`: not what it was told last."""

    bucket: Entries
    action: Action
    anew: bool


@dataclass(slots=True, eq=False)
class Subscription:
    """One bucket of one stream. `pool` None: `order` is all there is to say of it."""

    bucket: Entries
    stream: Stream
    share: Share = field(default_factory=Share)
    edition: Edition | None = None
    pool: Pool | None = None
    order: Order = Order.ALLOW
    # What is charged, without refusing anything, for all that passes.
    watched: tuple[Charge, ...] = ()
    tally: Tally | None = None
    told: Action | None = None

    def tell(self, action: Action) -> None:
        """Put it into the outbox, in place of what is there about this bucket."""
        self.share.queued = True
        self.stream.put(self.bucket, action)

    def leave(self) -> None:
        """Be there no more."""
        if self.pool is not None:
            self.pool.leave(self)
            self.pool = None


class Quotas:
    """All streams of this process and the pools they share."""

    def __init__(
        self, limiter: Limiter, store: BucketStore, clock: Clock, call_later: CallLater
    ) -> None:
        self.counts = QuotaCounts()
        self.streams: set[Stream] = set()
        self.buckets = 0
        self.pools: dict[tuple[bytes, ...], Pool] = {}
        self._limiter = limiter
        self._store = store
        self._clock = clock
        self._call_later = call_later
        self._draining = False

    def join(self, wake: Callable[[], None]) -> Stream:
        """Let a stream take part; `wake` is called when there is something to tell it, or it ends.

        Raises Exhausted where there are too many, Unavailable while the process stops.
        """
        if self._draining:
            raise stopping()
        if len(self.streams) >= MAX_STREAMS:
            self.counts.refused_streams += 1
            raise Exhausted(
                f"{MAX_STREAMS} quota streams are open; add replicas", reason="TOO_MANY_STREAMS"
            )
        stream = Stream(self, self._clock, wake)
        self.streams.add(stream)
        return stream

    def drain(self) -> None:
        """End all streams, so that their Envoys go elsewhere; what they hold may still be spent."""
        self._draining = True
        for stream in list(self.streams):
            stream.end()

    def subscribe(self, stream: Stream, bucket: Entries) -> Subscription | None:
        """Let a stream have a share of a bucket; None where there are too many."""
        full = self.buckets >= MAX_BUCKETS
        if full or len(stream.subscriptions) >= MAX_BUCKETS_PER_STREAM:
            self.counts.refused_buckets += 1
            return None
        self.buckets += 1
        subscription = stream.subscriptions[bucket] = Subscription(bucket, stream)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Let a subscription go, and its pool with the last of its members."""
        del subscription.stream.subscriptions[subscription.bucket]
        self.buckets -= 1
        self._leave(subscription)

    def hear(self, subscription: Subscription, domain: str, usage: Usage) -> None:
        """Take a report of a bucket and answer it."""
        self.counts.reports += 1
        hits = usage.allowed + usage.denied
        subscription.share.hear(self._clock.monotonic(), hits, usage.elapsed)
        try:
            edition = self._limiter.edition
        except Unavailable:
            return  # there are no rules yet; the next report asks again
        if subscription.edition is not edition:
            self._plan(subscription, domain, edition)
        self._count(subscription, usage)
        share, pool = subscription.share, subscription.pool
        if pool is not None:
            pool.settle(subscription, usage.allowed)
            idle = share.is_idle(pool.terms)
        else:
            self._watch(subscription, usage.allowed)
            idle = share.idle_reports >= IDLE_REPORTS
        if idle:
            self.counts.abandoned += 1
            subscription.tell(Order.ABANDON)
            self.forget(subscription)
        elif pool is not None:
            pool.answer(subscription)
        else:
            subscription.tell(subscription.order)

    def _plan(self, subscription: Subscription, domain: str, edition: Edition) -> None:
        """Find what limits a bucket by the rules in force."""
        entries = ordered(edition.rules, domain, subscription.bucket)
        descriptor = Descriptor(entries=entries)
        planned = edition.planner.plan(domain, (descriptor,))
        subscription.edition = edition
        match = planned.matches[0]
        subscription.tally = None
        if match is not None:
            tallies = self._limiter.books.tallies
            subscription.tally = tallies.of(match.metric, match.rule.path)
        item = planned.items[0]
        shadow = planned.policy.shadow_mode or (match is not None and match.rule.shadow_mode)
        refused = isinstance(item, Status) and item.over
        subscription.order = Order.DENY if refused and not shadow else Order.ALLOW
        subscription.watched = planned.charges if shadow else ()
        self._join(subscription, planned if planned.charges and not shadow else None)

    def _join(self, subscription: Subscription, planned: Plan | None) -> None:
        """Have a subscription in the pool of its charges, or in none.

        Who changes pools begins anew: what it holds of the old one is spent, or lost.
        """
        keys = tuple(charge.key for charge in planned.charges) if planned else ()
        pool = self.pools.get(keys)
        if planned is not None:
            match = planned.matches[0]
            failure = match.rule.on_store_failure if match else OnStoreFailure.ERROR
            if pool is None:
                pool = self.pools[keys] = Pool(
                    planned.charges,
                    failure,
                    store=self._store,
                    clock=self._clock,
                    call_later=self._call_later,
                    counts=self.counts,
                )
            pool.renew(planned.charges, failure)
        if pool is subscription.pool:
            return
        if subscription.pool is not None:
            known = subscription.share
            self._leave(subscription)
            subscription.share = Share(
                rate=known.rate, queued=known.queued, reported_at=known.reported_at
            )
        if pool is not None:
            pool.members[subscription] = None
            subscription.pool = pool

    def _leave(self, subscription: Subscription) -> None:
        pool = subscription.pool
        subscription.leave()
        if pool is not None and not pool.members:
            del self.pools[pool.keys]

    def _count(self, subscription: Subscription, usage: Usage) -> None:
        tally = subscription.tally
        if tally is not None:
            tally.total_hits += usage.allowed + usage.denied
            tally.within_limit += usage.allowed
            tally.over_limit += usage.denied

    def _watch(self, subscription: Subscription, passed: int) -> None:
        """Charge what has passed where nothing is refused, as the rule's own mode does."""
        if not subscription.watched or not passed:
            return
        charges = [
            Charge(
                limit.key,
                limit.meter,
                limit.meter.cost(passed),
                Mode.COUNTED if limit.mode is Mode.COUNTED else Mode.SHADOW,
                limit.per_second,
            )
            for limit in subscription.watched
        ]

        def done(_: Sequence[int], error: BaseException | None) -> None:
            self.counts.store_failures += error is not None

        self._store.take(charges, None, done)


def stopping() -> Unavailable:
    """Return what a stream is told while the process stops."""
    return Unavailable("this replica is stopping; connect again", reason="STOPPING")


class Stream:
    """One Envoy's stream: its subscriptions, and what is to be told to it."""

    def __init__(self, quotas: Quotas, clock: Clock, wake: Callable[[], None]) -> None:
        self.subscriptions: dict[Entries, Subscription] = {}
        self.ended = False
        self._quotas = quotas
        self._clock = clock
        self._wake = wake
        self._outbox: dict[Entries, Action] = {}
        self._swept_at = clock.monotonic()

    def report(self, domain: str, usage: Usage) -> None:
        """Take what a report says of one bucket; the first one subscribes to it."""
        subscription = self.subscriptions.get(usage.bucket)
        if subscription is None:
            if not usage.allowed + usage.denied:
                # Left over from before it was abandoned, or from another stream: nobody needs it.
                if len(self._outbox) < MAX_BUCKETS_PER_STREAM:  # who does not read is told less
                    self.put(usage.bucket, Order.ABANDON)
                return
            subscription = self._quotas.subscribe(self, usage.bucket)
            if subscription is None:
                return
        self._quotas.hear(subscription, domain, usage)

    def sweep(self) -> None:
        """Let go of what was not reported for long; to be called now and then."""
        now = self._clock.monotonic()
        if now - self._swept_at < _SWEEP_SECONDS:
            return
        self._swept_at = now
        for subscription in list(self.subscriptions.values()):
            if now - subscription.share.reported_at > SILENT_SECONDS:
                self._quotas.forget(subscription)

    def put(self, bucket: Entries, action: Action) -> None:
        """Have a bucket's latest action sent; what was not sent before it never will be."""
        self._outbox[bucket] = action
        self._wake()

    def take(self, most: int) -> list[Told]:
        """Return what is to be sent now, at most so many actions."""
        found = []
        for bucket in list(self._outbox)[:most]:
            action = self._outbox.pop(bucket)
            subscription = self.subscriptions.get(bucket)
            anew = subscription is None or subscription.told != action
            if subscription is not None:
                subscription.told = action
            found.append(Told(bucket, action, anew))
        return found

    def sent(self, told: Sequence[Told]) -> None:
        """Take note that these are on their way, unless there is more of the same bucket."""
        for bucket, _, _ in told:
            subscription = self.subscriptions.get(bucket)
            if subscription is not None and bucket not in self._outbox:
                subscription.share.queued = False

    def end(self) -> None:
        """Ask the stream to end."""
        self.ended = True
        self._wake()

    def close(self) -> None:
        """Take part no more. What was given and not reported may be spent until it expires."""
        for subscription in list(self.subscriptions.values()):
            self._quotas.forget(subscription)
        self._quotas.streams.discard(self)
