"""The interoperability server as a process of its own, for programs that connect to a port."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
_STOP_SECONDS: Final = 10


@contextlib.contextmanager
def interop_server(*arguments: str, descriptors: int | None = None) -> Iterator[int]:
    """Run the server and yield its port; it must stop by itself when asked, and say nothing.

    It may be given so few file `descriptors`.
    """
    command = [sys.executable, "-m", "tests.interop.server", "--port", "0", *arguments]
    if descriptors is not None:
        command = ["bash", "-c", f'ulimit -n {descriptors}; exec "$@"', "bash", *command]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if "listening on" not in line:
            process.kill()
            raise AssertionError(process.communicate()[1])
        yield int(line.rpartition(":")[2])
    finally:
        process.terminate()
        try:
            _, complaints = process.communicate(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
    assert process.returncode == 0
    assert "Traceback" not in complaints, complaints


def server_on(port: int) -> psutil.Process:
    """Return the process of ours that listens on `port`."""
    children = psutil.Process(os.getpid()).children(recursive=True)
    return next(
        one
        for one in children
        if any(c.laddr.port == port for c in one.net_connections() if c.status == "LISTEN")
    )
