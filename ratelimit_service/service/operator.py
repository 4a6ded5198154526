"""What an operator asks of the limiter: why, how much is left, and to change it by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from chassis.errors import FailedPrecondition, NotFound
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge, Mode
from ratelimit_service.core.judge import judge
from ratelimit_service.core.limit import Algorithm
from ratelimit_service.core.match import step
from ratelimit_service.core.plan import Charged, Plan
from ratelimit_service.core.verdict import Status
from ratelimit_service.service.awaiting import awaited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.charge import Meter
    from ratelimit_service.core.descriptor import Descriptor
    from ratelimit_service.core.limit import Limit
    from ratelimit_service.core.match import Match
    from ratelimit_service.core.rule import Branch, Rule, RuleSet
    from ratelimit_service.service.limiter import Limiter
    from ratelimit_service.service.ports import BucketStore, Ledger

# Longer is no grant but another limit; and the store's arithmetic is exact until the year 2255.
LONGEST_GRANT_US = 100 * 365 * 86_400 * 1_000_000
# A charge that no bucket of this size holds: whatever is asked with it is answered and not made.
_TINY = Bucket(parts=1, full=1, refill=1, tick_us=1)
_BLOCKING_COST = 2
_SHOWN = 60  # characters of what a caller sent, in a sentence


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left of one limit; `remaining` is below zero in debt and above capacity in credit."""

    rule: str
    capacity: int
    remaining: int
    full_in_us: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """One limit that applies, as it is counted now, and what it would say.

    `label` is its name for people. `key` is empty where nothing is counted. `quota`: whether it is
    in quota mode, by its rule or by the settings.
    """

    label: str
    rule: Rule
    limit: Limit
    algorithm: Algorithm
    quota: bool
    status: Status
    balance: Balance
    key: bytes = b""
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """All limits that apply, the branches that were taken to them, or why there are none.

    `path` is empty where the descriptor brought its limit along.
    """

    found: Sequence[Explained]
    path: Sequence[Branch]
    unmatched_reason: str = ""


