"""Several workers on one port: shared load, rolling restarts, no worker left behind."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import grpc
import psutil
import pytest

from tests.integration.ratelimit_service.limiter import RULES, Limiter
from tests.servers import free_port
from tests.waiting import wait_until
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.servers import Server


def workers(limiter: Limiter) -> list[psutil.Process]:
    assert limiter.process is not None
    return psutil.Process(limiter.process.pid).children()


@pytest.fixture
async def limiter(tmp_path: Path, valkey: Server) -> AsyncIterator[Limiter]:
    started = Limiter(tmp_path, valkey.url)
    started.write(RULES)
    started.start("--workers", "2")
    assert started.process is not None
    try:
        await wait_until(
            lambda: "workers are ready" in started.said(), timeout=30, description="they are ready"
        )
        yield started
    finally:
        await started.channel.close()
        left = workers(started) if started.process.poll() is None else []
        started.process.kill()
        started.process.wait(timeout=10)
        for one in left:
            if one.is_running():
                one.kill()


async def test_all_serve_and_share_the_buckets(limiter: Limiter) -> None:
    assert len(workers(limiter)) == 2
    served: list[float] = []
    ports = (limiter.ops_port, limiter.ops_port + 1)
    # The kernel spreads connections by a hash, so it takes some to reach both.
    for _ in range(40):
        async with Fresh(limiter) as fresh:
            await fresh.ask({"client_id": "shared"})
        served = [decisions(limiter, port) for port in ports]
        if all(served):
            break
    assert all(served), "both workers decided"
    answer = await limiter.ask({"client_id": "shared"})
    assert answer.overall_code == RateLimitResponse.OVER_LIMIT or sum(served) < 6


class Fresh:
    """The same service through a connection of its own."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    async def __aenter__(self) -> Limiter:
        limiter = self._limiter
        self._kept = (limiter.channel, limiter.stub)
        options = [("grpc.use_local_subchannel_pool", 1)]
        limiter.channel = grpc.aio.insecure_channel(f"127.0.0.1:{limiter.grpc_port}", options)
        limiter.stub = type(limiter.stub)(limiter.channel)
        return limiter

    async def __aexit__(self, *_: object) -> None:
        await self._limiter.channel.close()
        self._limiter.channel, self._limiter.stub = self._kept


def decisions(limiter: Limiter, port: int) -> float:
    lines = limiter.get("/metrics", port)[1].splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("sluice_ratelimit_decisions_total"))  # fmt: skip


async def test_a_rolling_restart_loses_no_call(limiter: Limiter) -> None:
    before = {one.pid for one in workers(limiter)}
    going, errors, calls = True, [], 0

    async def caller() -> None:
        nonlocal calls
        while going:
            async with Fresh(limiter) as fresh:
                try:
                    await fresh.ask({"other": "x"})
                    calls += 1
                except grpc.aio.AioRpcError as error:
                    errors.append(error.code())

    calling = asyncio.create_task(caller())
    limiter.stop(signal.SIGHUP)
    await wait_until(
        lambda: "workers restarted" in limiter.said(), timeout=30, description="all are new"
    )
    going = False
    await calling
    after = {one.pid for one in workers(limiter)}
    assert len(after) == 2
    assert not before & after
    assert calls
    assert not errors


async def test_a_worker_that_dies_comes_back(limiter: Limiter) -> None:
    victim = workers(limiter)[0]
    victim.kill()
    await wait_until(
        lambda: (
            victim.pid not in {one.pid for one in workers(limiter)}
            and limiter.get("/readyz")[0] == limiter.get("/readyz", limiter.ops_port + 1)[0] == 200
        ),
        timeout=30,
        description="both serve again",
    )
    assert len(workers(limiter)) == 2


async def test_sigterm_drains_all(limiter: Limiter) -> None:
    running = workers(limiter)
    limiter.stop()
    assert await limiter.ended() == 0
    assert not [one for one in running if one.is_running()]
    assert "Traceback" not in limiter.said()


async def test_workers_end_when_their_supervisor_is_killed(limiter: Limiter) -> None:
    running = workers(limiter)
    limiter.stop(signal.SIGKILL)
    await limiter.ended()
    await wait_until(
        lambda: not [one for one in running if one.is_running() and one.status() != "zombie"],
        timeout=10,
        description="they have ended too",
    )


async def test_what_is_wrong_at_the_start_is_said_once(tmp_path: Path) -> None:
    limiter = Limiter(tmp_path, f"redis://127.0.0.1:{free_port()}")
    limiter.write("domain: [\n")
    limiter.start("--workers", "3")
    assert await limiter.ended() == 1
    assert limiter.said().count("error loading config file") == 1
    assert "Traceback" not in limiter.said()
    await limiter.channel.close()


async def test_a_wrong_number_of_workers_is_told(tmp_path: Path) -> None:
    limiter = Limiter(tmp_path, "redis://127.0.0.1:1")
    limiter.start("--workers", "0")
    assert await limiter.ended() == 2
    assert "--workers" in limiter.said()
    await limiter.channel.close()
