"""The rules in force: loaded at start, loaded again when the directory changes, swapped whole.

A load that fails changes nothing but what is said of it: the old rules go on.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watchfiles import awatch

from chassis.errors import ConfigError
from ratelimit_service.storage import rules_file

if TYPE_CHECKING:
    from pathlib import Path

    import structlog

    from chassis.clock import Clock
    from ratelimit_service.core.rules import RuleSet
    from ratelimit_service.storage.rules_file import RuleFile

_SETTLE_MS = 50  # an editor writes a file in several steps; wait for the last of them
_RECHECK_SECONDS = 5.0  # a change that gave no event (NFS, some overlays) is seen this late


@dataclass(slots=True)
class LoadCounts:
    """Loads since the start, as plain integers for the metrics."""

    success: int = 0
    error: int = 0


class RuleBook:
    """A RuleSource (see service.py) over a directory."""

    def __init__(self, directory: Path, *, clock: Clock, log: structlog.stdlib.BoundLogger) -> None:
        self._directory = directory
        self._clock = clock
        self._log = log
        self._seen = ""
        self.current: RuleSet | None = None
        self.files: tuple[RuleFile, ...] = ()
        self.generation = 0
        self.load_time = 0.0
        self.last_error = ""
        self.counts = LoadCounts()

    async def load(self) -> None:
        """Load the directory and put its rules in force; raise ConfigError and change nothing."""
        self._seen = await asyncio.to_thread(rules_file.fingerprint, self._directory)
        try:
            # In a thread: fifty thousand rules take seconds, and calls must go on meanwhile.
            loaded = await asyncio.to_thread(rules_file.load, [self._directory])
        except ConfigError as error:
            self.counts.error += 1
            self.last_error = str(error)
            raise
        self.counts.success += 1
        self.last_error = ""
        self.current, self.files = loaded.rules, loaded.files
        self.generation += 1
        self.load_time = self._clock.now()

    async def reload(self) -> None:
        """Load again; on errors say them in the log and keep the old rules."""
        try:
            await self.load()
        except ConfigError as error:
            self._log.error(
                "rules not reloaded, the old ones stay",
                errors=[str(problem) for problem in error.problems],
            )
        else:
            self._log.info("rules reloaded", generation=self.generation, files=len(self.files))

    async def watch(self, stop: asyncio.Event) -> None:
        """Reload whenever the content of the directory has changed, until `stop`.

        The parent is watched too: Kubernetes and the reference's RUNTIME_ROOT swap a symlink
        above the files.
        """
        async for _ in awatch(
            self._directory,
            self._directory.parent,
            recursive=False,
            step=_SETTLE_MS,
            rust_timeout=int(_RECHECK_SECONDS * 1000),
            yield_on_timeout=True,
            stop_event=stop,
        ):
            if await asyncio.to_thread(rules_file.fingerprint, self._directory) != self._seen:
                await self.reload()
