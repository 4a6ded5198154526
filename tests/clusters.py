"""A real Redis Cluster of three primaries for tests, ended by their process ids.

async with start_cluster() as cluster:
    ... cluster.url, cluster.nodes, cluster.owner(slot)
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis

from tests.servers import Server, start_redis
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SLOTS = 16384


@dataclass(frozen=True, slots=True)
class Cluster:
    """Three primaries, a third of the slots each."""

    nodes: tuple[Server, ...]

    @property
    def url(self) -> str:
        """Two of the three, as REDIS_URL takes them."""
        return f"127.0.0.1:{self.nodes[0].port},127.0.0.1:{self.nodes[1].port}"

    def owner(self, slot: int) -> Server:
        """Return the node that had the slot at the start."""
        return self.nodes[min(slot * 3 // SLOTS, 2)]

    def id_of(self, node: Server) -> str:
        """Return the name that the cluster has for a node."""
        return str(ask(node.port, "CLUSTER", "MYID").decode())


def ask(port: int, *command: str | int) -> Any:
    """Send one command to a server of 127.0.0.1."""
    with redis.Redis(port=port) as client:
        return client.execute_command(*command)


@contextlib.asynccontextmanager
async def start_cluster() -> AsyncIterator[Cluster]:
    """Run three nodes and have them form a cluster; skips where Redis is missing."""
    with contextlib.ExitStack() as stack:
        made = Cluster(tuple(stack.enter_context(cluster_node()) for _ in range(3)))
        first = made.nodes[0]
        for index, node in enumerate(made.nodes):
            bounds = [slot for slot in range(SLOTS) if made.owner(slot) is node]
            ask(node.port, "CLUSTER", "ADDSLOTSRANGE", bounds[0], bounds[-1])
            # Epochs of their own at once, instead of after a round of collisions.
            ask(node.port, "CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for node in made.nodes[1:]:
            ask(first.port, "CLUSTER", "MEET", "127.0.0.1", node.port)
        for node in made.nodes:
            await wait_until(
                lambda node=node: cluster_is_ok(node.port),  # type: ignore[misc]
                timeout=30,
                description="the cluster forms",
            )
        yield made


@contextlib.contextmanager
def cluster_node() -> Iterator[Server]:
    """Run one node that belongs to no cluster yet."""
    with start_redis(
        *("--cluster-enabled", "yes"),
        *("--cluster-node-timeout", "1500"),
        *("--cluster-require-full-coverage", "no"),
    ) as node:
        yield node


def cluster_is_ok(port: int) -> bool:
    """Tell whether a node knows all three and serves."""
    ok = b"cluster_state:ok" in ask(port, "CLUSTER", "INFO")
    return ok and len(ask(port, "CLUSTER", "SLOTS")) == 3
