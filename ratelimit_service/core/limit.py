"""What a rule allows: so many requests per unit of time, and a burst."""

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


class OnStoreFailure(Enum):
    """What a rule answers while the store is away."""

    ERROR = "error"  # UNAVAILABLE, so that Envoy's failure_mode_deny decides (the default)
    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """`requests_per_unit` tokens flow in evenly over each `unit`; `burst` is the bucket's size.

    `burst` None means `requests_per_unit`. `name` comes back in `current_limit.name`.
    """

    requests_per_unit: int
    unit: Unit
    burst: int | None = None
    name: str = ""

    @property
    def capacity(self) -> int:
        """Tokens a full bucket holds: the most hits that can pass at one instant."""
        return self.requests_per_unit if self.burst is None else self.burst
