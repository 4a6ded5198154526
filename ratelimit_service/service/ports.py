"""What the use cases need of the outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from ratelimit_service.core.charge import Charge
    from ratelimit_service.core.rule import RuleSet
    from ratelimit_service.core.verdict import Verdict

Done: TypeAlias = Callable[[Sequence[int], BaseException | None], None]
Answer: TypeAlias = "Callable[[Verdict | None, BaseException | None], None]"


class BucketStore(Protocol):
    """Where meters live. The store owns the clock."""

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:
        """Make `charges` as take.take specifies, and call `done`, once.

        `done(met, None)`: for each charge the `meter.width` integers that it met.
        `done((), error)`: Unavailable where the store does not answer, and then it may or may not
        have charged; Exhausted where too many requests wait; anything else is a bug. It is called
        before `timeout_seconds` are over (None: the store's own patience), perhaps at once. A
        callback, because a future a decision costs 3 us.
        """


class RuleSource(Protocol):
    """Where the rules in force come from."""

    @property
    def current(self) -> RuleSet | None:
        """The rules in force; None before the first were loaded. Replaced whole, never changed."""


class LocalStore(BucketStore, Protocol):
    """Meters of this process alone, for rules that count here while the shared store is away."""

    @property
    def replicas(self) -> int:
        """How many processes share a limit, this one counted, as far as is known."""

    def seen(self, charges: Sequence[Charge], met: Sequence[int]) -> None:
        """Remember what the shared store answered, so that its absence starts from there."""


class StoreWatch(Protocol):
    """Who is told of the store's absences, once each."""

    def away(self, error: BaseException) -> None:
        """Hear that the store failed to decide a request, for the first time since it did."""

    def back(self, seconds: float, undecided: int) -> None:
        """Hear that it decides again, after so long and so many requests without it."""


class Ledger(Protocol):
    """The store's side of changes by hand. Both raise Unavailable where it does not answer."""

    async def forget(self, charges: Sequence[Charge]) -> None:
        """Make the meters of `charges` as if they had never been charged."""

    async def grant(self, grants: Sequence[Charge], expire_in_us: int) -> Sequence[int]:
        """Give back the negative costs of `grants`, as grant.grant specifies; return what it does.

        Each by itself: should the store fail, some may have been made.
        """
