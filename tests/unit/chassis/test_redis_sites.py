"""What a cluster's map remembers when things happen at the same time; real servers cannot be timed."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from chassis.errors import Unavailable
from chassis.redis_link import Entry, Link, pack
from chassis.redis_places import MAX_NODES
from chassis.redis_replies import Outcome, lost
from chassis.redis_settings import Address, Credentials, RedisTarget
from chassis.redis_sites import ClusterSites, Dialer, SentinelSites, Standing
from tests.waiting import wait_until

SEED, OTHER, NEW = Address("seed", 1), Address("other", 2), Address("new", 3)


class World(Dialer):
    """Servers that answer from a table, when `open_gate` is set, unless they are away."""

    def __init__(self) -> None:
        entry = Entry(credentials=Credentials(), timeout_seconds=5)
        super().__init__(entry, lambda _: None, size=1, ping_seconds=5)
        self.table: list[Any] = [[0, 16383, [b"other", 2]]]
        self.away: set[Address] = set()
        self.tables_given = 0
        self.waiting = 0
        self.open_gate = asyncio.Event()
        self.open_gate.set()

    async def open(self, address: Address) -> Link:
        if address in self.away:
            raise lost(address, Outcome.NOT_EXECUTED, "cannot connect")
        return cast("Link", FakeLink(self, address))


class FakeLink:
    def __init__(self, world: World, address: Address) -> None:
        self.world = world
        self.address = address
        self.open = True
        self.pending = 0
        self.closed_because = ""

    async def request(self, packed: bytes) -> Any:
        self.world.waiting += 1
        await self.world.open_gate.wait()
        if packed == pack(("CLUSTER", "SLOTS")):
            self.world.tables_given += 1
            return self.world.table
        return b"PONG"

    def close(self, why: str = "we closed the connection") -> None:
        self.open = False
        self.closed_because = why


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture
async def sites(world: World) -> ClusterSites:
    made = ClusterSites(RedisTarget(addresses=(SEED,)), world)
    await made.mend()
    return made


async def while_mending(world: World, sites: ClusterSites) -> asyncio.Task[None]:
    """Begin to mend, and return when it waits for an answer."""
    world.open_gate.clear()
    world.waiting = 0
    mending = asyncio.create_task(sites.mend())
    await wait_until(lambda: world.waiting, description="a server is asked")
    return mending


async def test_a_table_is_asked_for_once_while_all_is_well(
    world: World, sites: ClusterSites
) -> None:
    for _ in range(3):
        await sites.mend()
    assert world.tables_given == 1
    node = sites.node_of(50)
    assert node is not None
    assert node.address == OTHER
    assert sites.standing() == Standing(usable=True)


async def test_slots_that_nobody_serves_are_asked_for_until_somebody_does(world: World) -> None:
    world.table = [[0, 99, [b"other", 2]]]
    sites = ClusterSites(RedisTarget(addresses=(SEED,)), world)
    await sites.mend()
    assert sites.node_of(100) is None
    world.table = [[0, 16383, [b"other", 2]]]
    await sites.mend()
    assert sites.node_of(100) is sites.node_of(50)


async def test_a_cluster_is_usable_while_any_of_its_nodes_is(world: World) -> None:
    world.table = [[0, 99, [b"other", 2]], [100, 16383, [b"new", 3]]]
    sites = ClusterSites(RedisTarget(addresses=(SEED,)), world)
    assert not sites.standing().usable
    await sites.mend()
    first, second = sites.node_of(50), sites.node_of(100)
    assert first is not None
    assert second is not None
    first.silent = True
    words = "Redis at other:2 does not answer; connecting again"
    assert sites.standing() == Standing(usable=True, trouble=words)
    for link in second.links:
        link.close()
    assert not sites.standing().usable


@pytest.mark.parametrize("asking", [False, True], ids=["while it pings", "while it asks"])
async def test_a_slot_that_moves_meanwhile_makes_it_ask_again(
    world: World, sites: ClusterSites, *, asking: bool
) -> None:
    if asking:
        sites.redirect(1, NEW, moved=True)
    given = world.tables_given + asking
    mending = await while_mending(world, sites)
    sites.redirect(2, NEW, moved=True)
    world.open_gate.set()
    await mending
    assert world.tables_given == given
    await sites.mend()
    assert world.tables_given == given + 1


async def test_a_cluster_that_has_moved_away_whole_is_found_at_its_seeds(
    world: World, sites: ClusterSites
) -> None:
    node = sites.node_of(50)
    assert node is not None
    node.close()
    world.away = {OTHER}
    world.table = [[0, 16383, [b"new", 3]]]
    with pytest.raises(Unavailable):
        await sites.mend()
    await sites.mend()
    found = sites.node_of(50)
    assert found is not None
    assert found.address == NEW


async def test_a_table_that_cannot_be_had_is_asked_for_again(
    world: World, sites: ClusterSites
) -> None:
    sites.redirect(1, NEW, moved=True)
    world.table = [7]
    with pytest.raises(Unavailable, match="a row that is none"):
        await sites.mend()
    world.table = [[0, 16383, [b"new", 3]]]
    await sites.mend()
    assert world.tables_given == 4, "twice in vain: by the node and by the seed"


async def test_redirections_do_not_make_nodes_without_end(sites: ClusterSites) -> None:
    for port in range(1, MAX_NODES):
        sites.redirect(1, Address("h", port), moved=False)
    with pytest.raises(Unavailable, match="beyond 1000 nodes"):
        sites.redirect(1, Address("h", MAX_NODES), moved=False)


async def test_closing_says_that_it_was_us(world: World) -> None:
    target = RedisTarget(addresses=(SEED,), master="main")
    sites = SentinelSites(target, world, world.entry, lambda: 0.0)
    node = sites._node = world.node(OTHER)
    await node.mend()
    (link,) = cast("list[FakeLink]", list(node.links))
    sites.close()
    assert link.closed_because == "we closed the connection"
