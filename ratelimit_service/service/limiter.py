"""The use case: may this request pass? Plan it, charge it, judge it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from chassis.errors import Exhausted, Unavailable
from ratelimit_service.core import decide

if TYPE_CHECKING:
    from ratelimit_service.core.bucket import Charge
    from ratelimit_service.core.decide import Plan, Verdict
    from ratelimit_service.core.descriptor import Descriptor
    from ratelimit_service.core.rules import RuleSet

Done: TypeAlias = Callable[[Sequence[int], BaseException | None], None]
Answer: TypeAlias = "Callable[[Verdict | None, BaseException | None], None]"


class BucketStore(Protocol):
    """Where buckets live. The store owns the clock."""

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:
        """Make all `charges` or none, as bucket.take specifies, and call `done`, once.

        `done(met, None)`: the debt each charge met. `done((), error)`: Unavailable where the store
        does not answer, and then it may or may not have charged; Exhausted where too many requests
        wait; anything else is a bug. It is called before `timeout_seconds` are over (None: the
        store's own patience), perhaps at once. A callback, because a future a decision costs 3 us.
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

    def decide(self, plan: Plan, timeout_seconds: float | None, answer: Answer) -> None:
        """Charge and judge a planned request; call `answer`, once, within `timeout_seconds`.

        `answer(verdict, None)`, or `answer(None, error)` where nothing can be said.
        """
        if not plan.charges:
            answer(self._counted(decide.judge(plan, ())), None)
            return

        def done(met: Sequence[int], error: BaseException | None) -> None:
            if error is None:
                answer(self._counted(decide.judge(plan, met)), None)
            else:
                self._without_store(plan, error, answer)

        self._store.take(plan.charges, timeout_seconds, done)

    async def check(self, plan: Plan, timeout_seconds: float | None) -> Verdict:
        """Decide, for those who await."""
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

        def answer(verdict: Verdict | None, error: BaseException | None) -> None:
            if future.done():
                return  # the caller went away
            if verdict is not None:
                future.set_result(verdict)
            else:
                future.set_exception(error or RuntimeError("neither verdict nor error"))

        self.decide(plan, timeout_seconds, answer)
        return await future

    def _without_store(self, plan: Plan, error: BaseException, answer: Answer) -> None:
        if not isinstance(error, Unavailable | Exhausted):
            answer(None, error)
            return
        self.counts.store_failures += 1
        verdict = decide.without_store(plan)
        if verdict is None:
            answer(None, error)
            return
        if verdict.over:
            self.counts.denied_without_store += 1
        else:
            self.counts.allowed_without_store += 1
        answer(self._counted(verdict), None)

    def _counted(self, verdict: Verdict) -> Verdict:
        if verdict.over:
            self.counts.over_limit += 1
        else:
            self.counts.ok += 1
        return verdict
