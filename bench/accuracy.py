"""`python -m bench.accuracy`: how many calls a limit lets through that 200 clients race for.

    python -m bench.accuracy [--calls N]

Four processes of the service share one Redis; each has 50 connections with four calls in flight,
all for the same counter. The limits are of a year, so that nothing flows back meanwhile: the number
that may pass is exact, and is counted from the answers.
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

from bench.caller import body, call
from bench.servers import started_sluice, started_valkey
from bench.target import Target, show
from ratelimit_service.core.limit import Algorithm
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

PROCESSES, CLIENTS, STREAMS = 4, 200, 4
LIMIT = 5_000


def rules() -> str:
    """Return a rule file with the same limit, counted in each way."""
    lines = ["domain: bench", "descriptors:"]
    for algorithm in Algorithm:
        lines.append(f"  - key: {algorithm.value}")
        lines.append(f"    algorithm: {algorithm.value}")
        lines.append(f"    rate_limit: {{unit: year, requests_per_unit: {LIMIT}}}")
    return "\n".join(lines)


async def race(ports: Sequence[int], algorithm: Algorithm, calls: int) -> int:
    """Return how many of `calls` calls pass."""
    request = RateLimitRequest(domain="bench")
    request.descriptors.add().entries.add(key=algorithm.value, value="all")
    bodies = itertools.repeat(body(request.SerializeToString()))
    connections = CLIENTS // len(ports)
    found = await asyncio.gather(
        *[
            call(port, bodies, calls // len(ports), connections=connections, streams=STREAMS)
            for port in ports
        ]
    )
    return sum(answers.passed for answers in found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Race for each limit, print, and return 1 if one lets more or fewer through than it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=20_000, help="calls for each limit (20000)")
    calls = parser.parse_args(arguments).calls
    targets = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "config").mkdir()
        (folder / "config/bench.yaml").write_text(rules())
        store_port, _ = stack.enter_context(started_valkey(folder))
        ports = [
            stack.enter_context(started_sluice(folder, store_port)).port for _ in range(PROCESSES)
        ]
        for algorithm in Algorithm:
            passed = uvloop.run(race(ports, algorithm, calls))
            print(f"{algorithm.value}: {passed:,} of {calls:,} calls passed, {LIMIT:,} may")
            name = f"{algorithm.value}, calls too many or too few"
            targets.append(Target(name=name, value=abs(passed - LIMIT), limit=0))
    return show(targets)


if __name__ == "__main__":
    sys.exit(main())
