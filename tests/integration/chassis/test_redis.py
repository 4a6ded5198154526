"""The door to Redis, over a real Valkey that is killed, hung, flushed and demoted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from chassis.build import Build
from chassis.errors import DeadlineExceeded, SluiceError, Unavailable
from chassis.lua import Script
from chassis.metrics import Metrics
from chassis.redis import RedisDoor, RedisReplyError, RedisSettings
from tests.servers import Server, start_valkey
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.usefixtures("way")

# Half a second between attempts at most, and room for a busy machine.
RECOVERY_SECONDS = 1.5
COUNT = Script(
    "count", "local n = redis.call('INCR', KEYS[1]) redis.call('EXPIRE', KEYS[1], ARGV[1]) return n"
)
ECHO = Script("echo", "return {KEYS[1], ARGV[1], ARGV[2]}")
WRONG = Script("wrong", "return redis.call('INCR', KEYS[1], 'too', 'many')")


@contextlib.asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[RedisDoor]:
    door = RedisDoor(RedisSettings(url=url, **settings), name="test")
    await door.open()
    try:
        yield door
    finally:
        await door.close()


@pytest.fixture
async def door(valkey: Server) -> AsyncIterator[RedisDoor]:
    async with opened(valkey.url) as made:
        yield made


async def refused(door: RedisDoor, script: Script = COUNT, seconds: float | None = None) -> str:
    """Run a script that must fail; returns the reason."""
    with pytest.raises(Unavailable) as raised:
        await door.run(script, ["k"], [60], seconds)
    return raised.value.reason


async def seconds_until_ready(door: RedisDoor) -> float:
    started = time.monotonic()
    await wait_until(lambda: door.ready, description="the door is ready")
    return time.monotonic() - started


async def test_the_first_call_waits_for_the_connection_that_is_being_made(
    valkey: Server,
) -> None:
    async with opened(valkey.url) as door:
        assert not door.ready
        assert await door.run(ECHO, ["k"], ["a", 7]) == [b"k", b"a", b"7"]
        assert (door.ready, door.detail) == (True, "ok")


async def test_a_script_unknown_to_the_server_is_brought_to_it(door: RedisDoor) -> None:
    assert await door.run(COUNT, ["k"], [60]) == 1
    await door.call("SCRIPT", "FLUSH")
    assert await door.run(COUNT, ["k"], [60]) == 2
    assert await door.run(COUNT, ["k"], [60]) == 3
    assert await door.call("SCRIPT", "EXISTS", COUNT.sha) == [1]


async def test_commands_and_bytes_go_through(door: RedisDoor) -> None:
    await door.call("SET", b"k\xff\r\n", b"\x00\xff", "EX", 60)
    assert await door.call("GET", b"k\xff\r\n") == b"\x00\xff"
    assert await door.call("GET", "none") is None


async def test_without_a_cluster_all_keys_go_together(door: RedisDoor) -> None:
    assert door.slot_of("a") == door.slot_of(b"b") == 0


async def test_a_hundred_at_once_each_get_their_own_answer(door: RedisDoor) -> None:
    replies = await asyncio.gather(*(door.run(ECHO, [f"k{n}"], [n, "x"]) for n in range(100)))
    assert [reply[0] for reply in replies] == [f"k{n}".encode() for n in range(100)]


async def test_our_own_mistakes_are_not_unavailability(door: RedisDoor) -> None:
    with pytest.raises(RedisReplyError):
        await door.run(WRONG, ["k"], [])
    with pytest.raises(RedisReplyError) as raised:
        await door.call("NOSUCHCOMMAND")
    assert raised.value.code == "ERR"
    assert door.ready


async def test_a_caller_without_time_is_not_sent_to_redis(door: RedisDoor) -> None:
    with pytest.raises(DeadlineExceeded):
        await door.run(COUNT, ["k"], [60], 0)
    assert await door.run(COUNT, ["k"], [60]) == 1


async def test_a_caller_that_leaves_does_not_spoil_the_connection(
    door: RedisDoor, valkey: Server
) -> None:
    await wait_until(lambda: door.ready)
    waiting = [asyncio.create_task(door.run(ECHO, [f"k{n}"], [n, "x"])) for n in range(20)]
    await asyncio.sleep(0)
    for task in waiting[::2]:
        task.cancel()
    replies = await asyncio.gather(*waiting, return_exceptions=True)
    assert [reply[0] for reply in replies[1::2] if isinstance(reply, list)] == [
        f"k{n}".encode() for n in range(1, 20, 2)
    ]
    assert await door.call("PING") == b"PONG"
    assert await connections(door) == 2


async def connections(door: RedisDoor) -> int:
    listed: bytes = await door.call("CLIENT", "LIST")
    return listed.count(b"name=test ")


async def test_it_names_itself_and_keeps_as_many_connections_as_told(valkey: Server) -> None:
    async with opened(valkey.url, pool_size=5) as door:
        await wait_until(lambda: door.ready)
        assert await connections(door) == 5


async def test_a_database_number_is_honoured(valkey: Server, door: RedisDoor) -> None:
    async with opened(valkey.url + "/5") as other:
        await other.call("SET", "k", "there", "EX", 60)
        assert await door.call("GET", "k") is None
        assert await other.call("GET", "k") == b"there"


async def test_cut_connections_are_made_again_and_callers_wait_for_that(door: RedisDoor) -> None:
    await wait_until(lambda: door.ready)
    started = time.monotonic()
    cut: Any = asyncio.create_task(door.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"))
    outcomes: list[str] = []
    while "ok" not in outcomes and time.monotonic() - started < 5:
        try:
            # Without a pause: some of these find both connections gone and no new one yet.
            await door.run(COUNT, ["k"], [60])
            outcomes.append("ok" if cut.done() else "before")
        except Unavailable as error:
            outcomes.append(error.metadata["outcome"])
    await asyncio.gather(cut, return_exceptions=True)
    # Sooner than the next ping would find out, and only what was under way may fail.
    assert time.monotonic() - started < 0.9
    assert "not_executed" not in outcomes
    assert door.ready
    assert door.stats.outages == 0


async def test_a_store_that_is_away_is_refused_at_once_and_found_again_within_a_second() -> None:
    with start_valkey() as server:
        async with opened(server.url) as door:
            assert await door.run(COUNT, ["k"], [60]) == 1
            server.kill()
            await wait_until(lambda: "Connection refused" in door.detail)
            assert not door.ready
            started = time.monotonic()
            for _ in range(50):
                assert await refused(door) == "REDIS_UNAVAILABLE"
            assert time.monotonic() - started < 0.5
            server.start()
            assert await seconds_until_ready(door) < RECOVERY_SECONDS
            assert await door.run(COUNT, ["k"], [60]) == 1
            assert door.stats.outages == 1


async def test_it_opens_without_a_store_and_finds_it_when_it_comes() -> None:
    with start_valkey() as server:
        server.kill()
        async with opened(server.url) as door:
            assert await refused(door) == "REDIS_UNAVAILABLE"
            server.start()
            assert await seconds_until_ready(door) < RECOVERY_SECONDS
            assert await door.run(COUNT, ["k"], [60]) == 1


async def test_a_script_whose_answer_is_lost_is_not_sent_again() -> None:
    with start_valkey() as server:
        async with opened(server.url) as door:
            assert await door.run(COUNT, ["k"], [60]) == 1
            server.stop()
            lost = asyncio.create_task(door.run(COUNT, ["k"], [60], 0.2))
            with pytest.raises(Unavailable) as raised:
                await lost
            assert raised.value.reason == "REDIS_TIMEOUT"
            assert raised.value.metadata["outcome"] == "unknown"
            server.cont()
            # It had arrived: it is counted once, not zero times and not twice.
            await wait_until(lambda: door.ready)
            assert int(await door.call("GET", "k")) == 2


async def test_a_hung_store_costs_each_caller_its_deadline_and_soon_nothing() -> None:
    with start_valkey() as server:
        async with opened(server.url, command_timeout_seconds=1.0) as door:
            await door.run(COUNT, ["k"], [60])
            server.stop()
            try:
                reasons = []
                for _ in range(5):
                    started = time.monotonic()
                    reasons.append(await refused(door, seconds=0.05))
                    assert time.monotonic() - started < 0.6
                assert reasons[0] == "REDIS_TIMEOUT"
                started = time.monotonic()
                assert await refused(door) in ("REDIS_CIRCUIT_OPEN", "REDIS_UNAVAILABLE")
                assert time.monotonic() - started < 0.3
                await wait_until(lambda: not door.ready, description="the ping goes unanswered")
            finally:
                server.cont()
            assert await seconds_until_ready(door) < RECOVERY_SECONDS
            assert await door.run(COUNT, ["k"], [60]) >= 2


async def test_a_ping_that_is_answered_closes_the_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.breaker.FIRST_OPEN_SECONDS", 60.0)
    monkeypatch.setattr("chassis.breaker.LONGEST_OPEN_SECONDS", 60.0)
    with start_valkey() as server:
        async with opened(server.url) as door:
            await door.run(COUNT, ["k"], [60])
            server.stop()
            for _ in range(5):
                await refused(door, seconds=0.02)
            assert await refused(door) == "REDIS_CIRCUIT_OPEN"
            server.cont()

            async def answers() -> bool:
                with contextlib.suppress(Unavailable):
                    return bool(await door.run(COUNT, ["k"], [60]))
                return False

            await wait_until(answers, timeout=RECOVERY_SECONDS)


async def test_impatient_callers_do_not_close_the_door_for_others() -> None:
    with start_valkey() as server:
        async with opened(server.url) as door:
            await door.run(COUNT, ["k"], [60])
            server.stop()
            for _ in range(20):
                await refused(door, seconds=0.001)
            server.cont()
            assert await door.run(COUNT, ["k"], [60], 0.9) > 1


async def test_a_hung_store_does_not_pile_up_what_is_sent_to_it() -> None:
    with start_valkey() as server:
        async with opened(server.url, command_timeout_seconds=5.0) as door:
            await door.call("PING")
            server.stop()
            try:
                big = b"x" * (4 * 1024 * 1024)
                calls = [
                    asyncio.create_task(door.call("SET", "k", big, "EX", 60, timeout_seconds=1.5))
                    for _ in range(20)
                ]
                ended = await asyncio.gather(*calls, return_exceptions=True)
            finally:
                server.cont()
            reasons = {error.reason for error in ended if isinstance(error, SluiceError)}
            assert "REDIS_QUEUE_FULL" in reasons
            await wait_until(lambda: door.ready)


async def test_a_demoted_primary_is_left_until_it_may_write_again(valkey: Server) -> None:
    with start_valkey() as server:
        async with opened(server.url) as door, opened(valkey.url) as operator:
            await door.run(COUNT, ["k"], [60])
            async with opened(server.url) as admin:
                await admin.call("REPLICAOF", "127.0.0.1", valkey.port)
            assert await refused(door) in ("REDIS_READONLY", "REDIS_LOADING")
            await wait_until(lambda: not door.ready, description="the replica is recognised")
            assert "replica" in door.detail
            assert await refused(door) == "REDIS_READONLY"
            await promote(server)
            assert await seconds_until_ready(door) < RECOVERY_SECONDS
            await door.run(COUNT, ["k"], [60])
            await operator.call("DEL", "k")


async def promote(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"REPLICAOF NO ONE\r\n")
    assert await reader.readline() == b"+OK\r\n"
    writer.close()
    await writer.wait_closed()


async def test_wrong_credentials_say_what_to_set() -> None:
    with start_valkey("--requirepass", "hunter22") as server:
        async with opened(server.url) as nobody, opened(server.url, auth="wrong") as stranger:
            for door in (nobody, stranger):
                assert await refused(door) == "REDIS_CREDENTIALS"
                assert "set REDIS_AUTH" in door.detail
        async with opened(server.url, auth="hunter22") as door:
            assert await door.run(COUNT, ["k"], [60]) == 1


async def test_an_acl_user_of_its_own_without_the_right_to_ask_for_roles() -> None:
    acl = ["user", "limiter", "on", ">pw:1", "~rate:*", "+evalsha", "+eval", "+incr", "+expire"]
    acl += ["+ping"]
    with start_valkey() as server:
        async with opened(server.url) as admin:
            await admin.call("ACL", "SETUSER", *acl[1:])
        async with opened(server.url, auth="limiter:pw:1") as door:
            assert await door.run(COUNT, ["rate:k"], [60]) == 1
            assert door.ready
            with pytest.raises(Unavailable) as raised:
                await door.call("FLUSHALL")
            assert raised.value.reason == "REDIS_FORBIDDEN"


async def test_a_unix_socket(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("s") / "r.sock"
    with start_valkey("--unixsocket", str(path)):
        async with opened(f"unix://{path}") as door, opened(str(path)) as bare:
            assert await door.run(COUNT, ["k"], [60]) == 1
            assert await bare.run(COUNT, ["k"], [60]) == 2


async def test_what_it_counts_is_exposed(door: RedisDoor) -> None:
    metrics = Metrics(Build(service="t", version="1", python="p", platform="l"))
    door.observe(metrics)
    await door.run(COUNT, ["k"], [60])
    await door.run(COUNT, ["k"], [60])
    text = metrics.render().decode()
    # The first run is two calls: the server did not know the script.
    assert 'sluice_redis_calls_total{redis="test"} 3.0' in text
    assert 'sluice_redis_outages_total{redis="test"} 0.0' in text
    assert 'sluice_redis_wait_seconds_total{redis="test"}' in text
    assert 'sluice_redis_up{redis="test"} 1.0' in text


async def test_two_doors_are_told_apart_by_name(door: RedisDoor, valkey: Server) -> None:
    metrics = Metrics(Build(service="t", version="1", python="p", platform="l"))
    other = RedisDoor(RedisSettings(url=valkey.url), name="other")
    door.observe(metrics, other)
    await door.call("PING")
    text = metrics.render().decode()
    assert 'sluice_redis_calls_total{redis="test"} 1.0' in text
    assert 'sluice_redis_calls_total{redis="other"} 0.0' in text
    assert 'sluice_redis_up{redis="test"} 1.0' in text
    assert 'sluice_redis_up{redis="other"} 0.0' in text


async def test_a_caller_that_fails_on_its_reply_costs_the_others_nothing(
    door: RedisDoor, caplog: pytest.LogCaptureFixture
) -> None:
    await wait_until(lambda: door.ready)

    def fails(_reply: Any, _error: BaseException | None) -> None:
        raise ZeroDivisionError

    door.submit(ECHO, ["k"], [0, 0], None, fails)
    answers = [asyncio.create_task(door.run(ECHO, ["k"], [n, 0])) for n in range(20)]
    door.submit(ECHO, ["k"], [0, 0], -1.0, fails)
    door.submit(ECHO, ["k"], [0, 0], None, fails)
    replies = await asyncio.gather(*answers)
    assert [reply[1] for reply in replies] == [str(n).encode() for n in range(20)]
    await wait_until(lambda: len(caplog.records) == 3, description="each is told")
    assert "ZeroDivisionError" in caplog.text
    assert await connections(door) == 2
    assert door.stats.outages == 0


async def test_closing_fails_what_is_unanswered_and_leaves_nothing_behind() -> None:
    with start_valkey() as server:
        async with opened(server.url) as door:
            await door.call("PING")
            server.stop()
            waiting = asyncio.create_task(door.run(COUNT, ["k"], [60]))
            await wait_until(lambda: door.stats.calls > 1)
            await door.close()
            with pytest.raises(Unavailable):
                await waiting
            assert await refused(door) == "REDIS_UNAVAILABLE"
            assert not [task for task in asyncio.all_tasks() if "redis" in task.get_name()]
            server.cont()