@dataclass(frozen=True, slots=True)
class _Applied:
    """A limit that applies. `item` a Status: that is all there is to say, nothing is counted."""

    label: str
    limit: Limit
    replaces: tuple[str, ...]
    item: Charged | Status

    @property
    def charge(self) -> Charge | None:
        """What the store would be asked for it."""
        return None if isinstance(self.item, Status) else self.item.charge

    def balance(self, met: Sequence[int]) -> Balance:
        """Return what is left where the store answered this; what is not counted has nothing."""
        charge = self.charge
        if charge is None:
            return Balance(self.label, 0, 0, 0)
        meter, debt = charge.meter, met[0]
        full_in_us = 0
        if debt > 0:
            full_in_us = meter.until(debt, 0) if isinstance(meter, Bucket) else met[2]
        capacity = meter.full // meter.parts
        return Balance(self.label, capacity, (meter.full - debt) // meter.parts, full_in_us)


class Operator:
    """Explains and corrects, by the rules in force."""

    def __init__(self, limiter: Limiter, store: BucketStore, ledger: Ledger) -> None:
        self._limiter = limiter
        self._store = store
        self._ledger = ledger

    async def explain(self, domain: str, descriptor: Descriptor) -> Explanation:
        """Return what would be decided of one descriptor, and why. Charges nothing."""
        rules = self._limiter.edition.rules
        path = _path(rules, domain, descriptor)
        match, applied = self._matched(domain, descriptor)
        if match is None:
            return Explanation((), path, _why_not(rules, domain, descriptor, path))
        return Explanation([await self._explained(match, one) for one in applied], path)

    async def balances(self, domain: str, descriptor: Descriptor) -> list[Balance]:
        """Return what is left of every limit that applies; NotFound where none does."""
        return [
            one.balance(await self._met(one.charge) if one.charge is not None else ())
            for one in self._limited(domain, descriptor)
        ]

    async def reset(self, domain: str, descriptor: Descriptor) -> list[Balance]:
        """Make every limit that applies whole, and return the balances after; NotFound likewise."""
        found = self._limited(domain, descriptor)
        charges = [one.charge for one in found if one.charge is not None]
        if charges:
            await self._ledger.forget(charges)
        return [one.balance((0,)) for one in found]

    async def grant(
        self, domain: str, descriptor: Descriptor, hits: int, expire_in_us: int | None
    ) -> list[Balance]:
        """Give `hits` to every limit that applies, and return the balances after.

        What lifts a balance above its capacity is gone after `expire_in_us`; None: after the time
        that fills an empty meter. NotFound where no limit applies, FailedPrecondition where one is
        0. Each limit is given to by itself: should the store fail, some may have got their hits.
        """
        found = self._limited(domain, descriptor)
        charges = [one.charge for one in found if one.charge is not None]
        if len(charges) < len(found):
            raise FailedPrecondition(
                "a limit of 0 refuses everything and holds no grant; change the rule",
                reason="LIMIT_IS_ZERO",
            )
        balances = []
        for one, charge in zip(found, charges, strict=True):
            given = replace(charge, cost=charge.meter.cost(-hits))
            span_us = expire_in_us or _filled_in_us(charge.meter, one.limit)
            met = await self._ledger.grant([given], min(span_us, LONGEST_GRANT_US))
            balances.append(one.balance(met))
        return balances

    def _limited(self, domain: str, descriptor: Descriptor) -> list[_Applied]:
        """Return the limits that apply, unlimited ones left out, whatever hits are asked."""
        match, applied = self._matched(domain, replace(descriptor, hits=0))
        if match is None:
            raise NotFound(
                "no limit applies to this descriptor; Explain says why", reason="RULE_NOT_FOUND"
            )
        return [one for one in applied if not one.limit.unlimited]

    def _matched(
        self, domain: str, descriptor: Descriptor
    ) -> tuple[Match | None, Sequence[_Applied]]:
        """Plan the descriptor as if it were all of a request."""
        edition = self._limiter.edition
        planned = edition.planner.plan(domain, [descriptor])
        (match,), (item,) = planned.matches, planned.items
        if match is None:
            return None, ()
        rule, at_s = match.rule, edition.since_s
        if isinstance(item, tuple):
            return match, [_applied(rule, one.limit, at_s, one) for one in item]
        limit = item.limit or rule.allowances[0].limit_at(at_s)  # an unlimited one tells none
        return match, [_applied(rule, limit, at_s, item)]

    async def _explained(self, match: Match, one: _Applied) -> Explained:
        """Judge what the store answers as if the limit were the request's only one."""
        item, policy = one.item, self._limiter.policy
        met: Sequence[int] = ()
        if isinstance(item, Status):
            status, key = item, b""
        else:
            met, key = await self._met(item.charge), item.charge.key
            alone = Plan((item,), (item.charge,), refused=False, quotas=(False,))
            (status,) = judge(alone, met).statuses
        return Explained(
            label=one.label,
            rule=match.rule,
            limit=one.limit,
            algorithm=Algorithm.FIXED_WINDOW if policy.reference else one.limit.algorithm,
            quota=policy.quota_mode or match.rule.quota_mode,
            status=status,
            balance=one.balance(met),
            key=key,
            replaces=one.replaces,
        )

    async def _met(self, charge: Charge) -> Sequence[int]:
        """Return what `charge` would meet, as the store answers it. Nothing is charged."""
        if charge.mode is Mode.COUNTED:
            # It would be made whatever stands beside it, so it is only looked at: of such a window
            # all three spans are the time until its period ends, whatever is asked.
            debt, _, ends, _ = await self._take([charge.look])
            return debt, ends, ends, ends
        mode = Mode.ENFORCED if charge.mode is Mode.SHADOW else charge.mode
        key = charge.key + b":explain"  # the same slot, and never written
        blocker = Charge(key, _TINY, _BLOCKING_COST, per_second=charge.per_second)
        met = await self._take([replace(charge, mode=mode), blocker])
        return met[: charge.meter.width]

    async def _take(self, charges: Sequence[Charge]) -> Sequence[int]:
        return await awaited(partial(self._store.take, charges, None))


def label_of(rule: Rule, number: int) -> str:
    """Return the name of a rule's limit for people: the rule's path, `#2` after the second."""
    return rule.path if number == 1 else f"{rule.path}#{number}"


def _applied(rule: Rule, limit: Limit, at_s: float, item: Charged | Status) -> _Applied:
    """Find out which of the rule's limits this is."""
    number, allowance = next(
        (number, allowance)
        for number, allowance in enumerate(rule.allowances, start=1)
        if allowance.limit_at(at_s) is limit
    )
    return _Applied(label_of(rule, number), limit, allowance.replaces, item)


def _filled_in_us(meter: Meter, limit: Limit) -> int:
    """Return how long an empty meter takes to be full, at least a microsecond."""
    if isinstance(meter, Bucket):
        return max(1, meter.until(meter.full, 0))
    return limit.period_seconds * 1_000_000


def _path(rules: RuleSet, domain: str, descriptor: Descriptor) -> list[Branch]:
    """Return the branches that the entries lead to, as far as they lead."""
    taken: list[Branch] = []
    if descriptor.override is not None:
        return taken
    branch = rules.domains.get(domain)
    for key, value in descriptor.entries:
        branch = step(branch, key, value) if branch is not None else None
        if branch is None:
            break
        taken.append(branch)
    return taken


def _why_not(rules: RuleSet, domain: str, descriptor: Descriptor, path: Sequence[Branch]) -> str:
    if domain not in rules.domains:
        known = ", ".join(sorted(rules.domains)[:10]) or "none"
        return f"no rule file has the domain '{_cut(domain)}'; there are: {known}"
    if len(path) < len(descriptor.entries):
        entry = "=".join(descriptor.entries[len(path)])
        above = path[-1].path if path else domain
        return f"no descriptor below {_cut(above)} fits entry {len(path)}, {_cut(entry)}"
    return f"{path[-1].path} has no rate_limit of its own; only deeper descriptors may be limited"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
