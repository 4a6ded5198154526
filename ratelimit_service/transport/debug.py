"""The debug pages that envoyproxy/ratelimit has beside the common ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chassis.http import Answer, Request, Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ratelimit_service.core.rule import Rule
    from ratelimit_service.service import Limiter


def routes(limiter: Limiter) -> dict[str, Route]:
    """Return the service's own routes of the ops port."""

    async def rlconfig(_: Request) -> Answer:
        rules = limiter.edition.rules.rules()
        return Answer.text("\n".join(line for rule in rules for line in _lines(rule)))

    return {"/rlconfig": Route(handler=rlconfig, doc="the rules in force, a line a limit")}


def _lines(rule: Rule) -> Iterator[str]:
    """Yield the reference's line of each limit (src/config/config_impl.go:121-132), and ours."""
    for allowance in rule.allowances:
        limit = allowance.limit
        unit = "UNKNOWN" if limit.unlimited else limit.unit.name
        line = (
            f"{rule.path}: unit={unit} requests_per_unit={limit.requests_per_unit}, "
            f"shadow_mode: {_go(rule.shadow_mode)}, quota_mode: {_go(rule.quota_mode)}"
        )
        more = {
            "unit_multiplier": limit.unit_multiplier if limit.unit_multiplier != 1 else "",
            "algorithm": "" if limit.unlimited else limit.algorithm.value,
            "burst": limit.burst if limit.burst is not None else "",
            "time_zone": limit.time_zone,
        }
        yield ", ".join([line, *(f"{name}: {value}" for name, value in more.items() if value)])


def _go(value: bool) -> str:  # noqa: FBT001  it is what is printed
    return "true" if value else "false"
