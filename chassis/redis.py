"""The door to Redis: scripts and commands go through it, and trouble comes out as one error.

A door opens at once, whether Redis is there or not. Its keeper (redis_keeper.py) connects, looks
after the connections and connects again, so that nobody has to restart anything. Callers never
wait for a server that is known to be away.

`ready` and `detail` tell what is known at this moment: they turn when a call is not answered in
all the time it may take, when no link is left, and when Redis refuses a script.

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
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import hiredis

from chassis.breaker import BreakerState
from chassis.clock import Clock, SystemClock
from chassis.errors import DeadlineExceeded, Unavailable
from chassis.log import get_logger
from chassis.redis_keeper import Keeper
from chassis.redis_link import Entry, Link, Word, pack
from chassis.redis_places import redirection
from chassis.redis_refusal import PROBE, Refusal, refusal_of
from chassis.redis_replies import Outcome, RedisReplyError, first_word, lost, translate
from chassis.redis_settings import (
    Address,
    RedisSettings,
    RedisType,
    parse_auth,
    parse_target,
    tls_context,
)
from chassis.redis_sites import ClusterSites, Dialer, SentinelSites, SingleSites, Sites
from chassis.redis_stats import RedisStats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chassis.lua import Script
    from chassis.metrics import Metrics
    from chassis.redis_node import Node

__all__ = ["RedisDoor", "RedisReplyError", "RedisSettings", "RedisStats", "RedisType"]

# A cluster that sends us round in more circles than this is not in order.
MAX_REDIRECTS = 4
# A caller with less time than this proves nothing about Redis when it gives up, so that
# impatient callers cannot open the breaker for the others.
SHORTEST_EVIDENCE_SECONDS = 0.01
# One that had nearly all the time that a command may take needs no others to bear it out. Nearly:
# a little of it may have gone into connecting.
_WHOLE_TIME_SHARE = 0.9

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
        self._monotonic = (clock or SystemClock()).monotonic
        make_sites = partial(_make_sites, settings, name, self._monotonic)
        self._keeper = Keeper(name, self.stats, make_sites)
        self._sites = self._keeper.sites
        # Whether some node's refusal may be disproved by a script that succeeds.
        self._doubted = False

    @property
    def ready(self) -> bool:
        """Whether a script that comes now would be served, as far as is known."""
        return self._keeper.ready

    @property
    def detail(self) -> str:
        """`ok`, or a sentence on what is wrong (also when it is ready, but in part)."""
        return self._keeper.detail

    async def open(self) -> None:
        """Start the keeper and return at once; `ready` turns true when Redis answers."""
        self._keeper.open()

    async def close(self) -> None:
        """Stop the keeper, close every link. What is unanswered fails with Unavailable."""
        await self._keeper.close()

    async def try_out(self, key: str | bytes) -> None:
        """Find out whether scripts may write to `key`, writing nothing; errors as in `run`.

        Waits for the first attempt to connect, so it is for the start of a program. A permission
        that only the script's own commands need is not seen.
        """
        await self._keeper.settled.wait()
        await self.run(PROBE, [key], [])

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
        try:
            reply = await self._ask(slot, pack(("EVALSHA", *words)), deadline)
            if type(reply) is hiredis.ReplyError and str(reply).startswith("NOSCRIPT"):
                # It did not run. The server was restarted or flushed; EVAL brings the script back.
                words = (script.source, *words[1:])
                reply = await self._ask(slot, pack(("EVAL", *words)), deadline)
        except Unavailable as error:
            self._not_served(slot, keys, error)
            raise
        if type(reply) is not hiredis.ReplyError:
            if self._doubted:
                self._served(slot)
            return reply
        failure = self._translated(str(reply), slot)
        if isinstance(failure, Unavailable):
            self._not_served(slot, keys, failure, str(reply))
        raise failure

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
            self._keeper.wake()
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
        node.answered()
        return reply

    async def _wait_for_link(
        self, node: Node | None, slot: int, deadline: float
    ) -> tuple[Node, Link]:
        """Wait for the attempt to connect that is under way, if one is; never for a second one."""
        try:
            async with asyncio.timeout(deadline - self._monotonic()):
                await self._keeper.settled.wait()
        except TimeoutError:
            log.debug("gave up waiting for a connection", redis=self.name)
        node = node or self._sites.node_of(slot)
        link = node.pick() if node is not None else None
        if node is not None and link is not None:
            return node, link
        self.stats.refusals += 1
        message, reason = self.detail, "REDIS_UNAVAILABLE"
        if self._keeper.trouble is not None:
            message, reason = self._keeper.trouble.message, self._keeper.trouble.reason
        elif not self._keeper.connected:
            message = f"Redis is not connected: {self.detail}"
        elif node is not None:
            message = node.trouble
        else:
            message = f"no node of the Redis cluster is known to serve slot {slot}"
        raise Unavailable(message, reason=reason, metadata={"outcome": Outcome.NOT_EXECUTED.value})

    # -- what a call says about the server ----------------------------------------------------

    def _count_failure(self, node: Node, started: float) -> None:
        now = self._monotonic()
        if now - started < SHORTEST_EVIDENCE_SECONDS:
            return
        node.breaker.failed(now)
        if now - started >= _WHOLE_TIME_SHARE * self.settings.command_timeout_seconds:
            node.silent = True
        if node.silent or node.breaker.state is not BreakerState.CLOSED:
            self._keeper.wake()  # its ping decides sooner than the next trial

    def _not_served(
        self, slot: int, keys: Sequence[str | bytes], error: Unavailable, text: str = ""
    ) -> None:
        """Remember that a script was refused, or that a server let it wait."""
        node = self._sites.node_of(slot)
        key = keys[0] if keys else None
        if node is None:
            return
        if text:
            refusal = refusal_of(error, text, key)
        elif error.reason == "REDIS_TIMEOUT" and node.silent:
            # Not a ping but a script must be answered before it counts as well again: a server
            # that pauses its writes (CLIENT PAUSE) answers pings.
            refusal = Refusal(error=error, key=key)
        else:
            return
        if refusal is None:
            return
        if node.refusal is None:
            self._keeper.wake()  # what passes at once is soon known to have passed
        node.refusal = refusal
        self._doubted = self._doubted or refusal.ends_with_a_success

    def _served(self, slot: int) -> None:
        self._doubted = False
        node = self._sites.node_of(slot)
        if node is not None and node.refusal is not None and node.refusal.ends_with_a_success:
            node.refusal = None

    def _translated(self, text: str, slot: int) -> Exception:
        node = self._sites.node_of(slot)
        failure = translate(text, node.address if node is not None else Address())
        if isinstance(failure, Unavailable):
            self.stats.failures += 1
            if failure.reason == "REDIS_READONLY" and node is not None:
                # Its role has changed under us: only new connections find the new primary.
                node.close("it has become a read-only replica", trouble=failure.message)
                self._keeper.connect_again()
        return failure


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


def _make_sites(
    settings: RedisSettings,
    name: str,
    monotonic: Callable[[], float],
    on_lost: Callable[[Link], None],
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
