"""Plan a request before the store is asked: match it, and say what each limit will cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.calendars import edges
from ratelimit_service.core.charge import Charge, Mode, words
from ratelimit_service.core.keys import CounterKeys
from ratelimit_service.core.limit import UNLIMITED_REMAINING, Algorithm, Limit, Unit
from ratelimit_service.core.match import Match, find, step
from ratelimit_service.core.netting import netted
from ratelimit_service.core.plan import Charged, Plan, Policy, charges_of, looking
from ratelimit_service.core.verdict import Status
from ratelimit_service.core.window import Window

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ratelimit_service.core.charge import Meter
    from ratelimit_service.core.descriptor import Descriptor, Entries
    from ratelimit_service.core.plan import Item
    from ratelimit_service.core.rule import Allowance, Branch, Lease, Rule, RuleSet

_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class _Stencil:
    """What all charges of one limit of a rule have in common."""

    limit: Limit
    meter: Meter
    mode: Mode
    per_second: bool
    keys: CounterKeys
    quotas: tuple[bool, ...]
    lease: Lease | None
    one_cost: int  # of one hit, as most requests have
    one_words: bytes

    def charged(self, rule: Rule, entries: Entries, hits: int) -> Charged:
        """Return what the client with these entries is charged."""
        meter, mode = self.meter, self.mode
        cost = self.one_cost if hits == 1 else meter.cost(hits)
        charge = Charge(self.keys.of(entries), meter, cost, mode, self.per_second, self.lease)
        charge.words = self.one_words if hits == 1 else words(meter, cost, mode)
        return Charged(self.limit, charge, rule)


class Series:
    """Plans requests of one hit whose entries differ in their last value alone, all of one length.

    That value decides nothing but whose counter is charged.
    """

    __slots__ = ("_before", "_key", "_keys", "_matches", "_policy", "_rule", "_stencil")

    def __init__(
        self, rule: Rule, stencil: _Stencil, entries: Entries, value_bytes: int, policy: Policy
    ) -> None:
        self._before = entries[:-1]
        self._key = entries[-1][0]
        self._keys = stencil.keys.begin(self._before, self._key, value_bytes)
        self._matches = (Match(rule, self._before, rule.path),)
        self._policy = policy
        self._rule = rule
        self._stencil = stencil

    def charge(self, value: bytes) -> Charge:
        """Return what the request with this value, in UTF-8, is charged."""
        stencil = self._stencil
        charge = Charge(
            self._keys.of(value),
            stencil.meter,
            stencil.one_cost,
            stencil.mode,
            stencil.per_second,
            stencil.lease,
        )
        charge.words = stencil.one_words
        return charge

    def plan(self, charge: Charge) -> Plan:
        """Return the plan of the request with this charge."""
        stencil = self._stencil
        items = (Charged(stencil.limit, charge, self._rule),)
        return Plan(items, (charge,), False, self._matches, stencil.quotas, self._policy)  # noqa: FBT003

    def entries(self, value: bytes) -> Entries:
        """Return the entries of the request with this value."""
        return (*self._before, (self._key, value.decode()))


class Planner:
    """Plans requests by `rules` as they are at `now_s`, Unix seconds: until their hours change.

    It works out each limit once, so that a client that was never seen costs 4 us and not 12.
    """

    def __init__(self, rules: RuleSet, policy: Policy, now_s: float) -> None:
        self.rules = rules
        self.policy = policy
        self._now_s = now_s
        # By the identity of the allowance or the branch, which the rules keep alive.
        self._stencils: dict[int, _Stencil] = {}
        self._valued_keys: dict[int, frozenset[str]] = {}

    def plan(self, domain: str, descriptors: Sequence[Descriptor]) -> Plan:
        """Match every descriptor and say what it will cost."""
        if len(descriptors) == 1:
            planned = self._one(domain, descriptors[0])
            if planned is not None:
                return planned
        matches = tuple([find(self.rules, domain, descriptor) for descriptor in descriptors])
        replaced = _replaced(matches)
        items: list[Item] = [
            self._item(domain, match, descriptor, replaced)
            for match, descriptor in zip(matches, descriptors, strict=True)
        ]
        if any(descriptor.hits < 0 for descriptor in descriptors):
            items = netted(items)
        refused = any(
            isinstance(item, Status) and self._refuses(item, match)
            for item, match in zip(items, matches, strict=True)
        )
        if refused:
            items = [looking(item) for item in items]
        quotas = tuple(
            [self._is_quota(item, match) for item, match in zip(items, matches, strict=True)]
        )
        return Plan(tuple(items), charges_of(items), refused, matches, quotas, self.policy)

    def _one(self, domain: str, descriptor: Descriptor) -> Plan | None:
        """Plan a request of one descriptor that one limit counts, as most are: half the time."""
        match = find(self.rules, domain, descriptor)
        if match is None or descriptor.override is not None:
            return None
        stencil = self._known(match.rule)
        if stencil is None:
            return None
        charged = stencil.charged(match.rule, match.entries, descriptor.hits)
        return Plan((charged,), (charged.charge,), False, (match,), stencil.quotas, self.policy)  # noqa: FBT003

    def series(self, domain: str, entries: Entries) -> Series | None:
        """Return what plans requests like this one, which was planned before, one hit each.

        None where the last value decides more than whose counter is charged.
        """
        branch = self.rules.domains.get(domain)
        *before, (key, value) = entries
        for name, text in before:
            branch = step(branch, name, text) if branch is not None else None
        if branch is None or branch.wildcards.size or key in self._valued(branch):
            return None
        last = branch.children.get((key, None))
        if last is None or last.rule is None or last.varies or last.rule.shard_by:
            return None
        stencil = self._known(last.rule)
        if stencil is None:
            return None
        return Series(last.rule, stencil, entries, len(value.encode()), self.policy)

    def _known(self, rule: Rule) -> _Stencil | None:
        """Return the stencil of a rule's only limit, if it has been cut and nothing is special."""
        if len(rule.allowances) > 1:
            return None
        (allowance,) = rule.allowances
        stencil = self._stencils.get(id(allowance))
        if stencil is None or not stencil.limit.requests_per_unit or allowance.replaces:
            return None
        return stencil

    def _valued(self, branch: Branch) -> Collection[str]:
        """Return the keys that some rule below `branch` wants a certain value of."""
        keys = self._valued_keys.get(id(branch))
        if keys is None:
            keys = frozenset([key for key, value in branch.children if value is not None])
            self._valued_keys[id(branch)] = keys
        return keys

    def _item(
        self,
        domain: str,
        match: Match | None,
        descriptor: Descriptor,
        replaced: Collection[str],
    ) -> Item:
        """Return what is known of a descriptor."""
        if match is None:
            return Status()
        rule = match.rule
        if rule.unlimited:
            return Status(remaining=UNLIMITED_REMAINING)
        charged: list[Charged] = []
        for allowance in rule.allowances:
            stencil = self._stencils.get(id(allowance))
            if stencil is None:
                stencil = self._cut(domain, rule, allowance)
                if descriptor.override is None:  # else it is this request's own
                    self._stencils[id(allowance)] = stencil
            limit = stencil.limit
            if limit.name and limit.name in replaced:
                continue
            if not limit.requests_per_unit and not self.policy.reference:
                return self._blocked(rule, limit, descriptor.hits)
            charged.append(stencil.charged(rule, match.entries, descriptor.hits))
        if len(charged) == 1:
            return charged[0]
        return tuple(charged) if charged else Status()

    def _blocked(self, rule: Rule, limit: Limit, hits: int) -> Status:
        """Return the status of a limit of 0: every hit is over; a look or a refund is not a hit."""
        short = hits > 0
        over = short and not rule.shadow_mode
        reset_us = limit.period_seconds * _SECOND_US
        return Status(over, limit, 0, reset_us, shadowed=short and not over)

    def _refuses(self, item: Status, match: Match | None) -> bool:
        if match is None or not item.over:
            return False
        return mode_of(self.policy, match.rule) is not Mode.QUOTA

    def _is_quota(self, item: Item, match: Match | None) -> bool:
        policy = self.policy
        if isinstance(item, Status) and item.limit is None:
            # Nothing limits it. For envoyproxy/ratelimit it is then a quota of its own that is
            # never used up, unless it was said to be unlimited.
            unlimited = match is not None and match.rule.unlimited
            return policy.reference and policy.quota_mode and not unlimited
        return policy.quota_mode or (match is not None and match.rule.quota_mode)

    def _cut(self, domain: str, rule: Rule, allowance: Allowance) -> _Stencil:
        """Work out one limit of a rule."""
        policy = self.policy
        limit = allowance.limit_at(self._now_s)
        keys = CounterKeys(
            policy.key_prefix,
            domain,
            limit,
            ordinal=allowance.ordinal,
            shard_by=rule.shard_by,
            reference=policy.reference,
        )
        mode, meter = mode_of(policy, rule), self._meter(limit)
        leased = mode is Mode.ENFORCED and isinstance(meter, Bucket)
        return _Stencil(
            limit,
            meter,
            mode,
            limit.unit is Unit.SECOND,
            keys,
            (policy.quota_mode or rule.quota_mode,),
            rule.lease if leased else None,
            meter.cost(1),
            words(meter, meter.cost(1), mode),
        )

    def _meter(self, limit: Limit) -> Meter:
        if self.policy.reference:
            return Window.fixed(limit)
        if limit.algorithm is Algorithm.TOKEN_BUCKET:
            return Bucket.of(limit)
        if limit.algorithm is Algorithm.SLIDING_WINDOW:
            return Window.sliding(limit)
        if limit.time_zone:
            return Window.calendar(limit, edges(limit.unit, limit.time_zone, self._now_s))
        return Window.fixed(limit)


def plan(
    rules: RuleSet,
    policy: Policy,
    domain: str,
    descriptors: Sequence[Descriptor],
    now_s: float,
) -> Plan:
    """Plan one request, for those who plan no other."""
    return Planner(rules, policy, now_s).plan(domain, descriptors)


def mode_of(policy: Policy, rule: Rule) -> Mode:
    """Return how the limits of `rule` are charged."""
    if policy.reference:
        return Mode.COUNTED
    if rule.shadow_mode:
        return Mode.SHADOW
    if rule.quota_mode or policy.quota_mode:
        return Mode.QUOTA
    return Mode.POSTPAID if rule.postpaid else Mode.ENFORCED


def _replaced(matches: Sequence[Match | None]) -> Collection[str]:
    """Return the names of limits that others of the request stand in for."""
    names: list[str] = []
    for match in matches:
        if match is not None:
            for allowance in match.rule.allowances:
                names += allowance.replaces
    return names
