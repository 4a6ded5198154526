"""Which server a key lives on: one server, the master that sentinels name, or a cluster's slots.

    SingleSites    REDIS_TYPE=SINGLE: always the same node
    SentinelSites  REDIS_TYPE=SENTINEL: the node that sentinels call master, asked again on trouble
    ClusterSites   REDIS_TYPE=CLUSTER: 16,384 slots on many nodes, learnt from the cluster itself

`mend()` opens what is missing and pings what is open. The keeper calls that of the sites; a call
that is redirected to a node (redis_node.py) without a link calls that of the node.
"""

from __future__ import annotations

import asyncio
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import hiredis

from chassis.errors import SluiceError, Unavailable
from chassis.redis_link import Entry, Link, open_link, pack
from chassis.redis_node import Node
from chassis.redis_places import MAX_NODES, SLOTS, master_address, slot_table
from chassis.redis_replies import Outcome, lost, translate

if TYPE_CHECKING:
    from collections.abc import Callable

    from chassis.redis_settings import Address, RedisTarget

# Sentinels are asked for the master's address this often even when all is well: a master cut off
# from them may still answer us, while another has been promoted.
RESOLVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether calls can be served now, and a sentence on what is wrong, if anything is."""

    usable: bool
    trouble: str = ""


class Sites(Protocol):
    """Where keys live."""

    def slot_of(self, key: str | bytes) -> int:
        """Return the slot; keys of one slot can be touched by one script."""
        ...

    def node_of(self, slot: int) -> Node | None:
        """Return the node that serves a slot; None when that is not known (yet)."""
        ...

    def redirect(self, slot: int, address: Address, *, moved: bool) -> Node:
        """Learn from a MOVED or ASK reply and return the node to ask instead."""
        ...

    async def mend(self) -> None:
        """Find and connect what is missing; Unavailable when nothing at all can be reached."""
        ...

    def standing(self) -> Standing:
        """Judge by what is known at this moment."""
        ...

    def close(self) -> None:
        """Close every link."""
        ...


class Dialer:
    """Opens links to servers and makes nodes; the same way in for every site."""

    def __init__(
        self, entry: Entry, on_lost: Callable[[Link], None], *, size: int, ping_seconds: float
    ) -> None:
        self.entry = entry
        self._on_lost = on_lost
        self._size = size
        self._ping_seconds = ping_seconds

    async def open(self, address: Address) -> Link:
        """Open one link."""
        return await open_link(address, self.entry, self._on_lost)

    def node(self, address: Address) -> Node:
        """Make a node without links yet."""
        return Node(address, self.open, size=self._size, ping_seconds=self._ping_seconds)


class SingleSites:
    """One server, or one address behind which others see to failover."""

    def __init__(self, target: RedisTarget, dialer: Dialer) -> None:
        self._node = dialer.node(target.addresses[0])

    def slot_of(self, key: str | bytes) -> int:  # noqa: ARG002  every key is in one place
        """Return 0: any keys go together."""
        return 0

    def node_of(self, slot: int) -> Node | None:  # noqa: ARG002  there is one node
        """Return the node."""
        return self._node

    def redirect(self, slot: int, address: Address, *, moved: bool) -> Node:  # noqa: ARG002
        """Refuse: a redirection from a single server means that it is a node of a cluster."""
        raise _is_cluster(self._node.address)

    async def mend(self) -> None:
        """See Sites."""
        await self._node.mend()

    def standing(self) -> Standing:
        """See Sites."""
        return Standing(not self._node.trouble, self._node.trouble)

    def close(self) -> None:
        """See Sites."""
        self._node.close()


class SentinelSites:
    """The master that the first answering sentinel names."""

    def __init__(
        self,
        target: RedisTarget,
        dialer: Dialer,
        sentinel_entry: Entry,
        monotonic: Callable[[], float],
    ) -> None:
        self._target = target
        self._dialer = dialer
        self._sentinel_entry = sentinel_entry
        self._monotonic = monotonic
        self._node: Node | None = None
        self._resolve_at = 0.0
        self._half_well = ""

    def slot_of(self, key: str | bytes) -> int:  # noqa: ARG002  every key is in one place
        """Return 0: any keys go together."""
        return 0

    def node_of(self, slot: int) -> Node | None:  # noqa: ARG002  there is one node
        """Return the master, once it is known."""
        return self._node

    def redirect(self, slot: int, address: Address, *, moved: bool) -> Node:  # noqa: ARG002
        """Refuse: a redirection from a single server means that it is a node of a cluster."""
        raise _is_cluster(address)

    async def mend(self) -> None:
        """See Sites."""
        node = self._node
        if node is None or node.pick() is None:
            node = await self._find()
        elif self._monotonic() > self._resolve_at:
            try:
                node = await self._find()
            except Unavailable as error:
                # Without sentinels there is no failover, but the master is still there.
                self._half_well = error.message
        await node.mend()

    def standing(self) -> Standing:
        """See Sites."""
        if self._node is None:
            return Standing(usable=False, trouble="no sentinel has named a master yet")
        trouble = self._node.trouble
        return Standing(not trouble, trouble or self._half_well)

    def close(self) -> None:
        """See Sites."""
        if self._node is not None:
            self._node.close()

    async def _find(self) -> Node:
        address = await self._resolve()
        self._half_well = ""
        self._resolve_at = self._monotonic() + RESOLVE_SECONDS
        if self._node is None or self._node.address != address:
            if self._node is not None:
                self._node.close("another server has become the master")
            self._node = self._dialer.node(address)
        return self._node

    async def _resolve(self) -> Address:
        troubles = []
        for sentinel in self._target.addresses:
            try:
                return await self._ask(sentinel)
            except Unavailable as error:
                troubles.append(error.message)
        raise Unavailable(
            f"no sentinel names a master for {self._target.master!r}: " + "; ".join(troubles),
            reason="REDIS_UNAVAILABLE",
            metadata={"outcome": Outcome.NOT_EXECUTED.value},
        )

    async def _ask(self, sentinel: Address) -> Address:
        link = await open_link(sentinel, self._sentinel_entry, lambda _: None)
        try:
            async with asyncio.timeout(self._sentinel_entry.timeout_seconds):
                reply = await link.request(
                    pack(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._target.master))
                )
        except TimeoutError as error:
            raise lost(sentinel, Outcome.NOT_EXECUTED, "it does not answer") from error
        finally:
            link.close()
        if isinstance(reply, hiredis.ReplyError):
            stranger = str(reply).startswith("ERR unknown command")
            why = "it is no sentinel; leave REDIS_TYPE out, or name its sentinels in REDIS_URL"
            raise lost(sentinel, Outcome.NOT_EXECUTED, why if stranger else f"it answers {reply}")
        if not reply:
            why = f"it knows no master called {self._target.master!r}; correct REDIS_URL"
            raise lost(sentinel, Outcome.NOT_EXECUTED, why)
        try:
            return master_address(reply)
        except ValueError as error:
            raise lost(sentinel, Outcome.NOT_EXECUTED, f"it answers {error}") from error


class ClusterSites:
    """Sixteen thousand slots on as many nodes as there are."""

    def __init__(self, target: RedisTarget, dialer: Dialer) -> None:
        self._seeds = target.addresses
        self._dialer = dialer
        self._nodes: dict[Address, Node] = {}
        self._slots: list[Node | None] = [None] * SLOTS
        self._stale = True

    def slot_of(self, key: str | bytes) -> int:
        """Return CRC16(hash tag or key) mod 16,384, as the Cluster specification has it."""
        raw = key.encode() if isinstance(key, str) else key
        start = raw.find(b"{")
        if start >= 0:
            end = raw.find(b"}", start + 1)
            if end > start + 1:
                raw = raw[start + 1 : end]
        return binascii.crc_hqx(raw, 0) % SLOTS

    def node_of(self, slot: int) -> Node | None:
        """See Sites."""
        return self._slots[slot]

    def redirect(self, slot: int, address: Address, *, moved: bool) -> Node:
        """See Sites."""
        node = self._nodes.get(address)
        if node is None:
            if len(self._nodes) >= MAX_NODES:
                raise lost(address, Outcome.NOT_EXECUTED, f"it is beyond {MAX_NODES} nodes")
            node = self._nodes[address] = self._dialer.node(address)
        if moved:
            self._slots[slot] = node
            self._stale = True
        return node

    async def mend(self) -> None:
        """See Sites."""
        if self._stale:
            # Cleared before we ask: a MOVED that comes meanwhile makes us ask once more.
            self._stale = False
            try:
                await self._learn()
            except BaseException:
                self._stale = True
                raise
        results = await asyncio.gather(
            *(node.mend() for node in self._nodes.values()), return_exceptions=True
        )
        troubles = [result for result in results if isinstance(result, BaseException)]
        # Only added to, as a MOVED may have come meanwhile.
        self._stale |= bool(troubles)
        for trouble in troubles:
            if not isinstance(trouble, SluiceError) or len(troubles) == len(results):
                raise trouble

    def standing(self) -> Standing:
        """See Sites. Nodes in trouble take only their own slots along."""
        troubles = [node.trouble for node in self._nodes.values() if node.trouble]
        return Standing(len(troubles) < len(self._nodes), "; ".join(troubles))

    def close(self) -> None:
        """See Sites."""
        for node in self._nodes.values():
            node.close()

    async def _learn(self) -> None:
        table = await self._ask_anybody()
        nodes: dict[Address, Node] = {}
        slots: list[Node | None] = [None] * SLOTS
        for first, last, address in table:
            node = nodes.get(address) or self._nodes.get(address) or self._dialer.node(address)
            nodes[address] = node
            slots[first : last + 1] = [node] * (last + 1 - first)
        for address, node in self._nodes.items():
            if address not in nodes:
                node.close("it left the cluster, or serves no slots any more")
        self._nodes, self._slots = nodes, slots
        # A slot without a node is never asked for by a call, so no MOVED would tell of its node.
        self._stale |= None in slots

    async def _ask_anybody(self) -> list[tuple[int, int, Address]]:
        troubles: list[str] = []
        for node in list(self._nodes.values()):
            link = node.pick()
            if link is not None:
                try:
                    return await self._ask(link)
                except Unavailable as error:
                    troubles.append(error.message)
        for seed in self._seeds:
            try:
                link = await self._dialer.open(seed)
            except Unavailable as error:
                troubles.append(error.message)
                continue
            try:
                return await self._ask(link)
            except Unavailable as error:
                troubles.append(error.message)
            finally:
                link.close()
        raise Unavailable(
            "no node tells the cluster's slots: " + "; ".join(troubles),
            reason="REDIS_UNAVAILABLE",
            metadata={"outcome": Outcome.NOT_EXECUTED.value},
        )

    async def _ask(self, link: Link) -> list[tuple[int, int, Address]]:
        try:
            async with asyncio.timeout(self._dialer.entry.timeout_seconds):
                reply = await link.request(pack(("CLUSTER", "SLOTS")))
        except TimeoutError as error:
            raise lost(link.address, Outcome.NOT_EXECUTED, "it does not answer") from error
        if isinstance(reply, hiredis.ReplyError):
            failure = translate(str(reply), link.address)
            alone = "cluster support disabled" in str(reply)
            why = f"it answers CLUSTER SLOTS with {reply}"
            why = "it is no cluster; set REDIS_TYPE=SINGLE, or leave it out" if alone else why
            raise lost(link.address, Outcome.NOT_EXECUTED, why) from failure
        try:
            table = slot_table(reply, link.address)
        except ValueError as error:
            raise lost(link.address, Outcome.NOT_EXECUTED, f"it answers {error}") from error
        if not table:
            why = "its cluster has no slots yet; create it with redis-cli --cluster create"
            raise lost(link.address, Outcome.NOT_EXECUTED, why)
        return table


def _is_cluster(address: Address) -> Unavailable:
    return lost(address, Outcome.NOT_EXECUTED, "it is a node of a cluster; set REDIS_TYPE=CLUSTER")
