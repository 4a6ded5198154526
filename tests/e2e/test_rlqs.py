"""Real Envoys that share one limit by the quota service, as envoy/recipes/rlqs.yaml has them."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from sluice.demo.mesh_process import free_block
from sluice.mesh.binaries import find_envoy
from sluice.mesh.envoy_config import render
from tests.e2e.recipes import FOLDER, RULES
from tests.integration.ratelimit_service.limiter import Limiter, running
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.servers import Server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

RATE, BURST = 20, 40  # what the recipe's rule says


@dataclass(slots=True)
class Origin:
    """What stands behind the Envoys: when a request came, and through whom."""

    port: int = 0
    arrivals: list[tuple[float, str]] = field(default_factory=list)

    def passed(self, since: float, who: str = "") -> int:
        return sum(at >= since and who in ("", name) for at, name in self.arrivals)

    async def answer(self, request: web.Request) -> web.Response:
        self.arrivals.append((time.monotonic(), request.headers["x-through"]))
        return web.Response(text="hello")


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    found = Origin()
    app = web.Application()
    app.router.add_get("/", found.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


class Envoy:
    """One Envoy with a load on it."""

    def __init__(self, name: str, folder: Path, limiter: Limiter, origin: Origin) -> None:
        self.name = name
        self.port = free_block()
        template = (FOLDER / "rlqs.yaml").read_text()
        ports = {
            "SLUICE_ENVOY_PORT": self.port,
            "SLUICE_ENVOY_ADMIN_PORT": self.port + 1,
            "SLUICE_DEMO_PORT": origin.port,
            "GRPC_PORT": limiter.grpc_port,
        }
        config, log = folder / f"{name}.yaml", folder / f"{name}.log"
        config.write_text(render(template, ports))
        command = [str(find_envoy(None)), "-c", str(config), "--use-dynamic-base-id"]
        command += ["--concurrency", "1", "--log-path", str(log)]
        self.process = subprocess.Popen(command)
        self.statuses: list[int] = []

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)

    async def call(self, session: aiohttp.ClientSession) -> int:
        headers = {"x-client-id": "alice", "x-through": self.name}
        url = f"http://127.0.0.1:{self.port}/"
        try:
            async with session.get(url, headers=headers) as response:
                await response.read()
                return response.status
        except aiohttp.ClientError:
            return 0

    async def load(self, session: aiohttp.ClientSession, rate: float) -> None:
        """Call so many times a second, whatever comes back, until it is cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += 1 / rate
            self.statuses.append(await self.call(session))
            await asyncio.sleep(max(0.0, due - loop.time()))


class Mesh:
    """Envoys in front of one service."""

    def __init__(self, folder: Path, limiter: Limiter, origin: Origin) -> None:
        self.envoys: list[Envoy] = []
        self._folder = folder
        self.limiter = limiter
        self._origin = origin

    async def join(self, name: str, session: aiohttp.ClientSession) -> Envoy:
        """Start one; it has its first assignment when this returns."""
        envoy = Envoy(name, self._folder, self.limiter, self._origin)
        self.envoys.append(envoy)

        async def serves() -> bool:
            return await envoy.call(session) == 200

        streams = self.number("ratelimit_quota_streams")
        await wait_until(serves, timeout=20, description=f"{name} serves")
        await wait_until(
            lambda: self.number("ratelimit_quota_streams") > streams,
            description=f"{name} has its stream",
        )
        return envoy

    def number(self, name: str) -> float:
        for line in self.limiter.get("/metrics")[1].splitlines():
            if line.startswith(f"sluice_{name} "):
                return float(line.split()[-1])
        raise AssertionError(f"there is no metric {name}")


@pytest.fixture
def mesh(tmp_path: Path, valkey: Server, origin: Origin) -> Iterator[Mesh]:
    rules = (RULES / "rlqs.yaml").read_text()
    with running(tmp_path, valkey.url, rules) as limiter:
        mesh = Mesh(tmp_path, limiter, origin)
        try:
            yield mesh
        finally:
            for envoy in mesh.envoys:
                envoy.kill()


@contextlib.asynccontextmanager
async def under_load(
    session: aiohttp.ClientSession, loads: dict[Envoy, list[float]]
) -> AsyncIterator[None]:
    """Put loads on Envoys; each number is one caller's calls a second."""
    tasks = [
        asyncio.create_task(envoy.load(session, rate))
        for envoy, rates in loads.items()
        for rate in rates
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes


async def passes(seconds: float) -> float:
    """Let time pass; return when it began."""
    began = time.monotonic()
    await wait_until(
        lambda: time.monotonic() >= began + seconds, timeout=seconds + 10, description="time passes"
    )
    return began


def assert_limit_kept(origin: Origin, began: float) -> None:
    for number, (at, _) in enumerate(origin.arrivals, start=1):
        assert number <= BURST + RATE * (at - began), f"request {number} after {at - began:.3f} s"


async def test_envoys_share_a_limit_by_demand_and_never_pass_more_together(
    mesh: Mesh, origin: Origin
) -> None:
    await mesh.limiter.ready()
    began = time.monotonic()
    async with aiohttp.ClientSession() as session:
        busy, quiet = await mesh.join("busy", session), await mesh.join("quiet", session)
        async with under_load(session, {busy: [30.0, 30.0], quiet: [3.0]}):
            await passes(7)  # the first reports come after five seconds
            since = await passes(10)
            had = {name: origin.passed(since, name) for name in ("busy", "quiet")}
            assert_limit_kept(origin, began)
            assert had["quiet"] >= 20, "it asked for 3 a second, well below half of the limit"
            assert had["busy"] >= 0.7 * (RATE * 10 - had["quiet"]), "and the other takes the rest"

            late = await mesh.join("late", session)
            async with under_load(session, {late: [30.0, 30.0]}):
                await passes(7)
                since = await passes(10)
                parts = [origin.passed(since, envoy.name) for envoy in (busy, quiet, late)]
                assert_limit_kept(origin, began)
                assert sum(parts) >= 0.75 * RATE * 10
                assert min(parts[0], parts[2]) >= 0.25 * RATE * 10, "both ask for as much"

                busy.kill()
                await passes(7)
                since = await passes(10)
                assert_limit_kept(origin, began)
                assert origin.passed(since, "late") >= 0.6 * RATE * 10, "what the dead one had"
    mesh.limiter.stop()
    assert await mesh.limiter.ended() == 0, "open streams do not hold it up"
