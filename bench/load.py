"""Load by h2load: one gRPC call again and again over a few HTTP/2 connections, like Envoy."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 4
STREAMS = 64  # each connection's calls in flight
_DONE = re.compile(r"finished in ([0-9.]+)(us|ms|s), ([0-9.]+) req/s")
_STATUS = re.compile(r"status codes: (\d+) 2xx")
_SCALE = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What came of a run: calls answered 200, seconds, and latencies in milliseconds."""

    calls: int
    seconds: float
    mean_ms: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds


def run(
    port: int, path: str, message: bytes, *, calls: int, streams: int = STREAMS,
    connections: int = CONNECTIONS,
) -> Load:  # fmt: skip
    """Send `calls` calls of `message` to the gRPC method `path` on 127.0.0.1:`port`."""
    program = shutil.which("h2load")
    if program is None:
        sys.exit("bench: h2load is missing; on Debian and Ubuntu: apt-get install nghttp2-client")
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder, "body"), Path(folder, "log")
        body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
        command = [
            program, f"-n{calls}", f"-c{connections}", f"-m{streams}", "-t1",
            "-d", str(body), "--log-file", str(log),
            "-H", "content-type: application/grpc", "-H", "te: trailers",
            f"http://127.0.0.1:{port}{path}",
        ]  # fmt: skip
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
        took = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    done, status = _DONE.search(ended.stdout), _STATUS.search(ended.stdout)
    if done is None or status is None or int(status[1]) != calls:
        sys.exit(f"bench: not every call was answered:\n{ended.stdout}")
    return Load(
        calls=calls,
        seconds=float(done[1]) * _SCALE[done[2]],
        mean_ms=sum(took) / len(took) / 1000,
        p50_ms=took[len(took) // 2] / 1000,
        p99_ms=took[len(took) * 99 // 100] / 1000,
    )
