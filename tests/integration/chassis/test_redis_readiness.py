"""What the door says of itself is true: a Redis that hangs or refuses is not ready, and says why."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis

from chassis import redis_refusal
from chassis.errors import Unavailable
from chassis.lua import Script
from chassis.redis import RedisDoor, RedisSettings
from tests.servers import Server, start_redis, start_valkey
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.usefixtures("way")

# Of one command; a busy machine is allowed as much again.
COMMAND_SECONDS = 0.5
RECOVERY_SECONDS = 2.5
COUNT = Script(
    "count", "local n = redis.call('INCR', KEYS[1]) redis.call('EXPIRE', KEYS[1], 60) return n"
)
LOOK = Script("look", "return redis.call('GET', KEYS[1])")
BUSY = Script("busy", "while true do end")
KEY = "rate_limit:{k}:rule"


@contextlib.asynccontextmanager
async def opened(server: Server, **settings: Any) -> AsyncIterator[RedisDoor]:
    settings = {"command_timeout_seconds": COMMAND_SECONDS, **settings}
    door = RedisDoor(RedisSettings(url=server.url, **settings), name="test")
    await door.open()
    try:
        yield door
    finally:
        await door.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with start_valkey() as started:
        yield started


def order(server: Server, *words: str) -> None:
    with redis.Redis(port=server.port) as client:
        client.execute_command(*words)


async def refused(door: RedisDoor, script: Script = COUNT) -> Unavailable:
    with pytest.raises(Unavailable) as raised:
        await door.run(script, [KEY], [])
    return raised.value


async def recovered(door: RedisDoor) -> None:
    """Wait until it is ready again, without a call that could find out."""
    await wait_until(lambda: door.ready, timeout=RECOVERY_SECONDS, description="ready by itself")
    assert door.detail == "ok"


async def test_a_hang_shows_when_the_first_call_has_had_its_time(server: Server) -> None:
    async with opened(server) as door:
        await door.run(COUNT, [KEY], [])
        server.stop()
        try:
            error = await refused(door)
            assert error.reason == "REDIS_TIMEOUT"
            assert (door.ready, "does not answer" in door.detail) == (False, True)
            while "does not answer; connecting again" not in (await refused(door)).message:
                assert not door.ready
        finally:
            server.cont()
        await recovered(door)
        assert await door.run(COUNT, [KEY], []) > 1


async def test_a_hang_shows_without_any_call(server: Server) -> None:
    async with opened(server) as door:
        await wait_until(lambda: door.ready)
        server.stop()
        started = time.monotonic()
        try:
            # Half a second between pings, and the time that one has.
            await wait_until(lambda: not door.ready, timeout=2 * COMMAND_SECONDS + 0.5)
            while time.monotonic() - started < 4:
                assert not door.ready, "it does not come back before the server does"
                assert "Redis at 127.0.0.1" in door.detail
                await asyncio.gather(door.call("PING"), return_exceptions=True)
        finally:
            server.cont()
        await recovered(door)


async def test_calls_in_a_hurry_show_a_hang_together(server: Server) -> None:
    async with opened(server, command_timeout_seconds=10.0) as door:
        await door.run(COUNT, [KEY], [])
        server.stop()
        try:
            for _ in range(5):
                assert door.ready
                with pytest.raises(Unavailable):
                    await door.run(COUNT, [KEY], [], 0.03)
            assert not door.ready
        finally:
            server.cont()
        await recovered(door)


async def test_a_lost_link_shows_at_once(server: Server) -> None:
    async with opened(server) as door:
        await wait_until(lambda: door.ready)
        server.kill()
        await wait_until(lambda: not door.ready, timeout=0.4, description="sooner than a ping")


async def test_a_server_that_pauses_its_writes_is_not_ready_though_it_answers_pings(
    server: Server,
) -> None:
    async with opened(server) as door:
        await door.run(COUNT, [KEY], [])
        order(server, "CLIENT", "PAUSE", "3000", "WRITE")
        await refused(door)
        paused = time.monotonic()
        while time.monotonic() - paused < 1.5:
            assert not door.ready
            await asyncio.gather(door.call("PING"), return_exceptions=True)
        await wait_until(lambda: door.ready, timeout=6)


def out_of_memory(server: Server, *, on: bool) -> None:
    order(server, "CONFIG", "SET", "maxmemory", "1" if on else "0")


def without_replicas(server: Server, *, on: bool) -> None:
    order(server, "CONFIG", "SET", "min-replicas-to-write", "1" if on else "0")


def forbidden(server: Server, *, on: bool) -> None:
    sign = "-" if on else "+"
    order(server, "ACL", "SETUSER", "default", f"{sign}evalsha", f"{sign}eval")


def forbidden_keys(server: Server, *, on: bool) -> None:
    order(server, "ACL", "SETUSER", "default", "resetkeys", "~other:*" if on else "~*")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (out_of_memory, "raise its maxmemory"),
        (without_replicas, "too few replicas"),
        (forbidden, "widen its ACL"),
        (forbidden_keys, "widen its ACL"),
    ],
)
async def test_what_refuses_every_charge_is_not_ready_until_it_accepts_again(
    server: Server, change: Any, words: str
) -> None:
    async with opened(server) as door:
        await door.run(COUNT, [KEY], [])
        change(server, on=True)
        error = await refused(door)
        assert words in error.message
        assert (door.ready, door.detail) == (False, error.message)
        # Several looks of the keeper later too, and whatever else succeeds.
        looked = time.monotonic()
        while time.monotonic() - looked < 1.2:
            assert not door.ready
            await asyncio.gather(
                door.call("PING"), door.run(LOOK, [KEY], []), return_exceptions=True
            )
        change(server, on=False)
        await recovered(door)
        with redis.Redis(port=server.port) as client:
            assert client.keys() == [KEY.encode()], "looking has written nothing"
            assert client.get(KEY) == b"1"


async def test_the_narrow_acl_of_a_service_lets_the_probe_pass(server: Server) -> None:
    rights = ["~rate_limit:*", "+ping", "+eval", "+evalsha", "+incr", "+expire"]
    order(server, "ACL", "SETUSER", "limiter", "on", ">pw", *rights)
    async with opened(server, auth="limiter:pw") as door:
        await door.run(COUNT, [KEY], [])
        out_of_memory(server, on=True)
        await refused(door)
        out_of_memory(server, on=False)
        await recovered(door)


@pytest.mark.parametrize("start", [start_valkey, start_redis])
async def test_a_command_forbidden_inside_a_script_is_told_and_forgotten_in_time(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_refusal, "BLIND_SECONDS", 1.0)
    with start() as server:
        async with opened(server) as door:
            order(server, "ACL", "SETUSER", "default", "-incr")
            told = time.monotonic()
            error = await refused(door)
            assert error.reason == "REDIS_FORBIDDEN"
            assert (door.ready, door.detail) == (False, error.message)
            order(server, "ACL", "SETUSER", "default", "+incr")
            await recovered(door)
            assert time.monotonic() - told > 0.9


async def test_a_script_that_is_busy_for_ever_is_told_until_it_is_killed(server: Server) -> None:
    order(server, "CONFIG", "SET", "busy-reply-threshold", "50")
    async with opened(server) as door:
        await refused(door, BUSY)
        await wait_until(lambda: "a script has been running" in door.detail)
        assert not door.ready
        order(server, "SCRIPT", "KILL")
        await recovered(door)


async def test_an_operators_forbidden_command_is_no_refusal_of_scripts(server: Server) -> None:
    order(server, "ACL", "SETUSER", "default", "-flushall")
    async with opened(server) as door:
        await door.run(COUNT, [KEY], [])
        with pytest.raises(Unavailable):
            await door.call("FLUSHALL")
        assert door.ready


async def test_trying_out_says_what_a_call_would_meet_and_writes_nothing(server: Server) -> None:
    async with opened(server) as door:
        await door.try_out(KEY)
        with redis.Redis(port=server.port) as client:
            assert client.keys() == []
        forbidden_keys(server, on=True)
        with pytest.raises(Unavailable, match="widen its ACL"):
            await door.try_out(KEY)
