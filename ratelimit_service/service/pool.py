"""One bucket, as the streams of this process share it.

Tokens leave the bucket before a stream gets them, in the charge that a ShouldRateLimit call would
make. So neither the processes that share the bucket need to know of each other, nor can all of them
together give more than it holds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from chassis.errors import Exhausted, Unavailable
from chassis.log import get_logger
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge, Mode, answers, is_short
from ratelimit_service.core.limit import OnStoreFailure
from ratelimit_service.core.quota import split
from ratelimit_service.core.share import Block, Order, Share, Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chassis.clock import Clock
    from ratelimit_service.core.share import Action
    from ratelimit_service.service.ports import BucketStore

# While somebody goes short, what flows back is given out this often: four times while the bucket
# fills, so that it is never full for long, but no oftener than streams and Redis should be asked.
_FILLS_PER_PACE = 4
MIN_PACE_SECONDS = 0.25
MAX_PACE_SECONDS = 1.0
# Other processes take from the same bucket; who comes first is a matter of luck, and changes.
_JITTER = 0.25
# Takes that fail because somebody else was faster.
MAX_TRIES = 3

log = get_logger(__name__)


class Timer(Protocol):
    """A call that was put off."""

    def cancel(self) -> None:
        """Do not call."""


CallLater: TypeAlias = "Callable[[float, Callable[[], None]], Timer]"


@dataclass(slots=True)
class QuotaCounts:
    """What the quota service has done since the start, as plain integers for the metrics."""

    reports: int = 0
    blocks: int = 0
    tokens_granted: int = 0
    tokens_returned: int = 0
    tokens_overspent: int = 0
    denials: int = 0
    abandoned: int = 0
    refused_buckets: int = 0
    refused_streams: int = 0
    store_failures: int = 0


class Member(Protocol):
    """Who has a share: one bucket of one stream."""

    share: Share

    def tell(self, action: Action) -> None:
        """Send it an order, or its block."""


class Pool:
    """The shares of one bucket in this process, and the taking and giving back of its tokens.

    `limits` are charges of all limits that the bucket's rule has, in the way of the store: every
    token is taken from all of them.
    """

    def __init__(
        self,
        limits: tuple[Charge, ...],
        on_store_failure: OnStoreFailure,
        *,
        store: BucketStore,
        clock: Clock,
        call_later: CallLater,
        counts: QuotaCounts,
    ) -> None:
        self.keys = tuple(charge.key for charge in limits)
        self.on_store_failure = on_store_failure
        self.members: dict[Member, None] = {}
        self._store = store
        self._clock = clock
        self._call_later = call_later
        self._counts = counts
        self._timer: Timer | None = None
        self._splitting = False
        self._again = False
        self._serial = 0
        self._owed = 0
        self._use(limits)

    def _use(self, limits: tuple[Charge, ...]) -> None:
        self._limits = limits
        meters = [charge.meter for charge in limits]
        fills_in = min(
            meter.until(meter.full, 0) / 1e6 if isinstance(meter, Bucket) else MAX_PACE_SECONDS
            for meter in meters
        )
        capacity = min(meter.tokens(0) for meter in meters)
        self.terms = Terms(capacity=capacity, fills_in=fills_in)
        self._pace = min(MAX_PACE_SECONDS, max(MIN_PACE_SECONDS, fills_in / _FILLS_PER_PACE))

    def renew(self, limits: tuple[Charge, ...], on_store_failure: OnStoreFailure) -> None:
        """Go on with the limits as they are now; the keys are the same."""
        if limits != self._limits:
            self._use(limits)
        self.on_store_failure = on_store_failure

    def leave(self, member: Member) -> None:
        """Let one go. What it has not reported is lost: it may still be spent."""
        member.share.joined = False
        del self.members[member]
        if not self.members:
            self._stop_timer()

    # -- a report ----------------------------------------------------------------------------

    def settle(self, member: Member, passed: int) -> None:
        """Enter what has passed, and square it with the bucket."""
        surplus, excess = member.share.settle(self._clock.monotonic(), passed)
        if surplus:
            self._give_back(surplus)
        if excess:
            self._counts.tokens_overspent += excess
            self._owed = min(self._owed + excess, self.terms.capacity)
        if self._owed:
            self._charge_owed()

    def answer(self, member: Member) -> None:
        """Answer a report with a new block, or by prolonging the one that the stream has."""
        now = self._clock.monotonic()
        if member.share.needs_new(now, self.terms):
            member.share.due = True
            self.split()
        else:
            self._prolong(member, now, hungry=member.share.runs_short(now))

    def _give_back(self, tokens: int) -> None:
        """Return tokens to the bucket. Windows get none: it may be another window by now."""
        refunds = [
            _of(limit, limit.meter.cost(-tokens), Mode.ENFORCED)
            for limit in self._limits
            if isinstance(limit.meter, Bucket)
        ]
        if not refunds:
            return

        def done(_: Sequence[int], error: BaseException | None) -> None:
            # Whether it was made is not known; made twice, it would be too much.
            if error is None:
                self._counts.tokens_returned += tokens
            else:
                self._note(error)

        self._store.take(refunds, None, done)

    def _charge_owed(self) -> None:
        """Take what was spent without leave, into debt if need be."""
        owed, self._owed = self._owed, 0
        charges = [_of(limit, limit.meter.cost(owed), Mode.POSTPAID) for limit in self._limits]

        def done(_: Sequence[int], error: BaseException | None) -> None:
            if error is not None:
                self._note(error)
                # Perhaps it was made; then it is charged twice, which errs on the right side.
                self._owed = min(self._owed + owed, self.terms.capacity)

        self._store.take(charges, None, done)

    # -- splitting ---------------------------------------------------------------------------

    def split(self) -> None:
        """Give the tokens there are to those who can use them; one split at a time."""
        if self._splitting:
            self._again = True
            return
        self._splitting, self._again = True, False
        self._stop_timer()
        looks = [_of(limit, 0, Mode.ENFORCED) for limit in self._limits]

        def done(met: Sequence[int], error: BaseException | None) -> None:
            if error is None:
                self._take(self._available(looks, met), MAX_TRIES)
            else:
                self._on_failure(error)

        self._store.take(looks, None, done)

    def _available(self, charges: Sequence[Charge], met: Sequence[int]) -> int:
        found = answers(charges, met)
        left = [
            charge.meter.tokens(max(0, answer[0]))
            for charge, answer in zip(charges, found, strict=True)
        ]
        return max(0, min(left))

    def _take(self, available: int, tries: int) -> None:
        now = self._clock.monotonic()
        members = list(self.members)
        shares = [member.share for member in members]
        grants = split(shares, now, available, self.terms) if available and tries else []
        if not grants:
            self._finish({})
            return
        total = sum(tokens for _, tokens in grants)
        charges = [_of(limit, limit.meter.cost(total), Mode.ENFORCED) for limit in self._limits]

        def done(met: Sequence[int], error: BaseException | None) -> None:
            if error is not None:
                # If it was made, its tokens are lost.
                self._on_failure(error)
                return
            debts = [answer[0] for answer in answers(charges, met)]
            if any(map(is_short, charges, debts)):
                self._take(self._available(charges, met), tries - 1)
            else:
                self._counts.tokens_granted += total
                self._finish({id(share): tokens for share, tokens in grants})

        self._store.take(charges, None, done)

    def _finish(self, grants: dict[int, int]) -> None:
        """Tell everybody what came of it. `grants`: tokens by the identity of the share."""
        now = self._clock.monotonic()
        for member in list(self.members):
            share = member.share
            tokens = grants.pop(id(share), 0)
            if tokens:
                self._serial += 1
                self._counts.blocks += 1
                share.give(Block(tokens, self._serial), now, self.terms)
                self._tell_block(member)
            elif share.due:
                self._leave_without(member, now)
        if grants:
            self._give_back(sum(grants.values()))  # never sent: their streams are gone
        self._go_on()

    def _leave_without(self, member: Member, now: float) -> None:
        share = member.share
        if share.may_be_prolonged(now) and not share.has_too_much(now, self.terms):
            self._prolong(member, now, hungry=True)
        else:
            self._counts.denials += 1
            share.take_away(hungry=True)
            member.tell(Order.DENY)

    def _prolong(self, member: Member, now: float, *, hungry: bool) -> None:
        member.share.prolong(now, hungry=hungry)
        self._tell_block(member)

    def _tell_block(self, member: Member) -> None:
        block = member.share.block
        if block is not None:
            member.tell(block)

    def _go_on(self) -> None:
        self._splitting = False
        if self._again:
            self.split()
        elif self._timer is None:
            delay = self._pause()
            if delay < inf:
                self._timer = self._call_later(delay, self._on_time)

    def _pause(self) -> float:
        """Return the seconds until a split makes sense; inf where nobody goes short."""
        now = self._clock.monotonic()
        shares = [member.share for member in self.members]
        hungry = [share for share in shares if share.hungry and share.is_heard(now)]
        lasts = min([share.lasts(now) for share in hungry], default=inf)
        # Not for security: so that processes do not stay in step.
        return max(lasts, self._pace * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311

    def _on_time(self) -> None:
        self._timer = None
        if not self._splitting:
            self.split()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- without the store -------------------------------------------------------------------

    def _on_failure(self, error: BaseException) -> None:
        """Do as the rule says: by default tell nothing, and let Envoy's assignments expire.

        The next report asks the store again.
        """
        self._note(error)
        order = _WITHOUT_STORE.get(self.on_store_failure)
        for member in self.members:
            share = member.share
            share.hungry = False
            if share.due:
                share.due = False
                if order is not None:
                    share.take_away(hungry=False)
                    member.tell(order)
        self._go_on()

    def _note(self, error: BaseException) -> None:
        self._counts.store_failures += 1
        if not isinstance(error, Unavailable | Exhausted):
            log.error("the store failed: this is a bug", exc_info=error)


_WITHOUT_STORE: dict[OnStoreFailure, Order] = {
    OnStoreFailure.ALLOW: Order.ALLOW,
    OnStoreFailure.DENY: Order.DENY,
}


def _of(limit: Charge, cost: int, mode: Mode) -> Charge:
    meter: Any = limit.meter
    return Charge(limit.key, meter, cost, mode, limit.per_second)
