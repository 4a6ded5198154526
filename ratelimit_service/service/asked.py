"""A request with its plan, and what has been decided of it since the books were last brought up.

The same client sends the same bytes again and again, so that one of these serves many calls.
Counting in it costs a tenth of a microsecond a call; the books take the sums over (books.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ratelimit_service.core.limit import OnStoreFailure
from ratelimit_service.core.plan import Charged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.descriptor import Descriptor
    from ratelimit_service.core.plan import Plan
    from ratelimit_service.core.planner import Planner
    from ratelimit_service.core.rule import RuleSet
    from ratelimit_service.core.tally import Tally
    from ratelimit_service.core.verdict import Verdict

_LARGE_CHARACTERS = 4096  # Envoy's requests have some 100


@dataclass(frozen=True, slots=True, eq=False)
class Edition:
    """Rules and the hours they are planned at: plans of one edition must not outlive it."""

    planner: Planner
    since_s: float
    until_s: float

    @property
    def rules(self) -> RuleSet:
        """The rules."""
        return self.planner.rules


@dataclass(slots=True, eq=False)
class Counted:
    """One descriptor's part: whose tally it goes to, and its hits that were over or near limit.

    A pass that leaves fewer than `near_below` was near the limit. `tally` None: nothing limits it.
    """

    hits: int
    tally: Tally | None
    near_below: int
    over_limit: int = 0
    near_limit: int = 0
    shadowed: int = 0


@dataclass(slots=True, eq=False)
class Asked:
    """A planned request. `calls`: how often it was decided since the books were brought up."""

    domain: str
    descriptors: Sequence[Descriptor]
    plan: Plan
    counted: Sequence[Counted]
    calls: int = 0
    # Whether a rule counts in this process while the store is away.
    local: bool = field(init=False)
    # Whether it is worth nobody's memory for longer than it takes to answer it.
    is_large: bool = field(init=False)
    # The one descriptor of a request that has just one, limited by one limit: the common case.
    single: Counted | None = field(init=False)

    def __post_init__(self) -> None:
        """Tell the common case."""
        items = self.plan.items
        self.is_large = sum([one.size for one in self.descriptors]) > _LARGE_CHARACTERS
        self.single = None
        self.local = False
        for match in self.plan.matches:
            if match is not None and match.rule.on_store_failure is OnStoreFailure.LOCAL:
                self.local = True
        if len(items) == 1 and isinstance(items[0], Charged) and not items[0].rule.shadow_mode:
            self.single = self.counted[0]

    def count(self, verdict: Verdict) -> None:
        """Count one decision."""
        self.calls += 1
        single = self.single
        if single is not None:
            status = verdict.statuses[0]
            if status.over:
                single.over_limit += single.hits
            elif status.remaining < single.near_below:
                single.near_limit += min(single.hits, single.near_below - status.remaining)
            return
        for counted, status in zip(self.counted, verdict.statuses, strict=True):
            if status.over or status.shadowed:
                counted.over_limit += counted.hits
                counted.shadowed += counted.hits if status.shadowed else 0
            elif status.remaining < counted.near_below:
                counted.near_limit += min(counted.hits, counted.near_below - status.remaining)
