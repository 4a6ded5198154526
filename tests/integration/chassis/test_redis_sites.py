"""Sentinel and Cluster, on real servers: who is asked, and what happens when that changes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
import redis

from chassis.errors import Unavailable
from chassis.lua import Script
from chassis.redis import RedisDoor, RedisSettings, RedisType
from tests.clusters import Cluster, ask, cluster_is_ok, cluster_node, start_cluster
from tests.servers import Server, free_port, start_redis, start_sentinel
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SET = Script("set", "redis.call('SET', KEYS[1], ARGV[1], 'EX', 60) return ARGV[1]")


@contextlib.asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[RedisDoor]:
    door = RedisDoor(RedisSettings(**settings))
    await door.open()
    try:
        yield door
    finally:
        await door.close()


async def test_sentinel_leads_to_the_primary_and_after_a_failover_to_the_new_one() -> None:
    with (
        start_redis() as primary,
        start_redis("--replicaof", f"127.0.0.1 {primary.port}") as replica,
        start_sentinel("mymaster", primary) as sentinel,
    ):
        nobody = free_port()
        url = f"mymaster,127.0.0.1:{nobody},127.0.0.1:{sentinel.port}"
        async with opened(url=url, type=RedisType.SENTINEL) as door:
            assert await door.run(SET, ["k"], ["before"]) == b"before"
            assert ask(primary.port, "GET", "k") == b"before"
            await wait_until(lambda: ask(replica.port, "GET", "k") == b"before")
            # A sentinel promotes only replicas that it has seen.
            await wait_until(
                lambda: f":{replica.port}" in str(sentinel_replicas(sentinel.port)), timeout=20
            )
            primary.kill()
            await wait_until(
                lambda: b"role:master" in raw_info(replica.port),
                timeout=30,
                description="the sentinel promotes the replica",
            )
            await wait_until(lambda: door.ready, description="the new primary is found")
            assert await door.run(SET, ["k"], ["after"]) == b"after"
            assert ask(replica.port, "GET", "k") == b"after"


def sentinel_replicas(port: int) -> list[Any]:
    with redis.Redis(port=port) as client:
        return [replica["name"] for replica in client.sentinel_slaves("mymaster")]


def raw_info(port: int) -> bytes:
    with redis.Redis(port=port) as client:
        return b"role:" + str(client.info("replication")["role"]).encode()


async def test_a_primary_stays_in_use_when_all_sentinels_are_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chassis.redis_sites.RESOLVE_SECONDS", 0.0)
    with start_redis() as primary, start_sentinel("mymaster", primary) as sentinel:
        url = f"mymaster,127.0.0.1:{sentinel.port}"
        async with opened(url=url, type=RedisType.SENTINEL) as door:
            await door.run(SET, ["k"], ["v"])
            sentinel.kill()
            await wait_until(lambda: "no sentinel names a master" in door.detail)
            assert door.ready
            assert await door.run(SET, ["k"], ["v"]) == b"v"


async def test_an_unknown_master_name_is_told() -> None:
    with start_redis() as primary, start_sentinel("mymaster", primary) as sentinel:
        url = f"other,127.0.0.1:{sentinel.port}"
        async with opened(url=url, type=RedisType.SENTINEL) as door:
            with pytest.raises(Unavailable, match="knows no master called 'other'"):
                await door.run(SET, ["k"], ["v"])


async def test_a_sentinel_taken_for_a_server_is_told() -> None:
    with start_redis() as primary, start_sentinel("mymaster", primary) as sentinel:
        async with opened(url=sentinel.url) as door:
            with pytest.raises(Unavailable, match="set REDIS_TYPE=SENTINEL"):
                await door.run(SET, ["k"], ["v"])


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with start_cluster() as made:
        yield made


def keys_of(door: RedisDoor, count: int) -> list[str]:
    return [f"rate_limit:{{{number}}}:rule" for number in range(count)]


@pytest.mark.usefixtures("way")
async def test_scripts_go_to_the_node_of_their_key(cluster: Cluster) -> None:
    async with opened(url=cluster.url, type=RedisType.CLUSTER) as door:
        for key in keys_of(door, 60):
            assert await door.run(SET, [key], ["v"]) == b"v"
            slot = door.slot_of(key)
            assert slot == ask(cluster.nodes[0].port, "CLUSTER", "KEYSLOT", key)
            assert ask(cluster.owner(slot).port, "GET", key) == b"v"
            assert await door.call("GET", key) == b"v"
        assert {cluster.owner(door.slot_of(key)).port for key in keys_of(door, 60)} == {
            node.port for node in cluster.nodes
        }


@pytest.mark.usefixtures("way")
async def test_a_slot_that_moves_is_followed(cluster: Cluster) -> None:
    async with opened(url=cluster.url, type=RedisType.CLUSTER) as door:
        key = keys_of(door, 1)[0]
        slot = door.slot_of(key)
        old = cluster.owner(slot)
        new = next(node for node in cluster.nodes if node is not old)
        assert await door.run(SET, [key], ["before"]) == b"before"
        ask(old.port, "DEL", key)
        # While it moves, keys that are not on the old node any more are asked for on the new.
        ask(new.port, "CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id_of(old))
        ask(old.port, "CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id_of(new))
        assert await door.run(SET, [key], ["during"]) == b"during"
        for node in (new, old):
            ask(node.port, "CLUSTER", "SETSLOT", slot, "NODE", cluster.id_of(new))
        assert await door.run(SET, [key], ["after"]) == b"after"
        assert ask(new.port, "GET", key) == b"after"


@pytest.mark.usefixtures("way")
async def test_a_dead_node_takes_only_its_own_slots_along(cluster: Cluster) -> None:
    async with opened(url=cluster.url, type=RedisType.CLUSTER) as door:
        keys = keys_of(door, 30)
        for key in keys:
            await door.run(SET, [key], ["v"])
        dead = cluster.nodes[2]
        dead.kill()
        await wait_until(lambda: str(dead.port) in door.detail, description="it is missed")
        assert door.ready
        for key in keys:
            if cluster.owner(door.slot_of(key)) is dead:
                with pytest.raises(Unavailable):
                    await door.run(SET, [key], ["v"], 0.5)
            else:
                assert await door.run(SET, [key], ["v"]) == b"v"
        dead.start()
        # A node that comes back serves only when it has heard from the others for a while.
        await wait_until(lambda: all(cluster_is_ok(n.port) for n in cluster.nodes), timeout=30)
        await wait_until(lambda: door.detail == "ok", description="it is found again")
        for key in keys:
            assert await door.run(SET, [key], ["again"], 0.9) == b"again"


async def test_a_replica_that_takes_over_is_found(cluster: Cluster) -> None:
    with cluster_node() as replica:
        primary = cluster.nodes[2]
        ask(replica.port, "CLUSTER", "MEET", "127.0.0.1", primary.port)
        await wait_until(lambda: replicates(replica, cluster.id_of(primary)), timeout=20)
        async with opened(url=cluster.url, type=RedisType.CLUSTER) as door:
            key = next(k for k in keys_of(door, 50) if cluster.owner(door.slot_of(k)) is primary)
            assert await door.run(SET, [key], ["before"]) == b"before"
            await wait_until(lambda: link_is_up(replica), timeout=20)
            primary.kill()

            async def answers() -> bool:
                with contextlib.suppress(Unavailable):
                    return bool(await door.run(SET, [key], ["after"]) == b"after")
                return False

            await wait_until(answers, timeout=30, description="the replica takes over")
            assert ask(replica.port, "GET", key) == b"after"


def replicates(replica: Server, primary_id: str) -> bool:
    with contextlib.suppress(redis.ResponseError):  # it has not heard of the primary yet
        return bool(ask(replica.port, "CLUSTER", "REPLICATE", primary_id))
    return False


def link_is_up(replica: Server) -> bool:
    with redis.Redis(port=replica.port) as client:
        return bool(client.info("replication").get("master_link_status") == "up")


@pytest.mark.usefixtures("way")
async def test_a_node_of_a_cluster_taken_for_a_single_server_is_told(cluster: Cluster) -> None:
    async with opened(url=cluster.nodes[0].url) as door:
        key = next(
            key
            for key in keys_of(door, 50)
            if cluster.owner(int(ask(cluster.nodes[0].port, "CLUSTER", "KEYSLOT", key)))
            is not cluster.nodes[0]
        )
        with pytest.raises(Unavailable, match="set REDIS_TYPE=CLUSTER"):
            await door.run(SET, [key], ["v"])
