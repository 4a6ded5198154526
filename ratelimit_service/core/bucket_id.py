"""Which order of a bucket's pairs the rules mean.

A bucket of the quota service is a map, which has no order; a descriptor has one, and its counter
depends on it. The pairs sorted by key are tried first; then every order, those with the smaller
keys first, until one leads to a rule. So the same bucket always meets the same counter, and it is
that of the ShouldRateLimit callers who send the entries as the rules have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratelimit_service.core.match import step

if TYPE_CHECKING:
    from ratelimit_service.core.descriptor import Entries
    from ratelimit_service.core.rule import Branch, RuleSet

# Wildcards in keys let many orders lead far; rules that need more tries are hardly meant.
MAX_STEPS = 1_000


def ordered(rules: RuleSet, domain: str, pairs: Entries) -> Entries:
    """Return `pairs`, given sorted, in the order that leads to a rule; as given if none does."""
    root = rules.domains.get(domain)
    if root is None:
        return pairs
    return _Search().along(root, pairs, ()) or pairs


class _Search:
    """A depth-first search that gives up after MAX_STEPS."""

    def __init__(self) -> None:
        self._steps_left = MAX_STEPS

    def along(self, branch: Branch, rest: Entries, taken: Entries) -> Entries | None:
        """Return `taken` and an order of `rest` that leads from `branch` to a rule."""
        if not rest:
            return taken if branch.rule is not None else None
        for index, pair in enumerate(rest):
            if not self._steps_left:
                return None
            self._steps_left -= 1
            below = step(branch, *pair)
            if below is None:
                continue
            found = self.along(below, rest[:index] + rest[index + 1 :], (*taken, pair))
            if found is not None:
                return found
        return None
