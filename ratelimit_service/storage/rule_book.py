"""The rules in force: loaded at start, loaded again when the directory changes, swapped whole.

A load that fails changes nothing but what is said of it: the old rules go on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from watchfiles import awatch

from chassis.errors import ConfigError, OperatorError
from ratelimit_service.storage import rules_file

if TYPE_CHECKING:
    from pathlib import Path

    import structlog

    from chassis.metrics import Metrics
    from ratelimit_service.core.rules import RuleSet
    from ratelimit_service.storage.rules_file import Sources

_SETTLE_MS = 50  # an editor writes a file in several steps; wait for the last of them
# A change that gave no event (NFS, some overlays, the instant before the watch stands) is seen this
# late. Reading 50,000 rules takes 2 ms.
_RECHECK_SECONDS = 1.0


class RuleBook:
    """A RuleSource (see service.py) over a directory.

    `watched_root`, if given, is watched beside the directory: the reference's RUNTIME_ROOT is a
    symlink that is swapped as a whole.
    """

    def __init__(
        self, directory: Path, *, watched_root: Path | None, log: structlog.stdlib.BoundLogger
    ) -> None:
        self.directory = directory
        self.current: RuleSet | None = None
        self.generation = 0
        self.last_error = ""
        self.loads = 0
        self.failed_loads = 0
        self._watched_root = watched_root
        self._log = log
        self._seen: Sources | None = None
        self._loading = asyncio.Lock()  # SIGHUP and a change may come at once; the newer must win
        self._stop = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Load the rules, or raise with everything that is wrong with them; then watch them."""
        if not self.directory.is_dir():
            raise OperatorError(
                f"there is no rules directory {self.directory}; create it, or set "
                "RUNTIME_ROOT, RUNTIME_SUBDIRECTORY and RUNTIME_APPDIRECTORY to the one you have"
            )
        await self.load()
        self._watching = asyncio.create_task(self._watch(), name="rules")

    async def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._watching is not None:
            await self._watching

    async def load(self) -> None:
        """Load the directory and put its rules in force; raise ConfigError and change nothing."""
        async with self._loading:
            # In a thread: fifty thousand rules take seconds, and calls must go on meanwhile.
            self._seen = await asyncio.to_thread(rules_file.read, [self.directory])
            try:
                rules = await asyncio.to_thread(self._seen.build)
            except ConfigError as error:
                self.failed_loads += 1
                self.last_error = str(error)
                raise
            self.loads += 1
            self.last_error = ""
            self.current = rules
            self.generation += 1

    async def reload(self) -> None:
        """Load again; on errors say them in the log and keep the old rules."""
        try:
            await self.load()
        except ConfigError as error:
            self._log.error("rules not reloaded, the old ones stay")
            for problem in error.problems:
                self._log.error(str(problem))
        else:
            self._log.info("rules reloaded", generation=self.generation)

    @property
    def detail(self) -> str:
        """What `/readyz` says of the rules."""
        if self.current is None:
            return "no rate limit configuration loaded"
        if self.last_error:
            return (
                f"generation {self.generation} stays in force, the last load failed: "
                f"{self.last_error}"
            )
        return f"generation {self.generation}"

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

    async def _watch(self) -> None:
        """Reload whenever the content of the directory is another, until `close`."""
        while not self._stop.is_set():
            try:
                await self._follow_events()
            except OSError as error:
                # The system's limit on watches, or the directory itself is being replaced.
                self._log.warning("rules are polled, watching fails", error=str(error))
                await self._reload_if_changed()
                await self._pause()

    async def _follow_events(self) -> None:
        watched = [self.directory]
        if self._watched_root is not None:
            watched += [self._watched_root, self._watched_root.parent]
        async for _ in awatch(
            *watched,
            watch_filter=None,  # `..data` counts, and what an editor leaves behind does not hurt
            recursive=False,
            step=_SETTLE_MS,
            rust_timeout=int(_RECHECK_SECONDS * 1000),
            yield_on_timeout=True,
            stop_event=self._stop,
        ):
            await self._reload_if_changed()

    async def _reload_if_changed(self) -> None:
        if await asyncio.to_thread(rules_file.read, [self.directory]) != self._seen:
            await self.reload()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_RECHECK_SECONDS):
                await self._stop.wait()
        except TimeoutError:
            return
