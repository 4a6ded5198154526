"""The rules as values: a tree of descriptors for each domain, made by rules.py.

A RuleSet is replaced whole and never changed. It can be pickled: it may be built in another
process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from ratelimit_service.core.calendars import edges
from ratelimit_service.core.limit import Limit, OnStoreFailure
from ratelimit_service.core.wildcard import Wildcards

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chassis.errors import Problem
    from ratelimit_service.core.schedule import Shift
    from ratelimit_service.core.source import Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """One limit of a rule, what it replaces, and the hours at which another takes its place.

    `replaces`: names of limits that are dropped from a request where this one matches too.
    `shifts`: the first that is on decides; `limit` where none is. `ordinal` parts the counters of
    several limits of one rule that are counted alike: 1, then 2.
    """

    limit: Limit
    replaces: tuple[str, ...] = ()
    shifts: tuple[Shift, ...] = ()
    ordinal: int = 1

    def limit_at(self, now_s: float) -> Limit:
        """Return the limit that holds at `now_s`, Unix seconds."""
        for shift in self.shifts:
            if shift.is_on(now_s):
                return shift.limit
        return self.limit

    def changes_after(self, now_s: float) -> float:
        """Return when `limit_at`, or a window of the calendar, is another; inf: never."""
        changes = [shift.changes_after(now_s) for shift in self.shifts]
        if self.limit.time_zone:
            changes.append(edges(self.limit.unit, self.limit.time_zone, now_s)[2])
        return min(changes, default=inf)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """How much of a bucket one replica may take ahead: a share of its capacity, for so long."""

    max_share: float
    max_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What a matched descriptor may do.

    `path` is its name for people, metrics and logs: `domain.key_value.key`. `shard_by` is the key
    of the entry whose value decides the cluster slot; "" means all entries do. `metadata` is plain
    JSON values and goes into the answer's dynamic metadata; nobody changes it.
    """

    path: str
    place: Place
    allowances: tuple[Allowance, ...]
    shadow_mode: bool = False
    quota_mode: bool = False
    postpaid: bool = False
    detailed_metric: bool = False
    on_store_failure: OnStoreFailure = OnStoreFailure.ERROR
    lease: Lease | None = None
    shard_by: str = ""
    metadata: dict[str, Any] | None = None

    @property
    def unlimited(self) -> bool:
        """Whether everything passes; such a limit is its rule's only one."""
        return self.allowances[0].limit.unlimited


@dataclass(frozen=True, kw_only=True, slots=True)
class Branch:
    """A level of the tree: its rule, if it has one, and what is below.

    `children` by (key, value) as written, value None for any; those with a `*` are in `wildcards`
    too. `varies`: its counter or its name in the metrics depends on the values it was met with.
    """

    path: str
    place: Place
    key: str = ""
    value: str | None = None
    rule: Rule | None = None
    share_threshold: bool = False
    value_to_metric: bool = False
    varies: bool = False
    children: dict[tuple[str, str | None], Branch] = field(default_factory=dict)
    wildcards: Wildcards = field(default_factory=Wildcards)

    @property
    def pattern(self) -> str:
        """The text `key_value`, or the key alone, of this level."""
        return self.key if self.value is None else f"{self.key}_{self.value}"

    @property
    def is_wildcard(self) -> bool:
        """Whether there is a `*` to match by."""
        return "*" in self.pattern

    def below(self) -> Iterator[Branch]:
        """Yield every branch below, in the order of the files."""
        waiting = list(reversed(self.children.values()))
        while waiting:
            branch = waiting.pop()
            yield branch
            waiting.extend(reversed(branch.children.values()))


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All domains. An empty one limits nothing.

    `warnings`: what is not wrong but hardly meant, in the order of the files. `timed`:
    allowances whose limit depends on the hour or whose window is a calendar's, one for each set of
    hours.
    """

    domains: dict[str, Branch] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    timed: tuple[Allowance, ...] = ()

    def rules(self) -> list[Rule]:
        """Return every rule, in the order of the files."""
        return [
            branch.rule
            for root in self.domains.values()
            for branch in root.below()
            if branch.rule is not None
        ]

    def changes_after(self, now_s: float) -> float:
        """Return until when a plan made at `now_s` holds, Unix seconds; inf: while the rules do."""
        return min((allowance.changes_after(now_s) for allowance in self.timed), default=inf)
