"""Behind the address of a Redis may be anything: the door says what, and finds the Redis later."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from chassis.errors import Unavailable
from chassis.redis import RedisDoor, RedisSettings, RedisType
from chassis.redis_sites import SingleSites
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers import Server


@dataclass(slots=True)
class Impostor:
    """A server of ours that answers with the bytes it is told, to a first request `welcome`."""

    port: int = 0
    welcome: bytes = b""
    says: bytes = b""
    heard: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        says = self.welcome or self.says
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                self.heard += 1
                writer.write(says)
                says = self.says
        writer.close()


@pytest.fixture
async def impostor() -> AsyncIterator[Impostor]:
    made = Impostor()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@contextlib.asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[RedisDoor]:
    door = RedisDoor(RedisSettings(url=url, connect_timeout_seconds=0.2, **settings))
    await door.open()
    try:
        yield door
    finally:
        await door.close()


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "REDIS_UNAVAILABLE", "does not speak the Redis"),
        (b"", "REDIS_UNAVAILABLE", "no answer within 0.2 s"),
        (b"-LOADING wait\r\n" * 3, "REDIS_LOADING", "is loading its data set"),
        (b"-ERR max number of clients reached\r\n" * 3, "REDIS_TOO_MANY_CLIENTS", "maxclients"),
        (b"*1\r\n$8\r\nsentinel\r\n" * 3, "REDIS_UNAVAILABLE", "set REDIS_TYPE=SENTINEL"),
        (b"-ERR Protocol error\r\n" * 3, "REDIS_UNAVAILABLE", "refuses to let us in"),
    ],
)
async def test_what_is_not_a_usable_redis_is_told_apart(
    impostor: Impostor, text: bytes, reason: str, detail: str
) -> None:
    impostor.says = text
    async with opened(f"127.0.0.1:{impostor.port}") as door:
        with pytest.raises(Unavailable) as raised:
            await door.call("PING")
        assert raised.value.reason == reason
        await wait_until(lambda: detail in door.detail, description=detail)


SENSE = re.compile("it answers (something that is no address|a table of slots with a row)")
NO_HOST = b"*2\r\n$4\r\na..b\r\n$4\r\n6379\r\n"
SENSELESS = [b"+OK\r\n", b":7\r\n", b"*1\r\n:1\r\n", NO_HOST, b"*1\r\n*3\r\n:0\r\n:9\r\n" + NO_HOST]


@pytest.mark.parametrize("answer", SENSELESS)
@pytest.mark.parametrize("kind", [RedisType.SENTINEL, RedisType.CLUSTER])
async def test_a_senseless_answer_about_others_is_told_and_asked_for_again(
    impostor: Impostor, kind: RedisType, answer: bytes
) -> None:
    impostor.welcome, impostor.says = b"+OK\r\n+PONG\r\n", answer
    here = f"127.0.0.1:{impostor.port}"
    async with opened(f"main,{here}" if kind is RedisType.SENTINEL else here, type=kind) as door:
        await wait_until(lambda: SENSE.search(door.detail), description="it says what it was told")
        heard = impostor.heard
        await wait_until(lambda: impostor.heard >= heard + 4, description="it asks again")
        assert not door.ready


async def test_a_redirection_to_nowhere_is_told(valkey: Server) -> None:
    async with opened(valkey.url) as door:
        reply = "return redis.error_reply('MOVED 1 a..b:x')"
        with pytest.raises(Unavailable, match="it answers a redirection to nowhere"):
            await door.call("EVAL", reply, 0)


async def test_a_mistake_of_ours_is_logged_once_and_does_not_end_the_keeper(
    valkey: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[str] = []

    async def fail(self: SingleSites) -> str:
        tries.append("")
        raise KeyError("unforeseen")

    with monkeypatch.context() as broken:
        broken.setattr(SingleSites, "mend", fail)
        async with opened(valkey.url) as door:
            await wait_until(lambda: len(tries) >= 3, description="it tries again")
            assert (door.ready, "a mistake of ours (KeyError)" in door.detail) == (False, True)
            with pytest.raises(Unavailable, match="a mistake of ours"):
                await door.call("PING")
            broken.undo()
            await wait_until(lambda: door.ready, description="it goes on")
            assert await door.call("PING") == b"PONG"
    tracebacks = [record for record in caplog.records if "unforeseen" in record.getMessage()]
    assert len(tracebacks) == 1


async def test_a_password_that_no_wire_can_carry_does_not_end_the_keeper(valkey: Server) -> None:
    async with opened(valkey.url, auth="p\udcff") as door:
        await wait_until(lambda: "can't encode" in door.detail)
        with pytest.raises(Unavailable):
            await door.call("PING")
