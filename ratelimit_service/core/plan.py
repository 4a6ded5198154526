"""Plan a request before the store is asked: which limits it meets, and what each will cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.calendars import edges
from ratelimit_service.core.charge import Charge, Mode
from ratelimit_service.core.keys import bucket_key
from ratelimit_service.core.limit import UNLIMITED_REMAINING, Algorithm, Limit, Unit
from ratelimit_service.core.match import Match, find
from ratelimit_service.core.verdict import Status
from ratelimit_service.core.window import Window

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ratelimit_service.core.charge import Meter
    from ratelimit_service.core.descriptor import Descriptor
    from ratelimit_service.core.rule import Allowance, Rule, RuleSet

_SECOND_US = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What the settings say of every request.

    `reference`: count as envoyproxy/ratelimit does, whatever a rule says of algorithms.
    `quota_mode`: every limit is in quota mode. `shadow_mode`: nothing is refused in the end.
    """

    key_prefix: str = ""
    reference: bool = False
    quota_mode: bool = False
    shadow_mode: bool = False


@dataclass(frozen=True, slots=True)
class Charged:
    """A limit whose part of the status the store decides."""

    limit: Limit
    charge: Charge
    rule: Rule


# What is known of a descriptor: all of its status; one limit to charge; or several.
Item: TypeAlias = "Status | Charged | tuple[Charged, ...]"


@dataclass(frozen=True, slots=True)
class Plan:
    """A request, matched: an item for each descriptor, and the charges in the same order.

    `matches`: what each descriptor met (replaced limits included), None for nothing. `quotas`:
    whether it counts as a quota when the request is judged. `refused`: an enforced limit is over
    whatever the store says, so charges of other modes than SHADOW and COUNTED only look. No
    charges: the verdict needs no store. A plan may be kept while its rules last and until their
    `changes_after`.
    """

    items: tuple[Item, ...]
    charges: tuple[Charge, ...]
    refused: bool
    matches: tuple[Match | None, ...] = ()
    quotas: tuple[bool, ...] = ()
    policy: Policy = Policy()


def plan(
    rules: RuleSet,
    policy: Policy,
    domain: str,
    descriptors: Sequence[Descriptor],
    now_s: float,
) -> Plan:
    """Match every descriptor and say what it will cost, by the limits that hold at `now_s`."""
    matches = tuple([find(rules, domain, descriptor) for descriptor in descriptors])
    replaced = _replaced(matches)
    planner = _Planner(policy, domain, now_s, replaced)
    items = tuple(
        [
            planner.item(match, descriptor.hits)
            for match, descriptor in zip(matches, descriptors, strict=True)
        ]
    )
    refused = planner.refused
    if refused:
        items = tuple([looking(item) for item in items])
    quotas = tuple(
        [_is_quota(policy, item, match) for item, match in zip(items, matches, strict=True)]
    )
    return Plan(items, charges_of(items), refused, matches, quotas, policy)


def _replaced(matches: Sequence[Match | None]) -> Collection[str]:
    """Return the names of limits that others of the request stand in for."""
    return {
        name
        for match in matches
        if match is not None
        for allowance in match.rule.allowances
        for name in allowance.replaces
    }


def _is_quota(policy: Policy, item: Item, match: Match | None) -> bool:
    if isinstance(item, Status) and item.limit is None:
        # Nothing limits it. For envoyproxy/ratelimit it is then a quota of its own that is never
        # used up, unless it was said to be unlimited.
        unlimited = match is not None and match.rule.unlimited
        return policy.reference and policy.quota_mode and not unlimited
    return policy.quota_mode or (match is not None and match.rule.quota_mode)


class _Planner:
    """Plans the descriptors of one request."""

    def __init__(
        self, policy: Policy, domain: str, now_s: float, replaced: Collection[str]
    ) -> None:
        self.refused = False
        self._policy = policy
        self._domain = domain
        self._now_s = now_s
        self._replaced = replaced

    def item(self, match: Match | None, hits: int) -> Item:
        """Return what is known of a descriptor."""
        if match is None:
            return Status()
        rule = match.rule
        if rule.unlimited:
            return Status(remaining=UNLIMITED_REMAINING)
        charged: list[Charged] = []
        for allowance in rule.allowances:
            limit = allowance.limit_at(self._now_s)
            if limit.name and limit.name in self._replaced:
                continue
            if not limit.requests_per_unit and not self._policy.reference:
                return self._blocked(rule, limit, hits)
            charged.append(self._charged(match, allowance, limit, hits))
        if len(charged) == 1:
            return charged[0]
        return tuple(charged) if charged else Status()

    def _blocked(self, rule: Rule, limit: Limit, hits: int) -> Status:
        """Return the status of a limit of 0: every hit is over; a look or a refund is not a hit."""
        short = hits > 0
        over = short and not rule.shadow_mode
        if over and mode_of(self._policy, rule) is not Mode.QUOTA:
            self.refused = True
        reset_us = limit.period_seconds * _SECOND_US
        return Status(over, limit, 0, reset_us, shadowed=short and not over)

    def _charged(self, match: Match, allowance: Allowance, limit: Limit, hits: int) -> Charged:
        policy, rule = self._policy, match.rule
        key = bucket_key(
            policy.key_prefix,
            self._domain,
            match.entries,
            limit,
            ordinal=allowance.ordinal,
            shard_by=rule.shard_by,
            reference=policy.reference,
        )
        meter = self._meter(limit)
        per_second = limit.unit is Unit.SECOND
        charge = Charge(key, meter, meter.cost(hits), mode_of(policy, rule), per_second)
        return Charged(limit, charge, rule)

    def _meter(self, limit: Limit) -> Meter:
        if self._policy.reference:
            return Window.fixed(limit)
        if limit.algorithm is Algorithm.TOKEN_BUCKET:
            return Bucket.of(limit)
        if limit.algorithm is Algorithm.SLIDING_WINDOW:
            return Window.sliding(limit)
        if limit.time_zone:
            return Window.calendar(limit, edges(limit.unit, limit.time_zone, self._now_s))
        return Window.fixed(limit)


def mode_of(policy: Policy, rule: Rule) -> Mode:
    """Return how the limits of `rule` are charged."""
    if policy.reference:
        return Mode.COUNTED
    if rule.shadow_mode:
        return Mode.SHADOW
    if rule.quota_mode or policy.quota_mode:
        return Mode.QUOTA
    return Mode.POSTPAID if rule.postpaid else Mode.ENFORCED


def charges_of(items: Iterable[Item]) -> tuple[Charge, ...]:
    """Return what is to be charged, in the order of the items."""
    charges: list[Charge] = []
    for item in items:
        if isinstance(item, Charged):
            charges.append(item.charge)
        elif isinstance(item, tuple):
            charges += [charged.charge for charged in item]
    return tuple(charges)


def looking(item: Item) -> Item:
    """Return `item` of a refused request, which charges nothing but what is always charged."""
    if isinstance(item, Status):
        return item
    if isinstance(item, tuple):
        return tuple([_look(charged) for charged in item])
    return _look(item)


def _look(charged: Charged) -> Charged:
    if charged.charge.mode in (Mode.SHADOW, Mode.COUNTED):
        return charged
    return Charged(charged.limit, charged.charge.look, charged.rule)
