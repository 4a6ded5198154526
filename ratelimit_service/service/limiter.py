"""May this request pass? Plan it, charge it, judge it."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING

from chassis.errors import Exhausted, Unavailable
from ratelimit_service.core.judge import judge, local_plan
from ratelimit_service.core.lease import Held
from ratelimit_service.core.plan import Policy
from ratelimit_service.core.planner import Planner
from ratelimit_service.core.replica import part_of
from ratelimit_service.service.absence import Absence
from ratelimit_service.service.asked import Asked, Edition, Series
from ratelimit_service.service.awaiting import awaited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.clock import Clock
    from ratelimit_service.core.descriptor import Descriptor
    from ratelimit_service.core.rule import RuleSet
    from ratelimit_service.core.verdict import Verdict
    from ratelimit_service.service.books import Books
    from ratelimit_service.service.ports import (
        Answer,
        BucketStore,
        LocalStore,
        RuleSource,
        StoreWatch,
    )


class Limiter:
    """Decides requests by the rules in force."""

    def __init__(
        self,
        rules: RuleSource,
        store: BucketStore,
        books: Books,
        clock: Clock,
        *,
        policy: Policy | None = None,
        local: LocalStore,
        watch: StoreWatch,
    ) -> None:
        self.books = books
        self.policy = policy or Policy()
        self._local = local
        self._absence = Absence(clock, watch)
        self._rules = rules
        self._store = store
        self._clock = clock
        self._counts = books.counts
        self._edition: Edition | None = None

    @property
    def edition(self) -> Edition:
        """The rules in force at this hour; raises Unavailable before there are any.

        The same object for as long as plans made under it hold.
        """
        rules = self._rules.current
        edition = self._edition
        if (
            edition is not None
            and edition.rules is rules
            and (edition.until_s == inf or edition.since_s <= self._clock.now() < edition.until_s)
        ):
            return edition
        if rules is None:
            raise Unavailable("no rate limit configuration loaded", reason="NO_CONFIGURATION")
        return self._renew(rules)

    def _renew(self, rules: RuleSet) -> Edition:
        now_s = self._clock.now()
        planner = Planner(rules, self.policy, now_s)
        self._edition = Edition(rules, planner, now_s, rules.changes_after(now_s))
        return self._edition

    def ask(self, edition: Edition, domain: str, descriptors: Sequence[Descriptor]) -> Asked:
        """Match a request against the rules. It may be decided often while they are in force."""
        plan = edition.planner.plan(domain, descriptors)
        if domain not in edition.rules.domains:
            self._counts.unknown_domain += 1
        counted = [
            self.books.counted(domain, descriptor, match, item)
            for descriptor, match, item in zip(descriptors, plan.matches, plan.items, strict=True)
        ]
        return Asked.of(domain, descriptors, plan, counted)

    def series(self, edition: Edition, like: Asked, size: int) -> Series | None:
        """Return what asks for requests like this one, but for the last value; see asked.Series."""
        if len(like.descriptors) != 1 or like.single is None:
            return None
        planned = edition.planner.series(like.domain, like.descriptors[0].entries)
        return Series(planned, like, size) if planned is not None else None

    def decide(self, asked: Asked, timeout_seconds: float | None, answer: Answer) -> None:
        """Charge and judge a planned request; call `answer`, once, within `timeout_seconds`.

        `answer(verdict, None)`, or `answer(None, error)` where nothing can be said.
        """
        charges = asked.charges
        if not charges:
            answer(self._counted(asked, judge(asked.outline, ())), None)
            return

        def done(met: Sequence[int], error: BaseException | None) -> None:
            if error is None:
                if self._absence.lasts and not isinstance(met, Held):
                    self._absence.end()
                if asked.local:
                    self._local.seen(charges, met)
                answer(self._counted(asked, judge(asked.outline, met)), None)
            else:
                self._without_store(asked, error, answer)

        self._store.take(charges, timeout_seconds, done)

    async def check(self, asked: Asked, timeout_seconds: float | None) -> Verdict:
        """Decide, for those who await."""
        verdict: Verdict | None = await awaited(partial(self.decide, asked, timeout_seconds))
        if verdict is None:
            raise RuntimeError("neither verdict nor error")
        return verdict

    def _without_store(self, asked: Asked, error: BaseException, answer: Answer) -> None:
        """Answer as the rules say for the time that the store is away."""
        if not isinstance(error, Unavailable | Exhausted):
            answer(None, error)
            return
        self._counts.store_failures += 1
        self._absence.goes_on(error)
        unshared = local_plan(asked.plan)
        if unshared is None:
            answer(None, error)
            return
        plan = part_of(unshared, self._local.replicas)

        def done(met: Sequence[int], local_error: BaseException | None) -> None:
            if local_error is not None:
                answer(None, local_error)
                return
            verdict = judge(plan, met)
            if verdict.over:
                self._counts.denied_without_store += 1
            else:
                self._counts.allowed_without_store += 1
            answer(self._counted(asked, verdict), None)

        if plan.charges:
            self._local.take(plan.charges, None, done)
        else:
            done((), None)

    def _counted(self, asked: Asked, verdict: Verdict) -> Verdict:
        counts = self._counts
        if verdict.over:
            counts.over_limit += 1
        else:
            counts.ok += 1
            if verdict.shadowed:
                counts.global_shadow_mode += 1
        asked.count(verdict)
        if asked.calls == 1:
            self.books.enter(asked)
        return verdict
