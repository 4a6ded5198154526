"""A Limiter with everything around it, for tests that care about some of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chassis.clock import SystemClock
from ratelimit_service.core.plan import Policy
from ratelimit_service.service import Limiter
from ratelimit_service.service.books import Books
from ratelimit_service.storage.local import LocalBuckets

if TYPE_CHECKING:
    from chassis.clock import Clock
    from ratelimit_service.core.rule import RuleSet
    from ratelimit_service.service import BucketStore


@dataclass(slots=True)
class Rules:
    """A RuleSource."""

    current: RuleSet | None


@dataclass(slots=True)
class Watch:
    """A StoreWatch that remembers."""

    told: list[str] = field(default_factory=list)

    def away(self, error: BaseException) -> None:
        self.told.append(f"away: {error}")

    def back(self, seconds: float, undecided: int) -> None:
        self.told.append(f"back: {seconds:g} s, {undecided} undecided")


@dataclass(slots=True)
class ManualClock:
    """A clock that tests move."""

    seconds: float = 1_795_561_835.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


def make_limiter(
    rules: RuleSet | None,
    store: BucketStore,
    *,
    policy: Policy | None = None,
    clock: Clock | None = None,
    watch: Watch | None = None,
    replicas: int = 1,
) -> Limiter:
    """Put one together."""
    clock = clock or SystemClock()
    return Limiter(
        Rules(rules),
        store,
        Books(clock),
        clock,
        policy=policy or Policy(),
        local=LocalBuckets(clock, lambda: replicas),
        watch=watch or Watch(),
    )
