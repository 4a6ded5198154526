"""Streams that get no further and that no deadline ends, found by a look at all of them at times.

* a unary request that does not arrive, or a message that stops in its middle;
* what the peer has not taken of an answer whose deadline has passed.

A stream that is only idle, between messages, is left alone: that is what streams are for. One timer
serves all connections, so that an idle one costs nothing, and it gives back what it needed when it
was busy.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

from fastlane.grpc.call import Call, Remainder
from fastlane.grpc.refusal import Refusal
from fastlane.grpc.status import StatusCode
from fastlane.h2 import ErrorCode
from fastlane.h2.states import OPEN

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Set as AbstractSet

    from fastlane.grpc.link import Link
    from fastlane.h2 import Stream

# Of a turn's time, for looking; one connection at least.
_STEP_SECONDS: Final = 0.002


class Stalls:
    """The looks at one server's connections, twice in the time that a stream is given."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, links: AbstractSet[Link], patience_seconds: float
    ) -> None:
        self._loop = loop
        self._links = links
        self._patience = patience_seconds
        self._left: list[Link] = []
        """Those that this look has still to come to."""
        self._timer: asyncio.TimerHandle | None = None
        self._rest()

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rest(self) -> None:
        # Beyond a year loops cannot count, and nobody waits for it.
        seconds = min(self._patience / 2, 3e7)
        self._timer = self._loop.call_later(seconds, self._begin)

    def _begin(self) -> None:
        self._left = list(self._links)
        self._step()

    def _step(self) -> None:
        now = self._loop.time()
        until = perf_counter() + _STEP_SECONDS
        left = self._left
        while left:
            link = left.pop()
            if link.core.streams or link.stalled:
                self._look(link, now)
            else:
                link.core.rest()
            if perf_counter() >= until:
                break
        if left:
            self._timer = self._loop.call_later(0, self._step)
        else:
            self._rest()

    def _look(self, link: Link, now: float) -> None:
        if link.core.unsent:
            link.has_room(0)  # how much all of them may let wait can change while one is silent
        before = link.stalled
        found: dict[int, tuple[int, float]] = {}
        for stream in list(link.core.streams.values()):
            owner = stream.owner
            if type(owner) is Remainder:
                if now >= owner.deadline:
                    _drop(link, stream)
                continue
            received = _arrived(stream)
            if received is None:
                continue
            last, since = before.get(stream.id, (-1, now))
            if received != last:
                since = now
            if now - since >= self._patience * 0.999:
                self._end(link, stream)
            else:
                found[stream.id] = (received, since)
        link.stalled = found

    def _end(self, link: Link, stream: Stream) -> None:
        if type(stream.owner) is Call:
            details = f"the request did not arrive: nothing came for {self._patience:g} s"
            stream.owner.abandon(StatusCode.DEADLINE_EXCEEDED, details)
        else:
            _drop(link, stream)


def _arrived(stream: Stream) -> int | None:
    """Return how much of a request has arrived that should go on arriving; None for any other."""
    if stream.state != OPEN:
        return None
    owner = stream.owner
    if type(owner) is Call:
        return owner.arrived
    return 0 if stream.head is not None or type(owner) is Refusal else None


def _drop(link: Link, stream: Stream) -> None:
    link.core.reset(stream, ErrorCode.CANCEL)
    link.touch()
