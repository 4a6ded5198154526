"""Blocks of tokens taken from the store ahead, for the hottest keys of rules with a `lease`.

A key that is asked for often is answered here, without a round trip, from tokens that left its
bucket before (core/lease.py has the rules and what they promise). The block is asked for beside a
call that goes to the store, the next one before the first is used up, so nobody waits for either.
When in doubt tokens are lost, never doubled: what is not known to have left the bucket is not
spent, and what is given back once is not given back again.

Answered from blocks are requests of one charge; one of several is a single step of the store. More
hits than a block has left end it: it is given back, and the store is asked for all of them. A look
is answered from a block that has something left; a refund goes to the store. While the store is
away, what is in hand is spent until it expires.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush, heapreplace
from math import inf
from typing import TYPE_CHECKING, Final

from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge, is_short
from ratelimit_service.core.lease import MIN_CALLS, Block, Demand, Held, Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chassis.clock import Clock
    from chassis.metrics import Metrics
    from ratelimit_service.core.rule import Lease
    from ratelimit_service.service import BucketStore, Done
    from ratelimit_service.service.pool import CallLater, Timer

# Keys of leased rules whose demand is watched, in each of two generations; some 400 bytes a key.
# What is hot enough for a lease is asked for again long before so many others are; and forgetting
# so many holds nobody up for 5 ms.
MAX_KEYS = 4_000
# After a block that came too late, or not at all, until the next is asked for.
REST_US = 1_000_000


@dataclass(slots=True)
class LeaseCounts:
    """What leases have done since the start, as plain integers for the metrics."""

    blocks: int = 0
    answered: int = 0
    tokens_taken: int = 0
    tokens_returned: int = 0
    tokens_lost: int = 0
    failures: int = 0


_COUNTERS: Final = (
    ("blocks", "Blocks of tokens taken from the store ahead."),
    ("answered", "Requests answered from such blocks, without the store."),
    ("tokens_taken", "Tokens that were in those blocks."),
    ("tokens_returned", "Tokens of blocks given back unused."),
    ("tokens_lost", "Such tokens that the store did not take back; they flow back as used ones."),
    ("failures", "Blocks that were asked for and did not come; their tokens may be lost."),
)


class _Key:
    """One bucket as this process knows it: what is in hand, and what is asked for."""

    __slots__ = (
        "asking", "blocks", "calls", "forgotten", "in_credit", "lease", "meter", "name", "owed",
        "owed_us", "parts", "per_second", "replicas", "rest_until_us", "scheduled", "since_us",
        "terms",
    )  # fmt: skip

    def __init__(self, charge: Charge, lease: Lease, now_us: int) -> None:
        self.name = charge.key
        self.meter = charge.meter
        self.per_second = charge.per_second
        self.lease = lease
        self.terms: Terms | None = None
        self.replicas = 0
        # What was asked for, in calls and in parts, since when.
        self.calls = self.parts = 0
        self.since_us = now_us
        self.blocks: list[Block] = []  # the one in use, and the one after it
        self.asking = False
        # What the bucket should lack, were all that is in hand still there.
        self.owed = 0
        self.owed_us = now_us
        self.in_credit = False
        self.rest_until_us = 0
        self.scheduled = False
        self.forgotten = False

    def watch(self, now_us: int) -> None:
        """Begin to look at the demand anew."""
        self.calls = self.parts = 0
        self.since_us = now_us

    def held(self, now_us: int) -> int:
        """Return the parts that are in hand."""
        return sum([block.left(now_us) for block in self.blocks])

    def learn(self, debt: int, now_us: int) -> None:
        """Take note of what the store says that the bucket lacks."""
        self.in_credit = debt < 0
        self.owed, self.owed_us = max(0, debt - self.held(now_us)), now_us

    def settle(self, bucket: Bucket, now_us: int) -> int:
        """Let flow back what has; return what is owed now."""
        ticks = (now_us - self.owed_us) // bucket.tick_us
        self.owed_us += ticks * bucket.tick_us
        owed = self.owed - ticks * bucket.refill
        self.owed = owed = max(0, owed)
        return owed


@dataclass(frozen=True, slots=True, eq=False)
class _Asking:
    """A block that is on the way."""

    key: _Key
    terms: Terms
    charge: Charge
    held: int
    asked_us: int


class LeasedBuckets:
    """A BucketStore (see service/ports.py) over another. `replicas`: how many share a limit."""

    def __init__(
        self,
        store: BucketStore,
        clock: Clock,
        *,
        replicas: Callable[[], int],
        call_later: CallLater,
    ) -> None:
        self.counts = LeaseCounts()
        self._take = store.take
        self._monotonic = clock.monotonic
        self._count_replicas = replicas
        self._call_later = call_later
        self._young: dict[bytes, _Key] = {}
        self._old: dict[bytes, _Key] = {}
        self._closed = False
        # Keys with blocks, by when the first of these may expire; the number parts equal moments.
        self._due: list[tuple[int, int, _Key]] = []
        self._serial = 0
        self._timer: Timer | None = None
        self._timer_us: float = inf

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:
        """Charge, as BucketStore.take promises."""
        charge = charges[0]
        lease = charge.lease
        # Without a lease this costs 0.1 us and nothing else.
        if lease is None or len(charges) > 1 or charge.cost < 0 or self._closed:
            self._take(charges, timeout_seconds, done)
            return
        now_us = int(self._monotonic() * 1_000_000)
        key = self._young.get(charge.key) or self._find(charge, lease, now_us)
        if key.meter is not charge.meter or key.lease is not lease:
            self._renew(key, charge, lease, now_us)
        key.calls += 1
        key.parts += charge.cost
        if not key.blocks or not self._answered(key, charge.cost, now_us, done):
            self._ask_store(key, charges, timeout_seconds, done)

    def close(self) -> None:
        """Give everything back and hold nothing more; before the store closes, which waits."""
        self._closed = True
        now_us = self._now_us()
        for keys in (self._young, self._old):
            for key in keys.values():
                self._forget(key, now_us)
            keys.clear()
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def observe(self, metrics: Metrics) -> None:
        """Expose the counts."""
        for name, description in _COUNTERS:
            read = partial(getattr, self.counts, name)
            metrics.observe_counter(f"ratelimit_lease_{name}", description, read=read)

    def _now_us(self) -> int:
        return int(self._monotonic() * 1_000_000)

    # -- keys --------------------------------------------------------------------------------

    def _find(self, charge: Charge, lease: Lease, now_us: int) -> _Key:
        """Return what is known of a key that was not asked for lately."""
        key = self._old.pop(charge.key, None) or _Key(charge, lease, now_us)
        if len(self._young) >= MAX_KEYS:
            for forgotten in self._old.values():
                if forgotten.blocks or forgotten.asking:
                    self._forget(forgotten, now_us)
            self._old, self._young = self._young, {}
        self._young[charge.key] = key
        return key

    def _forget(self, key: _Key, now_us: int) -> None:
        key.forgotten = True
        self._give_all_back(key, now_us)

    def _renew(self, key: _Key, charge: Charge, lease: Lease, now_us: int) -> None:
        """Go on by other rules, if they are others: what is in hand was taken by the old ones."""
        if key.meter != charge.meter or key.lease != lease:
            self._give_all_back(key, now_us)
            key.learn(0, now_us)
            key.watch(now_us)
            key.terms = None
        key.meter, key.lease = charge.meter, lease

    # -- answering ---------------------------------------------------------------------------

    def _answered(self, key: _Key, cost: int, now_us: int, done: Done) -> bool:
        """Answer from what is in hand, if it is enough; end the blocks that are not."""
        blocks = key.blocks
        while blocks:
            block = blocks[0]
            left = block.left(now_us)
            if left and cost <= left and now_us < block.until_us:
                bucket = block.bucket
                met = min(key.settle(bucket, now_us), bucket.full - cost)
                key.owed = met + cost
                block.unspent = left - cost
                self.counts.answered += 1
                if len(blocks) == 1 and (left - cost < block.low or now_us >= block.renew_us):
                    self._ask(key, now_us)
                done(Held((met,)), None)
                return True
            del blocks[0]
            self._give_back(key, block, now_us)
        return False

    def _ask_store(
        self, key: _Key, charges: Sequence[Charge], timeout_seconds: float | None, done: Done
    ) -> None:
        """Have the store charge a request, and learn from its answer."""
        charge = charges[0]

        def learned(met: Sequence[int], error: BaseException | None) -> None:
            if error is None and key.meter is charge.meter:
                now_us = self._now_us()
                debt = met[0]
                if is_short(charge, debt):
                    key.learn(debt, now_us)
                else:
                    key.learn(debt + charge.cost, now_us)
                    # It went to the store before the block came; what is in hand is left, too.
                    met = [max(min(debt, 0), debt - key.held(now_us))]
                if key.calls >= MIN_CALLS and not key.blocks:
                    self._ask(key, now_us)
            done(met, error)

        self._take(charges, timeout_seconds, learned)

    # -- blocks ------------------------------------------------------------------------------

    def _ask(self, key: _Key, now_us: int) -> None:
        """Ask for a block, if the demand is worth one."""
        bucket = key.meter
        if key.asking or now_us < key.rest_until_us or self._closed or key.forgotten:
            return
        if not isinstance(bucket, Bucket) or key.in_credit:
            return  # a credit is not leased: it could not be given back
        replicas = max(1, self._count_replicas())
        terms = key.terms
        if terms is None or replicas != key.replicas:
            terms = key.terms = Terms.of(bucket, key.lease, replicas)
            key.replicas = replicas
        held = key.held(now_us)
        demand = Demand(key.since_us, key.calls, key.parts)
        size = terms.size(demand, key.settle(bucket, now_us) + held, held, now_us)
        if size:
            key.asking = True
            charge = Charge(key.name, bucket, size, per_second=key.per_second)
            asking = _Asking(key, terms, charge, held, now_us)
            self._take([charge], None, partial(self._asked, asking))
        elif not key.blocks:
            key.rest_until_us = now_us + terms.life_us // 4
        if size or now_us - key.since_us > terms.life_us:
            key.watch(now_us)

    def _asked(self, asking: _Asking, met: Sequence[int], error: BaseException | None) -> None:
        """Take the block, if it came."""
        key, terms, charge = asking.key, asking.terms, asking.charge
        key.asking = False
        now_us = self._now_us()
        if error is not None or is_short(charge, met[0]):
            self.counts.failures += error is not None
            key.rest_until_us = now_us + (REST_US if error is not None else terms.life_us)
            return
        bucket, size = terms.bucket, charge.cost
        self.counts.blocks += 1
        self.counts.tokens_taken += size // bucket.parts
        block = terms.block(size, met[0], asking.held, asked_us=asking.asked_us, now_us=now_us)
        if self._closed or key.forgotten or key.terms is not terms:
            self._give_back(key, block, now_us)
            return
        if not block.left(now_us) or now_us >= block.renew_us:
            # It is farther to the store than it may be held.
            self._give_back(key, block, now_us)
            key.rest_until_us = now_us + REST_US
            return
        key.blocks.append(block)
        key.learn(met[0] + size, now_us)
        if not key.scheduled:
            key.scheduled = True
            self._serial += 1
            heappush(self._due, (key.blocks[0].until_us, self._serial, key))
            self._set_timer(now_us)

    def _give_all_back(self, key: _Key, now_us: int) -> None:
        blocks, key.blocks = key.blocks, []
        for block in blocks:
            self._give_back(key, block, now_us)

    def _give_back(self, key: _Key, block: Block, now_us: int) -> None:
        """Return what nobody spent, as much as will not have flowed back when it arrives.

        The block is in nobody's hand any more, so this happens once. A part of a token is not
        worth a call.
        """
        unused = block.left(now_us + block.took_us)
        tokens = unused // block.bucket.parts
        if not tokens:
            return

        def given_back(_: Sequence[int], error: BaseException | None) -> None:
            if error is None:
                self.counts.tokens_returned += tokens
            else:
                self.counts.tokens_lost += tokens

        charge = Charge(key.name, block.bucket, -unused, per_second=key.per_second)
        self._take([charge], None, given_back)

    # -- expiry ------------------------------------------------------------------------------

    def _set_timer(self, now_us: int) -> None:
        due_us = self._due[0][0]
        if due_us >= self._timer_us:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_us = due_us
        self._timer = self._call_later(max(0, due_us - now_us) / 1_000_000, self._expire)

    def _expire(self) -> None:
        """Give back what may not be spent any more."""
        self._timer, self._timer_us = None, inf
        now_us = self._now_us()
        due = self._due
        while due and due[0][0] <= now_us:
            key = due[0][2]
            while key.blocks and key.blocks[0].until_us <= now_us:
                self._give_back(key, key.blocks.pop(0), now_us)
            if key.blocks:
                self._serial += 1
                heapreplace(due, (key.blocks[0].until_us, self._serial, key))
            else:
                key.scheduled = False
                heappop(due)
        if due:
            self._set_timer(now_us)
