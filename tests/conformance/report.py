"""Outcomes as lines, and their sum by group and profile as a table."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.conformance.table import Need, Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.conformance.run import Outcome
    from tests.conformance.table import Case

# How to give a target what a case needs.
_HOW = {
    Need.HEADERS: "start the server with LIMIT_RESPONSE_HEADERS_ENABLED=true; --with headers",
    Need.METADATA: "start the server with RESPONSE_DYNAMIC_METADATA=true; --with metadata",
    Need.STORE: "--store redis://HOST:PORT, where nothing else writes",
}


def describe(case: Case) -> str:
    """Return a case as a line of a list."""
    return f"{case.profile.value:9}  {case.group:15}  {case.name}  ({case.source})"


def lines(outcome: Outcome) -> Iterator[str]:
    """Yield what is said of one outcome: a line, and what was wrong below it."""
    case = outcome.case
    ran = "FAIL" if outcome.faults else "pass"
    mark = ran if outcome.skipped is None else "skip"
    yield f"{mark}  {case.profile.value:9}  {case.group:15}  {case.name}"
    if outcome.faults:
        yield f"      rule: {case.source}"
        yield from (f"      {fault}" for fault in outcome.faults)


def summary(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield the table `passed/run` by group and profile, and what was skipped and why."""
    asked = [profile for profile in Profile if any(o.case.profile is profile for o in outcomes)]
    yield f"{'group':15}" + "".join(f"{profile.value:>12}" for profile in asked)
    groups = dict.fromkeys(outcome.case.group for outcome in outcomes)
    for group in groups:
        in_group = [outcome for outcome in outcomes if outcome.case.group == group]
        yield f"{group:15}" + "".join(f"{_share(in_group, profile):>12}" for profile in asked)
    yield f"{'all':15}" + "".join(f"{_share(outcomes, profile):>12}" for profile in asked)
    skipped = Counter(outcome.skipped for outcome in outcomes if outcome.skipped is not None)
    for need, count in skipped.items():
        yield f"skipped {count} that need {need.value}: {_HOW[need]}"
    failed = sum(bool(outcome.faults) for outcome in outcomes)
    ran = sum(outcome.skipped is None for outcome in outcomes)
    yield f"{ran - failed} passed, {failed} failed, {ran} run"


def _share(outcomes: Iterable[Outcome], profile: Profile) -> str:
    ran = [o for o in outcomes if o.case.profile is profile and o.skipped is None]
    return f"{sum(not outcome.faults for outcome in ran)}/{len(ran)}" if ran else "-"
