"""One stream's share of a bucket: what it was given, what it says it spent, what it will want.

Tokens leave the bucket before a stream gets them, as a block that does not refill. A new block
takes the place of the old one, and nobody says when: an assignment is not acknowledged. So what a
stream may have spent is bounded, never known, and only what it cannot have spent goes back:

* A report of what passed comes in order, but may have been written before the block that was sent
  ahead of it came into force. The next report, if it comes `SETTLE_SECONDS` later, was not: from it
  on the blocks before are closed.
* What was reported may have been spent from any block. Of the closed ones at most all of it was:
  `closed - min(closed, spent)` of their tokens were spent by nobody, and are returned.

Whatever passes by other leave than a block's (before the first one, after the last has expired)
shows as more spent than given, and is charged then. A stream that is lost takes with it what it
has not reported, and gets nothing back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from math import ceil, inf, sqrt
from typing import TypeAlias

# Envoy 1.40 reports all buckets together this often, whatever its `reporting_interval` says.
REPORT_SECONDS = 5.0
# How long an assignment holds: two reports may be late or lost before Envoy falls back on what it
# is configured to do without one. Envoy 1.40 reads whole seconds, and none as at once.
TTL_SECONDS = 15
# A round trip takes less: an assignment sent this long before a report comes was in force when the
# report was written. Below the interval of the reports, or nothing would ever be closed.
SETTLE_SECONDS = 4.0
# A block is prolonged by sending it again, as long as it cannot have expired: Envoy would fill it
# anew. What is left of the TTL is for the round trip, twice.
PROLONG_SECONDS = TTL_SECONDS - 2 * SETTLE_SECONDS
# Tokens that are held while the bucket refills behind them add to what can pass at one moment: none
# is held longer than this and a TTL.
MAX_AGE_SECONDS = 30.0
# Beyond, the doubles in which Envoy keeps a bucket that hardly refills no longer tell tokens apart.
MAX_BLOCK = 10_000_000
# Reports without a single request after which a bucket is abandoned: Envoy reports it for ever.
IDLE_REPORTS = 3
# Reports closer together than this say nothing of a rate: the first one comes with the first
# request, the next when all buckets are due.
_MIN_SPAN_SECONDS = 1.0
# When a stream runs out is a guess, and no better than this.
_NEARLY_SECONDS = 0.1
_NEXT_REPORT_SECONDS = REPORT_SECONDS + 1.0


class Order(Enum):
    """What a stream is told of a bucket without any tokens."""

    ALLOW = auto()
    DENY = auto()
    ABANDON = auto()


@dataclass(frozen=True, slots=True)
class Block:
    """Tokens to spend. `serial` sets it apart from others of the same size."""

    tokens: int
    serial: int


Action: TypeAlias = Order | Block


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What can be had of a bucket: `capacity` tokens, and after `fills_in` seconds again."""

    capacity: int
    fills_in: float

    @property
    def ahead(self) -> float:
        """For how many seconds to take tokens: to the next report, if the bucket holds so many."""
        return min(_NEXT_REPORT_SECONDS, max(1.0, self.fills_in))

    @property
    def least(self) -> int:
        """So much that a bucket that was quiet can be used again before anybody knows."""
        return min(100, max(1, self.capacity // 20))


@dataclass(slots=True, eq=False)
class Share:
    """One stream's share of one bucket. Sums are in tokens since it began, times in seconds.

    `rate`: requests a second, None before a report covered enough time to tell. `due`: it reported
    and waits for an answer. `hungry`: it was given less than it wants. `queued`: something told is
    not yet on its way. `joined`: its stream is there and has not lost interest.
    """

    granted: int = 0
    spent: int = 0
    returned: int = 0
    block: Block | None = None
    rate: float | None = None
    idle_reports: int = 0
    due: bool = False
    hungry: bool = False
    queued: bool = False
    joined: bool = True
    reported_at: float = 0.0
    given_at: float = 0.0
    _told_at: float = 0.0
    _reported_before: float = 0.0
    _spent_of_block: float = 0.0
    _span_from: float | None = None
    _span_hits: int = 0
    _closed: int = 0
    _closing: int = 0
    _closing_since: float | None = None

    # -- what a report says ------------------------------------------------------------------

    def hear(self, now: float, hits: int, elapsed: float) -> None:
        """Take note of the demand in a report that covers `elapsed` seconds.

        A rise counts at once, a fall by half if there is enough: it may be a pause.
        """
        self._reported_before, self.reported_at = self.reported_at, now
        self._span_hits += hits
        if self._span_from is None:
            self._span_from = now
            if elapsed < _MIN_SPAN_SECONDS:
                self._span_hits = 0  # the one that began it
                return
        else:
            elapsed = now - self._span_from
            if elapsed < _MIN_SPAN_SECONDS:
                return
        current = self._span_hits / elapsed
        self.idle_reports = 0 if self._span_hits else self.idle_reports + 1
        self._span_from, self._span_hits = now, 0
        # What one keeps for its return while tokens are scarce is missing elsewhere.
        least = 0.0 if self.hungry or self.idle_reports > 1 else (self.rate or 0.0) / 2
        self.rate = max(current, least)

    def settle(self, now: float, passed: int) -> tuple[int, int]:
        """Enter what a report says has passed.

        Returns the tokens to put back into the bucket, and those to take because they were spent
        without having been given.
        """
        self.spent += passed
        self._spent_of_block += passed * self._covered(now)
        self._close(now)
        surplus = max(0, self._closed - min(self._closed, self.spent) - self.returned)
        self.returned += surplus
        excess = max(0, self.spent + self.returned - self.granted)
        self.granted += excess
        return surplus, excess

    def _covered(self, now: float) -> float:
        """Return the part of a report's time in which the block was there, at a guess."""
        span = now - max(self._reported_before, now - REPORT_SECONDS)
        return min(1.0, (now - self.given_at) / span) if span > 0 else 1.0

    def _close(self, now: float) -> None:
        if self.queued:
            return  # the peer does not read; what it was sent before may be on its way as well
        since = self._closing_since
        if since is not None:
            if now - since < SETTLE_SECONDS:
                return
            self._closed = self._closing
        self._closing = self.granted - (self.block.tokens if self.block else 0)
        self._closing_since = now

    # -- what it wants -----------------------------------------------------------------------

    def want(self, terms: Terms, ahead: float = _NEXT_REPORT_SECONDS) -> int:
        """Return the tokens for the seconds `ahead`, and a good deal of chance.

        They may be more than there ever are at once.
        """
        likely = (self.rate or 0.0) * ahead
        margin = max(likely / 4, 2 * sqrt(likely))
        return min(max(terms.least, ceil(likely + margin)), MAX_BLOCK)

    def left(self, now: float) -> int:
        """Return the tokens that are probably left of its block."""
        if self.block is None:
            return 0
        reported = max(0.0, self.block.tokens - self._spent_of_block)
        since = max(self.reported_at, self.given_at)
        return max(0, ceil(reported - (self.rate or 0.0) * (now - since)))

    def lasts(self, now: float) -> float:
        """Return the seconds for which what is left will do."""
        left = self.left(now)
        if not left:
            return 0.0
        return left / self.rate if self.rate else inf

    def has_too_much(self, now: float, terms: Terms) -> bool:
        """Return whether others could make more of its tokens; of a newcomer nobody knows."""
        if self.idle_reports > 1:
            return self.block is not None and self.block.tokens > terms.least
        return self.rate is not None and self.left(now) > 2 * self.want(terms)

    def needs_new(self, now: float, terms: Terms) -> bool:
        """Return whether it should have another block rather than keep what it has."""
        if not self.may_be_prolonged(now):
            return True
        if self.hungry and self.left(now):
            # Tokens are scarce: it gets more when it has used up these, or they would be lost.
            return self.has_too_much(now, terms)
        return self.runs_short(now) or self.has_too_much(now, terms)

    def runs_short(self, now: float) -> bool:
        """Return whether what is left will hardly do until the next report."""
        return self.left(now) < (self.rate or 0.0) * REPORT_SECONDS

    def may_be_prolonged(self, now: float) -> bool:
        """Return whether its block is surely in force, and not held too long."""
        return (
            self.block is not None
            and now - self._told_at <= PROLONG_SECONDS
            and now - self.given_at <= MAX_AGE_SECONDS
        )

    def is_eligible(self, now: float) -> bool:
        """Return whether it can use tokens now: it reported, or has nearly run out."""
        return self.is_heard(now) and (
            self.due or (self.hungry and self.lasts(now) < _NEARLY_SECONDS)
        )

    def is_heard(self, now: float) -> bool:
        """Return whether its stream is there; one that fell silent is given no more."""
        return self.joined and now - self.reported_at <= TTL_SECONDS

    def claim(self, now: float, available: int, terms: Terms) -> int:
        """Return what it wants of the tokens `available`, now or when it reports next."""
        if self.is_eligible(now):
            return available if self.rate is None else min(available, self.want(terms, terms.ahead))
        if self.rate is None or not self.is_heard(now):
            return 0
        return max(0, min(available, self.want(terms, terms.ahead) - self.left(now)))

    def is_idle(self, terms: Terms) -> bool:
        """Return whether it is to be abandoned: what it held it has given back.

        Only what is left of its last and smallest block is lost.
        """
        held = self.block.tokens if self.block else 0
        return (
            self.idle_reports >= IDLE_REPORTS
            and held <= self.want(terms)
            and self._closed >= self.granted - held
        )

    # -- what it gets ------------------------------------------------------------------------

    def give(self, block: Block, now: float, terms: Terms) -> None:
        """Take a block in place of what it has."""
        self.granted += block.tokens
        self.block = block
        self._spent_of_block = 0.0
        self.given_at = self._told_at = now
        self.due = False
        self.hungry = self.rate is not None and block.tokens < self.want(terms)

    def prolong(self, now: float, *, hungry: bool) -> None:
        """Keep the block it has."""
        self._told_at = now
        self.due = False
        self.hungry = hungry

    def take_away(self, *, hungry: bool) -> None:
        """Have no block: it is told something else."""
        self.block = None
        self.due = False
        self.hungry = hungry
