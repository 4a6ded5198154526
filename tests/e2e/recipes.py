"""A recipe of envoy/recipes as a reader would try it: real Envoy, the service, an origin.

    async with serving("headers", folder, valkey.url, Origin()) as recipe:
        reply = await recipe.call("/", {"x-client-id": "alice"})

The recipe's own files are what runs; only ports are put in, and Envoy is given more time for a
verdict, because a call that passes unjudged would tell nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc

from fastlane import http
from sluice.demo.mesh_process import free_block
from sluice.mesh.binaries import find_envoy
from sluice.mesh.envoy_config import config_folder, render
from tests.integration.ratelimit_service.limiter import Limiter
from tests.servers import free_port
from tests.waiting import wait_until
from wire.sluice.ratelimit.v1 import ratelimit_pb2
from wire.sluice.ratelimit.v1.ratelimit_pb2_grpc import RateLimitAdminServiceStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

FOLDER = config_folder() / "recipes"
RULES = FOLDER / "rules"

# What the recipes have Envoy wait for a verdict; a busy machine takes longer now and then.
_PATIENCE = "timeout: 0.25s\n"
_MORE_PATIENCE = "timeout: 5s\n"


@dataclass(slots=True)
class Origin:
    """What stands behind Envoy: answers `reply`, and remembers what it was asked."""

    reply: http.Response = field(default_factory=lambda: http.Response(200, body=b"hello"))
    asked: list[http.Request] = field(default_factory=list)
    port: int = 0
    _server: http.Server | None = None

    async def _answer(self, request: http.Request) -> http.Response:
        self.asked.append(request)
        return self.reply

    async def open(self, port: int = 0) -> None:
        self.port = port or free_port()
        self._server = http.Server(self._answer)
        self._server.add(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def close(self) -> None:
        if self._server is not None:
            await self._server.stop(0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What came back: header names in lower case."""

    status: int
    headers: dict[str, str]
    lines: list[str]


class Recipe:
    """The parts of one, running."""

    def __init__(self, name: str, folder: Path, limiter: Limiter, ports: Mapping[str, int]) -> None:
        self.limiter = limiter
        self.rules = limiter.rules / f"{name}.yaml"
        self.domain = re.findall(r"^domain: (\S+)$", self.rules.read_text(), re.MULTILINE)[0]
        self._folder = folder
        self._admin = f"http://127.0.0.1:{ports['SLUICE_ENVOY_ADMIN_PORT']}"
        self._url = f"http://127.0.0.1:{ports['SLUICE_ENVOY_PORT']}"
        self._session = aiohttp.ClientSession()
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{limiter.admin_port}")
        self._stub = RateLimitAdminServiceStub(self._channel)

    async def ready(self) -> None:
        """Return when Envoy takes calls and the service answers."""

        async def live() -> bool:
            with contextlib.suppress(aiohttp.ClientError):
                async with self._session.get(f"{self._admin}/ready") as answer:
                    return answer.status == 200
            return False

        await wait_until(self._serves, timeout=20, description="the service is ready")
        await wait_until(live, timeout=20, description="Envoy is ready")

    def _serves(self) -> bool:
        process = self.limiter.process
        assert process is not None
        assert process.poll() is None, self.limiter.said()
        return self.limiter.readyz()[0] == 200

    async def call(self, path: str = "/", headers: Mapping[str, str] | None = None) -> Reply:
        async with self._session.get(self._url + path, headers=headers) as answer:
            text = await answer.text()
            return Reply(
                status=answer.status,
                headers={name.lower(): value for name, value in answer.headers.items()},
                lines=text.splitlines(),
            )

    async def break_off(self, path: str, headers: Mapping[str, str]) -> None:
        """Call, and close the connection at the first bytes of the answer."""
        async with self._session.get(self._url + path, headers=headers) as answer:
            await answer.content.readany()
            answer.close()

    async def calls(self, times: int, path: str, headers: Mapping[str, str]) -> list[int]:
        """Call so often, one after the other; return the statuses."""
        return [(await self.call(path, headers)).status for _ in range(times)]

    async def balance(self, *entries: tuple[str, str]) -> int:
        """Return what is left of the limit that these entries meet, by the admin API."""
        request = ratelimit_pb2.GetBalanceRequest(domain=self.domain)
        for key, value in entries:
            request.descriptor.entries.add(key=key, value=value)
        answer = await self._stub.GetBalance(request, timeout=5)
        (balance,) = answer.balances
        return balance.remaining

    async def stat(self, name: str) -> int:
        """Return the sum of Envoy's counters whose names end so."""
        async with self._session.get(f"{self._admin}/stats?filter={name}$") as answer:
            text = await answer.text()
        return sum(int(number) for number in re.findall(r": (\d+)$", text, re.MULTILINE))

    def log(self) -> list[dict[str, Any]]:
        """Return the lines of Envoy's access log."""
        lines = (self._folder / "envoy.out").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    async def close(self) -> None:
        await self._session.close()
        await self._channel.close()
        await self.limiter.channel.close()


@contextlib.asynccontextmanager
async def serving(
    name: str,
    folder: Path,
    redis_url: str,
    origin: Origin,
    *,
    patient: bool = True,
    environ: Mapping[str, str] | None = None,
    **more_ports: int,
) -> AsyncIterator[Recipe]:
    """Run a recipe; `environ` is the service's, `more_ports` those only this recipe has."""
    await origin.open()
    limiter = Limiter(folder, redis_url, **(environ or {}))
    shutil.copy(RULES / f"{name}.yaml", limiter.rules)
    first = free_block()
    ports = {
        "SLUICE_ENVOY_PORT": first,
        "SLUICE_ENVOY_ADMIN_PORT": first + 1,
        "SLUICE_DEMO_PORT": origin.port,
        "GRPC_PORT": limiter.grpc_port,
        **more_ports,
    }
    recipe = Recipe(name, folder, limiter, ports)
    limiter.start()
    envoy = _start_envoy(name, folder, ports, patient=patient)
    try:
        await recipe.ready()
        yield recipe
    finally:
        await recipe.close()
        for process in (envoy, limiter.process):
            if process is not None and process.poll() is None:
                process.kill()
            if process is not None:
                await asyncio.to_thread(process.wait, 10)
        await origin.close()


def _start_envoy(
    name: str, folder: Path, ports: Mapping[str, int], *, patient: bool
) -> subprocess.Popen[bytes]:
    text = render((FOLDER / f"{name}.yaml").read_text(), ports)
    assert _PATIENCE in text, "the recipe says how long a verdict may take"
    if patient:
        text = text.replace(_PATIENCE, _MORE_PATIENCE)
    config = folder / "envoy.yaml"
    config.write_text(text)
    command = [str(find_envoy(None)), "-c", str(config), "--use-dynamic-base-id"]
    command += ["--concurrency", "1", "--file-flush-interval-msec", "20"]
    with (folder / "envoy.out").open("wb") as out, (folder / "envoy.err").open("wb") as err:
        return subprocess.Popen(command, stdout=out, stderr=err)
