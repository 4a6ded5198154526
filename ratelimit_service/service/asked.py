"""A request with its plan, and what has been decided of it since the books were last brought up.

The same client sends the same bytes again and again, so that one of these serves many calls.
Counting in it costs a tenth of a microsecond a call; the books take the sums over (books.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.core.limit import OnStoreFailure
from ratelimit_service.core.plan import Charged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core import planner
    from ratelimit_service.core.charge import Charge
    from ratelimit_service.core.plan import Plan
    from ratelimit_service.core.planner import Planner
    from ratelimit_service.core.rule import RuleSet
    from ratelimit_service.core.tally import Tally
    from ratelimit_service.core.verdict import Verdict

_LARGE_CHARACTERS = 4096  # Envoy's requests have some 100


@dataclass(frozen=True, slots=True, eq=False)
class Edition:
    """Rules and the hours they are planned at: plans of one edition must not outlive it."""

    rules: RuleSet
    planner: Planner
    since_s: float
    until_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """One descriptor's part: its hits, and the tally of the rule it met; None: nothing limits it.

    A pass that leaves fewer than `near_below` was near the limit.
    """

    hits: int
    tally: Tally | None
    near_below: int


@dataclass(slots=True, eq=False)
class Asked:
    """A planned request. `calls`: how often it was decided since the books were brought up."""

    domain: str
    # What it is judged by: its plan, or that of another of its series, which differs in the key of
    # the charge alone.
    outline: Plan
    charges: Sequence[Charge]
    counted: Sequence[Counted]
    # Whether a rule counts in this process while the store is away.
    local: bool
    # Whether it is worth nobody's memory for longer than it takes to answer it.
    is_large: bool
    # The one descriptor of a request that has just one, limited by one limit: the common case.
    single: Counted | None
    # Its descriptors; or the series that it is of, and its own value there.
    given: Sequence[Descriptor]
    series: Series | None = None
    value: bytes = b""
    calls: int = 0
    # Hits that were refused since then, of each descriptor; None for none at all.
    over: list[int] | None = None
    # Whether it serves more calls than one.
    kept: bool = False

    @classmethod
    def of(
        cls,
        domain: str,
        descriptors: Sequence[Descriptor],
        plan: Plan,
        counted: Sequence[Counted],
    ) -> Asked:
        """Return a request that was just planned."""
        rules = [match.rule for match in plan.matches if match is not None]
        local = OnStoreFailure.LOCAL in [rule.on_store_failure for rule in rules]
        is_large = sum([one.size for one in descriptors]) > _LARGE_CHARACTERS
        single = counted[0] if is_single(plan) else None
        return cls(domain, plan, plan.charges, counted, local, is_large, single, descriptors)

    @property
    def plan(self) -> Plan:
        """How it was planned."""
        if self.series is None:
            return self.outline
        return self.series.planned.plan(self.charges[0])

    @property
    def descriptors(self) -> Sequence[Descriptor]:
        """The request's own. Those of a series are made for the few who look."""
        if self.series is None:
            return self.given
        return (Descriptor(entries=self.series.planned.entries(self.value)),)

    def count(self, verdict: Verdict) -> None:
        """Count one decision."""
        self.calls += 1
        single = self.single
        if single is not None:
            status = verdict.statuses[0]
            if status.over:
                self._refuse(0)
            elif status.remaining < single.near_below:
                _near(single, status.remaining)
            return
        for place, (counted, status) in enumerate(zip(self.counted, verdict.statuses, strict=True)):
            if status.over or status.shadowed:
                self._refuse(place)
                if status.shadowed and counted.tally is not None:
                    counted.tally.shadow_mode += counted.hits
            elif status.remaining < counted.near_below:
                _near(counted, status.remaining)

    def _refuse(self, place: int) -> None:
        if self.over is None:
            self.over = [0] * len(self.counted)
        self.over[place] += self.counted[place].hits


def is_single(plan: Plan) -> bool:
    """Return whether one limit decides, by what it says itself."""
    items = plan.items
    return len(items) == 1 and isinstance(items[0], Charged) and not items[0].rule.shadow_mode


def _near(counted: Counted, remaining: int) -> None:
    if counted.tally is not None:
        counted.tally.near_limit += min(counted.hits, counted.near_below - remaining)


class Series:
    """Requests of one descriptor and one hit that differ in its last value alone (planner.Series).

    `size`: how long they are, in the bytes that they came in.
    """

    __slots__ = ("_like", "planned", "size")

    def __init__(self, planned: planner.Series, like: Asked, size: int) -> None:
        self.planned = planned
        self.size = size
        self._like = like

    def asked(self, value: bytes) -> Asked:
        """Return the request with this value, in UTF-8."""
        like = self._like
        return Asked(
            like.domain,
            like.outline,
            (self.planned.charge(value),),
            like.counted,
            like.local,
            False,  # noqa: FBT003
            like.single,
            (),
            self,
            value,
        )
