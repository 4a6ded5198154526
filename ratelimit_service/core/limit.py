"""What a rule allows: so many requests per period of time, counted by an algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

UNLIMITED_REMAINING = 2**32 - 1  # `limit_remaining` of an unlimited descriptor: the uint32 maximum


class Unit(IntEnum):
    """Units of a limit, numbered as RateLimitResponse.RateLimit.Unit (rls.proto) numbers them."""

    SECOND = 1
    MINUTE = 2
    HOUR = 3
    DAY = 4
    MONTH = 5
    YEAR = 6
    WEEK = 7

    @property
    def seconds(self) -> int:
        """Length in seconds; a month is 30 days and a year 365, as envoyproxy/ratelimit counts."""
        return _SECONDS[self]


_SECONDS = {
    Unit.SECOND: 1,
    Unit.MINUTE: 60,
    Unit.HOUR: 3_600,
    Unit.DAY: 86_400,
    Unit.WEEK: 7 * 86_400,
    Unit.MONTH: 30 * 86_400,
    Unit.YEAR: 365 * 86_400,
}


class Algorithm(Enum):
    """How hits are counted."""

    TOKEN_BUCKET = "token_bucket"  # noqa: S105 - a bucket of `burst`, refilled evenly
    SLIDING_WINDOW = "sliding_window"  # at most the limit in the period that ends now
    FIXED_WINDOW = "fixed_window"  # at most the limit in each period, all starting together


class OnStoreFailure(Enum):
    """What a rule answers while the store is away."""

    ERROR = "error"  # UNAVAILABLE, so that Envoy's failure_mode_deny decides (the default)
    ALLOW = "allow"
    DENY = "deny"
    LOCAL = "local"  # counted in this process, at its share of the limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """`requests_per_unit` hits in every `unit_multiplier` units.

    `burst` is the size of a token bucket; None means `requests_per_unit`. `time_zone` (an IANA
    name) makes fixed windows the days, weeks, months and years of its calendar; "" counts from the
    Unix epoch. `name` comes back in `current_limit.name`. `unlimited`: everything passes, nothing
    is counted, and the numbers mean nothing.
    """

    requests_per_unit: int = 0
    unit: Unit = Unit.SECOND
    unit_multiplier: int = 1
    burst: int | None = None
    algorithm: Algorithm = Algorithm.TOKEN_BUCKET
    time_zone: str = ""
    name: str = ""
    unlimited: bool = False

    @property
    def period_seconds(self) -> int:
        """Length of the period, a calendar's taken as its nominal one."""
        return self.unit.seconds * self.unit_multiplier

    @property
    def capacity(self) -> int:
        """The most hits that can pass at one instant."""
        if self.burst is None or self.algorithm is not Algorithm.TOKEN_BUCKET:
            return self.requests_per_unit
        return self.burst
