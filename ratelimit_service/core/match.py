"""Which rule a descriptor meets.

At each level an exact (key, value) beats the bare key, and a branch once taken is not left again:
the rule is that of the LAST entry, so a shallow rule never applies to a deeper descriptor, nor a
deep rule to a shallower one. This is envoyproxy/ratelimit's reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratelimit_service.core.rules import Rule

if TYPE_CHECKING:
    from ratelimit_service.core.descriptor import Descriptor
    from ratelimit_service.core.rules import RuleSet


def find(rules: RuleSet, domain: str, descriptor: Descriptor) -> Rule | None:
    """Return the rule that `descriptor` meets in `domain`, None where nothing limits it.

    A descriptor that carries its own limit meets that one, in any domain that has rules.
    """
    branch = rules.domains.get(domain)
    if branch is None:
        return None
    if descriptor.override is not None:
        return Rule.of(descriptor.override)
    for key, value in descriptor.entries:
        below = branch.children.get((key, value)) or branch.children.get((key, None))
        if below is None:
            return None
        branch = below
    return branch.rule
