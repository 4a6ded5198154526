"""Rules from a directory: loaded at start, and again whenever what is in it changes."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from watchfiles import awatch

from chassis.errors import ConfigError, OperatorError
from ratelimit_service.storage import rules_file
from ratelimit_service.storage.rules_in_force import RulesInForce

if TYPE_CHECKING:
    from pathlib import Path

    import structlog

    from ratelimit_service.storage.rules_file import Sources

_SETTLE_MS = 50  # an editor writes a file in several steps; wait for the last of them
# A change that gave no event (NFS, some overlays, the instant before the watch stands) is seen this
# late. Reading 50,000 rules takes 2 ms of a thread.
_RECHECK_SECONDS = 1.0


class RuleBook(RulesInForce):
    """The rules of a directory.

    `watched_root`, if given, is watched beside the directory: the reference's RUNTIME_ROOT is a
    symlink that is swapped as a whole. `required`: whether to start needs rules without a mistake.
    `merge_domains` and `dot_files`: see rules_file.read.
    """

    def __init__(
        self,
        directory: Path,
        *,
        watched_root: Path | None,
        log: structlog.stdlib.BoundLogger,
        required: bool = True,
        merge_domains: bool = False,
        dot_files: bool = False,
    ) -> None:
        super().__init__(log=log)
        self.directory = directory
        self._required = required
        self._read = partial(
            rules_file.read_runtime,
            directory,
            watch_root=watched_root is not None,
            dot_files=dot_files,
            merge_domains=merge_domains,
        )
        self._watched_root = watched_root
        self._seen: Sources | None = None
        self._stop = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Load the rules and watch them; raise with all that is wrong where they are required."""
        if self._required and not self.directory.is_dir():
            raise OperatorError(
                f"there is no rules directory {self.directory}; create it, or set "
                "RUNTIME_ROOT, RUNTIME_SUBDIRECTORY and RUNTIME_APPDIRECTORY to the one you have"
            )
        try:
            await self.load()
        except ConfigError as error:
            if self._required:
                raise
            self._tell(error)
        self._watching = asyncio.create_task(self._watch(), name="rules")

    async def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._watching is not None:
            await self._watching

    async def load(self, *, only_if_changed: bool = False) -> bool:
        """Put the rules of the directory in force; raise ConfigError and change nothing.

        Return whether there was anything to do.
        """
        async with self._loading:
            seen = await asyncio.to_thread(self._read)
            if only_if_changed and seen == self._seen:
                return False
            self._seen = seen
            await self._put(seen)
            return True

    async def reload(self, *, only_if_changed: bool = False) -> None:
        """Load again; on errors say them in the log and keep the old rules."""
        try:
            if await self.load(only_if_changed=only_if_changed):
                self._log.info("rules reloaded", generation=self.generation)
        except ConfigError as error:
            self._tell(error)

    async def _watch(self) -> None:
        """Reload whenever the content of the directory is another, until `close`."""
        while not self._stop.is_set():
            try:
                await self._follow_events()
            except OSError as error:
                # The system's limit on watches, or the directory itself is being replaced.
                self._log.warning("rules are polled, watching fails", error=str(error))
                await self.reload(only_if_changed=True)
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
            await self.reload(only_if_changed=True)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_RECHECK_SECONDS):
                await self._stop.wait()
        except TimeoutError:
            return
