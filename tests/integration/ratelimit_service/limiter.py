"""`python -m ratelimit_service` under a test's thumb."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import grpc

from sluice.demo.mesh_process import free_block
from tests.waiting import wait_until
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest
from wire.envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceStub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse

RULES = """\
domain: shop
descriptors:
  - key: client_id
    rate_limit: {unit: minute, requests_per_unit: 5, name: per client}
  - key: hourly
    rate_limit: {unit: hour, requests_per_unit: 3}
  - key: open
    rate_limit: {unit: hour, requests_per_unit: 3}
    on_store_failure: allow
  - key: shut
    rate_limit: {unit: hour, requests_per_unit: 3}
    on_store_failure: deny
"""


class Limiter:
    """The process, its ports and a channel to it."""

    def __init__(self, folder: Path, redis_url: str, **environ: str) -> None:
        self.rules = folder / "config"
        self.rules.mkdir(exist_ok=True)
        # A block of its own: workers take the ops and the admin ports that follow the first.
        self.grpc_port = free_block()
        self.http_port, self.ops_port = self.grpc_port + 1, self.grpc_port + 2
        self.admin_port = self.grpc_port + 16
        self.log = folder / "service.log"
        self._environ = {
            **os.environ,
            "GRPC_PORT": str(self.grpc_port),
            "PORT": str(self.http_port),
            "DEBUG_PORT": str(self.ops_port),
            "RATELIMIT_ADMIN_PORT": str(self.admin_port),
            "REDIS_URL": redis_url,
            "RUNTIME_ROOT": str(folder),
            **environ,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.grpc_port}")
        self.stub = RateLimitServiceStub(self.channel)

    def write(self, text: str, name: str = "shop.yaml") -> None:
        (self.rules / name).write_text(text)

    def start(self, *arguments: str) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ratelimit_service", *arguments],
                env=self._environ,
                stdout=log,
                stderr=log,
            )

    async def ready(self) -> None:
        await wait_until(lambda: self.readyz()[0] == 200, timeout=20, description="it is ready")

    async def ended(self) -> int:
        assert self.process is not None
        process = self.process
        await wait_until(lambda: process.poll() is not None, timeout=10, description="it has ended")
        return process.returncode

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(how)

    def said(self) -> str:
        return self.log.read_text()

    def get(self, path: str, port: int = 0, body: bytes | None = None) -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{port or self.ops_port}{path}", body)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310  our own
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def readyz(self) -> tuple[int, dict[str, Any]]:
        status, text = self.get("/readyz")
        return status, json.loads(text) if text else {}

    async def ask(
        self, *descriptors: dict[str, str], domain: str = "shop", hits: int = 0,
        timeout: float = 5.0,  # noqa: ASYNC109  the RPC's own
    ) -> RateLimitResponse:  # fmt: skip
        request = RateLimitRequest(domain=domain, hits_addend=hits)
        for entries in descriptors:
            descriptor = request.descriptors.add()
            for key, value in entries.items():
                descriptor.entries.add(key=key, value=value)
        return await self.stub.ShouldRateLimit(request, timeout=timeout, wait_for_ready=True)


@contextlib.contextmanager
def running(folder: Path, redis_url: str, rules: str = RULES, **environ: str) -> Iterator[Limiter]:
    limiter = Limiter(folder, redis_url, **environ)
    limiter.write(rules)
    limiter.start()
    try:
        yield limiter
    finally:
        process = limiter.process
        assert process is not None
        if process.poll() is None:
            process.kill()
        process.wait(timeout=10)
