"""A real `sluice up` under a test's thumb, and a stand-in Envoy that misbehaves to order."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from sluice.demo.mesh_process import free_block
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import IO

# Promises of the interface, for `sluice up` to keep.
STOP_SECONDS = 15.0
ORPHAN_SECONDS = 10.0

# A start takes a second or two; several test runs may share the cores.
READY_SECONDS = 40.0


class Up:
    """`python -m sluice up` with these arguments, on a block of free ports unless told otherwise."""

    def __init__(
        self,
        *arguments: str,
        first_port: int | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.first_port = first_port or free_block()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "sluice",
                "up",
                "--ports-from",
                str(self.first_port),
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**_plain_environ(), **(environ or {})},
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._readers = [
            threading.Thread(target=_collect, args=(stream, lines), daemon=True)
            for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()
        self._seen: dict[int, psutil.Process] = {}

    async def ready(self) -> dict[str, Any]:
        """Wait for the `ready` line and answer its object."""
        await wait_until(
            lambda: self._has_ended() or (self.out[-1:] and self.out[-1].startswith("ready ")),
            timeout=READY_SECONDS,
            description="sluice up is ready",
        )
        assert not self._has_ended(), self.said
        addresses: dict[str, Any] = json.loads(self.out[-1].removeprefix("ready "))
        return addresses

    async def ended(self) -> int:
        """Wait for the end, no longer than promised, and answer the exit code."""
        await wait_until(self._has_ended, timeout=STOP_SECONDS, description="sluice up has ended")
        for reader in self._readers:
            reader.join(5)
        return self.process.returncode

    async def notes(self, text: str) -> None:
        """Wait until it says this on stderr."""
        await wait_until(
            lambda: any(text in line for line in self.err) or self._has_ended(),
            timeout=READY_SECONDS,
            description=f"sluice up says {text!r}",
        )
        assert any(text in line for line in self.err), self.said

    @property
    def state(self) -> Path:
        """The folder it keeps its state in, as it said."""
        said = re.search(r"the state in (\S+)", self.said)
        assert said, self.said
        return Path(said[1])

    @property
    def said(self) -> str:
        """Everything it has said."""
        return "\n".join([*self.out, *self.err])

    def descendants(self) -> list[psutil.Process]:
        """Answer the processes it and its parts have started, remembered beyond their parents."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            self._seen[process.pid] = process
        return list(self._seen.values())

    def living(self) -> list[psutil.Process]:
        """Answer those of the processes seen so far that still run. Zombies do not."""
        return [process for process in self._seen.values() if _lives(process)]

    def pid_listening(self, port: int) -> int | None:
        """Answer which of its processes listens on the port."""
        for process in self.descendants():
            try:
                connections = process.net_connections("tcp")
            except psutil.Error:
                continue
            if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections):
                return process.pid
        return None

    async def kill_listener(self, address: str) -> int:
        """SIGKILL the process behind host:port, and answer what its process id was."""
        pid = self.pid_listening(int(address.rpartition(":")[2]))
        assert pid is not None, f"nothing listens on {address}"
        os.kill(pid, signal.SIGKILL)
        return pid

    def _has_ended(self) -> bool:
        return self.process.poll() is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, and whatever of it a failing test has left."""
        if not self._has_ended():
            self.descendants()
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for process in self.living():
            process.kill()
        for reader in self._readers:
            reader.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def _collect(stream: IO[str] | None, lines: list[str]) -> None:
    try:
        lines.extend(line.rstrip("\n") for line in stream or ())
    except ValueError:
        return  # a test closed the stream under us, as a reader that leaves does


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _plain_environ() -> dict[str, str]:
    """Leave out what a developer's shell may say to Sluice."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("REDIS_", "RUNTIME_", "SLUICE_"))
    }


STAND_IN = """#!{python}
import http.server, os, signal, sys

admin = {admin}

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *words):
        pass

{behaviour}
http.server.HTTPServer(("127.0.0.1", admin), Ready).serve_forever()
"""


def stand_in_envoy(folder: Path, behaviour: str, *, admin: int = 0) -> str:
    """Write a program that poses as Envoy for --envoy; `behaviour` is Python it runs first."""
    path = folder / "stand-in"
    path.write_text(STAND_IN.format(python=sys.executable, admin=admin, behaviour=behaviour))
    path.chmod(0o755)
    return str(path)
