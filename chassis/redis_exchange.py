"""A command on its way over a link, by callback, and what its outcome says about the server.

A task and a timer a command cost 25 us, more than the command: an exchange is one object that the
link calls when the reply is there, and one alarm watches the deadlines of all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

from chassis.alarm import Alarm
from chassis.breaker import BreakerState
from chassis.errors import Unavailable
from chassis.redis_link import pack
from chassis.redis_replies import Outcome, lost

if TYPE_CHECKING:
    from collections.abc import Callable

    from chassis.redis_link import Link
    from chassis.redis_node import Node
    from chassis.redis_stats import RedisStats

Heard: TypeAlias = "Callable[[Any, BaseException | None], None]"

# A caller with less time than this proves nothing about Redis when it gives up, so that
# impatient callers cannot open the breaker for the others.
SHORTEST_EVIDENCE_SECONDS = 0.01
# One that had nearly all the time that a command may take needs no others to bear it out. Nearly:
# a little of it may have gone into connecting.
_WHOLE_TIME_SHARE = 0.9

_ASKING = pack(("ASKING",))


class Exchange:
    """One command until it is answered, lost or out of time; a Waiter of its link."""

    __slots__ = ("_exchanges", "_heard", "deadline", "node", "started")

    def __init__(
        self, exchanges: Exchanges, node: Node, started: float, deadline: float, heard: Heard
    ) -> None:
        self._exchanges = exchanges
        # None once it is over.
        self._heard: Heard | None = heard
        self.node = node
        self.started = started
        self.deadline = deadline

    def replied(self, reply: Any) -> None:
        """See Waiter."""
        heard = self._end()
        if heard is not None:
            self.node.answered()
            heard(reply, None)

    def lost(self, error: Unavailable) -> None:
        """See Waiter."""
        heard = self._end()
        if heard is not None:
            self._exchanges.stats.failures += 1
            self._exchanges.count_failure(self)
            heard(None, error)

    def expire(self) -> None:
        """Its time is up."""
        heard = self._end()
        if heard is not None:
            self._exchanges.stats.timeouts += 1
            self._exchanges.count_failure(self)
            error = Unavailable(
                f"Redis at {self.node.address} has not answered within "
                f"{self.deadline - self.started:.3g} s",
                reason="REDIS_TIMEOUT",
                metadata={"outcome": Outcome.UNKNOWN.value},
            )
            heard(None, error)

    def abandon(self) -> None:
        """Nobody waits for it any more; its reply is dropped when it comes."""
        self._end()

    def _end(self) -> Heard | None:
        heard, self._heard = self._heard, None
        if heard is not None:
            self._exchanges.ended(self)
        return heard


class Exchanges:
    """All exchanges of one door. `wake` tells its keeper of a sign of trouble."""

    def __init__(
        self,
        stats: RedisStats,
        monotonic: Callable[[], float],
        *,
        wake: Callable[[], None],
        longest_seconds: float,
    ) -> None:
        self.stats = stats
        self.now = monotonic
        self._wake = wake
        self._longest_seconds = longest_seconds
        self._open: set[Exchange] = set()
        self._alarm = Alarm(monotonic, self._ring)

    def begin(
        self,
        node: Node,
        link: Link,
        packed: bytes,
        deadline: float,
        heard: Heard,
        *,
        asking: bool = False,
    ) -> Exchange:
        """Send a command; `heard(reply, None)` or `heard(None, Unavailable)` follows, once.

        It comes in a later turn of the loop, by `deadline` (seconds on the door's clock). An error
        reply is a reply. `asking` follows an ASK. Raises Unavailable or Exhausted, and then
        nothing was sent and nothing follows.
        """
        started = self.now()
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
        exchange = Exchange(self, node, started, deadline, heard)
        # ASKING holds for the next command of the link: one write keeps the two together.
        link.send(packed, exchange, preamble=_ASKING if asking else b"")
        self.stats.calls += 1
        self._open.add(exchange)
        if deadline < self._alarm.at:
            self._alarm.set(deadline)
        return exchange

    def ended(self, exchange: Exchange) -> None:
        """Take note that one is over."""
        self._open.discard(exchange)
        self.stats.wait_seconds += self.now() - exchange.started

    def count_failure(self, exchange: Exchange) -> None:
        """Take note that one was not answered."""
        node, now = exchange.node, self.now()
        waited = now - exchange.started
        if waited < SHORTEST_EVIDENCE_SECONDS:
            return
        node.breaker.failed(now)
        if waited >= _WHOLE_TIME_SHARE * self._longest_seconds:
            node.silent = True
        if node.silent or node.breaker.state is not BreakerState.CLOSED:
            self._wake()  # its ping decides sooner than the next trial

    def close(self) -> None:
        """Stop the alarm; the links being closed, every exchange hears of that."""
        self._alarm.stop()

    def _ring(self, now: float) -> float:
        for exchange in [one for one in self._open if one.deadline <= now]:
            exchange.expire()
        return min((one.deadline for one in self._open), default=math.inf)
