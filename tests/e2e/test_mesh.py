"""The mesh as a user has it: calls through a real Envoy, and what happens when parts die."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from sluice.demo.calls import Answer, call, unjudged_calls
from sluice.demo.expectations import limited_client, refusal
from tests.integration.sluice.running import Up
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

_numbers = itertools.count(1)

Addresses = dict[str, Any]


def somebody() -> str:
    """Answer a client nobody has called as yet: its bucket is full."""
    return f"client-{next(_numbers)}"


@pytest.fixture
async def mesh() -> AsyncIterator[tuple[Up, Addresses]]:
    with Up() as up:
        addresses = await up.ready()
        for _ in range(4):  # both of Envoy's workers have their connections open
            call(addresses["envoy"]["http"], somebody(), 1)
        yield up, addresses


async def test_the_101st_call_of_a_minute_is_refused_and_nobody_else_is(
    mesh: tuple[Up, Addresses],
) -> None:
    envoy, admin = mesh[1]["envoy"]["http"], mesh[1]["envoy"]["admin"]
    alice, bob = somebody(), somebody()
    unjudged = unjudged_calls(admin)
    begun = time.monotonic()
    answers = call(envoy, alice, 130)
    elapsed = time.monotonic() - begun
    unjudged = unjudged_calls(admin) - unjudged
    assert not list(limited_client(answers, elapsed_seconds=elapsed, unjudged=unjudged))
    assert [answer.status for answer in answers[:100]] == [200] * 100
    assert answers[0].headers["x-ratelimit-remaining"] == "99"

    (first_of_bob,) = call(envoy, bob, 1)
    assert first_of_bob.status == 200
    assert first_of_bob.headers["x-ratelimit-remaining"] == "99"

    (again,) = await come_back_when_told(envoy, alice, answers)
    assert again.status == 200


async def come_back_when_told(envoy: str, client: str, answers: list[Answer]) -> list[Answer]:
    """Call again after the seconds that the last refusal asked for."""
    last = next(answer for answer in reversed(answers) if answer.status == 429)
    back_at = time.monotonic() + int(last.headers["retry-after"])
    await wait_until(lambda: time.monotonic() >= back_at, description="the time to retry")
    return call(envoy, client, 1)


async def test_a_call_that_names_no_client_passes(mesh: tuple[Up, Addresses]) -> None:
    connection = http.client.HTTPConnection(mesh[1]["envoy"]["http"], timeout=10)
    for _ in range(120):
        connection.request("GET", "/")
        response = connection.getresponse()
        assert response.status == 200
        assert b"hello from the demo's origin" in response.read()
        assert response.getheader("x-ratelimit-limit") is None
    connection.close()


@pytest.mark.parametrize("part", ["redis", "ratelimit", "envoy"])
async def test_a_part_killed_by_hand_comes_back_and_the_bucket_is_as_it_was(
    mesh: tuple[Up, Addresses], part: str
) -> None:
    up, addresses = mesh
    envoy = addresses["envoy"]["http"]
    alice = somebody()
    # Not of the last one: a call that a busy machine holds up for longer than Envoy waits passes.
    assert 429 in [answer.status for answer in call(envoy, alice, 130)]
    emptied = time.monotonic()
    address = addresses[part]
    await up.kill_listener(address if part == "redis" else next(iter(address.values())))
    await up.notes(f"{part} ended (signal 9); restarting in ")
    await up.notes(f"{part} is healthy again")

    async def judged() -> bool:
        (answer,) = call(envoy, somebody(), 1)
        return "x-ratelimit-limit" in answer.headers

    await wait_until(judged, timeout=15, description="calls are judged again")
    # Each try costs one; what refilled since the bucket was empty is all that can be there.
    answers = call(envoy, alice, 1 + int((time.monotonic() - emptied) * 100 / 60) + 10)
    refused = [answer for answer in answers if answer.status == 429]
    assert refused
    assert not list(refusal(refused[-1]))


async def test_while_redis_hangs_calls_pass_as_the_rule_says_and_then_are_judged_again(
    mesh: tuple[Up, Addresses],
) -> None:
    up, addresses = mesh
    envoy = addresses["envoy"]["http"]
    redis = up.pid_listening(int(addresses["redis"].rpartition(":")[2])) or 0
    os.kill(redis, signal.SIGSTOP)
    try:
        answers = call(envoy, somebody(), 5)
    finally:
        os.kill(redis, signal.SIGCONT)
    assert [answer.status for answer in answers] == [200] * 5
    assert max(answer.seconds for answer in answers) < 2.0

    async def judged() -> bool:
        (answer,) = call(envoy, somebody(), 1)
        return answer.headers.get("x-ratelimit-remaining") == "99"

    await wait_until(judged, timeout=15, description="calls are judged again")


async def test_without_a_limiter_calls_pass_and_are_counted() -> None:
    with Up("--only", "demo,envoy") as up:
        envoy = (await up.ready())["envoy"]
        answers = call(envoy["http"], somebody(), 5)
        assert [answer.status for answer in answers] == [200] * 5
        assert unjudged_calls(envoy["admin"]) == 5


async def test_a_call_in_flight_is_answered_before_envoy_stops() -> None:
    arrived, may_answer = asyncio.Event(), asyncio.Event()

    async def answer_late(_request: web.BaseRequest) -> web.StreamResponse:
        arrived.set()
        await may_answer.wait()
        return web.Response(text="late but whole")

    with Up("--only", "redis,ratelimit,envoy") as up:
        addresses = await up.ready()
        runner = web.ServerRunner(web.Server(answer_late))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", up.first_port + 7).start()
        try:
            async with aiohttp.ClientSession() as session:
                calling = asyncio.ensure_future(
                    session.get(f"http://{addresses['envoy']['http']}/")
                )
                await asyncio.wait_for(arrived.wait(), 10)
                up.process.terminate()
                await up.notes("stopping envoy")
                may_answer.set()
                response = await calling
                assert response.status == 200
                assert await response.text() == "late but whole"
            assert await up.ended() == 0
        finally:
            await runner.cleanup()


async def test_broken_rules_are_named_with_file_line_and_column(tmp_path: Path) -> None:
    rules = tmp_path / "limits.yaml"
    rules.write_text(
        "domain: demo\ndescriptors:\n  - key: a\n"
        "    rate_limit: {unit: fortnight, requests_per_unit: 1}\n"
    )
    with Up("--rules", str(tmp_path)) as up:
        assert await up.ended() == 1
        assert any(f"{rules}:4:" in line and "fortnight" in line for line in up.err)
        assert "Traceback" not in up.said
        assert not up.living()


async def test_a_redis_of_ones_own_is_used_and_left_alone(tmp_path: Path) -> None:
    with Up("--only", "redis", "--state", str(tmp_path)) as own:
        url = (await own.ready())["redis"]
        with Up("--redis", url) as up:
            addresses = await up.ready()
            assert addresses["redis"] == url
            (answer,) = call(addresses["envoy"]["http"], somebody(), 1)
            assert answer.headers["x-ratelimit-remaining"] == "99"
            up.process.terminate()
            assert await up.ended() == 0
        assert own.process.poll() is None
        assert b"rate_limit:" in await keys(url)


async def keys(url: str) -> bytes:
    host, _, port = url.removeprefix("redis://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"KEYS *\r\n")
    found = await asyncio.wait_for(reader.readuntil(b"}"), 5)
    writer.close()
    await writer.wait_closed()
    return found
