"""Which rule a descriptor meets.

At each level an exact (key, value) beats the first wildcard in the order of the files, and that
beats the bare key. A branch once taken is not left again, and the rule is that of the LAST entry:
a shallow rule never applies to a deeper descriptor, nor a deep rule to a shallower one. This is
envoyproxy/ratelimit's reading, but for keys and values: there they are one text, `key_value`, so
that (`a_b`, `c`) and (`a`, `b_c`) meet the same rule; here they do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratelimit_service.core.rule import Allowance, Branch, Rule
from ratelimit_service.core.source import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ratelimit_service.core.descriptor import Descriptor, Entries
    from ratelimit_service.core.rule import RuleSet

_REQUEST = Place(file="the request", line=1, column=1)


@dataclass(slots=True)  # not frozen: that triples the cost of making one
class Match:
    """A rule, the entries its counter is kept under, and its name in the reference's metrics.

    `entries` are the request's, but that a shared threshold's pattern stands in place of the value,
    and that of a series (planner.Series) the last, which is another in each request, is left out.
    `metric` is the rule's path where nothing asks for values in it (see `find`).
    """

    rule: Rule
    entries: Entries
    metric: str


def find(rules: RuleSet, domain: str, descriptor: Descriptor) -> Match | None:
    """Return what `descriptor` meets in `domain`, None where nothing limits it.

    A descriptor that carries its own limit meets that one, in any domain that has rules.
    """
    root = rules.domains.get(domain)
    if root is None:
        return None
    entries = descriptor.entries
    if descriptor.override is not None:
        path = ".".join([domain, *(_text(key, value) for key, value in entries)])
        allowance = Allowance(limit=descriptor.override)
        return Match(Rule(path=path, place=_REQUEST, allowances=(allowance,)), entries, path)
    branch = root
    for key, value in entries:
        below = step(branch, key, value)
        if below is None:
            return None
        branch = below
    rule = branch.rule
    if rule is None:
        return None
    if not branch.varies:
        return Match(rule, entries, rule.path)
    return _varying(root, rule, entries)


def step(branch: Branch, key: str, value: str) -> Branch | None:
    """Return the branch that an entry leads to from `branch`, None where there is none."""
    below = branch.children.get((key, value))
    if below is None and branch.wildcards.size:
        below = branch.wildcards.find(key, value)
    return below or branch.children.get((key, None))


def _varying(root: Branch, rule: Rule, entries: Entries) -> Match:
    """Return the match of `rule` with its entries and its name as the values make them."""
    steps = list(_steps(root, entries))
    counted = tuple((key, _shared(branch) or value) for branch, (key, value) in steps)
    if not rule.detailed_metric:
        parts = [_metric_part(branch, key, value) for branch, (key, value) in steps]
    elif counted != entries:
        parts = [_text(key, value) for key, value in counted]
    else:
        parts = [f"{key}_{value}" for key, value in entries]
    return Match(rule, counted, ".".join([root.path, *parts]))


def _steps(branch: Branch, entries: Entries) -> Iterator[tuple[Branch, tuple[str, str]]]:
    for key, value in entries:
        below = step(branch, key, value)
        if below is None:
            return
        branch = below
        yield branch, (key, value)


def _shared(branch: Branch) -> str:
    """Return the pattern that stands for all values of a shared threshold, "" if they are apart."""
    if not branch.share_threshold:
        return ""
    # With a `*` in the key there is no telling the value's part: the whole pattern stands for it.
    return branch.pattern if "*" in branch.key else branch.value or ""


def _metric_part(branch: Branch, key: str, value: str) -> str:
    if branch.value_to_metric and not branch.share_threshold:
        return _text(key, value)
    return branch.pattern


def _text(key: str, value: str) -> str:
    return f"{key}_{value}" if value else key
