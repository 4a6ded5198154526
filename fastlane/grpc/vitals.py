"""Whether the peer is alive, pings too much, or the connection has grown old.

One timer a connection, set for the next thing that can come due; traffic only notes the time. An
idle connection wakes the process once in its keepalive time. (gRPC A8 and A9.)
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Final, Protocol

from fastlane.h2 import ErrorCode

if TYPE_CHECKING:
    import asyncio

    from fastlane.grpc.engine import Engine
    from fastlane.h2 import Connection

_KEEPALIVE: Final = b"keepaliv"
# A9: connections that began together must not all end together.
_AGE_JITTER: Final = 0.1
# A client that may not ping without calls may still ping this often.
_TWO_HOURS: Final = 7_200.0


class Patient(Protocol):
    """What the vitals watch over."""

    core: Connection

    @property
    def unwritten(self) -> int:
        """Bytes that the peer has not taken yet."""

    def touch(self) -> None:
        """Write what was produced."""

    def drain(self) -> None:
        """Begin to close."""

    def abandon(self, code: ErrorCode, reason: str) -> None:
        """Close with a reason."""

    def end_calls(self, details: str) -> None:
        """End every call."""

    def abort(self, _reason: str) -> None:
        """Cut."""


class Vitals:
    """The clocks of one connection."""

    def __init__(self, link: Patient, engine: Engine) -> None:
        now = engine.loop.time()
        options = engine.options
        self.heard_at = now
        self._blocked_at: float | None = None
        """Since when the peer has taken none of what waits to be written."""
        self._unwritten = 0
        self._crowded_at: float | None = None
        """Since when the peer has read nothing of the answers that it lets wait."""
        self._sent = 0
        self._closed = False
        self._drain_at: float | None = None
        self._link = link
        self._loop = engine.loop
        self._options = options
        self._opened_at = now
        self._busy_at = now
        self._pinged_at: float | None = None
        self._last_ping = -math.inf
        self._strikes = 0
        self._progress = 0
        jitter = random.uniform(1 - _AGE_JITTER, 1 + _AGE_JITTER)  # noqa: S311 - no secret
        self._ends_at = now + options.max_age * jitter
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self.watch()

    def on_blocked(self) -> None:
        """Note that more waits to be written than should."""
        self._blocked_at = self._loop.time()
        self._unwritten = self._link.unwritten
        self.watch()

    def on_unblocked(self) -> None:
        """Note that the peer has caught up."""
        self._blocked_at = None

    def on_crowded(self) -> None:
        """Note that more answers wait for the peer's windows than should."""
        self._crowded_at = self._loop.time()
        self._sent = self._link.core.bytes_paced
        self.watch()

    def on_uncrowded(self) -> None:
        """Note that the peer has read enough of them."""
        self._crowded_at = None

    def on_ping(self) -> None:
        """Judge a ping of the peer (A8: too many end the connection)."""
        options = self._options
        now = self._loop.time()
        progress = self._link.core.progress
        if progress != self._progress:
            # Data moved: clients ping beside it to measure the link.
            self._progress = progress
            self._strikes = 0
            self._last_ping = now
            return
        allowed = options.min_ping_interval
        if not self._link.core.streams and options.pings_need_calls:
            allowed = _TWO_HOURS
        too_early = now - self._last_ping < allowed
        self._last_ping = now
        if too_early and options.max_ping_strikes:
            self._strikes += 1
            if self._strikes > options.max_ping_strikes:
                self._link.abandon(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")

    def on_answer(self) -> None:
        """Note that the peer answered our ping."""
        self._pinged_at = None

    def watch(self) -> None:
        """Set the timer for whatever comes due first."""
        due = self._next_due()
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._arm(due)

    def on_drain(self) -> None:
        """Note that the connection has begun to close."""
        self._drain_at = self._loop.time()
        self.watch()

    def close(self) -> None:
        """Stop: the connection is gone."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, due: float) -> None:
        self._timer = None
        self._timer_at = due
        if due < math.inf and not self._closed:
            self._timer = self._loop.call_at(due, self._on_timer)

    def _next_due(self) -> float:
        options = self._options
        patience = options.keepalive_timeout
        due = [self._ends_at if self._drain_at is None else math.inf]
        if not self._link.core.is_settled:
            due.append(self._opened_at + patience)
        if self._blocked_at is not None:
            due.append(self._blocked_at + patience)
        if self._crowded_at is not None:
            due.append(self._crowded_at + patience)
        if self._pinged_at is not None:
            due.append(self._pinged_at + patience)
        else:
            due.append(self.heard_at + options.keepalive_time)
        if self._drain_at is not None:
            due.append(self._drain_at + patience)
            due.append(self._ends_at + options.max_age_grace)
        elif not self._link.core.streams:
            due.append(max(self._busy_at, self.heard_at) + options.max_idle)
        else:
            due.append(self._loop.time() + options.max_idle)
        return min(due)

    def _on_timer(self) -> None:
        now = self._loop.time() + 0.001  # timers may fire a little early
        self._timer = None
        self._check(now)
        self._arm(max(self._next_due(), now))

    def _check(self, now: float) -> None:
        options = self._options
        patience = options.keepalive_timeout
        core = self._link.core
        if not core.is_settled and now >= self._opened_at + patience:
            self._link.abort("no handshake")
        elif self._blocked_at is not None and now >= self._blocked_at + patience:
            if self._link.unwritten >= self._unwritten:
                self._link.abort("the peer does not read")
            else:  # slow, and not gone
                self._blocked_at = now
                self._unwritten = self._link.unwritten
        elif self._pinged_at is not None:
            if now >= self._pinged_at + patience:
                self._link.abort("no answer to keepalive")
        elif now >= self.heard_at + options.keepalive_time:
            self._pinged_at = now
            core.ping(_KEEPALIVE)
            self._link.touch()
        self._check_crowd(now)
        self._check_age(now)

    def _check_crowd(self, now: float) -> None:
        if self._crowded_at is None or now < self._crowded_at + self._options.keepalive_timeout:
            return
        sent = self._link.core.bytes_paced
        if sent == self._sent:
            self._crowded_at = None
            self._link.abandon(ErrorCode.ENHANCE_YOUR_CALM, "answers are not read")
        else:  # slow, and not gone
            self._crowded_at = now
            self._sent = sent

    def _check_age(self, now: float) -> None:
        options = self._options
        core = self._link.core
        if core.streams:
            self._busy_at = now
        if self._drain_at is None:
            idle = not core.streams and now >= self._busy_at + options.max_idle
            if now >= self._ends_at or (idle and now >= self.heard_at + options.max_idle):
                self._link.drain()
            return
        if now >= self._drain_at + options.keepalive_timeout:
            self._drain_at = math.inf
            core.finish_drain()
            self._link.touch()
        if now >= self._ends_at + options.max_age_grace:
            self._ends_at = math.inf
            self._link.end_calls("the connection has reached its maximum age")
            # What is no call yet, or no more, holds the connection open too: a request whose body
            # never comes, an answer that the peer gives no window for.
            self._link.abandon(ErrorCode.NO_ERROR, "max_age")
