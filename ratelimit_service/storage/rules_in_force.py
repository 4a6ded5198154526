"""The rules in force, wherever they come from: swapped whole, or not at all.

A load that fails changes nothing but what is said of it: the old rules go on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from chassis.clock import SystemClock
from chassis.errors import ConfigError
from ratelimit_service.storage.build_process import build_apart
from ratelimit_service.storage.collector import branches_of, release

if TYPE_CHECKING:
    import structlog

    from chassis.clock import Clock
    from chassis.errors import Problem
    from chassis.metrics import Metrics
    from ratelimit_service.core.rule import RuleSet
    from ratelimit_service.storage.rule_sources import Built, RuleFile, RuleSources

# What a log and `/readyz` hold; GetConfig has them all.
_PROBLEMS_SHOWN = 50


class RulesInForce:
    """A RuleSource (see service.py), and what there is to know of its loads.

    `generation` grows by one with each set of rules. `load_time`: when the present ones came, in
    Unix seconds. `files`: what the last load found.
    """

    def __init__(self, *, log: structlog.stdlib.BoundLogger, clock: Clock | None = None) -> None:
        self.current: RuleSet | None = None
        self.generation = 0
        self.load_time: float | None = None
        self.files: tuple[RuleFile, ...] = ()
        self.last_error = ""
        self.loads = 0
        self.failed_loads = 0
        self._log = log
        self._clock = clock or SystemClock()
        self._loading = asyncio.Lock()  # two loads may come at once; the newer must win

    @property
    def detail(self) -> str:
        """What `/readyz` says of the rules."""
        if self.current is None:
            said = "no rate limit configuration loaded"
        elif self.last_error:
            said = f"generation {self.generation} stays in force"
        else:
            said = f"generation {self.generation}"
        return f"{said}, the last load failed: {self.last_error}" if self.last_error else said

    def observe(self, metrics: Metrics) -> None:
        """Expose the loads, and whether the rules in force are those of the last one."""
        metrics.observe_counter(
            "ratelimit_config_loads",
            "Loads of the rules, by result.",
            read=lambda: [
                (self.loads, {"result": "success"}),
                (self.failed_loads, {"result": "error"}),
            ],
        )
        metrics.observe_gauge(
            "ratelimit_config_stale",
            "1 while older rules serve because the last load failed.",
            read=lambda: int(bool(self.last_error)),
        )

    async def _put(self, sources: RuleSources) -> None:
        """Put the rules of `sources` in force; raise ConfigError and change nothing. Locked."""
        built = await self._built(sources)
        self.files = built.files
        if built.rules is None:
            self.failed_loads += 1
            self.last_error = "\n".join(shown(built.problems))
            raise ConfigError(built.problems)
        old = await branches_of(self.current)
        self.loads += 1
        self.last_error = ""
        self.current = built.rules
        self.generation += 1
        self.load_time = self._clock.now()
        for line in shown(built.rules.warnings):
            self._log.warning(line)
        await release(old)

    async def _built(self, sources: RuleSources) -> Built:
        if self.current is None:
            # There is no call yet that could be held up, and a thread starts sooner.
            return await asyncio.to_thread(sources.built)
        return await build_apart(sources)

    def _tell(self, error: ConfigError) -> None:
        """Say in the log what is wrong."""
        stays = "the old ones stay" if self.current else "there are none yet"
        self._log.error(f"rules not reloaded, {stays}")
        for line in shown(error.problems):
            self._log.error(line)


def shown(problems: tuple[Problem, ...]) -> list[str]:
    """Return the first of `problems` as lines."""
    lines = [str(problem) for problem in problems[:_PROBLEMS_SHOWN]]
    if len(problems) > _PROBLEMS_SHOWN:
        lines.append(f"and {len(problems) - _PROBLEMS_SHOWN} problems more")
    return lines
