"""Who looks after the connections to Redis, so that callers and operators need not.

The keeper has the sites mended: servers found, links opened, pings answered, what was refused
tried again. It does so twice a second while all is well, at once on a sign of trouble, and with
jittered backoff while nothing can be reached. What `ready` says is no older than the last call:
the nodes tell their trouble at once, and the keeper only finds the words and the way out.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from chassis.errors import SluiceError, Unavailable
from chassis.log import get_logger
from chassis.redis_replies import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from chassis.redis_link import Link
    from chassis.redis_sites import Sites
    from chassis.redis_stats import RedisStats

# Without traffic a server that hangs is found after this and the time one command may take.
PING_SECONDS = 0.5
FIRST_BACKOFF_SECONDS = 0.05
# Half a second: a server that is back is found within it, and one probe in it harms nobody.
LONGEST_BACKOFF_SECONDS = 0.5

log = get_logger(__name__)


class Keeper:
    """The keeper of one door. `name` is the door's, for logs."""

    def __init__(
        self,
        name: str,
        stats: RedisStats,
        make_sites: Callable[[Callable[[Link], None]], Sites],
    ) -> None:
        self.sites = make_sites(self._link_lost)
        # Clear while an attempt to connect is under way that callers may wait for.
        self.settled = asyncio.Event()
        # Why nothing can be reached, while that is so.
        self.trouble: SluiceError | None = None
        self._name = name
        self._stats = stats
        # Whether the last attempt succeeded; what the nodes do since then comes on top.
        self.connected = False
        self._why_not = "not opened yet"
        self._told = (False, self._why_not)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether calls can be served now."""
        return self.connected and self.sites.standing().usable

    @property
    def detail(self) -> str:
        """`ok`, or a sentence on what is wrong."""
        if not self.connected:
            return self._why_not
        return self.sites.standing().trouble or "ok"

    def open(self) -> None:
        """Begin, and return at once."""
        if self._task is None:
            self._why_not = "connecting"
            self._task = asyncio.create_task(self._keep(), name=f"redis keeper of {self._name}")

    async def close(self) -> None:
        """Stop, and close every link."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self.sites.close()
        self.connected, self._why_not = False, "closed"
        self.settled.set()

    def wake(self) -> None:
        """Look now: there is a sign of trouble."""
        self._wake.set()

    def connect_again(self) -> None:
        """Look now, and let callers wait for the outcome: links were cut by a server that lives."""
        self.settled.clear()
        self._wake.set()

    def _link_lost(self, link: Link) -> None:
        log.debug("redis connection lost", redis=self._name, address=str(link.address))
        if self.connected:
            self.settled.clear()
        self._wake.set()

    async def _keep(self) -> None:
        failures = 0
        while True:
            self._wake.clear()
            well = await self._mend()
            self.settled.set()
            if well:
                failures = 0
                await self._pause()
            else:
                longest = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0**failures)
                failures = min(failures + 1, 16)
                await asyncio.sleep(longest * (0.5 + 0.5 * random.random()))  # noqa: S311  jitter

    async def _mend(self) -> bool:
        """Connect what is missing, whatever happens: a keeper that ends is never replaced."""
        try:
            await self.sites.mend()
        except SluiceError as error:
            self._went_away(error)
            return False
        except Exception as bug:
            told = Unavailable(
                f"connecting to Redis fails by a mistake of ours ({type(bug).__name__}); "
                "the log has the details",
                reason="REDIS_UNAVAILABLE",
                metadata={"outcome": Outcome.NOT_EXECUTED.value},
            )
            if told.message != self._why_not:  # once, not at every attempt
                log.exception("the redis keeper failed: this is a bug", redis=self._name)
            self._went_away(told)
            return False
        self._came_back()
        return True

    async def _pause(self) -> None:
        """Wait for the next ping, or for a sign of trouble."""
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return
        # However many signs come, at most a hundred probes a second follow from them.
        await asyncio.sleep(0.01)

    def _came_back(self) -> None:
        self.connected, self._why_not, self.trouble = True, "", None
        ready, detail = self.ready, self.detail
        if (ready, detail) == self._told:
            return
        self._told = (ready, detail)
        if detail == "ok":
            log.info("redis is ready", redis=self._name)
        elif ready:
            log.warning("redis is ready in part", redis=self._name, detail=detail)
        else:
            log.warning("redis answers, but serves no calls", redis=self._name, detail=detail)

    def _went_away(self, error: SluiceError) -> None:
        if self.connected:
            self._stats.outages += 1
        self.connected, self._why_not, self.trouble = False, error.message, error
        if self._told != (False, error.message):
            log.warning("redis is away", redis=self._name, detail=error.message)
        self._told = (False, error.message)
