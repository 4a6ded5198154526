"""The rules in force as the admin API lists them: one message for each limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratelimit_service.core.limit import OnStoreFailure
from ratelimit_service.service.operator import label_of
from ratelimit_service.transport.admin_codec import ALGORITHMS, duration_of, unit_of
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ratelimit_service.core.rule import Allowance, Branch, Rule, RuleSet
    from ratelimit_service.core.schedule import Shift

_FAILURES = {
    OnStoreFailure.ERROR: pb.STORE_FAILURE_POLICY_UNSPECIFIED,
    OnStoreFailure.ALLOW: pb.STORE_FAILURE_POLICY_ALLOW,
    OnStoreFailure.DENY: pb.STORE_FAILURE_POLICY_DENY,
    OnStoreFailure.LOCAL: pb.STORE_FAILURE_POLICY_LOCAL,
}


def rules_of(rules: RuleSet, domain: str, *, reference: bool = False) -> Iterator[pb.Rule]:
    """Yield the rules of a domain ("": of all) in the order of their files and lines.

    `reference`: they are counted as envoyproxy/ratelimit counts, whatever they say.
    """
    for name, root in rules.domains.items():
        if domain in ("", name):
            for branch, levels in _below(root, ()):
                yield from _of_branch(name, branch, levels, reference=reference)


def _below(
    above: Branch, levels: tuple[pb.RuleLevel, ...]
) -> Iterator[tuple[Branch, tuple[pb.RuleLevel, ...]]]:
    for branch in above.children.values():
        here = (*levels, pb.RuleLevel(key=branch.key, value=branch.value or ""))
        yield branch, here
        yield from _below(branch, here)


def _of_branch(
    domain: str, branch: Branch, levels: tuple[pb.RuleLevel, ...], *, reference: bool
) -> Iterator[pb.Rule]:
    if branch.rule is None:
        return
    for number, allowance in enumerate(branch.rule.allowances, start=1):
        rule = _rule(branch.rule, allowance, number)
        rule.domain = domain
        rule.levels.extend(levels)
        rule.share_threshold = branch.share_threshold
        if reference and not rule.unlimited:
            rule.algorithm = pb.ALGORITHM_FIXED_WINDOW
            rule.burst = rule.limit
        yield rule


def _rule(rule: Rule, allowance: Allowance, number: int) -> pb.Rule:
    limit = allowance.limit
    lease = None
    if rule.lease is not None:
        span = duration_of(rule.lease.max_ms * 1000)
        lease = pb.Lease(max_share=rule.lease.max_share, max_duration=span)
    return pb.Rule(
        rule=label_of(rule, number),
        name=limit.name,
        algorithm=pb.ALGORITHM_UNSPECIFIED if limit.unlimited else ALGORITHMS[limit.algorithm],
        limit=limit.requests_per_unit,
        unit=unit_of(limit),
        unit_multiplier=limit.unit_multiplier,
        burst=limit.capacity,
        unlimited=limit.unlimited,
        shadow_mode=rule.shadow_mode,
        quota_mode=rule.quota_mode,
        postpaid=rule.postpaid,
        replaces=allowance.replaces,
        on_store_failure=_FAILURES[rule.on_store_failure],
        file=rule.place.file,
        line=rule.place.line,
        time_zone=limit.time_zone,
        shard_by=rule.shard_by,
        lease=lease,
        schedule=[_shift(shift) for shift in allowance.shifts],
    )


def _shift(shift: Shift) -> pb.Shift:
    return pb.Shift(
        days=[day + 1 for day in sorted(shift.days)],
        start_minute=shift.start_minute,
        end_minute=shift.end_minute,
        time_zone=shift.time_zone,
        limit=shift.limit.requests_per_unit,
        burst=shift.limit.capacity,
    )
