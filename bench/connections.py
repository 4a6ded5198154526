"""`python -m bench.connections`: the memory that a busy connection takes in the service.

    python -m bench.connections [--connections N] [--calls N]

The service first works for as long over four connections, so that all it keeps of requests and
rules is there already; then as many connections as asked for make their calls, and stay. What is
told is by how much the resident memory has grown, over their number.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from bench.caller import body, call, connected
from bench.ratelimit import CLIENT, RULES
from bench.servers import started_sluice, started_valkey
from bench.target import Target, show
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psutil

CONNECTIONS = 500
CALLS = 1_000
PROMISED_KIB = 16
_WARM_UP = 100_000


def requests() -> Iterator[bytes]:
    """Return one request, for ever."""
    request = RateLimitRequest(domain="bench")
    for key, value in CLIENT:
        request.descriptors.add().entries.add(key=key, value=value)
    return itertools.repeat(body(request.SerializeToString()))


async def kib_a_connection(
    port: int, process: psutil.Process, connections: int, calls: int
) -> float:
    """Return the growth, in KiB a connection, once each has made `calls` calls."""
    await call(port, requests(), _WARM_UP)
    before = process.memory_info().rss
    callers = await connected(port, requests(), connections)
    await asyncio.gather(*[caller.call(calls, 1) for caller in callers])
    after = process.memory_info().rss
    for caller in callers:
        caller.close()
    return (after - before) / connections / 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 if a connection takes more than is promised."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="(500)")
    parser.add_argument("--calls", type=int, default=CALLS, help="calls of each (1000)")
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "config").mkdir()
        (folder / "config/bench.yaml").write_text(RULES)
        store_port, _ = stack.enter_context(started_valkey(folder))
        service = stack.enter_context(started_sluice(folder, store_port))
        found = uvloop.run(
            kib_a_connection(service.port, service.process, options.connections, options.calls)
        )
    return show([Target(name="KiB a busy connection", value=found, limit=PROMISED_KIB)])


if __name__ == "__main__":
    sys.exit(main())
