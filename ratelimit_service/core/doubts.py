"""What stands in rule files, is not wrong, and is hardly meant.

envoyproxy/ratelimit lets all of it pass without a word. Each doubt is a sentence at the place it is
about, for `sluice check` and the log of a start.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from ratelimit_service.core.keys import counting
from ratelimit_service.core.lease import SMALLEST_SHARE
from ratelimit_service.core.limit import Algorithm, OnStoreFailure
from ratelimit_service.core.schedule import DAY_MINUTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chassis.errors import Problem
    from ratelimit_service.core.rule import Allowance, Branch, Rule, RuleSet
    from ratelimit_service.core.schedule import Shift

_WEEK_MINUTES = 7 * DAY_MINUTES


def doubts(rules: RuleSet) -> Iterator[Problem]:
    """Yield every doubt, in no order."""
    for root in rules.domains.values():
        branches = list(root.below())
        yield from _replaced_nobody([branch.rule for branch in branches if branch.rule])
        for branch in (root, *branches):
            yield from _of_level(branch)
            if branch.rule is not None:
                yield from _of_rule(branch.rule)


def _replaced_nobody(rules: list[Rule]) -> Iterator[Problem]:
    names = {allowance.limit.name for rule in rules for allowance in rule.allowances}
    for rule in rules:
        for allowance in rule.allowances:
            for name in allowance.replaces:
                if name not in names:
                    yield rule.place.problem(
                        f"replaces '{name}', but no limit of this domain has that name"
                    )


def _of_level(parent: Branch) -> Iterator[Problem]:
    """Yield what is wrong among the branches of one level."""
    for branch in parent.children.values():
        if parent.wildcards.size and (branch.is_wildcard or branch.value is None):
            cover = parent.wildcards.covering(branch)
            if cover is not None:
                yield branch.place.problem(
                    f"'{branch.pattern}' is never met: '{cover.pattern}' in "
                    f"{cover.place.seen_from(branch.place)} takes all that it would; "
                    + ("put the narrower one first" if branch.is_wildcard else "remove one")
                )
        if branch.rule is None and not branch.children and not _exempts(parent, branch):
            yield branch.place.problem(
                f"'{branch.path}' has neither a limit nor descriptors, and exempts nothing from "
                "another limit; remove it, or write its 'rate_limit'"
            )


def _exempts(parent: Branch, branch: Branch) -> bool:
    """Return whether, but for `branch`, some of its entries would meet another of this level."""
    if branch.value is None:
        return False
    if (branch.key, None) in parent.children or branch.is_wildcard:
        return True
    return (
        bool(parent.wildcards.size) and parent.wildcards.find(branch.key, branch.value) is not None
    )


def _of_rule(rule: Rule) -> Iterator[Problem]:
    for what in _contradictions(rule):
        yield rule.place.problem(what)
    for earlier, later in combinations(rule.allowances, 2):
        yield from _of_two_limits(rule, earlier, later)
    for allowance in rule.allowances:
        for what in _overlaps(allowance.shifts):
            yield rule.place.problem(what)


def _contradictions(rule: Rule) -> Iterator[str]:
    windows = any(
        allowance.limit.algorithm is not Algorithm.TOKEN_BUCKET for allowance in rule.allowances
    )
    if rule.shadow_mode and rule.quota_mode:
        yield "'quota_mode' has no effect beside 'shadow_mode'; remove one of the two"
    if rule.shadow_mode and rule.postpaid:
        yield "'postpaid' has no effect beside 'shadow_mode'; remove one of the two"
    if rule.quota_mode and rule.postpaid:
        yield "'postpaid' has no effect beside 'quota_mode', which goes into debt too; remove it"
    if rule.postpaid and windows:
        yield (
            "'postpaid' debt in a window is forgotten when the window ends; a token_bucket has it "
            "paid back"
        )
    if rule.shadow_mode and rule.on_store_failure is OnStoreFailure.DENY:
        yield "'on_store_failure: deny' refuses what 'shadow_mode' never would; write allow"
    if any(
        allowance.limit.burst and not allowance.limit.requests_per_unit
        for allowance in rule.allowances
    ):
        yield "'burst' has no effect: 'requests_per_unit' is 0, so everything is refused"
    lease = rule.lease
    if lease is None or rule.unlimited:
        return
    for allowance in rule.allowances:
        capacity = allowance.limit.capacity
        if capacity * lease.max_share < SMALLEST_SHARE:
            yield (
                f"the lease never takes anything: {lease.max_share:g} of {capacity} is less than "
                f"{SMALLEST_SHARE}; raise 'max_share', or remove 'lease'"
            )


def _of_two_limits(rule: Rule, earlier: Allowance, later: Allowance) -> Iterator[Problem]:
    """Yield that one of two limits that are counted alike is never the stricter one."""
    one, other = earlier.limit, later.limit
    if earlier.shifts or later.shifts or counting(one) != counting(other):
        return
    rates = one.requests_per_unit - other.requests_per_unit
    bursts = one.capacity - other.capacity
    if rates * bursts >= 0:
        yield rule.place.problem(
            f"two limits per {counting(one)}, of {one.requests_per_unit} and "
            f"{other.requests_per_unit}: the larger never decides; remove it"
        )


def _overlaps(shifts: tuple[Shift, ...]) -> Iterator[str]:
    """Yield shifts that are on while an earlier one of the same time zone is."""
    taken: dict[str, int] = {}
    for number, shift in enumerate(shifts, start=1):
        on, before = _minutes(shift), taken.get(shift.time_zone, 0)
        if on & before == on:
            yield f"item {number} of 'schedule' is never on: earlier ones take all its hours"
        elif on & before:
            yield (
                f"item {number} of 'schedule' overlaps an earlier one, which holds in the hours "
                "of both"
            )
        taken[shift.time_zone] = before | on


def _minutes(shift: Shift) -> int:
    """Return the minutes of a week at which `shift` is on, as the bits of a number."""
    length = shift.end_minute - shift.start_minute
    if length <= 0:
        length += DAY_MINUTES
    minutes = 0
    for day in shift.days:
        minutes |= ((1 << length) - 1) << (day * DAY_MINUTES + shift.start_minute)
    return minutes & ((1 << _WEEK_MINUTES) - 1) | minutes >> _WEEK_MINUTES
