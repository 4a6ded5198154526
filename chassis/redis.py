"""The door to Redis: scripts and commands go through it, and trouble comes out as one error.

A door opens at once, whether Redis is there or not. Its keeper finds the servers, opens the links,
pings them every second, and when they are away tries again with jittered backoff, so that
nobody has to restart anything. Callers never wait for a server that is known to be away.

A script whose outcome is unknown is never sent again, because a charge is not idempotent: the
caller hears Unavailable with metadata `outcome=unknown`. Only a reply that says the script did not
run (NOSCRIPT, MOVED, ASK) makes the door try once more.

    door = RedisDoor(settings.redis, name="ratelimit")
    await door.open()
    reply = await door.run(SCRIPT, keys=[key], args=[100, 60], timeout_seconds=0.02)
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import hiredis

from chassis.breaker import BreakerState
from chassis.clock import Clock, SystemClock
from chassis.errors import DeadlineExceeded, SluiceError, Unavailable
from chassis.log import get_logger
from chassis.redis_link import Entry, Link, Word, pack
from chassis.redis_places import redirection
from chassis.redis_replies import Outcome, RedisReplyError, first_word, lost, translate
from chassis.redis_settings import (
    Address,
    RedisSettings,
    RedisType,
    parse_auth,
    parse_target,
    tls_context,
)
from chassis.redis_sites import ClusterSites, Dialer, Node, SentinelSites, SingleSites, Sites
from chassis.redis_stats import RedisStats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chassis.lua import Script
    from chassis.metrics import Metrics

__all__ = ["RedisDoor", "RedisReplyError", "RedisSettings", "RedisStats", "RedisType"]

PING_SECONDS = 1.0
FIRST_BACKOFF_SECONDS = 0.05
# Half a second: a server that is back is found within it, and one probe in it harms nobody.
LONGEST_BACKOFF_SECONDS = 0.5
# A cluster that sends us round in more circles than this is not in order.
MAX_REDIRECTS = 4
# A caller with less time than this proves nothing about Redis when it gives up, so that
# impatient callers cannot open the breaker for the others.
SHORTEST_EVIDENCE_SECONDS = 0.01

_ASKING = pack(("ASKING",))

log = get_logger(__name__)


class RedisDoor:
    """One door per Redis; give it to storages. `name` shows in Redis's CLIENT LIST and our logs."""

    def __init__(
        self, settings: RedisSettings, *, name: str = "sluice", clock: Clock | None = None
    ) -> None:
        self.settings = settings
        self.name = name
        self.stats = RedisStats()
        self.ready = False
        self.detail = "not opened yet"
        self._trouble: SluiceError | None = None
        self._monotonic = (clock or SystemClock()).monotonic
        self._sites = _make_sites(settings, name, self._link_lost, self._monotonic)
        self._keeper: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()

    async def open(self) -> None:
        """Start the keeper and return at once; `ready` turns true when Redis answers."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name=f"redis keeper of {self.name}")

    async def close(self) -> None:
        """Stop the keeper, close every link. What is unanswered fails with Unavailable."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        self._sites.close()
        self.ready, self.detail = False, "closed"
        self._settled.set()

    def observe(self, metrics: Metrics) -> None:
        """Expose the counters as `sluice_redis_..._total`, and `sluice_redis_up`."""
        self.stats.observe(metrics, redis=self.name)
        metrics.observe_gauge(
            "redis_up",
            "Whether Redis answers: 1 or 0.",
            read=lambda: [(int(self.ready), {"redis": self.name})],
        )

    def slot_of(self, key: str | bytes) -> int:
        """Return the cluster slot of a key; 0 for every key where there is no cluster.

        Keys of one slot may go into one `run`, others must not.
        """
        return self._sites.slot_of(key)

    async def run(
        self,
        script: Script,
        keys: Sequence[str | bytes],
        args: Sequence[Word],
        timeout_seconds: float | None = None,
    ) -> Any:
        """Run a script once and return its reply (bytes, int, list, None).

        `timeout_seconds` is never longer than REDIS_COMMAND_TIMEOUT. All keys must be of one
        slot. Raises Unavailable (reasons REDIS_...), Exhausted (REDIS_QUEUE_FULL),
        DeadlineExceeded when no time is left at all, RedisReplyError when the script is wrong.
        """
        deadline = self._deadline(timeout_seconds)
        slot = self._sites.slot_of(keys[0]) if keys else 0
        words = (script.sha, len(keys), *keys, *args)
        reply = await self._ask(slot, pack(("EVALSHA", *words)), deadline)
        if type(reply) is not hiredis.ReplyError:
            return reply
        if str(reply).startswith("NOSCRIPT"):
            # It did not run. The server was restarted or flushed; EVAL brings the script back.
            words = (script.source, *words[1:])
            reply = await self._ask(slot, pack(("EVAL", *words)), deadline)
            if type(reply) is not hiredis.ReplyError:
                return reply
        raise self._translated(str(reply), slot)

    async def call(
        self,
        *command: Word,
        key: str | bytes | None = None,
        timeout_seconds: float | None = None,
    ) -> Any:
        """Send one command, such as `call("GET", key)`; errors as in `run`.

        In a cluster `key` decides where it goes; it is the second word unless given. Blocking
        commands and subscriptions do not belong here: others wait on the same connection.
        """
        if key is None:
            second = command[1] if len(command) > 1 else ""
            key = second if isinstance(second, str | bytes) else str(second)
        slot = self._sites.slot_of(key)
        reply = await self._ask(slot, pack(command), self._deadline(timeout_seconds))
        if type(reply) is hiredis.ReplyError:
            raise self._translated(str(reply), slot)
        return reply

    # -- one exchange -------------------------------------------------------------------------

    def _deadline(self, timeout_seconds: float | None) -> float:
        """Return when to give up, on the monotonic clock: one deadline for all attempts."""
        longest = self.settings.command_timeout_seconds
        allowed = longest if timeout_seconds is None else min(timeout_seconds, longest)
        if allowed <= 0:
            raise DeadlineExceeded("the caller's deadline has passed before Redis was asked")
        return self._monotonic() + allowed

    async def _ask(self, slot: int, packed: bytes, deadline: float) -> Any:
        """Exchange one command, following a cluster's redirections; an error reply is returned."""
        node = self._sites.node_of(slot)
        asking = False
        for _ in range(MAX_REDIRECTS + 1):
            reply = await self._exchange(node, slot, packed, deadline, asking=asking)
            if type(reply) is not hiredis.ReplyError:
                return reply
            word = first_word(str(reply))
            if word not in ("MOVED", "ASK"):
                return reply
            asking = word == "ASK"
            node = self._redirected(str(reply), slot, node)
            self._wake.set()
            if node.pick() is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(deadline - self._monotonic()):
                        await node.mend()
        raise Unavailable(
            f"the Redis cluster redirects slot {slot} in circles",
            reason="REDIS_CLUSTER_MOVING",
            metadata={"outcome": Outcome.NOT_EXECUTED.value},
        )

    def _redirected(self, text: str, slot: int, node: Node | None) -> Node:
        asked = node.address if node is not None else Address()
        try:
            address = redirection(text, asked)
        except ValueError as error:
            raise lost(asked, Outcome.NOT_EXECUTED, f"it answers {error}") from error
        return self._sites.redirect(slot, address, moved=first_word(text) == "MOVED")

    async def _exchange(
        self, node: Node | None, slot: int, packed: bytes, deadline: float, *, asking: bool
    ) -> Any:
        link = node.pick() if node is not None else None
        if node is None or link is None:
            node, link = await self._wait_for_link(node, slot, deadline)
        started = self._monotonic()
        if started >= deadline:
            self.stats.refusals += 1
            raise lost(node.address, Outcome.NOT_EXECUTED, "connecting took all the time there was")
        if not node.breaker.allows(started):
            self.stats.refusals += 1
            raise Unavailable(
                f"Redis at {node.address} has not answered lately; it is tried again soon",
                reason="REDIS_CIRCUIT_OPEN",
                metadata={"outcome": Outcome.NOT_EXECUTED.value},
            )
        # ASKING holds for the next command of the link: one write keeps the two together.
        future = link.request(_ASKING + packed, replies=2) if asking else link.request(packed)
        timer = future.get_loop().call_later(deadline - started, _expire, future)
        self.stats.calls += 1
        try:
            reply = await future
        except TimeoutError as error:
            self.stats.timeouts += 1
            self._count_failure(node, started)
            raise Unavailable(
                f"Redis at {node.address} has not answered within {deadline - started:.3g} s",
                reason="REDIS_TIMEOUT",
                metadata={"outcome": Outcome.UNKNOWN.value},
            ) from error
        except Unavailable:
            self.stats.failures += 1
            self._count_failure(node, started)
            raise
        finally:
            timer.cancel()
            self.stats.wait_seconds += self._monotonic() - started
        node.breaker.succeeded()
        return reply

    async def _wait_for_link(
        self, node: Node | None, slot: int, deadline: float
    ) -> tuple[Node, Link]:
        """Wait for the attempt to connect that is under way, if one is; never for a second one."""
        try:
            async with asyncio.timeout(deadline - self._monotonic()):
                await self._settled.wait()
        except TimeoutError:
            log.debug("gave up waiting for a connection", redis=self.name)
        node = node or self._sites.node_of(slot)
        link = node.pick() if node is not None else None
        if node is not None and link is not None:
            return node, link
        self.stats.refusals += 1
        if self._trouble is not None:
            raise Unavailable(
                self._trouble.message,
                reason=self._trouble.reason,
                metadata={"outcome": Outcome.NOT_EXECUTED.value},
            )
        raise Unavailable(
            f"Redis is not connected: {self.detail}",
            reason="REDIS_UNAVAILABLE",
            metadata={"outcome": Outcome.NOT_EXECUTED.value},
        )

    def _count_failure(self, node: Node, started: float) -> None:
        now = self._monotonic()
        if now - started >= SHORTEST_EVIDENCE_SECONDS:
            node.breaker.failed(now)
            if node.breaker.state is not BreakerState.CLOSED:
                self._wake.set()  # the keeper's ping decides sooner than the next trial

    def _translated(self, text: str, slot: int) -> Exception:
        node = self._sites.node_of(slot)
        failure = translate(text, node.address if node is not None else Address())
        if isinstance(failure, Unavailable):
            self.stats.failures += 1
            if failure.reason == "REDIS_READONLY" and node is not None:
                # Its role has changed under us: only new connections find the new primary.
                node.close("it has become a read-only replica")
                self._settled.clear()
                self._wake.set()
        return failure

    # -- the keeper ---------------------------------------------------------------------------

    async def _keep(self) -> None:
        failures = 0
        while True:
            self._wake.clear()
            well = await self._mend()
            self._settled.set()
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
            half_well = await self._sites.mend()
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
            if told.message != self.detail:  # once, not at every attempt
                log.exception("the redis keeper failed: this is a bug", redis=self.name)
            self._went_away(told)
            return False
        self._came_back(half_well)
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

    def _came_back(self, half_well: str) -> None:
        if not self.ready:
            log.info("redis is ready", redis=self.name)
        elif half_well and half_well != self.detail:
            log.warning("redis is ready in part", redis=self.name, detail=half_well)
        self.ready, self.detail, self._trouble = True, half_well or "ok", None

    def _went_away(self, error: SluiceError) -> None:
        if self.ready:
            self.stats.outages += 1
        if self.ready or error.message != self.detail:
            log.warning("redis is away", redis=self.name, detail=error.message)
        self.ready, self.detail, self._trouble = False, error.message, error

    def _link_lost(self, link: Link) -> None:
        log.debug("redis connection lost", redis=self.name, address=str(link.address))
        if self.ready:
            self._settled.clear()
        self._wake.set()


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


def _make_sites(
    settings: RedisSettings,
    name: str,
    on_lost: Callable[[Link], None],
    monotonic: Callable[[], float],
) -> Sites:
    target = parse_target(settings)
    entry = Entry(
        credentials=target.credentials,
        database=target.database,
        tls=tls_context(settings) if target.tls else None,
        name=name,
        must_be_master=settings.type is not RedisType.CLUSTER,
        timeout_seconds=settings.connect_timeout_seconds,
    )
    dialer = Dialer(
        entry, on_lost, size=settings.pool_size, ping_seconds=settings.command_timeout_seconds
    )
    if settings.type is RedisType.CLUSTER:
        return ClusterSites(target, dialer)
    if settings.type is RedisType.SENTINEL:
        guard = replace(
            entry,
            credentials=parse_auth(settings.sentinel_auth),
            database=0,
            must_be_master=False,
        )
        return SentinelSites(target, dialer, guard, monotonic)
    return SingleSites(target, dialer)
