"""One Redis server as we know it now: its links, its circuit breaker, and what is wrong with it.

A node is judged by the last thing it did. Health is asked ten times a second and must not lie for
as long as it takes to find out why: a node in doubt has a `trouble` at once, and `mend()`, which
the keeper calls, removes it or finds better words.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import hiredis

from chassis.breaker import BreakerState, CircuitBreaker
from chassis.errors import SluiceError
from chassis.redis_link import pack
from chassis.redis_refusal import Refusal, still_refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chassis.redis_link import Link
    from chassis.redis_settings import Address

_PING = pack(("PING",))


class Node:
    """One server: up to `size` links, used least-loaded first."""

    __slots__ = (
        "_away",
        "_dial",
        "_lock",
        "_size",
        "address",
        "breaker",
        "links",
        "ping_seconds",
        "refusal",
        "silent",
    )

    def __init__(
        self,
        address: Address,
        dial: Callable[[Address], Awaitable[Link]],
        *,
        size: int,
        ping_seconds: float,
    ) -> None:
        self.address = address
        self.links: list[Link] = []
        self.breaker = CircuitBreaker()
        self.ping_seconds = ping_seconds
        # A call got no answer in all the time a command may take, and nothing since.
        self.silent = False
        self.refusal: Refusal | None = None
        self._away = ""
        self._dial = dial
        self._size = size
        self._lock = asyncio.Lock()

    @property
    def trouble(self) -> str:
        """What is wrong with it, in a sentence; empty while nothing is known to be."""
        away = self.pick() is None
        if away or self.silent or self.breaker.state is not BreakerState.CLOSED:
            return self._away or f"Redis at {self.address} does not answer; connecting again"
        return "" if self.refusal is None else self.refusal.error.message

    def pick(self) -> Link | None:
        """Choose the open link with the fewest unanswered commands; None when there is none."""
        best: Link | None = None
        for link in self.links:
            if link.open:
                if not link.pending:
                    return link
                if best is None or link.pending < best.pending:
                    best = link
        return best

    def answered(self) -> None:
        """Count a call that was answered, whatever the answer."""
        self.silent = False
        self.breaker.succeeded()

    async def mend(self) -> None:
        """Ping the open links, replace the broken ones; raise the first trouble if none is left."""
        async with self._lock:
            await asyncio.gather(*(self._probe(link) for link in self.links if link.open))
            self.links = [link for link in self.links if link.open]
            try:
                await self._fill()
            except SluiceError as error:
                self._away = error.message
                raise
            self._away, self.silent = "", False
            if self.refusal is not None:
                await self._ask_again(self.refusal)
            if self.refusal is None or self.refusal.error.reason != "REDIS_TIMEOUT":
                self.breaker.reset()

    def close(self, why: str = "we closed the connection", *, trouble: str = "") -> None:
        """Close every link; `trouble` is what is wrong with the server until we know better."""
        self._away = trouble
        for link in self.links:
            link.close(why)
        self.links = []

    async def _fill(self) -> None:
        missing = self._size - len(self.links)
        opened = await asyncio.gather(
            *(self._add_link() for _ in range(missing)), return_exceptions=True
        )
        for failure in opened:
            if failure is not None and not (self.links and isinstance(failure, SluiceError)):
                raise failure

    async def _add_link(self) -> None:
        # Kept as soon as it is open: when our waiting is cancelled, it must not be lost open.
        self.links.append(await self._dial(self.address))

    async def _probe(self, link: Link) -> None:
        try:
            async with asyncio.timeout(self.ping_seconds):
                reply = await link.request(_PING)
        except TimeoutError:
            link.close(f"no answer to a ping within {self.ping_seconds:g} s")
        except SluiceError:
            link.close("it does not answer a ping")
        else:
            if isinstance(reply, hiredis.ReplyError):
                # LOADING and the like: not usable now, and a fresh link will say why.
                link.close(f"it answered a ping with {reply}")

    async def _ask_again(self, refusal: Refusal) -> None:
        link = self.pick()
        if link is None:
            return
        found: Refusal | None = refusal
        try:
            async with asyncio.timeout(self.ping_seconds):
                found = await still_refused(refusal, link)
        except (TimeoutError, SluiceError):
            pass  # no answer is no change
        if self.refusal is refusal:  # else a call was refused meanwhile, which is newer
            self.refusal = found
