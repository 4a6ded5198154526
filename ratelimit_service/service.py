"""The use case: may this request pass? Plan it, charge it, judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from chassis.errors import Exhausted, Unavailable
from ratelimit_service.core import decide

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from ratelimit_service.core.bucket import Charge
    from ratelimit_service.core.decide import Plan, Verdict
    from ratelimit_service.core.descriptor import Descriptor
    from ratelimit_service.core.rules import RuleSet


class BucketStore(Protocol):
    """Where buckets live. The store owns the clock."""

    def take(
        self, charges: Sequence[Charge], timeout_seconds: float | None
    ) -> Awaitable[Sequence[int]]:
        """Make all `charges` or none, as bucket.take specifies; return the debt each one met.

        Answers before `timeout_seconds` are over (None: the store's own patience). Raises
        Unavailable where the store does not answer, and then it may or may not have charged;
        Exhausted where too many requests wait.
        """


class RuleSource(Protocol):
    """Where the rules in force come from."""

    @property
    def current(self) -> RuleSet | None:
        """The rules in force; None before the first were loaded. Replaced whole, never changed."""


@dataclass(slots=True)
class Counts:
    """What was decided since the start, as plain integers for the metrics."""

    ok: int = 0
    over_limit: int = 0
    store_failures: int = 0
    allowed_without_store: int = 0
    denied_without_store: int = 0


class Limiter:
    """Decides requests by the rules in force."""

    def __init__(self, rules: RuleSource, store: BucketStore, *, key_prefix: str = "") -> None:
        self._rules = rules
        self._store = store
        self._key_prefix = key_prefix
        self.counts = Counts()

    @property
    def rules(self) -> RuleSet:
        """The rules in force; raises Unavailable before there are any."""
        rules = self._rules.current
        if rules is None:
            raise Unavailable("no rate limit configuration loaded", reason="NO_CONFIGURATION")
        return rules

    def plan(self, rules: RuleSet, domain: str, descriptors: Sequence[Descriptor]) -> Plan:
        """Match a request against `rules`. The plan may be used again while they are in force."""
        return decide.plan(rules, self._key_prefix, domain, descriptors)

    async def check(self, plan: Plan, timeout_seconds: float | None) -> Verdict:
        """Charge and judge a planned request within `timeout_seconds`."""
        if not plan.charges:
            return self._counted(decide.judge(plan, ()))
        try:
            met = await self._store.take(plan.charges, timeout_seconds)
        except (Unavailable, Exhausted):
            self.counts.store_failures += 1
            verdict = decide.without_store(plan)
            if verdict is None:
                raise
            if verdict.over:
                self.counts.denied_without_store += 1
            else:
                self.counts.allowed_without_store += 1
            return self._counted(verdict)
        return self._counted(decide.judge(plan, met))

    def _counted(self, verdict: Verdict) -> Verdict:
        if verdict.over:
            self.counts.over_limit += 1
        else:
            self.counts.ok += 1
        return verdict
