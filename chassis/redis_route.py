"""The way of a command to the server of its slot, wherever that is by now.

A cluster redirects (MOVED, ASK) to the server that a slot has gone to, or is going to; a link may
be missing while it is made again. Where neither is so, `begin` sends the command and returns;
`ask` is for those who can wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

import hiredis

from chassis.errors import Unavailable
from chassis.log import get_logger
from chassis.redis_places import redirection
from chassis.redis_replies import Outcome, first_word, lost
from chassis.redis_settings import Address

if TYPE_CHECKING:
    from chassis.redis_exchange import Exchanges, Heard
    from chassis.redis_keeper import Keeper
    from chassis.redis_link import Link
    from chassis.redis_node import Node

# A cluster that sends us round in more circles than this is not in order.
MAX_REDIRECTS = 4

log = get_logger(__name__)


class Route:
    """The ways of one door's commands. `name` is the door's, for logs."""

    def __init__(self, name: str, keeper: Keeper, exchanges: Exchanges) -> None:
        self._name = name
        self._keeper = keeper
        self._exchanges = exchanges
        self._sites = keeper.sites

    def begin(self, slot: int, packed: bytes, deadline: float, heard: Heard) -> bool:
        """Send a command as Exchanges.begin does, or return False where there is no link now."""
        node = self._sites.node_of(slot)
        link = node.pick() if node is not None else None
        if node is None or link is None:
            return False
        self._exchanges.begin(node, link, packed, deadline, heard)
        return True

    async def ask(self, slot: int, packed: bytes, deadline: float, first: Any = None) -> Any:
        """Exchange one command, following a cluster's redirections; an error reply is returned.

        `first` is the answer to the first attempt, if that was made already.
        """
        node = self._sites.node_of(slot)
        asking = False
        for _ in range(MAX_REDIRECTS + 1):
            reply, first = first, None
            if reply is None:
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
                    async with asyncio.timeout(deadline - self._exchanges.now()):
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
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        exchange = self._exchanges.begin(
            node, link, packed, deadline, partial(_put, future), asking=asking
        )
        try:
            return await future
        except asyncio.CancelledError:
            exchange.abandon()
            raise

    async def _wait_for_link(
        self, node: Node | None, slot: int, deadline: float
    ) -> tuple[Node, Link]:
        """Wait for the attempt to connect that is under way, if one is; never for a second one."""
        try:
            async with asyncio.timeout(deadline - self._exchanges.now()):
                await self._keeper.settled.wait()
        except TimeoutError:
            log.debug("gave up waiting for a connection", redis=self._name)
        node = node or self._sites.node_of(slot)
        link = node.pick() if node is not None else None
        if node is not None and link is not None:
            return node, link
        self._exchanges.stats.refusals += 1
        message, reason = self._keeper.detail, "REDIS_UNAVAILABLE"
        if self._keeper.trouble is not None:
            message, reason = self._keeper.trouble.message, self._keeper.trouble.reason
        elif not self._keeper.connected:
            message = f"Redis is not connected: {self._keeper.detail}"
        elif node is not None:
            message = node.trouble
        else:
            message = f"no node of the Redis cluster is known to serve slot {slot}"
        raise Unavailable(message, reason=reason, metadata={"outcome": Outcome.NOT_EXECUTED.value})


def _put(future: asyncio.Future[Any], reply: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(reply)
    else:
        future.set_exception(error)
