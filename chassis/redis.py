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
    door.submit(SCRIPT, keys=[key], args=[100, 60], timeout_seconds=0.02, done=heard)

`submit` is `run` by callback, for who calls so often that a task a call is too much.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import hiredis

from chassis import redis_stats
from chassis.clock import Clock, SystemClock
from chassis.errors import DeadlineExceeded, Unavailable
from chassis.log import get_logger
from chassis.redis_exchange import Exchanges
from chassis.redis_keeper import Keeper
from chassis.redis_link import Entry, Link, Word, pack
from chassis.redis_refusal import PROBE, Refusal, refusal_of
from chassis.redis_replies import Outcome, RedisReplyError, translate
from chassis.redis_route import Route
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
    from chassis.redis_exchange import Heard

__all__ = ["RedisDoor", "RedisReplyError", "RedisSettings", "RedisStats", "RedisType"]

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
        self._exchanges = Exchanges(
            self.stats,
            self._monotonic,
            wake=self._keeper.wake,
            longest_seconds=settings.command_timeout_seconds,
        )
        self._route = Route(name, self._keeper, self._exchanges)
        self._tasks: set[asyncio.Task[Any]] = set()
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
        self._exchanges.close()

    async def try_out(self, key: str | bytes) -> None:
        """Find out whether scripts may write to `key`, writing nothing; errors as in `run`.

        Waits for the first attempt to connect, so it is for the start of a program. A permission
        that only the script's own commands need is not seen.
        """
        await self._keeper.settled.wait()
        await self.run(PROBE, [key], [])

    def observe(self, metrics: Metrics, *others: RedisDoor) -> None:
        """Expose the counters of these doors as `sluice_redis_..._total`, and `sluice_redis_up`."""
        doors = (self, *others)
        redis_stats.observe(metrics, {door.name: door.stats for door in doors})
        metrics.observe_gauge(
            "redis_up",
            "Whether Redis answers: 1 or 0.",
            read=lambda: [(int(door.ready), {"redis": door.name}) for door in doors],
        )

    @property
    def clustered(self) -> bool:
        """Whether keys may be of different slots."""
        return self.settings.type is RedisType.CLUSTER

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
        slot = self._sites.slot_of(keys[0]) if keys else 0
        deadline = self._deadline(timeout_seconds)
        return await self._finish(_Errand(script, keys, args, slot, deadline))

    def submit(
        self,
        script: Script,
        keys: Sequence[str | bytes],
        args: Sequence[Word],
        timeout_seconds: float | None,
        done: Heard,
    ) -> None:
        """Run a script, as `run`, and call `done(reply, None)` or `done(None, error)`, once.

        Never before this returns, and at latest when `timeout_seconds` are over. What `done`
        raises is a bug, which is logged.
        """
        slot = self._sites.slot_of(keys[0]) if keys else 0
        try:
            errand = _Errand(script, keys, args, slot, self._deadline(timeout_seconds))
            heard = partial(self._heard, errand, done)
            if not self._route.begin(slot, errand.pack(), errand.deadline, heard):
                self._finish_later(errand, done)
        except Exception as error:  # noqa: BLE001  every outcome is told in one way, bugs too
            asyncio.get_running_loop().call_soon(_tell, done, None, error)

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
        reply = await self._route.ask(slot, pack(command), self._deadline(timeout_seconds))
        if type(reply) is hiredis.ReplyError:
            raise self._translated(str(reply), slot)
        return reply

    # -- one script ---------------------------------------------------------------------------

    async def _finish(self, errand: _Errand, first: Any = None) -> Any:
        """Run a script, or go on after the first answer, an error reply."""
        slot, keys = errand.slot, errand.keys
        try:
            reply = await self._route.ask(slot, errand.pack(), errand.deadline, first)
            if type(reply) is hiredis.ReplyError and str(reply).startswith("NOSCRIPT"):
                # It did not run. The server was restarted or flushed; EVAL brings the script back.
                reply = await self._route.ask(slot, errand.pack(by_source=True), errand.deadline)
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

    def _heard(self, errand: _Errand, done: Heard, reply: Any, error: BaseException | None) -> None:
        """Take the first answer to a submitted script, which nearly always is the last."""
        if error is not None:
            if isinstance(error, Unavailable):
                self._not_served(errand.slot, errand.keys, error)
            _tell(done, None, error)
        elif type(reply) is hiredis.ReplyError:
            self._finish_later(errand, done, reply)
        else:
            if self._doubted:
                self._served(errand.slot)
            _tell(done, reply, None)

    def _finish_later(self, errand: _Errand, done: Heard, first: Any = None) -> None:
        """Do in a task what has to wait: a link that is missing, a second attempt."""
        task = asyncio.create_task(self._finish(errand, first), name=f"redis {self.name}")
        self._tasks.add(task)
        task.add_done_callback(partial(self._finished, done))

    def _finished(self, done: Heard, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error: BaseException | None
        if task.cancelled():
            error = Unavailable(
                "the program ends; whether Redis ran the script is unknown",
                reason="SHUTTING_DOWN",
                metadata={"outcome": Outcome.UNKNOWN.value},
            )
        else:
            error = task.exception()
        _tell(done, None if error else task.result(), error)

    def _deadline(self, timeout_seconds: float | None) -> float:
        """Return when to give up, on the monotonic clock: one deadline for all attempts."""
        longest = self.settings.command_timeout_seconds
        allowed = longest if timeout_seconds is None else min(timeout_seconds, longest)
        if allowed <= 0:
            raise DeadlineExceeded("the caller's deadline has passed before Redis was asked")
        return self._monotonic() + allowed

    # -- what a call says about the server ----------------------------------------------------

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


@dataclass(slots=True)
class _Errand:
    """A script on its way: by its SHA-1 first, by its source where that is unknown."""

    script: Script
    keys: Sequence[str | bytes]
    args: Sequence[Word]
    slot: int
    deadline: float

    def pack(self, *, by_source: bool = False) -> bytes:
        """Return it as a command."""
        if by_source:
            return pack(("EVAL", self.script.source, len(self.keys), *self.keys, *self.args))
        return pack(("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args))


def _tell(done: Heard, reply: Any, error: BaseException | None) -> None:
    """Call back. A link or a timer calls us, and neither may fail because a caller did."""
    try:
        done(reply, error)
    except Exception:
        log.exception("what was called with a script's reply failed: this is a bug")


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
